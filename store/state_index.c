#include <assert.h>
#include <inttypes.h>

#include "engine/base/crc32c.h"
#include "store/idset.h"
#include "store/state_db.h"

/* --- keys --- */

/* An entry's key on disk: index number, value_key, 0, number of the id block big-endian. Its value:
 * crc32c over the key and the set, then the set (idset.h). */
enum { CRC_BYTES = 4, BLOCK_BYTES = 4 };

struct row {
    unsigned char bytes[1 + VALUE_KEY_BYTES_MAX + 1 + BLOCK_BYTES];
    size_t prefix_len; /* without the block number */
};

static void row_fill(struct row *row, uint8_t number, struct text value_key)
{
    assert(value_key.len >= 1 && value_key.len <= VALUE_KEY_BYTES_MAX);
    row->bytes[0] = number;
    memcpy(row->bytes + 1, value_key.bytes, value_key.len);
    row->bytes[1 + value_key.len] = 0;
    row->prefix_len = 1 + value_key.len + 1;
}

static MDB_val row_key(struct row *row, uint32_t block)
{
    unsigned char *out = row->bytes + row->prefix_len;
    for (unsigned i = 0; i < BLOCK_BYTES; i++)
        out[i] = (unsigned char)(block >> (24 - 8 * i));
    return lmdb_val(row->bytes, row->prefix_len + BLOCK_BYTES);
}

/* Is `key` a row of the same index and value? Then *block. */
static bool row_matches(const struct row *row, const MDB_val *key, uint32_t *block)
{
    if (key->mv_size != row->prefix_len + BLOCK_BYTES ||
        memcmp(key->mv_data, row->bytes, row->prefix_len) != 0)
        return false;
    const unsigned char *in = (const unsigned char *)key->mv_data + row->prefix_len;
    *block = (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
    return true;
}

/* The key of the value's count: the row's without its end. */
static struct text count_key(const struct row *row)
{
    return (struct text){(const char *)row->bytes, row->prefix_len - 1};
}

size_t state_index_place(const struct state *state, enum scope scope, struct text key)
{
    for (size_t place = FIRST_INDEX; place < state->index_count; place++)
        if (state->indexes[place].scope == scope && text_equal(state->indexes[place].key, key))
            return place;
    return 0;
}

/* --- counts --- */

bool state_counts_flush(struct state *state, struct err *err)
{
    struct counts *counts = &state->counts;
    for (size_t i = 0; counts->changed_count > 0 && i < counts->count; i++) {
        struct count *count = &counts->items[i];
        bool existed;
        if (!count->changed)
            continue;
        if (count->number > 0
                ? !state_db_put_number(state, DB_COUNTS, count->key, count->number, err)
                : !state_db_delete(state, DB_COUNTS, lmdb_val(count->key.bytes, count->key.len),
                                   &existed, err))
            return false;
        count->changed = false;
        counts->changed_count--;
    }
    return true;
}

/* The count of a key, in memory from now on. */
static bool load_count(struct state *state, struct text key, struct count **count, struct err *err)
{
    *count = counts_find(&state->counts, key);
    if (*count != NULL)
        return true;
    uint64_t number = 0;
    bool found;
    if (!state_db_get_number(state, DB_COUNTS, key, &number, &found, err))
        return false;
    if (counts_full(&state->counts)) {
        if (!state_counts_flush(state, err))
            return false;
        counts_clear(&state->counts);
    }
    *count = counts_add(&state->counts, key, number);
    return true;
}

static bool change_count(struct state *state, struct text key, int by, struct err *err)
{
    struct count *count;
    if (!load_count(state, key, &count, err))
        return false;
    if (by < 0 && count->number == 0)
        return lmdb_env_damaged(&state->env, err, "the count of an indexed value is too low");
    count->number = by < 0 ? count->number - 1 : count->number + 1;
    counts_mark_changed(&state->counts, count);
    return true;
}

bool state_counts_get(struct state *state, size_t place, const struct value *value,
                      uint64_t *number, struct err *err)
{
    unsigned char key[VALUE_KEY_BYTES_MAX];
    struct row row;
    if (value->kind == VALUE_NULL) { /* nothing holds it */
        *number = 0;
        return true;
    }
    size_t len = value_key_encode(value, key);
    row_fill(&row, state->indexes[place].number, (struct text){(const char *)key, len});
    const struct count *count = counts_find(&state->counts, count_key(&row));
    if (count != NULL) {
        *number = count->number;
        return true;
    }
    uint64_t stored = 0;
    bool found;
    if (!state_db_get_number(state, DB_COUNTS, count_key(&row), &stored, &found, err))
        return false;
    *number = stored;
    return true;
}

/* --- sets --- */

static uint32_t set_crc(const MDB_val *key, struct text set)
{
    return crc32c(crc32c(0, key->mv_data, key->mv_size), set.bytes, set.len);
}

static bool read_set(struct state *state, const MDB_val *key, const MDB_val *value,
                     struct text *set, struct err *err)
{
    uint32_t crc = 0;
    if (value->mv_size > CRC_BYTES) {
        memcpy(&crc, value->mv_data, CRC_BYTES);
        *set = (struct text){(const char *)value->mv_data + CRC_BYTES, value->mv_size - CRC_BYTES};
        if (crc == set_crc(key, *set) && idset_valid(*set))
            return true;
    }
    return lmdb_env_damaged(&state->env, err, "an index fails its checksum");
}

static bool get_set(struct state *state, const MDB_val *key, struct text *set, bool *copied,
                    struct err *err)
{
    MDB_val value;
    bool found;
    if (!state_db_get(state, DB_INDEX, *key, &value, &found, err))
        return false;
    *set = (struct text){NULL, 0};
    *copied = found && lmdb_env_is_copied(&state->env, value.mv_data);
    return !found || read_set(state, key, &value, set, err);
}

static bool put_set(struct state *state, const MDB_val *key, struct text set, bool copied,
                    struct err *err)
{
    uint32_t crc = set_crc(key, set);
    char *bytes;
    bool existed;
    if (set.len == 0)
        return state_db_delete(state, DB_INDEX, *key, &existed, err);
    if (!state_db_reserve(state, DB_INDEX, *key, CRC_BYTES + set.len, 0, &bytes, err))
        return false;
    memcpy(bytes, &crc, CRC_BYTES);
    memcpy(bytes + CRC_BYTES, set.bytes, set.len);
    if (copied)
        state_db_not_counted(state, DB_INDEX);
    return true;
}

/* One device enters (by = +1) or leaves (by = -1) a value of an index. */
static bool change_set(struct state *state, uint8_t number, uint32_t id, struct text value_key,
                       int by, struct err *err)
{
    struct row row;
    struct text set;
    unsigned char bytes[IDSET_BYTES_MAX];
    bool changed, copied;
    row_fill(&row, number, value_key);
    MDB_val key = row_key(&row, id / IDSET_SPAN);
    if (!get_set(state, &key, &set, &copied, err))
        return false;
    size_t len = by > 0 ? idset_add(set, id % IDSET_SPAN, bytes, &changed)
                        : idset_remove(set, id % IDSET_SPAN, bytes, &changed);
    if (!changed)
        return lmdb_env_damaged(&state->env, err, "an index is wrong about device number %" PRIu32,
                                id);
    return put_set(state, &key, (struct text){(const char *)bytes, len}, copied, err) &&
           change_count(state, count_key(&row), by, err);
}

bool state_index_move(struct state *state, size_t place, uint32_t id, struct text old_key,
                      struct text new_key, struct err *err)
{
    uint8_t number = state->indexes[place].number;
    return (old_key.len == 0 || change_set(state, number, id, old_key, -1, err)) &&
           (new_key.len == 0 || change_set(state, number, id, new_key, +1, err));
}

/* --- asking --- */

static bool collect_ids(struct state *state, MDB_cursor *cursor, struct row *row, uint32_t from_id,
                        uint32_t *ids, size_t id_count_max, size_t *id_count, struct err *err)
{
    MDB_val key = row_key(row, from_id / IDSET_SPAN), value;
    uint32_t block;
    bool found;
    struct text set;
    *id_count = 0;
    if (!state_db_move(state, cursor, &key, &value, MDB_SET_RANGE, &found, err))
        return false;
    while (found && row_matches(row, &key, &block) && *id_count < id_count_max) {
        if (!read_set(state, &key, &value, &set, err))
            return false;
        unsigned offset = block == from_id / IDSET_SPAN ? from_id % IDSET_SPAN : 0;
        for (offset = idset_next(set, offset); offset < IDSET_SPAN && *id_count < id_count_max;
             offset = idset_next(set, offset + 1))
            ids[(*id_count)++] = block * IDSET_SPAN + offset;
        if (!state_db_move(state, cursor, &key, &value, MDB_NEXT, &found, err))
            return false;
    }
    return true;
}

bool state_index_ids(struct state *state, size_t place, struct text value_key, uint32_t from_id,
                     uint32_t *ids, size_t id_count_max, size_t *id_count, struct err *err)
{
    struct row row;
    MDB_cursor *cursor;
    row_fill(&row, state->indexes[place].number, value_key);
    if (!state_db_cursor(state, DB_INDEX, &cursor, err))
        return false;
    bool done = collect_ids(state, cursor, &row, from_id, ids, id_count_max, id_count, err);
    mdb_cursor_close(cursor);
    return done;
}

size_t state_index_count(const struct state *state)
{
    return state->index_count - FIRST_INDEX;
}

bool state_index_find(const struct state *state, enum scope scope, struct text key, size_t *index)
{
    size_t place = state_index_place(state, scope, key);
    if (place == 0)
        return false;
    *index = place - FIRST_INDEX;
    return true;
}

struct index_key state_index_key(const struct state *state, size_t index)
{
    assert(index < state_index_count(state));
    const struct index *found = &state->indexes[FIRST_INDEX + index];
    return (struct index_key){found->scope, found->key};
}

bool state_index_devices(struct state *state, size_t index, const struct value *value,
                         uint64_t *count, struct err *err)
{
    assert(index < state_index_count(state));
    return state_counts_get(state, FIRST_INDEX + index, value, count, err);
}

bool state_type_devices(struct state *state, struct text type, uint64_t *count, struct err *err)
{
    struct value value = value_string(type);
    return state_counts_get(state, TYPE_INDEX, &value, count, err);
}

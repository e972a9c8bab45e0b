#include <assert.h>
#include <inttypes.h>

#include "store/idset.h"
#include "store/state_db.h"

/* --- keys --- */

/* An entry's key: index number, value_key, 0, number of the id block big-endian. Its value: the set
 * (idset.h). */
enum { BLOCK_BYTES = 4 };

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

static struct text set_key(struct row *row, uint32_t block)
{
    unsigned char *out = row->bytes + row->prefix_len;
    for (unsigned i = 0; i < BLOCK_BYTES; i++)
        out[i] = (unsigned char)(block >> (24 - 8 * i));
    return row_key(row->bytes, row->prefix_len + BLOCK_BYTES);
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

/* Most are among the changes already. */
static bool add_in_place(struct state *state, struct text key, int by)
{
    size_t len;
    uint64_t number;
    char *value = state_db_edit(state, DB_COUNTS, key, &len);
    if (value == NULL || len != sizeof number)
        return false;
    memcpy(&number, value, sizeof number);
    if (by < 0 && number <= 1)
        return false;
    number += by < 0 ? UINT64_MAX : 1;
    memcpy(value, &number, sizeof number);
    return true;
}

static bool change_count(struct state *state, struct text key, int by, struct err *err)
{
    uint64_t number = 0;
    bool found;
    if (add_in_place(state, key, by))
        return true;
    if (!state_db_get_number(state, DB_COUNTS, key, &number, &found, err))
        return false;
    if (by < 0 && number == 0)
        return lmdb_env_damaged(&state->env, err, "the count of an indexed value is too low");
    number = by < 0 ? number - 1 : number + 1;
    if (number > 0)
        state_db_put_number(state, DB_COUNTS, key, number);
    else
        state_db_delete(state, DB_COUNTS, key);
    return true;
}

bool state_counts_get(struct state *state, size_t place, const struct value *value,
                      uint64_t *number, struct err *err)
{
    unsigned char key[VALUE_KEY_BYTES_MAX];
    struct row row;
    uint64_t stored = 0;
    bool found;
    if (value->kind != VALUE_NULL) { /* which nothing holds */
        size_t len = value_key_encode(value, key);
        row_fill(&row, state->indexes[place].number, (struct text){(const char *)key, len});
        if (!state_db_get_number(state, DB_COUNTS, count_key(&row), &stored, &found, err))
            return false;
    }
    *number = stored;
    return true;
}

/* --- sets --- */

static bool get_set(const struct state *state, struct text key, struct text *set, struct err *err)
{
    bool found;
    if (!state_db_get(state, DB_INDEX, key, set, &found, err))
        return false;
    if (!found)
        *set = (struct text){NULL, 0};
    return true;
}

static void put_set(struct state *state, struct text key, struct text set)
{
    if (set.len == 0)
        state_db_delete(state, DB_INDEX, key);
    else
        memcpy(state_db_put(state, DB_INDEX, key, set.len), set.bytes, set.len);
}

static bool flip_in_place(struct state *state, struct text key, uint32_t id, bool enters)
{
    size_t len;
    char *set = state_db_edit(state, DB_INDEX, key, &len);
    return set != NULL && idset_flip(set, len, id % IDSET_SPAN, enters);
}

/* One device enters (by = +1) or leaves (by = -1) a value of an index. */
static bool change_set(struct state *state, uint8_t number, uint32_t id, struct text value_key,
                       int by, struct err *err)
{
    struct row row;
    struct text set;
    unsigned char bytes[IDSET_BYTES_MAX];
    bool changed;
    row_fill(&row, number, value_key);
    struct text key = set_key(&row, id / IDSET_SPAN);
    if (flip_in_place(state, key, id, by > 0))
        return change_count(state, count_key(&row), by, err);
    if (!get_set(state, key, &set, err))
        return false;
    size_t len = by > 0 ? idset_add(set, id % IDSET_SPAN, bytes, &changed)
                        : idset_remove(set, id % IDSET_SPAN, bytes, &changed);
    if (!changed)
        return lmdb_env_damaged(&state->env, err, "an index is wrong about device number %" PRIu32,
                                id);
    put_set(state, key, (struct text){(const char *)bytes, len});
    return change_count(state, count_key(&row), by, err);
}

struct set_place state_index_set_place(const struct state *state, size_t place, uint32_t id, struct text value_key)
{
    struct row row;
    row_fill(&row, state->indexes[place].number, value_key);
    struct text key = set_key(&row, id / IDSET_SPAN);
    return (struct set_place){changes_hash(DB_INDEX, key), key.len + id % IDSET_SPAN / 8};
}

bool state_index_move(struct state *state, size_t place, uint32_t id, struct text old_key,
                      struct text new_key, struct err *err)
{
    uint8_t number = state->indexes[place].number;
    return (old_key.len == 0 || change_set(state, number, id, old_key, -1, err)) &&
           (new_key.len == 0 || change_set(state, number, id, new_key, +1, err));
}

/* --- asking --- */

bool state_index_ids(struct state *state, size_t place, struct text value_key, uint32_t from_id,
                     uint32_t *ids, size_t id_count_max, size_t *id_count, struct err *err)
{
    struct row row;
    struct text set;
    size_t count = 0;
    row_fill(&row, state->indexes[place].number, value_key);
    for (uint32_t block = from_id / IDSET_SPAN;
         (uint64_t)block * IDSET_SPAN < state->totals.device_count && count < id_count_max; block++) {
        unsigned offset = block == from_id / IDSET_SPAN ? from_id % IDSET_SPAN : 0;
        if (!get_set(state, set_key(&row, block), &set, err))
            return false;
        for (offset = idset_next(set, offset); offset < IDSET_SPAN && count < id_count_max;
             offset = idset_next(set, offset + 1))
            ids[count++] = block * IDSET_SPAN + offset;
    }
    *id_count = count;
    return true;
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

#include <assert.h>
#include <stdlib.h>

#include "engine/base/crc32c.h"
#include "store/state_db.h"

/* The configured list of indexes against the one on disk: what is no longer listed is removed, what
 * is new is built from the devices. Both may take many commits. An index that isn't complete has
 * ready = 0 on disk from before its first entry is written until after its last: a crash in between
 * leaves something that the next open removes and builds anew. */

enum {
    NUMBER_COUNT = 256, /* index numbers are one byte */
    STEP_COUNT = 20000, /* devices or rows per commit while building or removing */
};

/* A configured index on disk; the key is the scope's byte and the attribute's key. */
struct index_record {
    uint8_t number;
    uint8_t ready;
    uint16_t zero;
    uint32_t crc;
};

/* --- rows --- */

static size_t index_row_key(enum scope scope, struct text key, char out[1 + KEY_BYTES_MAX])
{
    assert(key.len >= 1 && key.len <= KEY_BYTES_MAX);
    out[0] = (char)scope;
    memcpy(out + 1, key.bytes, key.len);
    return 1 + key.len;
}

static uint32_t index_row_crc(struct text row_key, const struct index_record *record)
{
    return crc32c(crc32c(0, row_key.bytes, row_key.len), record,
                  offsetof(struct index_record, crc));
}

static bool put_row(struct state *state, const struct index *index, struct err *err)
{
    char bytes[1 + KEY_BYTES_MAX];
    struct text key = {bytes, index_row_key(index->scope, index->key, bytes)};
    struct index_record record = {.number = index->number, .ready = index->ready};
    record.crc = index_row_crc(key, &record);
    return state_db_put(state, DB_INDEXES, lmdb_val(key.bytes, key.len),
                        lmdb_val(&record, sizeof record), err);
}

static bool read_row(struct state *state, const MDB_val *key, const MDB_val *value,
                     struct index *index, struct err *err)
{
    struct text row_key = {key->mv_data, key->mv_size};
    struct index_record record = {0};
    if (value->mv_size == sizeof record)
        memcpy(&record, value->mv_data, sizeof record);
    if (row_key.len < 2 || value->mv_size != sizeof record ||
        record.crc != index_row_crc(row_key, &record))
        return lmdb_env_damaged(&state->env, err, "its list of indexes fails its checksum");
    struct text name = {row_key.bytes + 1, row_key.len - 1};
    *index = (struct index){(enum scope)row_key.bytes[0], arena_copy(&state->lasting, name),
                            record.number, record.ready != 0};
    return true;
}

static bool read_rows(struct state *state, MDB_cursor *cursor, struct index *rows, size_t *count,
                      struct err *err)
{
    MDB_val key, value;
    bool found;
    *count = 0;
    if (!state_db_move(state, cursor, &key, &value, MDB_FIRST, &found, err))
        return false;
    while (found && *count < NUMBER_COUNT)
        if (!read_row(state, &key, &value, &rows[(*count)++], err) ||
            !state_db_move(state, cursor, &key, &value, MDB_NEXT, &found, err))
            return false;
    return true;
}

/* Remove up to STEP_COUNT keys that start with `number`. */
static bool wipe_some(struct state *state, enum db db, uint8_t number, bool *more, struct err *err)
{
    for (size_t i = 0; i < STEP_COUNT; i++) {
        MDB_cursor *cursor;
        MDB_val key = lmdb_val(&number, 1), value;
        unsigned char bytes[512]; /* LMDB's longest key is 511 */
        bool found;
        if (!state_db_cursor(state, db, &cursor, err))
            return false;
        bool done = state_db_move(state, cursor, &key, &value, MDB_SET_RANGE, &found, err);
        *more = done && found && *(unsigned char *)key.mv_data == number;
        assert(!*more || key.mv_size <= sizeof bytes);
        if (*more)
            memcpy(bytes, key.mv_data, key.mv_size);
        mdb_cursor_close(cursor);
        if (!done)
            return false;
        if (!*more)
            return true;
        if (!state_db_delete(state, db, lmdb_val(bytes, key.mv_size), &found, err))
            return false;
    }
    return true;
}

static bool wipe(struct state *state, struct index *index, struct err *err)
{
    static const enum db of_indexes[] = {DB_INDEX, DB_COUNTS};
    index->ready = false;
    if (!put_row(state, index, err))
        return false;
    for (size_t i = 0; i < 2; i++)
        for (bool more = true; more;)
            if (!wipe_some(state, of_indexes[i], index->number, &more, err) ||
                !state_commit(state, err))
                return false;
    return true;
}

static bool drop_row(struct state *state, const struct index *index, struct err *err)
{
    char bytes[1 + KEY_BYTES_MAX];
    bool existed;
    size_t len = index_row_key(index->scope, index->key, bytes);
    return state_db_delete(state, DB_INDEXES, lmdb_val(bytes, len), &existed, err);
}

/* Take over the rows that are wanted and complete, remove the others. */
static bool settle_rows(struct state *state, struct index *rows, size_t count, bool *used,
                        struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        size_t place = state_index_place(state, rows[i].scope, rows[i].key);
        if (place != 0 && rows[i].ready) {
            state->indexes[place].number = rows[i].number;
            state->indexes[place].ready = true;
            used[rows[i].number] = true;
        } else if (!wipe(state, &rows[i], err) || !drop_row(state, &rows[i], err)) {
            return false;
        }
    }
    return true;
}

static bool number_new_ones(struct state *state, bool *used, bool *any, struct err *err)
{
    size_t number = FIRST_INDEX;
    *any = false;
    for (size_t place = FIRST_INDEX; place < state->index_count; place++) {
        struct index *index = &state->indexes[place];
        if (index->ready)
            continue;
        while (used[number])
            number++;
        assert(number < NUMBER_COUNT);
        used[number] = true;
        index->number = (uint8_t)number;
        *any = true;
        if (!put_row(state, index, err))
            return false;
    }
    return true;
}

/* --- building --- */

struct found_key {
    unsigned char bytes[VALUE_KEY_BYTES_MAX];
    size_t len; /* 0: the device has no such attribute */
};

static bool build_for(struct state *state, uint32_t id, struct err *err)
{
    struct found_key keys[INDEX_PLACES] = {{.len = 0}};
    struct record_head head;
    if (!state_device_look(state, id, &head, err))
        return false;
    for (size_t place = FIRST_INDEX; place < state->index_count; place++) {
        const struct index *index = &state->indexes[place];
        size_t position;
        if (index->ready || !entries_find(&state->scratch, index->scope, index->key, &position))
            continue;
        struct value value = entry_decode(&state->scratch.items[position]).value;
        keys[place].len = value_key_encode(&value, keys[place].bytes);
    }
    for (size_t place = FIRST_INDEX; place < state->index_count; place++) {
        struct text key = {(const char *)keys[place].bytes, keys[place].len}, none = TEXT("");
        if (key.len > 0 && !state_index_move(state, place, id, none, key, err))
            return false;
    }
    return true;
}

static bool build(struct state *state, struct err *err)
{
    for (uint32_t id = 0; id < state->totals.device_count; id++)
        if (!build_for(state, id, err) ||
            (id % STEP_COUNT == STEP_COUNT - 1 && !state_commit(state, err)))
            return false;
    for (size_t place = FIRST_INDEX; place < state->index_count; place++) {
        struct index *index = &state->indexes[place];
        if (index->ready)
            continue;
        index->ready = true;
        if (!put_row(state, index, err))
            return false;
    }
    return true;
}

static void take_list(struct state *state, const struct state_options *options)
{
    state->indexes[TYPE_INDEX].ready = true;
    state->index_count = FIRST_INDEX;
    for (size_t i = 0; i < options->index_count; i++) {
        assert(options->indexes[i].scope < SCOPE_TELEMETRY);
        assert(state_index_place(state, options->indexes[i].scope, options->indexes[i].key) == 0);
        state->indexes[state->index_count++] = (struct index){
            .scope = options->indexes[i].scope,
            .key = arena_copy(&state->lasting, options->indexes[i].key),
        };
    }
}

static bool configure(struct state *state, struct index *rows, struct err *err)
{
    MDB_cursor *cursor;
    bool used[NUMBER_COUNT] = {[0] = true}, any;
    size_t count;
    if (!state_db_cursor(state, DB_INDEXES, &cursor, err))
        return false;
    bool done = read_rows(state, cursor, rows, &count, err);
    mdb_cursor_close(cursor);
    if (!done || !settle_rows(state, rows, count, used, err) ||
        !number_new_ones(state, used, &any, err))
        return false;
    if (!any)
        return state_commit(state, err);
    return state_commit(state, err) && build(state, err) && state_commit(state, err);
}

bool state_index_configure(struct state *state, const struct state_options *options,
                           struct err *err)
{
    take_list(state, options);
    struct index *rows = calloc(NUMBER_COUNT, sizeof *rows);
    if (rows == NULL)
        abort();
    bool done = configure(state, rows, err);
    free(rows);
    return done;
}

#include <assert.h>
#include <stdlib.h>

#include "store/state_db.h"

/* The configured list of indexes against the one on disk: what is no longer listed is removed, what
 * is new is built from the devices. Both may take many checkpoints. An index that isn't complete has
 * ready = 0 on disk from before its first entry is written until after its last: a crash in between
 * leaves something that the next open removes and builds anew. */

enum {
    NUMBER_COUNT = 256, /* index numbers are one byte */
    KEYS_CHUNK_BYTES = 1 << 20,
    STEP_COUNT = 20000, /* devices or rows per checkpoint while building or removing */
};

/* A configured index on disk; the key is the scope's byte and the attribute's key. */
struct index_record {
    uint8_t number;
    uint8_t ready;
};

/* --- rows --- */

static struct text index_row_key(enum scope scope, struct text key, char out[1 + KEY_BYTES_MAX])
{
    assert(key.len >= 1 && key.len <= KEY_BYTES_MAX);
    out[0] = (char)scope;
    memcpy(out + 1, key.bytes, key.len);
    return row_key(out, 1 + key.len);
}

static void put_row(struct state *state, const struct index *index)
{
    char bytes[1 + KEY_BYTES_MAX];
    struct index_record record = {.number = index->number, .ready = index->ready};
    memcpy(state_db_put(state, DB_INDEXES, index_row_key(index->scope, index->key, bytes),
                        sizeof record),
           &record, sizeof record);
}

static bool read_row(struct state *state, struct text key, struct text value, struct index *index,
                     struct err *err)
{
    struct index_record record;
    if (key.len < 2 || value.len != sizeof record)
        return state_db_damaged(state, DB_INDEXES, err);
    memcpy(&record, value.bytes, sizeof record);
    struct text name = {key.bytes + 1, key.len - 1};
    *index = (struct index){(enum scope)key.bytes[0], arena_copy(&state->lasting, name),
                            record.number, record.ready != 0};
    return true;
}

static bool read_rows(struct state *state, struct index *rows, size_t *count, struct err *err)
{
    struct scan scan;
    struct text key, value;
    bool found = true;
    *count = 0;
    bool done = state_scan_open(state, DB_INDEXES, TEXT(""), TEXT(""), &scan, err);
    while (done && *count < NUMBER_COUNT &&
           (done = state_scan_next(&scan, &key, &value, &found, err)) && found)
        done = read_row(state, key, value, &rows[(*count)++], err);
    state_scan_close(&scan);
    return done;
}

/* Remove up to STEP_COUNT rows whose key starts with `number`. */
static bool wipe_some(struct state *state, enum db db, uint8_t number, bool *more, struct err *err)
{
    struct scan scan;
    struct text key, value;
    struct arena keys;
    size_t count = 0;
    arena_init(&keys, KEYS_CHUNK_BYTES);
    struct text *items = arena_alloc(&keys, STEP_COUNT * sizeof *items);
    *more = true;
    bool done = state_scan_open(state, db, row_key(&number, 1), TEXT(""), &scan, err);
    while (done && *more && count < STEP_COUNT) {
        done = state_scan_next(&scan, &key, &value, more, err);
        if (done && *more)
            items[count++] = arena_copy(&keys, key);
    }
    state_scan_close(&scan);
    for (size_t i = 0; done && i < count; i++)
        state_db_delete(state, db, items[i]);
    arena_fini(&keys);
    return done;
}

static bool wipe(struct state *state, struct index *index, struct err *err)
{
    static const enum db of_indexes[] = {DB_INDEX, DB_COUNTS};
    index->ready = false;
    put_row(state, index);
    for (size_t i = 0; i < 2; i++)
        for (bool more = true; more;)
            if (!wipe_some(state, of_indexes[i], index->number, &more, err) ||
                !state_checkpoint(state, err))
                return false;
    return true;
}

static void drop_row(struct state *state, const struct index *index)
{
    char bytes[1 + KEY_BYTES_MAX];
    state_db_delete(state, DB_INDEXES, index_row_key(index->scope, index->key, bytes));
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
        } else {
            if (!wipe(state, &rows[i], err))
                return false;
            drop_row(state, &rows[i]);
        }
    }
    return true;
}

/* Were there any? */
static bool number_new_ones(struct state *state, bool *used)
{
    size_t number = FIRST_INDEX;
    bool any = false;
    for (size_t place = FIRST_INDEX; place < state->index_count; place++) {
        struct index *index = &state->indexes[place];
        if (index->ready)
            continue;
        while (used[number])
            number++;
        assert(number < NUMBER_COUNT);
        used[number] = true;
        index->number = (uint8_t)number;
        any = true;
        put_row(state, index);
    }
    return any;
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
        struct value value = entry_value(&state->scratch.items[position]);
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
            (id % STEP_COUNT == STEP_COUNT - 1 && !state_checkpoint(state, err)))
            return false;
    for (size_t place = FIRST_INDEX; place < state->index_count; place++) {
        struct index *index = &state->indexes[place];
        if (index->ready)
            continue;
        index->ready = true;
        put_row(state, index);
    }
    return true;
}

static void take_list(struct state *state, const struct state_options *options)
{
    state->indexes[TYPE_INDEX] = (struct index){.number = TYPE_INDEX, .ready = true};
    state->indexes[TIMER_INDEX] = (struct index){.number = TIMER_INDEX, .ready = true};
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
    bool used[NUMBER_COUNT] = {[TYPE_INDEX] = true, [TIMER_INDEX] = true};
    size_t count;
    if (!read_rows(state, rows, &count, err) || !settle_rows(state, rows, count, used, err))
        return false;
    bool any = number_new_ones(state, used);
    return state_checkpoint(state, err) &&
           (!any || (build(state, err) && state_checkpoint(state, err)));
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

#include <assert.h>

#include "store/state_db.h"

static struct counter *find(struct state *state, struct text name)
{
    for (size_t i = 0; i < state->counter_count; i++)
        if (text_equal(state->counters[i].name, name))
            return &state->counters[i];
    return NULL;
}

static struct counter *find_or_add(struct state *state, struct text name)
{
    struct counter *counter = find(state, name);
    if (counter != NULL || state->counter_count == COUNTER_COUNT_MAX)
        return counter;
    counter = &state->counters[state->counter_count++];
    *counter = (struct counter){.name = arena_copy(&state->lasting, name)};
    return counter;
}

uint64_t *state_counter(struct state *state, struct text name)
{
    assert(name.len >= 1 && name.len <= COUNTER_NAME_BYTES_MAX);
    struct counter *counter = find_or_add(state, name);
    return counter == NULL ? NULL : &counter->number;
}

void state_counter_each(struct state *state, struct text prefix,
                        void (*visit)(void *context, struct text name, uint64_t number),
                        void *context)
{
    for (size_t i = 0; i < state->counter_count; i++)
        if (text_starts(state->counters[i].name, prefix))
            visit(context, state->counters[i].name, state->counters[i].number);
}

/* Callers hold pointers to the numbers: after a lost checkpoint they must show the old values, and
 * 0 where there was no such counter yet. */
static bool load_all(struct state *state, MDB_cursor *cursor, struct err *err)
{
    MDB_val key, value;
    bool found;
    if (!state_db_move(state, cursor, &key, &value, MDB_FIRST, &found, err))
        return false;
    while (found) {
        struct counter *counter = find_or_add(state, (struct text){key.mv_data, key.mv_size});
        if (counter == NULL)
            return lmdb_env_damaged(&state->env, err, "it has more than %d counters",
                                    COUNTER_COUNT_MAX);
        if (!state_db_get_number(state, DB_COUNTERS, counter->name, &counter->number, &found,
                                 err) ||
            !state_db_move(state, cursor, &key, &value, MDB_NEXT, &found, err))
            return false;
        counter->committed = counter->number;
        counter->stored = true;
    }
    return true;
}

bool state_counters_load(struct state *state, struct err *err)
{
    MDB_cursor *cursor;
    for (size_t i = 0; i < state->counter_count; i++) {
        state->counters[i].number = state->counters[i].committed = 0;
        state->counters[i].stored = false;
    }
    if (!state_db_cursor(state, DB_COUNTERS, &cursor, err))
        return false;
    bool done = load_all(state, cursor, err);
    mdb_cursor_close(cursor);
    return done;
}

bool state_counters_flush(struct state *state, struct err *err)
{
    for (size_t i = 0; i < state->counter_count; i++) {
        const struct counter *counter = &state->counters[i];
        if ((counter->number != counter->committed || !counter->stored) &&
            !state_db_put_number(state, DB_COUNTERS, counter->name, counter->number, err))
            return false;
    }
    return true;
}

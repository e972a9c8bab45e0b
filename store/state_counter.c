#include <assert.h>

#include "store/state_db.h"

/* Its position, or counter_count. */
static size_t find(const struct state *state, struct text name)
{
    size_t i = 0;
    while (i < state->counter_count && !text_equal(state->counters[i].name, name))
        i++;
    return i;
}

bool state_counter_exists(const struct state *state, struct text name)
{
    return find(state, name) < state->counter_count;
}

size_t state_counter_room(const struct state *state)
{
    return COUNTER_COUNT_MAX - state->counter_count;
}

static struct counter *find_or_add(struct state *state, struct text name)
{
    size_t position = find(state, name);
    if (position < state->counter_count)
        return &state->counters[position];
    if (state->counter_count == COUNTER_COUNT_MAX)
        return NULL;
    struct counter *counter = &state->counters[state->counter_count++];
    *counter = (struct counter){.name = arena_copy(&state->lasting, name)};
    const char *slash = memchr(counter->name.bytes, '/', name.len);
    size_t before = slash == NULL ? 0 : (size_t)(slash + 1 - counter->name.bytes);
    counter->class_name = (struct text){counter->name.bytes + before, name.len - before};
    uint32_t number; /* each result's row of history has it */
    if (counter->class_name.len > 0 && words_intern(&state->words, counter->class_name, &number))
        counter->class_name = state->words.items[number];
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

bool state_counters_load(struct state *state, struct err *err)
{
    struct scan scan;
    struct text name, value;
    bool found = true;
    bool done = state_scan_open(state, DB_COUNTERS, TEXT(""), TEXT(""), &scan, err);
    while (done && (done = state_scan_next(&scan, &name, &value, &found, err)) && found) {
        struct counter *counter = find_or_add(state, name);
        done = (counter != NULL && value.len == sizeof counter->number) ||
               state_db_damaged(state, DB_COUNTERS, err);
        if (!done)
            break;
        memcpy(&counter->number, value.bytes, sizeof counter->number);
        counter->written = counter->number;
        counter->is_stored = true;
    }
    state_scan_close(&scan);
    return done;
}

void state_counters_save(struct state *state)
{
    for (size_t i = 0; i < state->counter_count; i++) {
        struct counter *counter = &state->counters[i];
        if (counter->number == counter->written && counter->is_stored)
            continue;
        state_db_put_number(state, DB_COUNTERS, counter->name, counter->number);
        counter->written = counter->number;
        counter->is_stored = true;
    }
}

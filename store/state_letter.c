#include <assert.h>
#include <inttypes.h>

#include "store/state_db.h"

/* Dead letters are numbered from 1. The numbers kept run from letter_first to letter_next - 1 without a
 * gap. */

enum { TRIM_COUNT_MAX = 1000 };

static struct text letter_key(const uint64_t *number)
{
    return row_key(number, sizeof *number);
}

uint64_t state_dead_letter_count(const struct state *state)
{
    return state->totals.letter_next - state->totals.letter_first;
}

uint64_t state_dead_letter_trimmed(const struct state *state)
{
    return state->totals.letter_first - 1;
}

/* Bounded: after `keep_count` was lowered by much, the rest goes with the next ones. */
static void trim(struct state *state, uint64_t keep_count)
{
    struct totals *totals = &state->totals;
    for (size_t i = 0; i < TRIM_COUNT_MAX && state_dead_letter_count(state) > keep_count; i++) {
        state_db_delete(state, DB_DEADLETTERS, letter_key(&totals->letter_first));
        totals->letter_first++;
    }
}

void state_dead_letter_add(struct state *state, struct text json, uint64_t keep_count)
{
    char *bytes = state_db_put(state, DB_DEADLETTERS, letter_key(&state->totals.letter_next), json.len);
    memcpy(bytes, json.bytes, json.len);
    state->totals.letter_next++;
    trim(state, keep_count);
}

static bool read_letter(struct state *state, uint64_t number, struct arena *arena,
                        struct text *letter, struct err *err)
{
    struct text json;
    bool found;
    if (!state_db_get(state, DB_DEADLETTERS, letter_key(&number), &json, &found, err))
        return false;
    if (!found)
        return lmdb_env_damaged(&state->env, err, "dead letter %" PRIu64 " is missing", number);
    *letter = arena_copy(arena, json);
    return true;
}

bool state_dead_letters(struct state *state, uint64_t before, size_t limit, size_t bytes_max, struct arena *arena,
                        struct text **letters, size_t *letter_count, uint64_t *next, struct err *err)
{
    assert(limit >= 1 && limit <= LIST_COUNT_MAX);
    const struct totals *totals = &state->totals;
    if (before == 0 || before > totals->letter_next)
        before = totals->letter_next;
    struct text *items = arena_alloc(arena, limit * sizeof *items);
    size_t count = 0, bytes = 0;
    for (; count < limit && before > totals->letter_first; before--) {
        if (!read_letter(state, before - 1, arena, &items[count], err))
            return false;
        bytes += items[count].len;
        if (count > 0 && bytes > bytes_max)
            break;
        count++;
    }
    *letters = items;
    *letter_count = count;
    *next = before > totals->letter_first ? before : 0;
    return true;
}

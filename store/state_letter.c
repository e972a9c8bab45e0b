#include <assert.h>
#include <inttypes.h>

#include "engine/base/crc32c.h"
#include "store/state_db.h"

/* Dead letters are numbered from 1; a record is its checksum and the JSON. The numbers kept run
 * from letter_first to letter_next - 1 without a gap. */

enum { CRC_BYTES = 4, TRIM_COUNT_MAX = 1000 };

static uint32_t letter_crc(uint64_t number, struct text json)
{
    return crc32c(crc32c(0, &number, sizeof number), json.bytes, json.len);
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
static bool trim(struct state *state, uint64_t keep_count, struct err *err)
{
    struct totals *totals = &state->totals;
    for (size_t i = 0; i < TRIM_COUNT_MAX && state_dead_letter_count(state) > keep_count; i++) {
        bool existed;
        if (!state_db_delete(state, DB_DEADLETTERS,
                             lmdb_val(&totals->letter_first, sizeof totals->letter_first), &existed,
                             err))
            return false;
        totals->letter_first++;
    }
    return true;
}

bool state_dead_letter_add(struct state *state, struct text json, uint64_t keep_count,
                           struct err *err)
{
    uint64_t number = state->totals.letter_next;
    uint32_t crc = letter_crc(number, json);
    char *bytes;
    if (!state_db_reserve(state, DB_DEADLETTERS, lmdb_val(&number, sizeof number),
                          CRC_BYTES + json.len, MDB_APPEND, &bytes, err))
        return false;
    memcpy(bytes, &crc, CRC_BYTES);
    memcpy(bytes + CRC_BYTES, json.bytes, json.len);
    state->totals.letter_next++;
    return trim(state, keep_count, err);
}

static bool read_letter(struct state *state, uint64_t number, struct arena *arena,
                        struct text *letter, struct err *err)
{
    MDB_val value;
    uint32_t crc;
    bool found;
    if (!state_db_get(state, DB_DEADLETTERS, lmdb_val(&number, sizeof number), &value, &found, err))
        return false;
    if (!found || value.mv_size < CRC_BYTES)
        return lmdb_env_damaged(&state->env, err, "dead letter %" PRIu64 " is missing", number);
    memcpy(&crc, value.mv_data, CRC_BYTES);
    struct text json = {(const char *)value.mv_data + CRC_BYTES, value.mv_size - CRC_BYTES};
    if (crc != letter_crc(number, json))
        return lmdb_env_damaged(&state->env, err, "dead letter %" PRIu64 " fails its checksum",
                                number);
    *letter = arena_copy(arena, json);
    return true;
}

bool state_dead_letters(struct state *state, uint64_t before, size_t limit, struct arena *arena,
                        struct text **letters, size_t *letter_count, uint64_t *next,
                        struct err *err)
{
    assert(limit >= 1 && limit <= LIST_COUNT_MAX);
    const struct totals *totals = &state->totals;
    if (before == 0 || before > totals->letter_next)
        before = totals->letter_next;
    struct text *items = arena_alloc(arena, limit * sizeof *items);
    size_t count = 0;
    while (count < limit && before > totals->letter_first) {
        if (!read_letter(state, before - 1, arena, &items[count], err))
            return false;
        count++;
        before--;
    }
    *letters = items;
    *letter_count = count;
    *next = before > totals->letter_first ? before : 0;
    return true;
}

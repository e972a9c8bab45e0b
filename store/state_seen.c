/* Last-seen times on their way to disk and back.
 *
 * Few changed blocks go into the database, whole. A checkpoint that makes a layer puts only the times that changed
 * there: the reports of a large fleet touch nearly every block between two checkpoints, and a block is 4 KiB for some
 * twenty times. So the database's times of a block may be older than what layers say of it. Before the oldest of these
 * goes, the block goes whole into a new one; these turns are spread over the checkpoints. When all layers go, such
 * blocks go into the database. */
#include <stdlib.h>

#include "store/state_db.h"

static struct text block_key(const struct seen_block *block)
{
    return row_key(&block->number, sizeof block->number);
}

/* --- from disk --- */

bool state_seen_load(struct state *state, struct err *err)
{
    for (size_t i = 0; i < state->seen.block_count; i++) {
        struct seen_block *block = state->seen.blocks[i];
        struct text value;
        bool found;
        if (!state_db_get(state, DB_SEEN, block_key(block), &value, &found, err))
            return false;
        if (found && !seen_unpack(block, value)) /* else none of them was ever seen */
            return state_db_damaged(state, DB_SEEN, err);
    }
    return true;
}

bool state_seen_note(struct state *state, const struct layer *layer, const struct layer_row *row, struct err *err)
{
    uint32_t number;
    if (row->key.len != sizeof number)
        return state_db_damaged(state, DB_SEEN, err);
    memcpy(&number, row->key.bytes, sizeof number);
    seen_grow(&state->seen, ((size_t)number + 1) * SEEN_BLOCK_COUNT);
    struct seen_block *block = state->seen.blocks[number];
    if (block->layer == 0)
        block->layer = layer->span.number;
    return seen_unpack(block, row->value) || state_db_damaged(state, DB_SEEN, err);
}

/* --- freezing --- */

void state_seen_freeze(struct state *state)
{
    struct checkpoint *checkpoint = &state->checkpoint;
    if (checkpoint->seen_count != state->seen.block_count) {
        checkpoint->seen_count = state->seen.block_count;
        checkpoint->seen = realloc(checkpoint->seen, checkpoint->seen_count * sizeof *checkpoint->seen);
        if (checkpoint->seen == NULL)
            abort();
    }
    checkpoint->seen_changed = seen_take(&state->seen, checkpoint->seen);
}

void state_seen_rest(struct state *state)
{
    free(state->checkpoint.seen);
    state->checkpoint.seen = NULL;
    state->checkpoint.seen_count = 0;
}

/* --- into a layer --- */

/* Must the block be in the new layer as a whole, or is it its turn? */
static bool is_due(const struct state *state, const struct seen_block *block, const struct layer_span *span)
{
    size_t turns = state->layers.count / 2 + 2;
    if (block->layer == 0 || state->checkpoint.carry.all)
        return false;
    return block->layer < span->oldest ||
           ((block->number + span->number) % turns == 0 && span->number - block->layer >= turns);
}

void state_seen_gather(struct state *state, const struct layer_span *span)
{
    struct checkpoint *checkpoint = &state->checkpoint;
    checkpoint->seen_rows = 0;
    for (size_t i = 0; i < checkpoint->seen_count; i++) {
        struct seen_times times = checkpoint->seen[i];
        if (is_due(state, times.block, span))
            seen_want_all(&times);
        if (!seen_has_any(&times))
            continue;
        checkpoint->seen[i] = checkpoint->seen[checkpoint->seen_rows];
        checkpoint->seen[checkpoint->seen_rows++] = times;
    }
}

struct text state_seen_row(struct state *state, size_t i)
{
    struct checkpoint *checkpoint = &state->checkpoint;
    const struct seen_times *times = &checkpoint->seen[i];
    char value[SEEN_BYTES_MAX];
    size_t len = seen_pack(times, value);
    return layer_make_row(checkpoint->seen_row, DB_SEEN, block_key(times->block), (struct text){value, len});
}

void state_seen_layered(struct state *state, uint64_t number)
{
    const struct checkpoint *checkpoint = &state->checkpoint;
    for (size_t i = 0; i < checkpoint->seen_rows; i++) {
        struct seen_block *block = checkpoint->seen[i].block;
        if (block->layer == 0 || seen_has_all(&checkpoint->seen[i]))
            block->layer = number;
    }
}

/* --- into the database --- */

bool state_seen_wanted(const struct state *state, const struct seen_times *times)
{
    const struct checkpoint *checkpoint = &state->checkpoint;
    return checkpoint->layered ? checkpoint->carry.all && times->block->layer != 0 : seen_has_any(times);
}

void state_seen_saved(struct state *state)
{
    for (size_t i = 0; i < state->checkpoint.seen_count; i++)
        state->checkpoint.seen[i].block->layer = 0;
}

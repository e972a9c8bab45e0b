#include "store/seen.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void seen_fini(struct seen *seen)
{
    for (size_t i = 0; i < seen->block_count; i++)
        free(seen->blocks[i]);
    free(seen->blocks);
    free(seen->dirty);
    *seen = (struct seen){0};
}

static void add_block(struct seen *seen)
{
    if (seen->block_count == seen->block_capacity) {
        seen->block_capacity = seen->block_capacity == 0 ? 4 : seen->block_capacity * 2;
        seen->blocks = realloc(seen->blocks, seen->block_capacity * sizeof *seen->blocks);
        seen->dirty = realloc(seen->dirty, seen->block_capacity * sizeof *seen->dirty);
        if (seen->blocks == NULL || seen->dirty == NULL)
            abort();
    }
    struct seen_block *block = calloc(1, sizeof *block);
    if (block == NULL)
        abort();
    block->number = (uint32_t)seen->block_count;
    seen->dirty[seen->block_count] = false;
    seen->blocks[seen->block_count++] = block;
}

void seen_grow(struct seen *seen, size_t device_count)
{
    while (seen->block_count * SEEN_BLOCK_COUNT < device_count)
        add_block(seen);
}

static struct seen_block *block_of(const struct seen *seen, uint32_t id)
{
    assert(id / SEEN_BLOCK_COUNT < seen->block_count);
    return seen->blocks[id / SEEN_BLOCK_COUNT];
}

int64_t seen_get(const struct seen *seen, uint32_t id)
{
    return atomic_load_explicit(&block_of(seen, id)->ms[id % SEEN_BLOCK_COUNT],
                                memory_order_relaxed);
}

void seen_prefetch(const struct seen *seen, uint32_t id)
{
    __builtin_prefetch(&block_of(seen, id)->ms[id % SEEN_BLOCK_COUNT], 1);
}

void seen_set(struct seen *seen, uint32_t id, int64_t ms)
{
    if (seen_get(seen, id) == ms)
        return;
    atomic_store_explicit(&block_of(seen, id)->ms[id % SEEN_BLOCK_COUNT], ms, memory_order_relaxed);
    bool *dirty = &seen->dirty[id / SEEN_BLOCK_COUNT];
    seen->dirty_count += !*dirty;
    *dirty = true;
}

struct seen_block **seen_take_dirty(struct seen *seen, size_t *count)
{
    struct seen_block **dirty = NULL;
    *count = 0;
    if (seen->dirty_count > 0 && (dirty = malloc(seen->dirty_count * sizeof(struct seen_block *))) == NULL)
        abort();
    for (size_t i = 0; *count < seen->dirty_count; i++) {
        if (!seen->dirty[i])
            continue;
        seen->dirty[i] = false;
        dirty[(*count)++] = seen->blocks[i];
    }
    seen->dirty_count = 0;
    return dirty;
}

void seen_block_read(const struct seen_block *block, char out[SEEN_BLOCK_BYTES])
{
    for (size_t i = 0; i < SEEN_BLOCK_COUNT; i++) {
        int64_t ms = atomic_load_explicit(&block->ms[i], memory_order_relaxed);
        memcpy(out + i * sizeof ms, &ms, sizeof ms);
    }
}

void seen_block_write(struct seen_block *block, const char in[SEEN_BLOCK_BYTES])
{
    for (size_t i = 0; i < SEEN_BLOCK_COUNT; i++) {
        int64_t ms;
        memcpy(&ms, in + i * sizeof ms, sizeof ms);
        atomic_store_explicit(&block->ms[i], ms, memory_order_relaxed);
    }
}

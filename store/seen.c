#include "store/seen.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void seen_fini(struct seen *seen)
{
    free(seen->ms);
    free(seen->dirty);
    *seen = (struct seen){0};
}

static void add_block(struct seen *seen)
{
    if (seen->block_count == seen->block_capacity) {
        size_t capacity = seen->block_capacity == 0 ? 4 : seen->block_capacity * 3 / 2;
        seen->ms = realloc(seen->ms, capacity * SEEN_BLOCK_COUNT * sizeof *seen->ms);
        seen->dirty = realloc(seen->dirty, capacity * sizeof *seen->dirty);
        if (seen->ms == NULL || seen->dirty == NULL)
            abort();
        seen->block_capacity = capacity;
    }
    memset(seen->ms + seen->block_count * SEEN_BLOCK_COUNT, 0, SEEN_BLOCK_COUNT * sizeof *seen->ms);
    seen->dirty[seen->block_count++] = false;
}

void seen_grow(struct seen *seen, size_t device_count)
{
    while (seen->block_count * SEEN_BLOCK_COUNT < device_count)
        add_block(seen);
}

void seen_set(struct seen *seen, uint32_t id, int64_t ms)
{
    size_t block = id / SEEN_BLOCK_COUNT;
    assert(block < seen->block_count);
    if (seen->ms[id] == ms)
        return;
    seen->ms[id] = ms;
    seen->dirty_count += !seen->dirty[block];
    seen->dirty[block] = true;
}

#include "store/seen.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void seen_fini(struct seen *seen)
{
    for (size_t i = 0; i < seen->block_count; i++)
        free(seen->blocks[i]);
    free(seen->blocks);
    free(seen->changed);
    *seen = (struct seen){0};
}

static void add_block(struct seen *seen)
{
    if (seen->block_count == seen->block_capacity) {
        seen->block_capacity = seen->block_capacity == 0 ? 4 : seen->block_capacity * 2;
        seen->blocks = realloc(seen->blocks, seen->block_capacity * sizeof *seen->blocks);
        seen->changed = realloc(seen->changed, seen->block_capacity * sizeof *seen->changed);
        if (seen->blocks == NULL || seen->changed == NULL)
            abort();
    }
    struct seen_block *block = calloc(1, sizeof *block);
    if (block == NULL)
        abort();
    block->number = (uint32_t)seen->block_count;
    memset(seen->changed[seen->block_count], 0, sizeof *seen->changed);
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
    uint32_t index = id % SEEN_BLOCK_COUNT;
    atomic_store_explicit(&block_of(seen, id)->ms[index], ms, memory_order_relaxed);
    seen->changed[id / SEEN_BLOCK_COUNT][index / 64] |= UINT64_C(1) << index % 64;
}

/* --- taking what changed --- */

size_t seen_take(struct seen *seen, struct seen_times *times)
{
    size_t count = 0;
    for (size_t i = 0; i < seen->block_count; i++) {
        times[i].block = seen->blocks[i];
        memcpy(times[i].which, seen->changed[i], sizeof times[i].which);
        count += seen_has_any(&times[i]);
    }
    if (count > 0)
        memset(seen->changed, 0, seen->block_count * sizeof *seen->changed);
    return count;
}

static size_t time_count(const struct seen_times *times)
{
    size_t count = 0;
    for (size_t i = 0; i < SEEN_WORDS; i++)
        count += (size_t)__builtin_popcountll(times->which[i]);
    return count;
}

bool seen_has_any(const struct seen_times *times)
{
    uint64_t any = 0;
    for (size_t i = 0; i < SEEN_WORDS; i++)
        any |= times->which[i];
    return any != 0;
}

bool seen_has_all(const struct seen_times *times)
{
    return time_count(times) == SEEN_BLOCK_COUNT;
}

void seen_want_all(struct seen_times *times)
{
    memset(times->which, 0xff, sizeof times->which);
    times->which[SEEN_WORDS - 1] >>= SEEN_WORDS * 64 - SEEN_BLOCK_COUNT;
}

/* --- as bytes --- */

static bool has(const struct seen_times *times, size_t index)
{
    return (times->which[index / 64] >> index % 64 & 1) != 0;
}

size_t seen_packed_len(const struct seen_times *times)
{
    return sizeof times->which + time_count(times) * sizeof(int64_t);
}

size_t seen_pack(const struct seen_times *times, char out[SEEN_BYTES_MAX])
{
    size_t len = sizeof times->which;
    memcpy(out, times->which, len);
    for (size_t i = 0; i < SEEN_BLOCK_COUNT; i++) {
        if (!has(times, i))
            continue;
        int64_t ms = atomic_load_explicit(&times->block->ms[i], memory_order_relaxed);
        memcpy(out + len, &ms, sizeof ms);
        len += sizeof ms;
    }
    return len;
}

bool seen_unpack(struct seen_block *block, struct text bytes)
{
    struct seen_times times = {.block = block};
    size_t at = sizeof times.which;
    if (bytes.len < at)
        return false;
    memcpy(times.which, bytes.bytes, at);
    if (bytes.len != seen_packed_len(&times) || times.which[SEEN_WORDS - 1] >> SEEN_BLOCK_COUNT % 64 != 0)
        return false;
    for (size_t i = 0; i < SEEN_BLOCK_COUNT; i++) {
        int64_t ms;
        if (!has(&times, i))
            continue;
        memcpy(&ms, bytes.bytes + at, sizeof ms);
        at += sizeof ms;
        atomic_store_explicit(&block->ms[i], ms, memory_order_relaxed);
    }
    return true;
}

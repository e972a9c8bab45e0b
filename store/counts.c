#include "store/counts.h"

#include <assert.h>
#include <stdlib.h>

#include "engine/base/crc32c.h"

enum { SLOT_COUNT = 2 * COUNTS_MAX, KEYS_BYTES_MAX = 1 << 20, KEYS_CHUNK_BYTES = 65536 };

void counts_init(struct counts *counts)
{
    *counts = (struct counts){.items = calloc(COUNTS_MAX, sizeof(struct count)),
                              .slots = calloc(SLOT_COUNT, sizeof(uint32_t))};
    if (counts->items == NULL || counts->slots == NULL)
        abort();
    arena_init(&counts->keys, KEYS_CHUNK_BYTES);
}

void counts_fini(struct counts *counts)
{
    free(counts->items);
    free(counts->slots);
    arena_fini(&counts->keys);
}

void counts_clear(struct counts *counts)
{
    if (counts->count == 0)
        return;
    memset(counts->slots, 0, SLOT_COUNT * sizeof *counts->slots);
    counts->count = counts->changed_count = 0;
    arena_reset(&counts->keys);
}

bool counts_full(const struct counts *counts)
{
    return counts->count == COUNTS_MAX || counts->keys.used_bytes >= KEYS_BYTES_MAX;
}

static uint32_t *slot_of(struct counts *counts, struct text key, uint32_t hash)
{
    size_t i = hash % SLOT_COUNT;
    for (; counts->slots[i] != 0; i = (i + 1) % SLOT_COUNT) {
        const struct count *count = &counts->items[counts->slots[i] - 1];
        if (count->hash == hash && text_equal(count->key, key))
            break;
    }
    return &counts->slots[i];
}

static uint32_t hash_of(struct text key)
{
    return crc32c(0, key.bytes, key.len);
}

struct count *counts_find(struct counts *counts, struct text key)
{
    uint32_t slot = *slot_of(counts, key, hash_of(key));
    return slot == 0 ? NULL : &counts->items[slot - 1];
}

struct count *counts_add(struct counts *counts, struct text key, uint64_t number)
{
    assert(counts->count < COUNTS_MAX);
    uint32_t hash = hash_of(key), *slot = slot_of(counts, key, hash);
    assert(*slot == 0);
    struct count *count = &counts->items[counts->count++];
    *count = (struct count){.key = arena_copy(&counts->keys, key), .number = number, .hash = hash};
    *slot = (uint32_t)counts->count;
    return count;
}

void counts_mark_changed(struct counts *counts, struct count *count)
{
    counts->changed_count += !count->changed;
    count->changed = true;
}

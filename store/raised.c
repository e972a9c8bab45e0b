#include "store/raised.h"

#include <assert.h>
#include <stdlib.h>

enum { SLOT_COUNT = 2 * RAISED_COUNT_MAX, NAME_CHUNK_BYTES = 16384 };

void raised_init(struct raised *raised)
{
    *raised = (struct raised){.slots = calloc(SLOT_COUNT, sizeof(struct raised_source))};
    if (raised->slots == NULL)
        abort();
    arena_init(&raised->names, NAME_CHUNK_BYTES);
}

void raised_fini(struct raised *raised)
{
    free(raised->slots);
    arena_fini(&raised->names);
}

void raised_clear(struct raised *raised)
{
    for (size_t i = 0; i < raised->count; i++)
        *raised->items[i] = (struct raised_source){0};
    raised->count = 0;
    arena_reset(&raised->names);
}

/* The slot that has the name, or the free one where it belongs. */
static struct raised_source *slot_of(struct raised *raised, struct text name)
{
    size_t i = text_fnv1a32(name) % SLOT_COUNT;
    while (raised->slots[i].name.len != 0 && !text_equal(raised->slots[i].name, name))
        i = (i + 1) % SLOT_COUNT;
    return &raised->slots[i];
}

struct raised_source *raised_find(struct raised *raised, struct text name)
{
    assert(name.len > 0);
    struct raised_source *slot = slot_of(raised, name);
    return slot->name.len != 0 ? slot : NULL;
}

struct raised_source *raised_add(struct raised *raised, struct text name, uint64_t n)
{
    assert(raised->count < RAISED_COUNT_MAX);
    struct raised_source *slot = slot_of(raised, name);
    assert(slot->name.len == 0);
    *slot = (struct raised_source){.name = arena_copy(&raised->names, name), .n = n};
    raised->items[raised->count++] = slot;
    return slot;
}

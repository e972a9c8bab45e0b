#include "store/raised.h"

#include <assert.h>
#include <stdlib.h>

enum { SLOT_COUNT_LEAST = 64, NAME_CHUNK_BYTES = 4096, FULL_OF_4 = 3, MUCH_TOO_LARGE = 16 };

static void make_slots(struct raised *raised, size_t slot_count)
{
    raised->slot_count = slot_count;
    raised->slots = calloc(slot_count, sizeof *raised->slots);
    if (raised->slots == NULL)
        abort();
}

void raised_init(struct raised *raised)
{
    *raised = (struct raised){0};
    make_slots(raised, SLOT_COUNT_LEAST);
    arena_init(&raised->names, NAME_CHUNK_BYTES);
}

void raised_fini(struct raised *raised)
{
    free(raised->slots);
    arena_fini(&raised->names);
}

void raised_clear(struct raised *raised)
{
    if (raised->slot_count > SLOT_COUNT_LEAST && raised->count < raised->slot_count / MUCH_TOO_LARGE) {
        free(raised->slots);
        make_slots(raised, SLOT_COUNT_LEAST);
    } else if (raised->count > 0) {
        memset(raised->slots, 0, raised->slot_count * sizeof *raised->slots);
    }
    raised->count = 0;
    arena_reset(&raised->names);
}

/* The slot that has the name, or the free one where it belongs. */
static struct raised_source *slot_of(const struct raised *raised, struct text name)
{
    size_t i = text_fnv1a32(name) & (raised->slot_count - 1);
    while (raised->slots[i].name.len != 0 && !text_equal(raised->slots[i].name, name))
        i = (i + 1) & (raised->slot_count - 1);
    return &raised->slots[i];
}

struct raised_source *raised_find(const struct raised *raised, struct text name)
{
    assert(name.len > 0);
    struct raised_source *slot = slot_of(raised, name);
    return slot->name.len != 0 ? slot : NULL;
}

static void grow(struct raised *raised)
{
    struct raised_source *old = raised->slots;
    size_t old_count = raised->slot_count;
    make_slots(raised, 2 * old_count);
    for (size_t i = 0; i < old_count; i++)
        if (old[i].name.len != 0)
            *slot_of(raised, old[i].name) = old[i];
    free(old);
}

struct raised_source *raised_add(struct raised *raised, struct text name, uint64_t n)
{
    if (raised->count >= raised->slot_count / 4 * FULL_OF_4)
        grow(raised);
    struct raised_source *slot = slot_of(raised, name);
    assert(name.len > 0 && slot->name.len == 0);
    *slot = (struct raised_source){.name = arena_copy(&raised->names, name), .n = n};
    raised->count++;
    return slot;
}

struct raised_source *raised_next(const struct raised *raised, size_t *at)
{
    while (*at < raised->slot_count) {
        struct raised_source *slot = &raised->slots[(*at)++];
        if (slot->name.len != 0)
            return slot;
    }
    return NULL;
}

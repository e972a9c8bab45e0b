#include "store/names.h"

#include <assert.h>
#include <stdlib.h>

enum { CAPACITY_START = 1024 };

static struct name_slot *new_slots(size_t capacity)
{
    struct name_slot *slots = calloc(capacity, sizeof *slots);
    if (slots == NULL)
        abort();
    return slots;
}

void names_init(struct names *names)
{
    *names = (struct names){.slots = new_slots(CAPACITY_START), .capacity = CAPACITY_START};
}

void names_fini(struct names *names)
{
    free(names->slots);
    *names = (struct names){0};
}

uint32_t name_hash(struct text name)
{
    return (uint32_t)text_hash(name);
}

static void put_slot(struct name_slot *slots, size_t capacity, struct name_slot slot)
{
    size_t i = slot.hash & (capacity - 1);
    while (slots[i].id_plus_one != 0)
        i = (i + 1) & (capacity - 1);
    slots[i] = slot;
}

static void grow(struct names *names)
{
    struct name_slot *slots = new_slots(2 * names->capacity);
    for (size_t i = 0; i < names->capacity; i++)
        if (names->slots[i].id_plus_one != 0)
            put_slot(slots, 2 * names->capacity, names->slots[i]);
    free(names->slots);
    names->slots = slots;
    names->capacity *= 2;
}

void names_add(struct names *names, uint32_t hash, uint32_t id)
{
    assert(id < UINT32_MAX);
    if (4 * (names->count + 1) > 3 * names->capacity)
        grow(names);
    put_slot(names->slots, names->capacity, (struct name_slot){hash, id + 1});
    names->count++;
}

struct name_probe names_start(const struct names *names, uint32_t hash)
{
    return (struct name_probe){hash, hash & (names->capacity - 1)};
}

bool names_next(const struct names *names, struct name_probe *probe, uint32_t *id)
{
    for (;;) {
        struct name_slot slot = names->slots[probe->at];
        if (slot.id_plus_one == 0)
            return false;
        probe->at = (probe->at + 1) & (names->capacity - 1);
        if (slot.hash == probe->hash) {
            *id = slot.id_plus_one - 1;
            return true;
        }
    }
}

/* names.h - from a device's name to its id, in memory.
 *
 * A random event's device costs one look here instead of a walk through a tree of a million names.
 * Only a hash and the id are kept, 8 bytes a slot: the device's record, which is read anyway, holds
 * the name and settles it. Filled at open, grows by doubling. */
#ifndef STORE_NAMES_H
#define STORE_NAMES_H

#include "engine/base/text.h"

struct name_slot {
    uint32_t hash;
    uint32_t id_plus_one; /* 0: free */
};

struct names {
    struct name_slot *slots;
    size_t capacity; /* a power of two */
    size_t count;
};

/* Where a search stands. */
struct name_probe {
    uint32_t hash;
    size_t at;
};

void names_init(struct names *names);
void names_fini(struct names *names);
uint32_t name_hash(struct text name);
void names_add(struct names *names, uint32_t hash, uint32_t id);

/* names_prefetch - this one will be looked up soon. */
static inline void names_prefetch(const struct names *names, uint32_t hash)
{
    __builtin_prefetch(&names->slots[hash & (names->capacity - 1)]);
}

/* names_start, names_next - ids whose name may be the one; false when there are no more. */
struct name_probe names_start(const struct names *names, uint32_t hash);
bool names_next(const struct names *names, struct name_probe *probe, uint32_t *id);

#endif

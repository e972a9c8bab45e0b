/* counts.h - how many devices have a value, for the values that change now.
 *
 * An exact count by value must not cost a write per event. Counts that are touched are kept here
 * and written at a checkpoint; a count that isn't here is on disk. When the table is full the store
 * writes the changed ones and clears it, so its size is bounded and no count is ever off. The key
 * is the index's number and the value_key. This unit holds the table only; state_index.c reads and
 * writes the disk. */
#ifndef STORE_COUNTS_H
#define STORE_COUNTS_H

#include "engine/base/arena.h"

enum { COUNTS_MAX = 16384 };

struct count {
    struct text key; /* in the table's arena */
    uint64_t number;
    uint32_t hash;
    bool changed; /* since it was read or written */
};

struct counts {
    struct count *items; /* the first `count` are used */
    uint32_t *slots;     /* open addressing: position in items plus one, 0: free */
    size_t count;
    size_t changed_count;
    struct arena keys;
};

void counts_init(struct counts *counts);
void counts_fini(struct counts *counts);
void counts_clear(struct counts *counts);
bool counts_full(const struct counts *counts);
/* counts_find - the count, or NULL. Valid until the next counts_clear. */
struct count *counts_find(struct counts *counts, struct text key);
/* counts_add - a count that isn't there yet; not when full. The key is copied. */
struct count *counts_add(struct counts *counts, struct text key, uint64_t number);
void counts_mark_changed(struct counts *counts, struct count *count);

#endif

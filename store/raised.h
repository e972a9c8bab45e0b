/* raised.h - the producers' numbers that one journal transaction looked at.
 *
 * A producer sends thousands of events a second and its number is wanted on disk once per commit,
 * so the numbers are collected here and written at the end. Bounded: when it is full the journal
 * writes what it holds and starts over. Cleared with the transaction, so a failed commit leaves no
 * trace. */
#ifndef STORE_RAISED_H
#define STORE_RAISED_H

#include "engine/base/arena.h"

enum { RAISED_COUNT_MAX = 512 };

struct raised_source {
    struct text name; /* in the table's arena */
    uint64_t n;       /* the highest seen */
    bool changed;     /* since it was read from disk */
};

struct raised {
    struct raised_source *slots;                   /* open addressing, name.len 0: free */
    struct raised_source *items[RAISED_COUNT_MAX]; /* the used slots */
    size_t count;
    struct arena names;
};

void raised_init(struct raised *raised);
void raised_fini(struct raised *raised);
void raised_clear(struct raised *raised);
/* raised_find - the source, or NULL. Valid until raised_clear. */
struct raised_source *raised_find(struct raised *raised, struct text name);
/* raised_add - a source that isn't there yet; there must be room. The name is copied. */
struct raised_source *raised_add(struct raised *raised, struct text name, uint64_t n);

#endif

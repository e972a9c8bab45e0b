/* raised.h - producers' numbers by name, in memory: those that one journal transaction looked at, and those
 * that were committed and aren't saved yet (sources.h).
 *
 * Bounded by its users, who clear it: a transaction by its events, the other when some thousand are together. */
#ifndef STORE_RAISED_H
#define STORE_RAISED_H

#include "engine/base/arena.h"

struct raised_source {
    struct text name; /* in the table's arena; len 0: a free slot */
    uint64_t n;       /* the highest seen */
    bool changed;     /* the user's: since it was read */
};

struct raised {
    struct raised_source *slots; /* open addressing */
    size_t slot_count;           /* a power of two */
    size_t count;
    struct arena names;
};

void raised_init(struct raised *raised);
void raised_fini(struct raised *raised);
/* raised_clear - empty, and small again if it was much too large. */
void raised_clear(struct raised *raised);
/* raised_find - the source, or NULL. Valid until the next raised_add or raised_clear. */
struct raised_source *raised_find(const struct raised *raised, struct text name);
/* raised_add - a source that isn't there yet. The name, 1 byte or more, is copied. Valid likewise. */
struct raised_source *raised_add(struct raised *raised, struct text name, uint64_t n);
/* raised_next - each source once: start with *at = 0; NULL after the last. */
struct raised_source *raised_next(const struct raised *raised, size_t *at);

#endif

/* refusals.h - producers whose events were refused, so that a later one isn't taken before them.
 *
 * A producer that sends several requests ahead may see the first refused ("busy") and the second taken.
 * When it then sends the first again, its numbers are below the highest seen: it would pass for a
 * duplicate, be acknowledged, and be lost. So after a refusal nothing above the refused number is taken
 * from that source until the refused one came again, or until REFUSAL_KEEP_MS went by without any, when
 * the producer has plainly given it up. Every refused number is kept, not the lowest alone: the lowest may
 * be a nervous repetition of an event that is in already, and must not open the way for the others.
 * Used by the committer's thread. */
#ifndef SERVICE_REFUSALS_H
#define SERVICE_REFUSALS_H

#include "engine/base/text.h"

enum {
    REFUSAL_KEEP_MS = 60000,
    REFUSAL_COUNT_MAX = 10000,   /* sources; one more makes the oldest be forgotten */
    REFUSAL_BUCKETS = 4096,
    REFUSAL_NUMBERS_MAX = 10000, /* of one source; higher ones than these are forgotten */
    REFUSAL_TOTAL_MAX = 1000000, /* of all; one more makes the oldest source be forgotten */
};

struct refusals {
    struct refusal *items;
    size_t count; /* sources */
    size_t capacity;
    size_t number_count; /* of all sources */
    int64_t swept_ms; /* when the old ones were last looked for */
    uint32_t buckets[REFUSAL_BUCKETS]; /* by the source's hash: position + 1 of the first */
};

/* refusals_note - (source, n) was refused. Of events that follow each other with rising n, and can only be
 * refused together, the first is enough. */
void refusals_note(struct refusals *refusals, struct text source, uint64_t n, int64_t now_ms);
/* refusals_blocks - must (source, n) wait for one refused before it? */
bool refusals_blocks(struct refusals *refusals, struct text source, uint64_t n, int64_t now_ms);
/* refusals_clear - (source, n) came again and is taken: forget that it was refused. */
void refusals_clear(struct refusals *refusals, struct text source, uint64_t n);
void refusals_fini(struct refusals *refusals);

#endif

/* refusals.h - producers whose event was refused, so that a later one isn't taken before it.
 *
 * A producer that sends several requests ahead may see the first refused ("busy") and the second taken.
 * When it then sends the first again, its numbers are below the highest seen: it would pass for a
 * duplicate, be acknowledged, and be lost. So after a refusal nothing above the refused number is taken
 * from that source until the refused one came again, or until REFUSAL_KEEP_MS went by without it, when
 * the producer has plainly given it up. Used by the committer's thread. */
#ifndef SERVICE_REFUSALS_H
#define SERVICE_REFUSALS_H

#include "engine/base/text.h"

enum {
    REFUSAL_KEEP_MS = 60000,
    REFUSAL_COUNT_MAX = 10000, /* sources; one more makes an earlier one be forgotten */
};

struct refusals {
    struct refusal *items;
    size_t count;
    size_t capacity;
};

/* refusals_note - (source, n) was refused; the lowest n of a source counts. */
void refusals_note(struct refusals *refusals, struct text source, uint64_t n, int64_t now_ms);
/* refusals_blocks - must (source, n) wait for one refused before it? */
bool refusals_blocks(struct refusals *refusals, struct text source, uint64_t n, int64_t now_ms);
/* refusals_clear - (source, n) has been taken: forget a refusal of n or less. */
void refusals_clear(struct refusals *refusals, struct text source, uint64_t n);
void refusals_fini(struct refusals *refusals);

#endif

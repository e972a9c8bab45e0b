/* count_at.h - how many devices had a value at some moment: the counts of now, and back over the history.
 *
 * A page takes a bounded number of rows, so that an answer over days doesn't hold up events; the caller adds
 * up the pages. The cursor fixes where the counts of now were taken, so the sums are exact whatever happens
 * meanwhile. */
#ifndef SERVICE_COUNT_AT_H
#define SERVICE_COUNT_AT_H

#include "engine/service/ask.h"

/* count_at - append one page to the answer: `at`, `devices` and, if an index was asked for, `index` and `values`
 * with what to add to each count, which may be negative; `cursor` while there is more.
 *
 * at_ms   time of receipt, milliseconds since 1970
 * Errors  in ask->err: ERR_GONE the history doesn't go back so far; ERR_LIMIT more values than fit a page, and
 *         none was named; ERR_BAD_QUERY the cursor isn't one of ours; ERR_DAMAGED, ERR_STORE. */
bool count_at(struct ask *ask, const struct asked_index *index, int64_t at_ms);

#endif

/* count_at.h - how many devices had a value at some moment: the counts of now, and back over the history.
 *
 * A page takes a bounded number of rows, so that an answer over days doesn't hold up events; the caller adds
 * up the pages. The cursor fixes where the counts of now were taken, so the sums are exact whatever happens
 * meanwhile. */
#ifndef SERVICE_COUNT_AT_H
#define SERVICE_COUNT_AT_H

#include "engine/service/ask.h"

bool count_at(struct ask *ask, const struct asked_index *index, int64_t at_ms);

#endif

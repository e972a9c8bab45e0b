/* meeting.h - a question to the whole fleet: all partitions stand still, at the same event, while one of them answers.
 *
 * Whoever calls it gives each of them a seat, at the same place between the batches. Who comes first waits; the last to
 * come answers, from all states, and they go on. So such an answer is exact, however many partitions there are. It costs
 * the time of the answer on all of them; a question about one device goes to its partition alone. */
#ifndef SERVICE_MEETING_H
#define SERVICE_MEETING_H

#include "engine/service/query.h"

struct meeting;

/* What travels to a partition. */
struct seat {
    struct work work;
    struct meeting *meeting;
};

/* meeting_call - have `query` answered by all. */
void meeting_call(struct engine *engine, struct query *query);

/* meeting_attend - take the seat, on an applier's thread, with what this partition has; the seat is gone afterwards.
 * False only when the store failed so that the process has to stop. */
bool meeting_attend(struct seat *seat, const struct query_context *context, struct err *err);

#endif

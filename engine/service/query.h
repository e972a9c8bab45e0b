/* query.h - a question and its answer. What can be asked is in query_*.c, an op each.
 *
 * Questions are answered on an applier's thread between two batches, from the state with all changes in
 * memory, so an answer includes every event that was acknowledged before it was asked. The lead gets them all; one about
 * a device goes on to its partition, and one about the fleet is answered at a meeting (meeting.h). */
#ifndef SERVICE_QUERY_H
#define SERVICE_QUERY_H

#include "engine/service/batch.h"
#include "engine/service/engine.h"
#include "engine/service/publisher.h"

struct activation;
struct backup;

/* A question on its way to the applier and, answered, back. */
struct query {
    struct work work;
    struct arena arena; /* envelope, body, and what the answer needs */
    struct envelope envelope;
    struct text body;
    size_t bytes_in_flight; /* as the door counted them */
    int64_t read_ns; /* monotonic */
    bool answered_later; /* somebody has taken it over, and sends it home */
    struct buf reply; /* malloc'd: an answer can be large */
};

struct query *query_create(void);
void query_destroy(struct query *query);

/* What an answer is made from. */
struct query_context {
    struct partition *partition;
    struct state *state;
    const struct publisher *publisher;
    const struct ruleset *ruleset; /* may be NULL before the first rules */
    struct activation *activation;
    const struct query_context *all; /* by partition, at a meeting; else this one alone */
    unsigned count;
};

/* query_answer - fill the reply, or have it answered later or by others; whatever is wrong with the question is an answer
 * too. *home: it is answered, and to be sent home; else it isn't the caller's any longer.
 * False only when the store failed so that the process has to stop. */
bool query_answer(const struct query_context *context, struct query *query, bool *home, struct err *err);

/* query_reply_error - the reply is this error. */
void query_reply_error(struct query *query, const struct err *err);

#endif

/* publisher.h - results: numbered per class, written out only where somebody listens.
 *
 * The sink of apply_event(). The applier sets which event is being applied, hands the sink to the rules,
 * and takes what was written after each batch. The numbers live in the state, so a replay gives every
 * result the n that it had before. */
#ifndef SERVICE_PUBLISHER_H
#define SERVICE_PUBLISHER_H

#include "engine/base/buf.h"
#include "engine/service/subscriptions.h"
#include "engine/service/work.h"
#include "rules/apply.h"
#include "store/state.h"

/* Results on their way to the door: records of two lengths, topic and payload. */
struct results {
    struct work work;
    struct queue *home; /* where they go once they are sent; NULL: nowhere */
    struct buf records;
};

struct publisher;

struct publisher *publisher_create(struct state *state, struct subscriptions *subscriptions,
                                   uint64_t dead_letter_keep);
void publisher_destroy(struct publisher *publisher);

/* publisher_create_trial - one that writes every result and touches no state, to see again what was published
 * long ago. publisher_number - the next results get the numbers that are in the row. */
struct publisher *publisher_create_trial(void);
void publisher_number(struct publisher *publisher, const struct history_row *row);

/* publisher_home - what was sent comes back to this queue, and its memory is used again. The queue lives longer
 * than the publisher. */
void publisher_home(struct publisher *publisher, struct queue *home);

/* publisher_rules - learn the classes of a rule set. ERR_LIMIT: too many over the folder's life. */
bool publisher_rules(struct publisher *publisher, const struct ruleset *ruleset, struct err *err);

/* publisher_event - what follows comes from this event. `line` is its JSON; all borrowed until the next. */
void publisher_event(struct publisher *publisher, uint64_t seq, int64_t received_ms,
                     struct text device, struct text device_type, struct text line);
const struct sink *publisher_sink(const struct publisher *publisher);

void publisher_heartbeat(struct publisher *publisher, int64_t now_ms, uint64_t seq);

/* publisher_take - what was written since, or NULL; the caller's, until results_done. */
struct results *publisher_take(struct publisher *publisher);
/* results_done - they were sent; results_destroy - free them. */
void results_done(struct results *results);
void results_destroy(struct results *results);
void results_destroy_all(struct work *first); /* of a list of them */

/* results_next - step through the records; *at starts at 0. False at the end. */
bool results_next(const struct results *results, size_t *at, struct text *topic, struct text *payload);

/* publisher_classes - `"class":n` members of the object that `out` has open. */
void publisher_classes(const struct publisher *publisher, struct buf *out);
/* publisher_each_class - visit all classes that the data folder has known, with their latest n. */
void publisher_each_class(const struct publisher *publisher,
                          void (*visit)(void *context, struct text name, uint64_t number), void *context);

#endif

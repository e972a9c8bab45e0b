/* publisher.h - results: numbered per class, written out only where somebody listens.
 *
 * The sink of apply_event(). The applier sets which event is being applied, hands the sink to the rules,
 * and takes what was written after each batch: single results, batches, or both, as subscribers want it. The
 * numbers live in the state, so a replay gives every result the n that it had before. */
#ifndef SERVICE_PUBLISHER_H
#define SERVICE_PUBLISHER_H

#include "engine/service/results.h"
#include "engine/service/subscriptions.h"
#include "rules/apply.h"
#include "store/state.h"

struct publisher;

struct publisher *publisher_create(struct state *state, struct subscriptions *subscriptions,
                                   uint64_t dead_letter_keep);
void publisher_destroy(struct publisher *publisher);

/* publisher_create_trial - one that writes every result and touches no state, to see again what was published
 * long ago. publisher_number - the next results get the numbers that are in the row. */
struct publisher *publisher_create_trial(void);
void publisher_number(struct publisher *publisher, const struct history_row *row);

/* publisher_partition - all that it writes says of which of `count` partitions it is; of one alone it doesn't. */
void publisher_partition(struct publisher *publisher, unsigned number, unsigned count);

/* publisher_home - what was sent comes back to this queue, and its memory is used again. The queue lives longer
 * than the publisher. */
void publisher_home(struct publisher *publisher, struct queue *home);

/* publisher_rules - learn the classes of a rule set. ERR_LIMIT: too many over the folder's life; nothing is learned. */
bool publisher_rules(struct publisher *publisher, const struct ruleset *ruleset, struct err *err);

/* publisher_event - what follows comes from this event. `line` is its JSON; all borrowed until the next. */
void publisher_event(struct publisher *publisher, uint64_t seq, int64_t received_ms,
                     struct text device, struct text device_type, struct text line);
const struct sink *publisher_sink(const struct publisher *publisher);

void publisher_heartbeat(struct publisher *publisher, int64_t now_ms, uint64_t seq);

/* publisher_take - the next of what was written since, batches of a class before single ones; NULL when there is no
 * more. The caller's, until results_done. */
struct results *publisher_take(struct publisher *publisher);

/* publisher_has_single - is one of those among them? */
bool publisher_has_single(const struct publisher *publisher);

/* publisher_classes - `"class":n` members of the object that `out` has open. */
void publisher_classes(const struct publisher *publisher, struct buf *out);
/* publisher_each_class - visit all classes that the data folder has known, with their latest n. */
void publisher_each_class(const struct publisher *publisher,
                          void (*visit)(void *context, struct text name, uint64_t number), void *context);

#endif

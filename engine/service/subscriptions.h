/* subscriptions.h - which result classes does anyone listen to, and in which form?
 *
 * A result that nobody listens to is counted (its n stays dense) but never written out. The door tells
 * what subscribers asked for; the applier asks per class, which costs two atomic loads.
 *
 * A prefix that begins with "batch/" asks for batches, any other one for single results. */
#ifndef SERVICE_SUBSCRIPTIONS_H
#define SERVICE_SUBSCRIPTIONS_H

#include <stdbool.h>

#include "engine/base/text.h"

struct subscriptions;

struct subscriptions *subscriptions_create(void);
void subscriptions_destroy(struct subscriptions *subscriptions);

/* subscriptions_change - a topic prefix was subscribed to (on) or given up, as XPUB reports it. */
void subscriptions_change(struct subscriptions *subscriptions, struct text prefix, bool on);

/* subscriptions_class - register a class; its slot stays the same for ever. Beyond CLASS_COUNT_MAX
 * classes all share one slot, wanted in a form in which anything is. */
unsigned subscriptions_class(struct subscriptions *subscriptions, struct text class_name);

/* subscriptions_wanted - of WANTED_*, those in which the class is listened to. */
enum { WANTED_SINGLE = 1, WANTED_BATCHED = 2 };
unsigned subscriptions_wanted(const struct subscriptions *subscriptions, unsigned slot);

#endif

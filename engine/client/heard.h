/* heard.h - what a follower hears on the results door: message by message, and in each result by result.
 *
 * A message to CLASS/DEVICE is one result. One to batch/CLASS has many: a head, which is read when the message comes,
 * and a row for each. A result stays the present one until heard_pass(): what can't be used yet waits here. */
#ifndef CLIENT_HEARD_H
#define CLIENT_HEARD_H

#include "engine/client/client.h"
#include "engine/client/teller.h"

struct heard {
    bool takes_batches;     /* else single results, and others' batches are passed */
    struct buf topic;
    struct buf payload;
    size_t at;              /* where the present line begins; at the payload's end: there is none */
    uint64_t n;             /* of the present row */
    struct batch_head head; /* of the batch that it is in */
    struct arena arena;     /* for the head */
    struct arena scratch;
};

void heard_init(struct heard *heard);
void heard_fini(struct heard *heard);

/* heard_subscribe - to a class, in batches, or "": to single results of all; and to heartbeats. */
bool heard_subscribe(struct heard *heard, struct client *client, const char *class_name, struct err *err);

/* heard_next - is there a present result? Takes the next message if there is none. */
bool heard_next(struct heard *heard, struct client *client);

/* Of the present one: is it a heartbeat, and what does that say; of which class is it ("": of none). Borrowed until the
 * next message is taken. */
bool heard_is_beat(const struct heard *heard);
struct text heard_beat(const struct heard *heard);
struct text heard_class(const struct heard *heard);

/* heard_read - take the present one apart; false: it isn't a result. */
bool heard_read(const struct heard *heard, struct teller *teller, struct told_result *result);

/* heard_pass - the next result is the present one. heard_pass_all - none is. */
void heard_pass(struct heard *heard);
void heard_pass_all(struct heard *heard);

#endif

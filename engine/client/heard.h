/* heard.h - what a follower hears on the results door: message by message, and in each result by result.
 *
 * A message to batch/CLASS has many results, a line each; one to CLASS/DEVICE is a line by itself, since JSON has
 * no line feed in it. So a follower reads lines, whatever it is subscribed to. A line stays the present one until
 * heard_pass(): what can't be used yet waits here. */
#ifndef CLIENT_HEARD_H
#define CLIENT_HEARD_H

#include "engine/client/client.h"

struct heard {
    struct buf topic;
    struct buf payload;
    size_t at; /* where the present line begins; at the payload's end: there is none */
};

void heard_fini(struct heard *heard);

/* heard_subscribe - to a class, in batches, or "": to single results of all; and to heartbeats. */
bool heard_subscribe(struct client *client, const char *class_name, struct err *err);

/* heard_next - is there a present line? Takes the next message if there is none. */
bool heard_next(struct heard *heard, struct client *client);

/* Of the present line: is it a heartbeat; of which class is it ("": of none); what it says. All borrowed until the
 * next message is taken. */
bool heard_is_beat(const struct heard *heard);
struct text heard_class(const struct heard *heard);
struct text heard_line(const struct heard *heard);

/* heard_pass - the next line is the present one. heard_pass_all - none is. */
void heard_pass(struct heard *heard);
void heard_pass_all(struct heard *heard);

#endif

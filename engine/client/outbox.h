/* outbox.h - events that were taken from the caller and aren't settled yet, in their order.
 *
 * Two queues that are cut at the front: the events' bytes, and where each begins. The front is given back
 * by moving the rest once it is the smaller part, so that an event costs no malloc and is moved about once.
 * No sockets and no time in here. */
#ifndef CLIENT_OUTBOX_H
#define CLIENT_OUTBOX_H

#include "engine/base/buf.h"

struct outbox {
    struct buf bytes;  /* of all events, a NUL behind each */
    struct buf places; /* struct place of each */
    size_t first_byte; /* the front of both that is settled */
    size_t first_place;
    size_t count; /* events in it */
};

/* A zeroed outbox is an empty one. */
void outbox_fini(struct outbox *outbox);

/* outbox_add - copy the event, line breaks as blanks. */
void outbox_add(struct outbox *outbox, struct text event, uint64_t n);

/* outbox_get - an event, index from 0; a NUL stands behind it. Borrowed until the next add or settle. */
struct text outbox_get(const struct outbox *outbox, size_t index, uint64_t *n);

/* outbox_bytes - how many bytes the events in it take. */
size_t outbox_bytes(const struct outbox *outbox);

/* outbox_compose - append the first events to `body`, one a line, with source and n unless source is "": at
 * most count_max, and as many as fit into bytes_max, but one at least. Returns how many. */
size_t outbox_compose(const struct outbox *outbox, struct text source, size_t count_max, size_t bytes_max,
                      struct buf *body);

/* outbox_settle - the first `count` events are settled: forget them. */
void outbox_settle(struct outbox *outbox, size_t count);

#endif

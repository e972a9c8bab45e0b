/* door.h - one ZeroMQ socket of the daemon's: bound, read message by message, answered by envelope.
 *
 * Nothing here waits: whoever owns the doors polls `fd` and keeps `look` in mind. On the main thread. */
#ifndef SERVICE_DOOR_H
#define SERVICE_DOOR_H

#include <zmq.h>

#include "engine/base/err.h"
#include "engine/service/batch.h"

enum { DOOR_ENDPOINT_BYTES = 256 };

struct door {
    void *socket;
    int fd;    /* readable when the socket has news, until it is looked at: ZMQ_FD in zmq_getsockopt(3) */
    bool look; /* it may have something to receive that `fd` doesn't tell: it was used since */
    char endpoint[DOOR_ENDPOINT_BYTES];
};

/* door_open - a socket of `type` on `endpoint`. `name` is the setting's, for errors; up to `send_queue`
 * messages wait for each peer that doesn't read.
 * Errors  ERR_CONFIG, ERR_IN_USE; door_close takes it then, too. */
bool door_open(struct door *door, void *context, int type, const char *name, const char *endpoint,
               int64_t send_queue, struct err *err);
/* door_close - a zeroed one is fine. */
void door_close(struct door *door);

/* door_reply - false when the client is gone or doesn't read. */
bool door_reply(struct door *door, const struct envelope *envelope, struct text reply);

enum received { RECEIVED_NOTHING, RECEIVED_REQUEST, RECEIVED_MALFORMED };

/* door_receive - one message: the envelope up to its empty frame into `arena`, the body's frame into `body`,
 * which the caller closes after RECEIVED_REQUEST only. Of a malformed one the envelope is the first frame. */
enum received door_receive(struct door *door, struct arena *arena, struct envelope *envelope,
                           zmq_msg_t *body);

#endif

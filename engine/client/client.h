/* client.h - a program's side of fwsyncd's three doors.
 *
 * Events and query are request and reply over a DEALER socket. Every request carries a number in a
 * correlation frame, so that a late answer to a request given up long ago is never taken for the present
 * one. The results door is a SUB socket. Nothing here prints, and nothing waits without a bound.
 *
 * A lost connection is rebuilt by ZeroMQ; a request lost with it shows as ERR_TIMEOUT. Then it isn't known
 * whether events were taken: docs/protocol.md, "Resending". A socket's unsent requests die with it, so
 * what was reported as unanswered is not sent behind the caller's back later.
 *
 * One thread per client. Sockets, and a ZeroMQ context for them, are opened at their first use. */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "engine/base/buf.h"
#include "engine/base/err.h"

#define CLIENT_EVENTS_DEFAULT  "tcp://127.0.0.1:7601"
#define CLIENT_QUERY_DEFAULT   "tcp://127.0.0.1:7602"
#define CLIENT_RESULTS_DEFAULT "tcp://127.0.0.1:7603"

enum client_door { CLIENT_EVENTS, CLIENT_QUERY, CLIENT_RESULTS, CLIENT_DOOR_COUNT };

struct wakeup;

/* All text is borrowed for the client's life. */
struct client_options {
    const char *events;
    const char *query;
    const char *results;
    int64_t timeout_ms; /* how long client_request waits; 1 or more */
    int stop_fd;        /* when this becomes readable, waiting ends at once; -1: none */
    struct wakeup *wakeup; /* gets all sockets, and lost connections are noticed; NULL: neither */
};

struct client;

struct client *client_create(const struct client_options *options);
void client_destroy(struct client *client);

/* client_endpoint - of the door, as given. */
const char *client_endpoint(const struct client *client, enum client_door door);

/* client_request - send `body` through the door and wait for its answer, at most the timeout. An answer
 * "busy" is waited out and the request sent again, within the same timeout; the last one is returned.
 *
 * answer   out: the answer's JSON, ok or not; cleared first
 * Errors   ERR_TIMEOUT no answer, or stopped through stop_fd; ERR_CONFIG a bad endpoint; ERR_IO. */
bool client_request(struct client *client, enum client_door door, struct text body,
                    struct buf *answer, struct err *err);

/* client_busy - is this answer "busy: nothing taken, send it again"? *retry_ms is how long to wait. */
bool client_busy(struct text answer, int64_t *retry_ms);

/* --- several requests under way --- */

/* client_post - hand a request to the connection; it goes out once there is one.
 *
 * body    any bytes; copied
 * id      out: what its answer will carry
 * Errors  ERR_CONFIG a bad endpoint; ERR_IO out of descriptors or room: the door was reset, with all that is under
 *         way there. */
bool client_post(struct client *client, enum client_door door, struct text body, uint64_t *id,
                 struct err *err);
/* client_take - the next answer that has arrived, without waiting. What has another shape than an answer is dropped.
 *
 * id      out: of the request that it belongs to, perhaps one that was given up
 * answer  out: any bytes, up to 64 MiB; garbage when there is none
 * found   out: false if there is none: then *id may be anything
 * Errors  ERR_CONFIG, ERR_IO: the door isn't open, and can't be opened. */
bool client_take(struct client *client, enum client_door door, uint64_t *id, struct buf *answer,
                 bool *found, struct err *err);
/* client_reset - drop the door's connection with all that is under way; the next use opens a new one. Of the
 * results door, subscriptions too. One that isn't open is fine. */
void client_reset(struct client *client, enum client_door door);
/* client_open - open the door's socket now, to see whether its endpoint can be used. One that is open is fine.
 * Errors  ERR_CONFIG it can't; ERR_IO out of descriptors. It is closed then. */
bool client_open(struct client *client, enum client_door door, struct err *err);
/* client_look - take note of what has come, without reading it: the wakeup isn't readable for it any more.
 * Returns whether there is anything. */
bool client_look(struct client *client, enum client_door door);
/* client_lost - did the door's connection break since it was opened or last asked about? With a wakeup only. */
bool client_lost(struct client *client, enum client_door door);

/* --- results --- */

/* client_subscribe - to all topics that begin with `prefix` (copied). May be called again for more.
 * Errors  ERR_CONFIG, ERR_IO as client_open; other subscriptions stay. */
bool client_subscribe(struct client *client, const char *prefix, struct err *err);
/* client_take_result - the next result that has arrived, without waiting; after client_subscribe. False: there is
 * none, and what is in `topic` and `payload` is of no use. */
bool client_take_result(struct client *client, struct buf *topic, struct buf *payload);

#endif

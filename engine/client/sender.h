/* sender.h - events to fwsyncd, each exactly once and in order, whatever happens to the connection.
 *
 * One request is under way at a time, with all events that had gathered (up to a bound), so a higher number
 * can never be taken before a lower one: neither when ZeroMQ loses one message and delivers the next over a
 * new connection, nor when a request is refused. What isn't answered goes again: at once on a new socket
 * when the connection broke, or after the timeout; what was refused as busy, after the time asked for
 * (docs/protocol.md, "Resending"; docs/decisions/0005-refused-sources.md). Nothing here waits. Why one:
 * docs/decisions/0011-one-request-under-way.md. */
#ifndef CLIENT_SENDER_H
#define CLIENT_SENDER_H

#include "engine/base/json.h"
#include "engine/client/client.h"
#include "engine/client/fwsync.h"
#include "engine/client/outbox.h"

enum sender_step { SENDER_IDLE, SENDER_WAITING, SENDER_POSTED };

struct sender {
    struct client *client; /* its events door; borrowed */
    struct text source;    /* "": events have no numbers; borrowed */
    int64_t timeout_ms;
    void (*on_rejected)(void *context, uint64_t n, const char *event, size_t len, const char *code,
                        const char *error); /* may be NULL */
    void *context;

    struct outbox outbox;
    enum sender_step step;
    struct buf body;     /* the request: the outbox's first `body_count` events */
    size_t body_count;
    size_t events_max;   /* without numbers: in the next request */
    size_t rest;         /* so many were asked before, in a request with more errors than are listed */
    uint64_t id;
    int64_t due_ms;      /* WAITING: when to post; POSTED: when to give up on the answer */
    uint64_t settled_n;
    struct fwsync_counts counts; /* but for `waiting` */
    struct err trouble;  /* why nothing is settled: the latest; "" if none since something was */
    struct buf answer;
    struct arena arena; /* of the answer's pieces */
    struct arena scratch;
};

/* sender_init - the fields up to `context` are set by the caller, the others zero. */
void sender_init(struct sender *sender);
void sender_fini(struct sender *sender);

/* sender_turn - hear answers, settle, send what waits, as far as it goes without waiting. *progress: something
 * was heard or sent.
 * Errors  ERR_CONFIG the endpoint is no events door; ERR_IO. Nothing is lost; a later turn tries again. */
bool sender_turn(struct sender *sender, int64_t now_ms, bool *progress, struct err *err);

/* sender_due_ms - when a turn is needed even if nothing is heard; INT64_MAX: never. */
int64_t sender_due_ms(const struct sender *sender);

#endif

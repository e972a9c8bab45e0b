/* reach.h - what both handles of the library are made of: from the caller's options to a connection, and
 * from our errors to the caller's codes. */
#ifndef CLIENT_REACH_H
#define CLIENT_REACH_H

#include "engine/client/client.h"
#include "engine/client/fwsync.h"
#include "engine/client/wakeup.h"

struct reach {
    char *endpoints[CLIENT_DOOR_COUNT];
    int64_t timeout_ms;
    struct wakeup wakeup;
    struct client *client; /* in the wakeup */
    struct err err;        /* the last one; "" if none */
};

/* reach_open - options NULL: defaults. On failure the error is kept for reach_open_error, and `reach` can be
 * closed. */
enum fwsync_code reach_open(struct reach *reach, const struct fwsync_options *options);
void reach_close(struct reach *reach);

/* reach_asker - another connection to the same doors, outside of the wakeup, for client_request. */
struct client *reach_asker(const struct reach *reach);

/* reach_fail - keep the error in `reach` and give its code. */
enum fwsync_code reach_fail(struct reach *reach, const struct err *err);

/* reach_open_failed - keep it for this thread, since there is no handle; reach_open_error: the last one. */
enum fwsync_code reach_open_failed(const struct err *err);
const char *reach_open_error(void);

/* reach_answer_code - what an answer's `code` is for the caller. */
enum fwsync_code reach_answer_code(struct text code);

/* reach_wake_at - what is due next makes the wakeup readable. After a failure (out of descriptors, most likely) that
 * is in a second at the earliest: who waits for the descriptor would spin. */
void reach_wake_at(struct reach *reach, int64_t due_ms, bool failed);

/* reach_end_ms - the moment on the monotonic clock at which a wait ends; -1: never. */
int64_t reach_end_ms(int wait_ms);

#endif

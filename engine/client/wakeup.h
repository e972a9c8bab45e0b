/* wakeup.h - one descriptor to wait on for several sockets and a moment in time.
 *
 * An epoll descriptor over the sockets' own descriptors and a timer, which a program can put into its event
 * loop, and which the library's own waits use too. A ZeroMQ socket's descriptor speaks only once about what
 * has come: so before waiting, all sockets in it must have been read until nothing was left. */
#ifndef CLIENT_WAKEUP_H
#define CLIENT_WAKEUP_H

#include <stdint.h>

#include "engine/base/err.h"

struct wakeup {
    int epoll_fd; /* -1: not open */
    int timer_fd;
    int64_t at_ms; /* when the timer is set to; INT64_MAX: it isn't */
};

/* wakeup_open - Errors: ERR_IO out of descriptors. wakeup_close takes a half-open one. */
bool wakeup_open(struct wakeup *wakeup, struct err *err);
void wakeup_close(struct wakeup *wakeup);

/* wakeup_add - a ZeroMQ socket. wakeup_remove: before it is closed. */
bool wakeup_add(struct wakeup *wakeup, void *socket, struct err *err);
void wakeup_remove(struct wakeup *wakeup, void *socket);

/* wakeup_at - be readable from that moment on (monotonic; INT64_MAX: never), until the next wakeup_at. */
void wakeup_at(struct wakeup *wakeup, int64_t at_ms);

/* wakeup_wait - until readable, at most wait_ms (-1: no bound). False: the time is over, or a signal came
 * (*interrupted, may be NULL). */
bool wakeup_wait(const struct wakeup *wakeup, int64_t wait_ms, bool *interrupted);

#endif

#include "engine/client/wakeup.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <zmq.h>

static bool add_descriptor(struct wakeup *wakeup, int fd, struct err *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(wakeup->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return err_set(err, ERR_IO, "cannot wait for a socket: %s", strerror(errno));
    return true;
}

bool wakeup_open(struct wakeup *wakeup, struct err *err)
{
    wakeup->at_ms = INT64_MAX;
    wakeup->timer_fd = -1;
    wakeup->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (wakeup->epoll_fd >= 0)
        wakeup->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (wakeup->epoll_fd >= 0 && wakeup->timer_fd >= 0)
        return add_descriptor(wakeup, wakeup->timer_fd, err);
    return err_set(err, ERR_IO, "cannot open a descriptor: %s", strerror(errno));
}

void wakeup_close(struct wakeup *wakeup)
{
    if (wakeup->timer_fd >= 0)
        close(wakeup->timer_fd);
    if (wakeup->epoll_fd >= 0)
        close(wakeup->epoll_fd);
    *wakeup = (struct wakeup){-1, -1, INT64_MAX};
}

static int descriptor_of(void *socket)
{
    int fd = -1;
    size_t len = sizeof fd;
    return zmq_getsockopt(socket, ZMQ_FD, &fd, &len) == 0 ? fd : -1;
}

bool wakeup_add(struct wakeup *wakeup, void *socket, struct err *err)
{
    return add_descriptor(wakeup, descriptor_of(socket), err);
}

void wakeup_remove(struct wakeup *wakeup, void *socket)
{
    epoll_ctl(wakeup->epoll_fd, EPOLL_CTL_DEL, descriptor_of(socket), NULL);
}

void wakeup_at(struct wakeup *wakeup, int64_t at_ms)
{
    if (at_ms == wakeup->at_ms)
        return;
    wakeup->at_ms = at_ms;
    struct itimerspec when = {.it_value = {0, 0}}; /* off */
    if (at_ms != INT64_MAX && at_ms > 0)
        when.it_value = (struct timespec){at_ms / 1000, at_ms % 1000 * 1000000};
    else if (at_ms != INT64_MAX)
        when.it_value.tv_nsec = 1;
    timerfd_settime(wakeup->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

bool wakeup_wait(const struct wakeup *wakeup, int64_t wait_ms, bool *interrupted)
{
    struct pollfd item = {.fd = wakeup->epoll_fd, .events = POLLIN};
    int rc = poll(&item, 1, wait_ms < 0 ? -1 : wait_ms > INT_MAX ? INT_MAX : (int)wait_ms);
    if (interrupted != NULL)
        *interrupted = rc < 0 && errno == EINTR;
    return rc > 0;
}

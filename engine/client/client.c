#include "engine/client/client.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <zmq.h>

#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/client/wakeup.h"

enum {
    ANSWER_BYTES_MAX = 64 << 20, /* per frame; our guard against a peer that isn't fwsyncd */
    HEARTBEAT_MS = 2000,
    HEARTBEAT_TIMEOUT_MS = 6000,
    RECONNECT_MS = 50,
    RECONNECT_MS_MAX = 1000,
    RETRY_MS_MAX = 10000,
    RETRY_MS_DEFAULT = 50,
    RESULTS_QUEUE = 1000, /* a burst of so many is kept for a reader that is busy; more wait in the daemon */
};

/* A socket, and the one through which ZeroMQ tells what becomes of its connection; NULL until used. */
struct link {
    void *socket;
    void *monitor;
};

struct client {
    struct client_options options;
    void *context; /* NULL until used */
    struct link links[CLIENT_DOOR_COUNT];
    uint64_t last_id;
    uint64_t monitor_count;
};

struct client *client_create(const struct client_options *options)
{
    assert(options->timeout_ms > 0);
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL)
        abort();
    client->options = *options;
    return client;
}

void client_destroy(struct client *client)
{
    if (client == NULL)
        return;
    for (enum client_door door = 0; door < CLIENT_DOOR_COUNT; door++)
        client_reset(client, door);
    if (client->context != NULL)
        while (zmq_ctx_term(client->context) != 0 && errno == EINTR)
            ;
    free(client);
}

/* --- sockets ---------------------------------------------------------------------------------------- */

const char *client_endpoint(const struct client *client, enum client_door door)
{
    switch (door) {
    case CLIENT_EVENTS:
        return client->options.events;
    case CLIENT_QUERY:
        return client->options.query;
    case CLIENT_RESULTS:
        return client->options.results;
    case CLIENT_DOOR_COUNT:
        break;
    }
    abort();
}

static void set_option(void *socket, int option, int value)
{
    int rc = zmq_setsockopt(socket, option, &value, sizeof value);
    assert(rc == 0);
    (void)rc;
}

static const char *default_endpoint(enum client_door door)
{
    static const char *const endpoints[] = {
        [CLIENT_EVENTS] = CLIENT_EVENTS_DEFAULT,
        [CLIENT_QUERY] = CLIENT_QUERY_DEFAULT,
        [CLIENT_RESULTS] = CLIENT_RESULTS_DEFAULT,
    };
    return endpoints[door];
}

static void *socket_new(struct client *client, int type, struct err *err)
{
    if (client->context == NULL)
        client->context = zmq_ctx_new();
    void *socket = client->context == NULL ? NULL : zmq_socket(client->context, type);
    if (socket == NULL) {
        err_set(err, ERR_IO, "cannot open a socket: %s", zmq_strerror(errno));
        return NULL;
    }
    set_option(socket, ZMQ_LINGER, 0); /* what matters was answered; the rest must not go out later */
    return socket;
}

static void socket_close(const struct client *client, void **socket)
{
    if (*socket != NULL && client->options.wakeup != NULL)
        wakeup_remove(client->options.wakeup, *socket);
    if (*socket != NULL)
        zmq_close(*socket);
    *socket = NULL;
}

/* libzmq's heartbeats abort the process when a connection breaks whose queue is full (libzmq issues 4364, 4767). Of
 * answers there is never more than one; results have heartbeats of their own, which the follower waits for. */
static void configure(void *socket, enum client_door door)
{
    int64_t frame_bytes_max = ANSWER_BYTES_MAX;
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_bytes_max, sizeof frame_bytes_max);
    set_option(socket, ZMQ_RCVHWM, RESULTS_QUEUE);
    if (door != CLIENT_RESULTS) {
        set_option(socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS);
        set_option(socket, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS);
    }
    set_option(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    set_option(socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MS_MAX);
}

/* Both sockets of the link into the wakeup, the monitor connected. */
static bool watch_link(struct client *client, struct link *link, struct err *err)
{
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "inproc://monitor-%llu", (unsigned long long)client->monitor_count++);
    link->monitor = socket_new(client, ZMQ_PAIR, err);
    if (link->monitor == NULL)
        return false;
    set_option(link->monitor, ZMQ_RCVHWM, 0); /* a full queue would stop ZeroMQ's thread */
    if (zmq_socket_monitor(link->socket, endpoint, ZMQ_EVENT_DISCONNECTED) != 0 ||
        zmq_connect(link->monitor, endpoint) != 0)
        return err_set(err, ERR_IO, "cannot watch a connection: %s", zmq_strerror(errno));
    return wakeup_add(client->options.wakeup, link->socket, err) &&
           wakeup_add(client->options.wakeup, link->monitor, err);
}

static bool open_link(struct client *client, enum client_door door, struct err *err)
{
    struct link *link = &client->links[door];
    link->socket = socket_new(client, door == CLIENT_RESULTS ? ZMQ_SUB : ZMQ_DEALER, err);
    if (link->socket == NULL)
        return false;
    configure(link->socket, door);
    if (client->options.wakeup != NULL && !watch_link(client, link, err))
        return false;
    if (zmq_connect(link->socket, client_endpoint(client, door)) != 0)
        return err_set(err, ERR_CONFIG, "cannot use the endpoint '%s': %s; one looks like %s",
                       client_endpoint(client, door), zmq_strerror(errno), default_endpoint(door));
    return true;
}

bool client_open(struct client *client, enum client_door door, struct err *err)
{
    if (client->links[door].socket != NULL || open_link(client, door, err))
        return true;
    client_reset(client, door);
    return false;
}

static void *door_socket(struct client *client, enum client_door door, struct err *err)
{
    return client_open(client, door, err) ? client->links[door].socket : NULL;
}

void client_reset(struct client *client, enum client_door door)
{
    struct link *link = &client->links[door];
    if (link->monitor != NULL)
        zmq_socket_monitor(link->socket, NULL, 0); /* or it would wait for a reader */
    socket_close(client, &link->monitor);
    socket_close(client, &link->socket);
}

static bool send_frame(void *socket, struct text frame, int flags)
{
    int rc;
    do
        rc = zmq_send(socket, frame.bytes, frame.len, flags | ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    return rc >= 0;
}

/* One frame into `buf`. False when there is none; *more tells whether the message goes on. */
static bool receive_frame(void *socket, struct buf *buf, bool *more)
{
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    int rc;
    do
        rc = zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    if (rc >= 0) {
        buf_clear(buf);
        buf_append(buf, (struct text){zmq_msg_data(&frame), zmq_msg_size(&frame)});
        *more = zmq_msg_more(&frame);
    }
    zmq_msg_close(&frame);
    return rc >= 0;
}

/* Wait until the socket is readable (*ready) or stop_fd is (*stop). False: an error. */
static bool wait_readable(const struct client *client, void *socket, int64_t wait_ms, bool *ready,
                          bool *stop, struct err *err)
{
    zmq_pollitem_t items[2] = {{.socket = socket, .events = ZMQ_POLLIN},
                               {.fd = client->options.stop_fd, .events = ZMQ_POLLIN}};
    int count = client->options.stop_fd >= 0 ? 2 : 1;
    int rc = zmq_poll(items, count, wait_ms < 0 ? 0 : (long)wait_ms);
    if (rc < 0 && errno != EINTR)
        return err_set(err, ERR_IO, "cannot wait for an answer: %s", zmq_strerror(errno));
    *ready = rc > 0 && items[0].revents != 0;
    *stop = rc > 0 && count > 1 && items[1].revents != 0;
    return true;
}

bool client_look(struct client *client, enum client_door door)
{
    int events = 0;
    size_t len = sizeof events;
    if (client->links[door].socket != NULL)
        zmq_getsockopt(client->links[door].socket, ZMQ_EVENTS, &events, &len);
    return (events & ZMQ_POLLIN) != 0;
}

bool client_lost(struct client *client, enum client_door door)
{
    void *monitor = client->links[door].monitor;
    struct buf frame = {.bytes = NULL};
    bool lost = false, more;
    while (monitor != NULL && receive_frame(monitor, &frame, &more))
        lost = true; /* it tells of nothing else */
    buf_fini(&frame);
    return lost;
}

/* --- request and reply ------------------------------------------------------------------------------ */

bool client_post(struct client *client, enum client_door door, struct text body, uint64_t *id,
                 struct err *err)
{
    void *socket = door_socket(client, door, err);
    if (socket == NULL)
        return false;
    uint64_t next_id = client->last_id + 1;
    if (!send_frame(socket, (struct text){(const char *)&next_id, sizeof next_id}, ZMQ_SNDMORE) ||
        !send_frame(socket, TEXT(""), ZMQ_SNDMORE) || !send_frame(socket, body, 0)) {
        err_set(err, ERR_IO, "cannot send to %s: %s", client_endpoint(client, door),
                zmq_strerror(errno));
        client_reset(client, door); /* half a message may stand in it */
        return false;
    }
    *id = client->last_id = next_id;
    return true;
}

/* Take one message apart. False if its shape isn't [id, "", body]. */
static bool receive_answer(void *socket, bool *any, uint64_t *id, struct buf *answer)
{
    struct buf frame = {.bytes = NULL};
    bool more = false;
    bool fits = false;
    *any = receive_frame(socket, &frame, &more);
    if (*any && more && frame.len == sizeof *id) {
        memcpy(id, frame.bytes, sizeof *id);
        fits = receive_frame(socket, &frame, &more) && frame.len == 0 && more &&
               receive_frame(socket, answer, &more) && !more;
    }
    while (*any && more && receive_frame(socket, &frame, &more))
        ;
    buf_fini(&frame);
    return fits;
}

bool client_take(struct client *client, enum client_door door, uint64_t *id, struct buf *answer,
                 bool *found, struct err *err)
{
    void *socket = door_socket(client, door, err);
    if (socket == NULL)
        return false;
    bool any = true;
    *found = false;
    while (any && !*found)
        *found = receive_answer(socket, &any, id, answer);
    return true;
}

static bool no_answer(const struct client *client, enum client_door door, struct err *err)
{
    return err_set(err, ERR_TIMEOUT, "no answer from %s within %g s: is fwsyncd running?",
                   client_endpoint(client, door), (double)client->options.timeout_ms / 1000);
}

/* One answer to request `id`, at most until `end_ms`. */
static bool await_answer(struct client *client, enum client_door door, uint64_t id, int64_t end_ms,
                         struct buf *answer, struct err *err)
{
    for (;;) {
        uint64_t came = 0;
        bool found, ready, stop = false;
        do
            if (!client_take(client, door, &came, answer, &found, err))
                return false;
        while (found && came != id);
        if (found)
            return true;
        int64_t left_ms = end_ms - clock_monotonic_ms();
        if (left_ms <= 0)
            return no_answer(client, door, err);
        if (!wait_readable(client, client->links[door].socket, left_ms, &ready, &stop, err))
            return false;
        if (stop)
            return err_set(err, ERR_TIMEOUT, "interrupted");
    }
}

/* Sleep, unless stopped. */
static bool pause_ms(const struct client *client, int64_t wait_ms, struct err *err)
{
    zmq_pollitem_t item = {.fd = client->options.stop_fd, .events = ZMQ_POLLIN};
    int rc = zmq_poll(&item, client->options.stop_fd >= 0 ? 1 : 0, (long)wait_ms);
    return rc <= 0 ? true : err_set(err, ERR_TIMEOUT, "interrupted");
}

bool client_request(struct client *client, enum client_door door, struct text body,
                    struct buf *answer, struct err *err)
{
    int64_t end_ms = clock_monotonic_ms() + client->options.timeout_ms;
    for (;;) {
        uint64_t id;
        int64_t retry_ms;
        if (!client_post(client, door, body, &id, err))
            return false;
        if (!await_answer(client, door, id, end_ms, answer, err)) {
            client_reset(client, door); /* so that the request isn't delivered after all */
            return false;
        }
        if (!client_busy(buf_text(answer), &retry_ms) || clock_monotonic_ms() + retry_ms >= end_ms)
            return true;
        if (!pause_ms(client, retry_ms, err))
            return false;
    }
}

bool client_busy(struct text answer, int64_t *retry_ms)
{
    static const struct text mark = {"\"busy\"", 6};
    if (memmem(answer.bytes, answer.len, mark.bytes, mark.len) == NULL)
        return false; /* the usual case, without a parse */
    struct arena scratch, arena;
    arena_init(&scratch, 4096);
    arena_init(&arena, 4096);
    struct fields fields = {NULL, 0};
    bool busy = false;
    if (json_parse_object(answer, &scratch, &arena, &fields, NULL)) {
        const struct value *code = fields_get(&fields, TEXT("code"));
        const struct value *wait = fields_get(&fields, TEXT("retry_ms"));
        busy = code != NULL && code->kind == VALUE_STRING && text_is(code->text, "busy");
        *retry_ms = wait != NULL && wait->kind == VALUE_INTEGER ? wait->integer : RETRY_MS_DEFAULT;
        if (*retry_ms < 1 || *retry_ms > RETRY_MS_MAX)
            *retry_ms = *retry_ms < 1 ? 1 : RETRY_MS_MAX;
    }
    arena_fini(&scratch);
    arena_fini(&arena);
    return busy;
}

/* --- results ---------------------------------------------------------------------------------------- */

bool client_subscribe(struct client *client, const char *prefix, struct err *err)
{
    void *socket = door_socket(client, CLIENT_RESULTS, err);
    if (socket == NULL)
        return false;
    if (zmq_setsockopt(socket, ZMQ_SUBSCRIBE, prefix, strlen(prefix)) != 0)
        return err_set(err, ERR_IO, "cannot subscribe to '%s': %s", prefix, zmq_strerror(errno));
    return true;
}

/* A message of two frames; any other is thrown away. */
static bool receive_result(void *socket, bool *any, struct buf *topic, struct buf *payload)
{
    bool more = false;
    *any = receive_frame(socket, topic, &more);
    bool fits = *any && more && receive_frame(socket, payload, &more) && !more;
    while (*any && more && receive_frame(socket, payload, &more))
        ;
    return fits;
}

bool client_take_result(struct client *client, struct buf *topic, struct buf *payload)
{
    void *socket = client->links[CLIENT_RESULTS].socket;
    assert(socket != NULL); /* client_subscribe first */
    bool any = true, found = false;
    while (any && !found)
        found = receive_result(socket, &any, topic, payload);
    return found;
}

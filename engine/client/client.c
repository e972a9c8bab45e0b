#include "engine/client/client.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <zmq.h>

#include "engine/base/clock.h"
#include "engine/base/json.h"

enum {
    ANSWER_BYTES_MAX = 64 << 20, /* per frame; our guard against a peer that isn't fwsyncd */
    HEARTBEAT_MS = 2000,
    HEARTBEAT_TIMEOUT_MS = 6000,
    RECONNECT_MS = 50,
    RECONNECT_MS_MAX = 1000,
    RETRY_MS_MAX = 10000,
    RETRY_MS_DEFAULT = 50,
};

struct client {
    struct client_options options;
    void *context;
    void *doors[CLIENT_DOOR_COUNT]; /* NULL until used */
    void *results;
    uint64_t last_id;
};

struct client *client_create(const struct client_options *options)
{
    assert(options->timeout_ms > 0);
    struct client *client = calloc(1, sizeof *client);
    void *context = zmq_ctx_new();
    if (client == NULL || context == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    client->options = *options;
    client->context = context;
    return client;
}

void client_destroy(struct client *client)
{
    if (client == NULL)
        return;
    for (enum client_door door = 0; door < CLIENT_DOOR_COUNT; door++)
        client_reset(client, door);
    if (client->results != NULL)
        zmq_close(client->results);
    while (zmq_ctx_term(client->context) != 0 && errno == EINTR)
        ;
    free(client);
}

/* --- sockets ---------------------------------------------------------------------------------------- */

static const char *door_endpoint(const struct client *client, enum client_door door)
{
    return door == CLIENT_EVENTS ? client->options.events : client->options.query;
}

static void set_option(void *socket, int option, int value)
{
    int rc = zmq_setsockopt(socket, option, &value, sizeof value);
    assert(rc == 0);
    (void)rc;
}

static void *socket_open(struct client *client, int type, const char *endpoint, struct err *err)
{
    void *socket = zmq_socket(client->context, type);
    if (socket == NULL) {
        err_set(err, ERR_IO, "cannot open a socket: %s", zmq_strerror(errno));
        return NULL;
    }
    int64_t frame_bytes_max = ANSWER_BYTES_MAX;
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_bytes_max, sizeof frame_bytes_max);
    set_option(socket, ZMQ_LINGER, 0); /* what matters was answered; the rest must not go out later */
    set_option(socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS);
    set_option(socket, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS);
    set_option(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    set_option(socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MS_MAX);
    if (zmq_connect(socket, endpoint) != 0) {
        err_set(err, ERR_CONFIG, "cannot use the endpoint '%s': %s; one looks like %s", endpoint,
                zmq_strerror(errno), CLIENT_QUERY_DEFAULT);
        zmq_close(socket);
        return NULL;
    }
    return socket;
}

static void *door_socket(struct client *client, enum client_door door, struct err *err)
{
    if (client->doors[door] == NULL)
        client->doors[door] =
            socket_open(client, ZMQ_DEALER, door_endpoint(client, door), err);
    return client->doors[door];
}

void client_reset(struct client *client, enum client_door door)
{
    if (client->doors[door] != NULL)
        zmq_close(client->doors[door]);
    client->doors[door] = NULL;
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

/* Wait until `socket` or `fd` (-1: none) is readable or stop_fd is. False: an error. */
static bool wait_readable(const struct client *client, void *socket, int fd, int64_t wait_ms,
                          bool *socket_ready, bool *fd_ready, bool *stop, struct err *err)
{
    zmq_pollitem_t items[3] = {{.socket = socket, .events = ZMQ_POLLIN}};
    int count = 1;
    int stop_at = -1, fd_at = -1;
    if (client->options.stop_fd >= 0)
        items[stop_at = count++] = (zmq_pollitem_t){.fd = client->options.stop_fd, .events = ZMQ_POLLIN};
    if (fd >= 0)
        items[fd_at = count++] = (zmq_pollitem_t){.fd = fd, .events = ZMQ_POLLIN};
    int rc = zmq_poll(items, count, wait_ms < 0 ? 0 : (long)wait_ms);
    if (rc < 0 && errno != EINTR)
        return err_set(err, ERR_IO, "cannot wait for an answer: %s", zmq_strerror(errno));
    *socket_ready = rc > 0 && items[0].revents != 0;
    *fd_ready = rc > 0 && fd_at > 0 && items[fd_at].revents != 0;
    *stop = rc > 0 && stop_at > 0 && items[stop_at].revents != 0;
    return true;
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
        err_set(err, ERR_IO, "cannot send to %s: %s", door_endpoint(client, door),
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

bool client_wait(struct client *client, enum client_door door, int fd, int64_t wait_ms,
                 bool *fd_ready, struct err *err)
{
    void *socket = door_socket(client, door, err);
    bool socket_ready, stop;
    return socket != NULL &&
           wait_readable(client, socket, fd, wait_ms, &socket_ready, fd_ready, &stop, err);
}

static int64_t now_ms(void)
{
    return clock_monotonic_ns() / 1000000;
}

static bool no_answer(const struct client *client, enum client_door door, struct err *err)
{
    return err_set(err, ERR_TIMEOUT, "no answer from %s within %g s: is fwsyncd running?",
                   door_endpoint(client, door), (double)client->options.timeout_ms / 1000);
}

/* One answer to request `id`, at most until `end_ms`. */
static bool await_answer(struct client *client, enum client_door door, uint64_t id, int64_t end_ms,
                         struct buf *answer, struct err *err)
{
    for (;;) {
        uint64_t came = 0;
        bool found, socket_ready, fd_ready, stop;
        do
            if (!client_take(client, door, &came, answer, &found, err))
                return false;
        while (found && came != id);
        if (found)
            return true;
        int64_t left_ms = end_ms - now_ms();
        if (left_ms <= 0)
            return no_answer(client, door, err);
        if (!wait_readable(client, client->doors[door], -1, left_ms, &socket_ready, &fd_ready, &stop,
                           err))
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
    int64_t end_ms = now_ms() + client->options.timeout_ms;
    for (;;) {
        uint64_t id;
        int64_t retry_ms;
        if (!client_post(client, door, body, &id, err))
            return false;
        if (!await_answer(client, door, id, end_ms, answer, err)) {
            client_reset(client, door); /* so that the request isn't delivered after all */
            return false;
        }
        if (!client_busy(buf_text(answer), &retry_ms) || now_ms() + retry_ms >= end_ms)
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
    if (client->results == NULL)
        client->results = socket_open(client, ZMQ_SUB, client->options.results, err);
    if (client->results == NULL)
        return false;
    if (zmq_setsockopt(client->results, ZMQ_SUBSCRIBE, prefix, strlen(prefix)) != 0)
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

bool client_next_result(struct client *client, int64_t wait_ms, struct buf *topic,
                        struct buf *payload, bool *found, struct err *err)
{
    assert(client->results != NULL); /* client_subscribe first */
    int64_t end_ms = now_ms() + wait_ms;
    *found = false;
    for (;;) {
        bool any = true, socket_ready, fd_ready, stop;
        while (any && !*found)
            *found = receive_result(client->results, &any, topic, payload);
        int64_t left_ms = end_ms - now_ms();
        if (*found || left_ms <= 0)
            return true;
        if (!wait_readable(client, client->results, -1, left_ms, &socket_ready, &fd_ready, &stop, err))
            return false;
        if (stop)
            return true;
    }
}

#include "engine/service/door.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    MESSAGE_BYTES_MAX = 8 << 20,   /* libzmq drops the connection above; below, we can say what is wrong */
    KEEPALIVE_S = 2, /* of silence, and between two tries */
    GONE_MS = 6000,  /* without a sign of the other machine */
    LINGER_MS = 1000,
    BACKLOG = 1024,
};

/* --- opening --------------------------------------------------------------------------------------------- */

static void set_int(void *socket, int option, int value)
{
    int failed = zmq_setsockopt(socket, option, &value, sizeof value);
    assert(failed == 0);
}

/* A machine that is gone shows by TCP's own means. libzmq's heartbeats would abort us when a connection breaks whose
 * queue is full, and a client's, when they brought a sign of life behind it (libzmq issues 4364, 4767). */
static void watch_connections(void *socket)
{
    set_int(socket, ZMQ_TCP_KEEPALIVE, 1);
    set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_S);
    set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_S);
    set_int(socket, ZMQ_TCP_MAXRT, GONE_MS);
}

/* libzmq takes a port modulo 65536. */
static bool port_is_too_high(const char *endpoint)
{
    enum { PORT_MAX = 65535 };
    const char *colon = strrchr(endpoint, ':');
    return strncmp(endpoint, "tcp://", 6) == 0 && colon != NULL &&
           strtoull(colon + 1, NULL, 10) > PORT_MAX;
}

/* Does somebody listen at this ipc endpoint? libzmq would remove the socket's file and bind its own, and nobody would
 * reach the other one any more. (One of "ipc://@..." has no file, and "ipc://" followed by a star makes a new one.) */
static bool ipc_is_in_use(const char *endpoint)
{
    static const char scheme[] = "ipc://";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = endpoint + sizeof scheme - 1;
    if (strncmp(endpoint, scheme, sizeof scheme - 1) != 0 || *path == '@' || strlen(path) >= sizeof address.sun_path)
        return false;
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool in_use = connect(fd, (const struct sockaddr *)(const void *)&address, sizeof address) == 0 ||
                  errno == EAGAIN; /* more wait to be taken than it lets wait */
    close(fd);
    return in_use;
}

static bool bind_socket(struct door *door, const char *name, const char *endpoint, struct err *err)
{
    if (port_is_too_high(endpoint))
        return err_set(err, ERR_CONFIG, "%s: %s: a port is at most 65535", name, endpoint);
    bool in_use = ipc_is_in_use(endpoint);
    if (in_use || zmq_bind(door->socket, endpoint) != 0) {
        int code = in_use ? EADDRINUSE : zmq_errno();
        if (code == EADDRINUSE)
            return err_set(err, ERR_IN_USE,
                           "%s: %s is in use: is another fwsyncd running?%s", name, endpoint,
                           in_use ? "" : " (a port of * takes a free one)");
        return err_set(err, ERR_CONFIG, "%s: cannot bind %s: %s; an endpoint looks like tcp://127.0.0.1:7601", name,
                       endpoint, zmq_strerror(code));
    }
    size_t len = sizeof door->endpoint;
    zmq_getsockopt(door->socket, ZMQ_LAST_ENDPOINT, door->endpoint, &len);
    len = sizeof door->fd;
    zmq_getsockopt(door->socket, ZMQ_FD, &door->fd, &len);
    door->look = true;
    return true;
}

bool door_open(struct door *door, void *context, int type, const char *name, const char *endpoint,
               int64_t send_queue, struct err *err)
{
    door->socket = zmq_socket(context, type);
    if (door->socket == NULL) /* without a context, too */
        return err_set(err, ERR_IO, "%s: cannot make a socket: %s", name, zmq_strerror(zmq_errno()));
    set_int(door->socket, ZMQ_LINGER, LINGER_MS);
    set_int(door->socket, ZMQ_BACKLOG, BACKLOG);
    watch_connections(door->socket);
    set_int(door->socket, ZMQ_SNDHWM, (int)send_queue);
    int64_t bytes_max = MESSAGE_BYTES_MAX;
    zmq_setsockopt(door->socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof bytes_max);
    if (type == ZMQ_ROUTER)
        set_int(door->socket, ZMQ_ROUTER_MANDATORY, 1);
    return bind_socket(door, name, endpoint, err);
}

void door_close(struct door *door)
{
    if (door->socket != NULL)
        zmq_close(door->socket);
}

/* --- sending --------------------------------------------------------------------------------------------- */

/* The first frame is the routing id: there it shows whether the client is gone (EHOSTUNREACH) or doesn't
 * read (EAGAIN). What follows the first frame is taken by libzmq in any case. */
bool door_reply(struct door *door, const struct envelope *envelope, struct text reply)
{
    door->look = true;
    for (size_t i = 0; i < envelope->frame_count; i++) {
        struct text frame = envelope->frames[i];
        if (zmq_send(door->socket, frame.bytes, frame.len, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
            return false;
    }
    zmq_send(door->socket, reply.bytes, reply.len, ZMQ_DONTWAIT);
    return true;
}

/* --- receiving ------------------------------------------------------------------------------------------- */

static void drop_rest(void *socket, zmq_msg_t *frame)
{
    while (zmq_msg_more(frame)) {
        zmq_msg_close(frame);
        zmq_msg_init(frame);
        if (zmq_msg_recv(frame, socket, ZMQ_DONTWAIT) < 0)
            break;
    }
}

static struct envelope envelope_of(const struct text *frames, size_t count, struct arena *arena)
{
    struct text *kept = arena_alloc(arena, count * sizeof *kept);
    for (size_t i = 0; i < count; i++)
        kept[i] = frames[i];
    return (struct envelope){kept, count};
}

enum received door_receive(struct door *door, struct arena *arena, struct envelope *envelope,
                           zmq_msg_t *body)
{
    struct text frames[ENVELOPE_FRAMES_MAX];
    size_t count = 0;
    bool envelope_ended = false;
    for (;;) {
        zmq_msg_init(body);
        if (zmq_msg_recv(body, door->socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(body);
            door->look = false;
            return RECEIVED_NOTHING;
        }
        if (envelope_ended && !zmq_msg_more(body)) {
            *envelope = envelope_of(frames, count, arena);
            return RECEIVED_REQUEST;
        }
        if (envelope_ended || !zmq_msg_more(body) || count == ENVELOPE_FRAMES_MAX)
            break;
        struct text frame = {zmq_msg_data(body), zmq_msg_size(body)};
        envelope_ended = count > 0 && frame.len == 0;
        frames[count++] = envelope_ended ? TEXT("") : arena_copy(arena, frame);
        zmq_msg_close(body);
    }
    drop_rest(door->socket, body);
    zmq_msg_close(body);
    *envelope = envelope_of(frames, count > 0, arena);
    return RECEIVED_MALFORMED;
}

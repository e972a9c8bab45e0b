#include "tests/bench/wire.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/fail.h"

enum { IN_BYTES = 2 << 20, /* an answer of 1,000 devices */
       GREETING_BYTES = 64, SHORT_BODY_MAX = 255 };
enum { FLAG_MORE = 1, FLAG_LONG = 2, FLAG_COMMAND = 4 };

/* --- the handshake ------------------------------------------------------------------------------- */

static void greeting(struct wire *wire)
{
    char *bytes = buf_room(&wire->out, GREETING_BYTES);
    memset(bytes, 0, GREETING_BYTES);
    bytes[0] = (char)0xff;
    bytes[9] = 0x7f;
    bytes[10] = 3; /* the version, 3.0; then the mechanism */
    memcpy(bytes + 12, "NULL", 4);
    wire->out.len += GREETING_BYTES;
}

static void ready_command(struct wire *wire, const char *socket_type)
{
    static const char property[] = "\5READY\13Socket-Type";
    uint32_t value_bytes = htobe32((uint32_t)strlen(socket_type));
    size_t body_bytes = sizeof property - 1 + sizeof value_bytes + strlen(socket_type);
    buf_byte(&wire->out, FLAG_COMMAND);
    buf_byte(&wire->out, (char)body_bytes);
    buf_append(&wire->out, (struct text){property, sizeof property - 1});
    buf_append(&wire->out, (struct text){(const char *)&value_bytes, sizeof value_bytes});
    buf_append(&wire->out, text_of(socket_type));
}

static void receive_exactly(struct wire *wire, char *bytes, size_t count)
{
    if (recv(wire->fd, bytes, count, MSG_WAITALL) != (ssize_t)count)
        fail("the daemon hung up during the handshake");
}

static void expect_ready(struct wire *wire)
{
    char bytes[GREETING_BYTES], head[2], body[SHORT_BODY_MAX];
    receive_exactly(wire, bytes, sizeof bytes);
    receive_exactly(wire, head, sizeof head);
    size_t body_bytes = (unsigned char)head[1];
    receive_exactly(wire, body, body_bytes);
    if (head[0] != FLAG_COMMAND || body_bytes < 6 || memcmp(body, "\5READY", 6) != 0)
        fail("the daemon refused the handshake");
}

static int connect_to(const char *endpoint)
{
    char host[64];
    unsigned short port;
    if (sscanf(endpoint, "tcp://%63[0-9.]:%hu", host, &port) != 2)
        fail("not an endpoint: %s", endpoint);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0 || inet_pton(AF_INET, host, &address.sin_addr) != 1 ||
        connect(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        fail("%s: %s", endpoint, strerror(errno));
    return fd;
}

void wire_open(struct wire *wire, const char *endpoint, const char *socket_type)
{
    *wire = (struct wire){.fd = connect_to(endpoint), .in = malloc(IN_BYTES)};
    if (wire->in == NULL)
        fail("out of memory");
    greeting(wire);
    ready_command(wire, socket_type);
    if (!wire_flush(wire))
        fail("the handshake did not fit");
    expect_ready(wire);
    if (fcntl(wire->fd, F_SETFL, O_NONBLOCK) != 0)
        fail("fcntl: %s", strerror(errno));
}

void wire_close(struct wire *wire)
{
    close(wire->fd);
    buf_fini(&wire->out);
    free(wire->in);
}

/* --- frames -------------------------------------------------------------------------------------- */

void wire_frame(struct wire *wire, struct text body, bool more)
{
    char head[9] = {more ? FLAG_MORE : 0, (char)body.len};
    if (body.len > SHORT_BODY_MAX) {
        uint64_t body_bytes = htobe64(body.len);
        head[0] |= FLAG_LONG;
        memcpy(head + 1, &body_bytes, sizeof body_bytes);
    }
    buf_append(&wire->out, (struct text){head, body.len > SHORT_BODY_MAX ? 9 : 2});
    buf_append(&wire->out, body);
}

bool wire_flush(struct wire *wire)
{
    while (wire->out_start < wire->out.len) {
        ssize_t count = send(wire->fd, wire->out.bytes + wire->out_start,
                             wire->out.len - wire->out_start, MSG_NOSIGNAL);
        if (count < 0 && errno == EAGAIN)
            return false;
        if (count < 0)
            fail("cannot send: %s", strerror(errno));
        wire->out_start += (size_t)count;
    }
    buf_clear(&wire->out);
    wire->out_start = 0;
    return true;
}

bool wire_read(struct wire *wire)
{
    memmove(wire->in, wire->in + wire->in_start, wire->in_end - wire->in_start);
    wire->in_end -= wire->in_start;
    wire->in_start = 0;
    size_t room = IN_BYTES - wire->in_end;
    if (room == 0)
        fail("a message is larger than %d bytes", IN_BYTES);
    ssize_t count = recv(wire->fd, wire->in + wire->in_end, room, 0);
    if (count < 0 && errno == EAGAIN)
        return false;
    if (count <= 0)
        fail("the daemon hung up: %s", count < 0 ? strerror(errno) : "end of stream");
    wire->in_end += (size_t)count;
    return (size_t)count == room;
}

/* The frame at `*at`, which moves behind it; false when it hasn't arrived as a whole. */
static bool frame_at(const struct wire *wire, size_t *at, unsigned char *flags, struct text *body)
{
    const unsigned char *bytes = (const unsigned char *)wire->in + *at;
    size_t left = wire->in_end - *at;
    if (left < 2)
        return false;
    size_t head_bytes = bytes[0] & FLAG_LONG ? 9 : 2;
    if (left < head_bytes)
        return false;
    uint64_t body_bytes = bytes[1];
    if (bytes[0] & FLAG_LONG) {
        memcpy(&body_bytes, bytes + 1, sizeof body_bytes);
        body_bytes = be64toh(body_bytes);
    }
    if (left - head_bytes < body_bytes)
        return false;
    *flags = bytes[0];
    *body = (struct text){(const char *)bytes + head_bytes, body_bytes};
    *at += head_bytes + body_bytes;
    return true;
}

/* The daemon hangs up on who doesn't answer its pings: PING, a time to live of two bytes, a context. */
static void answer_command(struct wire *wire, struct text command)
{
    static const char ping[] = "\4PING", pong[] = "\4PONG";
    size_t head_bytes = sizeof ping - 1 + 2;
    if (command.len < head_bytes || memcmp(command.bytes, ping, sizeof ping - 1) != 0)
        return;
    struct text context = {command.bytes + head_bytes, command.len - head_bytes};
    buf_byte(&wire->out, FLAG_COMMAND);
    buf_byte(&wire->out, (char)(sizeof pong - 1 + context.len));
    buf_append(&wire->out, (struct text){pong, sizeof pong - 1});
    buf_append(&wire->out, context);
    wire_flush(wire);
}

size_t wire_take(struct wire *wire, struct text *frames, size_t frame_max)
{
    size_t at = wire->in_start, count = 0;
    unsigned char flags;
    struct text body;
    while (frame_at(wire, &at, &flags, &body)) {
        if (flags & FLAG_COMMAND) {
            answer_command(wire, body);
            wire->in_start = at; /* commands come between messages */
            continue;
        }
        if (count == frame_max)
            fail("a message of more than %zu frames", frame_max);
        frames[count++] = body;
        if (flags & FLAG_MORE)
            continue;
        wire->in_start = at;
        return count;
    }
    return 0;
}

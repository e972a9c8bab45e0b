/* bare_door.c - the least that an acknowledged event costs behind a ZeroMQ socket: one thread that takes a message,
 * appends it to a file, syncs that, and answers. No check, no rules, no state.
 *
 *     bench build/tests/bench/bare_door FOLDER prepare=no devices=1 batch=1 window=1 events=N
 *
 * It takes the daemon's options and prints its ready line, so that the load generator can't tell them apart. What one
 * client waits for here is what the library, the kernel and the disk take; `make bench` shows how much fwsync adds. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "tests/bench/fail.h"

enum { ENDPOINT_BYTES = 128, PATH_BYTES = 4096, FILE_BYTES = 64 << 20, WRITE_BYTES = 4096, REPLY_BYTES = 160, LOOK_MS = 100 };

static volatile sig_atomic_t stopped;

static void stop(int signal_number)
{
    (void)signal_number;
    stopped = 1;
}

/* A file that is there already, so that a sync writes data and nothing else. */
static int open_file(const char *folder)
{
    static const char zeros[1 << 20];
    char path[PATH_BYTES];
    mkdir(folder, 0750);
    if (snprintf(path, sizeof path, "%s/log", folder) >= PATH_BYTES)
        fail("%s: too long", folder);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0)
        fail("%s: %s", path, strerror(errno));
    for (size_t at = 0; at < FILE_BYTES; at += sizeof zeros)
        if (pwrite(fd, zeros, sizeof zeros, (off_t)at) != (ssize_t)sizeof zeros)
            fail("%s: %s", path, strerror(errno));
    fsync(fd);
    return fd;
}

static void *open_door(void *context, char endpoint[ENDPOINT_BYTES])
{
    size_t len = ENDPOINT_BYTES;
    void *socket = zmq_socket(context, ZMQ_ROUTER);
    if (socket == NULL || zmq_bind(socket, "tcp://127.0.0.1:*") != 0 ||
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &len) != 0)
        fail("zmq: %s", zmq_strerror(zmq_errno()));
    return socket;
}

/* Sends all frames back but the last, which it returns; with `reply` in its place. */
static void answer(void *socket, zmq_msg_t *body, const char *reply)
{
    for (;;) {
        zmq_msg_init(body);
        if (zmq_msg_recv(body, socket, 0) < 0)
            return;
        if (!zmq_msg_more(body))
            break;
        zmq_msg_send(body, socket, ZMQ_SNDMORE);
    }
    if (reply != NULL)
        zmq_send(socket, reply, strlen(reply), 0);
}

static void append(int fd, const zmq_msg_t *body, uint64_t number)
{
    static char block[WRITE_BYTES];
    size_t len = zmq_msg_size(body) < sizeof block ? zmq_msg_size(body) : sizeof block;
    memcpy(block, zmq_msg_data((zmq_msg_t *)body), len);
    off_t at = (off_t)(number * 256 % (FILE_BYTES - WRITE_BYTES));
    if (pwrite(fd, block, len, at) != (ssize_t)len || fdatasync(fd) != 0)
        fail("log: %s", strerror(errno));
}

static void serve(void *events, void *query, int fd)
{
    char reply[REPLY_BYTES];
    zmq_pollitem_t items[] = {{events, 0, ZMQ_POLLIN, 0}, {query, 0, ZMQ_POLLIN, 0}};
    for (uint64_t number = 0; !stopped;) {
        zmq_msg_t body;
        if (zmq_poll(items, 2, LOOK_MS) <= 0)
            continue; /* a signal, perhaps; one that came just before is seen next time */
        if ((items[0].revents & ZMQ_POLLIN) != 0) {
            answer(events, &body, NULL);
            append(fd, &body, ++number);
            snprintf(reply, sizeof reply,
                     "{\"ok\":true,\"accepted\":1,\"duplicates\":0,\"rejected\":0,\"first\":%" PRIu64 ",\"last\":%" PRIu64 "}",
                     number, number);
            zmq_send(events, reply, strlen(reply), 0);
            zmq_msg_close(&body);
        }
        if ((items[1].revents & ZMQ_POLLIN) != 0) {
            snprintf(reply, sizeof reply, "{\"ok\":true,\"seq\":%" PRIu64 ",\"devices\":1,\"events\":{\"pending\":0}}", number);
            answer(query, &body, reply);
            zmq_msg_close(&body);
        }
    }
}

static const char *folder_of(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], "--data") == 0)
            return argv[i + 1];
    fail("--data FOLDER is missing");
}

int main(int argc, char **argv)
{
    char events_at[ENDPOINT_BYTES], query_at[ENDPOINT_BYTES];
    struct sigaction on_stop = {.sa_handler = stop};
    sigaction(SIGTERM, &on_stop, NULL);
    void *context = zmq_ctx_new();
    void *events = open_door(context, events_at), *query = open_door(context, query_at);
    int fd = open_file(folder_of(argc, argv));
    printf("ready events=%s query=%s results=none\n", events_at, query_at);
    fflush(stdout);
    serve(events, query, fd);
    zmq_close(events);
    zmq_close(query);
    zmq_ctx_term(context);
    close(fd);
    return 0;
}

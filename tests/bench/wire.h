/* wire.h - one ZeroMQ connection without libzmq: ZMTP 3.0 over TCP.
 *
 * A load generator takes its time from the daemon that it measures, as they share the cores. libzmq
 * hands every frame to a thread of its own; here a loop over epoll writes and reads many messages with
 * one system call. The daemon sees no difference.
 *
 * It does not reconnect, and knows no mechanism but NULL: whatever goes wrong ends the program. Pings are
 * answered while messages are taken.
 * Source: rfc.zeromq.org/spec/23. One thread. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include "engine/base/buf.h"

struct wire {
    int fd;
    struct buf out;     /* to be written, from out_start on */
    size_t out_start;
    char *in;           /* read, from in_start to in_end */
    size_t in_start;
    size_t in_end;
};

/* wire_open - connect and shake hands. The socket doesn't block afterwards.
 *
 * endpoint     tcp://ADDRESS:PORT, an IPv4 address
 * socket_type  "DEALER", "REQ" or "SUB" */
void wire_open(struct wire *wire, const char *endpoint, const char *socket_type);
void wire_close(struct wire *wire);

/* wire_frame - put a frame behind what is to be written. */
void wire_frame(struct wire *wire, struct text body, bool more);

/* wire_flush - write what the connection takes now; true when nothing is left. */
bool wire_flush(struct wire *wire);

/* wire_read - read what has arrived, as far as there is room; true when there may be more. */
bool wire_read(struct wire *wire);

/* wire_take - the next message that has been read as a whole; false when there is none.
 *
 * frames  out: frame_max of them at most, more fail; borrowed until the next wire_read()
 * returns  the number of frames; 0 when there is none */
size_t wire_take(struct wire *wire, struct text *frames, size_t frame_max);

#endif

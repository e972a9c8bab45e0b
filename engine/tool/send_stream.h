/* send_stream.h - `fwsync send -` and `fwsync import`: lines of a file through the library.
 *
 * What is there is sent at once, so that `tail -f log | fwsync send -` works too. Lines aren't parsed here:
 * fwsyncd says which are wrong, and the number that the library has for an event is its line. Unless the
 * command makes events of a line: then they are numbered by themselves, and a device tells which is wrong. */
#ifndef TOOL_SEND_STREAM_H
#define TOOL_SEND_STREAM_H

#include "engine/base/buf.h"
#include "engine/base/err.h"
#include "engine/tool/options.h"

struct send_job {
    const char *command; /* for messages */
    int fd;              /* what is read */
    size_t line_bytes_max;
    const char *example; /* a line, to show to whose input isn't made of such */
    const char *source; /* of the numbers on the wire; NULL: lines aren't numbered, events of `expand` are */
    /* Append the line's events to `events`, one a line; NULL: the line is the event. False: it has none. */
    bool (*expand)(void *context, struct text line, struct buf *events, struct err *err);
    void *context;
};

/* send_stream - returns the exit code. */
int send_stream(const struct setup *setup, const struct send_job *job);

#endif

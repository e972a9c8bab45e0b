/* send_stream.h - `fwsync send -`: events from standard input through the library.
 *
 * What is there is sent at once, so that `tail -f log | fwsync send -` works too. Lines aren't parsed here:
 * fwsyncd says which are wrong, and the number that the library has for an event is its line. */
#ifndef CLIENT_SEND_STREAM_H
#define CLIENT_SEND_STREAM_H

#include "engine/client/options.h"

/* send_stream - source NULL: lines aren't numbered on the wire. Returns the exit code. */
int send_stream(const struct setup *setup, const char *source);

#endif

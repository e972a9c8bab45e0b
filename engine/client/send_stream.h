/* send_stream.h - `fwsync send -`: events from standard input, as fast as they are acknowledged.
 *
 * Lines are batched (LINES_MAX, BATCH_BYTES_MAX), and a few batches are under way at a time; what is
 * there is sent at once, so that `tail -f log | fwsync send -` works too. Lines aren't parsed here:
 * fwsyncd says which are wrong, and its line numbers are turned into those of the input.
 *
 * Order is kept. When a batch was refused as busy, or there was no answer, the batches behind it are
 * sent again after it, even if they had been taken: a device's last report must stay its last. With a
 * source only one batch is under way, since fwsyncd would take a later one for proof that the earlier
 * one had been seen. */
#ifndef CLIENT_SEND_STREAM_H
#define CLIENT_SEND_STREAM_H

#include "engine/client/options.h"

/* send_stream - source NULL: lines aren't numbered. Returns the exit code. */
int send_stream(const struct setup *setup, const char *source);

#endif

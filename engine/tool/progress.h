/* progress.h - how far long work has come: one line on the terminal, drawn over itself, gone at the end.
 *
 * Nothing of it appears when standard error isn't a terminal. */
#ifndef TOOL_PROGRESS_H
#define TOOL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what; /* "devices", "events acknowledged" */
    bool bytes;       /* counted in bytes: shown as MiB */
    int64_t total;    /* 0: not known */
    bool enabled;
    bool visible;
    int64_t started_ms;
    int64_t shown_ms;
};

enum { PROGRESS_MS = 250 }; /* between two lines, at least */

/* progress_start - `what` is borrowed. Nothing is shown yet: short work shows nothing. */
void progress_start(struct progress *progress, const char *what, int64_t total);
/* progress_show - so much is done. Call it as often as you like. */
void progress_show(struct progress *progress, int64_t done);
/* progress_clear - take the line away: at the end, and before anything else goes to the terminal. */
void progress_clear(struct progress *progress);

#endif

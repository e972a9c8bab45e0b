#include "engine/tool/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "engine/base/clock.h"

void progress_start(struct progress *progress, const char *what, int64_t total)
{
    int64_t now = clock_monotonic_ms();
    *progress = (struct progress){
        .what = what,
        .total = total,
        .enabled = isatty(STDERR_FILENO),
        .started_ms = now,
        .shown_ms = now,
    };
}

static void print_amount(const struct progress *progress, int64_t amount)
{
    if (progress->bytes)
        fprintf(stderr, "%.1f", (double)amount / (1 << 20));
    else
        fprintf(stderr, "%lld", (long long)amount);
}

static void print_line(const struct progress *progress, int64_t done, int64_t elapsed_ms)
{
    const char *unit = progress->bytes ? " MiB" : "";
    fputs("\r\033[K", stderr);
    print_amount(progress, done);
    if (progress->total > 0) {
        fputs(" of ", stderr);
        print_amount(progress, progress->total);
    }
    fprintf(stderr, "%s %s", unit, progress->what);
    if (progress->total > 0)
        fprintf(stderr, ", %d %%", (int)(100 * (double)done / (double)progress->total));
    fputs(", ", stderr);
    print_amount(progress, elapsed_ms > 0 ? done * 1000 / elapsed_ms : 0);
    fprintf(stderr, "%s/s", unit);
    fflush(stderr);
}

void progress_show(struct progress *progress, int64_t done)
{
    int64_t now = clock_monotonic_ms();
    if (!progress->enabled || now - progress->shown_ms < PROGRESS_MS)
        return;
    progress->shown_ms = now;
    progress->visible = true;
    print_line(progress, done, now - progress->started_ms);
}

void progress_clear(struct progress *progress)
{
    if (progress->visible)
        fputs("\r\033[K", stderr);
    progress->visible = false;
}

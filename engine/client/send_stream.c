#include "engine/client/send_stream.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/limits.h"
#include "engine/client/fwsync.h"
#include "engine/client/interrupt.h"
#include "engine/client/line_reader.h"
#include "engine/client/session.h"

enum {
    PATIENCE_MS = 60000, /* without any progress, once the daemon has answered */
    PROGRESS_MS = 250,
};

struct stream {
    struct session session; /* for what is told */
    struct fwsync_client *client;
    struct line_reader reader;
    struct text line;  /* the one that found no room yet; borrowed from the reader */
    bool held;         /* there is such a line */
    bool hungry;       /* all that was read is sent */
    uint64_t events;   /* lines that aren't empty */
    uint64_t too_long; /* those among them that weren't sent */
    uint64_t told;     /* those that fwsyncd rejected, and said which */
    uint64_t settled, resends; /* at the last look */
    int64_t progress_ms;       /* when something was settled last, or there was nothing to settle */
    bool busy_told;
    bool show_progress;
    int64_t shown_ms;
    int64_t started_ms;
};

static int64_t now_ms(void)
{
    return clock_monotonic_ns() / 1000000;
}

static struct fwsync_counts counts_of(const struct stream *stream)
{
    struct fwsync_counts counts;
    fwsync_counts(stream->client, &counts);
    counts.rejected += stream->too_long;
    return counts;
}

static uint64_t settled_count(const struct fwsync_counts *counts)
{
    return counts->accepted + counts->duplicates + counts->rejected;
}

/* --- what the person sees --------------------------------------------------------------------------- */

static void clear_progress(struct stream *stream)
{
    if (stream->show_progress && stream->shown_ms > 0)
        fputs("\r\033[K", stderr);
}

static void show_progress(struct stream *stream)
{
    int64_t now = now_ms();
    if (!stream->show_progress || now - stream->shown_ms < PROGRESS_MS)
        return;
    stream->shown_ms = now;
    struct fwsync_counts counts = counts_of(stream);
    uint64_t elapsed_ms = (uint64_t)(now - stream->started_ms), done = settled_count(&counts);
    fprintf(stderr, "\r\033[K%" PRIu64 " events acknowledged, %" PRIu64 "/s", done,
            elapsed_ms > 0 ? done * 1000 / elapsed_ms : 0);
    if (counts.rejected > 0)
        fprintf(stderr, ", %" PRIu64 " rejected", counts.rejected);
    fflush(stderr);
}

static void tell(struct stream *stream, const char *text)
{
    clear_progress(stream);
    arena_reset(&stream->session.arena);
    struct text clean = screen_clean(text_of(text), &stream->session.arena);
    fprintf(stderr, "fwsync send: " TEXT_FMT "\n", TEXT_ARG(clean));
}

static void tell_line(struct stream *stream, uint64_t line, const char *why)
{
    clear_progress(stream);
    arena_reset(&stream->session.arena);
    struct text clean = screen_clean(text_of(why), &stream->session.arena);
    fprintf(stderr, "fwsync send: line %" PRIu64 " is rejected: " TEXT_FMT "\n", line, TEXT_ARG(clean));
}

static void on_rejected(void *context, uint64_t n, const char *event, size_t len, const char *code,
                        const char *error)
{
    struct stream *stream = context;
    (void)event;
    (void)len;
    stream->told++;
    tell_line(stream, n, error[0] != '\0' ? error : code);
}

static void print_summary(const struct stream *stream, const struct fwsync_counts *counts, uint64_t unknown)
{
    double seconds = (double)(now_ms() - stream->started_ms) / 1000;
    uint64_t untold = counts->rejected - stream->too_long - stream->told;
    if (untold > 0)
        fprintf(stderr, "fwsync send: %" PRIu64 " more lines are rejected; fwsyncd doesn't list them all\n",
                untold);
    if (stream->session.setup->json) {
        printf("{\"ok\":%s,\"lines\":%" PRIu64 ",\"events\":%" PRIu64 ",\"accepted\":%" PRIu64
               ",\"duplicates\":%" PRIu64 ",\"rejected\":%" PRIu64 ",\"unanswered\":%" PRIu64
               ",\"seconds\":%.3f}\n",
               unknown == 0 && counts->rejected == 0 ? "true" : "false", stream->reader.line,
               stream->events, counts->accepted, counts->duplicates, counts->rejected, unknown, seconds);
        return;
    }
    printf("%" PRIu64 " event%s: %" PRIu64 " accepted, %" PRIu64 " duplicate%s, %" PRIu64 " rejected",
           stream->events, stream->events == 1 ? "" : "s", counts->accepted, counts->duplicates,
           counts->duplicates == 1 ? "" : "s", counts->rejected);
    if (unknown > 0)
        printf(", %" PRIu64 " without an answer", unknown);
    printf(" in %.1f s\n", seconds);
}

/* --- sending ---------------------------------------------------------------------------------------- */

static bool fail(struct stream *stream, enum err_code code, const char *why)
{
    struct err err;
    err_set(&err, code, "%s", why);
    clear_progress(stream);
    return session_fail(&stream->session, &err);
}

static void reject_long_line(struct stream *stream)
{
    stream->events++;
    stream->too_long++;
    tell_line(stream, stream->reader.line, "longer than 1 MiB");
}

/* Hand the line to the library. False: there is no room for it, or an error, told. */
static bool send_line(struct stream *stream)
{
    enum fwsync_code code = fwsync_send_numbered(stream->client, stream->reader.line, stream->line.bytes,
                                                 stream->line.len, 0);
    stream->held = code == FWSYNC_E_FULL;
    if (code == FWSYNC_OK)
        stream->events++;
    else if (code == FWSYNC_E_TOO_LARGE)
        reject_long_line(stream);
    else if (code != FWSYNC_E_FULL && code != FWSYNC_E_INVALID) /* that is a line without an event */
        fail(stream, ERR_IO, fwsync_last_error(stream->client));
    return !stream->held && stream->session.exit_code == EXIT_DONE;
}

static void send_lines(struct stream *stream)
{
    if (stream->held && !send_line(stream))
        return;
    for (;;) {
        enum line_kind kind = line_reader_next(&stream->reader, &stream->line);
        stream->hungry = kind == LINE_NONE;
        if (stream->hungry)
            return;
        if (kind == LINE_TOO_LONG)
            reject_long_line(stream);
        else if (!send_line(stream))
            return;
    }
}

/* Wait for input, for something the library can do, for Ctrl-C, or a while. */
static void wait_for_something(struct stream *stream)
{
    bool want_input = stream->hungry && !stream->reader.ended;
    struct pollfd items[] = {
        {.fd = fwsync_fd(stream->client), .events = POLLIN},
        {.fd = interrupt_fd(), .events = POLLIN},
        {.fd = want_input ? stream->reader.fd : -1, .events = POLLIN},
    };
    if (poll(items, 3, PROGRESS_MS) > 0 && items[2].revents != 0)
        line_reader_fill(&stream->reader);
}

static bool give_up(struct stream *stream, bool silent, int64_t patience_ms)
{
    char why[ERR_TEXT_BYTES];
    const char *endpoint = stream->session.setup->events;
    if (silent)
        snprintf(why, sizeof why, "no answer from %s within %g s: is fwsyncd running?", endpoint,
                 (double)patience_ms / 1000);
    else
        snprintf(why, sizeof why, "fwsyncd at %s took nothing for %g s", endpoint,
                 (double)patience_ms / 1000);
    return fail(stream, silent ? ERR_TIMEOUT : ERR_BUSY, why);
}

/* Tell of trouble, each time that there is something new in it. */
static void tell_trouble(struct stream *stream, const struct fwsync_counts *counts, int64_t stuck_ms)
{
    if (counts->resends > stream->resends)
        tell(stream, "no answer; sending again");
    stream->resends = counts->resends;
    if (stream->busy_told || counts->busy == 0 || stuck_ms <= stream->session.setup->timeout_ms)
        return;
    char text[ERR_TEXT_BYTES];
    snprintf(text, sizeof text, "%.480s; trying again", fwsync_last_error(stream->client));
    tell(stream, text);
    stream->busy_told = true;
}

/* False: enough of it. */
static bool check_progress(struct stream *stream)
{
    const struct setup *setup = stream->session.setup;
    struct fwsync_counts counts = counts_of(stream);
    if (settled_count(&counts) > stream->settled || counts.waiting == 0) {
        stream->settled = settled_count(&counts);
        stream->progress_ms = now_ms();
        stream->busy_told = false;
    }
    int64_t stuck_ms = now_ms() - stream->progress_ms;
    bool heard = settled_count(&counts) > stream->too_long || counts.busy > 0;
    int64_t patience_ms = heard && setup->timeout_ms < PATIENCE_MS ? PATIENCE_MS : setup->timeout_ms;
    if (stuck_ms >= patience_ms)
        return give_up(stream, counts.resends > stream->resends || !heard, patience_ms);
    if (heard)
        tell_trouble(stream, &counts, stuck_ms);
    return true;
}

/* One turn of the loop. False: stop. */
static bool turn(struct stream *stream)
{
    send_lines(stream);
    if (stream->session.exit_code != EXIT_DONE)
        return false;
    if (stream->reader.ended && stream->hungry && counts_of(stream).waiting == 0)
        return false;
    wait_for_something(stream);
    if (fwsync_process(stream->client, 0) != FWSYNC_OK)
        return fail(stream, ERR_IO, fwsync_last_error(stream->client));
    show_progress(stream);
    return check_progress(stream) && !interrupted();
}

static bool stream_open(struct stream *stream, const struct setup *setup, const char *source)
{
    const struct fwsync_options options = {
        .events = setup->events,
        .timeout_ms = (int)setup->timeout_ms,
        .source = source == NULL ? "" : source,
        .first_n = source == NULL || source[0] == '\0' ? 0 : 1,
        .on_rejected = on_rejected,
        .context = stream,
    };
    *stream = (struct stream){
        .show_progress = isatty(STDERR_FILENO),
        .started_ms = now_ms(),
        .progress_ms = now_ms(),
    };
    session_open(&stream->session, setup, "send");
    line_reader_init(&stream->reader, STDIN_FILENO, REQUEST_BYTES_MAX);
    enum fwsync_code code = fwsync_open(&options, &stream->client);
    return code == FWSYNC_OK ||
           fail(stream, code == FWSYNC_E_CONFIG ? ERR_CONFIG : ERR_IO, fwsync_last_error(NULL));
}

static int stream_close(struct stream *stream)
{
    fwsync_close(stream->client);
    line_reader_fini(&stream->reader);
    return session_close(&stream->session);
}

int send_stream(const struct setup *setup, const char *source)
{
    struct stream stream;
    if (!stream_open(&stream, setup, source))
        return stream_close(&stream);
    while (turn(&stream))
        ;
    clear_progress(&stream);
    if (stream.reader.error != 0) {
        struct err err;
        err_set(&err, ERR_IO, "cannot read standard input: %s", strerror(stream.reader.error));
        session_fail(&stream.session, &err);
    }
    struct fwsync_counts counts = counts_of(&stream);
    uint64_t unknown = stream.events - settled_count(&counts);
    print_summary(&stream, &counts, unknown);
    if ((counts.rejected > 0 || unknown > 0) && stream.session.exit_code == EXIT_DONE)
        stream.session.exit_code = EXIT_ERROR;
    return stream_close(&stream);
}

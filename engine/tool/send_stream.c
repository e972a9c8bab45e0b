#include "engine/tool/send_stream.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/limits.h"
#include "engine/client/fwsync.h"
#include "engine/tool/interrupt.h"
#include "engine/tool/line_reader.h"
#include "engine/tool/progress.h"
#include "engine/tool/session.h"

enum {
    PATIENCE_MS = 60000,  /* without any progress, once the daemon has answered */
    REJECTED_SHOWN_MAX = 20, /* of more only the number */
    LAST_WORDS_MS = 1000, /* after Ctrl-C, for answers to what is under way; a second one ends at once */
};

struct stream {
    struct session session; /* for what is told */
    const struct send_job *job;
    struct fwsync_client *client;
    struct line_reader reader;
    struct buf events_of_line; /* as the job made them, when it does */
    struct text pending;       /* of the line, or of these: what isn't sent yet; borrowed */
    bool hungry;               /* all that was read is sent */
    uint64_t events;   /* lines that aren't empty */
    uint64_t unsent; /* those among them that were too long, or that no event could be made of */
    uint64_t shown;    /* rejections that were told */
    uint64_t line_first; /* the first that isn't empty; 0: none yet */
    bool is_foreign;     /* and that is no JSON object */
    uint64_t settled, resends; /* at the last look */
    int64_t progress_ms;       /* when something was settled last, or there was nothing to settle */
    uint64_t progress_busy;    /* how often the daemon was busy until then */
    bool busy_told;
    struct progress progress;
    int64_t started_ms;
};

static struct fwsync_counts counts_of(const struct stream *stream)
{
    struct fwsync_counts counts;
    fwsync_counts(stream->client, &counts);
    counts.rejected += stream->unsent;
    return counts;
}

static uint64_t settled_count(const struct fwsync_counts *counts)
{
    return counts->accepted + counts->duplicates + counts->rejected;
}

/* --- what the person sees --------------------------------------------------------------------------- */

static void tell(struct stream *stream, const char *text)
{
    progress_clear(&stream->progress);
    arena_reset(&stream->session.arena);
    struct text clean = screen_clean(text_of(text), &stream->session.arena);
    fprintf(stderr, "fwsync %s: " TEXT_FMT "\n", stream->job->command, TEXT_ARG(clean));
}

/* Is one more rejection to be told? */
static bool show_rejection(struct stream *stream)
{
    bool shown = stream->shown < REJECTED_SHOWN_MAX;
    stream->shown += shown;
    return shown;
}

static void tell_line(struct stream *stream, uint64_t line, const char *why)
{
    if (!show_rejection(stream))
        return;
    progress_clear(&stream->progress);
    arena_reset(&stream->session.arena);
    struct text clean = screen_clean(text_of(why), &stream->session.arena);
    fprintf(stderr, "fwsync %s: line %" PRIu64 " is rejected: " TEXT_FMT "\n", stream->job->command, line,
            TEXT_ARG(clean));
    if (line == stream->line_first && stream->is_foreign)
        fprintf(stderr, "A line looks like this: %s\n", stream->job->example);
}

/* The event's device says more of one that was made here than its number. */
static void tell_event(struct stream *stream, struct text event, const char *why)
{
    char text[ERR_TEXT_BYTES];
    if (!show_rejection(stream))
        return;
    session_read(&stream->session, event, NULL);
    struct text device = field_text(&stream->session.answer, "device");
    snprintf(text, sizeof text, "device '%.*s': an event is rejected: %.300s", TEXT_CUT(device, 100), why);
    tell(stream, text);
}

static void on_rejected(void *context, uint64_t n, const char *event, size_t len, const char *code,
                        const char *error)
{
    struct stream *stream = context;
    const char *why = error[0] != '\0' ? error : code;
    if (stream->job->expand != NULL)
        tell_event(stream, (struct text){event, len}, why);
    else
        tell_line(stream, n, why);
}

static void print_summary(const struct stream *stream, const struct fwsync_counts *counts, uint64_t unknown)
{
    double seconds = (double)(clock_monotonic_ms() - stream->started_ms) / 1000;
    if (counts->rejected > stream->shown)
        fprintf(stderr, "fwsync %s: and %" PRIu64 " more are rejected\n", stream->job->command,
                counts->rejected - stream->shown);
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
    progress_clear(&stream->progress);
    return session_fail(&stream->session, &err);
}

static void reject_line(struct stream *stream, const char *why)
{
    stream->events++;
    stream->unsent++;
    tell_line(stream, stream->reader.line, why);
}

/* False: there is no room for it, or an error, told. */
static bool send_event(struct stream *stream, struct text event)
{
    enum fwsync_code code =
        stream->job->expand != NULL
            ? fwsync_send(stream->client, event.bytes, event.len, 0)
            : fwsync_send_numbered(stream->client, stream->reader.line, event.bytes, event.len, 0);
    if (code == FWSYNC_OK)
        stream->events++;
    else if (code == FWSYNC_E_TOO_LARGE)
        reject_line(stream, "longer than 1 MiB");
    else if (code != FWSYNC_E_FULL && code != FWSYNC_E_INVALID) /* that is a line without an event */
        fail(stream, ERR_IO, fwsync_last_error(stream->client));
    return code != FWSYNC_E_FULL && stream->session.exit_code == EXIT_DONE;
}

/* Hand what is pending to the library. False as above; the rest stays pending. */
static bool send_pending(struct stream *stream)
{
    struct text *pending = &stream->pending;
    while (pending->len > 0) {
        const char *end = memchr(pending->bytes, '\n', pending->len);
        size_t len = end == NULL ? pending->len : (size_t)(end - pending->bytes);
        if (!send_event(stream, (struct text){pending->bytes, len}))
            return false;
        len += end != NULL;
        *pending = (struct text){pending->bytes + len, pending->len - len};
    }
    return true;
}

static void note_first_line(struct stream *stream, struct text line)
{
    size_t at = 0;
    if (stream->line_first > 0 || line.len == 0)
        return;
    stream->line_first = stream->reader.line;
    while (at < line.len && (line.bytes[at] == ' ' || line.bytes[at] == '\t'))
        at++;
    stream->is_foreign = at == line.len || line.bytes[at] != '{';
}

static void take_line(struct stream *stream, struct text line)
{
    const struct send_job *job = stream->job;
    struct err err;
    note_first_line(stream, line);
    stream->pending = line;
    if (job->expand == NULL || line.len == 0)
        return;
    buf_clear(&stream->events_of_line);
    bool made = job->expand(job->context, line, &stream->events_of_line, &err);
    stream->pending = made ? buf_text(&stream->events_of_line) : TEXT("");
    if (!made)
        reject_line(stream, err.text);
}

static void send_lines(struct stream *stream)
{
    while (send_pending(stream)) {
        struct text line;
        enum line_kind kind = line_reader_next(&stream->reader, &line);
        stream->hungry = kind == LINE_NONE;
        if (stream->hungry)
            return;
        if (kind == LINE_TOO_LONG)
            reject_line(stream, "too long");
        else
            take_line(stream, line);
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
        stream->progress_ms = clock_monotonic_ms();
        stream->progress_busy = counts.busy;
        stream->busy_told = false;
    }
    int64_t stuck_ms = clock_monotonic_ms() - stream->progress_ms;
    bool heard = settled_count(&counts) > stream->unsent || counts.busy > 0;
    int64_t patience_ms = heard && setup->timeout_ms < PATIENCE_MS ? PATIENCE_MS : setup->timeout_ms;
    if (stuck_ms >= patience_ms)
        return give_up(stream, counts.busy == stream->progress_busy, patience_ms);
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
    struct fwsync_counts counts = counts_of(stream);
    progress_show(&stream->progress, (int64_t)(counts.accepted + counts.duplicates));
    return check_progress(stream) && !interrupted();
}

static bool stream_open(struct stream *stream, const struct setup *setup, const struct send_job *job)
{
    const char *source = job->source != NULL || job->expand != NULL ? job->source : "";
    const struct fwsync_options options = {
        .events = setup->events,
        .timeout_ms = (int)setup->timeout_ms,
        .source = source,
        .first_n = source == NULL || source[0] == '\0' ? 0 : 1,
        .on_rejected = on_rejected,
        .context = stream,
    };
    *stream = (struct stream){
        .job = job,
        .started_ms = clock_monotonic_ms(),
        .progress_ms = clock_monotonic_ms(),
    };
    session_open(&stream->session, setup, job->command);
    progress_start(&stream->progress, "events acknowledged", 0);
    if (isatty(job->fd)) {
        fprintf(stderr, "reading what you type, a line such as %s; Ctrl-D ends\n", job->example);
        stream->progress.enabled = false; /* it would stand in what is typed */
    }
    line_reader_init(&stream->reader, job->fd, job->line_bytes_max);
    enum fwsync_code code = fwsync_open(&options, &stream->client);
    return code == FWSYNC_OK ||
           fail(stream, code == FWSYNC_E_CONFIG ? ERR_CONFIG : ERR_IO, fwsync_last_error(NULL));
}

/* What was sent before Ctrl-C may be acknowledged this very moment: the summary should know. */
static void hear_last_words(struct stream *stream)
{
    int64_t end_ms = clock_monotonic_ms() + LAST_WORDS_MS, left_ms;
    while ((left_ms = end_ms - clock_monotonic_ms()) > 0 && counts_of(stream).waiting > 0 &&
           fwsync_process(stream->client, (int)left_ms) == FWSYNC_OK)
        continue;
}

static int stream_close(struct stream *stream)
{
    fwsync_close(stream->client);
    line_reader_fini(&stream->reader);
    buf_fini(&stream->events_of_line);
    return session_close(&stream->session);
}

int send_stream(const struct setup *setup, const struct send_job *job)
{
    struct stream stream;
    if (!stream_open(&stream, setup, job))
        return stream_close(&stream);
    while (turn(&stream))
        ;
    if (interrupted())
        hear_last_words(&stream);
    progress_clear(&stream.progress);
    if (stream.reader.error != 0) {
        struct err err;
        err_set(&err, ERR_IO, "cannot read the input: %s", strerror(stream.reader.error));
        session_fail(&stream.session, &err);
    }
    struct fwsync_counts counts = counts_of(&stream);
    uint64_t unknown = stream.events - settled_count(&counts);
    print_summary(&stream, &counts, unknown);
    if ((counts.rejected > 0 || unknown > 0) && stream.session.exit_code == EXIT_DONE)
        stream.session.exit_code = EXIT_ERROR;
    return stream_close(&stream);
}

#include "engine/client/send_stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/limits.h"
#include "engine/client/compose.h"
#include "engine/client/interrupt.h"
#include "engine/client/line_reader.h"
#include "engine/client/session.h"

enum {
    LINES_MAX = 100, /* as many as errors are listed in one answer */
    BATCH_BYTES_MAX = 256 << 10,
    WINDOW_MAX = 4,
    WINDOW_GROWTH = 16,     /* batches taken per step back to the full window after a "busy" */
    PATIENCE_MS = 60000,    /* without any progress, once the daemon has answered */
    PROGRESS_MS = 250,
};

enum batch_state { BATCH_WAITING, BATCH_POSTED, BATCH_DONE };

struct batch {
    struct buf body;
    uint64_t first_line; /* of the input */
    unsigned line_count;
    bool empty; /* only empty lines so far */
    enum batch_state state;
    bool counted; /* its answer is in the totals */
    bool repeat;  /* under way, and to be sent again after an earlier one */
    uint64_t id;
};

struct totals {
    int64_t events, accepted, duplicates, rejected;
};

struct stream {
    struct session session;
    struct line_reader reader;
    bool hungry;      /* all that was read is in batches */
    bool input_ready; /* there was more to read at the last look */
    struct text source; /* empty: none */
    /* A ring: `closed` batches from `head` on, then the one being filled. */
    struct batch ring[WINDOW_MAX + 1];
    unsigned head, closed;
    unsigned window;      /* batches that may be under way */
    unsigned taken_count; /* since the last "busy" */
    int64_t retry_at_ms;  /* nothing is posted before */
    int64_t heard_ms;     /* the last answer, or the first post after a silence */
    int64_t progress_ms;  /* the last batch that was taken */
    bool ever_heard;
    bool busy_told;
    struct totals totals;
    bool show_progress;
    int64_t shown_ms;
    int64_t started_ms;
};

static int64_t now_ms(void)
{
    return clock_monotonic_ns() / 1000000;
}

static struct batch *batch_at(struct stream *stream, unsigned position)
{
    return &stream->ring[(stream->head + position) % (WINDOW_MAX + 1)];
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
    int64_t elapsed_ms = now - stream->started_ms;
    int64_t done = stream->totals.accepted + stream->totals.duplicates + stream->totals.rejected;
    fprintf(stderr, "\r\033[K%" PRId64 " events acknowledged, %" PRId64 "/s", done,
            elapsed_ms > 0 ? done * 1000 / elapsed_ms : 0);
    if (stream->totals.rejected > 0)
        fprintf(stderr, ", %" PRId64 " rejected", stream->totals.rejected);
    fflush(stderr);
}

static void tell(struct stream *stream, const char *text)
{
    clear_progress(stream);
    fprintf(stderr, "fwsync send: %s\n", text);
}

static void tell_line(struct stream *stream, uint64_t line, struct text why)
{
    clear_progress(stream);
    why = screen_clean(why, &stream->session.arena);
    fprintf(stderr, "fwsync send: line %" PRIu64 " is rejected: " TEXT_FMT "\n", line, TEXT_ARG(why));
}

static void print_summary(const struct stream *stream)
{
    const struct totals *totals = &stream->totals;
    int64_t unknown =
        totals->events - totals->accepted - totals->duplicates - totals->rejected;
    double seconds = (double)(now_ms() - stream->started_ms) / 1000;
    bool ok = unknown == 0 && totals->rejected == 0;
    if (stream->session.setup->json) {
        printf("{\"ok\":%s,\"lines\":%" PRIu64 ",\"events\":%" PRId64 ",\"accepted\":%" PRId64
               ",\"duplicates\":%" PRId64 ",\"rejected\":%" PRId64 ",\"unanswered\":%" PRId64
               ",\"seconds\":%.3f}\n",
               ok ? "true" : "false", stream->reader.line, totals->events, totals->accepted,
               totals->duplicates, totals->rejected, unknown, seconds);
        return;
    }
    printf("%" PRId64 " event%s: %" PRId64 " accepted, %" PRId64 " duplicate%s, %" PRId64 " rejected",
           totals->events, totals->events == 1 ? "" : "s", totals->accepted, totals->duplicates,
           totals->duplicates == 1 ? "" : "s", totals->rejected);
    if (unknown > 0)
        printf(", %" PRId64 " without an answer", unknown);
    printf(" in %.1f s\n", seconds);
}

/* --- filling batches -------------------------------------------------------------------------------- */

static void batch_start(struct batch *batch, uint64_t first_line)
{
    struct buf body = batch->body;
    buf_clear(&body);
    *batch = (struct batch){.body = body, .first_line = first_line, .empty = true};
}

static void batch_close(struct stream *stream)
{
    struct batch *batch = batch_at(stream, stream->closed);
    if (!batch->empty)
        stream->closed++;
    if (stream->closed <= WINDOW_MAX)
        batch_at(stream, stream->closed)->line_count = 0;
}

static void reject_long_line(struct stream *stream)
{
    stream->totals.events++;
    stream->totals.rejected++;
    tell_line(stream, stream->reader.line, TEXT("longer than 1 MiB"));
}

static bool is_blank(struct text line)
{
    size_t i = 0;
    while (i < line.len && (line.bytes[i] == ' ' || line.bytes[i] == '\t' || line.bytes[i] == '\r'))
        i++;
    return i == line.len;
}

/* Put the line into the batch; for one that is too long, even alone, an empty one stands in. */
static void batch_add(struct stream *stream, struct batch *batch, struct text line)
{
    if (batch->line_count++ > 0)
        buf_byte(&batch->body, '\n');
    if (is_blank(line))
        return;
    size_t before = batch->body.len;
    if (stream->source.len > 0)
        compose_numbered(&batch->body, line, stream->source, stream->reader.line);
    else
        buf_append(&batch->body, line);
    if (batch->body.len > REQUEST_BYTES_MAX) {
        batch->body.len = before;
        reject_long_line(stream);
        return;
    }
    batch->empty = false;
    stream->totals.events++;
}

/* Move lines that were read into batches, as far as there is room. */
static void fill_batches(struct stream *stream)
{
    while (stream->closed < WINDOW_MAX) {
        struct batch *batch = batch_at(stream, stream->closed);
        if (batch->line_count == LINES_MAX || (!batch->empty && batch->body.len >= BATCH_BYTES_MAX)) {
            batch_close(stream);
            continue;
        }
        struct text line;
        enum line_kind kind = line_reader_next(&stream->reader, &line);
        stream->hungry = kind == LINE_NONE;
        if (stream->hungry)
            return;
        bool fits = batch->body.len + line.len + stream->source.len < BATCH_BYTES_MAX;
        if (!fits && batch->line_count > 0) {
            batch_close(stream);
            batch = batch_at(stream, stream->closed); /* the ring has one more than the window */
        }
        if (batch->line_count == 0)
            batch_start(batch, stream->reader.line);
        if (kind == LINE_TOO_LONG)
            reject_long_line(stream);
        batch_add(stream, batch, line);
    }
}

/* --- sending and hearing ---------------------------------------------------------------------------- */

static bool any_posted(struct stream *stream)
{
    for (unsigned i = 0; i < stream->closed; i++)
        if (batch_at(stream, i)->state == BATCH_POSTED)
            return true;
    return false;
}

static bool post_batches(struct stream *stream)
{
    if (now_ms() < stream->retry_at_ms)
        return true;
    for (unsigned i = 0; i < stream->closed && i < stream->window; i++) {
        struct batch *batch = batch_at(stream, i);
        if (batch->state != BATCH_WAITING)
            continue;
        if (!any_posted(stream))
            stream->heard_ms = now_ms();
        struct err err;
        if (!client_post(stream->session.client, CLIENT_EVENTS, buf_text(&batch->body), &batch->id,
                         &err))
            return session_fail(&stream->session, &err);
        batch->state = BATCH_POSTED;
    }
    return true;
}

/* From batch `position` on everything goes out again, in order. */
static void go_back(struct stream *stream, unsigned position)
{
    for (unsigned i = position; i < stream->closed; i++) {
        struct batch *batch = batch_at(stream, i);
        batch->repeat = i > position && batch->state == BATCH_POSTED;
        if (!batch->repeat)
            batch->state = BATCH_WAITING;
    }
}

static void hear_busy(struct stream *stream, unsigned position, int64_t retry_ms)
{
    stream->window = 1;
    stream->taken_count = 0;
    stream->retry_at_ms = now_ms() + retry_ms;
    go_back(stream, position);
    int64_t stuck_ms = now_ms() - stream->progress_ms;
    if (stuck_ms > stream->session.setup->timeout_ms && !stream->busy_told) {
        struct text why = screen_clean(field_text(&stream->session.answer, "error"),
                                       &stream->session.arena);
        clear_progress(stream);
        fprintf(stderr, "fwsync send: fwsyncd takes nothing just now: " TEXT_FMT "; trying again\n",
                TEXT_ARG(why));
        stream->busy_told = true;
    }
}

static void count_errors(struct stream *stream, const struct batch *batch)
{
    struct session *session = &stream->session;
    struct value *errors;
    size_t count = field_array(session, &session->answer, "errors", &errors);
    for (size_t i = 0; i < count; i++) {
        struct fields error = value_object(session, &errors[i]);
        uint64_t line = batch->first_line + (uint64_t)field_integer(&error, "line") - 1;
        tell_line(stream, line, field_text(&error, "error"));
    }
}

static int64_t batch_event_count(const struct batch *batch)
{
    int64_t count = 0;
    bool empty = true;
    for (size_t i = 0; i < batch->body.len; i++) {
        count += empty && batch->body.bytes[i] != '\n';
        empty = batch->body.bytes[i] == '\n';
    }
    return count;
}

static void count_batch(struct stream *stream, const struct batch *batch)
{
    const struct fields *answer = &stream->session.answer;
    struct totals *totals = &stream->totals;
    if (fields_get(answer, TEXT("accepted")) == NULL) { /* refused as a whole */
        totals->rejected += batch_event_count(batch);
        struct text error = session_error(&stream->session, CLIENT_EVENTS);
        clear_progress(stream);
        fprintf(stderr, "fwsync send: lines %" PRIu64 " to %" PRIu64 " are rejected: " TEXT_FMT "\n",
                batch->first_line, batch->first_line + batch->line_count - 1, TEXT_ARG(error));
        return;
    }
    totals->accepted += field_integer(answer, "accepted");
    totals->duplicates += field_integer(answer, "duplicates");
    totals->rejected += field_integer(answer, "rejected");
    count_errors(stream, batch);
}

static void hear_taken(struct stream *stream, struct batch *batch)
{
    if (!batch->counted)
        count_batch(stream, batch);
    batch->counted = true;
    batch->state = batch->repeat ? BATCH_WAITING : BATCH_DONE;
    batch->repeat = false;
    stream->progress_ms = now_ms();
    stream->busy_told = false;
    if (stream->source.len == 0 && ++stream->taken_count % WINDOW_GROWTH == 0 &&
        stream->window < WINDOW_MAX)
        stream->window++;
    while (stream->closed > 0 && batch_at(stream, 0)->state == BATCH_DONE) {
        batch_at(stream, 0)->line_count = 0;
        stream->head = (stream->head + 1) % (WINDOW_MAX + 1);
        stream->closed--;
    }
}

static void hear_answer(struct stream *stream, uint64_t id)
{
    stream->ever_heard = true;
    stream->heard_ms = now_ms();
    for (unsigned i = 0; i < stream->closed; i++) {
        struct batch *batch = batch_at(stream, i);
        if (batch->state != BATCH_POSTED || batch->id != id)
            continue;
        struct text raw = buf_text(&stream->session.raw);
        int64_t retry_ms;
        session_read(&stream->session, raw, NULL); /* unreadable: counted as refused */
        if (client_busy(raw, &retry_ms))
            hear_busy(stream, i, retry_ms);
        else
            hear_taken(stream, batch);
        return;
    }
}

/* An answer is overdue: drop the connection and send again. False: enough of it. */
static bool check_silence(struct stream *stream)
{
    const struct setup *setup = stream->session.setup;
    int64_t now = now_ms();
    int64_t patience_ms = setup->timeout_ms > PATIENCE_MS ? setup->timeout_ms : PATIENCE_MS;
    bool silent = any_posted(stream) && now - stream->heard_ms >= setup->timeout_ms;
    bool stuck = stream->closed > 0 && now - stream->progress_ms >= patience_ms;
    if (!silent && !stuck)
        return true;
    if (stuck || !stream->ever_heard) {
        struct err err;
        if (silent)
            err_set(&err, ERR_TIMEOUT, "no answer from %s within %g s: is fwsyncd running?",
                    setup->events, (double)(stuck ? patience_ms : setup->timeout_ms) / 1000);
        else
            err_set(&err, ERR_BUSY, "fwsyncd at %s took nothing for %g s", setup->events,
                    (double)patience_ms / 1000);
        clear_progress(stream);
        return session_fail(&stream->session, &err);
    }
    tell(stream, "no answer; sending again");
    client_reset(stream->session.client, CLIENT_EVENTS);
    for (unsigned i = 0; i < stream->closed; i++) {
        batch_at(stream, i)->state = BATCH_WAITING;
        batch_at(stream, i)->repeat = false;
    }
    return true;
}

static bool take_answers(struct stream *stream)
{
    struct session *session = &stream->session;
    for (;;) {
        uint64_t id;
        bool found;
        struct err err;
        if (!client_take(session->client, CLIENT_EVENTS, &id, &session->raw, &found, &err))
            return session_fail(session, &err);
        if (!found)
            return true;
        hear_answer(stream, id);
    }
}

/* Wait for input, an answer, the end of a pause or a deadline, whichever comes first. */
static bool wait_for_something(struct stream *stream)
{
    int64_t now = now_ms();
    bool want_input = stream->hungry && !stream->reader.ended;
    int64_t wait_ms = PROGRESS_MS;
    if (stream->retry_at_ms > now && stream->retry_at_ms - now < wait_ms)
        wait_ms = stream->retry_at_ms - now;
    if (stream->reader.ended && stream->closed == 0)
        wait_ms = 0;
    if (want_input && stream->closed == 0 && batch_at(stream, 0)->line_count > 0)
        wait_ms = 0; /* is there more right now? otherwise what we have goes out */
    struct err err;
    if (!client_wait(stream->session.client, CLIENT_EVENTS, want_input ? stream->reader.fd : -1,
                     wait_ms, &stream->input_ready, &err))
        return session_fail(&stream->session, &err);
    return true;
}

/* Lines into batches; an unfinished batch is closed when nothing is under way and no more has come. */
static void prepare(struct stream *stream)
{
    fill_batches(stream);
    bool idle = !stream->input_ready && stream->closed == 0;
    if (stream->closed < WINDOW_MAX && batch_at(stream, stream->closed)->line_count > 0 &&
        stream->hungry && (idle || stream->reader.ended))
        batch_close(stream);
}

/* One turn of the loop. False: stop. */
static bool turn(struct stream *stream)
{
    prepare(stream);
    if (stream->closed == 0)
        stream->progress_ms = now_ms();
    if (!post_batches(stream) || !wait_for_something(stream))
        return false;
    if (stream->input_ready) {
        line_reader_fill(&stream->reader);
        stream->hungry = false;
    }
    bool going = take_answers(stream) && check_silence(stream);
    show_progress(stream);
    return going && !interrupted();
}

static bool finished(struct stream *stream)
{
    return stream->reader.ended && stream->closed == 0 &&
           batch_at(stream, 0)->line_count == 0 &&
           stream->reader.at == stream->reader.buf.len;
}

static void stream_open(struct stream *stream, const struct setup *setup, const char *source)
{
    *stream = (struct stream){
        .hungry = true,
        .input_ready = true,
        .source = source == NULL ? TEXT("") : text_of(source),
        .window = source == NULL ? WINDOW_MAX : 1,
        .show_progress = isatty(STDERR_FILENO),
        .started_ms = now_ms(),
        .progress_ms = now_ms(),
    };
    session_open(&stream->session, setup, "send");
    line_reader_init(&stream->reader, STDIN_FILENO, REQUEST_BYTES_MAX);
}

static int stream_close(struct stream *stream)
{
    for (unsigned i = 0; i <= WINDOW_MAX; i++)
        buf_fini(&stream->ring[i].body);
    line_reader_fini(&stream->reader);
    return session_close(&stream->session);
}

int send_stream(const struct setup *setup, const char *source)
{
    struct stream stream;
    stream_open(&stream, setup, source);
    while (!finished(&stream) && turn(&stream))
        ;
    clear_progress(&stream);
    if (stream.reader.error != 0) {
        struct err err;
        err_set(&err, ERR_IO, "cannot read standard input: %s", strerror(stream.reader.error));
        session_fail(&stream.session, &err);
    }
    print_summary(&stream);
    const struct totals *totals = &stream.totals;
    if (totals->rejected > 0 || totals->events > totals->accepted + totals->duplicates)
        if (stream.session.exit_code == EXIT_DONE)
            stream.session.exit_code = EXIT_ERROR;
    return stream_close(&stream);
}

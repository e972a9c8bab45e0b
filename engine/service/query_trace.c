/* query_trace.c - what did the rules make of this event? Each node that it passed, and what that changed, stored values
 * and the message: the event is run once more, on the device as it was (rerun.h). */
#include <inttypes.h>

#include "engine/service/ask.h"
#include "engine/service/reply.h"
#include "engine/service/rerun.h"

struct traced {
    struct ask *ask;
    struct rerun *rerun;
    struct text device;
    uint32_t number; /* the device's */
    uint64_t newest; /* position of its newest row of history */
    uint64_t seq;
};

/* --- which event ------------------------------------------------------------------------------------------ */

/* The one that was asked for, or the newest that changed the device. */
static bool choose(struct traced *traced)
{
    struct ask *ask = traced->ask;
    struct state *state = ask->context->state;
    struct history_row row;
    bool given;
    if (!ask_seq(ask, "event", &traced->seq, &given))
        return false;
    if (given)
        return traced->seq > 0 || err_set(ask->err, ERR_BAD_QUERY, "event: the first one is 1");
    if (traced->newest == HISTORY_NONE || traced->newest < state_history_first(state))
        return err_set(ask->err, ERR_GONE, "no event that changed \"" TEXT_FMT "\" is kept; name another: event",
                       TEXT_ARG(traced->device));
    if (!state_history_read(state, traced->newest, &traced->rerun->arena, &row, ask->err))
        return false;
    traced->seq = row.seq;
    return true;
}

/* Is it this device's? Of passing time, which is about many, only its row tells that. */
static bool concerns(const struct traced *traced, const struct event *event, bool has_row)
{
    struct err *err = traced->ask->err;
    if (!text_equal(event->device, traced->device))
        return err_set(err, ERR_NOT_FOUND, "event %" PRIu64 " is of the device \"" TEXT_FMT "\"", traced->seq,
                       TEXT_ARG(event->device));
    return has_row || !text_is(event->type, "DEADLINE_PASSED") ||
           err_set(err, ERR_NOT_FOUND, "event %" PRIu64 " is passing time, and did nothing to \"" TEXT_FMT "\"",
                   traced->seq, TEXT_ARG(traced->device));
}

/* --- what came of it -------------------------------------------------------------------------------------- */

static void write_changes(struct buf *out, const char *name, const struct trace *trace, size_t from, size_t end)
{
    if (from == end)
        return;
    json_open(out, name, '[');
    for (size_t i = from; i < end; i++) {
        json_comma(out);
        buf_byte(out, '{');
        reply_change(out, &trace->changes[i]);
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

/* What a node did to the message. */
static void write_members(struct buf *out, const struct trace *trace, size_t from, size_t end)
{
    if (from == end)
        return;
    json_open(out, "message", '[');
    for (size_t i = from; i < end; i++) {
        const struct trace_member *member = &trace->members[i];
        json_comma(out);
        buf_byte(out, '{');
        json_member_text(out, "in", member->in_metadata ? TEXT("metadata") : TEXT("data"));
        json_member_text(out, "key", member->key);
        reply_values(out, member->has_old ? &member->old : NULL, member->has_new ? &member->new : NULL);
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

static void write_path(struct buf *out, const struct trace *trace)
{
    size_t change = trace->saved_count, member = 0;
    json_open(out, "path", '[');
    for (size_t i = 0; i < trace->step_count; i++) {
        const struct trace_step *step = &trace->steps[i];
        json_comma(out);
        buf_byte(out, '{');
        reply_step(out, step);
        write_changes(out, "changes", trace, change, step->changes_end);
        write_members(out, trace, member, step->members_end);
        if (step->published.len > 0)
            json_member_text(out, "published", step->published);
        buf_byte(out, '}');
        change = step->changes_end;
        member = step->members_end;
    }
    buf_byte(out, ']');
}

static void write_metadata(struct buf *out, const struct fields *metadata)
{
    json_open(out, "metadata", '{');
    for (size_t i = 0; i < metadata->count; i++) {
        json_key_text(out, metadata->items[i].key);
        json_value(out, &metadata->items[i].value);
    }
    buf_byte(out, '}');
}

static void write_results(struct buf *out, const struct results *results)
{
    struct text topic, payload;
    json_open(out, "results", '[');
    for (size_t at = 0; results != NULL && results_next(results, &at, &topic, &payload);)
        reply_result(out, topic, payload);
    buf_byte(out, ']');
}

/* row  NULL: there is none */
static bool run(struct traced *traced, const struct history_row *row, struct trace *trace, struct results **results)
{
    struct err *err = traced->ask->err;
    if (!rerun_event(traced->rerun, traced->seq, traced->device, row, trace, results, err))
        return false;
    if (rerun_is_history(trace, *results, traced->seq, row, err))
        return true;
    results_destroy(*results);
    return false;
}

static bool write_trace(struct traced *traced)
{
    struct ask *ask = traced->ask;
    struct event event;
    struct text line;
    int64_t received_ms;
    struct history_row row;
    bool has_row;
    struct trace trace = {.wants_members = true};
    struct results *results;
    if (!rerun_read(traced->rerun, traced->seq, traced->device, &event, &line, &received_ms, ask->err) ||
        !rerun_find_row(traced->rerun, traced->seq, traced->number, &row, &has_row, ask->err) ||
        !concerns(traced, &event, has_row))
        return false;
    json_open(ask->out, "trace", '{');
    json_member_unsigned(ask->out, "seq", traced->seq);
    json_member_integer(ask->out, "received", received_ms);
    json_member_text(ask->out, "type", event.type);
    json_member_raw(ask->out, "event", line);
    if (!run(traced, has_row ? &row : NULL, &trace, &results))
        return false;
    json_member_text(ask->out, "rules", trace.version);
    write_changes(ask->out, "saved", &trace, 0, trace.saved_count);
    write_metadata(ask->out, &trace.metadata);
    write_path(ask->out, &trace);
    if (trace.cut)
        json_member_boolean(ask->out, "cut", true);
    write_results(ask->out, results);
    buf_byte(ask->out, '}');
    results_destroy(results);
    return true;
}

static bool answer_trace(struct ask *ask)
{
    struct device *device;
    struct rerun rerun;
    struct traced traced = {.ask = ask, .rerun = &rerun};
    if (!ask_device(ask, &device))
        return false;
    traced.device = arena_copy(&ask->query->arena, device_name(device));
    traced.number = device_number(device);
    traced.newest = device_history(device);
    json_member_text(ask->out, "device", traced.device);
    rerun_init(&rerun, ask->context);
    bool done = choose(&traced) && write_trace(&traced);
    rerun_fini(&rerun);
    return done;
}

const struct op op_trace = {"trace", {"device", "event"}, answer_trace, OP_NEEDS_DEVICE};

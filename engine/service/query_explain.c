/* query_explain.c - why is this device in sync, or not?
 *
 * The verdict is what the rules saved. How they came to it is found by running the event that wrote it once
 * more, on the device as it was (rerun.h): the way through the chains, and the attributes that were asked for. Where
 * that event is no longer kept, the newest one that changed the device shows how the rules judge it. */
#include "engine/service/ask.h"

#include "engine/service/remedy.h"
#include "engine/service/reply.h"
#include "engine/service/rerun.h"

enum verdict_part { SYNCED, STATE, REASON, PART_COUNT };
static const char *const part_keys[] = {"fwStateIsSynced", "fwSyncState", "fwSyncReason"};
_Static_assert(sizeof part_keys / sizeof part_keys[0] == PART_COUNT, "name every part");

/* What everybody wants to see, asked for by the rules or not. */
static const struct shown {
    enum scope scope;
    const char *key;
    bool of_update; /* only when the verdict is about what the device said of its update */
} shown[] = {
    {SCOPE_CLIENT, "currentFwVer", false},    {SCOPE_SERVER, "lastTargetFwVer", false},
    {SCOPE_SHARED, "targetFwVer", false},     {SCOPE_TELEMETRY, "fw_state", true},
    {SCOPE_TELEMETRY, "fw_error", true},
};
enum { SHOWN_COUNT = sizeof shown / sizeof shown[0] };

struct explanation {
    struct ask *ask;
    struct rerun *rerun;
    struct arena *arena;
    struct text name;
    struct device *device; /* as it is now; after a rerun, opened again */
    uint64_t newest;       /* position of its newest row of history */
    bool has[PART_COUNT];
    struct attribute parts[PART_COUNT]; /* values in the arena */
    uint64_t decided_seq;               /* 0: no rule has */
    int64_t decided_ms;                 /* that event's own time */
    bool is_rerun;                      /* it was, and `trace` tells how it went */
    struct trace trace;                 /* else that of a later event, or empty */
};

/* A stored value with its text in the arena. */
static bool look(struct explanation *explanation, enum scope scope, struct text key, struct attribute *attribute,
                 bool *found)
{
    if (!device_get(explanation->device, scope, key, attribute, found, explanation->ask->err))
        return false;
    if (*found && (attribute->value.kind == VALUE_STRING || attribute->value.kind == VALUE_JSON))
        attribute->value.text = arena_copy(explanation->arena, attribute->value.text);
    return true;
}

static bool look_text(struct explanation *explanation, enum scope scope, const char *key, struct text *text)
{
    struct attribute attribute;
    bool found;
    *text = TEXT("");
    if (!look(explanation, scope, text_of(key), &attribute, &found))
        return false;
    if (found)
        *text = value_text(&attribute.value, explanation->arena);
    return true;
}

/* --- the verdict ------------------------------------------------------------------------------------------ */

static bool read_verdict(struct explanation *explanation)
{
    for (enum verdict_part part = 0; part < PART_COUNT; part++) {
        struct attribute *attribute = &explanation->parts[part];
        if (!look(explanation, SCOPE_SERVER, text_of(part_keys[part]), attribute, &explanation->has[part]))
            return false;
        if (explanation->has[part] && attribute->seq > explanation->decided_seq) {
            explanation->decided_seq = attribute->seq;
            explanation->decided_ms = attribute->ts_ms;
        }
    }
    return true;
}

static bool is_synced(const struct explanation *explanation)
{
    const struct value *value = &explanation->parts[SYNCED].value;
    return explanation->has[SYNCED] && value->kind == VALUE_BOOLEAN && value->boolean;
}

static struct text part_text(const struct explanation *explanation, enum verdict_part part)
{
    const struct value *value = &explanation->parts[part].value;
    return explanation->has[part] && value->kind == VALUE_STRING ? value->text : TEXT("");
}

static bool is_state(const struct explanation *explanation, const char *state)
{
    return text_is(part_text(explanation, STATE), state);
}

static bool is_about_update(const struct explanation *explanation)
{
    return is_state(explanation, "updating") || is_state(explanation, "failed") || is_state(explanation, "stuck");
}

/* When the stage of an update began that the device is in, or stuck in: its reason was written then, and that is what
 * the rules found when the deadline had passed. 0: there is none, or it isn't known. */
static int64_t stage_since(const struct explanation *explanation)
{
    const struct trace *trace = &explanation->trace;
    if (is_state(explanation, "updating") && explanation->has[REASON])
        return explanation->parts[REASON].ts_ms;
    if (!is_state(explanation, "stuck") || !explanation->is_rerun)
        return 0;
    for (size_t i = 0; i < trace->read_count; i++)
        if (trace->reads[i].scope == SCOPE_SERVER && text_is(trace->reads[i].key, part_keys[REASON]))
            return trace->reads[i].ts_ms;
    return 0;
}

static void write_verdict(const struct explanation *explanation)
{
    struct buf *out = explanation->ask->out;
    int64_t stage_ms = stage_since(explanation);
    enum verdict_part since = explanation->has[STATE] ? STATE : SYNCED;
    json_open(out, "verdict", '{');
    if (explanation->has[SYNCED])
        json_member_boolean(out, "synced", is_synced(explanation));
    if (explanation->has[STATE])
        json_member_text(out, "state", part_text(explanation, STATE));
    if (explanation->has[REASON])
        json_member_text(out, "reason", part_text(explanation, REASON));
    if (explanation->has[since])
        json_member_integer(out, "since", explanation->parts[since].ts_ms);
    if (stage_ms > 0)
        json_member_integer(out, "stageSince", stage_ms);
    buf_byte(out, '}');
}

/* --- the facts -------------------------------------------------------------------------------------------- */

/* Who wrote it, by the event that did. */
static const char *writer(const struct event *event, enum scope scope, struct text key)
{
    if (fields_get(&event->data, key) == NULL)
        return "rules";
    if (event->has_scope)
        return event->scope == scope ? "operator" : "rules";
    return scope == SCOPE_CLIENT || scope == SCOPE_TELEMETRY ? "device" : "rules";
}

static bool write_origin(struct explanation *explanation, enum scope scope, const struct attribute *attribute)
{
    struct buf *out = explanation->ask->out;
    struct event event;
    struct text line;
    int64_t received_ms;
    if (!rerun_read(explanation->rerun, attribute->seq, explanation->name, &event, &line, &received_ms,
                    explanation->ask->err))
        return explanation->ask->err->code == ERR_GONE;
    json_member_integer(out, "received", received_ms);
    json_member_text(out, "by", text_of(writer(&event, scope, attribute->key)));
    json_member_text(out, "type", event.type);
    if (event.source.len > 0) {
        json_member_text(out, "source", event.source);
        json_member_unsigned(out, "n", event.n);
    }
    return true;
}

static bool write_fact(struct explanation *explanation, enum scope scope, struct text key)
{
    struct buf *out = explanation->ask->out;
    struct attribute attribute;
    bool found;
    if (!look(explanation, scope, key, &attribute, &found))
        return false;
    if (!found)
        return true;
    attribute.key = key;
    json_comma(out);
    buf_byte(out, '{');
    json_member_text(out, "scope", text_of(scope_name(scope)));
    json_member_text(out, "key", key);
    json_key(out, "value");
    json_value(out, &attribute.value);
    json_member_integer(out, "ts", attribute.ts_ms);
    json_member_unsigned(out, "seq", attribute.seq);
    if (!write_origin(explanation, scope, &attribute))
        return false;
    buf_byte(out, '}');
    return true;
}

static bool is_shown(const struct explanation *explanation, const struct shown *fact)
{
    return !fact->of_update || is_about_update(explanation);
}

static bool is_shown_already(const struct explanation *explanation, const struct trace_read *read)
{
    for (size_t i = 0; i < SHOWN_COUNT; i++)
        if (is_shown(explanation, &shown[i]) && read->scope == shown[i].scope && text_is(read->key, shown[i].key))
            return true;
    for (enum verdict_part part = 0; part < PART_COUNT; part++)
        if (read->scope == SCOPE_SERVER && text_is(read->key, part_keys[part]))
            return true;
    return false;
}

static bool write_facts(struct explanation *explanation)
{
    json_open(explanation->ask->out, "facts", '[');
    for (size_t i = 0; i < SHOWN_COUNT; i++)
        if (is_shown(explanation, &shown[i]) && !write_fact(explanation, shown[i].scope, text_of(shown[i].key)))
            return false;
    for (size_t i = 0; i < explanation->trace.read_count; i++) {
        const struct trace_read *read = &explanation->trace.reads[i];
        if (!is_shown_already(explanation, read) && !write_fact(explanation, read->scope, read->key))
            return false;
    }
    buf_byte(explanation->ask->out, ']');
    return true;
}

/* --- the decision ----------------------------------------------------------------------------------------- */

static void write_path(struct buf *out, const struct trace *trace)
{
    json_member_text(out, "rules", trace->version);
    json_open(out, "path", '[');
    for (size_t i = 0; i < trace->step_count; i++) {
        json_comma(out);
        buf_byte(out, '{');
        reply_step(out, &trace->steps[i]);
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

/* That something is no longer kept, is told, and the rest of the answer goes on. */
static bool missing(const struct explanation *explanation)
{
    const struct err *err = explanation->ask->err;
    if (err->code != ERR_GONE)
        return false;
    json_member_text(explanation->ask->out, "missing", text_of(err->text));
    return true;
}

static bool write_event(struct explanation *explanation, uint64_t seq)
{
    struct buf *out = explanation->ask->out;
    struct event event;
    struct text line;
    int64_t received_ms;
    if (!rerun_read(explanation->rerun, seq, explanation->name, &event, &line, &received_ms, explanation->ask->err))
        return false;
    json_member_integer(out, "received", received_ms);
    json_member_text(out, "type", event.type);
    json_member_raw(out, "event", line);
    return true;
}

static bool write_rerun(struct explanation *explanation, uint64_t seq)
{
    struct results *results;
    if (!rerun_event(explanation->rerun, seq, explanation->name, NULL, &explanation->trace, &results,
                     explanation->ask->err))
        return false;
    results_destroy(results);
    write_path(explanation->ask->out, &explanation->trace);
    return true;
}

static bool write_decision(struct explanation *explanation)
{
    struct buf *out = explanation->ask->out;
    if (explanation->decided_seq == 0)
        return true;
    json_open(out, "decided", '{');
    json_member_unsigned(out, "seq", explanation->decided_seq);
    json_member_integer(out, "ts", explanation->decided_ms);
    explanation->is_rerun = write_event(explanation, explanation->decided_seq) &&
                            write_rerun(explanation, explanation->decided_seq);
    if (!explanation->is_rerun && !missing(explanation))
        return false;
    buf_byte(out, '}');
    return true;
}

/* The newest event that changed the device, if that isn't the one which decided. *seq is 0 if there is none. */
static bool find_later(struct explanation *explanation, uint64_t *seq)
{
    struct state *state = explanation->ask->context->state;
    struct history_row row;
    *seq = 0;
    if (explanation->newest == HISTORY_NONE || explanation->newest < state_history_first(state))
        return true;
    if (!state_history_read(state, explanation->newest, explanation->arena, &row, explanation->ask->err))
        return false;
    if (row.seq > explanation->decided_seq)
        *seq = row.seq;
    return true;
}

/* Only where the decision can't be shown. When this event can't be either, no older one can. */
static bool write_later(struct explanation *explanation)
{
    struct buf *out = explanation->ask->out;
    size_t before = out->len;
    uint64_t seq;
    if (explanation->decided_seq == 0 || explanation->is_rerun)
        return true;
    if (!find_later(explanation, &seq))
        return false;
    if (seq == 0)
        return true;
    json_open(out, "later", '{');
    json_member_unsigned(out, "seq", seq);
    if (!write_event(explanation, seq) || !write_rerun(explanation, seq)) {
        out->len = before;
        return explanation->ask->err->code == ERR_GONE;
    }
    buf_byte(out, '}');
    return true;
}

/* --- the answer ------------------------------------------------------------------------------------------- */

static bool write_remedy(struct explanation *explanation)
{
    struct remedy_facts facts = {
        .state = part_text(explanation, STATE),
        .reason = part_text(explanation, REASON),
        .synced = is_synced(explanation),
    };
    struct buf sentence = {.arena = explanation->arena};
    if (!look_text(explanation, SCOPE_CLIENT, "currentFwVer", &facts.current) ||
        !look_text(explanation, SCOPE_SERVER, "lastTargetFwVer", &facts.target) ||
        !look_text(explanation, SCOPE_SHARED, "targetFwVer", &facts.told))
        return false;
    remedy_write(&sentence, &facts);
    json_member_text(explanation->ask->out, "remedy", buf_text(&sentence));
    return true;
}

static bool explain(struct explanation *explanation)
{
    struct ask *ask = explanation->ask;
    if (!read_verdict(explanation) || !write_decision(explanation) || !write_later(explanation))
        return false;
    write_verdict(explanation);
    return state_device_find(ask->context->state, explanation->name, &explanation->device, ask->err) &&
           write_facts(explanation) && write_remedy(explanation);
}

static bool answer_explain(struct ask *ask)
{
    struct rerun rerun;
    struct explanation explanation = {.ask = ask, .rerun = &rerun, .arena = &ask->query->arena};
    if (!ask_device(ask, &explanation.device))
        return false;
    explanation.name = arena_copy(explanation.arena, device_name(explanation.device));
    explanation.newest = device_history(explanation.device);
    json_member_text(ask->out, "device", explanation.name);
    json_member_text(ask->out, "deviceType", device_type(explanation.device));
    rerun_init(&rerun, ask->context);
    bool done = explain(&explanation);
    rerun_fini(&rerun);
    return done;
}

const struct op op_explain = {"explain", {"device"}, answer_explain, OP_NEEDS_DEVICE};

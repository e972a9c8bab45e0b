/* query_explain.c - why is this device in sync, or not?
 *
 * The verdict is what the rules saved. How they came to it is found by running the event that wrote it once
 * more, on the device as it was (rerun.h): the way through the chains, and the attributes that were asked for. */
#include "engine/service/ask.h"

#include "engine/service/remedy.h"
#include "engine/service/rerun.h"

enum verdict_part { SYNCED, STATE, REASON, PART_COUNT };
static const char *const part_keys[] = {"fwStateIsSynced", "fwSyncState", "fwSyncReason"};
_Static_assert(sizeof part_keys / sizeof part_keys[0] == PART_COUNT, "name every part");

/* What everybody wants to see, asked for by the rules or not. */
static const struct {
    enum scope scope;
    const char *key;
} always_shown[] = {
    {SCOPE_CLIENT, "currentFwVer"},
    {SCOPE_SERVER, "lastTargetFwVer"},
    {SCOPE_SHARED, "targetFwVer"},
};
enum { ALWAYS_COUNT = sizeof always_shown / sizeof always_shown[0] };

struct explanation {
    struct ask *ask;
    struct rerun *rerun;
    struct arena *arena;
    struct text name;
    struct device *device; /* as it is now; after a rerun, opened again */
    bool has[PART_COUNT];
    struct attribute parts[PART_COUNT]; /* values in the arena */
    uint64_t decided_seq;               /* 0: no rule has */
    struct trace trace;
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
        if (explanation->has[part] && attribute->seq > explanation->decided_seq)
            explanation->decided_seq = attribute->seq;
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

static void write_verdict(const struct explanation *explanation)
{
    struct buf *out = explanation->ask->out;
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

static bool is_shown_already(const struct trace_read *read)
{
    for (size_t i = 0; i < ALWAYS_COUNT; i++)
        if (read->scope == always_shown[i].scope && text_is(read->key, always_shown[i].key))
            return true;
    for (enum verdict_part part = 0; part < PART_COUNT; part++)
        if (read->scope == SCOPE_SERVER && text_is(read->key, part_keys[part]))
            return true;
    return false;
}

static bool write_facts(struct explanation *explanation)
{
    json_open(explanation->ask->out, "facts", '[');
    for (size_t i = 0; i < ALWAYS_COUNT; i++)
        if (!write_fact(explanation, always_shown[i].scope, text_of(always_shown[i].key)))
            return false;
    for (size_t i = 0; i < explanation->trace.read_count; i++) {
        const struct trace_read *read = &explanation->trace.reads[i];
        if (!is_shown_already(read) && !write_fact(explanation, read->scope, read->key))
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
        json_member_text(out, "chain", trace->steps[i].chain);
        json_member_text(out, "node", trace->steps[i].node);
        json_member_text(out, "type", trace->steps[i].type);
        if (trace->steps[i].relation.len > 0)
            json_member_text(out, "relation", trace->steps[i].relation);
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

static bool write_event(struct explanation *explanation)
{
    struct buf *out = explanation->ask->out;
    struct event event;
    struct text line;
    int64_t received_ms;
    if (!rerun_read(explanation->rerun, explanation->decided_seq, explanation->name, &event, &line, &received_ms,
                    explanation->ask->err))
        return false;
    json_member_integer(out, "received", received_ms);
    json_member_text(out, "type", event.type);
    json_member_raw(out, "event", line);
    return true;
}

static bool rerun_it(struct explanation *explanation)
{
    struct results *results;
    if (!rerun_event(explanation->rerun, explanation->decided_seq, explanation->name, NULL, &explanation->trace,
                     &results, explanation->ask->err))
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
    if (!(write_event(explanation) && rerun_it(explanation)) && !missing(explanation))
        return false;
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
    if (!read_verdict(explanation))
        return false;
    write_verdict(explanation);
    return write_decision(explanation) &&
           state_device_find(ask->context->state, explanation->name, &explanation->device, ask->err) &&
           write_facts(explanation) && write_remedy(explanation);
}

static bool answer_explain(struct ask *ask)
{
    struct rerun rerun;
    struct explanation explanation = {.ask = ask, .rerun = &rerun, .arena = &ask->query->arena};
    if (!ask_device(ask, &explanation.device))
        return false;
    explanation.name = arena_copy(explanation.arena, device_name(explanation.device));
    json_member_text(ask->out, "device", explanation.name);
    json_member_text(ask->out, "deviceType", device_type(explanation.device));
    rerun_init(&rerun, ask->context->partition->journal, ask->context->state, ask->context->ruleset);
    bool done = explain(&explanation);
    rerun_fini(&rerun);
    return done;
}

const struct op op_explain = {"explain", {"device"}, answer_explain};

#include "engine/service/query.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "engine/service/memory.h"
#include "engine/service/reply.h"

enum { QUERY_ARENA_BYTES = 4096, QUERY_FIELDS_MAX = 8 };

/* One question while it is being answered. */
struct ask {
    const struct query_context *context;
    struct query *query;
    struct fields fields; /* the question's members */
    struct buf *out;      /* the reply's object is open, with "ok" and "seq" in it */
    struct err *err;
};

struct op {
    const char *name;
    const char *fields[QUERY_FIELDS_MAX]; /* besides "op"; NULL behind the last */
    bool (*answer)(struct ask *ask);
};

/* --- reading the question -------------------------------------------------------------------------------- */

static bool wrong_type(struct ask *ask, const char *name, const char *expected,
                       const struct value *found)
{
    return err_set(ask->err, ERR_BAD_QUERY, "%s: expected %s, found %s", name, expected,
                   json_kind_name(found));
}

/* A string member, or {NULL, 0} when it isn't there. */
static bool ask_text(struct ask *ask, const char *name, struct text *text)
{
    const struct value *value = fields_get(&ask->fields, text_of(name));
    *text = (struct text){NULL, 0};
    if (value == NULL)
        return true;
    if (value->kind != VALUE_STRING)
        return wrong_type(ask, name, "a string", value);
    *text = value->text;
    return true;
}

static bool ask_limit(struct ask *ask, size_t *limit)
{
    const struct value *value = fields_get(&ask->fields, TEXT("limit"));
    *limit = LIST_COUNT_DEFAULT;
    if (value == NULL)
        return true;
    if (value->kind != VALUE_INTEGER || value->integer < 1 || value->integer > LIST_COUNT_MAX)
        return err_set(ask->err, ERR_BAD_QUERY, "limit: expected a number from 1 to %d", LIST_COUNT_MAX);
    *limit = (size_t)value->integer;
    return true;
}

static bool unknown_index(struct ask *ask, struct text name)
{
    const struct state *state = ask->context->state;
    struct buf known = {.arena = &ask->query->arena};
    buf_append(&known, TEXT("type"));
    for (size_t i = 0; i < state_index_count(state); i++) {
        struct index_key key = state_index_key(state, i);
        buf_printf(&known, ", %s." TEXT_FMT, scope_short(key.scope), TEXT_ARG(key.key));
    }
    return err_set(ask->err, ERR_BAD_QUERY,
                   "index: there is none on \"%.*s\"; there are: " TEXT_FMT
                   " (the setting `indexes` makes more)",
                   name.len < 100 ? (int)name.len : 100, name.bytes, TEXT_ARG(buf_text(&known)));
}

/* The index that a question names. */
struct asked_index {
    bool given;
    bool type;    /* the pseudo index on the device's type */
    size_t index; /* else this one */
    struct text name;
    const struct value *value; /* NULL: not asked for one */
};

static bool ask_index(struct ask *ask, struct asked_index *asked)
{
    *asked = (struct asked_index){.value = fields_get(&ask->fields, TEXT("value"))};
    if (!ask_text(ask, "index", &asked->name))
        return false;
    asked->given = asked->name.bytes != NULL;
    if (!asked->given)
        return asked->value == NULL ||
               err_set(ask->err, ERR_BAD_QUERY, "value: needs an index, to tell of which attribute");
    asked->type = text_is(asked->name, "type");
    if (asked->type)
        return asked->value == NULL || asked->value->kind == VALUE_STRING ||
               wrong_type(ask, "value", "a string, as every type is", asked->value);
    const char *dot = memchr(asked->name.bytes, '.', asked->name.len);
    size_t len = dot == NULL ? 0 : (size_t)(dot - asked->name.bytes);
    enum scope scope;
    if (dot == NULL || !scope_parse_short((struct text){asked->name.bytes, len}, &scope) ||
        !state_index_find(ask->context->state, scope,
                          (struct text){dot + 1, asked->name.len - len - 1}, &asked->index))
        return unknown_index(ask, asked->name);
    return true;
}

/* --- devices --------------------------------------------------------------------------------------------- */

static void write_attribute(void *context, const struct attribute *attribute)
{
    struct buf *out = context;
    json_key_text(out, attribute->key);
    json_value(out, &attribute->value);
}

static bool write_scopes(struct device *device, enum scope last, struct buf *out, struct err *err)
{
    for (enum scope scope = SCOPE_CLIENT; scope <= last; scope++) {
        json_key(out, scope_short(scope));
        buf_byte(out, '{');
        if (!device_each(device, scope, write_attribute, out, err))
            return false;
        buf_byte(out, '}');
    }
    return true;
}

static bool write_device(struct device *device, enum scope last, struct buf *out, struct err *err)
{
    json_member_text(out, "device", device_name(device));
    json_member_text(out, "deviceType", device_type(device));
    json_member_integer(out, "created", device_created_ms(device));
    json_member_integer(out, "lastSeen", device_seen_ms(device));
    return write_scopes(device, last, out, err);
}

static bool answer_device(struct ask *ask)
{
    struct text name;
    struct device *device;
    if (!ask_text(ask, "device", &name))
        return false;
    if (name.len == 0)
        return err_set(ask->err, ERR_BAD_QUERY, "device: expected the name of a device");
    if (name.len > DEVICE_BYTES_MAX)
        return err_set(ask->err, ERR_NOT_FOUND, "device: a name has at most %d bytes", DEVICE_BYTES_MAX);
    if (!state_device_find(ask->context->state, name, &device, ask->err))
        return false;
    if (device == NULL)
        return err_set(ask->err, ERR_NOT_FOUND, "there is no device \"" TEXT_FMT "\"", TEXT_ARG(name));
    return write_device(device, SCOPE_TELEMETRY, ask->out, ask->err);
}

static bool write_devices(struct ask *ask, const struct text *names, size_t count, size_t *fitting)
{
    size_t bytes_max = ask->out->len + REQUEST_BYTES_MAX;
    for (*fitting = 0; *fitting < count; ++*fitting) {
        struct device *device;
        size_t before = ask->out->len;
        if (!state_device_find(ask->context->state, names[*fitting], &device, ask->err))
            return false;
        assert(device != NULL);
        json_comma(ask->out);
        buf_byte(ask->out, '{');
        if (!write_device(device, SCOPE_SERVER, ask->out, ask->err))
            return false;
        buf_byte(ask->out, '}');
        if (ask->out->len > bytes_max && *fitting > 0) {
            ask->out->len = before;
            return true;
        }
    }
    return true;
}

static bool answer_devices(struct ask *ask)
{
    struct device_filter filter = {0};
    struct asked_index index;
    struct text cursor, next, *names;
    size_t limit, count, fitting;
    bool none = false;
    struct arena *arena = &ask->query->arena;
    if (!ask_index(ask, &index) || !ask_text(ask, "type", &filter.type) ||
        !ask_text(ask, "prefix", &filter.prefix) || !ask_text(ask, "cursor", &cursor) ||
        !ask_limit(ask, &limit))
        return false;
    if (index.given && index.value == NULL)
        return err_set(ask->err, ERR_BAD_QUERY, "value: expected one, since an index is named");
    if (index.given && index.type) {
        none = filter.type.bytes != NULL && !text_equal(filter.type, index.value->text);
        filter.type = index.value->text;
    } else if (index.given) {
        filter.by_index = true;
        filter.index = index.index;
        filter.value = *index.value;
    }
    if (none || (filter.type.bytes != NULL && filter.type.len == 0)) {
        buf_append(ask->out, TEXT(",\"devices\":[]")); /* no device has two types, or an empty one */
        return true;
    }
    struct state *state = ask->context->state;
    if (!state_devices(state, &filter, cursor, limit, arena, &names, &count, &next, ask->err))
        return false;
    json_key(ask->out, "devices");
    buf_byte(ask->out, '[');
    if (!write_devices(ask, names, count, &fitting))
        return false;
    buf_byte(ask->out, ']');
    if (fitting < count && /* the page was full: ask for the cursor behind its last device */
        !state_devices(state, &filter, cursor, fitting, arena, &names, &count, &next, ask->err))
        return false;
    if (next.len > 0)
        json_member_text(ask->out, "cursor", next);
    return true;
}

/* --- counts ---------------------------------------------------------------------------------------------- */

static bool write_values(struct ask *ask, const struct asked_index *index)
{
    struct text cursor, next;
    struct value_count *values;
    size_t limit, count;
    struct state *state = ask->context->state;
    struct arena *arena = &ask->query->arena;
    if (!ask_text(ask, "cursor", &cursor) || !ask_limit(ask, &limit))
        return false;
    if (!(index->type ? state_type_values(state, cursor, limit, arena, &values, &count, &next, ask->err)
                      : state_index_values(state, index->index, cursor, limit, arena, &values, &count,
                                           &next, ask->err)))
        return false;
    json_key(ask->out, "values");
    buf_byte(ask->out, '[');
    for (size_t i = 0; i < count; i++) {
        json_comma(ask->out);
        buf_byte(ask->out, '{');
        json_key(ask->out, "value");
        json_value(ask->out, &values[i].value);
        json_member_unsigned(ask->out, "count", values[i].count);
        buf_byte(ask->out, '}');
    }
    buf_byte(ask->out, ']');
    if (next.len > 0)
        json_member_text(ask->out, "cursor", next);
    return true;
}

static bool answer_count(struct ask *ask)
{
    struct asked_index index;
    struct state *state = ask->context->state;
    if (!ask_index(ask, &index))
        return false;
    json_member_unsigned(ask->out, "devices", state_device_count(state));
    if (!index.given)
        return true;
    json_member_text(ask->out, "index", index.name);
    if (index.value == NULL)
        return write_values(ask, &index);
    uint64_t count;
    if (!(index.type ? state_type_devices(state, index.value->text, &count, ask->err)
                     : state_index_devices(state, index.index, index.value, &count, ask->err)))
        return false;
    json_key(ask->out, "value");
    json_value(ask->out, index.value);
    json_member_unsigned(ask->out, "count", count);
    return true;
}

/* --- dead letters, rules --------------------------------------------------------------------------------- */

static bool answer_dead_letters(struct ask *ask)
{
    struct text cursor, *letters;
    size_t limit, count, bytes = 0, fitting = 0;
    uint64_t before = 0, next;
    struct state *state = ask->context->state;
    struct arena *arena = &ask->query->arena;
    if (!ask_text(ask, "cursor", &cursor) || !ask_limit(ask, &limit))
        return false;
    if (cursor.len > 0) {
        char *end;
        before = strtoull(cursor.bytes, &end, 10);
        if (before == 0 || *end != '\0')
            return err_set(ask->err, ERR_BAD_QUERY, "cursor: not one that this op gave");
    }
    if (!state_dead_letters(state, before, limit, arena, &letters, &count, &next, ask->err))
        return false;
    for (; fitting < count && (fitting == 0 || bytes + letters[fitting].len <= REQUEST_BYTES_MAX);
         fitting++)
        bytes += letters[fitting].len;
    if (fitting < count && /* the page is full: ask for the cursor behind its last letter */
        !state_dead_letters(state, before, fitting, arena, &letters, &count, &next, ask->err))
        return false;
    json_member_unsigned(ask->out, "count", state_dead_letter_count(state));
    json_member_unsigned(ask->out, "trimmed", state_dead_letter_trimmed(state));
    json_key(ask->out, "deadletters");
    buf_byte(ask->out, '[');
    for (size_t i = 0; i < count; i++) {
        json_comma(ask->out);
        buf_append(ask->out, letters[i]);
    }
    buf_byte(ask->out, ']');
    if (next > 0) {
        json_key(ask->out, "cursor");
        buf_printf(ask->out, "\"%" PRIu64 "\"", next);
    }
    return true;
}

static bool answer_rules(struct ask *ask)
{
    struct text version, bundle;
    uint64_t seq;
    int64_t since_ms;
    const struct ruleset *ruleset = ask->context->ruleset;
    if (!state_ruleset_active(ask->context->state, &ask->query->arena, &version, &bundle, &seq,
                              &since_ms, ask->err))
        return false;
    if (ruleset == NULL)
        return err_set(ask->err, ERR_NOT_FOUND, "no rules are active yet");
    json_member_text(ask->out, "version", version);
    json_member_integer(ask->out, "since", since_ms);
    json_member_unsigned(ask->out, "activated", seq);
    json_key(ask->out, "chains");
    buf_byte(ask->out, '[');
    for (size_t i = 0; i < ruleset_chain_count(ruleset); i++) {
        json_comma(ask->out);
        buf_byte(ask->out, '{');
        json_member_text(ask->out, "chain", ruleset_chain_name(ruleset, i));
        json_member_unsigned(ask->out, "nodes", ruleset_chain_node_count(ruleset, i));
        buf_byte(ask->out, '}');
    }
    buf_append(ask->out, TEXT("]"));
    json_key(ask->out, "classes");
    buf_byte(ask->out, '[');
    for (size_t i = 0; i < ruleset_class_count(ruleset); i++) {
        json_comma(ask->out);
        json_string(ask->out, ruleset_class_name(ruleset, i));
    }
    buf_byte(ask->out, ']');
    return true;
}

/* --- the daemon itself ----------------------------------------------------------------------------------- */

static bool answer_ping(struct ask *ask)
{
    json_member_text(ask->out, "version", TEXT(FWSYNC_VERSION));
    return true;
}

static void open_object(struct buf *out, const char *key)
{
    json_key(out, key);
    buf_byte(out, '{');
}

static void write_event_counters(struct stats *stats, struct buf *out)
{
    /* read back to front along an event's way, so that the sums never show one that isn't yet counted */
    uint64_t dead = stats_get(&stats->dead_lettered), applied = stats_get(&stats->applied);
    uint64_t rejected = stats_get(&stats->rejected), duplicates = stats_get(&stats->duplicates);
    uint64_t accepted = stats_get(&stats->accepted);
    open_object(out, "events");
    json_member_unsigned(out, "in", accepted + duplicates + rejected);
    json_member_unsigned(out, "accepted", accepted);
    json_member_unsigned(out, "duplicates", duplicates);
    json_member_unsigned(out, "rejected", rejected);
    json_member_unsigned(out, "applied", applied);
    json_member_unsigned(out, "deadLettered", dead);
    json_member_unsigned(out, "pending", accepted - applied - dead);
    json_member_unsigned(out, "replayed", stats_get(&stats->replayed));
    buf_byte(out, '}');
}

static void write_traffic(struct stats *stats, struct buf *out)
{
    open_object(out, "traffic");
    json_member_unsigned(out, "requests", stats_get(&stats->requests));
    json_member_unsigned(out, "busy", stats_get(&stats->busy));
    json_member_unsigned(out, "malformed", stats_get(&stats->malformed));
    json_member_unsigned(out, "queries", stats_get(&stats->queries));
    json_member_unsigned(out, "results", stats_get(&stats->results));
    json_member_unsigned(out, "repliesDropped", stats_get(&stats->replies_dropped));
    buf_byte(out, '}');
}

static void write_stores(const struct query_context *context, struct buf *out)
{
    struct partition *partition = context->partition;
    struct stats *stats = partition->stats;
    open_object(out, "journal");
    json_member_unsigned(out, "last", atomic_load(&partition->journal_seq));
    json_member_unsigned(out, "bytes", journal_bytes(partition->journal));
    json_member_unsigned(out, "commits", stats_get(&stats->commits));
    json_member_unsigned(out, "trimmed", stats_get(&stats->trimmed));
    buf_byte(out, '}');
    open_object(out, "state");
    json_member_unsigned(out, "devices", state_device_count(context->state));
    json_member_unsigned(out, "bytes", state_bytes(context->state));
    json_member_unsigned(out, "changesBytes", state_changes_bytes(context->state));
    json_member_unsigned(out, "checkpoint", state_checkpoint_seq(context->state));
    json_member_unsigned(out, "checkpoints", stats_get(&stats->checkpoints));
    json_member_unsigned(out, "checkpointMs", stats_get(&stats->checkpoint_ms));
    json_member_unsigned(out, "deadLetters", state_dead_letter_count(context->state));
    json_member_unsigned(out, "deadLettersTrimmed", state_dead_letter_trimmed(context->state));
    json_member_boolean(out, "diskFull", atomic_load(&stats->disk_full));
    buf_byte(out, '}');
}

static bool answer_stats(struct ask *ask)
{
    struct stats *stats = ask->context->partition->stats;
    struct buf *out = ask->out;
    struct memory memory = memory_in_use();
    json_member_text(out, "version", TEXT(FWSYNC_VERSION));
    json_member_integer(out, "uptimeMs", clock_wall_ms() - stats->started_ms);
    write_event_counters(stats, out);
    write_traffic(stats, out);
    write_stores(ask->context, out);
    open_object(out, "results");
    publisher_classes(ask->context->publisher, out);
    buf_byte(out, '}');
    open_object(out, "memory");
    json_member_unsigned(out, "anonymous", memory.anonymous_bytes);
    json_member_unsigned(out, "file", memory.file_bytes);
    buf_byte(out, '}');
    return true;
}

/* --- the table ------------------------------------------------------------------------------------------- */

static const struct op ops[] = {
    {"ping", {NULL}, answer_ping},
    {"device", {"device"}, answer_device},
    {"devices", {"index", "value", "type", "prefix", "limit", "cursor"}, answer_devices},
    {"count", {"index", "value", "limit", "cursor"}, answer_count},
    {"deadletters", {"limit", "cursor"}, answer_dead_letters},
    {"rules", {NULL}, answer_rules},
    {"stats", {NULL}, answer_stats},
};
enum { OP_COUNT = sizeof ops / sizeof ops[0] };

static bool unknown_word(struct ask *ask, const char *what, struct text word,
                         const char *const *known, size_t known_count)
{
    const char *nearest = text_nearest(word, known, known_count);
    struct buf list = {.arena = &ask->query->arena};
    for (size_t i = 0; i < known_count; i++)
        buf_printf(&list, "%s%s", i == 0 ? "" : ", ", known[i]);
    return nearest != NULL
               ? err_set(ask->err, ERR_BAD_QUERY, "unknown %s \"%.*s\"; did you mean \"%s\"?", what,
                         (int)(word.len < 64 ? word.len : 64), word.bytes, nearest)
               : err_set(ask->err, ERR_BAD_QUERY, "unknown %s \"%.*s\"; there are: %.*s", what,
                         (int)(word.len < 64 ? word.len : 64), word.bytes, (int)list.len,
                         list.bytes);
}

static const struct op *find_op(struct ask *ask)
{
    const struct value *name = fields_get(&ask->fields, TEXT("op"));
    const char *names[OP_COUNT];
    for (size_t i = 0; i < OP_COUNT; i++) {
        names[i] = ops[i].name;
        if (name != NULL && name->kind == VALUE_STRING && text_is(name->text, ops[i].name))
            return &ops[i];
    }
    if (name == NULL || name->kind != VALUE_STRING)
        err_set(ask->err, ERR_BAD_QUERY, "op: expected a string, such as {\"op\":\"ping\"}");
    else
        unknown_word(ask, "op", name->text, names, OP_COUNT);
    return NULL;
}

static bool check_fields(struct ask *ask, const struct op *op)
{
    const char *known[QUERY_FIELDS_MAX + 1] = {"op"};
    size_t count = 1;
    while (count <= QUERY_FIELDS_MAX && op->fields[count - 1] != NULL) {
        known[count] = op->fields[count - 1];
        count++;
    }
    for (size_t i = 0; i < ask->fields.count; i++) {
        size_t k = 0;
        while (k < count && !text_is(ask->fields.items[i].key, known[k]))
            k++;
        if (k == count)
            return unknown_word(ask, "field", ask->fields.items[i].key, known, count);
    }
    return true;
}

static bool answer(struct ask *ask)
{
    struct arena *arena = &ask->query->arena;
    if (ask->query->body.len > REQUEST_BYTES_MAX)
        return err_set(ask->err, ERR_TOO_LARGE, "a question has at most %d bytes", REQUEST_BYTES_MAX);
    if (!json_parse_object(ask->query->body, arena, arena, &ask->fields, ask->err))
        return false;
    const struct op *op = find_op(ask);
    if (op == NULL || !check_fields(ask, op))
        return false;
    buf_byte(ask->out, '{');
    json_member_boolean(ask->out, "ok", true);
    json_member_unsigned(ask->out, "seq", state_applied_seq(ask->context->state));
    if (!op->answer(ask))
        return false;
    buf_byte(ask->out, '}');
    return true;
}

void query_reply_error(struct query *query, const struct err *err)
{
    buf_clear(&query->reply);
    reply_error(&query->reply, err->code, err->text);
}

bool query_answer(const struct query_context *context, struct query *query, struct err *err)
{
    struct ask ask = {.context = context, .query = query, .out = &query->reply, .err = err};
    stats_add(&context->partition->stats->queries, 1);
    if (answer(&ask))
        return true;
    query_reply_error(query, err);
    return err->code != ERR_STORE;
}

struct query *query_create(void)
{
    struct query *query = calloc(1, sizeof *query);
    if (query == NULL)
        abort();
    query->work.kind = WORK_QUERY;
    arena_init(&query->arena, QUERY_ARENA_BYTES);
    return query;
}

void query_destroy(struct query *query)
{
    arena_fini(&query->arena);
    buf_fini(&query->reply);
    free(query);
}

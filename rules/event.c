#include "rules/event.h"

#include "engine/base/buf.h"
#include "engine/base/limits.h"
#include "plugins/fwsync_plugin.h"
#include "rules/words.h"

static const char *const type_names[] = {
#define X(name, relation) name,
    FWSYNC_MESSAGE_TYPES(X)
#undef X
};
enum { TYPE_COUNT = sizeof type_names / sizeof type_names[0] };

static const char deadline_passed[] = "DEADLINE_PASSED";

/* The engine itself treats these three apart from the others. */
enum event_kind { KIND_REPORT, KIND_WRITE, KIND_OTHER };

static int type_position(struct text type)
{
    int i = 0;
    while (i < TYPE_COUNT && !text_is(type, type_names[i]))
        i++;
    return i;
}

static enum event_kind event_kind(struct text type)
{
    if (text_is(type, "POST_ATTRIBUTES_REQUEST") || text_is(type, "POST_TELEMETRY_REQUEST"))
        return KIND_REPORT;
    return text_is(type, "ATTRIBUTES_UPDATED") ? KIND_WRITE : KIND_OTHER;
}

/* --- reading one field ------------------------------------------------------------------------------ */

enum { SHOWN_BYTES = 64 }; /* of what a producer wrote */

static bool wrong(struct err *err, const char *field, const char *expected,
                  const struct value *value)
{
    return err_set(err, ERR_BAD_EVENT, "%s: expected %s, got %s", field, expected,
                   json_kind_name(value));
}

/* A name: a string of 1..bytes_max bytes without control characters (they would reach logs, topics and
 * terminals). */
static bool read_name(const struct value *value, const char *field, size_t bytes_max,
                      struct text *out, struct err *err)
{
    if (value->kind != VALUE_STRING)
        return wrong(err, field, "a string", value);
    if (value->text.len == 0)
        return err_set(err, ERR_BAD_EVENT, "%s: expected a name, got an empty string", field);
    if (value->text.len > bytes_max)
        return err_set(err, ERR_TOO_LARGE, "%s: %zu bytes; at most %zu are taken", field,
                       value->text.len, bytes_max);
    if (text_has_control(value->text))
        return err_set(err, ERR_BAD_EVENT, "%s: control characters aren't taken", field);
    *out = value->text;
    return true;
}

static bool read_integer(const struct value *value, const char *field, int64_t min, int64_t *out,
                         struct err *err)
{
    if (value->kind == VALUE_DOUBLE) {
        char digits[DOUBLE_TEXT_BYTES];
        size_t len = value_format_double(value->number, digits);
        return err_set(err, ERR_BAD_EVENT, "%s: expected a whole number, got %.*s", field, (int)len,
                       digits);
    }
    if (value->kind != VALUE_INTEGER)
        return wrong(err, field, "a whole number", value);
    if (value->integer < min) /* JSON_INTEGER_MAX is json.h's business */
        return err_set(err, ERR_BAD_EVENT, "%s: expected %lld or more, got %lld", field,
                       (long long)min, (long long)value->integer);
    *out = value->integer;
    return true;
}

static bool read_scope(const struct value *value, struct event *event, struct err *err)
{
    if (value->kind != VALUE_STRING)
        return wrong(err, "scope", "a string", value);
    event->has_scope = scope_parse(value->text, &event->scope);
    if (event->has_scope)
        return true;
    static const char *const names[] = {"CLIENT_SCOPE", "SHARED_SCOPE", "SERVER_SCOPE"};
    char hint[WORDS_HINT_BYTES];
    words_hint(value->text, names, 3, hint);
    return err_set(err, ERR_BAD_EVENT, "scope: there is no '" TEXT_FMT "'; %s",
                   TEXT_CUT(value->text, SHOWN_BYTES), hint);
}

/* --- data and metadata ------------------------------------------------------------------------------ */

static bool check_member(const struct field *member, const char *where, struct err *err)
{
    if (member->key.len == 0)
        return err_set(err, ERR_BAD_EVENT, "%s: an empty key", where);
    if (member->key.len > KEY_BYTES_MAX)
        return err_set(err, ERR_TOO_LARGE, "%s: the key '" TEXT_FMT "...' has %zu bytes; at most %d are taken",
                       where, TEXT_CUT(member->key, SHOWN_BYTES / 2), member->key.len, KEY_BYTES_MAX);
    const struct value *value = &member->value;
    if ((value->kind == VALUE_STRING || value->kind == VALUE_JSON) &&
        value->text.len > VALUE_BYTES_MAX)
        return err_set(err, ERR_TOO_LARGE, "%s." TEXT_FMT ": a value of %zu bytes; at most %d are taken",
                       where, TEXT_CUT(member->key, SHOWN_BYTES), value->text.len, VALUE_BYTES_MAX);
    return true;
}

static bool check_members(const struct fields *fields, const char *where, struct err *err)
{
    if (fields->count > FIELD_COUNT_MAX)
        return err_set(err, ERR_LIMIT, "%s: %zu members; at most %d are taken", where, fields->count,
                       FIELD_COUNT_MAX);
    for (size_t i = 0; i < fields->count; i++)
        if (!check_member(&fields->items[i], where, err))
            return false;
    return true;
}

static bool check_metadata(const struct fields *metadata, struct err *err)
{
    for (size_t i = 0; i < metadata->count; i++)
        if (metadata->items[i].value.kind != VALUE_STRING)
            return err_set(err, ERR_BAD_EVENT, "metadata." TEXT_FMT ": expected a string, got %s",
                           TEXT_CUT(metadata->items[i].key, SHOWN_BYTES),
                           json_kind_name(&metadata->items[i].value));
    return check_members(metadata, "metadata", err);
}

/* --- the fields of an event ------------------------------------------------------------------------- */

static const char *const field_names[] = {
    "device", "type", "data", "scope", "ts", "metadata", "deviceType", "source", "n",
};

static bool unknown_field(struct text key, struct err *err)
{
    char hint[WORDS_HINT_BYTES];
    words_hint(key, field_names, sizeof field_names / sizeof field_names[0], hint);
    return err_set(err, ERR_BAD_EVENT, "unknown field '" TEXT_FMT "'; %s",
                   TEXT_CUT(key, SHOWN_BYTES), hint);
}

static bool read_field(const struct field *field, struct event *event, struct err *err)
{
    const struct value *value = &field->value;
    if (text_is(field->key, "device"))
        return read_name(value, "device", DEVICE_BYTES_MAX, &event->device, err);
    if (text_is(field->key, "type"))
        return read_name(value, "type", TYPE_BYTES_MAX, &event->type, err);
    if (text_is(field->key, "scope"))
        return read_scope(value, event, err);
    if (text_is(field->key, "ts")) {
        event->has_ts = true;
        return read_integer(value, "ts", 0, &event->ts_ms, err);
    }
    if (text_is(field->key, "deviceType"))
        return read_name(value, "deviceType", TYPE_BYTES_MAX, &event->device_type, err);
    if (text_is(field->key, "source"))
        return read_name(value, "source", SOURCE_BYTES_MAX, &event->source, err);
    if (text_is(field->key, "n")) {
        int64_t n;
        if (!read_integer(value, "n", 1, &n, err))
            return false;
        event->n = (uint64_t)n;
        return true;
    }
    if (text_is(field->key, "data"))
        return wrong(err, "data", "an object", value);
    if (text_is(field->key, "metadata"))
        return wrong(err, "metadata", "an object", value);
    return unknown_field(field->key, err);
}

/* What one field alone cannot tell. */
static bool check_whole(const struct event *event, bool has_data, struct err *err)
{
    if (event->device.bytes == NULL)
        return err_set(err, ERR_BAD_EVENT, "the field 'device' is missing: the device's name");
    if (event->type.bytes == NULL)
        return err_set(err, ERR_BAD_EVENT,
                       "the field 'type' is missing, e.g. \"POST_ATTRIBUTES_REQUEST\"");
    if (text_is(event->type, deadline_passed))
        return err_set(err, ERR_BAD_EVENT, "type: %s is the engine's own, made when a deadline of the rules "
                                           "has passed", deadline_passed);
    enum event_kind kind = event_kind(event->type);
    if (kind != KIND_OTHER && !has_data)
        return err_set(err, ERR_BAD_EVENT, "the field 'data' is missing, which " TEXT_FMT " needs",
                       TEXT_ARG(event->type));
    if (kind == KIND_WRITE && !event->has_scope)
        return err_set(err, ERR_BAD_EVENT,
                       "the field 'scope' is missing, which ATTRIBUTES_UPDATED needs: expected "
                       "CLIENT_SCOPE, SHARED_SCOPE or SERVER_SCOPE");
    if (kind != KIND_WRITE && event->has_scope)
        return err_set(err, ERR_BAD_EVENT, "the field 'scope' is for ATTRIBUTES_UPDATED only");
    if ((event->source.bytes != NULL) != (event->n != 0))
        return err_set(err, ERR_BAD_EVENT, "the field '%s' is missing: source and n go together",
                       event->n != 0 ? "source" : "n");
    return true;
}

bool event_parse(struct text text, struct arena *scratch, struct arena *arena, struct event *event,
                 struct err *err)
{
    enum { DATA, METADATA };
    static const char *const objects[] = {[DATA] = "data", [METADATA] = "metadata"};
    struct fields fields, expanded[2];
    arena_reset(scratch);
    if (!json_parse_object_expanding(text, EVENT_DEPTH_MAX, objects, 2, scratch, arena, &fields, expanded,
                                     err))
        return false;
    struct event read = {.data = expanded[DATA], .metadata = expanded[METADATA]};
    for (size_t i = 0; i < fields.count; i++)
        if (!read_field(&fields.items[i], &read, err))
            return false;
    if (!check_whole(&read, read.data.items != NULL, err) ||
        !check_members(&read.data, "data", err) || !check_metadata(&read.metadata, err))
        return false;
    read.type_index = type_position(read.type);
    *event = read;
    return true;
}

struct event event_of(struct text device, struct text type)
{
    return (struct event){.device = device, .type = type, .type_index = type_position(type)};
}

struct text event_deadline_passed(struct text device, struct arena *arena, struct event *event)
{
    *event = event_of(device, text_of(deadline_passed));
    struct buf line = {.arena = arena};
    buf_byte(&line, '{');
    json_member_text(&line, "device", event->device);
    json_member_text(&line, "type", event->type);
    buf_byte(&line, '}');
    return buf_text(&line);
}

const char *event_type_name(unsigned type_index)
{
    return type_index < TYPE_COUNT ? type_names[type_index] : NULL;
}

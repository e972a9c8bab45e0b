#include "engine/service/ask.h"

#include <inttypes.h>
#include <stdio.h>

static bool wrong_type(struct ask *ask, const char *name, const char *expected,
                       const struct value *found)
{
    return err_set(ask->err, ERR_BAD_QUERY, "%s: expected %s, found %s", name, expected,
                   json_kind_name(found));
}

bool ask_text(struct ask *ask, const char *name, struct text *text)
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

bool ask_limit(struct ask *ask, size_t *limit)
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

static bool ask_whole(struct ask *ask, const char *name, const char *expected, int64_t *number, bool *given)
{
    const struct value *value = fields_get(&ask->fields, text_of(name));
    *given = value != NULL;
    if (value == NULL)
        return true;
    if (value->kind != VALUE_INTEGER || value->integer < 0)
        return wrong_type(ask, name, expected, value);
    *number = value->integer;
    return true;
}

bool ask_time(struct ask *ask, const char *name, int64_t *ms, bool *given)
{
    return ask_whole(ask, name, "milliseconds since 1970", ms, given);
}

bool ask_seq(struct ask *ask, const char *name, uint64_t *seq, bool *given)
{
    int64_t number = 0;
    if (!ask_whole(ask, name, "the number of an event", &number, given))
        return false;
    *seq = (uint64_t)number;
    return true;
}

bool ask_wrong_cursor(struct ask *ask)
{
    return err_set(ask->err, ERR_BAD_QUERY, "cursor: not one that this op gave");
}

bool ask_cursor(struct ask *ask, uint64_t *first, uint64_t *second)
{
    struct text cursor;
    int end = 0;
    *first = *second = 0;
    if (!ask_text(ask, "cursor", &cursor))
        return false;
    return cursor.len == 0 ||
           (sscanf(cursor.bytes, "%" SCNu64 ":%" SCNu64 "%n", first, second, &end) == 2 &&
            (size_t)end == cursor.len) ||
           ask_wrong_cursor(ask);
}

bool ask_fleet_cursor(struct ask *ask, struct fleet_cursor *cursor)
{
    struct text text;
    int end = 0;
    *cursor = (struct fleet_cursor){.part = 0};
    if (ask->context->count == 1)
        return ask_cursor(ask, &cursor->first, &cursor->second);
    if (!ask_text(ask, "cursor", &text))
        return false;
    return text.len == 0 ||
           (sscanf(text.bytes, "%u/%" SCNu64 "/%" SCNu64 ":%" SCNu64 "%n", &cursor->part, &cursor->seq, &cursor->first,
                   &cursor->second, &end) == 4 &&
            (size_t)end == text.len && cursor->part < ask->context->count) ||
           ask_wrong_cursor(ask);
}

void ask_write_fleet_cursor(struct ask *ask, const struct fleet_cursor *cursor)
{
    if (ask->context->count == 1) {
        ask_write_cursor(ask, cursor->first, cursor->second);
        return;
    }
    json_key(ask->out, "cursor");
    buf_printf(ask->out, "\"%u/%" PRIu64 "/%" PRIu64 ":%" PRIu64 "\"", cursor->part, cursor->seq, cursor->first,
               cursor->second);
}

void ask_write_cursor(struct ask *ask, uint64_t first, uint64_t second)
{
    json_key(ask->out, "cursor");
    buf_printf(ask->out, "\"%" PRIu64 ":%" PRIu64 "\"", first, second);
}

bool ask_device(struct ask *ask, struct device **device)
{
    struct text name;
    if (!ask_text(ask, "device", &name))
        return false;
    if (name.len == 0)
        return err_set(ask->err, ERR_BAD_QUERY, "device: expected the name of a device");
    if (name.len > DEVICE_BYTES_MAX)
        return err_set(ask->err, ERR_NOT_FOUND, "device: a name has at most %d bytes", DEVICE_BYTES_MAX);
    if (!state_device_find(ask->context->state, name, device, ask->err))
        return false;
    return *device != NULL ||
           err_set(ask->err, ERR_NOT_FOUND, "there is no device \"" TEXT_FMT "\"", TEXT_ARG(name));
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

bool ask_index_named(struct ask *ask, struct text name, const struct value *value,
                     struct asked_index *asked)
{
    *asked = (struct asked_index){.given = true, .name = name, .value = value};
    asked->type = text_is(name, "type");
    if (asked->type)
        return value == NULL || value->kind == VALUE_STRING ||
               wrong_type(ask, "value", "a string, as every type is", value);
    const char *dot = memchr(name.bytes, '.', name.len);
    size_t len = dot == NULL ? 0 : (size_t)(dot - name.bytes);
    enum scope scope;
    if (dot == NULL || !scope_parse_short((struct text){name.bytes, len}, &scope) ||
        !state_index_find(ask->context->state, scope,
                          (struct text){dot + 1, name.len - len - 1}, &asked->index))
        return unknown_index(ask, name);
    return true;
}

bool ask_index(struct ask *ask, struct asked_index *asked)
{
    const struct value *value = fields_get(&ask->fields, TEXT("value"));
    struct text name;
    if (!ask_text(ask, "index", &name))
        return false;
    if (name.bytes != NULL)
        return ask_index_named(ask, name, value, asked);
    *asked = (struct asked_index){.given = false};
    return value == NULL ||
           err_set(ask->err, ERR_BAD_QUERY, "value: needs an index, to tell of which attribute");
}

/* host.c - what a node may do while it runs: the fwsync_* functions of plugins/fwsync_plugin.h.
 * Each speaks for one message; its memory is the run's arena. */
#include "rules/message.h"

#include <stdarg.h>
#include <stdio.h>

#include "engine/base/limits.h"

static struct arena *message_arena(const struct fwsync_message *message)
{
    return message->run->input->arena;
}

/* --- the message itself ----------------------------------------------------------------------------- */

int fwsync_fail(struct fwsync_message *message, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *line = arena_alloc(message_arena(message), ERR_TEXT_BYTES);
    vsnprintf(line, ERR_TEXT_BYTES, format, args);
    va_end(args);
    text_to_line(line); /* keys are quoted in it, and may hold anything */
    message->error = line;
    return FWSYNC_FAILURE;
}

void *fwsync_alloc(struct fwsync_message *message, size_t bytes)
{
    return arena_alloc(message_arena(message), bytes);
}

struct fwsync_text fwsync_message_device(const struct fwsync_message *message)
{
    return text_out(message->run->input->event->device);
}

struct fwsync_text fwsync_message_device_type(const struct fwsync_message *message)
{
    return text_out(message->run->input->device_type);
}

struct fwsync_text fwsync_message_type(const struct fwsync_message *message)
{
    return text_out(message->run->input->event->type);
}

int fwsync_message_type_index(const struct fwsync_message *message)
{
    return message->run->input->event->type_index;
}

int64_t fwsync_message_ts_ms(const struct fwsync_message *message)
{
    return message->run->ts_ms;
}

int64_t fwsync_message_received_ms(const struct fwsync_message *message)
{
    return message->run->input->received_ms;
}

bool fwsync_message_changed(const struct fwsync_message *message)
{
    return message->changed;
}

/* --- metadata and data ------------------------------------------------------------------------------ */

static bool check_key(struct fwsync_message *message, struct fwsync_text key)
{
    if (key.len > 0 && key.len <= KEY_BYTES_MAX)
        return true;
    fwsync_fail(message, "a key of %zu bytes ('%.*s'); expected 1 to %d", key.len,
                key.len > 64 ? 64 : (int)key.len, key.bytes, KEY_BYTES_MAX);
    return false;
}

static bool check_value(struct fwsync_message *message, struct fwsync_text key,
                        const struct value *value)
{
    if ((value->kind != VALUE_STRING && value->kind != VALUE_JSON) ||
        value->text.len <= VALUE_BYTES_MAX)
        return true;
    fwsync_fail(message, "the value of '%.*s' has %zu bytes; at most %d are taken", (int)key.len,
                key.bytes, value->text.len, VALUE_BYTES_MAX);
    return false;
}

static bool put_member(struct fwsync_message *message, struct members *members,
                       struct fwsync_text key, const struct value *value)
{
    if (!check_key(message, key) || !check_value(message, key, value))
        return false;
    if (members_put(members, text_in(key), value, message_arena(message)))
        return true;
    fwsync_fail(message, "no room for '%.*s': the message has %d members already", (int)key.len,
                key.bytes, FIELD_COUNT_MAX);
    return false;
}

bool fwsync_metadata_get(const struct fwsync_message *message, struct fwsync_text key,
                         struct fwsync_text *text)
{
    size_t i = members_find(&message->metadata, text_in(key));
    if (i == message->metadata.fields.count)
        return false;
    *text = text_out(message->metadata.fields.items[i].value.text);
    return true;
}

bool fwsync_metadata_put(struct fwsync_message *message, struct fwsync_text key,
                         struct fwsync_text text)
{
    struct value value = value_string(text_in(text));
    return put_member(message, &message->metadata, key, &value);
}

bool fwsync_metadata_delete(struct fwsync_message *message, struct fwsync_text key)
{
    return members_delete(&message->metadata, text_in(key), message_arena(message));
}

bool fwsync_data_get(const struct fwsync_message *message, struct fwsync_text key,
                     struct fwsync_value *value)
{
    size_t i = members_find(&message->data, text_in(key));
    if (i == message->data.fields.count)
        return false;
    *value = value_out(&message->data.fields.items[i].value);
    return true;
}

bool fwsync_data_put(struct fwsync_message *message, struct fwsync_text key,
                     const struct fwsync_value *value)
{
    struct value copy = value_in(value);
    return put_member(message, &message->data, key, &copy);
}

bool fwsync_data_delete(struct fwsync_message *message, struct fwsync_text key)
{
    return members_delete(&message->data, text_in(key), message_arena(message));
}

size_t fwsync_metadata_count(const struct fwsync_message *message)
{
    return message->metadata.fields.count;
}

size_t fwsync_data_count(const struct fwsync_message *message)
{
    return message->data.fields.count;
}

void fwsync_metadata_at(const struct fwsync_message *message, size_t index, struct fwsync_text *key,
                        struct fwsync_text *text)
{
    const struct field *field = &message->metadata.fields.items[index];
    *key = text_out(field->key);
    *text = text_out(field->value.text);
}

void fwsync_data_at(const struct fwsync_message *message, size_t index, struct fwsync_text *key,
                    struct fwsync_value *value)
{
    const struct field *field = &message->data.fields.items[index];
    *key = text_out(field->key);
    *value = value_out(&field->value);
}

struct fwsync_text fwsync_value_text(struct fwsync_message *message, const struct fwsync_value *value)
{
    struct value copy = value_in(value);
    return text_out(value_text(&copy, message_arena(message)));
}

struct fwsync_text fwsync_data_json(struct fwsync_message *message)
{
    return text_out(members_json(&message->data, message_arena(message)));
}

struct fwsync_text fwsync_metadata_json(struct fwsync_message *message)
{
    return text_out(members_json(&message->metadata, message_arena(message)));
}

bool fwsync_json_members(struct fwsync_message *message, const struct fwsync_value *object,
                         const struct fwsync_field **members, size_t *count)
{
    struct arena *arena = message_arena(message);
    struct fields fields;
    if (object->kind != FWSYNC_JSON ||
        !json_parse_object(text_in(object->text), arena, arena, &fields, NULL))
        return false;
    struct fwsync_field *out = arena_alloc(arena, fields.count * sizeof *out);
    for (size_t i = 0; i < fields.count; i++)
        out[i] = (struct fwsync_field){text_out(fields.items[i].key),
                                       value_out(&fields.items[i].value)};
    *members = out;
    *count = fields.count;
    return true;
}

/* --- the device's stored values --------------------------------------------------------------------- */

/* What a failing store means: the node fails when it is about this value, else the whole fold stops. */
static bool store_failure(struct fwsync_message *message, const char *what, enum scope scope,
                          struct text key, const struct err *err)
{
    if (err->code == ERR_TOO_LARGE || err->code == ERR_LIMIT) {
        fwsync_fail(message, "can't %s '" TEXT_FMT "' in %s: %s", what, TEXT_ARG(key),
                    scope_name(scope), err->text);
        return false;
    }
    message->run->store_failed = true;
    if (message->run->err != NULL)
        *message->run->err = *err;
    return false;
}

/* After a failure of the store a node may go on until it returns; it reaches the store no more. */
static bool store_gone(struct fwsync_message *message)
{
    if (message->run->store_failed)
        fwsync_fail(message, "the store failed");
    return message->run->store_failed;
}

bool message_save(struct fwsync_message *message, enum scope scope, struct text key,
                  const struct value *value, int64_t ts_ms)
{
    const struct apply_input *input = message->run->input;
    bool changed = false;
    struct err err;
    if (!input->access->put(input->device, scope, key, value, ts_ms, input->seq, &changed, &err))
        return store_failure(message, "save", scope, key, &err);
    if (!changed)
        return true;
    message->changed = true;
    if (scope != SCOPE_TELEMETRY)
        input->sink->attribute(input->sink->context, scope, key, value);
    return true;
}

static bool put_value(struct fwsync_message *message, enum scope scope, struct fwsync_text key,
                      const struct fwsync_value *value, int64_t ts_ms)
{
    struct value copy = value_in(value);
    if (store_gone(message) || !check_key(message, key) || !check_value(message, key, &copy))
        return false;
    if (copy.kind == VALUE_NULL) {
        fwsync_fail(message, "can't save '%.*s': its value is null", (int)key.len, key.bytes);
        return false;
    }
    return message_save(message, scope, text_in(key), &copy, ts_ms);
}

bool fwsync_attribute_get(struct fwsync_message *message, enum fwsync_scope scope,
                          struct fwsync_text key, struct fwsync_value *value, bool *found)
{
    const struct apply_input *input = message->run->input;
    if (store_gone(message))
        return false;
    if (key.len == 0 || key.len > KEY_BYTES_MAX) { /* nothing can have such a name */
        *found = false;
        return true;
    }
    struct value stored;
    bool there = false;
    struct err err;
    if (!input->access->get(input->device, (enum scope)scope, text_in(key), &stored, &there, &err))
        return store_failure(message, "read", (enum scope)scope, text_in(key), &err);
    if (there) {
        if (stored.kind == VALUE_STRING || stored.kind == VALUE_JSON) /* the next put moves it */
            stored.text = arena_copy(message_arena(message), stored.text);
        *value = value_out(&stored);
    }
    *found = there;
    return true;
}

bool fwsync_attribute_put(struct fwsync_message *message, enum fwsync_scope scope,
                          struct fwsync_text key, const struct fwsync_value *value)
{
    return put_value(message, (enum scope)scope, key, value, message->run->ts_ms);
}

bool fwsync_telemetry_put(struct fwsync_message *message, struct fwsync_text key,
                          const struct fwsync_value *value, int64_t ts_ms)
{
    return put_value(message, SCOPE_TELEMETRY, key, value, ts_ms);
}

bool fwsync_attribute_delete(struct fwsync_message *message, enum fwsync_scope scope,
                             struct fwsync_text key)
{
    const struct apply_input *input = message->run->input;
    if (store_gone(message))
        return false;
    if (key.len == 0 || key.len > KEY_BYTES_MAX)
        return true;
    bool existed = false;
    struct err err;
    if (!input->access->remove(input->device, (enum scope)scope, text_in(key), &existed, &err))
        return store_failure(message, "delete", (enum scope)scope, text_in(key), &err);
    if (!existed)
        return true;
    message->changed = true;
    if (scope != FWSYNC_TELEMETRY)
        input->sink->attribute(input->sink->context, (enum scope)scope, text_in(key), NULL);
    return true;
}

void fwsync_timer_set(struct fwsync_message *message, int64_t due_ms)
{
    const struct apply_input *input = message->run->input;
    if (message->run->store_failed)
        return;
    due_ms = due_ms < 0 ? 0 : due_ms > JSON_INTEGER_MAX ? JSON_INTEGER_MAX : due_ms;
    input->access->timer_set(input->device, due_ms, input->received_ms);
}

/* --- on and out ------------------------------------------------------------------------------------- */

void fwsync_publish(struct fwsync_message *message, int class_index, const struct fwsync_keys *data,
                    const struct fwsync_keys *metadata)
{
    const struct sink *sink = message->run->input->sink;
    struct text class_name = message->run->ruleset->class_names[class_index];
    struct message_view view = {
        .type = message->run->input->event->type,
        .data = {.fields = &message->data.fields, .keys = data},
        .metadata = {.fields = &message->metadata.fields, .keys = metadata},
    };
    const struct tracer *tracer = message->run->input->tracer;
    if (tracer != NULL && tracer->published != NULL)
        tracer->published(tracer->context, class_name);
    sink->publish(sink->context, class_name, class_index, &view);
}

void fwsync_call(struct fwsync_message *message, int chain_index)
{
    message->call = message->run->ruleset->chains[chain_index];
}

void fwsync_log(struct fwsync_message *message, struct fwsync_text text)
{
    const struct sink *sink = message->run->input->sink;
    sink->log(sink->context, message->node->chain->name, message->node->name, text_in(text));
}

#include "rules/apply.h"

#include "plugins/fwsync_plugin.h"
#include "rules/message.h"

static void put_text(struct members *members, struct text key, struct text text)
{
    members->fields.items[members->fields.count++] = (struct field){key, value_string(text)};
}

/* The event's own metadata, under what only the engine may say: a producer can't pass for another
 * device or scope. The same keys as ThingsBoard's transports and its attribute service set. */
static struct members first_metadata(const struct event *event, const struct apply_input *input,
                                     int64_t ts_ms)
{
    enum { ENGINE_KEYS = 4, SPARE = 8 };
    const struct fields *given = &event->metadata;
    size_t capacity = given->count + ENGINE_KEYS + SPARE;
    struct members members = {.capacity = capacity};
    members.fields.items = arena_alloc(input->arena, capacity * sizeof(struct field));
    put_text(&members, TEXT("deviceName"), event->device);
    put_text(&members, TEXT("deviceType"), input->device_type);
    char *digits = arena_alloc(input->arena, DECIMAL_BYTES);
    put_text(&members, TEXT("ts"), (struct text){digits, (size_t)(put_unsigned(digits, (uint64_t)ts_ms) - digits)});
    if (event->has_scope)
        put_text(&members, TEXT("scope"), text_of(scope_name(event->scope)));
    size_t engine_count = members.fields.count;
    for (size_t i = 0; i < given->count; i++) {
        struct members engine = {.fields = {members.fields.items, engine_count}};
        if (members_find(&engine, given->items[i].key) == engine_count)
            members.fields.items[members.fields.count++] = given->items[i];
    }
    return members;
}

/* An operator's write is saved before any rule sees it. A value that the store won't take ends the write;
 * the message keeps what came before it, so that the rules derive from what is stored. */
static bool save_write(struct fwsync_message *message, const struct event *event, int64_t ts_ms)
{
    for (size_t i = 0; i < event->data.count; i++) {
        const struct field *field = &event->data.items[i];
        if (field->value.kind == VALUE_NULL)
            continue;
        if (!message_save(message, event->scope, field->key, &field->value, ts_ms)) {
            message->data.fields.count = i;
            return false;
        }
    }
    return true;
}

bool apply_event(const struct ruleset *ruleset, const struct apply_input *input,
                 unsigned *dead_letter_count, struct err *err)
{
    const struct event *event = input->event;
    int64_t ts_ms = event->has_ts ? event->ts_ms : input->received_ms;
    struct run run = {.ruleset = ruleset, .input = input, .ts_ms = ts_ms, .err = err};
    struct fwsync_message message = {.run = &run, .data.fields = event->data};
    bool saved = !event->has_scope || save_write(&message, event, ts_ms);
    if (!saved && !run.store_failed)
        run_dead_letter(&run, NULL, message.error);
    if (saved || (!run.store_failed && message.changed)) {
        message.metadata = first_metadata(event, input, ts_ms);
        if (input->tracer != NULL && input->tracer->begun != NULL)
            input->tracer->begun(input->tracer->context, &message.metadata.fields);
        run_message(&run, &message, ruleset->root->entry.nodes[0]);
    }
    if (run.store_failed)
        return false;
    *dead_letter_count = run.dead_letter_count;
    return true;
}

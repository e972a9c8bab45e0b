#include "engine/client/teller.h"

#include "engine/client/members.h"

enum { CHUNK_BYTES = 16384 };

void teller_init(struct teller *teller, const struct fwsync_follow *follow)
{
    *teller = (struct teller){.follow = *follow};
    arena_init(&teller->arena, CHUNK_BYTES);
    arena_init(&teller->scratch, CHUNK_BYTES);
}

void teller_fini(struct teller *teller)
{
    buf_fini(&teller->json);
    arena_fini(&teller->arena);
    arena_fini(&teller->scratch);
}

static void note(struct teller *teller, int wish)
{
    teller->stop |= wish != 0;
}

static bool is_followed(const struct teller *teller, struct text device)
{
    return teller->follow.device == NULL || text_is(device, teller->follow.device);
}

/* --- results ---------------------------------------------------------------------------------------- */

bool teller_read(struct teller *teller, struct text class_name, struct text json,
                 struct told_result *result)
{
    struct fields fields = {NULL, 0};
    arena_reset(&teller->arena);
    arena_reset(&teller->scratch);
    if (!json_parse_object(json, &teller->scratch, &teller->arena, &fields, NULL))
        return false;
    if (class_name.len == 0)
        class_name = member_text(&fields, "class");
    int64_t n = member_integer(&fields, "n"), seq = member_integer(&fields, "seq");
    *result = (struct told_result){class_name, (uint64_t)n, (uint64_t)seq, json, fields};
    return class_name.len > 0 && n > 0 && seq > 0;
}

static const char *value_json(struct teller *teller, const struct value *value)
{
    struct buf json = {.arena = &teller->arena};
    json_value(&json, value);
    buf_byte(&json, '\0');
    return json.bytes;
}

static void tell_change(struct teller *teller, const struct told_result *result)
{
    const struct fields *fields = &result->fields;
    const struct value *value = fields_get(fields, TEXT("value"));
    struct fwsync_change change = {
        .device = member_text(fields, "device").bytes,
        .attribute = {member_text(fields, "scope").bytes, member_text(fields, "key").bytes,
                      value == NULL ? NULL : value_json(teller, value)},
        .seq = result->seq,
        .n = result->n,
        .ts_ms = member_integer(fields, "ts"),
    };
    note(teller, teller->follow.on_change(teller->follow.context, &change));
}

/* On the wire a payload doesn't say its class, which its topic does; in an answer it does. */
static void tell_whole(struct teller *teller, const struct told_result *result)
{
    struct buf *json = &teller->json;
    buf_clear(json);
    if (fields_get(&result->fields, TEXT("class")) == NULL) {
        buf_byte(json, '{');
        json_member_text(json, "class", result->class_name);
        buf_byte(json, ',');
        buf_append(json, (struct text){result->json.bytes + 1, result->json.len - 1});
    } else {
        buf_append(json, result->json);
    }
    buf_byte(json, '\0');
    struct fwsync_result told = {
        .class_name = arena_copy(&teller->arena, result->class_name).bytes,
        .device = member_text(&result->fields, "device").bytes,
        .seq = result->seq,
        .n = result->n,
        .ts_ms = member_integer(&result->fields, "ts"),
        .json = json->bytes,
        .json_len = json->len - 1,
    };
    note(teller, teller->follow.on_result(teller->follow.context, &told));
}

void teller_result(struct teller *teller, const struct told_result *result)
{
    if (!is_followed(teller, member_text(&result->fields, "device")))
        return;
    if (teller->follow.on_change != NULL && text_is(result->class_name, "attributes"))
        tell_change(teller, result);
    else if (teller->follow.on_result != NULL)
        tell_whole(teller, result);
}

/* --- a snapshot ------------------------------------------------------------------------------------- */

void teller_begin(struct teller *teller, uint64_t seq)
{
    if (teller->follow.on_snapshot_begin != NULL)
        note(teller, teller->follow.on_snapshot_begin(teller->follow.context, seq));
}

void teller_end(struct teller *teller, uint64_t seq)
{
    if (teller->follow.on_snapshot_end != NULL)
        note(teller, teller->follow.on_snapshot_end(teller->follow.context, seq));
}

static struct fields scope_in(struct teller *teller, const struct fields *device, enum scope scope)
{
    struct fields fields = {NULL, 0};
    const struct value *value = fields_get(device, text_of(scope_short(scope)));
    if (value != NULL && value->kind == VALUE_JSON)
        json_parse_object(value->text, &teller->scratch, &teller->arena, &fields, NULL);
    return fields;
}

static const struct fwsync_attribute *attributes_of(struct teller *teller, const struct fields *device,
                                                    size_t *count)
{
    struct fields scopes[SCOPE_TELEMETRY];
    size_t total = 0, at = 0;
    for (enum scope scope = SCOPE_CLIENT; scope < SCOPE_TELEMETRY; scope++) {
        scopes[scope] = scope_in(teller, device, scope);
        total += scopes[scope].count;
    }
    struct fwsync_attribute *attributes = arena_alloc(&teller->arena, total * sizeof *attributes);
    for (enum scope scope = SCOPE_CLIENT; scope < SCOPE_TELEMETRY; scope++)
        for (size_t i = 0; i < scopes[scope].count; i++) {
            const struct field *field = &scopes[scope].items[i];
            attributes[at++] = (struct fwsync_attribute){scope_name(scope), field->key.bytes,
                                                         value_json(teller, &field->value)};
        }
    *count = total;
    return attributes;
}

void teller_device(struct teller *teller, struct text json)
{
    struct fields fields = {NULL, 0};
    arena_reset(&teller->arena);
    arena_reset(&teller->scratch);
    if (teller->follow.on_device == NULL ||
        !json_parse_object(json, &teller->scratch, &teller->arena, &fields, NULL) ||
        !is_followed(teller, member_text(&fields, "device")))
        return;
    struct fwsync_device device = {
        .device = member_text(&fields, "device").bytes,
        .device_type = member_text(&fields, "deviceType").bytes,
        .created_ms = member_integer(&fields, "created"),
    };
    device.attributes = attributes_of(teller, &fields, &device.attribute_count);
    note(teller, teller->follow.on_device(teller->follow.context, &device));
}

void teller_lost(struct teller *teller, const char *class_name, uint64_t count, const char *why)
{
    if (teller->follow.on_lost != NULL)
        note(teller, teller->follow.on_lost(teller->follow.context, class_name, count, why));
}

#include "engine/client/teller.h"

#include "engine/base/limits.h"
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

static bool take_apart(struct text class_name, struct fields fields, struct told_result *result)
{
    uint64_t partition = field_partition(&fields);
    if (partition >= PARTITION_COUNT_MAX)
        return false;
    *result = (struct told_result){class_name, field_number(&fields, "n"), field_number(&fields, "seq"),
                                   (unsigned)partition, fields};
    return class_name.len > 0 && result->n > 0 && result->seq > 0;
}

bool teller_read(struct teller *teller, struct text class_name, struct text json,
                 struct told_result *result)
{
    struct fields fields = {NULL, 0};
    arena_reset(&teller->arena);
    arena_reset(&teller->scratch);
    if (!json_parse_object(json, &teller->scratch, &teller->arena, &fields, NULL))
        return false;
    if (class_name.len == 0)
        class_name = field_text(&fields, "class");
    return take_apart(class_name, fields, result);
}

bool batch_head_read(struct batch_head *head, struct text json, struct arena *scratch, struct arena *arena)
{
    struct fields fields = {NULL, 0};
    struct value *names;
    size_t name_count;
    if (!json_parse_object(json, scratch, arena, &fields, NULL) || field_number(&fields, "n") == 0 ||
        !json_parse_array(field_json(&fields, "members"), scratch, arena, &names, &name_count, NULL))
        return false;
    for (size_t i = 0; i < name_count; i++)
        if (names[i].kind != VALUE_STRING)
            return false;
    *head = (struct batch_head){.n = field_number(&fields, "n"), .names = names, .name_count = name_count};
    head->common.items = arena_alloc(arena, fields.count * sizeof *fields.items);
    for (size_t i = 0; i < fields.count; i++)
        if (!text_is(fields.items[i].key, "n") && !text_is(fields.items[i].key, "members"))
            head->common.items[head->common.count++] = fields.items[i];
    return true;
}

/* A member that a row doesn't have for itself is null there, or behind its end. */
bool teller_read_row(struct teller *teller, struct text class_name, const struct batch_head *head, uint64_t n,
                     struct text json, struct told_result *result)
{
    struct value *values;
    size_t count;
    arena_reset(&teller->arena);
    arena_reset(&teller->scratch);
    if (!json_parse_array(json, &teller->scratch, &teller->arena, &values, &count, NULL) ||
        count > head->name_count)
        return false;
    struct field *items = arena_alloc(&teller->arena, (1 + count + head->common.count) * sizeof *items);
    struct fields fields = {items, 0};
    items[fields.count++] = (struct field){TEXT("n"), {.kind = VALUE_INTEGER, .integer = (int64_t)n}};
    for (size_t i = 0; i < count; i++)
        if (values[i].kind != VALUE_NULL)
            items[fields.count++] = (struct field){head->names[i].text, values[i]};
    for (size_t i = 0; i < head->common.count; i++)
        if (fields_get(&fields, head->common.items[i].key) == NULL)
            items[fields.count++] = head->common.items[i];
    return take_apart(class_name, fields, result);
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
        .device = field_text(fields, "device").bytes,
        .attribute = {field_text(fields, "scope").bytes, field_text(fields, "key").bytes,
                      value == NULL ? NULL : value_json(teller, value)},
        .seq = result->seq,
        .n = result->n,
        .ts_ms = field_integer(fields, "ts"),
        .partition = result->partition,
    };
    note(teller, teller->follow.on_change(teller->follow.context, &change));
}

/* Members that fwsync has, in the order of a single result. Others come behind them. */
static const char *const known[] = {"n", "seq", "ts", "device", "partition", "deviceType", "type", "data", "metadata"};

static bool is_known(struct text key)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (text_is(key, known[i]))
            return true;
    return text_is(key, "class");
}

static void write_member(struct buf *json, struct text key, const struct value *value)
{
    json_key_text(json, key);
    json_value(json, value);
}

/* However it came: as `changes` says it. */
static void write_whole(struct buf *json, const struct told_result *result)
{
    const struct fields *fields = &result->fields;
    buf_clear(json);
    buf_byte(json, '{');
    json_member_text(json, "class", result->class_name);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const struct value *value = fields_get(fields, text_of(known[i]));
        if (value != NULL)
            write_member(json, text_of(known[i]), value);
    }
    for (size_t i = 0; i < fields->count; i++)
        if (!is_known(fields->items[i].key))
            write_member(json, fields->items[i].key, &fields->items[i].value);
    buf_byte(json, '}');
    buf_byte(json, '\0');
}

static void tell_whole(struct teller *teller, const struct told_result *result)
{
    struct buf *json = &teller->json;
    write_whole(json, result);
    struct fwsync_result told = {
        .class_name = arena_copy(&teller->arena, result->class_name).bytes,
        .device = field_text(&result->fields, "device").bytes,
        .seq = result->seq,
        .n = result->n,
        .ts_ms = field_integer(&result->fields, "ts"),
        .json = json->bytes,
        .json_len = json->len - 1,
        .partition = result->partition,
    };
    note(teller, teller->follow.on_result(teller->follow.context, &told));
}

void teller_result(struct teller *teller, const struct told_result *result)
{
    if (!is_followed(teller, field_text(&result->fields, "device")))
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
        !is_followed(teller, field_text(&fields, "device")))
        return;
    struct fwsync_device device = {
        .device = field_text(&fields, "device").bytes,
        .device_type = field_text(&fields, "deviceType").bytes,
        .created_ms = field_integer(&fields, "created"),
    };
    device.attributes = attributes_of(teller, &fields, &device.attribute_count);
    note(teller, teller->follow.on_device(teller->follow.context, &device));
}

void teller_lost(struct teller *teller, const char *class_name, uint64_t count, const char *why)
{
    if (teller->follow.on_lost != NULL)
        note(teller, teller->follow.on_lost(teller->follow.context, class_name, count, why));
}

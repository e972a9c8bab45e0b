/* query_devices.c - one device, lists of them, and how many there are. */
#include "engine/service/ask.h"

#include <assert.h>

static void write_attribute(void *context, const struct attribute *attribute)
{
    struct buf *out = context;
    json_key_text(out, attribute->key);
    json_value(out, &attribute->value);
}

static bool write_scopes(struct device *device, enum scope last, struct buf *out, struct err *err)
{
    for (enum scope scope = SCOPE_CLIENT; scope <= last; scope++) {
        json_open(out, scope_short(scope), '{');
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
    struct device *device;
    return ask_device(ask, &device) && write_device(device, SCOPE_TELEMETRY, ask->out, ask->err);
}

const struct op op_device = {"device", {"device"}, answer_device};

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
    json_open(ask->out, "devices", '[');
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

const struct op op_devices = {
    "devices", {"index", "value", "type", "prefix", "limit", "cursor"}, answer_devices};

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
    json_open(ask->out, "values", '[');
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

const struct op op_count = {"count", {"index", "value", "limit", "cursor"}, answer_count};

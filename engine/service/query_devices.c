/* query_devices.c - one device, lists of them, and how many there are. */
#include "engine/service/count_at.h"
#include "engine/service/fleet.h"
#include "engine/service/reply.h"

/* What says since when the verdict is what it is: the first of these that a device has. */
static const struct index_key verdict[] = {{SCOPE_SERVER, {"fwSyncState", 11}},
                                           {SCOPE_SERVER, {"fwStateIsSynced", 15}}};
enum { VERDICT_COUNT = sizeof verdict / sizeof verdict[0] };

/* Nothing of a device without a verdict. */
static bool write_since(struct device *device, struct buf *out, struct err *err)
{
    struct attribute attribute;
    bool found = false;
    for (size_t i = 0; i < VERDICT_COUNT && !found; i++)
        if (!device_get(device, verdict[i].scope, verdict[i].key, &attribute, &found, err))
            return false;
    if (found)
        json_member_integer(out, "since", attribute.ts_ms);
    return true;
}

static bool write_device(struct device *device, enum scope last, struct buf *out, struct err *err)
{
    json_member_text(out, "device", device_name(device));
    json_member_text(out, "deviceType", device_type(device));
    json_member_integer(out, "created", device_created_ms(device));
    json_member_integer(out, "lastSeen", device_seen_ms(device));
    return write_since(device, out, err) && reply_scopes(out, device, last, err);
}

/* The device as it was. When it was last seen isn't known then, nor its telemetry. */
static bool write_device_at(struct ask *ask, struct device *device, int64_t at_ms)
{
    bool existed;
    if (!device_rewind(device, (struct moment){UINT64_MAX, at_ms}, &existed, ask->err))
        return false;
    if (!existed)
        return err_set(ask->err, ERR_NOT_FOUND, "there was no device \"" TEXT_FMT "\" then",
                       TEXT_ARG(device_name(device)));
    json_member_integer(ask->out, "at", at_ms);
    json_member_text(ask->out, "device", device_name(device));
    json_member_text(ask->out, "deviceType", device_type(device));
    json_member_integer(ask->out, "created", device_created_ms(device));
    return reply_scopes(ask->out, device, SCOPE_SERVER, ask->err);
}

static bool answer_device(struct ask *ask)
{
    struct device *device;
    int64_t at_ms;
    bool then;
    if (!ask_time(ask, "at", &at_ms, &then) || !ask_device(ask, &device))
        return false;
    return then ? write_device_at(ask, device, at_ms)
                : write_device(device, SCOPE_TELEMETRY, ask->out, ask->err);
}

const struct op op_device = {"device", {"device", "at"}, answer_device, OP_NEEDS_DEVICE};

static bool write_devices(struct ask *ask, const struct text *names, size_t count, size_t *fitting)
{
    size_t bytes_max = ask->out->len + REQUEST_BYTES_MAX;
    for (*fitting = 0; *fitting < count; ++*fitting) {
        struct device *device;
        size_t before = ask->out->len;
        if (!state_device_find(fleet_state(ask->context, names[*fitting]), names[*fitting], &device, ask->err))
            return false;
        if (device == NULL)
            return err_set(ask->err, ERR_DAMAGED, "the state lists a device \"" TEXT_FMT "\" that it doesn't have: "
                           "restore a backup", TEXT_ARG(names[*fitting]));
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

/* What a list is restricted to, while the question is read. */
struct wanted {
    struct device_filter filter;
    struct device_condition conditions[INDEX_COUNT_MAX + 1]; /* of `where`, and of `index` */
    bool none; /* no device can be like that */
};

static void want_type(struct wanted *wanted, struct text type)
{
    struct text *other = &wanted->filter.type;
    /* no device has two types, or an empty one */
    wanted->none |= type.len == 0 || (other->bytes != NULL && !text_equal(*other, type));
    *other = type;
}

static bool want_value(struct ask *ask, struct wanted *wanted, const struct asked_index *index)
{
    if (index->value == NULL)
        return err_set(ask->err, ERR_BAD_QUERY, "value: expected one, since an index is named");
    if (index->type)
        want_type(wanted, index->value->text);
    else
        wanted->conditions[wanted->filter.condition_count++] =
            (struct device_condition){index->index, *index->value};
    return true;
}

/* `where`: an object of indexes and values. JSON has each key once, so there are no more of them than
 * indexes. */
static bool want_where(struct ask *ask, struct wanted *wanted)
{
    const struct value *where = fields_get(&ask->fields, TEXT("where"));
    struct arena *arena = &ask->query->arena;
    struct fields fields = {NULL, 0};
    struct asked_index index;
    if (where == NULL)
        return true;
    if (where->kind != VALUE_JSON || where->text.bytes[0] != '{')
        return err_set(ask->err, ERR_BAD_QUERY,
                       "where: expected an object, such as {\"server.fwStateIsSynced\":false}");
    if (!json_parse_object(where->text, arena, arena, &fields, ask->err))
        return false;
    for (size_t i = 0; i < fields.count; i++)
        if (!ask_index_named(ask, fields.items[i].key, &fields.items[i].value, &index) ||
            !want_value(ask, wanted, &index))
            return false;
    return true;
}

static bool read_wanted(struct ask *ask, struct wanted *wanted)
{
    struct device_filter *filter = &wanted->filter;
    struct asked_index index;
    struct text type;
    bool since;
    *wanted = (struct wanted){.none = false};
    filter->conditions = wanted->conditions;
    filter->changed = verdict;
    if (!ask_index(ask, &index) || !ask_text(ask, "type", &type) ||
        !ask_text(ask, "prefix", &filter->prefix) ||
        !ask_time(ask, "since", &filter->changed_since_ms, &since))
        return false;
    filter->changed_count = since ? VERDICT_COUNT : 0;
    if (type.bytes != NULL)
        want_type(wanted, type);
    return (!index.given || want_value(ask, wanted, &index)) && want_where(ask, wanted);
}

static bool answer_devices(struct ask *ask)
{
    struct wanted wanted;
    struct text cursor, next, *names;
    size_t limit, count, fitting;
    if (!read_wanted(ask, &wanted) || !ask_text(ask, "cursor", &cursor) || !ask_limit(ask, &limit))
        return false;
    if (wanted.none) {
        buf_append(ask->out, TEXT(",\"devices\":[]"));
        return true;
    }
    if (!fleet_devices(ask, &wanted.filter, cursor, limit, &names, &count, &next))
        return false;
    json_open(ask->out, "devices", '[');
    if (!write_devices(ask, names, count, &fitting))
        return false;
    buf_byte(ask->out, ']');
    if (fitting < count && /* the page was full: ask for the cursor behind its last device */
        !fleet_devices(ask, &wanted.filter, cursor, fitting, &names, &count, &next))
        return false;
    if (next.len > 0)
        json_member_text(ask->out, "cursor", next);
    return true;
}

const struct op op_devices = {
    "devices", {"index", "value", "where", "since", "type", "prefix", "limit", "cursor"}, answer_devices, OP_NEEDS_ALL};

/* --- counts ---------------------------------------------------------------------------------------------- */

static bool write_values(struct ask *ask, const struct asked_index *index)
{
    struct text cursor, next;
    struct value_count *values;
    size_t limit, count;
    if (!ask_text(ask, "cursor", &cursor) || !ask_limit(ask, &limit) ||
        !fleet_values(ask, index, cursor, limit, &values, &count, &next))
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
    int64_t at_ms;
    bool then;
    if (!ask_index(ask, &index) || !ask_time(ask, "at", &at_ms, &then))
        return false;
    if (then)
        return count_at(ask, &index, at_ms);
    json_member_unsigned(ask->out, "devices", fleet_device_count(ask->context));
    if (!index.given)
        return true;
    json_member_text(ask->out, "index", index.name);
    if (index.value == NULL)
        return write_values(ask, &index);
    uint64_t count;
    if (!fleet_value_devices(ask, &index, &count))
        return false;
    json_key(ask->out, "value");
    json_value(ask->out, index.value);
    json_member_unsigned(ask->out, "count", count);
    return true;
}

const struct op op_count = {"count", {"index", "value", "at", "limit", "cursor"}, answer_count, OP_NEEDS_ALL};

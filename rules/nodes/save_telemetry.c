/* save-telemetry - save members of the data as the device's latest telemetry.
 *
 * The data is either the readings, at the message's time, or ThingsBoard's {"ts": ..., "values": {...}}
 * with a time of its own. A reading that is older than the stored one is not taken. */
#include "plugins/fwsync_plugin.h"

static const char *const relations[] = {"Success", NULL};
enum { SUCCESS };

struct save_telemetry {
    const struct fwsync_text *keys; /* NULL: all readings */
    size_t key_count;
};

static void *create(struct fwsync_config *config)
{
    struct save_telemetry *self = fwsync_config_alloc(config, sizeof *self);
    if (fwsync_config_texts(config, "keys", FWSYNC_OPTIONAL, &self->keys, &self->key_count) &&
        self->key_count == 0)
        fwsync_config_problem(config, "keys", "the list is empty; leave 'keys' out to save all");
    return self;
}

static bool is_wanted(const struct save_telemetry *self, struct fwsync_text key)
{
    if (self->keys == NULL)
        return true;
    for (size_t i = 0; i < self->key_count; i++)
        if (fwsync_text_equal(key, self->keys[i]))
            return true;
    return false;
}

static bool save(const struct save_telemetry *self, struct fwsync_message *message,
                 struct fwsync_text key, const struct fwsync_value *value, int64_t ts_ms)
{
    return value->kind == FWSYNC_NULL || !is_wanted(self, key) ||
           fwsync_telemetry_put(message, key, value, ts_ms);
}

static int nothing_there(struct fwsync_message *message)
{
    return fwsync_fail(message, "there is no telemetry in the message");
}

/* {"ts": ..., "values": {...}}: the members of `values`, or false. */
static bool has_own_time(struct fwsync_message *message, const struct fwsync_field **members,
                         size_t *count, int64_t *ts_ms)
{
    struct fwsync_value ts, values;
    if (!fwsync_data_get(message, (struct fwsync_text){"ts", 2}, &ts) ||
        !fwsync_data_get(message, (struct fwsync_text){"values", 6}, &values) ||
        ts.kind != FWSYNC_INTEGER || ts.integer < 0 ||
        !fwsync_json_members(message, &values, members, count))
        return false;
    *ts_ms = ts.integer;
    return true;
}

static int save_values(const struct save_telemetry *self, struct fwsync_message *message,
                       const struct fwsync_field *members, size_t count, int64_t ts_ms)
{
    if (count == 0)
        return nothing_there(message);
    for (size_t i = 0; i < count; i++)
        if (!save(self, message, members[i].key, &members[i].value, ts_ms))
            return FWSYNC_FAILURE;
    return SUCCESS;
}

static int run(const void *node, struct fwsync_message *message)
{
    const struct save_telemetry *self = node;
    const struct fwsync_field *members;
    size_t count;
    int64_t ts_ms;
    if (has_own_time(message, &members, &count, &ts_ms))
        return save_values(self, message, members, count, ts_ms);
    count = fwsync_data_count(message);
    ts_ms = fwsync_message_ts_ms(message);
    if (count == 0)
        return nothing_there(message);
    for (size_t i = 0; i < count; i++) {
        struct fwsync_text key;
        struct fwsync_value value;
        fwsync_data_at(message, i, &key, &value);
        if (!save(self, message, key, &value, ts_ms))
            return FWSYNC_FAILURE;
    }
    return SUCCESS;
}

const struct fwsync_node_type node_save_telemetry = {
    .abi = FWSYNC_ABI,
    .name = "save-telemetry",
    .help = "save members of the data as latest telemetry",
    .relations = relations,
    .create = create,
    .run = run,
};

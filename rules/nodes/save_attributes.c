/* save-attributes - save members of the data as attributes of the device.
 *
 * `scope` is the node's own: metadata.scope never overrides it, as it does in ThingsBoard since 2022,
 * where an operator's write to the shared scope makes the sample chain save into that scope. With `keys`
 * only these members are saved. Null and absent members are skipped. */
#include "plugins/fwsync_plugin.h"

static const char *const relations[] = {"Success", NULL};
enum { SUCCESS };

struct save_attributes {
    enum fwsync_scope scope;
    const struct fwsync_text *keys; /* NULL: all members */
    size_t key_count;
};

static void *create(struct fwsync_config *config)
{
    struct save_attributes *self = fwsync_config_alloc(config, sizeof *self);
    fwsync_config_scope(config, "scope", FWSYNC_REQUIRED, &self->scope);
    if (fwsync_config_texts(config, "keys", FWSYNC_OPTIONAL, &self->keys, &self->key_count) &&
        self->key_count == 0)
        fwsync_config_problem(config, "keys", "the list is empty; leave 'keys' out to save all");
    return self;
}

static bool save(const struct save_attributes *self, struct fwsync_message *message,
                 struct fwsync_text key, const struct fwsync_value *value)
{
    return value->kind == FWSYNC_NULL || fwsync_attribute_put(message, self->scope, key, value);
}

static int save_all(const struct save_attributes *self, struct fwsync_message *message)
{
    size_t count = fwsync_data_count(message);
    for (size_t i = 0; i < count; i++) {
        struct fwsync_text key;
        struct fwsync_value value;
        fwsync_data_at(message, i, &key, &value);
        if (!save(self, message, key, &value))
            return FWSYNC_FAILURE;
    }
    return SUCCESS;
}

static int run(const void *node, struct fwsync_message *message)
{
    const struct save_attributes *self = node;
    if (self->keys == NULL)
        return save_all(self, message);
    for (size_t i = 0; i < self->key_count; i++) {
        struct fwsync_value value;
        if (fwsync_data_get(message, self->keys[i], &value) &&
            !save(self, message, self->keys[i], &value))
            return FWSYNC_FAILURE;
    }
    return SUCCESS;
}

const struct fwsync_node_type node_save_attributes = {
    .abi = FWSYNC_ABI,
    .name = "save-attributes",
    .help = "save members of the data as attributes of the device",
    .relations = relations,
    .create = create,
    .run = run,
};

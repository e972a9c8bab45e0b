/* delete-attributes - delete stored attributes of the device; one that isn't there is fine. */
#include "plugins/fwsync_plugin.h"

static const char *const relations[] = {"Success", NULL};
enum { SUCCESS };

struct delete_attributes {
    enum fwsync_scope scope;
    const struct fwsync_pattern *const *keys;
    size_t key_count;
};

static void *create(struct fwsync_config *config)
{
    struct delete_attributes *self = fwsync_config_alloc(config, sizeof *self);
    fwsync_config_scope(config, "scope", FWSYNC_REQUIRED, &self->scope);
    fwsync_config_patterns(config, "keys", FWSYNC_REQUIRED, &self->keys, &self->key_count);
    return self;
}

static int run(const void *node, struct fwsync_message *message)
{
    const struct delete_attributes *self = node;
    for (size_t i = 0; i < self->key_count; i++) {
        struct fwsync_text key;
        if (!fwsync_pattern_expand(message, self->keys[i], &key, NULL) ||
            !fwsync_attribute_delete(message, self->scope, key))
            return FWSYNC_FAILURE;
    }
    return SUCCESS;
}

const struct fwsync_node_type node_delete_attributes = {
    .abi = FWSYNC_ABI,
    .name = "delete-attributes",
    .help = "delete stored attributes of the device",
    .relations = relations,
    .create = create,
    .run = run,
};

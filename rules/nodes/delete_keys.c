/* delete-keys - take members out of the data or the metadata.
 * Keys are exact names; ThingsBoard's regular expressions aren't taken. Absent ones are skipped. */
#include "plugins/fwsync_plugin.h"

static const char *const relations[] = {"Success", NULL};
enum { SUCCESS };

static const char *const places[] = {"data", "metadata", NULL};
enum { DATA, METADATA };

struct delete_keys {
    int from;
    const struct fwsync_text *keys;
    size_t key_count;
};

static void *create(struct fwsync_config *config)
{
    struct delete_keys *self = fwsync_config_alloc(config, sizeof *self);
    fwsync_config_choice(config, "from", FWSYNC_REQUIRED, places, &self->from);
    fwsync_config_texts(config, "keys", FWSYNC_REQUIRED, &self->keys, &self->key_count);
    return self;
}

static int run(const void *node, struct fwsync_message *message)
{
    const struct delete_keys *self = node;
    for (size_t i = 0; i < self->key_count; i++) {
        if (self->from == DATA)
            fwsync_data_delete(message, self->keys[i]);
        else
            fwsync_metadata_delete(message, self->keys[i]);
    }
    return SUCCESS;
}

const struct fwsync_node_type node_delete_keys = {
    .abi = FWSYNC_ABI,
    .name = "delete-keys",
    .help = "take members out of the data or the metadata",
    .relations = relations,
    .create = create,
    .run = run,
};

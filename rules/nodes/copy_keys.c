/* copy-keys - copy members from the data to the metadata (as text), or the other way (as strings).
 * Keys are exact names; ThingsBoard's regular expressions aren't taken. Absent ones are skipped. */
#include "plugins/fwsync_plugin.h"

static const char *const relations[] = {"Success", NULL};
enum { SUCCESS };

static const char *const places[] = {"data", "metadata", NULL};
enum { DATA, METADATA };

struct copy_keys {
    int from;
    const struct fwsync_text *keys;
    size_t key_count;
};

static void *create(struct fwsync_config *config)
{
    struct copy_keys *self = fwsync_config_alloc(config, sizeof *self);
    fwsync_config_choice(config, "from", FWSYNC_REQUIRED, places, &self->from);
    fwsync_config_texts(config, "keys", FWSYNC_REQUIRED, &self->keys, &self->key_count);
    return self;
}

static bool copy_to_metadata(struct fwsync_message *message, struct fwsync_text key)
{
    struct fwsync_value value;
    return !fwsync_data_get(message, key, &value) ||
           fwsync_metadata_put(message, key, fwsync_value_text(message, &value));
}

static bool copy_to_data(struct fwsync_message *message, struct fwsync_text key)
{
    struct fwsync_value value = {.kind = FWSYNC_STRING};
    return !fwsync_metadata_get(message, key, &value.text) || fwsync_data_put(message, key, &value);
}

static int run(const void *node, struct fwsync_message *message)
{
    const struct copy_keys *self = node;
    for (size_t i = 0; i < self->key_count; i++) {
        bool done = self->from == DATA ? copy_to_metadata(message, self->keys[i])
                                       : copy_to_data(message, self->keys[i]);
        if (!done)
            return FWSYNC_FAILURE;
    }
    return SUCCESS;
}

const struct fwsync_node_type node_copy_keys = {
    .abi = FWSYNC_ABI,
    .name = "copy-keys",
    .help = "copy members between the data and the metadata",
    .relations = relations,
    .create = create,
    .run = run,
};

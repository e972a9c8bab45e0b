/* rename-keys - rename members of the data or the metadata, in the order written.
 * One that isn't there is skipped; one that has the new name already is replaced. */
#include "plugins/fwsync_plugin.h"

static const char *const relations[] = {"Success", NULL};
enum { SUCCESS };

static const char *const places[] = {"data", "metadata", NULL};
enum { DATA, METADATA };

struct rename_keys {
    int place;
    const struct fwsync_member *keys; /* old: new */
    size_t key_count;
};

static void check_name(struct fwsync_config *config, const struct fwsync_member *key)
{
    struct fwsync_text text;
    if (!fwsync_pattern_constant(key->pattern, &text))
        fwsync_config_problem(config, "keys", "'%s': names are taken as written, without ${ } and $[ ]",
                              key->text.bytes);
    else if (text.len == 0 || text.len > 255)
        fwsync_config_problem(config, "keys", "'%s' needs a new name of 1 to 255 bytes",
                              key->key.bytes);
}

static void *create(struct fwsync_config *config)
{
    struct rename_keys *self = fwsync_config_alloc(config, sizeof *self);
    fwsync_config_choice(config, "in", FWSYNC_OPTIONAL, places, &self->place);
    fwsync_config_mapping(config, "keys", FWSYNC_REQUIRED, &self->keys, &self->key_count);
    for (size_t i = 0; i < self->key_count; i++)
        check_name(config, &self->keys[i]);
    return self;
}

static bool rename_data(struct fwsync_message *message, const struct fwsync_member *key)
{
    struct fwsync_value value;
    if (!fwsync_data_get(message, key->key, &value))
        return true;
    fwsync_data_delete(message, key->key);
    return fwsync_data_put(message, key->text, &value);
}

static bool rename_metadata(struct fwsync_message *message, const struct fwsync_member *key)
{
    struct fwsync_text text;
    if (!fwsync_metadata_get(message, key->key, &text))
        return true;
    fwsync_metadata_delete(message, key->key);
    return fwsync_metadata_put(message, key->text, text);
}

static int run(const void *node, struct fwsync_message *message)
{
    const struct rename_keys *self = node;
    for (size_t i = 0; i < self->key_count; i++) {
        bool done = self->place == DATA ? rename_data(message, &self->keys[i])
                                        : rename_metadata(message, &self->keys[i]);
        if (!done)
            return FWSYNC_FAILURE;
    }
    return SUCCESS;
}

const struct fwsync_node_type node_rename_keys = {
    .abi = FWSYNC_ABI,
    .name = "rename-keys",
    .help = "rename members of the data or the metadata",
    .relations = relations,
    .create = create,
    .run = run,
};

/* check-fields - are these members there, in the data and in the metadata?
 * A member that is null counts as there. With `all: true` (the default) every one has to be there, and
 * empty lists are true; with `all: false` one is enough, and empty lists are false: as in ThingsBoard. */
#include "plugins/fwsync_plugin.h"

static const char *const relations[] = {"True", "False", NULL};
enum { TRUE, FALSE };

struct check_fields {
    const struct fwsync_text *data;
    size_t data_count;
    const struct fwsync_text *metadata;
    size_t metadata_count;
    bool all;
};

static void *create(struct fwsync_config *config)
{
    struct check_fields *self = fwsync_config_alloc(config, sizeof *self);
    self->all = true;
    fwsync_config_texts(config, "data", FWSYNC_OPTIONAL, &self->data, &self->data_count);
    fwsync_config_texts(config, "metadata", FWSYNC_OPTIONAL, &self->metadata, &self->metadata_count);
    fwsync_config_boolean(config, "all", FWSYNC_OPTIONAL, &self->all);
    return self;
}

static int run(const void *node, struct fwsync_message *message)
{
    const struct check_fields *self = node;
    for (size_t i = 0; i < self->data_count; i++) {
        struct fwsync_value value;
        if (fwsync_data_get(message, self->data[i], &value) != self->all)
            return self->all ? FALSE : TRUE;
    }
    for (size_t i = 0; i < self->metadata_count; i++) {
        struct fwsync_text text;
        if (fwsync_metadata_get(message, self->metadata[i], &text) != self->all)
            return self->all ? FALSE : TRUE;
    }
    return self->all ? TRUE : FALSE;
}

const struct fwsync_node_type node_check_fields = {
    .abi = FWSYNC_ABI,
    .name = "check-fields",
    .help = "are all (or any) of these members there?",
    .relations = relations,
    .create = create,
    .run = run,
};

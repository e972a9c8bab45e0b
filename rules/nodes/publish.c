/* publish - the message as it is now leaves as a result, for those who subscribe to its class.
 * By default only when a save before it changed something: a device that reports the same version every
 * minute makes no noise. */
#include "plugins/fwsync_plugin.h"

static const char *const relations[] = {"Success", NULL};
enum { SUCCESS };

static const char *const occasions[] = {"change", "always", NULL};
enum { CHANGE, ALWAYS };

struct publish {
    int class_index;
    int on;
    const struct fwsync_keys *data, *metadata; /* what goes out of each; NULL: all */
};

static void *create(struct fwsync_config *config)
{
    struct publish *self = fwsync_config_alloc(config, sizeof *self);
    fwsync_config_class(config, "class", FWSYNC_REQUIRED, &self->class_index);
    fwsync_config_choice(config, "on", FWSYNC_OPTIONAL, occasions, &self->on);
    fwsync_config_keys(config, "data", FWSYNC_OPTIONAL, &self->data); /* an empty list is a choice, too: nothing of it */
    fwsync_config_keys(config, "metadata", FWSYNC_OPTIONAL, &self->metadata);
    return self;
}

static int run(const void *node, struct fwsync_message *message)
{
    const struct publish *self = node;
    if (self->on == ALWAYS || fwsync_message_changed(message))
        fwsync_publish(message, self->class_index, self->data, self->metadata);
    return SUCCESS;
}

const struct fwsync_node_type node_publish = {
    .abi = FWSYNC_ABI,
    .name = "publish",
    .help = "send the message out as a result",
    .relations = relations,
    .create = create,
    .run = run,
};

/* message-type-switch - leaves by the relation that belongs to the message's type. */
#include "plugins/fwsync_plugin.h"

static const char *const relations[] = {
#define X(name, relation) relation,
    FWSYNC_MESSAGE_TYPES(X)
#undef X
        "Other",
    NULL,
};

struct message_type_switch {
    char nothing; /* there are no settings */
};

static void *create(struct fwsync_config *config)
{
    return fwsync_config_alloc(config, sizeof(struct message_type_switch));
}

static int run(const void *node, struct fwsync_message *message)
{
    (void)node;
    return fwsync_message_type_index(message);
}

const struct fwsync_node_type node_message_type_switch = {
    .abi = FWSYNC_ABI,
    .name = "message-type-switch",
    .help = "by message type: Post attributes, Attributes Updated, ..., Other",
    .relations = relations,
    .create = create,
    .run = run,
};

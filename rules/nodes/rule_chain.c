/* rule-chain - hand the message over to another chain; nothing follows here. */
#include "plugins/fwsync_plugin.h"

static const char *const relations[] = {NULL};

struct rule_chain {
    int chain_index;
};

static void *create(struct fwsync_config *config)
{
    struct rule_chain *self = fwsync_config_alloc(config, sizeof *self);
    fwsync_config_chain(config, "chain", FWSYNC_REQUIRED, &self->chain_index);
    return self;
}

static int run(const void *node, struct fwsync_message *message)
{
    const struct rule_chain *self = node;
    fwsync_call(message, self->chain_index);
    return 0;
}

const struct fwsync_node_type node_rule_chain = {
    .abi = FWSYNC_ABI,
    .name = "rule-chain",
    .help = "hand the message over to another chain",
    .relations = relations,
    .create = create,
    .run = run,
};

/* compare - are two texts the same, or which of two versions is the older?
 *
 * `as: exact` (the default) is what ThingsBoard's sample does in a script: true only when the left side
 * is not empty and both sides are there and equal byte for byte. That goes into the member that `result` names, or,
 * without one, it leaves by True or False. `as: version` orders them and leaves by a relation of its own for each
 * order. */
#include "plugins/fwsync_plugin.h"

static const char *const relations[] = {"Success", "True", "False", "Older", "Equal", "Newer", "Incomparable", NULL};
enum { SUCCESS, IS_SAME, IS_ANOTHER, OLDER, EQUAL, NEWER, INCOMPARABLE };

/* In the order of enum fwsync_order. */
static const struct {
    int relation;
    struct fwsync_text word;
} orders[] = {
    [FWSYNC_OLDER] = {OLDER, {"older", 5}},
    [FWSYNC_EQUAL] = {EQUAL, {"equal", 5}},
    [FWSYNC_NEWER] = {NEWER, {"newer", 5}},
    [FWSYNC_INCOMPARABLE] = {INCOMPARABLE, {"incomparable", 12}},
};

static const char *const modes[] = {"exact", "version", NULL};
enum { EXACT, VERSION };

struct compare {
    const struct fwsync_pattern *left;
    const struct fwsync_pattern *right;
    struct fwsync_text result; /* empty: the relation says it all */
    int mode;
};

static void *create(struct fwsync_config *config)
{
    struct compare *self = fwsync_config_alloc(config, sizeof *self);
    fwsync_config_pattern(config, "left", FWSYNC_REQUIRED, &self->left);
    fwsync_config_pattern(config, "right", FWSYNC_REQUIRED, &self->right);
    fwsync_config_choice(config, "as", FWSYNC_OPTIONAL, modes, &self->mode);
    fwsync_config_text(config, "result", FWSYNC_OPTIONAL, &self->result);
    if (self->result.bytes != NULL && (self->result.len == 0 || self->result.len > 255))
        fwsync_config_problem(config, "result", "expected a key of 1 to 255 bytes");
    return self;
}

static bool emits(const void *node, int relation)
{
    const struct compare *self = node;
    if (self->mode == VERSION)
        return relation >= OLDER;
    return self->result.len > 0 ? relation == SUCCESS : relation == IS_SAME || relation == IS_ANOTHER;
}

static bool put(struct fwsync_message *message, const struct compare *self,
                const struct fwsync_value *value)
{
    return self->result.len == 0 || fwsync_data_put(message, self->result, value);
}

static int run(const void *node, struct fwsync_message *message)
{
    const struct compare *self = node;
    struct fwsync_text left, right;
    bool left_there, right_there;
    if (!fwsync_pattern_expand(message, self->left, &left, &left_there) ||
        !fwsync_pattern_expand(message, self->right, &right, &right_there))
        return FWSYNC_FAILURE;
    bool both = left_there && right_there;
    if (self->mode == EXACT) {
        bool same = both && left.len > 0 && fwsync_text_equal(left, right);
        struct fwsync_value value = {.kind = FWSYNC_BOOLEAN, .boolean = same};
        if (self->result.len == 0)
            return same ? IS_SAME : IS_ANOTHER;
        return put(message, self, &value) ? SUCCESS : FWSYNC_FAILURE;
    }
    enum fwsync_order order = both ? fwsync_version_compare(left, right) : FWSYNC_INCOMPARABLE;
    struct fwsync_value value = {.kind = FWSYNC_STRING, .text = orders[order].word};
    return put(message, self, &value) ? orders[order].relation : FWSYNC_FAILURE;
}

const struct fwsync_node_type node_compare = {
    .abi = FWSYNC_ABI,
    .name = "compare",
    .help = "compare two texts exactly, or order two versions",
    .relations = relations,
    .create = create,
    .emits = emits,
    .run = run,
};

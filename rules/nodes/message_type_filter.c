/* message-type-filter - is the message of one of the listed types? */
#include <string.h>
#include <strings.h>

#include "plugins/fwsync_plugin.h"

static const char *const type_names[] = {
#define X(name, relation) name,
    FWSYNC_MESSAGE_TYPES(X)
#undef X
};
enum { TYPE_COUNT = sizeof type_names / sizeof type_names[0] };

static const char *const relations[] = {"True", "False", NULL};
enum { TRUE, FALSE };

struct message_type_filter {
    bool listed[TYPE_COUNT];         /* by position in FWSYNC_MESSAGE_TYPES */
    const struct fwsync_text *types; /* as written; the others are looked for here */
    size_t type_count;
};

static void note_type(struct fwsync_config *config, struct message_type_filter *self,
                      struct fwsync_text type)
{
    for (int i = 0; i < TYPE_COUNT; i++) {
        if (strcmp(type.bytes, type_names[i]) == 0)
            self->listed[i] = true;
        else if (strcasecmp(type.bytes, type_names[i]) == 0)
            fwsync_config_problem(config, "types", "'%s' never comes; did you mean '%s'?", type.bytes,
                                  type_names[i]);
    }
}

static void *create(struct fwsync_config *config)
{
    struct message_type_filter *self = fwsync_config_alloc(config, sizeof *self);
    fwsync_config_texts(config, "types", FWSYNC_REQUIRED, &self->types, &self->type_count);
    for (size_t i = 0; i < self->type_count; i++)
        note_type(config, self, self->types[i]);
    return self;
}

static int run(const void *node, struct fwsync_message *message)
{
    const struct message_type_filter *self = node;
    int index = fwsync_message_type_index(message);
    if (index < TYPE_COUNT)
        return self->listed[index] ? TRUE : FALSE;
    struct fwsync_text type = fwsync_message_type(message);
    for (size_t i = 0; i < self->type_count; i++)
        if (fwsync_text_equal(type, self->types[i]))
            return TRUE;
    return FALSE;
}

const struct fwsync_node_type node_message_type_filter = {
    .abi = FWSYNC_ABI,
    .name = "message-type-filter",
    .help = "True when the message is of one of the listed types",
    .relations = relations,
    .create = create,
    .run = run,
};

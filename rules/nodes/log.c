/* log - write one line into the daemon's log. */
#include <string.h>

#include "plugins/fwsync_plugin.h"

static const char *const relations[] = {"Success", NULL};
enum { SUCCESS };

struct log {
    const struct fwsync_pattern *text; /* NULL: type, device and data */
};

static void *create(struct fwsync_config *config)
{
    struct log *self = fwsync_config_alloc(config, sizeof *self);
    fwsync_config_pattern(config, "text", FWSYNC_OPTIONAL, &self->text);
    return self;
}

/* "TYPE DEVICE {data}" */
static struct fwsync_text describe(struct fwsync_message *message)
{
    const struct fwsync_text parts[] = {
        fwsync_message_type(message),
        {" ", 1},
        fwsync_message_device(message),
        {" ", 1},
        fwsync_data_json(message),
    };
    enum { PART_COUNT = sizeof parts / sizeof parts[0] };
    size_t len = 0;
    for (int i = 0; i < PART_COUNT; i++)
        len += parts[i].len;
    char *line = fwsync_alloc(message, len);
    char *end = line;
    for (int i = 0; i < PART_COUNT; i++) {
        memcpy(end, parts[i].bytes, parts[i].len);
        end += parts[i].len;
    }
    return (struct fwsync_text){line, len};
}

static int run(const void *node, struct fwsync_message *message)
{
    const struct log *self = node;
    struct fwsync_text text;
    if (self->text == NULL)
        text = describe(message);
    else if (!fwsync_pattern_expand(message, self->text, &text, NULL))
        return FWSYNC_FAILURE;
    fwsync_log(message, text);
    return SUCCESS;
}

const struct fwsync_node_type node_log = {
    .abi = FWSYNC_ABI,
    .name = "log",
    .help = "write one line into the daemon's log",
    .relations = relations,
    .create = create,
    .run = run,
};

/* fetch-attributes - put stored attributes of the device into the message.
 *
 * In the metadata, or in the data with their types, under ThingsBoard's prefixes: cs_ for client, shared_
 * for shared, ss_ for server attributes, none for the latest telemetry.
 * What isn't stored isn't in the message afterwards either: otherwise an event that brings a metadata
 * ss_lastTargetFwVer of its own would decide what its device should run. */
#include <string.h>

#include "plugins/fwsync_plugin.h"

static const char *const relations[] = {"Success", NULL};
enum { SUCCESS };

static const struct source {
    const char *setting;
    const char *scope; /* as errors name it */
    const char *prefix;
    enum fwsync_scope position;
} sources[] = {
    {"client", "CLIENT_SCOPE", "cs_", FWSYNC_CLIENT},
    {"shared", "SHARED_SCOPE", "shared_", FWSYNC_SHARED},
    {"server", "SERVER_SCOPE", "ss_", FWSYNC_SERVER},
    {"telemetry", "LATEST_TELEMETRY", "", FWSYNC_TELEMETRY},
};
enum { SOURCE_COUNT = sizeof sources / sizeof sources[0] };

/* One key to fetch. A name without placeholders is ready at load. */
struct fetch {
    const struct source *source;
    const struct fwsync_pattern *pattern; /* NULL when the name is constant */
    struct fwsync_text name;
    struct fwsync_text target; /* prefix and name */
};

struct fetch_attributes {
    struct fetch *fetches;
    size_t count;
    bool into_data;
    bool require;
};

static struct fwsync_text join(char *memory, const char *prefix, struct fwsync_text name)
{
    size_t prefix_len = strlen(prefix);
    memcpy(memory, prefix, prefix_len);
    if (name.len > 0)
        memcpy(memory + prefix_len, name.bytes, name.len);
    return (struct fwsync_text){memory, prefix_len + name.len};
}

static void prepare(struct fwsync_config *config, struct fetch *fetch, const struct source *source,
                    const struct fwsync_pattern *pattern)
{
    fetch->source = source;
    if (!fwsync_pattern_constant(pattern, &fetch->name)) {
        fetch->pattern = pattern;
        return;
    }
    char *memory = fwsync_config_alloc(config, strlen(source->prefix) + fetch->name.len + 1);
    fetch->target = join(memory, source->prefix, fetch->name);
}

static void *create(struct fwsync_config *config)
{
    static const char *const places[] = {"metadata", "data", NULL};
    const struct fwsync_pattern *const *patterns[SOURCE_COUNT];
    size_t counts[SOURCE_COUNT] = {0}, total = 0;
    bool right = true; /* no list is there that could not be read */
    for (int i = 0; i < SOURCE_COUNT; i++) {
        right &= fwsync_config_patterns(config, sources[i].setting, FWSYNC_OPTIONAL, &patterns[i],
                                        &counts[i]) ||
                 !fwsync_config_has(config, sources[i].setting);
        total += counts[i];
    }
    struct fetch_attributes *self = fwsync_config_alloc(config, sizeof *self);
    int place = 0;
    fwsync_config_choice(config, "into", FWSYNC_OPTIONAL, places, &place);
    fwsync_config_boolean(config, "require", FWSYNC_OPTIONAL, &self->require);
    if (right && total == 0)
        fwsync_config_problem(config, NULL, "there is nothing to fetch; expected client, shared, server "
                                            "or telemetry with a list of keys");
    self->into_data = place == 1;
    self->fetches = fwsync_config_alloc(config, (total + 1) * sizeof *self->fetches);
    for (int i = 0; i < SOURCE_COUNT; i++)
        for (size_t j = 0; j < counts[i]; j++)
            prepare(config, &self->fetches[self->count++], &sources[i], patterns[i][j]);
    return self;
}

/* The name and the target of a key that has placeholders. */
static bool expand(struct fwsync_message *message, struct fetch *fetch)
{
    if (fetch->pattern == NULL)
        return true;
    if (!fwsync_pattern_expand(message, fetch->pattern, &fetch->name, NULL))
        return false;
    char *memory = fwsync_alloc(message, strlen(fetch->source->prefix) + fetch->name.len + 1);
    fetch->target = join(memory, fetch->source->prefix, fetch->name);
    return true;
}

static bool put(const struct fetch_attributes *self, struct fwsync_message *message,
                const struct fetch *fetch, const struct fwsync_value *value)
{
    if (self->into_data)
        return fwsync_data_put(message, fetch->target, value);
    return fwsync_metadata_put(message, fetch->target, fwsync_value_text(message, value));
}

/* Telemetry has no prefix, so what stands there may well be the message's own. */
static void clear(const struct fetch_attributes *self, struct fwsync_message *message,
                  const struct fetch *fetch)
{
    if (fetch->source->position == FWSYNC_TELEMETRY)
        return;
    if (self->into_data)
        fwsync_data_delete(message, fetch->target);
    else
        fwsync_metadata_delete(message, fetch->target);
}

/* What was not there, by scope: "CLIENT_SCOPE:[a, b]". Cut, with dots, when it gets long. */
enum { ABSENT_BYTES_MAX = 256, HEAD_BYTES_MAX = 24 /* "], LATEST_TELEMETRY:[", and the dots */ };
struct absent {
    char text[ABSENT_BYTES_MAX];
    size_t len;
    const struct source *source; /* of the last one */
    bool cut;
};

static void append(struct absent *absent, const char *bytes, size_t len)
{
    if (len > 0)
        memcpy(absent->text + absent->len, bytes, len);
    absent->len += len;
}

static void note(struct absent *absent, const struct fetch *fetch)
{
    if (absent->cut)
        return;
    /* with its own head, and room for the dots of the next one */
    absent->cut = absent->len + HEAD_BYTES_MAX * 2 + fetch->name.len > sizeof absent->text;
    if (absent->source == fetch->source) {
        append(absent, ", ", 2);
    } else {
        if (absent->source != NULL)
            append(absent, "], ", 3);
        append(absent, fetch->source->scope, strlen(fetch->source->scope));
        append(absent, ":[", 2);
    }
    if (absent->cut)
        append(absent, "...", 3);
    else
        append(absent, fetch->name.bytes, fetch->name.len);
    absent->source = fetch->source;
}

static int run(const void *node, struct fwsync_message *message)
{
    const struct fetch_attributes *self = node;
    struct absent absent = {.len = 0};
    for (size_t i = 0; i < self->count; i++) {
        struct fetch fetch = self->fetches[i];
        struct fwsync_value value;
        bool found;
        if (!expand(message, &fetch) ||
            !fwsync_attribute_get(message, fetch.source->position, fetch.name, &value, &found))
            return FWSYNC_FAILURE;
        if (found && !put(self, message, &fetch, &value))
            return FWSYNC_FAILURE;
        if (!found) {
            clear(self, message, &fetch);
            note(&absent, &fetch);
        }
    }
    if (self->require && absent.source != NULL)
        return fwsync_fail(message, "the device has no %.*s]", (int)absent.len, absent.text);
    return SUCCESS;
}

const struct fwsync_node_type node_fetch_attributes = {
    .abi = FWSYNC_ABI,
    .name = "fetch-attributes",
    .help = "put stored attributes of the device into the message",
    .relations = relations,
    .create = create,
    .run = run,
};

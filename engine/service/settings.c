#include "engine/service/settings.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "engine/base/log.h"
#include "engine/base/yaml.h"

enum form { FORM_TEXT, FORM_INTEGER, FORM_LEVEL, FORM_INDEXES };

struct setting {
    const char *name;
    enum form form;
    size_t offset; /* in struct settings; FORM_INDEXES has its own two fields */
    const char *initial;
    int64_t min, max; /* FORM_INTEGER */
    const char *help; /* one line, with the unit */
};

#define AT(field) offsetof(struct settings, field)

static const struct setting table[] = {
    {"data", FORM_TEXT, AT(data), "./fwsync-data", 0, 0,
     "folder of the journal and the state; made if missing"},
    {"rules", FORM_TEXT, AT(rules), "", 0, 0,
     "folder of the rule chains (*.yaml); empty: the chains that come with fwsync"},
    {"events", FORM_TEXT, AT(events), "tcp://127.0.0.1:7601", 0, 0,
     "ZeroMQ endpoint of the events door; a port of * takes a free one"},
    {"query", FORM_TEXT, AT(query), "tcp://127.0.0.1:7602", 0, 0,
     "ZeroMQ endpoint of the query door"},
    {"results", FORM_TEXT, AT(results), "tcp://127.0.0.1:7603", 0, 0,
     "ZeroMQ endpoint of the results door"},
    {"indexes", FORM_INDEXES, 0,
     "server.fwStateIsSynced,server.fwSyncState,client.currentFwVer,server.lastTargetFwVer", 0, 0,
     "attributes to find and count devices by, at most 32: client.KEY, shared.KEY or server.KEY"},
    {"partitions", FORM_INTEGER, AT(partitions), "1", 1, PARTITION_COUNT_MAX,
     "parts that the fleet is split into, each with a thread of its own; fixed once the data folder is made"},
    {"checkpoint-ms", FORM_INTEGER, AT(checkpoint_ms), "1000", 10, 60000,
     "milliseconds between two checkpoints of the state; longer means a longer recovery"},
    {"checkpoint-mib", FORM_INTEGER, AT(checkpoint_mib), "24", 1, 65536,
     "MiB for changes that aren't in a checkpoint yet, or 16 bytes a device if that is more"},
    {"in-flight-events", FORM_INTEGER, AT(in_flight_events), "20000", 1000, 10000000,
     "events under way in the daemon; above it requests wait"},
    {"in-flight-kib", FORM_INTEGER, AT(in_flight_kib), "65536", 1024, 4194304,
     "KiB of memory for events under way; above it requests wait"},
    {"busy-after-ms", FORM_INTEGER, AT(busy_after_ms), "20", 0, 60000,
     "milliseconds that requests wait; if nothing is done by then they are answered with busy"},
    {"journal-keep-hours", FORM_INTEGER, AT(journal_keep_hours), "168", 0, 1000000,
     "hours that an applied event stays in the journal"},
    {"journal-keep-mib", FORM_INTEGER, AT(journal_keep_mib), "1024", 1, 67108864,
     "MiB of journal; the oldest applied events go first"},
    {"history-keep-hours", FORM_INTEGER, AT(history_keep_hours), "168", 0, 1000000,
     "hours that the history of changes goes back"},
    {"history-keep-mib", FORM_INTEGER, AT(history_keep_mib), "1024", 1, 67108864,
     "MiB of history; the oldest changes go first"},
    {"state-map-gib", FORM_INTEGER, AT(state_map_gib), "64", 1, 65536,
     "GiB of address space for each partition's state: the most its file can grow to"},
    {"dead-letters", FORM_INTEGER, AT(dead_letters), "100000", 1, 100000000,
     "dead letters that each partition keeps; then its oldest go, and are counted"},
    {"results-queue", FORM_INTEGER, AT(results_queue), "10000", 1000, 10000000,
     "results, or batches of them, queued for each subscriber that reads slowly; then it loses some"},
    {"log-level", FORM_LEVEL, AT(log_level), "info", 0, 0,
     "lines on standard error: error, warn, info or debug (default info)"},
};
enum { SETTING_COUNT = sizeof table / sizeof table[0] };

static const char *const level_names[] = {"error", "warn", "info", "debug"};
enum { LEVEL_COUNT = sizeof level_names / sizeof level_names[0] };
_Static_assert(LEVEL_COUNT == LOG_DEBUG + 1, "name every level");

static bool set_integer(const struct setting *setting, struct text value, int64_t *integer,
                        struct err *err)
{
    char digits[24] = "", *end = digits;
    int64_t number = 0;
    if (value.len > 0 && value.len < sizeof digits) {
        memcpy(digits, value.bytes, value.len);
        number = strtoll(digits, &end, 10);
    }
    if (end == digits || *end != '\0' || number < setting->min || number > setting->max)
        return err_set(err, ERR_CONFIG,
                       "%s: expected a whole number from %" PRId64 " to %" PRId64
                       ", found \"" TEXT_FMT "\"",
                       setting->name, setting->min, setting->max, TEXT_ARG(value));
    *integer = number;
    return true;
}

static bool set_level(struct text value, int64_t *level, struct err *err)
{
    for (size_t i = 0; i < LEVEL_COUNT; i++)
        if (text_is(value, level_names[i])) {
            *level = (int64_t)i;
            return true;
        }
    return err_set(err, ERR_CONFIG, "log-level: expected error, warn, info or debug, found \"" TEXT_FMT "\"",
                   TEXT_ARG(value));
}

static bool add_index(struct settings *settings, struct text value, struct err *err)
{
    struct index_key key;
    const char *dot = memchr(value.bytes, '.', value.len);
    size_t scope_len = dot == NULL ? 0 : (size_t)(dot - value.bytes);
    if (dot == NULL || !scope_parse_short((struct text){value.bytes, scope_len}, &key.scope) ||
        key.scope == SCOPE_TELEMETRY || value.len == scope_len + 1 ||
        value.len - scope_len - 1 > KEY_BYTES_MAX)
        return err_set(err, ERR_CONFIG,
                       "indexes: expected client.KEY, shared.KEY or server.KEY, found \"" TEXT_FMT "\"",
                       TEXT_ARG(value));
    if (settings->index_count == INDEX_COUNT_MAX)
        return err_set(err, ERR_CONFIG, "indexes: more than %d", INDEX_COUNT_MAX);
    key.key = arena_copy(&settings->arena, (struct text){dot + 1, value.len - scope_len - 1});
    for (size_t i = 0; i < settings->index_count; i++)
        if (settings->indexes[i].scope == key.scope && text_equal(settings->indexes[i].key, key.key))
            return err_set(err, ERR_CONFIG, "indexes: \"" TEXT_FMT "\" stands there twice",
                           TEXT_ARG(value));
    settings->indexes[settings->index_count++] = key;
    return true;
}

static bool set_indexes(struct settings *settings, struct text value, struct err *err)
{
    settings->index_count = 0;
    while (value.len > 0) {
        const char *comma = memchr(value.bytes, ',', value.len);
        size_t len = comma == NULL ? value.len : (size_t)(comma - value.bytes);
        if (!add_index(settings, (struct text){value.bytes, len}, err))
            return false;
        size_t skip = comma == NULL ? len : len + 1;
        value = (struct text){value.bytes + skip, value.len - skip};
    }
    return true;
}

static bool set(struct settings *settings, const struct setting *setting, struct text value,
                struct err *err)
{
    char *field = (char *)settings + setting->offset;
    switch (setting->form) {
    case FORM_TEXT:
        if (value.len == 0 && setting->initial[0] != '\0')
            return err_set(err, ERR_CONFIG, "%s: must not be empty", setting->name);
        *(const char **)(void *)field = arena_copy(&settings->arena, value).bytes;
        return true;
    case FORM_INTEGER:
        return set_integer(setting, value, (int64_t *)(void *)field, err);
    case FORM_LEVEL:
        return set_level(value, (int64_t *)(void *)field, err);
    case FORM_INDEXES:
        return set_indexes(settings, value, err);
    }
    abort();
}

void settings_init(struct settings *settings)
{
    enum { ARENA_BYTES = 4096 };
    *settings = (struct settings){.data = NULL};
    arena_init(&settings->arena, ARENA_BYTES);
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        bool right = set(settings, &table[i], text_of(table[i].initial), NULL);
        assert(right);
    }
}

void settings_fini(struct settings *settings)
{
    arena_fini(&settings->arena);
}

static const struct setting *find(struct text name)
{
    for (size_t i = 0; i < SETTING_COUNT; i++)
        if (text_is(name, table[i].name))
            return &table[i];
    return NULL;
}

static const char *nearest_name(struct text wrong)
{
    const char *names[SETTING_COUNT];
    for (size_t i = 0; i < SETTING_COUNT; i++)
        names[i] = table[i].name;
    return text_nearest(wrong, names, SETTING_COUNT);
}

bool settings_set(struct settings *settings, const char *name, const char *value, struct err *err)
{
    const struct setting *setting = find(text_of(name));
    if (setting == NULL)
        return err_set(err, ERR_CONFIG, "unknown setting \"%s\"", name);
    return set(settings, setting, text_of(value), err);
}

static void set_from_sequence(struct settings *settings, const struct yaml_node *list,
                              struct problems *problems)
{
    settings->index_count = 0;
    for (const struct yaml_node *item = list->first; item != NULL; item = item->next) {
        struct err err;
        if (item->kind != YAML_SCALAR)
            problem_add(problems, item->place, "%s: expected client.KEY, shared.KEY or server.KEY, "
                                               "found %s", list->key.bytes, yaml_kind_name(item));
        else if (!add_index(settings, item->scalar, &err))
            problem_add(problems, item->place, "%s", err.text);
    }
}

static void set_from_node(struct settings *settings, const struct yaml_node *node,
                          struct problems *problems)
{
    const struct setting *setting = find(node->key);
    if (setting == NULL) {
        const char *nearest = nearest_name(node->key);
        problem_add(problems, node->key_place, "unknown setting \"%s\"%s%s%s", node->key.bytes,
                    nearest == NULL ? "; fwsyncd --check lists them all" : "; did you mean \"",
                    nearest == NULL ? "" : nearest, nearest == NULL ? "" : "\"?");
    } else if (setting->form == FORM_INDEXES && node->kind == YAML_SEQUENCE) {
        set_from_sequence(settings, node, problems);
    } else if (node->kind != YAML_SCALAR) {
        problem_add(problems, node->place, "%s: expected one value, found %s", setting->name,
                    yaml_kind_name(node));
    } else {
        struct err err;
        if (!set(settings, setting, node->scalar, &err))
            problem_add(problems, node->place, "%s", err.text);
    }
}

/* The file's bytes in `arena`, or a problem. */
static bool read_whole(const char *file, struct arena *arena, struct text *text,
                       struct problems *problems)
{
    struct place place = {.file = file};
    FILE *in = fopen(file, "re");
    if (in == NULL) {
        problem_add(problems, place, "cannot be read: %s", strerror(errno));
        return false;
    }
    char *bytes = arena_alloc(arena, REQUEST_BYTES_MAX + 1);
    size_t len = fread(bytes, 1, REQUEST_BYTES_MAX + 1, in);
    bool failed = ferror(in) != 0;
    fclose(in);
    if (failed || len > REQUEST_BYTES_MAX) {
        problem_add(problems, place, failed ? "cannot be read" : "is larger than 1 MiB");
        return false;
    }
    *text = (struct text){bytes, len};
    return true;
}

bool settings_read_file(struct settings *settings, const char *file, struct problems *problems)
{
    size_t before = problems->count;
    struct text text;
    if (!read_whole(file, &settings->arena, &text, problems))
        return false;
    const struct yaml_node *root = yaml_parse(file, text, &settings->arena, problems);
    if (root != NULL && root->kind != YAML_MAPPING)
        problem_add(problems, root->place, "expected `setting: value` lines, found %s",
                    yaml_kind_name(root));
    else if (root != NULL)
        for (const struct yaml_node *node = root->first; node != NULL; node = node->next)
            set_from_node(settings, node, problems);
    return problems->count == before;
}

static void print_value(const struct settings *settings, const struct setting *setting)
{
    const char *field = (const char *)settings + setting->offset;
    switch (setting->form) {
    case FORM_TEXT:
        printf("%s: \"%s\"\n", setting->name, *(const char *const *)(const void *)field);
        return;
    case FORM_INTEGER:
        printf("%s: %" PRId64 "\n", setting->name, *(const int64_t *)(const void *)field);
        return;
    case FORM_LEVEL:
        printf("%s: %s\n", setting->name, level_names[*(const int64_t *)(const void *)field]);
        return;
    case FORM_INDEXES:
        printf("%s: [", setting->name);
        for (size_t i = 0; i < settings->index_count; i++)
            printf("%s%s." TEXT_FMT, i == 0 ? "" : ", ", scope_short(settings->indexes[i].scope),
                   TEXT_ARG(settings->indexes[i].key));
        printf("]\n");
        return;
    }
    abort();
}

void settings_print(const struct settings *settings)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &table[i];
        printf("# %s", setting->help);
        if (setting->form == FORM_INTEGER)
            printf(" (%" PRId64 " to %" PRId64 ", default %s)", setting->min, setting->max,
                   setting->initial);
        printf("\n");
        print_value(settings, setting);
    }
}

static bool has_index(const struct settings *settings, const char *key)
{
    for (size_t i = 0; i < settings->index_count; i++)
        if (settings->indexes[i].scope == SCOPE_SERVER && text_is(settings->indexes[i].key, key))
            return true;
    return false;
}

/* A list of one's own replaces the default one, and it is easy to forget what the verdict is found by. */
void settings_advise(const struct settings *settings)
{
    bool synced = has_index(settings, "fwStateIsSynced"), state = has_index(settings, "fwSyncState");
    if (!synced || !state)
        log_line(LOG_WARN, "indexes-missing",
                 "indexes=\"%s%s%s\" help=\"without them nobody can list or count devices by their verdict: add them "
                 "to the setting indexes\"",
                 synced ? "" : "server.fwStateIsSynced", synced || state ? "" : ", ",
                 state ? "" : "server.fwSyncState");
}

const char *settings_name(size_t position)
{
    return position < SETTING_COUNT ? table[position].name : NULL;
}

const char *settings_help(size_t position)
{
    return position < SETTING_COUNT ? table[position].help : NULL;
}

#include "rules/config.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "engine/base/buf.h"
#include "engine/base/limits.h"
#include "rules/message.h"
#include "rules/pattern.h"
#include "rules/words.h"

void problem_unknown(struct problems *problems, struct place place, const char *what,
                     struct text wrong, const char *const *words, size_t word_count)
{
    char hint[WORDS_HINT_BYTES] = "";
    if (problems->count < PROBLEM_COUNT_MAX) /* nobody will read the others, and hints take time */
        words_hint(wrong, words, word_count, hint);
    problem_add(problems, place, "unknown %s '%.*s'; %s", what, (int)wrong.len, wrong.bytes, hint);
}

bool config_name(const struct yaml_node *yaml, const char *what, struct problems *problems,
                 struct text *name)
{
    if (yaml->kind != YAML_SCALAR)
        problem_add(problems, yaml->place, "%s: expected a name, got %s", what, yaml_kind_name(yaml));
    else if (yaml->scalar.len == 0)
        problem_add(problems, yaml->place, "%s: expected a name, got nothing", what);
    else if (yaml->scalar.len > NAME_BYTES_MAX)
        problem_add(problems, yaml->place, "%s: a name of %zu bytes; at most %d are taken", what,
                    yaml->scalar.len, NAME_BYTES_MAX);
    else if (text_has_control(yaml->scalar))
        problem_add(problems, yaml->place, "%s: control characters aren't taken in a name", what);
    else {
        *name = yaml->scalar;
        return true;
    }
    return false;
}

/* --- finding a setting ------------------------------------------------------------------------------ */

/* The setting's YAML, or NULL; one that is required and absent is a problem. */
static const struct yaml_node *setting(struct fwsync_config *config, const char *key,
                                       enum fwsync_need need)
{
    assert(config->asked_count < SETTING_COUNT_MAX);
    config->asked[config->asked_count++] = key;
    const struct yaml_node *found = yaml_member(config->yaml, key);
    if (found == NULL && need == FWSYNC_REQUIRED)
        problem_add(config->problems, config->node->place, "node '%s': the setting '%s' is missing",
                    config->node->name.bytes, key);
    return found;
}

static bool is_text(const struct yaml_node *yaml)
{
    return yaml->kind == YAML_SCALAR && (yaml->scalar.len > 0 || yaml->quoted);
}

/* What stands there, for "got ...". */
static const char *found_kind(const struct yaml_node *yaml)
{
    if (is_text(yaml))
        return "a text";
    return yaml->kind == YAML_SCALAR ? "nothing" : yaml_kind_name(yaml);
}

static bool wrong_kind(struct fwsync_config *config, const char *key, const char *expected,
                       const struct yaml_node *yaml)
{
    problem_add(config->problems, yaml->place, "%s: expected %s, got %s", key, expected, found_kind(yaml));
    return false;
}

/* The setting's YAML, which is a text; else NULL, with a problem where there is one. */
static const struct yaml_node *text_setting(struct fwsync_config *config, const char *key, enum fwsync_need need,
                                            const char *expected)
{
    const struct yaml_node *yaml = setting(config, key, need);
    if (yaml == NULL || is_text(yaml))
        return yaml;
    wrong_kind(config, key, expected, yaml);
    return NULL;
}

/* Likewise a mapping. */
static const struct yaml_node *mapping_setting(struct fwsync_config *config, const char *key, enum fwsync_need need,
                                               const char *expected)
{
    const struct yaml_node *yaml = setting(config, key, need);
    if (yaml == NULL || yaml->kind == YAML_MAPPING)
        return yaml;
    wrong_kind(config, key, expected, yaml);
    return NULL;
}

static bool compile(struct fwsync_config *config, const char *key, const struct yaml_node *yaml,
                    struct fwsync_pattern *pattern)
{
    struct err err;
    if (pattern_compile(yaml->scalar, &config->ruleset->arena, pattern, &err))
        return true;
    problem_add(config->problems, yaml->place, "%s: %s", key, err.text);
    return false;
}

/* --- the readers ------------------------------------------------------------------------------------ */

void *fwsync_config_alloc(struct fwsync_config *config, size_t bytes)
{
    return arena_zero(&config->ruleset->arena, bytes);
}

bool fwsync_config_text(struct fwsync_config *config, const char *key, enum fwsync_need need,
                        struct fwsync_text *text)
{
    const struct yaml_node *yaml = text_setting(config, key, need, "a text");
    if (yaml == NULL)
        return false;
    *text = (struct fwsync_text){yaml->scalar.bytes, yaml->scalar.len};
    return true;
}

bool fwsync_config_boolean(struct fwsync_config *config, const char *key, enum fwsync_need need,
                           bool *boolean)
{
    const struct yaml_node *yaml = setting(config, key, need);
    return yaml != NULL && yaml_boolean(yaml, boolean, config->problems);
}

bool fwsync_config_integer(struct fwsync_config *config, const char *key, enum fwsync_need need,
                           int64_t min, int64_t max, int64_t *integer)
{
    const struct yaml_node *yaml = setting(config, key, need);
    return yaml != NULL && yaml_integer(yaml, min, max, integer, config->problems);
}

bool fwsync_config_choice(struct fwsync_config *config, const char *key, enum fwsync_need need,
                          const char *const *words, int *position)
{
    const struct yaml_node *yaml = text_setting(config, key, need, "a word");
    if (yaml == NULL)
        return false;
    size_t count = 0;
    for (; words[count] != NULL; count++)
        if (text_is(yaml->scalar, words[count])) {
            *position = (int)count;
            return true;
        }
    char hint[WORDS_HINT_BYTES];
    words_hint(yaml->scalar, words, count, hint);
    problem_add(config->problems, yaml->place, "%s: there is no '%s'; %s", key, yaml->scalar.bytes, hint);
    return false;
}

bool fwsync_config_scope(struct fwsync_config *config, const char *key, enum fwsync_need need,
                         enum fwsync_scope *scope)
{
    static const char *const names[] = {"CLIENT_SCOPE", "SHARED_SCOPE", "SERVER_SCOPE", NULL};
    int position;
    if (!fwsync_config_choice(config, key, need, names, &position))
        return false;
    *scope = (enum fwsync_scope)position;
    return true;
}

/* The scalars of a scalar or a list; NULL and a problem when something else is among them. */
static const struct yaml_node **scalars(struct fwsync_config *config, const char *key,
                                        enum fwsync_need need, size_t *count)
{
    const struct yaml_node *yaml = setting(config, key, need);
    if (yaml == NULL)
        return NULL;
    size_t room = yaml->kind == YAML_SEQUENCE ? yaml->count : 1;
    const struct yaml_node **list = arena_zero(&config->ruleset->arena, (room + 1) * sizeof *list);
    const struct yaml_node *item = yaml->kind == YAML_SEQUENCE ? yaml->first : yaml;
    *count = 0;
    for (; item != NULL && *count < room; item = item->next) {
        if (!is_text(item)) {
            wrong_kind(config, key, "a text or a list of texts", item);
            return NULL;
        }
        list[(*count)++] = item;
    }
    if (room == 0 && need == FWSYNC_REQUIRED) {
        problem_add(config->problems, yaml->place, "%s: the list is empty", key);
        return NULL;
    }
    return list;
}

/* A text that stands twice in a list is a slip; up to a length where looking is cheap. */
static bool check_distinct(struct fwsync_config *config, const char *key,
                           const struct yaml_node **list, size_t count)
{
    bool distinct = true;
    for (size_t i = 1; i < count && i < FIELD_COUNT_MAX; i++)
        for (size_t j = 0; j < i; j++)
            if (text_equal(list[i]->scalar, list[j]->scalar)) {
                problem_add(config->problems, list[i]->place, "%s: '%s' stands twice in the list", key,
                            list[i]->scalar.bytes);
                distinct = false;
                break;
            }
    return distinct;
}

bool fwsync_config_texts(struct fwsync_config *config, const char *key, enum fwsync_need need,
                         const struct fwsync_text **texts, size_t *count)
{
    size_t length;
    const struct yaml_node **list = scalars(config, key, need, &length);
    if (list == NULL || !check_distinct(config, key, list, length))
        return false;
    struct fwsync_text *out = fwsync_config_alloc(config, (length + 1) * sizeof *out);
    for (size_t i = 0; i < length; i++)
        out[i] = (struct fwsync_text){list[i]->scalar.bytes, list[i]->scalar.len};
    *texts = out;
    *count = length;
    return true;
}

static struct text member_name(struct fwsync_config *config, struct text key)
{
    struct buf buf = {.arena = &config->ruleset->arena};
    buf_byte(&buf, ',');
    json_string(&buf, key);
    buf_byte(&buf, ':');
    return buf_text(&buf);
}

bool fwsync_config_keys(struct fwsync_config *config, const char *key, enum fwsync_need need,
                        const struct fwsync_keys **keys)
{
    const struct fwsync_text *texts;
    size_t count;
    if (!fwsync_config_texts(config, key, need, &texts, &count))
        return false;
    struct fwsync_keys *out = fwsync_config_alloc(config, sizeof *out + count * sizeof out->items[0]);
    out->count = count;
    for (size_t i = 0; i < count; i++)
        out->items[i] = (struct member_key){text_in(texts[i]), member_name(config, text_in(texts[i]))};
    *keys = out;
    return true;
}

bool fwsync_config_pattern(struct fwsync_config *config, const char *key, enum fwsync_need need,
                           const struct fwsync_pattern **pattern)
{
    const struct yaml_node *yaml = text_setting(config, key, need, "a text");
    if (yaml == NULL)
        return false;
    struct fwsync_pattern *compiled = fwsync_config_alloc(config, sizeof *compiled);
    if (!compile(config, key, yaml, compiled))
        return false;
    *pattern = compiled;
    return true;
}

bool fwsync_config_patterns(struct fwsync_config *config, const char *key, enum fwsync_need need,
                            const struct fwsync_pattern *const **patterns, size_t *count)
{
    size_t length;
    const struct yaml_node **list = scalars(config, key, need, &length);
    if (list == NULL || !check_distinct(config, key, list, length))
        return false;
    const struct fwsync_pattern **out = fwsync_config_alloc(config, (length + 1) * sizeof(void *));
    struct fwsync_pattern *compiled = fwsync_config_alloc(config, (length + 1) * sizeof *compiled);
    bool right = true;
    for (size_t i = 0; i < length; i++) {
        right &= compile(config, key, list[i], &compiled[i]);
        out[i] = &compiled[i];
    }
    if (!right)
        return false;
    *patterns = out;
    *count = length;
    return true;
}

static bool read_member(struct fwsync_config *config, const char *key, const struct yaml_node *yaml,
                        struct fwsync_member *member)
{
    if (yaml->key.len == 0 || yaml->key.len > KEY_BYTES_MAX) {
        problem_add(config->problems, yaml->key_place, "%s: a key of %zu bytes; expected 1 to %d", key,
                    yaml->key.len, KEY_BYTES_MAX);
        return false;
    }
    if (!is_text(yaml))
        return wrong_kind(config, key, "a text", yaml);
    struct fwsync_pattern *pattern = fwsync_config_alloc(config, sizeof *pattern);
    if (!compile(config, key, yaml, pattern))
        return false;
    *member = (struct fwsync_member){
        .key = {yaml->key.bytes, yaml->key.len},
        .text = {yaml->scalar.bytes, yaml->scalar.len},
        .pattern = pattern,
        .quoted = yaml->quoted,
    };
    return true;
}

bool fwsync_config_mapping(struct fwsync_config *config, const char *key, enum fwsync_need need,
                           const struct fwsync_member **members, size_t *count)
{
    const struct yaml_node *yaml = mapping_setting(config, key, need, "a mapping (key: text)");
    if (yaml == NULL)
        return false;
    struct fwsync_member *out = fwsync_config_alloc(config, (yaml->count + 1) * sizeof *out);
    size_t length = 0;
    bool right = yaml->count > 0;
    if (!right)
        problem_add(config->problems, yaml->place, "%s: the mapping is empty", key);
    for (const struct yaml_node *item = yaml->first; item != NULL; item = item->next)
        right &= read_member(config, key, item, &out[length++]);
    if (!right)
        return false;
    *members = out;
    *count = length;
    return true;
}

/* --- times ------------------------------------------------------------------------------------------- */

bool config_duration(struct text text, int64_t *duration_ms)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    int64_t number = 0;
    size_t i = 0;
    for (; i < text.len && text.bytes[i] >= '0' && text.bytes[i] <= '9' && number <= DURATION_MS_MAX; i++)
        number = number * 10 + (text.bytes[i] - '0');
    struct text unit = {text.bytes + i, text.len - i};
    *duration_ms = 0;
    if (i > 0 && unit.len == 0 && number == 0)
        return true;
    for (size_t u = 0; i > 0 && u < sizeof units / sizeof units[0]; u++)
        if (text_is(unit, units[u].name)) {
            *duration_ms = number * units[u].ms;
            return number <= DURATION_MS_MAX / units[u].ms;
        }
    return false;
}

static bool read_duration(struct fwsync_config *config, const char *key, const struct yaml_node *yaml,
                          const char *const *words, int64_t *durations_ms)
{
    size_t count = 0, found = SIZE_MAX;
    for (; words[count] != NULL; count++)
        if (text_is(yaml->key, words[count]))
            found = count;
    if (found == SIZE_MAX) {
        char what[64];
        snprintf(what, sizeof what, "member of %s", key);
        problem_unknown(config->problems, yaml->key_place, what, yaml->key, words, count);
        return false;
    }
    if (yaml->kind == YAML_SCALAR && config_duration(yaml->scalar, &durations_ms[found]))
        return true;
    problem_add(config->problems, yaml->place,
                "%s.%s: expected a time such as 500ms, 30s, 15m, 2h or 1d, at most 3650d, or 0 for none; got %s",
                key, words[found], is_text(yaml) ? yaml->scalar.bytes : found_kind(yaml));
    return false;
}

bool fwsync_config_durations(struct fwsync_config *config, const char *key, enum fwsync_need need,
                             const char *const *words, int64_t *durations_ms)
{
    const struct yaml_node *yaml = mapping_setting(config, key, need, "a mapping (word: time)");
    if (yaml == NULL)
        return false;
    bool right = true;
    for (const struct yaml_node *item = yaml->first; item != NULL; item = item->next)
        right &= read_duration(config, key, item, words, durations_ms);
    return right;
}

/* --- classes and chains ----------------------------------------------------------------------------- */

static bool class_name_reserved(struct text name)
{
    return text_is(name, "attributes") || text_is(name, "deadletter") || text_is(name, "heartbeat");
}

static bool check_class_name(struct fwsync_config *config, const char *key, const struct yaml_node *yaml)
{
    const char *name = yaml->scalar.bytes;
    if (!text_is_class(yaml->scalar))
        problem_add(config->problems, yaml->place,
                    "%s: '%s' can't be a class; expected a small letter, then up to 31 small letters, "
                    "digits or '-'",
                    key, name);
    else if (class_name_reserved(yaml->scalar))
        problem_add(config->problems, yaml->place, "%s: '%s' is the engine's own class; take another", key, name);
    else if (text_is(yaml->scalar, "batch"))
        problem_add(config->problems, yaml->place,
                    "%s: 'batch' is the engine's own word: batches of results have topics that begin with it; "
                    "take another",
                    key);
    else
        return true;
    return false;
}

bool fwsync_config_class(struct fwsync_config *config, const char *key, enum fwsync_need need,
                         int *class_index)
{
    struct ruleset *ruleset = config->ruleset;
    const struct yaml_node *yaml = text_setting(config, key, need, "a name");
    if (yaml == NULL || !check_class_name(config, key, yaml))
        return false;
    size_t i = 0;
    while (i < ruleset->class_count && !text_equal(ruleset->class_names[i], yaml->scalar))
        i++;
    if (i == CLASS_COUNT_MAX) {
        problem_add(config->problems, yaml->place, "%s: '%s' is one class too many; at most %d", key,
                    yaml->scalar.bytes, CLASS_COUNT_MAX);
        return false;
    }
    ruleset->class_names[i] = yaml->scalar;
    ruleset->class_count += i == ruleset->class_count;
    *class_index = (int)i;
    return true;
}

static void report_unknown_chain(struct fwsync_config *config, const struct yaml_node *yaml)
{
    config->call_unknown = true;
    if (!config->chains_complete)
        return; /* it may be in a file that could not be read */
    const struct ruleset *ruleset = config->ruleset;
    const char *names[CHAIN_COUNT_MAX];
    for (size_t i = 0; i < ruleset->chain_count; i++)
        names[i] = ruleset->chains[i]->name.bytes;
    problem_unknown(config->problems, yaml->place, "chain", yaml->scalar, names,
                    ruleset->chain_count);
}

bool fwsync_config_chain(struct fwsync_config *config, const char *key, enum fwsync_need need,
                         int *chain_index)
{
    const struct ruleset *ruleset = config->ruleset;
    const struct yaml_node *yaml = setting(config, key, need);
    if (yaml == NULL) {
        config->call_unknown |= need == FWSYNC_REQUIRED;
        return false;
    }
    if (!is_text(yaml)) {
        config->call_unknown = true;
        return wrong_kind(config, key, "a chain's name", yaml);
    }
    for (size_t i = 0; i < ruleset->chain_count; i++) {
        if (!text_equal(ruleset->chains[i]->name, yaml->scalar))
            continue;
        struct call *call = fwsync_config_alloc(config, sizeof *call);
        *call = (struct call){config->node->calls, (int)i, yaml->place};
        config->node->calls = call;
        *chain_index = (int)i;
        return true;
    }
    report_unknown_chain(config, yaml);
    return false;
}

bool fwsync_config_has(const struct fwsync_config *config, const char *key)
{
    return yaml_member(config->yaml, key) != NULL;
}

/* --- a whole node ----------------------------------------------------------------------------------- */

void fwsync_config_problem(struct fwsync_config *config, const char *key, const char *format, ...)
{
    const struct yaml_node *yaml = key == NULL ? NULL : yaml_member(config->yaml, key);
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (yaml != NULL)
        problem_add(config->problems, yaml->place, "%s: %s", key, line);
    else
        problem_add(config->problems, config->node->place, "node '%s': %s",
                    config->node->name.bytes, line);
}

static void report_unknown_settings(struct fwsync_config *config)
{
    char what[96];
    snprintf(what, sizeof what, "setting of %s", config->node->type->name);
    for (const struct yaml_node *yaml = config->yaml->first; yaml != NULL; yaml = yaml->next) {
        size_t i = 0;
        while (i < config->asked_count && !text_is(yaml->key, config->asked[i]))
            i++;
        if (i == config->asked_count)
            problem_unknown(config->problems, yaml->key_place, what, yaml->key, config->asked,
                            config->asked_count);
    }
}

void config_create_node(struct fwsync_config *config)
{
    static const char *const common[] = {"type", "to", "description"};
    for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
        config->asked[config->asked_count++] = common[i];
    size_t before = config->problems->count;
    config->node->memory = config->node->type->create(config);
    if (config->node->memory == NULL && config->problems->count == before && !config->call_unknown)
        fwsync_config_problem(config, NULL, "its type refused the settings without saying why");
    report_unknown_settings(config);
}

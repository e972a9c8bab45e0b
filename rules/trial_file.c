#include "rules/trial_file.h"

#include "engine/base/buf.h"
#include "engine/base/limits.h"
#include "engine/base/yaml.h"
#include "rules/chain.h"
#include "rules/config.h"
#include "rules/sources.h"

static const char *const words[] = {
    [TRIAL_SEND] = "send",           [TRIAL_WAIT] = "wait",
    [TRIAL_EXPECT] = "expect",       [TRIAL_PUBLISHES] = "publishes",
    [TRIAL_DEAD_LETTERS] = "dead-letters",
};
_Static_assert(sizeof words / sizeof words[0] == TRIAL_WORD_COUNT, "name every step");

static const char default_device[] = "device";
static const char engine[] = "engine"; /* what stands for it among dead letters */

struct reader {
    const struct ruleset *ruleset;
    struct arena *arena;
    struct arena scratch;
    struct problems *problems;
    const struct trial **last; /* where the next test is linked in */
    const char **devices;      /* of the test under way, those that got an event; one for each step has room */
    size_t device_count;
    struct trial_step *happened; /* the last send or wait of the test, or NULL */
    bool complete;               /* no step of the test was wrong, so what isn't there is missing */
};

#define PROBLEM(reader, yaml, ...) (problem_add((reader)->problems, (yaml)->place, __VA_ARGS__), false)

/* --- values: YAML as JSON --------------------------------------------------------------------------- */

/* A plain one without anything in it, or a tilde. */
static bool is_null(const struct yaml_node *yaml)
{
    return yaml->kind == YAML_SCALAR && !yaml->quoted && (yaml->scalar.len == 0 || text_is(yaml->scalar, "~"));
}

/* Does it look like an integer that JSON allows? For those that are too large to be one. */
static bool is_integer(struct text text)
{
    size_t at = text.len > 0 && text.bytes[0] == '-';
    if (at == text.len || text.bytes[at] == '0')
        return false;
    while (at < text.len && text.bytes[at] >= '0' && text.bytes[at] <= '9')
        at++;
    return at == text.len;
}

/* JSON's own words and numbers are that if written without quotes, and anything else is a text: `no` and v1.2 too. */
static bool scalar_json(struct reader *reader, struct buf *json, const struct yaml_node *yaml)
{
    struct value value;
    arena_reset(&reader->scratch);
    if (!yaml->quoted && json_parse_value(yaml->scalar, &reader->scratch, &reader->scratch, &value, NULL))
        buf_append(json, yaml->scalar);
    else if (!yaml->quoted && is_integer(yaml->scalar))
        return PROBLEM(reader, yaml, "an integer beyond 2^53, which JSON readers can't hold exactly; put it in quotes");
    else
        json_string(json, yaml->scalar);
    return true;
}

/* At most YAML_DEPTH_MAX levels deep. */
static bool yaml_json(struct reader *reader, struct buf *json, const struct yaml_node *yaml)
{
    if (is_null(yaml)) {
        buf_append(json, TEXT("null"));
        return true;
    }
    if (yaml->kind == YAML_SCALAR)
        return scalar_json(reader, json, yaml);
    bool mapping = yaml->kind == YAML_MAPPING, right = true;
    buf_byte(json, mapping ? '{' : '[');
    for (const struct yaml_node *item = yaml->first; item != NULL; item = item->next) {
        if (mapping)
            json_key_text(json, item->key);
        else
            json_comma(json);
        right &= yaml_json(reader, json, item);
    }
    buf_byte(json, mapping ? '}' : ']');
    return right;
}

static bool read_value(struct reader *reader, const struct yaml_node *yaml, struct value *value)
{
    struct buf json = {.arena = reader->arena};
    struct err err;
    if (!yaml_json(reader, &json, yaml))
        return false;
    arena_reset(&reader->scratch);
    return json_parse_value(buf_text(&json), &reader->scratch, reader->arena, value, &err) ||
           PROBLEM(reader, yaml, "%s", err.text);
}

/* --- send ------------------------------------------------------------------------------------------- */

static struct text event_json(struct reader *reader, const struct yaml_node *yaml)
{
    struct buf json = {.arena = reader->arena};
    if (!yaml_json(reader, &json, yaml))
        return TEXT("");
    if (yaml_member(yaml, "device") == NULL) {
        json.len--; /* the bracket that closes it */
        json_member_text(&json, "device", text_of(default_device));
        buf_byte(&json, '}');
    }
    return buf_text(&json);
}

/* The member that an error of event_parse() names: at the start of the line, or as an unknown one. */
static struct place place_of_error(const struct yaml_node *yaml, const struct err *err)
{
    struct text line = text_of(err->text), unknown = TEXT("unknown field '");
    bool is_unknown = text_starts(line, unknown);
    if (is_unknown)
        line = (struct text){line.bytes + unknown.len, line.len - unknown.len};
    for (const struct yaml_node *member = yaml->first; member != NULL; member = member->next)
        if (member->key.len > 0 && text_starts(line, member->key) &&
            strchr(is_unknown ? "'" : ":.", line.bytes[member->key.len]) != NULL)
            return is_unknown ? member->key_place : member->place;
    return yaml->place;
}

static void note_device(struct reader *reader, struct text name)
{
    for (size_t i = 0; i < reader->device_count; i++)
        if (text_is(name, reader->devices[i]))
            return;
    reader->devices[reader->device_count++] = arena_copy(reader->arena, name).bytes;
}

static bool read_send(struct reader *reader, const struct yaml_node *yaml, struct trial_step *step)
{
    struct err err;
    if (yaml->kind != YAML_MAPPING)
        return PROBLEM(reader, yaml, "send: expected an event, {type: ..., data: ...}, got %s", yaml_kind_name(yaml));
    struct text json = event_json(reader, yaml);
    if (json.len == 0)
        return false;
    if (!event_parse(json, &reader->scratch, reader->arena, &step->event, &err)) {
        problem_add(reader->problems, place_of_error(yaml, &err), "send: %s", err.text);
        return false;
    }
    if (step->event.source.bytes != NULL)
        return PROBLEM(reader, yaml, "send: source and n aren't taken in a test: nothing is sent twice");
    note_device(reader, step->event.device);
    reader->happened = step;
    return true;
}

/* --- wait ------------------------------------------------------------------------------------------- */

static bool read_wait(struct reader *reader, const struct yaml_node *yaml, struct trial_step *step)
{
    reader->happened = step;
    if (yaml->kind != YAML_SCALAR)
        return PROBLEM(reader, yaml, "wait: expected a time such as 30s, 15m or 2h, got %s", yaml_kind_name(yaml));
    return (config_duration(yaml->scalar, &step->wait_ms) && step->wait_ms > 0) ||
           PROBLEM(reader, yaml, "wait: expected a time such as 500ms, 30s, 15m, 2h or 1d, at most 3650d, got '%s'",
                   yaml->scalar.bytes);
}

/* --- expect ----------------------------------------------------------------------------------------- */

static bool read_device(struct reader *reader, const struct yaml_node *yaml, struct trial_step *step)
{
    const struct yaml_node *device = yaml_member(yaml, "device");
    struct place place = device == NULL ? step->place : device->place;
    step->device = text_of(default_device);
    if (device != NULL && !config_name(device, "device", reader->problems, &step->device))
        return false;
    for (size_t i = 0; i < reader->device_count; i++)
        if (text_is(step->device, reader->devices[i]))
            return true;
    if (!reader->complete)
        return false;
    if (reader->device_count == 0)
        problem_add(reader->problems, place, "expect: nothing was sent before it");
    else if (device == NULL)
        problem_add(reader->problems, place, "expect: of which device? Nothing was sent of '%s' before it; "
                                             "name one, as in device: %s",
                    default_device, reader->devices[reader->device_count - 1]);
    else
        problem_unknown(reader->problems, place, "device", step->device, reader->devices, reader->device_count);
    return false;
}

/* "server.fwSyncState"; a key may have further dots in it. */
static bool read_attribute_name(struct reader *reader, const struct yaml_node *yaml, struct trial_member *member)
{
    static const char *const scopes[SCOPE_COUNT] = {"client", "shared", "server", "telemetry"};
    const char *dot = strchr(yaml->key.bytes, '.');
    size_t scope_len = dot == NULL ? 0 : (size_t)(dot - yaml->key.bytes);
    struct text scope = {yaml->key.bytes, scope_len};
    bool has_blank = memchr(yaml->key.bytes, ' ', scope_len) != NULL;
    if (dot == NULL || dot[1] == '\0' || has_blank) {
        problem_add(reader->problems, yaml->key_place,
                    "expect: '%s' names no attribute; expected a scope and a key, as in server.fwSyncState%s",
                    yaml->key.bytes, has_blank ? "; inside { } a text with a comma in it needs quotes" : "");
        return false;
    }
    member->name = yaml->key;
    member->key = (struct text){dot + 1, yaml->key.len - scope_len - 1};
    if (scope_parse_short(scope, &member->scope))
        return true;
    problem_unknown(reader->problems, yaml->key_place, "scope", scope, scopes, SCOPE_COUNT);
    return false;
}

static struct trial_members members_room(struct reader *reader, const struct yaml_node *yaml)
{
    return (struct trial_members){arena_zero(reader->arena, (yaml->count + 1) * sizeof(struct trial_member)), 0};
}

static bool read_expect(struct reader *reader, const struct yaml_node *yaml, struct trial_step *step)
{
    if (yaml->kind != YAML_MAPPING || yaml->count == 0)
        return PROBLEM(reader, yaml, "expect: expected a mapping of attributes, {server.fwSyncState: synced}");
    bool right = read_device(reader, yaml, step);
    step->members = members_room(reader, yaml);
    for (const struct yaml_node *item = yaml->first; item != NULL; item = item->next) {
        struct trial_member *member = &step->members.items[step->members.count];
        if (text_is(item->key, "device"))
            continue;
        step->members.count++;
        member->place = item->place;
        right &= read_attribute_name(reader, item, member) && read_value(reader, item, &member->value);
    }
    return right;
}

/* --- publishes -------------------------------------------------------------------------------------- */

static bool find_class(struct reader *reader, struct text name, struct place place)
{
    const struct ruleset *ruleset = reader->ruleset;
    const char *names[CLASS_COUNT_MAX];
    for (size_t i = 0; i < ruleset->class_count; i++) {
        names[i] = ruleset->class_names[i].bytes;
        if (text_equal(ruleset->class_names[i], name))
            return true;
    }
    problem_unknown(reader->problems, place, "class", name, names, ruleset->class_count);
    return false;
}

/* `sync`, or `sync: {members}`. */
static bool read_result(struct reader *reader, const struct yaml_node *yaml, struct trial_result *result)
{
    result->place = yaml->place;
    if (yaml->kind == YAML_SCALAR) {
        result->class_name = yaml->scalar;
        return find_class(reader, yaml->scalar, yaml->place);
    }
    const struct yaml_node *data = yaml->kind == YAML_MAPPING && yaml->count == 1 ? yaml->first : NULL;
    if (data == NULL || data->kind != YAML_MAPPING)
        return PROBLEM(reader, yaml, "publishes: expected a class, or one class with members of its data: "
                                     "sync: {fwSyncState: synced}");
    result->class_name = data->key;
    bool right = find_class(reader, data->key, data->key_place);
    result->data = members_room(reader, data);
    for (const struct yaml_node *item = data->first; item != NULL; item = item->next) {
        struct trial_member *member = &result->data.items[result->data.count++];
        *member = (struct trial_member){.place = item->place, .name = item->key, .key = item->key};
        right &= read_value(reader, item, &member->value);
    }
    return right;
}

static bool has_happened(struct reader *reader, const struct trial_step *step)
{
    if (reader->happened == NULL && reader->complete)
        problem_add(reader->problems, step->place, "%s: nothing was sent before it", words[step->word]);
    return reader->happened != NULL;
}

static bool read_publishes(struct reader *reader, const struct yaml_node *yaml, struct trial_step *step)
{
    bool right = has_happened(reader, step);
    if (yaml->kind != YAML_SEQUENCE)
        return PROBLEM(reader, yaml, "publishes: expected a list of classes, [sync] or [], got %s",
                       yaml_kind_name(yaml));
    step->results = arena_zero(reader->arena, (yaml->count + 1) * sizeof *step->results);
    for (const struct yaml_node *item = yaml->first; item != NULL; item = item->next)
        right &= read_result(reader, item, &step->results[step->result_count++]);
    return right;
}

/* --- dead-letters ----------------------------------------------------------------------------------- */

/* CHAIN/NODE of each node. */
static size_t node_names(struct reader *reader, const char ***names)
{
    const struct ruleset *ruleset = reader->ruleset;
    size_t room = 1, count = 0;
    for (size_t i = 0; i < ruleset->chain_count; i++)
        room += ruleset->chains[i]->node_count;
    *names = arena_alloc(reader->arena, room * sizeof **names);
    for (size_t i = 0; i < ruleset->chain_count; i++)
        for (size_t j = 0; j < ruleset->chains[i]->node_count; j++) {
            const struct chain *chain = ruleset->chains[i];
            (*names)[count++] =
                arena_format(reader->arena, "%s/%s", chain->name.bytes, chain->nodes[j].name.bytes).bytes;
        }
    (*names)[count++] = engine;
    return count;
}

static bool is_node(struct text name, const struct node *node)
{
    struct text chain = node->chain->name;
    return name.len == chain.len + 1 + node->name.len && text_starts(name, chain) && name.bytes[chain.len] == '/' &&
           text_equal((struct text){name.bytes + chain.len + 1, node->name.len}, node->name);
}

static bool find_node(struct reader *reader, const struct yaml_node *yaml, struct trial_letter *letter)
{
    const struct ruleset *ruleset = reader->ruleset;
    const char **names;
    if (text_is(yaml->scalar, engine))
        return true;
    for (size_t i = 0; i < ruleset->chain_count; i++)
        for (size_t j = 0; j < ruleset->chains[i]->node_count; j++) {
            const struct node *node = &ruleset->chains[i]->nodes[j];
            if (!is_node(yaml->scalar, node))
                continue;
            letter->chain = node->chain->name;
            letter->node = node->name;
            return true;
        }
    if (reader->problems->count < PROBLEM_COUNT_MAX) { /* nobody will read the others */
        size_t count = node_names(reader, &names);
        problem_unknown(reader->problems, yaml->place, "node", yaml->scalar, names, count);
    }
    return false;
}

static bool read_letters(struct reader *reader, const struct yaml_node *yaml, struct trial_step *step)
{
    bool right = true;
    step->letters = arena_zero(reader->arena, (yaml->count + 1) * sizeof *step->letters);
    for (const struct yaml_node *item = yaml->first; item != NULL; item = item->next) {
        struct trial_letter *letter = &step->letters[step->letter_count++];
        letter->place = item->place;
        if (item->kind != YAML_SCALAR)
            right = PROBLEM(reader, item, "dead-letters: expected CHAIN/NODE, got %s", yaml_kind_name(item));
        else
            right &= find_node(reader, item, letter);
    }
    return right;
}

static bool read_dead_letters(struct reader *reader, const struct yaml_node *yaml, struct trial_step *step)
{
    enum { COUNT_MAX = 1000000 };
    int64_t count;
    if (!has_happened(reader, step))
        return false;
    reader->happened->letters_expected = true;
    if (yaml->kind == YAML_SEQUENCE)
        return read_letters(reader, yaml, step);
    if (!yaml_integer(yaml, 0, COUNT_MAX, &count, reader->problems))
        return false;
    step->letter_count = (size_t)count;
    return true;
}

/* --- steps, tests, files ---------------------------------------------------------------------------- */

static bool read_step(struct reader *reader, const struct yaml_node *yaml, struct trial_step *step)
{
    static bool (*const readers[])(struct reader *, const struct yaml_node *, struct trial_step *) = {
        read_send, read_wait, read_expect, read_publishes, read_dead_letters,
    };
    _Static_assert(sizeof readers / sizeof readers[0] == TRIAL_WORD_COUNT, "read every step");
    if (yaml->kind != YAML_MAPPING || yaml->count != 1)
        return PROBLEM(reader, yaml, "expected one step, such as - send: {...}; each begins with a dash");
    for (size_t i = 0; i < TRIAL_WORD_COUNT; i++)
        if (text_is(yaml->first->key, words[i])) {
            step->word = (enum trial_word)i;
            step->place = yaml->first->key_place;
            return readers[i](reader, yaml->first, step);
        }
    problem_unknown(reader->problems, yaml->first->key_place, "step", yaml->first->key, words, TRIAL_WORD_COUNT);
    return false;
}

static void read_trial(struct reader *reader, const struct source *source, const struct yaml_node *yaml)
{
    struct trial *trial = arena_zero(reader->arena, sizeof *trial);
    struct yaml_node name = {.kind = YAML_SCALAR, .scalar = yaml->key, .place = yaml->key_place};
    trial->file = source->name;
    config_name(&name, "test", reader->problems, &trial->name);
    if (yaml->kind != YAML_SEQUENCE || yaml->count == 0) {
        problem_add(reader->problems, yaml->place, "test '%s': expected a list of steps, such as - send: {...}",
                    yaml->key.bytes);
        return;
    }
    trial->steps = arena_zero(reader->arena, yaml->count * sizeof *trial->steps);
    reader->devices = arena_alloc(reader->arena, yaml->count * sizeof *reader->devices);
    reader->device_count = 0;
    reader->happened = NULL;
    reader->complete = true;
    for (const struct yaml_node *item = yaml->first; item != NULL; item = item->next)
        reader->complete &= read_step(reader, item, &trial->steps[trial->step_count++]);
    *reader->last = trial;
    reader->last = &trial->next;
}

static void read_file(struct reader *reader, const struct source *source)
{
    size_t before = reader->problems->count;
    const struct yaml_node *root = yaml_parse(source->file, source->text, reader->arena, reader->problems);
    if (root == NULL && reader->problems->count > before)
        return;
    if (root == NULL || root->kind != YAML_MAPPING || root->count == 0) {
        problem_add(reader->problems, root == NULL ? (struct place){source->file, 1, 1} : root->place,
                    "expected tests by name, each a list of steps");
        return;
    }
    for (const struct yaml_node *item = root->first; item != NULL; item = item->next)
        read_trial(reader, source, item);
}

static const struct trial *read_files(const struct sources *sources, const struct ruleset *ruleset,
                                      struct arena *arena, struct problems *problems)
{
    enum { SCRATCH_BYTES = 64 * 1024 };
    const struct trial *first = NULL;
    size_t before = problems->count;
    struct reader reader = {.ruleset = ruleset, .arena = arena, .problems = problems, .last = &first};
    arena_init(&reader.scratch, SCRATCH_BYTES);
    for (size_t i = 0; i < sources->count; i++)
        read_file(&reader, &sources->items[i]);
    arena_fini(&reader.scratch);
    return problems->count == before ? first : NULL;
}

const struct trial *trial_files_read(const char *dir, const struct ruleset *ruleset, struct arena *arena,
                                     struct problems *problems)
{
    struct sources sources;
    bool complete = sources_read_tests(dir, arena, &sources, problems);
    const struct trial *first = read_files(&sources, ruleset, arena, problems);
    return complete ? first : NULL;
}

const struct trial *trial_text_read(const char *file, struct text text, const struct ruleset *ruleset,
                                    struct arena *arena, struct problems *problems)
{
    struct source source = {text_of(file), file, text};
    const struct sources sources = {&source, 1, file};
    return read_files(&sources, ruleset, arena, problems);
}

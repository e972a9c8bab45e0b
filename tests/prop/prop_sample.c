/* prop_sample.c - the sample's chains, and the shipped ones, against the sample's rule, written down a second
 * time and naively.
 *
 * Random events go through apply_event() and through `naive_*`, which knows nothing of chains, nodes or
 * JSON: a device is a list of texts, and after each report and each write
 *     synced = current is there and not empty, and target is there, and both read the same
 * After every event both have to hold the same attributes, and a result has to have left exactly when
 * something changed. The shipped chains say more, which is passed over here. FWSYNC_SEED repeats a run. */
#include "tests/unit/rules_model.h"

#include "engine/base/clock.h"

enum { ROUND_COUNT = 300, EVENT_COUNT = 150 };

/* --- random ----------------------------------------------------------------------------------------- */

static uint64_t random_state;

static unsigned random_below(unsigned bound)
{
    random_state ^= random_state << 13; /* xorshift64 */
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)((random_state >> 11) % bound);
}

/* --- the naive device ------------------------------------------------------------------------------- */

/* A value as an event writes it, and as metadata shows it. Few and alike, so that they often meet. */
static const struct sample_value {
    const char *json;
    const char *shown; /* NULL: null, which is never saved */
} values[] = {
    {"\"v1\"", "v1"},     {"\"v1\"", "v1"},           {"\"v2\"", "v2"},  {"\"V1\"", "V1"},
    {"1", "1"},           {"\"1\"", "1"},             {"1.0", "1.0"},    {"\"1.0\"", "1.0"},
    {"\"1.20\"", "1.20"}, {"1.2", "1.2"},             {"\"\"", ""},      {"\" v1\"", " v1"},
    {"true", "true"},     {"\"true\"", "true"},       {"null", NULL},    {"\"null\"", "null"},
    {"{\"v\":1}", "{\"v\":1}"}, {"[1,2]", "[1,2]"},   {"\"${x}\"", "${x}"},
    {"\"${ss_lastTargetFwVer}\"", "${ss_lastTargetFwVer}"},
};
enum { VALUE_COUNT = sizeof values / sizeof values[0] };
static const struct sample_value synced_true = {"true", "true"}, synced_false = {"false", "false"};

static const char *const keys[] = {
    "currentFwVer", "lastTargetFwVer", "fwStateIsSynced", "targetFwVer", "other",
};
enum { KEY_COUNT = sizeof keys / sizeof keys[0] };

struct naive_device {
    const struct sample_value *stored[SCOPE_COUNT][KEY_COUNT]; /* NULL: not there */
    int64_t telemetry_ts_ms[KEY_COUNT];
    bool changed; /* in this event */
};

static void naive_save(struct naive_device *device, enum scope scope, unsigned key,
                       const struct sample_value *value)
{
    const struct sample_value *old = device->stored[scope][key];
    if (value->shown == NULL)
        return;
    if (old == NULL || strcmp(old->json, value->json) != 0)
        device->changed = true;
    device->stored[scope][key] = value;
}

static void naive_evaluate(struct naive_device *device)
{
    const struct sample_value *current = device->stored[SCOPE_CLIENT][0];
    const struct sample_value *target = device->stored[SCOPE_SERVER][1];
    bool synced = false;
    if (current != NULL && current->shown[0] != '\0')
        synced = target != NULL && strcmp(current->shown, target->shown) == 0;
    naive_save(device, SCOPE_SERVER, 2, synced ? &synced_true : &synced_false);
}

static void naive_reading(struct naive_device *device, unsigned key, const struct sample_value *value,
                          int64_t ts_ms)
{
    if (value->shown == NULL)
        return;
    if (device->stored[SCOPE_TELEMETRY][key] != NULL && ts_ms < device->telemetry_ts_ms[key])
        return;
    device->stored[SCOPE_TELEMETRY][key] = value;
    device->telemetry_ts_ms[key] = ts_ms;
}

/* --- one event for both ----------------------------------------------------------------------------- */

enum kind { REPORT, WRITE, TELEMETRY, OTHER, KIND_COUNT };

struct sample_event {
    enum kind kind;
    enum scope scope; /* WRITE */
    int64_t ts_ms;
    const struct sample_value *data[KEY_COUNT]; /* NULL: not in the message */
    char json[1024];
};

static void write_json(struct sample_event *event)
{
    static const char *const types[KIND_COUNT] = {"POST_ATTRIBUTES_REQUEST", "ATTRIBUTES_UPDATED",
                                                  "POST_TELEMETRY_REQUEST", "CONNECT_EVENT"};
    struct buf out = {.bytes = NULL};
    buf_byte(&out, '{');
    json_member_text(&out, "device", TEXT("E"));
    json_member_text(&out, "type", text_of(types[event->kind]));
    json_member_integer(&out, "ts", event->ts_ms);
    if (event->kind == WRITE)
        json_member_text(&out, "scope", text_of(scope_name(event->scope)));
    if (random_below(4) == 0) /* what a producer claims must not matter */
        json_member_raw(&out, "metadata",
                        TEXT("{\"scope\":\"SHARED_SCOPE\",\"ss_lastTargetFwVer\":\"v1\","
                             "\"cs_currentFwVer\":\"v1\"}"));
    json_key(&out, "data");
    buf_byte(&out, '{');
    for (unsigned key = 0; key < KEY_COUNT; key++)
        if (event->data[key] != NULL)
            json_member_raw(&out, keys[key], text_of(event->data[key]->json));
    buf_append(&out, TEXT("}}"));
    snprintf(event->json, sizeof event->json, TEXT_FMT, TEXT_ARG(buf_text(&out)));
    buf_fini(&out);
}

static struct sample_event random_event(void)
{
    struct sample_event event = {.kind = (enum kind)random_below(KIND_COUNT)};
    if (event.kind == OTHER && random_below(3) > 0)
        event.kind = REPORT;
    event.scope = (enum scope)random_below(3);
    event.ts_ms = random_below(20);
    for (unsigned key = 0; key < KEY_COUNT; key++)
        if (random_below(3) == 0)
            event.data[key] = &values[random_below(VALUE_COUNT)];
    write_json(&event);
    return event;
}

static bool naive_apply(struct naive_device *device, const struct sample_event *event)
{
    bool dead_letter = event->kind == TELEMETRY;
    device->changed = false;
    for (unsigned key = 0; key < KEY_COUNT; key++) {
        const struct sample_value *value = event->data[key];
        if (value == NULL)
            continue;
        dead_letter = false;
        if (event->kind == REPORT)
            naive_save(device, SCOPE_CLIENT, key, value);
        if (event->kind == WRITE)
            naive_save(device, event->scope, key, value);
        if (event->kind == TELEMETRY)
            naive_reading(device, key, value, event->ts_ms);
    }
    if (event->kind == REPORT || event->kind == WRITE)
        naive_evaluate(device);
    return dead_letter;
}

/* --- comparing -------------------------------------------------------------------------------------- */

static void compare(const struct model *model, const struct naive_device *device,
                    const struct sample_event *event)
{
    size_t count = 0;
    for (enum scope scope = SCOPE_CLIENT; scope < SCOPE_COUNT; scope++)
        for (unsigned key = 0; key < KEY_COUNT; key++) {
            const struct sample_value *expected = device->stored[scope][key];
            size_t at = model_find(model, scope, text_of(keys[key]));
            if ((at < model->count) != (expected != NULL))
                fail_msg("%s %s after %s", scope_short(scope), keys[key], event->json);
            if (expected == NULL)
                continue;
            struct buf json = {.bytes = NULL};
            json_value(&json, &model->attributes[at].value);
            if (!text_is(buf_text(&json), expected->json))
                fail_msg("%s %s is " TEXT_FMT ", not %s, after %s", scope_short(scope), keys[key],
                         TEXT_ARG(buf_text(&json)), expected->json, event->json);
            buf_fini(&json);
            count++;
        }
    count += model_find(model, SCOPE_SERVER, TEXT("fwSyncState")) < model->count;
    count += model_find(model, SCOPE_SERVER, TEXT("fwSyncReason")) < model->count;
    assert_int_equal(count, model->count);
}

static unsigned count_lines(const char *lines, const char *start)
{
    unsigned count = 0;
    for (; *lines != '\0'; lines += strcspn(lines, "\n") + 1)
        count += strncmp(lines, start, strlen(start)) == 0;
    return count;
}

static void run_round(const struct ruleset *ruleset)
{
    struct naive_device device = {.changed = false};
    struct model model;
    model_init(&model);
    for (int i = 0; i < EVENT_COUNT; i++) {
        struct sample_event event = random_event();
        bool dead_letter = naive_apply(&device, &event);
        const char *lines = model_run(&model, ruleset, event.json);
        compare(&model, &device, &event);
        assert_int_equal(count_lines(lines, "dead "), dead_letter);
        unsigned results = count_lines(lines, "sync ");
        assert_true(results == device.changed || (results == 1 && strstr(lines, "server.fwSync") != NULL));
    }
    model_fini(&model);
}

static void prop_rules_keep_the_samples_rule(void **state)
{
    (void)state;
    const char *seed = getenv("FWSYNC_SEED");
    random_state = seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)clock_monotonic_ns();
    random_state |= random_state == 0;
    print_message("FWSYNC_SEED=%llu\n", (unsigned long long)random_state);
    struct ruleset *rulesets[] = {rules_sample(), rules_shipped()};
    for (int i = 0; i < ROUND_COUNT; i++)
        run_round(rulesets[i % 2]);
    ruleset_destroy(rulesets[0]);
    ruleset_destroy(rulesets[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prop_rules_keep_the_samples_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

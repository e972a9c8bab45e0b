/* simulator.h: devices, time and notes without a daemon. That the rules find the daemon's state there is
 * prop_simulator's. */
#include "tests/unit/rules_model.h"

#include "engine/base/limits.h"
#include "rules/simulator.h"

/* --- helpers ---------------------------------------------------------------------------------------- */

static struct arena arena, scratch;
static struct simulator *simulator;
static struct ruleset *ruleset;
static struct err err;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 4096);
    arena_init(&scratch, 4096);
    ruleset = rules_shipped();
    simulator = simulator_create(ruleset, NOTE_ALL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    simulator_destroy(simulator);
    ruleset_destroy(ruleset);
    arena_fini(&arena);
    arena_fini(&scratch);
    return 0;
}

static void use(const char *yaml, unsigned notes)
{
    simulator_destroy(simulator);
    ruleset_destroy(ruleset);
    ruleset = rules_of(yaml);
    simulator = simulator_create(ruleset, notes);
}

static void apply(const char *json, int64_t received_ms)
{
    struct event event;
    if (!event_parse(text_of(json), &scratch, &arena, &event, &err))
        fail_msg("%s: %s", json, err.text);
    simulator_apply(simulator, &event, received_ms);
}

static void pass(int64_t until_ms)
{
    if (!simulator_pass(simulator, until_ms, &err))
        fail_msg("%s", err.text);
}

static struct simulated_device *device(const char *name)
{
    return simulator_device(simulator, text_of(name), TEXT(""));
}

static bool put_text_value(const char *name, enum scope scope, const char *key, struct text text, int64_t ts_ms)
{
    struct value value = value_string(text);
    return simulated_put(device(name), scope, text_of(key), &value, ts_ms, &err);
}

static const struct simulated_value *stored(const char *name, enum scope scope, const char *key)
{
    return simulated_get(device(name), scope, text_of(key));
}

static void expect_text(const char *name, enum scope scope, const char *key, const char *expected)
{
    const struct simulated_value *value = stored(name, scope, key);
    if (value == NULL || value->value.kind != VALUE_STRING || !text_is(value->value.text, expected))
        fail_msg("%s: %s.%s isn't '%s'", name, scope_short(scope), key, expected);
}

/* The notes of these kinds as lines. */
static const char *notes(unsigned kinds)
{
    struct buf lines = {.arena = &arena};
    for (const struct note *note = simulator_notes(simulator); note != NULL; note = note->next) {
        if ((note->kind & kinds) == 0)
            continue;
        buf_printf(&lines, TEXT_FMT "@%lld ", TEXT_ARG(note->device), (long long)note->at_ms);
        if (note->chain.len > 0)
            buf_printf(&lines, TEXT_FMT "/" TEXT_FMT " ", TEXT_ARG(note->chain), TEXT_ARG(note->node));
        if (note->kind == NOTE_CHANGES) {
            buf_printf(&lines, "%s." TEXT_FMT "=", scope_short(note->scope), TEXT_ARG(note->key));
            json_value(&lines, &note->value);
        }
        buf_printf(&lines, TEXT_FMT "|" TEXT_FMT "\n", TEXT_ARG(note->name), TEXT_ARG(note->text));
    }
    buf_byte(&lines, '\0');
    return lines.bytes;
}

#define REPORT(device, version) \
    "{\"device\":\"" device "\",\"type\":\"POST_ATTRIBUTES_REQUEST\",\"data\":{\"currentFwVer\":\"" version "\"}}"
#define TARGET(device, version)                                                                     \
    "{\"device\":\"" device "\",\"type\":\"ATTRIBUTES_UPDATED\",\"scope\":\"SERVER_SCOPE\",\"data\":{" \
    "\"lastTargetFwVer\":\"" version "\"}}"
#define READING(ts, value)                                                                 \
    "{\"device\":\"E\",\"type\":\"POST_TELEMETRY_REQUEST\",\"ts\":" #ts ",\"data\":{\"t\":" #value "}}"

enum { HOUR_MS = 3600000, DAY_MS = 24 * HOUR_MS };

/* --- devices and values ------------------------------------------------------------------------------- */

static void test_a_device_is_there_from_its_first_event_and_keeps_its_type(void **state)
{
    (void)state;
    assert_null(simulator_find(simulator, TEXT("E")));
    apply("{\"device\":\"E\",\"type\":\"x\"}", 1000);
    assert_true(text_is(simulated_type(simulator_find(simulator, TEXT("E"))), "default"));
    apply("{\"device\":\"E\",\"type\":\"x\",\"deviceType\":\"pump\"}", 1000);
    apply("{\"device\":\"E\",\"type\":\"x\"}", 1000);
    assert_true(text_is(simulated_type(device("E")), "pump"));
}

static void test_many_devices_are_found_by_name(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    for (int i = 0; i < COUNT; i++) {
        struct text name = arena_format(&arena, "device %d", i);
        assert_true(put_text_value(name.bytes, SCOPE_CLIENT, "name", name, i));
    }
    for (int i = 0; i < COUNT; i++) {
        struct text name = arena_format(&arena, "device %d", i);
        assert_non_null(simulator_find(simulator, name));
        expect_text(name.bytes, SCOPE_CLIENT, "name", name.bytes);
    }
    assert_null(simulator_find(simulator, TEXT("device 1000")));
}

static void test_values_are_sorted_by_scope_and_key(void **state)
{
    (void)state;
    static const struct {
        enum scope scope;
        const char *key;
    } sorted[] = {{SCOPE_CLIENT, "a"},  {SCOPE_CLIENT, "aa"},   {SCOPE_CLIENT, "b"},
                  {SCOPE_SHARED, "a"},  {SCOPE_SERVER, "\xC3\xA4"}, {SCOPE_TELEMETRY, "B"},
                  {SCOPE_TELEMETRY, "a"}};
    static const int order[] = {4, 2, 6, 0, 5, 1, 3};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        assert_true(put_text_value("E", sorted[order[i]].scope, sorted[order[i]].key, TEXT("x"), 5));
    size_t count;
    const struct simulated_value *values = simulated_values(device("E"), &count);
    assert_int_equal(count, sizeof sorted / sizeof sorted[0]);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(values[i].scope, sorted[i].scope);
        assert_true(text_is(values[i].key, sorted[i].key));
    }
}

static void test_an_equal_value_keeps_its_time(void **state)
{
    (void)state;
    apply(REPORT("E", "v1"), 1000);
    simulator_clear_notes(simulator);
    apply(REPORT("E", "v1"), 2000);
    assert_string_equal(notes(NOTE_CHANGES | NOTE_RESULTS), "");
    assert_int_equal(stored("E", SCOPE_CLIENT, "currentFwVer")->ts_ms, 1000);
    assert_int_equal(stored("E", SCOPE_CLIENT, "currentFwVer")->seq, 1);
    apply(REPORT("E", "v2"), 3000);
    assert_int_equal(stored("E", SCOPE_CLIENT, "currentFwVer")->ts_ms, 3000);
    assert_int_equal(stored("E", SCOPE_CLIENT, "currentFwVer")->seq, 3);
}

static void test_telemetry_older_than_what_is_stored_is_not_taken(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        int64_t value, ts_ms;
        const char *changes;
    } rows[] = {
        {READING(500, 1), 1, 500, "E@1000 telemetry.t=1|\n"},
        {READING(499, 2), 1, 500, ""},
        {READING(500, 2), 2, 500, "E@1000 telemetry.t=2|\n"},
        {READING(501, 2), 2, 501, ""},
        {READING(500, 2), 2, 501, ""},
        {READING(502, 3), 3, 502, "E@1000 telemetry.t=3|\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        simulator_clear_notes(simulator);
        apply(rows[i].json, 1000);
        assert_int_equal(stored("E", SCOPE_TELEMETRY, "t")->value.integer, rows[i].value);
        assert_int_equal(stored("E", SCOPE_TELEMETRY, "t")->ts_ms, rows[i].ts_ms);
        assert_string_equal(notes(NOTE_CHANGES), rows[i].changes);
    }
}

static void test_values_are_bounded(void **state)
{
    (void)state;
    char *large = arena_alloc(&arena, VALUE_BYTES_MAX + 2);
    memset(large, 'x', VALUE_BYTES_MAX + 2);
    assert_false(put_text_value("E", SCOPE_SERVER, "k", (struct text){large, VALUE_BYTES_MAX + 1}, 0));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    assert_null(stored("E", SCOPE_SERVER, "k"));
    int count = 0;
    for (; count < 100; count++) {
        struct text key = arena_format(&arena, "k%d", count);
        if (!put_text_value("E", SCOPE_SERVER, key.bytes, (struct text){large, VALUE_BYTES_MAX}, 0))
            break;
    }
    assert_int_equal(count, 15); /* of 64 KiB and a little more each, in 1 MiB */
    assert_string_equal(err.text, "device 'E': all its attributes together would pass 1048576 bytes");
    assert_true(put_text_value("E", SCOPE_TELEMETRY, "k", (struct text){large, VALUE_BYTES_MAX}, 0));
    assert_true(put_text_value("E", SCOPE_SERVER, "k3", TEXT("small"), 0));
    assert_true(put_text_value("E", SCOPE_SERVER, "another", (struct text){large, VALUE_BYTES_MAX / 2}, 0));
}

static void test_what_is_deleted_makes_room(void **state)
{
    (void)state;
    use("chain: root\nfirst: drop\nnodes: {drop: {type: delete-attributes, scope: SERVER_SCOPE, keys: [k0]}}\n", 0);
    char *large = arena_alloc(&arena, VALUE_BYTES_MAX);
    memset(large, 'x', VALUE_BYTES_MAX);
    for (int i = 0; i < 15; i++)
        put_text_value("E", SCOPE_SERVER, arena_format(&arena, "k%d", i).bytes,
                       (struct text){large, VALUE_BYTES_MAX}, 0);
    assert_false(put_text_value("E", SCOPE_SERVER, "more", (struct text){large, VALUE_BYTES_MAX}, 0));
    apply("{\"device\":\"E\",\"type\":\"x\"}", 1000);
    assert_null(stored("E", SCOPE_SERVER, "k0"));
    assert_true(put_text_value("E", SCOPE_SERVER, "more", (struct text){large, VALUE_BYTES_MAX}, 0));
}

static void test_a_write_that_has_no_room_is_a_dead_letter(void **state)
{
    (void)state;
    char *large = arena_alloc(&arena, VALUE_BYTES_MAX);
    memset(large, 'x', VALUE_BYTES_MAX);
    for (int i = 0; i < 15; i++)
        put_text_value("E", SCOPE_SERVER, arena_format(&arena, "k%d", i).bytes,
                       (struct text){large, VALUE_BYTES_MAX}, 0);
    struct buf line = {.arena = &arena};
    buf_append(&line, TEXT("{\"device\":\"E\",\"type\":\"ATTRIBUTES_UPDATED\",\"scope\":\"SERVER_SCOPE\",\"data\":{"
                           "\"lastTargetFwVer\":\"v1\",\"more\":\""));
    buf_append(&line, (struct text){large, VALUE_BYTES_MAX});
    buf_append(&line, TEXT("\"}}"));
    buf_byte(&line, '\0');
    apply(line.bytes, 1000);
    assert_string_equal(notes(NOTE_DEAD_LETTERS),
                        "E@1000 |can't save 'more' in SERVER_SCOPE: device 'E': all its attributes together would "
                        "pass 1048576 bytes\n");
    expect_text("E", SCOPE_SERVER, "fwSyncState", "never-reported");
}

static void test_what_was_there_before_is_not_noted(void **state)
{
    (void)state;
    put_text_value("E", SCOPE_CLIENT, "currentFwVer", TEXT("v1"), 10);
    put_text_value("E", SCOPE_SERVER, "lastTargetFwVer", TEXT("v1"), 20);
    assert_string_equal(notes(NOTE_ALL), "");
    assert_int_equal(stored("E", SCOPE_CLIENT, "currentFwVer")->ts_ms, 10);
    assert_int_equal(stored("E", SCOPE_CLIENT, "currentFwVer")->seq, 0);
    apply("{\"device\":\"E\",\"type\":\"ATTRIBUTES_UPDATED\",\"scope\":\"SERVER_SCOPE\",\"data\":{}}", 1000);
    expect_text("E", SCOPE_SERVER, "fwSyncState", "synced");
}

/* --- time ------------------------------------------------------------------------------------------- */

static void test_a_deadline_passes_at_its_time(void **state)
{
    (void)state;
    apply(REPORT("E", "v1"), 1000);
    apply(TARGET("E", "v2"), 5000);
    assert_int_equal(simulated_timer(device("E")), 5000 + DAY_MS);
    simulator_clear_notes(simulator);
    pass(5000 + DAY_MS - 1);
    assert_string_equal(notes(NOTE_ALL), "");
    expect_text("E", SCOPE_SERVER, "fwSyncState", "pending");
    pass(5000 + DAY_MS);
    expect_text("E", SCOPE_SERVER, "fwSyncState", "stuck");
    assert_string_equal(notes(NOTE_EVENTS), "E@86405000 DEADLINE_PASSED|\n");
    assert_int_equal(stored("E", SCOPE_SERVER, "fwSyncState")->ts_ms, 5000 + DAY_MS);
    assert_int_equal(simulated_timer(device("E")), 0);
    pass(5000 + 9 * (int64_t)DAY_MS);
    assert_string_equal(notes(NOTE_EVENTS), "E@86405000 DEADLINE_PASSED|\n");
}

static void test_a_deadline_that_no_rule_heeds_passes_once(void **state)
{
    (void)state;
    use("chain: root\nfirst: l\nnodes: {l: {type: log}}\n", NOTE_EVENTS);
    simulated_timer_set(device("E"), 2000);
    pass(3000);
    assert_string_equal(notes(NOTE_ALL), "E@2000 DEADLINE_PASSED|\n");
    assert_int_equal(simulated_timer(device("E")), 0);
}

static void test_deadlines_pass_in_order_of_time_then_of_age(void **state)
{
    (void)state;
    static const char *const names[] = {"c", "b", "a", "d"};
    static const int64_t due_ms[] = {2000, 1500, 1500, 9999};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        simulated_timer_set(device(names[i]), due_ms[i]);
    pass(3000);
    assert_string_equal(notes(NOTE_EVENTS), "b@1500 DEADLINE_PASSED|\na@1500 DEADLINE_PASSED|\n"
                                            "c@2000 DEADLINE_PASSED|\n");
    assert_int_equal(simulator_now_ms(simulator), 3000);
}

/* As of a device that is loaded, and whose deadline was missed. */
static void test_an_overdue_deadline_passes_now(void **state)
{
    (void)state;
    pass(5000);
    simulated_timer_set(device("E"), 1000);
    apply("{\"device\":\"E\",\"type\":\"x\"}", 6000);
    pass(7000);
    assert_string_equal(notes(NOTE_EVENTS), "E@6000 x|\nE@6000 DEADLINE_PASSED|\n");
}

/* Each deadline that passes tells the device something else to run, and then what it was told before. */
static void test_deadlines_without_end_are_bounded(void **state)
{
    (void)state;
    use("chain: root\nfirst: one\nnodes:\n"
        "  one: {type: set, data: {lastTargetFwVer: v2}, to: {Success: save-one}}\n"
        "  save-one: {type: save-attributes, scope: SERVER_SCOPE, to: {Success: first}}\n"
        "  first: {type: firmware-verdict, to: {Success: two}}\n"
        "  two: {type: set, data: {lastTargetFwVer: v3}, to: {Success: save-two}}\n"
        "  save-two: {type: save-attributes, scope: SERVER_SCOPE, to: {Success: second}}\n"
        "  second: {type: firmware-verdict, deadlines: {pending: 1ms}}\n",
        0);
    put_text_value("E", SCOPE_CLIENT, "currentFwVer", TEXT("v1"), 0);
    apply("{\"device\":\"E\",\"type\":\"x\"}", 1000);
    pass(1000 + DEADLINE_COUNT_MAX);
    assert_int_equal(simulated_timer(device("E")), 1000 + DEADLINE_COUNT_MAX + 1);
    assert_false(simulator_pass(simulator, 1000 + 2 * DEADLINE_COUNT_MAX + 1, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    assert_string_equal(err.text, "more than 10000 deadlines came due");
}

/* --- notes ------------------------------------------------------------------------------------------ */

static void test_what_happens_is_noted_in_order(void **state)
{
    (void)state;
    apply(TARGET("E", "v2"), 1000);
    simulator_clear_notes(simulator);
    apply(REPORT("E", "v2"), 2000);
    assert_string_equal(
        notes(NOTE_ALL),
        "E@2000 POST_ATTRIBUTES_REQUEST|\n"
        "E@2000 root/what-came Post attributes|message-type-switch\n"
        "E@2000 client.currentFwVer=\"v2\"|\n"
        "E@2000 root/save-report Success|save-attributes\n"
        "E@2000 root/firmware-synced |rule-chain\n"
        "E@2000 server.fwStateIsSynced=true|\n"
        "E@2000 server.fwSyncState=\"synced\"|\n"
        "E@2000 server.fwSyncReason=\"runs v2, as it should\"|\n"
        "E@2000 firmware-synced/verdict Success|firmware-verdict\n"
        "E@2000 sync|{\"currentFwVer\":\"v2\",\"fwStateIsSynced\":true,\"fwSyncState\":\"synced\","
        "\"fwSyncReason\":\"runs v2, as it should\"}\n"
        "E@2000 firmware-synced/tell Success|publish\n");
}

static void test_only_what_is_asked_for_is_noted(void **state)
{
    (void)state;
    use("chain: root\nfirst: drop\nnodes:\n"
        "  drop: {type: delete-attributes, scope: CLIENT_SCOPE, keys: [k], to: {Success: note}}\n"
        "  note: {type: log, text: gone, to: {Success: keep}}\n"
        "  keep: {type: save-telemetry}\n",
        NOTE_CHANGES | NOTE_DEAD_LETTERS | NOTE_LOGS);
    put_text_value("E", SCOPE_CLIENT, "k", TEXT("v"), 0);
    apply("{\"device\":\"E\",\"type\":\"x\"}", 1000);
    assert_null(stored("E", SCOPE_CLIENT, "k"));
    assert_string_equal(notes(NOTE_ALL), "E@1000 client.k=null|\nE@1000 root/note |gone\n"
                                         "E@1000 root/keep |there is no telemetry in the message\n");
}

static void test_what_is_forgotten_is_gone(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        assert_null(simulator_find(simulator, TEXT("E")));
        assert_null(simulator_notes(simulator));
        assert_int_equal(simulator_now_ms(simulator), 0);
        apply(REPORT("E", "v1"), 1000);
        expect_text("E", SCOPE_CLIENT, "currentFwVer", "v1");
        assert_int_equal(stored("E", SCOPE_CLIENT, "currentFwVer")->seq, 1);
        apply(REPORT("F", "v1"), 1000);
        simulator_forget(simulator);
    }
}

#define SIMULATOR_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SIMULATOR_TEST(test_a_device_is_there_from_its_first_event_and_keeps_its_type),
        SIMULATOR_TEST(test_many_devices_are_found_by_name),
        SIMULATOR_TEST(test_values_are_sorted_by_scope_and_key),
        SIMULATOR_TEST(test_an_equal_value_keeps_its_time),
        SIMULATOR_TEST(test_telemetry_older_than_what_is_stored_is_not_taken),
        SIMULATOR_TEST(test_values_are_bounded),
        SIMULATOR_TEST(test_what_is_deleted_makes_room),
        SIMULATOR_TEST(test_a_write_that_has_no_room_is_a_dead_letter),
        SIMULATOR_TEST(test_what_was_there_before_is_not_noted),
        SIMULATOR_TEST(test_a_deadline_passes_at_its_time),
        SIMULATOR_TEST(test_a_deadline_that_no_rule_heeds_passes_once),
        SIMULATOR_TEST(test_deadlines_pass_in_order_of_time_then_of_age),
        SIMULATOR_TEST(test_an_overdue_deadline_passes_now),
        SIMULATOR_TEST(test_deadlines_without_end_are_bounded),
        SIMULATOR_TEST(test_what_happens_is_noted_in_order),
        SIMULATOR_TEST(test_only_what_is_asked_for_is_noted),
        SIMULATOR_TEST(test_what_is_forgotten_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* trial_file.h and trial.h: what a test of rules may hold, the lines a person gets for one that is wrong or fails, and
 * that one which should pass does. By the shipped rules. */
#include "tests/unit/rules_model.h"
#include "tests/unit/temp_dir.h"

#include <sys/stat.h>

#include "rules/trial.h"

/* --- helpers ---------------------------------------------------------------------------------------- */

static char *dir;
static char top[4096];
static struct arena arena;
static struct ruleset *ruleset;
static struct problems problems;

/* Tests run in the folder, so that messages name short paths. */
static int setup(void **state)
{
    (void)state;
    dir = temp_dir_make();
    assert_non_null(getcwd(top, sizeof top));
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(mkdir("tests", 0777), 0);
    arena_init(&arena, 65536);
    problems_init(&problems);
    ruleset = rules_shipped();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ruleset_destroy(ruleset);
    problems_fini(&problems);
    arena_fini(&arena);
    assert_int_equal(chdir(top), 0);
    temp_dir_remove(dir);
    return 0;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static const struct trial *read_files(void)
{
    problems_fini(&problems);
    problems_init(&problems);
    return trial_files_read(".", ruleset, &arena, &problems);
}

static void expect_problems(const char *yaml, const char *expected)
{
    struct buf lines = {.arena = &arena};
    if (yaml != NULL)
        write_file("tests/t.yaml", yaml);
    if (read_files() != NULL)
        fail_msg("taken: %s", yaml);
    for (const struct problem *problem = problems.first; problem != NULL; problem = problem->next)
        buf_printf(&lines, "%s\n", problem->line);
    buf_byte(&lines, '\0');
    assert_string_equal(lines.bytes, expected);
}

/* The outcome of the first test of the file; it lives until the next. */
static struct trial_outcome run(const char *yaml)
{
    write_file("tests/t.yaml", yaml);
    const struct trial *trial = read_files();
    problems_print(&problems);
    assert_non_null(trial);
    struct simulator *simulator = simulator_create(ruleset, TRIAL_NOTES);
    struct trial_outcome outcome = trial_run(trial, simulator, &arena);
    simulator_destroy(simulator);
    return outcome;
}

static void passes(const char *yaml)
{
    struct trial_outcome outcome = run(yaml);
    if (!outcome.passed)
        fail_msg(TEXT_FMT "\n%s", TEXT_ARG(outcome.error), yaml);
}

static void fails(const char *yaml, const char *error)
{
    struct trial_outcome outcome = run(yaml);
    if (outcome.passed)
        fail_msg("passed: %s", yaml);
    assert_string_equal(outcome.error.bytes, error);
}

struct row {
    const char *yaml;
    const char *lines;
};

/* In flow style; these make up the most of the tests. */
#define REPORT  "  - send: {type: POST_ATTRIBUTES_REQUEST, data: {currentFwVer: v1}}\n"
#define TARGET  "  - send: {type: ATTRIBUTES_UPDATED, scope: SERVER_SCOPE, data: {lastTargetFwVer: v2}}\n"
#define NOTHING "  - send: {type: POST_TELEMETRY_REQUEST, data: {}}\n" /* which is a dead letter */
#define T       "./tests/t.yaml:"

/* --- files that are wrong ----------------------------------------------------------------------------- */

static void test_what_is_no_test_is_told(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"", T "1:1: expected tests by name, each a list of steps\n"},
        {"{}\n", T "1:1: expected tests by name, each a list of steps\n"},
        {"- a\n", T "1:1: expected tests by name, each a list of steps\n"},
        {"a: [\n", T "2:1: not valid YAML: did not find expected node content while parsing a flow node\n"},
        {"a: []\n", T "1:4: test 'a': expected a list of steps, such as - send: {...}\n"},
        {"a:\n", T "1:3: test 'a': expected a list of steps, such as - send: {...}\n"},
        {"a: {send: {}}\n", T "1:4: test 'a': expected a list of steps, such as - send: {...}\n"},
        {"'':\n" REPORT, T "1:1: test: expected a name, got nothing\n"},
        {"a:\n" REPORT "a:\n" REPORT, T "3:1: the key 'a' stands twice; the first is in line 1\n"},
        {"a: [send]\n", T "1:5: expected one step, such as - send: {...}; each begins with a dash\n"},
        {"a: [{send: {type: x}, wait: 1s}]\n",
         T "1:5: expected one step, such as - send: {...}; each begins with a dash\n"},
        {"a:\n  - sned: {type: x}\n  - publishes: []\n",
         T "2:5: unknown step 'sned'; did you mean 'send'? Expected one of: send, wait, expect, publishes, "
           "dead-letters\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_problems(rows[i].yaml, rows[i].lines);
}

static void test_an_event_is_wrong_as_on_the_wire(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"a:\n  - send: x\n", T "2:11: send: expected an event, {type: ..., data: ...}, got a scalar\n"},
        {"a:\n  - send: {}\n", T "2:11: send: the field 'type' is missing, e.g. \"POST_ATTRIBUTES_REQUEST\"\n"},
        {"a:\n  - send: {type: x, daat: {}}\n",
         T "2:21: send: unknown field 'daat'; did you mean 'data'? Expected one of: device, type, data, scope, ts, "
           "metadata, deviceType, source, n\n"},
        {"a:\n  - send: {type: ATTRIBUTES_UPDATED, scope: SERVER, data: {}}\n",
         T "2:45: send: scope: there is no 'SERVER'; expected one of: CLIENT_SCOPE, SHARED_SCOPE, SERVER_SCOPE\n"},
        {"a:\n  - send: {type: x, data: 5}\n", T "2:27: send: data: expected an object, got a number\n"},
        {"a:\n  - send: {type: x, metadata: {k: 5}}\n",
         T "2:31: send: metadata.k: expected a string, got a number\n"},
        {"a:\n  - send: {type: x, ts: 2.5}\n", T "2:25: send: ts: expected a whole number, got 2.5\n"},
        {"a:\n  - send: {type: x, device: ~}\n", T "2:29: send: device: expected a string, got null\n"},
        {"a:\n  - send: {type: DEADLINE_PASSED}\n",
         T "2:18: send: type: DEADLINE_PASSED is the engine's own, made when a deadline of the rules has passed\n"},
        {"a:\n  - send: {type: x, source: s, n: 1}\n",
         T "2:11: send: source and n aren't taken in a test: nothing is sent twice\n"},
        {"a:\n  - send: {type: x, data: {k: 9007199254740993}}\n",
         T "2:31: an integer beyond 2^53, which JSON readers can't hold exactly; put it in quotes\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_problems(rows[i].yaml, rows[i].lines);
}

#define WAIT_EXPECTED "wait: expected a time such as 500ms, 30s, 15m, 2h or 1d, at most 3650d, got "

static void test_a_wait_is_a_time(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"a:\n  - wait: 1 h\n", T "2:11: " WAIT_EXPECTED "'1 h'\n"},
        {"a:\n  - wait: 0\n", T "2:11: " WAIT_EXPECTED "'0'\n"},
        {"a:\n  - wait: 3651d\n", T "2:11: " WAIT_EXPECTED "'3651d'\n"},
        {"a:\n  - wait:\n", T "2:10: " WAIT_EXPECTED "''\n"},
        {"a:\n  - wait: [1h]\n", T "2:11: wait: expected a time such as 30s, 15m or 2h, got a list\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_problems(rows[i].yaml, rows[i].lines);
    passes("a:\n  - wait: 3650d\n  - wait: 1ms\n");
}

static void test_an_expectation_names_what_can_be(void **state)
{
    (void)state;
    static const char no_attribute[] = "names no attribute; expected a scope and a key, as in server.fwSyncState";
    char line[512];
    static const struct row rows[] = {
        {"a:\n" REPORT "  - expect: {}\n",
         T "3:13: expect: expected a mapping of attributes, {server.fwSyncState: synced}\n"},
        {"a:\n" REPORT "  - expect: {sever.x: 1}\n",
         T "3:14: unknown scope 'sever'; did you mean 'server'? Expected one of: client, shared, server, telemetry\n"},
        {"a:\n  - expect: {server.x: 1}\n", T "2:5: expect: nothing was sent before it\n"},
        {"a:\n  - send: {device: E1, type: x}\n  - expect: {device: E2, server.x: 1}\n",
         T "3:22: unknown device 'E2'; did you mean 'E1'? Expected E1\n"},
        {"a:\n  - send: {device: E1, type: x}\n  - expect: {server.x: 1}\n",
         T "3:5: expect: of which device? Nothing was sent of 'device' before it; name one, as in device: E1\n"},
        {"a:\n" REPORT "  - expect: {server.x: 9007199254740993}\n",
         T "3:24: an integer beyond 2^53, which JSON readers can't hold exactly; put it in quotes\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_problems(rows[i].yaml, rows[i].lines);
    snprintf(line, sizeof line, T "3:14: expect: 'fwSyncState' %s\n", no_attribute);
    expect_problems("a:\n" REPORT "  - expect: {fwSyncState: 1}\n", line);
    snprintf(line, sizeof line, T "3:14: expect: 'server.' %s\n", no_attribute);
    expect_problems("a:\n" REPORT "  - expect: {server.: 1}\n", line);
    snprintf(line, sizeof line, T "3:36: expect: 'should run v1.2' %s; inside { } a text with a comma in it needs "
                                  "quotes\n", no_attribute);
    expect_problems("a:\n" REPORT "  - expect: {server.r: runs v1.1 , should run v1.2}\n", line);
}

static void test_results_and_letters_name_what_can_be(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"a:\n  - publishes: []\n", T "2:5: publishes: nothing was sent before it\n"},
        {"a:\n" REPORT "  - publishes: sync\n",
         T "3:16: publishes: expected a list of classes, [sync] or [], got a scalar\n"},
        {"a:\n" REPORT "  - publishes: [snyc, {snc: {}}]\n",
         T "3:17: unknown class 'snyc'; did you mean 'sync'? Expected sync\n"
         T "3:24: unknown class 'snc'; did you mean 'sync'? Expected sync\n"},
        {"a:\n" REPORT "  - publishes: [{sync: {}, x: {}}]\n",
         T "3:17: publishes: expected a class, or one class with members of its data: sync: {fwSyncState: synced}\n"},
        {"a:\n" REPORT "  - publishes: [sync: synced]\n",
         T "3:17: publishes: expected a class, or one class with members of its data: sync: {fwSyncState: synced}\n"},
        {"a:\n  - dead-letters: 0\n", T "2:5: dead-letters: nothing was sent before it\n"},
        {"a:\n" REPORT "  - dead-letters: -1\n", T "3:19: expected an integer from 0 to 1000000, got '-1'\n"},
        {"a:\n" REPORT "  - dead-letters: [[]]\n", T "3:20: dead-letters: expected CHAIN/NODE, got a list\n"},
        {"a:\n" REPORT "  - dead-letters: [firmware-synced/tel]\n",
         T "3:20: unknown node 'firmware-synced/tel'; did you mean 'firmware-synced/tell'? Expected one of: "
           "firmware-synced/verdict, firmware-synced/tell, root/what-came, root/save-report, root/firmware-synced, "
           "root/about-firmware, root/save-telemetry, root/has-version, root/name-version, root/save-version, "
           "engine\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_problems(rows[i].yaml, rows[i].lines);
}

static void test_all_files_are_read_and_all_that_is_wrong_is_told(void **state)
{
    (void)state;
    write_file("tests/b.yml", "b:\n  - wait: x\nc: []\n");
    write_file("tests/a.yaml", "a: []\n");
    write_file("tests/notes.txt", "not a test\n");
    expect_problems(NULL, "./tests/a.yaml:1:4: test 'a': expected a list of steps, such as - send: {...}\n"
                          "./tests/b.yml:2:11: " WAIT_EXPECTED "'x'\n"
                          "./tests/b.yml:3:4: test 'c': expected a list of steps, such as - send: {...}\n");
}

static void test_no_tests_are_told(void **state)
{
    (void)state;
    expect_problems(NULL, ".: there are no tests: expected *.yaml in ./tests\n");
    assert_int_equal(rmdir("tests"), 0);
    expect_problems(NULL, ".: there are no tests: expected *.yaml in ./tests\n");
    write_file("tests", "");
    expect_problems(NULL, ".: there are no tests: expected *.yaml in ./tests\n");
}

/* --- values ------------------------------------------------------------------------------------------- */

static void test_values_without_quotes_are_jsons(void **state)
{
    (void)state;
    static const char *const same[] = {
        "1", "-1.5", "1e3", "true", "'1'", "v1.2", "no", "0x10", "1.2.3", "007", "'true'", "'~'", "2026-11-21",
        "[1, {a: [~, no]}]", "a b", "9007199254740992", "'9007199254740993'",
    };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        passes(arena_format(&arena,
                            "a:\n  - send: {type: POST_ATTRIBUTES_REQUEST, data: {k: %s}}\n"
                            "  - expect: {client.k: %s}\n", same[i], same[i]).bytes);
    static const struct {
        const char *sent, *expected, *shown, *found;
    } differ[] = {
        {"1", "1.0", "1.0", "1"},       {"'1'", "1", "1", "\"1\""},   {"no", "false", "false", "\"no\""},
        {"007", "7", "7", "\"007\""},   {"x", "~", "nothing", "\"x\""}, {"~", "x", "\"x\"", "nothing"},
        {"null", "null", NULL, NULL},   {"'null'", "~", "nothing", "\"null\""}, {"", "''", "\"\"", "nothing"},
        {"[1]", "[1, 2]", "[1,2]", "[1]"},
    };
    for (size_t i = 0; i < sizeof differ / sizeof differ[0]; i++) {
        const char *yaml = arena_format(&arena, "a:\n  - send: {type: POST_ATTRIBUTES_REQUEST, data: {k: %s}}\n"
                                                "  - expect:\n      client.k: %s\n",
                                        differ[i].sent, differ[i].expected).bytes;
        if (differ[i].shown == NULL)
            passes(yaml);
        else
            fails(yaml, arena_format(&arena, T "4:17: a: client.k: expected %s, found %s", differ[i].shown,
                                     differ[i].found).bytes);
    }
}

/* --- running ------------------------------------------------------------------------------------------ */

static void test_what_is_expected_passes(void **state)
{
    (void)state;
    passes("a:\n" REPORT TARGET
           "  - expect: {server.fwSyncState: pending, client.currentFwVer: v1, telemetry.x: ~}\n"
           "  - publishes: [sync: {fwSyncState: pending, currentFwVer: ~}]\n" /* the write brings the target only */
           "  - wait: 23h\n  - publishes: []\n  - dead-letters: 0\n"
           "  - wait: 1h\n  - expect: {server.fwSyncState: stuck}\n  - publishes: [sync]\n");
    passes("a:\n  - send: {device: a.b, type: POST_ATTRIBUTES_REQUEST, data: {x.y: 1}}\n"
           "  - expect: {device: a.b, client.x.y: 1}\n");
    passes("a:\n" NOTHING "  - dead-letters: 1\n"
           NOTHING "  - publishes: []\n  - dead-letters: [root/save-telemetry]\n");
}

static void test_a_failure_says_what_was_found(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"a:\n" REPORT "  - expect: {server.fwSyncState: stuck}\n",
         T "3:34: a: server.fwSyncState: expected \"stuck\", found \"no-target\""},
        {"a:\n  - send: {device: E1, type: x}\n  - expect: {device: E1, client.x: 1}\n",
         T "3:36: a: client.x of E1: expected 1, found nothing"},
        {"a:\n" REPORT "  - publishes: []\n", T "3:5: a: publishes: expected nothing, found sync"},
        {"a:\n" REPORT "  - publishes: [sync, sync]\n", T "3:23: a: publishes: expected sync, found nothing"},
        {"a:\n" REPORT "  - publishes: [sync: {fwSyncState: synced}]\n",
         T "3:37: a: fwSyncState of sync: expected \"synced\", found \"no-target\""},
        {"a:\n" REPORT "  - publishes: [sync: {other: 1}]\n", T "3:31: a: other of sync: expected 1, found nothing"},
        {"a:\n" NOTHING, T "2:5: a: a dead letter that no step expects, of root/save-telemetry: there is no telemetry "
                           "in the message"},
        {"a:\n" NOTHING "  - wait: 1s\n  - dead-letters: 1\n",
         T "2:5: a: a dead letter that no step expects, of root/save-telemetry: there is no telemetry in the message"},
        {"a:\n" NOTHING "  - dead-letters: 0\n", T "3:5: a: dead-letters: expected 0, found 1"},
        {"a:\n" NOTHING "  - dead-letters: []\n",
         T "3:5: a: dead-letters: expected nothing, found root/save-telemetry"},
        {"a:\n" NOTHING "  - dead-letters: [root/save-telemetry, engine]\n",
         T "3:41: a: dead-letters: expected engine, found nothing"},
        {"a:\n" NOTHING "  - dead-letters: [root/save-report]\n",
         T "3:20: a: dead-letters: expected root/save-report, found root/save-telemetry"},
        {"a:\n" REPORT "  - dead-letters: 1\n", T "3:5: a: dead-letters: expected 1, found 0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        fails(rows[i].yaml, rows[i].lines);
}

static void test_a_failure_comes_with_what_happened_since_the_last_send(void **state)
{
    (void)state;
    static const char *const story[] = {
        "2026-01-01T01:00:00.000Z POST_TELEMETRY_REQUEST of device",
        "  left root/what-came (message-type-switch) by Post telemetry",
        "  left root/about-firmware (check-fields) by True",
        "  saved telemetry.fw_state = \"QUEUED\"",
        "  left root/save-telemetry (save-telemetry) by Success",
        "  left root/has-version (check-fields) by False",
        "  left root/firmware-synced (rule-chain)",
        "  saved server.fwSyncState = \"updating\"",
        "  saved server.fwSyncReason = \"runs v1, should run v2; QUEUED\"",
        "  left firmware-synced/verdict (firmware-verdict) by Success",
        ("  published sync {\"fwStateIsSynced\":false,\"fwSyncState\":\"updating\","
         "\"fwSyncReason\":\"runs v1, should run v2; QUEUED\"}"),
        "  left firmware-synced/tell (publish) by Success",
        "2026-01-01T01:30:00.000Z now",
    };
    enum { STORY_COUNT = sizeof story / sizeof story[0] };
    struct trial_outcome outcome =
        run("a:\n" REPORT TARGET "  - wait: 1h\n"
            "  - send: {type: POST_TELEMETRY_REQUEST, data: {fw_state: QUEUED}}\n"
            "  - wait: 30m\n  - expect: {server.fwSyncState: stuck}\n");
    assert_false(outcome.passed);
    for (size_t i = 0; i < outcome.story_count && i < STORY_COUNT; i++)
        assert_string_equal(outcome.story[i].bytes, story[i]);
    assert_int_equal(outcome.story_count, STORY_COUNT);
}

static void test_of_a_long_story_the_end_is_told(void **state)
{
    (void)state;
    struct buf yaml = {.arena = &arena};
    buf_append(&yaml, TEXT("a:\n  - send: {type: POST_ATTRIBUTES_REQUEST, data: {"));
    for (int i = 1; i < 100; i++)
        buf_printf(&yaml, "k%d: %0500d, ", i, i);
    buf_append(&yaml, TEXT("k0: \"\\e[1m\\xff\"}}\n  - wait: 1s\n  - expect: {client.k99: x}\n"));
    buf_byte(&yaml, '\0');
    struct trial_outcome outcome = run(yaml.bytes);
    assert_int_equal(outcome.story_count, TRIAL_STORY_LINES_MAX);
    assert_string_equal(outcome.story[0].bytes, "2026-01-01T00:00:00.000Z POST_ATTRIBUTES_REQUEST of device");
    assert_string_equal(outcome.story[1].bytes, "  ... 52 lines more");
    assert_string_equal(outcome.story[TRIAL_STORY_LINES_MAX - 10].bytes,
                        "  saved client.k0 = \"\\u001b[1m\xC3\xBF\"");
    assert_string_equal(outcome.story[TRIAL_STORY_LINES_MAX - 1].bytes, "2026-01-01T00:00:01.000Z now");
    assert_int_equal(outcome.story[2].len, strlen("  saved client.k43 = ") + 400 + strlen("..."));
    assert_true(outcome.error.len < 500);
}

static void test_a_test_knows_nothing_of_the_one_before(void **state)
{
    (void)state;
    write_file("tests/t.yaml", "a:\n" REPORT "b:\n" TARGET "  - expect: {server.fwSyncState: never-reported}\n");
    const struct trial *trial = read_files();
    struct simulator *simulator = simulator_create(ruleset, TRIAL_NOTES);
    for (; trial != NULL; trial = trial->next) {
        struct trial_outcome outcome = trial_run(trial, simulator, &arena);
        assert_true(outcome.passed);
    }
    simulator_destroy(simulator);
}

#define TRIAL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TRIAL_TEST(test_what_is_no_test_is_told),
        TRIAL_TEST(test_an_event_is_wrong_as_on_the_wire),
        TRIAL_TEST(test_a_wait_is_a_time),
        TRIAL_TEST(test_an_expectation_names_what_can_be),
        TRIAL_TEST(test_results_and_letters_name_what_can_be),
        TRIAL_TEST(test_all_files_are_read_and_all_that_is_wrong_is_told),
        TRIAL_TEST(test_no_tests_are_told),
        TRIAL_TEST(test_values_without_quotes_are_jsons),
        TRIAL_TEST(test_what_is_expected_passes),
        TRIAL_TEST(test_a_failure_says_what_was_found),
        TRIAL_TEST(test_a_failure_comes_with_what_happened_since_the_last_send),
        TRIAL_TEST(test_of_a_long_story_the_end_is_told),
        TRIAL_TEST(test_a_test_knows_nothing_of_the_one_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Settings: one table gives the defaults, the bounds, the file and the options. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/service/settings.h"

static void test_the_defaults_are_the_documented_ones(void **state)
{
    (void)state;
    struct settings settings;
    settings_init(&settings);
    assert_string_equal(settings.data, "./fwsync-data");
    assert_string_equal(settings.rules, "");
    assert_string_equal(settings.events, "tcp://127.0.0.1:7601");
    assert_string_equal(settings.query, "tcp://127.0.0.1:7602");
    assert_string_equal(settings.results, "tcp://127.0.0.1:7603");
    assert_int_equal(settings.checkpoint_ms, 1000);
    assert_int_equal(settings.index_count, 4);
    assert_int_equal(settings.indexes[0].scope, SCOPE_SERVER);
    assert_true(text_is(settings.indexes[0].key, "fwStateIsSynced"));
    assert_true(text_is(settings.indexes[1].key, "fwSyncState"));
    assert_true(text_is(settings.indexes[2].key, "currentFwVer"));
    assert_true(text_is(settings.indexes[3].key, "lastTargetFwVer"));
    settings_fini(&settings);
}

static void test_every_setting_has_a_name_and_a_help(void **state)
{
    (void)state;
    size_t count = 0;
    for (; settings_name(count) != NULL; count++) {
        assert_true(strlen(settings_help(count)) > 10);
        for (size_t i = 0; i < count; i++)
            assert_string_not_equal(settings_name(i), settings_name(count));
    }
    assert_true(count > 10);
    assert_null(settings_help(count));
}

static const struct {
    const char *name;
    const char *value;
    bool right;
} rows[] = {
    {"checkpoint-ms", "10", true},       {"checkpoint-ms", "9", false},
    {"checkpoint-ms", "60000", true},    {"checkpoint-ms", "60001", false},
    {"checkpoint-ms", "", false},        {"checkpoint-ms", "1e3", false},
    {"checkpoint-ms", "100 ", false},    {"checkpoint-ms", "-100", false},
    {"checkpoint-ms", "18446744073709551716", false}, /* 100 modulo 2^64 */
    {"in-flight-events", "1000", true},  {"in-flight-events", "999", false},
    {"journal-keep-hours", "0", true},   {"journal-keep-hours", "-1", false},
    {"data", "x", true},                 {"data", "", false},
    {"rules", "", true},                 {"log-level", "debug", true},
    {"log-level", "DEBUG", false},       {"log-level", "", false},
    {"indexes", "", true},               {"indexes", "client.a", true},
    {"indexes", "client.a,server.a,shared.a.b", true},
    {"indexes", "client.a,client.a", false}, {"indexes", "client.", false},
    {"indexes", ".a", false},            {"indexes", "client", false},
    {"indexes", "telemetry.a", false},   {"indexes", "nowhere.a", false},
    {"indexes", "client.a,,client.b", false},
    {"Data", "x", false},                {"nothing", "x", false},
};

static void test_a_value_out_of_bounds_is_refused_with_its_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct settings settings;
        struct err err = {.code = ERR_NONE};
        settings_init(&settings);
        if (settings_set(&settings, rows[i].name, rows[i].value, &err) != rows[i].right)
            fail_msg("%s: \"%s\" should%s be taken", rows[i].name, rows[i].value,
                     rows[i].right ? "" : " not");
        if (!rows[i].right) {
            assert_int_equal(err.code, ERR_CONFIG);
            assert_non_null(strstr(err.text, rows[i].name));
        }
        settings_fini(&settings);
    }
}

static void test_an_index_key_is_bounded(void **state)
{
    (void)state;
    char value[KEY_BYTES_MAX + 10] = "client.";
    memset(value + 7, 'k', KEY_BYTES_MAX);
    struct settings settings;
    settings_init(&settings);
    assert_true(settings_set(&settings, "indexes", value, NULL));
    value[7 + KEY_BYTES_MAX] = 'k';
    assert_false(settings_set(&settings, "indexes", value, NULL));
    char list[INDEX_COUNT_MAX * 16 + 32] = "";
    size_t len = 0;
    for (int i = 0; i < INDEX_COUNT_MAX; i++)
        len += (size_t)snprintf(list + len, sizeof list - len, "%sserver.k%d", i == 0 ? "" : ",", i);
    assert_true(settings_set(&settings, "indexes", list, NULL));
    assert_int_equal(settings.index_count, INDEX_COUNT_MAX);
    snprintf(list + len, sizeof list - len, ",server.one-more");
    assert_false(settings_set(&settings, "indexes", list, NULL));
    settings_fini(&settings);
}

/* Reads a file with this text; returns the number of problems, the first in `line`. */
static size_t read_file(struct settings *settings, const char *text, char line[512])
{
    char path[] = "/tmp/fwsync-settings-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    struct problems problems;
    problems_init(&problems);
    bool right = settings_read_file(settings, path, &problems);
    assert_int_equal(right, problems.count == 0);
    line[0] = '\0';
    if (problems.count > 0) {
        assert_int_equal(strncmp(problems.first->line, path, strlen(path)), 0);
        snprintf(line, 512, "%s", problems.first->line + strlen(path));
    }
    size_t count = problems.count;
    problems_fini(&problems);
    unlink(path);
    return count;
}

static void test_a_file_sets_what_it_names(void **state)
{
    (void)state;
    struct settings settings;
    char line[512];
    settings_init(&settings);
    int64_t initial = settings.results_queue;
    assert_int_equal(read_file(&settings, "", line), 0);
    assert_int_equal(settings.checkpoint_ms, 1000);
    assert_int_equal(read_file(&settings,
                               "# ours\ndata: /srv/fw\ncheckpoint-ms: 50\nlog-level: warn\n"
                               "indexes: [client.a, shared.b]\n",
                               line),
                     0);
    assert_string_equal(settings.data, "/srv/fw");
    assert_int_equal(settings.checkpoint_ms, 50);
    assert_int_equal(settings.log_level, 1);
    assert_int_equal(settings.index_count, 2);
    assert_int_equal(settings.indexes[1].scope, SCOPE_SHARED);
    assert_int_equal(settings.results_queue, initial); /* not named */
    assert_true(settings_set(&settings, "checkpoint-ms", "77", NULL)); /* an option beats it */
    assert_int_equal(settings.checkpoint_ms, 77);
    settings_fini(&settings);
}

static void test_a_wrong_file_is_answered_with_places(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t problems;
        const char *start; /* of the first, behind the file's name */
        const char *word;
    } files[] = {
        {"checkpont-ms: 5\n", 1, ":1:1: ", "checkpoint-ms"},
        {"data: x\nquite-unknown-thing: 5\n", 1, ":2:1: ", "--check"},
        {"checkpoint-ms: 5\ncheckpoint-mib: x\n", 2, ":1:16: ", "10 to 60000"},
        {"indexes:\n  - client.a\n  - nowhere.b\n", 1, ":3:5: ", "nowhere.b"},
        {"data: [a]\n", 1, ":1:7: ", "data"},
        {"- data\n", 1, ":1:1: ", "setting: value"},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct settings settings;
        char line[512];
        settings_init(&settings);
        assert_int_equal(read_file(&settings, files[i].text, line), files[i].problems);
        if (strncmp(line, files[i].start, strlen(files[i].start)) != 0 || !strstr(line, files[i].word))
            fail_msg("expected %s...%s, got %s", files[i].start, files[i].word, line);
        settings_fini(&settings);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_defaults_are_the_documented_ones),
        cmocka_unit_test(test_every_setting_has_a_name_and_a_help),
        cmocka_unit_test(test_a_value_out_of_bounds_is_refused_with_its_name),
        cmocka_unit_test(test_an_index_key_is_bounded),
        cmocka_unit_test(test_a_file_sets_what_it_names),
        cmocka_unit_test(test_a_wrong_file_is_answered_with_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

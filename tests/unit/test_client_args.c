/* What a person types for `fwsync`: options, key=value, and lines from standard input. */
#include "engine/client/compose.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/client/client.h"
#include "engine/tool/line_reader.h"
#include "engine/tool/options.h"

/* --- key=value -------------------------------------------------------------------------------------- */

static void test_fields(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        const char *event_data;
    } rows[] = {
        {"a=b", "{\"a\":\"b\"}"},
        {"a=", "{\"a\":\"\"}"},
        {"a=1", "{\"a\":\"1\"}"},
        {"a=1.20", "{\"a\":\"1.20\"}"},
        {"url=http://x/?a=b", "{\"url\":\"http://x/?a=b\"}"},
        {"a==", "{\"a\":\"=\"}"},
        {"a b=c", "{\"a b\":\"c\"}"},
        {"a=\"", "{\"a\":\"\\\"\"}"},
        {"a:=1", "{\"a\":1}"},
        {"a:=1.0", "{\"a\":1.0}"},
        {"a:=true", "{\"a\":true}"},
        {"a:=null", "{\"a\":null}"},
        {"a:=\"1\"", "{\"a\":\"1\"}"},
        {"a:= {\n \"b\" : [ 1 ] } ", "{\"a\":{\"b\":[1]}}"},
        {"a:b=c", "{\"a:b\":\"c\"}"},
        {"a::=1", "{\"a:\":1}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena arena;
        struct field field;
        struct buf body = {.bytes = NULL};
        struct err err;
        arena_init(&arena, 256);
        assert_true(compose_field(rows[i].word, &arena, &field, &err));
        compose_event(&body, TEXT("d"), TEXT(""), SCOPE_CLIENT, &field, 1);
        char expected[200];
        snprintf(expected, sizeof expected,
                 "{\"device\":\"d\",\"type\":\"POST_ATTRIBUTES_REQUEST\",\"data\":%s}",
                 rows[i].event_data);
        assert_true(text_is(buf_text(&body), expected));
        buf_fini(&body);
        arena_fini(&arena);
    }
}

static void test_wrong_fields(void **state)
{
    (void)state;
    static const char *const words[] = {"a", "", "=b", ":=1", "a:=", "a:=v1.2", "a:={", "a:=1 2"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        struct arena arena;
        struct field field;
        struct err err;
        arena_init(&arena, 256);
        assert_false(compose_field(words[i], &arena, &field, &err));
        assert_int_equal(err.code, ERR_CONFIG);
        arena_fini(&arena);
    }
}

static void test_readings_of_a_word(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        const char *string;
        size_t count;
        enum value_kind other;
    } rows[] = {
        {"v1.1", "v1.1", 1, VALUE_NULL},   {"1.1", "1.1", 2, VALUE_DOUBLE},
        {"7", "7", 2, VALUE_INTEGER},      {"true", "true", 2, VALUE_BOOLEAN},
        {"\"1.1\"", "1.1", 1, VALUE_NULL}, {"\"1.1", "\"1.1", 1, VALUE_NULL},
        {"", "", 1, VALUE_NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena arena;
        struct value values[2];
        arena_init(&arena, 256);
        assert_int_equal(compose_readings(rows[i].word, &arena, values), rows[i].count);
        assert_int_equal(values[0].kind, VALUE_STRING);
        assert_true(text_is(values[0].text, rows[i].string));
        if (rows[i].count == 2)
            assert_int_equal(values[1].kind, rows[i].other);
        arena_fini(&arena);
    }
}

static void test_events_by_scope(void **state)
{
    (void)state;
    struct field field = {TEXT("k"), value_string(TEXT("v"))};
    struct buf body = {.bytes = NULL};
    for (enum scope scope = SCOPE_CLIENT; scope < SCOPE_COUNT; scope++)
        compose_event(&body, TEXT("a\"b"), TEXT("T"), scope, &field, 1);
    static const char expected[] =
        "{\"device\":\"a\\\"b\",\"deviceType\":\"T\",\"type\":\"POST_ATTRIBUTES_REQUEST\","
        "\"data\":{\"k\":\"v\"}}\n"
        "{\"device\":\"a\\\"b\",\"deviceType\":\"T\",\"type\":\"ATTRIBUTES_UPDATED\","
        "\"scope\":\"SHARED_SCOPE\",\"data\":{\"k\":\"v\"}}\n"
        "{\"device\":\"a\\\"b\",\"deviceType\":\"T\",\"type\":\"ATTRIBUTES_UPDATED\","
        "\"scope\":\"SERVER_SCOPE\",\"data\":{\"k\":\"v\"}}\n"
        "{\"device\":\"a\\\"b\",\"deviceType\":\"T\",\"type\":\"POST_TELEMETRY_REQUEST\","
        "\"data\":{\"k\":\"v\"}}";
    assert_true(text_is(buf_text(&body), expected));
    buf_fini(&body);
}

static void test_lines_get_their_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *numbered;
    } rows[] = {
        {"{\"a\":1}", "{\"source\":\"s\",\"n\":7,\"a\":1}"},
        {"  { \"a\":1}", "  {\"source\":\"s\",\"n\":7, \"a\":1}"},
        {"{}", "{\"source\":\"s\",\"n\":7}"},
        {"{ }", "{\"source\":\"s\",\"n\":7 }"},
        {"{", "{\"source\":\"s\",\"n\":7,"},
        {"no object", "no object"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf body = {.bytes = NULL};
        buf_append(&body, TEXT("before"));
        compose_numbered(&body, text_of(rows[i].line), TEXT("s"), 7);
        struct text added = {body.bytes + 6, body.len - 6};
        assert_true(text_is(added, rows[i].numbered));
        buf_fini(&body);
    }
}

/* --- options ---------------------------------------------------------------------------------------- */

enum { NAME = 1, FLAG };

static const struct option_spec specs[] = {{NAME, "name", "TEXT", ""}, {FLAG, "flag", NULL, ""}};

static struct options reader(struct setup *setup, const char *const *words)
{
    struct options options = {
        .words = words, .command = "test", .specs = specs, .spec_count = 2, .setup = setup};
    while (words[options.word_count] != NULL)
        options.word_count++;
    return options;
}

static void test_options_and_words_in_order(void **state)
{
    (void)state;
    const char *const words[] = {"a",      "--name", "x",  "--flag",    "-",  "--name=y=z", "--json",
                     "--name", "--flag", "--", "--timeout", NULL};
    static const struct {
        int id;
        const char *value;
    } expected[] = {
        {OPTION_WORD, "a"}, {NAME, "x"},      {FLAG, NULL},
        {OPTION_WORD, "-"}, {NAME, "y=z"},    {NAME, "--flag"},
        {OPTION_WORD, "--timeout"},
    };
    struct setup setup;
    setup_init(&setup);
    struct options options = reader(&setup, words);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_int_equal(options_next(&options), expected[i].id);
        if (expected[i].value == NULL)
            assert_null(options.value);
        else
            assert_string_equal(options.value, expected[i].value);
    }
    assert_int_equal(options_next(&options), OPTION_END);
    assert_int_equal(options_next(&options), OPTION_END);
    assert_true(setup.json);
}

static void test_wrong_options(void **state)
{
    (void)state;
    const char *const lines[][3] = {
        {"--nam", "x", NULL},     {"--flag=1", NULL, NULL},     {"--name", NULL, NULL},
        {"-n", "x", NULL},        {"--=", NULL, NULL},          {"--timeout", "0", NULL},
        {"--timeout", "x", NULL}, {"--timeout=-1", NULL, NULL}, {"--timeout=", NULL, NULL},
        {"--timeout", "nan", NULL},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct setup setup;
        setup_init(&setup);
        struct options options = reader(&setup, lines[i]);
        assert_int_equal(options_next(&options), OPTION_WRONG);
    }
}

static void test_numbers_have_their_range(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool fine;
    } rows[] = {
        {"1", true}, {"10", true},  {"0", false},  {"11", false},
        {"", false}, {"1x", false}, {"-1", false}, {"99999999999999999999", false},
    };
    struct options options = {.command = "test"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t number = -1;
        options.value = rows[i].text;
        assert_int_equal(options_number(&options, 1, 10, &number), rows[i].fine);
        assert_int_equal(number == -1, !rows[i].fine);
    }
}

static void test_environment_gives_the_endpoints(void **state)
{
    (void)state;
    struct setup setup;
    setenv("FWSYNC_QUERY", "tcp://10.0.0.1:1", 1);
    setenv("FWSYNC_EVENTS", "", 1);
    setup_init(&setup);
    assert_string_equal(setup.query, "tcp://10.0.0.1:1");
    assert_string_equal(setup.events, CLIENT_EVENTS_DEFAULT);
    const char *const words[] = {"--query", "tcp://10.0.0.2:2", NULL};
    struct options options = reader(&setup, words);
    assert_int_equal(options_next(&options), OPTION_END);
    assert_string_equal(setup.query, "tcp://10.0.0.2:2");
    unsetenv("FWSYNC_QUERY");
    unsetenv("FWSYNC_EVENTS");
}

/* --- lines ------------------------------------------------------------------------------------------ */

enum { LINE_BYTES_MAX = 100000 };

/* What the reader makes of the input: lines as "NUMBER:TEXT|", too long ones as "NUMBER:!|". */
static void expect_lines(const char *input, size_t len, const char *expected)
{
    int ends[2];
    struct line_reader reader;
    struct buf seen = {.bytes = NULL};
    buf_room(&seen, 1);
    assert_int_equal(pipe(ends), 0);
    line_reader_init(&reader, ends[0], LINE_BYTES_MAX);
    for (size_t at = 0; !reader.ended;) {
        size_t piece = len - at < 50000 ? len - at : 50000; /* less than a pipe holds */
        if (piece > 0)
            assert_int_equal(write(ends[1], input + at, piece), piece);
        at += piece;
        if (at == len && ends[1] >= 0) {
            close(ends[1]);
            ends[1] = -1;
        }
        line_reader_fill(&reader);
        struct text line;
        for (enum line_kind kind; (kind = line_reader_next(&reader, &line)) != LINE_NONE;)
            buf_printf(&seen, "%d:" TEXT_FMT "|", (int)reader.line,
                       kind == LINE_TOO_LONG ? 1 : (int)line.len,
                       kind == LINE_TOO_LONG ? "!" : line.bytes);
    }
    if (ends[1] >= 0)
        close(ends[1]);
    assert_int_equal(reader.error, 0);
    assert_true(text_is(buf_text(&seen), expected));
    buf_fini(&seen);
    line_reader_fini(&reader);
    close(ends[0]);
}

static void test_lines(void **state)
{
    (void)state;
    expect_lines("", 0, "");
    expect_lines("a\nb\n", 4, "1:a|2:b|");
    expect_lines("a\n\r\n\nb", 7, "1:a|2:|3:|4:b|");
}

static void test_lines_that_are_too_long_are_skipped(void **state)
{
    (void)state;
    enum { LEN = 4 * LINE_BYTES_MAX };
    static char input[LEN];
    memset(input, 'x', LEN);
    expect_lines(input, LEN, "1:!|");
    memcpy(input + LEN - 3, "\nb\n", 3);
    expect_lines(input, LEN, "1:!|2:b|");
    input[0] = 'a';
    input[1] = '\n';
    expect_lines(input, LEN, "1:a|2:!|3:b|");
    expect_lines(input + LEN - 3 - LINE_BYTES_MAX - 1, LINE_BYTES_MAX + 4, "1:!|2:b|");
}

static void test_busy_is_the_code_not_a_word(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        bool busy;
        int64_t retry_ms;
    } rows[] = {
        {"{\"ok\":false,\"code\":\"busy\",\"retry_ms\":70}", true, 70},
        {"{\"ok\":false,\"code\":\"busy\"}", true, 50},
        {"{\"ok\":false,\"code\":\"busy\",\"retry_ms\":-1}", true, 1},
        {"{\"ok\":false,\"code\":\"busy\",\"retry_ms\":9000000}", true, 10000},
        {"{\"ok\":true,\"device\":\"busy\"}", false, 0},
        {"\"busy\"", false, 0},
        {"{\"ok\":true}", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t retry_ms = 0;
        assert_int_equal(client_busy(text_of(rows[i].answer), &retry_ms), rows[i].busy);
        if (rows[i].busy)
            assert_int_equal(retry_ms, rows[i].retry_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_wrong_fields),
        cmocka_unit_test(test_readings_of_a_word),
        cmocka_unit_test(test_events_by_scope),
        cmocka_unit_test(test_lines_get_their_numbers),
        cmocka_unit_test(test_options_and_words_in_order),
        cmocka_unit_test(test_wrong_options),
        cmocka_unit_test(test_numbers_have_their_range),
        cmocka_unit_test(test_environment_gives_the_endpoints),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_lines_that_are_too_long_are_skipped),
        cmocka_unit_test(test_busy_is_the_code_not_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

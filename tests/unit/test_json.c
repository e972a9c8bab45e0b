/* The JSON border: what is refused, and what values come out of what is taken. */
#include "engine/base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "engine/base/buf.h"
#include "engine/base/limits.h"

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 4096);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static bool parse(const char *text, struct value *value, struct err *err)
{
    return json_parse_value(text_of(text), &arena, &arena, value, err);
}

static void test_what_would_be_stored_otherwise_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *says; /* a part of the error */
    } rows[] = {
        {"", "empty"},
        {"{\"a\":1} x", "behind the JSON's end"},
        {"\xEF\xBB\xBF{}", "byte 0"},
        {"\"\\u0000\"", "\\u0000"},
        {"\"\\u+123\"", "four hexadecimal digits"},
        {"\"\\u12\"", "four hexadecimal digits"},
        {"\"a\nb\"", "control character"},
        {"\"\xff\"", "not UTF-8"},
        {"\"\xC0\x80\"", "not UTF-8"},
        {"\"\xED\xA0\x80\"", "not UTF-8"},
        {"\"\\ud800\"", "not JSON"},
        {"\"open", "closing quote"},
        {"01", "a number that JSON doesn't allow"},
        {"-", "a number that JSON doesn't allow"},
        {"1.", "a number that JSON doesn't allow"},
        {"1e", "a number that JSON doesn't allow"},
        {"1e400", "too large"},
        {"9007199254740993", "2^53"},
        {"-9007199254740993", "2^53"},
        {"{\"a\":1,\"b\":2,\"a\":3}", "\"a\" stands twice"},
        {"{\"o\":{\"x\":1,\"x\":2}}", "\"x\" stands twice"},
        {"[1,]", "not JSON"},
        {"nul", "not JSON"},
        {"'a'", "not JSON"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct value value;
        struct err err = {.code = ERR_NONE};
        if (parse(rows[i].text, &value, &err) || strstr(err.text, rows[i].says) == NULL)
            fail_msg("%s: expected an error with \"%s\", got \"%s\"", rows[i].text, rows[i].says,
                     err.text);
        assert_int_equal(err.code, ERR_BAD_JSON);
    }
}

static void test_values_keep_their_type(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum value_kind kind;
        const char *shown; /* as metadata shows it */
    } rows[] = {
        {"null", VALUE_NULL, "null"},
        {"true", VALUE_BOOLEAN, "true"},
        {"1", VALUE_INTEGER, "1"},
        {"-7", VALUE_INTEGER, "-7"},
        {"1e3", VALUE_INTEGER, "1000"},
        {"9007199254740992", VALUE_INTEGER, "9007199254740992"},
        {"1.0", VALUE_DOUBLE, "1.0"},
        {"-0", VALUE_DOUBLE, "-0.0"},
        {"2.5", VALUE_DOUBLE, "2.5"},
        {"0.1", VALUE_DOUBLE, "0.1"},
        {"1e300", VALUE_DOUBLE, "1e+300"},
        {"15e-1", VALUE_DOUBLE, "1.5"},
        {"\"1.20\"", VALUE_STRING, "1.20"},
        {"\"caf\\u00e9 \\ud83d\\ude00\"", VALUE_STRING, "caf\xC3\xA9 \xF0\x9F\x98\x80"},
        {" { \"a\" : [ 1 , 1.0 , \"x.5\" , -2.50 ] } ", VALUE_JSON, "{\"a\":[1,1.0,\"x.5\",-2.5]}"},
        {"[\"\\\"1.0\", 1.0, 1]", VALUE_JSON, "[\"\\\"1.0\",1.0,1]"},
        {"{\"k.1\":1,\"d\":0.5}", VALUE_JSON, "{\"k.1\":1,\"d\":0.5}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct value value;
        struct err err;
        if (!parse(rows[i].text, &value, &err))
            fail_msg("%s: %s", rows[i].text, err.text);
        struct text shown = value_text(&value, &arena);
        if (value.kind != rows[i].kind || !text_is(shown, rows[i].shown))
            fail_msg("%s: kind %d, shown " TEXT_FMT, rows[i].text, value.kind, TEXT_ARG(shown));
    }
}

static void test_depth_is_bounded(void **state)
{
    (void)state;
    for (int depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        struct buf buf = {.arena = &arena};
        for (int i = 0; i < depth; i++)
            buf_byte(&buf, '[');
        for (int i = 0; i < depth; i++)
            buf_byte(&buf, ']');
        struct value value;
        struct err err = {.code = ERR_NONE};
        assert_int_equal(json_parse_value(buf_text(&buf), &arena, &arena, &value, &err),
                         depth == JSON_DEPTH_MAX);
        assert_int_equal(err.code, depth == JSON_DEPTH_MAX ? ERR_NONE : ERR_LIMIT);
    }
}

static void test_many_keys_are_compared_too(void **state)
{
    (void)state;
    for (int twice = 0; twice <= 1; twice++) {
        struct buf buf = {.arena = &arena};
        buf_byte(&buf, '{');
        for (int i = 0; i < 500; i++)
            buf_printf(&buf, "%s\"k%d\":%d", i == 0 ? "" : ",", twice && i == 499 ? 3 : i, i);
        buf_byte(&buf, '}');
        struct fields fields;
        struct err err;
        assert_int_equal(json_parse_object(buf_text(&buf), &arena, &arena, &fields, &err), !twice);
        if (twice)
            assert_non_null(strstr(err.text, "\"k3\" stands twice"));
    }
}

static void test_named_members_are_expanded(void **state)
{
    (void)state;
    static const char *const names[] = {"data", "metadata", "absent"};
    struct fields fields, expanded[3];
    struct err err;
    assert_true(json_parse_object_expanding(text_of("{\"a\":1,\"data\":{\"x\":{\"y\":2.0}},\"metadata\":3}"),
                                            JSON_DEPTH_MAX, names, 3, &arena, &arena, &fields, expanded, &err));
    assert_int_equal(fields.count, 2);
    assert_int_equal(fields_get(&fields, TEXT("metadata"))->integer, 3);
    assert_int_equal(expanded[0].count, 1);
    assert_null(expanded[1].items);
    assert_null(expanded[2].items);
    struct value value;
    assert_true(json_path(&expanded[0], TEXT("x.y"), &arena, &value));
    assert_int_equal(value.kind, VALUE_DOUBLE);
    assert_false(json_path(&expanded[0], TEXT("x.z"), &arena, &value));
    assert_false(json_path(&expanded[0], TEXT("x.y.z"), &arena, &value));
}

/* Strings and numbers come from the scan, in the tree's order, whether cJSON saw them or not. */
static void test_strings_and_numbers_stay_in_their_places(void **state)
{
    (void)state;
    static const char *const names[] = {"data"};
    static const char text[] = "{\"\\u0061\":\"x\\ny\",\"b\":[1.0,\"p\",{\"\\\\\":\"\\\"\",\"q\":-2}],"
                               "\"data\":{\"c\":\"plain\",\"d\":null,\"e\":\"\\t\",\"f\":1e2},\"g\":7}";
    struct fields fields, expanded;
    struct err err;
    assert_true(json_parse_object_expanding(text_of(text), JSON_DEPTH_MAX, names, 1, &arena, &arena, &fields,
                                            &expanded, &err));
    assert_int_equal(fields.count, 3);
    assert_true(text_is(fields_get(&fields, TEXT("a"))->text, "x\ny"));
    assert_true(text_is(fields_get(&fields, TEXT("b"))->text, "[1.0,\"p\",{\"\\\\\":\"\\\"\",\"q\":-2}]"));
    assert_int_equal(fields_get(&fields, TEXT("g"))->integer, 7);
    assert_int_equal(expanded.count, 4);
    const struct value *plain = fields_get(&expanded, TEXT("c"));
    assert_true(text_is(plain->text, "plain"));
    assert_true(plain->text.bytes > text && plain->text.bytes < text + sizeof text); /* borrowed */
    assert_int_equal(fields_get(&expanded, TEXT("d"))->kind, VALUE_NULL);
    assert_true(text_is(fields_get(&expanded, TEXT("e"))->text, "\t"));
    assert_int_equal(fields_get(&expanded, TEXT("f"))->integer, 100);
}

/* Whoever forgets to look at the kind gets nothing, and not what stood there before. */
static void test_a_null_has_no_text(void **state)
{
    (void)state;
    static const char *const names[] = {"data"};
    static const char *const texts[] = {"{\"x\":null,\"data\":{}}", "{\"x\":null,\"data\":{\"y\":[]}}"};
    for (size_t i = 0; i < 2; i++) { /* by the short way, and by the long one */
        struct fields fields, expanded;
        memset(arena_alloc(&arena, 2048), 'x', 2048);
        arena_reset(&arena);
        assert_true(json_parse_object_expanding(text_of(texts[i]), JSON_DEPTH_MAX, names, 1, &arena, &arena, &fields,
                                                &expanded, NULL));
        assert_null(fields.items[0].value.text.bytes);
        assert_int_equal(fields.items[0].value.text.len, 0);
    }
}

static void test_what_is_written_reads_back(void **state)
{
    (void)state;
    char bytes[256];
    size_t len = 0;
    for (int byte = 1; byte < 0x80; byte++)
        bytes[len++] = (char)byte;
    struct buf buf = {.arena = &arena};
    json_string(&buf, (struct text){bytes, len});
    struct value value;
    struct err err;
    assert_true(json_parse_value(buf_text(&buf), &arena, &arena, &value, &err));
    assert_true(text_equal(value.text, (struct text){bytes, len}));

    buf_clear(&buf);
    buf_byte(&buf, '{');
    json_member_text(&buf, "a\"b", TEXT("x"));
    json_member_integer(&buf, "min", INT64_MIN);
    json_member_unsigned(&buf, "max", UINT64_MAX);
    json_member_boolean(&buf, "yes", true);
    json_member_raw(&buf, "raw", TEXT("[]"));
    buf_byte(&buf, '}');
    assert_true(text_is(buf_text(&buf), "{\"a\\\"b\":\"x\",\"min\":-9223372036854775808,"
                                        "\"max\":18446744073709551615,\"yes\":true,\"raw\":[]}"));
}

/* As json_string, byte by byte. */
static void write_plainly(struct buf *buf, struct text text)
{
    buf_byte(buf, '"');
    for (size_t i = 0; i < text.len; i++) {
        const char *found = memchr("\"\\\b\f\n\r\t", text.bytes[i], 7);
        if (found != NULL)
            buf_append(buf, (struct text){(const char[]){'\\', "\"\\bfnrt"[found - "\"\\\b\f\n\r\t"]}, 2});
        else if ((unsigned char)text.bytes[i] < 0x20)
            buf_printf(buf, "\\u%04x", (unsigned char)text.bytes[i]);
        else
            buf_byte(buf, text.bytes[i]);
    }
    buf_byte(buf, '"');
}

static void test_each_byte_is_escaped_at_each_place(void **state)
{
    (void)state;
    enum { LENGTH_MAX = 36 };
    for (size_t len = 0; len <= LENGTH_MAX; len++)
        for (size_t place = 0; place < len; place++)
            for (int byte = 0; byte <= 0xFF; byte++) {
                char bytes[LENGTH_MAX] = "abcdefghijklmnopqABCDEFGHIJKLMNOPQ";
                bytes[place] = (char)byte;
                struct text text = {bytes, len};
                struct buf ours = {.arena = &arena}, plain = {.arena = &arena};
                json_string(&ours, text);
                write_plainly(&plain, text);
                assert_true(text_equal(buf_text(&ours), buf_text(&plain)));
            }
}

static void test_a_string_stays_within_its_room(void **state)
{
    (void)state;
    char bytes[40];
    memset(bytes, 1, sizeof bytes);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        char out[sizeof bytes * 8];
        memset(out, 'x', sizeof out);
        struct text text = {bytes, len};
        assert_int_equal(put_json_string(out, text) - out, len * 6 + 2);
        for (size_t i = json_string_room(text); i < sizeof out; i++)
            assert_int_equal(out[i], 'x');
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_what_would_be_stored_otherwise_is_refused),
        TEST(test_values_keep_their_type),
        TEST(test_strings_and_numbers_stay_in_their_places),
        TEST(test_depth_is_bounded),
        TEST(test_many_keys_are_compared_too),
        TEST(test_named_members_are_expanded),
        TEST(test_a_null_has_no_text),
        TEST(test_what_is_written_reads_back),
        TEST(test_each_byte_is_escaped_at_each_place),
        TEST(test_a_string_stays_within_its_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

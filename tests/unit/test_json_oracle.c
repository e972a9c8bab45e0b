/* test_json_oracle.c - our JSON border against jansson, an independent and strict reader.
 *
 * The same text goes to both. They must agree whether it is an object, and on what its members hold;
 * where we are stricter on purpose, the row (or the error) says so. */
#include "engine/base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

struct vector {
    const char *name;
    struct text text;
    bool accepted_by_jansson;
    bool accepted_by_us;
};

#define BOTH(name, literal)    {name, {"" literal, sizeof(literal) - 1}, true, true}
#define NEITHER(name, literal) {name, {"" literal, sizeof(literal) - 1}, false, false}
/* We refuse what others take, because it would be stored as something else than was meant. */
#define STRICTER(name, literal) {name, {"" literal, sizeof(literal) - 1}, true, false}

#define NEST_31(inner)                                                                                 \
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[" inner "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"

static const struct vector vectors[] = {
    BOTH("empty object", "{}"),
    BOTH("all kinds", "{\"a\":null,\"b\":true,\"c\":false,\"d\":1,\"e\":2.5,\"f\":\"x\",\"g\":[],\"h\":{}}"),
    BOTH("white space", " \t\r\n{ \"a\" : 1 , \"b\" : 2 }\n"),
    BOTH("empty key", "{\"\":1}"),
    BOTH("escapes", "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"}"),
    BOTH("surrogate pair", "{\"a\":\"\\ud83d\\ude00\"}"),
    BOTH("raw UTF-8 of 2, 3, 4 bytes", "{\"a\":\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"}"),
    BOTH("U+10FFFF", "{\"a\":\"\xF4\x8F\xBF\xBF\"}"),
    BOTH("U+007F raw", "{\"a\":\"\x7F\"}"),
    BOTH("escaped backslash before u0000", "{\"a\":\"\\\\u0000\"}"),
    BOTH("brackets in a string", "{\"a\":\"}]{[,:\"}"),
    BOTH("negative zero", "{\"a\":-0}"),
    BOTH("exponents", "{\"a\":1e2,\"b\":1E+2,\"c\":1.5e-3}"),
    BOTH("2^53", "{\"a\":9007199254740992,\"b\":-9007199254740992}"),
    BOTH("underflow to zero", "{\"a\":1e-400}"),
    BOTH("64 levels", "{\"a\":[" NEST_31(NEST_31("1")) "]}"),
    BOTH("same key in two objects", "{\"a\":{\"k\":1},\"b\":{\"k\":2}}"),
    BOTH("number in a string before a number", "{\"1.0\":1,\"b\":\"2.0\",\"c\":2,\"d\":2.0}"),

    NEITHER("nothing", ""),
    NEITHER("white space only", " \n"),
    NEITHER("byte order mark", "\xEF\xBB\xBF{}"),
    NEITHER("\\u0000 in a string", "{\"a\":\"x\\u0000y\"}"),
    NEITHER("\\u0000 in a key", "{\"x\\u0000y\":1}"),
    NEITHER("raw NUL behind", "{}\0"),
    NEITHER("raw NUL in a string", "{\"a\":\"x\0y\"}"),
    NEITHER("raw line feed in a string", "{\"a\":\"x\ny\"}"),
    NEITHER("raw tab in a string", "{\"a\":\"x\ty\"}"),
    NEITHER("form feed as white space", "{\f\"a\":1}"),
    NEITHER("no-break space as white space", "{\xC2\xA0\"a\":1}"),
    NEITHER("duplicate key", "{\"a\":1,\"a\":2}"),
    NEITHER("duplicate key by escape", "{\"a\":1,\"\\u0061\":2}"),
    NEITHER("duplicate key below", "{\"a\":{\"k\":1,\"k\":2}}"),
    NEITHER("duplicate key in an array's object", "{\"a\":[{\"k\":1,\"k\":2}]}"),
    NEITHER("leading zero", "{\"a\":01}"),
    NEITHER("leading zero behind minus", "{\"a\":-01}"),
    NEITHER("plus sign", "{\"a\":+1}"),
    NEITHER("no digit before the point", "{\"a\":.5}"),
    NEITHER("no digit behind the point", "{\"a\":1.}"),
    NEITHER("no digit in the exponent", "{\"a\":1e}"),
    NEITHER("point, then exponent", "{\"a\":1.e5}"),
    NEITHER("minus alone", "{\"a\":-}"),
    NEITHER("two minuses", "{\"a\":--1}"),
    NEITHER("hexadecimal", "{\"a\":0x10}"),
    NEITHER("two numbers in one", "{\"a\":1-2}"),
    NEITHER("overflow", "{\"a\":1e400}"),
    NEITHER("negative overflow", "{\"a\":-1e400}"),
    NEITHER("beyond 64 bits", "{\"a\":18446744073709551616}"),
    NEITHER("NaN", "{\"a\":NaN}"),
    NEITHER("Infinity", "{\"a\":Infinity}"),
    NEITHER("minus Infinity", "{\"a\":-Infinity}"),
    NEITHER("lone high surrogate", "{\"a\":\"\\ud800\"}"),
    NEITHER("lone low surrogate", "{\"a\":\"\\udc00\"}"),
    NEITHER("high surrogate, then a letter", "{\"a\":\"\\ud800x\"}"),
    NEITHER("two high surrogates", "{\"a\":\"\\ud800\\ud800\"}"),
    NEITHER("surrogate as raw bytes", "{\"a\":\"\xED\xA0\x80\"}"),
    NEITHER("overlong, 2 bytes", "{\"a\":\"\xC0\xAF\"}"),
    NEITHER("overlong, 3 bytes", "{\"a\":\"\xE0\x80\xAF\"}"),
    NEITHER("beyond U+10FFFF", "{\"a\":\"\xF4\x90\x80\x80\"}"),
    NEITHER("stray continuation byte", "{\"a\":\"\x80\"}"),
    NEITHER("sequence cut by the quote", "{\"a\":\"\xE2\x82\"}"),
    NEITHER("unknown escape", "{\"a\":\"\\q\"}"),
    NEITHER("short \\u", "{\"a\":\"\\u12\"}"),
    NEITHER("\\u with a sign", "{\"a\":\"\\u+123\"}"),
    NEITHER("trailing bytes", "{} x"),
    NEITHER("two objects", "{}{}"),
    NEITHER("trailing comma in an object", "{\"a\":1,}"),
    NEITHER("trailing comma in an array", "{\"a\":[1,]}"),
    NEITHER("missing comma", "{\"a\":1 \"b\":2}"),
    NEITHER("missing value", "{\"a\":}"),
    NEITHER("missing colon", "{\"a\" 1}"),
    NEITHER("bare key", "{a:1}"),
    NEITHER("key is a number", "{1:1}"),
    NEITHER("single quotes", "{'a':1}"),
    NEITHER("comment", "{/**/\"a\":1}"),
    NEITHER("word in capitals", "{\"a\":True}"),
    NEITHER("word with a tail", "{\"a\":nullx}"),
    NEITHER("wrong closing bracket", "{\"a\":[1}}"),
    NEITHER("open string", "{\"a\":\"x"),
    NEITHER("backslash at the end", "{\"a\":\"\\"),
    NEITHER("open object", "{\"a\":1"),

    STRICTER("array, where an object is wanted", "[1]"),
    STRICTER("2^53 + 1", "{\"a\":9007199254740993}"),
    STRICTER("-(2^53 + 1), below", "{\"a\":[-9007199254740993]}"),
    STRICTER("2^63 - 1", "{\"a\":9223372036854775807}"),
    STRICTER("65 levels", "{\"a\":[[" NEST_31(NEST_31("1")) "]]}"),
    STRICTER("number of 61 characters",
             "{\"a\":0.00000000000000000000000000000000000000000000000000000000001}"),
};

enum { VECTOR_COUNT = sizeof vectors / sizeof vectors[0] };

struct reader {
    struct arena scratch;
    struct arena arena;
    struct fields fields;
    struct err err;
};

static void reader_init(struct reader *reader)
{
    arena_init(&reader->scratch, 1 << 16);
    arena_init(&reader->arena, 1 << 16);
}

static void reader_fini(struct reader *reader)
{
    arena_fini(&reader->scratch);
    arena_fini(&reader->arena);
}

/* The text is copied to memory of exactly its size, so that a sanitizer sees a read past its end. */
static bool we_accept(struct reader *reader, struct text text)
{
    arena_reset(&reader->scratch);
    arena_reset(&reader->arena);
    char *exact = malloc(text.len > 0 ? text.len : 1);
    assert_non_null(exact);
    memcpy(exact, text.bytes, text.len);
    bool accepted = json_parse_object((struct text){exact, text.len}, &reader->scratch, &reader->arena,
                                      &reader->fields, &reader->err);
    free(exact);
    return accepted;
}

static json_t *jansson_parse(struct text text)
{
    json_error_t error;
    return json_loadb(text.bytes, text.len, JSON_REJECT_DUPLICATES, &error);
}

static bool same_number(const struct value *ours, const json_t *theirs)
{
    double number = ours->kind == VALUE_INTEGER ? (double)ours->integer : ours->number;
    double other = json_number_value(theirs);
    return !(number < other) && !(number > other);
}

static bool same_value(const struct value *ours, const json_t *theirs)
{
    switch (ours->kind) {
    case VALUE_NULL:
        return json_is_null(theirs);
    case VALUE_BOOLEAN:
        return json_is_boolean(theirs) && json_is_true(theirs) == ours->boolean;
    case VALUE_INTEGER:
    case VALUE_DOUBLE:
        return json_is_number(theirs) && same_number(ours, theirs);
    case VALUE_STRING:
        return json_is_string(theirs) && text_is(ours->text, json_string_value(theirs));
    case VALUE_JSON: {
        json_t *again = jansson_parse(ours->text);
        bool same = again != NULL && json_typeof(again) == json_typeof(theirs);
        json_decref(again);
        return same;
    }
    }
    return false;
}

static bool same_members(const struct fields *ours, const json_t *theirs)
{
    if (ours->count != json_object_size(theirs))
        return false;
    for (size_t i = 0; i < ours->count; i++) {
        char key[256];
        snprintf(key, sizeof key, TEXT_FMT, TEXT_ARG(ours->items[i].key));
        const json_t *other = json_object_get(theirs, key);
        if (other == NULL || !same_value(&ours->items[i].value, other))
            return false;
    }
    return true;
}

static void test_agrees_with_jansson_on_tricky_texts(void **state)
{
    (void)state;
    struct reader reader;
    reader_init(&reader);
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        const struct vector *vector = &vectors[i];
        json_t *theirs = jansson_parse(vector->text);
        bool ours = we_accept(&reader, vector->text);
        if ((theirs != NULL) != vector->accepted_by_jansson)
            fail_msg("%s: jansson %s it", vector->name, theirs != NULL ? "accepts" : "refuses");
        if (ours != vector->accepted_by_us)
            fail_msg("%s: we %s it", vector->name, ours ? "accept" : "refuse");
        if (ours && !same_members(&reader.fields, theirs))
            fail_msg("%s: the members differ", vector->name);
        if (!ours && reader.err.code != ERR_BAD_JSON && reader.err.code != ERR_LIMIT)
            fail_msg("%s: error code %s", vector->name, err_code_name(reader.err.code));
        json_decref(theirs);
    }
    reader_fini(&reader);
}

/* --- the same with texts that are nearly JSON -------------------------------------------------------- */

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Changes one to three bytes of a vector's text, most often to a byte that means something in JSON. */
static struct text mutate(struct text from, char *bytes, size_t bytes_max, uint64_t *seed)
{
    static const char meaningful[] = "{}[]:,\"\\u0123456789-+.eEtfn \t\n\x7F\x80\xC3\xED";
    size_t len = from.len < bytes_max - 3 ? from.len : bytes_max - 3;
    memcpy(bytes, from.bytes, len);
    for (uint64_t edits = 1 + next_random(seed) % 3; edits > 0; edits--) {
        size_t at = (size_t)(next_random(seed) % (len + 1));
        char byte = meaningful[next_random(seed) % (sizeof meaningful - 1)];
        switch (next_random(seed) % 3) {
        case 0: /* insert */
            memmove(bytes + at + 1, bytes + at, len - at);
            bytes[at] = byte;
            len++;
            break;
        case 1: /* replace */
            if (at < len)
                bytes[at] = byte;
            break;
        default: /* delete */
            if (at < len) {
                memmove(bytes + at, bytes + at + 1, len - at - 1);
                len--;
            }
        }
    }
    return (struct text){bytes, len};
}

/* Bounds of ours that jansson doesn't have. */
static bool refused_on_purpose(const struct err *err)
{
    return err->code == ERR_LIMIT || strstr(err->text, "2^53") != NULL ||
           strstr(err->text, "60 characters") != NULL;
}

static void test_agrees_with_jansson_on_mutated_texts(void **state)
{
    (void)state;
    enum { ROUND_COUNT = 100000, BYTES_MAX = 256 };
    const char *given = getenv("SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 20260101;
    print_message("# SEED=%llu\n", (unsigned long long)seed);
    struct reader reader;
    reader_init(&reader);
    char bytes[BYTES_MAX];
    for (int round = 0; round < ROUND_COUNT; round++) {
        struct text from = vectors[next_random(&seed) % VECTOR_COUNT].text;
        struct text text = mutate(from, bytes, sizeof bytes, &seed);
        json_t *theirs = jansson_parse(text);
        bool ours = we_accept(&reader, text);
        if (ours && (theirs == NULL || !same_members(&reader.fields, theirs)))
            fail_msg("round %d: we alone accept, or read otherwise: " TEXT_FMT, round, TEXT_ARG(text));
        if (!ours && json_is_object(theirs) && !refused_on_purpose(&reader.err))
            fail_msg("round %d: jansson alone accepts: " TEXT_FMT " (we: %s)", round, TEXT_ARG(text),
                     reader.err.text);
        json_decref(theirs);
    }
    reader_fini(&reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_jansson_on_tricky_texts),
        cmocka_unit_test(test_agrees_with_jansson_on_mutated_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

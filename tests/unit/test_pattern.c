/* Patterns: how a text with ${key} and $[path] is taken apart, and what it gives for a message. */
#include "tests/unit/rules_model.h"

#include "engine/base/limits.h"
#include "plugins/fwsync_plugin.h"
#include "rules/pattern.h"

static void test_bad_patterns_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *error;
    } rows[] = {
        {"${", "'${' without its '}'"},
        {"a ${key", "'${' without its '}'"},
        {"$[key", "'$[' without its ']'"},
        {"${key]", "'${' without its '}'"},
        {"${}", "'${}' names no key"},
        {"x$[]", "'$[]' names no key"},
        {"${ a}", "'${ a}' has a space beside its key"},
        {"$[a ]", "'$[a ]' has a space beside its key"},
        {"${a${b}}", "'${a${b}' has a placeholder inside a placeholder"},
        {"$[a..b]", "'$[a..b]' has an empty step in its path"},
        {"$[.a]", "'$[.a]' has an empty step in its path"},
        {"$[a.]", "'$[a.]' has an empty step in its path"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena arena;
        arena_init(&arena, 1024);
        struct fwsync_pattern pattern;
        struct err err;
        if (pattern_compile(text_of(rows[i].pattern), &arena, &pattern, &err))
            fail_msg("taken: %s", rows[i].pattern);
        assert_string_equal(err.text, rows[i].error);
        assert_int_equal(err.code, ERR_CONFIG);
        arena_fini(&arena);
    }
}

static void test_a_pattern_is_constant_without_placeholders(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        bool constant;
    } rows[] = {
        {"", true},     {"key", true},  {"$", true},         {"a$b", true}, {"{a}", true},
        {"[a]", true},  {"$ {a}", true}, {"${a}", false},    {"$[a]", false}, {"x${a}", false},
        {"${*}", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena arena;
        arena_init(&arena, 1024);
        struct fwsync_pattern pattern;
        assert_true(pattern_compile(text_of(rows[i].pattern), &arena, &pattern, NULL));
        struct fwsync_text text = {NULL, 0};
        assert_int_equal(fwsync_pattern_constant(&pattern, &text), rows[i].constant);
        if (rows[i].constant)
            assert_int_equal(text.len, strlen(rows[i].pattern));
        arena_fini(&arena);
    }
}

/* What a log node with this text writes for the event below. */
static void test_expansion(void **state)
{
    (void)state;
    static const char event[] =
        "{\"device\":\"E 1\",\"type\":\"X\",\"ts\":5,\"deviceType\":\"T\","
        "\"metadata\":{\"m\":\"meta\",\"evil\":\"$[s] ${m}\",\"empty\":\"\",\"a.b\":\"dotted\"},"
        "\"data\":{\"s\":\"text\",\"i\":1,\"d\":1.0,\"t\":true,\"z\":null,\"o\":{\"p\":{\"q\":2.50}},"
        "\"l\":[1,2],\"x.y\":3}}";
    static const struct {
        const char *pattern;
        const char *text;
    } rows[] = {
        {"plain", "plain"},
        {"", ""},
        {"$", "$"},
        {"5 $ {m}", "5 $ {m}"},
        {"${m}", "meta"},
        {"<${m}>", "<meta>"},
        {"${m}${m}", "metameta"},
        {"${empty}", ""},
        {"a${empty}b", "ab"},
        {"${a.b}", "dotted"},
        {"${deviceName} ${deviceType} ${ts}", "E 1 T 5"},
        {"$[s]", "text"},
        {"$[i] $[d] $[t] $[z]", "1 1.0 true null"},
        {"$[o.p.q]", "2.5"},
        {"$[o.p]", "{\"q\":2.5}"},
        {"$[l]", "[1,2]"},
        /* absent: the placeholder stays */
        {"${s}", "${s}"},
        {"$[m]", "$[m]"},
        {"-${none}-$[o.none]-", "-${none}-$[o.none]-"},
        {"$[s.x]", "$[s.x]"},
        {"$[l.0]", "$[l.0]"},
        {"$[x.y]", "$[x.y]"},
        /* what was put in is not expanded again */
        {"${evil}", "$[s] ${m}"},
        {"${evil}!", "$[s] ${m}!"},
        {"${*}", "{\"deviceName\":\"E 1\",\"deviceType\":\"T\",\"ts\":\"5\",\"m\":\"meta\","
                 "\"evil\":\"$[s] ${m}\",\"empty\":\"\",\"a.b\":\"dotted\"}"},
        {"$[*]", "{\"s\":\"text\",\"i\":1,\"d\":1.0,\"t\":true,\"z\":null,\"o\":{\"p\":{\"q\":2.5}},"
                 "\"l\":[1,2],\"x.y\":3}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char yaml[256], expected[512];
        snprintf(yaml, sizeof yaml, "chain: root\nfirst: l\nnodes: {l: {type: log, text: '%s'}}\n",
                 rows[i].pattern);
        snprintf(expected, sizeof expected, "log root/l: %s\n", rows[i].text);
        struct ruleset *ruleset = rules_of(yaml);
        struct model model;
        model_init(&model);
        assert_string_equal(model_run(&model, ruleset, event), expected);
        model_fini(&model);
        ruleset_destroy(ruleset);
    }
}

/* Both ways to build a text: one placeholder alone, and joined parts. */
static void test_expansion_is_bounded(void **state)
{
    (void)state;
    static const char *const patterns[] = {"${m}${m}", "${*}"};
    struct buf event = {.bytes = NULL};
    buf_append(&event, TEXT("{\"device\":\"E\",\"type\":\"X\",\"metadata\":{\"m\":\""));
    for (int i = 0; i < VALUE_BYTES_MAX / 2 + 1; i++)
        buf_byte(&event, 'x');
    buf_append(&event, TEXT("\",\"n\":\""));
    for (int i = 0; i < VALUE_BYTES_MAX / 2 + 1; i++)
        buf_byte(&event, 'y');
    buf_append(&event, TEXT("\"}}"));
    buf_byte(&event, '\0');
    for (size_t i = 0; i < 2; i++) {
        char yaml[256], expected[256];
        snprintf(yaml, sizeof yaml, "chain: root\nfirst: l\nnodes: {l: {type: log, text: '%s'}}\n",
                 patterns[i]);
        snprintf(expected, sizeof expected, "dead root/l: '%s' gives more than 65536 bytes\n",
                 patterns[i]);
        struct ruleset *ruleset = rules_of(yaml);
        struct model model;
        model_init(&model);
        assert_string_equal(model_run(&model, ruleset, event.bytes), expected);
        model_fini(&model);
        ruleset_destroy(ruleset);
    }
    buf_fini(&event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_patterns_are_refused),
        cmocka_unit_test(test_a_pattern_is_constant_without_placeholders),
        cmocka_unit_test(test_expansion),
        cmocka_unit_test(test_expansion_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

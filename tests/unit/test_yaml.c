/* yaml.h: what is taken, what is refused and with which line, and that hostile files end soon. */
#include "engine/base/yaml.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/base/buf.h"
#include "engine/base/clock.h"
#include "engine/base/limits.h"

struct fixture {
    struct arena arena;
    struct problems problems;
};

static void fixture_init(struct fixture *fixture)
{
    arena_init(&fixture->arena, 4096);
    problems_init(&fixture->problems);
}

static void fixture_fini(struct fixture *fixture)
{
    arena_fini(&fixture->arena);
    problems_fini(&fixture->problems);
}

static struct yaml_node *parse(struct fixture *fixture, struct text text)
{
    return yaml_parse("f.yaml", text, &fixture->arena, &fixture->problems);
}

/* The tree as one line: 'plain', "quoted", [list], {key: value}, each with @line:column. */
static void describe(const struct yaml_node *node, struct buf *out)
{
    if (node->kind == YAML_SCALAR) {
        const char *quote = node->quoted ? "\"" : "'";
        buf_printf(out, "%s%s%s", quote, node->scalar.bytes, quote);
        assert_int_equal(strlen(node->scalar.bytes), node->scalar.len);
    }
    if (node->kind != YAML_SCALAR)
        buf_byte(out, node->kind == YAML_SEQUENCE ? '[' : '{');
    size_t count = 0;
    for (const struct yaml_node *child = node->first; child != NULL; child = child->next, count++) {
        if (count > 0)
            buf_append(out, TEXT(", "));
        if (node->kind == YAML_MAPPING)
            buf_printf(out, "%s@%u:%u: ", child->key.bytes, child->key_place.line,
                       child->key_place.column);
        describe(child, out);
    }
    assert_int_equal(count, node->count);
    if (node->kind != YAML_SCALAR)
        buf_byte(out, node->kind == YAML_SEQUENCE ? ']' : '}');
    buf_printf(out, "@%u:%u", node->place.line, node->place.column);
}

static void test_tree_carries_places_and_quoting(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        const char *tree;
    } rows[] = {
        {"a: b\n", "{a@1:1: 'b'@1:4}@1:1"},
        {"a: 'b'\nc: \"d\"\n", "{a@1:1: \"b\"@1:4, c@2:1: \"d\"@2:4}@1:1"},
        {"a: |\n  x\n", "{a@1:1: \"x\n\"@1:4}@1:1"},
        {"- x\n-  y\n", "['x'@1:3, 'y'@2:4]@1:1"},
        {"{a: [1, no], b: {}}", "{a@1:2: ['1'@1:6, 'no'@1:9]@1:5, b@1:14: {}@1:17}@1:1"},
        {"a:\n", "{a@1:1: ''@1:3}@1:1"},
        {"a: ''\n", "{a@1:1: \"\"@1:4}@1:1"},
        {"\xEF\xBB\xBF" "a: b\n", "{a@1:1: 'b'@1:4}@1:1"},
        {"\xC3\xA4: x\n", "{\xC3\xA4@1:1: 'x'@1:4}@1:1"},
        {"a: b\r\nc: d\r\n", "{a@1:1: 'b'@1:4, c@2:1: 'd'@2:4}@1:1"},
        {"left: ${cs_x}  # why\n", "{left@1:1: '${cs_x}'@1:7}@1:1"},
        {"%YAML 1.1\n---\na: b\n...\n", "{a@3:1: 'b'@3:4}@3:1"},
        {"x", "'x'@1:1"},
        {"<<: {a: b}\n", "{<<@1:1: {a@1:6: 'b'@1:9}@1:5}@1:1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture fixture;
        fixture_init(&fixture);
        const struct yaml_node *root = parse(&fixture, text_of(rows[i].yaml));
        if (root == NULL)
            fail_msg("%s: %s", rows[i].yaml,
                     fixture.problems.count > 0 ? fixture.problems.first->line : "empty");
        struct buf out = {.bytes = NULL};
        describe(root, &out);
        buf_byte(&out, '\0');
        assert_string_equal(out.bytes, rows[i].tree);
        buf_fini(&out);
        fixture_fini(&fixture);
    }
}

static void test_empty_documents_are_null_without_a_problem(void **state)
{
    (void)state;
    static const char *const rows[] = {"", "\n\n", "# only a comment\n", "---\n", "---\n...\n"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture fixture;
        fixture_init(&fixture);
        assert_null(parse(&fixture, text_of(rows[i])));
        assert_int_equal(fixture.problems.count, 0);
        fixture_fini(&fixture);
    }
}

static void test_refusals_name_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        const char *line;
    } rows[] = {
        {"a: &x b\n", "f.yaml:1:4: anchors (&name) aren't taken here; write the value out"},
        {"a: b\nc: *x\n", "f.yaml:2:4: aliases (*name) aren't taken here; put a text that starts with * "
                          "in quotes"},
        {"- !!str x\n", "f.yaml:1:3: tags (!name) aren't taken here; put a string in quotes"},
        {"a: ! x\n", "f.yaml:1:4: tags (!name) aren't taken here; put a string in quotes"},
        {"&a [x]\n", "f.yaml:1:1: anchors (&name) aren't taken here; write the value out"},
        {"!m {x: y}\n", "f.yaml:1:1: tags (!name) aren't taken here; put a string in quotes"},
        {"a: b\n---\nc: d\n", "f.yaml:2:1: a second document; one file holds one"},
        {"a: 1\nb: 2\na: 3\n", "f.yaml:3:1: the key 'a' stands twice; the first is in line 1"},
        {"x: {a: 1, 'a': 2}\n", "f.yaml:1:11: the key 'a' stands twice; the first is in line 1"},
        {"? [a, b]\n: c\n", "f.yaml:1:3: a list or a mapping can't be a key; a text with { } or [ ] in it "
                            "needs quotes"},
        {"a: \"x\\0y\"\n", "f.yaml:1:4: a NUL character in a text, which isn't taken"},
        {"a:\n\tb: c\n", "f.yaml:2:1: not valid YAML: found character that cannot start any token while "
                         "scanning for the next token; indent with spaces, not with tabs"},
        {"\xC3\xA4: x\n\tb: c\n", "f.yaml:2:1: not valid YAML: found a tab character that violates "
                                  "indentation while scanning a plain scalar; indent with spaces, not with "
                                  "tabs"},
        {"a: [1, 2\n", "f.yaml:2:1: not valid YAML: did not find expected ',' or ']' while parsing a flow "
                       "sequence"},
        {"{a: b, c: ${d}}\n", "f.yaml:1:12: not valid YAML: did not find expected ',' or '}' while parsing a "
                             "flow mapping; put ${...} and $[...] in quotes inside { }"},
        {"- {a: b,\n   c: x $[d]}\n", "f.yaml:2:10: not valid YAML: did not find expected ',' or '}' while "
                                      "parsing a flow mapping; put ${...} and $[...] in quotes inside { }"},
        {"{c: ${*}}\n", "f.yaml:1:8: not valid YAML: did not find expected alphabetic or numeric character "
                        "while scanning an alias; put ${...} and $[...] in quotes inside { }"},
        {"{a: '$', b: c: d, e: '${f}'}\n", /* only a pattern before the place may be the cause */
         "f.yaml:1:14: not valid YAML: did not find expected ',' or '}' while parsing a flow mapping"},
        {"a: b: c\n", "f.yaml:1:5: not valid YAML: mapping values are not allowed in this context"},
        {"a: \xFF\n", "f.yaml:1:4: not valid YAML: invalid leading UTF-8 octet"},
        {"a: b\nc: \xC3\xA4\xC3(\n", "f.yaml:2:6: not valid YAML: invalid trailing UTF-8 octet"},
        {"%TAG ! tag:x,2000:\n---\na: b\n", "f.yaml:1:1: a %TAG directive, which isn't taken"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture fixture;
        fixture_init(&fixture);
        assert_null(parse(&fixture, text_of(rows[i].yaml)));
        assert_int_equal(fixture.problems.count, 1);
        assert_string_equal(fixture.problems.first->line, rows[i].line);
        fixture_fini(&fixture);
    }
}

static void test_every_duplicate_key_is_reported(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    assert_null(parse(&fixture, TEXT("a: {x: 1, x: 2}\nb: 1\nb: 2\n")));
    assert_int_equal(fixture.problems.count, 2);
    assert_string_equal(fixture.problems.first->next->line,
                        "f.yaml:3:1: the key 'b' stands twice; the first is in line 2");
    fixture_fini(&fixture);
}

/* `head` once, `part` again and again up to `bytes`. */
static struct text repeat(struct buf *out, const char *head, const char *part, size_t bytes)
{
    buf_clear(out);
    buf_append(out, text_of(head));
    while (out->len + strlen(part) <= bytes)
        buf_append(out, text_of(part));
    return buf_text(out);
}

static void test_depth_is_bounded(void **state)
{
    (void)state;
    struct buf text = {.bytes = NULL};
    for (int depth = YAML_DEPTH_MAX; depth <= YAML_DEPTH_MAX + 1; depth++) {
        struct fixture fixture;
        fixture_init(&fixture);
        buf_clear(&text);
        for (int i = 0; i < depth; i++)
            buf_byte(&text, '[');
        for (int i = 0; i < depth; i++)
            buf_byte(&text, ']');
        const struct yaml_node *root = parse(&fixture, buf_text(&text));
        assert_int_equal(root != NULL, depth == YAML_DEPTH_MAX);
        if (root == NULL)
            assert_string_equal(fixture.problems.first->line,
                                "f.yaml:1:33: nested deeper than 32 levels");
        fixture_fini(&fixture);
    }
    buf_fini(&text);
}

static void test_size_is_bounded(void **state)
{
    (void)state;
    struct buf text = {.bytes = NULL};
    struct fixture fixture;
    fixture_init(&fixture);
    assert_non_null(parse(&fixture, repeat(&text, "a: b\n#", "#", REQUEST_BYTES_MAX)));
    assert_null(parse(&fixture, repeat(&text, "a: b\n#", "#", REQUEST_BYTES_MAX + 1)));
    assert_string_equal(fixture.problems.first->line,
                        "f.yaml:1:1: the file has 1048577 bytes; at most 1048576 are read");
    fixture_fini(&fixture);
    buf_fini(&text);
}

static void test_node_count_is_bounded(void **state)
{
    (void)state;
    struct buf text = {.bytes = NULL};
    struct fixture fixture;
    fixture_init(&fixture);
    assert_non_null(parse(&fixture, repeat(&text, "", "- a\n", 4 * (YAML_NODE_COUNT_MAX - 1))));
    assert_null(parse(&fixture, repeat(&text, "", "- a\n", 4 * YAML_NODE_COUNT_MAX)));
    assert_string_equal(fixture.problems.first->line,
                        "f.yaml:100000:3: more than 100000 YAML nodes in one file");
    fixture_fini(&fixture);
    buf_fini(&text);
}

/* libyaml alone takes minutes for some of these. */
static void test_hostile_files_end_soon(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        const char *part;
    } rows[] = {
        {"", "["},   {"", "{"},     {"", "- "},   {"", "? "}, {"", "a: "}, {"", "[{"}, {"", "!"},
        {"", "&a "}, {"", "*a "},   {"", "\n"},   {"", " "},  {"\"", "\\"}, {"'", "''"}, {"", "---\n"},
        {"", ","},   {"[", "a,"},   {"{", "a,"},  {"", "%"},  {"", "|\n"},  {"", "#"},  {"", "\t"},
        {"", "a\n"}, {"a: |\n", " x\n"}, {"", "\xEF\xBB\xBF"}, {"", "- a\n"}, {"[", "[],"}, {"", "?\n"},
    };
    struct buf text = {.bytes = NULL};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture fixture;
        fixture_init(&fixture);
        int64_t start = clock_monotonic_ns();
        parse(&fixture, repeat(&text, rows[i].head, rows[i].part, REQUEST_BYTES_MAX));
        int64_t ms = (clock_monotonic_ns() - start) / 1000000;
        if (ms > 3000)
            fail_msg("'%s%s...' took %d ms", rows[i].head, rows[i].part, (int)ms);
        fixture_fini(&fixture);
    }
    buf_fini(&text);
}

static void test_many_members_are_checked_for_duplicates_quickly(void **state)
{
    (void)state;
    struct buf text = {.bytes = NULL};
    struct fixture fixture;
    fixture_init(&fixture);
    for (int i = 0; i < 80000; i++)
        buf_printf(&text, "k%d: 1\n", i);
    buf_append(&text, TEXT("k79999: 2\n"));
    int64_t start = clock_monotonic_ns();
    assert_null(parse(&fixture, buf_text(&text)));
    assert_true(clock_monotonic_ns() - start < INT64_C(3000000000));
    assert_string_equal(fixture.problems.first->line,
                        "f.yaml:80001:1: the key 'k79999' stands twice; the first is in line 80000");
    fixture_fini(&fixture);
    buf_fini(&text);
}

static void test_member_finds_by_key(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    const struct yaml_node *root = parse(&fixture, TEXT("a: 1\nb: [x]\n"));
    assert_string_equal(yaml_member(root, "a")->scalar.bytes, "1");
    assert_string_equal(yaml_kind_name(yaml_member(root, "b")), "a list");
    assert_null(yaml_member(root, "c"));
    assert_null(yaml_member(yaml_member(root, "a"), "a"));
    assert_null(yaml_member(NULL, "a"));
    fixture_fini(&fixture);
}

static void test_scalars_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        const char *boolean; /* "true", "false", or the problem */
        const char *integer; /* the number as text, or the problem */
    } rows[] = {
        {"true", "true", "f.yaml:1:1: expected an integer from -5 to 100, got 'true'"},
        {"false", "false", "f.yaml:1:1: expected an integer from -5 to 100, got 'false'"},
        {"no", "f.yaml:1:1: expected true or false, got 'no'",
         "f.yaml:1:1: expected an integer from -5 to 100, got 'no'"},
        {"True", "f.yaml:1:1: expected true or false, got 'True'",
         "f.yaml:1:1: expected an integer from -5 to 100, got 'True'"},
        {"'true'", "f.yaml:1:1: expected true or false, got the quoted text 'true'",
         "f.yaml:1:1: expected an integer from -5 to 100, got the quoted text 'true'"},
        {"-5", "f.yaml:1:1: expected true or false, got '-5'", "-5"},
        {"-6", "f.yaml:1:1: expected true or false, got '-6'",
         "f.yaml:1:1: expected an integer from -5 to 100, got '-6'"},
        {"100", "f.yaml:1:1: expected true or false, got '100'", "100"},
        {"101", "f.yaml:1:1: expected true or false, got '101'",
         "f.yaml:1:1: expected an integer from -5 to 100, got '101'"},
        {"0o17", "f.yaml:1:1: expected true or false, got '0o17'",
         "f.yaml:1:1: expected an integer from -5 to 100, got '0o17'"},
        {"1_0", "f.yaml:1:1: expected true or false, got '1_0'",
         "f.yaml:1:1: expected an integer from -5 to 100, got '1_0'"},
        {"99999999999999999999", "f.yaml:1:1: expected true or false, got '99999999999999999999'",
         "f.yaml:1:1: expected an integer from -5 to 100, got '99999999999999999999'"},
        {"[1]", "f.yaml:1:1: expected true or false, got a list",
         "f.yaml:1:1: expected an integer from -5 to 100, got a list"},
        {"{a: 1}", "f.yaml:1:1: expected true or false, got a mapping",
         "f.yaml:1:1: expected an integer from -5 to 100, got a mapping"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture fixture;
        fixture_init(&fixture);
        const struct yaml_node *root = parse(&fixture, text_of(rows[i].yaml));
        bool boolean = false;
        if (yaml_boolean(root, &boolean, &fixture.problems))
            assert_string_equal(boolean ? "true" : "false", rows[i].boolean);
        else
            assert_string_equal(fixture.problems.first->line, rows[i].boolean);
        fixture_fini(&fixture);
        fixture_init(&fixture);
        root = parse(&fixture, text_of(rows[i].yaml));
        int64_t integer = 0;
        char digits[32];
        if (yaml_integer(root, -5, 100, &integer, &fixture.problems)) {
            snprintf(digits, sizeof digits, "%lld", (long long)integer);
            assert_string_equal(digits, rows[i].integer);
        } else {
            assert_string_equal(fixture.problems.first->line, rows[i].integer);
        }
        fixture_fini(&fixture);
    }
}

static void test_integers_reach_both_ends(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    int64_t integer = 0;
    assert_true(yaml_integer(parse(&fixture, TEXT("-9223372036854775808")), INT64_MIN, INT64_MAX, &integer,
                             &fixture.problems));
    assert_true(integer == INT64_MIN);
    assert_true(yaml_integer(parse(&fixture, TEXT("9223372036854775807")), INT64_MIN, INT64_MAX, &integer,
                             &fixture.problems));
    assert_true(integer == INT64_MAX);
    assert_false(yaml_integer(parse(&fixture, TEXT("9223372036854775808")), INT64_MIN, INT64_MAX, &integer,
                              &fixture.problems));
    assert_false(yaml_integer(parse(&fixture, TEXT("'-'")), INT64_MIN, INT64_MAX, &integer,
                              &fixture.problems));
    fixture_fini(&fixture);
}

static void test_problems_are_one_line_and_bounded(void **state)
{
    (void)state;
    struct problems problems;
    problems_init(&problems);
    problem_add(&problems, (struct place){"f", 2, 3}, "bad '%s'", "a\nb\x01");
    problem_add(&problems, (struct place){"dir", 0, 0}, "no file");
    assert_string_equal(problems.first->line, "dir: no file");
    assert_string_equal(problems.first->next->line, "f:2:3: bad 'a b '");
    for (int i = 0; i < 2 * PROBLEM_COUNT_MAX; i++)
        problem_add(&problems, (struct place){"f", 1, 1}, "again");
    assert_int_equal(problems.count, 2 * PROBLEM_COUNT_MAX + 2);
    size_t kept = 0;
    for (const struct problem *problem = problems.first; problem != NULL; problem = problem->next)
        kept++;
    assert_int_equal(kept, PROBLEM_COUNT_MAX);
    problems_fini(&problems);
}

static void test_problems_come_in_the_order_of_the_files(void **state)
{
    (void)state;
    char file[] = "b"; /* a file's name may go before the problems do */
    const struct place places[] = {{file, 10, 1}, {"a", 3, 2}, {file, 9, 5}, {file, 9, 5},
                                   {"a", 3, 1},   {file, 0, 0}, {"a", 20, 1}};
    struct problems problems;
    problems_init(&problems);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        problem_add(&problems, places[i], "%zu", i);
    file[0] = '0';
    problem_add(&problems, (struct place){"ab", 1, 1}, "7");
    struct buf lines = {.bytes = NULL};
    for (const struct problem *problem = problems.first; problem != NULL; problem = problem->next)
        buf_printf(&lines, "%s\n", problem->line);
    buf_byte(&lines, '\0');
    assert_string_equal(lines.bytes, "a:3:1: 4\na:3:2: 1\na:20:1: 6\nab:1:1: 7\n"
                                     "b: 5\nb:9:5: 2\nb:9:5: 3\nb:10:1: 0\n");
    buf_fini(&lines);
    problems_fini(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree_carries_places_and_quoting),
        cmocka_unit_test(test_empty_documents_are_null_without_a_problem),
        cmocka_unit_test(test_refusals_name_their_place),
        cmocka_unit_test(test_every_duplicate_key_is_reported),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_size_is_bounded),
        cmocka_unit_test(test_node_count_is_bounded),
        cmocka_unit_test(test_hostile_files_end_soon),
        cmocka_unit_test(test_many_members_are_checked_for_duplicates_quickly),
        cmocka_unit_test(test_member_finds_by_key),
        cmocka_unit_test(test_scalars_are_read_strictly),
        cmocka_unit_test(test_integers_reach_both_ends),
        cmocka_unit_test(test_problems_are_one_line_and_bounded),
        cmocka_unit_test(test_problems_come_in_the_order_of_the_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

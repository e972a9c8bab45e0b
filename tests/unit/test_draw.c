/* draw.h: what rule chains look like, drawn here by hand. */
#include "tests/unit/rules_model.h"

#include "engine/tool/screen.h"
#include "rules/draw.h"

static const struct draw_look plain = {
    .boxes = true, .head = "", .dim = "", .bad = "", .plain = "", .clean = screen_clean, .width = screen_width};

/* Node types with few words. */
#define LOG       "{type: log}"
#define LOG_TO(x) "{type: log, to: {Success: " x "}}"
#define IF_TO(x)  "{type: compare, left: a, right: b, to: {" x "}}"

static struct ruleset *rules_of_files(const char *const *files)
{
    struct problems problems;
    problems_init(&problems);
    struct ruleset *ruleset = rules_try(&problems, files);
    problems_print(&problems);
    problems_fini(&problems);
    assert_non_null(ruleset);
    return ruleset;
}
#define RULES(...) rules_of_files((const char *const[]){__VA_ARGS__, NULL})

static void expect_picture(struct ruleset *ruleset, const struct draw_look *look, const char *expected)
{
    struct buf out = {.bytes = NULL};
    if (look == NULL)
        ruleset_draw_dot(ruleset, &out);
    else
        ruleset_draw_text(ruleset, look, &out);
    buf_byte(&out, '\0');
    assert_string_equal(out.bytes, expected);
    buf_fini(&out);
    ruleset_destroy(ruleset);
}

/* --- text --- */

static void test_one_node_is_a_chain(void **state)
{
    (void)state;
    expect_picture(rules_of("chain: root\nfirst: a\nnodes: {a: " LOG "}\n"), &plain,
                   "root\n"
                   "  a  log\n");
}

static void test_what_comes_one_after_the_other_stands_in_a_column(void **state)
{
    (void)state;
    expect_picture(rules_of("chain: root\nfirst: one\nnodes:\n"
                            "  one: " LOG_TO("three") "\n"
                            "  two: " LOG "\n"
                            "  three: " LOG_TO("two") "\n"),
                   &plain,
                   "root\n"
                   "  one                log\n"
                   "  ↓ Success → three  log\n"
                   "  ↓ Success → two    log\n");
}

static void test_branches_come_in_the_order_written(void **state)
{
    (void)state;
    expect_picture(rules_of("chain: root\nfirst: a\nnodes:\n"
                            "  a: " IF_TO("False: [c, b], True: d") "\n"
                            "  b: " LOG "\n"
                            "  c: " LOG_TO("e") "\n"
                            "  d: " IF_TO("True: f, False: g") "\n"
                            "  e: " LOG "\n"
                            "  f: " LOG_TO("h") "\n"
                            "  g: " LOG_TO("i") "\n"
                            "  h: " LOG "\n"
                            "  i: " LOG "\n"),
                   &plain,
                   "root\n"
                   "  a                    compare\n"
                   "  ├─ False → c         log\n"
                   "  │  ↓ Success → e     log\n"
                   "  ├─ False → b         log\n"
                   "  └─ True → d          compare\n"
                   "     ├─ True → f       log\n"
                   "     │  ↓ Success → h  log\n"
                   "     └─ False → g      log\n"
                   "        ↓ Success → i  log\n");
}

static void test_a_node_is_drawn_where_it_is_first_met(void **state)
{
    (void)state;
    expect_picture(rules_of("chain: root\nfirst: a\nnodes:\n"
                            "  a: " IF_TO("True: [b, c], False: c, Failure: end") "\n"
                            "  b: " LOG_TO("c") "\n"
                            "  c: " LOG_TO("end") "\n"
                            "  end: " LOG "\n"),
                   &plain,
                   "root\n"
                   "  a                   compare\n"
                   "  ├─ True → b         log\n"
                   "  │  ↓ Success → c    log\n"
                   "  │  ↓ Success → end  log\n"
                   "  ├─ True, False → c (above)\n"
                   "  └─ Failure → end (above)\n");
}

static void test_relations_to_one_node_are_one_branch(void **state)
{
    (void)state;
    expect_picture(rules_of("chain: root\nfirst: a\nnodes:\n"
                            "  a: " IF_TO("true: [b, c], false: [c, b], failure: b") "\n"
                            "  b: " IF_TO("True: d, False: d") "\n"
                            "  c: " LOG "\n"
                            "  d: " LOG "\n"),
                   &plain,
                   "root\n"
                   "  a                            compare\n"
                   "  ├─ True, False, Failure → b  compare\n"
                   "  │  ↓ True, False → d         log\n"
                   "  └─ True, False → c           log\n");
}

static void test_chains_come_as_they_are_met_from_the_root(void **state)
{
    (void)state;
    expect_picture(RULES("a.yaml", "chain: a\nfirst: x\nnodes: {x: " LOG "}\n",
                         "root.yaml",
                         "chain: root\nfirst: x\nnodes:\n"
                         "  to-a: {type: rule-chain, chain: a}\n"
                         "  x: " IF_TO("True: to-z, False: to-a") "\n"
                         "  to-z: {type: rule-chain, chain: z}\n",
                         "z.yaml",
                         "chain: z\nfirst: x\nnodes:\n"
                         "  x: " IF_TO("True: a, False: b") "\n"
                         "  a: {type: rule-chain, chain: a}\n"
                         "  b: {type: rule-chain, chain: b}\n",
                         "b.yaml", "chain: b\nfirst: x\nnodes: {x: " LOG "}\n"),
                   &plain,
                   "root\n"
                   "  x                compare\n"
                   "  ├─ True → to-z   rule-chain → z\n"
                   "  └─ False → to-a  rule-chain → a\n"
                   "\n"
                   "z\n"
                   "  x             compare\n"
                   "  ├─ True → a   rule-chain → a\n"
                   "  └─ False → b  rule-chain → b\n"
                   "\n"
                   "a\n"
                   "  x  log\n"
                   "\n"
                   "b\n"
                   "  x  log\n");
}

#define A_BIT_OF_ALL                                \
    "chain: root\nfirst: a\nnodes:\n"              \
    "  a: " IF_TO("True: b, False: c") "\n"         \
    "  b: {type: log, to: {Success: c, Failure: [c, e]}}\n" \
    "  c: " LOG_TO("d") "\n"                        \
    "  d: {type: log, to: {Failure: e}}\n"          \
    "  e: " LOG "\n"

static void test_without_box_drawing_it_is_ascii(void **state)
{
    (void)state;
    struct draw_look look = plain;
    look.boxes = false;
    expect_picture(rules_of(A_BIT_OF_ALL), &look,
                   "root\n"
                   "  a                            compare\n"
                   "  |- True -> b                 log\n"
                   "  |  |- Success, Failure -> c  log\n"
                   "  |  |  v Success -> d         log\n"
                   "  |  |  v Failure -> e         log\n"
                   "  |  `- Failure -> e (above)\n"
                   "  `- False -> c (above)\n");
}

static void test_colours_take_no_room(void **state)
{
    (void)state;
    struct draw_look look = plain;
    look.head = "<b>", look.dim = "<dim>", look.bad = "<red>", look.plain = "</>";
    expect_picture(rules_of(A_BIT_OF_ALL), &look,
                   "<b>root</>\n"
                   "  a                           <dim>compare</>\n"
                   "  ├─ True → b                 <dim>log</>\n"
                   "  │  ├─ Success, <red>Failure</> → c  <dim>log</>\n"
                   "  │  │  ↓ Success → d         <dim>log</>\n"
                   "  │  │  ↓ <red>Failure</> → e         <dim>log</>\n"
                   "  │  └─ <red>Failure</> → e<dim> (above)</>\n"
                   "  └─ False → c<dim> (above)</>\n");
}

static void test_wide_names_keep_the_column(void **state)
{
    (void)state;
    expect_picture(RULES("root.yaml",
                         "chain: root\nfirst: 固件\nnodes:\n"
                         "  固件: " LOG_TO("ü\xE2\x80\xAEx") "\n"
                         "  ü\xE2\x80\xAEx: " LOG_TO("to") "\n"
                         "  to: {type: rule-chain, chain: \"\xE2\x80\xAE\"}\n",
                         "a.yaml", "chain: \"\xE2\x80\xAE\"\nfirst: x\nnodes: {x: " LOG "}\n"),
                   &plain,
                   "root\n"
                   "  固件                        log\n"
                   "  ↓ Success → ü\\xe2\\x80\\xaex  log\n"
                   "  ↓ Success → to              rule-chain → \\xe2\\x80\\xae\n"
                   "\n"
                   "\\xe2\\x80\\xae\n"
                   "  x  log\n");
}

static void test_a_long_name_moves_its_own_type_only(void **state)
{
    (void)state;
#define TEN "0123456789"
    expect_picture(rules_of("chain: root\nfirst: a\nnodes:\n"
                            "  a: " LOG_TO(TEN TEN TEN TEN TEN TEN "1") "\n"
                            "  " TEN TEN TEN TEN TEN TEN "1: " LOG_TO("b") "\n"
                            "  b: " LOG "\n"),
                   &plain,
                   "root\n"
                   "  a              log\n"
                   "  ↓ Success → " TEN TEN TEN TEN TEN TEN "1  log\n"
                   "  ↓ Success → b  log\n");
}

/* --- large ones --- */

/* The chain of `count` nodes, of which each leads to those that `link` names. */
struct large {
    struct buf yaml;
    size_t count;
};

static void large_begin(struct large *large)
{
    *large = (struct large){.count = 0};
    buf_append(&large->yaml, TEXT("chain: root\nfirst: n0\nnodes:\n"));
}

/* The next node, with lists of numbers, or "". */
static void large_node(struct large *large, const char *when_true, const char *when_false)
{
    buf_printf(&large->yaml, "  n%zu: " IF_TO("True: [%s], False: [%s]") "\n", large->count++, when_true, when_false);
}

/* Byte by byte, since AddressSanitizer measures all of what strstr() gets. */
static size_t count_of(const char *text, const char *part)
{
    size_t count = 0, len = strlen(part);
    for (; *text != '\0'; text++)
        count += *text == *part && strncmp(text, part, len) == 0;
    return count;
}

static size_t longest_line(const char *text)
{
    size_t longest = 0, len = 0;
    for (; *text != '\0'; text++) {
        len = *text == '\n' ? 0 : len + 1;
        longest = len > longest ? len : longest;
    }
    return longest;
}

/* Each node has its type behind it once, no line is long, and there is a line for the chain, for each link and for
 * what begins at the left. Returns the picture, for the caller to free. */
static char *large_draw(struct large *large)
{
    struct buf out = {.bytes = NULL};
    buf_byte(&large->yaml, '\0');
    struct ruleset *ruleset = rules_of(large->yaml.bytes);
    ruleset_draw_text(ruleset, &plain, &out);
    buf_byte(&out, '\0');
    assert_int_equal(count_of(out.bytes, "  compare\n"), large->count);
    assert_true(longest_line(out.bytes) < 120);
    ruleset_destroy(ruleset);
    buf_fini(&large->yaml);
    return out.bytes;
}

/* n0 forks to n2 and n1, n2 to n4 and n3, ..., n24 to n26 and n25. */
static char *draw_ladder(const char *from_n1)
{
    struct large large;
    large_begin(&large);
    for (int i = 0; i <= 24; i += 2) {
        char next[16], leaf[16];
        snprintf(leaf, sizeof leaf, "n%d", i + 1);
        snprintf(next, sizeof next, "n%d", i + 2);
        large_node(&large, next, leaf);
        large_node(&large, i == 0 ? from_n1 : "", "");
    }
    large_node(&large, "", "");
    return large_draw(&large);
}

static void test_what_is_nested_too_deep_is_drawn_below(void **state)
{
    (void)state;
    char *picture = draw_ladder("");
    assert_string_equal(strstr(picture, "  └─ False → n1 "),
                        "  └─ False → n1                                    compare\n"
                        "  n24                                              compare\n"
                        "  ├─ True → n26                                    compare\n"
                        "  └─ False → n25                                   compare\n");
    assert_non_null(strstr(picture, "├─ True → n24 (below)\n"));
    assert_int_equal(count_of(picture, "(below)"), 1);
    free(picture);
}

static void test_or_where_it_is_met_again_with_room(void **state)
{
    (void)state;
    char *picture = draw_ladder("n24");
    assert_string_equal(strstr(picture, "  └─ False → n1 "),
                        "  └─ False → n1                                    compare\n"
                        "     ↓ True → n24                                  compare\n"
                        "     ├─ True → n26                                 compare\n"
                        "     └─ False → n25                                compare\n");
    assert_non_null(strstr(picture, "├─ True → n24 (below)\n"));
    free(picture);
}

static void test_a_sequence_of_any_length_stays_in_its_column(void **state)
{
    (void)state;
    struct large large;
    large_begin(&large);
    for (int i = 1; i <= 1000; i++) {
        char next[16] = "";
        if (i < 1000)
            snprintf(next, sizeof next, "n%d", i);
        large_node(&large, next, "");
    }
    char *picture = large_draw(&large);
    assert_int_equal(count_of(picture, "\n  ↓ True → n"), 999);
    free(picture);
}

/* 2^333 ways. */
static void test_diamonds_are_not_drawn_once_a_way(void **state)
{
    (void)state;
    struct large large;
    large_begin(&large);
    for (int i = 0; i < 999; i += 3) {
        char left[16], right[16], next[16] = "";
        snprintf(left, sizeof left, "n%d", i + 1);
        snprintf(right, sizeof right, "n%d", i + 2);
        if (i < 996)
            snprintf(next, sizeof next, "n%d", i + 3);
        large_node(&large, left, right);
        large_node(&large, next, "");
        large_node(&large, next, "");
    }
    char *picture = large_draw(&large);
    assert_int_equal(count_of(picture, "\n"), 1 + 333 * 2 + 332 * 2 + count_of(picture, "\n  n"));
    free(picture);
}

/* Each node leads to all behind it. */
static void test_as_many_links_as_there_can_be(void **state)
{
    (void)state;
    enum { COUNT = 430 };
    struct large large;
    large_begin(&large);
    for (int i = 0; i < COUNT; i++) {
        struct buf list = {.bytes = NULL};
        for (int next = i + 1; next < COUNT; next++)
            buf_printf(&list, "%sn%d", next > i + 1 ? "," : "", next);
        buf_byte(&list, '\0');
        large_node(&large, list.bytes, "");
        buf_fini(&list);
    }
    char *picture = large_draw(&large);
    assert_int_equal(count_of(picture, "\n"), 1 + COUNT * (COUNT - 1) / 2 + count_of(picture, "\n  n"));
    free(picture);
}

static unsigned random_next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return (unsigned)(*seed >> 33);
}

/* Node i is led to by one of the few before it, and by others. */
static void test_a_random_thicket(void **state)
{
    (void)state;
    enum { COUNT = 1000, NEAR = 4 };
    uint64_t seed = 20261126;
    static struct buf near[COUNT];
    struct large large;
    memset(near, 0, sizeof near);
    for (unsigned i = 1; i < COUNT; i++) {
        struct buf *from = &near[i - 1 - random_next(&seed) % (i < NEAR ? i : NEAR)];
        buf_printf(from, "%sn%u", from->len > 0 ? "," : "", i);
    }
    large_begin(&large);
    for (unsigned i = 0; i < COUNT; i++) {
        char far[16] = "";
        if (i + 1 < COUNT)
            snprintf(far, sizeof far, "n%u", i + 1 + random_next(&seed) % (COUNT - 1 - i));
        buf_byte(&near[i], '\0');
        large_node(&large, near[i].bytes, far);
        buf_fini(&near[i]);
    }
    free(large_draw(&large));
}

/* --- Graphviz --- */

#define DOT_BEGIN                                                             \
    "digraph rules {\n"                                                       \
    "  graph [fontname=\"sans-serif\" labeljust=l color=gray];\n"             \
    "  node [fontname=\"sans-serif\" shape=box style=rounded];\n"             \
    "  edge [fontname=\"sans-serif\" fontsize=10];\n"

static void test_dot_has_clusters_and_joined_edges(void **state)
{
    (void)state;
    expect_picture(RULES("a.yaml",
                         "chain: a\nfirst: y\nnodes:\n"
                         "  x: " LOG "\n"
                         "  y: {type: log, to: {Failure: x}}\n",
                         "root.yaml",
                         "chain: root\nfirst: sort\nnodes:\n"
                         "  to-a: {type: rule-chain, chain: a, to: {Failure: note}}\n"
                         "  sort: " IF_TO("True: [note, to-a], Failure: note, False: note") "\n"
                         "  note: " LOG "\n"),
                   NULL,
                   DOT_BEGIN
                   "  subgraph cluster_1 {\n"
                   "    label=\"root\";\n"
                   "    n1_0 [label=\"to-a\\nrule-chain\"];\n"
                   "    n1_1 [label=\"sort\\ncompare\" style=\"rounded,bold\"];\n"
                   "    n1_2 [label=\"note\\nlog\"];\n"
                   "    n1_0 -> n1_2 [label=\"Failure\" color=red fontcolor=red];\n"
                   "    n1_1 -> n1_2 [label=\"True\\nFalse\"];\n"
                   "    n1_1 -> n1_2 [label=\"Failure\" color=red fontcolor=red];\n"
                   "    n1_1 -> n1_0 [label=\"True\"];\n"
                   "  }\n"
                   "  subgraph cluster_0 {\n"
                   "    label=\"a\";\n"
                   "    n0_0 [label=\"x\\nlog\"];\n"
                   "    n0_1 [label=\"y\\nlog\" style=\"rounded,bold\"];\n"
                   "    n0_1 -> n0_0 [label=\"Failure\" color=red fontcolor=red];\n"
                   "  }\n"
                   "  n1_0 -> n0_1 [style=dashed];\n"
                   "}\n");
}

static void test_dot_escapes_names(void **state)
{
    (void)state;
    expect_picture(RULES("a.yaml", "chain: '\"&<a>{|}\\N'\nfirst: x\nnodes: {x: " LOG "}\n",
                         "root.yaml",
                         "chain: root\nfirst: 'a\"b\\n\\'\nnodes:\n"
                         "  'a\"b\\n\\': {type: log, to: {Success: '&lt;ü'}}\n"
                         "  '&lt;ü': {type: rule-chain, chain: '\"&<a>{|}\\N'}\n"),
                   NULL,
                   DOT_BEGIN
                   "  subgraph cluster_1 {\n"
                   "    label=\"root\";\n"
                   "    n1_0 [label=\"a\\\"b\\\\n\\\\\\nlog\" style=\"rounded,bold\"];\n"
                   "    n1_1 [label=\"&amp;lt;ü\\nrule-chain\"];\n"
                   "    n1_0 -> n1_1 [label=\"Success\"];\n"
                   "  }\n"
                   "  subgraph cluster_0 {\n"
                   "    label=\"\\\"&amp;<a>{|}\\\\N\";\n"
                   "    n0_0 [label=\"x\\nlog\" style=\"rounded,bold\"];\n"
                   "  }\n"
                   "  n1_1 -> n0_0 [style=dashed];\n"
                   "}\n");
}

/* --- JSON --- */

static void test_json_is_a_line_a_node(void **state)
{
    (void)state;
    struct buf out = {.bytes = NULL};
    struct ruleset *ruleset = RULES("root.yaml",
                                    "chain: root\nfirst: b\nnodes:\n"
                                    "  '\"': {type: rule-chain, chain: z, to: {failure: c}}\n"
                                    "  b: " IF_TO("false: [c, '\"'], true: c") "\n"
                                    "  c: " LOG "\n",
                                    "z.yaml", "chain: z\nfirst: x\nnodes: {x: " LOG "}\n");
    ruleset_draw_json(ruleset, &out);
    buf_byte(&out, '\0');
    assert_string_equal(
        out.bytes,
        "{\"chain\":\"root\",\"node\":\"\\\"\",\"type\":\"rule-chain\",\"first\":false,\"to\":{\"Failure\":[\"c\"]},"
        "\"calls\":[\"z\"]}\n"
        "{\"chain\":\"root\",\"node\":\"b\",\"type\":\"compare\",\"first\":true,"
        "\"to\":{\"False\":[\"c\",\"\\\"\"],\"True\":[\"c\"]},\"calls\":[]}\n"
        "{\"chain\":\"root\",\"node\":\"c\",\"type\":\"log\",\"first\":false,\"to\":{},\"calls\":[]}\n"
        "{\"chain\":\"z\",\"node\":\"x\",\"type\":\"log\",\"first\":true,\"to\":{},\"calls\":[]}\n");
    buf_fini(&out);
    ruleset_destroy(ruleset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_node_is_a_chain),
        cmocka_unit_test(test_what_comes_one_after_the_other_stands_in_a_column),
        cmocka_unit_test(test_branches_come_in_the_order_written),
        cmocka_unit_test(test_a_node_is_drawn_where_it_is_first_met),
        cmocka_unit_test(test_relations_to_one_node_are_one_branch),
        cmocka_unit_test(test_chains_come_as_they_are_met_from_the_root),
        cmocka_unit_test(test_without_box_drawing_it_is_ascii),
        cmocka_unit_test(test_colours_take_no_room),
        cmocka_unit_test(test_wide_names_keep_the_column),
        cmocka_unit_test(test_a_long_name_moves_its_own_type_only),
        cmocka_unit_test(test_what_is_nested_too_deep_is_drawn_below),
        cmocka_unit_test(test_or_where_it_is_met_again_with_room),
        cmocka_unit_test(test_a_sequence_of_any_length_stays_in_its_column),
        cmocka_unit_test(test_diamonds_are_not_drawn_once_a_way),
        cmocka_unit_test(test_as_many_links_as_there_can_be),
        cmocka_unit_test(test_a_random_thicket),
        cmocka_unit_test(test_dot_has_clusters_and_joined_edges),
        cmocka_unit_test(test_dot_escapes_names),
        cmocka_unit_test(test_json_is_a_line_a_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* ruleset.h: what is a rule set, and the lines a person gets for one that isn't. */
#include "tests/unit/rules_model.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/limits.h"
#include "rules/ruleset.h"

/* All lines, each with a line end. */
static void collect(struct buf *out, const struct problems *problems)
{
    buf_clear(out);
    for (const struct problem *problem = problems->first; problem != NULL; problem = problem->next)
        buf_printf(out, "%s\n", problem->line);
    buf_byte(out, '\0');
}

static void expect_problems(const char *const *files, const char *expected)
{
    struct problems problems;
    struct buf lines = {.bytes = NULL};
    problems_init(&problems);
    struct ruleset *ruleset = rules_try(&problems, files);
    collect(&lines, &problems);
    if (ruleset != NULL)
        fail_msg("taken: %s", files[1]);
    assert_string_equal(lines.bytes, expected);
    buf_fini(&lines);
    problems_fini(&problems);
}

struct row {
    const char *yaml; /* root.yaml */
    const char *lines;
};

static void expect_rows(const struct row *rows, size_t row_count)
{
    for (size_t i = 0; i < row_count; i++)
        expect_problems((const char *const[]){"root.yaml", rows[i].yaml, NULL}, rows[i].lines);
}
#define EXPECT_ROWS(rows) expect_rows(rows, sizeof rows / sizeof rows[0])

#define ALL_TYPES                                                                                      \
    "check-fields, compare, copy-keys, delete-attributes, delete-keys, fetch-attributes, "              \
    "firmware-verdict, log, message-type-filter, message-type-switch, publish, rename-keys, "          \
    "rule-chain, save-attributes, save-telemetry, set"

#define LEAF(name) "chain: " name "\nfirst: l\nnodes: {l: {type: log}}\n"

static void test_files_that_are_no_chain(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"", "root.yaml:1:1: the file is empty; expected a chain: chain, first, nodes\n"},
        {"# nothing\n", "root.yaml:1:1: the file is empty; expected a chain: chain, first, nodes\n"},
        {"- a\n", "root.yaml:1:1: expected a chain (chain, first, nodes), got a list\n"},
        {"text\n", "root.yaml:1:1: expected a chain (chain, first, nodes), got a scalar\n"},
        {"chain: [\n",
         "root.yaml:2:1: not valid YAML: did not find expected node content while parsing a flow node\n"},
        {"first: l\nnodes: {l: {type: log}}\n",
         "root.yaml:1:1: the key 'chain' is missing: the chain's name\n"},
        {"chain:\nfirst: l\nnodes: {l: {type: log}}\n",
         "root.yaml:1:7: chain: expected a name, got nothing\n"},
        {"chain: {a: b}\nfirst: l\nnodes: {l: {type: log}}\n",
         "root.yaml:1:8: chain: expected a name, got a mapping\n"},
        {"chain: \"a\\tb\"\nfirst: l\nnodes: {l: {type: log}}\n",
         "root.yaml:1:8: chain: control characters aren't taken in a name\n"},
        {"chain: root\nnodes: {l: {type: log}}\n",
         "root.yaml:1:8: chain 'root': the key 'first' is missing: the node where a message starts\n"},
        {"chain: root\nfirst: l\n", "root.yaml:1:8: chain 'root': the key 'nodes' is missing\n"},
        {"chain: root\nfirst: l\nnodes: {}\n",
         "root.yaml:3:8: nodes: expected a mapping of at least one node, name: {type: ...}\n"},
        {"chain: root\nfirst: l\nnodes: [l]\n",
         "root.yaml:3:8: nodes: expected a mapping of at least one node, name: {type: ...}\n"},
        {"chain: root\nfirst: l\nnodes: {l: log}\n",
         "root.yaml:3:12: node 'l': expected {type: ...}, got a scalar\n"},
        {"chain: root\nfrist: l\nfirst: l\nnodes: {l: {type: log}}\n",
         "root.yaml:2:1: unknown key 'frist'; did you mean 'first'? Expected one of: chain, first, nodes, "
         "description\n"},
        {"chain: other\nfirst: l\nnodes: {l: {type: log}}\n",
         "rules: no chain is named 'root', the one that gets every message; found: other\n"},
    };
    EXPECT_ROWS(rows);
    expect_problems((const char *const[]){"a.yaml", LEAF("main"), "b.yaml", LEAF("Root"), NULL},
                    "rules: no chain is named 'root', the one that gets every message; found: Root, main; "
                    "is it 'Root'?\n");
}

static void test_unknown_words_come_with_the_nearest(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"chain: root\nfirst: l\nnodes: {l: {type: lgo}}\n",
         "root.yaml:3:19: unknown node type 'lgo'; did you mean 'log'? Expected one of: " ALL_TYPES "\n"},
        {"chain: root\nfirst: l\nnodes: {l: {type: teleport}}\n",
         "root.yaml:3:19: unknown node type 'teleport'; expected one of: " ALL_TYPES "\n"},
        {"chain: root\nfirst: l\nnodes: {l: {text: x}}\n",
         "root.yaml:3:9: node 'l': the setting 'type' is missing\n"},
        {"chain: root\nfirst: ll\nnodes: {l: {type: log}}\n",
         "root.yaml:2:8: unknown node 'll'; did you mean 'l'? Expected l\n"},
        {"chain: root\nfirst: l\nnodes: {l: {type: log, txt: x}}\n",
         "root.yaml:3:24: unknown setting of log 'txt'; did you mean 'text'? Expected one of: type, to, "
         "description, text\n"},
        {"chain: root\nfirst: l\nnodes: {l: {type: log, to: {Sucess: m}}, m: {type: log}}\n",
         "root.yaml:3:29: unknown relation of log 'Sucess'; did you mean 'Success'? Expected one of: "
         "Success, Failure\n"},
        {"chain: root\nfirst: l\nnodes: {l: {type: log, to: {Success: saev}}, save: {type: log}}\n",
         "root.yaml:3:38: unknown node 'saev'; did you mean 'save'? Expected one of: l, save\n"},
        {"chain: root\nfirst: l\nnodes: {l: {type: rule-chain, chain: rot}}\n",
         "root.yaml:3:38: unknown chain 'rot'; did you mean 'root'? Expected root\n"},
        {"chain: root\nfirst: s\nnodes: {s: {type: save-attributes, scope: SERVER}}\n",
         "root.yaml:3:43: scope: there is no 'SERVER'; expected one of: CLIENT_SCOPE, SHARED_SCOPE, "
         "SERVER_SCOPE\n"},
        {"chain: root\nfirst: s\nnodes: {s: {type: message-type-switch, to: {Post atributes: l}}, "
         "l: {type: log}}\n",
         "root.yaml:3:45: unknown relation of message-type-switch 'Post atributes'; did you mean 'Post "
         "attributes'? Expected one of: Post attributes, Post telemetry, RPC Request from Device, RPC "
         "Request to Device, Activity Event, Inactivity Event, Connect Event, Disconnect Event, Entity "
         "Created, Entity Updated, Entity Deleted, Entity Assigned, Entity Unassigned, Attributes Updated, "
         "Attributes Deleted, Alarm, ... (44 in all)\n"},
    };
    EXPECT_ROWS(rows);
}

static void test_links(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"chain: root\nfirst: l\nnodes: {l: {type: log, to: m}, m: {type: log}}\n",
         "root.yaml:3:28: to: expected {relation: node}, got a scalar\n"},
        {"chain: root\nfirst: l\nnodes: {l: {type: log, to: {Success: {m: n}}}, m: {type: log}}\n",
         "root.yaml:3:38: to: expected a name, got a mapping\n"},
        {"chain: root\nfirst: l\nnodes: {l: {type: log, to: {Success: }}}\n",
         "root.yaml:3:38: to: expected a name, got nothing\n"},
        {"chain: root\nfirst: l\nnodes: {l: {type: log, to: {Success: [m, m]}}, m: {type: log}}\n",
         "root.yaml:3:42: to: 'm' stands twice in the list\n"},
        {"chain: root\nfirst: l\nnodes: {l: {type: log, to: {Success: m, success: m}}, m: {type: log}}\n",
         "root.yaml:3:41: the relation 'success' stands twice\n"},
        {"chain: root\nfirst: l\nnodes: {l: {type: rule-chain, chain: b, to: {Success: m}}, "
         "m: {type: log}}\n",
         "root.yaml:3:38: unknown chain 'b'; expected root\n"
         "root.yaml:3:46: unknown relation of rule-chain 'Success'; expected Failure\n"},
        {"chain: root\nfirst: c\nnodes:\n  c: {type: compare, left: a, right: b, result: r, to: {Older: l}}\n"
         "  l: {type: log}\n",
         "root.yaml:4:57: unknown relation of this compare, as it is set, 'Older'; expected one of: "
         "Success, Failure\n"},
        {"chain: root\nfirst: c\nnodes:\n  c: {type: compare, left: a, right: b, as: version, "
         "to: {Success: l}}\n  l: {type: log}\n",
         "root.yaml:4:59: unknown relation of this compare, as it is set, 'Success'; expected one of: "
         "Older, Equal, Newer, Incomparable, Failure\n"},
        {"chain: root\nfirst: c\nnodes:\n  c: {type: compare, left: a, right: b, to: {Success: l}}\n"
         "  l: {type: log}\n",
         "root.yaml:4:46: unknown relation of this compare, as it is set, 'Success'; expected one of: "
         "True, False, Failure\n"},
        {"chain: root\nfirst: c\nnodes:\n  c: {type: compare, left: a, right: b, result: r, to: {True: l}}\n"
         "  l: {type: log}\n",
         "root.yaml:4:57: unknown relation of this compare, as it is set, 'True'; expected one of: "
         "Success, Failure\n"},
    };
    EXPECT_ROWS(rows);
}

static void test_graph(void **state)
{
    (void)state;
    static const struct row rows[] = {
        /* a node nobody reaches; what hangs behind it is not reported again */
        {"chain: root\nfirst: a\nnodes:\n  a: {type: log}\n  b: {type: log, to: {Success: c}}\n"
         "  c: {type: log}\n",
         "root.yaml:5:3: nothing leads to the node 'b': neither 'first' nor any 'to' names it\n"},
        {"chain: root\nfirst: a\nnodes:\n  a: {type: log, to: {Success: a}}\n",
         "root.yaml:4:32: nodes go in a circle: a -> a\n"},
        {"chain: root\nfirst: a\nnodes:\n  a: {type: log, to: {Success: b}}\n"
         "  b: {type: log, to: {Failure: c}}\n  c: {type: log, to: {Success: [d, b]}}\n  d: {type: log}\n",
         "root.yaml:6:36: nodes go in a circle: b -> c -> b\n"},
        {"chain: root\nfirst: a\nnodes: {a: {type: rule-chain, chain: root}}\n",
         "root.yaml:3:38: chains go in a circle: root -> root\n"},
        /* an unknown type makes no noise about what would hang behind it */
        {"chain: root\nfirst: a\nnodes:\n  a: {type: lgo, to: {Success: b}}\n"
         "  b: {type: rule-chain, chain: root}\n",
         "root.yaml:4:13: unknown node type 'lgo'; did you mean 'log'? Expected one of: " ALL_TYPES "\n"
         "root.yaml:5:32: chains go in a circle: root -> root\n"},
        /* two ways to one node are no circle */
        {"chain: root\nfirst: a\nnodes:\n  a: {type: log, to: {Success: [b, c]}}\n"
         "  b: {type: log, to: {Success: d}}\n  c: {type: log, to: {Success: d}}\n  d: {type: lgo}\n",
         "root.yaml:7:13: unknown node type 'lgo'; did you mean 'log'? Expected one of: " ALL_TYPES "\n"},
    };
    EXPECT_ROWS(rows);
}

#define CALL(name, other) "chain: " name "\nfirst: l\nnodes: {l: {type: rule-chain, chain: " other "}}\n"

static void test_chains_among_each_other(void **state)
{
    (void)state;
    static const struct {
        const char *files[9];
        const char *lines;
    } rows[] = {
        {{"a.yaml", LEAF("root"), "b.yaml", "\n" LEAF("root"), NULL},
         "b.yaml:2:8: the chain 'root' is already in a.yaml:1\n"},
        {{"a.yaml", LEAF("root"), "b.yaml", LEAF("lost"), NULL},
         "b.yaml:1:8: nothing leads to the chain 'lost': no rule-chain node names it\n"},
        {{"a.yaml", LEAF("root"), "b.yaml", CALL("lost", "deep"), "c.yaml", LEAF("deep"), NULL},
         "b.yaml:1:8: nothing leads to the chain 'lost': no rule-chain node names it\n"},
        {{"a.yaml", CALL("root", "b"), "b.yaml", CALL("b", "c"), "c.yaml", CALL("c", "b"), NULL},
         "c.yaml:3:38: chains go in a circle: b -> c -> b\n"},
        {{"a.yaml", CALL("root", "b"), "b.yaml", CALL("b", "root"), NULL},
         "a.yaml:3:38: chains go in a circle: b -> root -> b\n"},
        /* a file that can't be read: what it may hold is not called unknown or unreached */
        {{"a.yaml", CALL("root", "b"), "b.yaml", "chain: b\nfirst: [\n", "c.yaml", LEAF("c"), NULL},
         "b.yaml:3:1: not valid YAML: did not find expected node content while parsing a flow node\n"},
        {{"a.yaml", "chain: [\n", "b.yaml", LEAF("b"), NULL},
         "a.yaml:2:1: not valid YAML: did not find expected node content while parsing a flow node\n"},
        /* a misspelt rule-chain: the chain it named is not called unreached */
        {{"a.yaml", "chain: root\nfirst: l\nnodes: {l: {type: rule-chian, chain: b}}\n", "b.yaml", LEAF("b"),
          NULL},
         "a.yaml:3:19: unknown node type 'rule-chian'; did you mean 'rule-chain'? Expected one of: " ALL_TYPES
         "\n"},
        {{"a.yaml", CALL("root", "bb"), "b.yaml", LEAF("b"), NULL},
         "a.yaml:3:38: unknown chain 'bb'; did you mean 'b'? Expected one of: b, root\n"},
        {{"../a.yaml", LEAF("root"), NULL},
         "rules: '../a.yaml': expected a file name that ends in .yaml or .yml and begins with no '.', with its text\n"},
        {{"a.txt", LEAF("root"), NULL},
         "rules: 'a.txt': expected a file name that ends in .yaml or .yml and begins with no '.', with its text\n"},
        {{"x/a.yaml", LEAF("root"), NULL},
         "rules: 'x/a.yaml' can't be a rule file's name; expected UTF-8 without '/' or control "
         "characters\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_problems(rows[i].files, rows[i].lines);
}

/* `lines` with `prefix` in front of each, and a NUL. */
static void add_lines(struct buf *out, const char *prefix, const char *lines)
{
    bool at_start = true;
    for (; *lines != '\0'; lines++) {
        if (at_start)
            buf_append(out, text_of(prefix));
        buf_byte(out, *lines);
        at_start = *lines == '\n';
    }
    buf_byte(out, '\0');
}

/* One node with these settings; the lines without "root.yaml:". */
static void test_settings(void **state)
{
    (void)state;
    static const struct {
        const char *node;
        const char *lines;
    } rows[] = {
        {"{type: compare}", "4:3: node 'n': the setting 'left' is missing\n"
                            "4:3: node 'n': the setting 'right' is missing\n"},
        {"{type: compare, left: a, right: b, as: versoin}",
         "4:45: as: there is no 'versoin'; did you mean 'version'? Expected one of: exact, version\n"},
        {"{type: compare, left: '${a', right: '$[]', result: r}",
         "4:28: left: '${' without its '}'\n4:42: right: '$[]' names no key\n"},
        {"{type: compare, left: [a], right: b, result: ''}",
         "4:28: left: expected a text, got a list\n4:51: result: expected a key of 1 to 255 bytes\n"},
        {"{type: compare, left: , right: b, result: r}", "4:28: left: expected a text, got nothing\n"},
        {"{type: fetch-attributes}", "4:3: node 'n': there is nothing to fetch; expected client, shared, "
                                     "server or telemetry with a list of keys\n"},
        {"{type: fetch-attributes, client: []}",
         "4:3: node 'n': there is nothing to fetch; expected client, shared, server or telemetry with a "
         "list of keys\n"},
        {"{type: fetch-attributes, client: [a, a]}", "4:43: client: 'a' stands twice in the list\n"},
        {"{type: fetch-attributes, client: {a: b}}",
         "4:39: client: expected a text or a list of texts, got a mapping\n"},
        {"{type: fetch-attributes, client: [a, [b]]}",
         "4:43: client: expected a text or a list of texts, got a list\n"},
        {"{type: fetch-attributes, client: a, into: body, require: yes}",
         "4:48: into: there is no 'body'; expected one of: metadata, data\n"
         "4:63: expected true or false, got 'yes'\n"},
        {"{type: save-attributes}", "4:3: node 'n': the setting 'scope' is missing\n"},
        {"{type: save-attributes, scope: SERVER_SCOPE, keys: []}",
         "4:57: keys: the list is empty; leave 'keys' out to save all\n"},
        {"{type: save-attributes, scope: LATEST_TELEMETRY}",
         "4:37: scope: there is no 'LATEST_TELEMETRY'; expected one of: CLIENT_SCOPE, SHARED_SCOPE, "
         "SERVER_SCOPE\n"},
        {"{type: save-telemetry, keys: []}",
         "4:35: keys: the list is empty; leave 'keys' out to save all\n"},
        {"{type: publish, class: c, data: [a, b, a], metadata: {a: b}}",
         "4:45: data: 'a' stands twice in the list\n"
         "4:59: metadata: expected a text or a list of texts, got a mapping\n"},
        {"{type: delete-attributes, scope: SERVER_SCOPE, keys: []}", "4:59: keys: the list is empty\n"},
        {"{type: set}", "4:3: node 'n': there is nothing to set; expected 'metadata' or 'data'\n"},
        {"{type: set, data: {}}", "4:24: data: the mapping is empty\n"},
        {"{type: set, data: x}", "4:24: data: expected a mapping (key: text), got a text\n"},
        {"{type: set, data: {a: [1]}}", "4:28: data: expected a text, got a list\n"},
        {"{type: set, data: {'': b}}", "4:25: data: a key of 0 bytes; expected 1 to 255\n"},
        {"{type: set, data: {a: 9007199254740993000}}",
         "4:24: data: the number 9007199254740993000 is too large to hold exactly; put it in quotes to have "
         "it as a string\n"},
        {"{type: set, data: {a: 9007199254740993}}",
         "4:24: data: the number 9007199254740993 is too large to hold exactly; put it in quotes to have it as a "
         "string\n"},
        {"{type: set, data: {a: -9007199254740993}}",
         "4:24: data: the number -9007199254740993 is too large to hold exactly; put it in quotes to have it as a "
         "string\n"},
        {"{type: set, data: {a: 99999999999999999999}}",
         "4:24: data: the number 99999999999999999999 is too large to hold exactly; put it in quotes to have it as a "
         "string\n"},
        {"{type: set, data: {a: 1e999}}", "4:24: data: the number 1e999 is too large to hold exactly; put it "
                                          "in quotes to have it as a string\n"},
        {"{type: rename-keys}", "4:3: node 'n': the setting 'keys' is missing\n"},
        {"{type: rename-keys, keys: {a: '${b}'}}",
         "4:32: keys: '${b}': names are taken as written, without ${ } and $[ ]\n"},
        {"{type: rename-keys, keys: {a: ''}}", "4:32: keys: 'a' needs a new name of 1 to 255 bytes\n"},
        {"{type: copy-keys}", "4:3: node 'n': the setting 'from' is missing\n"
                              "4:3: node 'n': the setting 'keys' is missing\n"},
        {"{type: delete-keys, from: dta, keys: a}",
         "4:32: from: there is no 'dta'; did you mean 'data'? Expected one of: data, metadata\n"},
        {"{type: publish}", "4:3: node 'n': the setting 'class' is missing\n"},
        {"{type: publish, class: Sync}", "4:29: class: 'Sync' can't be a class; expected a small letter, then "
                                         "up to 31 small letters, digits or '-'\n"},
        {"{type: publish, class: a23456789012345678901234567890123}",
         "4:29: class: 'a23456789012345678901234567890123' can't be a class; expected a small letter, then up "
         "to 31 small letters, digits or '-'\n"},
        {"{type: publish, class: attributes}",
         "4:29: class: 'attributes' is the engine's own class; take another\n"},
        {"{type: publish, class: deadletter}",
         "4:29: class: 'deadletter' is the engine's own class; take another\n"},
        {"{type: publish, class: heartbeat}",
         "4:29: class: 'heartbeat' is the engine's own class; take another\n"},
        {"{type: publish, class: batch}", "4:29: class: 'batch' is the engine's own word: batches of results have "
                                          "topics that begin with it; take another\n"},
        {"{type: publish, class: a, on: chnage}",
         "4:36: on: there is no 'chnage'; did you mean 'change'? Expected one of: change, always\n"},
        {"{type: message-type-filter}", "4:3: node 'n': the setting 'types' is missing\n"},
        {"{type: message-type-filter, types: [post_attributes_request, Mine]}",
         "4:41: types: 'post_attributes_request' never comes; did you mean 'POST_ATTRIBUTES_REQUEST'?\n"},
        {"{type: message-type-switch, on: x}",
         "4:34: unknown setting of message-type-switch 'on'; expected one of: type, to, description\n"},
        {"{type: rule-chain}", "4:3: node 'n': the setting 'chain' is missing\n"},
        {"{type: check-fields, all: 1}", "4:32: expected true or false, got '1'\n"},
        {"{type: log, text: {a: b}}", "4:24: text: expected a text, got a mapping\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char yaml[512];
        snprintf(yaml, sizeof yaml, "chain: root\nfirst: n\nnodes:\n  n: %s\n", rows[i].node);
        struct buf expected = {.bytes = NULL};
        add_lines(&expected, "root.yaml:", rows[i].lines);
        expect_problems((const char *const[]){"root.yaml", yaml, NULL}, expected.bytes);
        buf_fini(&expected);
    }
}

static void test_all_problems_are_listed(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"chain: root\nfirst: a\nextra: 1\nnodes:\n  a: {type: lgo, to: {Success: x}}\n"
         "  b: {type: publish, class: X, speed: 1}\n",
         "root.yaml:3:1: unknown key 'extra'; expected one of: chain, first, nodes, description\n"
         "root.yaml:5:13: unknown node type 'lgo'; did you mean 'log'? Expected one of: " ALL_TYPES "\n"
         "root.yaml:5:32: unknown node 'x'; did you mean 'a'? Expected one of: a, b\n"
         "root.yaml:6:29: class: 'X' can't be a class; expected a small letter, then up to 31 small letters, "
         "digits or '-'\n"
         "root.yaml:6:32: unknown setting of publish 'speed'; expected one of: type, to, description, "
         "class, on, data, metadata\n"},
    };
    EXPECT_ROWS(rows);
}

/* --- what is right ---------------------------------------------------------------------------------- */

static void test_relations_are_matched_whatever_their_case(void **state)
{
    (void)state;
    ruleset_destroy(rules_of("chain: root\nfirst: s\nnodes:\n"
                             "  s: {type: message-type-switch, to: {post ATTRIBUTES: l, failure: l}}\n"
                             "  l: {type: log}\n"));
}

static void test_accessors_tell_chains_and_classes(void **state)
{
    (void)state;
    struct problems problems;
    problems_init(&problems);
    struct ruleset *ruleset = rules_try(
        &problems,
        (const char *const[]){
            "z.yaml", "chain: a\nfirst: p\nnodes: {p: {type: publish, class: two}}\n", "a.yaml",
            "chain: root\nfirst: p\nnodes:\n  p: {type: publish, class: one, to: {Success: [q, c]}}\n"
            "  q: {type: publish, class: two, to: {Success: r}}\n  r: {type: publish, class: one}\n"
            "  c: {type: rule-chain, chain: a}\n",
            NULL});
    problems_print(&problems);
    assert_non_null(ruleset);
    assert_int_equal(problems.count, 0);
    assert_int_equal(ruleset_chain_count(ruleset), 2);
    assert_true(text_is(ruleset_chain_name(ruleset, 0), "a"));
    assert_true(text_is(ruleset_chain_name(ruleset, 1), "root"));
    assert_int_equal(ruleset_chain_node_count(ruleset, 1), 4);
    assert_int_equal(ruleset_class_count(ruleset), 2);
    assert_true(text_is(ruleset_class_name(ruleset, 0), "two")); /* chains in name order */
    assert_true(text_is(ruleset_class_name(ruleset, 1), "one"));
    ruleset_destroy(ruleset);
    problems_fini(&problems);
}

static void test_a_bundle_is_canonical(void **state)
{
    (void)state;
    static const char root[] = "chain: root\nfirst: c\nnodes: {c: {type: rule-chain, chain: leaf}}\n";
    struct problems problems;
    problems_init(&problems);
    struct ruleset *one = rules_try(
        &problems, (const char *const[]){"root.yaml", root, "a.yml", LEAF("leaf"), NULL});
    struct ruleset *other = rules_try(
        &problems, (const char *const[]){"a.yml", LEAF("leaf"), "root.yaml", root, NULL});
    struct ruleset *again = ruleset_load_bundle(ruleset_bundle(one), &problems);
    assert_non_null(one);
    assert_non_null(other);
    assert_non_null(again);
    assert_true(text_equal(ruleset_bundle(one), ruleset_bundle(other)));
    assert_true(text_equal(ruleset_bundle(one), ruleset_bundle(again)));
    assert_true(text_equal(ruleset_version(one), ruleset_version(again)));
    assert_int_equal(ruleset_version(one).len, 16);
    assert_true(text_starts(ruleset_bundle(one), TEXT("{\"a.yml\":\"chain: leaf\\n")));
    ruleset_destroy(one);
    ruleset_destroy(other);
    ruleset_destroy(again);
    struct ruleset *changed = rules_try(
        &problems, (const char *const[]){"a.yml", LEAF("leaf") "#", "root.yaml", root, NULL});
    one = rules_try(&problems,
                    (const char *const[]){"a.yml", LEAF("leaf"), "root.yaml", root, NULL});
    assert_false(text_equal(ruleset_version(one), ruleset_version(changed)));
    ruleset_destroy(one);
    ruleset_destroy(changed);
    problems_fini(&problems);
}

static void test_a_bad_bundle_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bundle;
        const char *lines;
    } rows[] = {
        {"", "rules: empty, where JSON was expected\n"},
        {"[]", "rules: expected a JSON object: {...}\n"},
        {"{}", "rules: 0 rule files; expected 1 to 1000\n"},
        {"{\"a.yaml\":1}", "rules: 'a.yaml': expected a file name that ends in .yaml or .yml and begins with no '.', with its text\n"},
        {"{\".yaml\":\"\"}", "rules: '.yaml': expected a file name that ends in .yaml or .yml and begins with no '.', with its text\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct problems problems;
        struct buf lines = {.bytes = NULL};
        problems_init(&problems);
        assert_null(ruleset_load_bundle(text_of(rows[i].bundle), &problems));
        collect(&lines, &problems);
        assert_string_equal(lines.bytes, rows[i].lines);
        buf_fini(&lines);
        problems_fini(&problems);
    }
}

static void test_the_shipped_rules_are_right(void **state)
{
    (void)state;
    struct ruleset *ruleset = rules_shipped();
    assert_int_equal(ruleset_chain_count(ruleset), 2);
    assert_true(text_is(ruleset_chain_name(ruleset, 0), "firmware-synced"));
    assert_int_equal(ruleset_class_count(ruleset), 1);
    assert_true(text_is(ruleset_class_name(ruleset, 0), "sync"));
    ruleset_destroy(ruleset);
    ruleset_destroy(NULL);
}

/* --- bounds ----------------------------------------------------------------------------------------- */

/* A chain of `count` nodes, each leading to the next. */
static void write_long_chain(struct buf *yaml, int count)
{
    buf_clear(yaml);
    buf_append(yaml, TEXT("chain: root\nfirst: n0\nnodes:\n"));
    for (int i = 0; i < count; i++) {
        if (i + 1 < count)
            buf_printf(yaml, "  n%d: {type: log, to: {Success: n%d}}\n", i, i + 1);
        else
            buf_printf(yaml, "  n%d: {type: log}\n", i);
    }
    buf_byte(yaml, '\0');
}

static void test_nodes_are_bounded(void **state)
{
    (void)state;
    struct buf yaml = {.bytes = NULL};
    write_long_chain(&yaml, 1000);
    ruleset_destroy(rules_of(yaml.bytes));
    write_long_chain(&yaml, 1001);
    expect_problems((const char *const[]){"root.yaml", yaml.bytes, NULL},
                    "root.yaml:4:3: nodes: 1001 nodes; at most 1000 in a chain\n");
    buf_fini(&yaml);
}

/* And nothing is said of what the list would have led to. */
static void test_links_are_bounded(void **state)
{
    (void)state;
    struct buf yaml = {.bytes = NULL};
    buf_append(&yaml, TEXT("chain: root\nfirst: l\nnodes:\n  l: {type: log, to: {Success: [m"));
    for (int i = 0; i < 1000; i++)
        buf_append(&yaml, TEXT(",m"));
    buf_append(&yaml, TEXT("]}}\n  m: {type: log}\n"));
    buf_byte(&yaml, '\0');
    expect_problems((const char *const[]){"root.yaml", yaml.bytes, NULL},
                    "root.yaml:4:32: to: a list of more than 1000 nodes\n");
    buf_fini(&yaml);
}

static void test_classes_are_bounded(void **state)
{
    (void)state;
    for (int count = CLASS_COUNT_MAX; count <= CLASS_COUNT_MAX + 1; count++) {
        struct buf yaml = {.bytes = NULL};
        buf_append(&yaml, TEXT("chain: root\nfirst: n0\nnodes:\n"));
        for (int i = 0; i < count; i++)
            buf_printf(&yaml, "  n%d: {type: publish, class: c%d, to: {Success: n%d}}\n", i, i, i + 1);
        buf_printf(&yaml, "  n%d: {type: log}\n", count);
        buf_byte(&yaml, '\0');
        if (count == CLASS_COUNT_MAX)
            ruleset_destroy(rules_of(yaml.bytes));
        else
            expect_problems((const char *const[]){"root.yaml", yaml.bytes, NULL},
                            "root.yaml:68:31: class: 'c64' is one class too many; at most 64\n");
        buf_fini(&yaml);
    }
}

static void test_a_bundle_is_bounded(void **state)
{
    (void)state;
    struct buf yaml = {.bytes = NULL};
    buf_append(&yaml, TEXT(LEAF("root") "#"));
    while (yaml.len < REQUEST_BYTES_MAX - 8)
        buf_byte(&yaml, '#');
    buf_byte(&yaml, '\0');
    expect_problems((const char *const[]){"root.yaml", yaml.bytes, NULL},
                    "rules: the rules have 1048587 bytes as one bundle; at most 1047552 are taken\n");
    buf_fini(&yaml);
}

static void test_files_are_bounded(void **state)
{
    (void)state;
    enum { CHAIN_COUNT_MAX = 1000 };
    for (int count = CHAIN_COUNT_MAX; count <= CHAIN_COUNT_MAX * 3; count += CHAIN_COUNT_MAX * 2) {
        struct problems problems;
        struct buf bundle = {.bytes = NULL}, lines = {.bytes = NULL};
        problems_init(&problems);
        buf_append(&bundle, TEXT("{\"root.yaml\":\"chain: root\\nfirst: n1\\nnodes:"));
        for (int i = 1; i < CHAIN_COUNT_MAX; i++)
            buf_printf(&bundle, "\\n  n%d: {type: rule-chain, chain: c%d, to: {Failure: n%d}}", i, i, i + 1);
        buf_printf(&bundle, "\\n  n%d: {type: log}\"", CHAIN_COUNT_MAX);
        for (int i = 1; i < count; i++)
            buf_printf(&bundle, ",\"%d.yaml\":\"chain: c%d\\nfirst: l\\nnodes: {l: {type: log}}\"", i, i);
        buf_byte(&bundle, '}');
        struct ruleset *ruleset = ruleset_load_bundle(buf_text(&bundle), &problems);
        collect(&lines, &problems);
        assert_string_equal(lines.bytes,
                            count == CHAIN_COUNT_MAX ? "" : "rules: 3000 rule files; expected 1 to 1000\n");
        assert_int_equal(ruleset != NULL, count == CHAIN_COUNT_MAX);
        ruleset_destroy(ruleset);
        buf_fini(&bundle);
        buf_fini(&lines);
        problems_fini(&problems);
    }
}

/* --- directories ------------------------------------------------------------------------------------ */

struct dir {
    char path[64];
};

static int dir_setup(void **state)
{
    struct dir *dir = calloc(1, sizeof *dir);
    snprintf(dir->path, sizeof dir->path, "/tmp/fwsync-rules-XXXXXX");
    *state = dir;
    return mkdtemp(dir->path) == NULL ? -1 : 0;
}

static int dir_teardown(void **state)
{
    struct dir *dir = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir->path);
    int status = system(command);
    free(dir);
    return status;
}

static void write_file(const struct dir *dir, const char *name, struct text text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir->path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text.bytes, text.len), text.len);
    close(fd);
}

static void expect_dir(const struct dir *dir, const char *path, const char *expected)
{
    struct problems problems;
    struct buf lines = {.bytes = NULL}, wanted = {.bytes = NULL};
    problems_init(&problems);
    assert_null(ruleset_load_dir(path, &problems));
    collect(&lines, &problems);
    for (const char *at = expected; *at != '\0'; at++) { /* DIR stands for the path */
        if (strncmp(at, "DIR", 3) == 0) {
            buf_append(&wanted, text_of(dir->path));
            at += 2;
        } else {
            buf_byte(&wanted, *at);
        }
    }
    buf_byte(&wanted, '\0');
    assert_string_equal(lines.bytes, wanted.bytes);
    buf_fini(&lines);
    buf_fini(&wanted);
    problems_fini(&problems);
}

static void test_a_directory_is_read_in_name_order(void **state)
{
    const struct dir *dir = *state;
    struct problems problems;
    problems_init(&problems);
    write_file(dir, "b.yml", TEXT(LEAF("leaf")));
    write_file(dir, "a.yaml", TEXT("chain: root\nfirst: c\nnodes: {c: {type: rule-chain, chain: leaf}}\n"));
    write_file(dir, "notes.txt", TEXT("not: [a chain"));
    write_file(dir, ".hidden.yaml", TEXT("not: [a chain"));
    char below[128];
    snprintf(below, sizeof below, "%s/below", dir->path);
    assert_int_equal(mkdir(below, 0755), 0);
    struct ruleset *ruleset = ruleset_load_dir(dir->path, &problems);
    problems_print(&problems);
    assert_non_null(ruleset);
    assert_true(text_starts(ruleset_bundle(ruleset), TEXT("{\"a.yaml\":\"chain: root")));
    ruleset_destroy(ruleset);
    problems_fini(&problems);
}

static void test_a_directory_shows_its_path_in_problems(void **state)
{
    const struct dir *dir = *state;
    char path[128];
    expect_dir(dir, dir->path, "DIR: no *.yaml or *.yml file in this directory; expected at least root.yaml\n");
    snprintf(path, sizeof path, "%s/none", dir->path);
    expect_dir(dir, path, "DIR/none: the rules directory can't be opened: No such file or directory\n");
    write_file(dir, "a.yaml", TEXT("chain: root\nfirst: x\nnodes: {l: {type: log}}\n"));
    expect_dir(dir, dir->path, "DIR/a.yaml:2:8: unknown node 'x'; did you mean 'l'? Expected l\n");
    snprintf(path, sizeof path, "%s/a.yaml", dir->path);
    expect_dir(dir, path, "DIR/a.yaml: is a file; expected the folder it is in: DIR\n");
    snprintf(path, sizeof path, "%s/a.yaml/b", dir->path);
    expect_dir(dir, path, "DIR/a.yaml/b: the rules directory can't be opened: Not a directory\n");
    expect_dir(dir, "Makefile", "Makefile: is a file; expected the folder it is in: .\n");
    snprintf(path, sizeof path, "%s/", dir->path);
    expect_dir(dir, path, "DIR/a.yaml:2:8: unknown node 'x'; did you mean 'l'? Expected l\n");
}

static void test_a_file_that_cant_be_read_doesnt_hide_the_others(void **state)
{
    const struct dir *dir = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/a.yaml", dir->path);
    assert_int_equal(symlink("/nowhere", path), 0);
    snprintf(path, sizeof path, "%s/b.yaml", dir->path);
    assert_int_equal(mkdir(path, 0755), 0);
    write_file(dir, "c.yaml", TEXT("chain: root\nfirst: l\nnodes: {l: {type: lgo}}\n"));
    struct buf large = {.bytes = NULL};
    while (large.len <= REQUEST_BYTES_MAX)
        buf_append(&large, TEXT("# a comment\n"));
    write_file(dir, "d.yaml", buf_text(&large));
    buf_fini(&large);
    struct problems problems;
    struct buf lines = {.bytes = NULL};
    problems_init(&problems);
    assert_null(ruleset_load_dir(dir->path, &problems));
    collect(&lines, &problems);
    assert_int_equal(problems.count, 4);
    assert_non_null(strstr(lines.bytes, "/a.yaml: can't be opened: No such file or directory\n"));
    assert_non_null(strstr(lines.bytes, "/b.yaml: not a file\n"));
    assert_non_null(strstr(lines.bytes, "/c.yaml:3:19: unknown node type 'lgo'"));
    assert_non_null(strstr(lines.bytes, "/d.yaml:1:1: the file has 1048584 bytes; at most 1048576 are read\n"));
    buf_fini(&lines);
    problems_fini(&problems);
}

/* --- the examples in docs/rules.md ------------------------------------------------------------------ */

/* Takes the next ```yaml block; NULL at the end. */
static char *next_example(char **at)
{
    char *start = strstr(*at, "```yaml\n");
    if (start == NULL)
        return NULL;
    start += strlen("```yaml\n");
    char *end = strstr(start, "```");
    assert_non_null(end);
    *end = '\0';
    *at = end + 1;
    return start;
}

/* Nodes without a chain around them: the first one starts, and nothing else is added. */
static void wrap_nodes(struct buf *out, const char *nodes)
{
    buf_printf(out, "chain: root\nfirst: %.*s\nnodes:\n", (int)strcspn(nodes, ":"), nodes);
    add_lines(out, "  ", nodes);
}

static void test_every_example_in_the_documentation_loads(void **state)
{
    (void)state;
    FILE *file = fopen("docs/rules.md", "r"); /* tests run at the top of the repository */
    assert_non_null(file);
    static char text[256 * 1024];
    size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = '\0';
    int count = 0;
    char *at = text;
    for (char *example; (example = next_example(&at)) != NULL; count++) {
        struct buf yaml = {.bytes = NULL};
        if (strncmp(example, "chain: ", 7) == 0 || strstr(example, "\nchain: ") != NULL)
            buf_printf(&yaml, "%s%c", example, '\0');
        else
            wrap_nodes(&yaml, example);
        struct problems problems;
        problems_init(&problems);
        bool needs_leaf = strstr(yaml.bytes, "chain: firmware-synced\n") != NULL;
        struct ruleset *ruleset = rules_try(
            &problems, (const char *const[]){"root.yaml", yaml.bytes, needs_leaf ? "leaf.yaml" : NULL,
                                             LEAF("firmware-synced"), NULL});
        if (ruleset == NULL)
            fail_msg("%s\n%s", problems.first->line, yaml.bytes);
        ruleset_destroy(ruleset);
        problems_fini(&problems);
        buf_fini(&yaml);
    }
    assert_true(count >= 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_that_are_no_chain),
        cmocka_unit_test(test_unknown_words_come_with_the_nearest),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_graph),
        cmocka_unit_test(test_chains_among_each_other),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_all_problems_are_listed),
        cmocka_unit_test(test_relations_are_matched_whatever_their_case),
        cmocka_unit_test(test_accessors_tell_chains_and_classes),
        cmocka_unit_test(test_a_bundle_is_canonical),
        cmocka_unit_test(test_a_bad_bundle_is_refused),
        cmocka_unit_test(test_the_shipped_rules_are_right),
        cmocka_unit_test(test_nodes_are_bounded),
        cmocka_unit_test(test_links_are_bounded),
        cmocka_unit_test(test_classes_are_bounded),
        cmocka_unit_test(test_a_bundle_is_bounded),
        cmocka_unit_test(test_files_are_bounded),
        cmocka_unit_test_setup_teardown(test_a_directory_is_read_in_name_order, dir_setup, dir_teardown),
        cmocka_unit_test_setup_teardown(test_a_directory_shows_its_path_in_problems, dir_setup,
                                        dir_teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_cant_be_read_doesnt_hide_the_others, dir_setup,
                                        dir_teardown),
        cmocka_unit_test(test_every_example_in_the_documentation_loads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

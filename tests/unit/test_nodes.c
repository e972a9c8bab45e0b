/* The node types, each in a small chain: what an event does to the device and to the message.
 *
 * A row is one node `n` with everything it needs; the message as it leaves is published in class `full`
 * with data and metadata, by the node that follows the relation of the same name. */
#include "tests/unit/rules_model.h"

#include "engine/base/limits.h"
#include "plugins/fwsync_plugin.h"

/* Runs one event through `yaml` with these attributes stored ("scope key json", ...). */
static void expect_run(const char *yaml, const char *const *stored, const char *event,
                       const char *expected)
{
    struct ruleset *ruleset = rules_of(yaml);
    struct model model;
    model_init(&model);
    for (size_t i = 0; stored != NULL && stored[i] != NULL; i += 3) {
        enum scope scope;
        struct value value;
        bool changed;
        assert_true(scope_parse_short(text_of(stored[i]), &scope));
        assert_true(json_parse_value(text_of(stored[i + 2]), &model.arena, &model.arena, &value, NULL));
        assert_true(model_put(&model, scope, text_of(stored[i + 1]), &value, 500, 1, &changed, NULL));
    }
    assert_string_equal(model_run(&model, ruleset, event), expected);
    model_fini(&model);
    ruleset_destroy(ruleset);
}

static void expect_deadline_passed(const char *yaml, const char *expected)
{
    struct ruleset *ruleset = rules_of(yaml);
    struct model model;
    model_init(&model);
    assert_string_equal(model_deadline_passed(&model, ruleset, 1000), expected);
    model_fini(&model);
    ruleset_destroy(ruleset);
}

/* A node whose Success leads to a publisher of everything. */
#define NODE(settings)                                                                                 \
    "chain: root\nfirst: n\nnodes:\n  n: {" settings ", to: {Success: out}}\n"                         \
    "  out: {type: publish, class: full, on: always}\n"

#define EVENT(data) "{\"device\":\"E\",\"type\":\"X\",\"data\":" data "}"
#define EVENT_WITH(metadata, data)                                                                     \
    "{\"device\":\"E\",\"type\":\"X\",\"metadata\":" metadata ",\"data\":" data "}"
#define METADATA "\"deviceName\":\"E\",\"deviceType\":\"default\",\"ts\":\"1000\""

struct row {
    const char *yaml;
    const char *const *stored;
    const char *event;
    const char *happenings;
};

static void expect_rows(const struct row *rows, size_t row_count)
{
    for (size_t i = 0; i < row_count; i++)
        expect_run(rows[i].yaml, rows[i].stored, rows[i].event, rows[i].happenings);
}
#define EXPECT_ROWS(rows) expect_rows(rows, sizeof rows / sizeof rows[0])
#define STORED(...) (const char *const[]){__VA_ARGS__, NULL}

/* --- branching by the message's type ---------------------------------------------------------------- */

static void test_message_type_switch_knows_every_type(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        const char *relation;
    } types[] = {
#define X(name, relation) {name, relation},
        FWSYNC_MESSAGE_TYPES(X)
#undef X
        {"MINE", "Other"},
        {"post_attributes_request", "Other"},
        {"ALARM_DELETE", "Other"},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        char yaml[512], event[256];
        snprintf(yaml, sizeof yaml,
                 "chain: root\nfirst: n\nnodes:\n  n: {type: message-type-switch, to: {%s: l}}\n"
                 "  l: {type: log, text: '%s'}\n",
                 types[i].relation, types[i].relation);
        bool write = strcmp(types[i].type, "ATTRIBUTES_UPDATED") == 0;
        snprintf(event, sizeof event, "{\"device\":\"E\",\"type\":\"%s\"%s,\"data\":{}}", types[i].type,
                 write ? ",\"scope\":\"CLIENT_SCOPE\"" : "");
        char expected[128];
        snprintf(expected, sizeof expected, "log root/l: %s\n", types[i].relation);
        if (strcmp(types[i].type, "DEADLINE_PASSED") == 0)
            expect_deadline_passed(yaml, expected);
        else
            expect_run(yaml, NULL, event, expected);
        expect_run(yaml, NULL, "{\"device\":\"E\",\"type\":\"POST_TELEMETRY_REQUEST\",\"data\":{}}",
                   strcmp(types[i].relation, "Post telemetry") == 0 ? expected : "");
    }
}

static void test_message_type_filter(void **state)
{
    (void)state;
#define FILTER(types)                                                                                  \
    "chain: root\nfirst: n\nnodes:\n  n: {type: message-type-filter, types: " types                    \
    ", to: {True: t, False: f}}\n  t: {type: log, text: yes}\n  f: {type: log, text: no}\n"
    const struct row rows[] = {
        {FILTER("[CONNECT_EVENT, MINE]"), NULL, "{\"device\":\"E\",\"type\":\"CONNECT_EVENT\"}",
         "log root/t: yes\n"},
        {FILTER("[CONNECT_EVENT, MINE]"), NULL, "{\"device\":\"E\",\"type\":\"MINE\"}",
         "log root/t: yes\n"},
        {FILTER("[CONNECT_EVENT, MINE]"), NULL, "{\"device\":\"E\",\"type\":\"mine\"}", "log root/f: no\n"},
        {FILTER("[CONNECT_EVENT, MINE]"), NULL, "{\"device\":\"E\",\"type\":\"ALARM\"}",
         "log root/f: no\n"},
        {FILTER("MINE"), NULL, "{\"device\":\"E\",\"type\":\"CONNECT_EVENT\"}", "log root/f: no\n"},
    };
    EXPECT_ROWS(rows);
}

/* --- fetch-attributes ------------------------------------------------------------------------------- */

#define FIFTY "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define LONG_KEY FIFTY FIFTY FIFTY FIFTY FIFTY

static void test_fetch_attributes(void **state)
{
    (void)state;
    static const char *const stored[] = {
        "client", "a", "\"c\"", "shared", "a", "1",       "server", "a",   "true", "telemetry", "a", "1.0",
        "client", "s", "\"\"",  "server", "o", "{\"p\":1}", "server", "k-E", "7",    NULL,
    };
    const struct row rows[] = {
        {NODE("type: fetch-attributes, client: a, shared: [a], server: [a, o], telemetry: [a]"), stored,
         EVENT("{}"),
         "full {} {" METADATA ",\"cs_a\":\"c\",\"shared_a\":\"1\",\"ss_a\":\"true\","
         "\"ss_o\":\"{\\\"p\\\":1}\",\"a\":\"1.0\"}\n"},
        {NODE("type: fetch-attributes, client: a, shared: [a], server: [a, o], telemetry: [a], into: data"),
         stored, EVENT("{\"x\":1}"),
         "full {\"x\":1,\"cs_a\":\"c\",\"shared_a\":1,\"ss_a\":true,\"ss_o\":{\"p\":1},\"a\":1.0} {" METADATA
         "}\n"},
        /* absent: skipped; an empty string is there */
        {NODE("type: fetch-attributes, client: [none, s]"), stored, EVENT("{}"),
         "full {} {" METADATA ",\"cs_s\":\"\"}\n"},
        /* a pattern names the key; a missing placeholder names none */
        {NODE("type: fetch-attributes, server: ['k-${deviceName}', 'k-${none}']"), stored, EVENT("{}"),
         "full {} {" METADATA ",\"ss_k-E\":\"7\"}\n"},
        {NODE("type: fetch-attributes, client: '$[which]'"), stored, EVENT("{\"which\":\"a\"}"),
         "full {\"which\":\"a\"} {" METADATA ",\"cs_a\":\"c\"}\n"},
        {NODE("type: fetch-attributes, client: '$[which]'"), stored, EVENT("{\"which\":\"\"}"),
         "full {\"which\":\"\"} {" METADATA "}\n"},
        /* what was fetched replaces what came */
        {NODE("type: fetch-attributes, client: a"), stored, EVENT_WITH("{\"cs_a\":\"forged\"}", "{}"),
         "full {} {" METADATA ",\"cs_a\":\"c\"}\n"},
        /* and what isn't stored isn't there, except under telemetry's bare names */
        {NODE("type: fetch-attributes, client: none, telemetry: t"), stored,
         EVENT_WITH("{\"cs_none\":\"forged\",\"t\":\"own\"}", "{\"cs_none\":1}"),
         "full {\"cs_none\":1} {" METADATA ",\"t\":\"own\"}\n"},
        {NODE("type: fetch-attributes, server: none, telemetry: t, into: data"), stored,
         EVENT("{\"ss_none\":1,\"t\":2}"), "full {\"t\":2} {" METADATA "}\n"},
        {NODE("type: fetch-attributes, client: a, require: true"), stored, EVENT("{}"),
         "full {} {" METADATA ",\"cs_a\":\"c\"}\n"},
        {NODE("type: fetch-attributes, client: [a, x], server: [y, z], require: true"), stored, EVENT("{}"),
         "dead root/n: the device has no CLIENT_SCOPE:[x], SERVER_SCOPE:[y, z]\n"},
        /* cut when it gets long */
        {NODE("type: fetch-attributes, client: [" LONG_KEY ", b], server: c, require: true"), stored, EVENT("{}"),
         "dead root/n: the device has no CLIENT_SCOPE:[...]\n"},
        {NODE("type: fetch-attributes, client: x, server: [y, " LONG_KEY ", z], telemetry: u, require: true"), stored,
         EVENT("{}"), "dead root/n: the device has no CLIENT_SCOPE:[x], SERVER_SCOPE:[y, ...]\n"},
    };
    EXPECT_ROWS(rows);
}

static void test_fetch_attributes_enriches_before_it_fails(void **state)
{
    (void)state;
    expect_run("chain: root\nfirst: n\nnodes:\n"
               "  n: {type: fetch-attributes, telemetry: [x], client: [a], require: true, to: {Failure: out}}\n"
               "  out: {type: publish, class: full, on: always}\n",
               STORED("client", "a", "1"), EVENT("{}"),
               "full {} {" METADATA ",\"cs_a\":\"1\",\"error\":\"the device has no LATEST_TELEMETRY:[x]\"}\n");
}

/* --- compare ---------------------------------------------------------------------------------------- */

static void test_compare_exact(void **state)
{
    (void)state;
#define COMPARE(left, right)                                                                           \
    "chain: root\nfirst: n\nnodes:\n  n: {type: compare, left: '" left "', right: '" right                \
    "', result: r, to: {Success: l}}\n  l: {type: log, text: '$[r]'}\n"
    const struct row rows[] = {
        {COMPARE("a", "a"), NULL, EVENT("{}"), "log root/l: true\n"},
        {COMPARE("a", "b"), NULL, EVENT("{}"), "log root/l: false\n"},
        {COMPARE("a", "A"), NULL, EVENT("{}"), "log root/l: false\n"},
        {COMPARE("a", "a "), NULL, EVENT("{}"), "log root/l: false\n"},
        {COMPARE("", ""), NULL, EVENT("{}"), "log root/l: false\n"},
        {COMPARE("$[x]", "1"), NULL, EVENT("{\"x\":1}"), "log root/l: true\n"},
        {COMPARE("$[x]", "1"), NULL, EVENT("{\"x\":\"1\"}"), "log root/l: true\n"},
        {COMPARE("$[x]", "1"), NULL, EVENT("{\"x\":1.0}"), "log root/l: false\n"},
        {COMPARE("$[x]", "$[y]"), NULL, EVENT("{\"x\":\"1.20\",\"y\":\"1.2\"}"), "log root/l: false\n"},
        {COMPARE("$[x]", "$[y]"), NULL, EVENT("{\"x\":\"\",\"y\":\"\"}"), "log root/l: false\n"},
        /* a missing side is never equal, not even to the same placeholder */
        {COMPARE("$[x]", "$[x]"), NULL, EVENT("{}"), "log root/l: false\n"},
        {COMPARE("${x}", "${x}"), NULL, EVENT("{}"), "log root/l: false\n"},
        {COMPARE("a$[x]", "a$[x]"), NULL, EVENT("{}"), "log root/l: false\n"},
        {COMPARE("a", "${x}"), NULL, EVENT("{}"), "log root/l: false\n"},
#define BRANCH(left, right)                                                                            \
    "chain: root\nfirst: n\nnodes:\n  n: {type: compare, left: '" left "', right: '" right                \
    "', to: {True: t, False: f}}\n  t: {type: log, text: 'yes $[*]'}\n  f: {type: log, text: 'no $[*]'}\n"
        {BRANCH("$[x]", "failed"), NULL, EVENT("{\"x\":\"failed\"}"), "log root/t: yes {\"x\":\"failed\"}\n"},
        {BRANCH("$[x]", "failed"), NULL, EVENT("{\"x\":\"stuck\"}"), "log root/f: no {\"x\":\"stuck\"}\n"},
        {BRANCH("$[x]", "failed"), NULL, EVENT("{}"), "log root/f: no {}\n"},
        {BRANCH("", ""), NULL, EVENT("{}"), "log root/f: no {}\n"},
    };
    EXPECT_ROWS(rows);
}

static void test_compare_versions(void **state)
{
    (void)state;
#define ORDER(left, right, result)                                                                     \
    "chain: root\nfirst: n\nnodes:\n  n:\n    {type: compare, as: version, left: '" left "', right: '" right \
    "'" result ",\n     to: {Older: o, Equal: e, Newer: n2, Incomparable: i}}\n"                        \
    "  o: {type: log, text: 'older $[r]'}\n  e: {type: log, text: 'equal $[r]'}\n"                     \
    "  n2: {type: log, text: 'newer $[r]'}\n  i: {type: log, text: 'incomparable $[r]'}\n"
    const struct row rows[] = {
        {ORDER("v1.9", "v1.10", ""), NULL, EVENT("{}"), "log root/o: older $[r]\n"},
        {ORDER("v1.9", "v1.10", ", result: r"), NULL, EVENT("{}"), "log root/o: older older\n"},
        {ORDER("1.0", "v1", ", result: r"), NULL, EVENT("{}"), "log root/e: equal equal\n"},
        {ORDER("1.0", "1.0-rc.1", ", result: r"), NULL, EVENT("{}"), "log root/n2: newer newer\n"},
        {ORDER("1.0", "latest", ", result: r"), NULL, EVENT("{}"),
         "log root/i: incomparable incomparable\n"},
        {ORDER("${x}", "${x}", ", result: r"), NULL, EVENT("{}"),
         "log root/i: incomparable incomparable\n"},
        {ORDER("", "", ", result: r"), NULL, EVENT("{}"), "log root/i: incomparable incomparable\n"},
    };
    EXPECT_ROWS(rows);
}

/* --- check-fields ----------------------------------------------------------------------------------- */

static void test_check_fields(void **state)
{
    (void)state;
#define CHECK(settings)                                                                                \
    "chain: root\nfirst: n\nnodes:\n  n: {type: check-fields, " settings                               \
    "to: {True: t, False: f}}\n  t: {type: log, text: yes}\n  f: {type: log, text: no}\n"
#define YES "log root/t: yes\n"
#define NO  "log root/f: no\n"
    const struct row rows[] = {
        {CHECK("data: [a, b], "), NULL, EVENT("{\"a\":1,\"b\":2}"), YES},
        {CHECK("data: [a, b], "), NULL, EVENT("{\"a\":1}"), NO},
        {CHECK("data: [a], metadata: [m], "), NULL, EVENT_WITH("{\"m\":\"\"}", "{\"a\":null}"), YES},
        {CHECK("data: [a], metadata: [m], "), NULL, EVENT("{\"a\":1,\"m\":1}"), NO},
        {CHECK("data: [a, b], metadata: [m], all: false, "), NULL, EVENT("{\"b\":null}"), YES},
        {CHECK("data: [a, b], metadata: [m], all: false, "), NULL, EVENT_WITH("{\"m\":\"x\"}", "{}"), YES},
        {CHECK("data: [a, b], metadata: [m], all: false, "), NULL, EVENT("{\"m\":1}"), NO},
        {CHECK(""), NULL, EVENT("{}"), YES},
        {CHECK("all: false, "), NULL, EVENT("{\"a\":1}"), NO},
        {CHECK("data: [a.b], "), NULL, EVENT("{\"a\":{\"b\":1}}"), NO},
    };
    EXPECT_ROWS(rows);
}

/* --- saving and deleting ---------------------------------------------------------------------------- */

static void test_save_attributes(void **state)
{
    (void)state;
    const struct row rows[] = {
        {NODE("type: save-attributes, scope: CLIENT_SCOPE"), NULL,
         EVENT("{\"a\":\"1.20\",\"b\":1,\"c\":1.0,\"d\":{\"x\":[1]},\"e\":null}"),
         "client.a=\"1.20\"\nclient.b=1\nclient.c=1.0\nclient.d={\"x\":[1]}\n"
         "full {\"a\":\"1.20\",\"b\":1,\"c\":1.0,\"d\":{\"x\":[1]},\"e\":null} {" METADATA "}\n"},
        {NODE("type: save-attributes, scope: SERVER_SCOPE, keys: [b, none, e]"), NULL,
         EVENT("{\"a\":1,\"b\":2,\"e\":null}"),
         "server.b=2\nfull {\"a\":1,\"b\":2,\"e\":null} {" METADATA "}\n"},
        {NODE("type: save-attributes, scope: SERVER_SCOPE"), NULL, EVENT("{}"), "full {} {" METADATA "}\n"},
        /* the node's scope wins over metadata.scope */
        {NODE("type: save-attributes, scope: SERVER_SCOPE"), NULL,
         EVENT_WITH("{\"scope\":\"SHARED_SCOPE\"}", "{\"a\":1}"),
         "server.a=1\nfull {\"a\":1} {" METADATA ",\"scope\":\"SHARED_SCOPE\"}\n"},
        /* an equal value happens silently, another type is another value */
        {NODE("type: save-attributes, scope: CLIENT_SCOPE"), STORED("client", "a", "1"), EVENT("{\"a\":1}"),
         "full {\"a\":1} {" METADATA "}\n"},
        {NODE("type: save-attributes, scope: CLIENT_SCOPE"), STORED("client", "a", "1"),
         EVENT("{\"a\":\"1\"}"), "client.a=\"1\"\nfull {\"a\":\"1\"} {" METADATA "}\n"},
    };
    EXPECT_ROWS(rows);
}

static void test_save_telemetry(void **state)
{
    (void)state;
#define TELEMETRY(settings)                                                                            \
    "chain: root\nfirst: n\nnodes:\n  n: {type: save-telemetry" settings ", to: {Success: f}}\n"          \
    "  f: {type: fetch-attributes, telemetry: [a, b, ts, values], to: {Success: l}}\n"                 \
    "  l: {type: log, text: '${a} ${b}'}\n"
    const struct row rows[] = {
        {TELEMETRY(""), NULL, EVENT("{\"a\":1,\"b\":null}"), "log root/l: 1 ${b}\n"},
        {TELEMETRY(", keys: [b]"), NULL, EVENT("{\"a\":1,\"b\":2}"), "log root/l: ${a} 2\n"},
        {TELEMETRY(""), STORED("telemetry", "a", "0"), EVENT("{\"ts\":600,\"values\":{\"a\":1}}"),
         "log root/l: 1 ${b}\n"},
        {TELEMETRY(""), STORED("telemetry", "a", "0"), EVENT("{\"ts\":400,\"values\":{\"a\":1,\"b\":2}}"),
         "log root/l: 0 2\n"},
        {TELEMETRY(", keys: b"), NULL, EVENT("{\"ts\":600,\"values\":{\"a\":1,\"b\":2}}"),
         "log root/l: ${a} 2\n"},
        {TELEMETRY(""), NULL, EVENT("{}"), "dead root/n: there is no telemetry in the message\n"},
        {TELEMETRY(""), NULL, EVENT("{\"ts\":1,\"values\":{}}"),
         "dead root/n: there is no telemetry in the message\n"},
    };
    EXPECT_ROWS(rows);
    /* these look like ThingsBoard's form and are readings named so */
    static const struct row plain[] = {
        {NODE("type: save-telemetry"), NULL, EVENT("{\"ts\":\"1\",\"values\":{\"a\":1}}"),
         "full {\"ts\":\"1\",\"values\":{\"a\":1}} {" METADATA "}\n"},
        {NODE("type: save-telemetry"), NULL, EVENT("{\"ts\":1,\"values\":[1]}"),
         "full {\"ts\":1,\"values\":[1]} {" METADATA "}\n"},
        {NODE("type: save-telemetry"), NULL, EVENT("{\"ts\":-1,\"values\":{}}"),
         "full {\"ts\":-1,\"values\":{}} {" METADATA "}\n"},
    };
    EXPECT_ROWS(plain);
}

static void test_telemetry_gets_the_messages_time(void **state)
{
    (void)state;
    struct ruleset *ruleset = rules_of(NODE("type: save-telemetry"));
    struct model model;
    model_init(&model);
    model_run(&model, ruleset, "{\"device\":\"E\",\"type\":\"X\",\"ts\":77,\"data\":{\"a\":1}}");
    assert_int_equal(model.attributes[0].ts_ms, 77);
    model_run(&model, ruleset, "{\"device\":\"E\",\"type\":\"X\",\"data\":{\"b\":1}}");
    assert_int_equal(model.attributes[1].ts_ms, 1000);
    model_run(&model, ruleset,
              "{\"device\":\"E\",\"type\":\"X\",\"ts\":77,\"data\":{\"ts\":88,\"values\":{\"c\":1}}}");
    assert_int_equal(model.attributes[2].ts_ms, 88);
    model_fini(&model);
    ruleset_destroy(ruleset);
}

static void test_delete_attributes(void **state)
{
    (void)state;
    const struct row rows[] = {
        {NODE("type: delete-attributes, scope: SERVER_SCOPE, keys: [a, none, 'k-${deviceName}', '$[e]']"),
         STORED("server", "a", "1", "client", "a", "2", "server", "k-E", "3"), EVENT("{\"e\":\"\"}"),
         "deleted server.a\ndeleted server.k-E\nfull {\"e\":\"\"} {" METADATA "}\n"},
        {NODE("type: delete-attributes, scope: SERVER_SCOPE, keys: a"), NULL, EVENT("{}"),
         "full {} {" METADATA "}\n"},
    };
    EXPECT_ROWS(rows);
}

/* --- changing the message --------------------------------------------------------------------------- */

static void test_set(void **state)
{
    (void)state;
    const struct row rows[] = {
        {NODE("type: set, data: {t: true, f: false, i: -5, d: 1.20, e: 1e3, z: null, s: yes, q: '1.20', h: 0x10, "
              "n: 007, m: '', p: 1.}"),
         NULL, EVENT("{}"),
         "full {\"t\":true,\"f\":false,\"i\":-5,\"d\":1.2,\"e\":1000.0,\"z\":null,\"s\":\"yes\",\"q\":\"1.20\","
         "\"h\":\"0x10\",\"n\":\"007\",\"m\":\"\",\"p\":\"1.\"} {" METADATA "}\n"},
        /* one $[path] keeps the type, anything around it makes a string */
        {NODE("type: set, data: {a: '$[x]', b: '$[x] ', c: '$[o.p]', d: '$[o]', e: '${ts}', f: '$[none]'}"), NULL,
         EVENT("{\"x\":1,\"o\":{\"p\":null}}"),
         "full {\"x\":1,\"o\":{\"p\":null},\"a\":1,\"b\":\"1 \",\"c\":null,\"d\":{\"p\":null},\"e\":\"1000\","
         "\"f\":\"$[none]\"} {" METADATA "}\n"},
        {NODE("type: set, metadata: {m: 1.20, n: 'x $[x]', o: '$[x]'}"), NULL, EVENT("{\"x\":2.0}"),
         "full {\"x\":2.0} {" METADATA ",\"m\":\"1.20\",\"n\":\"x 2.0\",\"o\":\"2.0\"}\n"},
        /* all patterns see the message as it came */
        {NODE("type: set, data: {a: '$[b]', b: '$[a]'}"), NULL, EVENT("{\"a\":1,\"b\":2}"),
         "full {\"a\":2,\"b\":1} {" METADATA "}\n"},
        {NODE("type: set, metadata: {m: new}, data: {a: '${m}'}"), NULL, EVENT_WITH("{\"m\":\"old\"}", "{}"),
         "full {\"a\":\"old\"} {" METADATA ",\"m\":\"new\"}\n"},
        {NODE("type: set, data: {max: 9007199254740992, min: -9007199254740992}"), NULL, EVENT("{}"),
         "full {\"max\":9007199254740992,\"min\":-9007199254740992} {" METADATA "}\n"},
    };
    EXPECT_ROWS(rows);
}

static void test_rename_keys(void **state)
{
    (void)state;
    const struct row rows[] = {
        {NODE("type: rename-keys, keys: {a: b, none: x}"), NULL, EVENT("{\"a\":1,\"c\":2}"),
         "full {\"c\":2,\"b\":1} {" METADATA "}\n"},
        {NODE("type: rename-keys, keys: {a: b}"), NULL, EVENT("{\"b\":2,\"a\":1}"),
         "full {\"b\":1} {" METADATA "}\n"},
        {NODE("type: rename-keys, keys: {a: a}"), NULL, EVENT("{\"a\":1}"), "full {\"a\":1} {" METADATA "}\n"},
        {NODE("type: rename-keys, keys: {a: b, b: c}"), NULL, EVENT("{\"a\":1}"),
         "full {\"c\":1} {" METADATA "}\n"},
        {NODE("type: rename-keys, in: metadata, keys: {m: o}"), NULL, EVENT_WITH("{\"m\":\"x\"}", "{\"m\":1}"),
         "full {\"m\":1} {" METADATA ",\"o\":\"x\"}\n"},
    };
    EXPECT_ROWS(rows);
}

static void test_copy_keys(void **state)
{
    (void)state;
    const struct row rows[] = {
        {NODE("type: copy-keys, from: data, keys: [a, o, z, none]"), NULL,
         EVENT("{\"a\":1.0,\"o\":{\"p\":1},\"z\":null}"),
         "full {\"a\":1.0,\"o\":{\"p\":1},\"z\":null} {" METADATA
         ",\"a\":\"1.0\",\"o\":\"{\\\"p\\\":1}\",\"z\":\"null\"}\n"},
        {NODE("type: copy-keys, from: metadata, keys: [ts, none]"), NULL, EVENT("{\"ts\":1}"),
         "full {\"ts\":\"1000\"} {" METADATA "}\n"},
        /* a name is a name, not a regular expression */
        {NODE("type: copy-keys, from: data, keys: ['a.*']"), NULL, EVENT("{\"ab\":1}"),
         "full {\"ab\":1} {" METADATA "}\n"},
    };
    EXPECT_ROWS(rows);
}

static void test_delete_keys(void **state)
{
    (void)state;
    const struct row rows[] = {
        {NODE("type: delete-keys, from: data, keys: [a, none]"), NULL, EVENT("{\"a\":1,\"b\":2}"),
         "full {\"b\":2} {" METADATA "}\n"},
        {NODE("type: delete-keys, from: metadata, keys: [deviceType, ts]"), NULL, EVENT("{\"ts\":1}"),
         "full {\"ts\":1} {\"deviceName\":\"E\"}\n"},
    };
    EXPECT_ROWS(rows);
}

/* --- out -------------------------------------------------------------------------------------------- */

static void test_publish_is_silent_without_a_change(void **state)
{
    (void)state;
#define PUBLISH(settings)                                                                              \
    "chain: root\nfirst: n\nnodes:\n  n: {type: save-attributes, scope: CLIENT_SCOPE, to: {Success: p}}\n" \
    "  p: {type: publish, class: c" settings ", to: {Success: l}}\n  l: {type: log, text: after}\n"
    const struct row rows[] = {
        {PUBLISH(""), NULL, EVENT("{\"a\":1}"), "client.a=1\nc {\"a\":1}\nlog root/l: after\n"},
        {PUBLISH(""), STORED("client", "a", "1"), EVENT("{\"a\":1}"), "log root/l: after\n"},
        {PUBLISH(", on: change"), STORED("client", "a", "1"), EVENT("{\"a\":1}"), "log root/l: after\n"},
        {PUBLISH(", on: always"), STORED("client", "a", "1"), EVENT("{\"a\":1}"),
         "c {\"a\":1}\nlog root/l: after\n"},
    };
    EXPECT_ROWS(rows);
}

static void test_publish_sends_what_is_chosen(void **state)
{
    (void)state;
#define CHOSEN(settings)                                                                               \
    "chain: root\nfirst: n\nnodes: {n: {type: publish, class: full, on: always" settings "}}\n"
    const char *const event = EVENT_WITH("{\"m\":\"1\"}", "{\"a\":1,\"b\":[2],\"c\":null}");
#define ALL "{\"a\":1,\"b\":[2],\"c\":null}"
#define ALL_METADATA "{" METADATA ",\"m\":\"1\"}"
    const struct row rows[] = {
        {CHOSEN(""), NULL, event, "full " ALL " " ALL_METADATA "\n"},
        {CHOSEN(", data: [c, absent, a]"), NULL, event, "full {\"c\":null,\"a\":1} " ALL_METADATA "\n"},
        {CHOSEN(", data: [a, absent, c]"), NULL, event, "full {\"a\":1,\"c\":null} " ALL_METADATA "\n"},
        {CHOSEN(", data: b, metadata: [ts, m]"), NULL, event,
         "full {\"b\":[2]} {\"ts\":\"1000\",\"m\":\"1\"}\n"},
        {CHOSEN(", metadata: []"), NULL, event, "full " ALL " {}\n"},
        {CHOSEN(", data: ['q\"\\']"), NULL, EVENT_WITH("{}", "{\"q\\\"\\\\\":\"\\\"\"}"),
         "full {\"q\\\"\\\\\":\"\\\"\"} {" METADATA "}\n"},
        {CHOSEN(", data: [], metadata: absent"), NULL, event, "full {} {}\n"},
        /* what was chosen is gone from the result alone */
        {"chain: root\nfirst: n\nnodes:\n"
         "  n: {type: publish, class: full, on: always, data: [], metadata: [], to: {Success: p}}\n"
         "  p: {type: publish, class: full, on: always}\n",
         NULL, event, "full {} {}\nfull " ALL " " ALL_METADATA "\n"},
    };
    EXPECT_ROWS(rows);
#undef CHOSEN
#undef ALL
#undef ALL_METADATA
}

static void test_log(void **state)
{
    (void)state;
    const struct row rows[] = {
        {"chain: root\nfirst: n\nnodes: {n: {type: log}}\n", NULL, EVENT("{\"a\":[1]}"),
         "log root/n: X E {\"a\":[1]}\n"},
        {"chain: root\nfirst: n\nnodes: {n: {type: log, text: \"got $[a] from ${deviceName}\"}}\n", NULL,
         EVENT("{\"a\":[1]}"), "log root/n: got [1] from E\n"},
    };
    EXPECT_ROWS(rows);
}

static void test_rule_chain_hands_the_message_over(void **state)
{
    (void)state;
    struct problems problems;
    problems_init(&problems);
    struct ruleset *ruleset = rules_try(
        &problems,
        (const char *const[]){
            "root.yaml",
            "chain: root\nfirst: s\nnodes:\n  s: {type: set, data: {a: 1}, to: {Success: [one, two, l]}}\n"
            "  one: {type: rule-chain, chain: other}\n  two: {type: rule-chain, chain: other}\n"
            "  l: {type: log, text: '$[a] $[b]'}\n",
            "other.yaml",
            "chain: other\nfirst: s\nnodes:\n  s: {type: set, data: {b: '$[a]'}, to: {Success: l}}\n"
            "  l: {type: log, text: '$[a] $[b]'}\n",
            NULL});
    problems_print(&problems);
    assert_non_null(ruleset);
    struct model model;
    model_init(&model);
    assert_string_equal(model_run(&model, ruleset, EVENT("{}")),
                        "log other/l: 1 1\nlog other/l: 1 1\nlog root/l: 1 $[b]\n");
    model_fini(&model);
    ruleset_destroy(ruleset);
    problems_fini(&problems);
}

/* --- bounds that any node can hit ------------------------------------------------------------------- */

static void test_members_are_bounded(void **state)
{
    (void)state;
    struct buf event = {.bytes = NULL};
    buf_append(&event, TEXT("{\"device\":\"E\",\"type\":\"X\",\"data\":{\"r\":1"));
    for (int i = 1; i < FIELD_COUNT_MAX; i++)
        buf_printf(&event, ",\"k%d\":1", i);
    buf_append(&event, TEXT("}}"));
    buf_byte(&event, '\0');
    static const char one_more[] =
        "chain: root\nfirst: n\nnodes:\n  n: {type: set, data: {more: 1}, to: {Failure: l}}\n"
        "  l: {type: log, text: '${error}'}\n";
    expect_run(one_more, NULL, event.bytes,
               "log root/l: no room for 'more': the message has 1000 members already\n");
    static const char replaced[] =
        "chain: root\nfirst: n\nnodes:\n  n: {type: set, data: {r: 2}, to: {Success: l}}\n"
        "  l: {type: log, text: '$[r]'}\n";
    expect_run(replaced, NULL, event.bytes, "log root/l: 2\n");
    buf_fini(&event);
}

static void test_keys_and_values_are_bounded(void **state)
{
    (void)state;
    struct buf event = {.bytes = NULL};
    buf_append(&event, TEXT("{\"device\":\"E\",\"type\":\"X\",\"data\":{\"k\":\""));
    for (int i = 0; i < KEY_BYTES_MAX - 2; i++) /* cs_ makes it one byte too long */
        buf_byte(&event, 'k');
    buf_append(&event, TEXT("\"}}"));
    buf_byte(&event, '\0');
    struct ruleset *ruleset = rules_of(
        "chain: root\nfirst: n\nnodes:\n"
        "  n: {type: fetch-attributes, client: '$[k]', to: {Failure: l}}\n  l: {type: log, text: '${error}'}\n");
    struct model model;
    model_init(&model);
    struct buf key = {.bytes = NULL};
    for (int i = 0; i < KEY_BYTES_MAX - 2; i++)
        buf_byte(&key, 'k');
    struct value value = value_boolean(true);
    bool changed;
    assert_true(model_put(&model, SCOPE_CLIENT, buf_text(&key), &value, 1, 1, &changed, NULL));
    const char *line = model_run(&model, ruleset, event.bytes);
    assert_int_equal(strncmp(line, "log root/l: a key of 256 bytes ('cs_kkk", 39), 0);
    buf_fini(&key);
    buf_fini(&event);
    model_fini(&model);
    ruleset_destroy(ruleset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message_type_switch_knows_every_type),
        cmocka_unit_test(test_message_type_filter),
        cmocka_unit_test(test_fetch_attributes),
        cmocka_unit_test(test_fetch_attributes_enriches_before_it_fails),
        cmocka_unit_test(test_compare_exact),
        cmocka_unit_test(test_compare_versions),
        cmocka_unit_test(test_check_fields),
        cmocka_unit_test(test_save_attributes),
        cmocka_unit_test(test_save_telemetry),
        cmocka_unit_test(test_telemetry_gets_the_messages_time),
        cmocka_unit_test(test_delete_attributes),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_rename_keys),
        cmocka_unit_test(test_copy_keys),
        cmocka_unit_test(test_delete_keys),
        cmocka_unit_test(test_publish_is_silent_without_a_change),
        cmocka_unit_test(test_publish_sends_what_is_chosen),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_rule_chain_hands_the_message_over),
        cmocka_unit_test(test_members_are_bounded),
        cmocka_unit_test(test_keys_and_values_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

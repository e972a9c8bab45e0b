/* apply.h: one event through the rules. The ESP32 sample's facts first (reference: ThingsBoard's public
 * sample chain), then what every rule set can rely on. */
#include "tests/unit/rules_model.h"

#include "engine/base/limits.h"

#define REPORT(data)  "{\"device\":\"E\",\"type\":\"POST_ATTRIBUTES_REQUEST\",\"data\":" data "}"
#define WRITE_TO(scope, data)                                                                          \
    "{\"device\":\"E\",\"type\":\"ATTRIBUTES_UPDATED\",\"scope\":\"" scope "\",\"data\":" data "}"
#define TARGET(data) WRITE_TO("SERVER_SCOPE", data)
#define OTHER(data)  "{\"device\":\"E\",\"type\":\"X\",\"data\":" data "}"

/* A device's life: events and what each makes happen. */
struct step {
    const char *event;
    const char *happenings;
};

static void expect_life(const struct ruleset *ruleset, const struct step *steps)
{
    struct model model;
    model_init(&model);
    for (; steps->event != NULL; steps++)
        assert_string_equal(model_run(&model, ruleset, steps->event), steps->happenings);
    model_fini(&model);
}

static void expect_sample(const struct step *steps)
{
    struct ruleset *ruleset = rules_sample();
    expect_life(ruleset, steps);
    ruleset_destroy(ruleset);
}

static void expect_rules(const char *yaml, const struct step *steps)
{
    struct ruleset *ruleset = rules_of(yaml);
    expect_life(ruleset, steps);
    ruleset_destroy(ruleset);
}

/* --- the sample ------------------------------------------------------------------------------------- */

static void test_sample_report_then_target(void **state)
{
    (void)state;
    expect_sample((const struct step[]){
        {REPORT("{\"currentFwVer\":\"v1\"}"),
         "client.currentFwVer=\"v1\"\nserver.fwStateIsSynced=false\n"
         "sync {\"currentFwVer\":\"v1\",\"fwStateIsSynced\":false}\n"},
        {TARGET("{\"lastTargetFwVer\":\"v1\"}"),
         "server.lastTargetFwVer=\"v1\"\nserver.fwStateIsSynced=true\n"
         "sync {\"lastTargetFwVer\":\"v1\",\"fwStateIsSynced\":true}\n"},
        {NULL, NULL},
    });
}

static void test_sample_target_then_report(void **state)
{
    (void)state;
    expect_sample((const struct step[]){
        {TARGET("{\"lastTargetFwVer\":\"v1\",\"lastOtaStartedOn\":1732147200000}"),
         "server.lastTargetFwVer=\"v1\"\nserver.lastOtaStartedOn=1732147200000\n"
         "server.fwStateIsSynced=false\n"
         "sync {\"lastTargetFwVer\":\"v1\",\"fwStateIsSynced\":false}\n"},
        {REPORT("{\"currentFwVer\":\"v1\"}"),
         "client.currentFwVer=\"v1\"\nserver.fwStateIsSynced=true\n"
         "sync {\"currentFwVer\":\"v1\",\"fwStateIsSynced\":true}\n"},
        {NULL, NULL},
    });
}

static void test_sample_out_of_sync_and_back(void **state)
{
    (void)state;
    expect_sample((const struct step[]){
        {TARGET("{\"lastTargetFwVer\":\"v1\"}"),
         "server.lastTargetFwVer=\"v1\"\nserver.fwStateIsSynced=false\n"
         "sync {\"lastTargetFwVer\":\"v1\",\"fwStateIsSynced\":false}\n"},
        {REPORT("{\"currentFwVer\":\"v1\"}"),
         "client.currentFwVer=\"v1\"\nserver.fwStateIsSynced=true\n"
         "sync {\"currentFwVer\":\"v1\",\"fwStateIsSynced\":true}\n"},
        {TARGET("{\"lastTargetFwVer\":\"v2\"}"),
         "server.lastTargetFwVer=\"v2\"\nserver.fwStateIsSynced=false\n"
         "sync {\"lastTargetFwVer\":\"v2\",\"fwStateIsSynced\":false}\n"},
        {REPORT("{\"currentFwVer\":\"v2\"}"),
         "client.currentFwVer=\"v2\"\nserver.fwStateIsSynced=true\n"
         "sync {\"currentFwVer\":\"v2\",\"fwStateIsSynced\":true}\n"},
        {REPORT("{\"currentFwVer\":\"v1\"}"),
         "client.currentFwVer=\"v1\"\nserver.fwStateIsSynced=false\n"
         "sync {\"currentFwVer\":\"v1\",\"fwStateIsSynced\":false}\n"},
        {NULL, NULL},
    });
}

static void test_sample_unchanged_reports_are_silent(void **state)
{
    (void)state;
    expect_sample((const struct step[]){
        {TARGET("{\"lastTargetFwVer\":\"v1\"}"),
         "server.lastTargetFwVer=\"v1\"\nserver.fwStateIsSynced=false\n"
         "sync {\"lastTargetFwVer\":\"v1\",\"fwStateIsSynced\":false}\n"},
        {TARGET("{\"lastTargetFwVer\":\"v1\"}"), ""},
        {REPORT("{\"currentFwVer\":\"v0\"}"),
         "client.currentFwVer=\"v0\"\nsync {\"currentFwVer\":\"v0\",\"fwStateIsSynced\":false}\n"},
        {REPORT("{\"currentFwVer\":\"v0\"}"), ""},
        {REPORT("{}"), ""},
        {NULL, NULL},
    });
}

/* Report and target in both orders; the sync state afterwards, by the sample's rules and by the shipped ones. */
static void test_sample_equality_is_exact(void **state)
{
    (void)state;
    static const struct row {
        const char *current; /* JSON; NULL: never reported */
        const char *target;
        bool synced;
    } rows[] = {
        {"\"v1\"", "\"v1\"", true},
        {"\"v1\"", "\"V1\"", false},
        {"\"v1\"", "\"v1 \"", false},
        {"\"v1\"", "\"v1.0\"", false},
        {"\"1.20\"", "\"1.2\"", false},  /* never cast to a number */
        {"1", "\"1\"", true},            /* metadata shows both as the same text */
        {"\"1\"", "1", true},
        {"1.0", "\"1\"", false},
        {"1.0", "\"1.0\"", true},
        {"1.0", "1", false},
        {"1.20", "1.2", true},           /* the same number */
        {"true", "\"true\"", true},
        {"{\"v\":1}", "{\"v\":1}", true},
        {"\"\"", "\"\"", false},         /* empty: never synced */
        {"\"v1\"", "\"\"", false},
        {"\"\"", "\"v1\"", false},
        {"\"v1\"", NULL, false},
        {NULL, "\"v1\"", false},
        {"\"${ss_lastTargetFwVer}\"", "\"v1\"", false}, /* a value is never taken for a pattern */
        {"\"\xC3\xA4\"", "\"\xC3\xA4\"", true},
    };
    struct ruleset *rulesets[] = {rules_sample(), rules_shipped()};
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++)
        for (int target_first = 0; target_first <= 1; target_first++) {
            const struct row *row = &rows[i / 2];
            struct model model;
            model_init(&model);
            for (int turn = 0; turn < 2; turn++) {
                char event[256];
                bool target = (turn == 0) == (target_first == 1);
                const char *value = target ? row->target : row->current;
                if (value == NULL)
                    continue;
                if (target)
                    snprintf(event, sizeof event, TARGET("{\"lastTargetFwVer\":%s}"), value);
                else
                    snprintf(event, sizeof event, REPORT("{\"currentFwVer\":%s}"), value);
                model_run(&model, rulesets[i % 2], event);
            }
            size_t at = model_find(&model, SCOPE_SERVER, TEXT("fwStateIsSynced"));
            assert_true(at < model.count);
            assert_int_equal(model.attributes[at].value.kind, VALUE_BOOLEAN);
            if (model.attributes[at].value.boolean != row->synced)
                fail_msg("row %d, target first %d", (int)i / 2, target_first);
            model_fini(&model);
        }
    ruleset_destroy(rulesets[0]);
    ruleset_destroy(rulesets[1]);
}

static void test_sample_saves_only_the_answer_in_server_scope(void **state)
{
    (void)state;
    struct ruleset *ruleset = rules_sample();
    struct model model;
    model_init(&model);
    model_run(&model, ruleset, REPORT("{\"currentFwVer\":\"v1\",\"other\":2}"));
    assert_int_equal(model.count, 3);
    assert_true(model_find(&model, SCOPE_CLIENT, TEXT("currentFwVer")) < model.count);
    assert_true(model_find(&model, SCOPE_CLIENT, TEXT("other")) < model.count);
    assert_true(model_find(&model, SCOPE_SERVER, TEXT("fwStateIsSynced")) < model.count);
    model_fini(&model);
    ruleset_destroy(ruleset);
}

static void test_sample_scope_is_not_hijacked_by_a_shared_write(void **state)
{
    (void)state;
    expect_sample((const struct step[]){
        {WRITE_TO("SHARED_SCOPE", "{\"targetFwVer\":\"v1\",\"targetFwUrl\":\"http://x\"}"),
         "shared.targetFwVer=\"v1\"\nshared.targetFwUrl=\"http://x\"\nserver.fwStateIsSynced=false\n"
         "sync {\"fwStateIsSynced\":false}\n"},
        {NULL, NULL},
    });
}

static void test_sample_ignores_what_a_producer_puts_into_the_metadata(void **state)
{
    (void)state;
    expect_sample((const struct step[]){
        {"{\"device\":\"E\",\"type\":\"POST_ATTRIBUTES_REQUEST\",\"metadata\":{\"scope\":\"SERVER_SCOPE\","
         "\"cs_currentFwVer\":\"v9\",\"ss_lastTargetFwVer\":\"v1\"},\"data\":{\"currentFwVer\":\"v1\"}}",
         "client.currentFwVer=\"v1\"\nserver.fwStateIsSynced=false\n"
         "sync {\"currentFwVer\":\"v1\",\"fwStateIsSynced\":false}\n"},
        {NULL, NULL},
    });
}

static void test_sample_saves_telemetry_silently(void **state)
{
    (void)state;
    expect_sample((const struct step[]){
        {"{\"device\":\"E\",\"type\":\"POST_TELEMETRY_REQUEST\",\"data\":{\"counter\":1}}", ""},
        {"{\"device\":\"E\",\"type\":\"POST_TELEMETRY_REQUEST\",\"data\":{}}",
         "dead root/save-telemetry: there is no telemetry in the message\n"},
        {"{\"device\":\"E\",\"type\":\"CONNECT_EVENT\"}", ""},
        {NULL, NULL},
    });
}

/* --- what the engine adds --------------------------------------------------------------------------- */

#define SHOW "chain: root\nfirst: p\nnodes: {p: {type: publish, class: full, on: always}}\n"

static void test_metadata_tells_device_time_and_scope(void **state)
{
    (void)state;
    expect_rules(SHOW, (const struct step[]){
        {"{\"device\":\"E\",\"type\":\"X\"}",
         "full {} {\"deviceName\":\"E\",\"deviceType\":\"default\",\"ts\":\"1000\"}\n"},
        {"{\"device\":\"E\",\"type\":\"X\",\"deviceType\":\"T\",\"ts\":0,\"metadata\":{\"a\":\"b\"}}",
         "full {} {\"deviceName\":\"E\",\"deviceType\":\"T\",\"ts\":\"0\",\"a\":\"b\"}\n"},
        {"{\"device\":\"E\",\"type\":\"X\",\"ts\":9007199254740992}",
         "full {} {\"deviceName\":\"E\",\"deviceType\":\"default\",\"ts\":\"9007199254740992\"}\n"},
        {WRITE_TO("SHARED_SCOPE", "{}"), "full {} {\"deviceName\":\"E\",\"deviceType\":\"default\","
                                         "\"ts\":\"1000\",\"scope\":\"SHARED_SCOPE\"}\n"},
        {NULL, NULL},
    });
}

static void test_a_producer_cant_forge_the_engines_metadata(void **state)
{
    (void)state;
    expect_rules(SHOW, (const struct step[]){
        {"{\"device\":\"E\",\"type\":\"X\",\"metadata\":{\"deviceName\":\"F\",\"a\":\"b\",\"ts\":\"7\","
         "\"deviceType\":\"Z\",\"scope\":\"S\"}}",
         "full {} {\"deviceName\":\"E\",\"deviceType\":\"default\",\"ts\":\"1000\",\"a\":\"b\",\"scope\":\"S\"}\n"},
        {"{\"device\":\"E\",\"type\":\"ATTRIBUTES_UPDATED\",\"scope\":\"CLIENT_SCOPE\",\"data\":{},"
         "\"metadata\":{\"scope\":\"S\"}}",
         "full {} {\"deviceName\":\"E\",\"deviceType\":\"default\",\"ts\":\"1000\",\"scope\":\"CLIENT_SCOPE\"}\n"},
        {NULL, NULL},
    });
}

static void test_a_write_is_saved_before_the_rules_run(void **state)
{
    (void)state;
    expect_rules("chain: root\nfirst: p\nnodes:\n  p: {type: publish, class: c, to: {Success: l}}\n"
                 "  l: {type: log, text: ran}\n",
                 (const struct step[]){
                     {WRITE_TO("SHARED_SCOPE", "{\"a\":1,\"b\":null}"),
                      "shared.a=1\nc {\"a\":1,\"b\":null}\nlog root/l: ran\n"},
                     {WRITE_TO("SHARED_SCOPE", "{\"a\":1}"), "log root/l: ran\n"},
                     {WRITE_TO("CLIENT_SCOPE", "{\"a\":1}"), "client.a=1\nc {\"a\":1}\nlog root/l: ran\n"},
                     {NULL, NULL},
                 });
}

/* --- failures --------------------------------------------------------------------------------------- */

#define SAVE_AND_FAIL                                                                                  \
    "chain: root\nfirst: s\nnodes:\n  s: {type: save-attributes, scope: CLIENT_SCOPE, "                \
    "to: {Success: l, Failure: f}}\n  l: {type: log, text: saved}\n  f: {type: log, text: '${error}'}\n"
#define SAVE_BESIDE                                                                                    \
    "chain: root\nfirst: b\nnodes:\n  b: {type: check-fields, to: {True: [s, l]}}\n"                 \
    "  s: {type: save-attributes, scope: CLIENT_SCOPE}\n  l: {type: log, text: beside}\n"
#define SAVE "chain: root\nfirst: s\nnodes: {s: {type: save-attributes, scope: CLIENT_SCOPE}}\n"

static void test_a_failure_without_a_link_is_a_dead_letter(void **state)
{
    (void)state;
    struct ruleset *ruleset = rules_of(SAVE);
    struct model model;
    model_init(&model);
    model.put_error = ERR_TOO_LARGE;
    unsigned dead_letter_count = 99;
    assert_true(model_apply(&model, ruleset, OTHER("{\"a\":1}"), &dead_letter_count, NULL));
    assert_int_equal(dead_letter_count, 1);
    assert_string_equal(model.happenings.bytes,
                        "dead root/s: can't save 'a' in CLIENT_SCOPE: the model says no\n");
    model.put_error = ERR_NONE;
    assert_true(model_apply(&model, ruleset, OTHER("{\"a\":1}"), &dead_letter_count, NULL));
    assert_int_equal(dead_letter_count, 0);
    model_fini(&model);
    ruleset_destroy(ruleset);
}

static void test_a_failure_with_a_link_is_handled(void **state)
{
    (void)state;
    struct ruleset *ruleset = rules_of(SAVE_AND_FAIL);
    struct model model;
    model_init(&model);
    model.put_error = ERR_LIMIT;
    unsigned dead_letter_count = 99;
    assert_true(model_apply(&model, ruleset, OTHER("{\"a\\nb\":1}"), &dead_letter_count, NULL));
    assert_int_equal(dead_letter_count, 0);
    assert_string_equal(model.happenings.bytes,
                        "log root/f: can't save 'a b' in CLIENT_SCOPE: the model says no\n");
    model_fini(&model);
    ruleset_destroy(ruleset);
}

static void test_a_failing_store_stops_the_fold(void **state)
{
    (void)state;
    static const enum err_code codes[] = {ERR_FULL, ERR_STORE, ERR_DAMAGED};
    static const char *const events[] = {OTHER("{\"a\":1,\"b\":2}"), TARGET("{\"a\":1,\"b\":2}")};
    struct ruleset *rulesets[] = {rules_of(SAVE_AND_FAIL), rules_of(SAVE_BESIDE)};
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 4; j++) {
            const struct ruleset *ruleset = rulesets[j / 2];
            struct model model;
            model_init(&model);
            model.put_error = codes[i];
            unsigned dead_letter_count = 99;
            struct err err;
            assert_false(model_apply(&model, ruleset, events[j % 2], &dead_letter_count, &err));
            assert_int_equal(err.code, codes[i]);
            assert_string_equal(err.text, "the model says no");
            assert_int_equal(dead_letter_count, 99);
            assert_string_equal(model.happenings.bytes, ""); /* no Failure link, no other branch */
            assert_int_equal(model.put_count, 1);
            model_fini(&model);
        }
    ruleset_destroy(rulesets[0]);
    ruleset_destroy(rulesets[1]);
}

static void test_a_write_that_doesnt_fit_is_a_dead_letter_and_the_rules_see_what_was_saved(void **state)
{
    (void)state;
    struct ruleset *ruleset = rules_of("chain: root\nfirst: l\nnodes: {l: {type: log, text: '$[*]'}}\n");
    struct model model;
    model_init(&model);
    model.put_error = ERR_TOO_LARGE;
    model.put_error_key = "b";
    static const char dead[] = "dead /: can't save 'b' in SERVER_SCOPE: the model says no\n";
    static const struct {
        const char *event;
        const char *before, *after; /* the dead letter */
    } rows[] = {
        {TARGET("{\"b\":2,\"a\":1}"), "", ""},
        {TARGET("{\"a\":1,\"b\":2,\"c\":3}"), "server.a=1\n", "log root/l: {\"a\":1}\n"},
        {TARGET("{\"a\":1,\"b\":2,\"c\":3}"), "", ""}, /* nothing new */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char expected[256];
        snprintf(expected, sizeof expected, "%s%s%s", rows[i].before, dead, rows[i].after);
        unsigned dead_letter_count = 0;
        assert_true(model_apply(&model, ruleset, rows[i].event, &dead_letter_count, NULL));
        assert_int_equal(dead_letter_count, 1);
        assert_string_equal(model.happenings.bytes, expected);
    }
    model_fini(&model);
    ruleset_destroy(ruleset);
}

/* --- branches --------------------------------------------------------------------------------------- */

static void test_branches_run_in_order_each_with_its_own_copy(void **state)
{
    (void)state;
    expect_rules("chain: root\nfirst: s\nnodes:\n"
                 "  s: {type: set, data: {x: 0}, metadata: {m: s}, to: {Success: [a, b, c]}}\n"
                 "  a: {type: set, data: {a: 1, x: 1}, metadata: {m: a}, to: {Success: la}}\n"
                 "  la: {type: log, text: '$[*] ${m}', to: {Success: [la1, la2]}}\n"
                 "  la1: {type: delete-keys, from: data, keys: x, to: {Success: la3}}\n"
                 "  la2: {type: log, text: '$[*]'}\n"
                 "  la3: {type: log, text: '$[*]'}\n"
                 "  b: {type: delete-keys, from: data, keys: x, to: {Success: lb}}\n"
                 "  lb: {type: log, text: '$[*] ${m}'}\n"
                 "  c: {type: log, text: '$[*] ${m}'}\n",
                 (const struct step[]){
                     {OTHER("{\"d\":1}"), "log root/la: {\"d\":1,\"x\":1,\"a\":1} a\n"
                                          "log root/la3: {\"d\":1,\"a\":1}\n"
                                          "log root/la2: {\"d\":1,\"x\":1,\"a\":1}\n"
                                          "log root/lb: {\"d\":1} s\n"
                                          "log root/c: {\"d\":1,\"x\":0} s\n"},
                     {NULL, NULL},
                 });
}

static void test_changed_travels_with_the_branch(void **state)
{
    (void)state;
    expect_rules("chain: root\nfirst: l\nnodes:\n"
                 "  l: {type: log, text: start, to: {Success: [s, p2]}}\n"
                 "  s: {type: save-attributes, scope: CLIENT_SCOPE, to: {Success: [p, q]}}\n"
                 "  p: {type: publish, class: one}\n"
                 "  q: {type: publish, class: two}\n"
                 "  p2: {type: publish, class: three}\n", /* its message passed no save */
                 (const struct step[]){
                     {OTHER("{\"a\":1}"),
                      "log root/l: start\nclient.a=1\none {\"a\":1}\ntwo {\"a\":1}\n"},
                     {OTHER("{\"a\":1}"), "log root/l: start\n"},
                     {NULL, NULL},
                 });
}

static void test_a_branch_that_fails_leaves_the_others_alone(void **state)
{
    (void)state;
    expect_rules("chain: root\nfirst: l\nnodes:\n"
                 "  l: {type: log, text: start, to: {Success: [t, u, m]}}\n"
                 "  t: {type: save-telemetry}\n"
                 "  u: {type: save-telemetry, to: {Failure: [f, m]}}\n"
                 "  f: {type: log, text: 'f ${error}'}\n"
                 "  m: {type: log, text: 'm ${error}'}\n",
                 (const struct step[]){
                     {OTHER("{}"), "log root/l: start\n"
                                   "dead root/t: there is no telemetry in the message\n"
                                   "log root/f: f there is no telemetry in the message\n"
                                   "log root/m: m there is no telemetry in the message\n"
                                   "log root/m: m ${error}\n"},
                     {NULL, NULL},
                 });
}

/* Every node leads to both nodes of the next rank: 2^11 ways through. */
static void test_visits_are_bounded(void **state)
{
    (void)state;
    struct buf yaml = {.bytes = NULL};
    buf_append(&yaml, TEXT("chain: root\nfirst: a0\nnodes:\n  a0: {type: check-fields, to: {True: [a1, b1]}}\n"));
    for (int rank = 1; rank < 11; rank++)
        for (char side = 'a'; side <= 'b'; side++)
            buf_printf(&yaml, "  %c%d: {type: check-fields, to: {True: [a%d, b%d]}}\n", side, rank, rank + 1,
                       rank + 1);
    buf_append(&yaml, TEXT("  a11: {type: check-fields}\n  b11: {type: check-fields}\n"));
    buf_byte(&yaml, '\0');
    struct ruleset *ruleset = rules_of(yaml.bytes);
    struct model model;
    model_init(&model);
    unsigned dead_letter_count = 0;
    assert_true(model_apply(&model, ruleset, OTHER("{}"), &dead_letter_count, NULL));
    assert_int_equal(dead_letter_count, 1);
    assert_non_null(strstr(model.happenings.bytes,
                           ": the event has passed 1000 nodes; what is left isn't run\n"));
    assert_int_equal(strncmp(model.happenings.bytes, "dead root/", 10), 0);
    model_fini(&model);
    ruleset_destroy(ruleset);
    buf_fini(&yaml);
}

/* A chain as long as an event may run, in one line; one node more is one too many. */
static void test_the_longest_way_is_run_to_its_end(void **state)
{
    (void)state;
    for (int more = 0; more <= 1; more++) {
        struct buf yaml = {.bytes = NULL};
        struct problems problems;
        problems_init(&problems);
        buf_append(&yaml, TEXT("chain: root\nfirst: n0\nnodes:\n"));
        for (int i = 0; i < NODE_VISITS_MAX - 2 + more; i++)
            buf_printf(&yaml, "  n%d: {type: check-fields, to: {True: n%d}}\n", i, i + 1);
        buf_printf(&yaml, "  n%d: {type: rule-chain, chain: b}\n%c", NODE_VISITS_MAX - 2 + more, '\0');
        struct ruleset *ruleset = rules_try(
            &problems,
            (const char *const[]){"root.yaml", yaml.bytes, "b.yaml",
                                  "chain: b\nfirst: l\nnodes: {l: {type: log, text: end}}\n", NULL});
        problems_print(&problems);
        assert_non_null(ruleset);
        struct model model;
        model_init(&model);
        assert_string_equal(model_run(&model, ruleset, OTHER("{}")),
                            more == 0
                                ? "log b/l: end\n"
                                : "dead b/l: the event has passed 1000 nodes; what is left isn't run\n");
        model_fini(&model);
        ruleset_destroy(ruleset);
        problems_fini(&problems);
        buf_fini(&yaml);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample_report_then_target),
        cmocka_unit_test(test_sample_target_then_report),
        cmocka_unit_test(test_sample_out_of_sync_and_back),
        cmocka_unit_test(test_sample_unchanged_reports_are_silent),
        cmocka_unit_test(test_sample_equality_is_exact),
        cmocka_unit_test(test_sample_saves_only_the_answer_in_server_scope),
        cmocka_unit_test(test_sample_scope_is_not_hijacked_by_a_shared_write),
        cmocka_unit_test(test_sample_ignores_what_a_producer_puts_into_the_metadata),
        cmocka_unit_test(test_sample_saves_telemetry_silently),
        cmocka_unit_test(test_metadata_tells_device_time_and_scope),
        cmocka_unit_test(test_a_producer_cant_forge_the_engines_metadata),
        cmocka_unit_test(test_a_write_is_saved_before_the_rules_run),
        cmocka_unit_test(test_a_failure_without_a_link_is_a_dead_letter),
        cmocka_unit_test(test_a_failure_with_a_link_is_handled),
        cmocka_unit_test(test_a_failing_store_stops_the_fold),
        cmocka_unit_test(test_a_write_that_doesnt_fit_is_a_dead_letter_and_the_rules_see_what_was_saved),
        cmocka_unit_test(test_branches_run_in_order_each_with_its_own_copy),
        cmocka_unit_test(test_changed_travels_with_the_branch),
        cmocka_unit_test(test_a_branch_that_fails_leaves_the_others_alone),
        cmocka_unit_test(test_visits_are_bounded),
        cmocka_unit_test(test_the_longest_way_is_run_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

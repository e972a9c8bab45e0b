/* A result is written as docs/protocol.md says, is numbered whether or not anybody listens, and its memory is
 * used again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/service/publisher.h"
#include "tests/unit/rules_model.h"
#include "tests/unit/temp_dir.h"

static char *dir;
static struct err err;
static struct state *state;
static struct subscriptions *subscriptions;
static struct queue *home;
static struct publisher *publisher;

static int set_up(void **unused)
{
    (void)unused;
    struct state_options options = {.map_bytes = 64 << 20};
    dir = temp_dir_make();
    if (!state_open(dir, &options, &state, &err))
        fail_msg("%s", err.text);
    subscriptions = subscriptions_create();
    home = queue_create();
    publisher = publisher_create(state, subscriptions, 10);
    publisher_home(publisher, home);
    publisher_event(publisher, 7, 1732147200000, TEXT("a\"b"), TEXT("T"), TEXT("{}"));
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    publisher_destroy(publisher);
    results_destroy_all(queue_take(home, 0));
    queue_destroy(home);
    subscriptions_destroy(subscriptions);
    state_close(state);
    temp_dir_remove(dir);
    return 0;
}

static void attribute(const struct value *value)
{
    const struct sink *sink = publisher_sink(publisher);
    sink->attribute(sink->context, SCOPE_CLIENT, TEXT("currentFwVer"), value);
}

static void next_is(const struct results *results, size_t *at, const char *topic, const char *payload)
{
    struct text found_topic, found_payload;
    assert_true(results_next(results, at, &found_topic, &found_payload));
    if (!text_is(found_topic, topic) || !text_is(found_payload, payload))
        fail_msg("got " TEXT_FMT " " TEXT_FMT, TEXT_ARG(found_topic), TEXT_ARG(found_payload));
}

static void test_results_are_written_where_somebody_listens(void **unused)
{
    (void)unused;
    struct value value = value_string(TEXT("v\n1"));
    attribute(&value);
    assert_null(publisher_take(publisher));
    subscriptions_change(subscriptions, TEXT("attributes"), true);
    attribute(&value);
    attribute(NULL);
    struct results *results = publisher_take(publisher);
    size_t at = 0;
    next_is(results, &at, "attributes/a\"b",
            "{\"n\":2,\"seq\":7,\"ts\":1732147200000,\"device\":\"a\\\"b\",\"scope\":\"CLIENT_SCOPE\","
            "\"key\":\"currentFwVer\",\"value\":\"v\\n1\"}");
    next_is(results, &at, "attributes/a\"b",
            "{\"n\":3,\"seq\":7,\"ts\":1732147200000,\"device\":\"a\\\"b\",\"scope\":\"CLIENT_SCOPE\","
            "\"key\":\"currentFwVer\",\"deleted\":true}");
    struct text topic, payload;
    assert_false(results_next(results, &at, &topic, &payload));
    results_done(results);
}

static void test_dead_letters_and_heartbeats_are_results(void **unused)
{
    (void)unused;
    subscriptions_change(subscriptions, TEXT(""), true);
    const struct sink *sink = publisher_sink(publisher);
    sink->dead_letter(sink->context, TEXT("root"), TEXT("save"), "no \"room\"");
    publisher_heartbeat(publisher, 1732147201000, 7);
    struct results *results = publisher_take(publisher);
    size_t at = 0;
    next_is(results, &at, "deadletter/a\"b",
            "{\"n\":1,\"seq\":7,\"ts\":1732147200000,\"device\":\"a\\\"b\",\"chain\":\"root\",\"node\":\"save\","
            "\"error\":\"no \\\"room\\\"\",\"event\":{}}");
    next_is(results, &at, "heartbeat",
            "{\"ts\":1732147201000,\"seq\":7,\"n\":{\"attributes\":0,\"deadletter\":1}}");
    results_done(results);
}

static const char in_batch[] =
    "{\"n\":1,\"ts\":1732147200000,\"members\":[\"seq\",\"device\",\"scope\",\"key\",\"value\",\"deleted\"]}\n"
    "[7,\"a\\\"b\",\"CLIENT_SCOPE\",\"currentFwVer\",true]\n"
    "[7,\"a\\\"b\",\"CLIENT_SCOPE\",\"currentFwVer\",null,true]";

static void batch_is(const struct results *results, const char *topic, const char *lines, uint64_t count)
{
    assert_non_null(results);
    struct text found = {results->topic, results->topic_bytes};
    if (!text_is(found, topic) || !text_is(buf_text(&results->bytes), lines))
        fail_msg("got " TEXT_FMT " " TEXT_FMT, TEXT_ARG(found), TEXT_ARG(buf_text(&results->bytes)));
    assert_int_equal(results->count, count);
}

static void test_a_batch_has_a_head_and_a_row_for_each_result(void **unused)
{
    (void)unused;
    subscriptions_change(subscriptions, TEXT("batch/attributes"), true);
    attribute(&(struct value){.kind = VALUE_BOOLEAN, .boolean = true});
    attribute(NULL);
    struct results *results = publisher_take(publisher);
    batch_is(results, "batch/attributes", in_batch, 2);
    assert_null(publisher_take(publisher));
    results_done(results);
    attribute(NULL); /* the next batch is another message, in the same memory */
    struct results *again = publisher_take(publisher);
    assert_ptr_equal(again, results);
    assert_memory_equal(again->bytes.bytes, "{\"n\":3,", 7);
    assert_int_equal(again->count, 1);
    results_done(again);
}

/* A head tells n and ts of all rows, so what has others needs another one. */
static void test_rows_of_a_batch_share_what_its_head_says(void **unused)
{
    (void)unused;
    struct text wish = TEXT("batch/attributes");
    subscriptions_change(subscriptions, wish, true);
    attribute(NULL);
    subscriptions_change(subscriptions, wish, false);
    attribute(NULL); /* numbered, not written */
    subscriptions_change(subscriptions, wish, true);
    attribute(NULL);
    publisher_event(publisher, 8, 1732147200000, TEXT("a"), TEXT("T"), TEXT("{}"));
    attribute(NULL);
    publisher_event(publisher, 9, 1732147200001, TEXT("a"), TEXT("T"), TEXT("{}"));
    attribute(NULL);
    static const struct {
        const char *head;
        uint64_t count;
    } expected[] = {{"{\"n\":1,\"ts\":1732147200000,", 1},
                    {"{\"n\":3,\"ts\":1732147200000,", 2},
                    {"{\"n\":5,\"ts\":1732147200001,", 1}};
    for (size_t i = 0; i < 3; i++) {
        struct results *results = publisher_take(publisher);
        assert_non_null(results);
        assert_true(text_starts(buf_text(&results->bytes), text_of(expected[i].head)));
        assert_int_equal(results->count, expected[i].count);
        results_done(results);
    }
    assert_null(publisher_take(publisher));
}

/* metadata  how many members it has: 0 or 1 */
static void tell(struct text device_type, struct text type, size_t metadata)
{
    const struct sink *sink = publisher_sink(publisher);
    struct field a = {TEXT("a"), {.kind = VALUE_NULL}}, m = {TEXT("m"), value_string(TEXT("1"))};
    struct fields data = {&a, 1}, members = {&m, metadata};
    struct message_view message = {type, {.fields = &data}, {.fields = &members}};
    publisher_event(publisher, 7, 1732147200000, TEXT("d"), device_type, TEXT("{}"));
    sink->publish(sink->context, TEXT("told"), 0, &message);
}

/* The head has what the first row has; a row has its own where that is otherwise. */
static void test_rows_leave_out_what_the_head_says(void **unused)
{
    (void)unused;
    struct ruleset *ruleset = rules_of("chain: root\nfirst: n\nnodes: {n: {type: publish, class: told}}\n");
    assert_true(publisher_rules(publisher, ruleset, &err));
    subscriptions_change(subscriptions, TEXT("batch/told"), true);
    tell(TEXT("T\n"), TEXT("X"), 0);
    tell(TEXT("T\n"), TEXT("X"), 0);
    tell(TEXT("T\n"), TEXT("Y"), 0);
    tell(TEXT("U"), TEXT("X"), 0);
    tell(TEXT("T\n"), TEXT("X"), 1);
    tell(TEXT(""), TEXT("T\nX"), 1);
    struct results *results = publisher_take(publisher);
    batch_is(results, "batch/told",
             "{\"n\":1,\"ts\":1732147200000,\"deviceType\":\"T\\n\",\"type\":\"X\",\"metadata\":{},"
             "\"members\":[\"seq\",\"device\",\"data\",\"metadata\",\"deviceType\",\"type\"]}\n"
             "[7,\"d\",{\"a\":null}]\n"
             "[7,\"d\",{\"a\":null}]\n"
             "[7,\"d\",{\"a\":null},null,null,\"Y\"]\n"
             "[7,\"d\",{\"a\":null},null,\"U\"]\n"
             "[7,\"d\",{\"a\":null},{\"m\":\"1\"}]\n"
             "[7,\"d\",{\"a\":null},{\"m\":\"1\"},\"\",\"T\\nX\"]", 6);
    results_done(results);
    tell(TEXT("U"), TEXT("X"), 1); /* another batch, another head */
    tell(TEXT("U"), TEXT("X"), 0);
    results = publisher_take(publisher);
    batch_is(results, "batch/told",
             "{\"n\":7,\"ts\":1732147200000,\"deviceType\":\"U\",\"type\":\"X\","
             "\"members\":[\"seq\",\"device\",\"data\",\"metadata\",\"deviceType\",\"type\"]}\n"
             "[7,\"d\",{\"a\":null},{\"m\":\"1\"}]\n"
             "[7,\"d\",{\"a\":null},{}]", 2);
    results_done(results);
    ruleset_destroy(ruleset);
}

static void test_both_forms_are_written_where_both_are_wanted(void **unused)
{
    (void)unused;
    subscriptions_change(subscriptions, TEXT("batch/"), true);
    subscriptions_change(subscriptions, TEXT(""), true);
    attribute(&(struct value){.kind = VALUE_BOOLEAN, .boolean = true});
    attribute(NULL);
    const struct sink *sink = publisher_sink(publisher);
    sink->dead_letter(sink->context, TEXT("root"), TEXT("save"), "no");
    publisher_heartbeat(publisher, 1732147201000, 7);
    struct results *attributes = publisher_take(publisher), *letters = publisher_take(publisher);
    struct results *single = publisher_take(publisher);
    batch_is(attributes, "batch/attributes", in_batch, 2);
    batch_is(letters, "batch/deadletter",
             "{\"n\":1,\"ts\":1732147200000,\"members\":[\"seq\",\"device\",\"chain\",\"node\",\"error\",\"event\"]}\n"
             "[7,\"a\\\"b\",\"root\",\"save\",\"no\",{}]", 1);
    assert_null(publisher_take(publisher));
    struct text topic, payload;
    size_t at = 0;
    next_is(single, &at, "attributes/a\"b",
            "{\"n\":1,\"seq\":7,\"ts\":1732147200000,\"device\":\"a\\\"b\",\"scope\":\"CLIENT_SCOPE\","
            "\"key\":\"currentFwVer\",\"value\":true}");
    next_is(single, &at, "attributes/a\"b",
            "{\"n\":2,\"seq\":7,\"ts\":1732147200000,\"device\":\"a\\\"b\",\"scope\":\"CLIENT_SCOPE\","
            "\"key\":\"currentFwVer\",\"deleted\":true}");
    next_is(single, &at, "deadletter/a\"b",
            "{\"n\":1,\"seq\":7,\"ts\":1732147200000,\"device\":\"a\\\"b\",\"chain\":\"root\",\"node\":\"save\","
            "\"error\":\"no\",\"event\":{}}");
    assert_true(results_next(single, &at, &topic, &payload) && text_is(topic, "heartbeat")); /* never in a batch */
    assert_int_equal(single->count, 4);
    results_done(attributes);
    results_done(letters);
    results_done(single);
}

/* Full ones go first; a result that is too large for any has one to itself. */
static void test_a_batch_has_a_bound(void **unused)
{
    (void)unused;
    static char large[RESULTS_BATCH_BYTES];
    enum { COUNT = 2000 };
    memset(large, 'x', sizeof large);
    subscriptions_change(subscriptions, TEXT("batch/attributes"), true);
    uint64_t next_n = 1, message_count = 0, alone_count = 0;
    for (int i = 0; i < COUNT; i++) {
        struct value value = value_string((struct text){large, i % 1000 == 500 ? sizeof large : 100});
        attribute(&value);
    }
    for (struct results *results; (results = publisher_take(publisher)) != NULL; message_count++) {
        char start[32];
        snprintf(start, sizeof start, "{\"n\":%u,", (unsigned)next_n);
        assert_true(text_starts(buf_text(&results->bytes), text_of(start)));
        if (results->bytes.len > RESULTS_BATCH_BYTES)
            alone_count += results->count;
        next_n += results->count;
        results_done(results);
    }
    assert_int_equal(next_n, COUNT + 1);
    assert_int_equal(alone_count, 2);
    assert_true(message_count >= 12 && message_count < 22);
}

/* Room is made where it turns out that there is none. Values of lengths about those at which that is so, of bytes that
 * take six each; with the name that was chosen, and without. */
static void publish_long(const struct field *field, const struct fwsync_keys *keys)
{
    const struct sink *sink = publisher_sink(publisher);
    struct fields data = {(struct field[]){*field}, 1}, none = {NULL, 0};
    struct message_view message = {TEXT("X"), {&data, keys}, {&none, NULL}};
    sink->publish(sink->context, TEXT("told"), 0, &message);
}

/* The value in there, as it was. */
static void holds_long(struct text json, const char *before, size_t len)
{
    static const char escape[] = "\\u0001";
    const char *at = memmem(json.bytes, json.len, before, strlen(before));
    assert_non_null(at);
    at += strlen(before);
    for (size_t i = 0; i < len; i++, at += sizeof escape - 1)
        assert_memory_equal(at, escape, sizeof escape - 1);
    assert_true(*at == '"' && at < json.bytes + json.len);
}

static void long_ones_are_whole(size_t len, const char *before)
{
    struct results *batch = publisher_take(publisher), *single = publisher_take(publisher);
    struct text topic, payload;
    size_t at = 0;
    assert_int_equal(batch->count, 1);
    holds_long(buf_text(&batch->bytes), before, len);
    assert_memory_equal(batch->bytes.bytes + batch->bytes.len - 2, strcmp(before, "\"long\":\"") == 0 ? "}]" : "\"]", 2);
    assert_true(results_next(single, &at, &topic, &payload));
    holds_long(payload, strcmp(before, "\"long\":\"") == 0 ? before : "\"value\":\"", len);
    assert_int_equal(payload.bytes[payload.len - 1], '}');
    assert_false(results_next(single, &at, &topic, &payload));
    results_done(batch);
    results_done(single);
}

static void test_results_of_any_length_are_whole(void **unused)
{
    (void)unused;
    static char bytes[16384];
    memset(bytes, 1, sizeof bytes);
    struct ruleset *ruleset = rules_of("chain: root\nfirst: n\nnodes: {n: {type: publish, class: told}}\n");
    assert_true(publisher_rules(publisher, ruleset, &err));
    subscriptions_change(subscriptions, TEXT("batch/"), true);
    subscriptions_change(subscriptions, TEXT(""), true);
    struct fwsync_keys *keys = calloc(1, sizeof *keys + sizeof keys->items[0]);
    *keys = (struct fwsync_keys){.count = 1};
    keys->items[0] = (struct member_key){TEXT("long"), TEXT(",\"long\":")};
    for (size_t len = 0; len < sizeof bytes; len += len < 400 || (len > 5350 && len < 5460) ? 1 : 97) {
        struct field field = {TEXT("long"), value_string((struct text){bytes, len})};
        publish_long(&field, NULL);
        long_ones_are_whole(len, "\"long\":\"");
        publish_long(&field, keys);
        long_ones_are_whole(len, "\"long\":\"");
        attribute(&field.value);
        long_ones_are_whole(len, "\"currentFwVer\",\"");
    }
    free(keys);
    ruleset_destroy(ruleset);
}

/* Those that the door still has when all kept ones are out are new, and go when they were sent. */
static struct ruleset *rules_with_classes(const char *prefix, unsigned count)
{
    char yaml[8192];
    int len = snprintf(yaml, sizeof yaml, "chain: root\nfirst: n0\nnodes:\n");
    for (unsigned i = 0; i < count; i++)
        len += snprintf(yaml + len, sizeof yaml - (size_t)len, "  n%u: {type: publish, class: %s%u, to: {Success: n%u}}\n",
                        i, prefix, i, i + 1);
    snprintf(yaml + len, sizeof yaml - (size_t)len, "  n%u: {type: log}\n", count);
    return rules_of(yaml);
}

static void test_refused_rules_take_no_room_for_classes(void **unused)
{
    (void)unused;
    static const struct {
        const char *prefix;
        unsigned count;
        bool taken;
    } rows[] = {{"a", 64, true},  {"b", 64, true},  {"c", 64, true}, {"d", 60, true}, {"e", 3, false},
                {"f", 64, false}, {"g", 2, true},   {"h", 1, false}, {"a", 64, true}, {"g", 3, false}};
    struct ruleset *last = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ruleset *ruleset = rules_with_classes(rows[i].prefix, rows[i].count);
        assert_int_equal(publisher_rules(publisher, ruleset, &err), rows[i].taken);
        if (!rows[i].taken)
            assert_non_null(strstr(err.text, "a data folder has at most 256 in its life"));
        ruleset_destroy(rows[i].taken ? last : ruleset);
        if (rows[i].taken)
            last = ruleset;
    }
    ruleset_destroy(last);
}

static void test_memory_is_used_again(void **unused)
{
    (void)unused;
    enum { OUT = 20 };
    subscriptions_change(subscriptions, TEXT("attributes/"), true);
    struct results *out[OUT];
    for (size_t i = 0; i < OUT; i++) {
        attribute(NULL);
        out[i] = publisher_take(publisher);
    }
    for (size_t i = 0; i < OUT; i++)
        results_done(out[i]);
    attribute(NULL);
    struct results *again = publisher_take(publisher);
    assert_ptr_equal(again, out[0]);
    size_t at = 0;
    next_is(again, &at, "attributes/a\"b",
            "{\"n\":21,\"seq\":7,\"ts\":1732147200000,\"device\":\"a\\\"b\",\"scope\":\"CLIENT_SCOPE\","
            "\"key\":\"currentFwVer\",\"deleted\":true}");
    results_done(again);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_results_are_written_where_somebody_listens),
        TEST(test_dead_letters_and_heartbeats_are_results),
        TEST(test_a_batch_has_a_head_and_a_row_for_each_result),
        TEST(test_rows_of_a_batch_share_what_its_head_says),
        TEST(test_rows_leave_out_what_the_head_says),
        TEST(test_both_forms_are_written_where_both_are_wanted),
        TEST(test_a_batch_has_a_bound),
        TEST(test_results_of_any_length_are_whole),
        TEST(test_refused_rules_take_no_room_for_classes),
        TEST(test_memory_is_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

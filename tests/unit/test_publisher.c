/* A result is written as docs/protocol.md says, is numbered whether or not anybody listens, and its memory is
 * used again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/service/publisher.h"
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

/* Those that the door still has when all kept ones are out are new, and go when they were sent. */
static void test_memory_is_used_again(void **unused)
{
    (void)unused;
    enum { OUT = 12 };
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
            "{\"n\":13,\"seq\":7,\"ts\":1732147200000,\"device\":\"a\\\"b\",\"scope\":\"CLIENT_SCOPE\","
            "\"key\":\"currentFwVer\",\"deleted\":true}");
    results_done(again);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_results_are_written_where_somebody_listens),
        TEST(test_dead_letters_and_heartbeats_are_results),
        TEST(test_memory_is_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

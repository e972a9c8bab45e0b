/* Requests become events; what became of the events becomes replies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/limits.h"
#include "engine/service/batch.h"

struct fixture {
    struct batch *batch;
    struct arena scratch;
    struct buf reply;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->batch = batch_create();
    arena_init(&fixture->scratch, 4096);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    batch_destroy(fixture->batch);
    arena_fini(&fixture->scratch);
    buf_fini(&fixture->reply);
    free(fixture);
    return 0;
}

static struct request *add(struct fixture *fixture, struct text body)
{
    static const struct text frames[] = {{"id", 2}, {"", 0}};
    struct envelope envelope = {frames, 2};
    batch_add(fixture->batch, envelope, body, &fixture->scratch);
    struct acks *acks = fixture->batch->acks;
    return &acks->requests[acks->request_count - 1];
}

static const char *reply(struct fixture *fixture, const struct request *request)
{
    buf_clear(&fixture->reply);
    request_reply(request, &fixture->reply);
    buf_byte(&fixture->reply, '\0');
    return fixture->reply.bytes;
}

#define EVENT "{\"device\":\"d\",\"type\":\"T\"}"

static void test_lines_become_events(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *body;
        size_t events, rejected;
    } rows[] = {
        {EVENT, 1, 0},
        {EVENT "\n", 1, 0},
        {EVENT "\n" EVENT, 2, 0},
        {EVENT "\r\n" EVENT "\r\n", 2, 0},
        {"\n\n" EVENT "\n \t\n" EVENT "\n\n", 2, 0},
        {"x", 0, 1},
        {"x\n" EVENT "\ny", 1, 2},
        {"{\"device\":\n\"d\"}", 0, 2}, /* an event is one line */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t before = fixture->batch->event_count;
        const struct request *request = add(fixture, text_of(rows[i].body));
        assert_int_equal(fixture->batch->event_count - before, rows[i].events);
        assert_int_equal(request->rejected, rows[i].rejected);
        assert_int_equal(request->failed.len, 0);
        for (size_t e = before; e < fixture->batch->event_count; e++) {
            assert_int_equal(fixture->batch->events[e].request, i);
            assert_true(text_is(fixture->batch->events[e].event.device, "d"));
            assert_true(text_starts(fixture->batch->events[e].line, TEXT(EVENT)));
        }
    }
}

static void test_the_reply_counts_what_became_of_the_events(void **state)
{
    struct fixture *fixture = *state;
    struct request *request = add(fixture, TEXT(EVENT));
    request->accepted = 1;
    request->first_seq = request->last_seq = 7;
    assert_string_equal(reply(fixture, request), "{\"ok\":true,\"accepted\":1,\"duplicates\":0,\"rejected\":0,"
                                                 "\"first\":7,\"last\":7}");
    request = add(fixture, TEXT(EVENT));
    request->duplicates = 1;
    assert_string_equal(reply(fixture, request),
                        "{\"ok\":true,\"accepted\":0,\"duplicates\":1,\"rejected\":0}");
    request = add(fixture, TEXT("[]"));
    assert_non_null(strstr(reply(fixture, request), "\"ok\":false,\"accepted\":0,\"duplicates\":0,"
                                                    "\"rejected\":1,\"errors\":[{\"line\":1,\"code\":\"bad-json\","));
    request = add(fixture, TEXT(EVENT));
    request->refused = "why not";
    assert_string_equal(reply(fixture, request),
                        "{\"ok\":false,\"code\":\"busy\",\"retry_ms\":50,\"error\":\"why not\"}");
}

static void test_a_request_without_events_is_wrong_as_a_whole(void **state)
{
    struct fixture *fixture = *state;
    static const char *const bodies[] = {"", "\n", " \r\n\t"};
    add(fixture, TEXT(EVENT)); /* another one's event doesn't count */
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        assert_non_null(strstr(reply(fixture, add(fixture, text_of(bodies[i]))), "\"code\":\"bad-event\""));
    assert_int_equal(fixture->batch->event_count, 1);
}

static void test_a_request_is_bounded_in_bytes(void **state)
{
    struct fixture *fixture = *state;
    char *bytes = malloc(REQUEST_BYTES_MAX + 1);
    memset(bytes, '\n', REQUEST_BYTES_MAX + 1);
    memcpy(bytes, EVENT, sizeof EVENT - 1);
    assert_int_equal(add(fixture, (struct text){bytes, REQUEST_BYTES_MAX})->failed.len, 0);
    assert_int_equal(fixture->batch->event_count, 1);
    const struct request *request = add(fixture, (struct text){bytes, REQUEST_BYTES_MAX + 1});
    assert_non_null(strstr(reply(fixture, request), "\"code\":\"too-large\""));
    assert_int_equal(fixture->batch->event_count, 1);
    free(bytes);
}

static void test_at_most_100_wrong_lines_are_named(void **state)
{
    struct fixture *fixture = *state;
    char body[2 * (LINE_ERRORS_MAX + 20)];
    for (size_t i = 0; i < sizeof body; i += 2)
        memcpy(body + i, "x\n", 2);
    const struct request *request = add(fixture, (struct text){body, sizeof body});
    assert_int_equal(request->rejected, LINE_ERRORS_MAX + 20);
    const char *text = reply(fixture, request);
    size_t named = 0;
    for (const char *at = text; (at = strstr(at, "\"line\":")) != NULL; at++)
        named++;
    assert_int_equal(named, LINE_ERRORS_MAX);
}

static void test_an_event_outlives_the_message_it_came_in(void **state)
{
    struct fixture *fixture = *state;
    enum { REQUESTS = 1000 };
    char body[REQUESTS][40];
    for (int i = 0; i < REQUESTS; i++) {
        snprintf(body[i], sizeof body[i], "{\"device\":\"%d\",\"type\":\"T\"}", i);
        add(fixture, text_of(body[i]));
    }
    char wanted[REQUESTS][40];
    memcpy(wanted, body, sizeof body);
    memset(body, 'x', sizeof body);
    assert_int_equal(fixture->batch->event_count, REQUESTS);
    for (int i = 0; i < REQUESTS; i++)
        assert_true(text_is(fixture->batch->events[i].line, wanted[i]));
}

static void test_a_refused_request_is_looked_at_only_for_its_source(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *body;
        size_t events;
    } rows[] = {
        {EVENT, 0},
        {"{\"device\":\"d\",\"type\":\"T\",\"source\":\"s\",\"n\":1}", 1},
        {"{\"device\":\"d\",\"type\":\"T\",\"s\\u006furce\":\"s\",\"n\":1}", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        batch_clear(fixture->batch);
        acks_clear(fixture->batch->acks);
        fixture->batch->refuse = "too much";
        const struct request *request = add(fixture, text_of(rows[i].body));
        assert_int_equal(fixture->batch->event_count, rows[i].events);
        if (rows[i].events == 0)
            assert_non_null(strstr(reply(fixture, request), "\"code\":\"busy\""));
    }
}

static void test_a_batch_is_used_again(void **state)
{
    struct fixture *fixture = *state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 200; i++)
            add(fixture, TEXT(EVENT "\n" EVENT "\nx"));
        assert_int_equal(fixture->batch->event_count, 400);
        assert_int_equal(fixture->batch->acks->request_count, 200);
        assert_true(batch_bytes(fixture->batch) > 400 * sizeof(struct batch_event));
        struct acks *acks = fixture->batch->acks;
        fixture->batch->acks = NULL; /* as the committer parts them */
        batch_clear(fixture->batch);
        acks_clear(acks);
        batch_pair(fixture->batch, acks);
        assert_ptr_equal(fixture->batch->acks, acks);
        assert_int_equal(fixture->batch->event_count, 0);
        assert_int_equal(acks->request_count, 0);
        assert_int_equal(batch_bytes(fixture->batch), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines_become_events, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_reply_counts_what_became_of_the_events, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_request_without_events_is_wrong_as_a_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_request_is_bounded_in_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_at_most_100_wrong_lines_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_event_outlives_the_message_it_came_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_refused_request_is_looked_at_only_for_its_source, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_batch_is_used_again, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The library's sending half against a stand-in for fwsyncd that misbehaves on order. Both run in this
 * thread, turn by turn. */
#include "engine/client/fwsync.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "engine/base/clock.h"
#include "engine/client/reach.h"
#include "tests/unit/temp_dir.h"

enum { DEADLINE_S = 20, FRAMES_MAX = 4, BODY_BYTES = 1 << 20 };

/* --- the stand-in ----------------------------------------------------------------------------------- */

struct stand_in {
    void *context;
    void *socket;
    char *folder;
    char endpoint[128];
    char *body; /* of the last request, with a NUL */
    size_t envelope_count;
    char envelope[FRAMES_MAX][256];
    size_t envelope_bytes[FRAMES_MAX];
};

static void stand_in_bind(struct stand_in *door)
{
    int none = 0;
    door->context = zmq_ctx_new();
    door->socket = zmq_socket(door->context, ZMQ_ROUTER);
    zmq_setsockopt(door->socket, ZMQ_LINGER, &none, sizeof none);
    assert_int_equal(zmq_bind(door->socket, door->endpoint), 0);
}

/* With its context, because only then the endpoint is surely free. */
static void stand_in_close(struct stand_in *door)
{
    zmq_close(door->socket);
    zmq_ctx_term(door->context);
}

static int stand_in_setup(void **state)
{
    struct stand_in *door = calloc(1, sizeof *door);
    door->body = malloc(BODY_BYTES + 1);
    door->folder = temp_dir_make();
    snprintf(door->endpoint, sizeof door->endpoint, "ipc://%s", temp_dir_path(door->folder, "door"));
    stand_in_bind(door);
    *state = door;
    return 0;
}

static int stand_in_teardown(void **state)
{
    struct stand_in *door = *state;
    stand_in_close(door);
    temp_dir_remove(door->folder);
    free(door->body);
    free(door);
    return 0;
}

static bool stand_in_try(struct stand_in *door)
{
    int more = 1;
    size_t more_bytes = sizeof more;
    door->envelope_count = 0;
    while (more) {
        char frame[BODY_BYTES];
        int len = zmq_recv(door->socket, frame, sizeof frame, ZMQ_DONTWAIT);
        if (len < 0)
            return false;
        zmq_getsockopt(door->socket, ZMQ_RCVMORE, &more, &more_bytes);
        if (!more) {
            memcpy(door->body, frame, (size_t)len);
            door->body[len] = '\0';
            return true;
        }
        assert_in_range(len, 0, 255);
        memcpy(door->envelope[door->envelope_count], frame, (size_t)len);
        door->envelope_bytes[door->envelope_count++] = (size_t)len;
    }
    return false;
}

/* Turns of the client until a request has come. */
static const char *request(struct stand_in *door, struct fwsync_client *client)
{
    for (time_t end = time(NULL) + DEADLINE_S; time(NULL) < end;) {
        assert_int_equal(fwsync_process(client, 1), FWSYNC_OK);
        if (stand_in_try(door))
            return door->body;
    }
    fail_msg("no request within the deadline");
    return NULL;
}

static void reply(struct stand_in *door, const char *answer)
{
    for (size_t i = 0; i < door->envelope_count; i++)
        zmq_send(door->socket, door->envelope[i], door->envelope_bytes[i], ZMQ_SNDMORE);
    zmq_send(door->socket, answer, strlen(answer), 0);
}

static void accept_all(struct stand_in *door)
{
    char answer[128];
    int count = 1;
    for (const char *at = door->body; (at = strchr(at, '\n')) != NULL; at++)
        count++;
    snprintf(answer, sizeof answer, "{\"ok\":true,\"accepted\":%d,\"duplicates\":0,\"rejected\":0}", count);
    reply(door, answer);
}

static void connection_breaks(struct stand_in *door)
{
    stand_in_close(door);
    stand_in_bind(door);
}

/* --- helpers ---------------------------------------------------------------------------------------- */

static struct fwsync_client *open_client(const struct stand_in *door, struct fwsync_options options)
{
    struct fwsync_client *client;
    options.events = door->endpoint;
    options.query = door->endpoint;
    assert_int_equal(fwsync_open(&options, &client), FWSYNC_OK);
    return client;
}

static void send_text(struct fwsync_client *client, const char *event)
{
    assert_int_equal(fwsync_send(client, event, FWSYNC_STRING_END, 0), FWSYNC_OK);
}

static struct fwsync_counts counts_of(const struct fwsync_client *client)
{
    struct fwsync_counts counts;
    fwsync_counts(client, &counts);
    return counts;
}

static const struct fwsync_options named = {.source = "s", .first_n = 1, .timeout_ms = 60000};

/* --- what goes out ---------------------------------------------------------------------------------- */

static void test_what_gathers_while_one_is_under_way_goes_together(void **state)
{
    struct stand_in *door = *state;
    struct fwsync_client *client = open_client(door, named);
    send_text(client, "{\"a\":1}");
    send_text(client, "{\"b\":\n2}");
    send_text(client, "{}");
    assert_string_equal(request(door, client), "{\"source\":\"s\",\"n\":1,\"a\":1}");
    accept_all(door);
    assert_string_equal(request(door, client), "{\"source\":\"s\",\"n\":2,\"b\": 2}\n{\"source\":\"s\",\"n\":3}");
    assert_int_equal(fwsync_settled(client), 1);
    accept_all(door);
    assert_int_equal(fwsync_flush(client, DEADLINE_S * 1000), FWSYNC_OK);
    assert_int_equal(fwsync_settled(client), 3);
    assert_int_equal(counts_of(client).accepted, 3);
    assert_int_equal(counts_of(client).waiting, 0);
    fwsync_close(client);
}

static void test_a_source_is_random_and_numbers_begin_with_1(void **state)
{
    struct stand_in *door = *state;
    char first[64];
    for (int i = 0; i < 2; i++) {
        struct fwsync_client *client = open_client(door, (struct fwsync_options){.timeout_ms = 60000});
        send_text(client, "{}");
        const char *body = request(door, client);
        assert_non_null(strstr(body, "\"n\":1}"));
        assert_memory_equal(body, "{\"source\":\"lib-", 15);
        if (i == 1)
            assert_memory_not_equal(body, first, sizeof first - 1);
        memcpy(first, body, sizeof first - 1);
        fwsync_close(client);
    }
}

static void test_without_numbers_events_go_as_they_are(void **state)
{
    struct stand_in *door = *state;
    struct fwsync_client *client = open_client(door, (struct fwsync_options){.source = ""});
    send_text(client, "{\"a\":1}");
    assert_string_equal(request(door, client), "{\"a\":1}");
    assert_int_equal(fwsync_send_numbered(client, 7, "{}", 2, 0), FWSYNC_OK);
    accept_all(door);
    assert_string_equal(request(door, client), "{}");
    accept_all(door);
    assert_int_equal(fwsync_flush(client, DEADLINE_S * 1000), FWSYNC_OK);
    assert_int_equal(fwsync_settled(client), 7);
    fwsync_close(client);
}

static void test_an_event_in_parts_is_composed_and_escaped(void **state)
{
    struct stand_in *door = *state;
    struct fwsync_client *client = open_client(door, (struct fwsync_options){.source = ""});
    const struct fwsync_item items[] = {{"a\"", "x\ny", NULL}, {"b", NULL, "[1,2]"}};
    const struct fwsync_event event = {.device = "d", .type = "ATTRIBUTES_UPDATED", .scope = "SERVER_SCOPE",
                                       .device_type = "T", .ts_ms = 5, .items = items, .item_count = 2,
                                       .metadata = "{\"m\":\"1\"}"};
    assert_int_equal(fwsync_send_event(client, &event, 0), FWSYNC_OK);
    assert_string_equal(request(door, client),
                        "{\"device\":\"d\",\"deviceType\":\"T\",\"type\":\"ATTRIBUTES_UPDATED\","
                        "\"scope\":\"SERVER_SCOPE\",\"ts\":5,\"data\":{\"a\\\"\":\"x\\ny\",\"b\":[1,2]},"
                        "\"metadata\":{\"m\":\"1\"}}");
    const struct fwsync_event nameless = {.type = "x"};
    assert_int_equal(fwsync_send_event(client, &nameless, 0), FWSYNC_E_INVALID);
    const struct fwsync_item empty = {"a", NULL, NULL};
    const struct fwsync_event valueless = {.device = "d", .type = "x", .items = &empty, .item_count = 1};
    assert_int_equal(fwsync_send_event(client, &valueless, 0), FWSYNC_E_INVALID);
    fwsync_close(client);
}

static void test_numbers_of_the_callers_must_rise(void **state)
{
    struct fwsync_client *client = open_client(*state, named);
    assert_int_equal(fwsync_send_numbered(client, 5, "{}", 2, 0), FWSYNC_OK);
    assert_int_equal(fwsync_send_numbered(client, 5, "{}", 2, 0), FWSYNC_E_INVALID);
    assert_int_equal(fwsync_send_numbered(client, (UINT64_C(1) << 53) + 1, "{}", 2, 0), FWSYNC_E_INVALID);
    assert_int_equal(fwsync_send_numbered(client, 6, "{}", 2, 0), FWSYNC_OK);
    assert_int_equal(fwsync_send_numbered(client, UINT64_C(1) << 53, "{}", 2, 0), FWSYNC_OK);
    assert_int_equal(fwsync_send(client, "{}", 2, 0), FWSYNC_E_INVALID);
    fwsync_close(client);
}

static void test_what_cannot_be_sent_is_refused(void **state)
{
    struct fwsync_client *client = open_client(*state, named);
    char *large = malloc(BODY_BYTES);
    memset(large, 'x', BODY_BYTES);
    assert_int_equal(fwsync_send(client, " \n", 2, 0), FWSYNC_E_INVALID);
    assert_int_equal(fwsync_send(client, large, BODY_BYTES, 0), FWSYNC_E_TOO_LARGE);
    assert_string_equal(fwsync_last_error(client), "the event is longer than 1 MiB");
    assert_int_equal(counts_of(client).waiting, 0);
    free(large);
    fwsync_close(client);
}

static void test_wrong_options_are_told(void **state)
{
    (void)state;
    static const struct {
        struct fwsync_options options;
        const char *error;
    } rows[] = {
        {{.source = "s"}, "a source needs first_n"},
        {{.first_n = 1}, "first_n needs a source"},
        {{.source = "", .first_n = 1}, "first_n needs a source"},
        {{.source = "s", .first_n = (UINT64_C(1) << 53) + 1}, "beyond 2^53"},
        {{.timeout_ms = -1}, "can't be negative"},
        {{.window_events = 10000001}, "window_events is over"},
        {{.events = "nonsense"}, "cannot use the endpoint 'nonsense'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fwsync_client *client = (struct fwsync_client *)&client;
        assert_int_equal(fwsync_open(&rows[i].options, &client), FWSYNC_E_CONFIG);
        assert_null(client);
        assert_non_null(strstr(fwsync_last_error(NULL), rows[i].error));
    }
}

/* --- trouble ---------------------------------------------------------------------------------------- */

static void test_after_busy_the_same_request_comes_again_and_nothing_before_it(void **state)
{
    struct stand_in *door = *state;
    struct fwsync_client *client = open_client(door, named);
    send_text(client, "{}");
    request(door, client);
    send_text(client, "{}");
    reply(door, "{\"ok\":false,\"code\":\"busy\",\"retry_ms\":5,\"error\":\"the disk is full\"}");
    assert_string_equal(request(door, client), "{\"source\":\"s\",\"n\":1}");
    assert_string_equal(fwsync_last_error(client), "fwsyncd takes nothing just now: the disk is full");
    accept_all(door);
    assert_string_equal(request(door, client), "{\"source\":\"s\",\"n\":2}");
    assert_int_equal(counts_of(client).busy, 1);
    assert_int_equal(counts_of(client).resends, 0);
    fwsync_close(client);
}

static void test_what_was_not_answered_goes_again_on_a_new_connection(void **state)
{
    struct stand_in *door = *state;
    struct fwsync_options options = named;
    options.timeout_ms = 50;
    struct fwsync_client *client = open_client(door, options);
    send_text(client, "{}");
    request(door, client);
    char peer[256];
    size_t peer_bytes = door->envelope_bytes[0];
    memcpy(peer, door->envelope[0], peer_bytes);
    assert_string_equal(request(door, client), "{\"source\":\"s\",\"n\":1}");
    assert_true(counts_of(client).resends >= 1); /* a slow machine may have waited for it more than once */
    assert_non_null(strstr(fwsync_last_error(client), "within 0.05 s: is fwsyncd running?"));
    assert_false(peer_bytes == door->envelope_bytes[0] && memcmp(peer, door->envelope[0], peer_bytes) == 0);
    fwsync_close(client);
}

static void test_a_broken_connection_is_noticed_before_the_timeout(void **state)
{
    struct stand_in *door = *state;
    struct fwsync_client *client = open_client(door, named); /* its timeout is beyond the deadline */
    send_text(client, "{}");
    request(door, client);
    send_text(client, "{}");
    connection_breaks(door);
    assert_string_equal(request(door, client), "{\"source\":\"s\",\"n\":1}");
    accept_all(door);
    assert_string_equal(request(door, client), "{\"source\":\"s\",\"n\":2}");
    accept_all(door);
    assert_int_equal(fwsync_flush(client, DEADLINE_S * 1000), FWSYNC_OK);
    assert_int_equal(counts_of(client).accepted, 2);
    fwsync_close(client);
}

static void test_a_late_answer_settles_nothing(void **state)
{
    struct stand_in *door = *state;
    struct fwsync_client *client = open_client(door, named);
    send_text(client, "{}");
    request(door, client);
    door->envelope[1][0] ^= 1; /* the number of another request */
    accept_all(door);
    assert_int_equal(fwsync_flush(client, 50), FWSYNC_E_TIMEOUT);
    door->envelope[1][0] ^= 1;
    accept_all(door);
    assert_int_equal(fwsync_flush(client, DEADLINE_S * 1000), FWSYNC_OK);
    fwsync_close(client);
}

static void test_a_full_window_takes_nothing_until_there_is_room(void **state)
{
    struct stand_in *door = *state;
    struct fwsync_options options = named;
    options.window_events = 2;
    options.window_bytes = 100;
    struct fwsync_client *client = open_client(door, options);
    char large[200];
    memset(large, ' ', sizeof large);
    memcpy(large, "{}", 2);
    assert_int_equal(fwsync_send(client, large, sizeof large, 0), FWSYNC_OK); /* one always fits */
    assert_int_equal(fwsync_send(client, "{}", 2, 0), FWSYNC_E_FULL);
    request(door, client);
    accept_all(door);
    assert_int_equal(fwsync_send(client, "{}", 2, DEADLINE_S * 1000), FWSYNC_OK);
    send_text(client, "{}");
    assert_int_equal(fwsync_send(client, "{}", 2, 1), FWSYNC_E_FULL);
    assert_int_equal(counts_of(client).waiting, 2);
    fwsync_close(client);
}

/* What went wrong before something was settled, or with a question, is no reason for what goes wrong now. */
static void test_an_old_reason_is_not_told_again(void **state)
{
    struct stand_in *door = *state;
    struct fwsync_options options = named;
    options.window_events = 1;
    struct fwsync_client *client = open_client(door, options);
    send_text(client, "{}");
    request(door, client);
    reply(door, "{\"ok\":false,\"code\":\"busy\",\"retry_ms\":1,\"error\":\"the disk is full\"}");
    request(door, client);
    assert_int_equal(fwsync_flush(client, 1), FWSYNC_E_TIMEOUT);
    assert_string_equal(fwsync_last_error(client), "fwsyncd takes nothing just now: the disk is full");
    accept_all(door);
    assert_int_equal(fwsync_flush(client, DEADLINE_S * 1000), FWSYNC_OK);
    send_text(client, "{}");
    assert_int_equal(fwsync_send(client, " ", 1, 0), FWSYNC_E_INVALID);
    assert_string_equal(fwsync_last_error(client), "the event is blank");
    assert_int_equal(fwsync_flush(client, 1), FWSYNC_E_TIMEOUT);
    assert_string_equal(fwsync_last_error(client), "not all events are acknowledged yet");
    assert_int_equal(fwsync_send(client, "{}", 2, 1), FWSYNC_E_FULL);
    assert_string_equal(fwsync_last_error(client), fwsync_strerror(FWSYNC_E_FULL));
    fwsync_close(client);
}

static void test_the_wrong_door_loses_nothing(void **state)
{
    struct stand_in *door = *state;
    struct fwsync_client *client = open_client(door, named);
    send_text(client, "{}");
    request(door, client);
    reply(door, "{\"ok\":false,\"code\":\"bad-query\",\"error\":\"no op\"}");
    assert_int_equal(fwsync_flush(client, DEADLINE_S * 1000), FWSYNC_E_CONFIG);
    assert_non_null(strstr(fwsync_last_error(client), "is a query door, not an events door"));
    assert_int_equal(counts_of(client).waiting, 1);
    fwsync_close(client);
}

/* --- rejected events -------------------------------------------------------------------------------- */

struct told {
    int count;
    uint64_t n_sum;
    char last[256];
};

static void note_rejected(void *context, uint64_t n, const char *event, size_t len, const char *code,
                          const char *error)
{
    struct told *told = context;
    told->count++;
    told->n_sum += n;
    assert_int_equal(strlen(event), len);
    snprintf(told->last, sizeof told->last, "%s %s %s", event, code, error);
}

static void test_a_rejected_event_is_told_with_its_text(void **state)
{
    struct stand_in *door = *state;
    struct told told = {0};
    struct fwsync_options options = named;
    options.on_rejected = note_rejected;
    options.context = &told;
    struct fwsync_client *client = open_client(door, options);
    send_text(client, "{}");
    request(door, client);
    send_text(client, "{\"a\":1}");
    send_text(client, "{\"b\":1}");
    accept_all(door);
    request(door, client);
    reply(door, "{\"ok\":false,\"accepted\":1,\"duplicates\":0,\"rejected\":1,\"errors\":["
                "{\"line\":2,\"code\":\"bad-event\",\"error\":\"why\"}]}");
    assert_int_equal(fwsync_flush(client, DEADLINE_S * 1000), FWSYNC_OK);
    assert_int_equal(told.count, 1);
    assert_int_equal(told.n_sum, 3);
    assert_string_equal(told.last, "{\"b\":1} bad-event why");
    assert_int_equal(counts_of(client).rejected, 1);
    assert_int_equal(counts_of(client).accepted, 2);
    fwsync_close(client);
}

static void test_a_request_refused_as_a_whole_rejects_its_events(void **state)
{
    struct stand_in *door = *state;
    struct told told = {0};
    struct fwsync_options options = named;
    options.on_rejected = note_rejected;
    options.context = &told;
    struct fwsync_client *client = open_client(door, options);
    send_text(client, "{}");
    request(door, client);
    reply(door, "{\"ok\":false,\"code\":\"too-large\",\"error\":\"why\"}");
    assert_int_equal(fwsync_flush(client, DEADLINE_S * 1000), FWSYNC_OK);
    assert_string_equal(told.last, "{} too-large why");
    fwsync_close(client);
}

/* Only an events door settles events. */
static void test_what_no_events_door_says_settles_nothing(void **state)
{
    static const char *const answers[] = {
        "{}",
        "[null]",
        "1",
        "no JSON",
        "{\"ok\":true}",
        "{\"ok\":false}",
        "{\"ok\":false,\"code\":\"not-found\",\"error\":\"x\"}",
        "{\"ok\":1,\"code\":\"bad-event\",\"error\":\"x\"}",
        "{\"code\":\"bad-event\",\"error\":\"x\"}",
        "{\"ok\":true,\"code\":\"bad-event\",\"error\":\"x\"}",
        "{\"ok\":true,\"accepted\":0,\"duplicates\":0,\"rejected\":0}",
        "{\"ok\":true,\"accepted\":2,\"duplicates\":0,\"rejected\":0}",
        "{\"ok\":true,\"accepted\":true,\"duplicates\":0,\"rejected\":0}",
        "{\"ok\":true,\"accepted\":2,\"duplicates\":-1,\"rejected\":0}",
        "{\"ok\":true,\"duplicates\":1}",
    };
    struct stand_in *door = *state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct told told = {0};
        struct fwsync_options options = named;
        options.on_rejected = note_rejected;
        options.context = &told;
        struct fwsync_client *client = open_client(door, options);
        send_text(client, "{}");
        request(door, client);
        reply(door, answers[i]);
        assert_int_equal(fwsync_flush(client, DEADLINE_S * 1000), FWSYNC_E_CONFIG);
        assert_non_null(strstr(fwsync_last_error(client), "is no events door"));
        assert_int_equal(counts_of(client).waiting, 1);
        assert_int_equal(told.count, 0);
        fwsync_close(client);
    }
}

/* More are rejected than the answer lists: what is behind the last one listed is asked again. */
static void test_errors_that_are_not_listed_are_asked_for(void **state)
{
    struct stand_in *door = *state;
    struct told told = {0};
    struct fwsync_options options = named;
    options.on_rejected = note_rejected;
    options.context = &told;
    struct fwsync_client *client = open_client(door, options);
    for (int i = 0; i < 6; i++)
        send_text(client, "{}");
    request(door, client);
    accept_all(door);
    request(door, client); /* n from 2 to 6 */
    send_text(client, "{}");
    reply(door, "{\"ok\":false,\"accepted\":2,\"duplicates\":0,\"rejected\":3,\"errors\":["
                "{\"line\":1,\"code\":\"c\",\"error\":\"e\"},{\"line\":3,\"code\":\"c\",\"error\":\"e\"}]}");
    assert_string_equal(request(door, client), "{\"source\":\"s\",\"n\":5}\n{\"source\":\"s\",\"n\":6}");
    reply(door, "{\"ok\":false,\"accepted\":0,\"duplicates\":1,\"rejected\":1,\"errors\":["
                "{\"line\":2,\"code\":\"c\",\"error\":\"e\"}]}");
    assert_string_equal(request(door, client), "{\"source\":\"s\",\"n\":7}");
    accept_all(door);
    assert_int_equal(fwsync_flush(client, DEADLINE_S * 1000), FWSYNC_OK);
    assert_int_equal(told.count, 3);
    assert_int_equal(told.n_sum, 2 + 4 + 6);
    struct fwsync_counts counts = counts_of(client);
    assert_int_equal(counts.accepted, 4);
    assert_int_equal(counts.duplicates, 0);
    assert_int_equal(counts.rejected, 3);
    fwsync_close(client);
}

/* --- waiting from outside --------------------------------------------------------------------------- */

static void wait_for_fd(struct fwsync_client *client)
{
    struct pollfd item = {.fd = fwsync_fd(client), .events = POLLIN};
    assert_int_equal(poll(&item, 1, DEADLINE_S * 1000), 1);
    assert_int_equal(fwsync_process(client, 0), FWSYNC_OK);
}

static void test_the_descriptor_speaks_of_answers_and_of_timers(void **state)
{
    struct stand_in *door = *state;
    struct fwsync_options options = named;
    options.timeout_ms = 100;
    struct fwsync_client *client = open_client(door, options);
    send_text(client, "{}");
    while (counts_of(client).resends == 0)
        wait_for_fd(client);
    while (!stand_in_try(door) || counts_of(client).resends == 0)
        ;
    accept_all(door);
    while (counts_of(client).waiting > 0) {
        wait_for_fd(client);
        if (stand_in_try(door))
            accept_all(door);
    }
    struct pollfd item = {.fd = fwsync_fd(client), .events = POLLIN};
    assert_int_equal(fwsync_process(client, 0), FWSYNC_OK);
    assert_int_equal(poll(&item, 1, 0), 0); /* nothing to do, and nothing is due */
    fwsync_close(client);
}

/* Who waits for the descriptor would spin otherwise: the same thing is due at once again. */
static void test_after_a_failure_the_descriptor_waits(void **unused)
{
    (void)unused;
    struct reach reach;
    assert_int_equal(reach_open(&reach, &named), FWSYNC_OK);
    int64_t now_ms = clock_monotonic_ms();
    reach_wake_at(&reach, now_ms, true);
    assert_false(wakeup_wait(&reach.wakeup, 0, NULL));
    reach_wake_at(&reach, now_ms, false);
    assert_true(wakeup_wait(&reach.wakeup, DEADLINE_S * 1000, NULL));
    reach_wake_at(&reach, now_ms, true);
    assert_false(wakeup_wait(&reach.wakeup, 0, NULL));
    reach_close(&reach);
}

/* --- asking ----------------------------------------------------------------------------------------- */

static void answer_one(void *socket, const char *answer)
{
    zmq_msg_t frame;
    int more = 1;
    while (more) {
        zmq_msg_init(&frame);
        assert_true(zmq_msg_recv(&frame, socket, 0) >= 0);
        more = zmq_msg_more(&frame);
        if (more)
            zmq_msg_send(&frame, socket, ZMQ_SNDMORE);
        zmq_msg_close(&frame);
    }
    zmq_send(socket, answer, strlen(answer), 0);
}

/* fwsync_query waits, so here the stand-in needs a thread of its own. */
struct script {
    struct stand_in *door;
    const char *const *answers;
    size_t answer_count;
};

static void play(void *argument)
{
    struct script *script = argument;
    for (size_t i = 0; i < script->answer_count; i++)
        answer_one(script->door->socket, script->answers[i]);
}

static void test_an_answer_is_handed_over_with_its_code(void **state)
{
    static const char *const answers[] = {
        "{\"ok\":true,\"seq\":1}",
        "{\"ok\":false,\"code\":\"not-found\",\"error\":\"there is none\"}",
        "{\"ok\":false,\"code\":\"gone\",\"error\":\"kept from 7 on\"}",
        "{\"ok\":false,\"code\":\"bad-query\",\"error\":\"x\"}",
        "{\"ok\":false,\"code\":\"bad-json\",\"error\":\"x\"}",
        "{\"ok\":false,\"code\":\"damaged\",\"error\":\"x\"}",
        "{\"ok\":true,\"accepted\":0}",
        "no JSON",
    };
    static const enum fwsync_code codes[] = {
        FWSYNC_OK,          FWSYNC_E_NOT_FOUND, FWSYNC_E_GONE,   FWSYNC_E_BAD_QUERY,
        FWSYNC_E_BAD_QUERY, FWSYNC_E_REFUSED,   FWSYNC_E_CONFIG, FWSYNC_E_CONFIG,
    };
    struct script script = {*state, answers, sizeof answers / sizeof answers[0]};
    struct fwsync_client *client = open_client(*state, named);
    void *thread = zmq_threadstart(play, &script);
    for (size_t i = 0; i < script.answer_count; i++) {
        const char *answer;
        assert_int_equal(fwsync_query(client, "{}", &answer), codes[i]);
        assert_string_equal(answer, answers[i]);
    }
    zmq_threadclose(thread);
    fwsync_close(client);
}

static void test_a_query_without_an_answer_times_out(void **state)
{
    const char *answer = "";
    struct fwsync_options options = named;
    options.timeout_ms = 20;
    struct fwsync_client *client = open_client(*state, options);
    assert_int_equal(fwsync_query(client, "{}", &answer), FWSYNC_E_TIMEOUT);
    assert_null(answer);
    fwsync_close(client);
}

static void test_versions_agree_and_every_code_has_words(void **state)
{
    (void)state;
    char text[32];
    int major, minor, patch;
    const char *version = fwsync_version(&major, &minor, &patch);
    snprintf(text, sizeof text, "%d.%d.%d", major, minor, patch);
    assert_string_equal(version, text);
    for (int code = FWSYNC_OK; code <= FWSYNC_E_IO; code++)
        assert_string_not_equal(fwsync_strerror(code), fwsync_strerror(-1));
    assert_string_equal(fwsync_strerror(FWSYNC_E_IO + 1), fwsync_strerror(-1));
}

#define with_stand_in(test) cmocka_unit_test_setup_teardown(test, stand_in_setup, stand_in_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_stand_in(test_what_gathers_while_one_is_under_way_goes_together),
        with_stand_in(test_a_source_is_random_and_numbers_begin_with_1),
        with_stand_in(test_without_numbers_events_go_as_they_are),
        with_stand_in(test_an_event_in_parts_is_composed_and_escaped),
        with_stand_in(test_numbers_of_the_callers_must_rise),
        with_stand_in(test_what_cannot_be_sent_is_refused),
        cmocka_unit_test(test_wrong_options_are_told),
        with_stand_in(test_after_busy_the_same_request_comes_again_and_nothing_before_it),
        with_stand_in(test_what_was_not_answered_goes_again_on_a_new_connection),
        with_stand_in(test_a_broken_connection_is_noticed_before_the_timeout),
        with_stand_in(test_a_late_answer_settles_nothing),
        with_stand_in(test_a_full_window_takes_nothing_until_there_is_room),
        with_stand_in(test_an_old_reason_is_not_told_again),
        with_stand_in(test_the_wrong_door_loses_nothing),
        with_stand_in(test_a_rejected_event_is_told_with_its_text),
        with_stand_in(test_a_request_refused_as_a_whole_rejects_its_events),
        with_stand_in(test_what_no_events_door_says_settles_nothing),
        with_stand_in(test_errors_that_are_not_listed_are_asked_for),
        with_stand_in(test_the_descriptor_speaks_of_answers_and_of_timers),
        cmocka_unit_test(test_after_a_failure_the_descriptor_waits),
        with_stand_in(test_an_answer_is_handed_over_with_its_code),
        with_stand_in(test_a_query_without_an_answer_times_out),
        cmocka_unit_test(test_versions_agree_and_every_code_has_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* event.h: what an event is, and the line a producer gets for one that isn't. */
#include "rules/event.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/base/buf.h"
#include "engine/base/limits.h"
#include "plugins/fwsync_plugin.h"

#define MESSAGE_TYPE_ONE(name, relation) +1
enum { MESSAGE_TYPE_COUNT = FWSYNC_MESSAGE_TYPES(MESSAGE_TYPE_ONE) };

struct fixture {
    struct arena scratch;
    struct arena arena;
    struct event event;
    struct err err;
};

static int fixture_setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    arena_init(&fixture->scratch, 4096);
    arena_init(&fixture->arena, 4096);
    *state = fixture;
    return 0;
}

static int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    arena_fini(&fixture->scratch);
    arena_fini(&fixture->arena);
    free(fixture);
    return 0;
}

static bool parse(struct fixture *fixture, struct text text)
{
    return event_parse(text, &fixture->scratch, &fixture->arena, &fixture->event, &fixture->err);
}

static struct event *parsed(struct fixture *fixture, const char *json)
{
    if (!parse(fixture, text_of(json)))
        fail_msg("%s: %s", json, fixture->err.text);
    return &fixture->event;
}

static void assert_text(struct text text, const char *expected)
{
    assert_int_equal(text.len, strlen(expected));
    assert_memory_equal(text.bytes, expected, text.len);
}

static void test_the_least_event(void **state)
{
    const struct event *event = parsed(*state, "{\"device\":\"E\",\"type\":\"CONNECT_EVENT\"}");
    assert_text(event->device, "E");
    assert_text(event->type, "CONNECT_EVENT");
    assert_null(event->device_type.bytes);
    assert_null(event->source.bytes);
    assert_false(event->has_scope);
    assert_false(event->has_ts);
    assert_int_equal(event->n, 0);
    assert_int_equal(event->data.count, 0);
    assert_int_equal(event->metadata.count, 0);
}

static void test_the_whole_event(void **state)
{
    const struct event *event =
        parsed(*state, "{\"device\":\"E\",\"type\":\"ATTRIBUTES_UPDATED\",\"deviceType\":\"T\","
                       "\"scope\":\"SHARED_SCOPE\",\"ts\":0,\"metadata\":{\"a\":\"b\"},\"source\":\"s\","
                       "\"n\":9007199254740992,\"data\":{\"x\":1.0,\"y\":\"1.20\",\"z\":null}}");
    assert_text(event->device_type, "T");
    assert_true(event->has_scope);
    assert_int_equal(event->scope, SCOPE_SHARED);
    assert_true(event->has_ts);
    assert_int_equal(event->ts_ms, 0);
    assert_text(event->source, "s");
    assert_true(event->n == (uint64_t)JSON_INTEGER_MAX);
    assert_int_equal(event->metadata.count, 1);
    assert_text(event->metadata.items[0].value.text, "b");
    assert_int_equal(event->data.count, 3);
    assert_int_equal(event->data.items[0].value.kind, VALUE_DOUBLE);
    assert_text(event->data.items[1].value.text, "1.20");
    assert_int_equal(event->data.items[2].value.kind, VALUE_NULL);
}

static void test_type_index_is_the_position_in_the_list(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *type;
        int index;
    } rows[] = {
        {"POST_ATTRIBUTES_REQUEST", 0},
        {"POST_TELEMETRY_REQUEST", 1},
        {"REST_API_REQUEST", MESSAGE_TYPE_COUNT - 2}, /* the last is the engine's own */
        {"post_attributes_request", MESSAGE_TYPE_COUNT},
        {"MINE", MESSAGE_TYPE_COUNT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char json[128];
        snprintf(json, sizeof json, "{\"device\":\"E\",\"type\":\"%s\",\"data\":{}}", rows[i].type);
        assert_int_equal(parsed(fixture, json)->type_index, rows[i].index);
    }
}

/* Each row: an event that is refused, the code, the whole line. */
static void test_refusals_say_what_is_wrong(void **state)
{
    static const struct {
        const char *json;
        enum err_code code;
        const char *line;
    } rows[] = {
        {"", ERR_BAD_JSON, "empty, where JSON was expected"},
        {"[]", ERR_BAD_JSON, "expected a JSON object: {...}"},
        {"{}", ERR_BAD_EVENT, "the field 'device' is missing: the device's name"},
        {"{'device':1,'type':'X'}", ERR_BAD_EVENT, "device: expected a string, got a number"},
        {"{'device':null,'type':'X'}", ERR_BAD_EVENT, "device: expected a string, got null"},
        {"{'device':'','type':'X'}", ERR_BAD_EVENT, "device: expected a name, got an empty string"},
        {"{'device':'a\\nb','type':'X'}", ERR_BAD_EVENT, "device: control characters aren't taken"},
        {"{'device':'a\\u007fb','type':'X'}", ERR_BAD_EVENT, "device: control characters aren't taken"},
        {"{'device':'a\\u0085b','type':'X'}", ERR_BAD_EVENT, "device: control characters aren't taken"},
        {"{'device':'E'}", ERR_BAD_EVENT,
         "the field 'type' is missing, e.g. \"POST_ATTRIBUTES_REQUEST\""},
        {"{'device':'E','type':[]}", ERR_BAD_EVENT, "type: expected a string, got an array"},
        {"{'device':'E','type':'X','deviceType':''}", ERR_BAD_EVENT,
         "deviceType: expected a name, got an empty string"},
        {"{'device':'E','type':'POST_ATTRIBUTES_REQUEST'}", ERR_BAD_EVENT,
         "the field 'data' is missing, which POST_ATTRIBUTES_REQUEST needs"},
        {"{'device':'E','type':'POST_TELEMETRY_REQUEST'}", ERR_BAD_EVENT,
         "the field 'data' is missing, which POST_TELEMETRY_REQUEST needs"},
        {"{'device':'E','type':'ATTRIBUTES_UPDATED','scope':'CLIENT_SCOPE'}", ERR_BAD_EVENT,
         "the field 'data' is missing, which ATTRIBUTES_UPDATED needs"},
        {"{'device':'E','type':'X','data':[]}", ERR_BAD_EVENT, "data: expected an object, got an array"},
        {"{'device':'E','type':'X','data':'{}'}", ERR_BAD_EVENT, "data: expected an object, got a string"},
        {"{'device':'E','type':'X','metadata':1}", ERR_BAD_EVENT,
         "metadata: expected an object, got a number"},
        {"{'device':'E','type':'X','metadata':{'a':1}}", ERR_BAD_EVENT,
         "metadata.a: expected a string, got a number"},
        {"{'device':'E','type':'X','metadata':{'':'b'}}", ERR_BAD_EVENT, "metadata: an empty key"},
        {"{'device':'E','type':'X','data':{'':1}}", ERR_BAD_EVENT, "data: an empty key"},
        {"{'device':'E','type':'ATTRIBUTES_UPDATED','data':{}}", ERR_BAD_EVENT,
         "the field 'scope' is missing, which ATTRIBUTES_UPDATED needs: expected CLIENT_SCOPE, "
         "SHARED_SCOPE or SERVER_SCOPE"},
        {"{'device':'E','type':'ATTRIBUTES_UPDATED','data':{},'scope':'SERVER'}", ERR_BAD_EVENT,
         "scope: there is no 'SERVER'; expected one of: CLIENT_SCOPE, SHARED_SCOPE, SERVER_SCOPE"},
        {"{'device':'E','type':'ATTRIBUTES_UPDATED','data':{},'scope':'SERVER_SCOP'}", ERR_BAD_EVENT,
         "scope: there is no 'SERVER_SCOP'; did you mean 'SERVER_SCOPE'? Expected one of: CLIENT_SCOPE, "
         "SHARED_SCOPE, SERVER_SCOPE"},
        {"{'device':'E','type':'X','scope':'LATEST_TELEMETRY'}", ERR_BAD_EVENT,
         "scope: there is no 'LATEST_TELEMETRY'; expected one of: CLIENT_SCOPE, SHARED_SCOPE, "
         "SERVER_SCOPE"},
        {"{'device':'E','type':'POST_ATTRIBUTES_REQUEST','data':{},'scope':'CLIENT_SCOPE'}",
         ERR_BAD_EVENT, "the field 'scope' is for ATTRIBUTES_UPDATED only"},
        {"{'device':'E','type':'DEADLINE_PASSED','data':{}}", ERR_BAD_EVENT,
         "type: DEADLINE_PASSED is the engine's own, made when a deadline of the rules has passed"},
        {"{'device':'E','type':'X','ts':-1}", ERR_BAD_EVENT, "ts: expected 0 or more, got -1"},
        {"{'device':'E','type':'X','ts':1.5}", ERR_BAD_EVENT,
         "ts: expected a whole number, got 1.5"},
        {"{'device':'E','type':'X','ts':'1'}", ERR_BAD_EVENT, "ts: expected a whole number, got a string"},
        {"{'device':'E','type':'X','source':'s'}", ERR_BAD_EVENT,
         "the field 'n' is missing: source and n go together"},
        {"{'device':'E','type':'X','n':1}", ERR_BAD_EVENT,
         "the field 'source' is missing: source and n go together"},
        {"{'device':'E','type':'X','source':'s','n':0}", ERR_BAD_EVENT, "n: expected 1 or more, got 0"},
        {"{'device':'E','type':'X','devicetype':'T'}", ERR_BAD_EVENT,
         "unknown field 'devicetype'; did you mean 'deviceType'? Expected one of: device, type, data, "
         "scope, ts, metadata, deviceType, source, n"},
        {"{'device':'E','type':'X','zzzzzzz':1}", ERR_BAD_EVENT,
         "unknown field 'zzzzzzz'; expected one of: device, type, data, scope, ts, metadata, deviceType, "
         "source, n"},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char json[512];
        snprintf(json, sizeof json, "%s", rows[i].json);
        for (char *at = json; *at != '\0'; at++)
            if (*at == '\'')
                *at = '"';
        if (parse(fixture, text_of(json)))
            fail_msg("taken: %s", json);
        assert_string_equal(fixture->err.text, rows[i].line);
        assert_int_equal(fixture->err.code, rows[i].code);
    }
}

/* {"device":..., with members of a given length; rows on both sides of each bound. */
static void test_lengths_are_bounded(void **state)
{
    static const struct {
        const char *head;
        size_t letters;
        const char *tail;
        enum err_code code; /* with one letter more */
        const char *line;
    } rows[] = {
        {"{\"type\":\"X\",\"device\":\"", DEVICE_BYTES_MAX, "\"}", ERR_TOO_LARGE,
         "device: 256 bytes; at most 255 are taken"},
        {"{\"device\":\"E\",\"type\":\"", TYPE_BYTES_MAX, "\"}", ERR_TOO_LARGE,
         "type: 256 bytes; at most 255 are taken"},
        {"{\"device\":\"E\",\"type\":\"X\",\"deviceType\":\"", TYPE_BYTES_MAX, "\"}", ERR_TOO_LARGE,
         "deviceType: 256 bytes; at most 255 are taken"},
        {"{\"device\":\"E\",\"type\":\"X\",\"n\":1,\"source\":\"", SOURCE_BYTES_MAX, "\"}", ERR_TOO_LARGE,
         "source: 256 bytes; at most 255 are taken"},
        {"{\"device\":\"E\",\"type\":\"X\",\"data\":{\"", KEY_BYTES_MAX, "\":1}}", ERR_TOO_LARGE,
         "data: the key 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...' has 256 bytes; at most 255 are taken"},
        {"{\"device\":\"E\",\"type\":\"X\",\"metadata\":{\"", KEY_BYTES_MAX, "\":\"\"}}", ERR_TOO_LARGE,
         "metadata: the key 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...' has 256 bytes; at most 255 are taken"},
        {"{\"device\":\"E\",\"type\":\"X\",\"data\":{\"k\":\"", VALUE_BYTES_MAX, "\"}}", ERR_TOO_LARGE,
         "data.k: a value of 65537 bytes; at most 65536 are taken"},
        {"{\"device\":\"E\",\"type\":\"X\",\"metadata\":{\"k\":\"", VALUE_BYTES_MAX, "\"}}", ERR_TOO_LARGE,
         "metadata.k: a value of 65537 bytes; at most 65536 are taken"},
        {"{\"device\":\"E\",\"type\":\"X\",\"data\":{\"k\":[\"", VALUE_BYTES_MAX - 4, "\"]}}",
         ERR_TOO_LARGE, "data.k: a value of 65537 bytes; at most 65536 are taken"},
    };
    struct fixture *fixture = *state;
    struct buf json = {.bytes = NULL};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t more = 0; more <= 1; more++) {
            buf_clear(&json);
            buf_append(&json, text_of(rows[i].head));
            for (size_t j = 0; j < rows[i].letters + more; j++)
                buf_byte(&json, 'x');
            buf_append(&json, text_of(rows[i].tail));
            bool taken = parse(fixture, buf_text(&json));
            assert_int_equal(taken, more == 0);
            if (taken)
                continue;
            assert_string_equal(fixture->err.text, rows[i].line);
            assert_int_equal(fixture->err.code, rows[i].code);
        }
    buf_fini(&json);
}

static void test_members_are_counted(void **state)
{
    static const char *const where[] = {"data", "metadata"};
    struct fixture *fixture = *state;
    struct buf json = {.bytes = NULL};
    for (int place = 0; place < 2; place++)
        for (int count = FIELD_COUNT_MAX; count <= FIELD_COUNT_MAX + 1; count++) {
            buf_clear(&json);
            buf_printf(&json, "{\"device\":\"E\",\"type\":\"X\",\"%s\":{", where[place]);
            for (int i = 0; i < count; i++)
                buf_printf(&json, "%s\"k%d\":\"\"", i == 0 ? "" : ",", i);
            buf_append(&json, TEXT("}}"));
            assert_int_equal(parse(fixture, buf_text(&json)), count == FIELD_COUNT_MAX);
        }
    assert_int_equal(fixture->err.code, ERR_LIMIT);
    assert_string_equal(fixture->err.text, "metadata: 1001 members; at most 1000 are taken");
    buf_fini(&json);
}

static void test_a_refusal_leaves_the_event_as_it_was(void **state)
{
    struct fixture *fixture = *state;
    parsed(fixture, "{\"device\":\"E\",\"type\":\"X\"}");
    struct event before = fixture->event;
    assert_false(parse(fixture, TEXT("{\"device\":\"F\",\"type\":\"Y\",\"ts\":\"no\"}")));
    assert_memory_equal(&before, &fixture->event, sizeof before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_least_event, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_the_whole_event, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_type_index_is_the_position_in_the_list, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_refusals_say_what_is_wrong, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_lengths_are_bounded, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_members_are_counted, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_refusal_leaves_the_event_as_it_was, fixture_setup,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What other rules would make of a device: every difference, and none where there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/limits.h"
#include "rules/whatif.h"
#include "tests/unit/rules_model.h"

enum { AT_MS = 5000 };

static struct arena arena;
static struct difference *differences;
static size_t count;
static struct err err;

static int set_up(void **unused)
{
    (void)unused;
    arena_init(&arena, 64 * 1024);
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    arena_fini(&arena);
    return 0;
}

static struct fields members(const char *json)
{
    struct fields fields;
    if (!json_parse_object(text_of(json), &arena, &arena, &fields, &err))
        fail_msg("%s", err.text);
    return fields;
}

static struct whatif_device device(const char *client, const char *server)
{
    return (struct whatif_device){
        .name = TEXT("E"),
        .type = TEXT("T"),
        .values = {[SCOPE_CLIENT] = members(client), [SCOPE_SERVER] = members(server)},
    };
}

/* The differences as lines. */
static const char *judge(struct whatif *whatif, const struct whatif_device *given)
{
    static const char *const kinds[] = {"value", "results", "dead"};
    struct buf lines = {.arena = &arena};
    if (!whatif_judge(whatif, given, AT_MS, &differences, &count, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < count; i++) {
        const struct difference *difference = &differences[i];
        buf_printf(&lines, "%s %s." TEXT_FMT " ", kinds[difference->kind],
                   difference->kind == DIFFERENCE_VALUE ? scope_short(difference->scope) : "",
                   TEXT_ARG(difference->name));
        json_value(&lines, &difference->now);
        buf_append(&lines, TEXT(" -> "));
        json_value(&lines, &difference->then);
        buf_byte(&lines, '\n');
    }
    buf_byte(&lines, '\0');
    return lines.bytes;
}

static const char rules_now[] =
    "chain: root\nfirst: mark\nnodes:\n"
    "  mark: {type: set, data: {mark: now, only-now: x}, to: {Success: save}}\n"
    "  save: {type: save-attributes, scope: SERVER_SCOPE, keys: [mark, only-now], to: {Success: tell}}\n"
    "  tell: {type: publish, class: told}\n";
static const char rules_then[] =
    "chain: root\nfirst: mark\nnodes:\n"
    "  mark: {type: set, data: {mark: then, only-then: 'y'}, to: {Success: save}}\n"
    "  save: {type: save-attributes, scope: SERVER_SCOPE, keys: [mark, only-then], to: {Success: look}}\n"
    "  look: {type: fetch-attributes, server: [not-there], require: true, to: {Success: tell}}\n"
    "  tell: {type: publish, class: told}\n";

static void test_every_difference_is_told(void **unused)
{
    (void)unused;
    struct ruleset *now = rules_of(rules_now), *then = rules_of(rules_then);
    struct whatif *whatif = whatif_create(now, then);
    struct whatif_device given = device("{\"v\":1}", "{\"kept\":true}");
    assert_string_equal(judge(whatif, &given), "value server.mark \"now\" -> \"then\"\n"
                                               "value server.only-now \"x\" -> null\n"
                                               "value server.only-then null -> \"y\"\n"
                                               "results .told 1 -> 0\n"
                                               "dead .root/look 0 -> 2\n");
    /* a device that never reported gets only the write; and nothing is left of the device before */
    given = device("{}", "{\"not-there\":1,\"only-now\":\"x\",\"only-then\":\"y\"}");
    assert_string_equal(judge(whatif, &given), "value server.mark \"now\" -> \"then\"\n");
    whatif_destroy(whatif);
    ruleset_destroy(now);
    ruleset_destroy(then);
}

static void test_the_same_rules_make_no_difference(void **unused)
{
    (void)unused;
    static const char *const clients[] = {"{}", "{\"currentFwVer\":\"v1\"}", "{\"currentFwVer\":\"v2\",\"x\":[1]}"};
    static const char *const servers[] = {
        "{}", "{\"lastTargetFwVer\":\"v1\"}",
        "{\"lastTargetFwVer\":\"v2\",\"fwStateIsSynced\":true,\"fwSyncState\":\"updating\",\"fwSyncReason\":\"r\"}"};
    struct ruleset *now = rules_shipped(), *then = rules_shipped();
    struct whatif *whatif = whatif_create(now, then);
    for (size_t i = 0; i < 9; i++) {
        struct whatif_device given = device(clients[i % 3], servers[i / 3]);
        assert_string_equal(judge(whatif, &given), "");
    }
    whatif_destroy(whatif);
    ruleset_destroy(now);
    ruleset_destroy(then);
}

/* The verdict is of the time that is given, and of what the device last reported. */
static void test_a_device_is_judged_by_what_it_reported(void **unused)
{
    (void)unused;
    struct ruleset *now = rules_sample(), *then = rules_shipped();
    struct whatif *whatif = whatif_create(now, then);
    struct whatif_device given = device("{\"currentFwVer\":\"v2\"}", "{\"lastTargetFwVer\":\"v2\",\"fwStateIsSynced\":false}");
    assert_string_equal(judge(whatif, &given), "value server.fwSyncReason null -> \"runs v2, as it should\"\n"
                                               "value server.fwSyncState null -> \"synced\"\n");
    whatif_destroy(whatif);
    ruleset_destroy(now);
    ruleset_destroy(then);
}

/* More than an event may have comes in parts. */
static void test_many_values_are_reported_in_parts(void **unused)
{
    (void)unused;
    struct ruleset *now = rules_of(rules_now);
    struct ruleset *then = rules_of("chain: root\nfirst: type\nnodes:\n"
                                    "  type: {type: message-type-switch, to: {Post attributes: a}}\n"
                                    "  a: {type: fetch-attributes, server: [not-there], require: true}\n");
    struct whatif *whatif = whatif_create(now, then);
    struct buf client = {.arena = &arena};
    buf_byte(&client, '{');
    for (unsigned i = 0; i < FIELD_COUNT_MAX + 1; i++)
        json_member_unsigned(&client, arena_format(&arena, "k%u", i).bytes, i);
    buf_append(&client, (struct text){"}\0", 2});
    struct whatif_device given = device(client.bytes, "{}");
    assert_non_null(strstr(judge(whatif, &given), "dead .root/a 0 -> 2\n"));
    whatif_destroy(whatif);
    ruleset_destroy(now);
    ruleset_destroy(then);
}

static void test_a_value_that_no_device_can_have_is_an_error(void **unused)
{
    (void)unused;
    struct ruleset *now = rules_of(rules_now);
    struct whatif *whatif = whatif_create(now, now);
    char *large = arena_zero(&arena, VALUE_BYTES_MAX + 2);
    memset(large, 'x', VALUE_BYTES_MAX + 1);
    struct whatif_device given = device("{}", "{}");
    struct field field = {TEXT("k"), value_string(text_of(large))};
    given.values[SCOPE_SHARED] = (struct fields){&field, 1};
    assert_false(whatif_judge(whatif, &given, AT_MS, &differences, &count, &err));
    assert_int_equal(err.code, ERR_TOO_LARGE);
    given.values[SCOPE_SHARED].count = 0;
    assert_string_equal(judge(whatif, &given), "");
    whatif_destroy(whatif);
    ruleset_destroy(now);
}

/* As many long keys as a daemon has taken, which stores most of them once for all devices. */
static void test_the_largest_device_is_judged(void **unused)
{
    (void)unused;
    enum { KEY_COUNT = 4400 };
    struct ruleset *now = rules_of(rules_now);
    struct whatif *whatif = whatif_create(now, now);
    struct field *fields = arena_zero(&arena, KEY_COUNT * sizeof *fields);
    for (unsigned i = 0; i < KEY_COUNT; i++)
        fields[i] = (struct field){arena_format(&arena, "%0*u", KEY_BYTES_MAX, i), {.kind = VALUE_INTEGER, .integer = 1}};
    struct whatif_device given = device("{}", "{}");
    given.values[SCOPE_SHARED] = (struct fields){fields, KEY_COUNT};
    assert_string_equal(judge(whatif, &given), "");
    whatif_destroy(whatif);
    ruleset_destroy(now);
}

static void test_what_no_device_can_be_is_an_error(void **unused)
{
    (void)unused;
    struct ruleset *now = rules_of(rules_now);
    struct whatif *whatif = whatif_create(now, now);
    char *large = arena_zero(&arena, KEY_BYTES_MAX + 2);
    memset(large, 'x', KEY_BYTES_MAX + 1);
    struct field field = {.value = {.kind = VALUE_INTEGER}};
    for (unsigned i = 0; i < 5; i++) {
        struct text wrong = i % 2 == 0 ? text_of(large) : TEXT("");
        struct whatif_device given = device("{}", "{}");
        field.key = wrong;
        if (i < 2)
            given.name = wrong;
        else if (i < 4)
            given.values[SCOPE_CLIENT] = (struct fields){&field, 1};
        else
            given.type = wrong;
        assert_false(whatif_judge(whatif, &given, AT_MS, &differences, &count, &err));
        assert_int_equal(err.code, ERR_TOO_LARGE);
    }
    whatif_destroy(whatif);
    ruleset_destroy(now);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_difference_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_same_rules_make_no_difference, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_device_is_judged_by_what_it_reported, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_values_are_reported_in_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_value_that_no_device_can_have_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_largest_device_is_judged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_no_device_can_be_is_an_error, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

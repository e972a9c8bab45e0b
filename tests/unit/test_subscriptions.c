/* Which classes of results does anyone want, and in which form? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "engine/base/limits.h"
#include "engine/service/subscriptions.h"

enum { SYNC, SYNCED, ALARM, CLASSES };
static const char *const class_names[CLASSES] = {"sync", "synced", "alarm"};

enum { S = WANTED_SINGLE, B = WANTED_BATCHED };
static const struct {
    const char *prefix;
    unsigned wanted[CLASSES];
} rows[] = {
    {"", {S, S, S}},         {"s", {S, S, 0}},        {"sync", {S, S, 0}},          {"sync/", {S, 0, 0}},
    {"sync/ESP32", {S}},     {"sync/a/b", {S}},       {"synced", {0, S, 0}},        {"synced/x", {0, S, 0}},
    {"alarm/", {0, 0, S}},   {"alarms", {0}},         {"Sync", {0}},                {"syn/x", {0}},
    {"/x", {0}},             {"x", {0}},              {"b", {0}},                   {"batch", {0}},
    {"batch/", {B, B, B}},   {"batch/s", {B, B, 0}},  {"batch/sync", {B, B, 0}},    {"batch/synced", {0, B, 0}},
    {"batch/sync/", {0}},    {"batch/sync/a", {0}},   {"batch//", {0}},             {"batches/sync", {0}},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static void register_all(struct subscriptions *subscriptions, unsigned slots[CLASSES])
{
    for (int i = 0; i < CLASSES; i++)
        slots[i] = subscriptions_class(subscriptions, text_of(class_names[i]));
}

static void check(const struct subscriptions *subscriptions, const unsigned slots[CLASSES],
                  const unsigned wanted[CLASSES], const char *what)
{
    for (int i = 0; i < CLASSES; i++)
        if (subscriptions_wanted(subscriptions, slots[i]) != wanted[i])
            fail_msg("\"%s\": %s is wanted as %u, should be %u", what, class_names[i],
                     subscriptions_wanted(subscriptions, slots[i]), wanted[i]);
}

static const unsigned nothing[CLASSES];

static void test_a_prefix_wants_the_classes_that_it_can_match(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS; i++)
        for (int classes_first = 0; classes_first < 2; classes_first++) {
            struct subscriptions *subscriptions = subscriptions_create();
            unsigned slots[CLASSES];
            if (classes_first)
                register_all(subscriptions, slots);
            subscriptions_change(subscriptions, text_of(rows[i].prefix), true);
            if (!classes_first)
                register_all(subscriptions, slots);
            check(subscriptions, slots, rows[i].wanted, rows[i].prefix);
            subscriptions_change(subscriptions, text_of(rows[i].prefix), false);
            check(subscriptions, slots, nothing, rows[i].prefix);
            subscriptions_destroy(subscriptions);
        }
}

static void test_a_class_is_wanted_until_the_last_one_gives_it_up(void **state)
{
    (void)state;
    struct subscriptions *subscriptions = subscriptions_create();
    unsigned slots[CLASSES];
    register_all(subscriptions, slots);
    const unsigned sync[CLASSES] = {[SYNC] = S};
    subscriptions_change(subscriptions, TEXT("sync/a"), true);
    subscriptions_change(subscriptions, TEXT("sync/b"), true);
    subscriptions_change(subscriptions, TEXT("sync/a"), false);
    check(subscriptions, slots, sync, "one of two is left");
    subscriptions_change(subscriptions, TEXT("batch/sync"), true);
    subscriptions_change(subscriptions, TEXT("batch/synced"), true);
    subscriptions_change(subscriptions, TEXT("batch/synced"), false);
    check(subscriptions, slots, (const unsigned[CLASSES]){S | B, B, 0}, "in both forms");
    subscriptions_change(subscriptions, TEXT("batch/sync"), false);
    check(subscriptions, slots, sync, "singly again");
    subscriptions_change(subscriptions, TEXT("sync/never"), false); /* counts as one: same class */
    check(subscriptions, slots, nothing, "none is left");
    subscriptions_change(subscriptions, TEXT("other"), false); /* was never there */
    check(subscriptions, slots, nothing, "none is left");
    subscriptions_destroy(subscriptions);
}

static void test_a_class_keeps_its_slot(void **state)
{
    (void)state;
    struct subscriptions *subscriptions = subscriptions_create();
    unsigned slots[CLASSES], again[CLASSES];
    register_all(subscriptions, slots);
    register_all(subscriptions, again);
    assert_memory_equal(slots, again, sizeof slots);
    for (int i = CLASSES; i < CLASS_COUNT_MAX; i++) {
        char name[16];
        int len = snprintf(name, sizeof name, "class-%d", i);
        assert_int_equal(subscriptions_class(subscriptions, (struct text){name, (size_t)len}), i);
    }
    unsigned beyond = subscriptions_class(subscriptions, TEXT("one-too-many"));
    assert_int_equal(subscriptions_wanted(subscriptions, beyond), 0); /* so in a replay, which nobody listens to */
    subscriptions_change(subscriptions, TEXT("nobody/"), true);
    assert_int_equal(subscriptions_wanted(subscriptions, beyond), S); /* rather too much than too little */
    subscriptions_change(subscriptions, TEXT("batch/nobody"), true);
    subscriptions_change(subscriptions, TEXT("nobody/"), false);
    assert_int_equal(subscriptions_wanted(subscriptions, beyond), B);
    assert_int_equal(subscriptions_wanted(subscriptions, CLASS_COUNT_MAX - 1), 0);
    subscriptions_destroy(subscriptions);
}

static void test_more_prefixes_than_fit_mean_everything(void **state)
{
    (void)state;
    struct subscriptions *subscriptions = subscriptions_create();
    unsigned slots[CLASSES];
    register_all(subscriptions, slots);
    for (int i = 0; i < 300; i++) {
        char prefix[16];
        int len = snprintf(prefix, sizeof prefix, "nobody-%d", i);
        subscriptions_change(subscriptions, (struct text){prefix, (size_t)len}, true);
    }
    const unsigned all[CLASSES] = {S, S, S};
    check(subscriptions, slots, all, "300 prefixes");
    subscriptions_destroy(subscriptions);
}

static void test_a_prefix_of_any_length_is_taken(void **state)
{
    (void)state;
    struct subscriptions *subscriptions = subscriptions_create();
    unsigned slots[CLASSES];
    register_all(subscriptions, slots);
    char prefix[4096];
    for (size_t i = 0; i < sizeof prefix; i++)
        prefix[i] = 'a';
    for (size_t len = 60; len < sizeof prefix; len = len < 70 ? len + 1 : len * 2)
        subscriptions_change(subscriptions, (struct text){prefix, len}, true);
    check(subscriptions, slots, nothing, "longer than any class");
    subscriptions_destroy(subscriptions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_prefix_wants_the_classes_that_it_can_match),
        cmocka_unit_test(test_a_class_is_wanted_until_the_last_one_gives_it_up),
        cmocka_unit_test(test_a_class_keeps_its_slot),
        cmocka_unit_test(test_more_prefixes_than_fit_mean_everything),
        cmocka_unit_test(test_a_prefix_of_any_length_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

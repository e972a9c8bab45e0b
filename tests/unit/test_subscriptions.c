/* Which classes of results does anyone want? */
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

static const struct {
    const char *prefix;
    bool wanted[CLASSES];
} rows[] = {
    {"", {true, true, true}},           {"s", {true, true, false}},  {"sync", {true, true, false}},
    {"sync/", {true, false, false}},    {"sync/ESP32", {true, false, false}},
    {"sync/a/b", {true, false, false}}, {"synced", {false, true, false}},
    {"synced/x", {false, true, false}}, {"alarm/", {false, false, true}},
    {"alarms", {false, false, false}},  {"Sync", {false, false, false}},
    {"syn/x", {false, false, false}},   {"/x", {false, false, false}},
    {"x", {false, false, false}},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static void register_all(struct subscriptions *subscriptions, unsigned slots[CLASSES])
{
    for (int i = 0; i < CLASSES; i++)
        slots[i] = subscriptions_class(subscriptions, text_of(class_names[i]));
}

static void check(const struct subscriptions *subscriptions, const unsigned slots[CLASSES],
                  const bool wanted[CLASSES], const char *what)
{
    for (int i = 0; i < CLASSES; i++)
        if (subscriptions_wanted(subscriptions, slots[i]) != wanted[i])
            fail_msg("\"%s\": %s should%s be wanted", what, class_names[i], wanted[i] ? "" : " not");
}

static const bool nothing[CLASSES];

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
    const bool sync[CLASSES] = {[SYNC] = true};
    subscriptions_change(subscriptions, TEXT("sync/a"), true);
    subscriptions_change(subscriptions, TEXT("sync/b"), true);
    subscriptions_change(subscriptions, TEXT("sync/a"), false);
    check(subscriptions, slots, sync, "one of two is left");
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
    assert_true(subscriptions_wanted(subscriptions, beyond)); /* rather too much than too little */
    assert_false(subscriptions_wanted(subscriptions, CLASS_COUNT_MAX - 1));
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
    const bool all[CLASSES] = {true, true, true};
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

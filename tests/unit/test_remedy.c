/* What would help: every state has a sentence of its own, which fits what the device knows and how far it is. */
#include "engine/service/remedy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/tool/verdict.h"

static struct buf sentence;

static const char *remedy(struct remedy_facts facts)
{
    buf_clear(&sentence);
    remedy_write(&sentence, &facts);
    buf_byte(&sentence, '\0');
    return sentence.bytes;
}

static bool says(struct remedy_facts facts, const char *words)
{
    return strstr(remedy(facts), words) != NULL;
}

static struct remedy_facts unsynced(const char *state, const char *reason)
{
    return (struct remedy_facts){.state = text_of(state), .reason = text_of(reason), .current = TEXT("v1"),
                                 .target = TEXT("v2")};
}

static void test_every_state_has_a_remedy(void **state)
{
    (void)state;
    char *unknown = strdup(remedy(unsynced("something else", "")));
    for (size_t i = 0; i < VERDICT_STATE_COUNT; i++)
        assert_string_not_equal(remedy(unsynced(verdict_states[i], "")), unknown);
    free(unknown);
}

static void test_who_is_in_a_stage_was_told(void **state)
{
    (void)state;
    static const char *const stages[] = {"QUEUED",   "INITIATED", "DOWNLOADING", "DOWNLOADED",
                                         "VERIFIED", "UPDATING",  "UPDATED"};
    char *none =
        strdup(remedy(unsynced("stuck", "runs v1, should run v2; the update has not begun for more than 1 day")));
    assert_non_null(strstr(none, "never told"));
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        char reason[100];
        snprintf(reason, sizeof reason, "runs a; b, should run v2; %s for more than 30 minutes", stages[i]);
        assert_false(says(unsynced("stuck", reason), "never told"));
        assert_true(says(unsynced("stuck", reason), "v2"));
        assert_int_not_equal(strncmp(sentence.bytes, none, 40), 0);
    }
    assert_true(says(unsynced("stuck", "runs v1, should run v2; DOWNLOADING for more than 1 hour"), "firmware server"));
    assert_true(says(unsynced("stuck", "runs v1, should run v2; UPDATED for more than 1 hour"), "currentFwVer"));
    assert_true(says(unsynced("stuck", ""), "never told"));
    free(none);
}

static void test_who_was_told_something_else_has_to_be_told(void **state)
{
    (void)state;
    struct remedy_facts facts = unsynced("pending", "");
    assert_true(says(facts, "never told"));
    facts.told = TEXT("v1");
    assert_true(says(facts, "was told to run v1"));
    facts.told = TEXT("v2");
    assert_false(says(facts, "told"));
}

static void test_telling_a_device_sets_no_target(void **state)
{
    (void)state;
    struct remedy_facts facts = {.state = TEXT("no-target"), .current = TEXT("v1")};
    assert_true(says(facts, "lastTargetFwVer"));
    assert_false(says(facts, "targetFwVer is only"));
    facts.told = TEXT("v2");
    assert_true(says(facts, "lastTargetFwVer, which is what is compared; the shared attribute targetFwVer is only"));
    facts.state = TEXT("");
    assert_true(says(facts, "the shared attribute targetFwVer is only"));
}

static void test_one_version_written_in_two_ways(void **state)
{
    (void)state;
    static const struct {
        const char *state, *current, *target;
        bool same;
    } rows[] = {
        {"different", "v1.2", "1.2", true}, {"different", "1.2+a", "1.2+b", true}, {"different", "latest", "1.2", false},
        {"stuck", "v1.2", "1.2", true},     {"stuck", "1.1", "1.2", false},        {"pending", "1.1", "1.2", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct remedy_facts facts = {.state = text_of(rows[i].state), .current = text_of(rows[i].current),
                                     .target = text_of(rows[i].target)};
        assert_int_equal(says(facts, "the same version, written differently"), rows[i].same);
        assert_int_equal(says(facts, "can't be ordered"), !rows[i].same && i < 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_state_has_a_remedy),
        cmocka_unit_test(test_who_is_in_a_stage_was_told),
        cmocka_unit_test(test_who_was_told_something_else_has_to_be_told),
        cmocka_unit_test(test_telling_a_device_sets_no_target),
        cmocka_unit_test(test_one_version_written_in_two_ways),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_fini(&sentence);
    return failed;
}

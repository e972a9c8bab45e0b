/* Refused producers: nothing above a refused number is taken before that came again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "engine/service/refusals.h"

enum step_kind { NOTE, CLEAR, BLOCKS, PASSES };

struct step {
    enum step_kind kind;
    const char *source;
    uint64_t n;
    int64_t at_ms;
};

static void play(const struct step *steps, size_t step_count)
{
    struct refusals refusals = {0};
    for (size_t i = 0; i < step_count; i++) {
        const struct step *step = &steps[i];
        struct text source = text_of(step->source);
        switch (step->kind) {
        case NOTE:
            refusals_note(&refusals, source, step->n, step->at_ms);
            break;
        case CLEAR:
            refusals_clear(&refusals, source, step->n);
            break;
        case BLOCKS:
        case PASSES:
            if (refusals_blocks(&refusals, source, step->n, step->at_ms) != (step->kind == BLOCKS))
                fail_msg("step %zu: %s %llu should %s", i, step->source, (unsigned long long)step->n,
                         step->kind == BLOCKS ? "wait" : "pass");
        }
    }
    refusals_fini(&refusals);
}

#define PLAY(...)                                                                                            \
    do {                                                                                                     \
        static const struct step steps[] = {__VA_ARGS__};                                                    \
        play(steps, sizeof steps / sizeof steps[0]);                                                         \
    } while (0)

static void test_nothing_waits_without_a_refusal(void **state)
{
    (void)state;
    PLAY({PASSES, "a", 1, 0}, {CLEAR, "a", 1, 0}, {PASSES, "a", UINT64_MAX, 0});
}

static void test_only_higher_numbers_of_the_same_source_wait(void **state)
{
    (void)state;
    PLAY({NOTE, "a", 10, 0}, {PASSES, "a", 9, 0}, {PASSES, "a", 10, 0}, {BLOCKS, "a", 11, 0},
         {BLOCKS, "a", UINT64_MAX, 0}, {PASSES, "b", 11, 0}, {PASSES, "aa", 11, 0}, {PASSES, "A", 11, 0});
}

static void test_the_refused_number_opens_the_way(void **state)
{
    (void)state;
    PLAY({NOTE, "a", 10, 0}, {CLEAR, "a", 9, 0}, {BLOCKS, "a", 11, 0}, {CLEAR, "b", 10, 0}, {BLOCKS, "a", 11, 0},
         {CLEAR, "a", 11, 0}, {BLOCKS, "a", 11, 0}, {CLEAR, "a", 10, 0}, {PASSES, "a", 11, 0});
}

static void test_every_refused_number_has_to_come_again(void **state)
{
    (void)state;
    PLAY({NOTE, "a", 20, 0}, {NOTE, "a", 10, 0}, {NOTE, "a", 30, 0}, {NOTE, "a", 10, 0}, {BLOCKS, "a", 11, 0},
         {CLEAR, "a", 10, 0}, {PASSES, "a", 11, 0}, {PASSES, "a", 20, 0}, {BLOCKS, "a", 21, 0},
         {CLEAR, "a", 20, 0}, {PASSES, "a", 30, 0}, {BLOCKS, "a", 31, 0}, {CLEAR, "a", 30, 0},
         {PASSES, "a", 31, 0});
}

static void test_a_refusal_given_up_is_forgotten(void **state)
{
    (void)state;
    PLAY({NOTE, "a", 10, 1000}, {BLOCKS, "a", 11, 1000 + REFUSAL_KEEP_MS}, {PASSES, "a", 11, 1001 + REFUSAL_KEEP_MS},
         {PASSES, "a", 11, 1000});
    PLAY({NOTE, "a", 10, 1000}, {NOTE, "a", 12, 2000}, /* each one starts the time again */
         {BLOCKS, "a", 11, 2000 + REFUSAL_KEEP_MS}, {PASSES, "a", 11, 2001 + REFUSAL_KEEP_MS});
    PLAY({NOTE, "a", 10, 0}, {NOTE, "b", 10, REFUSAL_KEEP_MS + 1}, {PASSES, "a", 11, 0},
         {BLOCKS, "b", 11, REFUSAL_KEEP_MS + 1});
}

static void test_sources_and_numbers_are_bounded(void **state)
{
    (void)state;
    struct refusals refusals = {0};
    char name[32];
    for (int i = 0; i < REFUSAL_COUNT_MAX + 5; i++) {
        int len = snprintf(name, sizeof name, "source-%d", i);
        refusals_note(&refusals, (struct text){name, (size_t)len}, 1, 0);
    }
    assert_int_equal(refusals.count, REFUSAL_COUNT_MAX);
    int len = snprintf(name, sizeof name, "source-%d", REFUSAL_COUNT_MAX + 4);
    assert_true(refusals_blocks(&refusals, (struct text){name, (size_t)len}, 2, 0));
    refusals_fini(&refusals);

    refusals = (struct refusals){0};
    for (uint64_t n = REFUSAL_NUMBERS_MAX + 50; n > 0; n--) /* from above: the lowest ones are kept */
        refusals_note(&refusals, TEXT("a"), n, 0);
    refusals_note(&refusals, TEXT("a"), REFUSAL_NUMBERS_MAX + 60, 0);
    for (uint64_t n = 1; n <= REFUSAL_NUMBERS_MAX; n++) {
        assert_true(refusals_blocks(&refusals, TEXT("a"), n + 1, 0));
        assert_false(refusals_blocks(&refusals, TEXT("a"), n, 0));
        refusals_clear(&refusals, TEXT("a"), n);
    }
    assert_int_equal(refusals.count, 0);
    refusals_fini(&refusals);
}

/* The source that was refused longest ago goes, with all its numbers. */
static void test_all_numbers_together_are_bounded(void **state)
{
    (void)state;
    enum { FITTING = REFUSAL_TOTAL_MAX / REFUSAL_NUMBERS_MAX };
    struct refusals refusals = {0};
    char name[32];
    for (int i = 0; i <= FITTING; i++) {
        int len = snprintf(name, sizeof name, "source-%d", i);
        for (uint64_t n = 1; n <= REFUSAL_NUMBERS_MAX; n++)
            refusals_note(&refusals, (struct text){name, (size_t)len}, n, i);
    }
    assert_int_equal(refusals.count, FITTING);
    assert_int_equal(refusals.number_count, REFUSAL_TOTAL_MAX);
    assert_false(refusals_blocks(&refusals, TEXT("source-0"), 2, FITTING));
    assert_true(refusals_blocks(&refusals, TEXT("source-1"), 2, FITTING));
    for (uint64_t n = 1; n <= REFUSAL_NUMBERS_MAX; n++)
        refusals_clear(&refusals, TEXT("source-1"), n);
    assert_int_equal(refusals.number_count, REFUSAL_TOTAL_MAX - REFUSAL_NUMBERS_MAX);
    refusals_fini(&refusals);
    assert_int_equal(refusals.number_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_waits_without_a_refusal),
        cmocka_unit_test(test_only_higher_numbers_of_the_same_source_wait),
        cmocka_unit_test(test_the_refused_number_opens_the_way),
        cmocka_unit_test(test_every_refused_number_has_to_come_again),
        cmocka_unit_test(test_a_refusal_given_up_is_forgotten),
        cmocka_unit_test(test_sources_and_numbers_are_bounded),
        cmocka_unit_test(test_all_numbers_together_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

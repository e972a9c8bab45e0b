/* fuzz_trial.c - any bytes as tests of rules: no crash, and either tests or at least one problem; tests that are right
 * are run, so that all that events and passing time can do to the shipped chains is tried, in the simulator.
 *
 * What was run once comes out the same once more: rules are pure. */
#include "rules/trial.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 64 * 1024 };

static void run_all(const struct ruleset *ruleset, const struct trial *first, struct arena *arena)
{
    struct simulator *simulator = simulator_create(ruleset, TRIAL_NOTES);
    for (const struct trial *trial = first; trial != NULL; trial = trial->next) {
        struct trial_outcome outcome = trial_run(trial, simulator, arena);
        struct trial_outcome again = trial_run(trial, simulator, arena);
        assert(outcome.passed == again.passed && outcome.story_count == again.story_count);
        assert(outcome.passed || text_equal(outcome.error, again.error));
        for (size_t i = 0; i < outcome.story_count; i++)
            assert(text_equal(outcome.story[i], again.story[i]));
    }
    simulator_destroy(simulator);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ruleset *ruleset; /* compiled once, and never freed */
    struct text text = {(const char *)data, size};
    struct problems problems;
    struct arena arena;
    problems_init(&problems);
    arena_init(&arena, ARENA_BYTES);
    if (ruleset == NULL)
        ruleset = ruleset_load_shipped(&problems);
    assert(ruleset != NULL);
    const struct trial *first = trial_text_read("fuzz.yaml", text, ruleset, &arena, &problems);
    assert((first == NULL) == (problems.count > 0));
    run_all(ruleset, first, &arena);
    arena_fini(&arena);
    problems_fini(&problems);
    return 0;
}

/* Rule sets by version, and who made which active when. */
#include "tests/unit/state_fixture.h"

static void activate(const char *version, const char *bundle, uint64_t seq, int64_t since_ms, enum ruleset_by by)
{
    struct ruleset_activation activation = {text_of(version), seq, since_ms, by};
    state_ruleset_activate(state, &activation, text_of(bundle));
}

static void test_last_activated_rule_set_is_active(void **unused)
{
    (void)unused;
    struct ruleset_activation active, *all;
    struct text bundle;
    done(state_ruleset_active(state, &arena, &active, &bundle, &err));
    assert_int_equal(active.version.len, 0);
    activate("f00", "first", 1, 100, RULESET_BY_SETTINGS);
    activate("ba4", "second", 300, 200, RULESET_BY_OPERATOR);
    checkpoint();
    reopen();
    done(state_ruleset_active(state, &arena, &active, &bundle, &err));
    assert_true(text_is(active.version, "ba4") && text_is(bundle, "second"));
    assert_int_equal(active.seq, 300);
    assert_int_equal(active.since_ms, 200);
    assert_int_equal(active.by, RULESET_BY_OPERATOR);
    activate("f00", "first", 70000, 300, RULESET_BY_OPERATOR); /* back */
    done(state_ruleset_active(state, &arena, &active, &bundle, &err));
    assert_true(text_is(active.version, "f00") && text_is(bundle, "first"));
    size_t count;
    bool found;
    done(state_rulesets(state, 10, &arena, &all, &count, &err));
    assert_int_equal(count, 3);
    assert_int_equal(all[0].seq, 70000);
    assert_true(text_is(all[1].version, "ba4"));
    assert_int_equal(all[2].since_ms, 100);
    done(state_ruleset_bundle(state, TEXT("ba4"), &arena, &bundle, &found, &err));
    assert_true(found && text_is(bundle, "second"));
    done(state_ruleset_bundle(state, TEXT("other"), &arena, &bundle, &found, &err));
    assert_false(found);
}

static bool has_bundle(const char *version)
{
    struct text bundle;
    bool found;
    done(state_ruleset_bundle(state, text_of(version), &arena, &bundle, &found, &err));
    return found;
}

/* Versions come and go; those that an activation still names stay, and the one that is configured. */
static void test_old_activations_are_forgotten(void **unused)
{
    (void)unused;
    struct ruleset_activation *all, configured;
    size_t count;
    activate("first", "1", 1, 100, RULESET_BY_SETTINGS);
    for (uint64_t seq = 2; seq < RULESETS_KEPT + 10; seq++) {
        activate(seq == 5 ? "once" : seq == 6 ? "again" : seq == 600 ? "again" : "other", "2", seq, 200,
                 RULESET_BY_OPERATOR);
        done(state_ruleset_trim(state, &arena, &err));
        arena_reset(&arena);
        if (seq == 300)
            checkpoint();
    }
    checkpoint();
    reopen();
    done(state_rulesets(state, LIST_COUNT_MAX, &arena, &all, &count, &err));
    assert_int_equal(count, RULESETS_KEPT);
    assert_int_equal(all[0].seq, RULESETS_KEPT + 9);
    assert_int_equal(all[RULESETS_KEPT - 1].seq, 10);
    done(state_ruleset_configured(state, &arena, &configured, &err));
    assert_int_equal(configured.seq, 1);
    assert_true(has_bundle("first") && has_bundle("again") && has_bundle("other"));
    assert_false(has_bundle("once"));
    activate("second", "3", 5000, 300, RULESET_BY_SETTINGS); /* the first is as old as any other now */
    done(state_ruleset_trim(state, &arena, &err));
    assert_false(has_bundle("first"));
}

static void test_what_was_configured_last_is_found_among_an_operators(void **unused)
{
    (void)unused;
    static const enum ruleset_by configured_by[] = {RULESET_BY_PROGRAM, RULESET_BY_SETTINGS};
    struct ruleset_activation configured;
    done(state_ruleset_configured(state, &arena, &configured, &err));
    assert_int_equal(configured.version.len, 0);
    activate("f00", "1", 1, 100, RULESET_BY_SETTINGS);
    for (uint64_t turn = 0; turn < 2; turn++) {
        activate("ba4", "2", 100 * turn + 2, 200, configured_by[turn]);
        for (uint64_t seq = 3; seq < 60; seq++)
            activate("c0d", "3", 100 * turn + seq, 300, RULESET_BY_OPERATOR);
        checkpoint();
        reopen();
        done(state_ruleset_configured(state, &arena, &configured, &err));
        assert_true(text_is(configured.version, "ba4"));
        assert_int_equal(configured.seq, 100 * turn + 2);
        assert_int_equal(configured.by, configured_by[turn]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STATE_TEST(test_last_activated_rule_set_is_active),
        STATE_TEST(test_old_activations_are_forgotten),
        STATE_TEST(test_what_was_configured_last_is_found_among_an_operators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

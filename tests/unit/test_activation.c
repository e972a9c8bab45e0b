/* Of those who may say which rules run, the newest word counts; a configuration that says the same again says
 * nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/service/activation.h"
#include "tests/unit/rules_model.h"
#include "tests/unit/temp_dir.h"

static char *dir;
static struct err err;
static struct subscriptions *subscriptions;
static struct step step;
static struct engine engine;
static struct partition partition;
static struct activation *activation;
static uint64_t last_seq;

static void start(void)
{
    struct state_options options = {.map_bytes = 64 << 20};
    step_init(&step);
    if (!state_open(dir, &options, &step.state, &err))
        fail_msg("%s", err.text);
    step.publisher = publisher_create(step.state, subscriptions, 10);
    activation = activation_create(&partition, &step);
    if (!activation_load(activation, &err))
        fail_msg("%s", err.text);
}

static void stop(void)
{
    publisher_destroy(step.publisher);
    activation_destroy(activation);
    state_close(step.state);
    step_fini(&step);
}

static int set_up(void **unused)
{
    (void)unused;
    dir = temp_dir_make();
    subscriptions = subscriptions_create();
    engine = (struct engine){
        .commit_queue = queue_create(),
        .door_queue = queue_create(),
        .partitions = &partition,
        .partition_count = 1,
    };
    partition = (struct partition){.engine = &engine};
    last_seq = 0;
    start();
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    stop();
    queue_destroy(engine.commit_queue);
    queue_destroy(engine.door_queue);
    subscriptions_destroy(subscriptions);
    temp_dir_remove(dir);
    return 0;
}

/* Rules that tell themselves from others by `name`. */
static struct ruleset *rules_named(const char *name)
{
    char yaml[128];
    snprintf(yaml, sizeof yaml, "chain: root\nfirst: a\nnodes:\n  a: {type: log, text: %s}\n", name);
    return rules_of(yaml);
}

/* As the applier does. */
static void take(struct rules_change *change)
{
    if (change->stage == RULES_WANTED) {
        activation_hear(activation, change);
        return;
    }
    if (!activation_take(activation, change, &err))
        fail_msg("%s", err.text);
    activation_finish(activation, change);
}

static void comes_back(struct work *work, bool has_space)
{
    struct rules_change *change = (struct rules_change *)work;
    change->seq = has_space ? ++last_seq : 0;
    change->received_ms = 1000;
    take(change);
}

/* What the committer does; returns whether there was anything. */
static bool commit(bool has_space)
{
    struct work *work = queue_take(engine.commit_queue, 0);
    if (work == NULL)
        return false;
    assert_null(work->next);
    comes_back(work, has_space);
    return true;
}

/* What the door does: the answer to whoever asked, or "". */
static const char *go_home(void)
{
    static char answer[512];
    answer[0] = '\0';
    for (struct work *work = queue_take(engine.door_queue, 0), *next; work != NULL; work = next) {
        next = work->next;
        if (work->kind == WORK_QUERY) {
            struct query *query = (struct query *)work;
            snprintf(answer, sizeof answer, TEXT_FMT, TEXT_ARG(query->reply));
            query_destroy(query);
        } else {
            assert_int_equal(work->kind, WORK_RULES);
            rules_change_destroy((struct rules_change *)work);
        }
    }
    return answer;
}

static void is_active(const char *name)
{
    struct ruleset *ruleset = rules_named(name);
    assert_non_null(step.ruleset);
    assert_true(text_equal(ruleset_version(step.ruleset), ruleset_version(ruleset)));
    ruleset_destroy(ruleset);
}

/* The configuration, at a start or a SIGHUP; `news`: it goes into the journal. */
static void configured(enum ruleset_by by, const char *name, bool news)
{
    take(rules_change_create(rules_named(name), by));
    assert_int_equal(commit(true), news);
    go_home();
}

static void ask(const char *name)
{
    bool active;
    if (!activation_ask(activation, query_create(), rules_named(name), &active, &err))
        fail_msg("%s", err.text);
    assert_false(active);
}

static void applied(const char *name)
{
    ask(name);
    assert_true(commit(true));
    assert_non_null(strstr(go_home(), "{\"ok\":true,"));
    is_active(name);
}

static void restart(void)
{
    if (!state_checkpoint(step.state, &err))
        fail_msg("%s", err.text);
    stop();
    start();
}

static void test_a_configuration_counts_when_it_has_changed(void **unused)
{
    (void)unused;
    configured(RULESET_BY_SETTINGS, "one", true);
    is_active("one");
    applied("two");
    restart();
    configured(RULESET_BY_SETTINGS, "one", false);
    is_active("two");
    configured(RULESET_BY_SETTINGS, "three", true);
    is_active("three");
    configured(RULESET_BY_SETTINGS, "one", true);
    is_active("one");
    configured(RULESET_BY_SETTINGS, "one", false);
}

static void test_a_configuration_that_comes_to_the_same_as_an_operator_is_remembered(void **unused)
{
    (void)unused;
    configured(RULESET_BY_SETTINGS, "one", true);
    applied("two");
    configured(RULESET_BY_SETTINGS, "two", true);
    restart();
    configured(RULESET_BY_SETTINGS, "one", true);
    is_active("one");
}

static void test_the_same_rules_of_a_folder_are_another_configuration(void **unused)
{
    (void)unused;
    configured(RULESET_BY_PROGRAM, "one", true);
    configured(RULESET_BY_SETTINGS, "one", true);
    applied("two");
    configured(RULESET_BY_PROGRAM, "one", true);
    is_active("one");
}

static void test_a_configuration_on_its_way_is_not_sent_again(void **unused)
{
    (void)unused;
    configured(RULESET_BY_SETTINGS, "one", true);
    for (int i = 0; i < 2; i++)
        take(rules_change_create(rules_named("two"), RULESET_BY_SETTINGS));
    assert_true(commit(true)); /* which sees that it is one */
    is_active("two");
    go_home();
}

/* Two changes of a folder are on their way, and when the first is active, the folder goes back to it. */
static void test_the_last_that_was_heard_is_what_is_configured(void **unused)
{
    (void)unused;
    configured(RULESET_BY_SETTINGS, "one", true);
    take(rules_change_create(rules_named("two"), RULESET_BY_SETTINGS));
    take(rules_change_create(rules_named("three"), RULESET_BY_SETTINGS));
    struct work *two = queue_take(engine.commit_queue, 0), *three = two->next;
    comes_back(two, true);
    is_active("two");
    take(rules_change_create(rules_named("two"), RULESET_BY_SETTINGS));
    comes_back(three, true);
    is_active("three");
    assert_true(commit(true));
    is_active("two");
    go_home();
}

static void test_a_newer_programs_rules_leave_an_operators_alone(void **unused)
{
    (void)unused;
    configured(RULESET_BY_PROGRAM, "shipped 1", true);
    restart();
    configured(RULESET_BY_PROGRAM, "shipped 2", true); /* nobody said anything else */
    is_active("shipped 2");
    applied("two");
    restart();
    configured(RULESET_BY_PROGRAM, "shipped 3", false);
    is_active("two");
    configured(RULESET_BY_SETTINGS, "one", true); /* a folder is named, and then no longer */
    is_active("one");
    configured(RULESET_BY_PROGRAM, "shipped 3", true);
    is_active("shipped 3");
}

static void test_one_change_at_a_time(void **unused)
{
    (void)unused;
    bool active;
    configured(RULESET_BY_SETTINGS, "one", true);
    ask("two");
    assert_false(activation_ask(activation, NULL, rules_named("three"), &active, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_true(activation_ask(activation, NULL, rules_named("one"), &active, &err)); /* it is as it was when they asked */
    assert_true(active);
    assert_true(commit(true));
    assert_non_null(strstr(go_home(), "\"activated\":2,\"changed\":true}"));
    applied("three");
}

static void test_what_cannot_be_journaled_is_answered_and_forgotten(void **unused)
{
    (void)unused;
    configured(RULESET_BY_SETTINGS, "one", true);
    ask("two");
    assert_true(commit(false));
    assert_non_null(strstr(go_home(), "\"code\":\"full\""));
    is_active("one");
    applied("two");
}

/* At a start without space the settings' rules wait; what comes of an operator's doesn't make the daemon ready. */
static void test_only_what_the_settings_want_goes_to_the_door(void **unused)
{
    (void)unused;
    take(rules_change_create(rules_named("one"), RULESET_BY_SETTINGS));
    struct work *held = queue_take(engine.commit_queue, 0);
    ask("two");
    assert_true(commit(false));
    struct work *home = queue_take(engine.door_queue, 0);
    assert_int_equal(home->kind, WORK_QUERY);
    assert_null(home->next);
    query_destroy((struct query *)home);
    comes_back(held, true);
    home = queue_take(engine.door_queue, 0);
    assert_int_equal(home->kind, WORK_RULES);
    rules_change_destroy((struct rules_change *)home);
    is_active("one");
}

static void test_a_stop_answers_what_is_on_its_way(void **unused)
{
    (void)unused;
    configured(RULESET_BY_SETTINGS, "one", true);
    ask("two");
    activation_stop(activation);
    assert_non_null(strstr(go_home(), "\"code\":\"busy\""));
    rules_change_destroy((struct rules_change *)queue_take(engine.commit_queue, 0));
    is_active("one");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_configuration_counts_when_it_has_changed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_configuration_that_comes_to_the_same_as_an_operator_is_remembered, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_the_same_rules_of_a_folder_are_another_configuration, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_configuration_on_its_way_is_not_sent_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_last_that_was_heard_is_what_is_configured, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_newer_programs_rules_leave_an_operators_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_change_at_a_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_journaled_is_answered_and_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_what_the_settings_want_goes_to_the_door, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_stop_answers_what_is_on_its_way, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

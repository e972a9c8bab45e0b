/* What the committer does at a stop; the rest of it is seen from outside, in tests/e2e. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/service/activation.h"
#include "engine/service/committer.h"
#include "tests/unit/rules_model.h"
#include "tests/unit/temp_dir.h"

/* The applier sends a change of rules when the stop is queued already. */
static void test_what_comes_behind_a_stop_is_left_in_the_queue(void **unused)
{
    (void)unused;
    struct err err;
    struct settings settings;
    struct stats stats = {.started_ms = 1};
    struct shared stop = {.work.kind = WORK_STOP};
    struct partition partition = {.apply_queue = queue_create()};
    struct engine engine = {
        .settings = &settings,
        .stats = &stats,
        .commit_queue = queue_create(),
        .door_queue = queue_create(),
        .partitions = &partition,
        .partition_count = 1,
        .order = PTHREAD_MUTEX_INITIALIZER,
    };
    char *dir = temp_dir_make();
    settings_init(&settings);
    sem_init(&engine.may_trim, 0, 1);
    if (!journal_open(dir, journal_segment_bytes(1 << 20), &engine.journal, &err))
        fail_msg("%s", err.text);
    struct rules_change *change = rules_change_create(rules_shipped(), RULESET_BY_OPERATOR);
    queue_push(engine.commit_queue, &stop.work);
    queue_push(engine.commit_queue, &change->shared.work);
    committer_run(&engine);
    assert_ptr_equal(queue_take(partition.apply_queue, 0), &stop);
    assert_null(stop.work.next);
    assert_ptr_equal(queue_take(engine.commit_queue, 0), change);
    assert_int_equal(change->seq, 0);
    assert_int_equal(journal_last_seq(engine.journal), 0);
    rules_change_destroy(change);
    journal_close(engine.journal);
    sem_destroy(&engine.may_trim);
    queue_destroy(engine.commit_queue);
    queue_destroy(partition.apply_queue);
    queue_destroy(engine.door_queue);
    settings_fini(&settings);
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_comes_behind_a_stop_is_left_in_the_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

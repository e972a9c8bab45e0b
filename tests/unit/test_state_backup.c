/* A backup is a checkpoint, copied while it is held. */
#include "tests/unit/state_fixture.h"

static void test_backup_is_the_checkpoint_that_was_held(void **unused)
{
    (void)unused;
    struct state_options options = {MAP_BYTES, default_indexes, 3, 0};
    struct state_snapshot *snapshot;
    struct copying progress = {0};
    char *path = strdup(temp_dir_path(dir, "backup"));
    set("a", SCOPE_CLIENT, "currentFwVer", text_value("v1"));
    for (int i = 0; i < 2000; i++)
        set(arena_format(&arena, "d%d", i).bytes, SCOPE_CLIENT, "x", text_value("one"));
    checkpoint();
    uint64_t bytes = state_bytes(state);
    set("a", SCOPE_CLIENT, "currentFwVer", text_value("v2"));
    done(state_snapshot_take(state, &snapshot, &err));
    for (int round = 0; round < 5; round++) { /* every page of the checkpoint is given up, and again */
        for (int i = 0; i < 2000; i++)
            set(arena_format(&arena, "d%d", i).bytes, SCOPE_CLIENT, "x", value_boolean(round % 2 == 0));
        checkpoint();
    }
    done(state_backup(snapshot, path, &progress, &err));
    state_snapshot_release(snapshot);
    assert_true(atomic_load(&progress.bytes) >= bytes); /* and the history */
    assert_int_equal(count_of(VERSION, text_value("v2")), 1);
    state_close(state);
    done(state_open(path, &options, &state, &err));
    assert_int_equal(count_of(VERSION, text_value("v1")), 1);
    assert_int_equal(state_device_count(state), 2001);
    set("b", SCOPE_CLIENT, "currentFwVer", text_value("v1"));
    checkpoint();
    state_close(state);
    done(state_open(path, &options, &state, &err));
    assert_int_equal(count_of(VERSION, text_value("v1")), 2);
    free(path);
}

static void test_backup_copies_no_damage(void **unused)
{
    (void)unused;
    struct state_snapshot *snapshot;
    struct copying progress = {0};
    set("a", SCOPE_CLIENT, "key", text_value("the-value-to-hit"));
    checkpoint();
    state_close(state);
    assert_true(file_patch(temp_dir_path(dir, "data.mdb"), "the-value-to-hit", "the-value-to-hiu") > 0);
    open_state();
    done(state_snapshot_take(state, &snapshot, &err));
    fails(state_backup(snapshot, temp_dir_path(dir, "backup"), &progress, &err), ERR_DAMAGED, "'devices'");
    state_snapshot_release(snapshot);
}

static void test_backup_can_be_stopped(void **unused)
{
    (void)unused;
    struct state_snapshot *snapshot;
    struct copying progress = {.stop = true};
    set("a", SCOPE_CLIENT, "currentFwVer", text_value("v1"));
    checkpoint();
    done(state_snapshot_take(state, &snapshot, &err));
    assert_false(state_backup(snapshot, temp_dir_path(dir, "backup"), &progress, &err));
    assert_int_equal(err.code, ERR_BUSY);
    state_snapshot_release(snapshot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STATE_TEST(test_backup_is_the_checkpoint_that_was_held),
        STATE_TEST(test_backup_copies_no_damage),
        STATE_TEST(test_backup_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

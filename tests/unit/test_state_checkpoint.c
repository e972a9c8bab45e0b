/* What a checkpoint writes, and what is there when it fails, or is interrupted anywhere. */
#include "store/lmdb_env.h"
#include "tests/unit/state_fixture.h"

static void test_close_without_checkpoint_goes_back(void **unused)
{
    (void)unused;
    set("a", SCOPE_CLIENT, "currentFwVer", text_value("v1"));
    uint64_t *counter = state_counter(state, TEXT("n/sync"));
    *counter = 7;
    state_set_applied_seq(state, 10);
    checkpoint();
    set("a", SCOPE_CLIENT, "currentFwVer", text_value("v2"));
    set("b", SCOPE_CLIENT, "otherKey", text_value("v2"));
    *counter = 8;
    state_set_applied_seq(state, 20);
    assert_int_equal(state_applied_seq(state), 20);
    assert_int_equal(state_checkpoint_seq(state), 10);
    state_dead_letter_add(state, TEXT("{}"), 10);
    reopen();
    assert_int_equal(state_applied_seq(state), 10);
    assert_int_equal(state_device_count(state), 1);
    assert_int_equal(count_of(VERSION, text_value("v1")), 1);
    assert_int_equal(count_of(VERSION, text_value("v2")), 0);
    assert_int_equal(*state_counter(state, TEXT("n/sync")), 7);
    assert_int_equal(state_dead_letter_count(state), 0);
}

static void test_no_space_is_seen_before_the_checkpoint(void **unused)
{
    (void)unused;
    change_something(1);
    full_disk.no_bytes_left = true;
    fails(state_checkpoint(state, &err), ERR_FULL, "free some");
    full_disk.no_bytes_left = false;
    assert_int_equal(count_of(VERSION, integer(1)), 450); /* names repeat */
    checkpoint();
    reopen();
    assert_int_equal(count_of(VERSION, integer(1)), 450);
    assert_int_equal(state_applied_seq(state), 200);
}

static void test_failed_checkpoint_loses_nothing(void **unused)
{
    (void)unused;
    static const int errors[] = {ENOSPC, EDQUOT, EFBIG};
    change_something(1);
    checkpoint();
    for (int i = 0; i < 3; i++) {
        full_disk.error = errors[i];
        change_something(2 + i);
        set("new", SCOPE_CLIENT, "newKey", integer(i));
        fails(state_checkpoint(state, &err), ERR_FULL, "no space");
        set("newer", SCOPE_CLIENT, "newKey", integer(i)); /* isn't part of what failed */
        full_disk.error = 0;
        assert_int_equal(state_checkpoint_seq(state), i == 0 ? 200 : 200 + 100 * i);
        uint64_t count = count_of(VERSION, integer(2 + i));
        assert_true(count > 0);
        checkpoint();
        assert_int_equal(count_of(VERSION, integer(2 + i)), count);
        assert_int_equal(state_checkpoint_seq(state), 300 + 100 * i);
    }
    full_disk.error = ENOSPC;
    change_something(9);
    fails(state_checkpoint(state, &err), ERR_FULL, "no space");
    full_disk.error = 0;
    reopen();
    assert_int_equal(state_applied_seq(state), 500);
    assert_true(count_of(VERSION, integer(4)) > 0);
    assert_int_equal(count_of(VERSION, integer(9)), 0);
    assert_non_null(device_find("newer"));
    assert_int_equal(*state_counter(state, TEXT("n")), 4);
}

static void test_unknown_outcome_stops(void **unused)
{
    (void)unused;
    change_something(1);
    full_disk.error = ENOSPC;
    full_disk.only_meta = true;
    fails(state_checkpoint(state, &err), ERR_STORE, "unknown");
    full_disk.error = 0;
}

/* Reading finds the newest of each row while a checkpoint is under way, and that one has just what was
 * there when it began. */
static void test_changes_during_a_checkpoint_are_seen_and_not_in_it(void **unused)
{
    (void)unused;
    bool existed;
    set("a", SCOPE_CLIENT, "currentFwVer", text_value("v1"));
    set("b", SCOPE_CLIENT, "currentFwVer", text_value("v1"));
    checkpoint();
    set("b", SCOPE_CLIENT, "currentFwVer", text_value("v2"));
    set("d", SCOPE_CLIENT, "currentFwVer", text_value("v2"));
    state_set_applied_seq(state, 7);
    state_checkpoint_begin(state);
    set("b", SCOPE_CLIENT, "currentFwVer", text_value("v3"));
    set("c", SCOPE_CLIENT, "currentFwVer", text_value("v1"));
    struct device *device = device_open("d");
    done(device_delete(device, SCOPE_CLIENT, TEXT("currentFwVer"), &existed, &err));
    save(device);
    for (int when = 0; when < 2; when++) {
        struct device_filter by_name = {.condition_count = 0};
        assert_string_equal(list(by_name, 100), "a b c d");
        struct device_condition v1 = {VERSION, text_value("v1")};
        struct device_filter by_value = {.conditions = &v1, .condition_count = 1};
        assert_string_equal(list(by_value, 100), "a c");
        assert_int_equal(count_of(VERSION, text_value("v1")), 2);
        assert_int_equal(count_of(VERSION, text_value("v2")), 0);
        assert_int_equal(count_of(VERSION, text_value("v3")), 1);
        struct value_count *values;
        struct text next;
        size_t count;
        done(state_index_values(state, VERSION, TEXT(""), 10, &arena, &values, &count, &next, &err));
        assert_int_equal(count, 2);
        if (when == 0)
            done(state_checkpoint_end(state, &err));
    }
    reopen();
    assert_int_equal(state_applied_seq(state), 7);
    assert_int_equal(count_of(VERSION, text_value("v1")), 1);
    assert_int_equal(count_of(VERSION, text_value("v2")), 2);
    assert_int_equal(count_of(VERSION, text_value("v3")), 0);
}

/* A checkpoint of many transactions that ends after each of them in turn: the next open finishes it. */
static void test_interrupted_slices_are_finished_at_the_next_open(void **unused)
{
    (void)unused;
    bool whole = false;
    struct device *device;
    for (unsigned commits = 1; !whole; commits++) {
        assert_true(commits < 100);
        int round = (int)commits;
        reopen_with_slices(1);
        change_something(round);
        done(state_device_open(state, TEXT("d0"), TEXT("default"), 1, 5000 + round, &device, &err));
        full_disk.fails_after = commits;
        whole = state_checkpoint(state, &err);
        full_disk.error = 0;
        full_disk.fails_after = 0;
        if (!whole)
            assert_int_equal(err.code, ERR_FULL);
        reopen_with_slices(commits % 2 == 0 ? 0 : 1);
        assert_int_equal(state_applied_seq(state), 100 * (round + 1));
        assert_int_equal(*state_counter(state, TEXT("n")), round);
        assert_int_equal(device_seen_ms(device_find("d0")), 5000 + round);
        struct device_condition condition = {VERSION, integer(round)};
        struct device_filter filter = {.conditions = &condition, .condition_count = 1};
        uint64_t expected = count_of(VERSION, integer(round));
        struct text *names, next;
        size_t count;
        done(state_devices(state, &filter, TEXT(""), 1000, &arena, &names, &count, &next, &err));
        assert_int_equal(count, expected);
        assert_true(expected >= 5);
        if (whole)
            assert_true(commits > 4); /* there were slices */
    }
}

/* Pages of a failed attempt are used by the next one. */
static void test_failed_attempts_dont_grow_the_file(void **unused)
{
    (void)unused;
    struct stat before, after;
    const char *path = temp_dir_path(dir, "data.mdb");
    interrupt_a_checkpoint();
    for (int i = 0; i < 20; i++) {
        full_disk.fails_after = 4;
        fails(state_checkpoint(state, &err), ERR_FULL, "no space");
        full_disk.error = 0;
        full_disk.fails_after = 0;
        assert_int_equal(stat(path, i == 3 ? &before : &after), 0);
    }
    assert_true(after.st_size <= before.st_size);
    checkpoint();
    reopen();
    assert_int_equal(state_applied_seq(state), 200);
}

/* A failed checkpoint that has its layer is tried again, and then what came after it. */
static void test_interrupted_slices_are_finished_without_a_restart(void **unused)
{
    (void)unused;
    interrupt_a_checkpoint();
    set("d0", SCOPE_CLIENT, "currentFwVer", integer(7));
    checkpoint();
    reopen();
    assert_int_equal(count_of(VERSION, integer(1)), 449);
    assert_int_equal(count_of(VERSION, integer(7)), 1);
}

/* LMDB leaves the end of the file unwritten when a transaction gave back what it took there; that
 * is not a file that was cut. */
static void test_pages_taken_and_given_back_are_no_damage(void **unused)
{
    (void)unused;
    static char large[60000];
    memset(large, 'x', sizeof large);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 100 + 100 * round; i++)
            state_dead_letter_add(state, (struct text){large, sizeof large}, 1000);
        state_dead_letter_add(state, (struct text){large, 10}, 0);
        assert_int_equal(state_dead_letter_count(state), 0);
        checkpoint();
        reopen();
    }
}

static bool has_version(const char *name, int64_t version)
{
    struct attribute attribute;
    return get(device_find(name), SCOPE_CLIENT, "currentFwVer", &attribute) && attribute.value.integer == version;
}

/* What a checkpoint wrote is read from memory until the next one, or until there is nothing to do. */
static void test_rest_forgets_only_what_is_on_disk(void **unused)
{
    (void)unused;
    set("d", SCOPE_CLIENT, "currentFwVer", integer(1));
    checkpoint();
    assert_true(has_version("d", 1) && count_of(VERSION, integer(1)) == 1);
    set("d", SCOPE_CLIENT, "currentFwVer", integer(2));
    state_rest(state);
    assert_true(has_version("d", 2) && count_of(VERSION, integer(2)) == 1 && count_of(VERSION, integer(1)) == 0);
    state_checkpoint_begin(state);
    state_rest(state);
    assert_true(has_version("d", 2) && count_of(VERSION, integer(2)) == 1 && count_of(VERSION, integer(1)) == 0);
    done(state_checkpoint_end(state, &err));
    state_rest(state);
    assert_true(has_version("d", 2) && count_of(VERSION, integer(2)) == 1);
    set("d", SCOPE_CLIENT, "currentFwVer", integer(3));
    checkpoint();
    reopen();
    assert_true(has_version("d", 3) && count_of(VERSION, integer(3)) == 1 && count_of(VERSION, integer(2)) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STATE_TEST(test_close_without_checkpoint_goes_back),
        STATE_TEST(test_no_space_is_seen_before_the_checkpoint),
        STATE_TEST(test_failed_checkpoint_loses_nothing),
        STATE_TEST(test_unknown_outcome_stops),
        STATE_TEST(test_changes_during_a_checkpoint_are_seen_and_not_in_it),
        STATE_TEST(test_interrupted_slices_are_finished_at_the_next_open),
        STATE_TEST(test_failed_attempts_dont_grow_the_file),
        STATE_TEST(test_interrupted_slices_are_finished_without_a_restart),
        STATE_TEST(test_pages_taken_and_given_back_are_no_damage),
        STATE_TEST(test_rest_forgets_only_what_is_on_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

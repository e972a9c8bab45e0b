/* A log gives back what it was given, and drops what it is told to. */
#include <pthread.h>

#include "tests/unit/seglog_fixture.h"

/* --- keeping ----------------------------------------------------------------------------------------------- */

static void test_new_log_is_empty(void **unused)
{
    (void)unused;
    for (int round = 0; round < 2; round++) {
        struct seglog *log = open_log(round);
        struct text record;
        uint64_t next;
        assert_int_equal(seglog_first(log), 0);
        assert_int_equal(seglog_end(log), 0);
        assert_int_equal(seglog_bytes(log), 0);
        assert_int_equal(seglog_segment_count(log), 1);
        assert_int_equal(seglog_torn_bytes(log), 0);
        fails(seglog_read(log, 0, &arena, &record, &next, &err), ERR_DAMAGED, "ends before");
        flush_and_sync(log);
        seglog_close(log);
    }
}

static void test_records_are_readable_before_and_after_each_step(void **unused)
{
    (void)unused;
    uint64_t next;
    struct seglog *log = open_log(false);
    uint64_t a = append(log, "a"), b = append(log, "second");
    assert_int_equal(a, 0);
    assert_int_equal(b, ROOM + 8);
    assert_int_equal(seglog_end(log), b + ROOM + 8);
    assert_int_equal(seglog_unflushed_bytes(log), seglog_end(log));
    for (int step = 0; step < 4; step++) {
        assert_string_equal(read_at(log, a, &next), "a");
        assert_int_equal(next, b);
        assert_string_equal(read_at(log, b, &next), "second");
        assert_int_equal(next, seglog_end(log));
        if (step == 0) {
            flush(log);
            assert_int_equal(seglog_synced_end(log), 0);
        } else if (step == 1) {
            done(seglog_sync(log, &err));
            assert_int_equal(seglog_synced_end(log), seglog_end(log));
        } else if (step == 2) {
            seglog_close(log);
            log = open_log(true);
        }
    }
    assert_int_equal(seglog_unflushed_bytes(log), 0);
    seglog_close(log);
}

static void test_close_and_forget_drop_what_was_not_flushed(void **unused)
{
    (void)unused;
    struct seglog *log = open_log(false);
    append_numbered(log, 0, 10);
    flush(log);
    uint64_t end = seglog_end(log);
    append_numbered(log, 7, 10);
    seglog_forget(log);
    assert_int_equal(seglog_end(log), end);
    assert_int_equal(append_numbered(log, 1, 10), end);
    flush(log);
    append_numbered(log, 2, 10);
    seglog_close(log);
    log = open_log(false);
    holds(log, 0, 0, 2);
    seglog_close(log);
}

static void test_a_flush_lies_in_one_segment(void **unused)
{
    (void)unused;
    static const struct {
        size_t first, second; /* bytes of two flushes, heads and all */
        size_t segments;
    } rows[] = {
        {SEGMENT_BYTES - 32, 32, 1},
        {SEGMENT_BYTES - 32, 40, 2},
        {SEGMENT_BYTES, 24, 2},
        {SEGMENT_BYTES * 3, 24, 2}, /* larger alone */
        {24, SEGMENT_BYTES * 3, 2},
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++)
        for (int ahead = 0; ahead < 2; ahead++) {
            struct seglog *log = open_log(ahead);
            append_numbered(log, 0, rows[row].first - ROOM);
            flush(log);
            uint64_t second = append_numbered(log, 1, rows[row].second - ROOM);
            flush_and_sync(log);
            assert_int_equal(second, rows[row].first);
            assert_int_equal(seglog_segment_count(log), rows[row].segments);
            assert_int_equal(seglog_segment_first(log, rows[row].segments - 1), rows[row].segments == 2 ? second : 0);
            seglog_close(log);
            log = open_log(ahead);
            assert_int_equal(seglog_segment_count(log), rows[row].segments);
            assert_int_equal(seglog_bytes(log), rows[row].first + rows[row].second);
            holds(log, 0, 0, 2);
            append_numbered(log, 2, 100);
            flush(log);
            holds(log, 0, 0, 3);
            seglog_close(log);
            temp_dir_remove(dir);
            dir = temp_dir_make();
        }
}

static void test_roll_begins_a_segment_once(void **unused)
{
    (void)unused;
    struct seglog *log = open_log(true);
    seglog_roll(log);
    append_numbered(log, 0, 100);
    flush_and_sync(log); /* there was nothing before it */
    assert_int_equal(seglog_segment_count(log), 1);
    for (unsigned i = 1; i < 4; i++) {
        if (i == 2)
            seglog_roll(log);
        append_numbered(log, i, 100);
        flush_and_sync(log);
    }
    assert_int_equal(seglog_segment_count(log), 2);
    seglog_close(log);
    log = open_log(true);
    holds(log, 0, 0, 4);
    seglog_close(log);
}

static void test_records_are_read_in_any_order(void **unused)
{
    (void)unused;
    enum { COUNT = 2000 };
    static uint64_t positions[COUNT + 1];
    struct seglog *log = open_log(false);
    for (unsigned i = 0; i < COUNT; i++) {
        positions[i] = append_numbered(log, i, 10 + i * 37 % 3000);
        if (i % 7 == 0)
            flush(log);
    }
    positions[COUNT] = seglog_end(log);
    for (unsigned i = COUNT; i-- > 0;) {
        uint64_t next;
        assert_int_equal(strtoul(read_at(log, positions[i], &next), NULL, 10), i);
        assert_int_equal(next, positions[i + 1]);
        unsigned other = i * 1237 % COUNT;
        assert_int_equal(strtoul(read_at(log, positions[other], &next), NULL, 10), other);
        arena_reset(&arena);
    }
    holds(log, 0, 0, COUNT);
    seglog_close(log);
}

/* A position may come from outside: whatever it points into is no record unless one begins there. */
static void test_only_a_records_position_is_read(void **unused)
{
    (void)unused;
    static const uint32_t lengths[] = {0, 1, 40, 4000, 1 << 30, UINT32_MAX}; /* which a body may pretend */
    for (size_t row = 0; row < sizeof lengths / sizeof lengths[0]; row++) {
        struct seglog *log = open_log(false);
        uint32_t words[64];
        for (size_t i = 0; i < 64; i++)
            words[i] = lengths[row];
        struct text record, part = {(const char *)words, sizeof words};
        append_numbered(log, 0, 100);
        if (row % 2 == 0)
            flush(log);
        uint64_t next, second = seglog_append(log, &part, 1), end = seglog_end(log);
        for (int step = 0; step < 2; step++) {
            for (uint64_t position = second - 100; position < end + 9; position++)
                if (position != second)
                    fails(seglog_read(log, position, &arena, &record, &next, &err), ERR_DAMAGED, "restore a backup");
            read_at(log, second, &next);
            assert_int_equal(next, end);
            flush(log);
        }
        seglog_close(log);
        temp_dir_remove(dir);
        dir = temp_dir_make();
    }
}

/* --- other threads ----------------------------------------------------------------------------------------- */

enum { CONCURRENT_COUNT = 3000 };

static void *read_all(void *context)
{
    struct seglog *log = context;
    struct seglog_reader *reader = seglog_reader_create(log);
    struct err why;
    uint64_t position = 0;
    for (unsigned i = 0; i < CONCURRENT_COUNT;) {
        struct text record;
        if (position == seglog_flushed_end(log))
            continue;
        if (!seglog_reader_next(reader, position, &record, &position, &why))
            return strdup(why.text);
        if (strtoul(record.bytes, NULL, 10) != i++)
            return strdup("another record");
    }
    seglog_reader_destroy(reader);
    return NULL;
}

static void *sync_all(void *context)
{
    struct seglog *log = context;
    struct err why;
    while (seglog_synced_end(log) < CONCURRENT_COUNT * (200 + ROOM))
        if (!seglog_sync(log, &why))
            return strdup(why.text);
    return NULL;
}

static void test_others_read_and_sync_meanwhile(void **unused)
{
    (void)unused;
    pthread_t threads[2];
    struct seglog *log = open_log(true);
    assert_int_equal(pthread_create(&threads[0], NULL, read_all, log), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, sync_all, log), 0);
    for (unsigned i = 0; i < CONCURRENT_COUNT; i++) {
        append_numbered(log, i, 200);
        if (i % 3 == 0)
            flush(log);
    }
    flush(log);
    for (int i = 0; i < 2; i++) {
        void *failure;
        pthread_join(threads[i], &failure);
        if (failure != NULL)
            fail_msg("%s", (char *)failure);
    }
    seglog_close(log);
    log = open_log(true);
    holds(log, 0, 0, CONCURRENT_COUNT);
    seglog_close(log);
}

/* --- dropping ---------------------------------------------------------------------------------------------- */

static void test_truncate_drops_all_behind(void **unused)
{
    (void)unused;
    enum { COUNT = 60 };
    uint64_t positions[COUNT + 1], next;
    for (unsigned cut = 0; cut <= COUNT; cut += 5)
        for (int reopen = 0; reopen < 2; reopen++) {
            struct seglog *log = open_log(true);
            for (unsigned i = 0; i < COUNT; i++) {
                positions[i] = append_numbered(log, i, 300);
                if (i < 50)
                    flush(log);
                if (i == 40)
                    done(seglog_sync(log, &err));
            }
            positions[COUNT] = seglog_end(log);
            if (cut > 0)
                read_at(log, positions[cut - 1], &next); /* the reader's buffer isn't read from afterwards */
            done(seglog_truncate(log, positions[cut], &err));
            if (reopen && cut <= 50) {
                seglog_close(log);
                log = open_log(true);
                assert_int_equal(seglog_torn_bytes(log), 0);
            }
            assert_int_equal(seglog_end(log), positions[cut]);
            holds(log, 0, 0, cut);
            for (unsigned i = cut; i < COUNT + 5; i++) {
                append_numbered(log, i, 200);
                flush_and_sync(log);
            }
            holds(log, 0, 0, COUNT + 5);
            seglog_close(log);
            log = open_log(true);
            holds(log, 0, 0, COUNT + 5);
            seglog_close(log);
            temp_dir_remove(dir);
            dir = temp_dir_make();
        }
}

static void test_truncate_beyond_the_end_is_damage(void **unused)
{
    (void)unused;
    struct seglog *log = open_log(false);
    append_numbered(log, 0, 100);
    flush_and_sync(log);
    fails(seglog_truncate(log, seglog_end(log) + 8, &err), ERR_DAMAGED, "restore a backup");
    holds(log, 0, 0, 1);
    seglog_close(log);
}

static void test_trim_removes_whole_segments(void **unused)
{
    (void)unused;
    static const struct {
        unsigned position; /* number of a record */
        size_t removed;
    } rows[] = {{0, 0}, {9, 0}, {10, 1}, {11, 1}, {20, 2}, {29, 2}, {30, 3}, {34, 3}, {1000, 3}};
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct seglog *log = filled();
        struct seglog_reader *reader = seglog_reader_create(log);
        struct text record;
        uint64_t next;
        done(seglog_reader_next(reader, 0, &record, &next, &err));
        size_t removed = seglog_trim(log, rows[row].position * 400);
        assert_int_equal(removed, rows[row].removed);
        for (int round = 0; round < 2; round++) {
            assert_int_equal(seglog_first(log), removed * 4000);
            assert_int_equal(seglog_bytes(log), 35 * 400 - removed * 4000);
            holds(log, seglog_first(log), (unsigned)removed * 10, 35);
            if (removed > 0) {
                fails(seglog_read(log, removed * 4000 - 400, &arena, &record, &next, &err), ERR_GONE, "no longer");
                fails(seglog_truncate(log, removed * 4000 - 400, &err), ERR_DAMAGED, "");
                if (round == 0)
                    fails(seglog_reader_next(reader, 400, &record, &next, &err), ERR_GONE, "no longer");
            }
            if (round == 0)
                seglog_reader_destroy(reader);
            seglog_close(log);
            log = open_log(false);
        }
        seglog_close(log);
        temp_dir_remove(dir);
        dir = temp_dir_make();
    }
}

/* A crash before they do leaves a whole log. */
static void test_files_of_what_was_trimmed_go_later(void **unused)
{
    (void)unused;
    struct seglog *log = filled();
    assert_int_equal(seglog_trim(log, 15 * 400), 1);
    assert_int_equal(seglog_trim(log, 25 * 400), 1);
    struct seglog *crashed = open_log(false);
    holds(crashed, 0, 0, 35);
    seglog_close(crashed);
    assert_int_equal(access(segment_path(0), F_OK) | access(segment_path(4000), F_OK), 0);
    done(seglog_remove(log, &err));
    assert_int_not_equal(access(segment_path(0), F_OK), 0);
    assert_int_not_equal(access(segment_path(4000), F_OK), 0);
    holds(log, 8000, 20, 35);
    seglog_close(log);
}

static void test_trim_leaves_what_is_not_synced(void **unused)
{
    (void)unused;
    struct seglog *log = open_log(false);
    for (unsigned i = 0; i < 25; i++) {
        append_numbered(log, i, 384);
        flush(log);
        if (i == 15)
            done(seglog_sync(log, &err));
    }
    assert_int_equal(seglog_trim(log, UINT64_MAX), 1);
    done(seglog_sync(log, &err));
    assert_int_equal(seglog_trim(log, UINT64_MAX), 1);
    assert_int_equal(seglog_first(log), 8000);
    holds(log, 8000, 20, 25);
    seglog_close(log);
}

/* --- backup ------------------------------------------------------------------------------------------------ */

static void test_backup_is_a_log_up_to_there(void **unused)
{
    (void)unused;
    static const unsigned ends[] = {0, 3, 10, 15, 30, 35};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct seglog *log = filled(), *copy;
        struct seglog_options options = {SEGMENT_BYTES, false};
        char *path = strdup(temp_dir_path(dir, "copy/log"));
        append_numbered(log, 99, 100);
        struct copying copying = {0}, stopped = {.stop = true};
        done(seglog_backup(log, path, ends[i] * 400, &copying, &err));
        assert_true(atomic_load(&copying.bytes) >= ends[i] * 400);
        fails(seglog_backup(log, path, 400, &copying, &err), ERR_IO, "already");
        fails(seglog_backup(log, temp_dir_path(dir, "stopped"), 400, &stopped, &err), ERR_BUSY, "stopping");
        done(seglog_open(path, &kind, &options, &copy, &err));
        holds(copy, 0, 0, ends[i]);
        seglog_close(copy);
        seglog_close(log);
        free(path);
        temp_dir_remove(dir);
        dir = temp_dir_make();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_new_log_is_empty),
        STORE_TEST(test_records_are_readable_before_and_after_each_step),
        STORE_TEST(test_close_and_forget_drop_what_was_not_flushed),
        STORE_TEST(test_a_flush_lies_in_one_segment),
        STORE_TEST(test_roll_begins_a_segment_once),
        STORE_TEST(test_records_are_read_in_any_order),
        STORE_TEST(test_only_a_records_position_is_read),
        STORE_TEST(test_others_read_and_sync_meanwhile),
        STORE_TEST(test_truncate_drops_all_behind),
        STORE_TEST(test_truncate_beyond_the_end_is_damage),
        STORE_TEST(test_trim_removes_whole_segments),
        STORE_TEST(test_files_of_what_was_trimmed_go_later),
        STORE_TEST(test_trim_leaves_what_is_not_synced),
        STORE_TEST(test_backup_is_a_log_up_to_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

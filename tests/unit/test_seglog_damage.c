/* What a crash tore off a log is dropped, what the disk changed is told, and a full disk loses nothing. */
#include <fcntl.h>
#include <sys/resource.h>

#include "tests/unit/seglog_fixture.h"

/* --- a crash ----------------------------------------------------------------------------------------------- */

/* Three groups of three; the last is torn at each of its bytes, in each of the ways a disk leaves it. */
static void test_what_was_not_synced_is_torn_off(void **unused)
{
    (void)unused;
    enum { CUT, ZEROS, RUBBISH, FORM_COUNT };
    struct seglog *log = open_log(false);
    uint64_t last = 0;
    for (unsigned i = 0; i < 9; i++) {
        uint64_t position = append_numbered(log, i, 48); /* no padding, where a tear doesn't matter */
        if (i % 3 == 0)
            last = position;
        if (i % 3 == 2)
            flush_and_sync(log);
    }
    uint64_t end = seglog_end(log);
    seglog_close(log);
    const char *path = strdup(segment_path(0)), *good = strdup(temp_dir_path(dir, "good"));
    copy_file(path, good, 1 << 20);
    for (int form = 0; form < FORM_COUNT; form++)
        for (uint64_t torn = last; torn < end; torn++) {
            unsigned complete = 6 + (unsigned)((torn - last) / ((end - last) / 3));
            copy_file(good, path, form == CUT ? HEAD + torn : 1 << 20);
            for (uint64_t at = torn; form != CUT && at < end; at++)
                patch_at(path, (long)(HEAD + at), form == ZEROS ? "" : "\xa5", 1);
            log = open_log(torn % 2);
            holds(log, 0, 0, complete);
            assert_true((seglog_torn_bytes(log) > 0) == (seglog_end(log) != torn || form == RUBBISH));
            append_numbered(log, complete, 30);
            append_numbered(log, complete + 1, 30);
            flush_and_sync(log);
            seglog_close(log);
            log = open_log(false);
            holds(log, 0, 0, complete + 2);
            assert_int_equal(seglog_torn_bytes(log), 0);
            seglog_close(log);
        }
    free((void *)(uintptr_t)path);
    free((void *)(uintptr_t)good);
}

/* The disk may have written what is behind and not what is before: nothing behind a hole is kept. */
static void test_unsynced_segments_go_with_a_hole_before_them(void **unused)
{
    (void)unused;
    for (unsigned hole = 5; hole < 35; hole += 3) {
        struct seglog *log = open_log(false);
        for (unsigned i = 0; i < 35; i++) {
            append_numbered(log, i, 384);
            flush(log);
            if (i == 4)
                done(seglog_sync(log, &err));
        }
        seglog_close(log);
        uint64_t first = hole / 10 * UINT64_C(4000);
        patch_at(segment_path(first), (long)(HEAD + hole * 400 - first), "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
        log = open_log(false);
        holds(log, 0, 0, hole);
        assert_int_equal(seglog_segment_count(log), hole / 10 + 1);
        assert_true(seglog_torn_bytes(log) > 0);
        append_numbered(log, hole, 384);
        flush_and_sync(log);
        seglog_close(log);
        log = open_log(false);
        holds(log, 0, 0, hole + 1);
        seglog_close(log);
        temp_dir_remove(dir);
        dir = temp_dir_make();
    }
}

/* 35 records in four segments, flushed one by one, and synced behind number 4 and this one. */
static void fill_five_synced(unsigned synced_again)
{
    struct seglog *log = open_log(false);
    for (unsigned i = 0; i < 35; i++) {
        append_numbered(log, i, 384);
        flush(log);
        if (i == 4 || i == synced_again)
            done(seglog_sync(log, &err));
    }
    seglog_close(log);
}

/* The disk may have made later segments, and not yet written the end of an earlier one. */
static void test_unsynced_segments_go_with_a_short_one_before_them(void **unused)
{
    (void)unused;
    static const struct {
        uint64_t first; /* the segment's */
        long bytes;     /* it has of its records */
        unsigned kept;
    } rows[] = {{0, 2000, 5},    {0, 2001, 5},    {0, 2399, 5},     {0, 2400, 6},     {0, 3999, 9},    {4000, 0, 10},
                {4000, 1, 10},   {4000, 416, 11}, {4000, 3999, 19}, {8000, 3200, 28}, {8000, 3999, 29}};
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        fill_five_synced(0);
        assert_int_equal(truncate(segment_path(rows[row].first), HEAD + rows[row].bytes), 0);
        struct seglog *log = open_log(false);
        holds(log, 0, 0, rows[row].kept);
        assert_int_equal(seglog_segment_count(log), rows[row].first / 4000 + 1);
        assert_int_equal(seglog_torn_bytes(log), (35 - rows[row].kept) * 400);
        append_numbered(log, rows[row].kept, 384);
        flush_and_sync(log);
        seglog_close(log);
        log = open_log(false);
        holds(log, 0, 0, rows[row].kept + 1);
        assert_int_equal(seglog_torn_bytes(log), 0);
        seglog_close(log);
        temp_dir_remove(dir);
        dir = temp_dir_make();
    }
}

static void test_a_missing_unsynced_segment_is_torn_off(void **unused)
{
    (void)unused;
    fill_five_synced(0);
    unlink(segment_path(4000));
    struct seglog *log = open_log(false);
    holds(log, 0, 0, 10);
    seglog_close(log);
}

/* By a segment's head, or by a record in the last one alone. */
static void test_a_short_segment_that_was_synced_is_damage(void **unused)
{
    (void)unused;
    static const struct {
        unsigned synced_again;
        uint64_t first;
        long bytes;
        const char *words;
    } rows[] = {
        {0, 0, 1999, "the file was cut"}, {0, 0, 0, "the file was cut"},    {15, 4000, 2399, "the file was cut"},
        {15, 0, 3999, "the file was cut"}, {31, 4000, 3999, "at 7600 fails"}, {31, 8000, 0, "at 8000 fails"},
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct seglog *log;
        struct stat before, after;
        fill_five_synced(rows[row].synced_again);
        const char *path = segment_path(rows[row].first);
        assert_int_equal(truncate(path, HEAD + rows[row].bytes), 0);
        stat(path, &before);
        fails(try_open(&log), ERR_DAMAGED, rows[row].words);
        stat(path, &after);
        assert_int_equal(before.st_size, after.st_size);
        assert_int_equal(access(segment_path(12000), F_OK), 0);
        temp_dir_remove(dir);
        dir = temp_dir_make();
    }
}

static void test_a_segment_that_was_being_built_is_none(void **unused)
{
    (void)unused;
    seglog_close(filled());
    FILE *file = fopen(temp_dir_path(dir, "creating"), "wb");
    fputs("half a he", file);
    fclose(file);
    struct seglog *log = open_log(false);
    holds(log, 0, 0, 35);
    assert_int_not_equal(access(temp_dir_path(dir, "creating"), F_OK), 0);
    seglog_close(log);
}

/* --- damage ------------------------------------------------------------------------------------------------ */

static void test_damage_in_what_was_synced_is_said(void **unused)
{
    (void)unused;
    enum { OPEN, READ };
    static const struct {
        unsigned record;
        long byte; /* of the record with its head */
        int noticed;
    } rows[] = {
        {0, 0, READ},   {3, 20, READ},  {9, 399, READ}, {29, 8, READ}, /* in a segment that isn't the last */
        {30, 0, OPEN},  {30, 4, OPEN},  {30, 8, OPEN},  {30, 16, OPEN}, {31, 3, OPEN}, {32, 300, OPEN},
        {33, 399, OPEN}, /* 34 knows that all before it were synced */
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct seglog *log = filled();
        seglog_close(log);
        uint64_t first = rows[row].record / 10 * UINT64_C(4000);
        patch_at(segment_path(first), (long)(HEAD + rows[row].record * 400 - first) + rows[row].byte, "\x77", 1);
        if (rows[row].noticed == OPEN) {
            fails(try_open(&log), ERR_DAMAGED, "fails its checksum");
        } else {
            struct text record;
            uint64_t next;
            log = open_log(false);
            assert_int_equal(seglog_end(log), 35 * 400);
            fails(seglog_read(log, rows[row].record * 400, &arena, &record, &next, &err), ERR_DAMAGED, "fails its checksum");
            read_at(log, (rows[row].record + 1) * 400, &next);
            seglog_close(log);
        }
        assert_non_null(strstr(err.text, segment_path(first)));
        assert_non_null(strstr(err.text, "restore a backup"));
        temp_dir_remove(dir);
        dir = temp_dir_make();
    }
}

/* What only the head of a later segment knows, whose records were torn off themselves. */
static void test_a_segments_head_is_a_witness(void **unused)
{
    (void)unused;
    for (int torn = 0; torn < 2; torn++) {
        struct seglog *log = open_log(false);
        for (unsigned i = 0; i < 20; i++) {
            append_numbered(log, i, 384);
            if (i < 13)
                flush(log);
        }
        done(seglog_sync(log, &err));
        flush(log);
        append_numbered(log, 20, 384);
        flush(log);
        seglog_close(log);
        patch_at(segment_path(8000), HEAD, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
        patch_at(segment_path(4000), HEAD + (torn ? 15 : 12) * 400 - 4000 + 30, "\x77", 1);
        if (torn) {
            log = open_log(false);
            holds(log, 0, 0, 15);
            seglog_close(log);
        } else {
            fails(try_open(&log), ERR_DAMAGED, "fails its checksum");
        }
        temp_dir_remove(dir);
        dir = temp_dir_make();
    }
}

static void test_damaged_padding_and_position_are_noticed(void **unused)
{
    (void)unused;
    struct seglog *log = open_log(false);
    struct text record;
    uint64_t next;
    append_numbered(log, 1, 48);
    append_numbered(log, 1, 48);
    append_numbered(log, 2, 48);
    flush_and_sync(log);
    seglog_close(log);
    char bytes[64];
    FILE *file = fopen(segment_path(0), "rb");
    fseek(file, HEAD + 128, SEEK_SET);
    assert_int_equal(fread(bytes, 1, 64, file), 64);
    fclose(file);
    log = open_log(false);
    patch_at(segment_path(0), HEAD, bytes, 64); /* a good record, in another one's place */
    fails(seglog_read(log, 0, &arena, &record, &next, &err), ERR_DAMAGED, "fails its checksum");
    seglog_close(log);
}

static void test_bad_files_are_refused_and_left(void **unused)
{
    (void)unused;
    static const struct {
        unsigned segment;
        long size;         /* it is cut to; -1: it isn't */
        long at;           /* where it is changed; -1: nowhere */
        const char *bytes; /* to this */
        const char *words;
    } rows[] = {
        {0, 0, -1, "", "empty"},
        {3, 0, -1, "", "empty"},
        {3, 63, -1, "", "cut"},
        {1, 64, -1, "", "cut"},
        {1, 64 + 3999, -1, "", "cut"},
        {0, -1, 0, "whatever", "no part of a trial"},
        {3, -1, 0, "whatever", "no part of a trial"},
        {2, -1, 41, "\x09", "no part of a trial"}, /* its first position */
        {2, -1, 48, "\x09", "no part of a trial"},
        {2, -1, 56, "\x09", "no part of a trial"},
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct seglog *log;
        struct stat before, after;
        seglog_close(filled());
        const char *path = segment_path(rows[row].segment * UINT64_C(4000));
        if (rows[row].size >= 0)
            assert_int_equal(truncate(path, rows[row].size), 0);
        if (rows[row].at >= 0)
            patch_at(path, rows[row].at, rows[row].bytes, strlen(rows[row].bytes));
        stat(path, &before);
        fails(try_open(&log), ERR_DAMAGED, rows[row].words);
        assert_non_null(strstr(err.text, path));
        assert_non_null(strstr(err.text, "restore a backup"));
        stat(path, &after);
        assert_int_equal(before.st_size, after.st_size);
        temp_dir_remove(dir);
        dir = temp_dir_make();
    }
}

static void test_a_missing_segment_is_damage(void **unused)
{
    (void)unused;
    struct seglog *log;
    seglog_close(filled());
    unlink(segment_path(4000));
    fails(try_open(&log), ERR_DAMAGED, "the next is missing");
}

static void test_a_renamed_segment_is_damage(void **unused)
{
    (void)unused;
    struct seglog *log;
    seglog_close(filled());
    rename(segment_path(12000), segment_path(12008));
    fails(try_open(&log), ERR_DAMAGED, "its name");
}

static void test_other_kinds_and_formats_are_refused(void **unused)
{
    (void)unused;
    static const struct seglog_kind others[] = {{"trial", 4, "x"}, {"trial", 2, "x"}, {"other", 3, "x"}};
    seglog_close(open_log(false));
    for (size_t i = 0; i < 3; i++) {
        struct seglog *log;
        struct seglog_options options = {SEGMENT_BYTES, false};
        fails(seglog_open(dir, &others[i], &options, &log, &err), ERR_DAMAGED, "this is 'fwsync trial 3'");
    }
}

static void test_other_files_are_left_alone(void **unused)
{
    (void)unused;
    static const char *const names[] = {"README", "0.log", "000000000000000g.log", "0000000000000FA0.log",
                                        "0000000000000000.log.old"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        fclose(fopen(temp_dir_path(dir, names[i]), "wb"));
    seglog_close(filled());
    struct seglog *log = open_log(false);
    holds(log, 0, 0, 35);
    seglog_close(log);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(access(temp_dir_path(dir, names[i]), F_OK), 0);
}

/* --- places ------------------------------------------------------------------------------------------------ */

static void test_folders_and_files_are_private(void **unused)
{
    (void)unused;
    struct seglog *log;
    struct seglog_options options = {SEGMENT_BYTES, true};
    struct stat st;
    mode_t old = umask(0);
    done(seglog_open(temp_dir_path(dir, "a/b/log"), &kind, &options, &log, &err));
    umask(old);
    seglog_close(log);
    assert_int_equal(stat(temp_dir_path(dir, "a/b"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0750);
    assert_int_equal(stat(temp_dir_path(dir, "a/b/log/0000000000000000.log"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
}

/* --- a full disk ------------------------------------------------------------------------------------------- */

static void test_full_disk_loses_nothing_and_passes(void **unused)
{
    (void)unused;
    static const int errors[] = {ENOSPC, EDQUOT, EFBIG};
    struct seglog *log = open_log(true);
    for (unsigned i = 0; i < 60; i++) { /* at borders of segments, too */
        append_numbered(log, i, 250);
        if (i % 2 == 0) {
            uint64_t next, end = seglog_end(log);
            full_disk.error = errors[i % 3];
            fails(seglog_flush(log, &err), ERR_FULL, "no space");
            full_disk.error = 0;
            assert_int_equal(seglog_end(log), end);
            read_at(log, end - seglog_unflushed_bytes(log), &next);
        }
        flush_and_sync(log);
    }
    seglog_close(log);
    log = open_log(true);
    holds(log, 0, 0, 60);
    seglog_close(log);
}

/* Part of the flush got into the file: after a forget it must not come back at the next open. */
static void test_a_part_that_was_written_is_taken_back(void **unused)
{
    (void)unused;
    static const unsigned limits[] = {2000, 2500, 5000};
    for (size_t i = 0; i < 3; i++) {
        struct rlimit limit = {limits[i], RLIM_INFINITY}, unlimited;
        struct seglog *log = open_log(i == 1);
        append_numbered(log, 0, 500);
        flush_and_sync(log);
        for (unsigned k = 0; k < 20; k++)
            append_numbered(log, 900, 300);
        getrlimit(RLIMIT_FSIZE, &unlimited);
        setrlimit(RLIMIT_FSIZE, &limit);
        bool ok = seglog_flush(log, &err);
        setrlimit(RLIMIT_FSIZE, &unlimited);
        fails(ok, ERR_FULL, "no space");
        seglog_forget(log);
        if (i < 2) {
            seglog_close(log);
            log = open_log(false);
        }
        holds(log, 0, 0, 1);
        append_numbered(log, 1, 100);
        flush_and_sync(log);
        holds(log, 0, 0, 2);
        seglog_close(log);
        temp_dir_remove(dir);
        dir = temp_dir_make();
    }
}

static void test_short_writes_are_continued(void **unused)
{
    (void)unused;
    struct seglog *log = open_log(true);
    full_disk.short_writes = true;
    for (unsigned i = 0; i < 10; i++) {
        append_numbered(log, i, 999);
        flush_and_sync(log);
    }
    full_disk.short_writes = false;
    seglog_close(log);
    log = open_log(true);
    holds(log, 0, 0, 10);
    seglog_close(log);
}

static void test_full_disk_at_first_start_can_be_repeated(void **unused)
{
    (void)unused;
    struct seglog *log;
    full_disk.error = ENOSPC;
    fails(try_open(&log), ERR_FULL, "no space");
    full_disk.error = 0;
    seglog_close(open_log(false));
}

static void test_a_broken_disk_stops(void **unused)
{
    (void)unused;
    struct seglog *log = open_log(false);
    append_numbered(log, 0, 100);
    full_disk.error = EIO;
    fails(seglog_flush(log, &err), ERR_STORE, "writing");
    full_disk.error = 0;
    seglog_close(log);
}

/* What is synced in parts may fail in one of them; then the sync that ends it doesn't know of that any more. */
static void test_a_failed_part_is_told(void **unused)
{
    (void)unused;
    struct seglog_options options = {4 << 20, false};
    struct seglog *log;
    done(seglog_open(dir, &kind, &options, &log, &err));
    for (unsigned i = 0; i < 20; i++)
        append_numbered(log, i, 100000);
    flush(log);
    full_disk.range_error = EIO;
    fails(seglog_sync(log, &err), ERR_STORE, "check the disk");
    full_disk.range_error = ENOSYS; /* there is no such thing here */
    done(seglog_sync(log, &err));
    full_disk.range_error = 0;
    seglog_close(log);
}

/* Without descriptors nothing new can be opened. What has one goes on, and the rest works again afterwards. */
static void test_running_out_of_descriptors_passes(void **unused)
{
    (void)unused;
    struct rlimit limit, none;
    struct text record;
    uint64_t next;
    struct seglog *log = filled();
    append_numbered(log, 35, 384);
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &none);
    bool synced = seglog_flush(log, &err) && seglog_sync(log, &err);
    bool read = seglog_read(log, 0, &arena, &record, &next, &err);
    struct err why = err;
    seglog_roll(log);
    append_numbered(log, 36, 384);
    bool flushed = seglog_flush(log, &err);
    bool removed = seglog_trim(log, 4000) == 1 && seglog_remove(log, &why);
    setrlimit(RLIMIT_NOFILE, &limit);
    assert_true(synced && removed);
    assert_int_equal(why.code, ERR_BUSY);
    assert_false(read);
    fails(flushed, ERR_FULL, "Too many open files");
    flush_and_sync(log);
    assert_int_equal(seglog_segment_count(log), 4);
    holds(log, 4000, 10, 37);
    seglog_close(log);
    log = open_log(false);
    holds(log, 4000, 10, 37);
    seglog_close(log);
}

/* What is ahead of the records takes no more than it may, and a small flush leaves the file as long as it was. */
static void test_files_are_filled_ahead(void **unused)
{
    (void)unused;
    struct stat before, after;
    struct seglog *log = open_log(true);
    append_numbered(log, 0, 100);
    flush_and_sync(log);
    stat(segment_path(0), &before);
    assert_int_equal(before.st_size, HEAD + SEGMENT_BYTES);
    append_numbered(log, 1, 100);
    flush_and_sync(log);
    stat(segment_path(0), &after);
    assert_int_equal(before.st_size, after.st_size);
    assert_int_equal(before.st_blocks, after.st_blocks);
    seglog_close(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_what_was_not_synced_is_torn_off),
        STORE_TEST(test_unsynced_segments_go_with_a_hole_before_them),
        STORE_TEST(test_unsynced_segments_go_with_a_short_one_before_them),
        STORE_TEST(test_a_missing_unsynced_segment_is_torn_off),
        STORE_TEST(test_a_short_segment_that_was_synced_is_damage),
        STORE_TEST(test_a_segment_that_was_being_built_is_none),
        STORE_TEST(test_damage_in_what_was_synced_is_said),
        STORE_TEST(test_a_segments_head_is_a_witness),
        STORE_TEST(test_damaged_padding_and_position_are_noticed),
        STORE_TEST(test_bad_files_are_refused_and_left),
        STORE_TEST(test_a_missing_segment_is_damage),
        STORE_TEST(test_a_renamed_segment_is_damage),
        STORE_TEST(test_other_kinds_and_formats_are_refused),
        STORE_TEST(test_other_files_are_left_alone),
        STORE_TEST(test_folders_and_files_are_private),
        STORE_TEST(test_full_disk_loses_nothing_and_passes),
        STORE_TEST(test_a_part_that_was_written_is_taken_back),
        STORE_TEST(test_short_writes_are_continued),
        STORE_TEST(test_full_disk_at_first_start_can_be_repeated),
        STORE_TEST(test_a_broken_disk_stops),
        STORE_TEST(test_a_failed_part_is_told),
        STORE_TEST(test_running_out_of_descriptors_passes),
        STORE_TEST(test_files_are_filled_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A log gives back what it was given, drops what a crash tore off, and says what is damaged. */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "store/seglog.h"
#include "tests/unit/full_disk.h"
#include "tests/unit/temp_dir.h"

enum { SEGMENT_BYTES = 4096, HEAD = 64, ROOM = 16 };

static const struct seglog_kind kind = {"trial", 3, "restore a backup"};

static char *dir;
static struct arena arena;
static struct err err;

static int setup(void **unused)
{
    (void)unused;
    dir = temp_dir_make();
    arena_init(&arena, 65536);
    memset(&full_disk, 0, sizeof full_disk);
    err = (struct err){0};
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    memset(&full_disk, 0, sizeof full_disk);
    arena_fini(&arena);
    temp_dir_remove(dir);
    return 0;
}

static void done(bool ok)
{
    if (!ok)
        fail_msg("%s: %s", err_code_name(err.code), err.text);
}

static void fails(bool ok, enum err_code code, const char *words)
{
    assert_false(ok);
    if (err.code != code || strstr(err.text, words) == NULL)
        fail_msg("expected %s with '%s', got %s: %s", err_code_name(code), words, err_code_name(err.code),
                 err.text);
}

static struct seglog *open_log(bool ahead)
{
    struct seglog *log;
    struct seglog_options options = {SEGMENT_BYTES, ahead};
    done(seglog_open(dir, &kind, &options, &log, &err));
    return log;
}

static bool try_open(struct seglog **log)
{
    struct seglog_options options = {SEGMENT_BYTES, false};
    return seglog_open(dir, &kind, &options, log, &err);
}

static uint64_t append(struct seglog *log, const char *string)
{
    struct text parts[] = {text_of(string)};
    return seglog_append(log, parts, 1);
}

static void flush(struct seglog *log)
{
    done(seglog_flush(log, &err));
}

static void flush_and_sync(struct seglog *log)
{
    flush(log);
    done(seglog_sync(log, &err));
}

/* A record of so many bytes, which begins with its number. */
static uint64_t append_numbered(struct seglog *log, unsigned number, size_t len)
{
    char digits[16];
    static char filler[100000];
    memset(filler, 'a' + (int)(number % 26), sizeof filler);
    int digit_count = snprintf(digits, sizeof digits, "%u:", number);
    struct text parts[] = {{digits, (size_t)digit_count}, TEXT(""), {filler, len - (size_t)digit_count}};
    return seglog_append(log, parts, 3);
}

static const char *read_at(struct seglog *log, uint64_t position, uint64_t *next)
{
    struct text record;
    done(seglog_read(log, position, &arena, &record, next, &err));
    return record.bytes; /* arena_copy puts a NUL behind it */
}

/* The records are numbered from `from` up to below `until`, and nothing else is there. */
static void holds(struct seglog *log, uint64_t position, unsigned from, unsigned until)
{
    for (; position < seglog_end(log); from++)
        assert_int_equal(strtoul(read_at(log, position, &position), NULL, 10), from);
    assert_int_equal(from, until);
}

static const char *segment_path(uint64_t first)
{
    char name[32];
    snprintf(name, sizeof name, "%016" PRIx64 ".log", first);
    return temp_dir_path(dir, name);
}

static void copy_file(const char *from, const char *to, size_t len)
{
    static char bytes[1 << 20];
    FILE *file = fopen(from, "rb");
    size_t got = fread(bytes, 1, len < sizeof bytes ? len : sizeof bytes, file);
    fclose(file);
    file = fopen(to, "wb");
    fwrite(bytes, 1, got, file);
    fclose(file);
}

static void patch_at(const char *path, long at, const void *bytes, size_t len)
{
    FILE *file = fopen(path, "r+b");
    fseek(file, at, SEEK_SET);
    fwrite(bytes, 1, len, file);
    fclose(file);
}

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

/* Segments of ten records of 400 bytes with heads; 35 records. */
static struct seglog *filled(void)
{
    struct seglog *log = open_log(false);
    for (unsigned i = 0; i < 35; i++) {
        append_numbered(log, i, 384);
        flush_and_sync(log);
    }
    assert_int_equal(seglog_segment_count(log), 4);
    return log;
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_new_log_is_empty),
        TEST(test_records_are_readable_before_and_after_each_step),
        TEST(test_close_and_forget_drop_what_was_not_flushed),
        TEST(test_a_flush_lies_in_one_segment),
        TEST(test_roll_begins_a_segment_once),
        TEST(test_records_are_read_in_any_order),
        TEST(test_only_a_records_position_is_read),
        TEST(test_others_read_and_sync_meanwhile),
        TEST(test_truncate_drops_all_behind),
        TEST(test_truncate_beyond_the_end_is_damage),
        TEST(test_trim_removes_whole_segments),
        TEST(test_files_of_what_was_trimmed_go_later),
        TEST(test_trim_leaves_what_is_not_synced),
        TEST(test_what_was_not_synced_is_torn_off),
        TEST(test_unsynced_segments_go_with_a_hole_before_them),
        TEST(test_unsynced_segments_go_with_a_short_one_before_them),
        TEST(test_a_missing_unsynced_segment_is_torn_off),
        TEST(test_a_short_segment_that_was_synced_is_damage),
        TEST(test_a_segment_that_was_being_built_is_none),
        TEST(test_damage_in_what_was_synced_is_said),
        TEST(test_a_segments_head_is_a_witness),
        TEST(test_damaged_padding_and_position_are_noticed),
        TEST(test_bad_files_are_refused_and_left),
        TEST(test_a_missing_segment_is_damage),
        TEST(test_a_renamed_segment_is_damage),
        TEST(test_other_kinds_and_formats_are_refused),
        TEST(test_other_files_are_left_alone),
        TEST(test_folders_and_files_are_private),
        TEST(test_full_disk_loses_nothing_and_passes),
        TEST(test_a_part_that_was_written_is_taken_back),
        TEST(test_short_writes_are_continued),
        TEST(test_full_disk_at_first_start_can_be_repeated),
        TEST(test_a_broken_disk_stops),
        TEST(test_running_out_of_descriptors_passes),
        TEST(test_files_are_filled_ahead),
        TEST(test_backup_is_a_log_up_to_there),
    };
    signal(SIGXFSZ, SIG_IGN); /* as the daemon does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}

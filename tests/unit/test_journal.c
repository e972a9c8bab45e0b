/* The journal keeps what it acknowledged, in order, once, and says so when it can't. */
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

#include "engine/base/limits.h"
#include "store/journal.h"
#include "store/state.h"
#include "tests/unit/full_disk.h"
#include "tests/unit/temp_dir.h"

enum { MAP_BYTES = 64 << 20 };

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
        fail_msg("expected %s with '%s', got %s: %s", err_code_name(code), words,
                 err_code_name(err.code), err.text);
}

static struct journal *open_journal(void)
{
    struct journal *journal;
    done(journal_open(dir, MAP_BYTES, &journal, &err));
    return journal;
}

static uint64_t append(struct journal *journal, int64_t received_ms, const char *body)
{
    uint64_t seq;
    done(journal_append(journal, JOURNAL_EVENT, received_ms, text_of(body), &seq, &err));
    return seq;
}

static void append_committed(struct journal *journal, int64_t received_ms, const char *body)
{
    done(journal_begin(journal, &err));
    append(journal, received_ms, body);
    done(journal_commit(journal, &err));
}

static size_t read_from(struct journal *journal, uint64_t seq, size_t count_max,
                        struct journal_record **records)
{
    size_t count;
    done(journal_read(journal, seq, count_max, &arena, records, &count, &err));
    return count;
}

static void is_damaged(const char *words)
{
    struct journal *journal;
    fails(journal_open(dir, MAP_BYTES, &journal, &err), ERR_DAMAGED, words);
    assert_non_null(strstr(err.text, "data.mdb"));
    assert_non_null(strstr(err.text, "backup"));
}

/* --- keeping --- */

static void test_new_journal_is_empty(void **unused)
{
    (void)unused;
    struct journal_record *records;
    struct journal *journal = open_journal();
    assert_int_equal(journal_first_seq(journal), 1);
    assert_int_equal(journal_last_seq(journal), 0);
    assert_int_equal(journal_last_received_ms(journal), 0);
    assert_int_equal(read_from(journal, 1, 10, &records), 0);
    journal_close(journal);
}

static void test_records_come_back_after_reopen(void **unused)
{
    (void)unused;
    static const struct {
        enum journal_kind kind;
        const char *body;
    } rows[] = {{JOURNAL_EVENT, "{\"device\":\"a\"}"}, {JOURNAL_TICK, ""}, {JOURNAL_RULES, "x"}};
    struct journal_record *records;
    struct journal *journal = open_journal();
    done(journal_begin(journal, &err));
    for (size_t i = 0; i < 3; i++) {
        uint64_t seq;
        done(journal_append(journal, rows[i].kind, 1000 + (int64_t)i, text_of(rows[i].body), &seq,
                            &err));
        assert_int_equal(seq, i + 1);
    }
    done(journal_commit(journal, &err));
    journal_close(journal);
    journal = open_journal();
    assert_int_equal(journal_last_seq(journal), 3);
    assert_int_equal(journal_last_received_ms(journal), 1002);
    assert_int_equal(read_from(journal, 1, 10, &records), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(records[i].seq, i + 1);
        assert_int_equal(records[i].kind, rows[i].kind);
        assert_int_equal(records[i].received_ms, 1000 + i);
        assert_true(text_is(records[i].body, rows[i].body));
    }
    journal_close(journal);
}

static void test_received_ms_never_goes_back(void **unused)
{
    (void)unused;
    struct journal_record *records;
    struct journal *journal = open_journal();
    append_committed(journal, 5000, "a");
    append_committed(journal, 4000, "b");
    journal_close(journal);
    journal = open_journal();
    append_committed(journal, 3000, "c");
    append_committed(journal, 6000, "d");
    assert_int_equal(read_from(journal, 1, 10, &records), 4);
    assert_int_equal(records[1].received_ms, 5000);
    assert_int_equal(records[2].received_ms, 5000);
    assert_int_equal(records[3].received_ms, 6000);
    journal_close(journal);
}

static void test_abort_and_close_leave_nothing(void **unused)
{
    (void)unused;
    bool duplicate;
    struct journal *journal = open_journal();
    append_committed(journal, 1, "kept");
    for (int round = 0; round < 2; round++) {
        done(journal_begin(journal, &err));
        assert_int_equal(append(journal, 2, "lost"), 2);
        done(journal_source(journal, TEXT("line-1"), 7, &duplicate, &err));
        assert_false(duplicate);
        if (round == 0)
            journal_abort(journal);
    }
    journal_close(journal);
    journal = open_journal();
    assert_int_equal(journal_last_seq(journal), 1);
    journal_close(journal);
}

static void test_reader_sees_only_commits(void **unused)
{
    (void)unused;
    struct journal_record *records;
    struct journal *journal = open_journal();
    append_committed(journal, 1, "a");
    done(journal_begin(journal, &err));
    append(journal, 2, "b");
    assert_int_equal(read_from(journal, 1, 10, &records), 1);
    done(journal_commit(journal, &err));
    assert_int_equal(read_from(journal, 1, 10, &records), 2);
    journal_close(journal);
}

static void test_read_is_bounded(void **unused)
{
    (void)unused;
    struct journal_record *records;
    struct journal *journal = open_journal();
    static char large[300 * 1024];
    memset(large, 'x', sizeof large - 1);
    done(journal_begin(journal, &err));
    for (int i = 0; i < 8; i++)
        append(journal, i, large);
    done(journal_commit(journal, &err));
    assert_int_equal(read_from(journal, 1, 3, &records), 3);
    assert_int_equal(read_from(journal, 1, 100, &records), 4); /* 1 MiB of bodies */
    assert_int_equal(read_from(journal, 7, 100, &records), 2);
    assert_int_equal(records[0].seq, 7);
    assert_int_equal(read_from(journal, 9, 100, &records), 0);
    assert_int_equal(read_from(journal, UINT64_MAX, 100, &records), 0);
    journal_close(journal);
}

/* A second thread reads all records, each once, while the first writes. */
enum { CONCURRENT_COUNT = 20000 };

static void *read_all(void *context)
{
    struct journal *journal = context;
    struct arena own;
    struct err why;
    uint64_t next = 1;
    arena_init(&own, 65536);
    while (next <= CONCURRENT_COUNT) {
        struct journal_record *records;
        size_t count;
        arena_reset(&own);
        if (!journal_read(journal, next, 1000, &own, &records, &count, &why))
            return strdup(why.text);
        for (size_t i = 0; i < count; i++, next++)
            if (records[i].seq != next || records[i].received_ms != (int64_t)next)
                return strdup("wrong record");
        (void)journal_bytes(journal);
    }
    arena_fini(&own);
    return NULL;
}

static void test_one_thread_reads_while_another_writes(void **unused)
{
    (void)unused;
    pthread_t reader;
    void *failure;
    struct journal *journal = open_journal();
    assert_int_equal(pthread_create(&reader, NULL, read_all, journal), 0);
    for (int i = 1; i <= CONCURRENT_COUNT;) {
        done(journal_begin(journal, &err));
        for (int end = i + 100; i < end; i++)
            append(journal, i, "body");
        done(journal_commit(journal, &err));
    }
    assert_int_equal(pthread_join(reader, &failure), 0);
    if (failure != NULL)
        fail_msg("%s", (char *)failure);
    journal_close(journal);
}

/* --- duplicates --- */

static void test_number_not_above_the_highest_is_duplicate(void **unused)
{
    (void)unused;
    static const struct {
        const char *source;
        uint64_t n;
        bool duplicate;
    } rows[] = {
        {"a", 1, false}, {"a", 1, true},           {"a", 5, false},         {"a", 4, true},
        {"a", 6, false}, {"b", 5, false},          {"b", 6, false},         {"a", 6, true},
        {"c", 0, true},  {"c", UINT64_MAX, false}, {"c", UINT64_MAX, true},
    };
    size_t count = sizeof rows / sizeof rows[0];
    for (size_t cut = 0; cut <= count; cut++) { /* commit and reopen in between changes nothing */
        struct journal *journal = open_journal();
        done(journal_begin(journal, &err));
        for (size_t i = 0; i < count; i++) {
            bool duplicate;
            if (i == cut) {
                done(journal_commit(journal, &err));
                journal_close(journal);
                journal = open_journal();
                done(journal_begin(journal, &err));
            }
            done(journal_source(journal, text_of(rows[i].source), rows[i].n, &duplicate, &err));
            assert_int_equal(duplicate, rows[i].duplicate);
        }
        journal_close(journal);
        temp_dir_remove(dir);
        dir = temp_dir_make();
    }
}

static void test_many_sources_in_one_transaction(void **unused)
{
    (void)unused;
    struct journal *journal = open_journal();
    for (int round = 0; round < 3; round++) {
        done(journal_begin(journal, &err));
        for (int i = 0; i < 1500; i++) {
            char name[SOURCE_BYTES_MAX + 1];
            bool duplicate;
            snprintf(name, sizeof name, "%0*d", i % 2 == 0 ? 5 : SOURCE_BYTES_MAX, i);
            done(journal_source(journal, text_of(name), 1 + (uint64_t)round / 2, &duplicate, &err));
            assert_int_equal(duplicate, round == 1);
        }
        done(journal_commit(journal, &err));
    }
    journal_close(journal);
}

/* --- trimming --- */

static void test_trim_rules(void **unused)
{
    (void)unused;
    /* ten records at 1000, 2000, ... 10000 ms */
    static const struct {
        uint64_t applied_seq;
        int64_t now_ms, keep_ms;
        uint64_t keep_bytes;
        size_t count_max;
        size_t trimmed;
    } rows[] = {
        {10, 10000, 10000, 1 << 20, 100, 0}, /* young and small */
        {10, 10000, 5000, 1 << 20, 100, 4},  /* older than 5000: 1..4 */
        {10, 10000, 4999, 1 << 20, 100, 5},  {10, 10000, 5000, 1 << 20, 3, 3}, /* bounded work */
        {2, 10000, 5000, 1 << 20, 100, 2}, /* not above applied_seq */
        {0, 10000, 5000, 1 << 20, 100, 0},   {10, 99999, 0, 1 << 20, 100, 9}, /* never the newest */
        {99, 99999, 0, 1 << 20, 100, 9},     {10, 10000, 10000, 0, 100, 9},   /* too many bytes */
        {3, 10000, 10000, 0, 100, 3},
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct journal_record *records;
        size_t trimmed, count;
        struct journal *journal = open_journal();
        for (int i = 1; i <= 10; i++)
            append_committed(journal, i * 1000, "body");
        done(journal_begin(journal, &err));
        done(journal_trim(journal, rows[row].applied_seq, rows[row].now_ms, rows[row].keep_ms,
                          rows[row].keep_bytes, rows[row].count_max, &trimmed, &err));
        assert_int_equal(trimmed, rows[row].trimmed);
        done(journal_commit(journal, &err));
        assert_int_equal(journal_first_seq(journal), trimmed + 1);
        journal_close(journal);
        journal = open_journal();
        assert_int_equal(journal_first_seq(journal), trimmed + 1);
        assert_int_equal(journal_last_seq(journal), 10);
        assert_int_equal(read_from(journal, trimmed + 1, 100, &records), 10 - trimmed);
        if (trimmed > 0)
            fails(journal_read(journal, trimmed, 100, &arena, &records, &count, &err),
                  ERR_NOT_FOUND, "no longer");
        journal_close(journal);
        temp_dir_remove(dir);
        dir = temp_dir_make();
    }
}

static void test_trim_by_bytes_stops_at_the_bound(void **unused)
{
    (void)unused;
    struct journal *journal = open_journal();
    static char body[1000];
    size_t trimmed;
    memset(body, 'x', sizeof body - 1);
    done(journal_begin(journal, &err));
    for (int i = 0; i < 2000; i++)
        append(journal, i, body);
    done(journal_commit(journal, &err));
    uint64_t before = journal_bytes(journal);
    done(journal_begin(journal, &err));
    done(journal_trim(journal, 2000, 0, 0, before / 2, 5000, &trimmed, &err));
    done(journal_commit(journal, &err));
    assert_in_range(trimmed, 900, 1100);
    assert_in_range(journal_bytes(journal), before / 2 - 65536, before / 2);
    journal_close(journal);
}

/* Trimmed space is used again: the file doesn't grow while what is kept doesn't. */
static void test_trim_keeps_the_file_small(void **unused)
{
    (void)unused;
    struct journal *journal = open_journal();
    static char body[500];
    struct stat st;
    memset(body, 'x', sizeof body - 1);
    for (int round = 0; round < 300; round++) {
        size_t trimmed;
        done(journal_begin(journal, &err));
        for (int i = 0; i < 100; i++)
            append(journal, round, body);
        done(journal_trim(journal, journal_last_seq(journal), 0, 0, 200000, 1000, &trimmed, &err));
        done(journal_commit(journal, &err));
    }
    assert_in_range(journal_bytes(journal), 1, 300000);
    stat(temp_dir_path(dir, "data.mdb"), &st);
    assert_true(st.st_blocks * 512 < 3000000);
    journal_close(journal);
    journal_close(open_journal());
}

/* --- damage --- */

static void test_flipped_bit_is_damage(void **unused)
{
    (void)unused;
    struct journal_record *records;
    size_t count;
    struct journal *journal = open_journal();
    append_committed(journal, 1, "first");
    append_committed(journal, 1, "the-body-to-hit");
    journal_close(journal);
    assert_true(file_patch(temp_dir_path(dir, "data.mdb"), "the-body-to-hit", "the-body-to-hiu") >
                0);
    journal = open_journal();
    assert_int_equal(read_from(journal, 1, 1, &records), 1);
    fails(journal_read(journal, 1, 10, &arena, &records, &count, &err), ERR_DAMAGED,
          "event 2 fails its checksum");
    journal_close(journal);
}

static void test_flipped_source_is_damage(void **unused)
{
    (void)unused;
    bool duplicate;
    struct journal *journal = open_journal();
    done(journal_begin(journal, &err));
    done(journal_source(journal, TEXT("producer"), 0x4142434445464748, &duplicate, &err));
    done(journal_commit(journal, &err));
    journal_close(journal);
    assert_true(file_patch(temp_dir_path(dir, "data.mdb"), "HGFEDCBA", "HGFEDCBB") > 0);
    journal = open_journal();
    done(journal_begin(journal, &err));
    fails(journal_source(journal, TEXT("producer"), 1, &duplicate, &err), ERR_DAMAGED, "producer");
    journal_close(journal);
}

static void test_bad_files_are_refused(void **unused)
{
    (void)unused;
    const char *path = temp_dir_path(dir, "data.mdb");
    static char body[4000];
    memset(body, 'x', sizeof body - 1);
    struct journal *journal = open_journal();
    done(journal_begin(journal, &err));
    for (int i = 0; i < 3000; i++)
        append(journal, 1, body);
    done(journal_commit(journal, &err));
    journal_close(journal);
    assert_int_equal(truncate(path, 5 << 20), 0);
    is_damaged("cut");
    assert_int_equal(truncate(path, 8192), 0);
    is_damaged("cut");
    assert_int_equal(truncate(path, 100), 0);
    is_damaged("");
    assert_int_equal(truncate(path, 0), 0);
    is_damaged("empty");
}

/* Wherever the file is cut: it is refused, or what went was free and every record is there. */
static void test_cut_file_is_refused_or_complete(void **unused)
{
    (void)unused;
    static char body[3000], whole[1 << 20];
    const char *path = temp_dir_path(dir, "data.mdb");
    size_t trimmed, refused = 0, complete = 0;
    memset(body, 'x', sizeof body - 1);
    struct journal *journal = open_journal();
    for (int i = 0; i < 60; i++) {
        done(journal_begin(journal, &err));
        append(journal, 1, body);
        if (i == 30) /* what grows here is given back later */
            for (int k = 0; k < 40; k++)
                append(journal, 1, body);
        done(journal_trim(journal, UINT64_MAX, 0, 0, 20000, 100, &trimmed, &err));
        done(journal_commit(journal, &err));
    }
    uint64_t first = journal_first_seq(journal), last = journal_last_seq(journal);
    journal_close(journal);
    FILE *file = fopen(path, "rb");
    size_t size = fread(whole, 1, sizeof whole, file);
    fclose(file);
    assert_in_range(size, 50000, sizeof whole - 1);
    for (size_t len = 0; len <= size; len += 2048) {
        struct journal_record *records;
        file = fopen(path, "wb");
        fwrite(whole, 1, len, file);
        fclose(file);
        if (!journal_open(dir, MAP_BYTES, &journal, &err)) {
            fails(false, ERR_DAMAGED, "");
            refused++;
            continue;
        }
        assert_int_equal(read_from(journal, first, 1000, &records), last - first + 1);
        append_committed(journal, 1, "goes on");
        journal_close(journal);
        complete++;
    }
    assert_true(refused > 5 && complete > 1);
}

static void test_foreign_files_are_refused(void **unused)
{
    (void)unused;
    const char *path = temp_dir_path(dir, "data.mdb");
    journal_close(open_journal());
    file_patch(path, "fwsync journal 1", "fwsync journal 9");
    is_damaged("'fwsync journal 9'");
    file_patch(path, "fwsync journal 9", "whatever this is");
    is_damaged("no journal of fwsync");
    FILE *file = fopen(path, "wb");
    for (int i = 0; i < 1000; i++)
        fputs("this is no database", file);
    fclose(file);
    is_damaged("");
}

static void test_state_is_no_journal(void **unused)
{
    (void)unused;
    struct state *state;
    struct state_options options = {.map_bytes = MAP_BYTES};
    done(state_open(dir, &options, &state, &err));
    state_close(state);
    is_damaged("fwsync state");
}

/* --- places --- */

static void test_folders_and_file_are_private(void **unused)
{
    (void)unused;
    struct journal *journal;
    struct stat st;
    mode_t old = umask(0);
    done(journal_open(temp_dir_path(dir, "a/b/journal"), MAP_BYTES, &journal, &err));
    umask(old);
    journal_close(journal);
    assert_int_equal(stat(temp_dir_path(dir, "a/b"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0750);
    assert_int_equal(stat(temp_dir_path(dir, "a/b/journal/data.mdb"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_not_equal(stat(temp_dir_path(dir, "a/b/journal/creating"), &st), 0);
}

static void test_place_that_cannot_be(void **unused)
{
    (void)unused;
    struct journal *journal;
    FILE *file = fopen(temp_dir_path(dir, "file"), "wb");
    fclose(file);
    fails(journal_open(temp_dir_path(dir, "file/journal"), MAP_BYTES, &journal, &err), ERR_IO,
          "file");
    fails(journal_open("", MAP_BYTES, &journal, &err), ERR_IO, "");
}

static void test_no_permission_names_the_owner(void **unused)
{
    (void)unused;
    struct journal *journal;
    if (geteuid() != 0)
        skip();
    journal_close(open_journal());
    assert_int_equal(chmod(dir, 0755), 0);
    assert_int_equal(seteuid(65534), 0);
    bool ok = journal_open(dir, MAP_BYTES, &journal, &err);
    assert_int_equal(seteuid(0), 0);
    fails(ok, ERR_IO, "check who owns it");
}

/* --- a full disk --- */

static void test_full_disk_loses_nothing_and_passes(void **unused)
{
    (void)unused;
    static const int errors[] = {ENOSPC, EDQUOT, EFBIG};
    struct journal_record *records;
    bool duplicate;
    struct journal *journal = open_journal();
    append_committed(journal, 1, "before");
    for (size_t i = 0; i < 3; i++) {
        done(journal_begin(journal, &err));
        done(journal_source(journal, TEXT("line"), 10, &duplicate, &err));
        assert_false(duplicate);
        append(journal, 2, "lost");
        full_disk.error = errors[i];
        fails(journal_commit(journal, &err), ERR_FULL, "no space");
        full_disk.error = 0;
        assert_int_equal(journal_last_seq(journal), 1);
        assert_int_equal(read_from(journal, 1, 10, &records), 1);
    }
    append_committed(journal, 3, "after");
    journal_close(journal);
    journal = open_journal();
    assert_int_equal(read_from(journal, 1, 10, &records), 2);
    assert_true(text_is(records[1].body, "after"));
    journal_close(journal);
}

static void test_short_write_is_full_only_if_the_disk_is(void **unused)
{
    (void)unused;
    for (int full = 0; full < 2; full++) {
        struct journal *journal = open_journal();
        done(journal_begin(journal, &err));
        append(journal, 2, "lost");
        full_disk.short_writes = true;
        struct rlimit limit = {1000, RLIM_INFINITY}, unlimited;
        getrlimit(RLIMIT_FSIZE, &unlimited);
        if (full)
            setrlimit(RLIMIT_FSIZE, &limit);
        bool ok = journal_commit(journal, &err);
        setrlimit(RLIMIT_FSIZE, &unlimited);
        full_disk.short_writes = false;
        fails(ok, full ? ERR_FULL : ERR_STORE, "");
        journal_close(journal);
    }
}

static void test_file_size_limit_is_full(void **unused)
{
    (void)unused;
    struct rlimit limit = {8 << 20, RLIM_INFINITY}, unlimited;
    static char body[100000];
    uint64_t seq, count = 0;
    memset(body, 'x', sizeof body - 1);
    getrlimit(RLIMIT_FSIZE, &unlimited);
    struct journal *journal = open_journal();
    setrlimit(RLIMIT_FSIZE, &limit);
    bool ok = true;
    for (; ok && count < 1000; count++) {
        done(journal_begin(journal, &err));
        done(journal_append(journal, JOURNAL_EVENT, 1, text_of(body), &seq, &err));
        ok = journal_commit(journal, &err);
    }
    setrlimit(RLIMIT_FSIZE, &unlimited);
    fails(ok, ERR_FULL, "no space");
    assert_int_equal(journal_last_seq(journal), count - 1);
    append_committed(journal, 1, "after");
    assert_int_equal(journal_last_seq(journal), count);
    journal_close(journal);
}

static void test_full_map_is_full(void **unused)
{
    (void)unused;
    struct journal *journal;
    static char body[60000];
    uint64_t seq, count = 0;
    memset(body, 'x', sizeof body - 1);
    done(journal_open(dir, 1 << 20, &journal, &err));
    for (bool ok = true; ok;) {
        done(journal_begin(journal, &err));
        ok = journal_append(journal, JOURNAL_EVENT, 1, text_of(body), &seq, &err);
        if (ok)
            ok = journal_commit(journal, &err);
        else
            journal_abort(journal);
        count += ok;
        assert_in_range(count, 0, 100);
    }
    fails(false, ERR_FULL, "raise it");
    assert_int_equal(journal_last_seq(journal), count);
    append_committed(journal, 1, "small ones still fit");
    journal_close(journal);
}

/* Whether a failed write of LMDB's head took place nobody knows: stop. */
static void test_unknown_outcome_stops(void **unused)
{
    (void)unused;
    struct journal *journal = open_journal();
    done(journal_begin(journal, &err));
    append(journal, 2, "perhaps");
    full_disk.error = ENOSPC;
    full_disk.only_meta = true;
    fails(journal_commit(journal, &err), ERR_STORE, "unknown");
    full_disk.error = 0;
    fails(journal_begin(journal, &err), ERR_STORE, "");
    journal_close(journal);
}

static void test_full_disk_at_first_start_can_be_repeated(void **unused)
{
    (void)unused;
    struct journal *journal;
    full_disk.error = ENOSPC;
    fails(journal_open(dir, MAP_BYTES, &journal, &err), ERR_FULL, "");
    full_disk.error = 0;
    journal_close(open_journal());
}

static void test_backup_is_a_journal(void **unused)
{
    (void)unused;
    struct journal_record *records;
    struct journal *journal = open_journal(), *copy;
    char *path = strdup(temp_dir_path(dir, "backup/journal"));
    append_committed(journal, 1, "a");
    done(journal_begin(journal, &err));
    append(journal, 1, "not yet");
    done(journal_backup(journal, path, &err));
    done(journal_commit(journal, &err));
    fails(journal_backup(journal, path, &err), ERR_IO, "already");
    done(journal_open(path, MAP_BYTES, &copy, &err));
    assert_int_equal(read_from(copy, 1, 10, &records), 1);
    journal_close(copy);
    journal_close(journal);
    free(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_new_journal_is_empty),
        TEST(test_records_come_back_after_reopen),
        TEST(test_received_ms_never_goes_back),
        TEST(test_abort_and_close_leave_nothing),
        TEST(test_reader_sees_only_commits),
        TEST(test_read_is_bounded),
        TEST(test_one_thread_reads_while_another_writes),
        TEST(test_number_not_above_the_highest_is_duplicate),
        TEST(test_many_sources_in_one_transaction),
        TEST(test_trim_rules),
        TEST(test_trim_by_bytes_stops_at_the_bound),
        TEST(test_trim_keeps_the_file_small),
        TEST(test_flipped_bit_is_damage),
        TEST(test_flipped_source_is_damage),
        TEST(test_bad_files_are_refused),
        TEST(test_cut_file_is_refused_or_complete),
        TEST(test_foreign_files_are_refused),
        TEST(test_state_is_no_journal),
        TEST(test_folders_and_file_are_private),
        TEST(test_place_that_cannot_be),
        TEST(test_no_permission_names_the_owner),
        TEST(test_full_disk_loses_nothing_and_passes),
        TEST(test_short_write_is_full_only_if_the_disk_is),
        TEST(test_file_size_limit_is_full),
        TEST(test_full_map_is_full),
        TEST(test_unknown_outcome_stops),
        TEST(test_full_disk_at_first_start_can_be_repeated),
        TEST(test_backup_is_a_journal),
    };
    signal(SIGXFSZ, SIG_IGN); /* as the daemon does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}

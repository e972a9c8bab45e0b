/* The journal keeps what it acknowledged, in order and once, as long as it should. */
#include <dirent.h>
#include <pthread.h>

#include "engine/base/limits.h"
#include "tests/unit/journal_fixture.h"

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
    journal_begin(journal);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(journal_append(journal, rows[i].kind, 1000 + (int64_t)i, text_of(rows[i].body)),
                         i + 1);
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
        journal_begin(journal);
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
    journal_begin(journal);
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
    journal_begin(journal);
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

static void test_read_begins_anywhere(void **unused)
{
    (void)unused;
    enum { COUNT = 95 };
    struct journal *journal = open_small();
    fill_small(journal, COUNT);
    for (uint64_t i = 1; i <= COUNT; i++) {
        uint64_t seq = i * 37 % COUNT + 1;
        struct journal_record *records;
        size_t count = read_from(journal, seq, 3, &records);
        assert_int_equal(count, COUNT - seq + 1 < 3 ? COUNT - seq + 1 : 3);
        for (size_t k = 0; k < count; k++) {
            assert_int_equal(records[k].seq, seq + k);
            assert_int_equal(records[k].received_ms, (seq + k) * 1000);
        }
    }
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
    struct journal *journal = open_small();
    assert_int_equal(pthread_create(&reader, NULL, read_all, journal), 0);
    for (int i = 1; i <= CONCURRENT_COUNT;) {
        journal_begin(journal);
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
        journal_begin(journal);
        for (size_t i = 0; i < count; i++) {
            bool duplicate;
            if (i == cut) {
                done(journal_commit(journal, &err));
                journal_close(journal);
                journal = open_journal();
                journal_begin(journal);
            }
            done(journal_source(journal, text_of(rows[i].source), rows[i].n, &duplicate, &err));
            assert_int_equal(duplicate, rows[i].duplicate);
        }
        journal_close(journal);
        temp_dir_remove(dir);
        dir = temp_dir_make();
    }
}

/* More than are held in memory, and a start reads some of them from each place. */
static void test_many_sources(void **unused)
{
    (void)unused;
    for (int round = 0; round < 4; round++) {
        struct journal *journal = open_journal();
        for (int i = 0; i < 9000; i++) {
            char name[SOURCE_BYTES_MAX + 1];
            bool duplicate;
            if (i % 1500 == 0)
                journal_begin(journal);
            snprintf(name, sizeof name, "%0*d", i % 2 == 0 ? 5 : SOURCE_BYTES_MAX, i);
            done(journal_source(journal, text_of(name), 1 + (uint64_t)round / 2, &duplicate, &err));
            assert_int_equal(duplicate, round % 2 == 1);
            if (i % 1500 == 1499)
                done(journal_commit(journal, &err));
        }
        journal_close(journal);
    }
}

static void test_numbers_outlive_the_events_that_raised_them(void **unused)
{
    (void)unused;
    uint64_t trimmed;
    struct journal *journal = open_small();
    journal_begin(journal);
    raise_to(journal, "early", 77);
    done(journal_commit(journal, &err));
    fill_small(journal, 45);
    for (int i = 0; i < 4; i++)
        done(journal_trim(journal, UINT64_MAX, INT64_C(1) << 40, 0, 0, &trimmed, &err));
    assert_int_equal(journal_first_seq(journal), 40 + 1);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(highest(journal, "early"), 77);
        assert_int_equal(highest(journal, "other"), 0);
        journal_close(journal);
        journal = open_small();
    }
    journal_close(journal);
}

/* --- trimming --- */

enum { TRIM_COUNT = 100 };

static int is_segment(const struct dirent *entry)
{
    return strstr(entry->d_name, ".log") != NULL;
}

/* The record that it begins with fails its checksum then. */
static void damage_second_file(void)
{
    enum { HEAD_BYTES = 64 + 16 };
    struct dirent **entries;
    int count = scandir(dir, &entries, is_segment, alphasort);
    assert_true(count >= 3);
    FILE *file = fopen(temp_dir_path(dir, entries[1]->d_name), "r+b");
    fseek(file, HEAD_BYTES + 30, SEEK_SET);
    int byte = fgetc(file);
    fseek(file, HEAD_BYTES + 30, SEEK_SET);
    fputc(byte ^ 1, file);
    fclose(file);
    while (count-- > 0)
        free(entries[count]);
    free(entries);
}

static void test_trim_rules(void **unused)
{
    (void)unused;
    enum { HOUR_MS = 3600 * 1000, MANY = 1 << 30 };
    /* 35 records at 1000, 2000, ... 35000 ms, ten a file */
    static const struct {
        uint64_t applied_seq;
        int64_t now_ms, keep_ms;
        uint64_t keep_bytes;
        uint64_t trimmed; /* by as many calls as it takes */
    } rows[] = {
        {35, 35000, 35000, MANY, 0}, /* young and small */
        {35, 35000, 24000, MANY, 0}, /* older than 11000: the first file, but for what begins the next */
        {35, 35000, 23999, MANY, 10},
        {35, 35000, 14000, MANY, 10},
        {35, 35000, 13999, MANY, 20},
        {9, 99999, 0, MANY, 0}, /* not above applied_seq */
        {10, 99999, 0, MANY, 10},
        {19, 99999, 0, MANY, 10},
        {20, 99999, 0, MANY, 20},
        {99, 99999, 0, MANY, 30}, /* never the newest file */
        {0, 99999, 0, 0, 0},
        {35, 35000, 35000, 4 * SMALL_SEGMENT_BYTES, 0}, /* too many bytes */
        {35, 35000, 35000, 3 * SMALL_SEGMENT_BYTES, 10},
        {35, 35000, 35000, 2 * SMALL_SEGMENT_BYTES, 20},
        {35, 35000, 35000, 0, 30},
        {10, 35000, 35000, 0, 10},
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct journal_record *records;
        uint64_t trimmed, all = 0;
        size_t count;
        struct journal *journal = open_small();
        fill_small(journal, 35);
        do {
            done(journal_trim(journal, rows[row].applied_seq, rows[row].now_ms, rows[row].keep_ms,
                              rows[row].keep_bytes, &trimmed, &err));
            assert_true(trimmed == 0 || trimmed == SMALL_EVENTS);
            all += trimmed;
        } while (trimmed > 0);
        assert_int_equal(all, rows[row].trimmed);
        for (int round = 0; round < 2; round++) {
            assert_int_equal(journal_first_seq(journal), all + 1);
            assert_int_equal(journal_last_seq(journal), 35);
            assert_int_equal(read_from(journal, all + 1, 100, &records), 35 - all);
            if (all > 0)
                fails(journal_read(journal, all, 100, &arena, &records, &count, &err), ERR_GONE,
                      "no longer");
            journal_close(journal);
            journal = open_small();
        }
        append_committed(journal, 1, "goes on");
        journal_close(journal);
        temp_dir_remove(dir);
        dir = temp_dir_make();
    }
}

/* Without the first record of the second file nothing tells up to where the first one goes. The third one does. */
static void test_trim_goes_on_behind_a_damaged_record(void **unused)
{
    (void)unused;
    enum { MANY = 1 << 30 };
    static const struct {
        uint64_t applied_seq;
        int64_t now_ms;
        uint64_t keep_bytes;
        uint64_t trimmed;
    } rows[] = {
        {35, 0, MANY, 0},      {35, 20999, MANY, 0}, {35, 21001, MANY, 20}, {19, 21001, MANY, 0},
        {20, 21001, MANY, 20}, {35, 0, 0, 20},       {20, 0, 0, 20},        {19, 0, 0, 0},
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        uint64_t trimmed;
        struct journal_record *records;
        struct journal *journal = open_small();
        fill_small(journal, 35);
        journal_close(journal);
        damage_second_file();
        journal = open_small();
        for (int call = 0; call < 2; call++) {
            done(journal_trim(journal, rows[row].applied_seq, rows[row].now_ms, 0, rows[row].keep_bytes, &trimmed,
                              &err));
            if (call == 0)
                assert_int_equal(trimmed, rows[row].trimmed);
        }
        append_committed(journal, 1, "goes on");
        assert_int_equal(read_from(journal, 31, 100, &records), 6);
        journal_close(journal);
        journal_close(open_small());
        temp_dir_remove(dir);
        dir = temp_dir_make();
    }
}

/* The search for an event looks at the files' first records; one that can't be read only matters to who wants it. */
static void test_events_are_found_beside_a_damaged_record(void **unused)
{
    (void)unused;
    struct journal_record *records;
    size_t count;
    struct journal *journal = open_small();
    fill_small(journal, 35); /* ten a file */
    journal_close(journal);
    damage_second_file();
    journal = open_small();
    for (uint64_t seq = 35; seq >= 1; seq--) {
        if (seq > 20 || seq <= 10)
            assert_int_equal(read_from(journal, seq, 1, &records), 1);
        else
            fails(journal_read(journal, seq, 1, &arena, &records, &count, &err), ERR_DAMAGED, "fails its checksum");
    }
    journal_close(journal);
}

/* A file that doesn't fill up is closed after a quarter of the time, so that what is in it can go. */
static void test_trim_by_age_needs_no_full_files(void **unused)
{
    (void)unused;
    enum { HOUR_MS = 3600 * 1000 };
    struct journal *journal = open_journal();
    uint64_t trimmed, least = UINT64_MAX;
    for (int minute = 0; minute < 600; minute++) {
        int64_t now_ms = INT64_C(1700000000000) + minute * 60000;
        append_committed(journal, now_ms, "body");
        done(journal_trim(journal, UINT64_MAX, now_ms, HOUR_MS, UINT64_MAX, &trimmed, &err));
        uint64_t kept = journal_last_seq(journal) - journal_first_seq(journal) + 1;
        assert_in_range(kept, 1, 60 + 15 + 3);
        if (minute > 120 && kept < least)
            least = kept;
    }
    assert_in_range(least, 60, 78);
    journal_close(journal);
    journal_close(open_journal());
}

/* What goes while somebody looks for it is gone, and not damaged. */
static void *read_the_oldest(void *context)
{
    struct journal *journal = context;
    struct arena own;
    struct err why;
    char *failure = NULL;
    arena_init(&own, 65536);
    for (uint64_t first = 0; failure == NULL && first < TRIM_COUNT * SMALL_EVENTS;) {
        struct journal_record *records;
        size_t count;
        first = journal_first_seq(journal);
        arena_reset(&own);
        if (!journal_read(journal, first, 1, &own, &records, &count, &why) && why.code != ERR_GONE)
            failure = strdup(why.text);
    }
    arena_fini(&own);
    return failure;
}

static void test_what_is_trimmed_while_it_is_read_is_gone(void **unused)
{
    (void)unused;
    pthread_t reader;
    void *failure;
    struct journal *journal = open_small();
    fill_small(journal, (TRIM_COUNT + 1) * SMALL_EVENTS);
    assert_int_equal(pthread_create(&reader, NULL, read_the_oldest, journal), 0);
    for (uint64_t trimmed = 1; trimmed > 0;)
        done(journal_trim(journal, UINT64_MAX, 0, 0, 0, &trimmed, &err));
    assert_int_equal(pthread_join(reader, &failure), 0);
    if (failure != NULL)
        fail_msg("%s", (char *)failure);
    journal_close(journal);
}

/* The last event of a file was read, and the file goes: the first event of the next one is still there. */
static void test_reading_goes_on_behind_what_was_trimmed(void **unused)
{
    (void)unused;
    struct journal *journal = open_small();
    struct journal_record *records;
    uint64_t trimmed;
    fill_small(journal, 2 * SMALL_EVENTS);
    assert_int_equal(read_from(journal, 1, SMALL_EVENTS, &records), SMALL_EVENTS);
    done(journal_trim(journal, UINT64_MAX, 0, 0, 0, &trimmed, &err));
    assert_int_equal(trimmed, SMALL_EVENTS);
    assert_int_equal(read_from(journal, SMALL_EVENTS + 1, 100, &records), SMALL_EVENTS);
    assert_int_equal(records[0].seq, SMALL_EVENTS + 1);
    journal_close(journal);
}

static void test_trimmed_files_are_gone(void **unused)
{
    (void)unused;
    struct stat st;
    struct journal *journal = open_small();
    for (int round = 0; round < 50; round++) {
        uint64_t trimmed;
        fill_small(journal, 10);
        done(journal_trim(journal, UINT64_MAX, 0, 0, 3 * SMALL_SEGMENT_BYTES, &trimmed, &err));
        assert_in_range(journal_bytes(journal), 1, 4 * SMALL_SEGMENT_BYTES);
        assert_int_equal(access(temp_dir_path(dir, "0000000000000000.log"), F_OK), round > 10 ? -1 : 0);
        if (round >= 10)
            done(journal_remove(journal, &err));
    }
    assert_int_equal(stat(temp_dir_path(dir, "0000000000000000.log"), &st), -1);
    journal_close(journal);
    journal_close(open_small());
}

static void test_segment_sizes_fit_what_is_kept(void **unused)
{
    (void)unused;
    static const struct {
        uint64_t keep_mib, segment_kib;
    } rows[] = {{1, 256}, {2, 256}, {3, 384}, {256, 32768}, {1024, 32768}, {67108864, 32768}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(journal_segment_bytes(rows[i].keep_mib << 20), rows[i].segment_kib << 10);
}

/* --- places --- */

static void test_folders_and_file_are_private(void **unused)
{
    (void)unused;
    struct journal *journal;
    struct stat st;
    mode_t old = umask(0);
    done(journal_open(temp_dir_path(dir, "a/b/journal"), SEGMENT_BYTES, &journal, &err));
    umask(old);
    journal_close(journal);
    assert_int_equal(stat(temp_dir_path(dir, "a/b"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0750);
    assert_int_equal(stat(temp_dir_path(dir, "a/b/journal/0000000000000000.log"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_not_equal(stat(temp_dir_path(dir, "a/b/journal/creating"), &st), 0);
}

static void test_place_that_cannot_be(void **unused)
{
    (void)unused;
    struct journal *journal;
    FILE *file = fopen(temp_dir_path(dir, "file"), "wb");
    fclose(file);
    fails(journal_open(temp_dir_path(dir, "file/journal"), SEGMENT_BYTES, &journal, &err), ERR_IO,
          "file");
    fails(journal_open("", SEGMENT_BYTES, &journal, &err), ERR_IO, "");
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
    bool ok = journal_open(dir, SEGMENT_BYTES, &journal, &err);
    assert_int_equal(seteuid(0), 0);
    fails(ok, ERR_IO, "check who owns it");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_new_journal_is_empty),
        STORE_TEST(test_records_come_back_after_reopen),
        STORE_TEST(test_received_ms_never_goes_back),
        STORE_TEST(test_abort_and_close_leave_nothing),
        STORE_TEST(test_reader_sees_only_commits),
        STORE_TEST(test_read_is_bounded),
        STORE_TEST(test_read_begins_anywhere),
        STORE_TEST(test_one_thread_reads_while_another_writes),
        STORE_TEST(test_number_not_above_the_highest_is_duplicate),
        STORE_TEST(test_many_sources),
        STORE_TEST(test_numbers_outlive_the_events_that_raised_them),
        STORE_TEST(test_trim_rules),
        STORE_TEST(test_trim_goes_on_behind_a_damaged_record),
        STORE_TEST(test_events_are_found_beside_a_damaged_record),
        STORE_TEST(test_trim_by_age_needs_no_full_files),
        STORE_TEST(test_what_is_trimmed_while_it_is_read_is_gone),
        STORE_TEST(test_reading_goes_on_behind_what_was_trimmed),
        STORE_TEST(test_trimmed_files_are_gone),
        STORE_TEST(test_segment_sizes_fit_what_is_kept),
        STORE_TEST(test_folders_and_file_are_private),
        STORE_TEST(test_place_that_cannot_be),
        STORE_TEST(test_no_permission_names_the_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

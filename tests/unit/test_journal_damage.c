/* A journal that the disk changed, or has no room for, says so and loses nothing. */
#include <dirent.h>
#include <sys/resource.h>

#include "store/state.h"
#include "tests/unit/journal_fixture.h"

/* --- damage --- */

static const char *first_file(void)
{
    return temp_dir_path(dir, "0000000000000000.log");
}

static void test_flipped_bit_is_damage(void **unused)
{
    (void)unused;
    struct journal_record *records;
    size_t count;
    struct journal *journal = open_small();
    append_committed(journal, 1, "first");
    append_committed(journal, 1, "the-body-to-hit");
    fill_small(journal, 30); /* what is open when the daemon starts is checked then */
    journal_close(journal);
    assert_true(file_patch(first_file(), "the-body-to-hit", "the-body-to-hiu") > 0);
    journal = open_small();
    assert_int_equal(read_from(journal, 1, 1, &records), 1);
    fails(journal_read(journal, 1, 10, &arena, &records, &count, &err), ERR_DAMAGED, "event 2: ");
    assert_non_null(strstr(err.text, "fails its checksum"));
    assert_non_null(strstr(err.text, first_file()));
    assert_int_equal(read_from(journal, 15, 10, &records), 10); /* the other files are as good as before */
    journal_close(journal);
}

static void test_flipped_bit_in_the_newest_file_is_damage(void **unused)
{
    (void)unused;
    struct journal *journal = open_journal();
    append_committed(journal, 1, "the-body-to-hit");
    append_committed(journal, 1, "last");
    journal_close(journal);
    assert_true(file_patch(first_file(), "the-body-to-hit", "the-body-to-hiu") > 0);
    is_damaged("fails its checksum");
}

static void test_flipped_source_is_damage(void **unused)
{
    (void)unused;
    uint64_t n;
    struct journal *journal = open_small();
    journal_begin(journal);
    raise_to(journal, "producer", 0x4142434445464748);
    done(journal_commit(journal, &err));
    fill_small(journal, 30); /* so that it is saved */
    journal_close(journal);
    assert_true(file_patch(temp_dir_path(dir, "sources/data.mdb"), "HGFEDCBA", "HGFEDCBB") > 0);
    journal = open_small();
    journal_begin(journal);
    fails(journal_source_highest(journal, TEXT("producer"), &n, &err), ERR_DAMAGED, "producer");
    journal_close(journal);
}

/* Without the file where they are saved, the numbers are those of the events that are kept, if these are all. */
static void test_lost_sources_are_read_again_or_damage(void **unused)
{
    (void)unused;
    uint64_t trimmed;
    struct journal *journal = open_small();
    journal_begin(journal);
    raise_to(journal, "producer", 5);
    done(journal_commit(journal, &err));
    fill_small(journal, 30);
    journal_close(journal);
    temp_dir_remove(strdup(temp_dir_path(dir, "sources")));
    journal = open_small();
    assert_int_equal(highest(journal, "producer"), 5);
    assert_int_equal(journal_last_seq(journal), 30);
    done(journal_trim(journal, UINT64_MAX, INT64_MAX, 0, 0, &trimmed, &err));
    assert_int_equal(trimmed, 10);
    journal_close(journal);
    temp_dir_remove(strdup(temp_dir_path(dir, "sources")));
    is_damaged("numbers");
}

/* Wherever a crash tears the last transaction off: it is there as a whole, with its number, or not at all. */
static void test_torn_transaction_leaves_nothing(void **unused)
{
    (void)unused;
    static char whole[1 << 20];
    struct stat st;
    struct journal *journal = open_small();
    journal_begin(journal);
    raise_to(journal, "line", 1);
    append(journal, 1, "before");
    done(journal_commit(journal, &err));
    uint64_t start = 64 + journal_bytes(journal);
    journal_begin(journal);
    for (int i = 0; i < 3; i++)
        append(journal, 2, "body");
    raise_to(journal, "line", 4);
    raise_to(journal, "new", 9);
    done(journal_commit(journal, &err));
    uint64_t end = 64 + journal_bytes(journal);
    journal_close(journal);
    FILE *file = fopen(first_file(), "rb");
    size_t size = fread(whole, 1, sizeof whole, file);
    fclose(file);
    for (uint64_t torn = start; torn <= end; torn++) {
        struct journal_record *records;
        char zero = 0;
        file = fopen(first_file(), "wb");
        fwrite(whole, 1, torn, file);
        for (uint64_t i = torn; i < size && torn % 2 == 0; i++)
            fwrite(&zero, 1, 1, file);
        fclose(file);
        journal = open_small();
        bool complete = journal_last_seq(journal) == 4;
        assert_true(complete == (torn == end) || torn > end - 8); /* the last bytes may be padding */
        assert_int_equal(journal_last_seq(journal), complete ? 4 : 1);
        assert_int_equal(read_from(journal, 1, 10, &records), complete ? 4 : 1);
        assert_int_equal(highest(journal, "line"), complete ? 4 : 1);
        assert_int_equal(highest(journal, "new"), complete ? 9 : 0);
        assert_true(complete || torn == start || journal_torn_bytes(journal) > 0);
        append_committed(journal, 3, "goes on");
        journal_close(journal);
        journal = open_small();
        assert_int_equal(journal_torn_bytes(journal), 0);
        assert_int_equal(journal_last_seq(journal), complete ? 5 : 2);
        journal_close(journal);
        assert_int_equal(stat(first_file(), &st), 0);
    }
}

/* What the saved numbers know to have been in the journal must be there. */
static void test_cut_files_are_refused(void **unused)
{
    (void)unused;
    struct journal *journal = open_small();
    fill_small(journal, 12); /* the numbers were saved before the last one */
    journal_close(journal);
    const char *last = temp_dir_path(dir, "0000000000000fa0.log");
    if (access(last, F_OK) != 0)
        fail_msg("the second file has another name");
    unlink(last);
    is_damaged("was in the journal");
    assert_int_equal(truncate(first_file(), 1000), 0);
    is_damaged("was in the journal");
    assert_int_equal(truncate(first_file(), 10), 0);
    is_damaged("cut");
    assert_int_equal(truncate(first_file(), 0), 0);
    is_damaged("empty");
}

static void test_foreign_files_are_refused(void **unused)
{
    (void)unused;
    journal_close(open_journal());
    file_patch(first_file(), "fwsync journal 2", "whatever this is");
    is_damaged("no part of a journal of fwsync");
    FILE *file = fopen(first_file(), "wb");
    for (int i = 0; i < 1000; i++)
        fputs("this is no journal", file);
    fclose(file);
    is_damaged("no part of a journal of fwsync");
}

static void test_older_journal_is_refused(void **unused)
{
    (void)unused;
    struct journal *journal;
    fclose(fopen(temp_dir_path(dir, "data.mdb"), "wb"));
    fails(journal_open(dir, SEGMENT_BYTES, &journal, &err), ERR_DAMAGED, "an older fwsyncd");
    assert_non_null(strstr(err.text, "data.mdb"));
    assert_int_not_equal(access(first_file(), F_OK), 0);
}

static void test_state_is_no_journal(void **unused)
{
    (void)unused;
    struct state *state;
    struct journal *journal;
    struct state_options options = {.map_bytes = 64 << 20};
    done(state_open(dir, &options, &state, &err));
    state_close(state);
    fails(journal_open(dir, SEGMENT_BYTES, &journal, &err), ERR_DAMAGED, "data.mdb");
}

/* --- a full disk --- */

/* An empty folder gets a first file, over which nothing may be lost. */
static void test_a_folder_that_cannot_be_listed_is_not_an_empty_one(void **unused)
{
    (void)unused;
    struct journal_record *records;
    struct journal *journal = open_small();
    fill_small(journal, 30);
    journal_close(journal);
    full_disk.list_error = EIO;
    fails(journal_open(dir, SMALL_SEGMENT_BYTES, &journal, &err), ERR_IO, dir);
    full_disk.list_error = 0;
    journal = open_small();
    assert_int_equal(read_from(journal, 1, 100, &records), 30);
    journal_close(journal);
}

static void test_full_disk_loses_nothing_and_passes(void **unused)
{
    (void)unused;
    static const int errors[] = {ENOSPC, EDQUOT, EFBIG};
    struct journal_record *records;
    bool duplicate;
    struct journal *journal = open_journal();
    append_committed(journal, 1, "before");
    for (size_t i = 0; i < 3; i++) {
        journal_begin(journal);
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

/* The numbers have to be saved first, and that needs space, too. */
static void test_full_disk_while_saving_numbers_passes(void **unused)
{
    (void)unused;
    struct journal *journal = open_small();
    for (int i = 1; i <= 40; i++) {
        full_disk.error = ENOSPC;
        journal_begin(journal);
        raise_to(journal, "line", (uint64_t)i);
        append(journal, i, "0123456789012345678901234567890123456789012345678901234567890123456789");
        fails(journal_commit(journal, &err), ERR_FULL, "no space");
        full_disk.error = 0;
        assert_int_equal(highest(journal, "line"), i - 1);
        journal_begin(journal);
        raise_to(journal, "line", (uint64_t)i);
        append(journal, i, "0123456789012345678901234567890123456789012345678901234567890123456789");
        done(journal_commit(journal, &err));
        assert_int_equal(journal_last_seq(journal), i);
    }
    journal_close(journal);
    journal = open_small();
    assert_int_equal(highest(journal, "line"), 40);
    assert_int_equal(journal_last_seq(journal), 40);
    journal_close(journal);
}

/* A start needs no space: what it can't save of the numbers stays in memory. */
static void test_full_disk_at_start_keeps_numbers_in_memory(void **unused)
{
    (void)unused;
    enum { SOURCE_COUNT = 10000 };
    char name[16];
    struct journal *journal = open_journal();
    journal_begin(journal);
    for (int i = 0; i < SOURCE_COUNT; i++) {
        snprintf(name, sizeof name, "s%d", i);
        raise_to(journal, name, 7);
    }
    done(journal_commit(journal, &err));
    journal_close(journal);
    full_disk.error = ENOSPC;
    journal = open_journal();
    full_disk.error = 0;
    for (int round = 0; round < 2; round++) {
        assert_int_equal(highest(journal, "s0"), 7);
        assert_int_equal(highest(journal, "s9999"), 7);
        append_committed(journal, 1, "body");
        journal_close(journal);
        journal = open_journal();
    }
    journal_close(journal);
}

static void test_file_size_limit_is_full(void **unused)
{
    (void)unused;
    struct rlimit limit = {8 << 20, RLIM_INFINITY}, unlimited;
    static char body[100000];
    uint64_t count = 0;
    struct journal *journal;
    memset(body, 'x', sizeof body - 1);
    getrlimit(RLIMIT_FSIZE, &unlimited);
    done(journal_open(dir, 32 << 20, &journal, &err));
    setrlimit(RLIMIT_FSIZE, &limit);
    bool ok = true;
    for (; ok && count < 1000; count++) {
        journal_begin(journal);
        append(journal, 1, body);
        ok = journal_commit(journal, &err);
    }
    setrlimit(RLIMIT_FSIZE, &unlimited);
    fails(ok, ERR_FULL, "no space");
    assert_int_equal(journal_last_seq(journal), count - 1);
    append_committed(journal, 1, "after");
    assert_int_equal(journal_last_seq(journal), count);
    journal_close(journal);
}

/* Whether what a failed sync was to write is on the disk nobody knows: stop. */
static void test_unknown_outcome_stops(void **unused)
{
    (void)unused;
    struct journal *journal = open_journal();
    journal_begin(journal);
    append(journal, 2, "perhaps");
    full_disk.sync_error = EIO;
    fails(journal_commit(journal, &err), ERR_STORE, "check the disk");
    full_disk.sync_error = 0;
    journal_close(journal);
}

static void test_full_disk_at_first_start_can_be_repeated(void **unused)
{
    (void)unused;
    struct journal *journal;
    full_disk.error = ENOSPC;
    fails(journal_open(dir, SEGMENT_BYTES, &journal, &err), ERR_FULL, "");
    full_disk.error = 0;
    journal_close(open_journal());
}

static void test_backup_is_a_journal(void **unused)
{
    (void)unused;
    struct journal_record *records;
    struct journal *journal = open_journal(), *copy;
    char *path = strdup(temp_dir_path(dir, "backup/journal"));
    struct copying copying = {0};
    append_committed(journal, 1, "a");
    journal_begin(journal);
    append(journal, 1, "not yet");
    done(journal_backup(journal, path, &copying, &err));
    done(journal_commit(journal, &err));
    fails(journal_backup(journal, path, &copying, &err), ERR_IO, "already");
    done(journal_open(path, SEGMENT_BYTES, &copy, &err));
    assert_int_equal(read_from(copy, 1, 10, &records), 1);
    journal_close(copy);
    journal_close(journal);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_flipped_bit_is_damage),
        STORE_TEST(test_flipped_bit_in_the_newest_file_is_damage),
        STORE_TEST(test_flipped_source_is_damage),
        STORE_TEST(test_lost_sources_are_read_again_or_damage),
        STORE_TEST(test_torn_transaction_leaves_nothing),
        STORE_TEST(test_cut_files_are_refused),
        STORE_TEST(test_foreign_files_are_refused),
        STORE_TEST(test_older_journal_is_refused),
        STORE_TEST(test_state_is_no_journal),
        STORE_TEST(test_a_folder_that_cannot_be_listed_is_not_an_empty_one),
        STORE_TEST(test_full_disk_loses_nothing_and_passes),
        STORE_TEST(test_full_disk_while_saving_numbers_passes),
        STORE_TEST(test_full_disk_at_start_keeps_numbers_in_memory),
        STORE_TEST(test_file_size_limit_is_full),
        STORE_TEST(test_unknown_outcome_stops),
        STORE_TEST(test_full_disk_at_first_start_can_be_repeated),
        STORE_TEST(test_backup_is_a_journal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

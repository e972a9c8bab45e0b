/* What a row of history says, where rows are found, and how old ones go. That devices go back in time is in
 * prop_state.c, against a model. */
#include <dirent.h>

#include "store/state.h"
#include "tests/unit/store_fixture.h"

enum { MAP_BYTES = 64 << 20, CAUSE = 7 };

static struct state *state;

static void reopen(void)
{
    struct state_options options = {.map_bytes = MAP_BYTES};
    state_close(state);
    done(state_open(dir, &options, &state, &err));
}

static int set_up(void **unused)
{
    store_setup(unused);
    state = NULL;
    reopen();
    return 0;
}

static int tear_down(void **unused)
{
    state_close(state);
    return store_teardown(unused);
}

/* --- steps --- */

static struct device *begin(uint64_t seq, const char *name, const char *type)
{
    struct device *device;
    state_step(state, seq, (int64_t)seq * 10, CAUSE);
    done(state_device_open(state, text_of(name), text_of(type), 1, 1, &device, &err));
    return device;
}

static void end(struct device *device, uint64_t seq)
{
    done(state_device_save(state, device, &err));
    state_set_applied_seq(state, seq);
}

static void put(struct device *device, enum scope scope, const char *key, const char *value, uint64_t seq)
{
    bool changed;
    struct value text = value_string(text_of(value));
    done(device_put(device, scope, text_of(key), &text, (int64_t)seq * 10 - 3, seq, &changed, &err));
}

static void set(uint64_t seq, const char *name, const char *value)
{
    struct device *device = begin(seq, name, "");
    put(device, SCOPE_CLIENT, "v", value, seq);
    end(device, seq);
}

static struct history_row read_row(uint64_t position)
{
    struct history_row row;
    done(state_history_read(state, position, &arena, &row, &err));
    return row;
}

/* --- rows --- */

static void test_row_says_what_was_and_what_is(void **unused)
{
    (void)unused;
    bool existed;
    set(5, "a", "v1");
    struct device *device = begin(6, "a", "pump");
    put(device, SCOPE_CLIENT, "v", "v2", 6);
    put(device, SCOPE_SERVER, "w", "x", 6);
    put(device, SCOPE_TELEMETRY, "t", "1", 6);
    done(device_delete(device, SCOPE_CLIENT, TEXT("v"), &existed, &err));
    end(device, 6);

    struct history_row first = read_row(state_history_first(state)), row = read_row(first.next);
    assert_true(first.created && first.before == HISTORY_NONE && first.seq == 5);
    assert_int_equal(row.seq, 6);
    assert_int_equal(row.received_ms, 60);
    assert_int_equal(row.cause, CAUSE);
    assert_false(row.created);
    assert_true(row.before == first.position && row.next == state_history_end(state));
    assert_true(text_is(row.old_type, "default") && text_is(row.new_type, "pump"));
    assert_int_equal(row.change_count, 3); /* telemetry isn't kept */
    const struct history_change *changes = row.changes;
    assert_true(changes[0].has_old && changes[0].has_new && text_is(changes[0].new.key, "v"));
    assert_true(text_is(changes[0].old.value.text, "v1") && changes[0].old.seq == 5 && changes[0].old.ts_ms == 47);
    assert_true(text_is(changes[0].new.value.text, "v2") && changes[0].new.seq == 6 && changes[0].new.ts_ms == 57);
    assert_true(!changes[1].has_old && changes[1].has_new && changes[1].scope == SCOPE_SERVER);
    assert_true(changes[2].has_old && !changes[2].has_new && text_is(changes[2].old.value.text, "v2"));
    assert_true(device_history(device) == row.position);
}

static void test_event_that_changes_nothing_has_no_row(void **unused)
{
    (void)unused;
    set(1, "a", "v1");
    uint64_t end_before = state_history_end(state);
    set(2, "a", "v1");
    assert_true(state_history_end(state) == end_before);
}

/* Results alone make a row, which is no part of the device's chain. */
static void test_row_has_the_numbers_of_results(void **unused)
{
    (void)unused;
    uint64_t *sync = state_counter(state, TEXT("n/sync")), *alarm = state_counter(state, TEXT("n/alarm"));
    set(1, "a", "v1");
    struct device *device = begin(2, "a", "");
    uint64_t newest = device_history(device);
    ++*sync;
    state_note_result(state, sync);
    *alarm = 300;
    state_note_result(state, alarm);
    ++*sync;
    state_note_result(state, sync);
    end(device, 2);
    struct history_row row = read_row(read_row(state_history_first(state)).next);
    assert_int_equal(row.change_count, 0);
    assert_int_equal(row.result_count, 2);
    assert_true(text_is(row.results[0].class_name, "sync") && text_is(row.results[1].class_name, "alarm"));
    assert_int_equal(row.results[0].first_n, 1);
    assert_int_equal(row.results[0].count, 2);
    assert_int_equal(row.results[1].first_n, 300);
    assert_true(device_history(device) == newest);
}

static void test_rows_behind_the_checkpoint_are_cut_off(void **unused)
{
    (void)unused;
    set(1, "a", "v1");
    done(state_checkpoint(state, &err));
    uint64_t end_before = state_history_end(state);
    set(2, "a", "v2");
    assert_true(state_history_end(state) > end_before);
    reopen();
    assert_true(state_history_end(state) == end_before);
    set(2, "b", "v2");
    assert_int_equal(read_row(end_before).seq, 2);
}

/* --- finding, keeping --- */

static void seeks(struct moment moment, uint64_t expected_seq)
{
    uint64_t position;
    done(state_history_seek(state, moment, &position, &err));
    if (expected_seq == 0)
        assert_true(position == state_history_end(state));
    else
        assert_int_equal(read_row(position).seq, expected_seq);
}

static void test_seek_finds_the_first_row_after_a_moment(void **unused)
{
    (void)unused;
    seeks((struct moment){0, INT64_MAX}, 0);
    set(3, "a", "1");
    set(5, "b", "1");
    set(9, "a", "2");
    static const struct {
        uint64_t seq, found;
    } rows[] = {{0, 3}, {2, 3}, {3, 5}, {4, 5}, {5, 9}, {8, 9}, {9, 0}, {10, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        seeks((struct moment){rows[i].seq, INT64_MAX}, rows[i].found);
        seeks((struct moment){UINT64_MAX, (int64_t)rows[i].seq * 10}, rows[i].found);
        if (rows[i].seq > 0 && rows[i].seq != 4 && rows[i].seq != 10)
            seeks((struct moment){UINT64_MAX, (int64_t)rows[i].seq * 10 + 9}, rows[i].found);
    }
}

/* Rows of 1,000 events in pieces of some MiB. */
static uint64_t fill(uint64_t seq)
{
    static char large[2][20000];
    memset(large[0], 'x', sizeof large[0] - 1);
    memset(large[1], 'y', sizeof large[1] - 1);
    for (uint64_t to = seq + 1000; seq < to; seq++)
        set(seq, "a", large[seq % 2]);
    done(state_checkpoint(state, &err));
    return seq;
}

static void goes(bool ok)
{
    assert_false(ok);
    assert_int_equal(err.code, ERR_GONE);
}

static int is_segment(const struct dirent *entry)
{
    return strstr(entry->d_name, ".log") != NULL;
}

static int segment_files(void)
{
    struct dirent **entries;
    int count = scandir(temp_dir_path(dir, "history"), &entries, is_segment, alphasort);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    return count;
}

static void test_old_rows_go_by_size_and_age_and_are_told_to_be_gone(void **unused)
{
    (void)unused;
    uint64_t position, seq = fill(1), bytes = state_history_bytes(state);
    struct device *device;
    bool existed;
    done(state_history_trim(state, INT64_MAX / 2, UINT64_MAX, &err)); /* nothing is too old or too much */
    assert_int_equal(state_history_first(state), 0);
    done(state_history_trim(state, INT64_MAX / 2, bytes / 2, &err));
    assert_true(state_history_first(state) > 0);
    assert_true(state_history_bytes(state) <= bytes / 2 && state_history_bytes(state) > bytes / 4);
    uint64_t kept = read_row(state_history_first(state)).seq;
    seeks((struct moment){kept, INT64_MAX}, kept + 1);
    goes(state_history_seek(state, (struct moment){kept - 1, INT64_MAX}, &position, &err));

    done(state_device_at(state, 0, &device, &err));
    done(device_rewind(device, (struct moment){kept, INT64_MAX}, &existed, &err));
    assert_true(existed);
    done(state_device_at(state, 0, &device, &err));
    goes(device_rewind(device, (struct moment){kept - 1, INT64_MAX}, &existed, &err));

    int files = segment_files();
    set(seq++, "a", "z");
    done(state_checkpoint(state, &err)); /* which removes the files of what was trimmed */
    assert_true(segment_files() < files);
    seq = fill(seq);
    done(state_history_trim(state, 2000, UINT64_MAX, &err)); /* 200 events are younger */
    assert_true(read_row(state_history_first(state)).seq > kept);
    files = segment_files();
    state_rest(state);
    assert_true(segment_files() < files);
    seeks((struct moment){seq - 201, INT64_MAX}, seq - 200);
    reopen();
    seeks((struct moment){seq - 201, INT64_MAX}, seq - 200);
}

/* The row that the second file begins with can't be read any more. */
static void damage_second_file(void)
{
    struct dirent **entries;
    char name[280];
    int count = scandir(temp_dir_path(dir, "history"), &entries, is_segment, alphasort);
    assert_true(count >= 4);
    snprintf(name, sizeof name, "history/%s", entries[1]->d_name);
    FILE *file = fopen(temp_dir_path(dir, name), "r+b");
    fseek(file, 64 + 1000, SEEK_SET);
    fputc('z', file);
    fclose(file);
    while (count-- > 0)
        free(entries[count]);
    free(entries);
}

static void test_trim_goes_on_behind_a_damaged_row(void **unused)
{
    (void)unused;
    struct history_row row;
    for (int by_age = 0; by_age < 2; by_age++) {
        uint64_t seq = fill(1), bytes = state_history_bytes(state);
        damage_second_file();
        done(state_history_trim(state, INT64_MAX / 2, UINT64_MAX, &err));
        done(state_history_trim(state, (int64_t)seq * 10 - 20, UINT64_MAX, &err)); /* the first file's first rows */
        assert_int_equal(state_history_first(state), 0);
        if (by_age) {
            done(state_history_trim(state, 2000, UINT64_MAX, &err));
            assert_true(read_row(state_history_first(state)).seq > seq / 2);
        } else {
            done(state_history_trim(state, INT64_MAX / 2, bytes - 1, &err));
            assert_true(state_history_first(state) > 0);
            assert_false(state_history_read(state, state_history_first(state), &arena, &row, &err));
            assert_int_equal(err.code, ERR_DAMAGED);
            done(state_history_trim(state, INT64_MAX / 2, bytes / 2, &err));
            assert_true(read_row(state_history_first(state)).seq > seq / 3);
        }
        set(seq, "b", "goes on");
        tear_down(NULL);
        set_up(NULL);
    }
}

static void test_the_checkpoint_keeps_its_end(void **unused)
{
    (void)unused;
    set(1, "a", "v1");
    done(state_checkpoint(state, &err));
    static char large[2][65000];
    for (uint64_t seq = 2; seq < 400; seq++) {
        memset(large[seq % 2], (int)('a' + seq % 20), sizeof large[0] - 1);
        set(seq, "a", large[seq % 2]);
    }
    full_disk.error = ENOSPC; /* the history is on disk, and the checkpoint fails */
    full_disk.only_meta = true;
    assert_false(state_checkpoint(state, &err));
    memset(&full_disk, 0, sizeof full_disk);
    done(state_history_trim(state, 0, 0, &err));
    reopen(); /* else: the state knows the history up to ... */
    assert_int_equal(state_applied_seq(state), 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_row_says_what_was_and_what_is),
        TEST(test_event_that_changes_nothing_has_no_row),
        TEST(test_row_has_the_numbers_of_results),
        TEST(test_rows_behind_the_checkpoint_are_cut_off),
        TEST(test_seek_finds_the_first_row_after_a_moment),
        TEST(test_old_rows_go_by_size_and_age_and_are_told_to_be_gone),
        TEST(test_trim_goes_on_behind_a_damaged_row),
        TEST(test_the_checkpoint_keeps_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

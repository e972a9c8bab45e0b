/* The layers of a large fleet: each hides what is older, and none is lost, mistaken for another, or kept for ever. */
#include "store/layer.h"
#include "tests/unit/state_fixture.h"

static const char *layer_path(uint64_t number)
{
    char name[64];
    snprintf(name, sizeof name, "%016" PRIx64 ".layer", number);
    return temp_dir_path(dir, name);
}

static void open_fails(const char *sentence)
{
    struct state_options options = {MAP_BYTES, default_indexes, 3, 0};
    state_close(state);
    state = NULL; /* for the teardown */
    fails(state_open(dir, &options, &state, &err), ERR_DAMAGED, sentence);
}

static size_t layer_bytes(uint64_t number)
{
    struct stat st;
    assert_int_equal(stat(layer_path(number), &st), 0);
    return (size_t)st.st_size;
}

static void test_damaged_layer_is_told(void **unused)
{
    (void)unused;
    const char *path = layer_path(1);
    interrupt_a_checkpoint();
    assert_true(file_patch(path, "d898", "d89:") > 0);
    open_fails("it isn't as it was written");
    assert_true(file_patch(path, "d89:", "d898") > 0);
    open_state();
    assert_int_equal(state_applied_seq(state), 200);
    assert_int_equal(count_of(VERSION, integer(1)), 450);
    assert_true(file_patch(path, "d898", "d89:") > 0);
    struct device *device;
    fails(state_device_find(state, TEXT("d898"), &device, &err), ERR_DAMAGED, "it isn't as it was written");
}

/* A layer that leads elsewhere isn't followed: it would undo what came later. */
static void test_layer_of_another_checkpoint_is_told(void **unused)
{
    (void)unused;
    const char *path = layer_path(1), *kept = temp_dir_path(dir, "kept");
    interrupt_a_checkpoint();
    assert_int_equal(link(path, kept), 0);
    checkpoint();
    change_something(2);
    reopen_with_slices(0);
    set("d0", SCOPE_CLIENT, "currentFwVer", integer(7));
    state_set_applied_seq(state, 300);
    checkpoint(); /* takes all layers with it */
    assert_int_equal(rename(kept, path), 0);
    open_fails("leads from 0 to 200");
    assert_int_equal(unlink(path), 0);
    open_state();
    assert_int_equal(state_applied_seq(state), 300);
}

enum { LAYERED_DEVICES = 700 };

/* What each device was last given. */
static struct {
    int64_t version;
    int64_t reading; /* 0: none */
    int64_t seen_ms;
} given[LAYERED_DEVICES];

static void see(unsigned number, int64_t ms)
{
    char name[16];
    struct device *device;
    snprintf(name, sizeof name, "d%u", number);
    done(state_device_open(state, text_of(name), TEXT("default"), 1, ms, &device, &err));
    given[number].seen_ms = ms;
}

static void give(unsigned *random, int count, int64_t value)
{
    for (int i = 0; i < count; i++) {
        char name[16];
        *random = *random * 1103515245 + 12345;
        unsigned number = (*random >> 8) % LAYERED_DEVICES;
        snprintf(name, sizeof name, "d%u", number);
        set(name, SCOPE_CLIENT, "currentFwVer", integer(value));
        given[number].version = value;
        see(number, 1000 * value + i);
        if (*random >> 30 != 0)
            continue;
        set(name, SCOPE_TELEMETRY, "reading", integer(value));
        given[number].reading = value;
    }
    state_set_applied_seq(state, (uint64_t)value);
}

static int64_t number_of(struct device *device, enum scope scope, const char *key)
{
    struct value value;
    bool found;
    done(device_value(device, scope, text_of(key), &value, &found, &err));
    return found ? value.integer : 0;
}

static void check_given(void)
{
    for (unsigned i = 0; i < LAYERED_DEVICES; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%u", i);
        struct device *device = device_find(name);
        assert_int_equal(device == NULL ? 0 : number_of(device, SCOPE_CLIENT, "currentFwVer"), given[i].version);
        assert_int_equal(device == NULL ? 0 : number_of(device, SCOPE_TELEMETRY, "reading"), given[i].reading);
        assert_int_equal(device == NULL ? 0 : device_seen_ms(device), given[i].seen_ms);
    }
}

static size_t layers_on_disk(void)
{
    uint64_t *numbers;
    size_t count;
    done(layer_list(dir, &numbers, &count, &err));
    free(numbers);
    return count;
}

/* Of every device the newest row is found, whether it is in a layer or was worked into the database, also after
 * a restart; and layers come to an end. */
static void test_layers_hide_what_is_older_and_go(void **unused)
{
    (void)unused;
    unsigned random = 1;
    size_t most = 0, gone = 0;
    memset(given, 0, sizeof given);
    reopen_with_slices(1);
    for (int64_t round = 1; round <= 120; round++) {
        size_t before = layers_on_disk();
        give(&random, round % 40 < 20 ? 60 : 5, round);
        state_checkpoint_begin(state);
        give(&random, 20, round); /* rows that the checkpoint carries over may be old by now */
        done(state_checkpoint_end(state, &err));
        assert_int_equal(state_checkpoint_seq(state), round);
        size_t after = layers_on_disk();
        most = after > most ? after : most;
        gone += before + 1 - after;
        check_given();
        if (round % 7 != 0)
            continue;
        checkpoint();
        reopen_with_slices(1);
        check_given();
    }
    assert_in_range(most, 5, 70);
    assert_in_range(gone, 50, 119);
    checkpoint();
    reopen_with_slices(0);
    check_given();
    give(&random, 1, 121); /* few changes take all layers with them */
    checkpoint();
    assert_int_equal(layers_on_disk(), 0);
    check_given();
    reopen();
    check_given();
}

/* To take all layers may need more space than there is. Until it is there, another small layer is made: a daemon that
 * is nearly at rest doesn't refuse events for that. */
static void test_layers_stay_where_there_is_no_space_to_take_them(void **unused)
{
    (void)unused;
    enum { DEVICES = 1000, ROUNDS = 60 }; /* more than there are layers otherwise */
    static char large[3000];
    memset(large, 'x', sizeof large);
    reopen_with_slices(5); /* of one page each they would leave free ones in the file */
    for (int i = 0; i < DEVICES; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%d", i);
        set(name, SCOPE_CLIENT, "large", value_string((struct text){large, sizeof large}));
    }
    state_set_applied_seq(state, 1);
    checkpoint();
    assert_int_equal(layers_on_disk(), 1);
    full_disk.bytes_left = 2 << 20; /* the devices need more */
    reopen_with_slices(0);
    assert_int_equal(layers_on_disk(), 1);
    for (uint64_t seq = 2; seq <= ROUNDS; seq++) {
        set("d1", SCOPE_CLIENT, "currentFwVer", integer((int64_t)seq));
        state_set_applied_seq(state, seq);
        checkpoint();
        assert_int_equal(layers_on_disk(), seq);
    }
    full_disk.bytes_left = 0;
    set("d1", SCOPE_CLIENT, "currentFwVer", integer(ROUNDS + 1));
    state_set_applied_seq(state, ROUNDS + 1);
    checkpoint();
    assert_int_equal(layers_on_disk(), 0);
    reopen();
    assert_int_equal(count_of(VERSION, integer(ROUNDS + 1)), 1);
}

/* A device that isn't heard of any more keeps its time, though the layer that had it goes; and a layer has only the
 * times that changed. */
static void test_times_outlive_their_layers(void **unused)
{
    (void)unused;
    enum { GONE = 600, ROUNDS = 80 }; /* it is in the second block */
    unsigned random = 1;
    memset(given, 0, sizeof given);
    reopen_with_slices(1);
    give(&random, 2000, 1);
    checkpoint();
    see(GONE, 7777);
    give(&random, 1, 2);
    checkpoint();
    assert_in_range(layer_bytes(2), 100, 2000); /* a block takes 4000 */
    for (int64_t round = 3; round <= ROUNDS; round++) {
        for (unsigned i = 0; i < 60; i++) {
            random = random * 1103515245 + 12345;
            see((random >> 8) % 500, 1000 * round + i);
            set("d1", SCOPE_CLIENT, "currentFwVer", integer(given[1].version = round));
        }
        state_set_applied_seq(state, (uint64_t)round);
        checkpoint();
        if (round % 9 == 0)
            reopen_with_slices(1);
        check_given();
    }
    assert_int_equal(access(layer_path(2), F_OK), -1);
    assert_true(layers_on_disk() > 3);
    set("d1", SCOPE_CLIENT, "currentFwVer", integer(given[1].version = ROUNDS + 1));
    reopen_with_slices(0); /* without it */
    given[1].version = ROUNDS;
    check_given();
    set("d1", SCOPE_CLIENT, "currentFwVer", integer(given[1].version = ROUNDS + 1));
    state_set_applied_seq(state, ROUNDS + 1);
    checkpoint();
    assert_int_equal(layers_on_disk(), 0); /* the database has them now */
    reopen();
    check_given();
}

/* Much, then little, then much again, without a restart. */
static void test_layers_begin_anew(void **unused)
{
    (void)unused;
    static char large[3000]; /* so that a device is a page */
    unsigned random = 1;
    memset(large, 'x', sizeof large);
    memset(given, 0, sizeof given);
    reopen_with_slices(60);
    for (int i = 0; i < LAYERED_DEVICES; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%d", i);
        set(name, SCOPE_CLIENT, "k", value_string((struct text){large, sizeof large}));
    }
    for (int64_t round = 1; round <= 40; round++) {
        give(&random, round % 10 == 0 ? 1 : 500, round);
        checkpoint();
        assert_true(round % 10 == 0 ? layers_on_disk() == 0 : layers_on_disk() > 0);
        check_given();
    }
    reopen();
    check_given();
}

/* The same when the disk is full at any moment of it, and then the daemon is killed. */
static void test_layers_survive_a_full_disk(void **unused)
{
    (void)unused;
    unsigned random = 1;
    memset(given, 0, sizeof given);
    reopen_with_slices(1);
    for (int64_t round = 1; round <= 60; round++) {
        give(&random, 40, round);
        full_disk.fails_after = (unsigned)(round % 9) + 2;
        bool whole = state_checkpoint(state, &err);
        full_disk.error = 0;
        full_disk.fails_after = 0;
        check_given();
        if (!whole) {
            assert_int_equal(err.code, ERR_FULL);
            checkpoint();
        }
        reopen_with_slices(round % 10 == 0 ? 0 : 1);
        assert_int_equal(state_applied_seq(state), round);
        check_given();
    }
}

/* Whichever it is, and all of them: what the others say would be wrong. */
static void test_missing_layer_is_told(void **unused)
{
    (void)unused;
    unsigned random = 1;
    const char *away = strdup(temp_dir_path(dir, "away"));
    uint64_t *numbers;
    size_t count;
    memset(given, 0, sizeof given);
    reopen_with_slices(1);
    give(&random, 1000, 1);
    for (int64_t round = 1; round <= 60; round++) {
        give(&random, 60, round);
        checkpoint();
    }
    done(layer_list(dir, &numbers, &count, &err));
    assert_true(count >= 3 && numbers[0] > 1); /* some were given up */
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(rename(layer_path(numbers[i]), away), 0);
        open_fails("missing");
        assert_int_equal(rename(away, layer_path(numbers[i])), 0);
    }
    open_state();
    check_given();
    for (size_t i = 0; i < count; i++)
        assert_int_equal(unlink(layer_path(numbers[i])), 0);
    open_fails("missing");
    free(numbers);
    free((void *)(uintptr_t)away);
}

static void test_backup_has_the_layers(void **unused)
{
    (void)unused;
    unsigned random = 1;
    struct state_snapshot *snapshot;
    struct copying progress = {0};
    char *path = strdup(temp_dir_path(dir, "backup"));
    memset(given, 0, sizeof given);
    reopen_with_slices(1);
    for (int64_t round = 1; round <= 10; round++) {
        give(&random, 60, round);
        checkpoint();
    }
    assert_true(layers_on_disk() > 1);
    done(state_snapshot_take(state, &snapshot, &err));
    for (int64_t round = 11; round <= 60; round++) { /* those of the copy are given up meanwhile */
        set("d0", SCOPE_CLIENT, "later", integer(round));
        state_set_applied_seq(state, (uint64_t)round);
        checkpoint();
    }
    done(state_backup(snapshot, path, &progress, &err));
    state_snapshot_release(snapshot);
    state_close(state);
    struct state_options options = {MAP_BYTES, default_indexes, 3, 0};
    done(state_open(path, &options, &state, &err));
    assert_int_equal(state_applied_seq(state), 10);
    check_given();
    assert_int_equal(number_of(device_find("d0"), SCOPE_CLIENT, "later"), 0);
    free(path);
}

static void open_with_map(uint64_t map_bytes)
{
    struct state_options options = {map_bytes, default_indexes, 3, 0};
    state_close(state);
    done(state_open(dir, &options, &state, &err));
}

static void set_large(int count)
{
    static char large[60000];
    memset(large, 'x', sizeof large);
    for (int i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%d", i);
        set(name, SCOPE_CLIENT, "k", value_string((struct text){large, sizeof large}));
    }
}

static void test_full_map_is_told_before_it_is_full(void **unused)
{
    (void)unused;
    open_with_map(2 << 20);
    set("a", SCOPE_CLIENT, "currentFwVer", text_value("v1"));
    state_set_applied_seq(state, 5);
    checkpoint();
    set_large(60);
    fails(state_checkpoint(state, &err), ERR_FULL, "raise state-map-gib");
    assert_int_equal(state_device_count(state), 61);
    assert_non_null(device_find("d59"));
    reopen();
    assert_int_equal(state_device_count(state), 1);
    assert_int_equal(state_applied_seq(state), 5);
}

/* Layers have no bound; what comes when there is little to do again has. */
static void test_map_too_small_for_the_layers_is_told(void **unused)
{
    (void)unused;
    open_with_map(2 << 20);
    set_large(100);
    state_set_applied_seq(state, 5);
    checkpoint();
    assert_int_equal(layers_on_disk(), 1);
    set("a", SCOPE_CLIENT, "currentFwVer", text_value("v1"));
    state_set_applied_seq(state, 6);
    fails(state_checkpoint(state, &err), ERR_FULL, "raise state-map-gib");
    assert_non_null(device_find("d99"));
    open_with_map(64 << 20);
    assert_int_equal(state_applied_seq(state), 5);
    set("a", SCOPE_CLIENT, "currentFwVer", text_value("v1"));
    state_set_applied_seq(state, 6);
    checkpoint();
    assert_int_equal(layers_on_disk(), 0);
    reopen();
    assert_int_equal(state_device_count(state), 101);
    assert_int_equal(state_applied_seq(state), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STATE_TEST(test_damaged_layer_is_told),
        STATE_TEST(test_layer_of_another_checkpoint_is_told),
        STATE_TEST(test_layers_hide_what_is_older_and_go),
        STATE_TEST(test_times_outlive_their_layers),
        STATE_TEST(test_layers_begin_anew),
        STATE_TEST(test_layers_survive_a_full_disk),
        STATE_TEST(test_layers_stay_where_there_is_no_space_to_take_them),
        STATE_TEST(test_missing_layer_is_told),
        STATE_TEST(test_backup_has_the_layers),
        STATE_TEST(test_full_map_is_told_before_it_is_full),
        STATE_TEST(test_map_too_small_for_the_layers_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

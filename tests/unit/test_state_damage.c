/* What the disk changed by itself is told, and never taken for data. */
#include "store/lmdb_env.h"
#include "tests/unit/state_fixture.h"

static void is_damaged(const char *words)
{
    struct state_options options = {MAP_BYTES, default_indexes, 3, 0};
    state_close(state);
    state = NULL; /* for the teardown */
    fails(state_open(dir, &options, &state, &err), ERR_DAMAGED, words);
    assert_non_null(strstr(err.text, "data.mdb"));
    assert_non_null(strstr(err.text, "move the state folder away"));
}

static void test_flipped_bit_in_a_record_is_damage(void **unused)
{
    (void)unused;
    struct device *device;
    set("a", SCOPE_CLIENT, "key", text_value("the-value-to-hit"));
    set("t", SCOPE_TELEMETRY, "key", text_value("the-reading-to-hit"));
    set("b", SCOPE_CLIENT, "key", text_value("sound"));
    checkpoint();
    state_close(state);
    const char *path = temp_dir_path(dir, "data.mdb");
    assert_true(file_patch(path, "the-value-to-hit", "the-value-to-hiu") > 0);
    assert_true(file_patch(path, "the-reading-to-hit", "the-reading-to-hiu") > 0);
    open_state();
    fails(state_device_find(state, TEXT("a"), &device, &err), ERR_DAMAGED, "checksum");
    assert_non_null(device_find("b"));
    device = device_find("t"); /* its attributes are sound */
    bool found;
    struct attribute attribute;
    fails(device_get(device, SCOPE_TELEMETRY, TEXT("key"), &attribute, &found, &err), ERR_DAMAGED,
          "checksum");
}

static void test_flipped_bit_in_an_index_is_damage(void **unused)
{
    (void)unused;
    set("a", SCOPE_CLIENT, "currentFwVer", text_value("version-to-hit"));
    checkpoint();
    state_close(state);
    assert_true(file_patch(temp_dir_path(dir, "data.mdb"), "version-to-hit", "version-to-hiu") > 2);
    open_state();
    struct device_condition condition = {VERSION, text_value("version-to-hiu")};
    struct device_filter filter = {.conditions = &condition, .condition_count = 1};
    struct text *names, next;
    size_t count;
    uint64_t devices;
    fails(state_devices(state, &filter, TEXT(""), 10, &arena, &names, &count, &next, &err),
          ERR_DAMAGED, "'index' fails its checksum");
    fails(state_index_devices(state, VERSION, &condition.value, &devices, &err), ERR_DAMAGED,
          "counts");
}

static void test_flipped_bits_elsewhere_are_damage(void **unused)
{
    (void)unused;
    static const struct {
        const char *bytes, *patch;
    } rows[] = {
        {"name-of-device", "name-of-devicf"},
        {"n-of-counter", "n-of-countes"},
        {"wordOfKey", "wordOfKez"},
        {"HGFEDCBA", "HGFEDCBB"}, /* applied_seq */
    };
    const char *path = temp_dir_path(dir, "data.mdb");
    set("name-of-device", SCOPE_CLIENT, "wordOfKey", integer(1));
    *state_counter(state, TEXT("n-of-counter")) = 1;
    state_set_applied_seq(state, 0x4142434445464748);
    checkpoint();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(file_patch(path, rows[i].bytes, rows[i].patch) > 0);
        is_damaged("checksum");
        file_patch(path, rows[i].patch, rows[i].bytes);
        open_state();
    }
    assert_non_null(device_find("name-of-device"));
}

static void test_bad_files_are_refused(void **unused)
{
    (void)unused;
    const char *path = temp_dir_path(dir, "data.mdb");
    for (int i = 0; i < 20; i++)
        state_dead_letter_add(state, (struct text){path, 200}, 100);
    change_something(1);
    checkpoint();
    assert_int_equal(truncate(path, 12288), 0);
    is_damaged("cut");
    assert_int_equal(truncate(path, 0), 0);
    is_damaged("empty");
}

static void test_another_database_is_no_state(void **unused)
{
    (void)unused;
    static const struct lmdb_env_kind kind = {.name = "journal", .format = 1, .advice = "-"};
    struct lmdb_env env;
    state_close(state);
    temp_dir_remove(dir);
    dir = temp_dir_make();
    done(lmdb_env_open(&env, &kind, dir, MAP_BYTES, &err));
    lmdb_env_close(&env);
    state = NULL;
    is_damaged("fwsync journal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STATE_TEST(test_flipped_bit_in_a_record_is_damage),
        STATE_TEST(test_flipped_bit_in_an_index_is_damage),
        STATE_TEST(test_flipped_bits_elsewhere_are_damage),
        STATE_TEST(test_bad_files_are_refused),
        STATE_TEST(test_another_database_is_no_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

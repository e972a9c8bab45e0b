/* The state is what the last checkpoint and the changes since say, and every question about many
 * devices is answered as if each had been looked at. */
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "store/layer.h"
#include "store/lmdb_env.h"
#include "store/state.h"
#include "tests/unit/full_disk.h"
#include "tests/unit/temp_dir.h"

enum { MAP_BYTES = 256 << 20 };

static char *dir;
static struct arena arena;
static struct err err;
static struct state *state;

static const struct index_key default_indexes[] = {
    {SCOPE_SERVER, {"fwStateIsSynced", 15}},
    {SCOPE_CLIENT, {"currentFwVer", 12}},
    {SCOPE_SERVER, {"lastTargetFwVer", 15}},
};
enum { SYNCED, VERSION, TARGET };

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

static void open_with(const struct index_key *indexes, size_t count)
{
    struct state_options options = {MAP_BYTES, indexes, count, 0};
    done(state_open(dir, &options, &state, &err));
}

static void open_state(void)
{
    open_with(default_indexes, 3);
}

static void reopen(void)
{
    state_close(state);
    open_state();
}

static void checkpoint(void)
{
    done(state_checkpoint(state, &err));
}

static int setup(void **unused)
{
    (void)unused;
    dir = temp_dir_make();
    arena_init(&arena, 65536);
    memset(&full_disk, 0, sizeof full_disk);
    err = (struct err){0};
    open_state();
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    memset(&full_disk, 0, sizeof full_disk);
    state_close(state);
    arena_fini(&arena);
    temp_dir_remove(dir);
    return 0;
}

static struct device *device_open(const char *name)
{
    struct device *device;
    done(state_device_open(state, text_of(name), (struct text){NULL, 0}, 1000, 0, &device, &err));
    return device;
}

static struct device *device_find(const char *name)
{
    struct device *device;
    done(state_device_find(state, text_of(name), &device, &err));
    return device;
}

static bool put(struct device *device, enum scope scope, const char *key, struct value value,
                int64_t ts_ms, uint64_t seq)
{
    bool changed;
    done(device_put(device, scope, text_of(key), &value, ts_ms, seq, &changed, &err));
    return changed;
}

static bool get(struct device *device, enum scope scope, const char *key,
                struct attribute *attribute)
{
    bool found;
    done(device_get(device, scope, text_of(key), attribute, &found, &err));
    return found;
}

static void save(struct device *device)
{
    done(state_device_save(state, device, &err));
}

/* One attribute of one device, written at once. */
static void set(const char *name, enum scope scope, const char *key, struct value value)
{
    struct device *device = device_open(name);
    put(device, scope, key, value, 1, 1);
    save(device);
}

static struct value text_value(const char *text)
{
    return value_string(text_of(text));
}

static struct value integer(int64_t number)
{
    return (struct value){.kind = VALUE_INTEGER, .integer = number};
}

static uint64_t count_of(size_t index, struct value value)
{
    uint64_t count;
    done(state_index_devices(state, index, &value, &count, &err));
    return count;
}

static uint64_t count_of_type(const char *type)
{
    uint64_t count;
    done(state_type_devices(state, text_of(type), &count, &err));
    return count;
}

/* All names of a list, separated by blanks, taken in pages of `limit`. */
static const char *list(struct device_filter filter, size_t limit)
{
    struct text *names, cursor = {"", 0};
    struct text all = {"", 0};
    size_t count;
    do {
        done(state_devices(state, &filter, cursor, limit, &arena, &names, &count, &cursor, &err));
        assert_in_range(count, 0, limit);
        for (size_t i = 0; i < count; i++)
            all = arena_format(&arena, TEXT_FMT "%s" TEXT_FMT, TEXT_ARG(all), all.len ? " " : "",
                               TEXT_ARG(names[i]));
    } while (cursor.len > 0);
    return all.len == 0 ? "" : all.bytes;
}

/* --- one device --- */

static void test_unknown_device_is_created_once(void **unused)
{
    (void)unused;
    assert_null(device_find("a"));
    assert_int_equal(state_device_count(state), 0);
    struct device *device = device_open("a");
    assert_true(text_is(device_name(device), "a"));
    assert_true(text_is(device_type(device), "default"));
    assert_int_equal(device_created_ms(device), 1000);
    assert_int_equal(device_seen_ms(device), 0);
    done(state_device_open(state, TEXT("a"), (struct text){NULL, 0}, 2000, 3000, &device, &err));
    assert_int_equal(device_created_ms(device), 1000);
    assert_int_equal(device_seen_ms(device), 3000);
    assert_int_equal(state_device_count(state), 1);
    checkpoint();
    reopen();
    assert_int_equal(state_device_count(state), 1);
    device = device_find("a");
    assert_int_equal(device_created_ms(device), 1000);
    assert_int_equal(device_seen_ms(device), 3000);
    assert_null(device_find("b"));
}

static void test_type_stays_until_another_is_given(void **unused)
{
    (void)unused;
    static const struct {
        const char *given, *expected;
    } rows[] = {{"A", "A"}, {"", "A"}, {"B", "B"}, {"B", "B"}};
    for (size_t i = 0; i < 4; i++) {
        struct device *device;
        done(state_device_open(state, TEXT("x"), text_of(rows[i].given), 1, 1, &device, &err));
        assert_true(text_is(device_type(device), rows[i].expected));
        save(device);
    }
    assert_int_equal(count_of_type("A"), 0);
    assert_int_equal(count_of_type("B"), 1);
    assert_int_equal(count_of_type("default"), 0);
    checkpoint();
    reopen();
    assert_true(text_is(device_type(device_find("x")), "B"));
    assert_int_equal(count_of_type("B"), 1);
}

static void test_every_kind_of_value_comes_back(void **unused)
{
    (void)unused;
    static char large[VALUE_BYTES_MAX];
    memset(large, 'x', sizeof large);
    const struct value values[] = {
        value_boolean(true),
        value_boolean(false),
        integer(-5),
        integer(9007199254740992),
        {.kind = VALUE_DOUBLE, .number = 1.0},
        text_value(""),
        text_value("1"),
        value_string((struct text){large, sizeof large}),
        {.kind = VALUE_JSON, .text = TEXT("{}")},
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        for (enum scope scope = SCOPE_CLIENT; scope < SCOPE_COUNT; scope++) {
            struct attribute found;
            struct device *device = device_open("d");
            put(device, scope, "key", values[i], 100 + (int64_t)i, 7 + i);
            save(device);
            if (i % 3 == 0) {
                checkpoint();
                reopen();
            }
            assert_true(get(device_find("d"), scope, "key", &found));
            assert_true(value_equal(&found.value, &values[i]));
            assert_int_equal(found.ts_ms, 100 + i);
            assert_int_equal(found.seq, 7 + i);
        }
}

static void test_unsaved_changes_are_forgotten(void **unused)
{
    (void)unused;
    struct attribute found;
    set("a", SCOPE_CLIENT, "key", integer(1));
    put(device_open("a"), SCOPE_CLIENT, "key", integer(2), 1, 2);
    put(device_open("b"), SCOPE_CLIENT, "key", integer(2), 1, 2);
    assert_true(get(device_find("a"), SCOPE_CLIENT, "key", &found));
    assert_int_equal(found.value.integer, 1);
    assert_false(get(device_find("b"), SCOPE_CLIENT, "key", &found));
}

static void test_equal_value_keeps_its_time(void **unused)
{
    (void)unused;
    struct attribute found;
    struct device *device = device_open("a");
    assert_true(put(device, SCOPE_CLIENT, "key", text_value("v1"), 100, 1));
    assert_false(put(device, SCOPE_CLIENT, "key", text_value("v1"), 200, 2));
    save(device);
    assert_true(get(device, SCOPE_CLIENT, "key", &found));
    assert_int_equal(found.ts_ms, 100);
    assert_int_equal(found.seq, 1);
    assert_true(
        put(device, SCOPE_CLIENT, "key", text_value("v2"), 50, 3)); /* attributes: as given */
    assert_true(get(device, SCOPE_CLIENT, "key", &found));
    assert_int_equal(found.ts_ms, 50);
    assert_int_equal(found.seq, 3);
    assert_true(put(device, SCOPE_CLIENT, "n", integer(1), 1, 4));
    assert_true(
        put(device, SCOPE_CLIENT, "n", (struct value){.kind = VALUE_DOUBLE, .number = 1}, 1, 5));
    assert_true(put(device, SCOPE_CLIENT, "n", text_value("1"), 1, 6));
}

static void test_telemetry_takes_only_newer(void **unused)
{
    (void)unused;
    static const struct {
        int64_t ts_ms;
        int64_t number;
        bool changed;
        int64_t ts_then, number_then;
        uint64_t seq_then;
    } rows[] = {
        {100, 1, true, 100, 1, 1},  {99, 2, false, 100, 1, 1},  {100, 2, true, 100, 2, 3},
        {200, 2, false, 200, 2, 3}, {150, 3, false, 200, 2, 3}, {201, 3, true, 201, 3, 6},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct attribute found;
        struct device *device = device_open("a");
        assert_int_equal(
            put(device, SCOPE_TELEMETRY, "t", integer(rows[i].number), rows[i].ts_ms, i + 1),
            rows[i].changed);
        save(device);
        checkpoint();
        reopen();
        assert_true(get(device_find("a"), SCOPE_TELEMETRY, "t", &found));
        assert_int_equal(found.ts_ms, rows[i].ts_then);
        assert_int_equal(found.value.integer, rows[i].number_then);
        assert_int_equal(found.seq, rows[i].seq_then);
    }
}

/* Otherwise a fleet that reports what it reported before would write all the time. */
static void test_unchanged_report_writes_nothing_but_last_seen(void **unused)
{
    (void)unused;
    for (int i = 0; i < 2000; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%d", i);
        set(name, SCOPE_CLIENT, "currentFwVer", text_value("v1"));
    }
    checkpoint();
    size_t at_rest = state_changes_bytes(state);
    for (int i = 0; i < 2000; i++) {
        char name[16];
        struct device *device;
        snprintf(name, sizeof name, "d%d", i);
        done(state_device_open(state, text_of(name), TEXT("default"), 1, 5000, &device, &err));
        assert_false(put(device, SCOPE_CLIENT, "currentFwVer", text_value("v1"), 9, 9));
        save(device);
    }
    assert_int_equal(state_changes_bytes(state), at_rest); /* the times are kept elsewhere */
    checkpoint();
    reopen();
    assert_int_equal(device_seen_ms(device_find("d1999")), 5000);
}

static void test_delete(void **unused)
{
    (void)unused;
    bool existed;
    struct attribute found;
    set("a", SCOPE_CLIENT, "currentFwVer", text_value("v1"));
    struct device *device = device_open("a");
    done(device_delete(device, SCOPE_SERVER, TEXT("currentFwVer"), &existed, &err));
    assert_false(existed);
    done(device_delete(device, SCOPE_CLIENT, TEXT("currentFwVer"), &existed, &err));
    assert_true(existed);
    save(device);
    assert_int_equal(count_of(VERSION, text_value("v1")), 0);
    checkpoint();
    reopen();
    assert_false(get(device_find("a"), SCOPE_CLIENT, "currentFwVer", &found));
}

struct visited {
    char keys[64];
};

static void visit(void *context, const struct attribute *attribute)
{
    struct visited *visited = context;
    size_t len = strlen(visited->keys);
    snprintf(visited->keys + len, sizeof visited->keys - len, TEXT_FMT " ",
             TEXT_ARG(attribute->key));
}

static void test_each_visits_one_scope_in_order(void **unused)
{
    (void)unused;
    static const char *const keys[] = {"b", "a", "ab", "B", "\303\244"};
    struct device *device = device_open("a");
    for (size_t i = 0; i < 5; i++) {
        put(device, SCOPE_SHARED, keys[i], integer(1), 1, 1);
        put(device, SCOPE_TELEMETRY, keys[i], integer(1), 1, 1);
    }
    put(device, SCOPE_CLIENT, "c", integer(1), 1, 1);
    save(device);
    device = device_find("a");
    static const char *const expected[SCOPE_COUNT] = {"c ", "B a ab b \303\244 ", "",
                                                      "B a ab b \303\244 "};
    for (enum scope scope = SCOPE_CLIENT; scope < SCOPE_COUNT; scope++) {
        struct visited visited = {""};
        done(device_each(device, scope, visit, &visited, &err));
        assert_string_equal(visited.keys, expected[scope]);
    }
}

/* --- timers --- */

static void set_timer(const char *name, int64_t due_ms, int64_t now_ms)
{
    struct device *device = device_open(name);
    device_timer_set(device, due_ms, now_ms);
    save(device);
}

/* The names that are due, in one text. */
static const char *due(int64_t now_ms, size_t limit)
{
    struct text *names, all = TEXT("");
    size_t count;
    done(state_timers_due(state, now_ms, limit, &arena, &names, &count, &err));
    for (size_t i = 0; i < count; i++)
        all = arena_format(&arena, TEXT_FMT "%s" TEXT_FMT, TEXT_ARG(all), i > 0 ? " " : "",
                           TEXT_ARG(names[i]));
    return all.bytes;
}

static void test_timer_is_due_once(void **unused)
{
    (void)unused;
    assert_true(state_timer_next(state) == INT64_MAX);
    set_timer("a", 5001, 5000);
    assert_int_equal(device_timer(device_find("a")), 5001);
    assert_int_equal(state_timer_next(state), 6000);
    assert_string_equal(due(5999, 10), "");
    assert_string_equal(due(6000, 10), "a");
    assert_int_equal(device_timer(device_find("a")), 0);
    assert_string_equal(due(6000, 10), "");
    assert_true(state_timer_next(state) == INT64_MAX);
}

/* Near: to the second. Far: to a power of two of seconds, 1/64 of the distance at most. */
static void test_far_timers_are_found_less_exactly(void **unused)
{
    (void)unused;
    static const struct {
        int64_t due_ms, next_ms;
    } rows[] = {
        {1, 1000},         {999, 1000},        {1000, 1000},        {1001, 2000},
        {127001, 128000},  {127999, 128000},   {128000, 128000},    {128001, 130000},
        {255999, 256000},  {256001, 260000},   {86400000, 87040000}, /* a day: 17 minutes */
        {JSON_INTEGER_MAX, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        set_timer("a", rows[i].due_ms, 0);
        if (rows[i].next_ms != 0)
            assert_int_equal(state_timer_next(state), rows[i].next_ms);
        set_timer("a", 0, 0);
        due(state_timer_next(state), 10);
        assert_true(state_timer_next(state) == INT64_MAX);
    }
}

static void test_timer_that_is_put_off_leaves_its_device_in_place(void **unused)
{
    (void)unused;
    set_timer("a", 10000, 5000);
    set_timer("a", 0, 5000);
    assert_int_equal(state_timer_next(state), 10000);
    set_timer("a", 20000, 6000);
    assert_int_equal(state_timer_next(state), 10000);
    assert_string_equal(due(10000, 10), "");
    assert_int_equal(state_timer_next(state), 20000);
    set_timer("a", 15000, 11000); /* earlier: at once */
    assert_int_equal(state_timer_next(state), 15000);
    assert_string_equal(due(15000, 10), "a");
}

static void test_due_timers_come_first_ones_first_and_not_too_many(void **unused)
{
    (void)unused;
    set_timer("late", 9000, 0);
    set_timer("c", 3000, 0);
    set_timer("a", 2000, 0);
    set_timer("b", 2000, 0);
    set_timer("off", 2000, 0);
    set_timer("off", 0, 0);
    assert_string_equal(due(8000, 2), "a b");
    assert_int_equal(state_timer_next(state), 2000);
    assert_string_equal(due(8000, 1), ""); /* this one was looked at, and had none any more */
    assert_string_equal(due(8000, 10), "c");
    assert_int_equal(state_timer_next(state), 9000);
}

static void test_timers_are_there_after_a_reopen(void **unused)
{
    (void)unused;
    set_timer("a", 5000, 0);
    set_timer("b", 5000, 0);
    set_timer("c", 7000, 0);
    state_set_applied_seq(state, 1);
    checkpoint();
    set_timer("d", 1000, 0); /* in no checkpoint */
    reopen();
    assert_int_equal(state_timer_next(state), 5000);
    assert_string_equal(due(6000, 10), "a b");
    assert_int_equal(state_timer_next(state), 7000);
}

static void test_device_over_its_bound_is_refused_unchanged(void **unused)
{
    (void)unused;
    static char large[VALUE_BYTES_MAX + 1];
    memset(large, 'x', sizeof large);
    struct value value = value_string((struct text){large, VALUE_BYTES_MAX + 1});
    struct attribute found;
    bool changed, ok = true;
    struct device *device = device_open("a");
    fails(device_put(device, SCOPE_CLIENT, TEXT("k"), &value, 1, 1, &changed, &err), ERR_TOO_LARGE,
          "'k'");
    value.text.len = VALUE_BYTES_MAX;
    int count = 0;
    for (; ok && count < 100; count++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", count);
        ok = device_put(device, SCOPE_CLIENT, text_of(key), &value, 1, 1, &changed, &err);
    }
    fails(ok, ERR_TOO_LARGE, "device 'a'");
    assert_int_equal(count, 16); /* 15 fit 1 MiB with their keys, the 16th doesn't */
    assert_false(get(device, SCOPE_CLIENT, "k15", &found));
    put(device, SCOPE_TELEMETRY, "k0", value, 1, 1); /* telemetry has a bound of its own */
    put(device, SCOPE_CLIENT, "k0", text_value("short"), 1, 1);
    save(device);
    checkpoint();
    reopen();
    assert_true(get(device_find("a"), SCOPE_CLIENT, "k14", &found));
    assert_int_equal(found.value.text.len, VALUE_BYTES_MAX);
}

/* --- many devices --- */

static void test_counts_follow_every_change(void **unused)
{
    (void)unused;
    static char large[2][1000];
    memset(large, 'x', sizeof large);
    large[1][999] = 'y';
    struct value long_a = value_string((struct text){large[0], 1000});
    struct value long_b = value_string((struct text){large[1], 1000});
    for (int round = 0; round < 2; round++) {
        set("a", SCOPE_CLIENT, "currentFwVer", text_value("v1"));
        set("b", SCOPE_CLIENT, "currentFwVer", text_value("v1"));
        set("b", SCOPE_SERVER, "currentFwVer", text_value("v1")); /* another attribute */
        assert_int_equal(count_of(VERSION, text_value("v1")), 2);
        set("b", SCOPE_CLIENT, "currentFwVer", integer(1));
        assert_int_equal(count_of(VERSION, text_value("v1")), 1);
        assert_int_equal(count_of(VERSION, integer(1)), 1);
        assert_int_equal(count_of(VERSION, text_value("1")), 0);
        set("a", SCOPE_CLIENT, "currentFwVer", long_a);
        set("b", SCOPE_CLIENT, "currentFwVer", long_b);
        assert_int_equal(count_of(VERSION, long_a), 1);
        assert_int_equal(count_of(VERSION, long_b), 1);
        assert_int_equal(count_of(VERSION, integer(1)), 0);
        assert_int_equal(count_of(VERSION, (struct value){.kind = VALUE_NULL}), 0);
        checkpoint();
        reopen();
        assert_int_equal(count_of(VERSION, long_a), 1);
        assert_int_equal(count_of(VERSION, long_b), 1);
    }
    assert_int_equal(count_of_type("default"), 2);
}

/* More values than the table of counts holds. */
static void test_counts_stay_exact_beyond_memory(void **unused)
{
    (void)unused;
    enum { DEVICE_COUNT = 40000 };
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < DEVICE_COUNT; i++) {
            char name[16];
            snprintf(name, sizeof name, "d%d", i);
            set(name, SCOPE_CLIENT, "currentFwVer", integer(round == 0 ? i : i / 2));
        }
    for (int reopened = 0; reopened < 2; reopened++) {
        for (int i = 0; i < DEVICE_COUNT; i += 7)
            assert_int_equal(count_of(VERSION, integer(i)), i < DEVICE_COUNT / 2 ? 2 : 0);
        checkpoint();
        reopen();
    }
}

static void fill_fleet(void)
{
    for (int i = 0; i < 12; i++) {
        char name[16];
        struct device *device;
        snprintf(name, sizeof name, "%c%d", i % 2 ? 'x' : 'y', 11 - i);
        done(state_device_open(state, text_of(name), i % 3 ? TEXT("A") : TEXT("B"), 1, 1, &device,
                               &err));
        put(device, SCOPE_SERVER, "fwStateIsSynced", value_boolean(i % 4 == 0), 1, 1);
        save(device);
    }
}

static void test_lists_restrict_and_page(void **unused)
{
    (void)unused;
    static const struct {
        int synced; /* -1: any */
        const char *type, *prefix;
        const char *expected;
    } rows[] = {
        {-1, "", "", "x0 x10 x2 x4 x6 x8 y1 y11 y3 y5 y7 y9"},
        {-1, "", "x", "x0 x10 x2 x4 x6 x8"},
        {-1, "", "y1", "y1 y11"},
        {-1, "", "y11", "y11"},
        {-1, "", "z", ""},
        {-1, "B", "", "y11 x8 y5 x2"},
        {-1, "B", "x", "x8 x2"},
        {-1, "C", "", ""},
        {1, "", "", "y11 y7 y3"},
        {1, "B", "", "y11"},
        {0, "B", "", "x8 y5 x2"},
        {0, "A", "y", "y9 y1"},
    };
    fill_fleet();
    for (int reopened = 0; reopened < 2; reopened++) {
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
            for (size_t limit = 1; limit <= 13; limit++) {
                struct device_condition synced = {SYNCED, value_boolean(rows[i].synced == 1)};
                struct device_filter filter = {.conditions = &synced,
                                               .condition_count = rows[i].synced >= 0,
                                               .type = text_of(rows[i].type),
                                               .prefix = text_of(rows[i].prefix)};
                assert_string_equal(list(filter, limit), rows[i].expected);
            }
        checkpoint();
        reopen();
    }
}

static void test_cursor_of_another_list_is_refused(void **unused)
{
    (void)unused;
    static const char *const wrong[] = {"x", "0123456789abcdef:x1", "0123456789abcdef:", ":",
                                        "0123456789abcdef0"};
    struct text *names, cursor = {"", 0}, next;
    struct value_count *values;
    size_t count;
    fill_fleet();
    struct device_filter by_name = {.prefix = TEXT("x")}, by_type = {.type = TEXT("A")};
    done(state_devices(state, &by_name, cursor, 1, &arena, &names, &count, &cursor, &err));
    assert_true(cursor.len > 0);
    fails(state_devices(state, &by_type, cursor, 1, &arena, &names, &count, &next, &err),
          ERR_BAD_QUERY, "cursor");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        fails(state_devices(state, &by_name, text_of(wrong[i]), 1, &arena, &names, &count, &next,
                            &err),
              ERR_BAD_QUERY, "cursor");
        fails(state_index_values(state, 0, text_of(wrong[i]), 1, &arena, &values, &count, &next,
                                 &err),
              ERR_BAD_QUERY, "cursor");
    }
}

/* A filter that nearly nothing passes must not keep everybody waiting. */
static void test_work_of_a_page_is_bounded(void **unused)
{
    (void)unused;
    struct text *names, cursor = {"", 0};
    size_t count, pages = 0, found = 0;
    for (int i = 0; i < 20000; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%d", i);
        device_open(name);
    }
    struct device_filter filter = {.type = TEXT("default"), .prefix = TEXT("d19999")};
    do {
        done(state_devices(state, &filter, cursor, 10, &arena, &names, &count, &cursor, &err));
        found += count;
        pages++;
    } while (cursor.len > 0);
    assert_int_equal(found, 1);
    assert_in_range(pages, 2, 20);
}

static void test_values_of_an_index(void **unused)
{
    (void)unused;
    static char large[1000];
    memset(large, 'x', sizeof large);
    const struct value values[] = {
        value_boolean(true),
        integer(-1),
        integer(300),
        {.kind = VALUE_DOUBLE, .number = 0.5},
        text_value(""),
        text_value("v1.1"),
        {.kind = VALUE_JSON, .text = TEXT("[1]")},
        value_string((struct text){large, 1000}),
    };
    enum { VALUE_COUNT = sizeof values / sizeof values[0] };
    for (int i = 0; i < 3 * VALUE_COUNT; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%d", i);
        set(name, SCOPE_CLIENT, "currentFwVer", text_value("gone"));
        set(name, SCOPE_CLIENT, "currentFwVer", values[i % VALUE_COUNT]);
    }
    for (size_t limit = 1; limit < 10; limit++) {
        struct text cursor = {"", 0};
        size_t seen = 0;
        do {
            struct value_count *page;
            size_t count;
            done(state_index_values(state, VERSION, cursor, limit, &arena, &page, &count, &cursor,
                                    &err));
            for (size_t i = 0; i < count; i++, seen++) {
                assert_int_equal(page[i].count, 3);
                assert_true(value_equal(&page[i].value, &values[seen]));
            }
        } while (cursor.len > 0);
        assert_int_equal(seen, VALUE_COUNT);
    }
    struct value_count *types;
    struct text next;
    size_t count;
    done(state_type_values(state, TEXT(""), 10, &arena, &types, &count, &next, &err));
    assert_int_equal(count, 1);
    assert_int_equal(types[0].count, 3 * VALUE_COUNT);
    assert_true(text_is(types[0].value.text, "default"));
}

static void test_changed_list_of_indexes_is_noticed(void **unused)
{
    (void)unused;
    size_t index;
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%d", i);
        set(name, SCOPE_SERVER, "fwStateIsSynced", value_boolean(i % 4 == 0));
        set(name, SCOPE_CLIENT, "model", integer(i % 10));
    }
    checkpoint();
    state_close(state);
    /* "model" is new and first, the version and the target are gone */
    const struct index_key other[] = {{SCOPE_CLIENT, TEXT("model")}, default_indexes[SYNCED]};
    open_with(other, 2);
    assert_int_equal(state_index_count(state), 2);
    assert_true(state_index_find(state, SCOPE_CLIENT, TEXT("model"), &index));
    assert_int_equal(index, 0);
    assert_false(state_index_find(state, SCOPE_SERVER, TEXT("model"), &index));
    assert_false(state_index_find(state, SCOPE_CLIENT, TEXT("currentFwVer"), &index));
    assert_true(text_is(state_index_key(state, 1).key, "fwStateIsSynced"));
    assert_int_equal(count_of(0, integer(3)), 10);
    assert_int_equal(count_of(1, value_boolean(true)), 25);
    struct device_condition condition = {0, integer(7)};
    struct device_filter filter = {.conditions = &condition, .condition_count = 1};
    assert_string_equal(list(filter, 100), "d7 d17 d27 d37 d47 d57 d67 d77 d87 d97");
    set("d7", SCOPE_CLIENT, "model", integer(8));
    checkpoint();
    state_close(state);
    open_with(NULL, 0);
    set("d8", SCOPE_CLIENT, "model", integer(7)); /* not indexed now */
    checkpoint();
    state_close(state);
    open_with(other, 2);
    assert_int_equal(count_of(0, integer(7)), 10);
    assert_int_equal(count_of(0, integer(8)), 10);
}

/* Open while the disk gets full after so many commits, then once more. Was it interrupted? */
static bool open_interrupted(const struct index_key *indexes, size_t count, unsigned commits)
{
    struct state_options options = {MAP_BYTES, indexes, count, 0};
    state_close(state);
    full_disk.fails_after = commits;
    bool ok = state_open(dir, &options, &state, &err);
    full_disk.error = 0;
    full_disk.fails_after = 0;
    if (ok)
        return false;
    fails(ok, ERR_FULL, "no space");
    open_with(indexes, count);
    return true;
}

/* An index that was not finished is not half believed at the next start. */
static void test_interrupted_building_starts_over(void **unused)
{
    (void)unused;
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%d", i);
        set(name, SCOPE_CLIENT, "model", integer(i % 10));
    }
    checkpoint();
    const struct index_key other[] = {{SCOPE_CLIENT, TEXT("model")}, default_indexes[SYNCED]};
    unsigned failures = 0;
    for (unsigned i = 0; i < 10; i++) {
        unsigned commits = 1 + i / 2;
        failures += open_interrupted(other, 2, commits);
        for (int model = 0; model < 10; model++)
            assert_int_equal(count_of(0, integer(model)), 10);
        struct device_condition condition = {0, integer(7)};
        struct device_filter filter = {.conditions = &condition, .condition_count = 1};
        assert_string_equal(list(filter, 100), "d7 d17 d27 d37 d47 d57 d67 d77 d87 d97");
        failures += open_interrupted(NULL, 0, commits);
    }
    assert_true(failures >= 3);
}

/* --- checkpoints --- */

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

static void change_something(int round)
{
    for (int i = 0; i < 500; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%d", i * (round + 1) % 900);
        set(name, SCOPE_CLIENT, "currentFwVer", integer(round));
    }
    state_set_applied_seq(state, 100 * (uint64_t)(round + 1));
    *state_counter(state, TEXT("n")) = (uint64_t)round;
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

static void reopen_with_slices(size_t slice_pages)
{
    struct state_options options = {MAP_BYTES, default_indexes, 3, slice_pages};
    state_close(state);
    done(state_open(dir, &options, &state, &err));
}

/* A checkpoint of many transactions that ends after each of them in turn: the next open finishes it. */
static void test_interrupted_slices_are_finished_at_the_next_open(void **unused)
{
    (void)unused;
    bool whole = false;
    struct device *device;
    for (unsigned commits = 2; !whole; commits++) { /* the first one is of last-seen times */
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

/* Leaves a checkpoint half written, with its layer. */
static void interrupt_a_checkpoint(void)
{
    reopen_with_slices(1);
    change_something(1);
    full_disk.fails_after = 2;
    fails(state_checkpoint(state, &err), ERR_FULL, "no space");
    full_disk.error = 0;
    full_disk.fails_after = 0;
}

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

/* --- layers --- */

enum { LAYERED_DEVICES = 700 };

/* What each device was last given. */
static struct {
    int64_t version;
    int64_t reading; /* 0: none */
} given[LAYERED_DEVICES];

static void give(unsigned *random, int count, int64_t value)
{
    for (int i = 0; i < count; i++) {
        char name[16];
        *random = *random * 1103515245 + 12345;
        unsigned number = (*random >> 8) % LAYERED_DEVICES;
        snprintf(name, sizeof name, "d%u", number);
        set(name, SCOPE_CLIENT, "currentFwVer", integer(value));
        given[number].version = value;
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

/* Much, then little, then much again, without a restart. */
static void test_layers_begin_anew(void **unused)
{
    (void)unused;
    static char large[3000]; /* so that a device is a page */
    unsigned random = 1;
    memset(large, 'x', sizeof large);
    memset(given, 0, sizeof given);
    reopen_with_slices(40);
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

static void test_missing_layer_is_told(void **unused)
{
    (void)unused;
    unsigned random = 1;
    reopen_with_slices(1);
    give(&random, 1000, 1);
    for (int64_t round = 1; round <= 20; round++) { /* a few are there, whenever it is */
        give(&random, 30, round);
        checkpoint();
    }
    assert_int_equal(unlink(layer_path(19)), 0);
    open_fails("layer 14 beside it leads on from event 19, and the one before it is missing");
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

/* --- damage --- */

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

/* --- dead letters, rule sets, counters --- */

static void test_oldest_dead_letters_go(void **unused)
{
    (void)unused;
    struct text *letters;
    size_t count;
    uint64_t next = 0;
    for (int i = 1; i <= 25; i++)
        state_dead_letter_add(state, arena_format(&arena, "{\"n\":%d}", i), 10);
    assert_int_equal(state_dead_letter_count(state), 10);
    assert_int_equal(state_dead_letter_trimmed(state), 15);
    checkpoint();
    reopen();
    int expected = 25;
    do {
        done(state_dead_letters(state, next, 3, &arena, &letters, &count, &next, &err));
        for (size_t i = 0; i < count; i++, expected--)
            assert_true(text_equal(letters[i], arena_format(&arena, "{\"n\":%d}", expected)));
    } while (next != 0);
    assert_int_equal(expected, 15);
    state_dead_letter_add(state, TEXT("{}"), 2); /* the bound was lowered */
    assert_int_equal(state_dead_letter_count(state), 2);
    state_dead_letter_add(state, TEXT("{}"), 0);
    assert_int_equal(state_dead_letter_count(state), 0);
    assert_int_equal(state_dead_letter_trimmed(state), 27);
    done(state_dead_letters(state, 0, 3, &arena, &letters, &count, &next, &err));
    assert_int_equal(count, 0);
    assert_int_equal(next, 0);
}

static void test_last_activated_rule_set_is_active(void **unused)
{
    (void)unused;
    struct text version, bundle;
    uint64_t seq;
    int64_t since_ms;
    done(state_ruleset_active(state, &arena, &version, &bundle, &seq, &since_ms, &err));
    assert_int_equal(version.len, 0);
    state_ruleset_activate(state, TEXT("f00"), TEXT("first"), 1, 100);
    state_ruleset_activate(state, TEXT("ba4"), TEXT("second"), 300, 200);
    checkpoint();
    reopen();
    done(state_ruleset_active(state, &arena, &version, &bundle, &seq, &since_ms, &err));
    assert_true(text_is(version, "ba4") && text_is(bundle, "second"));
    assert_int_equal(seq, 300);
    assert_int_equal(since_ms, 200);
    state_ruleset_activate(state, TEXT("f00"), TEXT("first"), 70000, 300); /* back */
    done(state_ruleset_active(state, &arena, &version, &bundle, &seq, &since_ms, &err));
    assert_true(text_is(version, "f00") && text_is(bundle, "first"));
    struct ruleset_activation *rulesets;
    size_t count;
    bool found;
    done(state_rulesets(state, 10, &arena, &rulesets, &count, &err));
    assert_int_equal(count, 3);
    assert_int_equal(rulesets[0].seq, 70000);
    assert_true(text_is(rulesets[1].version, "ba4"));
    assert_int_equal(rulesets[2].since_ms, 100);
    done(state_ruleset_bundle(state, TEXT("ba4"), &arena, &bundle, &found, &err));
    assert_true(found && text_is(bundle, "second"));
    done(state_ruleset_bundle(state, TEXT("other"), &arena, &bundle, &found, &err));
    assert_false(found);
}

static void add_up(void *context, struct text name, uint64_t number)
{
    (void)name;
    *(uint64_t *)context += number;
}

static void test_counters_are_bounded_and_kept(void **unused)
{
    (void)unused;
    for (int i = 0; i < 256; i++)
        *state_counter(state, arena_format(&arena, "%s/%d", i % 2 ? "n" : "total", i)) = 1;
    assert_null(state_counter(state, TEXT("one too many")));
    checkpoint();
    reopen();
    assert_null(state_counter(state, TEXT("one too many")));
    uint64_t sum = 0;
    state_counter_each(state, TEXT("n/"), add_up, &sum);
    assert_int_equal(sum, 128);
}

static void test_backup_is_the_checkpoint_that_was_held(void **unused)
{
    (void)unused;
    struct state_options options = {MAP_BYTES, default_indexes, 3, 0};
    struct state_snapshot *snapshot;
    struct copying progress = {0};
    char *path = strdup(temp_dir_path(dir, "backup"));
    set("a", SCOPE_CLIENT, "currentFwVer", text_value("v1"));
    for (int i = 0; i < 2000; i++)
        set(arena_format(&arena, "d%d", i).bytes, SCOPE_CLIENT, "x", text_value("one"));
    checkpoint();
    uint64_t bytes = state_bytes(state);
    set("a", SCOPE_CLIENT, "currentFwVer", text_value("v2"));
    done(state_snapshot_take(state, &snapshot, &err));
    for (int round = 0; round < 5; round++) { /* every page of the checkpoint is given up, and again */
        for (int i = 0; i < 2000; i++)
            set(arena_format(&arena, "d%d", i).bytes, SCOPE_CLIENT, "x", value_boolean(round % 2 == 0));
        checkpoint();
    }
    done(state_backup(snapshot, path, &progress, &err));
    state_snapshot_release(snapshot);
    assert_true(atomic_load(&progress.bytes) >= bytes); /* and the history */
    assert_int_equal(count_of(VERSION, text_value("v2")), 1);
    state_close(state);
    done(state_open(path, &options, &state, &err));
    assert_int_equal(count_of(VERSION, text_value("v1")), 1);
    assert_int_equal(state_device_count(state), 2001);
    set("b", SCOPE_CLIENT, "currentFwVer", text_value("v1"));
    checkpoint();
    state_close(state);
    done(state_open(path, &options, &state, &err));
    assert_int_equal(count_of(VERSION, text_value("v1")), 2);
    free(path);
}

static void test_backup_copies_no_damage(void **unused)
{
    (void)unused;
    struct state_snapshot *snapshot;
    struct copying progress = {0};
    set("a", SCOPE_CLIENT, "key", text_value("the-value-to-hit"));
    checkpoint();
    state_close(state);
    assert_true(file_patch(temp_dir_path(dir, "data.mdb"), "the-value-to-hit", "the-value-to-hiu") > 0);
    open_state();
    done(state_snapshot_take(state, &snapshot, &err));
    fails(state_backup(snapshot, temp_dir_path(dir, "backup"), &progress, &err), ERR_DAMAGED, "'devices'");
    state_snapshot_release(snapshot);
}

static void test_backup_can_be_stopped(void **unused)
{
    (void)unused;
    struct state_snapshot *snapshot;
    struct copying progress = {.stop = true};
    set("a", SCOPE_CLIENT, "currentFwVer", text_value("v1"));
    checkpoint();
    done(state_snapshot_take(state, &snapshot, &err));
    assert_false(state_backup(snapshot, temp_dir_path(dir, "backup"), &progress, &err));
    assert_int_equal(err.code, ERR_BUSY);
    state_snapshot_release(snapshot);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_unknown_device_is_created_once),
        TEST(test_type_stays_until_another_is_given),
        TEST(test_every_kind_of_value_comes_back),
        TEST(test_unsaved_changes_are_forgotten),
        TEST(test_equal_value_keeps_its_time),
        TEST(test_telemetry_takes_only_newer),
        TEST(test_unchanged_report_writes_nothing_but_last_seen),
        TEST(test_delete),
        TEST(test_each_visits_one_scope_in_order),
        TEST(test_timer_is_due_once),
        TEST(test_far_timers_are_found_less_exactly),
        TEST(test_timer_that_is_put_off_leaves_its_device_in_place),
        TEST(test_due_timers_come_first_ones_first_and_not_too_many),
        TEST(test_timers_are_there_after_a_reopen),
        TEST(test_device_over_its_bound_is_refused_unchanged),
        TEST(test_counts_follow_every_change),
        TEST(test_counts_stay_exact_beyond_memory),
        TEST(test_lists_restrict_and_page),
        TEST(test_cursor_of_another_list_is_refused),
        TEST(test_work_of_a_page_is_bounded),
        TEST(test_values_of_an_index),
        TEST(test_changed_list_of_indexes_is_noticed),
        TEST(test_interrupted_building_starts_over),
        TEST(test_close_without_checkpoint_goes_back),
        TEST(test_no_space_is_seen_before_the_checkpoint),
        TEST(test_failed_checkpoint_loses_nothing),
        TEST(test_unknown_outcome_stops),
        TEST(test_changes_during_a_checkpoint_are_seen_and_not_in_it),
        TEST(test_interrupted_slices_are_finished_at_the_next_open),
        TEST(test_damaged_layer_is_told),
        TEST(test_layer_of_another_checkpoint_is_told),
        TEST(test_missing_layer_is_told),
        TEST(test_layers_hide_what_is_older_and_go),
        TEST(test_layers_begin_anew),
        TEST(test_layers_survive_a_full_disk),
        TEST(test_backup_has_the_layers),
        TEST(test_failed_attempts_dont_grow_the_file),
        TEST(test_interrupted_slices_are_finished_without_a_restart),
        TEST(test_full_map_is_told_before_it_is_full),
        TEST(test_map_too_small_for_the_layers_is_told),
        TEST(test_pages_taken_and_given_back_are_no_damage),
        TEST(test_rest_forgets_only_what_is_on_disk),
        TEST(test_flipped_bit_in_a_record_is_damage),
        TEST(test_flipped_bit_in_an_index_is_damage),
        TEST(test_flipped_bits_elsewhere_are_damage),
        TEST(test_bad_files_are_refused),
        TEST(test_another_database_is_no_state),
        TEST(test_oldest_dead_letters_go),
        TEST(test_last_activated_rule_set_is_active),
        TEST(test_counters_are_bounded_and_kept),
        TEST(test_backup_is_the_checkpoint_that_was_held),
        TEST(test_backup_copies_no_damage),
        TEST(test_backup_can_be_stopped),
    };
    signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

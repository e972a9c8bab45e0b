/* The state is what the last checkpoint and the changes since say, and every question about many
 * devices is answered as if each had been looked at. */
#include "tests/unit/state_fixture.h"

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
        done(state_dead_letters(state, next, 3, SIZE_MAX, &arena, &letters, &count, &next, &err));
        for (size_t i = 0; i < count; i++, expected--)
            assert_true(text_equal(letters[i], arena_format(&arena, "{\"n\":%d}", expected)));
    } while (next != 0);
    assert_int_equal(expected, 15);
    state_dead_letter_add(state, TEXT("{}"), 2); /* the bound was lowered */
    assert_int_equal(state_dead_letter_count(state), 2);
    state_dead_letter_add(state, TEXT("{}"), 0);
    assert_int_equal(state_dead_letter_count(state), 0);
    assert_int_equal(state_dead_letter_trimmed(state), 27);
    done(state_dead_letters(state, 0, 3, SIZE_MAX, &arena, &letters, &count, &next, &err));
    assert_int_equal(count, 0);
    assert_int_equal(next, 0);
}

static void test_dead_letters_come_by_their_bytes(void **unused)
{
    (void)unused;
    struct text *letters;
    size_t count;
    uint64_t next = 0;
    static const size_t fitting[] = {3, 2, 1}; /* of 8 bytes each, in 24, 23 and none */
    for (int i = 10; i < 16; i++)
        state_dead_letter_add(state, arena_format(&arena, "{\"n\":%d}", i), 10);
    for (size_t i = 0; i < 3; i++) {
        done(state_dead_letters(state, next, 5, (size_t[]){24, 23, 0}[i], &arena, &letters, &count, &next, &err));
        assert_int_equal(count, fitting[i]);
    }
    assert_true(text_is(letters[0], "{\"n\":10}"));
    assert_int_equal(next, 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        STATE_TEST(test_unknown_device_is_created_once),
        STATE_TEST(test_type_stays_until_another_is_given),
        STATE_TEST(test_every_kind_of_value_comes_back),
        STATE_TEST(test_unsaved_changes_are_forgotten),
        STATE_TEST(test_equal_value_keeps_its_time),
        STATE_TEST(test_telemetry_takes_only_newer),
        STATE_TEST(test_unchanged_report_writes_nothing_but_last_seen),
        STATE_TEST(test_delete),
        STATE_TEST(test_each_visits_one_scope_in_order),
        STATE_TEST(test_timer_is_due_once),
        STATE_TEST(test_far_timers_are_found_less_exactly),
        STATE_TEST(test_timer_that_is_put_off_leaves_its_device_in_place),
        STATE_TEST(test_due_timers_come_first_ones_first_and_not_too_many),
        STATE_TEST(test_timers_are_there_after_a_reopen),
        STATE_TEST(test_device_over_its_bound_is_refused_unchanged),
        STATE_TEST(test_counts_follow_every_change),
        STATE_TEST(test_counts_stay_exact_beyond_memory),
        STATE_TEST(test_lists_restrict_and_page),
        STATE_TEST(test_cursor_of_another_list_is_refused),
        STATE_TEST(test_work_of_a_page_is_bounded),
        STATE_TEST(test_values_of_an_index),
        STATE_TEST(test_changed_list_of_indexes_is_noticed),
        STATE_TEST(test_interrupted_building_starts_over),
        STATE_TEST(test_oldest_dead_letters_go),
        STATE_TEST(test_dead_letters_come_by_their_bytes),
        STATE_TEST(test_counters_are_bounded_and_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

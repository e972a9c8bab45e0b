#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/changes.h"

enum { BY_BYTES = 1, BY_NUMBER = 2 };

static struct changes changes;

static void put(unsigned db, const char *key, const char *value)
{
    size_t len = strlen(value);
    memcpy(changes_put(&changes, db, text_of(key), len), value, len);
}

static bool holds(unsigned db, const char *key, const char *value)
{
    const struct change *change = changes_find(&changes, db, text_of(key));
    return change != NULL && !change->is_deleted && text_is(change_value(change), value);
}

static int setup(void **unused)
{
    (void)unused;
    changes_init(&changes);
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    changes_fini(&changes);
    return 0;
}

static void test_last_write_counts(void **unused)
{
    (void)unused;
    assert_null(changes_find(&changes, BY_BYTES, TEXT("a")));
    put(BY_BYTES, "a", "short");
    put(BY_BYTES, "b", "other");
    put(BY_BYTES, "a", "a value that needs more room than the first one had");
    assert_true(holds(BY_BYTES, "a", "a value that needs more room than the first one had"));
    put(BY_BYTES, "a", "");
    assert_true(holds(BY_BYTES, "a", ""));
    changes_delete(&changes, BY_BYTES, TEXT("a"));
    assert_true(changes_find(&changes, BY_BYTES, TEXT("a"))->is_deleted);
    put(BY_BYTES, "a", "again");
    assert_true(holds(BY_BYTES, "a", "again") && holds(BY_BYTES, "b", "other"));
    assert_null(changes_find(&changes, BY_NUMBER, TEXT("a"))); /* another sub-database */
    assert_int_equal(changes.count, 2);
}

static void test_many_rows_are_all_found_and_forgotten(void **unused)
{
    (void)unused;
    enum { COUNT = 50000 };
    size_t at_rest = changes_bytes(&changes);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t key = i * 2654435761u; /* each once */
        memcpy(changes_put(&changes, BY_NUMBER, (struct text){(char *)&key, 4}, 4), &i, 4);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t key = i * 2654435761u;
        const struct change *change = changes_find(&changes, BY_NUMBER, (struct text){(char *)&key, 4});
        assert_non_null(change);
        assert_memory_equal(change_value(change).bytes, &i, 4);
    }
    assert_true(changes_bytes(&changes) > COUNT * sizeof(struct change));
    changes_clear(&changes);
    assert_int_equal(changes.count, 0);
    assert_null(changes_find(&changes, BY_NUMBER, (struct text){"\0\0\0\0", 4}));
    put(BY_BYTES, "few", "rows");
    changes_clear(&changes); /* gives back what only the many needed */
    put(BY_BYTES, "few", "rows");
    changes_clear(&changes);
    for (int i = 0; i < 20; i++) {
        put(BY_BYTES, "few", "rows");
        changes_clear(&changes);
    }
    assert_in_range(changes_bytes(&changes), 1, at_rest);
}

static void test_rest_gives_memory_back_and_places_go_on(void **unused)
{
    (void)unused;
    size_t at_rest = changes_bytes(&changes);
    uint32_t place = 0;
    changes_follow(&changes, 7);
    for (int i = 0; i < 5000; i++, place = 0)
        memcpy(changes_put_at(&changes, &place, BY_BYTES, TEXT("k"), 1), "v", 1);
    changes_clear(&changes);
    assert_non_null(changes.arena.spare);
    assert_true(changes_bytes(&changes) > at_rest);
    changes_rest(&changes);
    assert_null(changes.arena.spare);
    assert_int_equal(changes_bytes(&changes), at_rest);
    assert_int_equal(changes_end_place(&changes), 7);
}

static void test_rows_come_in_the_order_of_the_database(void **unused)
{
    (void)unused;
    static const char *const keys[] = {"b", "abc", "ab", "abcdefghi", "abcdefgh", "a\377", "B"};
    static const char *const sorted[] = {"B", "ab", "abc", "abcdefgh", "abcdefghi", "a\377", "b"};
    static const uint32_t numbers[] = {256, 1, 65536, 255, 0};
    static const uint32_t rising[] = {0, 1, 255, 256, 65536};
    size_t count;
    for (size_t i = 0; i < 7; i++)
        put(BY_BYTES, keys[i], "x");
    for (size_t i = 0; i < 5; i++)
        changes_put(&changes, BY_NUMBER, (struct text){(const char *)&numbers[i], 4}, 0);
    const struct change **rows = changes_sorted(&changes, BY_BYTES, TEXT(""), false, &count);
    assert_int_equal(count, 7);
    for (size_t i = 0; i < 7; i++)
        assert_true(text_is(change_key(rows[i]), sorted[i]));
    free(rows);
    rows = changes_sorted(&changes, BY_BYTES, TEXT("abc"), false, &count);
    assert_int_equal(count, 3);
    assert_true(text_is(change_key(rows[0]), "abc"));
    free(rows);
    rows = changes_sorted(&changes, BY_NUMBER, TEXT(""), true, &count);
    assert_int_equal(count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_memory_equal(change_key(rows[i]).bytes, &rising[i], 4);
    free(rows);
    assert_null(changes_sorted(&changes, BY_BYTES, TEXT("none"), false, &count));
    assert_int_equal(count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_last_write_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_rows_are_all_found_and_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rest_gives_memory_back_and_places_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rows_come_in_the_order_of_the_database, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

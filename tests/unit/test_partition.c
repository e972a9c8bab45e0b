/* Where a device belongs never changes, and neither does the number of partitions of a folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "engine/service/partition.h"
#include "tests/unit/temp_dir.h"

enum { NAMES = 20000 };

/* Each of `count` partitions has its share of these names, within a tenth. */
static void is_spread(void (*name_of)(unsigned number, char name[32]), unsigned count)
{
    unsigned counts[PARTITION_COUNT_MAX] = {0};
    for (unsigned i = 0; i < NAMES; i++) {
        char name[32];
        name_of(i, name);
        counts[partition_of(text_of(name), count)]++;
    }
    for (unsigned i = 0; i < count; i++)
        assert_in_range(counts[i], NAMES / count * 9 / 10, NAMES / count * 11 / 10 + 1);
}

static void in_sequence(unsigned number, char name[32])
{
    snprintf(name, 32, "ESP32_%06u", number);
}

static void twice(unsigned number, char name[32])
{
    snprintf(name, 32, "sn-%u-%u", number, number);
}

/* With a check digit as articles of trade have it (GTIN-13): the digits' weighted sum is a multiple of ten. */
static void checked(unsigned number, char name[32])
{
    unsigned sum = 0;
    snprintf(name, 32, "4012345%05u", number);
    for (unsigned i = 0; i < 12; i++)
        sum += (unsigned)(name[i] - '0') * (i % 2 == 0 ? 1 : 3);
    snprintf(name + 12, 20, "%u", (10 - sum % 10) % 10);
}

static void test_devices_are_spread_evenly(void **unused)
{
    (void)unused;
    for (unsigned count = 1; count <= PARTITION_COUNT_MAX; count++) {
        is_spread(in_sequence, count);
        is_spread(twice, count);
        is_spread(checked, count);
    }
}

static void test_the_first_state_is_where_it_was(void **unused)
{
    char name[PARTITION_DIR_BYTES];
    (void)unused;
    partition_dir(0, name);
    assert_string_equal(name, "state");
    partition_dir(15, name);
    assert_string_equal(name, "state-15");
}

static void is_refused(const char *dir, unsigned count, const char *made_with)
{
    struct err err;
    assert_false(partition_note_count(dir, count, false, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_non_null(strstr(err.text, made_with));
}

static void test_a_folder_keeps_its_number(void **unused)
{
    struct err err;
    char *dir = temp_dir_make();
    (void)unused;
    assert_true(partition_note_count(dir, 3, true, &err));
    assert_true(partition_note_count(dir, 3, false, &err));
    is_refused(dir, 1, "made with 3");
    is_refused(dir, 4, "made with 3");
    assert_true(partition_note_count(dir, 3, false, &err));
    temp_dir_remove(dir);
}

static void test_a_folder_without_a_note_has_one(void **unused)
{
    struct err err;
    char *dir = temp_dir_make();
    (void)unused;
    assert_true(partition_note_count(dir, 1, true, &err));
    is_refused(dir, 2, "made with 1");
    assert_true(partition_note_count(dir, 1, false, &err));
    temp_dir_remove(dir);
}

/* The process or the machine ended while it was written: no event was taken yet. */
static void test_a_torn_note_is_written_anew(void **unused)
{
    struct err err;
    char *dir = temp_dir_make();
    FILE *file = fopen(temp_dir_path(dir, PARTITION_COUNT_FILE), "w");
    (void)unused;
    assert_non_null(file);
    fputs("1", file); /* of 12 */
    fclose(file);
    assert_true(partition_note_count(dir, 12, true, &err));
    is_refused(dir, 1, "made with 12");
    temp_dir_remove(dir);
}

/* With one, it would serve a part of the devices without a word. */
static void test_a_lost_note_is_missed(void **unused)
{
    struct err err;
    char *dir = temp_dir_make();
    (void)unused;
    assert_int_equal(mkdir(temp_dir_path(dir, "state-1"), 0750), 0);
    for (unsigned count = 1; count <= 2; count++) {
        assert_false(partition_note_count(dir, count, false, &err));
        assert_int_equal(err.code, ERR_DAMAGED);
        assert_non_null(strstr(err.text, "one more than there are folders"));
    }
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_devices_are_spread_evenly),
        cmocka_unit_test(test_the_first_state_is_where_it_was),
        cmocka_unit_test(test_a_folder_keeps_its_number),
        cmocka_unit_test(test_a_folder_without_a_note_has_one),
        cmocka_unit_test(test_a_torn_note_is_written_anew),
        cmocka_unit_test(test_a_lost_note_is_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

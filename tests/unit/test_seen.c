/* When devices were last seen: what changed is taken once, and comes back from bytes as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/seen.h"

enum { DEVICES = 1200, BLOCKS = 3 };

static struct seen seen;

static int setup(void **unused)
{
    (void)unused;
    seen_grow(&seen, DEVICES);
    assert_int_equal(seen.block_count, BLOCKS);
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    seen_fini(&seen);
    return 0;
}

static void test_what_changed_is_taken_once(void **unused)
{
    (void)unused;
    struct seen_times times[BLOCKS];
    assert_int_equal(seen_take(&seen, times), 0);
    seen_set(&seen, 0, 5);
    seen_set(&seen, 499, 6);
    seen_set(&seen, 1199, 7);
    assert_int_equal(seen_take(&seen, times), 2);
    assert_true(seen_has_any(&times[0]) && !seen_has_any(&times[1]) && seen_has_any(&times[2]));
    assert_int_equal(seen_packed_len(&times[0]) - seen_packed_len(&times[1]), 2 * sizeof(int64_t));
    assert_ptr_equal(times[2].block, seen.blocks[2]);
    seen_set(&seen, 0, 5); /* as it was */
    assert_int_equal(seen_take(&seen, times), 0);
}

/* In another block only the times that were packed are set. */
static void test_times_come_back(void **unused)
{
    (void)unused;
    struct seen_times times[BLOCKS];
    char bytes[SEEN_BYTES_MAX];
    for (uint32_t id = 0; id < SEEN_BLOCK_COUNT; id++)
        seen_set(&seen, id, -1);
    seen_take(&seen, times);
    assert_true(seen_has_all(&times[0]) && !seen_has_all(&times[1]));
    for (uint32_t id = 0; id < SEEN_BLOCK_COUNT; id += 7)
        seen_set(&seen, id, INT64_MAX - id);
    seen_take(&seen, times);
    size_t len = seen_pack(&times[0], bytes);
    assert_int_equal(len, seen_packed_len(&times[0]));
    assert_true(seen_unpack(seen.blocks[1], (struct text){bytes, len}));
    for (uint32_t i = 0; i < SEEN_BLOCK_COUNT; i++)
        assert_int_equal(seen_get(&seen, SEEN_BLOCK_COUNT + i), i % 7 == 0 ? INT64_MAX - i : 0);
    seen_want_all(&times[0]);
    len = seen_pack(&times[0], bytes);
    assert_int_equal(len, SEEN_BYTES_MAX);
    assert_true(seen_unpack(seen.blocks[1], (struct text){bytes, len}));
    for (uint32_t i = 0; i < SEEN_BLOCK_COUNT; i++)
        assert_int_equal(seen_get(&seen, SEEN_BLOCK_COUNT + i), i % 7 == 0 ? INT64_MAX - i : -1);
}

static void test_other_bytes_are_refused(void **unused)
{
    (void)unused;
    struct seen_times times[BLOCKS];
    char bytes[SEEN_BYTES_MAX + sizeof(int64_t)] = {0};
    seen_set(&seen, 3, 1);
    seen_take(&seen, times);
    size_t len = seen_pack(&times[0], bytes);
    struct seen_block *block = seen.blocks[1];
    assert_false(seen_unpack(block, (struct text){bytes, 0}));
    assert_false(seen_unpack(block, (struct text){bytes, sizeof times->which - 1}));
    assert_false(seen_unpack(block, (struct text){bytes, len - 1}));
    assert_false(seen_unpack(block, (struct text){bytes, len + sizeof(int64_t)}));
    bytes[sizeof times->which - 1] = (char)0x80; /* the time of a 512th device */
    assert_false(seen_unpack(block, (struct text){bytes, len + sizeof(int64_t)}));
    for (uint32_t i = 0; i < SEEN_BLOCK_COUNT; i++)
        assert_int_equal(seen_get(&seen, SEEN_BLOCK_COUNT + i), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_changed_is_taken_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_times_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_bytes_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

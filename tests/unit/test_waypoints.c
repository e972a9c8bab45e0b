/* Places in a log, found by their numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/waypoints.h"

/* Event n is at n * 1,000: one in 66 is kept. */
static uint64_t place_of(uint64_t seq)
{
    return seq * 1000;
}

static void note(struct waypoints *waypoints, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq < to; seq++)
        waypoints_note(waypoints, seq, place_of(seq), 0);
}

static void finds_within(const struct waypoints *waypoints, uint64_t seq, uint64_t bytes)
{
    struct waypoint found;
    assert_true(waypoints_find(waypoints, seq, &found));
    assert_true(found.seq <= seq && found.position == place_of(found.seq));
    assert_true(place_of(seq) - found.position < bytes);
}

static void test_what_was_passed_is_found_nearby(void **unused)
{
    (void)unused;
    struct waypoints waypoints = {0};
    struct waypoint found;
    assert_false(waypoints_find(&waypoints, 1, &found));
    note(&waypoints, 5000, 9000); /* the later stretch first */
    assert_false(waypoints_find(&waypoints, 4999, &found));
    note(&waypoints, 1000, 3000);
    note(&waypoints, 1000, 9000);
    for (uint64_t seq = 1000; seq < 9000; seq++)
        finds_within(&waypoints, seq, 2 * WAYPOINT_BYTES + 1000);
    assert_true(waypoints.count > 100 && waypoints.count <= 8000 * 1000 / WAYPOINT_BYTES + 1);
    for (size_t i = 1; i < waypoints.count; i++)
        assert_true(waypoints.items[i].seq > waypoints.items[i - 1].seq &&
                    waypoints.items[i].position - waypoints.items[i - 1].position >= WAYPOINT_BYTES);
    waypoints_fini(&waypoints);
}

static void test_what_is_gone_is_forgotten(void **unused)
{
    (void)unused;
    struct waypoints waypoints = {0};
    struct waypoint found;
    note(&waypoints, 1, 1000);
    waypoints_note(&waypoints, 5000, place_of(5000), place_of(900));
    assert_false(waypoints_find(&waypoints, 899, &found));
    finds_within(&waypoints, 5000, 1);
    waypoints_fini(&waypoints);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_passed_is_found_nearby),
        cmocka_unit_test(test_what_is_gone_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

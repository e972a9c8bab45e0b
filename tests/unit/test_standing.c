/* Where a follower stands, partition by partition: results and heartbeats against the numbers that it has. */
#include "engine/client/standing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct standing standing; /* large */
static uint64_t lost_count;
static unsigned lost_times;

static int on_lost(void *context, const char *class_name, uint64_t count, const char *why)
{
    (void)context;
    assert_true(class_name[0] != '\0' && why[0] != '\0');
    lost_count += count;
    lost_times++;
    return 0;
}

static struct teller teller = {.follow = {.on_lost = on_lost}};

/* Of all classes, that has been heard of nothing. */
static int begin_all(void **state)
{
    (void)state;
    standing.class_name[0] = '\0';
    standing.beat_held = standing.beats_wait = false;
    standing_forget(&standing);
    lost_count = lost_times = 0;
    return 0;
}

static struct told_result result_of(unsigned partition, const char *class_name, uint64_t n, uint64_t seq)
{
    return (struct told_result){.class_name = text_of(class_name), .n = n, .seq = seq, .partition = partition};
}

static enum offer offer(unsigned partition, const char *class_name, uint64_t n, uint64_t seq)
{
    struct told_result result = result_of(partition, class_name, n, seq);
    return standing_offer(&standing, &result, false);
}

static enum offer offer_in_answer(unsigned partition, const char *class_name, uint64_t n, uint64_t seq)
{
    struct told_result result = result_of(partition, class_name, n, seq);
    return standing_offer(&standing, &result, true);
}

static void read_with(const char *json, struct arena *scratch, struct arena *arena, struct fields *fields)
{
    arena_init(scratch, 1024);
    arena_init(arena, 1024);
    assert_true(json_parse_object(text_of(json), scratch, arena, fields, NULL));
}

static enum beat beat(const char *json)
{
    struct arena scratch, arena;
    struct fields fields;
    read_with(json, &scratch, &arena, &fields);
    enum beat beat = standing_hear_beat(&standing, &fields, &scratch, &arena);
    arena_fini(&scratch);
    arena_fini(&arena);
    return beat;
}

static void read_snapshot(const char *json)
{
    struct arena scratch, arena;
    struct fields fields;
    read_with(json, &scratch, &arena, &fields);
    standing_read_snapshot(&standing, &fields, &scratch, &arena);
    arena_fini(&scratch);
    arena_fini(&arena);
}

/* Two partitions: 0 stands at event 100, with a at 5; 1 at event 90, with a at 7 and b at 2. */
static void begin_two(void)
{
    assert_int_equal(beat("{\"seq\":100,\"partition\":0,\"partitions\":2,\"n\":{\"a\":5}}"), BEAT_EQUAL);
    assert_int_equal(beat("{\"seq\":90,\"partition\":1,\"partitions\":2,\"n\":{\"a\":7,\"b\":2}}"), BEAT_EQUAL);
}

/* --- results ---------------------------------------------------------------------------------------- */

static void test_a_result_is_the_next_one_of_its_class_and_partition(void **state)
{
    (void)state;
    begin_two();
    assert_int_equal(offer(0, "a", 6, 101), OFFER_TAKEN);
    assert_int_equal(offer(1, "a", 8, 95), OFFER_TAKEN); /* earlier than what the other has */
    assert_int_equal(offer(0, "a", 6, 101), OFFER_OLD);
    assert_int_equal(offer(1, "a", 7, 90), OFFER_OLD);
    assert_int_equal(offer(0, "a", 8, 103), OFFER_GAP);
    assert_int_equal(offer(1, "b", 4, 97), OFFER_GAP);
    assert_int_equal(offer(0, "c", 1, 104), OFFER_TAKEN); /* of a class that had none */
    assert_int_equal(offer(1, "c", 2, 104), OFFER_GAP);
    assert_int_equal(offer(0, "a", 9, 100), OFFER_STRANGE); /* behind what is missing, in an event that was whole */
}

static void test_results_of_no_partition_are_passed(void **state)
{
    (void)state;
    begin_two();
    assert_int_equal(offer(2, "a", 1, 200), OFFER_OLD);
    assert_int_equal(offer(PARTITION_COUNT_MAX - 1, "a", 1, 200), OFFER_OLD);
    assert_int_equal(standing_done(&standing), 90);
}

/* Of a single class, results move a partition; of all classes, heartbeats do. */
static void test_a_result_of_a_single_class_moves_its_partition(void **state)
{
    (void)state;
    begin_two();
    assert_int_equal(offer(1, "a", 8, 120), OFFER_TAKEN);
    assert_int_equal(standing_done(&standing), 90);
    standing.class_name[0] = 'a';
    standing.class_name[1] = '\0';
    assert_int_equal(offer(1, "a", 9, 130), OFFER_TAKEN);
    assert_int_equal(standing_done(&standing), 100);
    assert_int_equal(offer(0, "a", 6, 140), OFFER_TAKEN);
    assert_int_equal(standing_done(&standing), 129);
    assert_int_equal(standing_front(&standing), 139);
}

static void test_what_says_no_partition_that_can_be_is_no_result(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        bool is_result;
        unsigned partition;
    } rows[] = {
        {"{\"n\":1,\"seq\":1}", true, 0},
        {"{\"n\":1,\"seq\":1,\"partition\":0}", true, 0},
        {"{\"n\":1,\"seq\":1,\"partition\":15}", true, 15},
        {"{\"n\":1,\"seq\":1,\"partition\":16}", false, 0},
        {"{\"n\":1,\"seq\":1,\"partition\":4294967296}", false, 0},
        {"{\"n\":1,\"seq\":1,\"partition\":-1}", false, 0},
        {"{\"n\":1,\"seq\":1,\"partition\":\"1\"}", false, 0},
    };
    const struct fwsync_follow follow = {.on_lost = on_lost};
    struct teller reader;
    struct told_result result;
    teller_init(&reader, &follow);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(teller_read(&reader, TEXT("a"), text_of(rows[i].json), &result), rows[i].is_result);
        if (rows[i].is_result)
            assert_int_equal(result.partition, rows[i].partition);
    }
    teller_fini(&reader);
}

/* --- how far it is ---------------------------------------------------------------------------------- */

static void test_what_was_not_heard_of_holds_back(void **state)
{
    (void)state;
    assert_false(standing_has_begun(&standing));
    assert_int_equal(beat("{\"seq\":100,\"partition\":2,\"partitions\":3,\"n\":{\"a\":5}}"), BEAT_EQUAL);
    assert_int_equal(offer(1, "a", 3, 80), OFFER_TAKEN); /* before its heartbeat any number fits */
    assert_int_equal(offer(1, "b", 9, 85), OFFER_TAKEN);
    assert_int_equal(standing_done(&standing), 0);
    assert_int_equal(standing_after(&standing), 79);
    assert_false(standing_has_begun(&standing));
    assert_int_equal(beat("{\"seq\":90,\"partition\":0,\"partitions\":3,\"n\":{}}"), BEAT_EQUAL);
    assert_int_equal(standing_done(&standing), 79);
    assert_false(standing_has_begun(&standing));
    assert_int_equal(beat("{\"seq\":110,\"partition\":1,\"partitions\":3,\"n\":{\"a\":3,\"b\":9,\"c\":4}}"), BEAT_EQUAL);
    assert_int_equal(standing_done(&standing), 90);
    assert_int_equal(standing_front(&standing), 110);
    assert_true(standing_has_begun(&standing));
}

static void test_one_partition_is_said_by_nothing(void **state)
{
    (void)state;
    assert_int_equal(offer(0, "a", 5, 99), OFFER_TAKEN);
    assert_int_equal(standing_done(&standing), 0); /* there may be others */
    assert_int_equal(beat("{\"seq\":100,\"n\":{\"a\":5}}"), BEAT_EQUAL);
    assert_true(standing_has_begun(&standing));
    assert_int_equal(standing_done(&standing), 100);
    assert_int_equal(offer(1, "a", 1, 101), OFFER_OLD);
}

/* Nothing was heard of partition 2: where it begins is from where the answers are. */
static void test_an_answer_is_of_all_partitions(void **state)
{
    (void)state;
    assert_int_equal(beat("{\"seq\":100,\"partition\":0,\"partitions\":3,\"n\":{\"a\":5}}"), BEAT_EQUAL);
    assert_int_equal(beat("{\"seq\":90,\"partition\":1,\"partitions\":3,\"n\":{\"a\":7}}"), BEAT_EQUAL);
    assert_int_equal(beat("{\"seq\":104,\"partition\":0,\"partitions\":3,\"n\":{\"a\":6}}"), BEAT_AHEAD);
    assert_int_equal(standing_after(&standing), 90);
    assert_int_equal(offer_in_answer(2, "a", 31, 94), OFFER_TAKEN);
    assert_int_equal(offer_in_answer(0, "a", 5, 97), OFFER_OLD);
    assert_int_equal(offer_in_answer(0, "a", 6, 102), OFFER_TAKEN);
    assert_int_equal(offer_in_answer(2, "b", 12, 103), OFFER_TAKEN);
    assert_false(standing_settle_beat(&standing)); /* the answers aren't as far */
    standing_reach(&standing, 105);
    assert_true(standing_settle_beat(&standing));
    assert_true(standing_has_begun(&standing));
    assert_int_equal(standing_done(&standing), 105);
    assert_int_equal(offer(2, "a", 32, 110), OFFER_TAKEN);
    assert_int_equal(offer(2, "c", 2, 111), OFFER_GAP); /* it has begun, and of this class nothing is known */
    standing_reach(&standing, 20);
    assert_int_equal(standing_done(&standing), 105);
}

/* What is known of a class after that: that it had nothing since. */
static void test_a_follower_that_goes_on_learns_its_numbers(void **state)
{
    (void)state;
    standing_move(&standing, 100);
    assert_true(standing_has_begun(&standing));
    assert_int_equal(standing_done(&standing), 100);
    assert_int_equal(beat("{\"seq\":100,\"partition\":0,\"partitions\":2,\"n\":{\"a\":5}}"), BEAT_EQUAL);
    assert_int_equal(beat("{\"seq\":101,\"partition\":1,\"partitions\":2,\"n\":{\"a\":7}}"), BEAT_AHEAD);
    assert_int_equal(offer(0, "a", 6, 102), OFFER_TAKEN);
    assert_int_equal(offer(0, "b", 1, 103), OFFER_TAKEN);
    assert_int_equal(offer(1, "a", 8, 102), OFFER_GAP);
}

/* Of 91 to 100 it knows nothing, and there the class may have had results. */
static void test_a_heartbeat_of_before_the_beginning_tells_no_numbers(void **state)
{
    (void)state;
    standing_move(&standing, 100);
    assert_int_equal(beat("{\"seq\":90,\"n\":{\"a\":5}}"), BEAT_STALE);
    standing_reach(&standing, 110);
    assert_true(standing_settle_beat(&standing));
    assert_int_equal(offer(0, "a", 7, 111), OFFER_GAP);
    assert_int_equal(offer_in_answer(0, "a", 7, 111), OFFER_TAKEN);
    assert_int_equal(offer(0, "b", 1, 112), OFFER_GAP);
    assert_int_equal(beat("{\"seq\":110,\"n\":{\"a\":6,\"b\":3}}"), BEAT_VOID); /* of after it */
    assert_int_equal(offer(0, "b", 4, 112), OFFER_TAKEN);
}

static void test_a_snapshot_has_the_numbers_of_each_partition(void **state)
{
    (void)state;
    read_snapshot("{\"partitions\":[{\"a\":5},{\"a\":7,\"b\":2},{}]}");
    standing_reach(&standing, 100);
    assert_int_equal(standing.lane_count, 3);
    assert_int_equal(standing_done(&standing), 100);
    assert_int_equal(offer(0, "a", 6, 101), OFFER_TAKEN);
    assert_int_equal(offer(1, "b", 3, 102), OFFER_TAKEN);
    assert_int_equal(offer(2, "b", 1, 102), OFFER_TAKEN);
    assert_int_equal(offer(2, "a", 2, 102), OFFER_GAP);
    begin_all(NULL);
    read_snapshot("{\"n\":{\"a\":5}}");
    assert_int_equal(standing.lane_count, 1);
    assert_int_equal(offer(0, "a", 7, 101), OFFER_GAP);
    static const char *const strange[] = {"{}", "{\"partitions\":[]}", "{\"partitions\":{}}", "{\"partitions\":3}"};
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
        read_snapshot(strange[i]);
        assert_int_equal(standing.lane_count, 1);
    }
    read_snapshot("{\"partitions\":[1,null]}");
    assert_int_equal(standing.lane_count, 2);
    read_snapshot("{\"partitions\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}");
    assert_int_equal(standing.lane_count, PARTITION_COUNT_MAX);
}

/* --- heartbeats ------------------------------------------------------------------------------------- */

static void test_a_heartbeat_is_of_its_partition(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        enum beat beat;
    } rows[] = {
        {"{\"seq\":91,\"partition\":1,\"partitions\":2,\"n\":{\"a\":7,\"b\":2}}", BEAT_EQUAL},
        {"{\"seq\":91,\"partition\":1,\"partitions\":2,\"n\":{\"a\":7,\"b\":2,\"c\":0}}", BEAT_EQUAL},
        {"{\"seq\":91,\"partition\":1,\"partitions\":2,\"n\":{\"a\":8,\"b\":2}}", BEAT_AHEAD},
        {"{\"seq\":91,\"partition\":1,\"partitions\":2,\"n\":{\"a\":7,\"b\":2,\"c\":1}}", BEAT_AHEAD},
        {"{\"seq\":91,\"partition\":1,\"partitions\":2,\"n\":{\"a\":6,\"b\":2}}", BEAT_STRANGE},
        {"{\"seq\":89,\"partition\":1,\"partitions\":2,\"n\":{\"a\":6,\"b\":2}}", BEAT_STALE},
        {"{\"seq\":99,\"partition\":0,\"partitions\":2,\"n\":{\"a\":5}}", BEAT_STALE},
        {"{\"seq\":101,\"partition\":0,\"partitions\":2,\"n\":{\"a\":6}}", BEAT_AHEAD},
        {"{\"seq\":101,\"partition\":0,\"partitions\":2,\"n\":{\"a\":5}}", BEAT_EQUAL},
        {"{\"seq\":101,\"partitions\":2,\"n\":{\"a\":5}}", BEAT_EQUAL},
        /* of other partitions, and of none */
        {"{\"seq\":101,\"partition\":0,\"partitions\":3,\"n\":{\"a\":5}}", BEAT_STRANGE},
        {"{\"seq\":101,\"n\":{\"a\":5}}", BEAT_STRANGE},
        {"{\"seq\":101,\"partition\":2,\"partitions\":2,\"n\":{\"a\":5}}", BEAT_VOID},
        {"{\"seq\":101,\"partition\":1,\"n\":{\"a\":5}}", BEAT_VOID},
        {"{\"seq\":101,\"partition\":-1,\"partitions\":2,\"n\":{\"a\":5}}", BEAT_VOID},
        {"{\"seq\":101,\"partition\":\"0\",\"partitions\":2,\"n\":{\"a\":5}}", BEAT_VOID},
        {"{\"seq\":101,\"partition\":0,\"partitions\":17,\"n\":{\"a\":5}}", BEAT_VOID},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin_all(NULL);
        begin_two();
        assert_int_equal(beat(rows[i].json), rows[i].beat);
        assert_int_equal(standing.lane_count, 2);
    }
}

/* While the follower waited for the answer, a heartbeat of each partition came each second: no reason to ask again. */
static void test_a_heartbeat_that_waited_behind_an_answer_says_nothing(void **state)
{
    (void)state;
    static const char before[] = "{\"seq\":95,\"partition\":1,\"partitions\":2,\"n\":{\"a\":7,\"b\":2}}";
    begin_two();
    standing_reach(&standing, 110);
    assert_int_equal(beat(before), BEAT_VOID);
    assert_false(standing.beat_held);
    assert_int_equal(beat("{\"seq\":110,\"partition\":0,\"partitions\":2,\"n\":{\"a\":5}}"), BEAT_EQUAL);
    assert_int_equal(beat("{\"seq\":111,\"partition\":1,\"partitions\":2,\"n\":{\"a\":8,\"b\":2}}"), BEAT_AHEAD);
    assert_int_equal(beat("{\"seq\":111,\"partition\":1,\"partitions\":2,\"n\":{\"a\":6,\"b\":2}}"), BEAT_STRANGE);
    standing_heard_all(&standing);
    assert_int_equal(beat(before), BEAT_STALE);
    assert_true(standing.beat_held);
}

static void test_sixteen_partitions_are_followed(void **state)
{
    (void)state;
    char json[128];
    for (unsigned partition = 0; partition < PARTITION_COUNT_MAX; partition++) {
        assert_false(standing_has_begun(&standing));
        snprintf(json, sizeof json, "{\"seq\":%u,\"partition\":%u,\"partitions\":%d,\"n\":{\"a\":%u}}",
                 100 + partition, partition, PARTITION_COUNT_MAX, partition);
        assert_int_equal(beat(json), BEAT_EQUAL);
        assert_int_equal(offer(partition, "a", partition + 1, 200), OFFER_TAKEN);
    }
    assert_true(standing_has_begun(&standing));
    assert_int_equal(standing_done(&standing), 100);
}

/* --- what is lost ----------------------------------------------------------------------------------- */

static void test_what_is_lost_is_of_one_partition(void **state)
{
    (void)state;
    begin_two();
    assert_int_equal(beat("{\"seq\":120,\"partition\":1,\"partitions\":2,\"n\":{\"a\":10,\"b\":3}}"), BEAT_AHEAD);
    standing_skip_to_beat(&standing, &teller, "gone");
    assert_int_equal(lost_count, 4);
    assert_int_equal(lost_times, 2);
    assert_int_equal(standing_done(&standing), 100);
    assert_int_equal(offer(1, "a", 11, 121), OFFER_TAKEN);

    struct told_result result = result_of(0, "a", 9, 130);
    assert_int_equal(standing_offer(&standing, &result, false), OFFER_GAP);
    standing_skip_to_result(&standing, &result, &teller, "gone");
    assert_int_equal(lost_count, 4 + 3);
    assert_int_equal(lost_times, 3);
    assert_int_equal(standing_done(&standing), 120);
    assert_int_equal(standing_offer(&standing, &result, false), OFFER_TAKEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_result_is_the_next_one_of_its_class_and_partition, begin_all),
        cmocka_unit_test_setup(test_results_of_no_partition_are_passed, begin_all),
        cmocka_unit_test_setup(test_a_result_of_a_single_class_moves_its_partition, begin_all),
        cmocka_unit_test_setup(test_what_says_no_partition_that_can_be_is_no_result, begin_all),
        cmocka_unit_test_setup(test_what_was_not_heard_of_holds_back, begin_all),
        cmocka_unit_test_setup(test_one_partition_is_said_by_nothing, begin_all),
        cmocka_unit_test_setup(test_an_answer_is_of_all_partitions, begin_all),
        cmocka_unit_test_setup(test_a_follower_that_goes_on_learns_its_numbers, begin_all),
        cmocka_unit_test_setup(test_a_heartbeat_of_before_the_beginning_tells_no_numbers, begin_all),
        cmocka_unit_test_setup(test_a_snapshot_has_the_numbers_of_each_partition, begin_all),
        cmocka_unit_test_setup(test_a_heartbeat_is_of_its_partition, begin_all),
        cmocka_unit_test_setup(test_a_heartbeat_that_waited_behind_an_answer_says_nothing, begin_all),
        cmocka_unit_test_setup(test_sixteen_partitions_are_followed, begin_all),
        cmocka_unit_test_setup(test_what_is_lost_is_of_one_partition, begin_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What is read ahead is the journal, record by record, up to the first that can't be had; and it stops anywhere. */
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/service/replay.h"
#include "tests/unit/temp_dir.h"

enum { SEGMENT_BYTES = 1 << 20, RECORDS = 5000, A_COMMIT = 70 };

static char *dir;
static struct journal *journal;
static struct arena arena;
static struct err err;

static int setup(void **unused)
{
    (void)unused;
    dir = temp_dir_make();
    arena_init(&arena, 4096);
    return !journal_open(dir, SEGMENT_BYTES, &journal, &err);
}

static int teardown(void **unused)
{
    (void)unused;
    journal_close(journal);
    arena_fini(&arena);
    temp_dir_remove(dir);
    return 0;
}

static enum journal_kind kind_of(uint64_t seq)
{
    return seq % 900 == 1 ? JOURNAL_RULES : seq % 70 == 3 ? JOURNAL_TICK : JOURNAL_EVENT;
}

static struct text device_of(uint64_t seq)
{
    return arena_format(&arena, "device-%05" PRIu64, seq);
}

static struct text body_of(uint64_t seq)
{
    if (kind_of(seq) != JOURNAL_EVENT)
        return TEXT("not an event");
    return arena_format(&arena, "{\"device\":\"" TEXT_FMT "\",\"type\":\"T\",\"data\":{\"n\":%" PRIu64 "}}",
                        TEXT_ARG(device_of(seq)), seq);
}

/* The record `wrong_seq`, unless that is 0, gets `wrong` for its body. */
static void fill(uint64_t wrong_seq, struct text wrong)
{
    for (uint64_t seq = 1; seq <= RECORDS;) {
        journal_begin(journal);
        for (int i = 0; i < A_COMMIT && seq <= RECORDS; i++, seq++) {
            arena_reset(&arena);
            journal_append(journal, kind_of(seq), (int64_t)seq * 10, seq == wrong_seq ? wrong : body_of(seq));
        }
        assert_true(journal_commit(journal, &err));
    }
}

static void is_record(const struct replay_bundle *bundle, size_t i, uint64_t seq)
{
    const struct journal_record *record = &bundle->records[i];
    arena_reset(&arena);
    assert_int_equal(record->seq, seq);
    assert_int_equal(record->kind, kind_of(seq));
    assert_int_equal(record->received_ms, seq * 10);
    assert_true(text_equal(record->body, body_of(seq)));
    if (record->kind != JOURNAL_EVENT)
        return;
    assert_true(text_equal(bundle->events[i].device, device_of(seq)));
    assert_int_equal(bundle->events[i].data.count, 1);
    assert_int_equal(bundle->events[i].data.items[0].value.integer, seq);
}

/* Reads from `seq` on, to the end or the error, which is left in `err`. The first seq that didn't come. */
static uint64_t read_from(uint64_t seq)
{
    struct replay *replay = replay_create(journal, 1);
    const struct replay_bundle *bundle;
    replay_join(replay, 0, seq);
    do {
        bundle = replay_next(replay, 0);
        for (size_t i = 0; i < bundle->count; i++)
            is_record(bundle, i, seq++);
    } while (bundle->count > 0 && bundle->err.code == ERR_NONE);
    err = bundle->err;
    replay_leave(replay, 0);
    replay_destroy(replay);
    return seq;
}

static void test_gives_every_record_in_order(void **unused)
{
    (void)unused;
    static const uint64_t starts[] = {1, 2, 500, 501, 2000, 2001, 4321, RECORDS, RECORDS + 1};
    fill(0, TEXT(""));
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        assert_int_equal(read_from(starts[i]), RECORDS + 1);
        assert_int_equal(err.code, ERR_NONE);
    }
}

static void test_a_record_that_is_no_event_ends_it_behind_those_before(void **unused)
{
    (void)unused;
    fill(3456, TEXT("{\"device\":\"a\",\"type\":\"T\",\"dat\":{}}"));
    for (uint64_t from = 1; from <= 3456; from += 691) {
        assert_int_equal(read_from(from), 3456);
        assert_int_equal(err.code, ERR_BAD_EVENT);
        assert_non_null(strstr(err.text, "journal record 3456: unknown field 'dat'"));
    }
    assert_int_equal(read_from(3457), RECORDS + 1);
    assert_int_equal(err.code, ERR_NONE);
}

static void test_a_damaged_record_ends_it(void **unused)
{
    (void)unused;
    fill(0, TEXT(""));
    assert_int_equal(file_patch(temp_dir_path(dir, "0000000000000000.log"), "device-03456", "device-o3456"), 1);
    uint64_t seq = read_from(1);
    assert_true(seq > 1 && seq <= 3456);
    assert_int_equal(err.code, ERR_DAMAGED);
    assert_non_null(strstr(err.text, "event 3456: "));
    assert_non_null(strstr(err.text, "fails its checksum"));
}

static void test_stops_anywhere(void **unused)
{
    (void)unused;
    fill(4000, TEXT("no event"));
    for (int bundles = 0; bundles <= 8; bundles++)
        for (int again = 0; again < 20; again++) {
            struct replay *replay = replay_create(journal, 1);
            replay_join(replay, 0, 1);
            for (int i = 0; i < bundles; i++)
                assert_int_equal(replay_next(replay, 0)->records[0].seq, i * 500 + 1);
            replay_leave(replay, 0);
            replay_destroy(replay);
        }
    struct journal_record *records; /* and somebody else reads on */
    size_t count;
    assert_true(journal_read(journal, 4001, 10, &arena, &records, &count, &err));
    assert_int_equal(count, 10);
}

/* A partition's thread: reads from `from_seq` on, so many bundles at the most. cmocka's checks are for the test's own
 * thread, so what it saw is only noted. */
struct reading {
    struct replay *replay;
    unsigned number;
    uint64_t from_seq; /* 0: it doesn't join */
    int bundles_max;
    uint64_t first_seq, next_seq;
    bool in_order;
};

static void *read_along(void *argument)
{
    struct reading *reading = argument;
    bool more = true;
    if (reading->from_seq > 0)
        replay_join(reading->replay, reading->number, reading->from_seq);
    for (int i = 0; i < reading->bundles_max && more; i++) {
        const struct replay_bundle *bundle = replay_next(reading->replay, reading->number);
        more = bundle->count > 0;
        for (size_t at = 0; at < bundle->count; at++) {
            uint64_t seq = bundle->records[at].seq;
            if (reading->first_seq == 0)
                reading->first_seq = reading->next_seq = seq;
            reading->in_order &= seq == reading->next_seq++;
        }
    }
    replay_leave(reading->replay, reading->number);
    return NULL;
}

static void read_together(struct reading *readings, unsigned count)
{
    pthread_t threads[PARTITION_COUNT_MAX];
    struct replay *replay = replay_create(journal, count);
    for (unsigned i = 0; i < count; i++) {
        readings[i].replay = replay;
        readings[i].number = i;
        readings[i].in_order = true;
        assert_int_equal(pthread_create(&threads[i], NULL, read_along, &readings[i]), 0);
    }
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    replay_destroy(replay);
}

enum { ALL = 1000, NONE = 0 }; /* bundles */

static void test_all_readers_get_all_from_the_earliest_on(void **unused)
{
    (void)unused;
    struct reading readings[] = {
        {.from_seq = 4000, .bundles_max = ALL},
        {.from_seq = 1234, .bundles_max = ALL},
        {.from_seq = RECORDS, .bundles_max = ALL},
    };
    fill(0, TEXT(""));
    read_together(readings, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(readings[i].first_seq, 1234);
        assert_int_equal(readings[i].next_seq, RECORDS + 1);
        assert_true(readings[i].in_order);
    }
}

static void test_who_leaves_holds_nobody_up(void **unused)
{
    (void)unused;
    fill(0, TEXT(""));
    for (int again = 0; again < 50; again++) {
        struct reading readings[] = {
            {.from_seq = 1, .bundles_max = ALL}, {.from_seq = 1, .bundles_max = again % 7}, {.bundles_max = NONE}};
        read_together(readings, 3);
        assert_int_equal(readings[0].next_seq, RECORDS + 1);
        assert_true(readings[0].in_order && readings[1].in_order);
        assert_int_equal(readings[1].next_seq, again % 7 == 0 ? 0 : again % 7 * 500 + 1);
    }
}

static void test_nobody_needs_anything(void **unused)
{
    (void)unused;
    struct reading readings[] = {{.bundles_max = NONE}, {.bundles_max = NONE}};
    fill(0, TEXT(""));
    read_together(readings, 2);
    assert_int_equal(readings[0].next_seq, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_gives_every_record_in_order),
        TEST(test_a_record_that_is_no_event_ends_it_behind_those_before),
        TEST(test_a_damaged_record_ends_it),
        TEST(test_stops_anywhere),
        TEST(test_all_readers_get_all_from_the_earliest_on),
        TEST(test_who_leaves_holds_nobody_up),
        TEST(test_nobody_needs_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

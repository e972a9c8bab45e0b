/* The queue between threads: everything that is pushed is taken once, in the pusher's order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "engine/service/work.h"

struct item {
    struct work work;
    unsigned pusher;
    unsigned number;
};

static bool readable(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    return poll(&ready, 1, 0) == 1;
}

static void test_take_gives_all_oldest_first(void **state)
{
    (void)state;
    enum { COUNT = 100 };
    struct item items[COUNT];
    struct queue *queue = queue_create();
    assert_null(queue_take(queue, 0));
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < COUNT; i++) {
            items[i].number = i;
            queue_push(queue, &items[i].work);
        }
        struct work *work = queue_take(queue, -1);
        for (unsigned i = 0; i < COUNT; i++, work = work->next) {
            assert_non_null(work);
            assert_int_equal(((struct item *)work)->number, i);
        }
        assert_null(work);
        assert_null(queue_take(queue, 0));
    }
    queue_destroy(queue);
}

static void test_a_timeout_gives_nothing(void **state)
{
    (void)state;
    struct queue *queue = queue_create();
    assert_null(queue_take(queue, 1));
    struct item item;
    queue_push(queue, &item.work);
    assert_ptr_equal(queue_take(queue, 60000), &item.work);
    assert_null(queue_take(queue, 1)); /* an old wake-up isn't taken for work */
    queue_destroy(queue);
}

static void test_a_push_wakes_an_owner_that_waits_and_no_other(void **state)
{
    (void)state;
    struct queue *queue = queue_create();
    struct item items[4];
    assert_false(readable(queue_fd(queue)));
    queue_push(queue, &items[0].work);
    assert_true(readable(queue_fd(queue)));
    queue_push(queue, &items[1].work);
    assert_non_null(queue_take(queue, 0));
    assert_false(readable(queue_fd(queue)));
    queue_push(queue, &items[2].work); /* its owner is at work, and will look again */
    assert_false(readable(queue_fd(queue)));
    assert_ptr_equal(queue_take(queue, 0), &items[2].work);
    assert_null(queue_take(queue, 0)); /* from here on it waits */
    queue_push(queue, &items[3].work);
    assert_true(readable(queue_fd(queue)));
    assert_ptr_equal(queue_take(queue, 0), &items[3].work);
    assert_false(readable(queue_fd(queue)));
    queue_destroy(queue);
}

enum { PUSHERS = 4, PUSHES = 20000 };

struct pusher {
    struct queue *queue;
    struct item *items;
    pthread_t thread;
};

static void *push_all(void *argument)
{
    struct pusher *pusher = argument;
    for (unsigned i = 0; i < PUSHES; i++)
        queue_push(pusher->queue, &pusher->items[i].work);
    return NULL;
}

static void test_no_push_of_any_thread_is_lost_or_slept_over(void **state)
{
    (void)state;
    struct pusher pushers[PUSHERS];
    struct queue *queue = queue_create();
    for (unsigned p = 0; p < PUSHERS; p++) {
        pushers[p] = (struct pusher){.queue = queue, .items = calloc(PUSHES, sizeof(struct item))};
        for (unsigned i = 0; i < PUSHES; i++)
            pushers[p].items[i] = (struct item){.pusher = p, .number = i};
        pthread_create(&pushers[p].thread, NULL, push_all, &pushers[p]);
    }
    unsigned next[PUSHERS] = {0};
    for (unsigned taken = 0; taken < PUSHERS * PUSHES;)
        for (struct work *work = queue_take(queue, -1), *after; work != NULL; work = after) {
            after = work->next;
            const struct item *item = (const struct item *)work;
            assert_int_equal(item->number, next[item->pusher]);
            next[item->pusher]++;
            taken++;
        }
    for (unsigned p = 0; p < PUSHERS; p++) {
        pthread_join(pushers[p].thread, NULL);
        free(pushers[p].items);
    }
    assert_null(queue_take(queue, 0));
    queue_destroy(queue);
}

static void test_what_is_shared_belongs_to_the_last_who_lets_go(void **state)
{
    (void)state;
    struct shared shared = {.work.kind = WORK_TICK};
    assert_true(shared_let_go(&shared)); /* it went to one alone */
    for (int again = 0; again < 2; again++) {
        shared_hold(&shared, 3);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(shared.shares[i].work.kind, WORK_SHARE);
            assert_ptr_equal(shared.shares[i].of, &shared);
        }
        assert_false(shared_let_go(&shared));
        assert_false(shared_let_go(&shared));
        assert_true(shared_let_go(&shared));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_take_gives_all_oldest_first),
        cmocka_unit_test(test_a_timeout_gives_nothing),
        cmocka_unit_test(test_a_push_wakes_an_owner_that_waits_and_no_other),
        cmocka_unit_test(test_what_is_shared_belongs_to_the_last_who_lets_go),
        cmocka_unit_test(test_no_push_of_any_thread_is_lost_or_slept_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

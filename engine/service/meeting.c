#include "engine/service/meeting.h"

#include <assert.h>
#include <stdlib.h>

struct meeting {
    struct query *query;
    unsigned count;        /* of partitions */
    atomic_uint awaited;   /* those that haven't come */
    atomic_uint remaining; /* those that haven't left; the last one turns off the light */
    sem_t over;
    struct query_context contexts[PARTITION_COUNT_MAX];
    struct seat seats[PARTITION_COUNT_MAX];
};

static struct meeting *create(struct query *query, unsigned count)
{
    struct meeting *meeting = calloc(1, sizeof *meeting);
    if (meeting == NULL)
        abort();
    meeting->query = query;
    meeting->count = count;
    atomic_init(&meeting->awaited, count);
    atomic_init(&meeting->remaining, count);
    sem_init(&meeting->over, 0, 0);
    for (unsigned i = 0; i < count; i++)
        meeting->seats[i] = (struct seat){.work.kind = WORK_MEETING, .meeting = meeting};
    return meeting;
}

void meeting_call(struct engine *engine, struct query *query)
{
    unsigned wake = ENGINE_WAKE_NONE;
    struct work *seats[PARTITION_COUNT_MAX];
    struct meeting *meeting = create(query, engine->partition_count);
    for (unsigned i = 0; i < engine->partition_count; i++)
        seats[i] = &meeting->seats[i].work;
    engine_give_each(engine, seats, &wake);
    engine_wake(engine, wake);
}

/* The lead speaks for all where one is enough. */
static bool answer(struct meeting *meeting, bool *home, struct err *err)
{
    for (unsigned i = 0; i < meeting->count; i++) {
        assert(state_applied_seq(meeting->contexts[i].state) == state_applied_seq(meeting->contexts[0].state));
        meeting->contexts[i].all = meeting->contexts;
        meeting->contexts[i].count = meeting->count;
    }
    return query_answer(&meeting->contexts[ENGINE_LEAD], meeting->query, home, err);
}

static void leave(struct meeting *meeting)
{
    if (atomic_fetch_sub(&meeting->remaining, 1) != 1)
        return;
    sem_destroy(&meeting->over);
    free(meeting);
}

static void wait_for_the_end(struct meeting *meeting)
{
    while (sem_wait(&meeting->over) != 0)
        continue; /* a signal */
}

bool meeting_attend(struct seat *seat, const struct query_context *context, struct err *err)
{
    struct meeting *meeting = seat->meeting;
    struct queue *door = context->partition->engine->door_queue;
    struct query *query = meeting->query;
    bool done = true;
    meeting->contexts[context->partition->number] = *context;
    if (atomic_fetch_sub(&meeting->awaited, 1) == 1) {
        bool home;
        done = answer(meeting, &home, err);
        for (unsigned i = 1; i < meeting->count; i++)
            sem_post(&meeting->over);
        if (home)
            queue_push(door, &query->work);
    } else {
        wait_for_the_end(meeting);
    }
    leave(meeting);
    return done;
}

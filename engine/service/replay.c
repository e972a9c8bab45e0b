#include "engine/service/replay.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "engine/base/thread.h"

enum {
    BUNDLES = 4, /* one is being applied, one being filled */
    BUNDLE_RECORDS = 500,
    BUNDLE_ARENA_BYTES = 256 * 1024,
    SCRATCH_BYTES = 64 * 1024,
};

struct replay {
    struct journal *journal;
    pthread_t thread;
    struct queue *filled; /* bundles for the applier, in order */
    struct queue *empty;  /* and back */
    struct replay_bundle bundles[BUNDLES];
    struct work stop;

    /* the applier's */
    struct work *taken; /* from `filled`, the one lent out first */
    bool lent;          /* is there one? */

    /* the thread's */
    uint64_t next_seq;
    struct arena scratch;
};

/* --- reading --------------------------------------------------------------------------------------------- */

/* Parses the bundle's events, up to the first that is none. */
static bool parse(struct replay *replay, struct replay_bundle *bundle, size_t count)
{
    struct event *events = arena_alloc(&bundle->arena, count * sizeof *events);
    bundle->events = events;
    for (size_t i = 0; i < count; i++) {
        const struct journal_record *record = &bundle->records[i];
        if (record->kind == JOURNAL_EVENT &&
            !event_parse(record->body, &replay->scratch, &bundle->arena, &events[i], &bundle->err))
            return err_context(&bundle->err, "journal record %" PRIu64 ": ", record->seq);
        bundle->count++;
    }
    return true;
}

/* False: there is nothing to read behind it. */
static bool fill(struct replay *replay, struct replay_bundle *bundle)
{
    struct journal_record *records;
    size_t count;
    arena_reset(&bundle->arena);
    bundle->count = 0;
    bundle->err.code = ERR_NONE;
    if (!journal_read(replay->journal, replay->next_seq, BUNDLE_RECORDS, &bundle->arena, &records, &count,
                      &bundle->err))
        return false;
    bundle->records = records;
    replay->next_seq += count;
    return parse(replay, bundle, count) && count > 0;
}

static void *run(void *argument)
{
    struct replay *replay = argument;
    for (bool going = true; going;) {
        struct work *work = queue_take(replay->empty, -1), *next;
        for (; going && work != NULL; work = next) {
            next = work->next;
            if (work->kind == WORK_STOP)
                return NULL;
            going = fill(replay, (struct replay_bundle *)work);
            queue_push(replay->filled, work);
        }
    }
    return NULL;
}

/* --- the applier's side ---------------------------------------------------------------------------------- */

struct replay *replay_start(struct journal *journal, uint64_t from_seq)
{
    struct replay *replay = calloc(1, sizeof *replay);
    if (replay == NULL)
        abort();
    replay->journal = journal;
    replay->next_seq = from_seq;
    replay->filled = queue_create();
    replay->empty = queue_create();
    replay->stop.kind = WORK_STOP;
    arena_init(&replay->scratch, SCRATCH_BYTES);
    for (size_t i = 0; i < BUNDLES; i++) {
        replay->bundles[i].work.kind = WORK_BUNDLE;
        arena_init(&replay->bundles[i].arena, BUNDLE_ARENA_BYTES);
        queue_push(replay->empty, &replay->bundles[i].work);
    }
    thread_start(&replay->thread, "replay", run, replay);
    return replay;
}

static void give_back(struct replay *replay)
{
    struct work *work = replay->taken;
    replay->taken = work->next;
    queue_push(replay->empty, work);
}

const struct replay_bundle *replay_next(struct replay *replay)
{
    if (replay->lent)
        give_back(replay);
    while (replay->taken == NULL)
        replay->taken = queue_take(replay->filled, -1);
    replay->lent = true;
    return (const struct replay_bundle *)replay->taken;
}

void replay_stop(struct replay *replay)
{
    queue_push(replay->empty, &replay->stop);
    pthread_join(replay->thread, NULL);
    queue_take(replay->filled, 0); /* what was read for nothing: the bundles are ours in any case */
    queue_take(replay->empty, 0);
    queue_destroy(replay->filled);
    queue_destroy(replay->empty);
    for (size_t i = 0; i < BUNDLES; i++)
        arena_fini(&replay->bundles[i].arena);
    arena_fini(&replay->scratch);
    free(replay);
}

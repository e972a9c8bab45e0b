#include "engine/service/replay.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "engine/base/clock.h"
#include "engine/base/thread.h"

enum {
    BUNDLES = 4, /* one is being applied, one being filled */
    BUNDLE_RECORDS = 500,
    BUNDLE_ARENA_BYTES = 256 * 1024,
    SCRATCH_BYTES = 64 * 1024,
};

struct reader {
    struct queue *filled; /* shares of bundles, in order */
    struct work *taken;   /* from there, the one lent out first */
    bool lent;            /* is there one? */
    bool joined, left;    /* under the mutex */
};

struct replay {
    struct journal *journal;
    struct reader readers[PARTITION_COUNT_MAX];
    unsigned reader_count;
    struct queue *empty; /* bundles that all are through with */
    struct replay_bundle bundles[BUNDLES];

    pthread_mutex_t mutex;
    pthread_cond_t complete; /* all have joined or left */
    unsigned awaited;        /* those that haven't */
    bool has_thread;
    pthread_t thread;
    uint64_t from_seq; /* the earliest that is needed; UINT64_MAX: nothing is */
    uint64_t last_seq;
    int64_t start_ms, end_ms; /* monotonic */

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

/* To all that are still there; false: nobody is. */
static bool hand_out(struct replay *replay, struct replay_bundle *bundle)
{
    unsigned count = 0, next = 0;
    pthread_mutex_lock(&replay->mutex);
    for (unsigned i = 0; i < replay->reader_count; i++)
        count += !replay->readers[i].left;
    shared_hold(&bundle->shared, count);
    for (unsigned i = 0; i < replay->reader_count; i++)
        if (!replay->readers[i].left)
            queue_push(replay->readers[i].filled, &bundle->shared.shares[next++].work);
    pthread_mutex_unlock(&replay->mutex);
    return count > 0;
}

static void *run(void *argument)
{
    struct replay *replay = argument;
    for (bool going = true; going;) {
        struct work *work = queue_take(replay->empty, -1), *next;
        for (; going && work != NULL; work = next) {
            struct replay_bundle *bundle = (struct replay_bundle *)work;
            next = work->next;
            bool more = fill(replay, bundle);
            going = hand_out(replay, bundle) && more;
        }
    }
    return NULL;
}

/* --- the readers' side ----------------------------------------------------------------------------------- */

struct replay *replay_create(struct journal *journal, unsigned reader_count)
{
    struct replay *replay = calloc(1, sizeof *replay);
    if (replay == NULL)
        abort();
    replay->journal = journal;
    replay->reader_count = replay->awaited = reader_count;
    replay->from_seq = UINT64_MAX;
    replay->empty = queue_create();
    pthread_mutex_init(&replay->mutex, NULL);
    pthread_cond_init(&replay->complete, NULL);
    arena_init(&replay->scratch, SCRATCH_BYTES);
    for (unsigned i = 0; i < reader_count; i++)
        replay->readers[i].filled = queue_create();
    for (size_t i = 0; i < BUNDLES; i++) {
        replay->bundles[i].shared.work.kind = WORK_BUNDLE;
        arena_init(&replay->bundles[i].arena, BUNDLE_ARENA_BYTES);
        queue_push(replay->empty, &replay->bundles[i].shared.work);
    }
    return replay;
}

/* Under the mutex. */
static void arrive(struct replay *replay)
{
    if (--replay->awaited > 0)
        return;
    if (replay->from_seq != UINT64_MAX) {
        replay->next_seq = replay->from_seq;
        replay->last_seq = journal_last_seq(replay->journal);
        replay->start_ms = clock_monotonic_ms();
        replay->has_thread = true;
        thread_start(&replay->thread, "replay", run, replay);
    }
    pthread_cond_broadcast(&replay->complete);
}

void replay_join(struct replay *replay, unsigned number, uint64_t from_seq)
{
    pthread_mutex_lock(&replay->mutex);
    replay->readers[number].joined = true;
    if (from_seq < replay->from_seq)
        replay->from_seq = from_seq;
    arrive(replay);
    while (replay->awaited > 0)
        pthread_cond_wait(&replay->complete, &replay->mutex);
    pthread_mutex_unlock(&replay->mutex);
}

static void give_back(struct replay *replay, struct reader *reader)
{
    struct share *share = (struct share *)reader->taken;
    reader->taken = share->work.next;
    if (shared_let_go(share->of))
        queue_push(replay->empty, &share->of->work);
}

const struct replay_bundle *replay_next(struct replay *replay, unsigned number)
{
    struct reader *reader = &replay->readers[number];
    if (reader->lent)
        give_back(replay, reader);
    while (reader->taken == NULL)
        reader->taken = queue_take(reader->filled, -1);
    reader->lent = true;
    return (const struct replay_bundle *)((struct share *)reader->taken)->of;
}

void replay_leave(struct replay *replay, unsigned number)
{
    struct reader *reader = &replay->readers[number];
    pthread_mutex_lock(&replay->mutex);
    reader->left = true;
    replay->end_ms = clock_monotonic_ms();
    if (!reader->joined)
        arrive(replay);
    pthread_mutex_unlock(&replay->mutex);
    do
        while (reader->taken != NULL)
            give_back(replay, reader);
    while ((reader->taken = queue_take(reader->filled, 0)) != NULL); /* read for nothing; no more are coming */
}

void replay_extent(const struct replay *replay, uint64_t *record_count, int64_t *ms)
{
    *record_count = replay->has_thread ? replay->last_seq - replay->from_seq + 1 : 0;
    *ms = replay->end_ms - replay->start_ms;
}

void replay_destroy(struct replay *replay)
{
    if (replay->has_thread)
        pthread_join(replay->thread, NULL);
    queue_take(replay->empty, 0); /* the bundles are ours in any case */
    queue_destroy(replay->empty);
    for (unsigned i = 0; i < replay->reader_count; i++)
        queue_destroy(replay->readers[i].filled);
    for (size_t i = 0; i < BUNDLES; i++)
        arena_fini(&replay->bundles[i].arena);
    arena_fini(&replay->scratch);
    pthread_mutex_destroy(&replay->mutex);
    pthread_cond_destroy(&replay->complete);
    free(replay);
}

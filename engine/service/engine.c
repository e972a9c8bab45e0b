#include "engine/service/engine.h"

#include <inttypes.h>
#include <stdlib.h>

#include "engine/base/log.h"
#include "engine/base/thread.h"
#include "engine/service/activation.h"
#include "engine/service/applier.h"
#include "engine/service/backup.h"
#include "engine/service/committer.h"
#include "engine/service/publisher.h"
#include "engine/service/replay.h"

/* --- opening and closing --------------------------------------------------------------------------------------- */

static void make_partitions(struct engine *engine)
{
    engine->partition_count = (unsigned)engine->settings->partitions;
    engine->partitions = calloc(engine->partition_count, sizeof *engine->partitions);
    if (engine->partitions == NULL)
        abort();
    for (unsigned i = 0; i < engine->partition_count; i++)
        engine->partitions[i] = (struct partition){
            .engine = engine,
            .number = i,
            .apply_queue = queue_create(),
            .results_home = queue_create(),
        };
}

/* What nobody took: changes of rules, ticks, a stop, a failure. */
static void drop_rest(struct queue *queue)
{
    for (struct work *work = queue_take(queue, 0), *next; work != NULL; work = next) {
        next = work->next;
        if (work->kind == WORK_RULES)
            rules_change_destroy((struct rules_change *)work);
        else
            free(work);
    }
}

static void close_partition(struct partition *partition)
{
    applier_finish(partition->applier);
    drop_rest(partition->apply_queue);
    queue_destroy(partition->apply_queue);
    results_destroy_all(queue_take(partition->results_home, 0));
    queue_destroy(partition->results_home);
}

static void close_stores(struct engine *engine)
{
    for (unsigned i = 0; i < engine->partition_count; i++)
        close_partition(&engine->partitions[i]);
    free(engine->partitions);
    backup_destroy(engine->backup);
    drop_rest(engine->commit_queue);
    journal_close(engine->journal);
    queue_destroy(engine->commit_queue);
    sem_destroy(&engine->may_trim);
    pthread_mutex_destroy(&engine->order);
}

static void end_replay(struct engine *engine, bool opened)
{
    uint64_t count;
    int64_t ms;
    replay_extent(engine->replay, &count, &ms);
    if (opened && count > 0)
        log_line(LOG_INFO, "replayed", "events=%" PRIu64 " ms=%" PRId64, count, ms);
    replay_destroy(engine->replay);
    engine->replay = NULL;
}

/* All at the same time, since each may have much to replay. */
static bool open_partitions(struct engine *engine, struct err *err)
{
    bool opened = true;
    engine->replay = replay_create(engine->journal, engine->partition_count);
    for (unsigned i = 0; i < engine->partition_count; i++)
        engine->partitions[i].applier = applier_start(&engine->partitions[i]);
    for (unsigned i = 0; i < engine->partition_count; i++) {
        struct err why;
        if (applier_ready(engine->partitions[i].applier, &why))
            continue;
        engine->partitions[i].applier = NULL;
        if (opened)
            *err = why;
        opened = false;
    }
    end_replay(engine, opened);
    for (unsigned i = 0; !opened && i < engine->partition_count; i++)
        if (engine->partitions[i].applier != NULL)
            applier_give_up(engine->partitions[i].applier);
    return opened;
}

bool engine_open(struct engine *engine, struct ruleset *ruleset, struct err *err)
{
    char path[DATA_PATH_BYTES];
    engine->commit_queue = queue_create();
    sem_init(&engine->may_trim, 0, 1);
    pthread_mutex_init(&engine->order, NULL);
    make_partitions(engine);
    engine->backup = backup_create(engine);
    engine_change_rules(engine, ruleset);
    uint64_t segment_bytes = journal_segment_bytes((uint64_t)engine->settings->journal_keep_mib << 20);
    if (!data_path(engine->settings->data, "journal", path, err) ||
        !journal_open(path, segment_bytes, &engine->journal, err) ||
        !partition_note_count(engine->settings->data, engine->partition_count, journal_last_seq(engine->journal) == 0,
                              err) ||
        !open_partitions(engine, err)) {
        close_stores(engine);
        drop_rest(engine->door_queue); /* what the partitions had to say */
        return false;
    }
    if (journal_torn_bytes(engine->journal) > 0)
        log_line(LOG_WARN, "journal-end-dropped", "bytes=%" PRIu64 " seq=%" PRIu64,
                 journal_torn_bytes(engine->journal), journal_last_seq(engine->journal));
    atomic_store(&engine->journal_seq, journal_last_seq(engine->journal));
    thread_start(&engine->committer_thread, "committer", committer_run, engine);
    return true;
}

void engine_stop_begin(struct engine *engine)
{
    struct shared *stop = calloc(1, sizeof *stop);
    if (stop == NULL)
        abort();
    stop->work.kind = WORK_STOP;
    queue_push(engine->commit_queue, &stop->work);
}

void engine_close(struct engine *engine)
{
    pthread_join(engine->committer_thread, NULL);
    close_stores(engine);
}

/* --- to all of them ---------------------------------------------------------------------------------------------- */

struct partition *engine_lead(const struct engine *engine)
{
    return &engine->partitions[ENGINE_LEAD];
}

void engine_change_rules(struct engine *engine, struct ruleset *ruleset)
{
    bool shipped = engine->settings->rules[0] == '\0';
    struct rules_change *change = rules_change_create(ruleset, shipped ? RULESET_BY_PROGRAM : RULESET_BY_SETTINGS);
    queue_push(engine_lead(engine)->apply_queue, &change->shared.work);
}

_Static_assert(PARTITION_COUNT_MAX <= 32, "a bit of `wake` for each");

void engine_give_each(struct engine *engine, struct work *const *work, unsigned *wake)
{
    pthread_mutex_lock(&engine->order);
    for (unsigned i = 0; i < engine->partition_count; i++)
        if (queue_add(engine->partitions[i].apply_queue, work[i]))
            *wake |= 1u << i;
    pthread_mutex_unlock(&engine->order);
}

/* One alone gets the thing itself. */
void engine_pass_on(struct engine *engine, struct shared *shared, unsigned *wake)
{
    struct work *work[PARTITION_COUNT_MAX] = {&shared->work};
    if (engine->partition_count > 1)
        shared_hold(shared, engine->partition_count);
    for (unsigned i = 0; engine->partition_count > 1 && i < engine->partition_count; i++)
        work[i] = &shared->shares[i].work;
    engine_give_each(engine, work, wake);
}

void engine_wake(struct engine *engine, unsigned wake)
{
    for (unsigned i = 0; wake >> i != 0; i++)
        if ((wake >> i & 1) != 0)
            queue_wake(engine->partitions[i].apply_queue);
}

/* --- what they say together --------------------------------------------------------------------------------------- */

uint64_t engine_checkpoint_seq(const struct engine *engine)
{
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < engine->partition_count; i++) {
        uint64_t seq = atomic_load(&engine->partitions[i].checkpoint_seq);
        if (seq < least)
            least = seq;
    }
    return least;
}

bool engine_disk_full(const struct engine *engine)
{
    bool full = false;
    for (unsigned i = 0; i < engine->partition_count; i++)
        full |= atomic_load_explicit(&engine->partitions[i].disk_full, memory_order_relaxed);
    return full;
}

void engine_fail(struct engine *engine, const struct err *err)
{
    struct failure *failure = calloc(1, sizeof *failure);
    if (failure == NULL)
        abort();
    failure->work.kind = WORK_FAILED;
    failure->err = *err;
    queue_push(engine->door_queue, &failure->work);
}

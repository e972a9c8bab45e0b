#include "engine/service/applier.h"

#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/thread.h"
#include "engine/service/activation.h"
#include "engine/service/backup.h"
#include "engine/service/batch.h"
#include "engine/service/lock.h"
#include "engine/service/publisher.h"
#include "engine/service/query.h"
#include "engine/service/replay.h"
#include "engine/service/step.h"

enum {
    HEARTBEAT_MS = 1000,
    TICK_RETRY_MS = 1000,    /* for one that found the disk full */
    CHECKPOINT_LOOK_MS = 20, /* how often to see whether a running one is over */
    /* The batched results of so many batches of events, at most, go to the door together: fewer and larger messages.
     * Single ones are a message each anyway, and only pile up. */
    PASS_BATCHES = 16,
};

struct applier {
    struct partition *partition;
    pthread_t thread;
    sem_t ready;           /* the two below are set */
    bool opened;
    struct err open_err;   /* when it isn't */
    const char *state_dir; /* borrowed until ready */
    struct step step; /* the state, the active rules, the publisher: all owned here */
    struct activation *activation;
    struct backup *backup;
    uint64_t counted_seq; /* up to here events are in stats.applied; below it they are replayed */
    int64_t checkpoint_at_ms;    /* monotonic; when the next is due */
    int64_t checkpoint_start_ms; /* of the running one, or the last */
    int64_t heartbeat_at_ms;
    int64_t tick_retry_at_ms; /* monotonic; not before */
    bool tick_under_way;
    bool stopped;
    unsigned unpassed; /* batches of events whose results the door hasn't got */
};

/* --- one event ------------------------------------------------------------------------------------------ */

static void count_event(struct applier *applier, uint64_t seq, unsigned dead_letters)
{
    struct stats *stats = applier->partition->stats;
    if (seq <= applier->counted_seq) {
        stats_add(&stats->replayed, 1);
        return;
    }
    applier->counted_seq = seq;
    stats_add(dead_letters > 0 ? &stats->dead_lettered : &stats->applied, 1);
}

static bool apply_one(struct applier *applier, const struct event *event, struct text line,
                      uint64_t seq, int64_t received_ms, struct err *err)
{
    unsigned dead_letters;
    if (!step_event(&applier->step, event, line, seq, received_ms, &dead_letters, err))
        return false;
    count_event(applier, seq, dead_letters);
    return true;
}

/* --- checkpoints ----------------------------------------------------------------------------------------- */

static void disk_full(struct applier *applier, bool full, const char *why)
{
    if (atomic_exchange(&applier->partition->stats->disk_full, full) == full)
        return;
    if (full)
        log_line(LOG_ERROR, "state-full", "error=%s", log_quote(why));
    else
        log_line(LOG_INFO, "state-has-space", "seq=%" PRIu64, state_applied_seq(applier->step.state));
}

static void begin_checkpoint(struct applier *applier)
{
    applier->checkpoint_start_ms = clock_monotonic_ms();
    applier->checkpoint_at_ms = applier->checkpoint_start_ms + applier->partition->settings->checkpoint_ms;
    state_checkpoint_begin(applier->step.state);
}

/* Waits for the running one. That there is no space is no failure: it is tried again. */
static bool end_checkpoint(struct applier *applier, struct err *err)
{
    struct stats *stats = applier->partition->stats;
    if (!state_checkpoint_end(applier->step.state, err)) {
        if (err->code != ERR_FULL)
            return false;
        disk_full(applier, true, err->text);
        return true;
    }
    disk_full(applier, false, "");
    uint64_t seq = state_checkpoint_seq(applier->step.state);
    int64_t took_ms = clock_monotonic_ms() - applier->checkpoint_start_ms;
    atomic_store(&applier->partition->checkpoint_seq, seq);
    atomic_store(&stats->checkpoint_ms, (uint64_t)took_ms);
    atomic_store(&stats->unsaved_since_ms, applier->checkpoint_start_ms); /* if anything is, since then */
    stats_add(&stats->checkpoints, 1);
    log_line(LOG_DEBUG, "checkpoint", "seq=%" PRIu64 " ms=%" PRId64, seq, took_ms);
    const struct settings *settings = applier->partition->settings;
    return state_history_trim(applier->step.state, settings->history_keep_hours * 3600 * 1000,
                              (uint64_t)settings->history_keep_mib << 20, err);
}

/* Between two checkpoints the same device may report often, and each is a layer (store/layer.h): the larger the
 * fleet, the more rows have to come together to be worth it. */
static size_t changes_bytes_max(const struct applier *applier)
{
    enum { BYTES_A_DEVICE = 16 };
    size_t setting = (size_t)applier->partition->settings->checkpoint_mib << 20;
    size_t fleet = BYTES_A_DEVICE * state_device_count(applier->step.state);
    return setting > fleet ? setting : fleet;
}

/* Half of the memory for changes is for those that a checkpoint is writing. When the other half is full
 * before it is through, there's nothing to do but wait for it. */
static bool checkpoint_if_due(struct applier *applier, struct err *err)
{
    struct state *state = applier->step.state;
    bool much = state_changes_bytes(state) >= changes_bytes_max(applier) / 2;
    bool full = atomic_load(&applier->partition->stats->disk_full);
    if (state_checkpoint_running(state)) {
        if (!state_checkpoint_over(state) && (!much || full))
            return true;
        if (!end_checkpoint(applier, err))
            return false;
        full = atomic_load(&applier->partition->stats->disk_full);
    }
    backup_begin(applier->backup, state);
    bool due = clock_monotonic_ms() >= applier->checkpoint_at_ms || (much && !full);
    if (due && state_applied_seq(state) != state_checkpoint_seq(state))
        begin_checkpoint(applier);
    return true;
}

/* Everything to disk, at the end. What doesn't fit comes back from the journal. */
static bool last_checkpoint(struct applier *applier, struct err *err)
{
    while (state_applied_seq(applier->step.state) != state_checkpoint_seq(applier->step.state) ||
           state_checkpoint_running(applier->step.state)) {
        if (!state_checkpoint_running(applier->step.state))
            begin_checkpoint(applier);
        if (!end_checkpoint(applier, err))
            return false;
        if (atomic_load(&applier->partition->stats->disk_full))
            break;
    }
    return true;
}

/* --- replay ---------------------------------------------------------------------------------------------- */

/* event  of a JOURNAL_EVENT */
static bool replay_record(struct applier *applier, const struct journal_record *record,
                          const struct event *event, struct err *err)
{
    switch (record->kind) {
    case JOURNAL_EVENT:
        return apply_one(applier, event, record->body, record->seq, record->received_ms, err);
    case JOURNAL_RULES:
    case JOURNAL_RULES_OF_OPERATOR:
    case JOURNAL_RULES_OF_PROGRAM:
        return activation_replay(applier->activation, record, err);
    case JOURNAL_TICK:
        return step_tick(&applier->step, record->seq, record->received_ms, err);
    }
    return err_set(err, ERR_DAMAGED, "journal record %" PRIu64 " is of a kind that this version "
                                     "doesn't know; run a newer fwsyncd", record->seq);
}

static void pass_results(struct applier *applier)
{
    applier->unpassed = 0;
    for (struct results *results; (results = publisher_take(applier->step.publisher)) != NULL;)
        queue_push(applier->partition->door_queue, &results->work);
}

/* Serving, the doors refuse events while the disk is full; here the only bound is to give up. */
static bool has_room(const struct applier *applier, struct err *err)
{
    const struct partition *partition = applier->partition;
    if (!atomic_load(&partition->stats->disk_full) ||
        state_changes_bytes(applier->step.state) < changes_bytes_max(applier))
        return true;
    return err_set(err, ERR_FULL, "the disk is full, and there is more to replay than memory may be "
                                  "taken (checkpoint-mib): free some space and start again");
}

static bool replay_bundle(struct applier *applier, const struct replay_bundle *bundle, struct err *err)
{
    for (size_t i = 0; i < bundle->count + LOOK_AHEAD; i++) {
        bool is_event = i < bundle->count && bundle->records[i].kind == JOURNAL_EVENT;
        state_expect(applier->step.state, is_event ? bundle->events[i].device : TEXT(""));
        size_t at = i - LOOK_AHEAD;
        if (i >= LOOK_AHEAD && !replay_record(applier, &bundle->records[at], &bundle->events[at], err))
            return false;
    }
    if (bundle->err.code == ERR_NONE)
        return true;
    *err = bundle->err;
    return false;
}

/* Everything the journal has and the state lacks. */
static bool replay(struct applier *applier, struct err *err)
{
    struct replay *ahead = replay_start(applier->partition->journal, state_applied_seq(applier->step.state) + 1);
    const struct replay_bundle *bundle;
    bool done;
    do {
        bundle = replay_next(ahead);
        done = replay_bundle(applier, bundle, err);
        pass_results(applier);
        done = done && checkpoint_if_due(applier, err) && has_room(applier, err);
    } while (done && bundle->count > 0);
    replay_stop(ahead);
    return done;
}

static bool recover(struct applier *applier, struct err *err)
{
    struct journal *journal = applier->partition->journal;
    uint64_t from = state_applied_seq(applier->step.state), last = journal_last_seq(journal);
    applier->counted_seq = last;
    if (from > last)
        return err_set(err, ERR_DAMAGED,
                       "the state knows event %" PRIu64 ", the journal ends at %" PRIu64
                       ": journal/ and state/ don't belong together; restore both from one backup",
                       from, last);
    int64_t start_ms = clock_monotonic_ms();
    applier->checkpoint_at_ms = start_ms + applier->partition->settings->checkpoint_ms;
    atomic_store(&applier->partition->stats->unsaved_since_ms, start_ms);
    if (!activation_load(applier->activation, err))
        return false;
    if (last == from)
        return true;
    if (!replay(applier, err))
        return false;
    log_line(LOG_INFO, "replayed", "events=%" PRIu64 " ms=%" PRId64, last - from, clock_monotonic_ms() - start_ms);
    return true;
}

/* --- the thread ------------------------------------------------------------------------------------------ */

/* A duplicate isn't applied again. */
static bool apply_from_batch(struct applier *applier, const struct batch *batch, const struct batch_event *event,
                             struct err *err)
{
    return event->seq <= state_applied_seq(applier->step.state) ||
           apply_one(applier, &event->event, event->line, event->seq, batch->received_ms, err);
}

static bool apply_batch(struct applier *applier, struct batch *batch, struct err *err)
{
    struct stats *stats = applier->partition->stats;
    int64_t start_ns = clock_monotonic_ns();
    for (size_t i = 0; i < batch->event_count + LOOK_AHEAD; i++) {
        state_expect(applier->step.state, i < batch->event_count ? batch->events[i].event.device : TEXT(""));
        if (i >= LOOK_AHEAD && !apply_from_batch(applier, batch, &batch->events[i - LOOK_AHEAD], err))
            return false;
    }
    int64_t end_ns = clock_monotonic_ns();
    histogram_add(&stats->apply, end_ns - start_ns, 1);
    atomic_store(&stats->apply_lag_ms, (uint64_t)(end_ns - batch->read_ns) / 1000000);
    return true;
}

/* When to ask for a tick, on the monotonic clock; INT64_MAX: not as things are. */
static int64_t tick_at_ms(const struct applier *applier)
{
    int64_t next_ms = state_timer_next(applier->step.state);
    if (applier->tick_under_way || next_ms == INT64_MAX)
        return INT64_MAX;
    int64_t at_ms = clock_monotonic_ms() + next_ms - clock_wall_ms();
    return at_ms > applier->tick_retry_at_ms ? at_ms : applier->tick_retry_at_ms;
}

/* Time has to go through the journal like anything else that the rules see. Only where it changes something: an
 * idle daemon writes nothing. */
static void tick_if_due(struct applier *applier)
{
    struct partition *partition = applier->partition;
    if (tick_at_ms(applier) > clock_monotonic_ms())
        return;
    if (atomic_load(&partition->stats->disk_full)) {
        applier->tick_retry_at_ms = clock_monotonic_ms() + TICK_RETRY_MS;
        return;
    }
    applier->tick_under_way = true;
    partition->tick = (struct tick){.work.kind = WORK_TICK};
    queue_push(partition->commit_queue, &partition->tick.work);
}

static bool take_tick(struct applier *applier, const struct tick *tick, struct err *err)
{
    applier->tick_under_way = false;
    if (tick->seq == 0) {
        applier->tick_retry_at_ms = clock_monotonic_ms() + TICK_RETRY_MS;
        return true;
    }
    if (!step_tick(&applier->step, tick->seq, tick->received_ms, err))
        return false;
    stats_add(&applier->partition->stats->ticks, 1);
    pass_results(applier);
    return true;
}

static bool answer(struct applier *applier, struct query *query, struct err *err)
{
    struct query_context context = {
        .partition = applier->partition,
        .state = applier->step.state,
        .publisher = applier->step.publisher,
        .ruleset = applier->step.ruleset,
        .activation = applier->activation,
        .backup = applier->backup,
    };
    return query_answer(&context, query, err);
}

static bool is_saved(const struct applier *applier)
{
    return state_applied_seq(applier->step.state) == state_checkpoint_seq(applier->step.state);
}

/* Everything is in a checkpoint until now. */
static void note_saved(struct applier *applier)
{
    if (is_saved(applier))
        atomic_store(&applier->partition->stats->unsaved_since_ms, clock_monotonic_ms());
}

static bool process(struct applier *applier, struct work *work, struct err *err)
{
    struct queue *door = applier->partition->door_queue;
    note_saved(applier);
    switch (work->kind) {
    case WORK_BATCH: {
        bool done = apply_batch(applier, (struct batch *)work, err);
        if (publisher_has_single(applier->step.publisher) || ++applier->unpassed == PASS_BATCHES)
            pass_results(applier);
        queue_push(door, work);
        return done;
    }
    case WORK_QUERY: {
        struct query *query = (struct query *)work;
        bool done = answer(applier, query, err);
        if (!query->answered_later)
            queue_push(door, work);
        return done;
    }
    case WORK_RULES:
        return activation_take(applier->activation, (struct rules_change *)work, err);
    case WORK_TICK:
        return take_tick(applier, (const struct tick *)work, err);
    case WORK_STOP: {
        applier->stopped = true;
        pass_results(applier); /* the door takes nothing after this */
        bool done = last_checkpoint(applier, err);
        backup_stop(applier->backup);
        activation_stop(applier->activation);
        if (done)
            queue_push(door, work);
        else
            free(work); /* the door hears of the failure in its place */
        return done;
    }
    case WORK_ACKS:
    case WORK_RESULTS:
    case WORK_BUNDLE:
    case WORK_FAILED:
        break;
    }
    abort();
}

static bool heartbeat_if_due(struct applier *applier, struct err *err)
{
    const struct partition *partition = applier->partition;
    if (clock_monotonic_ms() < applier->heartbeat_at_ms)
        return true;
    applier->heartbeat_at_ms = clock_monotonic_ms() + HEARTBEAT_MS;
    publisher_heartbeat(applier->step.publisher, clock_wall_ms(), state_applied_seq(applier->step.state));
    pass_results(applier);
    if (is_saved(applier))
        state_rest(applier->step.state);
    return lock_check(partition->settings->data, partition->lock_fd, err);
}

static int next_wait_ms(const struct applier *applier)
{
    int64_t at = applier->heartbeat_at_ms;
    if (!is_saved(applier) && !state_checkpoint_running(applier->step.state) && applier->checkpoint_at_ms < at)
        at = applier->checkpoint_at_ms;
    if (tick_at_ms(applier) < at)
        at = tick_at_ms(applier);
    int64_t wait = at - clock_monotonic_ms() + 1;
    if (state_checkpoint_running(applier->step.state) && wait > CHECKPOINT_LOOK_MS)
        wait = CHECKPOINT_LOOK_MS;
    return wait < 0 ? 0 : (int)wait;
}

static void serve(struct applier *applier)
{
    struct partition *partition = applier->partition;
    struct err err;
    bool going = true;
    while (going && !applier->stopped) {
        struct work *work = queue_take(partition->apply_queue, next_wait_ms(applier)), *next;
        for (; going && work != NULL; work = next) {
            next = work->next;
            going = process(applier, work, &err) &&
                    (applier->stopped || (checkpoint_if_due(applier, &err) && heartbeat_if_due(applier, &err)));
        }
        pass_results(applier);
        if (!going || applier->stopped)
            break; /* WORK_STOP is the last that the door gets */
        going = checkpoint_if_due(applier, &err) && heartbeat_if_due(applier, &err);
        tick_if_due(applier);
    }
    if (!going)
        partition_fail(partition, &err);
}

static bool open_all(struct applier *applier, struct err *err)
{
    const struct settings *settings = applier->partition->settings;
    struct state_options options = {
        .map_bytes = (uint64_t)settings->state_map_gib << 30,
        .indexes = settings->indexes,
        .index_count = settings->index_count,
    };
    if (!state_open(applier->state_dir, &options, &applier->step.state, err))
        return false;
    applier->step.publisher = publisher_create(applier->step.state, applier->partition->subscriptions,
                                          (uint64_t)settings->dead_letters);
    publisher_home(applier->step.publisher, applier->partition->results_home);
    if (!recover(applier, err))
        return false;
    struct work *wanted = queue_take(applier->partition->apply_queue, 0); /* what is configured, and nothing else yet */
    return activation_take(applier->activation, (struct rules_change *)wanted, err);
}

static void close_all(struct applier *applier)
{
    backup_destroy(applier->backup);
    publisher_destroy(applier->step.publisher);
    activation_destroy(applier->activation);
    state_close(applier->step.state);
}

static void *run(void *argument)
{
    struct applier *applier = argument;
    bool opened = applier->opened = open_all(applier, &applier->open_err);
    sem_post(&applier->ready);
    if (opened)
        serve(applier);
    close_all(applier);
    return NULL;
}

bool applier_start(struct partition *partition, const char *state_dir, struct applier **out,
                   struct err *err)
{
    struct applier *applier = calloc(1, sizeof *applier);
    if (applier == NULL)
        abort();
    applier->partition = partition;
    applier->state_dir = state_dir;
    applier->backup = backup_create(partition);
    step_init(&applier->step);
    applier->activation = activation_create(partition, &applier->step);
    sem_init(&applier->ready, 0, 0);
    thread_start(&applier->thread, "applier", run, applier);
    while (sem_wait(&applier->ready) != 0)
        continue; /* a signal */
    if (!applier->opened) {
        *err = applier->open_err;
        applier_finish(applier);
        return false;
    }
    *out = applier;
    return true;
}

void applier_finish(struct applier *applier)
{
    if (applier == NULL)
        return;
    pthread_join(applier->thread, NULL);
    sem_destroy(&applier->ready);
    step_fini(&applier->step);
    free(applier);
}

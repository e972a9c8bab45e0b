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
#include "engine/service/meeting.h"
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

/* Events since they were last told. */
struct counted {
    uint64_t replayed, applied, dead_lettered;
};

struct applier {
    struct partition *partition;
    pthread_t thread;
    sem_t ready;         /* the two below are set */
    bool opened;
    struct err open_err; /* when it isn't */
    atomic_bool given_up;
    struct step step; /* the state, the active rules, the publisher: all owned here */
    struct activation *activation;
    uint64_t replay_from; /* the first event that the state lacked at the start */
    uint64_t counted_seq; /* up to here events are counted as applied; below it they are replayed */
    struct counted counted;
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
    if (seq <= applier->counted_seq) {
        applier->counted.replayed++;
        return;
    }
    applier->counted_seq = seq;
    if (dead_letters > 0)
        applier->counted.dead_lettered++;
    else
        applier->counted.applied++;
}

/* Into the daemon's counters, which all partitions share: not for each event. */
static void tell_counts(struct applier *applier)
{
    struct stats *stats = applier->partition->engine->stats;
    stats_add(&stats->replayed, applier->counted.replayed);
    stats_add(&stats->applied, applier->counted.applied);
    stats_add(&stats->dead_lettered, applier->counted.dead_lettered);
    applier->counted = (struct counted){0, 0, 0};
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

/* Of what the settings give the whole fleet; not less than what a partition does with at all. */
static uint64_t quota(const struct partition *partition, int64_t all_mib)
{
    enum { LEAST_MIB = 8 };
    int64_t each_mib = all_mib / partition->engine->partition_count;
    int64_t least_mib = all_mib < LEAST_MIB ? all_mib : LEAST_MIB;
    return (uint64_t)(each_mib > least_mib ? each_mib : least_mib) << 20;
}

static void disk_full(struct applier *applier, bool full, const char *why)
{
    if (atomic_exchange(&applier->partition->disk_full, full) == full)
        return;
    if (full)
        log_line(LOG_ERROR, "state-full", "error=%s", log_quote(why));
    else
        log_line(LOG_INFO, "state-has-space", "seq=%" PRIu64, state_applied_seq(applier->step.state));
}

static void begin_checkpoint(struct applier *applier)
{
    applier->checkpoint_start_ms = clock_monotonic_ms();
    applier->checkpoint_at_ms = applier->checkpoint_start_ms + applier->partition->engine->settings->checkpoint_ms;
    state_checkpoint_begin(applier->step.state);
}

/* Waits for the running one. That there is no space is no failure: it is tried again. */
static bool end_checkpoint(struct applier *applier, struct err *err)
{
    struct partition *partition = applier->partition;
    if (!state_checkpoint_end(applier->step.state, err)) {
        if (err->code != ERR_FULL)
            return false;
        disk_full(applier, true, err->text);
        return true;
    }
    disk_full(applier, false, "");
    uint64_t seq = state_checkpoint_seq(applier->step.state);
    int64_t took_ms = clock_monotonic_ms() - applier->checkpoint_start_ms;
    atomic_store(&partition->checkpoint_seq, seq);
    atomic_store(&partition->checkpoint_ms, (uint64_t)took_ms);
    atomic_store(&partition->unsaved_since_ms, applier->checkpoint_start_ms); /* if anything is, since then */
    stats_add(&partition->engine->stats->checkpoints, 1);
    log_line(LOG_DEBUG, "checkpoint", "seq=%" PRIu64 " ms=%" PRId64, seq, took_ms);
    const struct settings *settings = partition->engine->settings;
    return state_history_trim(applier->step.state, settings->history_keep_hours * 3600 * 1000,
                              quota(partition, settings->history_keep_mib), err);
}

/* Between two checkpoints the same device may report often, and each is a layer (store/layer.h): the larger the
 * fleet, the more rows have to come together to be worth it. */
static size_t changes_bytes_max(const struct applier *applier)
{
    enum { BYTES_A_DEVICE = 16 };
    const struct partition *partition = applier->partition;
    size_t setting = (size_t)quota(partition, partition->engine->settings->checkpoint_mib);
    size_t fleet = BYTES_A_DEVICE * state_device_count(applier->step.state);
    return setting > fleet ? setting : fleet;
}

/* Half of the memory for changes is for those that a checkpoint is writing. When the other half is full
 * before it is through, there's nothing to do but wait for it. */
static bool checkpoint_if_due(struct applier *applier, struct err *err)
{
    struct state *state = applier->step.state;
    bool much = state_changes_bytes(state) >= changes_bytes_max(applier) / 2;
    bool full = atomic_load(&applier->partition->disk_full);
    if (state_checkpoint_running(state)) {
        if (!state_checkpoint_over(state) && (!much || full))
            return true;
        if (!end_checkpoint(applier, err))
            return false;
        full = atomic_load(&applier->partition->disk_full);
    }
    backup_begin(applier->partition->engine->backup, applier->partition, state);
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
        if (atomic_load(&applier->partition->disk_full))
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
        queue_push(applier->partition->engine->door_queue, &results->work);
}

/* Serving, the doors refuse events while the disk is full; here the only bound is to give up. */
static bool has_room(const struct applier *applier, struct err *err)
{
    const struct partition *partition = applier->partition;
    if (!atomic_load(&partition->disk_full) ||
        state_changes_bytes(applier->step.state) < changes_bytes_max(applier))
        return true;
    return err_set(err, ERR_FULL, "the disk is full, and there is more to replay than memory may be "
                                  "taken (checkpoint-mib): free some space and start again");
}

/* Other partitions' events are behind this one, too. */
static void pass(struct applier *applier, uint64_t seq)
{
    if (seq > state_applied_seq(applier->step.state))
        state_set_applied_seq(applier->step.state, seq);
}

static bool is_mine(const struct applier *applier, struct text device)
{
    const struct partition *partition = applier->partition;
    return partition_of(device, partition->engine->partition_count) == partition->number;
}

/* Is the record for this partition to apply? */
static bool is_to_apply(const struct applier *applier, const struct replay_bundle *bundle, size_t at)
{
    const struct journal_record *record = &bundle->records[at];
    return record->seq >= applier->replay_from &&
           (record->kind != JOURNAL_EVENT || is_mine(applier, bundle->events[at].device));
}

/* The position of the next one from `at` on; behind the last: the count. */
static size_t next_record(const struct applier *applier, const struct replay_bundle *bundle, size_t at)
{
    while (at < bundle->count && !is_to_apply(applier, bundle, at))
        at++;
    return at;
}

static bool replay_bundle(struct applier *applier, const struct replay_bundle *bundle, struct err *err)
{
    struct state *state = applier->step.state;
    size_t ahead = next_record(applier, bundle, 0), at = ahead;
    for (size_t i = 0; at < bundle->count; i++) {
        bool is_event = ahead < bundle->count && bundle->records[ahead].kind == JOURNAL_EVENT;
        state_expect(state, is_event ? bundle->events[ahead].device : TEXT(""));
        ahead = ahead < bundle->count ? next_record(applier, bundle, ahead + 1) : ahead;
        if (i < LOOK_AHEAD)
            continue;
        if (!replay_record(applier, &bundle->records[at], &bundle->events[at], err))
            return false;
        at = next_record(applier, bundle, at + 1);
    }
    if (bundle->count > 0)
        pass(applier, bundle->records[bundle->count - 1].seq);
    if (bundle->err.code == ERR_NONE)
        return true;
    *err = bundle->err;
    return false;
}

/* That one of them does ends the reading for all: the others leave it to that one to say so. */
static bool lacks_events(const struct applier *applier, struct err *err)
{
    if (applier->replay_from >= journal_first_seq(applier->partition->engine->journal))
        return true;
    char name[PARTITION_DIR_BYTES];
    partition_dir(applier->partition->number, name);
    return err_context(err, "%s lacks events that the journal no longer has; restore a backup, of all of the data folder: ",
                       name);
}

/* Everything the journal has and the state lacks. */
static bool replay(struct applier *applier, struct replay *ahead, struct err *err)
{
    const struct replay_bundle *bundle;
    unsigned number = applier->partition->number;
    bool done;
    applier->replay_from = state_applied_seq(applier->step.state) + 1;
    replay_join(ahead, number, applier->replay_from);
    do {
        bundle = replay_next(ahead, number);
        done = replay_bundle(applier, bundle, err);
        tell_counts(applier);
        pass_results(applier);
        done = done && checkpoint_if_due(applier, err) && has_room(applier, err);
    } while (done && bundle->count > 0);
    if (!done && err->code == ERR_GONE)
        return lacks_events(applier, err);
    return done;
}

static bool recover(struct applier *applier, struct replay *ahead, struct err *err)
{
    struct journal *journal = applier->partition->engine->journal;
    uint64_t from = state_applied_seq(applier->step.state), last = journal_last_seq(journal);
    applier->counted_seq = last;
    if (from > last)
        return err_set(err, ERR_DAMAGED,
                       "the state knows event %" PRIu64 ", the journal ends at %" PRIu64
                       ": journal/ and state/ don't belong together; restore both from one backup",
                       from, last);
    int64_t start_ms = clock_monotonic_ms();
    applier->checkpoint_at_ms = start_ms + applier->partition->engine->settings->checkpoint_ms;
    atomic_store(&applier->partition->unsaved_since_ms, start_ms);
    return activation_load(applier->activation, err) && (last == from || replay(applier, ahead, err));
}

/* --- the thread ------------------------------------------------------------------------------------------ */

/* The next event from `at` on that is this partition's; NULL: there is none. */
static const struct batch_event *next_event(const struct applier *applier, const struct batch *batch, size_t at)
{
    while (at < batch->event_count && batch->events[at].partition != applier->partition->number)
        at++;
    return at < batch->event_count ? &batch->events[at] : NULL;
}

static const struct batch_event *event_behind(const struct applier *applier, const struct batch *batch,
                                              const struct batch_event *event)
{
    return next_event(applier, batch, (size_t)(event - batch->events) + 1);
}

/* A duplicate isn't applied again. */
static bool apply_from_batch(struct applier *applier, const struct batch *batch, const struct batch_event *event,
                             struct err *err)
{
    return event->seq <= state_applied_seq(applier->step.state) ||
           apply_one(applier, &event->event, event->line, event->seq, batch->received_ms, err);
}

static bool apply_events(struct applier *applier, const struct batch *batch, struct err *err)
{
    const struct batch_event *ahead = next_event(applier, batch, 0), *event = ahead;
    for (size_t i = 0; event != NULL; i++) {
        state_expect(applier->step.state, ahead != NULL ? ahead->event.device : TEXT(""));
        ahead = ahead != NULL ? event_behind(applier, batch, ahead) : NULL;
        if (i < LOOK_AHEAD)
            continue;
        if (!apply_from_batch(applier, batch, event, err))
            return false;
        event = event_behind(applier, batch, event);
    }
    return true;
}

static uint64_t last_seq(const struct batch *batch)
{
    size_t at = batch->event_count;
    while (at > 0 && batch->events[at - 1].seq == 0)
        at--;
    return at > 0 ? batch->events[at - 1].seq : 0;
}

static bool apply_batch(struct applier *applier, const struct batch *batch, struct err *err)
{
    struct partition *partition = applier->partition;
    bool has_events = next_event(applier, batch, 0) != NULL;
    int64_t start_ns = clock_monotonic_ns();
    if (!apply_events(applier, batch, err))
        return false;
    pass(applier, last_seq(batch));
    tell_counts(applier);
    int64_t end_ns = clock_monotonic_ns();
    if (has_events)
        histogram_add(&partition->apply, end_ns - start_ns, 1);
    atomic_store(&partition->apply_lag_ms, (uint64_t)(end_ns - batch->read_ns) / 1000000);
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
    if (engine_disk_full(partition->engine)) {
        applier->tick_retry_at_ms = clock_monotonic_ms() + TICK_RETRY_MS;
        return;
    }
    applier->tick_under_way = true;
    struct tick *tick = calloc(1, sizeof *tick);
    if (tick == NULL)
        abort();
    tick->shared.work.kind = WORK_TICK;
    tick->asker = partition;
    queue_push(partition->engine->commit_queue, &tick->shared.work);
}

static bool take_tick(struct applier *applier, const struct tick *tick, struct err *err)
{
    bool asked = tick->asker == applier->partition;
    if (asked)
        applier->tick_under_way = false;
    if (tick->seq == 0) {
        if (asked)
            applier->tick_retry_at_ms = clock_monotonic_ms() + TICK_RETRY_MS;
        return true;
    }
    if (!step_tick(&applier->step, tick->seq, tick->received_ms, err))
        return false;
    if (asked) /* once for all */
        stats_add(&applier->partition->engine->stats->ticks, 1);
    pass_results(applier);
    return true;
}

static void fill_context(struct applier *applier, struct query_context *context)
{
    *context = (struct query_context){
        .partition = applier->partition,
        .state = applier->step.state,
        .publisher = applier->step.publisher,
        .ruleset = applier->step.ruleset,
        .activation = applier->activation,
        .all = context,
        .count = 1,
    };
}

static bool answer(struct applier *applier, struct query *query, struct err *err)
{
    struct query_context context;
    bool home;
    fill_context(applier, &context);
    bool done = query_answer(&context, query, &home, err);
    if (home)
        queue_push(applier->partition->engine->door_queue, &query->work);
    return done;
}

static bool attend(struct applier *applier, struct seat *seat, struct err *err)
{
    struct query_context context;
    fill_context(applier, &context);
    return meeting_attend(seat, &context, err);
}

static bool is_saved(const struct applier *applier)
{
    return state_applied_seq(applier->step.state) == state_checkpoint_seq(applier->step.state);
}

/* Everything is in a checkpoint until now. */
static void note_saved(struct applier *applier)
{
    if (is_saved(applier))
        atomic_store(&applier->partition->unsaved_since_ms, clock_monotonic_ms());
}

/* A change comes three times at the most: as one that is wanted, to the lead; from the committer, to all; and when all
 * have taken it, to the lead again. */
static bool take_rules(struct applier *applier, struct rules_change *change, struct err *err)
{
    struct partition *lead = engine_lead(applier->partition->engine);
    switch (change->stage) {
    case RULES_WANTED:
        activation_hear(applier->activation, change);
        return true;
    case RULES_JOURNALED:
        if (!activation_take(applier->activation, change, err))
            return false;
        if (!shared_let_go(&change->shared))
            return true;
        change->stage = RULES_EVERYWHERE;
        if (applier->partition != lead) {
            queue_push(lead->apply_queue, &change->shared.work);
            return true;
        }
        break;
    case RULES_EVERYWHERE:
        break;
    }
    activation_finish(applier->activation, change);
    return true;
}

/* When the committer has stopped. The lead tells the others, so that what it passes on to them comes before. */
static void begin_stop(struct applier *applier, struct shared *work)
{
    unsigned wake = ENGINE_WAKE_NONE;
    engine_pass_on(applier->partition->engine, work, &wake);
    engine_wake(applier->partition->engine, wake);
}

/* The last one to stop tells the door. When the last checkpoint fails nobody does: it hears of the failure. */
static bool stop(struct applier *applier, struct shared *work, struct err *err)
{
    applier->stopped = true;
    if (atomic_load(&applier->given_up)) {
        free(work);
        return true;
    }
    pass_results(applier);
    bool done = last_checkpoint(applier, err);
    backup_stop(applier->partition->engine->backup);
    activation_stop(applier->activation);
    if (done && shared_let_go(work))
        queue_push(applier->partition->engine->door_queue, &work->work);
    return done;
}

static bool take_batch(struct applier *applier, struct batch *batch, struct err *err)
{
    bool done = apply_batch(applier, batch, err);
    if (publisher_has_single(applier->step.publisher) || ++applier->unpassed == PASS_BATCHES)
        pass_results(applier);
    if (shared_let_go(&batch->shared))
        queue_push(applier->partition->engine->door_queue, &batch->shared.work);
    return done;
}

static bool process(struct applier *applier, struct work *work, struct err *err)
{
    bool is_share = work->kind == WORK_SHARE;
    note_saved(applier);
    if (is_share)
        work = &((struct share *)work)->of->work;
    switch (work->kind) {
    case WORK_BATCH:
        return take_batch(applier, (struct batch *)work, err);
    case WORK_QUERY:
        return answer(applier, (struct query *)work, err);
    case WORK_MEETING:
        return attend(applier, (struct seat *)work, err);
    case WORK_RULES:
        return take_rules(applier, (struct rules_change *)work, err);
    case WORK_TICK: {
        struct tick *tick = (struct tick *)work;
        bool done = take_tick(applier, tick, err);
        if (shared_let_go(&tick->shared))
            free(tick);
        return done;
    }
    case WORK_STOP:
        if (is_share || applier->partition->engine->partition_count == 1 || atomic_load(&applier->given_up))
            return stop(applier, (struct shared *)work, err);
        begin_stop(applier, (struct shared *)work);
        return true;
    case WORK_ACKS:
    case WORK_RESULTS:
    case WORK_BUNDLE:
    case WORK_SHARE:
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
    return lock_check(partition->engine->settings->data, partition->engine->lock_fd, err);
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

/* Behind its stop there may be a change of rules that the others have taken: for whoever closes the queue. */
static void leave_rest(struct partition *partition, struct work *rest)
{
    for (struct work *next; rest != NULL; rest = next) {
        next = rest->next;
        queue_push(partition->apply_queue, rest);
    }
}

/* Returns false after a failure, which was passed on. */
static bool serve(struct applier *applier)
{
    struct partition *partition = applier->partition;
    struct err err;
    bool going = true;
    while (going && !applier->stopped) {
        struct work *work = queue_take(partition->apply_queue, next_wait_ms(applier)), *next;
        for (; going && !applier->stopped && work != NULL; work = next) {
            next = work->next;
            going = process(applier, work, &err) &&
                    (applier->stopped || (checkpoint_if_due(applier, &err) && heartbeat_if_due(applier, &err)));
        }
        if (!going || applier->stopped) {
            leave_rest(partition, work);
            break; /* WORK_STOP is the last that the door gets */
        }
        pass_results(applier);
        going = checkpoint_if_due(applier, &err) && heartbeat_if_due(applier, &err);
        tick_if_due(applier);
    }
    if (!going)
        engine_fail(partition->engine, &err);
    return going;
}

static bool open_state(struct applier *applier, struct err *err)
{
    const struct partition *partition = applier->partition;
    const struct settings *settings = partition->engine->settings;
    char name[PARTITION_DIR_BYTES], path[DATA_PATH_BYTES];
    struct state_options options = {
        .map_bytes = (uint64_t)settings->state_map_gib << 30,
        .indexes = settings->indexes,
        .index_count = settings->index_count,
    };
    partition_dir(partition->number, name);
    return data_path(settings->data, name, path, err) && state_open(path, &options, &applier->step.state, err);
}

static bool open_all(struct applier *applier, struct replay *ahead, struct err *err)
{
    struct partition *partition = applier->partition;
    const struct engine *engine = partition->engine;
    if (!open_state(applier, err))
        return false;
    applier->step.publisher = publisher_create(applier->step.state, engine->subscriptions,
                                               (uint64_t)engine->settings->dead_letters);
    publisher_partition(applier->step.publisher, partition->number, engine->partition_count);
    publisher_home(applier->step.publisher, partition->results_home);
    if (!recover(applier, ahead, err))
        return false;
    struct work *wanted = queue_take(partition->apply_queue, 0); /* the lead's: what is configured, and nothing else yet */
    if (wanted != NULL)
        activation_hear(applier->activation, (struct rules_change *)wanted);
    return true;
}

static void close_all(struct applier *applier)
{
    publisher_destroy(applier->step.publisher);
    activation_destroy(applier->activation);
    state_close(applier->step.state);
}

static void *run(void *argument)
{
    struct applier *applier = argument;
    struct replay *ahead = applier->partition->engine->replay;
    bool opened = applier->opened = open_all(applier, ahead, &applier->open_err);
    replay_leave(ahead, applier->partition->number);
    sem_post(&applier->ready);
    if (!opened || serve(applier))
        close_all(applier);
    return NULL; /* after a failure the process ends, and others may still use what is here */
}

struct applier *applier_start(struct partition *partition)
{
    struct applier *applier = calloc(1, sizeof *applier);
    if (applier == NULL)
        abort();
    applier->partition = partition;
    step_init(&applier->step);
    applier->activation = activation_create(partition, &applier->step);
    sem_init(&applier->ready, 0, 0);
    thread_start(&applier->thread, "applier", run, applier);
    return applier;
}

bool applier_ready(struct applier *applier, struct err *err)
{
    while (sem_wait(&applier->ready) != 0)
        continue; /* a signal */
    if (applier->opened)
        return true;
    *err = applier->open_err;
    applier_finish(applier);
    return false;
}

void applier_give_up(struct applier *applier)
{
    struct shared *stop = calloc(1, sizeof *stop);
    if (stop == NULL)
        abort();
    stop->work.kind = WORK_STOP;
    atomic_store(&applier->given_up, true);
    queue_push(applier->partition->apply_queue, &stop->work);
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

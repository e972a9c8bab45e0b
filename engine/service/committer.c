#include "engine/service/committer.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/service/activation.h"
#include "engine/service/batch.h"
#include "engine/service/refusals.h"

enum {
    GROUP_EVENTS_MAX = 20000, /* in one commit: bounds its memory, and how long the first answer waits for the rest */
    RETRY_MS = 1000,          /* for new rules, and for removing files, that found the disk full */
};

static const char journal_full[] = "the disk is full: the journal cannot grow";
static const char earlier_refused[] = "an earlier event of this source was refused; send that one first";

struct committer {
    struct engine *engine;
    struct refusals refusals;
    struct work *group;      /* taken and not yet passed on, oldest first */
    struct work **group_end; /* where `next` of the group's last hangs */
    struct work *held;       /* changes of rules that found the disk full, to be tried again */
    size_t group_events;
    int64_t journal_ms; /* time of the newest record */
    int64_t now_ms;     /* monotonic, when the group was taken: for refusals */
    bool full;          /* the last commit failed for want of space: logged once */
    pthread_t remover;  /* of old files; it has engine->may_trim */
    bool has_remover;
    int64_t remove_again_ms; /* monotonic, the remover's: there was no space to remove them; 0: they are removed */
};

/* --- one group in one transaction ------------------------------------------------------------------- */

/* Is `event` a later one of the same producer's? */
static bool follows(const struct event *before, const struct event *event)
{
    return event->n > before->n && text_equal(event->source, before->source);
}

/* Is this one in the journal already? Then nothing has to wait for it. In a transaction. */
static bool is_taken(struct committer *committer, const struct event *event)
{
    uint64_t highest;
    return journal_source_highest(committer->engine->journal, event->source, &highest, NULL) &&
           event->n <= highest;
}

static void refuse_request(struct committer *committer, struct batch *batch, size_t first, size_t end,
                           const char *why)
{
    const struct event *noted = NULL;
    batch->acks->requests[batch->events[first].request].refused = why;
    for (size_t i = first; i < end; i++) {
        batch->events[i].seq = 0;
        const struct event *event = &batch->events[i].event;
        if (event->source.len == 0 || (noted != NULL && follows(noted, event)) ||
            is_taken(committer, event))
            continue;
        refusals_note(&committer->refusals, event->source, event->n, committer->now_ms);
        noted = event;
    }
}

/* Position behind the last event of the request that events[first] belongs to. */
static size_t request_end(const struct batch *batch, size_t first)
{
    size_t end = first + 1;
    while (end < batch->event_count && batch->events[end].request == batch->events[first].request)
        end++;
    return end;
}

/* Does an event of this request have to wait for one that was refused before it? */
static bool request_blocked(struct committer *committer, const struct batch *batch, size_t first,
                            size_t end)
{
    for (size_t i = first; i < end && committer->refusals.count > 0; i++) {
        const struct event *event = &batch->events[i].event;
        if (event->source.len == 0)
            continue;
        if (refusals_blocks(&committer->refusals, event->source, event->n, committer->now_ms))
            return true;
        refusals_clear(&committer->refusals, event->source, event->n);
    }
    return false;
}

static bool append_event(struct journal *journal, struct batch *batch, struct batch_event *event,
                         struct err *err)
{
    struct request *request = &batch->acks->requests[event->request];
    if (event->event.source.len > 0) {
        bool duplicate;
        if (!journal_source(journal, event->event.source, event->event.n, &duplicate, err))
            return false;
        if (duplicate) {
            request->duplicates++;
            return true;
        }
    }
    event->seq = journal_append(journal, JOURNAL_EVENT, batch->received_ms, event->line);
    if (request->first_seq == 0)
        request->first_seq = event->seq;
    request->last_seq = event->seq;
    request->accepted++;
    return true;
}

/* The time that goes into the journal and, just the same, to the applier: it never goes back. */
static int64_t journal_time(struct committer *committer, int64_t wall_ms)
{
    if (wall_ms > committer->journal_ms)
        committer->journal_ms = wall_ms;
    return committer->journal_ms;
}

static bool append_batch(struct committer *committer, struct batch *batch, struct err *err)
{
    batch->received_ms = journal_time(committer, batch->received_ms);
    for (size_t first = 0, end; first < batch->event_count; first = end) {
        end = request_end(batch, first);
        const char *refused = batch->refuse != NULL ? batch->refuse
                              : request_blocked(committer, batch, first, end) ? earlier_refused
                                                                             : NULL;
        if (refused != NULL) {
            refuse_request(committer, batch, first, end, refused);
            continue;
        }
        for (size_t i = first; i < end; i++)
            if (!append_event(committer->engine->journal, batch, &batch->events[i], err))
                return false;
    }
    return true;
}

static void append_rules(struct committer *committer, struct rules_change *change)
{
    change->received_ms = journal_time(committer, clock_wall_ms());
    change->seq = journal_append(committer->engine->journal, rules_change_kind(change), change->received_ms,
                                 ruleset_bundle(change->ruleset));
}

static void append_tick(struct committer *committer, struct tick *tick)
{
    tick->received_ms = journal_time(committer, clock_wall_ms());
    tick->seq = journal_append(committer->engine->journal, JOURNAL_TICK, tick->received_ms, TEXT("{}"));
}

static bool append_work(struct committer *committer, struct work *work, struct err *err)
{
    switch (work->kind) {
    case WORK_BATCH:
        return append_batch(committer, (struct batch *)work, err);
    case WORK_RULES:
        append_rules(committer, (struct rules_change *)work);
        return true;
    case WORK_TICK:
        append_tick(committer, (struct tick *)work);
        return true;
    case WORK_STOP:
        return true;
    case WORK_ACKS:
    case WORK_QUERY:
    case WORK_RESULTS:
    case WORK_BUNDLE:
    case WORK_SHARE:
    case WORK_MEETING:
    case WORK_FAILED:
        break;
    }
    abort();
}

static bool group_commit(struct committer *committer, struct err *err)
{
    struct journal *journal = committer->engine->journal;
    struct stats *stats = committer->engine->stats;
    int64_t start_ns = clock_monotonic_ns();
    journal_begin(journal);
    for (struct work *work = committer->group; work != NULL; work = work->next)
        if (!append_work(committer, work, err)) {
            journal_abort(journal);
            return false;
        }
    if (!journal_commit(journal, err))
        return false;
    stats_add(&stats->commits, 1);
    histogram_add(&stats->commit, clock_monotonic_ns() - start_ns, 1);
    return true;
}

/* --- what follows from it --------------------------------------------------------------------------- */

static void batch_undo(struct committer *committer, struct batch *batch, const char *why)
{
    for (size_t first = 0, end; first < batch->event_count; first = end) {
        end = request_end(batch, first);
        struct request *request = &batch->acks->requests[batch->events[first].request];
        request->accepted = request->duplicates = 0; /* what append_event counted */
        request->first_seq = request->last_seq = 0;
        if (request->refused == NULL)
            refuse_request(committer, batch, first, end, why);
    }
}

/* Nothing of the group was written: every request is answered with busy. */
static void group_undo(struct committer *committer, const char *why)
{
    journal_begin(committer->engine->journal); /* to ask it what it has */
    for (struct work *work = committer->group; work != NULL; work = work->next) {
        if (work->kind == WORK_BATCH)
            batch_undo(committer, (struct batch *)work, why);
        else if (work->kind == WORK_RULES)
            ((struct rules_change *)work)->seq = 0; /* what append_rules gave it */
        else if (work->kind == WORK_TICK)
            ((struct tick *)work)->seq = 0;
    }
    journal_abort(committer->engine->journal);
}

static void count_answers(struct stats *stats, const struct acks *acks)
{
    uint64_t accepted = 0, duplicates = 0, rejected = 0, busy = 0;
    for (size_t i = 0; i < acks->request_count; i++) {
        const struct request *request = &acks->requests[i];
        if (request->refused != NULL) {
            busy++;
            continue;
        }
        accepted += request->accepted;
        duplicates += request->duplicates;
        rejected += request->rejected;
    }
    stats_add(&stats->accepted, accepted);
    stats_add(&stats->duplicates, duplicates);
    stats_add(&stats->rejected, rejected);
    stats_add(&stats->busy, busy);
    stats_add(&stats->requests, acks->request_count);
}

/* The appliers get the batch before the door gets the answers: see committer.h. */
static void pass_on(struct committer *committer)
{
    struct engine *engine = committer->engine;
    unsigned wake = ENGINE_WAKE_NONE;
    for (struct work *work = committer->group, *next; work != NULL; work = next) {
        next = work->next;
        struct acks *acks = NULL;
        if (work->kind == WORK_BATCH) {
            acks = ((struct batch *)work)->acks;
            ((struct batch *)work)->acks = NULL;
            count_answers(engine->stats, acks);
        }
        if (work->kind == WORK_STOP)
            queue_push(engine_lead(engine)->apply_queue, work);
        else
            engine_pass_on(engine, (struct shared *)work, &wake);
        if (acks != NULL)
            queue_push(engine->door_queue, &acks->work);
    }
    engine_wake(engine, wake); /* not before the door, for which somebody waits */
    committer->group = NULL;
}

/* A change of rules that nobody asks for again leaves the group, and is held for the next one. */
static void hold_rules(struct committer *committer)
{
    struct work **held_end = &committer->held;
    for (struct work **link = &committer->group; *link != NULL;) {
        struct work *work = *link;
        if (work->kind != WORK_RULES || ((struct rules_change *)work)->asker != NULL) {
            link = &work->next;
            continue;
        }
        *link = work->next;
        work->next = NULL;
        *held_end = work;
        held_end = &work->next;
    }
}

/* After a commit that failed for want of space. */
static void group_full(struct committer *committer, bool stop, const struct err *err)
{
    if (!committer->full)
        log_line(LOG_ERROR, "journal-full", "error=%s", log_quote(err->text));
    committer->full = true;
    if (!stop)
        hold_rules(committer);
    group_undo(committer, journal_full);
}

/* Moves work from `taken` to the group until it is large enough; returns what is left. */
static struct work *group_fill(struct committer *committer, struct work *taken, bool *stop)
{
    committer->group_events = 0;
    committer->group = committer->held;
    committer->held = NULL;
    committer->group_end = &committer->group;
    while (*committer->group_end != NULL)
        committer->group_end = &(*committer->group_end)->next;
    while (taken != NULL && committer->group_events < GROUP_EVENTS_MAX && !*stop) {
        struct work *work = taken;
        taken = taken->next;
        *committer->group_end = work;
        committer->group_end = &work->next;
        work->next = NULL;
        *stop = work->kind == WORK_STOP;
        if (work->kind == WORK_BATCH)
            committer->group_events += ((struct batch *)work)->event_count;
    }
    return taken;
}

/* --- old events -------------------------------------------------------------------------------------- */

/* Where changed blocks are copied, it takes space to remove a file. */
static void *remove_files(void *argument)
{
    struct committer *committer = argument;
    struct engine *engine = committer->engine;
    struct err err;
    bool done = journal_remove(engine->journal, &err);
    if (!done && err.code != ERR_FULL)
        engine_fail(engine, &err);
    if (!done && err.code == ERR_FULL && committer->remove_again_ms == 0)
        log_line(LOG_ERROR, "journal-full", "error=%s", log_quote(err.text));
    committer->remove_again_ms = done ? 0 : clock_monotonic_ms() + RETRY_MS;
    sem_post(&engine->may_trim);
    return NULL;
}

/* On a thread of its own, since commits would wait for it. */
static void begin_removing(struct committer *committer)
{
    if (committer->has_remover)
        pthread_join(committer->remover, NULL); /* it gave may_trim back, so it is at its end */
    committer->has_remover = pthread_create(&committer->remover, NULL, remove_files, committer) == 0;
    if (committer->has_remover)
        pthread_setname_np(committer->remover, "remover");
    else
        remove_files(committer); /* there are too many threads on the machine */
}

/* After the answers, which needn't wait for it; also after a failure, since it may be what gives space. */
static bool trim(struct committer *committer, struct err *err)
{
    struct engine *engine = committer->engine;
    const struct settings *settings = engine->settings;
    uint64_t trimmed, all = 0;
    if (sem_trywait(&engine->may_trim) != 0)
        return true; /* a backup needs what is there, or files are being removed */
    bool done;
    do {
        done = journal_trim(engine->journal, engine_checkpoint_seq(engine), clock_wall_ms(),
                            settings->journal_keep_hours * 3600 * 1000,
                            (uint64_t)settings->journal_keep_mib << 20, &trimmed, err);
        all += trimmed;
    } while (done && trimmed > 0);
    stats_add(&engine->stats->trimmed, all);
    if (all > 0 || (committer->remove_again_ms != 0 && clock_monotonic_ms() >= committer->remove_again_ms))
        begin_removing(committer);
    else
        sem_post(&engine->may_trim);
    return done;
}

static bool group_process(struct committer *committer, bool stop, struct err *err)
{
    struct engine *engine = committer->engine;
    if (!group_commit(committer, err)) {
        if (err->code != ERR_FULL)
            return false;
        group_full(committer, stop, err);
    } else if (committer->full) {
        committer->full = false;
        log_line(LOG_INFO, "journal-has-space", "seq=%" PRIu64, journal_last_seq(engine->journal));
    }
    atomic_store(&engine->journal_seq, journal_last_seq(engine->journal));
    pass_on(committer);
    return trim(committer, err);
}

void *committer_run(void *argument)
{
    struct committer committer = {.engine = argument};
    committer.journal_ms = journal_last_received_ms(committer.engine->journal);
    struct work *taken = NULL;
    for (bool stop = false; !stop;) {
        if (taken == NULL)
            taken = queue_take(committer.engine->commit_queue,
                               committer.held == NULL ? -1 : RETRY_MS);
        taken = group_fill(&committer, taken, &stop);
        committer.now_ms = clock_monotonic_ms();
        struct err err;
        if (!group_process(&committer, stop, &err)) {
            engine_fail(committer.engine, &err);
            break; /* nothing more is written, answered or freed: the process ends */
        }
    }
    for (struct work *next; taken != NULL; taken = next) { /* behind the stop: dropped with the queue */
        next = taken->next;
        queue_push(committer.engine->commit_queue, taken);
    }
    if (committer.has_remover)
        pthread_join(committer.remover, NULL);
    refusals_fini(&committer.refusals);
    return NULL;
}

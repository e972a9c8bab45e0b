/* engine.h - all that is behind the doors: one journal, the thread that writes it, and the partitions that fold it
 * into states.
 *
 * Batches travel committer -> every partition -> door. What else is shared is here: the journal's reading, which has a
 * lock, the right to trim it, the backup, and counters. */
#ifndef SERVICE_ENGINE_H
#define SERVICE_ENGINE_H

#include <pthread.h>
#include <semaphore.h>

#include "engine/service/partition.h"
#include "engine/service/settings.h"
#include "engine/service/stats.h"
#include "engine/service/subscriptions.h"
#include "rules/ruleset.h"
#include "store/journal.h"

/* Passing time on its way: asked for by a partition when a timer is due, journaled by the committer, applied by all
 * as any other record. */
struct tick {
    struct shared shared;
    struct partition *asker; /* that has none other under way */
    uint64_t seq; /* 0: there was no space for it */
    int64_t received_ms;
};

struct engine {
    /* borrowed for the engine's life */
    const struct settings *settings;
    int lock_fd; /* of the data folder */
    struct stats *stats;
    struct subscriptions *subscriptions;
    struct queue *door_queue; /* finished work goes here */

    struct queue *commit_queue; /* the way in: batches, rules, ticks, stop */
    struct journal *journal;
    atomic_uint_fast64_t journal_seq; /* last committed */
    sem_t may_trim; /* 1; whoever trims the journal, or copies it and wants nothing trimmed, takes it */
    pthread_t committer_thread;
    struct replay *replay; /* at the start */

    struct backup *backup;
    struct partition *partitions;
    unsigned partition_count;
    pthread_mutex_t order; /* of what several partitions get: the same in each of their queues */
};

/* The process cannot go on; main() stops it with this error. */
struct failure {
    struct work work;
    struct err err;
};

/* engine_open - open journal and states below the data folder, replay what the states lack, have `ruleset` (taken
 * over, also on errors) heard as what the settings want, before any event, and start the threads. Errors as
 * journal_open and state_open. */
bool engine_open(struct engine *engine, struct ruleset *ruleset, struct err *err);

/* engine_stop_begin - let the threads finish all work queued so far, make a checkpoint, and stop; the
 * last thing that reaches door_queue is a WORK_STOP. engine_close - after that: wait and free. */
void engine_stop_begin(struct engine *engine);
void engine_close(struct engine *engine);

/* engine_change_rules - the settings want `ruleset`, which is taken over: if it is another than they wanted last, it
 * becomes active, between two events. */
void engine_change_rules(struct engine *engine, struct ruleset *ruleset);

/* engine_lead - the partition that decides which rules run; the others do as the journal says. */
enum { ENGINE_LEAD = 0 };
struct partition *engine_lead(const struct engine *engine);

/* engine_give_each - to each partition what is there for it; what two callers give comes in the same order to all.
 * *wake: whom to wake afterwards, with engine_wake; the caller starts with none. engine_pass_on - the same for work that
 * all of them get. */
enum { ENGINE_WAKE_NONE = 0 };
void engine_give_each(struct engine *engine, struct work *const *work, unsigned *wake);
void engine_pass_on(struct engine *engine, struct shared *shared, unsigned *wake);
void engine_wake(struct engine *engine, unsigned wake);

/* engine_checkpoint_seq - the journal may be trimmed up to here. engine_disk_full - is there a state that can't be
 * saved? Any thread. */
uint64_t engine_checkpoint_seq(const struct engine *engine);
bool engine_disk_full(const struct engine *engine);

/* engine_fail - from one of its threads: the process has to stop, with this error. */
void engine_fail(struct engine *engine, const struct err *err);

#endif

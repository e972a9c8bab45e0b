/* partition.h - the unit of order, of backup and of scale: one journal, one state, two threads and
 * one more while a checkpoint is written, while a backup is made, and at a start while the journal is replayed.
 *
 * The committer's thread writes the journal and answers producers; the applier's runs the rules, keeps the
 * state, answers queries and writes results. Batches travel committer -> applier -> door and nothing else
 * is shared, except the counters below. */
#ifndef SERVICE_PARTITION_H
#define SERVICE_PARTITION_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "engine/service/settings.h"
#include "engine/service/stats.h"
#include "engine/service/subscriptions.h"
#include "engine/service/work.h"
#include "rules/ruleset.h"
#include "store/journal.h"

/* Passing time on its way: asked for by the applier when a timer is due, journaled by the committer, applied
 * as any other record. */
struct tick {
    struct work work;
    uint64_t seq; /* 0: there was no space for it */
    int64_t received_ms;
};

struct partition {
    /* borrowed for the partition's life */
    const struct settings *settings;
    int lock_fd; /* of the data folder */
    struct stats *stats;
    struct subscriptions *subscriptions;
    struct queue *door_queue; /* finished work goes here */

    struct queue *commit_queue; /* the way in: batches, rules, stop */
    struct queue *apply_queue;  /* and for queries, and what rules the settings want */
    struct queue *results_home; /* results that were sent, for the next use */

    struct journal *journal;
    struct applier *applier;
    atomic_uint_fast64_t checkpoint_seq; /* the journal may be trimmed up to here */
    atomic_uint_fast64_t journal_seq;    /* last committed */
    sem_t may_trim; /* 1; whoever trims the journal, or copies it and wants nothing trimmed, takes it */
    pthread_t committer_thread;
    struct tick tick; /* at most one is under way */
};

/* The process cannot go on; main() stops it with this error. */
struct failure {
    struct work work;
    struct err err;
};

/* partition_open - open journal and state below the data folder, replay what the state lacks, have `ruleset` (taken
 * over, also on errors) heard as what the settings want, before any event, and start the threads. Errors as
 * journal_open and state_open. */
bool partition_open(struct partition *partition, struct ruleset *ruleset, struct err *err);

/* partition_stop_begin - let the threads finish all work queued so far, make a checkpoint, and stop; the
 * last thing that reaches door_queue is a WORK_STOP. partition_close - after that: wait and free. */
void partition_stop_begin(struct partition *partition);
void partition_close(struct partition *partition);

/* partition_change_rules - the settings want `ruleset`, which is taken over: if it is another than they wanted last, it
 * becomes active, between two events. */
void partition_change_rules(struct partition *partition, struct ruleset *ruleset);

/* partition_fail - from a thread of the partition: the process has to stop, with this error. */
void partition_fail(struct partition *partition, const struct err *err);

#endif

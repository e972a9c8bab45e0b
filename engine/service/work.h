/* work.h - what the threads hand each other.
 *
 * A thing that travels starts with a `struct work`. A queue takes things from any thread and gives all of
 * them, in order, to the one thread that owns it; whoever takes a thing owns it from then on. What several
 * threads get at once (struct shared) they only read. A push wakes the owner only when the last look found nothing: under load there are no
 * wake-ups.
 *
 * A queue's owner sleeps either in queue_take() or in its own poll loop, watching queue_fd(). */
#ifndef SERVICE_WORK_H
#define SERVICE_WORK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/base/limits.h"

enum work_kind {
    WORK_BATCH,   /* struct batch: door -> committer -> applier -> door */
    WORK_ACKS,    /* struct acks: committer -> door */
    WORK_QUERY,   /* struct query: door -> the lead's applier, or from there another's; answered -> door */
    WORK_RULES,   /* struct rules_change: applier -> committer -> applier; the settings': from the door and back */
    WORK_TICK,    /* struct tick: applier -> committer -> applier */
    WORK_RESULTS, /* struct results: applier -> door */
    WORK_BUNDLE,  /* struct replay_bundle: at a start, the replay's thread -> applier, and back */
    WORK_STOP,    /* nothing more: door -> committer -> the lead's applier -> all of them -> door */
    WORK_SHARE,   /* struct share: to an applier, of work that all of them get */
    WORK_MEETING, /* struct seat: the lead's applier -> each, for a question to all of them */
    WORK_FAILED,  /* struct failure: any thread -> door */
};

struct work {
    enum work_kind kind;
    struct work *next;
};

/* Work that goes to several threads at once: what travels are its shares, one to each. Nobody changes it until the last
 * of them lets go; that one has it alone. */
struct share {
    struct work work;
    struct shared *of;
};
struct shared {
    struct work work;
    atomic_uint holders;
    struct share shares[PARTITION_COUNT_MAX];
};

/* shared_hold - `count` threads get it: shares[0] to shares[count - 1] are to be pushed. */
void shared_hold(struct shared *shared, unsigned count);
/* shared_let_go - true: this was the last one's. Nobody was asked to hold: true. */
bool shared_let_go(struct shared *shared);

struct queue;

struct queue *queue_create(void);
void queue_destroy(struct queue *queue); /* must be empty */
void queue_push(struct queue *queue, struct work *work);
/* queue_add - queue_push in two steps: when it returns true, queue_wake has to follow, and soon. */
bool queue_add(struct queue *queue, struct work *work);
void queue_wake(struct queue *queue);
/* queue_take - everything queued, oldest first; waits up to timeout_ms (-1: forever, 0: not at all).
 * NULL after the timeout. */
struct work *queue_take(struct queue *queue, int timeout_ms);
/* A descriptor that becomes readable when something is pushed after a take that gave NULL. */
int queue_fd(const struct queue *queue);

#endif

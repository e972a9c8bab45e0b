/* follower.h - the inside of a follower: what it is made of, and what its two halves do for each other.
 *
 * follower.c listens, and takes turns; missing.c gets what was missed. One of them is at work at a time, as `step`
 * says. Included by these two only. */
#ifndef CLIENT_FOLLOWER_H
#define CLIENT_FOLLOWER_H

#include "engine/client/heard.h"
#include "engine/client/question.h"
#include "engine/client/standing.h"

enum step {
    STEP_SNAPSHOT, /* asking for it, page by page */
    STEP_CATCH_UP, /* asking for what is missing */
    STEP_LISTEN,   /* hearing results */
};

struct fwsync_follower {
    struct reach reach;
    struct teller teller;
    char *device; /* NULL: all */
    bool takes_snapshots;
    int64_t silence_ms;

    enum step step;
    enum fwsync_follower_state state;
    struct standing standing;
    uint64_t snapshot_seq; /* of the snapshot under way; 0: its first page isn't there */
    struct buf cursor;     /* of its next page */
    struct question question;

    struct heard heard;
    bool result_held; /* the present one showed that something is missing */
    bool subscribed;
    int64_t heard_ms; /* the last heartbeat or result, or when listening began */
};

/* follower_enter - tell the state, with why, when it is another one. */
void follower_enter(struct fwsync_follower *follower, enum fwsync_follower_state state, const char *why);

/* follower_listen - nothing is to be asked for: hear results. That is being live once each partition has begun. */
void follower_listen(struct fwsync_follower *follower);

/* missing_catch_up - ask for the results behind the last that were delivered. missing_give_up - they can't be had:
 * take a snapshot, or tell that they are lost. missing_other_data - likewise, since the daemon's data isn't what it
 * was. */
void missing_catch_up(struct fwsync_follower *follower, const char *why);
void missing_give_up(struct fwsync_follower *follower, const char *why);
void missing_other_data(struct fwsync_follower *follower);

/* missing_unit - one unit of asking and hearing. *progress: there may be more to do at once. */
bool missing_unit(struct fwsync_follower *follower, int64_t now_ms, bool *progress, struct err *err);

#endif

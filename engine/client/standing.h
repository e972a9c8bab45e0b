/* standing.h - how far a follower has come: which results it has delivered, and which it knows to be missing.
 *
 * Results are numbered without gaps in each class of a partition, and its heartbeat tells the latest numbers. So each
 * result either is the next one, or was there before (a restarted daemon repeats, and so does an answer), or shows a
 * gap; and each heartbeat tells whether something is missing at the end. Nothing here asks, or delivers.
 *
 * A partition knows nothing of the others, so each has a lane of its own here. An answer to `changes` is of all of
 * them. Most daemons have one partition, and then nothing tells of partitions: that is lane 0. */
#ifndef CLIENT_STANDING_H
#define CLIENT_STANDING_H

#include "engine/client/numbers.h"
#include "engine/client/teller.h"

/* Of one partition. */
struct lane {
    struct numbers numbers;
    uint64_t done_seq; /* the last event of which every result was delivered */
    uint64_t top_seq;  /* of the latest result that was delivered */
    bool begun;        /* false: it begins at its next heartbeat; results before that come as they are */
    uint64_t from_seq; /* where it began: of what was before, nothing is known */
};

struct standing {
    char class_name[CLASS_NAME_BYTES_MAX + 1]; /* that is followed; "": all */
    unsigned lane_count;                       /* 0: how many there are isn't known yet */
    struct lane lanes[PARTITION_COUNT_MAX];
    bool beats_wait; /* what came before an answer may still wait to be heard */

    bool beat_held; /* the heartbeat showed that something is missing */
    struct lane *beat_lane;
    uint64_t beat_seq;
    struct numbers beat;
};

bool standing_follows(const struct standing *standing, struct text class_name);

/* standing_forget - nothing is known, neither how many partitions there are: each begins at its next heartbeat. */
void standing_forget(struct standing *standing);

/* standing_move - all results of events up to `seq` are delivered, and none behind. standing_reach - all up to `seq`
 * are, by an answer, and in some lanes more. standing_heard_all - nothing waits to be heard. */
void standing_move(struct standing *standing, uint64_t seq);
void standing_reach(struct standing *standing, uint64_t seq);
void standing_heard_all(struct standing *standing);

/* standing_read_snapshot - the numbers that the snapshot says are ours. scratch, arena: left with garbage. */
void standing_read_snapshot(struct standing *standing, const struct fields *fields, struct arena *scratch,
                            struct arena *arena);

/* standing_has_begun - has every lane? standing_done - the last event of which every result was delivered; 0 while
 * there is a lane that nothing was heard of. standing_after - from there `changes` are asked: such a lane begins there,
 * too. standing_front - where the lane stands that is ahead of all. */
bool standing_has_begun(const struct standing *standing);
uint64_t standing_done(const struct standing *standing);
uint64_t standing_after(const struct standing *standing);
uint64_t standing_front(const struct standing *standing);

/* standing_offer - note the result as delivered if it is the next one of its class. first_fits: of a class that
 * nothing is known of, any number is the next. A strange one has a gap before it where there can't be one: it is of
 * other data. */
enum offer { OFFER_TAKEN, OFFER_OLD, OFFER_GAP, OFFER_STRANGE };
enum offer standing_offer(struct standing *standing, const struct told_result *result, bool first_fits);

/* standing_hear_beat - the heartbeat's numbers against ours. One of before what was delivered is stale, and says nothing
 * if it may have waited behind an answer. One of later than all that was delivered, with smaller numbers, or of another
 * number of partitions, tells of other data. What says more than being equal is held, if it can be compared at all.
 *
 * scratch, arena  left with garbage */
enum beat { BEAT_EQUAL, BEAT_AHEAD, BEAT_STALE, BEAT_STRANGE, BEAT_VOID };
enum beat standing_hear_beat(struct standing *standing, const struct fields *fields, struct arena *scratch,
                             struct arena *arena);

/* standing_settle_beat - does all that was delivered agree with the held heartbeat? Then, of a class that nothing was
 * heard of, its number is known now. */
bool standing_settle_beat(struct standing *standing);

/* What is missing is lost, which the teller tells, with `why`: we stand where the held heartbeat does, or just before
 * the result. */
void standing_skip_to_beat(struct standing *standing, struct teller *teller, const char *why);
void standing_skip_to_result(struct standing *standing, const struct told_result *result, struct teller *teller,
                             const char *why);

#endif

/* standing.h - how far a follower has come: which results it has delivered, and which it knows to be missing.
 *
 * Results are numbered without gaps in each class, and a heartbeat tells the latest numbers. So each result either
 * is the next one, or was there before (a restarted daemon repeats, and so does an answer), or shows a gap; and
 * each heartbeat tells whether something is missing at the end. Nothing here asks, or delivers. */
#ifndef CLIENT_STANDING_H
#define CLIENT_STANDING_H

#include "engine/client/numbers.h"
#include "engine/client/teller.h"

struct standing {
    char class_name[CLASS_NAME_BYTES_MAX + 1]; /* that is followed; "": all */
    struct numbers numbers;
    uint64_t done_seq; /* the last event of which every result was delivered: from there `changes` are asked */
    uint64_t top_seq;  /* of the latest result that was delivered */

    bool beat_held; /* the heartbeat showed that something is missing */
    uint64_t beat_seq;
    struct numbers beat;
};

bool standing_follows(const struct standing *standing, struct text class_name);

/* standing_move - all results of events up to `seq` are delivered, and none behind. */
void standing_move(struct standing *standing, uint64_t seq);

/* standing_offer - note the result as delivered if it is the next one of its class. first_fits: of a class that
 * nothing is known of, any number is the next. */
enum offer { OFFER_TAKEN, OFFER_OLD, OFFER_GAP };
enum offer standing_offer(struct standing *standing, const struct told_result *result, bool first_fits);

/* standing_hear_beat - the heartbeat's numbers against ours. One that waited while the follower caught up may be
 * stale; one of later than all that was delivered, with smaller numbers, tells of other data. It is held unless it
 * is equal. from_now: what wasn't heard of doesn't count.
 *
 * scratch, arena  left with garbage */
enum beat { BEAT_EQUAL, BEAT_AHEAD, BEAT_STALE, BEAT_STRANGE };
enum beat standing_hear_beat(struct standing *standing, const struct fields *fields, bool from_now,
                             struct arena *scratch, struct arena *arena);

/* standing_settle_beat - everything up to the held heartbeat was delivered: of a class that nothing was heard of, its
 * number is known now. False: it knows of results that the answers didn't have. */
bool standing_settle_beat(struct standing *standing);

/* What is missing is lost, which the teller tells, with `why`: we stand where the held heartbeat does, or just before
 * the result. */
void standing_skip_to_beat(struct standing *standing, struct teller *teller, const char *why);
void standing_skip_to_result(struct standing *standing, const struct told_result *result, struct teller *teller,
                             const char *why);

#endif

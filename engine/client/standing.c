#include "engine/client/standing.h"

#include "engine/client/members.h"

bool standing_follows(const struct standing *standing, struct text class_name)
{
    return standing->class_name[0] == '\0' || text_is(class_name, standing->class_name);
}

void standing_move(struct standing *standing, uint64_t seq)
{
    standing->done_seq = standing->top_seq = seq;
}

/* --- a result --------------------------------------------------------------------------------------- */

enum offer standing_offer(struct standing *standing, const struct told_result *result, bool first_fits)
{
    struct number *number = numbers_find(&standing->numbers, result->class_name);
    if (number == NULL || (number->known ? result->n <= number->n : result->seq <= standing->done_seq))
        return OFFER_OLD;
    if (number->known ? result->n > number->n + 1 : !first_fits)
        return OFFER_GAP;
    number->n = result->n;
    number->known = true;
    standing->top_seq = result->seq;
    bool single = standing->class_name[0] != '\0';
    if ((single || standing->done_seq == 0) && result->seq - 1 > standing->done_seq)
        standing->done_seq = result->seq - 1; /* of a single class, or from now on, all before it is delivered */
    return OFFER_TAKEN;
}

void standing_skip_to_result(struct standing *standing, const struct told_result *result, struct teller *teller,
                             const char *why)
{
    struct number *mine = numbers_find(&standing->numbers, result->class_name);
    uint64_t lost = mine->known && result->n > mine->n + 1 ? result->n - mine->n - 1 : 0;
    teller_lost(teller, mine->name, lost, why);
    mine->n = result->n - 1;
    mine->known = true;
    standing_move(standing, result->seq - 1);
}

/* --- a heartbeat ------------------------------------------------------------------------------------ */

/* The number we have for one of the heartbeat's; NULL: it isn't of what is followed. */
static struct number *mine_for(struct standing *standing, const struct number *beat)
{
    struct text name = text_of(beat->name);
    return standing_follows(standing, name) ? numbers_find(&standing->numbers, name) : NULL;
}

static enum beat compare_beat(struct standing *standing, bool from_now)
{
    bool ahead = false, behind = false;
    for (size_t i = 0; i < standing->beat.count; i++) {
        const struct number *beat = &standing->beat.items[i];
        struct number *mine = mine_for(standing, beat);
        if (mine == NULL)
            continue;
        if (!mine->known && (from_now || standing->beat_seq <= standing->done_seq))
            *mine = *beat;
        ahead |= !mine->known || beat->n > mine->n;
        behind |= mine->known && beat->n < mine->n;
    }
    if (behind && standing->beat_seq >= standing->done_seq && standing->beat_seq >= standing->top_seq)
        return BEAT_STRANGE;
    if (ahead)
        return BEAT_AHEAD;
    return behind || standing->beat_seq < standing->done_seq ? BEAT_STALE : BEAT_EQUAL;
}

enum beat standing_hear_beat(struct standing *standing, const struct fields *fields, bool from_now,
                             struct arena *scratch, struct arena *arena)
{
    standing->beat_seq = field_number(fields, "seq");
    numbers_read(&standing->beat, field_json(fields, "n"), scratch, arena);
    enum beat beat = compare_beat(standing, from_now);
    standing->beat_held = beat != BEAT_EQUAL;
    if (beat == BEAT_EQUAL) {
        standing->numbers.complete = true;
        standing->done_seq = standing->beat_seq;
    }
    return beat;
}

bool standing_settle_beat(struct standing *standing)
{
    for (size_t i = 0; i < standing->beat.count; i++) {
        const struct number *beat = &standing->beat.items[i];
        struct number *mine = mine_for(standing, beat);
        if (mine != NULL && mine->known && mine->n < beat->n)
            return false;
        if (mine != NULL && !mine->known)
            *mine = *beat;
    }
    standing->numbers.complete = true;
    return true;
}

void standing_skip_to_beat(struct standing *standing, struct teller *teller, const char *why)
{
    for (size_t i = 0; i < standing->beat.count; i++) {
        const struct number *beat = &standing->beat.items[i];
        struct number *mine = mine_for(standing, beat);
        if (mine == NULL)
            continue;
        if (mine->known && mine->n != beat->n)
            teller_lost(teller, beat->name, beat->n > mine->n ? beat->n - mine->n : 0, why);
        *mine = *beat;
    }
    standing->numbers.complete = true;
    standing_move(standing, standing->beat_seq);
}

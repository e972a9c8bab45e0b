#include "engine/client/standing.h"

#include "engine/client/members.h"

bool standing_follows(const struct standing *standing, struct text class_name)
{
    return standing->class_name[0] == '\0' || text_is(class_name, standing->class_name);
}

/* --- where the lanes are ---------------------------------------------------------------------------- */

/* As many as there are; as many as there may be, until that is known. */
static unsigned lane_count(const struct standing *standing)
{
    return standing->lane_count > 0 ? standing->lane_count : PARTITION_COUNT_MAX;
}

static void move(struct lane *lane, uint64_t seq)
{
    lane->done_seq = lane->top_seq = lane->from_seq = seq;
    lane->begun = true;
}

void standing_forget(struct standing *standing)
{
    standing->lane_count = 0;
    for (unsigned i = 0; i < PARTITION_COUNT_MAX; i++)
        standing->lanes[i] = (struct lane){.begun = false};
}

void standing_move(struct standing *standing, uint64_t seq)
{
    for (unsigned i = 0; i < PARTITION_COUNT_MAX; i++)
        move(&standing->lanes[i], seq);
}

void standing_reach(struct standing *standing, uint64_t seq)
{
    standing->beats_wait = true;
    for (unsigned i = 0; i < lane_count(standing); i++) {
        struct lane *lane = &standing->lanes[i];
        if (lane->done_seq < seq)
            lane->done_seq = seq;
        if (!lane->begun)
            lane->from_seq = lane->done_seq;
        lane->begun = true;
    }
}

void standing_heard_all(struct standing *standing)
{
    standing->beats_wait = false;
}

bool standing_has_begun(const struct standing *standing)
{
    for (unsigned i = 0; i < lane_count(standing); i++)
        if (!standing->lanes[i].begun)
            return false;
    return true;
}

static bool has_place(const struct lane *lane)
{
    return lane->begun || lane->top_seq > 0;
}

uint64_t standing_done(const struct standing *standing)
{
    for (unsigned i = 0; i < lane_count(standing); i++)
        if (!has_place(&standing->lanes[i]))
            return 0;
    return standing_after(standing);
}

uint64_t standing_after(const struct standing *standing)
{
    uint64_t seq = UINT64_MAX;
    for (unsigned i = 0; i < lane_count(standing); i++) {
        const struct lane *lane = &standing->lanes[i];
        if (has_place(lane) && lane->done_seq < seq)
            seq = lane->done_seq;
    }
    return seq == UINT64_MAX ? 0 : seq;
}

uint64_t standing_front(const struct standing *standing)
{
    uint64_t seq = 0;
    for (unsigned i = 0; i < lane_count(standing); i++)
        if (standing->lanes[i].done_seq > seq)
            seq = standing->lanes[i].done_seq;
    return seq;
}

void standing_read_snapshot(struct standing *standing, const struct fields *fields, struct arena *scratch,
                            struct arena *arena)
{
    struct value *partitions;
    size_t count;
    if (!json_parse_array(field_json(fields, "partitions"), scratch, arena, &partitions, &count, NULL) || count == 0) {
        standing->lane_count = 1;
        numbers_read(&standing->lanes[0].numbers, field_json(fields, "n"), scratch, arena);
        return;
    }
    standing->lane_count = count < PARTITION_COUNT_MAX ? (unsigned)count : PARTITION_COUNT_MAX;
    for (unsigned i = 0; i < standing->lane_count; i++) {
        struct text json = partitions[i].kind == VALUE_JSON ? partitions[i].text : TEXT("");
        numbers_read(&standing->lanes[i].numbers, json, scratch, arena);
    }
}

/* --- a result --------------------------------------------------------------------------------------- */

enum offer standing_offer(struct standing *standing, const struct told_result *result, bool first_fits)
{
    if (result->partition >= lane_count(standing))
        return OFFER_OLD;
    struct lane *lane = &standing->lanes[result->partition];
    struct number *number = numbers_find(&lane->numbers, result->class_name);
    if (number == NULL || (number->known ? result->n <= number->n : result->seq <= lane->done_seq))
        return OFFER_OLD;
    if (number->known ? result->n > number->n + 1 : lane->begun && !first_fits)
        return result->seq <= lane->done_seq ? OFFER_STRANGE : OFFER_GAP;
    /* Of a single class, or where a lane begins, all before it is delivered. */
    bool whole_before = standing->class_name[0] != '\0' || !has_place(lane);
    if (whole_before && result->seq - 1 > lane->done_seq)
        lane->done_seq = result->seq - 1;
    number->n = result->n;
    number->known = true;
    lane->top_seq = result->seq;
    return OFFER_TAKEN;
}

void standing_skip_to_result(struct standing *standing, const struct told_result *result, struct teller *teller,
                             const char *why)
{
    struct lane *lane = &standing->lanes[result->partition];
    struct number *mine = numbers_find(&lane->numbers, result->class_name);
    uint64_t lost = mine->known && result->n > mine->n + 1 ? result->n - mine->n - 1 : 0;
    teller_lost(teller, mine->name, lost, why);
    mine->n = result->n - 1;
    mine->known = true;
    move(lane, result->seq - 1);
}

/* --- a heartbeat ------------------------------------------------------------------------------------ */

/* The number we have for one of the heartbeat's; NULL: it isn't of what is followed. */
static struct number *mine_for(const struct standing *standing, const struct number *beat)
{
    struct text name = text_of(beat->name);
    return standing_follows(standing, name) ? numbers_find(&standing->beat_lane->numbers, name) : NULL;
}

/* Of a class that nothing was heard of since we began: does the heartbeat have its number? */
static bool knows_unheard(const struct standing *standing)
{
    const struct lane *lane = standing->beat_lane;
    return !lane->begun || (standing->beat_seq >= lane->from_seq && standing->beat_seq <= lane->done_seq);
}

static enum beat compare_beat(struct standing *standing)
{
    const struct lane *lane = standing->beat_lane;
    bool ahead = false, behind = false;
    for (size_t i = 0; i < standing->beat.count; i++) {
        const struct number *beat = &standing->beat.items[i];
        struct number *mine = mine_for(standing, beat);
        if (mine == NULL)
            continue;
        if (!mine->known && knows_unheard(standing))
            *mine = *beat;
        ahead |= mine->known ? beat->n > mine->n : standing->beat_seq > lane->done_seq;
        behind |= mine->known && beat->n < mine->n;
    }
    if (behind && standing->beat_seq >= lane->done_seq && standing->beat_seq >= lane->top_seq)
        return BEAT_STRANGE;
    if (ahead)
        return BEAT_AHEAD;
    if (!behind && standing->beat_seq >= lane->done_seq)
        return BEAT_EQUAL;
    return standing->beats_wait ? BEAT_VOID : BEAT_STALE;
}

enum beat standing_hear_beat(struct standing *standing, const struct fields *fields, struct arena *scratch,
                             struct arena *arena)
{
    uint64_t partition = field_partition(fields), count = field_number(fields, "partitions");
    if (count == 0)
        count = 1;
    if (partition >= count || count > PARTITION_COUNT_MAX)
        return BEAT_VOID;
    if (standing->lane_count > 0 && standing->lane_count != count)
        return BEAT_STRANGE;
    standing->lane_count = (unsigned)count;
    standing->beat_lane = &standing->lanes[partition];
    standing->beat_seq = field_number(fields, "seq");
    numbers_read(&standing->beat, field_json(fields, "n"), scratch, arena);
    enum beat beat = compare_beat(standing);
    standing->beat_held = beat != BEAT_EQUAL && beat != BEAT_VOID;
    if (beat == BEAT_EQUAL) {
        standing->beat_lane->numbers.complete = standing->beat_lane->begun = true;
        standing->beat_lane->done_seq = standing->beat_seq;
    }
    return beat;
}

bool standing_settle_beat(struct standing *standing)
{
    if (standing->beat_lane->done_seq < standing->beat_seq)
        return false;
    for (size_t i = 0; i < standing->beat.count; i++) {
        const struct number *beat = &standing->beat.items[i];
        struct number *mine = mine_for(standing, beat);
        if (mine != NULL && mine->known && mine->n < beat->n)
            return false;
        if (mine != NULL && !mine->known && knows_unheard(standing))
            *mine = *beat;
    }
    standing->beat_lane->numbers.complete |= knows_unheard(standing);
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
    standing->beat_lane->numbers.complete = true;
    move(standing->beat_lane, standing->beat_seq);
}

/* missing.c - how a follower gets what it hasn't heard: `changes` after the last complete event, or a snapshot when
 * these are no longer kept.
 *
 * Meanwhile the results door isn't read: what comes waits there, or is lost and shows as the next gap. Answers are
 * taken up to beyond the result or heartbeat that showed the gap. Where the follower takes no snapshots, it goes on
 * behind what can't be had, and tells that it is lost. */
#include <stdio.h>

#include "engine/base/clock.h"
#include "engine/client/follower.h"
#include "engine/client/members.h"

enum { PAGE_COUNT = 1000 }; /* devices or results asked for at a time */

static const char other_data[] = "the daemon's data isn't what it was";

static void note_trouble(struct fwsync_follower *follower, const char *why)
{
    if (why != follower->reach.err.text)
        err_set(&follower->reach.err, ERR_TIMEOUT, "%s", why);
}

/* --- changes of step -------------------------------------------------------------------------------- */

void missing_catch_up(struct fwsync_follower *follower, const char *why)
{
    follower->step = STEP_CATCH_UP;
    question_next(&follower->question, follower->question.due_ms);
    follower_enter(follower, FWSYNC_FOLLOWER_CATCHING_UP, why);
}

/* What was heard until now is of before the snapshot. */
static void start_snapshot(struct fwsync_follower *follower, const char *why)
{
    follower->step = STEP_SNAPSHOT;
    follower->snapshot_seq = 0;
    standing_move(&follower->standing, 0);
    follower->standing.beat_held = follower->result_held = false; /* what they told shows again */
    heard_pass_all(&follower->heard);
    buf_clear(&follower->cursor);
    follower_enter(follower, FWSYNC_FOLLOWER_CATCHING_UP, why);
}

static void skip_missing(struct fwsync_follower *follower, const char *why)
{
    struct standing *standing = &follower->standing;
    struct told_result result;
    if (standing->beat_held) {
        standing_skip_to_beat(standing, &follower->teller, why);
    } else if (!follower->result_held) {
        teller_lost(&follower->teller, standing->class_name, 0, why);
        standing_forget(standing);
        heard_pass_all(&follower->heard);
    } else if (heard_read(&follower->heard, &follower->teller, &result)) {
        standing_skip_to_result(standing, &result, &follower->teller, why);
    }
    standing->beat_held = follower->result_held = false;
    follower_listen(follower);
}

void missing_give_up(struct fwsync_follower *follower, const char *why)
{
    question_again(&follower->question, clock_monotonic_ms());
    if (follower->takes_snapshots) {
        start_snapshot(follower, why);
        return;
    }
    note_trouble(follower, why);
    skip_missing(follower, why);
}

/* What waits to be read is of the old data. So is what is known of other partitions than that which showed it. */
void missing_other_data(struct fwsync_follower *follower)
{
    struct standing *standing = &follower->standing;
    client_reset(follower->reach.client, CLIENT_RESULTS);
    follower->subscribed = false;
    if (standing->lane_count != 1)
        standing->beat_held = follower->result_held = false;
    missing_give_up(follower, other_data);
}

/* --- asking ----------------------------------------------------------------------------------------- */

static void write_question(struct fwsync_follower *follower)
{
    struct buf *text = &follower->question.text;
    const char *class_name = follower->standing.class_name;
    bool snapshot = follower->step == STEP_SNAPSHOT;
    buf_clear(text);
    buf_byte(text, '{');
    json_member_text(text, "op", snapshot ? TEXT("snapshot") : TEXT("changes"));
    json_member_integer(text, "limit", PAGE_COUNT);
    if (!snapshot)
        json_member_unsigned(text, "after", standing_after(&follower->standing));
    if (!snapshot && class_name[0] != '\0')
        json_member_text(text, "class", text_of(class_name));
    if (snapshot && follower->cursor.len > 0)
        json_member_text(text, "cursor", buf_text(&follower->cursor));
    buf_byte(text, '}');
}

/* The answer is lost, or late. Where there is no snapshot, and the daemon goes on to send results, these are worth
 * more than waiting. */
static void check_answer_due(struct fwsync_follower *follower, int64_t now_ms)
{
    if (question_check_due(&follower->question, &follower->reach, now_ms) != DUE_LATE)
        return;
    if (!follower->takes_snapshots && client_look(follower->reach.client, CLIENT_RESULTS))
        missing_give_up(follower, follower->reach.err.text);
    else
        follower_enter(follower, FWSYNC_FOLLOWER_CONNECTING, follower->reach.err.text);
}

/* An answer that isn't ok. To `changes`, `bad-query` means that there is no event of this number yet, or that this
 * fwsyncd doesn't know the question: then it won't know of snapshots either, and there it is an error. */
static bool hear_refusal(struct fwsync_follower *follower, int64_t now_ms, struct err *err)
{
    struct question *question = &follower->question;
    struct text error = field_text(&question->fields, "error");
    char why[ERR_TEXT_BYTES];
    snprintf(why, sizeof why, TEXT_FMT, TEXT_ARG(error));
    enum fwsync_code code = reach_answer_code(field_text(&question->fields, "code"));
    note_trouble(follower, why);
    bool unknown_event = code == FWSYNC_E_BAD_QUERY && follower->step == STEP_CATCH_UP;
    if (code == FWSYNC_E_GONE || unknown_event) {
        if (unknown_event && follower->takes_snapshots)
            missing_other_data(follower);
        else
            missing_give_up(follower, why);
        return true;
    }
    question_again(question, now_ms);
    if (code != FWSYNC_E_BAD_QUERY)
        return true;
    return err_set(err, ERR_BAD_QUERY, "%s", why);
}

/* --- a snapshot ------------------------------------------------------------------------------------- */

/* Each page says of which moment it is. */
static void begin_page(struct fwsync_follower *follower)
{
    struct question *question = &follower->question;
    uint64_t seq = field_number(&question->fields, "at");
    if (follower->snapshot_seq == 0) {
        standing_read_snapshot(&follower->standing, &question->fields, &question->scratch, &question->arena);
        follower->snapshot_seq = seq;
        teller_begin(&follower->teller, seq);
    } else if (seq != follower->snapshot_seq) {
        missing_give_up(follower, "the snapshot changed under way");
    }
}

static void end_page(struct fwsync_follower *follower)
{
    struct text cursor = field_text(&follower->question.fields, "cursor");
    buf_clear(&follower->cursor);
    buf_append(&follower->cursor, cursor);
    question_next(&follower->question, 0);
    if (cursor.len > 0)
        return;
    standing_reach(&follower->standing, follower->snapshot_seq);
    teller_end(&follower->teller, follower->snapshot_seq);
    follower_listen(follower);
}

/* --- catching up ------------------------------------------------------------------------------------ */

/* All that there is has come: does it reach to where the held heartbeat stands, and agree with it? */
static void end_last_page(struct fwsync_follower *follower)
{
    struct standing *standing = &follower->standing;
    if (standing->beat_held && !standing_settle_beat(standing)) {
        missing_other_data(follower);
        return;
    }
    question_next(&follower->question, clock_monotonic_ms() + QUESTION_AGAIN_MS);
    question_helped(&follower->question);
    standing->beat_held = follower->result_held = false; /* it was among the answers */
    follower_listen(follower);
}

static void end_catch_up(struct fwsync_follower *follower)
{
    struct standing *standing = &follower->standing;
    const struct fields *fields = &follower->question.fields;
    uint64_t after = field_number(fields, "after"), seq = field_number(fields, "seq");
    uint64_t before = standing_after(standing);
    bool more = field_boolean(fields, "more");
    if (seq < standing_front(standing)) {
        missing_other_data(follower);
        return;
    }
    if (!more && seq > after)
        after = seq; /* none behind the last result, says the answer */
    standing_reach(standing, after);
    if (!more)
        end_last_page(follower);
    else if (after > before)
        question_next(&follower->question, 0);
    else
        question_again(&follower->question, clock_monotonic_ms());
}

static void take_result(struct fwsync_follower *follower, struct text json)
{
    struct told_result result;
    if (!teller_read(&follower->teller, TEXT(""), json, &result) ||
        !standing_follows(&follower->standing, result.class_name))
        return;
    switch (standing_offer(&follower->standing, &result, true)) {
    case OFFER_TAKEN:
        teller_result(&follower->teller, &result);
        return;
    case OFFER_OLD:
        return;
    case OFFER_GAP:
    case OFFER_STRANGE:
        missing_give_up(follower, "an answer of the daemon has a gap");
        return;
    }
}

/* --- answers ---------------------------------------------------------------------------------------- */

static bool begin_answer(struct fwsync_follower *follower, int64_t now_ms, struct err *err)
{
    if (!question_is_ok(&follower->question))
        return hear_refusal(follower, now_ms, err);
    bool snapshot = follower->step == STEP_SNAPSHOT;
    if (!question_list(&follower->question, &follower->reach, snapshot ? "devices" : "results", now_ms, err))
        return false;
    follower_enter(follower, FWSYNC_FOLLOWER_CATCHING_UP, "");
    if (snapshot)
        begin_page(follower);
    return true;
}

/* One unit of work on the answer that has come. */
static void use_answer(struct fwsync_follower *follower)
{
    bool snapshot = follower->step == STEP_SNAPSHOT;
    struct text item;
    bool found = question_item(&follower->question, &item);
    if (found && snapshot)
        teller_device(&follower->teller, item);
    else if (found)
        take_result(follower, item);
    else if (snapshot)
        end_page(follower);
    else
        end_catch_up(follower);
}

bool missing_unit(struct fwsync_follower *follower, int64_t now_ms, bool *progress, struct err *err)
{
    struct question *question = &follower->question;
    if (question->fields.count > 0) {
        *progress = true;
        use_answer(follower);
        return true;
    }
    bool answered;
    if (!question_hear(question, &follower->reach, now_ms, progress, &answered, err))
        return false;
    if (answered)
        return begin_answer(follower, now_ms, err);
    check_answer_due(follower, now_ms);
    bool asking = follower->step == STEP_SNAPSHOT || follower->step == STEP_CATCH_UP;
    *progress |= !asking; /* the results that wait were looked at: nothing else would wake us for them */
    if (*progress || question->posted || now_ms < question->due_ms)
        return true;
    *progress = true;
    write_question(follower);
    return question_post(question, &follower->reach, now_ms, err);
}

/* follower.c - the follower of fwsync.h: exactly the server's state, however much is lost on the way.
 *
 * Results are numbered without gaps in each class, and a heartbeat tells the latest numbers. So a follower
 * always knows whether it has everything: a result goes on when its number is the next one, is dropped when it
 * was there before (a restarted daemon repeats, and so does an answer), and shows a gap otherwise. Then what
 * is missing is asked for (`changes`), up to beyond the result or heartbeat that showed it. Meanwhile the
 * results socket isn't read: what comes waits there, or is lost and shows as the next gap.
 *
 * `done_seq` is the last event of which every result was delivered: from there `changes` are asked. */
#include "engine/client/fwsync.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/client/numbers.h"
#include "engine/client/reach.h"
#include "engine/client/teller.h"

enum {
    CHUNK_BYTES = 65536,
    PAGE_COUNT = 1000,     /* devices or results asked for at a time */
    SILENCE_MS_DEFAULT = 5000,
    AGAIN_MS = 20,         /* until a question is put again that was refused, or lost with its connection */
    UNITS_MAX = 1000,      /* results and answers in one turn */
};

enum step {
    STEP_NOW,      /* waiting for the heartbeat that says where "now" is */
    STEP_SNAPSHOT, /* asking for it, page by page */
    STEP_CATCH_UP, /* asking for what is missing */
    STEP_LIVE,     /* hearing results */
};

static const char other_data[] = "the daemon's data isn't what it was";

/* The question under way. */
struct question {
    bool posted;
    uint64_t id;
    int64_t due_ms; /* posted: when to give up on the answer; else: when to post */
    struct buf text;
    struct buf answer;
    struct fields fields; /* of the answer; empty: none has come */
    struct value *items;  /* of its list */
    size_t item_count, item_at;
    struct arena arena; /* of the three above */
    struct arena scratch;
};

struct fwsync_follower {
    struct reach reach;
    struct teller teller;
    char class_name[CLASS_BYTES_MAX + 1]; /* "": all */
    char *device;
    bool takes_snapshots;
    int64_t silence_ms;

    enum step step;
    enum fwsync_follower_state state;
    struct numbers numbers;
    uint64_t done_seq;
    uint64_t top_seq;      /* of the latest result that was delivered */
    uint64_t snapshot_seq; /* of the snapshot under way; 0: its first page isn't there */
    struct buf cursor;     /* of its next page */
    struct question question;

    /* What showed that something is missing. */
    bool beat_held;
    uint64_t beat_seq;
    struct numbers beat;
    bool result_held; /* in topic and payload */
    struct buf topic;
    struct buf payload;

    bool subscribed;
    int64_t heard_ms; /* the last heartbeat or result, or when listening began */
};

/* --- what it is about ------------------------------------------------------------------------------- */

static bool is_class_followed(const struct fwsync_follower *follower, struct text name)
{
    return follower->class_name[0] == '\0' || text_is(name, follower->class_name);
}

static void enter_state(struct fwsync_follower *follower, enum fwsync_follower_state state, const char *why)
{
    if (state == follower->state)
        return;
    follower->state = state;
    const struct fwsync_follow *follow = &follower->teller.follow;
    if (follow->on_state != NULL)
        follow->on_state(follow->context, state, why);
}

static void note_trouble(struct fwsync_follower *follower, const char *why)
{
    if (why != follower->reach.err.text)
        err_set(&follower->reach.err, ERR_TIMEOUT, "%s", why);
}

static uint64_t number_in(const struct fields *fields, const char *key)
{
    const struct value *value = fields_get(fields, text_of(key));
    return value != NULL && value->kind == VALUE_INTEGER && value->integer > 0 ? (uint64_t)value->integer : 0;
}

static struct text text_in(const struct fields *fields, const char *key)
{
    const struct value *value = fields_get(fields, text_of(key));
    return value != NULL && (value->kind == VALUE_STRING || value->kind == VALUE_JSON) ? value->text
                                                                                       : TEXT("");
}

/* --- changes of step -------------------------------------------------------------------------------- */

static void ask_next(struct fwsync_follower *follower, int64_t due_ms)
{
    follower->question.posted = false;
    follower->question.due_ms = due_ms;
    follower->question.fields = (struct fields){NULL, 0};
    follower->question.item_count = follower->question.item_at = 0;
}

static void go_live(struct fwsync_follower *follower)
{
    follower->step = STEP_LIVE;
    follower->heard_ms = reach_now_ms();
    enter_state(follower, FWSYNC_FOLLOWER_LIVE, "");
}

static void start_catch_up(struct fwsync_follower *follower, const char *why)
{
    follower->step = STEP_CATCH_UP;
    ask_next(follower, follower->question.due_ms);
    enter_state(follower, FWSYNC_FOLLOWER_CATCHING_UP, why);
}

static void start_snapshot(struct fwsync_follower *follower, const char *why)
{
    follower->step = STEP_SNAPSHOT;
    follower->snapshot_seq = 0;
    follower->done_seq = follower->top_seq = 0;
    follower->beat_held = follower->result_held = false; /* what they told shows again */
    buf_clear(&follower->cursor);
    ask_next(follower, 0);
    enter_state(follower, FWSYNC_FOLLOWER_CATCHING_UP, why);
}

/* The held heartbeat's numbers are where the follower stands; what is between is lost. */
static void skip_to_beat(struct fwsync_follower *follower, const char *why)
{
    for (size_t i = 0; i < follower->beat.count; i++) {
        const struct number *beat = &follower->beat.items[i];
        if (!is_class_followed(follower, text_of(beat->name)))
            continue;
        struct number *mine = numbers_find(&follower->numbers, text_of(beat->name));
        if (mine != NULL && mine->known && mine->n != beat->n)
            teller_lost(&follower->teller, beat->name, beat->n > mine->n ? beat->n - mine->n : 0, why);
        if (mine != NULL)
            *mine = *beat;
    }
    follower->numbers.complete = true;
    follower->done_seq = follower->top_seq = follower->beat_seq;
}

static void skip_to_result(struct fwsync_follower *follower, const struct told_result *result, const char *why)
{
    struct number *mine = numbers_find(&follower->numbers, result->class_name);
    uint64_t lost = mine->known && result->n > mine->n + 1 ? result->n - mine->n - 1 : 0;
    teller_lost(&follower->teller, mine->name, lost, why);
    mine->n = result->n - 1;
    mine->known = true;
    follower->done_seq = follower->top_seq = result->seq - 1;
}

/* What is missing can't be had. After other data, what waits to be read is of the old one. */
static void give_up_missing(struct fwsync_follower *follower, const char *why)
{
    struct told_result result;
    if (why == other_data) {
        client_reset(follower->reach.client, CLIENT_RESULTS);
        follower->subscribed = false;
    }
    if (follower->takes_snapshots) {
        start_snapshot(follower, why);
        return;
    }
    note_trouble(follower, why);
    if (follower->beat_held) {
        skip_to_beat(follower, why);
    } else if (follower->result_held) {
        const char *slash = memchr(follower->topic.bytes, '/', follower->topic.len);
        struct text name = {follower->topic.bytes, (size_t)(slash - follower->topic.bytes)};
        if (teller_read(&follower->teller, name, buf_text(&follower->payload), &result))
            skip_to_result(follower, &result, why);
    } else {
        teller_lost(&follower->teller, follower->class_name, 0, why);
        follower->numbers = (struct numbers){.count = 0};
        follower->done_seq = follower->top_seq = 0;
    }
    bool from_now = !follower->beat_held && !follower->result_held;
    follower->beat_held = false;
    go_live(follower);
    if (from_now)
        follower->step = STEP_NOW;
}

/* --- one result ------------------------------------------------------------------------------------- */

enum offer { OFFER_TAKEN, OFFER_OLD, OFFER_GAP };

/* Deliver the result if it is the next one of its class. first_fits: of a class that nothing is known of,
 * any number is the next. */
static enum offer offer_result(struct fwsync_follower *follower, const struct told_result *result,
                               bool first_fits)
{
    struct number *number = numbers_find(&follower->numbers, result->class_name);
    if (number == NULL || (number->known ? result->n <= number->n : result->seq <= follower->done_seq))
        return OFFER_OLD;
    if (number->known ? result->n > number->n + 1 : !first_fits)
        return OFFER_GAP;
    number->n = result->n;
    number->known = true;
    follower->top_seq = result->seq;
    bool single = follower->class_name[0] != '\0';
    if ((single || follower->done_seq == 0) && result->seq - 1 > follower->done_seq)
        follower->done_seq = result->seq - 1; /* of a single class, or from now on, all before it is delivered */
    teller_result(&follower->teller, result);
    return OFFER_TAKEN;
}

/* --- asking ----------------------------------------------------------------------------------------- */

static void write_question(struct fwsync_follower *follower)
{
    struct buf *text = &follower->question.text;
    bool snapshot = follower->step == STEP_SNAPSHOT;
    buf_clear(text);
    buf_byte(text, '{');
    json_member_text(text, "op", snapshot ? TEXT("snapshot") : TEXT("changes"));
    json_member_integer(text, "limit", PAGE_COUNT);
    if (!snapshot)
        json_member_unsigned(text, "after", follower->done_seq);
    if (!snapshot && follower->class_name[0] != '\0')
        json_member_text(text, "class", text_of(follower->class_name));
    if (snapshot && follower->cursor.len > 0)
        json_member_text(text, "cursor", buf_text(&follower->cursor));
    buf_byte(text, '}');
}

static bool post_question(struct fwsync_follower *follower, int64_t now_ms, struct err *err)
{
    struct question *question = &follower->question;
    write_question(follower);
    client_lost(follower->reach.client, CLIENT_QUERY); /* before this question: of no interest */
    question->due_ms = now_ms + AGAIN_MS;
    if (!client_post(follower->reach.client, CLIENT_QUERY, buf_text(&question->text), &question->id, err))
        return false;
    question->posted = true;
    question->due_ms = now_ms + follower->reach.timeout_ms;
    return true;
}

/* The answer is lost, or late. Where there is no snapshot, and the daemon goes on to send results, these are worth
 * more than waiting. */
static void check_answer_due(struct fwsync_follower *follower, int64_t now_ms)
{
    struct question *question = &follower->question;
    const char *endpoint = client_endpoint(follower->reach.client, CLIENT_QUERY);
    bool lost = client_lost(follower->reach.client, CLIENT_QUERY);
    if (!question->posted || (!lost && now_ms < question->due_ms))
        return;
    client_reset(follower->reach.client, CLIENT_QUERY);
    ask_next(follower, now_ms + AGAIN_MS);
    if (lost)
        return;
    err_set(&follower->reach.err, ERR_TIMEOUT, "no answer from %s within %g s: is fwsyncd running?", endpoint,
            (double)follower->reach.timeout_ms / 1000);
    if (!follower->takes_snapshots && client_look(follower->reach.client, CLIENT_RESULTS))
        give_up_missing(follower, follower->reach.err.text);
    else
        enter_state(follower, FWSYNC_FOLLOWER_CONNECTING, follower->reach.err.text);
}

/* An answer that isn't ok. To `changes`, `bad-query` means that there is no event of this number yet, or that this
 * fwsyncd doesn't know the question: then it won't know of snapshots either, and there it is an error. */
static bool hear_refusal(struct fwsync_follower *follower, int64_t now_ms, struct err *err)
{
    struct fields *fields = &follower->question.fields;
    struct text error = text_in(fields, "error");
    char why[ERR_TEXT_BYTES];
    snprintf(why, sizeof why, TEXT_FMT, TEXT_ARG(error));
    enum fwsync_code code = reach_answer_code(text_in(fields, "code"));
    note_trouble(follower, why);
    bool unknown_event = code == FWSYNC_E_BAD_QUERY && follower->step == STEP_CATCH_UP;
    if (code == FWSYNC_E_GONE || unknown_event) {
        give_up_missing(follower, unknown_event && follower->takes_snapshots ? other_data : why);
        follower->question.due_ms = now_ms + AGAIN_MS;
        return true;
    }
    ask_next(follower, now_ms + AGAIN_MS);
    if (code != FWSYNC_E_BAD_QUERY)
        return true;
    return err_set(err, ERR_BAD_QUERY, "%s", why);
}

static bool read_answer(struct fwsync_follower *follower, int64_t now_ms, struct err *err)
{
    struct question *question = &follower->question;
    const char *endpoint = client_endpoint(follower->reach.client, CLIENT_QUERY);
    arena_reset(&question->arena);
    arena_reset(&question->scratch);
    question->posted = false;
    bool read = json_parse_object(buf_text(&question->answer), &question->scratch, &question->arena,
                                  &question->fields, NULL);
    const struct value *ok = fields_get(&question->fields, TEXT("ok"));
    if (!read || ok == NULL || ok->kind != VALUE_BOOLEAN ||
        fields_get(&question->fields, TEXT("accepted")) != NULL) {
        ask_next(follower, now_ms + follower->reach.timeout_ms);
        return err_set(err, ERR_CONFIG, "%s is no query door: its answer can't be read", endpoint);
    }
    if (!ok->boolean)
        return hear_refusal(follower, now_ms, err);
    const char *list = follower->step == STEP_SNAPSHOT ? "devices" : "results";
    json_parse_array(text_in(&question->fields, list), &question->scratch, &question->arena,
                     &question->items, &question->item_count, NULL);
    enter_state(follower, FWSYNC_FOLLOWER_CATCHING_UP, "");
    return true;
}

/* --- a snapshot ------------------------------------------------------------------------------------- */

/* Each page says of which moment it is. */
static void begin_page(struct fwsync_follower *follower)
{
    struct question *question = &follower->question;
    uint64_t seq = number_in(&question->fields, "at");
    if (follower->snapshot_seq == 0) {
        numbers_read(&follower->numbers, text_in(&question->fields, "n"), &question->scratch,
                     &question->arena);
        follower->snapshot_seq = seq;
        teller_begin(&follower->teller, seq);
    } else if (seq != follower->snapshot_seq) {
        start_snapshot(follower, "the snapshot changed under way");
    }
}

static void end_page(struct fwsync_follower *follower)
{
    struct text cursor = text_in(&follower->question.fields, "cursor");
    buf_clear(&follower->cursor);
    buf_append(&follower->cursor, cursor);
    ask_next(follower, 0);
    if (cursor.len > 0)
        return;
    follower->done_seq = follower->snapshot_seq;
    go_live(follower);
    teller_end(&follower->teller, follower->snapshot_seq);
}

/* --- catching up ------------------------------------------------------------------------------------ */

/* Everything up to the heartbeat was delivered: of a class that nothing was heard of, its number is known now.
 * False: it knows of results that the answers didn't have. */
static bool settle_beat(struct fwsync_follower *follower)
{
    for (size_t i = 0; i < follower->beat.count; i++) {
        const struct number *beat = &follower->beat.items[i];
        if (!is_class_followed(follower, text_of(beat->name)))
            continue;
        struct number *mine = numbers_find(&follower->numbers, text_of(beat->name));
        if (mine != NULL && mine->known && mine->n < beat->n)
            return false;
        if (mine != NULL && !mine->known)
            *mine = *beat;
    }
    follower->numbers.complete = true;
    return true;
}

static void end_catch_up(struct fwsync_follower *follower)
{
    struct fields *fields = &follower->question.fields;
    uint64_t after = number_in(fields, "after"), seq = number_in(fields, "seq");
    const struct value *more = fields_get(fields, TEXT("more"));
    if (seq < follower->done_seq) {
        give_up_missing(follower, other_data);
        return;
    }
    bool done = more == NULL || more->kind != VALUE_BOOLEAN || !more->boolean;
    if (done && seq > after)
        after = seq; /* none behind the last result, says the answer */
    if (after > follower->done_seq)
        follower->done_seq = after;
    ask_next(follower, done ? reach_now_ms() + AGAIN_MS : 0);
    if (!done || (follower->beat_held && follower->done_seq < follower->beat_seq))
        return;
    if (follower->beat_held && !settle_beat(follower)) {
        give_up_missing(follower, other_data);
        return;
    }
    follower->beat_held = follower->result_held = false; /* it was among the answers */
    go_live(follower);
}

static void take_item(struct fwsync_follower *follower, struct text json)
{
    struct told_result result;
    if (follower->step == STEP_SNAPSHOT)
        teller_device(&follower->teller, json);
    else if (teller_read(&follower->teller, TEXT(""), json, &result) &&
             is_class_followed(follower, result.class_name) &&
             offer_result(follower, &result, true) == OFFER_GAP)
        give_up_missing(follower, "an answer of the daemon has a gap");
}

/* One unit of work on the answer that has come. */
static void use_answer(struct fwsync_follower *follower)
{
    struct question *question = &follower->question;
    if (question->item_at < question->item_count) {
        take_item(follower, question->items[question->item_at++].text);
        return;
    }
    if (follower->step == STEP_SNAPSHOT)
        end_page(follower);
    else
        end_catch_up(follower);
}

/* One unit of asking and hearing. *progress: there may be more to do at once. */
static bool asking_unit(struct fwsync_follower *follower, int64_t now_ms, bool *progress, struct err *err)
{
    struct question *question = &follower->question;
    if (question->fields.count > 0) {
        *progress = true;
        use_answer(follower);
        return true;
    }
    uint64_t id;
    bool found;
    if (!client_take(follower->reach.client, CLIENT_QUERY, &id, &question->answer, &found, err))
        return false;
    *progress = found;
    if (found && question->posted && id == question->id) {
        if (!read_answer(follower, now_ms, err))
            return false;
        if (question->fields.count > 0 && follower->step == STEP_SNAPSHOT)
            begin_page(follower);
        return true;
    }
    check_answer_due(follower, now_ms);
    if (found || question->posted || now_ms < question->due_ms || follower->step == STEP_LIVE ||
        follower->step == STEP_NOW)
        return true;
    *progress = true;
    return post_question(follower, now_ms, err);
}

/* --- listening -------------------------------------------------------------------------------------- */

enum beat { BEAT_EQUAL, BEAT_AHEAD, BEAT_STALE, BEAT_STRANGE };

/* The heartbeat's numbers against ours. One that waited while the follower caught up may be stale; one of
 * later than all that was delivered, with smaller numbers, tells of other data. */
static enum beat compare_beat(struct fwsync_follower *follower)
{
    bool ahead = false, behind = false;
    for (size_t i = 0; i < follower->beat.count; i++) {
        const struct number *beat = &follower->beat.items[i];
        if (!is_class_followed(follower, text_of(beat->name)))
            continue;
        struct number *mine = numbers_find(&follower->numbers, text_of(beat->name));
        if (mine == NULL)
            continue;
        if (!mine->known && (follower->step == STEP_NOW || follower->beat_seq <= follower->done_seq))
            *mine = *beat;
        ahead |= !mine->known || beat->n > mine->n;
        behind |= mine->known && beat->n < mine->n;
    }
    if (behind && follower->beat_seq >= follower->done_seq && follower->beat_seq >= follower->top_seq)
        return BEAT_STRANGE;
    if (ahead)
        return BEAT_AHEAD;
    return behind || follower->beat_seq < follower->done_seq ? BEAT_STALE : BEAT_EQUAL;
}

static void hear_beat(struct fwsync_follower *follower)
{
    struct teller *teller = &follower->teller;
    struct fields fields = {NULL, 0};
    arena_reset(&teller->arena);
    arena_reset(&teller->scratch);
    if (!json_parse_object(buf_text(&follower->payload), &teller->scratch, &teller->arena, &fields, NULL))
        return;
    follower->beat_seq = number_in(&fields, "seq");
    numbers_read(&follower->beat, text_in(&fields, "n"), &teller->scratch, &teller->arena);
    enum beat beat = compare_beat(follower);
    follower->beat_held = beat != BEAT_EQUAL;
    switch (beat) {
    case BEAT_EQUAL:
        follower->numbers.complete = true;
        follower->done_seq = follower->beat_seq;
        go_live(follower);
        break;
    case BEAT_AHEAD:
        start_catch_up(follower, "results are missing");
        break;
    case BEAT_STALE: /* or the daemon went back: the answer will tell */
        start_catch_up(follower, "a heartbeat is late");
        break;
    case BEAT_STRANGE:
        give_up_missing(follower, other_data);
        break;
    }
}

static void hear_result(struct fwsync_follower *follower)
{
    struct text topic = buf_text(&follower->topic);
    struct told_result result;
    follower->result_held = false;
    follower->heard_ms = reach_now_ms();
    if (text_is(topic, "heartbeat")) {
        hear_beat(follower);
        return;
    }
    const char *slash = memchr(topic.bytes, '/', topic.len);
    if (slash == NULL)
        return;
    struct text class_name = {topic.bytes, (size_t)(slash - topic.bytes)};
    if (!is_class_followed(follower, class_name) ||
        !teller_read(&follower->teller, class_name, buf_text(&follower->payload), &result))
        return;
    if (offer_result(follower, &result, follower->step == STEP_NOW) != OFFER_GAP)
        return;
    follower->result_held = true;
    if (result.seq <= follower->done_seq)
        give_up_missing(follower, other_data);
    else
        start_catch_up(follower, "results are missing");
}

static bool subscribe(struct fwsync_follower *follower, struct err *err)
{
    char prefix[CLASS_BYTES_MAX + 2];
    bool one = follower->class_name[0] != '\0';
    snprintf(prefix, sizeof prefix, "%s%s", follower->class_name, one ? "/" : "");
    follower->heard_ms = reach_now_ms();
    follower->subscribed = client_subscribe(follower->reach.client, prefix, err) &&
                           client_subscribe(follower->reach.client, "heartbeat", err);
    return follower->subscribed;
}

/* Not even a heartbeat for a while: anew. What was missed meanwhile will show. */
static bool check_silence(struct fwsync_follower *follower, int64_t now_ms, struct err *err)
{
    if (now_ms - follower->heard_ms < follower->silence_ms)
        return true;
    err_set(&follower->reach.err, ERR_TIMEOUT, "nothing heard from %s within %g s: is fwsyncd running?",
            client_endpoint(follower->reach.client, CLIENT_RESULTS), (double)follower->silence_ms / 1000);
    enter_state(follower, FWSYNC_FOLLOWER_CONNECTING, follower->reach.err.text);
    client_reset(follower->reach.client, CLIENT_RESULTS);
    return subscribe(follower, err);
}

static bool listening_unit(struct fwsync_follower *follower, int64_t now_ms, bool *progress, struct err *err)
{
    if (!follower->subscribed && !subscribe(follower, err))
        return false;
    *progress = follower->result_held ||
                client_take_result(follower->reach.client, &follower->topic, &follower->payload);
    if (*progress)
        hear_result(follower);
    return *progress || check_silence(follower, now_ms, err);
}

/* --- turns ------------------------------------------------------------------------------------------ */

static bool is_asking(const struct fwsync_follower *follower)
{
    return follower->step == STEP_SNAPSHOT || follower->step == STEP_CATCH_UP;
}

static int64_t due_ms(const struct fwsync_follower *follower)
{
    if (!is_asking(follower))
        return follower->heard_ms + follower->silence_ms;
    return follower->question.due_ms;
}

/* What nobody reads just now must not keep the descriptor readable. */
static void quiet_sockets(struct fwsync_follower *follower)
{
    client_lost(follower->reach.client, CLIENT_RESULTS);
    if (is_asking(follower)) {
        client_look(follower->reach.client, CLIENT_RESULTS);
    } else {
        client_lost(follower->reach.client, CLIENT_QUERY);
        client_look(follower->reach.client, CLIENT_QUERY);
    }
}

/* Work until nothing is left to do without waiting, or for a while. *progress: something was done. */
static enum fwsync_code turn(struct fwsync_follower *follower, bool *progress)
{
    struct err err;
    bool more = true, done = true;
    *progress = false;
    follower->teller.stop = false;
    for (int units = 0; done && more && !follower->teller.stop && units < UNITS_MAX; units++) {
        int64_t now_ms = reach_now_ms();
        done = is_asking(follower) ? asking_unit(follower, now_ms, &more, &err)
                                   : listening_unit(follower, now_ms, &more, &err);
        *progress |= more;
    }
    quiet_sockets(follower);
    wakeup_at(&follower->reach.wakeup, done && !more ? due_ms(follower) : 0);
    if (!done)
        return reach_fail(&follower->reach, &err);
    return follower->teller.stop ? FWSYNC_E_STOPPED : FWSYNC_OK;
}

enum fwsync_code fwsync_follower_process(struct fwsync_follower *follower, int wait_ms)
{
    bool progress;
    enum fwsync_code code = turn(follower, &progress);
    if (code != FWSYNC_OK || progress || wait_ms == 0)
        return code;
    wakeup_wait(&follower->reach.wakeup, wait_ms, NULL);
    return turn(follower, &progress);
}

/* --- life ------------------------------------------------------------------------------------------- */

static enum fwsync_code invalid(const char *why)
{
    struct err err;
    err_set(&err, ERR_CONFIG, "%s", why);
    reach_open_failed(&err);
    return FWSYNC_E_INVALID;
}

static enum fwsync_code choose(struct fwsync_follower *follower, const struct fwsync_follow *follow)
{
    const char *name = follow->class_name == NULL ? "attributes" : follow->class_name;
    bool whole = name[0] == '\0' || strcmp(name, "attributes") == 0;
    if (strlen(name) > CLASS_BYTES_MAX || strchr(name, '/') != NULL)
        return invalid("this can't be a class of results");
    if (follow->start == FWSYNC_START_SNAPSHOT && !whole)
        return invalid("a snapshot is of attributes: of this class there is none");
    if (follow->silence_ms < 0)
        return invalid("silence_ms can't be negative");
    memcpy(follower->class_name, name, strlen(name) + 1);
    follower->takes_snapshots = whole && follow->start != FWSYNC_START_NOW;
    follower->silence_ms = follow->silence_ms > 0 ? follow->silence_ms : SILENCE_MS_DEFAULT;
    if (follow->device != NULL && (follower->device = strdup(follow->device)) == NULL)
        abort();
    return FWSYNC_OK;
}

static void begin(struct fwsync_follower *follower, const struct fwsync_follow *follow)
{
    teller_init(&follower->teller, follow);
    follower->teller.follow.device = follower->device;
    follower->teller.follow.class_name = follower->class_name;
    follower->done_seq = follow->start == FWSYNC_START_AFTER ? follow->after : 0;
    follower->step = follow->start == FWSYNC_START_NOW        ? STEP_NOW
                     : follow->start == FWSYNC_START_SNAPSHOT ? STEP_SNAPSHOT
                                                              : STEP_CATCH_UP;
    arena_init(&follower->question.arena, CHUNK_BYTES);
    arena_init(&follower->question.scratch, CHUNK_BYTES);
    wakeup_at(&follower->reach.wakeup, 0);
}

enum fwsync_code fwsync_follow(const struct fwsync_options *options, const struct fwsync_follow *follow,
                               struct fwsync_follower **out)
{
    struct fwsync_follower *follower = calloc(1, sizeof *follower);
    struct err err;
    if (follower == NULL)
        abort();
    *out = NULL;
    enum fwsync_code code = reach_open(&follower->reach, options);
    if (code == FWSYNC_OK)
        code = choose(follower, follow);
    if (code == FWSYNC_OK && (!subscribe(follower, &err) || !client_open(follower->reach.client, CLIENT_QUERY, &err)))
        code = reach_open_failed(&err);
    if (code != FWSYNC_OK) {
        fwsync_follower_close(follower);
        return code;
    }
    begin(follower, follow);
    *out = follower;
    return FWSYNC_OK;
}

void fwsync_follower_close(struct fwsync_follower *follower)
{
    if (follower == NULL)
        return;
    reach_close(&follower->reach);
    teller_fini(&follower->teller);
    buf_fini(&follower->cursor);
    buf_fini(&follower->topic);
    buf_fini(&follower->payload);
    buf_fini(&follower->question.text);
    buf_fini(&follower->question.answer);
    arena_fini(&follower->question.arena);
    arena_fini(&follower->question.scratch);
    free(follower->device);
    free(follower);
}

int fwsync_follower_fd(const struct fwsync_follower *follower)
{
    return follower->reach.wakeup.epoll_fd;
}

enum fwsync_follower_state fwsync_follower_state(const struct fwsync_follower *follower)
{
    return follower->state;
}

uint64_t fwsync_follower_seq(const struct fwsync_follower *follower)
{
    return follower->done_seq;
}

const char *fwsync_follower_error(const struct fwsync_follower *follower)
{
    return follower->reach.err.text;
}

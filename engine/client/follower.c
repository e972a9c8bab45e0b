/* follower.c - the follower of fwsync.h: exactly the server's state, however much is lost on the way.
 *
 * Results are numbered without gaps in each class of a partition, and its heartbeat tells the latest numbers. So a
 * follower always knows whether it has everything (standing.h). It listens until something is missing; then that is
 * asked for, and what comes meanwhile waits (missing.c). Here are the listening, the turns, and the handle's life.
 *
 * One class is heard in batches, not in a message for each result. All classes are heard singly, so that the results of
 * a partition keep their order. */
#include "engine/client/follower.h"

#include <assert.h>
#include <stdlib.h>

#include "engine/base/clock.h"
#include "engine/client/members.h"

enum {
    SILENCE_MS_DEFAULT = 5000,
    UNITS_MAX = 1000, /* results and answers in one turn */
};

void follower_enter(struct fwsync_follower *follower, enum fwsync_follower_state state, const char *why)
{
    if (state == follower->state)
        return;
    follower->state = state;
    const struct fwsync_follow *follow = &follower->teller.follow;
    if (follow->on_state != NULL)
        follow->on_state(follow->context, state, why);
}

void follower_listen(struct fwsync_follower *follower)
{
    follower->step = STEP_LISTEN;
    follower->heard_ms = clock_monotonic_ms();
    if (standing_has_begun(&follower->standing))
        follower_enter(follower, FWSYNC_FOLLOWER_LIVE, "");
}

/* --- listening -------------------------------------------------------------------------------------- */

static void hear_beat(struct fwsync_follower *follower, struct text json)
{
    struct teller *teller = &follower->teller;
    struct fields fields = {NULL, 0};
    arena_reset(&teller->arena);
    arena_reset(&teller->scratch);
    if (!json_parse_object(json, &teller->scratch, &teller->arena, &fields, NULL))
        return;
    switch (standing_hear_beat(&follower->standing, &fields, &teller->scratch, &teller->arena)) {
    case BEAT_EQUAL:
        question_helped(&follower->question);
        follower_listen(follower);
        break;
    case BEAT_AHEAD:
        missing_catch_up(follower, "results are missing");
        break;
    case BEAT_STALE: /* on its way for long, or the daemon went back: the answer will tell */
        missing_catch_up(follower, "a heartbeat is late");
        break;
    case BEAT_STRANGE:
        missing_other_data(follower);
        break;
    case BEAT_VOID:
        break;
    }
}

static void hear_result(struct fwsync_follower *follower)
{
    struct told_result result;
    if (!heard_read(&follower->heard, &follower->teller, &result)) {
        heard_pass(&follower->heard);
        return;
    }
    switch (standing_offer(&follower->standing, &result, false)) {
    case OFFER_TAKEN:
        question_helped(&follower->question);
        teller_result(&follower->teller, &result);
        heard_pass(&follower->heard);
        break;
    case OFFER_OLD:
        heard_pass(&follower->heard);
        break;
    case OFFER_GAP: /* it stays the present one, and is heard again when the gap is closed */
        follower->result_held = true;
        missing_catch_up(follower, "results are missing");
        break;
    case OFFER_STRANGE:
        follower->result_held = true;
        missing_other_data(follower);
        break;
    }
}

static void hear(struct fwsync_follower *follower)
{
    struct heard *heard = &follower->heard;
    struct text class_name = heard_class(heard);
    follower->heard_ms = clock_monotonic_ms();
    if (heard_is_beat(heard)) {
        heard_pass(heard);
        hear_beat(follower, heard_beat(heard));
    } else if (class_name.len > 0 && standing_follows(&follower->standing, class_name)) {
        hear_result(follower);
    } else {
        heard_pass_all(heard); /* of a class whose name only begins with ours */
    }
}

static bool subscribe(struct fwsync_follower *follower, struct err *err)
{
    follower->heard_ms = clock_monotonic_ms();
    follower->subscribed =
        heard_subscribe(&follower->heard, follower->reach.client, follower->standing.class_name, err);
    return follower->subscribed;
}

/* Not even a heartbeat for a while: anew. What was missed meanwhile will show. */
static bool check_silence(struct fwsync_follower *follower, int64_t now_ms, struct err *err)
{
    if (now_ms - follower->heard_ms < follower->silence_ms)
        return true;
    err_set(&follower->reach.err, ERR_TIMEOUT, "nothing heard from %s within %g s: is fwsyncd running?",
            client_endpoint(follower->reach.client, CLIENT_RESULTS), (double)follower->silence_ms / 1000);
    follower_enter(follower, FWSYNC_FOLLOWER_CONNECTING, follower->reach.err.text);
    client_reset(follower->reach.client, CLIENT_RESULTS);
    return subscribe(follower, err);
}

static bool listening_unit(struct fwsync_follower *follower, int64_t now_ms, bool *progress, struct err *err)
{
    if (!follower->subscribed && !subscribe(follower, err))
        return false;
    *progress = heard_next(&follower->heard, follower->reach.client);
    if (*progress)
        hear(follower);
    else
        standing_heard_all(&follower->standing);
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
        int64_t now_ms = clock_monotonic_ms();
        done = is_asking(follower) ? missing_unit(follower, now_ms, &more, &err)
                                   : listening_unit(follower, now_ms, &more, &err);
        *progress |= more;
    }
    quiet_sockets(follower);
    reach_wake_at(&follower->reach, more ? 0 : due_ms(follower), !done);
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
    if (strlen(name) > CLASS_NAME_BYTES_MAX || strchr(name, '/') != NULL)
        return invalid("this can't be a class of results");
    if (follow->start == FWSYNC_START_SNAPSHOT && !whole)
        return invalid("a snapshot is of attributes: of this class there is none");
    if (follow->silence_ms < 0)
        return invalid("silence_ms can't be negative");
    memcpy(follower->standing.class_name, name, strlen(name) + 1);
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
    follower->teller.follow.class_name = follower->standing.class_name;
    if (follow->start == FWSYNC_START_AFTER)
        standing_move(&follower->standing, follow->after);
    follower->step = follow->start == FWSYNC_START_NOW        ? STEP_LISTEN
                     : follow->start == FWSYNC_START_SNAPSHOT ? STEP_SNAPSHOT
                                                              : STEP_CATCH_UP;
    question_init(&follower->question);
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
    heard_init(&follower->heard);
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
    heard_fini(&follower->heard);
    question_fini(&follower->question);
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
    return standing_done(&follower->standing);
}

const char *fwsync_follower_error(const struct fwsync_follower *follower)
{
    return follower->reach.err.text;
}

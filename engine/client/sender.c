#include "engine/client/sender.h"

#include "engine/client/members.h"

enum {
    CHUNK_BYTES = 16384,
    EVENTS_MAX = 1000, /* in one request */
    ERRORS_LISTED = 100, /* in one answer */
    BODY_BYTES_MAX = 256 << 10,
    BROKEN_MS = 20,       /* until the next try */
    WRONG_DOOR_MS = 1000, /* likewise, and when there is no socket */
};

void sender_init(struct sender *sender)
{
    arena_init(&sender->arena, CHUNK_BYTES);
    arena_init(&sender->scratch, CHUNK_BYTES);
    sender->events_max = ERRORS_LISTED;
}

void sender_fini(struct sender *sender)
{
    outbox_fini(&sender->outbox);
    buf_fini(&sender->body);
    buf_fini(&sender->answer);
    arena_fini(&sender->arena);
    arena_fini(&sender->scratch);
}

/* --- what an answer says ---------------------------------------------------------------------------- */

/* Why, says `error`: the answer, or a row of its list. */
static void tell_rejected(struct sender *sender, size_t index, const struct fields *error)
{
    uint64_t n;
    struct text event = outbox_get(&sender->outbox, index, &n);
    sender->counts.rejected++;
    if (sender->on_rejected != NULL)
        sender->on_rejected(sender->context, n, event.bytes, event.len, field_text(error, "code").bytes,
                            field_text(error, "error").bytes);
}

/* The request's first `count` events are settled. */
static void settle(struct sender *sender, size_t count)
{
    uint64_t n;
    if (count > 0) {
        outbox_get(&sender->outbox, count - 1, &n);
        sender->settled_n = n;
    }
    outbox_settle(&sender->outbox, count);
    sender->step = SENDER_IDLE;
    sender->trouble.text[0] = '\0';
}

/* Tell of the listed errors; returns how many, and the line of the last one. */
static size_t tell_errors(struct sender *sender, const struct fields *answer, size_t *last_line)
{
    struct value *errors = NULL;
    size_t count = 0, told = 0;
    json_parse_array(field_json(answer, "errors"), &sender->scratch, &sender->arena, &errors, &count, NULL);
    for (size_t i = 0; i < count; i++) {
        struct fields error = {NULL, 0};
        if (errors[i].kind == VALUE_JSON)
            json_parse_object(errors[i].text, &sender->scratch, &sender->arena, &error, NULL);
        uint64_t line = field_number(&error, "line");
        if (line <= *last_line || line > sender->body_count)
            continue;
        tell_rejected(sender, line - 1, &error);
        *last_line = line;
        told++;
    }
    return told;
}

/* There may be more errors than are listed. What is behind the last of these is asked again, when numbers make
 * sure that nothing is applied twice; it was counted already, but for what is rejected. Without numbers the
 * requests become so small that all can be listed, until one has none. */
static void hear_taken(struct sender *sender, const struct fields *answer)
{
    struct fwsync_counts *counts = &sender->counts;
    size_t last_line = 0;
    uint64_t rejected = field_number(answer, "rejected");
    counts->accepted += field_number(answer, "accepted");
    counts->duplicates += sender->rest > 0 ? 0 : field_number(answer, "duplicates");
    size_t told = tell_errors(sender, answer, &last_line);
    bool again = told > 0 && told < rejected && sender->source.len > 0;
    if (!again && told < rejected)
        counts->rejected += rejected - told;
    sender->events_max = rejected > 0 ? ERRORS_LISTED : EVENTS_MAX;
    sender->rest = again ? sender->body_count - last_line : 0;
    settle(sender, sender->body_count - sender->rest);
}

static void hear_busy(struct sender *sender, const struct fields *answer, int64_t retry_ms, int64_t now_ms)
{
    sender->counts.busy++;
    sender->step = SENDER_WAITING;
    sender->due_ms = now_ms + retry_ms;
    err_set(&sender->trouble, ERR_BUSY, "fwsyncd takes nothing just now: %s", field_text(answer, "error").bytes);
}

/* The request was refused as a whole, for its content. */
static void hear_refused(struct sender *sender, const struct fields *answer)
{
    for (size_t i = 0; i < sender->body_count; i++)
        tell_rejected(sender, i, answer);
    settle(sender, sender->body_count);
}

/* --- whose answer it is ----------------------------------------------------------------------------- */

/* What an events door says tells of each event of the request. */
static bool is_taken(const struct sender *sender, const struct fields *answer)
{
    return fields_get(answer, TEXT("accepted")) != NULL &&
           field_number(answer, "accepted") + field_number(answer, "duplicates") +
                   field_number(answer, "rejected") == sender->body_count;
}

static bool is_not_ok(const struct fields *answer)
{
    const struct value *ok = fields_get(answer, TEXT("ok"));
    return ok != NULL && ok->kind == VALUE_BOOLEAN && !ok->boolean;
}

/* With one of the codes that docs/protocol.md has for this door. By anything else nothing is settled. */
static bool is_refused(const struct fields *answer)
{
    static const char *const codes[] = {"bad-json", "bad-event", "too-large", "limit"};
    struct text code = field_text(answer, "code");
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (text_is(code, codes[i]))
            return is_not_ok(answer);
    return false;
}

static bool hear_stranger(struct sender *sender, bool query_door, int64_t now_ms, struct err *err)
{
    sender->step = SENDER_WAITING;
    sender->due_ms = now_ms + WRONG_DOOR_MS;
    const char *endpoint = client_endpoint(sender->client, CLIENT_EVENTS);
    if (query_door)
        return err_set(err, ERR_CONFIG, "%s is a query door, not an events door", endpoint);
    return err_set(err, ERR_CONFIG, "%s is no events door: its answer can't be read", endpoint);
}

static bool hear(struct sender *sender, int64_t now_ms, struct err *err)
{
    struct text raw = buf_text(&sender->answer);
    struct fields answer = {NULL, 0};
    int64_t retry_ms;
    arena_reset(&sender->arena);
    arena_reset(&sender->scratch);
    if (!json_parse_object(raw, &sender->scratch, &sender->arena, &answer, NULL))
        return hear_stranger(sender, false, now_ms, err);
    if (client_busy(raw, &retry_ms))
        hear_busy(sender, &answer, retry_ms, now_ms);
    else if (is_taken(sender, &answer))
        hear_taken(sender, &answer);
    else if (is_refused(&answer))
        hear_refused(sender, &answer);
    else
        return hear_stranger(sender, text_is(field_text(&answer, "code"), "bad-query"), now_ms, err);
    return true;
}

/* --- sending ---------------------------------------------------------------------------------------- */

static void compose(struct sender *sender)
{
    size_t count_max = sender->rest > 0         ? sender->rest
                       : sender->source.len > 0 ? EVENTS_MAX
                                                : sender->events_max;
    buf_clear(&sender->body);
    sender->body_count =
        outbox_compose(&sender->outbox, sender->source, count_max, BODY_BYTES_MAX, &sender->body);
}

static bool post(struct sender *sender, int64_t now_ms, struct err *err)
{
    if (sender->step == SENDER_IDLE)
        compose(sender);
    sender->step = SENDER_WAITING;
    sender->due_ms = now_ms;
    client_lost(sender->client, CLIENT_EVENTS); /* before this request: of no interest */
    if (!client_post(sender->client, CLIENT_EVENTS, buf_text(&sender->body), &sender->id, err))
        return false;
    sender->step = SENDER_POSTED;
    sender->due_ms = now_ms + sender->timeout_ms;
    return true;
}

/* On a new socket: whatever the old one still holds dies with it. */
static void give_up_answer(struct sender *sender, int64_t due_ms)
{
    client_reset(sender->client, CLIENT_EVENTS);
    sender->counts.resends++;
    sender->step = SENDER_WAITING;
    sender->due_ms = due_ms;
}

static bool check_silence(struct sender *sender, int64_t now_ms)
{
    const char *endpoint = client_endpoint(sender->client, CLIENT_EVENTS);
    bool lost = client_lost(sender->client, CLIENT_EVENTS);
    if (sender->step != SENDER_POSTED || (!lost && now_ms < sender->due_ms))
        return false;
    if (lost)
        err_set(&sender->trouble, ERR_TIMEOUT, "the connection to %s broke; sending again", endpoint);
    else
        err_set(&sender->trouble, ERR_TIMEOUT, "no answer from %s within %g s: is fwsyncd running?", endpoint,
                (double)sender->timeout_ms / 1000);
    give_up_answer(sender, lost ? now_ms + BROKEN_MS : now_ms);
    return true;
}

/* The answer under way, if it has come. */
static bool take_answer(struct sender *sender, int64_t now_ms, bool *heard, struct err *err)
{
    uint64_t id;
    bool found = true;
    while (found) {
        if (!client_take(sender->client, CLIENT_EVENTS, &id, &sender->answer, &found, err))
            return false;
        if (!found || sender->step != SENDER_POSTED || id != sender->id)
            continue;
        *heard = true;
        if (!hear(sender, now_ms, err))
            return false;
    }
    return true;
}

static bool ready_to_post(const struct sender *sender, int64_t now_ms)
{
    return sender->step == SENDER_IDLE ? sender->outbox.count > 0
                                       : sender->step == SENDER_WAITING && now_ms >= sender->due_ms;
}

/* Posting may take in what has arrived, without a sign to who waits for the socket: so look again after it. */
bool sender_turn(struct sender *sender, int64_t now_ms, bool *progress, struct err *err)
{
    *progress = false;
    for (;;) {
        bool heard = false;
        if (!take_answer(sender, now_ms, &heard, err))
            return false;
        *progress |= heard | check_silence(sender, now_ms);
        if (!ready_to_post(sender, now_ms))
            return true;
        if (!post(sender, now_ms, err))
            return false;
        *progress = true;
    }
}

int64_t sender_due_ms(const struct sender *sender)
{
    if (sender->step == SENDER_IDLE)
        return sender->outbox.count > 0 ? 0 : INT64_MAX;
    return sender->due_ms;
}

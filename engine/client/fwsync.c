#include "engine/client/fwsync.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "engine/base/clock.h"
#include "engine/base/limits.h"
#include "engine/client/members.h"
#include "engine/client/reach.h"
#include "engine/client/sender.h"

enum {
    WINDOW_EVENTS_DEFAULT = 10000,
    WINDOW_EVENTS_MAX = 10000000,
    WINDOW_BYTES_DEFAULT = 16 << 20,
    LOOK_EVERY = 100, /* events taken between two looks at what has come: a look costs more than an event */
    HEAD_BYTES_MAX = 64, /* of `"source":"","n":9007199254740992,` around the source */
};

struct fwsync_client {
    struct reach reach;
    struct client *asker; /* NULL until the first question */
    char source[SOURCE_BYTES_MAX + 1];
    struct sender sender;
    uint64_t next_n;
    size_t window_events;
    size_t window_bytes;
    size_t event_bytes_max;
    size_t unlooked; /* events taken since the last look */
    struct buf event;
    struct buf answer;
};

const char *fwsync_version(int *major, int *minor, int *patch)
{
    if (major != NULL)
        *major = FWSYNC_VERSION_MAJOR;
    if (minor != NULL)
        *minor = FWSYNC_VERSION_MINOR;
    if (patch != NULL)
        *patch = FWSYNC_VERSION_PATCH;
    return FWSYNC_VERSION;
}

const char *fwsync_strerror(int code)
{
    static const char *const texts[] = {
        [FWSYNC_OK] = "done",
        [FWSYNC_E_TIMEOUT] = "not done in time",
        [FWSYNC_E_FULL] = "the window of unacknowledged events is full",
        [FWSYNC_E_STOPPED] = "a callback asked to stop",
        [FWSYNC_E_CONFIG] = "a wrong option or endpoint",
        [FWSYNC_E_INVALID] = "a wrong argument",
        [FWSYNC_E_TOO_LARGE] = "too large",
        [FWSYNC_E_NOT_FOUND] = "not found",
        [FWSYNC_E_BAD_QUERY] = "a question that fwsyncd doesn't understand",
        [FWSYNC_E_GONE] = "no longer kept",
        [FWSYNC_E_BUSY] = "fwsyncd is busy",
        [FWSYNC_E_REFUSED] = "refused by fwsyncd",
        [FWSYNC_E_IO] = "a socket or descriptor failed",
    };
    bool known = code >= 0 && (size_t)code < sizeof texts / sizeof texts[0];
    return known ? texts[code] : "an unknown error";
}

/* --- opening and closing ---------------------------------------------------------------------------- */

static bool choose_source(struct fwsync_client *client, const struct fwsync_options *options,
                          struct err *err)
{
    const char *given = options->source;
    client->next_n = options->first_n > 0 ? options->first_n : 1;
    bool named = given != NULL && given[0] != '\0';
    if (named != (options->first_n > 0))
        return err_set(err, ERR_CONFIG, named ? "a source needs first_n: the number of its next event"
                                              : "first_n needs a source");
    if (options->first_n > JSON_INTEGER_MAX)
        return err_set(err, ERR_CONFIG, "first_n is beyond 2^53");
    if (given != NULL && strlen(given) > SOURCE_BYTES_MAX)
        return err_set(err, ERR_CONFIG, "the source is longer than %d bytes", SOURCE_BYTES_MAX);
    if (given != NULL) {
        memcpy(client->source, given, strlen(given) + 1);
        return true;
    }
    uint64_t chance[2];
    if (getrandom(chance, sizeof chance, 0) != (ssize_t)sizeof chance)
        return err_set(err, ERR_IO, "no random numbers");
    snprintf(client->source, sizeof client->source, "lib-%016" PRIx64 "%016" PRIx64, chance[0], chance[1]);
    return true;
}

static bool choose_window(struct fwsync_client *client, const struct fwsync_options *options,
                          struct err *err)
{
    if (options->window_events > WINDOW_EVENTS_MAX)
        return err_set(err, ERR_CONFIG, "window_events is over %d", WINDOW_EVENTS_MAX);
    client->window_events = options->window_events == 0 ? WINDOW_EVENTS_DEFAULT : options->window_events;
    client->window_bytes = options->window_bytes == 0 ? WINDOW_BYTES_DEFAULT : options->window_bytes;
    return true;
}

/* What source and n add to an event, at most. */
static size_t head_bytes(const struct fwsync_client *client)
{
    struct buf quoted = {.bytes = NULL};
    json_string(&quoted, text_of(client->source));
    size_t bytes = client->source[0] != '\0' ? quoted.len + HEAD_BYTES_MAX : 0;
    buf_fini(&quoted);
    return bytes;
}

static void start_sender(struct fwsync_client *client, const struct fwsync_options *options)
{
    client->sender = (struct sender){
        .client = client->reach.client,
        .source = text_of(client->source),
        .timeout_ms = client->reach.timeout_ms,
        .on_rejected = options->on_rejected,
        .context = options->context,
    };
    sender_init(&client->sender);
    client->event_bytes_max = REQUEST_BYTES_MAX - head_bytes(client);
}

enum fwsync_code fwsync_open(const struct fwsync_options *options, struct fwsync_client **out)
{
    static const struct fwsync_options defaults; /* zero */
    struct fwsync_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        abort();
    *out = NULL;
    enum fwsync_code code = reach_open(&client->reach, options);
    if (code == FWSYNC_OK) {
        struct err err;
        options = options == NULL ? &defaults : options;
        if (!choose_source(client, options, &err) || !choose_window(client, options, &err) ||
            !client_open(client->reach.client, CLIENT_EVENTS, &err))
            code = reach_open_failed(&err);
    }
    if (code != FWSYNC_OK) {
        fwsync_close(client);
        return code;
    }
    start_sender(client, options);
    *out = client;
    return FWSYNC_OK;
}

void fwsync_close(struct fwsync_client *client)
{
    if (client == NULL)
        return;
    sender_fini(&client->sender);
    client_destroy(client->asker);
    reach_close(&client->reach);
    buf_fini(&client->event);
    buf_fini(&client->answer);
    free(client);
}

const char *fwsync_last_error(const struct fwsync_client *client)
{
    return client == NULL ? reach_open_error() : client->reach.err.text;
}

/* --- sending ---------------------------------------------------------------------------------------- */

/* How often something went wrong that was told as trouble. */
static uint64_t trouble_count(const struct fwsync_client *client)
{
    return client->sender.counts.busy + client->sender.counts.resends;
}

/* One turn of the sender; the timer is set to when the next one is due. */
static enum fwsync_code turn(struct fwsync_client *client, bool *progress)
{
    struct err err;
    const struct err *trouble = &client->sender.trouble;
    uint64_t before = trouble_count(client);
    client->unlooked = 0;
    bool done = sender_turn(&client->sender, clock_monotonic_ms(), progress, &err);
    reach_wake_at(&client->reach, sender_due_ms(&client->sender), !done);
    if (!done)
        return reach_fail(&client->reach, &err);
    if (trouble_count(client) > before && trouble->text[0] != '\0')
        client->reach.err = *trouble;
    return FWSYNC_OK;
}

static bool has_room(const struct fwsync_client *client, size_t len)
{
    const struct outbox *outbox = &client->sender.outbox;
    return outbox->count == 0 || (outbox->count < client->window_events &&
                                  outbox_bytes(outbox) + len < client->window_bytes);
}

/* Turns until `enough` holds. FWSYNC_E_TIMEOUT when the time is over. */
static enum fwsync_code turn_until(struct fwsync_client *client, int wait_ms, size_t len,
                                   bool (*enough)(const struct fwsync_client *client, size_t len))
{
    int64_t end_ms = reach_end_ms(wait_ms);
    for (;;) {
        bool progress;
        enum fwsync_code code = turn(client, &progress);
        if (code != FWSYNC_OK || enough(client, len))
            return code;
        int64_t now_ms = clock_monotonic_ms();
        if (now_ms >= end_ms)
            return FWSYNC_E_TIMEOUT;
        wakeup_wait(&client->reach.wakeup, end_ms == INT64_MAX ? -1 : end_ms - now_ms, NULL);
    }
}

static bool is_blank(struct text event)
{
    size_t blanks = 0;
    while (blanks < event.len && strchr(" \t\r\n", event.bytes[blanks]) != NULL)
        blanks++;
    return blanks == event.len;
}

static enum fwsync_code refuse(struct fwsync_client *client, enum fwsync_code code, const char *why)
{
    err_set(&client->reach.err, ERR_LIMIT, "%s", why);
    return code;
}

static enum fwsync_code check_event(struct fwsync_client *client, struct text event)
{
    if (is_blank(event))
        return refuse(client, FWSYNC_E_INVALID, "the event is blank");
    if (event.len > client->event_bytes_max)
        return refuse(client, FWSYNC_E_TOO_LARGE, "the event is longer than 1 MiB");
    if (client->next_n > JSON_INTEGER_MAX)
        return refuse(client, FWSYNC_E_INVALID, "the number is beyond 2^53");
    return FWSYNC_OK;
}

/* The time was over; the trouble tells more than `why`, if there is any. */
static enum fwsync_code refuse_in_time(struct fwsync_client *client, enum fwsync_code code, const char *why)
{
    const struct err *trouble = &client->sender.trouble;
    return refuse(client, code, trouble->text[0] != '\0' ? trouble->text : why);
}

static enum fwsync_code make_room(struct fwsync_client *client, size_t len, int wait_ms)
{
    enum fwsync_code code = turn_until(client, wait_ms, len, has_room);
    return code != FWSYNC_E_TIMEOUT ? code
                                    : refuse_in_time(client, FWSYNC_E_FULL, fwsync_strerror(FWSYNC_E_FULL));
}

static enum fwsync_code take_event(struct fwsync_client *client, struct text event, int wait_ms)
{
    enum fwsync_code code = check_event(client, event);
    bool room = has_room(client, event.len);
    if (code == FWSYNC_OK && (!room || client->unlooked >= LOOK_EVERY))
        code = make_room(client, event.len, room ? 0 : wait_ms);
    if (code != FWSYNC_OK)
        return code;
    outbox_add(&client->sender.outbox, event, client->next_n++);
    client->unlooked++;
    if (client->sender.step == SENDER_IDLE) {
        bool progress;
        turn(client, &progress); /* the event is taken: what fails here shows again at the next turn */
    }
    return FWSYNC_OK;
}

static struct text text_up_to(const char *bytes, size_t len)
{
    return (struct text){bytes, len == FWSYNC_STRING_END ? strlen(bytes) : len};
}

enum fwsync_code fwsync_send(struct fwsync_client *client, const char *event, size_t len, int wait_ms)
{
    return take_event(client, text_up_to(event, len), wait_ms);
}

enum fwsync_code fwsync_send_numbered(struct fwsync_client *client, uint64_t n, const char *event, size_t len,
                                      int wait_ms)
{
    uint64_t next_n = client->next_n;
    if (n < next_n)
        return refuse(client, FWSYNC_E_INVALID, "the number isn't above those before it");
    client->next_n = n;
    enum fwsync_code code = take_event(client, text_up_to(event, len), wait_ms);
    if (code != FWSYNC_OK)
        client->next_n = next_n;
    return code;
}

static void optional_text(struct buf *out, const char *key, const char *string)
{
    if (string != NULL)
        json_member_text(out, key, text_of(string));
}

static bool compose_items(struct buf *out, const struct fwsync_event *event)
{
    json_open(out, "data", '{');
    for (size_t i = 0; i < event->item_count; i++) {
        const struct fwsync_item *item = &event->items[i];
        if (item->key == NULL || (item->string == NULL && item->json == NULL))
            return false;
        json_key_text(out, text_of(item->key));
        if (item->string != NULL)
            json_string(out, text_of(item->string));
        else
            buf_append(out, text_of(item->json));
    }
    buf_byte(out, '}');
    return true;
}

enum fwsync_code fwsync_send_event(struct fwsync_client *client, const struct fwsync_event *event, int wait_ms)
{
    struct buf *out = &client->event;
    if (event->device == NULL || event->type == NULL)
        return refuse(client, FWSYNC_E_INVALID, "the event has no device or no type");
    buf_clear(out);
    buf_byte(out, '{');
    json_member_text(out, "device", text_of(event->device));
    optional_text(out, "deviceType", event->device_type);
    json_member_text(out, "type", text_of(event->type));
    optional_text(out, "scope", event->scope);
    if (event->ts_ms != 0)
        json_member_integer(out, "ts", event->ts_ms);
    if (!compose_items(out, event))
        return refuse(client, FWSYNC_E_INVALID, "an item has no key or no value");
    if (event->metadata != NULL)
        json_member_raw(out, "metadata", text_of(event->metadata));
    buf_byte(out, '}');
    return take_event(client, buf_text(out), wait_ms);
}

static bool nothing_waits(const struct fwsync_client *client, size_t len)
{
    (void)len;
    return client->sender.outbox.count == 0;
}

enum fwsync_code fwsync_flush(struct fwsync_client *client, int wait_ms)
{
    enum fwsync_code code = turn_until(client, wait_ms, 0, nothing_waits);
    return code != FWSYNC_E_TIMEOUT ? code : refuse_in_time(client, code, "not all events are acknowledged yet");
}

enum fwsync_code fwsync_process(struct fwsync_client *client, int wait_ms)
{
    bool progress;
    enum fwsync_code code = turn(client, &progress);
    if (code != FWSYNC_OK || progress || wait_ms == 0)
        return code;
    wakeup_wait(&client->reach.wakeup, wait_ms, NULL);
    return turn(client, &progress);
}

int fwsync_fd(const struct fwsync_client *client)
{
    return client->reach.wakeup.epoll_fd;
}

void fwsync_counts(const struct fwsync_client *client, struct fwsync_counts *counts)
{
    *counts = client->sender.counts;
    counts->waiting = client->sender.outbox.count;
}

uint64_t fwsync_settled(const struct fwsync_client *client)
{
    return client->sender.settled_n;
}

/* --- asking ----------------------------------------------------------------------------------------- */

/* What the answer in client->answer comes to. */
static enum fwsync_code judge_answer(struct fwsync_client *client)
{
    struct text answer = buf_text(&client->answer);
    if (text_starts(answer, TEXT("{\"ok\":true")) && !text_starts(answer, TEXT("{\"ok\":true,\"accepted\"")))
        return FWSYNC_OK; /* the usual case, without a parse: it may be a megabyte */
    struct arena *arena = &client->sender.arena, *scratch = &client->sender.scratch;
    struct fields fields = {NULL, 0};
    struct err *err = &client->reach.err;
    arena_reset(arena);
    arena_reset(scratch);
    json_parse_object(answer, scratch, arena, &fields, NULL);
    const struct value *ok = fields_get(&fields, TEXT("ok"));
    const char *endpoint = client_endpoint(client->reach.client, CLIENT_QUERY);
    if (ok == NULL || ok->kind != VALUE_BOOLEAN || fields_get(&fields, TEXT("accepted")) != NULL) {
        err_set(err, ERR_CONFIG, "%s is no query door: its answer can't be read", endpoint);
        return FWSYNC_E_CONFIG;
    }
    if (ok->boolean)
        return FWSYNC_OK;
    struct text error = field_text(&fields, "error");
    err_set(err, ERR_IO, "%s", error.len > 0 ? error.bytes : "refused");
    return reach_answer_code(field_text(&fields, "code"));
}

enum fwsync_code fwsync_query(struct fwsync_client *client, const char *question, const char **answer)
{
    struct text body = text_of(question);
    struct err err;
    if (answer != NULL)
        *answer = NULL;
    if (body.len > REQUEST_BYTES_MAX)
        return refuse(client, FWSYNC_E_TOO_LARGE, "the question is longer than 1 MiB");
    if (client->asker == NULL)
        client->asker = reach_asker(&client->reach);
    if (!client_request(client->asker, CLIENT_QUERY, body, &client->answer, &err))
        return reach_fail(&client->reach, &err);
    buf_byte(&client->answer, '\0');
    client->answer.len--;
    if (answer != NULL)
        *answer = client->answer.bytes;
    return judge_answer(client);
}

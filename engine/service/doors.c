#include "engine/service/doors.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/service/activation.h"
#include "engine/service/batch.h"
#include "engine/service/door.h"
#include "engine/service/publisher.h"
#include "engine/service/query.h"
#include "engine/service/reply.h"

enum {
    BATCH_EVENTS = 500,            /* a batch is handed on when it has this many */
    BATCH_MESSAGES = 500,          /* or came in this many messages, malformed ones included */
    BATCH_BYTES = 256 * 1024,       /* or has this many bytes, with what malformed messages leave */
    QUERIES_AT_ONCE = 64,          /* then events get their turn again */
    UNREAD_ANSWERS_MAX = 256,      /* of one asker, of up to some MiB each; more are dropped */
    QUERY_BYTES_MAX = 16 << 20,    /* of questions under way; then they wait in their sockets */
    QUERIES_IN_FLIGHT_MAX = 4096,  /* more wait in the askers' queues */
    SPARE_BATCHES_MAX = 64,        /* kept for the next use */
    SCRATCH_BYTES = 64 * 1024,
    FEW_EVENTS = 100,              /* in a batch: see commit_first */
    NOTICE_MS = 10000, /* between two log lines about malformed messages */
};

static const char overloaded[] = "too many events are under way; send this again";
static const char state_full[] = "the disk is full: the state cannot be saved";

/* What was handed to the engine and hasn't come home. */
struct in_flight {
    uint64_t events;
    uint64_t bytes;
};

struct doors {
    const struct settings *settings;
    struct stats *stats;
    struct subscriptions *subscriptions;
    void *context;
    struct door events;
    struct door query;
    struct door results;
    struct queue *queue;
    bool queue_look; /* there may be something in it */
    struct arena scratch;
    struct work *spare_batches;
    size_t spare_batch_count;
    struct work *spare_acks;
    size_t spare_ack_count;
    size_t uncommitted; /* batches with the committer */
    size_t last_event_count; /* of the newest of them */
    struct in_flight taken;
    struct in_flight refused; /* on its way to be answered with busy */
    uint64_t queries_in_flight;
    uint64_t query_bytes_in_flight;
    int64_t over_ms;    /* since when more than the bounds is under way; 0: it isn't */
    int64_t noticed_ms; /* when a malformed message was last logged */
    struct err err;     /* why the engine failed; code ERR_NONE: it didn't */
    bool stopped;
    bool rules_settled; /* a change of rules came home since doors_run() last said so */
};

/* --- opening --------------------------------------------------------------------------------------------- */

bool doors_open(struct doors **out, const struct settings *settings, struct stats *stats,
                struct subscriptions *subscriptions, struct err *err)
{
    struct doors *doors = calloc(1, sizeof *doors);
    if (doors == NULL)
        abort();
    *doors = (struct doors){.settings = settings,
                            .stats = stats,
                            .subscriptions = subscriptions,
                            .context = zmq_ctx_new(), /* NULL is the first door's to tell */
                            .queue = queue_create(),
                            .queue_look = true};
    arena_init(&doors->scratch, SCRATCH_BYTES);
    /* one producer can't have more answers to come than there are events in flight */
    if (!door_open(&doors->events, doors->context, ZMQ_ROUTER, "events", settings->events,
                   settings->in_flight_events, err) ||
        !door_open(&doors->query, doors->context, ZMQ_ROUTER, "query", settings->query, UNREAD_ANSWERS_MAX,
                   err) ||
        !door_open(&doors->results, doors->context, ZMQ_XPUB, "results", settings->results,
                   settings->results_queue, err)) {
        doors_close(doors);
        return false;
    }
    *out = doors;
    return true;
}

void doors_close(struct doors *doors)
{
    if (doors == NULL)
        return;
    door_close(&doors->events);
    door_close(&doors->query);
    door_close(&doors->results);
    if (doors->context != NULL)
        zmq_ctx_term(doors->context);
    for (struct work *work = doors->spare_batches, *next; work != NULL; work = next) {
        next = work->next;
        batch_destroy((struct batch *)work);
    }
    for (struct work *work = doors->spare_acks, *next; work != NULL; work = next) {
        next = work->next;
        acks_destroy((struct acks *)work);
    }
    queue_destroy(doors->queue);
    arena_fini(&doors->scratch);
    free(doors);
}

struct queue *doors_queue(const struct doors *doors)
{
    return doors->queue;
}

const char *doors_events(const struct doors *doors)
{
    return doors->events.endpoint;
}

const char *doors_query(const struct doors *doors)
{
    return doors->query.endpoint;
}

const char *doors_results(const struct doors *doors)
{
    return doors->results.endpoint;
}

/* --- sending --------------------------------------------------------------------------------------------- */

static void send_reply(struct doors *doors, struct door *door, const struct envelope *envelope,
                       struct text reply)
{
    if (!door_reply(door, envelope, reply))
        stats_add(&doors->stats->replies_dropped, 1);
}

static void send_acks(struct doors *doors, struct acks *acks)
{
    doors->uncommitted--;
    struct buf reply = {.arena = &acks->arena};
    for (size_t i = 0; i < acks->request_count; i++) {
        buf_clear(&reply);
        request_reply(&acks->requests[i], &reply);
        send_reply(doors, &doors->events, &acks->requests[i].envelope, buf_text(&reply));
    }
    histogram_add(&doors->stats->ack, clock_monotonic_ns() - acks->read_ns, acks->request_count);
    if (doors->spare_ack_count == SPARE_BATCHES_MAX) {
        acks_destroy(acks);
        return;
    }
    acks_clear(acks);
    acks->work.next = doors->spare_acks;
    doors->spare_acks = &acks->work;
    doors->spare_ack_count++;
}

static void send_result(struct doors *doors, struct text topic, struct text payload)
{
    zmq_send(doors->results.socket, topic.bytes, topic.len, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(doors->results.socket, payload.bytes, payload.len, ZMQ_DONTWAIT);
}

static void send_results(struct doors *doors, struct results *results)
{
    struct text topic = {results->topic, results->topic_bytes}, payload;
    doors->results.look = true;
    if (topic.len > 0)
        send_result(doors, topic, buf_text(&results->bytes));
    else
        for (size_t at = 0; results_next(results, &at, &topic, &payload);)
            send_result(doors, topic, payload);
    stats_add(&doors->stats->results, results->count);
    results_done(results);
}

/* --- batches out and back -------------------------------------------------------------------------------- */

static struct work *pop(struct work **list, size_t *count)
{
    struct work *work = *list;
    if (work != NULL) {
        *list = work->next;
        --*count;
    }
    return work;
}

static struct batch *spare_batch(struct doors *doors)
{
    struct batch *batch = (struct batch *)pop(&doors->spare_batches, &doors->spare_batch_count);
    if (batch == NULL)
        return batch_create();
    if (batch->acks == NULL) /* else it came back without having been used */
        batch_pair(batch, (struct acks *)pop(&doors->spare_acks, &doors->spare_ack_count));
    return batch;
}

/* A batch that grew large for one large request isn't kept. */
static void batch_back(struct doors *doors, struct batch *batch)
{
    if (doors->spare_batch_count == SPARE_BATCHES_MAX || batch->event_capacity > 2 * BATCH_EVENTS) {
        batch_destroy(batch);
        return;
    }
    batch_clear(batch);
    if (batch->acks != NULL)
        acks_clear(batch->acks);
    batch->shared.work.next = doors->spare_batches;
    doors->spare_batches = &batch->shared.work;
    doors->spare_batch_count++;
}

static struct in_flight *in_flight_of(struct doors *doors, const struct batch *batch)
{
    return batch->refuse == NULL ? &doors->taken : &doors->refused;
}

static void batch_home(struct doors *doors, struct batch *batch)
{
    struct in_flight *in_flight = in_flight_of(doors, batch);
    in_flight->events -= batch->event_count;
    in_flight->bytes -= batch->bytes_in_flight;
    batch_back(doors, batch);
}

static void hand_over(struct doors *doors, struct engine *engine, struct batch *batch)
{
    if (batch->acks->request_count == 0) {
        batch_back(doors, batch);
        return;
    }
    batch->received_ms = clock_wall_ms();
    batch->read_ns = batch->acks->read_ns = clock_monotonic_ns();
    batch->bytes_in_flight = batch_bytes(batch);
    struct in_flight *in_flight = in_flight_of(doors, batch);
    in_flight->events += batch->event_count;
    in_flight->bytes += batch->bytes_in_flight;
    doors->uncommitted++;
    doors->last_event_count = batch->event_count;
    batch_split(batch, engine->partition_count);
    queue_push(engine->commit_queue, &batch->shared.work);
}

static bool is_over(const struct doors *doors, const struct in_flight *in_flight)
{
    return in_flight->events >= (uint64_t)doors->settings->in_flight_events ||
           in_flight->bytes >= (uint64_t)doors->settings->in_flight_kib << 10;
}

/* A moment over the bounds is waited out: nothing is read, and the senders' queues take it up. Only a daemon that
 * is behind for longer refuses.
 * What is refused isn't counted with what is taken: else producers that come again at once would keep the
 * daemon overloaded with nothing but their refusals. */
enum overload { OVERLOAD_NONE, OVERLOAD_REFUSE, OVERLOAD_STOP };

static enum overload overload(struct doors *doors)
{
    if (is_over(doors, &doors->refused))
        return OVERLOAD_STOP;
    if (!is_over(doors, &doors->taken)) {
        doors->over_ms = 0;
        return OVERLOAD_NONE;
    }
    int64_t now_ms = clock_monotonic_ms();
    if (doors->over_ms == 0)
        doors->over_ms = now_ms;
    return now_ms - doors->over_ms < doors->settings->busy_after_ms ? OVERLOAD_STOP : OVERLOAD_REFUSE;
}

/* While few events come and some of them are being committed, new ones would only wait for the next commit:
 * they are read when this one is through, many in one turn. */
static bool commit_first(const struct doors *doors)
{
    return doors->uncommitted > 0 && doors->last_event_count < FEW_EVENTS;
}

/* --- receiving ------------------------------------------------------------------------------------------- */

/* Whoever sent it gets an answer that fits no request of theirs, but shows up in a first experiment. */
static void malformed(struct doors *doors, struct door *door, const struct envelope *sender)
{
    stats_add(&doors->stats->malformed, 1);
    int64_t now_ms = clock_monotonic_ms();
    if (doors->noticed_ms == 0 || now_ms - doors->noticed_ms >= NOTICE_MS) {
        doors->noticed_ms = now_ms;
        log_line(LOG_WARN, "malformed-message",
                 "door=%s help=\"a REQ sends [body], a DEALER sends [empty, body]\"", door->endpoint);
    }
    if (sender->frame_count == 0)
        return;
    const struct text frames[] = {sender->frames[0], TEXT("")};
    struct envelope envelope = {frames, 2};
    struct buf reply = {.arena = NULL};
    reply_error(&reply, door == &doors->events ? ERR_BAD_EVENT : ERR_BAD_QUERY,
                "malformed message: expected an empty frame, then one body frame");
    send_reply(doors, door, &envelope, buf_text(&reply));
    buf_fini(&reply);
}

/* Fills one batch with what has arrived. */
static void take_events(struct doors *doors, struct engine *engine, enum overload level)
{
    struct batch *batch = spare_batch(doors);
    if (level == OVERLOAD_REFUSE)
        batch->refuse = overloaded;
    else if (engine_disk_full(engine))
        batch->refuse = state_full;
    for (int i = 0; i < BATCH_MESSAGES && batch->event_count < BATCH_EVENTS &&
                    batch_bytes(batch) < BATCH_BYTES;
         i++) {
        struct envelope envelope;
        zmq_msg_t body;
        enum received received =
            door_receive(&doors->events, &batch->acks->arena, &envelope, &body);
        if (received == RECEIVED_NOTHING)
            break;
        if (received == RECEIVED_MALFORMED) {
            malformed(doors, &doors->events, &envelope);
            continue;
        }
        struct text text = {zmq_msg_data(&body), zmq_msg_size(&body)};
        batch_add(batch, envelope, text, &doors->scratch);
        zmq_msg_close(&body);
    }
    hand_over(doors, engine, batch);
}

static bool too_many_queries(const struct doors *doors)
{
    return doors->queries_in_flight >= QUERIES_IN_FLIGHT_MAX ||
           doors->query_bytes_in_flight >= QUERY_BYTES_MAX;
}

static void take_queries(struct doors *doors, struct engine *engine)
{
    for (int i = 0; i < QUERIES_AT_ONCE && !too_many_queries(doors); i++) {
        struct query *query = query_create();
        zmq_msg_t body;
        enum received received =
            door_receive(&doors->query, &query->arena, &query->envelope, &body);
        if (received != RECEIVED_REQUEST) {
            if (received == RECEIVED_MALFORMED)
                malformed(doors, &doors->query, &query->envelope);
            query_destroy(query);
            if (received == RECEIVED_NOTHING)
                return;
            continue;
        }
        struct text text = {zmq_msg_data(&body), zmq_msg_size(&body)};
        if (text.len > REQUEST_BYTES_MAX)
            text.len = REQUEST_BYTES_MAX + 1; /* enough to see that it is too large */
        query->body = arena_copy(&query->arena, text);
        zmq_msg_close(&body);
        doors->queries_in_flight++;
        doors->query_bytes_in_flight += query->arena.used_bytes;
        query->bytes_in_flight = query->arena.used_bytes;
        query->read_ns = clock_monotonic_ns();
        queue_push(engine_lead(engine)->apply_queue, &query->work);
    }
}

/* An XPUB is told what subscribers want: one byte, 1 or 0, and the prefix. */
static void take_subscriptions(struct doors *doors)
{
    zmq_msg_t message;
    zmq_msg_init(&message);
    while (zmq_msg_recv(&message, doors->results.socket, ZMQ_DONTWAIT) >= 0) {
        const char *bytes = zmq_msg_data(&message);
        size_t len = zmq_msg_size(&message);
        if (len == 0 || (bytes[0] != 0 && bytes[0] != 1))
            continue;
        subscriptions_change(doors->subscriptions, (struct text){bytes + 1, len - 1}, bytes[0] == 1);
    }
    zmq_msg_close(&message);
    doors->results.look = false;
}

/* --- finished work --------------------------------------------------------------------------------------- */

static void finish(struct doors *doors, struct work *work)
{
    switch (work->kind) {
    case WORK_BATCH:
        batch_home(doors, (struct batch *)work);
        return;
    case WORK_ACKS:
        send_acks(doors, (struct acks *)work);
        return;
    case WORK_QUERY: {
        struct query *query = (struct query *)work;
        doors->queries_in_flight--;
        doors->query_bytes_in_flight -= query->bytes_in_flight;
        send_reply(doors, &doors->query, &query->envelope, buf_text(&query->reply));
        if (!query->answered_later) /* that tells nothing of the others */
            histogram_add(&doors->stats->query, clock_monotonic_ns() - query->read_ns, 1);
        query_destroy(query);
        return;
    }
    case WORK_RESULTS:
        send_results(doors, (struct results *)work);
        return;
    case WORK_STOP:
        doors->stopped = true;
        free(work);
        return;
    case WORK_FAILED:
        doors->err = ((struct failure *)work)->err;
        free(work);
        return;
    case WORK_RULES:
        doors->rules_settled = true;
        rules_change_destroy((struct rules_change *)work);
        return;
    case WORK_TICK:
    case WORK_BUNDLE:
    case WORK_SHARE:
    case WORK_MEETING:
        break;
    }
    abort();
}

/* Until there is nothing more, so that the queue's descriptor tells of what comes next. It ends: what comes
 * back was handed out here. */
static void take_finished(struct doors *doors, int timeout_ms)
{
    struct work *work = queue_take(doors->queue, timeout_ms), *next;
    for (; work != NULL; work = queue_take(doors->queue, 0))
        for (; work != NULL; work = next) {
            next = work->next;
            finish(doors, work);
        }
    doors->queue_look = false;
}

/* --- the loop -------------------------------------------------------------------------------------------- */

/* The signal that has arrived, or 0. */
static int read_signal(int signal_fd)
{
    struct signalfd_siginfo info;
    return read(signal_fd, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}

/* Finds out which doors to look at, and whether there is a signal; sleeps until there is something to do. */
static bool wait_for_news(struct doors *doors, int signal_fd)
{
    enum overload level = overload(doors);
    bool events = level != OVERLOAD_STOP && !commit_first(doors); /* else they wait outside */
    bool query = !too_many_queries(doors);
    bool busy = doors->queue_look || (events && doors->events.look) || (query && doors->query.look) ||
                doors->results.look;
    enum { SIGNAL, QUEUE, EVENTS, QUERY, RESULTS, COUNT };
    struct pollfd items[COUNT] = {
        [SIGNAL] = {.fd = signal_fd, .events = POLLIN},
        [QUEUE] = {.fd = queue_fd(doors->queue), .events = POLLIN},
        [EVENTS] = {.fd = events ? doors->events.fd : -1, .events = POLLIN},
        [QUERY] = {.fd = query ? doors->query.fd : -1, .events = POLLIN},
        [RESULTS] = {.fd = doors->results.fd, .events = POLLIN},
    };
    int timeout_ms = busy                                            ? 0
                     : level == OVERLOAD_STOP && doors->over_ms != 0 ? (int)doors->settings->busy_after_ms
                                                                     : -1;
    if (poll(items, COUNT, timeout_ms) <= 0)
        return false;
    doors->queue_look |= items[QUEUE].revents != 0;
    doors->events.look |= items[EVENTS].revents != 0;
    doors->query.look |= items[QUERY].revents != 0;
    doors->results.look |= items[RESULTS].revents != 0;
    return items[SIGNAL].revents != 0;
}

int doors_run(struct doors *doors, struct engine *engine, int signal_fd, struct err *err)
{
    for (;;) {
        if (doors->queue_look)
            take_finished(doors, 0);
        if (doors->err.code != ERR_NONE) {
            *err = doors->err;
            return DOORS_FAILED;
        }
        if (doors->rules_settled) {
            doors->rules_settled = false;
            return DOORS_RULES_SETTLED;
        }
        enum overload level = overload(doors);
        if (doors->events.look && level != OVERLOAD_STOP && !commit_first(doors))
            take_events(doors, engine, level);
        if (doors->query.look)
            take_queries(doors, engine);
        if (doors->results.look)
            take_subscriptions(doors);
        if (wait_for_news(doors, signal_fd)) {
            int signal_number = read_signal(signal_fd);
            if (signal_number != 0)
                return signal_number;
        }
    }
}

bool doors_drain(struct doors *doors, struct err *err)
{
    while (!doors->stopped && doors->err.code == ERR_NONE)
        take_finished(doors, -1);
    if (doors->err.code != ERR_NONE)
        *err = doors->err;
    return doors->err.code == ERR_NONE;
}

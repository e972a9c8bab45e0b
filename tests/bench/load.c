#include "tests/bench/load.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/json.h"
#include "tests/bench/fail.h"
#include "tests/bench/wire.h"

enum {
    FLUSH_BYTES = 64 * 1024,       /* the daemon shouldn't wait until a whole round is written */
    PACE_NS = 100 * 1000,          /* the shortest sleep of the open way: a wake-up costs too */
    SAMPLE_NS = 100 * 1000 * 1000, /* between two looks at the daemon's memory */
    QUIET_NS = 30 * 1000 * 1000,   /* without a result: there is none on its way */
    FRAMES_MAX = 4,
    READY_MAX = 256,
};

/* A request from when it is first sent until it is accepted. */
struct slot {
    struct buf body;
    int64_t since_ns; /* its latency counts from here */
    int64_t retry_ns; /* while it waits among the refused: when it is due */
    uint32_t event_count;
    uint32_t client;
};

struct load {
    const struct daemon *daemon;
    int epoll_fd;
    struct wire *clients;
    uint32_t client_count;
    struct wire query;
    bool answered; /* the question door's answer is in `answer` */
    struct buf answer;
    struct asker asker;
    struct wire subscriber; /* its `in` is NULL when there is none */
    uint64_t results;
    uint64_t heartbeats;
    int64_t sample_at_ns;

    /* of one run */
    const struct demand *demand;
    struct workload workload;
    int64_t start_ns;
    uint64_t requests;
    uint64_t acked;
    uint64_t busy;
    double anonymous_mib;
    struct slot slots[WINDOW_MAX];
    uint32_t free_slots[WINDOW_MAX];
    uint32_t free_count;
    uint32_t refused[WINDOW_MAX]; /* slots, a ring */
    uint32_t refused_at;
    uint32_t refused_count;
    struct latencies latencies; /* of the answered requests */
};

/* --- sending ------------------------------------------------------------------------------------- */

static void send_slot(struct load *load, uint32_t index)
{
    struct slot *slot = &load->slots[index];
    struct wire *wire = &load->clients[slot->client];
    wire_frame(wire, (struct text){(const char *)&index, sizeof index}, true);
    wire_frame(wire, TEXT(""), true);
    wire_frame(wire, buf_text(&slot->body), false);
    if (wire->out.len - wire->out_start >= FLUSH_BYTES)
        wire_flush(wire);
}

static void send_next(struct load *load, int64_t since_ns)
{
    const struct demand *demand = load->demand;
    uint32_t index = load->free_slots[--load->free_count];
    struct slot *slot = &load->slots[index];
    uint64_t left = demand->event_count - load->workload.count;
    slot->event_count = left < demand->batch ? (uint32_t)left : demand->batch;
    slot->client = (uint32_t)(load->requests++ % load->client_count);
    slot->since_ns = since_ns;
    buf_clear(&slot->body);
    for (uint32_t i = 0; i < slot->event_count; i++)
        workload_event(&load->workload, &slot->body);
    send_slot(load, index);
}

/* When the first of the refused may be sent again. */
static int64_t retry_due_ns(const struct load *load)
{
    if (load->refused_count == 0)
        return INT64_MAX;
    return load->slots[load->refused[load->refused_at]].retry_ns;
}

static void send_refused(struct load *load)
{
    uint32_t index = load->refused[load->refused_at];
    load->refused_at = (load->refused_at + 1) % WINDOW_MAX;
    load->refused_count--;
    send_slot(load, index);
}

/* When the next request has to go out; the closed way: long ago. */
static int64_t next_due_ns(const struct load *load)
{
    const struct demand *demand = load->demand;
    if (demand->rate <= 0)
        return 0;
    double events = (double)load->requests * demand->batch;
    return load->start_ns + (int64_t)(events / demand->rate * 1e9);
}

static bool may_send(const struct load *load)
{
    return load->free_count > 0 && load->workload.count < load->demand->event_count;
}

static void send_due(struct load *load)
{
    int64_t now_ns = clock_monotonic_ns(), due_ns;
    while (retry_due_ns(load) <= now_ns)
        send_refused(load);
    while (may_send(load) && (due_ns = next_due_ns(load)) <= now_ns)
        send_next(load, load->demand->rate > 0 ? due_ns : now_ns);
    for (uint32_t i = 0; i < load->client_count; i++)
        if (load->clients[i].out.len > 0)
            wire_flush(&load->clients[i]);
}

/* --- receiving ----------------------------------------------------------------------------------- */

static bool unsigned_after(struct text reply, struct text start, uint64_t *number)
{
    if (!text_starts(reply, start))
        return false;
    *number = 0;
    for (size_t i = start.len; i < reply.len && reply.bytes[i] >= '0' && reply.bytes[i] <= '9'; i++)
        *number = *number * 10 + (uint64_t)(reply.bytes[i] - '0');
    return true;
}

static void take_refusal(struct load *load, uint32_t index, struct text reply)
{
    uint64_t retry_ms;
    if (!unsigned_after(reply, TEXT("{\"ok\":false,\"code\":\"busy\",\"retry_ms\":"), &retry_ms))
        fail("a wrong answer: " TEXT_FMT, TEXT_ARG(reply));
    load->busy++;
    load->slots[index].retry_ns = clock_monotonic_ns() + (int64_t)retry_ms * 1000000;
    load->refused[(load->refused_at + load->refused_count++) % WINDOW_MAX] = index;
}

static void take_ack(struct load *load, const struct text *frames, size_t frame_count)
{
    uint32_t index;
    uint64_t accepted;
    if (frame_count != 3 || frames[0].len != sizeof index || frames[1].len != 0)
        fail("a reply of a wrong shape");
    memcpy(&index, frames[0].bytes, sizeof index);
    assert(index < load->demand->window);
    struct slot *slot = &load->slots[index];
    if (!unsigned_after(frames[2], TEXT("{\"ok\":true,\"accepted\":"), &accepted)) {
        take_refusal(load, index, frames[2]);
        return;
    }
    if (accepted != slot->event_count)
        fail("%u events sent: " TEXT_FMT, slot->event_count, TEXT_ARG(frames[2]));
    load->acked += accepted;
    latencies_add(&load->latencies, clock_monotonic_ns() - slot->since_ns);
    load->free_slots[load->free_count++] = index;
    if (load->refused_count > 0)
        send_refused(load);
}

static void take_acks(struct load *load, struct wire *wire)
{
    struct text frames[FRAMES_MAX];
    bool more = true;
    while (more) {
        more = wire_read(wire);
        for (size_t count; (count = wire_take(wire, frames, FRAMES_MAX)) > 0;)
            take_ack(load, frames, count);
    }
}

static void take_answer(struct load *load)
{
    struct text frames[FRAMES_MAX];
    while (wire_read(&load->query))
        continue;
    for (size_t count; (count = wire_take(&load->query, frames, FRAMES_MAX)) > 0;) {
        buf_clear(&load->answer);
        buf_append(&load->answer, frames[count - 1]);
        load->answered = true;
    }
}

/* A batch has a line for each, behind its head. */
static uint64_t count_results(const struct text *frames)
{
    uint64_t count = 0;
    if (!text_starts(frames[0], TEXT("batch/")))
        return 1;
    const char *at = frames[1].bytes, *end = at + frames[1].len;
    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        at++;
        count++;
    }
    return count;
}

static void take_results(struct load *load)
{
    struct text frames[FRAMES_MAX];
    bool more = true;
    while (more) {
        more = wire_read(&load->subscriber);
        while (wire_take(&load->subscriber, frames, FRAMES_MAX) > 0)
            if (text_starts(frames[0], TEXT("heartbeat")))
                load->heartbeats++;
            else
                load->results += count_results(frames);
    }
}

/* --- the loop ------------------------------------------------------------------------------------ */

/* What a wire is for is its number: the clients, then these three. */
static void watch(struct load *load, const struct wire *wire, uint32_t number)
{
    /* Edge triggered, so that room to write is told only after there was none. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = number};
    if (epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, wire->fd, &event) != 0)
        fail("epoll_ctl: %s", strerror(errno));
}

static void serve(struct load *load, const struct epoll_event *event)
{
    uint32_t number = event->data.u32;
    if (number < load->client_count)
        take_acks(load, &load->clients[number]);
    else if (number == load->client_count)
        take_answer(load);
    else if (number == load->client_count + 1)
        asker_take(&load->asker);
    else
        take_results(load);
}

static void sample_memory(struct load *load, int64_t now_ns)
{
    if (now_ns < load->sample_at_ns)
        return;
    double anonymous_mib = daemon_memory(load->daemon).anonymous_mib;
    if (anonymous_mib > load->anonymous_mib)
        load->anonymous_mib = anonymous_mib;
    load->sample_at_ns = now_ns + SAMPLE_NS;
}

/* Sleeps until something arrives, or that time has come, and takes what has arrived. */
static void sleep_until(struct load *load, int64_t wake_ns)
{
    int64_t now_ns = clock_monotonic_ns();
    sample_memory(load, now_ns);
    int64_t until_ns = wake_ns < load->sample_at_ns ? wake_ns : load->sample_at_ns;
    int64_t sleep_ns = until_ns - now_ns > PACE_NS ? until_ns - now_ns : PACE_NS;
    struct timespec timeout = {0, sleep_ns}; /* a sample's time at most, so below a second */
    struct epoll_event events[READY_MAX];
    int count = epoll_pwait2(load->epoll_fd, events, READY_MAX, &timeout, NULL);
    if (count < 0 && errno != EINTR)
        fail("epoll_pwait2: %s", strerror(errno));
    for (int i = 0; i < count; i++)
        serve(load, &events[i]);
}

/* Questions are asked as long as events flow, and until there were enough. */
static bool may_ask(const struct load *load)
{
    return load->acked < load->demand->event_count || load->asker.sent < load->demand->ask_count;
}

/* When there is something to do though nothing arrives. */
static int64_t next_wake_ns(const struct load *load)
{
    int64_t ask_ns = may_ask(load) ? asker_due_ns(&load->asker) : INT64_MAX;
    int64_t retry_ns = retry_due_ns(load);
    int64_t next_ns = load->demand->rate > 0 && may_send(load) ? next_due_ns(load) : INT64_MAX;
    int64_t send_ns = retry_ns < next_ns ? retry_ns : next_ns;
    return ask_ns < send_ns ? ask_ns : send_ns;
}

/* --- questions ----------------------------------------------------------------------------------- */

/* A number in the answer to a question, which includes all events acknowledged before. */
static int64_t ask(struct load *load, struct text question, struct text path)
{
    load->answered = false;
    wire_frame(&load->query, TEXT(""), true);
    wire_frame(&load->query, question, false);
    if (!wire_flush(&load->query))
        fail("the question did not fit");
    while (!load->answered)
        sleep_until(load, INT64_MAX);
    struct arena arena;
    struct fields fields;
    struct err err;
    struct value value;
    arena_init(&arena, 65536);
    if (!json_parse_object(buf_text(&load->answer), &arena, &arena, &fields, &err) ||
        !json_path(&fields, path, &arena, &value) || value.kind != VALUE_INTEGER)
        fail("no " TEXT_FMT " in " TEXT_FMT, TEXT_ARG(path), TEXT_ARG(buf_text(&load->answer)));
    arena_fini(&arena);
    return value.integer;
}

uint64_t load_device_count(struct load *load)
{
    return (uint64_t)ask(load, TEXT("{\"op\":\"count\"}"), TEXT("devices"));
}

static void await_heartbeat(struct load *load)
{
    uint64_t enough = load->heartbeats + 1;
    while (load->heartbeats < enough)
        sleep_until(load, INT64_MAX);
}

/* Until no more results come: they leave in the moment in which they were made, or come from what piled up. It is the
 * time, too, in which the daemon takes up what was asked for. */
static void await_quiet(struct load *load)
{
    if (load->subscriber.in == NULL)
        return;
    uint64_t seen;
    do {
        seen = load->results;
        for (int64_t until_ns = clock_monotonic_ns() + QUIET_NS; clock_monotonic_ns() < until_ns;)
            sleep_until(load, until_ns);
    } while (load->results != seen);
}

/* --- a run --------------------------------------------------------------------------------------- */

static void begin(struct load *load, const struct demand *demand)
{
    assert(demand->batch > 0 && demand->window > 0 && demand->window <= WINDOW_MAX);
    load->demand = demand;
    load->workload = (struct workload){
        .work = demand->work,
        .device_count = demand->device_count,
        .random = UINT64_C(88172645463325252) + demand->seed * UINT64_C(0x9e3779b97f4a7c15),
    };
    load->requests = load->acked = load->busy = load->results = 0;
    load->anonymous_mib = 0;
    load->free_count = load->refused_at = load->refused_count = 0;
    for (uint32_t i = demand->window; i > 0; i--)
        load->free_slots[load->free_count++] = i - 1;
    latencies_reset(&load->latencies, demand->event_count / demand->batch + 1);
    asker_begin(&load->asker, demand->ask, demand->ask_rate, demand->device_count);
    load->sample_at_ns = load->start_ns = clock_monotonic_ns();
}

static double seconds_since(int64_t start_ns)
{
    return (double)(clock_monotonic_ns() - start_ns) / 1e9;
}

/* What this process took so far. */
static double own_cpu_s(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static void report_latencies(struct load *load, struct outcome *outcome)
{
    struct latencies *acks = &load->latencies, *answers = &load->asker.latencies;
    latencies_sort(acks);
    outcome->p50_ms = latencies_ms(acks, 0.5);
    outcome->p99_ms = latencies_ms(acks, 0.99);
    outcome->p999_ms = latencies_ms(acks, 0.999);
    outcome->max_ms = latencies_ms(acks, 1);
    latencies_sort(answers);
    outcome->asked = answers->count;
    outcome->ask_p50_ms = latencies_ms(answers, 0.5);
    outcome->ask_p99_ms = latencies_ms(answers, 0.99);
    outcome->ask_max_ms = latencies_ms(answers, 1);
}

void load_run(struct load *load, const struct demand *demand, struct outcome *outcome)
{
    begin(load, demand);
    struct cpu daemon_before = daemon_cpu(load->daemon);
    double own_before_s = own_cpu_s();
    while (may_ask(load) || load->asker.answered < load->asker.sent) {
        send_due(load);
        if (may_ask(load))
            asker_send_due(&load->asker);
        sleep_until(load, next_wake_ns(load));
    }
    outcome->acked_s = seconds_since(load->start_ns);
    if (ask(load, TEXT("{\"op\":\"stats\"}"), TEXT("events.pending")) != 0)
        fail("events were still pending after a question that includes them");
    outcome->applied_s = seconds_since(load->start_ns);
    struct cpu daemon_after = daemon_cpu(load->daemon);
    outcome->daemon_cpu = cpu_between(&daemon_before, &daemon_after);
    outcome->own_cpu_s = own_cpu_s() - own_before_s;
    load->sample_at_ns = 0;
    sample_memory(load, clock_monotonic_ns());
    outcome->anonymous_mib = load->anonymous_mib;
    outcome->file_mib = daemon_memory(load->daemon).file_mib;
    await_quiet(load);
    outcome->busy = load->busy;
    outcome->results = load->results;
    report_latencies(load, outcome);
}

/* --- its life ------------------------------------------------------------------------------------ */

static void wish(struct load *load, const char *prefix, bool on)
{
    char wanted[64];
    int len = snprintf(wanted, sizeof wanted, "%c%s", on ? '\1' : '\0', prefix);
    if (len >= (int)sizeof wanted)
        fail("too long a topic: %s", prefix);
    wire_frame(&load->subscriber, (struct text){wanted, (size_t)len}, false);
    if (!wire_flush(&load->subscriber))
        fail("the subscription did not fit");
}

void load_listen(struct load *load, const char *prefix, bool on)
{
    wish(load, prefix, on);
    await_quiet(load);
}

void load_subscribe(struct load *load, const char *prefix)
{
    wire_open(&load->subscriber, load->daemon->results, "SUB");
    wish(load, prefix, true);
    wish(load, "heartbeat", true);
    watch(load, &load->subscriber, load->client_count + 2);
    await_heartbeat(load); /* asked for last: with the first one, the daemon knows of both */
}

struct load *load_create(const struct daemon *daemon, uint32_t client_count)
{
    assert(client_count > 0 && client_count <= CLIENTS_MAX);
    struct load *load = calloc(1, sizeof *load);
    struct wire *clients = calloc(client_count, sizeof *clients);
    if (load == NULL || clients == NULL)
        fail("out of memory");
    load->daemon = daemon;
    load->clients = clients;
    load->client_count = client_count;
    load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < client_count; i++) {
        wire_open(&clients[i], daemon->events, "DEALER");
        watch(load, &clients[i], i);
    }
    wire_open(&load->query, daemon->query, "DEALER");
    watch(load, &load->query, client_count);
    asker_open(&load->asker, daemon->query);
    watch(load, &load->asker.wire, client_count + 1);
    return load;
}

void load_destroy(struct load *load)
{
    for (uint32_t i = 0; i < load->client_count; i++)
        wire_close(&load->clients[i]);
    wire_close(&load->query);
    asker_close(&load->asker);
    if (load->subscriber.in != NULL)
        wire_close(&load->subscriber);
    close(load->epoll_fd);
    for (uint32_t i = 0; i < WINDOW_MAX; i++)
        buf_fini(&load->slots[i].body);
    buf_fini(&load->answer);
    latencies_fini(&load->latencies);
    free(load->clients);
    free(load);
}

/* redis.c - the bench's work done by Redis; peers.py starts the server and runs this against it.
 *
 *     redis PORT FUNCTIONS.lua DEVICES EVENTS REPORTS_PER_CALL
 *
 * 50 connections with 100 reports under way on each, all on one thread: the server has one thread
 * too, and the other core is enough to feed it. With `appendfsync always` it answers what it took
 * from all connections in one turn after one fsync, so many under way are what suits it; more than
 * these changed nothing, and neither did io-threads for the better. One more connection subscribes
 * to the changes and counts them.
 *
 * Prints one line of JSON: acked_per_s, and results, which is how many changes were published. */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/clock.h"
#include "tests/bench/fail.h"
#include "tests/bench/workload.h"

enum { CONNECTIONS = 50, PIPELINE = 100, FUNCTIONS_BYTES_MAX = 65536 };

struct driver {
    redisContext *lines[CONNECTIONS];
    unsigned awaited[CONNECTIONS]; /* replies, by line */
    redisContext *subscriber;
    uint64_t results; /* changes that the subscriber received */
    struct workload load;
    struct workload targets; /* beside the first reports, while the fleet is prepared */
    unsigned pipeline;       /* commands under way on a line */
    unsigned reports_per_call;
    char count_word[16]; /* the same as a word of the command */
    struct buf events;
};

/* Puts the next command into the line's output buffer. */
typedef void append_next(struct driver *driver, redisContext *line);

static redisContext *connect_to(const char *port)
{
    redisContext *line = redisConnect("127.0.0.1", (int)strtol(port, NULL, 10));
    if (line == NULL || line->err != 0)
        fail("redis: connect: %s", line == NULL ? "out of memory" : line->errstr);
    return line;
}

/* A reply that is not an error; the caller frees it. */
static redisReply *checked(redisContext *line, redisReply *reply)
{
    if (reply == NULL)
        fail("redis: connection: %s", line->errstr);
    else if (reply->type == REDIS_REPLY_ERROR)
        fail("redis: reply: %s", reply->str);
    return reply;
}

static void load_functions(redisContext *line, const char *path)
{
    static char source[FUNCTIONS_BYTES_MAX];
    FILE *file = fopen(path, "r");
    size_t len = file == NULL ? 0 : fread(source, 1, sizeof source, file);
    if (len == 0 || len == sizeof source)
        fail("%s: missing, empty or too long", path);
    fclose(file);
    freeReplyObject(
        checked(line, redisCommand(line, "FUNCTION LOAD REPLACE %b", (const void *)source, len)));
}

/* The fleet as targets and first reports would leave it, with one command a device. */
static void append_device(struct driver *driver, redisContext *line)
{
    struct report report = workload_next(&driver->load), target = workload_next(&driver->targets);
    const char *synced = strcmp(report.value, target.value) == 0 ? "true" : "false";
    redisAppendCommand(line, "HSET %s currentFwVer %s lastTargetFwVer %s fwStateIsSynced %s",
                       report.name, report.value, target.value, synced);
}

/* Commands take copies: FCALL report COUNT, the names, the events. */
static void append_reports(struct driver *driver, redisContext *line)
{
    const char *words[3 + 2 * PIPELINE] = {"FCALL", "report", driver->count_word};
    size_t lengths[3 + 2 * PIPELINE] = {5, 6, strlen(driver->count_word)};
    char names[PIPELINE][16];
    size_t ends[PIPELINE];
    const unsigned count = driver->reports_per_call;
    buf_clear(&driver->events);
    for (unsigned i = 0; i < count; i++) {
        struct workload same = driver->load; /* gives the name that the event has in it */
        struct report report = workload_next(&same);
        memcpy(names[i], report.name, sizeof names[i]);
        workload_event(&driver->load, &driver->events);
        ends[i] = driver->events.len;
    }
    for (unsigned i = 0; i < count; i++) {
        const size_t start = i == 0 ? 0 : ends[i - 1];
        words[3 + i] = names[i];
        lengths[3 + i] = strlen(names[i]);
        words[3 + count + i] = driver->events.bytes + start;
        lengths[3 + count + i] = ends[i] - start;
    }
    redisAppendCommandArgv(line, (int)(3 + 2 * count), words, lengths);
}

/* Sends as many commands as may be under way on a line, or as many as are left. The server always
 * reads, so a write may block. */
static void send_pipeline(struct driver *driver, size_t i, append_next *next, uint64_t *left)
{
    for (; *left > 0 && driver->awaited[i] < driver->pipeline; driver->awaited[i]++, --*left)
        next(driver, driver->lines[i]);
    for (int done = 0; !done;)
        if (redisBufferWrite(driver->lines[i], &done) != REDIS_OK)
            fail("redis: send: %s", driver->lines[i]->errstr);
}

/* Counts the replies that have arrived, without waiting for more. */
static unsigned receive(redisContext *line)
{
    unsigned count = 0;
    void *reply;
    if (redisBufferRead(line) != REDIS_OK)
        fail("redis: receive: %s", line->errstr);
    while (redisGetReplyFromReader(line, &reply) == REDIS_OK && reply != NULL) {
        freeReplyObject(checked(line, reply));
        count++;
    }
    return count;
}

/* `count` commands over all lines, each line's next ones as soon as its last ones are answered. */
static void run(struct driver *driver, append_next *next, uint64_t count)
{
    struct pollfd polls[CONNECTIONS + 1];
    uint64_t left = count, unanswered = count;
    for (size_t i = 0; i < CONNECTIONS; i++) {
        polls[i] = (struct pollfd){.fd = driver->lines[i]->fd, .events = POLLIN};
        send_pipeline(driver, i, next, &left);
    }
    polls[CONNECTIONS] = (struct pollfd){.fd = driver->subscriber->fd, .events = POLLIN};
    while (unanswered > 0) {
        if (poll(polls, CONNECTIONS + 1, -1) < 0)
            fail("redis: poll: %s", strerror(errno));
        while (poll(&polls[CONNECTIONS], 1, 0) > 0) /* one read takes 16 KiB, and there may be much more */
            driver->results += receive(driver->subscriber);
        for (size_t i = 0; i < CONNECTIONS; i++) {
            if (polls[i].revents == 0)
                continue;
            unsigned answered = receive(driver->lines[i]);
            driver->awaited[i] -= answered;
            unanswered -= answered;
            if (driver->awaited[i] == 0 && left > 0)
                send_pipeline(driver, i, next, &left);
        }
    }
}

static void subscribe(struct driver *driver)
{
    redisContext *line = driver->subscriber;
    freeReplyObject(checked(line, redisCommand(line, "SUBSCRIBE sync")));
}

/* The answer to a ping comes after everything that was published before it. */
static void count_rest_of_results(struct driver *driver)
{
    redisContext *line = driver->subscriber;
    void *reply;
    redisAppendCommand(line, "PING");
    for (bool is_pong = false; !is_pong; driver->results += !is_pong) {
        reply = NULL;
        redisGetReply(line, &reply);
        redisReply *message = checked(line, reply);
        is_pong = message->elements > 0 && strcmp(message->element[0]->str, "pong") == 0;
        freeReplyObject(message);
    }
}

static void prepare_fleet(struct driver *driver, uint64_t device_count)
{
    driver->load = (struct workload){WORK_REPORTS, device_count, .random = 1};
    driver->targets = (struct workload){WORK_TARGETS, device_count, .random = 1};
    driver->pipeline = PIPELINE;
    run(driver, append_device, device_count);
}

/* The events a second. */
static double measure(struct driver *driver, uint64_t device_count, uint64_t event_count)
{
    const uint64_t call_count = event_count / driver->reports_per_call;
    driver->load = (struct workload){WORK_CHANGING, device_count, .random = 88172645463325252u};
    driver->pipeline = PIPELINE / driver->reports_per_call;
    int64_t start_ns = clock_monotonic_ns();
    run(driver, append_reports, call_count);
    int64_t took_ns = clock_monotonic_ns() - start_ns;
    return (double)(call_count * driver->reports_per_call) * 1e9 / (double)took_ns;
}

static void drive(struct driver *driver, char **arguments)
{
    const uint64_t device_count = strtoull(arguments[2], NULL, 10);
    for (size_t i = 0; i < CONNECTIONS; i++)
        driver->lines[i] = connect_to(arguments[0]);
    driver->subscriber = connect_to(arguments[0]);
    load_functions(driver->lines[0], arguments[1]);
    subscribe(driver);
    prepare_fleet(driver, device_count);
    double acked_per_s = measure(driver, device_count, strtoull(arguments[3], NULL, 10));
    count_rest_of_results(driver);
    printf("{\"acked_per_s\":%.0f,\"results\":%" PRIu64 "}\n", acked_per_s, driver->results);
    for (size_t i = 0; i < CONNECTIONS; i++)
        redisFree(driver->lines[i]);
    redisFree(driver->subscriber);
    buf_fini(&driver->events);
}

int main(int argc, char **argv)
{
    static struct driver driver;
    driver.reports_per_call = argc == 6 ? (unsigned)strtoul(argv[5], NULL, 10) : 0;
    if (driver.reports_per_call < 1 || driver.reports_per_call > PIPELINE) {
        fprintf(stderr,
                "usage: redis PORT FUNCTIONS.lua DEVICES EVENTS REPORTS_PER_CALL\n"
                "REPORTS_PER_CALL: 1..%d\n",
                PIPELINE);
        return 2;
    }
    snprintf(driver.count_word, sizeof driver.count_word, "%u", driver.reports_per_call);
    drive(&driver, argv + 1);
    return 0;
}

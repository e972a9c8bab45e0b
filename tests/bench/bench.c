/* bench.c - the sample chain under load, through real doors, fsync on, this load generator included.
 *
 * Starts the daemon on a folder of its own, gives every device a target, then sends reports: a random
 * device, one of eight versions at random, so that nearly every report changes something. Prints a row a
 * run: events acknowledged per second, events applied per second (until the last one is in the state),
 * the time from a request to its answer, and the daemon's memory.
 *
 *     bench DAEMON FOLDER DEVICES EVENTS BATCH WINDOW
 *
 * BATCH events go in a request, WINDOW requests are under way at once. Timing never fails a run; a wrong
 * answer does. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "engine/base/buf.h"
#include "engine/base/clock.h"
#include "engine/base/json.h"

enum { VERSIONS = 8, WINDOW_MAX = 4096, REPLY_BYTES = 4096, LATENCIES_MAX = 4000000 };

struct daemon {
    pid_t pid;
    char events[128];
    char query[128];
};

struct slot {
    struct buf body; /* kept until it is acknowledged: busy means sending it again */
    int64_t sent_ns;
    uint32_t event_count;
};

struct load {
    void *socket;
    uint64_t device_count;
    uint64_t to_send;
    uint64_t sent;
    uint64_t acked;
    uint64_t busy;
    uint32_t batch;
    uint32_t window;
    uint64_t random;
    bool targets; /* setting targets, device by device, not reporting versions */
    struct slot slots[WINDOW_MAX];
    uint32_t free_slots[WINDOW_MAX];
    uint32_t free_count;
    int64_t *latencies_ns;
    size_t latency_count;
};

static void die(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static struct daemon start_daemon(const char *program, const char *folder)
{
    int out[2];
    if (pipe(out) != 0)
        die("pipe");
    struct daemon daemon = {.pid = fork()};
    if (daemon.pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        close(out[0]);
        execl(program, program, "--data", folder, "--events", "tcp://127.0.0.1:*", "--query",
              "tcp://127.0.0.1:*", "--results", "tcp://127.0.0.1:*", "--log-level", "warn",
              (char *)NULL);
        perror(program);
        _exit(127);
    }
    close(out[1]);
    FILE *ready = fdopen(out[0], "r");
    if (ready == NULL || fscanf(ready, "ready events=%127s query=%127s", daemon.events, daemon.query) != 2)
        die("the daemon did not start");
    fclose(ready);
    return daemon;
}

/* The daemon's RssAnon and RssFile in MiB. */
static void memory_of(pid_t pid, double *anonymous, double *file)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *status = fopen(path, "re");
    *anonymous = *file = 0;
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        sscanf(line, "RssAnon: %lf", anonymous);
        sscanf(line, "RssFile: %lf", file);
    }
    if (status != NULL)
        fclose(status);
    *anonymous /= 1024;
    *file /= 1024;
}

static uint64_t next_random(uint64_t *state) /* xorshift64*, Vigna 2016 */
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

static void write_event(struct load *load, struct buf *body)
{
    uint64_t random = next_random(&load->random);
    uint64_t device = load->targets ? load->sent : (random >> 8) % load->device_count;
    unsigned version = (unsigned)(random & 0xff) % VERSIONS;
    buf_append(body, TEXT("{\"device\":\"ESP32-"));
    char digits[8];
    for (int i = 7; i >= 0; i--, device /= 10)
        digits[i] = (char)('0' + device % 10);
    buf_append(body, (struct text){digits, sizeof digits});
    if (load->targets)
        buf_append(body, TEXT("\",\"type\":\"ATTRIBUTES_UPDATED\",\"scope\":\"SERVER_SCOPE\","
                              "\"data\":{\"lastTargetFwVer\":\"v1."));
    else
        buf_append(body, TEXT("\",\"deviceType\":\"ESP32_OTA\",\"type\":\"POST_ATTRIBUTES_REQUEST\","
                              "\"data\":{\"currentFwVer\":\"v1."));
    buf_byte(body, (char)('0' + version));
    buf_append(body, TEXT("\"}}\n"));
}

static void send_slot(struct load *load, uint32_t index)
{
    struct slot *slot = &load->slots[index];
    slot->sent_ns = clock_monotonic_ns();
    if (zmq_send(load->socket, &index, sizeof index, ZMQ_SNDMORE) < 0 ||
        zmq_send(load->socket, "", 0, ZMQ_SNDMORE) < 0 ||
        zmq_send(load->socket, slot->body.bytes, slot->body.len, 0) < 0)
        die("send failed");
}

static void send_next(struct load *load)
{
    uint32_t index = load->free_slots[--load->free_count];
    struct slot *slot = &load->slots[index];
    buf_clear(&slot->body);
    slot->event_count = 0;
    while (slot->event_count < load->batch && load->sent < load->to_send) {
        write_event(load, &slot->body);
        slot->event_count++;
        load->sent++;
    }
    send_slot(load, index);
}

static void take_reply(struct load *load)
{
    uint32_t index;
    char reply[REPLY_BYTES];
    if (zmq_recv(load->socket, &index, sizeof index, 0) != sizeof index ||
        zmq_recv(load->socket, reply, sizeof reply, 0) != 0)
        die("a reply of a wrong shape");
    int len = zmq_recv(load->socket, reply, sizeof reply - 1, 0);
    assert(len > 0 && len < REPLY_BYTES && index < load->window);
    reply[len] = '\0';
    struct slot *slot = &load->slots[index];
    if (strstr(reply, "\"busy\"") != NULL) {
        load->busy++;
        usleep(1000);
        send_slot(load, index);
        return;
    }
    unsigned accepted = 0;
    if (sscanf(reply, "{\"ok\":true,\"accepted\":%u", &accepted) != 1 || accepted != slot->event_count)
        die(reply);
    load->acked += accepted;
    load->free_slots[load->free_count++] = index;
    if (load->latency_count < LATENCIES_MAX)
        load->latencies_ns[load->latency_count++] = clock_monotonic_ns() - slot->sent_ns;
}

static void run_load(struct load *load)
{
    load->free_count = 0;
    for (uint32_t i = 0; i < load->window; i++)
        load->free_slots[load->free_count++] = i;
    load->sent = load->acked = load->busy = 0;
    load->latency_count = 0;
    while (load->acked < load->to_send) {
        while (load->free_count > 0 && load->sent < load->to_send)
            send_next(load);
        zmq_pollitem_t item = {load->socket, 0, ZMQ_POLLIN, 0};
        do
            take_reply(load);
        while (zmq_poll(&item, 1, 0) > 0);
    }
}

/* A question to the query door; the answer includes all events acknowledged before. */
static int64_t ask_pending(void *context, const struct daemon *daemon)
{
    static char reply[65536];
    void *socket = zmq_socket(context, ZMQ_REQ);
    static const char question[] = "{\"op\":\"stats\"}";
    zmq_connect(socket, daemon->query);
    zmq_send(socket, question, sizeof question - 1, 0);
    int len = zmq_recv(socket, reply, sizeof reply, 0);
    zmq_close(socket);
    struct arena arena;
    struct fields fields;
    struct err err;
    struct value pending;
    arena_init(&arena, sizeof reply);
    if (len <= 0 || !json_parse_object((struct text){reply, (size_t)len}, &arena, &arena, &fields, &err) ||
        !json_path(&fields, TEXT("events.pending"), &arena, &pending))
        die("stats gave no events.pending");
    arena_fini(&arena);
    return pending.integer;
}

static int compare_int64(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static double percentile_ms(const struct load *load, double part)
{
    return (double)load->latencies_ns[(size_t)((double)(load->latency_count - 1) * part)] / 1e6;
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: bench DAEMON FOLDER DEVICES EVENTS BATCH WINDOW\n");
        return 2;
    }
    static struct load load;
    load.device_count = strtoull(argv[3], NULL, 10);
    uint64_t event_count = strtoull(argv[4], NULL, 10);
    load.random = 88172645463325252u;
    load.latencies_ns = calloc(LATENCIES_MAX, sizeof *load.latencies_ns);
    struct daemon daemon = start_daemon(argv[1], argv[2]);
    void *context = zmq_ctx_new();
    load.socket = zmq_socket(context, ZMQ_DEALER);
    int unlimited = 0;
    zmq_setsockopt(load.socket, ZMQ_SNDHWM, &unlimited, sizeof unlimited);
    zmq_setsockopt(load.socket, ZMQ_RCVHWM, &unlimited, sizeof unlimited);
    zmq_connect(load.socket, daemon.events);
    double rest_anonymous, anonymous, file;
    memory_of(daemon.pid, &rest_anonymous, &file);

    load.targets = true;
    load.to_send = load.device_count;
    load.batch = 100;
    load.window = 64;
    run_load(&load);
    ask_pending(context, &daemon);

    load.targets = false;
    load.to_send = event_count;
    load.batch = (uint32_t)strtoul(argv[5], NULL, 10);
    load.window = (uint32_t)strtoul(argv[6], NULL, 10);
    if (load.batch < 1 || load.window < 1 || load.window > WINDOW_MAX)
        die("BATCH is at least 1, WINDOW 1 to 4096");
    int64_t start_ns = clock_monotonic_ns();
    run_load(&load);
    int64_t acked_ns = clock_monotonic_ns() - start_ns;
    int64_t pending = ask_pending(context, &daemon);
    int64_t applied_ns = clock_monotonic_ns() - start_ns;
    if (pending != 0)
        die("events were still pending after a query that must include them");
    memory_of(daemon.pid, &anonymous, &file);
    qsort(load.latencies_ns, load.latency_count, sizeof *load.latencies_ns, compare_int64);
    printf("%9" PRIu64 " %9" PRIu64 " %5u %6u %9.0f %9.0f %8.2f %8.2f %7.0f %7.0f %7.0f %6" PRIu64 "\n",
           load.device_count, event_count, load.batch, load.window,
           (double)event_count / ((double)acked_ns / 1e9), (double)event_count / ((double)applied_ns / 1e9),
           percentile_ms(&load, 0.5), percentile_ms(&load, 0.99), rest_anonymous, anonymous, file,
           load.busy);
    fflush(stdout);
    zmq_close(load.socket);
    zmq_ctx_term(context);
    kill(daemon.pid, SIGTERM);
    int status;
    waitpid(daemon.pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}

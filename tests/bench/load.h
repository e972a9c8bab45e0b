/* load.h - the load generator: requests with events to the daemon's door, and what became of them; and
 * questions at the same time.
 *
 * One thread and one epoll serve all clients, the question door and a subscriber, so that it takes
 * little from the daemon beside it. Two ways to offer events:
 *
 *   closed  the next request goes out when one of the window is answered
 *   open    requests go out by the clock, at a rate; their latency counts from when they should have
 *           gone out, so a daemon that stalls isn't spared the requests of that time
 *
 * What is answered with `busy` waits in a queue of its own: sent again when another request was
 * answered, or when the time that the daemon asked for is over. Every answer is looked at; a wrong one
 * ends the program. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "tests/bench/asker.h"
#include "tests/bench/daemon.h"
#include "tests/bench/workload.h"

enum { CLIENTS_MAX = 1000, WINDOW_MAX = 65536 };

struct demand {
    enum load_kind work;
    uint64_t device_count;
    uint64_t event_count;
    uint64_t seed;
    uint32_t batch;        /* events in a request */
    uint32_t window;       /* requests under way, at most WINDOW_MAX */
    double rate;           /* events each second; 0: the closed way */
    enum ask_kind ask;     /* beside them */
    double ask_rate;       /* questions each second, as long as events flow; 0: one after the other */
    uint64_t ask_count;    /* and at least so many */
};

struct outcome {
    double acked_s;        /* from the first request to the last answer */
    double applied_s;      /* ... to the answer of a question that includes all events */
    struct cpu daemon_cpu; /* what the daemon took in applied_s */
    double own_cpu_s;      /* what this process took */
    double p50_ms, p99_ms, p999_ms, max_ms; /* from a request to its answer */
    double anonymous_mib;  /* the most that was seen */
    double file_mib;       /* at the end */
    uint64_t busy;         /* answers */
    uint64_t results;      /* that the subscriber received */
    uint64_t asked;        /* questions */
    double ask_p50_ms, ask_p99_ms, ask_max_ms; /* from a question to its answer */
};

struct load;

/* load_create - connect `client_count` clients (1..CLIENTS_MAX). daemon is borrowed until load_destroy(). */
struct load *load_create(const struct daemon *daemon, uint32_t client_count);
void load_destroy(struct load *load);

/* load_subscribe - once: receive and count results with these topics, a prefix: `sync/`, `batch/sync`. load_listen -
 * stop it, or begin again; heartbeats come all the time. */
void load_subscribe(struct load *load, const char *prefix);
void load_listen(struct load *load, const char *prefix, bool on);

/* load_run - send it all, wait for the answers, and until all is applied. Any number of times. */
void load_run(struct load *load, const struct demand *demand, struct outcome *outcome);

/* load_device_count - how many devices the daemon knows. */
uint64_t load_device_count(struct load *load);

#endif

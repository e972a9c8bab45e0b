/* asker.h - who asks the daemon questions, beside those who send events: how long do answers take?
 *
 * Either one question after the other, or by the clock, at a rate; then a latency counts from when the
 * question should have gone out. A wrong answer ends the program. */
#ifndef BENCH_ASKER_H
#define BENCH_ASKER_H

#include "tests/bench/latencies.h"
#include "tests/bench/wire.h"

enum ask_kind {
    ASK_NOTHING,
    ASK_DEVICE, /* a random device */
    ASK_PAGE,   /* 1,000 devices, page by page through the fleet */
    ASK_COUNT,  /* how many run which version */
};

enum { ASKED_AT_ONCE = 4096 };

struct asker {
    struct wire wire;
    enum ask_kind kind;
    double rate; /* questions each second; 0: one after the other */
    uint64_t device_count;
    uint64_t random;
    int64_t start_ns;
    uint64_t sent;
    uint64_t answered;
    int64_t since_ns[ASKED_AT_ONCE]; /* of the question with that number, modulo */
    struct buf cursor;               /* of the next page; empty: the first */
    struct latencies latencies;
};

/* asker_kind_named - "device", "page", "count". */
bool asker_kind_named(const char *name, enum ask_kind *kind);
void asker_open(struct asker *asker, const char *endpoint);
void asker_close(struct asker *asker);
/* asker_begin - a run starts now. */
void asker_begin(struct asker *asker, enum ask_kind kind, double rate, uint64_t device_count);
/* asker_due_ns - when the next question goes out; INT64_MAX: when an answer has come. */
int64_t asker_due_ns(const struct asker *asker);
/* asker_send_due - what is due by now. */
void asker_send_due(struct asker *asker);
/* asker_take - answers that have arrived. */
void asker_take(struct asker *asker);

#endif

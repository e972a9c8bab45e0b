/* latencies.h - every latency of a run, and the percentiles of all of them. */
#ifndef BENCH_LATENCIES_H
#define BENCH_LATENCIES_H

#include <stddef.h>
#include <stdint.h>

struct latencies {
    uint32_t *items; /* in tenths of a microsecond */
    size_t count;
    size_t capacity;
};

/* latencies_reset - forget them, and make room for `capacity`; more make room by themselves. */
void latencies_reset(struct latencies *latencies, size_t capacity);
void latencies_fini(struct latencies *latencies);
void latencies_add(struct latencies *latencies, int64_t ns);
/* latencies_sort - before the percentiles. */
void latencies_sort(struct latencies *latencies);
/* latencies_ms - `part` (0 to 1) of them took no longer; 0 when there are none. */
double latencies_ms(const struct latencies *latencies, double part);

#endif

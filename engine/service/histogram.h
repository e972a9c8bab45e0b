/* histogram.h - how long things took since the start, counted in buckets.
 *
 * The buckets are logarithmic, four to each doubling, from a microsecond to two minutes: a quantile read from
 * them is right to a fifth, at 105 numbers a histogram. One thread adds, any thread reads at the same time;
 * so adding is a few plain instructions. It is meant for once a request, batch or commit, not for each event. */
#ifndef SERVICE_HISTOGRAM_H
#define SERVICE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

enum {
    HISTOGRAM_PARTS = 4,    /* of each doubling */
    HISTOGRAM_POWER_MAX = 27, /* 2^27 us are 134 s; what took longer is in the last bucket */
    HISTOGRAM_BUCKET_COUNT = HISTOGRAM_PARTS * (HISTOGRAM_POWER_MAX - 1) + 1,
};

struct histogram {
    atomic_uint_fast64_t buckets[HISTOGRAM_BUCKET_COUNT];
    atomic_uint_fast64_t sum_ns;
};

/* histogram_add - `count` things took `ns` each (below 0: nothing). One thread only. */
void histogram_add(struct histogram *histogram, int64_t ns, uint64_t count);

/* A histogram as it was at one moment, more or less: its parts are read one by one. */
struct histogram_view {
    uint64_t buckets[HISTOGRAM_BUCKET_COUNT];
    uint64_t count;
    double sum_s;
};
void histogram_read(struct histogram *histogram, struct histogram_view *view);
/* histogram_add_up - the view becomes that of both. */
void histogram_add_up(struct histogram_view *view, const struct histogram_view *more);

/* histogram_up_to - how many took at most 2^power microseconds; power 2..HISTOGRAM_POWER_MAX. */
uint64_t histogram_up_to(const struct histogram_view *view, unsigned power);
/* histogram_quantile - seconds within which `part` (0 to 1) of them were done; 0 when there is none. */
double histogram_quantile(const struct histogram_view *view, double part);

#endif

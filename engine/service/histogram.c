#include "engine/service/histogram.h"

/* Durations of v to v + 1 microseconds (the end included) are of the number v. The first four numbers have a
 * bucket each; from there on, each doubling [2^e, 2^(e+1)) is in four equal parts. */

static unsigned bucket_of(uint64_t v)
{
    if (v < HISTOGRAM_PARTS)
        return (unsigned)v;
    unsigned power = 63 - (unsigned)__builtin_clzll(v); /* at least 2 */
    if (power >= HISTOGRAM_POWER_MAX)
        return HISTOGRAM_BUCKET_COUNT - 1;
    return HISTOGRAM_PARTS * (power - 1) + ((v >> (power - 2)) & (HISTOGRAM_PARTS - 1));
}

/* The shortest duration of a bucket, in microseconds. */
static uint64_t bucket_start(unsigned bucket)
{
    if (bucket < HISTOGRAM_PARTS)
        return bucket;
    unsigned power = bucket / HISTOGRAM_PARTS + 1;
    return (uint64_t)(HISTOGRAM_PARTS + bucket % HISTOGRAM_PARTS) << (power - 2);
}

static void add(atomic_uint_fast64_t *number, uint64_t amount)
{
    uint64_t before = atomic_load_explicit(number, memory_order_relaxed); /* nobody else writes */
    atomic_store_explicit(number, before + amount, memory_order_relaxed);
}

void histogram_add(struct histogram *histogram, int64_t ns, uint64_t count)
{
    uint64_t took_ns = ns < 0 ? 0 : (uint64_t)ns;
    add(&histogram->buckets[bucket_of(took_ns == 0 ? 0 : (took_ns - 1) / 1000)], count);
    add(&histogram->sum_ns, took_ns * count);
}

void histogram_read(struct histogram *histogram, struct histogram_view *view)
{
    view->count = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        view->buckets[i] = atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        view->count += view->buckets[i];
    }
    view->sum_s = (double)atomic_load_explicit(&histogram->sum_ns, memory_order_relaxed) / 1e9;
}

void histogram_add_up(struct histogram_view *view, const struct histogram_view *more)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKET_COUNT; i++)
        view->buckets[i] += more->buckets[i];
    view->count += more->count;
    view->sum_s += more->sum_s;
}

uint64_t histogram_up_to(const struct histogram_view *view, unsigned power)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < HISTOGRAM_PARTS * (power - 1); i++)
        count += view->buckets[i];
    return count;
}

double histogram_quantile(const struct histogram_view *view, double part)
{
    double wanted = part * (double)view->count, below = 0;
    if (view->count == 0)
        return 0;
    unsigned bucket = 0;
    while (bucket < HISTOGRAM_BUCKET_COUNT - 1 &&
           (view->buckets[bucket] == 0 || below + (double)view->buckets[bucket] < wanted))
        below += (double)view->buckets[bucket++];
    double start_us = (double)bucket_start(bucket);
    if (bucket == HISTOGRAM_BUCKET_COUNT - 1)
        return start_us / 1e6;
    double width_us = (double)bucket_start(bucket + 1) - start_us;
    return (start_us + width_us * (wanted - below) / (double)view->buckets[bucket]) / 1e6;
}

#include "tests/bench/latencies.h"

#include <stdlib.h>

#include "tests/bench/fail.h"

enum { UNIT_NS = 100 };

void latencies_reset(struct latencies *latencies, size_t capacity)
{
    latencies_fini(latencies);
    latencies->capacity = capacity > 0 ? capacity : 1;
    latencies->items = calloc(latencies->capacity, sizeof *latencies->items);
    if (latencies->items == NULL)
        fail("out of memory");
}

void latencies_fini(struct latencies *latencies)
{
    free(latencies->items);
    *latencies = (struct latencies){NULL, 0, 0};
}

void latencies_add(struct latencies *latencies, int64_t ns)
{
    if (latencies->count == latencies->capacity) {
        latencies->capacity = 2 * latencies->capacity + 1;
        latencies->items = realloc(latencies->items, latencies->capacity * sizeof *latencies->items);
        if (latencies->items == NULL)
            fail("out of memory");
    }
    latencies->items[latencies->count++] = (uint32_t)(ns / UNIT_NS);
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

void latencies_sort(struct latencies *latencies)
{
    if (latencies->count > 0)
        qsort(latencies->items, latencies->count, sizeof *latencies->items, compare);
}

double latencies_ms(const struct latencies *latencies, double part)
{
    if (latencies->count == 0)
        return 0;
    size_t index = (size_t)((double)(latencies->count - 1) * part);
    return (double)latencies->items[index] * UNIT_NS / 1e6;
}

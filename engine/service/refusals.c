#include "engine/service/refusals.h"

#include <stdio.h>
#include <stdlib.h>

struct refusal {
    char *source; /* owned */
    size_t source_len;
    uint32_t bucket;
    uint32_t next; /* in the bucket: position + 1; 0: the last */
    uint64_t *numbers; /* owned; rising, never empty */
    size_t number_count;
    size_t number_capacity;
    int64_t noted_ms; /* the last one */
};

static void *grow(void *items, size_t *capacity, size_t item_bytes)
{
    *capacity = *capacity == 0 ? 16 : *capacity * 2;
    items = realloc(items, *capacity * item_bytes);
    if (items == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return items;
}

/* The link, in a bucket's head or an item, that holds position + 1. */
static uint32_t *link_to(struct refusals *refusals, size_t index)
{
    uint32_t *link = &refusals->buckets[refusals->items[index].bucket];
    while (*link != index + 1)
        link = &refusals->items[*link - 1].next;
    return link;
}

static void forget(struct refusals *refusals, size_t index)
{
    struct refusal *item = &refusals->items[index];
    refusals->number_count -= item->number_count;
    *link_to(refusals, index) = item->next;
    free(item->source);
    free(item->numbers);
    size_t last = --refusals->count;
    if (index == last)
        return;
    *link_to(refusals, last) = (uint32_t)index + 1;
    *item = refusals->items[last];
}

static uint32_t bucket_of(struct text source)
{
    return text_fnv1a32(source) % REFUSAL_BUCKETS;
}

/* Position of the source, or count. */
static size_t find(const struct refusals *refusals, struct text source)
{
    for (uint32_t at = refusals->buckets[bucket_of(source)]; at != 0;) {
        const struct refusal *item = &refusals->items[at - 1];
        if (text_equal(source, (struct text){item->source, item->source_len}))
            return at - 1;
        at = item->next;
    }
    return refusals->count;
}

/* Once a second is enough: refusals_blocks() looks at the age itself. */
static void forget_old(struct refusals *refusals, int64_t now_ms)
{
    enum { SWEEP_MS = 1000 };
    if (now_ms - refusals->swept_ms < SWEEP_MS)
        return;
    refusals->swept_ms = now_ms;
    for (size_t i = 0; i < refusals->count;)
        if (now_ms - refusals->items[i].noted_ms > REFUSAL_KEEP_MS)
            forget(refusals, i);
        else
            i++;
}

static void forget_oldest(struct refusals *refusals)
{
    size_t oldest = 0;
    for (size_t i = 1; i < refusals->count; i++)
        if (refusals->items[i].noted_ms < refusals->items[oldest].noted_ms)
            oldest = i;
    forget(refusals, oldest);
}

static struct refusal *add_source(struct refusals *refusals, struct text source)
{
    if (refusals->count == REFUSAL_COUNT_MAX)
        forget_oldest(refusals);
    if (refusals->count == refusals->capacity)
        refusals->items = grow(refusals->items, &refusals->capacity, sizeof *refusals->items);
    char *copy = malloc(source.len);
    if (copy == NULL)
        abort();
    memcpy(copy, source.bytes, source.len);
    uint32_t bucket = bucket_of(source);
    struct refusal *item = &refusals->items[refusals->count++];
    *item = (struct refusal){.source = copy,
                             .source_len = source.len,
                             .bucket = bucket,
                             .next = refusals->buckets[bucket]};
    refusals->buckets[bucket] = (uint32_t)refusals->count;
    return item;
}

/* Position of the first number that isn't below n; mostly that is one of the two ends. */
static size_t number_position(const struct refusal *item, uint64_t n)
{
    size_t low = 0, high = item->number_count;
    if (high == 0 || n <= item->numbers[0])
        return 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (item->numbers[middle] < n)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void refusals_note(struct refusals *refusals, struct text source, uint64_t n, int64_t now_ms)
{
    forget_old(refusals, now_ms);
    size_t index = find(refusals, source);
    struct refusal *item =
        index < refusals->count ? &refusals->items[index] : add_source(refusals, source);
    item->noted_ms = now_ms;
    size_t at = number_position(item, n);
    if (at == REFUSAL_NUMBERS_MAX || (at < item->number_count && item->numbers[at] == n))
        return;
    if (item->number_count == REFUSAL_NUMBERS_MAX) {
        item->number_count--;
        refusals->number_count--;
    }
    if (item->number_count == item->number_capacity)
        item->numbers = grow(item->numbers, &item->number_capacity, sizeof *item->numbers);
    memmove(item->numbers + at + 1, item->numbers + at,
            (item->number_count - at) * sizeof *item->numbers);
    item->numbers[at] = n;
    item->number_count++;
    if (++refusals->number_count > REFUSAL_TOTAL_MAX)
        forget_oldest(refusals);
}

bool refusals_blocks(struct refusals *refusals, struct text source, uint64_t n, int64_t now_ms)
{
    size_t index = find(refusals, source);
    if (index == refusals->count)
        return false;
    if (now_ms - refusals->items[index].noted_ms > REFUSAL_KEEP_MS) {
        forget(refusals, index);
        return false;
    }
    return n > refusals->items[index].numbers[0];
}

void refusals_clear(struct refusals *refusals, struct text source, uint64_t n)
{
    size_t index = find(refusals, source);
    if (index == refusals->count)
        return;
    struct refusal *item = &refusals->items[index];
    size_t at = number_position(item, n);
    if (at == item->number_count || item->numbers[at] != n)
        return;
    item->number_count--;
    refusals->number_count--;
    memmove(item->numbers + at, item->numbers + at + 1,
            (item->number_count - at) * sizeof *item->numbers);
    if (item->number_count == 0)
        forget(refusals, index);
}

void refusals_fini(struct refusals *refusals)
{
    while (refusals->count > 0)
        forget(refusals, refusals->count - 1);
    free(refusals->items);
}

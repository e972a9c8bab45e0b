#include "engine/service/refusals.h"

#include <stdio.h>
#include <stdlib.h>

struct refusal {
    char *source; /* owned */
    size_t source_len;
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

static void forget(struct refusals *refusals, size_t index)
{
    free(refusals->items[index].source);
    free(refusals->items[index].numbers);
    refusals->items[index] = refusals->items[--refusals->count];
}

/* Position of the source, or count. */
static size_t find(const struct refusals *refusals, struct text source)
{
    size_t i = 0;
    while (i < refusals->count &&
           !text_equal(source, (struct text){refusals->items[i].source, refusals->items[i].source_len}))
        i++;
    return i;
}

static void forget_old(struct refusals *refusals, int64_t now_ms)
{
    for (size_t i = 0; i < refusals->count;)
        if (now_ms - refusals->items[i].noted_ms > REFUSAL_KEEP_MS)
            forget(refusals, i);
        else
            i++;
}

static struct refusal *add_source(struct refusals *refusals, struct text source)
{
    if (refusals->count == REFUSAL_COUNT_MAX)
        forget(refusals, 0);
    if (refusals->count == refusals->capacity)
        refusals->items = grow(refusals->items, &refusals->capacity, sizeof *refusals->items);
    char *copy = malloc(source.len);
    if (copy == NULL)
        abort();
    memcpy(copy, source.bytes, source.len);
    struct refusal *item = &refusals->items[refusals->count++];
    *item = (struct refusal){.source = copy, .source_len = source.len};
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
    if (item->number_count == REFUSAL_NUMBERS_MAX)
        item->number_count--;
    if (item->number_count == item->number_capacity)
        item->numbers = grow(item->numbers, &item->number_capacity, sizeof *item->numbers);
    memmove(item->numbers + at + 1, item->numbers + at,
            (item->number_count - at) * sizeof *item->numbers);
    item->numbers[at] = n;
    item->number_count++;
}

bool refusals_blocks(struct refusals *refusals, struct text source, uint64_t n, int64_t now_ms)
{
    if (refusals->count == 0)
        return false;
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

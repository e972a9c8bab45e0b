#include "engine/service/refusals.h"

#include <stdlib.h>

struct refusal {
    char *source; /* owned */
    size_t source_len;
    uint64_t n;
    int64_t noted_ms;
};

static void forget(struct refusals *refusals, size_t index)
{
    free(refusals->items[index].source);
    refusals->items[index] = refusals->items[--refusals->count];
}

/* Position of the source's refusal, or count; forgets what is too old on the way. */
static size_t find(struct refusals *refusals, struct text source, int64_t now_ms)
{
    for (size_t i = 0; i < refusals->count;) {
        const struct refusal *item = &refusals->items[i];
        if (now_ms - item->noted_ms > REFUSAL_KEEP_MS)
            forget(refusals, i);
        else if (text_equal(source, (struct text){item->source, item->source_len}))
            return i;
        else
            i++;
    }
    return refusals->count;
}

void refusals_note(struct refusals *refusals, struct text source, uint64_t n, int64_t now_ms)
{
    size_t index = find(refusals, source, now_ms);
    if (index < refusals->count) {
        struct refusal *item = &refusals->items[index];
        item->n = n < item->n ? n : item->n;
        item->noted_ms = now_ms;
        return;
    }
    if (refusals->count == REFUSAL_COUNT_MAX)
        forget(refusals, 0);
    if (refusals->count == refusals->capacity) {
        refusals->capacity = refusals->capacity == 0 ? 16 : refusals->capacity * 2;
        refusals->items =
            realloc(refusals->items, refusals->capacity * sizeof *refusals->items);
        if (refusals->items == NULL)
            abort();
    }
    char *copy = malloc(source.len);
    if (copy == NULL)
        abort();
    memcpy(copy, source.bytes, source.len);
    refusals->items[refusals->count++] = (struct refusal){copy, source.len, n, now_ms};
}

bool refusals_blocks(struct refusals *refusals, struct text source, uint64_t n, int64_t now_ms)
{
    if (refusals->count == 0)
        return false;
    size_t index = find(refusals, source, now_ms);
    return index < refusals->count && n > refusals->items[index].n;
}

void refusals_clear(struct refusals *refusals, struct text source, uint64_t n)
{
    if (refusals->count == 0)
        return;
    for (size_t i = 0; i < refusals->count; i++) {
        const struct refusal *item = &refusals->items[i];
        if (n >= item->n && text_equal(source, (struct text){item->source, item->source_len})) {
            forget(refusals, i);
            return;
        }
    }
}

void refusals_fini(struct refusals *refusals)
{
    while (refusals->count > 0)
        forget(refusals, refusals->count - 1);
    free(refusals->items);
}

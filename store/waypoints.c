#include "store/waypoints.h"

#include <stdlib.h>
#include <string.h>

void waypoints_fini(struct waypoints *waypoints)
{
    free(waypoints->items);
    *waypoints = (struct waypoints){0};
}

/* How many lie at or before `seq`. */
static size_t count_until(const struct waypoints *waypoints, uint64_t seq)
{
    size_t low = 0, high = waypoints->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (waypoints->items[middle].seq <= seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void forget_before(struct waypoints *waypoints, uint64_t first)
{
    size_t gone = 0;
    while (gone < waypoints->count && waypoints->items[gone].position < first)
        gone++;
    if (gone == 0)
        return;
    waypoints->count -= gone;
    memmove(waypoints->items, waypoints->items + gone, waypoints->count * sizeof *waypoints->items);
}

static void insert(struct waypoints *waypoints, size_t at, struct waypoint waypoint)
{
    if (waypoints->count == waypoints->capacity) {
        waypoints->capacity = waypoints->capacity == 0 ? 64 : 2 * waypoints->capacity;
        waypoints->items = realloc(waypoints->items, waypoints->capacity * sizeof *waypoints->items);
        if (waypoints->items == NULL)
            abort();
    }
    struct waypoint *place = waypoints->items + at;
    memmove(place + 1, place, (waypoints->count - at) * sizeof *place);
    *place = waypoint;
    waypoints->count++;
}

void waypoints_note(struct waypoints *waypoints, uint64_t seq, uint64_t position, uint64_t first)
{
    size_t at = count_until(waypoints, seq);
    if (at > 0 && position - waypoints->items[at - 1].position < WAYPOINT_BYTES)
        return;
    if (at < waypoints->count && waypoints->items[at].position - position < WAYPOINT_BYTES)
        return;
    insert(waypoints, at, (struct waypoint){seq, position});
    forget_before(waypoints, first);
}

bool waypoints_find(const struct waypoints *waypoints, uint64_t seq, struct waypoint *found)
{
    size_t count = count_until(waypoints, seq);
    if (count == 0)
        return false;
    *found = waypoints->items[count - 1];
    return true;
}

/* waypoints.h - places in a log that were passed, to find one by its number without reading a whole segment.
 *
 * A reader notes about one place in WAYPOINT_BYTES as it goes along; a later look-up begins at the nearest one
 * before what it looks for. So each stretch of the log is read through once, whoever asks first. 16 bytes a
 * place: 256 KiB for a journal of a GiB. One thread. */
#ifndef STORE_WAYPOINTS_H
#define STORE_WAYPOINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WAYPOINT_BYTES = 64 * 1024 };

struct waypoint {
    uint64_t seq;
    uint64_t position; /* rises with seq */
};

struct waypoints {
    struct waypoint *items; /* sorted */
    size_t count;
    size_t capacity;
};

void waypoints_fini(struct waypoints *waypoints);
/* waypoints_note - event `seq` is at `position`; kept if no other place is near. Places before `first` are gone. */
void waypoints_note(struct waypoints *waypoints, uint64_t seq, uint64_t position, uint64_t first);
/* waypoints_find - the last place at or before event `seq`; false when there is none. */
bool waypoints_find(const struct waypoints *waypoints, uint64_t seq, struct waypoint *found);

#endif

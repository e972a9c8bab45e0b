/* event.h - one line of the events door, checked.
 *
 * The same function reads an event when it arrives and when the journal is replayed, so both see the
 * same thing. Everything a producer can get wrong is found here; nobody re-checks it later.
 *
 * One type of event, DEADLINE_PASSED, is made by the engine and taken from nobody else. */
#ifndef RULES_EVENT_H
#define RULES_EVENT_H

#include "engine/base/json.h"

struct event {
    struct text device;      /* 1..DEVICE_BYTES_MAX bytes, UTF-8 without control characters */
    struct text device_type; /* {NULL, 0} when not given */
    struct text type;        /* message type, 1..TYPE_BYTES_MAX bytes; like all names, no control characters */
    int type_index;          /* position in FWSYNC_MESSAGE_TYPES, or its length */
    bool has_scope;          /* always true for ATTRIBUTES_UPDATED, never for another type */
    enum scope scope;
    bool has_ts;
    int64_t ts_ms;       /* 0..JSON_INTEGER_MAX */
    struct text source;  /* {NULL, 0} when not given; then n is 0 */
    uint64_t n;          /* 1..JSON_INTEGER_MAX */
    struct fields data;  /* at most FIELD_COUNT_MAX */
    struct fields metadata; /* string values only; at most FIELD_COUNT_MAX */
};

/* event_parse - read one event.
 * text     the line, without its newline; must live as long as the event, whose texts may lie in it
 * scratch  reset by this function, before use; what it returns never points there
 * arena    the event's members live here, and texts that were written with escapes
 * Errors   ERR_BAD_JSON, ERR_LIMIT, ERR_TOO_LARGE; ERR_BAD_EVENT: names the field, what was expected
 *          and what came, and for an unknown field the nearest right one. */
bool event_parse(struct text text, struct arena *scratch, struct arena *arena, struct event *event,
                 struct err *err);

/* event_of - one that didn't come as a line: of that device and type, both borrowed, with nothing else in it. */
struct event event_of(struct text device, struct text type);

/* event_deadline_passed - the engine's own event for a device whose timer is due, and its line, in `arena`.
 * `device` is borrowed. */
struct text event_deadline_passed(struct text device, struct arena *arena, struct event *event);

/* event_type_name - of a type_index, or NULL for the one that stands for all types of one's own. */
const char *event_type_name(unsigned type_index);

#endif

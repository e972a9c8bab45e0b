/* simulator.h - rules without a daemon: devices in memory, a clock that is told what time it is, and a list of what
 * happened.
 *
 * Events go through apply_event(), and a device takes and gives values as the one in store/state.h does, so rules
 * can't tell the difference. Two things are simpler here. A deadline passes at the very moment it is due, where the
 * daemon may be up to a second or 1/64 of the way later. The bound on all values of a device counts the least that
 * they can take.
 *
 * For tests of rules (trial.h), and for asking of many devices in turn what rules would make of them: after
 * simulator_forget() it is as it was created, in memory that is warm. Nothing here touches a file or a clock.
 * One owner, one thread at a time. */
#ifndef RULES_SIMULATOR_H
#define RULES_SIMULATOR_H

#include "rules/event.h"
#include "rules/ruleset.h"

struct simulator;
struct simulated_device;

/* What to write down, as a set of bits; the rest costs nothing. */
enum {
    NOTE_EVENTS = 1,        /* what was applied, deadlines too: what follows comes from it */
    NOTE_CHANGES = 2,       /* values stored and deleted, telemetry too */
    NOTE_RESULTS = 4,       /* what rules published */
    NOTE_DEAD_LETTERS = 8,
    NOTE_STEPS = 16,        /* nodes that a message left; what a node did stands before it */
    NOTE_LOGS = 32,
    NOTE_ALL = 63,
};

/* One thing that happened. Texts live until simulator_clear_notes() or simulator_forget(). */
struct note {
    const struct note *next;
    unsigned kind; /* one of the above */
    struct text device;
    int64_t at_ms;
    struct text chain, node; /* NOTE_STEPS, _DEAD_LETTERS, _LOGS; empty when the engine itself failed */
    struct text name;  /* the event's type, the result's class, the relation (or empty: nothing can follow) */
    struct text text;  /* the result's data as JSON, the letter's error, the log's line, the step's node type */
    enum scope scope;  /* NOTE_CHANGES, and these two */
    struct text key;
    struct value value; /* VALUE_NULL: deleted */
};

/* A stored value. Texts are borrowed until the device's values change. */
struct simulated_value {
    enum scope scope;
    struct text key;
    struct value value; /* never VALUE_NULL */
    int64_t ts_ms;
    uint64_t seq; /* of the event that wrote it; 0: it was put there before any */
};

/* simulator_create - without devices, at 0 ms. `ruleset` is borrowed; `notes` is what to write down. */
struct simulator *simulator_create(const struct ruleset *ruleset, unsigned notes);
void simulator_destroy(struct simulator *simulator);
/* simulator_forget - as it was created. */
void simulator_forget(struct simulator *simulator);

/* --- devices --- */

/* simulator_device - the device of that name (1..DEVICE_BYTES_MAX bytes), created if there is none. A `type` that
 * isn't empty is set; a new device has "default". Valid until simulator_forget(). */
struct simulated_device *simulator_device(struct simulator *simulator, struct text name, struct text type);
/* simulator_find - NULL when there is none. */
struct simulated_device *simulator_find(const struct simulator *simulator, struct text name);

struct text simulated_type(const struct simulated_device *device);
/* simulated_timer - when it is due, in ms; 0: it has none. simulated_timer_set - likewise, as found elsewhere. */
int64_t simulated_timer(const struct simulated_device *device);
void simulated_timer_set(struct simulated_device *device, int64_t due_ms);

/* simulated_put - have a value there, as the device had it before: no rule sees it come, no note is made.
 * key and value are copied; value isn't VALUE_NULL
 * Errors  as device_put in store/state.h; device unchanged. */
bool simulated_put(struct simulated_device *device, enum scope scope, struct text key, const struct value *value,
                   int64_t ts_ms, struct err *err);
/* simulated_get - NULL when it isn't there. */
const struct simulated_value *simulated_get(const struct simulated_device *device, enum scope scope, struct text key);
/* simulated_values - all of them, sorted by scope, then by the key's bytes. Borrowed as they are. */
const struct simulated_value *simulated_values(const struct simulated_device *device, size_t *count);

/* --- what happens --- */

/* simulator_apply - the clock goes to received_ms, which isn't before simulator_now_ms(), and the event is applied,
 * to a device that is created if need be. Deadlines that came due on the way stay due: simulator_pass() first, if
 * they matter. The event is borrowed during the call. */
void simulator_apply(struct simulator *simulator, const struct event *event, int64_t received_ms);

/* simulator_pass - the clock goes to until_ms. Each deadline that comes due on the way, until_ms included, passes at
 * its time, the earliest first, of several at one time the older device's: DEADLINE_PASSED goes through the rules.
 * Errors  ERR_LIMIT after DEADLINE_COUNT_MAX of them: rules may set a timer that is due each time anew. */
enum { DEADLINE_COUNT_MAX = 10000 };
bool simulator_pass(struct simulator *simulator, int64_t until_ms, struct err *err);

int64_t simulator_now_ms(const struct simulator *simulator);

/* simulator_notes - what happened since simulator_clear_notes(), in order; NULL: nothing. */
const struct note *simulator_notes(const struct simulator *simulator);
void simulator_clear_notes(struct simulator *simulator);

#endif

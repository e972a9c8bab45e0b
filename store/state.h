/* state.h - what follows from the journal: devices, attributes, indexes, dead letters, rule sets.
 *
 * Writes change rows in memory (changes.h) and cannot fail; a checkpoint puts all of them on disk, on a
 * thread of its own, while the state goes on (docs/decisions/0006-checkpoints.md). What isn't in a
 * checkpoint is lost in a crash and comes back by replaying the journal from state_applied_seq() + 1.
 * All functions, queries too, are called by one thread at a time, but for those that say otherwise.
 *
 * A device's attributes are one record (docs/decisions/0003-device-record.md): state_device_open() takes
 * it into a working copy, device_put() and friends change the copy, state_device_save() writes it back
 * once with its index entries. Names longer than a database key are impossible by limits.h.
 *
 * Indexes: a configured list of attributes plus the device type; each gives devices by value and an
 * exact count by value.
 *
 * Timers: one a device, for the rules. state_timer_next() says when to look, state_timers_due() gives those
 * whose time has come. */
#ifndef STORE_STATE_H
#define STORE_STATE_H

#include "engine/base/arena.h"
#include "engine/base/err.h"
#include "engine/base/limits.h"
#include "engine/base/value.h"
#include "store/disk.h"

struct state;
struct device;

/* An indexed attribute. */
struct index_key {
    enum scope scope; /* not SCOPE_TELEMETRY */
    struct text key;
};

struct state_options {
    uint64_t map_bytes;              /* address space to reserve */
    const struct index_key *indexes; /* borrowed during state_open */
    size_t index_count;              /* 0..INDEX_COUNT_MAX */
    size_t slice_pages;              /* in one transaction of a checkpoint, about; 0: 256 */
};

/* state_open - open or create the state in directory `dir`. An index that is new in the list is built
 * from the devices there; one no longer listed is dropped.
 * Errors  as journal_open. */
bool state_open(const char *dir, const struct state_options *options, struct state **state,
                struct err *err);
/* state_close - without a checkpoint: what was not checkpointed is given up. */
void state_close(struct state *state);

/* --- the fold's bookkeeping --- */

/* state_applied_seq - the last event that the state contains. */
uint64_t state_applied_seq(const struct state *state);
/* state_checkpoint_seq - the last event that the last checkpoint contains. */
uint64_t state_checkpoint_seq(const struct state *state);
void state_set_applied_seq(struct state *state, uint64_t seq);

/* state_bytes - bytes of pages in use by the last checkpoint. */
uint64_t state_bytes(const struct state *state);
/* state_file_bytes - the database file's size, which never shrinks: what isn't in use is used again. */
uint64_t state_file_bytes(const struct state *state);

/* state_step - what follows is done by this event: state_device_open to state_device_save, and
 * state_note_result. One event may step through several devices.
 * cause  a small number of the caller's, kept in the history: what kind of event it is. */
void state_step(struct state *state, uint64_t seq, int64_t received_ms, unsigned cause);

/* --- checkpoints --- */

/* state_changes_bytes - memory of the changes, and of history, that isn't on its way to the disk. */
size_t state_changes_bytes(const struct state *state);

/* state_checkpoint_begin - have all changes so far written by a thread; none is running. When the last
 * one failed, it is tried again, without what was changed since. Texts borrowed from the state die. */
void state_checkpoint_begin(struct state *state);
/* state_checkpoint_running - since state_checkpoint_begin, until state_checkpoint_end. */
bool state_checkpoint_running(const struct state *state);
/* state_checkpoint_over - would state_checkpoint_end return at once? */
bool state_checkpoint_over(const struct state *state);
/* state_checkpoint_end - wait for the running one. Texts borrowed from the state die.
 * Errors  ERR_FULL: the space isn't there; nothing is lost, begin again later.
 *         ERR_STORE, ERR_IO, ERR_DAMAGED: stop the process. */
bool state_checkpoint_end(struct state *state, struct err *err);
/* state_rest - there is nothing to do: gives memory back that is kept for the next events. Does nothing when something
 * isn't on disk yet. Texts borrowed from the state die. */
void state_rest(struct state *state);
/* state_checkpoint - all of it at once: afterwards everything is on disk. Errors as above. */
bool state_checkpoint(struct state *state, struct err *err);

/* --- backup --- */

struct state_snapshot;

/* state_snapshot_take - hold on to the last checkpoint, whatever comes after it, until state_snapshot_release;
 * the file grows by what is written meanwhile. No checkpoint is running.
 * Errors  ERR_FULL the last one failed, and is half written perhaps; ERR_IO. */
bool state_snapshot_take(struct state *state, struct state_snapshot **snapshot, struct err *err);
/* state_snapshot_release - any thread, before state_close. */
void state_snapshot_release(struct state_snapshot *snapshot);

/* state_backup - a compact copy of a snapshot in the new or empty folder `dir`, on disk when this returns. Any
 * thread; see journal_backup. What was written before an error stays for the caller to remove.
 * Errors  ERR_FULL, ERR_STORE of the copy; ERR_DAMAGED of what is copied; ERR_BUSY it was stopped. */
bool state_backup(const struct state_snapshot *snapshot, const char *dir, struct copying *copying,
                  struct err *err);

/* --- one device --- */

/* state_expect - this device will be opened after LOOK_AHEAD more calls; "" is none. In a large fleet devices are at
 * random places of memory: each call asks for what the next few events will touch, so that none of them waits for it.
 * Only a hint. */
enum { LOOK_AHEAD = 16 };
void state_expect(struct state *state, struct text name);

/* state_device_open - the working copy of the named device, created if unknown (created_ms = now_ms).
 * One device is open at a time; it stays valid until the next state_device_open/find.
 * name      1..DEVICE_BYTES_MAX bytes of UTF-8
 * type      a device type to set, or {NULL, 0} to leave it; an unknown device starts as "default"
 * seen_ms   becomes its last-seen time; not above 0 leaves it
 * Errors    ERR_DAMAGED, ERR_STORE. */
bool state_device_open(struct state *state, struct text name, struct text type, int64_t now_ms,
                       int64_t seen_ms, struct device **device, struct err *err);
/* state_device_find - for reading: *device is NULL when there is none. */
bool state_device_find(struct state *state, struct text name, struct device **device,
                       struct err *err);
/* state_device_at - the same by its number, 0 to state_device_count() - 1 in the order in which they came. */
bool state_device_at(struct state *state, uint32_t number, struct device **device, struct err *err);
/* state_device_name - only its name, in `arena`; the working copy stays as it is. */
bool state_device_name(struct state *state, uint32_t number, struct arena *arena, struct text *name,
                       struct err *err);
/* state_device_save - write what changed since the open, with the index entries and its row of history. When
 * it fails, no checkpoint may follow. */
bool state_device_save(struct state *state, struct device *device, struct err *err);

struct text device_name(const struct device *device);
struct text device_type(const struct device *device);
int64_t device_created_ms(const struct device *device);
int64_t device_seen_ms(const struct device *device);

/* A stored attribute or reading. Texts are borrowed until the device is changed or another opened. */
struct attribute {
    struct text key;
    struct value value; /* never VALUE_NULL */
    int64_t ts_ms;
    uint64_t seq; /* of the event that wrote it */
};

/* device_get - false when the device has no such attribute. */
bool device_get(struct device *device, enum scope scope, struct text key,
                struct attribute *attribute, bool *found, struct err *err);

/* device_value - likewise, the value alone. */
bool device_value(struct device *device, enum scope scope, struct text key, struct value *value, bool *found,
                  struct err *err);

/* device_put - save one value, replacing the old one.
 * key      1..KEY_BYTES_MAX bytes
 * value    not VALUE_NULL; texts up to VALUE_BYTES_MAX bytes; copied
 * ts_ms    kept as given. For SCOPE_TELEMETRY a value older than the stored one is not taken
 * seq      of the event
 * changed  out: the stored value is another one now. An equal value is not written again: its ts and
 *          seq stay those of the event that brought it (telemetry takes the newer ts)
 * Errors   ERR_TOO_LARGE the device's record would pass DEVICE_RECORD_BYTES_MAX; device unchanged. */
bool device_put(struct device *device, enum scope scope, struct text key, const struct value *value,
                int64_t ts_ms, uint64_t seq, bool *changed, struct err *err);

/* device_delete - *existed tells whether there was one. */
bool device_delete(struct device *device, enum scope scope, struct text key, bool *existed,
                   struct err *err);

/* device_each - all attributes of a scope, sorted by key bytes. `visit` must not change the device. */
bool device_each(struct device *device, enum scope scope,
                 void (*visit)(void *context, const struct attribute *attribute), void *context,
                 struct err *err);

/* --- timers --- */

/* device_timer - when the device's timer is due, in ms since 1970; 0: it has none. */
int64_t device_timer(const struct device *device);
/* device_timer_set - a new due time, at most JSON_INTEGER_MAX, in place of the old one; 0 clears it.
 * Saved with the device. now_ms says how far away that is: the further, the later after its due time the
 * device may be found, by up to a second or 1/64 of the distance, whichever is more. */
void device_timer_set(struct device *device, int64_t due_ms, int64_t now_ms);

/* state_timer_next - before this time, in ms, nothing is due; INT64_MAX: no timer is set. Costs nothing. */
int64_t state_timer_next(const struct state *state);
/* state_timers_due - look at `limit` devices at most (1..LIST_COUNT_MAX), those to be looked at first, and give
 * the names of those whose timer is due by now_ms; it is cleared then. Saved, as if by state_device_save. Fewer
 * than `limit`, even none, may be due: all are through when state_timer_next() is above now_ms. Names are in
 * `arena`. The same state gives the same names in the same order.
 * Errors  as state_device_open; no checkpoint may follow. */
bool state_timers_due(struct state *state, int64_t now_ms, size_t limit, struct arena *arena,
                      struct text **names, size_t *name_count, struct err *err);

/* --- asking for many --- */

uint64_t state_device_count(const struct state *state);
size_t state_index_count(const struct state *state);
/* state_index_find - position of the index on (scope, key) in the order given, or false. */
bool state_index_find(const struct state *state, enum scope scope, struct text key, size_t *index);
struct index_key state_index_key(const struct state *state, size_t index);

/* state_index_devices - devices that have `value` in the index: exact, in constant time. 0 for null. */
bool state_index_devices(struct state *state, size_t index, const struct value *value,
                         uint64_t *count, struct err *err);
/* state_type_devices - the same for a device type. */
bool state_type_devices(struct state *state, struct text type, uint64_t *count, struct err *err);

struct value_count {
    struct value value; /* in the caller's arena */
    uint64_t count;     /* above 0 */
    struct text key;    /* likewise; the order is by these bytes */
};
/* state_index_values - the values of an index with their counts, in a stable order, at most `limit`
 * from after `cursor` ("" to start). *next is "" at the end, else the next cursor. */
bool state_index_values(struct state *state, size_t index, struct text cursor, size_t limit,
                        struct arena *arena, struct value_count **values, size_t *value_count,
                        struct text *next, struct err *err);
/* state_values_cursor - the cursor with which to go on behind it, in `arena`. */
struct text state_values_cursor(const struct value_count *last, struct arena *arena);
/* state_type_values - the same for device types (values are strings). */
bool state_type_values(struct state *state, struct text cursor, size_t limit, struct arena *arena,
                       struct value_count **values, size_t *value_count, struct text *next,
                       struct err *err);

/* The indexed attribute has the value. */
struct device_condition {
    size_t index;
    struct value value;
};

/* What a list of devices is restricted to; all given parts must hold. All of it is borrowed. */
struct device_filter {
    const struct device_condition *conditions;
    size_t condition_count;
    struct text type;   /* {NULL,0}: any */
    struct text prefix; /* of the name; {NULL,0} or empty: any */
    /* The first of these attributes that a device has is of `changed_since_ms` or later. */
    const struct index_key *changed;
    size_t changed_count; /* 0: whenever */
    int64_t changed_since_ms;
};

/* state_devices - names of matching devices, at most `limit` (1..LIST_COUNT_MAX), from after `cursor`
 * ("" to start). Work per call is bounded: a page may be short, even empty, and still have a *next.
 * *next is "" at the end. Names are in `arena`. With a condition or a type the order is by age of the
 * device, else by name. A cursor of another filter is ERR_BAD_QUERY. */
bool state_devices(struct state *state, const struct device_filter *filter, struct text cursor,
                   size_t limit, struct arena *arena, struct text **names, size_t *name_count,
                   struct text *next, struct err *err);

/* state_devices_ordered - does such a list have its devices by name? state_devices_cursor - the cursor behind this name,
 * in `arena`, for a list that has; of two such cursors the greater text is the later. */
bool state_devices_ordered(const struct device_filter *filter);
struct text state_devices_cursor(const struct device_filter *filter, struct text name, struct arena *arena);

/* --- history: what each event changed (history.h) --- */

#define HISTORY_NONE UINT64_MAX

/* One attribute that an event changed. */
struct history_change {
    enum scope scope; /* never SCOPE_TELEMETRY */
    bool has_old;     /* false: it wasn't there */
    bool has_new;     /* false: it was deleted */
    struct attribute old, new; /* the key is in both */
};

/* The results of one class that an event published: first_n, first_n + 1, ... */
struct history_result {
    struct text class_name;
    uint64_t first_n;
    uint64_t count;
};

/* What one event did to one device. Texts and arrays are in the reader's arena, or last as long as the
 * state. */
struct history_row {
    uint64_t position; /* in the log: rises */
    uint64_t next;     /* where the next row of any device is */
    uint64_t before;   /* the device's row before this one, or HISTORY_NONE */
    uint64_t seq;
    int64_t received_ms;
    unsigned cause; /* as state_step() was told */
    uint32_t device; /* its number: state_device_at() */
    bool created;    /* the device was new */
    struct text old_type, new_type; /* len 0 both: the type didn't change; the old one: the device was new */
    struct history_change *changes; /* in the order in which they happened */
    size_t change_count;
    struct history_result *results;
    size_t result_count;
};

/* Rows are kept from a first one on; the end is where the next one goes. */
uint64_t state_history_first(const struct state *state);
uint64_t state_history_end(const struct state *state);
uint64_t state_history_bytes(const struct state *state);

/* state_history_reads - how many rows were read so far: for callers that bound their work by it. */
uint64_t state_history_reads(const struct state *state);

/* state_history_read - Errors ERR_GONE: it is no longer kept; ERR_DAMAGED; ERR_STORE. */
bool state_history_read(struct state *state, uint64_t position, struct arena *arena,
                        struct history_row *row, struct err *err);

/* A moment: after all events up to `seq` that came up to `ms`. One of them is usually at its most. */
struct moment {
    uint64_t seq;
    int64_t ms;
};

/* state_history_seek - *position of the first row after the moment, or the end.
 * Errors ERR_GONE: rows after the moment are no longer kept; the text says from when on they are. */
bool state_history_seek(struct state *state, struct moment moment, uint64_t *position, struct err *err);

/* state_history_mark - the caller knows that the first row after the moment is at `position`: the next seek for
 * it is quick. A few of them are remembered. */
void state_history_mark(struct state *state, struct moment moment, uint64_t position);

/* device_rewind - take the working copy back to what it was at the moment; telemetry stays as it is. It can
 * be changed then, for a trial, and never be saved. *existed is false when the device wasn't there yet.
 * Errors  as state_history_seek, ERR_GONE also when the device changed more than REWIND_ROWS_MAX times since; then
 *         the working copy is of no use. */
enum { REWIND_ROWS_MAX = 50000 };
bool device_rewind(struct device *device, struct moment moment, bool *existed, struct err *err);

/* device_trial_open - make of a rewound device what state_device_open would have made of it: a new one if it
 * wasn't there, of this type if one is given. */
void device_trial_open(struct device *device, bool existed, struct text type);

/* device_number - 0 up, in the order in which devices came: state_device_at(). */
uint32_t device_number(const struct device *device);
/* device_is_trial - is it rewound, and its number `number`? */
bool device_is_trial(const struct device *device, uint32_t number);
/* device_history - position of the newest row that changed the device, or HISTORY_NONE. */
uint64_t device_history(const struct device *device);

/* state_note_result - the event of state_step() published a result, which took this number of a counter. */
void state_note_result(struct state *state, const uint64_t *counter);

/* state_history_trim - forget old rows, in large pieces: those that are older than keep_ms against the newest,
 * or exceed keep_bytes. Nothing that a backup under way needs. Not while a checkpoint runs, since its thread removes
 * files: these go with the next one, or when the state rests. */
bool state_history_trim(struct state *state, int64_t keep_ms, uint64_t keep_bytes, struct err *err);

/* --- dead letters --- */

/* state_dead_letter_add - keep `json` (one object); at most `keep_count` are kept, the oldest go and are
 * counted. */
void state_dead_letter_add(struct state *state, struct text json, uint64_t keep_count);
uint64_t state_dead_letter_count(const struct state *state);   /* kept now */
uint64_t state_dead_letter_trimmed(const struct state *state); /* gone for keep_count */
/* state_dead_letters - newest first: up to `limit` of together `bytes_max` bytes, and at least one; `before` 0 to
 * start, else the *next of the page before; *next 0 at the end. */
bool state_dead_letters(struct state *state, uint64_t before, size_t limit, size_t bytes_max, struct arena *arena,
                        struct text **letters, size_t *letter_count, uint64_t *next,
                        struct err *err);

/* --- rule sets --- */

enum { VERSION_BYTES_MAX = 128 }; /* a rule set's version */

/* Who made a rule set active: a folder that the settings name, an operator, or the program, whose own they are. */
enum ruleset_by { RULESET_BY_SETTINGS, RULESET_BY_OPERATOR, RULESET_BY_PROGRAM };

/* One activation of a rule set. */
struct ruleset_activation {
    struct text version; /* in the caller's arena */
    uint64_t seq;        /* of the event that activated it; each has one activation at most */
    int64_t since_ms;
    enum ruleset_by by;
};
/* state_ruleset_activate - keep the bundle under its version (1..VERSION_BYTES_MAX bytes); it is the active one now. */
void state_ruleset_activate(struct state *state, const struct ruleset_activation *activation, struct text bundle);
/* state_ruleset_trim - after that: forget the activations before the newest RULESETS_KEPT, but for the one that
 * state_ruleset_configured() gives, and the bundles that no other names. */
enum { RULESETS_KEPT = 1000 };
bool state_ruleset_trim(struct state *state, struct arena *arena, struct err *err);
/* state_ruleset_active - the newest activation and its bundle, in `arena`; version.len 0 when none ever was. */
bool state_ruleset_active(struct state *state, struct arena *arena, struct ruleset_activation *active,
                          struct text *bundle, struct err *err);
/* state_ruleset_configured - the newest activation that was no operator's; version.len 0: there is none. */
bool state_ruleset_configured(struct state *state, struct arena *arena, struct ruleset_activation *configured,
                              struct err *err);
/* state_rulesets - up to `limit` activations, newest first: [0] is the active one. */
bool state_rulesets(struct state *state, size_t limit, struct arena *arena,
                    struct ruleset_activation **activations, size_t *activation_count, struct err *err);
/* state_ruleset_bundle - the bundle kept under a version, in `arena`. */
bool state_ruleset_bundle(struct state *state, struct text version, struct arena *arena,
                          struct text *bundle, bool *found, struct err *err);

/* --- numbers that live with the state: the n of each result class, totals --- */

/* state_counter - a named number, 0 when new; the pointer stays valid until state_close, and the number
 * is written at each checkpoint. At most 256 names of
 * 1..64 bytes; NULL when there is no room. */
uint64_t *state_counter(struct state *state, struct text name);
bool state_counter_exists(const struct state *state, struct text name);
/* state_counter_room - for so many new ones. */
size_t state_counter_room(const struct state *state);
/* state_counter_each - visit all whose name starts with `prefix`, in no order. */
void state_counter_each(struct state *state, struct text prefix,
                        void (*visit)(void *context, struct text name, uint64_t number),
                        void *context);

#endif

/* state_db.h - what the state_*.c files share: its sub-databases, the changes that aren't in them yet,
 * and what is kept in memory beside them. Nobody outside store/ includes this. Layers and checkpoints have headers of
 * their own, state_layers.h and state_checkpoint.h, which this one brings along.
 *
 * A row is found in the newest place that has it: the changes made now, the changes that a checkpoint is writing, those
 * that the last one wrote, for devices of a large fleet the layers of the last checkpoints, and the database (read in
 * one transaction from checkpoint to checkpoint). A write only changes the changes, so it cannot fail. In the database
 * each value begins with a checksum over key and value; who reads rows here needn't think of it. */
#ifndef STORE_STATE_DB_H
#define STORE_STATE_DB_H

#include "store/changes.h"
#include "store/history.h"
#include "store/lmdb_env.h"
#include "store/names.h"
#include "store/record.h"
#include "store/seen.h"
#include "store/spots.h"
#include "store/state.h"
#include "store/state_checkpoint.h"
#include "store/value_key.h"

#include <stdatomic.h>

enum db {
    DB_META,        /* "totals" -> struct totals */
    DB_NAMES,       /* device name -> id */
    DB_DEVICES,     /* device id -> attributes record */
    DB_TELEMETRY,   /* device id -> latest telemetry record */
    DB_SEEN,        /* block number -> times: seen.h */
    DB_INDEX,       /* index number, value_key, 0, block of ids -> set of ids: state_index.c */
    DB_COUNTS,      /* index number, value_key -> number of devices */
    DB_DEADLETTERS, /* number -> JSON */
    DB_RULESETS,    /* see state_rules.c */
    DB_WORDS,       /* number -> text */
    DB_COUNTERS,    /* name -> number */
    DB_INDEXES,     /* scope, key -> struct index_record */
    DB_COUNT
};

struct totals {
    uint64_t applied_seq;
    uint64_t device_count;
    uint64_t letter_first; /* number of the oldest dead letter kept */
    uint64_t letter_next;
    uint64_t history_end; /* position behind the last row of history */
    uint64_t layer;       /* number of the newest layer, which has to be there; 0: none has */
};

/* An index: the device type is number 0 in place 0, the bucket of the timer number 1 in place 1, the
 * configured ones follow in their order. */
struct index {
    enum scope scope;
    struct text key; /* in state->lasting */
    uint8_t number;  /* its key in DB_INDEX and DB_COUNTS; stays while it is configured */
    bool ready;      /* false while it is being built */
};
enum { TYPE_INDEX, TIMER_INDEX, FIRST_INDEX, INDEX_PLACES = FIRST_INDEX + INDEX_COUNT_MAX };

/* The values that TIMER_INDEX holds, rising, and how many devices each: state_timer.c. */
struct buckets {
    struct bucket {
        int64_t at_ms;
        uint64_t device_count; /* above 0 */
    } *items;
    size_t count;
    size_t capacity;
};

enum { COUNTER_COUNT_MAX = CLASS_LIFE_COUNT_MAX, COUNTER_NAME_BYTES_MAX = 64 };

struct counter {
    uint64_t number;
    uint64_t written; /* as in the changes or on disk */
    bool is_stored;   /* if only as 0: a name that was given out stays so in a replay */
    struct text name;       /* in state->lasting */
    struct text class_name; /* the name without its "n/"; in it, or the word */
};

static inline enum db part_db(enum part part)
{
    return part == PART_TELEMETRY ? DB_TELEMETRY : DB_DEVICES;
}

static inline bool db_is_of_devices(enum db db)
{
    return db == DB_DEVICES || db == DB_TELEMETRY;
}

/* Of a sub-database that is of devices. */
static inline enum part db_part(enum db db)
{
    return db == DB_TELEMETRY ? PART_TELEMETRY : PART_ATTRIBUTES;
}

/* The working copy of one device. */
struct device {
    struct state *state;
    uint32_t id;
    struct record_head head;
    struct entries parts[PART_COUNT];
    bool loaded[PART_COUNT];
    bool changed[PART_COUNT];
    bool is_trial; /* rewound: never saved, and what changes it isn't noted */
    struct arena arena; /* all bytes of it; reset at each open */
    uint64_t touched;   /* bit i: the attribute of indexes[i] was changed */
    struct text
        old_keys[INDEX_PLACES]; /* for a touched index: the value_key in its rows; len 0: none */
};
_Static_assert(INDEX_PLACES <= 64, "touched has a bit for each index");

struct state {
    struct lmdb_env env;
    char *dir;
    MDB_dbi dbs[DB_COUNT];
    MDB_txn *read; /* of the last checkpoint */
    struct changes *now;
    struct changes *frozen; /* empty but while a checkpoint isn't done */
    struct changes *last;   /* what the last one wrote: nearer than the disk, until the next freezes */
    struct changes changes[3];
    struct checkpoint checkpoint;
    size_t slice_pages;
    atomic_uint snapshot_count; /* held: what they need stays */

    struct seglog *history;
    struct history_notes notes; /* of the step under way */
    size_t flush_bytes;         /* of history in memory: then it is written */
    uint64_t history_reads; /* rows */
    struct history_mark {
        struct moment moment;
        uint64_t position;
    } marks[8]; /* where followers go on */
    size_t mark_next;
    uint64_t checkpoint_history; /* its end in the last checkpoint */

    struct totals totals;
    struct totals written;   /* as in the changes or on disk */
    uint64_t checkpoint_seq; /* as on disk */
    uint64_t checkpoint_pages; /* that the last one wrote, at most */
    struct names names;
    uint32_t *places[PART_COUNT]; /* of the devices' rows in the changes and layers, by id; NULL: none */
    size_t place_count;
    struct layers layers;
    struct layers dropped; /* the next checkpoint's thread lets go of them: that takes a while */
    uint64_t layer_number; /* the last one's */
    size_t carry_row; /* of the oldest layer: those before it were carried over */
    struct spots spots;  /* of devices' rows in the database */
    struct expected {
        uint32_t hash; /* of the name */
        uint32_t id;   /* found a few calls later */
        bool is_known;
    } expected[LOOK_AHEAD];
    uint32_t expected_count; /* the next is at % LOOK_AHEAD */
    struct words words;
    struct seen seen;
    struct index indexes[INDEX_PLACES];
    size_t index_count; /* with the type's and the timers' */
    struct buckets buckets;
    struct counter counters[COUNTER_COUNT_MAX];
    size_t counter_count;
    struct device device;
    struct entries scratch; /* of a record that is only looked at */
    struct arena lasting;   /* until state_close */
};

/* --- rows (state_db.c) --- */

/* row_key - any bytes as a row's key. */
static inline struct text row_key(const void *bytes, size_t len)
{
    return (struct text){bytes, len};
}

bool state_db_open(struct state *state, struct err *err); /* the sub-databases; creates them */

/* state_db_create - the same in another, new environment. Returns LMDB's code. */
int state_db_create(MDB_txn *txn, MDB_dbi dbs[DB_COUNT]);

/* state_db_get - *value is borrowed until the row is written again or a checkpoint begins or ends. */
bool state_db_get(const struct state *state, enum db db, struct text key, struct text *value,
                  bool *found, struct err *err);
/* state_db_get_stored - as the last checkpoint has it. */
bool state_db_get_stored(const struct state *state, enum db db, struct text key, struct text *value,
                         bool *found, struct err *err);
/* state_db_put - room for a value of `len` bytes, to be filled at once. */
char *state_db_put(struct state *state, enum db db, struct text key, size_t len);
void state_db_delete(struct state *state, enum db db, struct text key);
/* state_db_edit - a row's value to be changed where it is, if it was written since the last checkpoint; else NULL. */
char *state_db_edit(struct state *state, enum db db, struct text key, size_t *len);

bool state_db_get_number(const struct state *state, enum db db, struct text key, uint64_t *number,
                         bool *found, struct err *err);
void state_db_put_number(struct state *state, enum db db, struct text key, uint64_t number);

/* Rows in the order of their keys (for devices and the like: of their numbers). */
struct scan {
    const struct state *state;
    enum db db;
    struct text prefix;
    MDB_cursor *cursor;
    struct text disk_key, disk_value; /* the next row on disk; key.bytes NULL: none is left */
    struct scan_list {
        const struct change **rows;
        size_t count;
        size_t at;
    } lists[2]; /* the changes, newest first */
};

/* state_scan_open - from the first key on that isn't below `from`, as long as keys start with `prefix`
 * (borrowed). Nothing may be written to the sub-database while it is open. state_scan_close takes one
 * that failed to open, too. */
bool state_scan_open(const struct state *state, enum db db, struct text prefix, struct text from,
                     struct scan *scan, struct err *err);
/* state_scan_next - key and value are borrowed until a write or the end of a checkpoint. */
bool state_scan_next(struct scan *scan, struct text *key, struct text *value, bool *found,
                     struct err *err);
void state_scan_close(struct scan *scan);

/* state_db_damaged - ERR_DAMAGED about a sub-database. */
bool state_db_damaged(const struct state *state, enum db db, struct err *err);
/* state_db_pages - pages in use by a sub-database in `txn`, and the branch pages among them. */
size_t state_db_pages(const struct state *state, MDB_txn *txn, enum db db, size_t *branch_pages);
/* state_db_by_number - are its keys integers, sorted as such? */
bool state_db_by_number(enum db db);

/* --- rows on disk (state_write.c) --- */

enum { ROW_CRC_BYTES = 4 }; /* in front of each value on disk */
uint32_t state_db_crc(struct text key, struct text value);
/* state_db_check_stored - is the row as it was written? Else ERR_DAMAGED. */
bool state_db_check_stored(const struct state *state, enum db db, struct text key, struct text stored,
                           struct err *err);

/* state_write - the frozen changes, and when devices were seen, in transactions that change about `slice_pages` pages
 * each. When there is a layer: of devices all that are in layers, or none if these stay. Last-seen times may be newer
 * than the rest (seen.h). The totals come with the last transaction; earlier ones may be in when it fails.
 * Errors as lmdb_env_commit. */
bool state_write(struct state *state, size_t slice_pages, struct err *err);

/* --- indexes (state_index.c, state_reindex.c) --- */

/* state_index_configure - bring the disk in line with the configured list. Makes checkpoints. */
bool state_index_configure(struct state *state, const struct state_options *options,
                           struct err *err);
/* state_index_place - where the index on (scope, key) is, or 0. */
size_t state_index_place(const struct state *state, enum scope scope, struct text key);
/* state_index_move - the device went from one value to another; len 0 is none. */
bool state_index_move(struct state *state, size_t place, uint32_t id, struct text old_key,
                      struct text new_key, struct err *err);
/* Where the set of a value's devices is among the changes: to ask for its memory before it is changed. */
struct set_place {
    uint32_t hash;
    size_t at; /* the byte of its key and value that is of the device */
};
struct set_place state_index_set_place(const struct state *state, size_t place, uint32_t id, struct text value_key);
/* state_index_ids - ids of devices that have the value, rising, from `from_id` on. */
bool state_index_ids(struct state *state, size_t place, struct text value_key, uint32_t from_id,
                     uint32_t *ids, size_t id_count_max, size_t *id_count, struct err *err);
bool state_counts_get(struct state *state, size_t place, const struct value *value, uint64_t *count,
                      struct err *err);

/* --- devices (state_device.c) --- */

/* state_device_load - the device by id into the working copy. */
bool state_device_load(struct state *state, uint32_t id, struct err *err);
/* state_device_look - only look at a device: head and entries (in state->scratch), borrowed until
 * the next write. */
bool state_device_look(struct state *state, uint32_t id, struct record_head *head, struct err *err);
/* state_names_load - fill state->names from disk. */
bool state_names_load(struct state *state, struct err *err);

/* device_touch - the value of indexes[place] is about to change from `old` (NULL: there is none): remember
 * which rows have it. */
void device_touch(struct device *device, size_t place, const struct value *old);

/* --- timers (state_timer.c) --- */

/* state_timers_load - fill state->buckets from disk. */
bool state_timers_load(struct state *state, struct err *err);
/* state_timer_moved - a device went from one bucket to another; len 0 is none. */
void state_timer_moved(struct state *state, struct text old_key, struct text new_key);

/* --- history (state_history.c) --- */

/* state_history_open - the totals are loaded. What is behind the last checkpoint is cut off. */
bool state_history_open(struct state *state, struct err *err);
/* state_history_add - write the row of the step under way, if anything was noted; the device's record is yet
 * to be written. Errors ERR_STORE. */
bool state_history_add(struct state *state, struct device *device, struct err *err);

/* --- words (state_words.c) --- */
bool state_words_load(struct state *state, struct err *err);
/* state_words_save - put the words that are new among the changes. */
void state_words_save(struct state *state);

/* --- counters (state_counter.c) --- */
bool state_counters_load(struct state *state, struct err *err);
void state_counters_save(struct state *state);

#endif

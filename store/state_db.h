/* state_db.h - what the state_*.c files share: the open transaction, its sub-databases, and what is
 * kept in memory beside them. Nobody outside store/ includes this.
 *
 * A write that LMDB refuses spoils the transaction as a whole. The state then remembers why
 * ("broken"), every further access repeats that error, and state_checkpoint() goes back to the last
 * commit. */
#ifndef STORE_STATE_DB_H
#define STORE_STATE_DB_H

#include "store/counts.h"
#include "store/lmdb_env.h"
#include "store/names.h"
#include "store/record.h"
#include "store/seen.h"
#include "store/state.h"
#include "store/value_key.h"

enum db {
    DB_META,        /* "totals" -> struct totals */
    DB_NAMES,       /* device name -> struct name_record */
    DB_DEVICES,     /* device id -> attributes record */
    DB_TELEMETRY,   /* device id -> latest telemetry record */
    DB_SEEN,        /* block number -> struct seen_record */
    DB_INDEX,       /* index number, value_key, 0, block of ids -> set of ids: state_index.c */
    DB_COUNTS,      /* index number, value_key -> struct number_record */
    DB_DEADLETTERS, /* number -> crc32c, JSON */
    DB_RULESETS,    /* see state_rules.c */
    DB_WORDS,       /* number -> crc32c, text */
    DB_COUNTERS,    /* name -> struct number_record */
    DB_INDEXES,     /* scope, key -> struct index_record */
    DB_COUNT
};

/* Numbers on disk with their checksum, which covers the key too. */
struct number_record {
    uint64_t number;
    uint32_t crc;
    uint32_t zero;
};

struct totals {
    uint64_t applied_seq;
    uint64_t device_count;
    uint64_t letter_first; /* number of the oldest dead letter kept */
    uint64_t letter_next;
    uint32_t crc;
    uint32_t zero;
};

/* An index: the device type is number 0 in place 0, the configured ones follow in their order. */
struct index {
    enum scope scope;
    struct text key; /* in state->lasting */
    uint8_t number;  /* its key in DB_INDEX and DB_COUNTS; stays while it is configured */
    bool ready;      /* false while it is being built */
};
enum { TYPE_INDEX, FIRST_INDEX, INDEX_PLACES = FIRST_INDEX + INDEX_COUNT_MAX };

enum { COUNTER_COUNT_MAX = 256, COUNTER_NAME_BYTES_MAX = 64 };

struct counter {
    uint64_t number;
    uint64_t committed;
    bool stored;      /* on disk, if only as 0: a name that was given out stays so in a replay */
    struct text name; /* in state->lasting */
};

enum part { PART_ATTRIBUTES, PART_TELEMETRY, PART_COUNT };

/* The working copy of one device. */
struct device {
    struct state *state;
    uint32_t id;
    struct record_head head;
    struct entries parts[PART_COUNT];
    bool loaded[PART_COUNT];
    bool copied[PART_COUNT]; /* its page on disk is among the changed ones already */
    bool changed[PART_COUNT];
    struct arena arena; /* all bytes of it; reset at each open */
    uint64_t touched;   /* bit i: the attribute of indexes[i] was changed */
    struct text
        old_keys[INDEX_PLACES]; /* for a touched index: the value_key on disk; len 0: none */
};
_Static_assert(INDEX_PLACES <= 64, "touched has a bit for each index");

struct state {
    struct lmdb_env env;
    MDB_txn *txn;
    MDB_dbi dbs[DB_COUNT];
    size_t page_writes[DB_COUNT]; /* since the last commit: a bound on pages of before it written */
    size_t pages_then[DB_COUNT];  /* pages in use at the last commit */
    size_t last_counted;          /* what the last write added to page_writes */
    bool is_broken;
    struct err broken;

    struct totals totals;    /* as in the open transaction */
    struct totals committed; /* as on disk */
    uint64_t committed_pages_written;
    struct names names;
    struct words words;
    struct seen seen;
    struct counts counts;
    struct index indexes[INDEX_PLACES];
    size_t index_count; /* with the type's */
    struct counter counters[COUNTER_COUNT_MAX];
    size_t counter_count;
    struct device device;
    struct entries scratch; /* of a record that is only looked at */
    struct arena lasting;   /* until state_close */
};

/* --- access (state_db.c) --- */

bool state_db_open(struct state *state, struct err *err); /* the sub-databases, in state->txn */
/* state_db_get - *value is borrowed until the next write. */
bool state_db_get(struct state *state, enum db db, MDB_val key, MDB_val *value, bool *found,
                  struct err *err);
bool state_db_put(struct state *state, enum db db, MDB_val key, MDB_val value, struct err *err);
/* state_db_not_counted - the last write was to a page that was copied before: it adds no page. */
void state_db_not_counted(struct state *state, enum db db);
/* state_db_reserve - room for `len` bytes to fill before the next call; more `flags` as mdb_put's.
 */
bool state_db_reserve(struct state *state, enum db db, MDB_val key, size_t len, unsigned flags,
                      char **bytes, struct err *err);
bool state_db_delete(struct state *state, enum db db, MDB_val key, bool *existed, struct err *err);
/* state_db_spoil - the transaction must not be committed any more, because of `why`. Returns false.
 */
bool state_db_spoil(struct state *state, const struct err *why, struct err *err);
/* state_db_cursor - to be closed by the caller before anything is written. */
bool state_db_cursor(struct state *state, enum db db, MDB_cursor **cursor, struct err *err);
/* state_db_move - mdb_cursor_get; the end is *found false. */
bool state_db_move(struct state *state, MDB_cursor *cursor, MDB_val *key, MDB_val *value,
                   MDB_cursor_op op, bool *found, struct err *err);
/* state_db_pages - pages in use by one sub-database. */
size_t state_db_pages(const struct state *state, enum db db, size_t *branch_pages);

/* A number record by name; *found false leaves *number alone. */
bool state_db_get_number(struct state *state, enum db db, struct text key, uint64_t *number,
                         bool *found, struct err *err);
bool state_db_put_number(struct state *state, enum db db, struct text key, uint64_t number,
                         struct err *err);

/* state_commit - write what is kept in memory, commit, open the next transaction. (state.c)
 * Errors as lmdb_env_commit; then the transaction is gone. */
bool state_commit(struct state *state, struct err *err);

/* --- indexes (state_index.c, state_reindex.c) --- */

/* state_index_configure - bring the disk in line with the configured list. Commits. */
bool state_index_configure(struct state *state, const struct state_options *options,
                           struct err *err);
/* state_index_place - where the index on (scope, key) is, or 0. */
size_t state_index_place(const struct state *state, enum scope scope, struct text key);
/* state_index_move - the device went from one value to another; len 0 is none. */
bool state_index_move(struct state *state, size_t place, uint32_t id, struct text old_key,
                      struct text new_key, struct err *err);
/* state_index_ids - ids of devices that have the value, rising, from `from_id` on. */
bool state_index_ids(struct state *state, size_t place, struct text value_key, uint32_t from_id,
                     uint32_t *ids, size_t id_count_max, size_t *id_count, struct err *err);
bool state_counts_flush(struct state *state, struct err *err);
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

/* --- words (state_words.c) --- */
bool state_words_load(struct state *state, struct err *err);
/* state_words_save - write the words that are new. */
bool state_words_save(struct state *state, struct err *err);

/* --- counters (state_counter.c) --- */
bool state_counters_load(struct state *state, struct err *err);
bool state_counters_flush(struct state *state, struct err *err);

#endif

#include "store/state_db.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "engine/base/crc32c.h"

static const struct {
    const char *name;
    unsigned flags;
} databases[] = {
    [DB_META] = {"meta", 0},
    [DB_NAMES] = {"names", 0},
    [DB_DEVICES] = {"devices", MDB_INTEGERKEY},
    [DB_TELEMETRY] = {"telemetry", MDB_INTEGERKEY},
    [DB_SEEN] = {"seen", MDB_INTEGERKEY},
    [DB_INDEX] = {"index", 0},
    [DB_COUNTS] = {"counts", 0},
    [DB_DEADLETTERS] = {"deadletters", MDB_INTEGERKEY},
    [DB_RULESETS] = {"rulesets", 0},
    [DB_WORDS] = {"words", MDB_INTEGERKEY},
    [DB_COUNTERS] = {"counters", 0},
    [DB_INDEXES] = {"indexes", 0},
};
_Static_assert(sizeof databases / sizeof databases[0] == DB_COUNT, "name every sub-database");
_Static_assert((int)DB_COUNT <= (int)CHANGES_DB_MAX, "changes know them by number");

bool state_db_by_number(enum db db)
{
    return (databases[db].flags & MDB_INTEGERKEY) != 0;
}

int state_db_create(MDB_txn *txn, MDB_dbi dbs[DB_COUNT])
{
    int rc = 0;
    for (enum db db = 0; db < DB_COUNT && rc == 0; db++)
        rc = mdb_dbi_open(txn, databases[db].name, MDB_CREATE | databases[db].flags, &dbs[db]);
    return rc;
}

bool state_db_open(struct state *state, struct err *err)
{
    MDB_txn *txn;
    if (!lmdb_env_begin(&state->env, &txn, err))
        return false;
    int rc = state_db_create(txn, state->dbs);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return lmdb_env_error(&state->env, rc, "opening it", err);
    }
    return lmdb_env_commit(&state->env, txn, err);
}

/* --- a row on disk --- */

static MDB_val lmdb_text(struct text text)
{
    return lmdb_val(text.bytes, text.len);
}

static struct text text_lmdb(MDB_val value)
{
    return (struct text){value.mv_data, value.mv_size};
}

uint32_t state_db_crc(struct text key, struct text value)
{
    return crc32c(crc32c(0, key.bytes, key.len), value.bytes, value.len);
}

bool state_db_damaged(const struct state *state, enum db db, struct err *err)
{
    return lmdb_env_damaged(&state->env, err, "a record of '%s' fails its checksum",
                            databases[db].name);
}

/* The checksum checked and taken off. */
static bool check_row(const struct state *state, enum db db, struct text key, struct text stored,
                      struct text *value, struct err *err)
{
    uint32_t crc;
    if (stored.len < ROW_CRC_BYTES)
        return state_db_damaged(state, db, err);
    struct text rest = {stored.bytes + ROW_CRC_BYTES, stored.len - ROW_CRC_BYTES};
    memcpy(&crc, stored.bytes, ROW_CRC_BYTES);
    if (crc != state_db_crc(key, rest))
        return state_db_damaged(state, db, err);
    *value = rest;
    return true;
}

bool state_db_check_stored(const struct state *state, enum db db, struct text key, struct text stored,
                           struct err *err)
{
    struct text value;
    bool is_mark = db == DB_META && text_is(key, "format"); /* lmdb_env.c's, in the same sub-database */
    return is_mark || check_row(state, db, key, stored, &value, err);
}

static bool read_failed(const struct state *state, int rc, struct err *err)
{
    return lmdb_env_error(&state->env, rc, "reading", err);
}

bool state_db_get_stored(const struct state *state, enum db db, struct text key, struct text *value,
                         bool *found, struct err *err)
{
    MDB_val lmdb_key = lmdb_text(key), stored;
    int rc = mdb_get(state->read, state->dbs[db], &lmdb_key, &stored);
    if (rc == MDB_NOTFOUND) {
        *found = false;
        return true;
    }
    if (rc != 0)
        return read_failed(state, rc, err);
    *found = true;
    return check_row(state, db, key, text_lmdb(stored), value, err);
}

/* --- rows --- */

bool state_db_get(const struct state *state, enum db db, struct text key, struct text *value,
                  bool *found, struct err *err)
{
    const struct change *change = changes_find(state->now, db, key);
    if (change == NULL)
        change = changes_find(state->frozen, db, key);
    if (change == NULL)
        change = changes_find(state->last, db, key);
    if (change == NULL)
        return state_db_get_stored(state, db, key, value, found, err);
    *found = !change->is_deleted;
    *value = change_value(change);
    return true;
}

char *state_db_put(struct state *state, enum db db, struct text key, size_t len)
{
    return changes_put(state->now, db, key, len);
}

void state_db_delete(struct state *state, enum db db, struct text key)
{
    changes_delete(state->now, db, key);
}

char *state_db_edit(struct state *state, enum db db, struct text key, size_t *len)
{
    return changes_edit(state->now, db, key, len);
}

bool state_db_get_number(const struct state *state, enum db db, struct text key, uint64_t *number,
                         bool *found, struct err *err)
{
    struct text value;
    if (!state_db_get(state, db, key, &value, found, err))
        return false;
    if (!*found)
        return true;
    if (value.len != sizeof *number)
        return state_db_damaged(state, db, err);
    memcpy(number, value.bytes, sizeof *number);
    return true;
}

void state_db_put_number(struct state *state, enum db db, struct text key, uint64_t number)
{
    memcpy(state_db_put(state, db, key, sizeof number), &number, sizeof number);
}

/* --- in order --- */

static bool move_on_disk(struct scan *scan, MDB_cursor_op op, MDB_val key, struct err *err)
{
    MDB_val value;
    int rc = mdb_cursor_get(scan->cursor, &key, &value, op);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return read_failed(scan->state, rc, err);
    if (rc == 0 && text_starts(text_lmdb(key), scan->prefix)) {
        scan->disk_key = text_lmdb(key);
        scan->disk_value = text_lmdb(value);
    } else {
        scan->disk_key = (struct text){NULL, 0};
    }
    return true;
}

static void open_list(struct scan_list *list, const struct changes *changes, enum db db,
                      struct text prefix, struct text from)
{
    list->rows = changes_sorted(changes, db, prefix, state_db_by_number(db), &list->count);
    while (list->at < list->count && text_compare(change_key(list->rows[list->at]), from) < 0)
        list->at++;
}

bool state_scan_open(const struct state *state, enum db db, struct text prefix, struct text from,
                     struct scan *scan, struct err *err)
{
    *scan = (struct scan){.state = state, .db = db, .prefix = prefix};
    if (text_compare(from, prefix) < 0)
        from = prefix;
    open_list(&scan->lists[0], state->now, db, prefix, from);
    open_list(&scan->lists[1], state->frozen, db, prefix, from);
    assert(!state_db_by_number(db) || (from.len == 0 && scan->lists[0].count + scan->lists[1].count == 0));
    int rc = mdb_cursor_open(state->read, state->dbs[db], &scan->cursor);
    if (rc != 0)
        return read_failed(state, rc, err);
    return move_on_disk(scan, from.len > 0 ? MDB_SET_RANGE : MDB_FIRST, lmdb_text(from), err);
}

static const struct change *list_row(const struct scan_list *list)
{
    return list->at < list->count ? list->rows[list->at] : NULL;
}

/* The lowest key that is left; false when there is none. */
static bool lowest_key(const struct scan *scan, struct text *lowest)
{
    *lowest = scan->disk_key;
    for (size_t i = 0; i < 2; i++) {
        const struct change *change = list_row(&scan->lists[i]);
        if (change != NULL &&
            (lowest->bytes == NULL || text_compare(change_key(change), *lowest) < 0))
            *lowest = change_key(change);
    }
    return lowest->bytes != NULL;
}

/* Take the row with this key from wherever it is; the newest counts. */
static bool take_row(struct scan *scan, struct text key, struct text *value, bool *deleted,
                     struct err *err)
{
    bool taken = false;
    *deleted = false;
    for (size_t i = 0; i < 2; i++) {
        const struct change *change = list_row(&scan->lists[i]);
        if (change == NULL || !text_equal(change_key(change), key))
            continue;
        scan->lists[i].at++;
        if (taken)
            continue;
        taken = true;
        *deleted = change->is_deleted;
        *value = change_value(change);
    }
    if (scan->disk_key.bytes == NULL || !text_equal(scan->disk_key, key))
        return true;
    return (taken || check_row(scan->state, scan->db, key, scan->disk_value, value, err)) &&
           move_on_disk(scan, MDB_NEXT, lmdb_val(NULL, 0), err);
}

bool state_scan_next(struct scan *scan, struct text *key, struct text *value, bool *found,
                     struct err *err)
{
    bool deleted = true;
    while (deleted) {
        *found = lowest_key(scan, key);
        if (!*found)
            return true;
        if (!take_row(scan, *key, value, &deleted, err))
            return false;
    }
    return true;
}

void state_scan_close(struct scan *scan)
{
    if (scan->cursor != NULL)
        mdb_cursor_close(scan->cursor);
    free(scan->lists[0].rows);
    free(scan->lists[1].rows);
}

size_t state_db_pages(const struct state *state, MDB_txn *txn, enum db db, size_t *branch_pages)
{
    MDB_stat stat;
    *branch_pages = 0;
    if (mdb_stat(txn, state->dbs[db], &stat) != 0)
        return 0;
    *branch_pages = stat.ms_branch_pages;
    return stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
}

#include "store/state_db.h"

#include <stdio.h>

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

bool state_db_open(struct state *state, struct err *err)
{
    for (enum db db = 0; db < DB_COUNT; db++) {
        int rc = mdb_dbi_open(state->txn, databases[db].name, MDB_CREATE | databases[db].flags,
                              &state->dbs[db]);
        if (rc != 0)
            return lmdb_env_error(&state->env, rc, "opening it", err);
    }
    return true;
}

/* --- errors --- */

static bool is_usable(const struct state *state, struct err *err)
{
    if (!state->is_broken)
        return true;
    return err_set(err, state->broken.code, "%s", state->broken.text);
}

bool state_db_spoil(struct state *state, const struct err *why, struct err *err)
{
    if (!state->is_broken)
        state->broken = *why;
    state->is_broken = true;
    return is_usable(state, err);
}

static bool write_failed(struct state *state, int rc, enum db db, struct err *err)
{
    struct err why;
    char doing[64];
    snprintf(doing, sizeof doing, "writing %s", databases[db].name);
    lmdb_env_error(&state->env, rc, doing, &why);
    return state_db_spoil(state, &why, err);
}

static bool read_failed(const struct state *state, int rc, struct err *err)
{
    return lmdb_env_error(&state->env, rc, "reading", err);
}

/* --- access --- */

bool state_db_get(struct state *state, enum db db, MDB_val key, MDB_val *value, bool *found,
                  struct err *err)
{
    if (!is_usable(state, err))
        return false;
    int rc = mdb_get(state->txn, state->dbs[db], &key, value);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return read_failed(state, rc, err);
    *found = rc == 0;
    return true;
}

/* Records of devices that are new since the last commit are on pages that are new too; these are
 * counted as what was added. */
static bool is_new_record(const struct state *state, enum db db, const MDB_val *key)
{
    uint32_t id;
    if (db != DB_DEVICES && db != DB_TELEMETRY)
        return false;
    memcpy(&id, key->mv_data, sizeof id);
    return id >= state->committed.device_count;
}

/* A write touches one leaf that was there before (a split adds pages, which state_dirty_pages
 * sees), and a large value has pages of its own. */
static void count_pages(struct state *state, enum db db, const MDB_val *key, size_t len)
{
    state->last_counted = 0;
    if (is_new_record(state, db, key))
        return;
    state->last_counted = len < state->env.page_bytes / 2 ? 1 : 2 + len / state->env.page_bytes;
    state->page_writes[db] += state->last_counted;
}

void state_db_not_counted(struct state *state, enum db db)
{
    state->page_writes[db] -= state->last_counted;
    state->last_counted = 0;
}

bool state_db_put(struct state *state, enum db db, MDB_val key, MDB_val value, struct err *err)
{
    if (!is_usable(state, err))
        return false;
    int rc = mdb_put(state->txn, state->dbs[db], &key, &value, 0);
    if (rc != 0)
        return write_failed(state, rc, db, err);
    count_pages(state, db, &key, value.mv_size);
    return true;
}

bool state_db_reserve(struct state *state, enum db db, MDB_val key, size_t len, unsigned flags,
                      char **bytes, struct err *err)
{
    if (!is_usable(state, err))
        return false;
    MDB_val value = lmdb_val(NULL, len);
    int rc = mdb_put(state->txn, state->dbs[db], &key, &value, flags | MDB_RESERVE);
    if (rc != 0)
        return write_failed(state, rc, db, err);
    count_pages(state, db, &key, len);
    *bytes = value.mv_data;
    return true;
}

bool state_db_delete(struct state *state, enum db db, MDB_val key, bool *existed, struct err *err)
{
    if (!is_usable(state, err))
        return false;
    int rc = mdb_del(state->txn, state->dbs[db], &key, NULL);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return write_failed(state, rc, db, err);
    state->page_writes[db] += 3; /* the leaf may be merged with a neighbour */
    *existed = rc == 0;
    return true;
}

bool state_db_cursor(struct state *state, enum db db, MDB_cursor **cursor, struct err *err)
{
    if (!is_usable(state, err))
        return false;
    int rc = mdb_cursor_open(state->txn, state->dbs[db], cursor);
    return rc == 0 || read_failed(state, rc, err);
}

bool state_db_move(struct state *state, MDB_cursor *cursor, MDB_val *key, MDB_val *value,
                   MDB_cursor_op op, bool *found, struct err *err)
{
    int rc = mdb_cursor_get(cursor, key, value, op);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return read_failed(state, rc, err);
    *found = rc == 0;
    return true;
}

size_t state_db_pages(const struct state *state, enum db db, size_t *branch_pages)
{
    MDB_stat stat;
    *branch_pages = 0;
    if (state->is_broken || mdb_stat(state->txn, state->dbs[db], &stat) != 0)
        return 0;
    *branch_pages = stat.ms_branch_pages;
    return stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
}

/* --- numbers --- */

static uint32_t number_crc(struct text key, uint64_t number)
{
    return crc32c(crc32c(0, key.bytes, key.len), &number, sizeof number);
}

bool state_db_get_number(struct state *state, enum db db, struct text key, uint64_t *number,
                         bool *found, struct err *err)
{
    MDB_val value;
    struct number_record record = {0};
    if (!state_db_get(state, db, lmdb_val(key.bytes, key.len), &value, found, err))
        return false;
    if (!*found)
        return true;
    if (value.mv_size == sizeof record)
        memcpy(&record, value.mv_data, sizeof record);
    if (value.mv_size != sizeof record || record.crc != number_crc(key, record.number))
        return lmdb_env_damaged(&state->env, err, "a number in %s fails its checksum",
                                databases[db].name);
    *number = record.number;
    return true;
}

bool state_db_put_number(struct state *state, enum db db, struct text key, uint64_t number,
                         struct err *err)
{
    struct number_record record = {number, number_crc(key, number), 0};
    return state_db_put(state, db, lmdb_val(key.bytes, key.len), lmdb_val(&record, sizeof record),
                        err);
}

/* state_backup.c - a copy of one checkpoint, while later ones are made. A read transaction begun between two
 * checkpoints goes on seeing the first of them: LMDB leaves its pages alone, and takes new ones meanwhile.
 *
 * The rows are read in the order of their keys, checked against their checksums, and appended to a new
 * database; the layers beside it (layer.h) are copied as they are. So the copy is compact, damage in the database is
 * found instead of copied, and memory stays small. LMDB's own mdb_env_copy begins its transaction whenever it gets to
 * it, which may be in the middle of a checkpoint, and can't be stopped. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/disk.h"
#include "store/state_db.h"

enum {
    SLICE_BYTES = 1 << 20,  /* of rows in one transaction */
};

struct state_snapshot {
    struct state *state;
    MDB_txn *txn;
    uint64_t bytes; /* of pages */
    uint64_t history_end;
    uint64_t row_count;
    struct layers layers; /* held */
};

/* --- holding a checkpoint -------------------------------------------------------------------------------- */

static uint64_t count_rows(const struct state *state, MDB_txn *txn)
{
    uint64_t count = 0;
    for (enum db db = 0; db < DB_COUNT; db++) {
        MDB_stat stat;
        int rc = mdb_stat(txn, state->dbs[db], &stat);
        assert(rc == 0);
        count += stat.ms_entries;
    }
    return count;
}

static struct layers hold_layers(const struct layers *layers)
{
    struct layers held = {.items = calloc(layers->count + 1, sizeof *held.items), .count = layers->count};
    if (held.items == NULL)
        abort();
    for (size_t i = 0; i < held.count; i++)
        layer_hold(held.items[i] = layers->items[i]);
    return held;
}

bool state_snapshot_take(struct state *state, struct state_snapshot **out, struct err *err)
{
    assert(!state->checkpoint.is_running);
    if (state->checkpoint.is_frozen) /* so it failed, perhaps half way */
        return err_set(err, ERR_FULL, "%s: its last checkpoint didn't fit on the disk: free some space",
                       state->env.path);
    MDB_txn *txn;
    int rc = mdb_txn_begin(state->env.env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return err_set(err, ERR_IO, "%s: cannot be read for a copy: %s", state->env.path, mdb_strerror(rc));
    struct state_snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (snapshot == NULL)
        abort();
    *snapshot = (struct state_snapshot){.state = state,
                                        .txn = txn,
                                        .bytes = state_bytes(state) - layers_bytes(&state->layers),
                                        .history_end = state->checkpoint_history,
                                        .row_count = count_rows(state, txn),
                                        .layers = hold_layers(&state->layers)};
    atomic_fetch_add(&state->snapshot_count, 1);
    *out = snapshot;
    return true;
}

void state_snapshot_release(struct state_snapshot *snapshot)
{
    mdb_txn_abort(snapshot->txn);
    atomic_fetch_sub(&snapshot->state->snapshot_count, 1);
    for (size_t i = 0; i < snapshot->layers.count; i++)
        layer_release(snapshot->layers.items[i]);
    free(snapshot->layers.items);
    free(snapshot);
}

/* --- copying it ------------------------------------------------------------------------------------------ */

struct copy {
    const struct state_snapshot *snapshot;
    struct copying *copying;
    uint64_t bytes_before; /* that were copied before the rows */
    struct lmdb_env target;
    MDB_txn *txn;
    size_t slice_bytes; /* in txn */
    size_t unsynced_bytes;
    uint64_t rows_done;
};

static bool target_error(const struct copy *copy, int rc, struct err *err)
{
    return lmdb_env_error(&copy->target, rc, "copying", err);
}

static bool begin_slice(struct copy *copy, struct err *err)
{
    copy->slice_bytes = 0;
    return lmdb_env_begin(&copy->target, &copy->txn, err);
}

static bool end_slice(struct copy *copy, struct err *err)
{
    const struct state_snapshot *snapshot = copy->snapshot;
    MDB_txn *txn = copy->txn;
    copy->txn = NULL;
    if (!lmdb_env_commit(&copy->target, txn, err))
        return false;
    copy->unsynced_bytes += copy->slice_bytes;
    if (copy->unsynced_bytes >= COPY_SYNC_BYTES) {
        copy->unsynced_bytes = 0;
        int rc = mdb_env_sync(copy->target.env, 1);
        if (rc != 0)
            return target_error(copy, rc, err);
    }
    atomic_store(&copy->copying->bytes,
                 copy->bytes_before + snapshot->bytes * copy->rows_done / snapshot->row_count);
    return !copying_stopped(copy->copying, err);
}

static bool copy_row(struct copy *copy, enum db db, MDB_dbi dbi, MDB_val *key, MDB_val *value,
                     struct err *err)
{
    if (!state_db_check_stored(copy->snapshot->state, db, row_key(key->mv_data, key->mv_size),
                               row_key(value->mv_data, value->mv_size), err))
        return false;
    int rc = mdb_put(copy->txn, dbi, key, value, MDB_APPEND);
    if (rc != 0)
        return target_error(copy, rc, err);
    copy->rows_done++;
    copy->slice_bytes += key->mv_size + value->mv_size;
    return copy->slice_bytes < SLICE_BYTES || (end_slice(copy, err) && begin_slice(copy, err));
}

static bool copy_db(struct copy *copy, enum db db, MDB_dbi dbi, struct err *err)
{
    const struct state *state = copy->snapshot->state;
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = mdb_cursor_open(copy->snapshot->txn, state->dbs[db], &cursor);
    if (rc != 0)
        return lmdb_env_error(&state->env, rc, "reading", err);
    bool done = true;
    while (done && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
        done = copy_row(copy, db, dbi, &key, &value, err);
    mdb_cursor_close(cursor);
    return done && (rc == MDB_NOTFOUND || lmdb_env_error(&state->env, rc, "reading", err));
}

static bool copy_all(struct copy *copy, struct err *err)
{
    MDB_dbi dbis[DB_COUNT];
    if (!begin_slice(copy, err))
        return false;
    int rc = state_db_create(copy->txn, dbis);
    if (rc != 0)
        return target_error(copy, rc, err);
    for (enum db db = 0; db < DB_COUNT; db++)
        if (!copy_db(copy, db, dbis[db], err))
            return false;
    if (!end_slice(copy, err))
        return false;
    rc = mdb_env_sync(copy->target.env, 1);
    return rc == 0 || target_error(copy, rc, err);
}

static bool copy_history(const struct state_snapshot *snapshot, const char *dir, struct copying *copying,
                         struct err *err)
{
    char path[4096];
    int len = snprintf(path, sizeof path, "%s/history", dir);
    assert(len > 0 && (size_t)len < sizeof path);
    return seglog_backup(snapshot->state->history, path, snapshot->history_end, copying, err);
}

static bool copy_layers(const struct state_snapshot *snapshot, const char *dir, struct copying *copying,
                        struct err *err)
{
    for (size_t i = 0; i < snapshot->layers.count; i++)
        if (!layer_copy(snapshot->layers.items[i], dir, copying, err))
            return false;
    return true;
}

bool state_backup(const struct state_snapshot *snapshot, const char *dir, struct copying *copying,
                  struct err *err)
{
    struct copy copy = {.snapshot = snapshot, .copying = copying, .bytes_before = atomic_load(&copying->bytes)};
    if (!lmdb_env_open_copy(&copy.target, &snapshot->state->env, dir, err))
        return false;
    bool done = copy_all(&copy, err);
    if (copy.txn != NULL)
        mdb_txn_abort(copy.txn);
    lmdb_env_close(&copy.target);
    done = done && copy_layers(snapshot, dir, copying, err) && copy_history(snapshot, dir, copying, err);
    int rc = done ? disk_sync_folder(dir) : 0;
    return done && (rc == 0 || disk_error(dir, rc, "syncing it", err));
}

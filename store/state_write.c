/* Rows on their way to disk: in the order of their keys, sub-database by sub-database, in transactions of
 * a bounded number of pages. LMDB keeps a copy of each changed page in memory until the commit, so that
 * bound is what a checkpoint takes in memory. */
#include <stdlib.h>

#include "store/state_db.h"

struct writer {
    struct state *state;
    MDB_txn *txn;
    size_t pages; /* changed in txn, about */
    size_t slice_pages;
    const char *last; /* where the last value was written */
};

static MDB_val lmdb_key(const struct change *change)
{
    return lmdb_val(change->bytes, change->key_len);
}

static int delete_row(struct writer *writer, MDB_dbi dbi, const struct change *change)
{
    MDB_val key = lmdb_key(change);
    int rc = mdb_del(writer->txn, dbi, &key, NULL);
    writer->pages++;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Values that stand within a page's length of each other are on one page, more or less. */
static void count_pages(struct writer *writer, const char *value, size_t len)
{
    size_t page_bytes = writer->state->env.page_bytes;
    uintptr_t here = (uintptr_t)value, last = (uintptr_t)writer->last;
    if ((here > last ? here - last : last - here) >= page_bytes)
        writer->pages += 1 + len / page_bytes;
    writer->last = value;
}

static int put_row(struct writer *writer, MDB_cursor *cursor, struct text key_text,
                   struct text value, unsigned flags)
{
    uint32_t crc = state_db_crc(key_text, value);
    MDB_val key = lmdb_val(key_text.bytes, key_text.len);
    MDB_val stored = lmdb_val(NULL, ROW_CRC_BYTES + value.len);
    int rc = mdb_cursor_put(cursor, &key, &stored, flags | MDB_RESERVE);
    if (rc != 0)
        return rc;
    memcpy(stored.mv_data, &crc, ROW_CRC_BYTES);
    if (value.len > 0)
        memcpy((char *)stored.mv_data + ROW_CRC_BYTES, value.bytes, value.len);
    count_pages(writer, stored.mv_data, stored.mv_size);
    return 0;
}

/* Does the row come behind all that are there? Then it is appended: that fills pages instead of splitting
 * them. */
static int comes_last(struct writer *writer, MDB_dbi dbi, MDB_cursor *cursor,
                      const struct change *change, bool *last)
{
    MDB_val key = lmdb_key(change), end, value;
    int rc = mdb_cursor_get(cursor, &end, &value, MDB_LAST);
    *last = rc == MDB_NOTFOUND || (rc == 0 && mdb_cmp(writer->txn, dbi, &key, &end) > 0);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Where in the sorted rows do those begin that come behind all that are there? */
static int first_appended(struct writer *writer, MDB_dbi dbi, MDB_cursor *cursor,
                          const struct change *const *rows, size_t count, size_t *first)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        bool last;
        int rc = comes_last(writer, dbi, cursor, rows[middle], &last);
        if (rc != 0)
            return rc;
        if (last)
            high = middle;
        else
            low = middle + 1;
    }
    *first = low;
    return 0;
}

/* As many of the rows as fit the transaction. */
static int put_some(struct writer *writer, MDB_dbi dbi, const struct change *const *rows, size_t count,
                    size_t *done)
{
    MDB_cursor *cursor;
    size_t appended = count, i = 0;
    int rc = mdb_cursor_open(writer->txn, dbi, &cursor);
    if (rc != 0)
        return rc;
    rc = first_appended(writer, dbi, cursor, rows, count, &appended);
    for (; rc == 0 && i < count && writer->pages < writer->slice_pages; i++)
        rc = rows[i]->is_deleted
                 ? delete_row(writer, dbi, rows[i])
                 : put_row(writer, cursor, change_key(rows[i]), change_value(rows[i]),
                           i >= appended ? MDB_APPEND : 0);
    mdb_cursor_close(cursor);
    *done = i;
    return rc;
}

static bool next_transaction(struct writer *writer, struct err *err)
{
    MDB_txn *txn = writer->txn;
    writer->txn = NULL;
    writer->pages = 0;
    writer->last = NULL;
    return lmdb_env_commit(&writer->state->env, txn, err) &&
           lmdb_env_begin(&writer->state->env, &writer->txn, err);
}

static bool put_all(struct writer *writer, enum db db, const struct change *const *rows, size_t count,
                    struct err *err)
{
    for (size_t done; count > 0; rows += done, count -= done) {
        if (writer->pages >= writer->slice_pages && !next_transaction(writer, err))
            return false;
        int rc = put_some(writer, writer->state->dbs[db], rows, count, &done);
        if (rc != 0)
            return lmdb_env_error(&writer->state->env, rc, "writing a checkpoint", err);
    }
    return true;
}

static int put_block(struct writer *writer, struct seen_block *block)
{
    MDB_cursor *cursor;
    char bytes[SEEN_BYTES_MAX];
    struct seen_times times = {.block = block};
    seen_want_all(&times);
    size_t len = seen_pack(&times, bytes);
    int rc = mdb_cursor_open(writer->txn, writer->state->dbs[DB_SEEN], &cursor);
    if (rc != 0)
        return rc;
    rc = put_row(writer, cursor, row_key(&block->number, sizeof block->number),
                 (struct text){bytes, len}, 0);
    mdb_cursor_close(cursor);
    return rc;
}

static bool write_seen(struct writer *writer, struct err *err)
{
    const struct checkpoint *checkpoint = &writer->state->checkpoint;
    for (size_t i = 0; i < checkpoint->seen_count; i++) {
        if (!state_seen_wanted(writer->state, &checkpoint->seen[i]))
            continue;
        if (writer->pages >= writer->slice_pages && !next_transaction(writer, err))
            return false;
        int rc = put_block(writer, checkpoint->seen[i].block);
        if (rc != 0)
            return lmdb_env_error(&writer->state->env, rc, "writing a checkpoint", err);
    }
    return true;
}

static bool write_db(struct writer *writer, enum db db, struct err *err)
{
    size_t count;
    const struct change **rows = changes_sorted(writer->state->frozen, db, TEXT(""),
                                                state_db_by_number(db), &count);
    bool done = put_all(writer, db, rows, count, err);
    free(rows);
    return done;
}

static int last_id(MDB_cursor *cursor, uint32_t *last, bool *any)
{
    MDB_val key, value;
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    *any = rc == 0 && key.mv_size == sizeof *last;
    if (*any)
        memcpy(last, key.mv_data, sizeof *last);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* As many devices as fit the transaction, from *id on. */
static bool put_devices(struct writer *writer, enum part part, MDB_cursor *cursor, uint32_t *id, struct err *err)
{
    struct state *state = writer->state;
    uint32_t last = 0;
    bool any;
    int rc = last_id(cursor, &last, &any);
    for (; rc == 0 && *id < state->checkpoint.carry.device_count && writer->pages < writer->slice_pages; ++*id) {
        struct text record;
        bool found;
        if (!state_carry_row(state, part, *id, &record, &found, err))
            return false;
        if (found)
            rc = put_row(writer, cursor, row_key(id, sizeof *id), record, any && *id <= last ? 0 : MDB_APPEND);
    }
    return rc == 0 || lmdb_env_error(&state->env, rc, "writing a checkpoint", err);
}

/* What is in layers, if they are to go. */
static bool write_devices(struct writer *writer, enum db db, struct err *err)
{
    struct state *state = writer->state;
    bool done = true;
    for (uint32_t id = 0; done && state->checkpoint.carry.all && id < state->checkpoint.carry.device_count;) {
        MDB_cursor *cursor;
        if (writer->pages >= writer->slice_pages && !next_transaction(writer, err))
            return false;
        int rc = mdb_cursor_open(writer->txn, state->dbs[db], &cursor);
        if (rc != 0)
            return lmdb_env_error(&state->env, rc, "writing a checkpoint", err);
        done = put_devices(writer, db_part(db), cursor, &id, err);
        mdb_cursor_close(cursor);
    }
    return done;
}

static bool write_rows_of(struct writer *writer, enum db db, struct err *err)
{
    if (db == DB_SEEN)
        return write_seen(writer, err);
    bool in_layers = db_is_of_devices(db) && writer->state->checkpoint.layered;
    return in_layers ? write_devices(writer, db, err) : write_db(writer, db, err);
}

static bool write_rows(struct writer *writer, struct err *err)
{
    for (enum db db = 0; db < DB_COUNT; db++)
        if (db != DB_META && !write_rows_of(writer, db, err))
            return false;
    return write_db(writer, DB_META, err);
}

bool state_write(struct state *state, size_t slice_pages, struct err *err)
{
    struct writer writer = {.state = state, .slice_pages = slice_pages};
    if (!lmdb_env_begin(&state->env, &writer.txn, err))
        return false;
    if (write_rows(&writer, err))
        return lmdb_env_commit(&state->env, writer.txn, err);
    if (writer.txn != NULL)
        mdb_txn_abort(writer.txn);
    return false;
}

#include "store/journal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/crc32c.h"
#include "engine/base/limits.h"
#include "store/lmdb_env.h"
#include "store/raised.h"

/* A stored record: this head, then the body. The checksum covers the seq, the rest of the head and
 * the body, so a record that moved to another seq is noticed too. Byte order is the machine's, as
 * the integer keys of LMDB are. */
struct record_head {
    uint32_t crc;
    uint32_t kind;
    int64_t received_ms;
};
_Static_assert(sizeof(struct record_head) == 16, "no padding on disk");

enum { READ_BYTES_MAX = 1 << 20 };

struct bounds {
    uint64_t first_seq;
    uint64_t last_seq;
    int64_t last_received_ms;
};

struct journal {
    struct lmdb_env env;
    MDB_dbi records;
    MDB_dbi sources;
    struct bounds committed;
    _Atomic uint64_t bytes; /* pages of the records, as of the last commit */

    MDB_txn *txn;       /* NULL outside a transaction */
    MDB_cursor *tail;   /* lives in txn */
    struct bounds open; /* as txn has it */
    struct raised raised;
};

static const struct lmdb_env_kind journal_kind = {
    .name = "journal",
    .format = 1,
    .advice = "restore a backup of the journal folder",
};

static uint32_t record_crc(uint64_t seq, const struct record_head *head, struct text body)
{
    uint32_t crc = crc32c(0, &seq, sizeof seq);
    crc = crc32c(crc, &head->kind, sizeof *head - sizeof head->crc);
    return crc32c(crc, body.bytes, body.len);
}

/* --- opening --- */

/* First and last seq and the last time, from the records themselves. */
static bool read_bounds(struct journal *journal, MDB_txn *txn, struct bounds *bounds,
                        struct err *err)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    struct bounds found = {.first_seq = 1};
    int rc = mdb_cursor_open(txn, journal->records, &cursor);
    if (rc != 0)
        return lmdb_env_error(&journal->env, rc, "reading", err);
    rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    if (rc == 0) {
        struct record_head head = {0};
        memcpy(&found.first_seq, key.mv_data, sizeof found.first_seq);
        rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
        memcpy(&found.last_seq, key.mv_data, sizeof found.last_seq);
        if (value.mv_size >= sizeof head)
            memcpy(&head, value.mv_data, sizeof head);
        found.last_received_ms = head.received_ms;
    }
    mdb_cursor_close(cursor);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return lmdb_env_error(&journal->env, rc, "reading", err);
    *bounds = found;
    return true;
}

static uint64_t records_bytes(struct journal *journal, MDB_txn *txn)
{
    MDB_stat stat;
    if (mdb_stat(txn, journal->records, &stat) != 0)
        return 0;
    return (uint64_t)(stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) *
           stat.ms_psize;
}

static bool open_databases(struct journal *journal, struct err *err)
{
    MDB_txn *txn;
    if (!lmdb_env_begin(&journal->env, &txn, err))
        return false;
    int rc = mdb_dbi_open(txn, "records", MDB_CREATE | MDB_INTEGERKEY, &journal->records);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "sources", MDB_CREATE, &journal->sources);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return lmdb_env_error(&journal->env, rc, "opening it", err);
    }
    if (!read_bounds(journal, txn, &journal->committed, err)) {
        mdb_txn_abort(txn);
        return false;
    }
    atomic_store(&journal->bytes, records_bytes(journal, txn));
    return lmdb_env_commit(&journal->env, txn, err);
}

bool journal_open(const char *dir, uint64_t map_bytes, struct journal **out, struct err *err)
{
    struct journal *journal = calloc(1, sizeof *journal);
    if (journal == NULL)
        abort();
    raised_init(&journal->raised);
    if (!lmdb_env_open(&journal->env, &journal_kind, dir, map_bytes, err) ||
        !open_databases(journal, err)) {
        journal_close(journal);
        return false;
    }
    *out = journal;
    return true;
}

void journal_close(struct journal *journal)
{
    if (journal == NULL)
        return;
    if (journal->txn != NULL)
        journal_abort(journal);
    lmdb_env_close(&journal->env);
    raised_fini(&journal->raised);
    free(journal);
}

uint64_t journal_first_seq(const struct journal *journal)
{
    return journal->committed.first_seq;
}

uint64_t journal_last_seq(const struct journal *journal)
{
    return journal->committed.last_seq;
}

int64_t journal_last_received_ms(const struct journal *journal)
{
    return journal->committed.last_received_ms;
}

uint64_t journal_bytes(const struct journal *journal)
{
    return atomic_load(&journal->bytes);
}

/* --- writing --- */

bool journal_begin(struct journal *journal, struct err *err)
{
    assert(journal->txn == NULL);
    MDB_txn *txn;
    if (!lmdb_env_begin(&journal->env, &txn, err))
        return false;
    int rc = mdb_cursor_open(txn, journal->records, &journal->tail);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return lmdb_env_error(&journal->env, rc, "starting a transaction", err);
    }
    journal->txn = txn;
    journal->open = journal->committed;
    return true;
}

bool journal_append(struct journal *journal, enum journal_kind kind, int64_t received_ms,
                    struct text body, uint64_t *seq_out, struct err *err)
{
    assert(journal->txn != NULL && body.len < UINT32_MAX);
    struct bounds *open = &journal->open;
    if (received_ms < open->last_received_ms)
        received_ms = open->last_received_ms;
    uint64_t seq = open->last_seq + 1;
    struct record_head head = {.kind = (uint32_t)kind, .received_ms = received_ms};
    head.crc = record_crc(seq, &head, body);

    MDB_val key = lmdb_val(&seq, sizeof seq), value = lmdb_val(NULL, sizeof head + body.len);
    int rc = mdb_cursor_put(journal->tail, &key, &value, MDB_APPEND | MDB_RESERVE);
    if (rc != 0)
        return lmdb_env_error(&journal->env, rc, "adding an event", err);
    memcpy(value.mv_data, &head, sizeof head);
    if (body.len > 0)
        memcpy((char *)value.mv_data + sizeof head, body.bytes, body.len);

    open->last_seq = seq;
    open->last_received_ms = received_ms;
    *seq_out = seq;
    return true;
}

/* A producer's number on disk. */
struct source_record {
    uint64_t n;
    uint32_t crc;
    uint32_t zero;
};

static uint32_t source_crc(struct text source, uint64_t n)
{
    return crc32c(crc32c(0, source.bytes, source.len), &n, sizeof n);
}

/* The producer's number as stored; 0 if it is new. */
static bool load_source(struct journal *journal, struct text source, uint64_t *n, struct err *err)
{
    struct source_record record = {0};
    MDB_val key = lmdb_val(source.bytes, source.len), value;
    int rc = mdb_get(journal->txn, journal->sources, &key, &value);
    if (rc == MDB_NOTFOUND) {
        *n = 0;
        return true;
    }
    if (rc != 0)
        return lmdb_env_error(&journal->env, rc, "reading a producer's number", err);
    if (value.mv_size == sizeof record)
        memcpy(&record, value.mv_data, sizeof record);
    if (value.mv_size != sizeof record || record.crc != source_crc(source, record.n))
        return lmdb_env_damaged(&journal->env, err,
                                "the number of producer '" TEXT_FMT "' is damaged",
                                TEXT_ARG(source));
    *n = record.n;
    return true;
}

/* Write the raised numbers into the transaction and forget them. */
static bool flush_sources(struct journal *journal, struct err *err)
{
    for (size_t i = 0; i < journal->raised.count; i++) {
        const struct raised_source *source = journal->raised.items[i];
        if (!source->changed)
            continue;
        struct source_record record = {source->n, source_crc(source->name, source->n), 0};
        MDB_val key = lmdb_val(source->name.bytes, source->name.len);
        MDB_val value = lmdb_val(&record, sizeof record);
        int rc = mdb_put(journal->txn, journal->sources, &key, &value, 0);
        if (rc != 0)
            return lmdb_env_error(&journal->env, rc, "writing a producer's number", err);
    }
    raised_clear(&journal->raised);
    return true;
}

bool journal_source(struct journal *journal, struct text name, uint64_t n, bool *duplicate,
                    struct err *err)
{
    assert(journal->txn != NULL && name.len >= 1 && name.len <= SOURCE_BYTES_MAX);
    struct raised_source *source = raised_find(&journal->raised, name);
    if (source == NULL) {
        uint64_t stored = 0;
        if (journal->raised.count == RAISED_COUNT_MAX && !flush_sources(journal, err))
            return false;
        if (!load_source(journal, name, &stored, err))
            return false;
        source = raised_add(&journal->raised, name, stored);
    }
    *duplicate = n <= source->n;
    if (!*duplicate) {
        source->n = n;
        source->changed = true;
    }
    return true;
}

bool journal_source_highest(struct journal *journal, struct text name, uint64_t *n, struct err *err)
{
    assert(journal->txn != NULL && name.len >= 1 && name.len <= SOURCE_BYTES_MAX);
    const struct raised_source *source = raised_find(&journal->raised, name);
    if (source == NULL)
        return load_source(journal, name, n, err);
    *n = source->n;
    return true;
}

static void end_transaction(struct journal *journal)
{
    journal->txn = NULL;
    journal->tail = NULL;
    raised_clear(&journal->raised);
}

bool journal_commit(struct journal *journal, struct err *err)
{
    assert(journal->txn != NULL);
    if (!flush_sources(journal, err)) {
        journal_abort(journal);
        return false;
    }
    uint64_t bytes = records_bytes(journal, journal->txn);
    bool done = lmdb_env_commit(&journal->env, journal->txn, err);
    end_transaction(journal);
    if (!done)
        return false;
    journal->committed = journal->open;
    atomic_store(&journal->bytes, bytes);
    return true;
}

void journal_abort(struct journal *journal)
{
    assert(journal->txn != NULL);
    mdb_txn_abort(journal->txn);
    end_transaction(journal);
}

/* --- trimming --- */

struct trim_rule {
    uint64_t seq_max;
    int64_t older_than_ms;
    uint64_t keep_bytes;
};

/* The checksum isn't asked here: a damaged record that is old enough may go. */
static bool may_go(struct journal *journal, const struct trim_rule *rule, const MDB_val *value)
{
    struct record_head head = {0};
    if (value->mv_size >= sizeof head)
        memcpy(&head, value->mv_data, sizeof head);
    return head.received_ms < rule->older_than_ms ||
           records_bytes(journal, journal->txn) > rule->keep_bytes;
}

bool journal_trim(struct journal *journal, uint64_t applied_seq, int64_t now_ms, int64_t keep_ms,
                  uint64_t keep_bytes, size_t record_count_max, size_t *trimmed, struct err *err)
{
    assert(journal->txn != NULL && keep_ms >= 0);
    struct bounds *open = &journal->open;
    size_t count = 0;
    struct trim_rule rule = {applied_seq, now_ms - keep_ms, keep_bytes};
    if (open->last_seq > 0 && rule.seq_max > open->last_seq - 1)
        rule.seq_max = open->last_seq - 1;
    while (count < record_count_max && open->first_seq <= rule.seq_max) {
        MDB_val key, value;
        int rc = mdb_cursor_get(journal->tail, &key, &value, MDB_FIRST);
        if (rc != 0)
            return lmdb_env_error(&journal->env, rc, "trimming", err);
        if (!may_go(journal, &rule, &value))
            break;
        rc = mdb_cursor_del(journal->tail, 0);
        if (rc != 0)
            return lmdb_env_error(&journal->env, rc, "trimming", err);
        open->first_seq++;
        count++;
    }
    *trimmed = count;
    return true;
}

/* --- reading --- */

static bool copy_record(struct journal *journal, uint64_t seq, const MDB_val *key,
                        const MDB_val *value, struct arena *arena, struct journal_record *record,
                        struct err *err)
{
    struct record_head head;
    uint64_t found = 0;
    memcpy(&found, key->mv_data, sizeof found);
    if (found != seq)
        return lmdb_env_damaged(&journal->env, err, "event %" PRIu64 " is missing", seq);
    if (value->mv_size < sizeof head)
        return lmdb_env_damaged(&journal->env, err, "event %" PRIu64 " is cut short", seq);
    memcpy(&head, value->mv_data, sizeof head);
    struct text body = {(const char *)value->mv_data + sizeof head, value->mv_size - sizeof head};
    if (head.crc != record_crc(seq, &head, body))
        return lmdb_env_damaged(&journal->env, err, "event %" PRIu64 " fails its checksum", seq);
    *record = (struct journal_record){.seq = seq,
                                      .kind = (enum journal_kind)head.kind,
                                      .received_ms = head.received_ms,
                                      .body = arena_copy(arena, body)};
    return true;
}

static bool read_on(struct journal *journal, MDB_cursor *cursor, const struct bounds *bounds,
                    uint64_t from_seq, size_t record_count_max, struct arena *arena,
                    struct journal_record **records, size_t *record_count, struct err *err)
{
    uint64_t kept = bounds->last_seq - from_seq + 1;
    size_t count_max = kept < record_count_max ? (size_t)kept : record_count_max;
    struct journal_record *items = arena_alloc(arena, count_max * sizeof *items);
    MDB_val key = lmdb_val(&from_seq, sizeof from_seq), value;
    size_t count = 0, bytes = 0;
    for (; count < count_max && bytes < READ_BYTES_MAX; count++) {
        int rc = mdb_cursor_get(cursor, &key, &value, count == 0 ? MDB_SET_RANGE : MDB_NEXT);
        if (rc != 0)
            return lmdb_env_error(&journal->env, rc, "reading events", err);
        if (!copy_record(journal, from_seq + count, &key, &value, arena, &items[count], err))
            return false;
        bytes += items[count].body.len;
    }
    *records = items;
    *record_count = count;
    return true;
}

static bool read_in(struct journal *journal, MDB_txn *txn, uint64_t from_seq,
                    size_t record_count_max, struct arena *arena, struct journal_record **records,
                    size_t *record_count, struct err *err)
{
    struct bounds bounds;
    MDB_cursor *cursor;
    if (!read_bounds(journal, txn, &bounds, err))
        return false;
    if (from_seq < bounds.first_seq)
        return err_set(err, ERR_NOT_FOUND,
                       "event %" PRIu64 " is no longer in the journal, the first is %" PRIu64,
                       from_seq, bounds.first_seq);
    if (from_seq > bounds.last_seq) {
        *records = NULL;
        *record_count = 0;
        return true;
    }
    int rc = mdb_cursor_open(txn, journal->records, &cursor);
    if (rc != 0)
        return lmdb_env_error(&journal->env, rc, "reading events", err);
    bool done = read_on(journal, cursor, &bounds, from_seq, record_count_max, arena, records,
                        record_count, err);
    mdb_cursor_close(cursor);
    return done;
}

bool journal_read(struct journal *journal, uint64_t from_seq, size_t record_count_max,
                  struct arena *arena, struct journal_record **records, size_t *record_count,
                  struct err *err)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(journal->env.env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return lmdb_env_error(&journal->env, rc, "reading events", err);
    bool done =
        read_in(journal, txn, from_seq, record_count_max, arena, records, record_count, err);
    mdb_txn_abort(txn);
    return done;
}

bool journal_backup(const struct journal *journal, const char *dir, struct err *err)
{
    return lmdb_env_backup(&journal->env, dir, err);
}

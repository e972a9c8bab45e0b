/* journal.h - the truth: every acknowledged event, in order, on disk.
 *
 * One LMDB environment in its own directory. A record is seq -> {crc32c, kind, received_ms, body}; seq
 * is dense from 1. The highest number seen of each producer lives in the same transaction, so a
 * duplicate is recognised exactly, also after a crash. Nothing is acknowledged before journal_commit
 * returned true, which means fdatasync.
 *
 * One thread writes (begin, append, commit); any one other thread may read at the same time.
 * The disk can be full: then append or commit fail with ERR_FULL, nothing of the transaction is there,
 * and it can be tried again. Any other failure of a commit leaves its outcome unknown: ERR_STORE, and
 * the process must stop without answering. */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include "engine/base/arena.h"
#include "engine/base/err.h"

enum journal_kind { JOURNAL_EVENT = 1, JOURNAL_TICK = 2, JOURNAL_RULES = 3 };

struct journal_record {
    uint64_t seq;
    enum journal_kind kind;
    int64_t received_ms; /* never less than the record's before */
    struct text body;    /* the event's JSON as it came; in the reader's arena */
};

struct journal;

/* journal_open - open or create the journal in directory `dir` (created with its parents if missing).
 * map_bytes  address space to reserve: the most the file can grow to
 * Errors     ERR_IO no permission or no such place; ERR_DAMAGED truncated, foreign or newer file;
 *            ERR_STORE. The text names the path and what to do. */
bool journal_open(const char *dir, uint64_t map_bytes, struct journal **journal, struct err *err);
void journal_close(struct journal *journal);

/* Bounds of what is kept: first is last + 1 when empty. Writer's thread, outside a transaction. */
uint64_t journal_first_seq(const struct journal *journal);
uint64_t journal_last_seq(const struct journal *journal);
int64_t journal_last_received_ms(const struct journal *journal);
/* Bytes in use by records (pages), for retention and stats. Any thread; as of the last commit. */
uint64_t journal_bytes(const struct journal *journal);

/* --- writing: one thread --- */

bool journal_begin(struct journal *journal, struct err *err);

/* journal_append - give the record the next seq. received_ms is raised to the record's before.
 * Body is copied. Errors: ERR_FULL, ERR_STORE; then only journal_abort may follow. */
bool journal_append(struct journal *journal, enum journal_kind kind, int64_t received_ms,
                    struct text body, uint64_t *seq, struct err *err);

/* journal_source - has this producer's number been seen? *duplicate = n is not above the highest; else
 * n becomes the highest. source 1..SOURCE_BYTES_MAX bytes. Errors as journal_append. */
bool journal_source(struct journal *journal, struct text source, uint64_t n, bool *duplicate,
                    struct err *err);

/* journal_source_highest - the producer's highest number so far, 0 when there is none. In a transaction. */
bool journal_source_highest(struct journal *journal, struct text source, uint64_t *n, struct err *err);

/* journal_commit - everything since journal_begin reaches the disk, or fails (see top). On failure the
 * transaction is over too. */
bool journal_commit(struct journal *journal, struct err *err);
void journal_abort(struct journal *journal);

/* journal_trim - inside a transaction: delete at most `record_count_max` of the oldest records that are
 * older than `keep_ms` (against now_ms) or exceed `keep_bytes`, never one above `applied_seq`, and never
 * the newest. *trimmed = how many went. */
bool journal_trim(struct journal *journal, uint64_t applied_seq, int64_t now_ms, int64_t keep_ms,
                  uint64_t keep_bytes, size_t record_count_max, size_t *trimmed, struct err *err);

/* --- reading: one other thread, no transaction stays open between calls --- */

/* journal_read - up to `record_count_max` records from `from_seq` on, at most about 1 MiB of bodies,
 * into `arena`. *record_count 0 means there are none (yet). from_seq below first_seq is an error:
 * ERR_NOT_FOUND names the first one kept. A failed checksum is ERR_DAMAGED. */
bool journal_read(struct journal *journal, uint64_t from_seq, size_t record_count_max,
                  struct arena *arena, struct journal_record **records, size_t *record_count,
                  struct err *err);

/* journal_backup - a compact copy of the last commit into the new or empty folder `dir`. Any thread.
 * Take the state's copy first, and don't trim in between: the journal's then holds everything that the
 * state's is missing. */
bool journal_backup(const struct journal *journal, const char *dir, struct err *err);

#endif

/* journal.h - the truth: every acknowledged event, in order, on disk.
 *
 * A log of segment files (seglog.h) in its own directory, and the producers' numbers beside it (sources.h). A
 * record is a head of seq, kind and received_ms, and the body; seq is dense from 1. The last record of each
 * transaction closes it and holds the producers' numbers that it raised, so a duplicate is recognised exactly,
 * also after a crash. Nothing is acknowledged before journal_commit returned true, which means fdatasync.
 * Why files: docs/decisions/0007-plain-segments.md.
 *
 * One thread writes (begin, append, commit, trim); others may read at the same time.
 * The disk can be full: then a commit fails with ERR_FULL, nothing of the transaction is there, and it can be
 * tried again. Any other failure of a commit (ERR_STORE, ERR_IO) leaves its outcome unknown, and the process must stop
 * without answering. */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include "engine/base/arena.h"
#include "engine/base/err.h"
#include "store/disk.h"

enum journal_kind {
    JOURNAL_EVENT = 1,
    JOURNAL_TICK = 2,
    JOURNAL_RULES = 3, /* of a folder that the settings name */
    JOURNAL_RULES_OF_OPERATOR = 4,
    JOURNAL_RULES_OF_PROGRAM = 5,
};

struct journal_record {
    uint64_t seq;
    enum journal_kind kind;
    int64_t received_ms; /* never less than the record's before */
    struct text body;    /* the event's JSON as it came; in the reader's arena */
};

struct journal;

/* journal_open - open or create the journal in directory `dir` (created with its parents if missing).
 * segment_bytes  of a file, from which the next begins: old events go a whole file at a time
 * Errors         ERR_IO no permission or no such place; ERR_DAMAGED cut, foreign, older or newer files;
 *                ERR_FULL; ERR_STORE. The text names the path and what to do. */
bool journal_open(const char *dir, uint64_t segment_bytes, struct journal **journal, struct err *err);
void journal_close(struct journal *journal);
/* journal_segment_bytes - what fits a journal that is to keep `keep_bytes`. */
uint64_t journal_segment_bytes(uint64_t keep_bytes);
/* journal_torn_bytes - what a crash had left of a transaction that wasn't committed, and journal_open dropped. */
uint64_t journal_torn_bytes(const struct journal *journal);

/* Bounds of what is kept: first is last + 1 when empty. Writer's thread, outside a transaction. */
uint64_t journal_first_seq(const struct journal *journal);
uint64_t journal_last_seq(const struct journal *journal);
int64_t journal_last_received_ms(const struct journal *journal);
/* Bytes in use by records, for retention and stats. Any thread; as of the last commit. */
uint64_t journal_bytes(const struct journal *journal);

/* --- writing: one thread --- */

void journal_begin(struct journal *journal);

/* journal_append - give the record the next seq, which is returned. received_ms is raised to the record's
 * before. Body is copied, in memory. */
uint64_t journal_append(struct journal *journal, enum journal_kind kind, int64_t received_ms,
                        struct text body);

/* journal_source - has this producer's number been seen? *duplicate = n is not above the highest; else
 * n becomes the highest. source 1..SOURCE_BYTES_MAX bytes. Errors ERR_DAMAGED, ERR_STORE; then only
 * journal_abort may follow. */
bool journal_source(struct journal *journal, struct text source, uint64_t n, bool *duplicate,
                    struct err *err);

/* journal_source_highest - the producer's highest number so far, 0 when there is none. In a transaction. */
bool journal_source_highest(struct journal *journal, struct text source, uint64_t *n, struct err *err);

/* journal_commit - everything since journal_begin reaches the disk, or fails (see top). On failure the
 * transaction is over too. */
bool journal_commit(struct journal *journal, struct err *err);
void journal_abort(struct journal *journal);

/* journal_trim - outside a transaction: drop the oldest file, if all its records are older than `keep_ms`
 * (against now_ms) or the journal exceeds `keep_bytes`; never one with a record above `applied_seq`, and never
 * the newest file. A file takes records of a quarter of keep_ms at the most (of a minute at the least), so up to so
 * much longer is kept. A file that begins with a damaged record goes together with the one before it, and is kept until
 * the next one tells that both may go. *trimmed = how many records went. The
 * file itself stays until journal_remove or journal_close; after a crash before that it is part of the journal again.
 * Errors  ERR_STORE, ERR_IO, ERR_FULL. */
bool journal_trim(struct journal *journal, uint64_t applied_seq, int64_t now_ms, int64_t keep_ms,
                  uint64_t keep_bytes, uint64_t *trimmed, struct err *err);

/* journal_remove - remove the files of what was trimmed, which takes some milliseconds each. The writer, or another
 * thread while the writer doesn't trim. Errors ERR_STORE, ERR_IO, ERR_FULL; the rest can be tried again. */
bool journal_remove(struct journal *journal, struct err *err);

/* --- reading: any thread --- */

/* journal_read - up to `record_count_max` records from `from_seq` on, at most about 1 MiB of bodies,
 * into `arena`. *record_count 0 means there are none (yet). from_seq below first_seq is an error:
 * ERR_GONE names the first one kept. A failed checksum is ERR_DAMAGED. */
bool journal_read(struct journal *journal, uint64_t from_seq, size_t record_count_max,
                  struct arena *arena, struct journal_record **records, size_t *record_count,
                  struct err *err);

/* journal_backup - a copy of the last commit into the new or empty folder `dir`. Any thread.
 * Take the state's copy first, and don't trim in between: the journal's then holds everything that the
 * state's is missing. */
bool journal_backup(struct journal *journal, const char *dir, struct copying *copying, struct err *err);

#endif

/* seglog.h - an append-only log of records in a folder of segment files.
 *
 * A record is bytes with a position: its place in the whole log, from 0, rising by multiples of 8, used once
 * (but by what seglog_truncate or a torn end gave up). A segment is a file of about `segment_bytes`, named by
 * the position of its first record: 16 hex digits and ".log". A record lies in one segment, and so does all
 * that one flush writes. Old records go a whole segment at a time.
 *
 * Appended records are in memory until seglog_flush, then in the file (they survive the process), and after
 * seglog_sync on the disk. Each carries a checksum over its position and bytes, and up to where the log was
 * synced when it was appended. So at open what a crash tore off at the end, never synced, is told from damage:
 * a bad record that a later one knows to have been synced is ERR_DAMAGED; else it and all behind it are dropped,
 * and seglog_torn_bytes tells. A segment's file is moved into place when its head is on disk, so a file without
 * one is damage and never "new". Why: docs/decisions/0007-plain-segments.md.
 *
 * One thread writes. One other thread at a time may call seglog_sync, and others may read with a reader of
 * their own, up to seglog_flushed_end, meanwhile. */
#ifndef STORE_SEGLOG_H
#define STORE_SEGLOG_H

#include "engine/base/arena.h"
#include "engine/base/err.h"
#include "store/disk.h"

struct seglog;
struct seglog_reader;

struct seglog_kind {
    const char *name;   /* "journal": what each file's mark says */
    int format;         /* likewise: its version */
    const char *advice; /* a sentence: what to do when it is damaged */
};

struct seglog_options {
    uint64_t segment_bytes; /* of records; a segment grows beyond only by one flush that is larger alone */
    bool ahead; /* fill the file with zeros ahead of small flushes: a sync then writes data and nothing else */
};

enum { SEGLOG_RECORD_BYTES_MAX = 1 << 30 };

/* seglog_open - open or create the log in the folder `dir` (made with its parents, 0750). `kind` is borrowed
 * for the log's life. What is found counts as flushed and synced afterwards.
 * Errors  ERR_IO no permission or no such place; ERR_DAMAGED cut, foreign or newer files, or a bad record among
 *         those that were synced last (older ones are checked when they are read); ERR_FULL; ERR_STORE. */
bool seglog_open(const char *dir, const struct seglog_kind *kind, const struct seglog_options *options,
                 struct seglog **log, struct err *err);
/* seglog_close - without a flush; NULL is fine. */
void seglog_close(struct seglog *log);
/* seglog_torn_bytes - what seglog_open dropped at the end. */
uint64_t seglog_torn_bytes(const struct seglog *log);

/* Positions. Any thread, but seglog_end, which is the writer's. */
uint64_t seglog_first(const struct seglog *log); /* of the oldest record; the end when there is none */
uint64_t seglog_end(const struct seglog *log);   /* behind the newest, flushed or not: where the next one goes */
uint64_t seglog_flushed_end(const struct seglog *log);
uint64_t seglog_synced_end(const struct seglog *log);
/* seglog_bytes - of what is flushed, for retention and stats. */
uint64_t seglog_bytes(const struct seglog *log);

/* --- writing --- */

/* seglog_append - never fails: in memory. Returns the record's position. `parts` are joined and copied;
 * 1..SEGLOG_RECORD_BYTES_MAX bytes in all. */
uint64_t seglog_append(struct seglog *log, const struct text *parts, size_t part_count);
size_t seglog_unflushed_bytes(const struct seglog *log);
/* seglog_forget - drop what was appended and not flushed. */
void seglog_forget(struct seglog *log);

/* seglog_flush - write what was appended.
 * Errors  ERR_FULL, also for want of a descriptor, or ERR_IO no permission or a read-only disk: nothing of it is in
 *         the file, nothing is lost, try again or forget it; ERR_STORE. */
bool seglog_flush(struct seglog *log, struct err *err);
/* seglog_roll - the next flush begins a new segment, if the present one has records. */
void seglog_roll(struct seglog *log);
/* seglog_sync - what was flushed before the call is on disk. The writer, or one other thread.
 * Errors  ERR_STORE: what is on disk is unknown, and stays so: the process must stop. */
bool seglog_sync(struct seglog *log, struct err *err);

/* seglog_truncate - drop all from `position` on, which is a record's or the end; on disk when it returns.
 * No other thread may use the log meanwhile. Errors  ERR_DAMAGED `position` isn't in the log; ERR_STORE. */
bool seglog_truncate(struct seglog *log, uint64_t position, struct err *err);

/* seglog_trim - drop the segments that lie before `position` as a whole and are synced; never the newest. How many.
 * Their files stay until seglog_remove, or seglog_close; after a crash before that they are part of the log again. */
size_t seglog_trim(struct seglog *log, uint64_t position);
/* seglog_remove - remove the files of what was trimmed, which takes some milliseconds each. The writer, or another
 * thread while the writer doesn't trim. Errors ERR_STORE, ERR_IO, ERR_FULL; the rest can be tried again. */
bool seglog_remove(struct seglog *log, struct err *err);

/* --- reading --- */

/* seglog_read - the record at `position`, flushed or not, copied into `arena`; *next is the position behind it.
 * Writer's thread. Cheap one after the other, and a system call when jumping.
 * Errors  ERR_GONE it was trimmed; ERR_DAMAGED no record is there, or it fails its checksum; ERR_BUSY there is no
 *         descriptor or memory left to read it with; ERR_STORE. */
bool seglog_read(struct seglog *log, uint64_t position, struct arena *arena, struct text *record,
                 uint64_t *next, struct err *err);

/* A reader for another thread, which reads what is flushed, and nothing behind it; one thread at a time.
 * seglog_reader_next borrows the record until the reader's next call. Errors as seglog_read. */
struct seglog_reader *seglog_reader_create(struct seglog *log);
void seglog_reader_destroy(struct seglog_reader *reader);
bool seglog_reader_next(struct seglog_reader *reader, uint64_t position, struct text *record, uint64_t *next,
                        struct err *err);

/* Segments, oldest first, for look-ups by something that rises with the position (a number, a time). At
 * least one; the newest may be without records: its first is the end then. Any thread, but what is trimmed
 * meanwhile moves the others down; an index behind the newest means the newest. */
size_t seglog_segment_count(struct seglog *log);
uint64_t seglog_segment_first(struct seglog *log, size_t index);

/* seglog_damaged - ERR_DAMAGED with the file that `position` is in, what is wrong there, and the advice, for
 * users that find a record's content wrong. Returns false. */
bool seglog_damaged(struct seglog *log, uint64_t position, struct err *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* seglog_backup - copy the segments up to `end`, a record's position that is flushed, into the new or empty
 * folder `dir`. Any thread; nothing may be trimmed meanwhile.
 * Errors  ERR_IO, ERR_FULL, ERR_BUSY it was stopped; what was written stays for the caller to remove. */
bool seglog_backup(struct seglog *log, const char *dir, uint64_t end, struct copying *copying,
                   struct err *err);

#endif

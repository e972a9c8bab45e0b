/* seglog_parts.h - what the files of seglog.h share: seglog.c (writing), seglog_open.c (what is found in the
 * folder), seglog_reader.c (reading), seglog_backup.c (copying). Nobody else includes it.
 *
 * On disk a segment is a head, then records one behind the other, then perhaps zeros. Byte order is the
 * machine's, as LMDB's is. */
#ifndef STORE_SEGLOG_PARTS_H
#define STORE_SEGLOG_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/seglog.h"

enum { SEGMENT_HEAD_BYTES = 64, SEGLOG_ALIGN = 8, SEGMENT_PATH_BYTES = 4200 };

#define SEGMENT_BUILDING "creating" /* a segment's file before its head is on disk */

struct segment_head {
    char mark[40];   /* "fwsync journal 2", then NULs */
    uint64_t first;  /* position of its first record: the file's name */
    uint64_t synced; /* the log was, up to here, when the segment was made */
    uint32_t crc;    /* of what is before it */
    uint32_t zero;
};
_Static_assert(sizeof(struct segment_head) == SEGMENT_HEAD_BYTES, "no padding on disk");

struct log_record_head {
    uint32_t crc; /* of the position, the rest of the head and the bytes */
    uint32_t len; /* of the bytes, which follow; zeros up to a multiple of SEGLOG_ALIGN */
    uint64_t synced;
};
_Static_assert(sizeof(struct log_record_head) == 16, "no padding on disk");

struct segment {
    uint64_t first;
    uint64_t synced; /* its head's */
    uint64_t size;   /* of the file, as it was when opened */
    int fd;          /* -1 when it was synced and a newer one is there */
};

struct seglog {
    char *dir;
    int folder; /* its descriptor, so that syncing it takes no new one */
    const struct seglog_kind *kind;
    struct seglog_options options;
    char mark[sizeof((struct segment_head){0}.mark)];

    /* Only the writer changes the list, and only seglog_sync an fd; others look at them with the mutex held. */
    pthread_mutex_t mutex;
    struct segment *segments; /* oldest first */
    size_t segment_count;
    size_t segment_capacity;
    _Atomic uint64_t first;
    _Atomic uint64_t flushed;
    _Atomic uint64_t synced;
    atomic_uint cuts; /* how often records were dropped: readers may hold some of them */
    atomic_bool folder_changed; /* and isn't synced */
    uint64_t torn_bytes;

    /* the writer's */
    char *pending; /* appended, not flushed; as it goes into the file */
    size_t pending_bytes;
    size_t pending_capacity;
    uint64_t file_end; /* size of the newest segment's file */
    bool roll;
    struct seglog_reader *reader;

    /* the writer's, or of the thread that is in seglog_remove */
    struct segment *trimmed; /* whose files are still there, oldest first */
    size_t trimmed_count;
};

/* Room that a record takes. */
static inline uint64_t record_room(uint64_t len)
{
    return (sizeof(struct log_record_head) + len + SEGLOG_ALIGN - 1) & ~(uint64_t)(SEGLOG_ALIGN - 1);
}

uint32_t record_crc(uint64_t position, const struct log_record_head *head, const char *bytes);

/* The newest. */
static inline struct segment *last_segment(const struct seglog *log)
{
    return &log->segments[log->segment_count - 1];
}

/* Index of the segment that `position`, which is not before the first, lies in. */
size_t segment_of(const struct seglog *log, uint64_t position);
void segment_path(const char *dir, uint64_t first, char path[SEGMENT_PATH_BYTES]);
/* segment_open - the file's descriptor, or -1 with errno. */
int segment_open(const char *dir, uint64_t first, int flags);
/* segment_add - make a new last segment, ready for records from `first` on. Errors ERR_FULL, ERR_IO, ERR_STORE. */
bool segment_add(struct seglog *log, uint64_t first, struct err *err);
void segment_list_add(struct seglog *log, struct segment segment);
/* segment_error - an errno about that segment's file: as disk_error, and ERR_FULL for one that passes. */
bool segment_error(const struct seglog *log, uint64_t first, int error, const char *doing, struct err *err);

/* seglog_cut - remove all behind `position` from the files, on disk. Errors ERR_STORE. */
bool seglog_cut(struct seglog *log, uint64_t position, struct err *err);

/* seglog_look - open what is there and find its end. Errors as seglog_open. */
bool seglog_look(struct seglog *log, struct err *err);

enum record_state { RECORD_GOOD, RECORD_BAD, RECORD_FAILED };

/* reader_point - read from this segment's file, up to the position `limit`; the descriptor is borrowed. */
void reader_point(struct seglog_reader *reader, int fd, uint64_t first, uint64_t limit);
/* reader_bytes - `len` bytes from `position` on, within the limit; borrowed until the next call. GOOD; BAD the
 * file ends before; FAILED with errno. */
enum record_state reader_bytes(struct seglog_reader *reader, uint64_t position, uint64_t len, const char **bytes);
/* reader_record - the record there, checked; borrowed likewise. */
enum record_state reader_record(struct seglog_reader *reader, uint64_t position, struct log_record_head *head,
                                const char **bytes);
/* reader_forget - what it has of the file may have changed. */
void reader_forget(struct seglog_reader *reader);

#endif

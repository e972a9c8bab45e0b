/* seglog_reader.c - reading a log: a buffer over one segment's file at a time.
 *
 * One record after the other costs a system call per READ_AHEAD_BYTES; a jump reads little, for a record that is
 * probably small. Files are read, not mapped: a failing disk is an error and not a signal. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/seglog_parts.h"

enum { READ_AHEAD_BYTES = 128 * 1024, READ_JUMP_BYTES = 1024 };

struct seglog_reader {
    struct seglog *log;
    int fd;         /* of the segment that is being read; -1: of none */
    bool own_fd;    /* else it is borrowed */
    unsigned cuts;  /* the log's, when it was opened */
    uint64_t first; /* of that segment */
    uint64_t limit; /* position up to which may be read from it */
    char *buffer;
    size_t capacity;
    uint64_t from, until; /* positions of what is in the buffer */
};

struct seglog_reader *seglog_reader_create(struct seglog *log)
{
    struct seglog_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        abort();
    *reader = (struct seglog_reader){.log = log, .fd = -1};
    return reader;
}

void seglog_reader_destroy(struct seglog_reader *reader)
{
    if (reader == NULL)
        return;
    reader_forget(reader);
    free(reader->buffer);
    free(reader);
}

void reader_forget(struct seglog_reader *reader)
{
    if (reader->own_fd)
        close(reader->fd);
    reader->fd = -1;
    reader->own_fd = false;
    reader->cuts = atomic_load(&reader->log->cuts);
    reader->first = reader->limit = reader->from = reader->until = 0;
}

void reader_point(struct seglog_reader *reader, int fd, uint64_t first, uint64_t limit)
{
    reader_forget(reader);
    reader->fd = fd;
    reader->first = reader->from = reader->until = first;
    reader->limit = limit;
}

static void make_room(struct seglog_reader *reader, size_t bytes)
{
    if (bytes <= reader->capacity)
        return;
    reader->capacity = bytes < READ_AHEAD_BYTES ? READ_AHEAD_BYTES : bytes;
    free(reader->buffer);
    reader->buffer = malloc(reader->capacity);
    if (reader->buffer == NULL)
        abort();
}

static enum record_state fill(struct seglog_reader *reader, uint64_t position, uint64_t len)
{
    bool follows = position >= reader->from && position <= reader->until;
    uint64_t want = follows ? READ_AHEAD_BYTES : READ_JUMP_BYTES;
    if (want < len)
        want = len;
    if (want > reader->limit - position)
        want = reader->limit - position;
    make_room(reader, want);
    reader->from = reader->until = position;
    while (reader->until - position < want) {
        ssize_t got = pread(reader->fd, reader->buffer + (reader->until - position),
                            want - (reader->until - position),
                            (off_t)(SEGMENT_HEAD_BYTES + reader->until - reader->first));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return RECORD_FAILED;
        if (got == 0)
            break;
        reader->until += (uint64_t)got;
    }
    return reader->until - position >= len ? RECORD_GOOD : RECORD_BAD;
}

enum record_state reader_bytes(struct seglog_reader *reader, uint64_t position, uint64_t len, const char **bytes)
{
    if (position < reader->first || position > reader->limit || len > reader->limit - position)
        return RECORD_BAD;
    if (position < reader->from || position + len > reader->until) {
        enum record_state state = fill(reader, position, len);
        if (state != RECORD_GOOD)
            return state;
    }
    *bytes = reader->buffer + (position - reader->from);
    return RECORD_GOOD;
}

enum record_state reader_record(struct seglog_reader *reader, uint64_t position, struct log_record_head *head,
                                const char **bytes)
{
    const char *found;
    enum record_state state = reader_bytes(reader, position, sizeof *head, &found);
    if (state != RECORD_GOOD)
        return state;
    memcpy(head, found, sizeof *head);
    if (head->len == 0 || head->len > SEGLOG_RECORD_BYTES_MAX || head->synced > position)
        return RECORD_BAD;
    state = reader_bytes(reader, position, record_room(head->len), &found);
    if (state != RECORD_GOOD)
        return state;
    *bytes = found + sizeof *head;
    return head->crc == record_crc(position, head, *bytes) ? RECORD_GOOD : RECORD_BAD;
}

/* --- a log that is open ------------------------------------------------------------------------------------ */

static bool not_kept(const struct seglog *log, uint64_t position, struct err *err)
{
    return err_set(err, ERR_GONE, "%s: what was at %" PRIu64 " is no longer kept", log->dir, position);
}

/* Somebody's question is what fails when there are no more descriptors, and not the log. */
static bool read_error(const struct seglog *log, uint64_t first, int error, struct err *err)
{
    segment_error(log, first, error, "reading", err);
    if (disk_passes(error))
        err->code = ERR_BUSY;
    return false;
}

/* Point the reader at the segment that the position, which is flushed, lies in, as far as it is flushed now. */
static bool go_to(struct seglog_reader *reader, uint64_t position, struct err *err)
{
    struct seglog *log = reader->log;
    pthread_mutex_lock(&log->mutex);
    if (position < log->segments[0].first) {
        pthread_mutex_unlock(&log->mutex);
        return not_kept(log, position, err);
    }
    uint64_t limit = atomic_load(&log->flushed);
    size_t index = segment_of(log, position);
    uint64_t first = log->segments[index].first;
    if (index + 1 < log->segment_count)
        limit = log->segments[index + 1].first;
    pthread_mutex_unlock(&log->mutex);
    if (reader->fd < 0 || reader->first != first) {
        int fd = segment_open(log->dir, first, O_RDONLY);
        if (fd < 0 && errno == ENOENT && position < atomic_load(&log->first))
            return not_kept(log, position, err); /* since a moment ago */
        if (fd < 0)
            return read_error(log, first, errno, err);
        reader_point(reader, fd, first, limit);
        reader->own_fd = true;
    }
    reader->limit = limit;
    return true;
}

bool seglog_reader_next(struct seglog_reader *reader, uint64_t position, struct text *record, uint64_t *next,
                        struct err *err)
{
    struct seglog *log = reader->log;
    struct log_record_head head;
    const char *bytes;
    if (position < atomic_load(&log->first))
        return not_kept(log, position, err);
    if (reader->cuts != atomic_load(&log->cuts))
        reader_forget(reader);
    if (position >= atomic_load(&log->flushed))
        return seglog_damaged(log, position, err, "it ends before %" PRIu64, position);
    if ((position < reader->first || position >= reader->limit) && !go_to(reader, position, err))
        return false;
    enum record_state state = reader_record(reader, position, &head, &bytes);
    if (state == RECORD_FAILED)
        return read_error(log, reader->first, errno, err);
    if (state == RECORD_BAD)
        return seglog_damaged(log, position, err, "the record at %" PRIu64 " fails its checksum", position);
    *record = (struct text){bytes, head.len};
    *next = position + record_room(head.len);
    return true;
}

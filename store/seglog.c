#include "store/seglog.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/crc32c.h"
#include "store/disk.h"
#include "store/seglog_parts.h"

enum {
    PENDING_BYTES = 64 * 1024,         /* of the first buffer; it doubles */
    PENDING_KEPT_BYTES = 4 << 20,      /* a larger one is freed after the flush */
    AHEAD_BYTES = 1 << 20,             /* filled with zeros at once, */
    ZEROS_BYTES = 64 * 1024,           /* so many a write */
    AHEAD_FLUSH_BYTES_MAX = 64 * 1024, /* behind a larger flush that is no gain */
};

uint32_t record_crc(uint64_t position, const struct log_record_head *head, const char *bytes)
{
    uint32_t crc = crc32c(0, &position, sizeof position);
    crc = crc32c(crc, &head->len, sizeof *head - sizeof head->crc);
    return crc32c(crc, bytes, head->len);
}

/* --- segments ---------------------------------------------------------------------------------------------- */

void segment_path(const char *dir, uint64_t first, char path[SEGMENT_PATH_BYTES])
{
    int len = snprintf(path, SEGMENT_PATH_BYTES, "%s/%016" PRIx64 ".log", dir, first);
    assert(len < SEGMENT_PATH_BYTES); /* disk_make_folders took the folder's */
}

int segment_open(const char *dir, uint64_t first, int flags)
{
    char path[SEGMENT_PATH_BYTES];
    segment_path(dir, first, path);
    return open(path, flags | O_CLOEXEC);
}

bool segment_error(const struct seglog *log, uint64_t first, int error, const char *doing, struct err *err)
{
    char path[SEGMENT_PATH_BYTES];
    segment_path(log->dir, first, path);
    if (disk_passes(error))
        return err_set(err, ERR_FULL, "%s: %s while %s", path, strerror(error), doing);
    return disk_error(path, error, doing, err);
}

size_t segment_of(const struct seglog *log, uint64_t position)
{
    size_t from = 0, until = log->segment_count;
    assert(until > 0 && position >= log->segments[0].first);
    while (until - from > 1) {
        size_t middle = from + (until - from) / 2;
        if (log->segments[middle].first <= position)
            from = middle;
        else
            until = middle;
    }
    return from;
}

void segment_list_add(struct seglog *log, struct segment segment)
{
    pthread_mutex_lock(&log->mutex);
    if (log->segment_count == log->segment_capacity) {
        log->segment_capacity = log->segment_capacity == 0 ? 16 : 2 * log->segment_capacity;
        log->segments = realloc(log->segments, log->segment_capacity * sizeof *log->segments);
        if (log->segments == NULL)
            abort();
    }
    log->segments[log->segment_count++] = segment;
    pthread_mutex_unlock(&log->mutex);
}

/* Never over a file that is there: it has what was acknowledged. Not every file system can tell by itself. */
static int move_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL)
        return -1;
    if (access(to, F_OK) != 0)
        return rename(from, to);
    errno = EEXIST;
    return -1;
}

/* Write the head of a new segment's file and move it into place. Its descriptor, or -1 with errno. */
static int build_segment(const struct seglog *log, const struct segment_head *head, const char *path)
{
    char build[SEGMENT_PATH_BYTES];
    snprintf(build, sizeof build, "%s/" SEGMENT_BUILDING, log->dir);
    int fd = open(build, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0)
        return -1;
    int error = disk_write(fd, (const char *)head, sizeof *head, 0);
    if (error == 0 && (fdatasync(fd) != 0 || move_new(build, path) != 0))
        error = errno;
    if (error == 0)
        return fd;
    close(fd);
    unlink(build);
    errno = error;
    return -1;
}

bool segment_add(struct seglog *log, uint64_t first, struct err *err)
{
    char path[SEGMENT_PATH_BYTES];
    struct segment_head head = {.first = first, .synced = atomic_load(&log->synced)};
    memcpy(head.mark, log->mark, sizeof head.mark);
    head.crc = crc32c(0, &head, offsetof(struct segment_head, crc));
    segment_path(log->dir, first, path);
    int fd = build_segment(log, &head, path);
    if (fd < 0)
        return segment_error(log, first, errno, "making it", err);
    segment_list_add(log, (struct segment){first, head.synced, SEGMENT_HEAD_BYTES, fd});
    log->file_end = SEGMENT_HEAD_BYTES;
    log->roll = false;
    atomic_store(&log->folder_changed, true);
    return true;
}

/* --- opening ----------------------------------------------------------------------------------------------- */

bool seglog_open(const char *dir, const struct seglog_kind *kind, const struct seglog_options *options,
                 struct seglog **out, struct err *err)
{
    assert(options->segment_bytes > 0);
    if (!disk_make_folders(dir, err) || !disk_check_kind(dir, err))
        return false;
    struct seglog *log = calloc(1, sizeof *log);
    if (log == NULL || (log->dir = strdup(dir)) == NULL)
        abort();
    log->kind = kind;
    log->options = *options;
    snprintf(log->mark, sizeof log->mark, "fwsync %s %d", kind->name, kind->format);
    pthread_mutex_init(&log->mutex, NULL);
    log->reader = seglog_reader_create(log);
    log->folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (log->folder < 0 ? !disk_error(dir, errno, "opening it", err) : !seglog_look(log, err)) {
        seglog_close(log);
        return false;
    }
    *out = log;
    return true;
}

void seglog_close(struct seglog *log)
{
    if (log == NULL)
        return;
    struct err ignored; /* what stays is trimmed again after the next start */
    seglog_remove(log, &ignored);
    seglog_reader_destroy(log->reader);
    for (size_t i = 0; i < log->segment_count; i++)
        if (log->segments[i].fd >= 0)
            close(log->segments[i].fd);
    if (log->folder >= 0)
        close(log->folder);
    pthread_mutex_destroy(&log->mutex);
    free(log->segments);
    free(log->trimmed);
    free(log->pending);
    free(log->dir);
    free(log);
}

uint64_t seglog_torn_bytes(const struct seglog *log)
{
    return log->torn_bytes;
}

bool seglog_damaged(struct seglog *log, uint64_t position, struct err *err, const char *format, ...)
{
    char path[SEGMENT_PATH_BYTES], what[ERR_TEXT_BYTES / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    pthread_mutex_lock(&log->mutex);
    uint64_t first = log->segments[0].first;
    if (position > first)
        first = log->segments[segment_of(log, position)].first;
    pthread_mutex_unlock(&log->mutex);
    segment_path(log->dir, first, path);
    return err_set(err, ERR_DAMAGED, "%s: %s: %s", path, what, log->kind->advice);
}

/* --- positions --------------------------------------------------------------------------------------------- */

uint64_t seglog_first(const struct seglog *log)
{
    return atomic_load(&log->first);
}

uint64_t seglog_flushed_end(const struct seglog *log)
{
    return atomic_load(&log->flushed);
}

uint64_t seglog_synced_end(const struct seglog *log)
{
    return atomic_load(&log->synced);
}

uint64_t seglog_end(const struct seglog *log)
{
    return atomic_load(&log->flushed) + log->pending_bytes;
}

uint64_t seglog_bytes(const struct seglog *log)
{
    return atomic_load(&log->flushed) - atomic_load(&log->first);
}

/* --- writing ----------------------------------------------------------------------------------------------- */

static char *pending_room(struct seglog *log, uint64_t room)
{
    size_t need = log->pending_bytes + room;
    if (need > log->pending_capacity) {
        if (log->pending_capacity == 0)
            log->pending_capacity = PENDING_BYTES;
        while (log->pending_capacity < need)
            log->pending_capacity *= 2;
        log->pending = realloc(log->pending, log->pending_capacity);
        if (log->pending == NULL)
            abort();
    }
    return log->pending + log->pending_bytes;
}

uint64_t seglog_append(struct seglog *log, const struct text *parts, size_t part_count)
{
    uint64_t position = seglog_end(log), len = 0;
    for (size_t i = 0; i < part_count; i++)
        len += parts[i].len;
    assert(len > 0 && len <= SEGLOG_RECORD_BYTES_MAX);

    uint64_t room = record_room(len);
    char *record = pending_room(log, room), *end = record + sizeof(struct log_record_head);
    for (size_t i = 0; i < part_count; end += parts[i++].len)
        if (parts[i].len > 0)
            memcpy(end, parts[i].bytes, parts[i].len);
    memset(end, 0, (size_t)(record + room - end));
    struct log_record_head head = {.len = (uint32_t)len, .synced = atomic_load(&log->synced)};
    head.crc = record_crc(position, &head, record + sizeof head);
    memcpy(record, &head, sizeof head);
    log->pending_bytes += room;
    return position;
}

size_t seglog_unflushed_bytes(const struct seglog *log)
{
    return log->pending_bytes;
}

void seglog_forget(struct seglog *log)
{
    log->pending_bytes = 0;
    if (log->pending_capacity > PENDING_KEPT_BYTES) {
        free(log->pending);
        log->pending = NULL;
        log->pending_capacity = 0;
    }
}

void seglog_roll(struct seglog *log)
{
    log->roll = atomic_load(&log->flushed) > last_segment(log)->first;
}

/* After a write that failed: what of it did get into the file must not be found at the next open. */
static bool take_back(struct seglog *log, uint64_t at, int error, struct err *err)
{
    const struct segment *last = last_segment(log);
    if (ftruncate(last->fd, (off_t)at) != 0 || fdatasync(last->fd) != 0)
        return err_set(err, ERR_STORE, "%s: writing failed, and taking it back, too (%s): check the disk", log->dir,
                       strerror(errno));
    log->file_end = at;
    return segment_error(log, last->first, error, "writing", err);
}

/* Behind a small flush the file gets room for the next ones, so that a sync finds its length and its blocks as
 * they were and has nothing to write but data. Without space it just stays as it is. */
static void fill_ahead(struct seglog *log)
{
    static const char zeros[ZEROS_BYTES];
    uint64_t most = SEGMENT_HEAD_BYTES + log->options.segment_bytes, until = log->file_end + AHEAD_BYTES;
    until -= until % AHEAD_BYTES;
    if (until > most)
        until = most;
    for (uint64_t part; log->file_end < until; log->file_end += part) {
        part = until - log->file_end < ZEROS_BYTES ? until - log->file_end : ZEROS_BYTES;
        if (disk_write(last_segment(log)->fd, zeros, (size_t)part, log->file_end) != 0)
            return;
    }
}

bool seglog_flush(struct seglog *log, struct err *err)
{
    size_t bytes = log->pending_bytes;
    uint64_t position = atomic_load(&log->flushed);
    if (bytes == 0)
        return true;
    uint64_t used = position - last_segment(log)->first;
    if (used > 0 && (log->roll || used + bytes > log->options.segment_bytes)) {
        if (!segment_add(log, position, err))
            return false;
        used = 0;
    }
    uint64_t at = SEGMENT_HEAD_BYTES + used, end = at + bytes;
    int error = disk_write(last_segment(log)->fd, log->pending, bytes, at);
    if (error != 0)
        return take_back(log, at, error, err);
    if (end > log->file_end) {
        log->file_end = end;
        if (log->options.ahead && bytes <= AHEAD_FLUSH_BYTES_MAX)
            fill_ahead(log);
    }
    atomic_store(&log->flushed, position + bytes);
    seglog_forget(log);
    return true;
}

/* Those still open are at the end of the list. */
static void close_synced(struct seglog *log, uint64_t synced)
{
    for (size_t i = log->segment_count - 1; i-- > 0 && log->segments[i].fd >= 0;)
        if (log->segments[i + 1].first <= synced) {
            close(log->segments[i].fd);
            log->segments[i].fd = -1;
        }
}

bool seglog_sync(struct seglog *log, struct err *err)
{
    uint64_t target = atomic_load(&log->flushed), at = atomic_load(&log->synced);
    if (atomic_exchange(&log->folder_changed, false) && fsync(log->folder) != 0)
        return err_set(err, ERR_STORE, "%s: %s while syncing: check the disk", log->dir, strerror(errno));
    while (at < target) {
        pthread_mutex_lock(&log->mutex);
        size_t index = segment_of(log, at);
        int fd = log->segments[index].fd;
        uint64_t first = log->segments[index].first;
        uint64_t from = at;
        at = index + 1 < log->segment_count ? log->segments[index + 1].first : target;
        pthread_mutex_unlock(&log->mutex);
        int error = disk_sync(fd, SEGMENT_HEAD_BYTES + from - first, SEGMENT_HEAD_BYTES + at - first);
        if (error != 0)
            return err_set(err, ERR_STORE, "%s/%016" PRIx64 ".log: %s while syncing: check the disk", log->dir, first,
                           strerror(error));
    }
    pthread_mutex_lock(&log->mutex);
    atomic_store(&log->synced, target);
    close_synced(log, target);
    pthread_mutex_unlock(&log->mutex);
    return true;
}

/* --- removing ---------------------------------------------------------------------------------------------- */

static bool remove_file(struct seglog *log, struct segment *segment, struct err *err)
{
    char path[SEGMENT_PATH_BYTES];
    segment_path(log->dir, segment->first, path);
    if (unlink(path) != 0 && errno != ENOENT)
        return disk_error(path, errno, "removing it", err);
    if (fsync(log->folder) != 0) /* one by one, so that a crash leaves no gap */
        return disk_error(log->dir, errno, "removing a file", err);
    if (segment->fd >= 0)
        close(segment->fd);
    return true;
}

bool seglog_cut(struct seglog *log, uint64_t position, struct err *err)
{
    atomic_fetch_add(&log->cuts, 1);
    for (; last_segment(log)->first > position; log->segment_count--)
        if (!remove_file(log, last_segment(log), err))
            return false;
    struct segment *last = last_segment(log);
    log->file_end = SEGMENT_HEAD_BYTES + position - last->first;
    if (last->fd < 0 && (last->fd = segment_open(log->dir, last->first, O_RDWR)) < 0)
        return segment_error(log, last->first, errno, "opening it", err);
    if (ftruncate(last->fd, (off_t)log->file_end) != 0 || fdatasync(last->fd) != 0)
        return segment_error(log, last->first, errno, "shortening it", err);
    atomic_store(&log->flushed, position);
    if (atomic_load(&log->synced) > position)
        atomic_store(&log->synced, position);
    return true;
}

bool seglog_truncate(struct seglog *log, uint64_t position, struct err *err)
{
    uint64_t flushed = atomic_load(&log->flushed);
    if (position < atomic_load(&log->first) || position > seglog_end(log))
        return seglog_damaged(log, position, err, "it goes from %" PRIu64 " to %" PRIu64 ", but not to %" PRIu64,
                              seglog_first(log), seglog_end(log), position);
    if (position >= flushed) {
        log->pending_bytes = (size_t)(position - flushed);
        return true;
    }
    seglog_forget(log);
    return seglog_cut(log, position, err);
}

size_t seglog_trim(struct seglog *log, uint64_t position)
{
    size_t count = 0;
    uint64_t synced = atomic_load(&log->synced), until = position < synced ? position : synced;
    while (count + 1 < log->segment_count && log->segments[count + 1].first <= until)
        count++;
    if (count == 0)
        return 0;
    log->trimmed = realloc(log->trimmed, (log->trimmed_count + count) * sizeof *log->trimmed);
    if (log->trimmed == NULL)
        abort();
    pthread_mutex_lock(&log->mutex);
    memcpy(log->trimmed + log->trimmed_count, log->segments, count * sizeof *log->trimmed);
    log->trimmed_count += count;
    log->segment_count -= count;
    memmove(log->segments, log->segments + count, log->segment_count * sizeof *log->segments);
    atomic_store(&log->first, log->segments[0].first);
    pthread_mutex_unlock(&log->mutex);
    return count;
}

bool seglog_remove(struct seglog *log, struct err *err)
{
    for (; log->trimmed_count > 0; log->trimmed_count--) {
        if (!remove_file(log, log->trimmed, err))
            return false;
        memmove(log->trimmed, log->trimmed + 1, (log->trimmed_count - 1) * sizeof *log->trimmed);
    }
    return true;
}

/* --- reading ----------------------------------------------------------------------------------------------- */

/* Is a record there, `at` bytes into what isn't flushed? A position may come from outside, as a cursor does. */
static bool check_pending(const struct seglog *log, uint64_t position, uint64_t at, struct log_record_head *head)
{
    uint64_t left = log->pending_bytes - at;
    const char *bytes = log->pending + at + sizeof *head;
    if (position % SEGLOG_ALIGN != 0 || left < sizeof *head)
        return false;
    memcpy(head, log->pending + at, sizeof *head);
    return head->len > 0 && head->len <= SEGLOG_RECORD_BYTES_MAX && record_room(head->len) <= left &&
           head->crc == record_crc(position, head, bytes);
}

bool seglog_read(struct seglog *log, uint64_t position, struct arena *arena, struct text *record, uint64_t *next,
                 struct err *err)
{
    uint64_t flushed = atomic_load(&log->flushed);
    struct text found;
    if (position < flushed) {
        if (!seglog_reader_next(log->reader, position, &found, next, err))
            return false;
        *record = arena_copy(arena, found);
        return true;
    }
    struct log_record_head head;
    uint64_t at = position - flushed;
    if (at >= log->pending_bytes)
        return seglog_damaged(log, position, err, "it ends before %" PRIu64, position);
    if (!check_pending(log, position, at, &head))
        return seglog_damaged(log, position, err, "the record at %" PRIu64 " fails its checksum", position);
    *record = arena_copy(arena, (struct text){log->pending + at + sizeof head, head.len});
    *next = position + record_room(head.len);
    return true;
}

size_t seglog_segment_count(struct seglog *log)
{
    pthread_mutex_lock(&log->mutex);
    size_t count = log->segment_count;
    pthread_mutex_unlock(&log->mutex);
    return count;
}

uint64_t seglog_segment_first(struct seglog *log, size_t index)
{
    pthread_mutex_lock(&log->mutex);
    if (index >= log->segment_count)
        index = log->segment_count - 1;
    uint64_t first = log->segments[index].first;
    pthread_mutex_unlock(&log->mutex);
    return first;
}

/* seglog_open.c - opening a log: which segments are there, are they whole, and where does what was written end.
 *
 * Segments before the newest one's head.synced were on disk when that one was made, so only what is behind that
 * position is read here. The first bad record there is the end of the log, unless a record behind it knows that
 * the log was synced further: then what is bad was acknowledged. A file that is too short ends with a bad record: a
 * log that is flushed without being synced may go on in the next file while the end of this one isn't on disk. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/crc32c.h"
#include "store/disk.h"
#include "store/seglog_parts.h"

/* --- the files --------------------------------------------------------------------------------------------- */

/* Is it named like a segment? Other files are not ours to judge. */
static bool read_name(const char *name, uint64_t *first)
{
    char again[32];
    if (sscanf(name, "%16" SCNx64, first) != 1)
        return false;
    snprintf(again, sizeof again, "%016" PRIx64 ".log", *first);
    return strcmp(name, again) == 0;
}

static int compare_segments(const void *a, const void *b)
{
    const struct segment *left = a, *right = b;
    return left->first < right->first ? -1 : left->first > right->first;
}

static void take_file(void *log, const char *name)
{
    struct segment segment = {.fd = -1};
    if (read_name(name, &segment.first))
        segment_list_add(log, segment);
}

static bool list_folder(struct seglog *log, struct err *err)
{
    if (!disk_list(log->dir, take_file, log, err))
        return false;
    if (log->segment_count > 0)
        qsort(log->segments, log->segment_count, sizeof *log->segments, compare_segments);
    return true;
}

static bool check_head(struct seglog *log, struct segment *segment, const struct segment_head *head,
                       struct err *err)
{
    uint64_t at = segment->first;
    if (head->crc != crc32c(0, head, offsetof(struct segment_head, crc)) ||
        memchr(head->mark, '\0', sizeof head->mark) == NULL || strncmp(head->mark, "fwsync ", 7) != 0)
        return seglog_damaged(log, at, err, "this is no part of a %s of fwsync", log->kind->name);
    if (memcmp(head->mark, log->mark, sizeof head->mark) != 0)
        return seglog_damaged(log, at, err, "this is '%s', but '%s' is needed here", head->mark, log->mark);
    if (head->first != at || head->synced > at)
        return seglog_damaged(log, at, err, "its name isn't the one it was made with");
    segment->synced = head->synced;
    return true;
}

/* So many bytes of a segment's records were on disk when the last segment was made. */
static uint64_t synced_bytes(const struct seglog *log, size_t index)
{
    uint64_t first = log->segments[index].first, end = log->segments[index + 1].first;
    uint64_t synced = last_segment(log)->synced;
    return synced <= first ? 0 : (synced < end ? synced : end) - first;
}

/* The last one comes first: its head says what was synced. */
static bool open_file(struct seglog *log, size_t index, struct err *err)
{
    struct segment *segment = &log->segments[index];
    struct segment_head head;
    struct stat st;
    segment->fd = segment_open(log->dir, segment->first, O_RDWR);
    if (segment->fd < 0 || fstat(segment->fd, &st) != 0)
        return segment_error(log, segment->first, errno, "opening it", err);
    segment->size = (uint64_t)st.st_size;
    if (segment->size < sizeof head)
        return seglog_damaged(log, segment->first, err, "the file is %s", segment->size == 0 ? "empty" : "cut");
    if (pread(segment->fd, &head, sizeof head, 0) != (ssize_t)sizeof head)
        return segment_error(log, segment->first, errno, "reading", err);
    if (!check_head(log, segment, &head, err))
        return false;
    if (index + 1 == log->segment_count)
        return true;
    uint64_t bytes = synced_bytes(log, index);
    if (segment->size < sizeof head + bytes)
        return seglog_damaged(log, segment->first, err,
                              "the file was cut, or the next is missing: %" PRIu64 " bytes of %" PRIu64, segment->size,
                              (uint64_t)sizeof head + bytes);
    return true;
}

/* Only the newest ones stay open: from the one that last_segment()->synced is in. Those before it were on disk
 * when the last one was made. */
static bool open_files(struct seglog *log, struct err *err)
{
    for (size_t i = log->segment_count; i-- > 0;) {
        if (!open_file(log, i, err))
            return false;
        if (i + 1 < log->segment_count && log->segments[i + 1].first <= last_segment(log)->synced) {
            close(log->segments[i].fd);
            log->segments[i].fd = -1;
        }
    }
    return true;
}

/* --- the end ----------------------------------------------------------------------------------------------- */

/* Where the segment's records end at the latest. */
static uint64_t segment_limit(const struct seglog *log, size_t index)
{
    const struct segment *segment = &log->segments[index];
    if (index + 1 < log->segment_count)
        return segment[1].first;
    return segment->first + segment->size - SEGMENT_HEAD_BYTES;
}

static void point_at(struct seglog *log, size_t index)
{
    reader_point(log->reader, log->segments[index].fd, log->segments[index].first, segment_limit(log, index));
}

/* The position behind the segment's good records. */
static bool walk(struct seglog *log, size_t index, uint64_t *end, struct err *err)
{
    uint64_t position = log->segments[index].first, limit = segment_limit(log, index);
    struct log_record_head head;
    const char *bytes;
    enum record_state state = RECORD_GOOD;
    point_at(log, index);
    while (position < limit) {
        state = reader_record(log->reader, position, &head, &bytes);
        if (state != RECORD_GOOD)
            break;
        position += record_room(head.len);
    }
    *end = position;
    return state != RECORD_FAILED || segment_error(log, log->segments[index].first, errno, "reading", err);
}

/* Looks for a record from `position` on that knows the log to be synced beyond `end`. Checksums are computed
 * seldom: most bytes are no such head. *until: behind the last that isn't zero. */
static bool find_witness(struct seglog *log, size_t index, uint64_t position, uint64_t end, bool *found,
                         uint64_t *until, struct err *err)
{
    uint64_t limit = segment_limit(log, index);
    enum record_state state = RECORD_GOOD;
    point_at(log, index);
    for (; position < limit && !*found; position += SEGLOG_ALIGN) {
        struct log_record_head head = {0};
        const char *bytes;
        uint64_t left = limit - position, len = left < sizeof head ? left : sizeof head;
        state = reader_bytes(log->reader, position, len, &bytes);
        if (state != RECORD_GOOD)
            break;
        memcpy(&head, bytes, len);
        if (head.len != 0 || head.crc != 0 || head.synced != 0)
            *until = position + len;
        if (head.synced <= end || head.synced > position)
            continue;
        state = reader_record(log->reader, position, &head, &bytes);
        *found = state == RECORD_GOOD;
        if (state == RECORD_FAILED)
            break;
    }
    return state != RECORD_FAILED || segment_error(log, log->segments[index].first, errno, "reading", err);
}

/* Is what begins at `end`, in segment `index`, torn off rather than damaged? *until: as above. */
static bool check_rest(struct seglog *log, size_t index, uint64_t end, uint64_t *until, struct err *err)
{
    bool found = last_segment(log)->synced > end;
    for (size_t i = index; i < log->segment_count && !found; i++)
        if (!find_witness(log, i, i == index ? end : log->segments[i].first, end, &found, until, err))
            return false;
    return !found || seglog_damaged(log, end, err, "the record at %" PRIu64 " fails its checksum", end);
}

/* What is found counts as synced, so it has to be. */
static bool sync_found(struct seglog *log, struct err *err)
{
    atomic_store(&log->folder_changed, true);
    return seglog_sync(log, err);
}

static bool find_end(struct seglog *log, struct err *err)
{
    const struct segment *last = last_segment(log);
    uint64_t first = log->segments[0].first; /* what was trimmed had been synced */
    uint64_t synced = last->synced > first ? last->synced : first, end = 0;
    size_t index = segment_of(log, synced);
    for (;; index++) {
        if (!walk(log, index, &end, err))
            return false;
        if (end < segment_limit(log, index) || index + 1 == log->segment_count)
            break;
    }
    uint64_t until = end;
    if (end < segment_limit(log, log->segment_count - 1) && !check_rest(log, index, end, &until, err))
        return false;
    reader_forget(log->reader);
    atomic_store(&log->first, first);
    atomic_store(&log->synced, synced);
    atomic_store(&log->flushed, end);
    log->file_end = last->size;
    if (until == end && index + 1 == log->segment_count)
        return sync_found(log, err);
    log->torn_bytes = until - end;
    return seglog_cut(log, end, err) && sync_found(log, err);
}

bool seglog_look(struct seglog *log, struct err *err)
{
    char path[SEGMENT_PATH_BYTES];
    snprintf(path, sizeof path, "%s/" SEGMENT_BUILDING, log->dir); /* what a crash left of building one */
    unlink(path);
    if (!list_folder(log, err))
        return false;
    if (log->segment_count == 0 && !segment_add(log, 0, err))
        return false;
    return open_files(log, err) && find_end(log, err);
}

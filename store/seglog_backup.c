/* A copy of a log while it is written and trimmed: up to a position that is flushed, file by file. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/disk.h"
#include "store/seglog_parts.h"

enum { COPY_BYTES = 1 << 20 };

/* Ends early, without an error, when it is stopped. */
static int copy_bytes(int from, int to, uint64_t bytes, struct copying *copying)
{
    char *buffer = malloc(COPY_BYTES);
    int error = 0;
    if (buffer == NULL)
        abort();
    for (uint64_t at = 0, synced = 0; at < bytes && error == 0 && !atomic_load(&copying->stop);) {
        size_t part = bytes - at < COPY_BYTES ? (size_t)(bytes - at) : COPY_BYTES;
        ssize_t got = pread(from, buffer, part, (off_t)at);
        if (got <= 0)
            error = got < 0 ? errno : EIO;
        else
            error = disk_write(to, buffer, (size_t)got, at);
        at += got > 0 ? (uint64_t)got : 0;
        atomic_fetch_add(&copying->bytes, got > 0 ? (uint64_t)got : 0);
        if (error == 0 && (at == bytes || at - synced >= COPY_SYNC_BYTES)) {
            error = fdatasync(to) == 0 ? 0 : errno;
            synced = at;
        }
    }
    free(buffer);
    return error;
}

static int copy_segment(const struct seglog *log, const char *dir, uint64_t first, uint64_t bytes,
                        struct copying *copying)
{
    char path[SEGMENT_PATH_BYTES];
    segment_path(dir, first, path);
    int from = segment_open(log->dir, first, O_RDONLY);
    if (from < 0)
        return errno;
    int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    int error = to < 0 ? errno : copy_bytes(from, to, bytes, copying);
    if (to >= 0)
        close(to);
    close(from);
    return error;
}

bool seglog_backup(struct seglog *log, const char *dir, uint64_t end, struct copying *copying,
                   struct err *err)
{
    if (!disk_make_folders(dir, err))
        return false;
    assert(end <= atomic_load(&log->flushed));
    int error = 0;
    uint64_t first = atomic_load(&log->first), next;
    do {
        pthread_mutex_lock(&log->mutex);
        size_t index = segment_of(log, first);
        next = index + 1 < log->segment_count ? log->segments[index + 1].first : end;
        pthread_mutex_unlock(&log->mutex);
        if (next > end)
            next = end;
        error = copy_segment(log, dir, first, SEGMENT_HEAD_BYTES + next - first, copying);
        first = next;
        if (error == 0 && copying_stopped(copying, err))
            return false;
    } while (error == 0 && next < end);
    if (error == 0)
        error = disk_sync_folder(dir);
    if (error == 0)
        return true;
    return err_set(err, disk_means_full(error) ? ERR_FULL : ERR_IO, "cannot copy %s to %s: %s", log->dir, dir,
                   error == EEXIST ? "there is one already" : strerror(error));
}

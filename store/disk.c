#include "store/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

bool copying_stopped(const struct copying *copying, struct err *err)
{
    return atomic_load(&copying->stop) && !err_set(err, ERR_BUSY, "the daemon is stopping");
}

bool disk_means_full(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

bool disk_passes(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

int disk_sync(int fd, uint64_t from, uint64_t until)
{
    unsigned flags = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    for (; until - from > SYNC_PART_BYTES; from += SYNC_PART_BYTES) /* each on its way alone */
        if (sync_file_range(fd, (off_t)from, SYNC_PART_BYTES, flags) != 0 && errno != ENOSYS && errno != EINVAL)
            return errno; /* the data's: the sync would not tell of it again */
    return fdatasync(fd) == 0 ? 0 : errno;
}

int disk_sync_folder(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int rc = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return rc;
}

int disk_write(int fd, const char *bytes, size_t len, uint64_t at)
{
    while (len > 0) {
        ssize_t written = pwrite(fd, bytes, len, (off_t)at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? errno : ENOSPC;
        bytes += written;
        at += (uint64_t)written;
        len -= (size_t)written;
    }
    return 0;
}

int disk_write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0)
        return errno;
    int error = disk_write(fd, text, strlen(text), 0);
    if (error == 0 && fsync(fd) != 0)
        error = errno;
    close(fd);
    return error;
}

bool disk_error(const char *path, int error, const char *doing, struct err *err)
{
    if (disk_means_full(error))
        return err_set(err, ERR_FULL, "%s: no space while %s (%s): free some", path, doing, strerror(error));
    if (error == EACCES || error == EPERM || error == EROFS)
        return err_set(err, ERR_IO, "%s: %s while %s: check who owns it (running as user %ld)", path,
                       strerror(error), doing, (long)geteuid());
    return err_set(err, ERR_STORE, "%s: %s while %s", path, strerror(error), doing);
}

/* One whose parents are there. 0 or errno; on disk when it was made. */
static int make_folder(const char *dir)
{
    char parent[PATH_BYTES];
    if (mkdir(dir, 0750) != 0)
        return errno == EEXIST ? 0 : errno;
    if (snprintf(parent, sizeof parent, "%s/..", dir) >= (int)sizeof parent)
        return ENAMETOOLONG;
    return disk_sync_folder(parent);
}

bool disk_make_folders(const char *dir, struct err *err)
{
    char path[PATH_BYTES];
    size_t len = strlen(dir);
    if (len == 0 || len >= sizeof path)
        return err_set(err, ERR_IO, "the path '%.100s' of a data folder is empty or too long", dir);
    memcpy(path, dir, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        char kept = path[i];
        path[i] = '\0';
        int error = make_folder(path);
        if (error != 0)
            return err_set(err, error == ENOSPC ? ERR_FULL : ERR_IO, "cannot make the folder %s: %s%s", path,
                           strerror(error), error == EACCES ? ": check who owns the folder above it" : "");
        path[i] = kept;
    }
    return true;
}

bool disk_list(const char *dir, void (*visit)(void *context, const char *name), void *context, struct err *err)
{
    DIR *folder = opendir(dir);
    if (folder == NULL)
        return err_set(err, ERR_IO, "%s: %s while looking into it", dir, strerror(errno));
    const struct dirent *entry;
    while (errno = 0, (entry = readdir(folder)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            visit(context, entry->d_name);
    int error = errno;
    closedir(folder);
    return error == 0 || err_set(err, ERR_IO, "%s: %s while looking into it", dir, strerror(error));
}

/* Locks and mapped files do not work over these. Magic numbers: statfs(2), linux/magic.h. */
bool disk_check_kind(const char *dir, struct err *err)
{
    static const struct {
        uint32_t magic;
        const char *name;
    } refused[] = {
        {0x6969, "NFS"},
        {0xFF534D42, "CIFS"},
        {0xFE534D42, "SMB2"},
        {0x517B, "SMB"},
    };
    struct statfs fs;
    if (statfs(dir, &fs) != 0)
        return err_set(err, ERR_IO, "cannot look at %s: %s", dir, strerror(errno));
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if ((uint32_t)fs.f_type == refused[i].magic)
            return err_set(err, ERR_IO, "%s is on a network file system (%s): use a local disk",
                           dir, refused[i].name);
    return true;
}

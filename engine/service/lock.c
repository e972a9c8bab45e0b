#include "engine/service/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/disk.h"

enum { PATH_BYTES = 4096, PID_BYTES = 24, LOCK_MODE = 0640 };

static bool in_use(int fd, const char *folder, struct err *err)
{
    char pid[PID_BYTES] = "";
    ssize_t len = pread(fd, pid, sizeof pid - 1, 0);
    if (len > 0)
        pid[strcspn(pid, "\n")] = '\0';
    close(fd);
    return err_set(err, ERR_IN_USE, "data: %s is in use by another fwsyncd%s%s; stop that one, or choose "
                                    "another folder with --data",
                   folder, len > 0 ? ", process " : "", pid);
}

static bool lock_path(const char *folder, char path[PATH_BYTES], struct err *err)
{
    return snprintf(path, PATH_BYTES, "%s/lock", folder) < PATH_BYTES ||
           err_set(err, ERR_IO, "data: the path is too long");
}

bool lock_check(const char *folder, int fd, struct err *err)
{
    char path[PATH_BYTES];
    struct stat held, found;
    if (!lock_path(folder, path, err))
        return false;
    bool is_there = stat(path, &found) == 0, gone = !is_there && (errno == ENOENT || errno == ENOTDIR);
    bool other = is_there && fstat(fd, &held) == 0 && (found.st_ino != held.st_ino || found.st_dev != held.st_dev);
    if (!gone && !other)
        return true;
    return err_set(err, ERR_IO,
                   "data: %s was %s under the running fwsyncd: what it has acknowledged since then is lost; start "
                   "again with what was moved away, or a backup",
                   folder, gone ? "removed" : "replaced");
}

bool lock_folder(const char *folder, int *out, struct err *err)
{
    char path[PATH_BYTES];
    if (!lock_path(folder, path, err))
        return false;
    if (!disk_make_folders(folder, err))
        return err_context(err, "data: ");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, LOCK_MODE);
    if (fd < 0)
        return errno == ENOTDIR
                   ? err_set(err, ERR_IO, "data: %s is a file; expected a folder", folder)
                   : err_set(err, ERR_IO, "data: cannot open %s: %s; check who owns the folder", path,
                             strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return in_use(fd, folder, err);
    /* the number is for in_use() only: on a full disk the lock holds without it */
    char pid[PID_BYTES];
    int len = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) == 0 && pwrite(fd, pid, (size_t)len, 0) < 0)
        errno = 0;
    *out = fd;
    return true;
}

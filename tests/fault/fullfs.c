/* fullfs - a full disk for the daemon under test.
 *
 *     LD_PRELOAD=build/tests/fault/fullfs.so FWSYNC_FULL_FLAG=/tmp/x/full fwsyncd ...
 *
 * While the file named by FWSYNC_FULL_FLAG exists, writes to the files of the state and the journal fail
 * with ENOSPC, or the number in FWSYNC_FULL_ERRNO, as does making them longer. When that file is not empty,
 * statvfs says that no bytes are left, so that fwsync's own look at the free space is tested too.
 * With FWSYNC_FULL_UNLINKS only removing a log's file fails, as on a file system that copies what it changes. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t offset);
ssize_t pwritev64(int fd, const struct iovec *parts, int part_count, off_t offset);
int ftruncate64(int fd, off_t len);
int fallocate64(int fd, int mode, off_t offset, off_t len);
int unlink(const char *path);

/* LMDB's two meta pages are written over in place, which takes no space. A write there that fails
 * all the same is a broken disk to LMDB, and it wants to be opened again. */
enum { META_BYTES = 2 * 4096 };

static bool flag(struct stat *st)
{
    const char *path = getenv("FWSYNC_FULL_FLAG");
    return path != NULL && stat(path, st) == 0;
}

static bool ends_in(const char *path, size_t len, const char *ending)
{
    size_t ending_len = strlen(ending);
    return len >= ending_len && memcmp(path + len - ending_len, ending, ending_len) == 0;
}

static bool is_full_at(int fd, off_t offset)
{
    char link[64], path[4096];
    struct stat st;
    if (getenv("FWSYNC_FULL_UNLINKS") != NULL || !flag(&st))
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path);
    if (len < 0)
        return false;
    bool of_lmdb = ends_in(path, (size_t)len, "/data.mdb");
    if (!of_lmdb && !ends_in(path, (size_t)len, ".log") && !ends_in(path, (size_t)len, "/creating"))
        return false;
    if (of_lmdb && offset < META_BYTES)
        return false;
    const char *number = getenv("FWSYNC_FULL_ERRNO");
    errno = number == NULL ? ENOSPC : (int)strtol(number, NULL, 10);
    return true;
}

static bool is_full(int fd)
{
    return is_full_at(fd, META_BYTES);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    return is_full(fd) ? -1 : syscall(SYS_write, fd, bytes, len);
}

ssize_t writev(int fd, const struct iovec *parts, int part_count)
{
    return is_full(fd) ? -1 : syscall(SYS_writev, fd, parts, part_count);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    return is_full_at(fd, offset) ? -1 : syscall(SYS_pwrite64, fd, bytes, len, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t offset)
{
    return pwrite(fd, bytes, len, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int part_count, off_t offset)
{
    return is_full(fd) ? -1 : syscall(SYS_pwritev, fd, parts, part_count, offset, 0L);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int part_count, off_t offset)
{
    return pwritev(fd, parts, part_count, offset);
}

int ftruncate(int fd, off_t len)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && len > st.st_size && is_full(fd))
        return -1;
    return (int)syscall(SYS_ftruncate, fd, len);
}

int ftruncate64(int fd, off_t len)
{
    return ftruncate(fd, len);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
    return is_full(fd) ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

int fallocate64(int fd, int mode, off_t offset, off_t len)
{
    return fallocate(fd, mode, offset, len);
}

int unlink(const char *path)
{
    struct stat st;
    if (getenv("FWSYNC_FULL_UNLINKS") == NULL || !flag(&st) || !ends_in(path, strlen(path), ".log"))
        return (int)syscall(SYS_unlink, path);
    errno = ENOSPC;
    return -1;
}

int statvfs(const char *restrict path, struct statvfs *restrict fs)
{
    static int (*real)(const char *, struct statvfs *);
    struct stat st;
    if (real == NULL) {
        void *symbol = dlsym(RTLD_NEXT, "statvfs");
        memcpy(&real, &symbol, sizeof real);
    }
    int rc = real(path, fs);
    if (rc == 0 && flag(&st) && st.st_size > 0)
        fs->f_bavail = fs->f_bfree = 0;
    return rc;
}

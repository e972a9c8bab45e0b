/* full_disk.h - for tests: a disk that fails on demand. Include it in one file of the program: it
 * takes the place of the C library's functions with which the store writes (see tests/fault/fullfs.c for
 * the daemon). */
#ifndef TEST_FULL_DISK_H
#define TEST_FULL_DISK_H

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static struct {
    int error;            /* what each write fails with; 0: it works */
    int sync_error;       /* what each fdatasync fails with, */
    int range_error;      /* and each sync_file_range */
    bool short_writes;    /* writes take half of what they are given, and at least a byte */
    bool only_meta;       /* only writes to LMDB's first two pages fail */
    bool no_bytes_left;   /* statvfs says so */
    uint64_t bytes_left;  /* it says this; 0: 4 GiB */
    int list_error;       /* what a folder's listing ends with, before its first entry */
    unsigned fails_after; /* so many commits still work, then the disk is full; 0: without end */
    size_t written_bytes; /* by pwrite and writev */
} full_disk;

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset);
ssize_t writev(int fd, const struct iovec *parts, int part_count);
ssize_t write(int fd, const void *bytes, size_t len);
int fdatasync(int fd);
int sync_file_range(int fd, off64_t offset, off64_t count, unsigned flags);
int fsync(int fd);
int statvfs(const char *restrict path, struct statvfs *restrict fs);
struct dirent *readdir(DIR *folder);

/* Does this write end a commit of LMDB's? */
static bool full_disk_is_meta(int fd, off_t offset)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (offset >= 8192 || len < 0)
        return false;
    path[len] = '\0';
    return strstr(path, "/data.mdb") != NULL;
}

static bool full_disk_fails(int fd, off_t offset)
{
    struct stat st;
    if (full_disk.error == 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || fd <= 2)
        return false;
    if (full_disk.only_meta && !full_disk_is_meta(fd, offset))
        return false;
    errno = full_disk.error;
    return true;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    if (full_disk_fails(fd, offset))
        return -1;
    if (full_disk.fails_after > 0 && full_disk_is_meta(fd, offset) && --full_disk.fails_after == 0)
        full_disk.error = ENOSPC;
    if (full_disk.short_writes)
        len -= len / 2;
    full_disk.written_bytes += len;
    return syscall(SYS_pwrite64, fd, bytes, len, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int part_count)
{
    if (!full_disk.only_meta && full_disk_fails(fd, 0))
        return -1;
    if (full_disk.short_writes)
        part_count /= 2;
    for (int i = 0; i < part_count; i++)
        full_disk.written_bytes += parts[i].iov_len;
    return syscall(SYS_writev, fd, parts, part_count);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    if (!full_disk.only_meta && full_disk_fails(fd, 0))
        return -1;
    return syscall(SYS_write, fd, bytes, len);
}

/* Nobody cuts the power here, so that waiting for the disk would only take time. */
int fdatasync(int fd)
{
    (void)fd;
    errno = full_disk.sync_error;
    return errno != 0 ? -1 : 0;
}

int sync_file_range(int fd, off64_t offset, off64_t count, unsigned flags)
{
    (void)fd, (void)offset, (void)count, (void)flags;
    errno = full_disk.range_error;
    return errno != 0 ? -1 : 0;
}

int fsync(int fd)
{
    (void)fd;
    return 0;
}

struct dirent *readdir(DIR *folder)
{
    static struct dirent *(*real)(DIR *);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "readdir");
    if (full_disk.list_error == 0)
        return real(folder);
    errno = full_disk.list_error;
    return NULL;
}

int statvfs(const char *restrict path, struct statvfs *restrict fs)
{
    (void)path;
    uint64_t bytes = full_disk.bytes_left > 0 ? full_disk.bytes_left : UINT64_C(4) << 30;
    *fs = (struct statvfs){.f_frsize = 4096, .f_bavail = full_disk.no_bytes_left ? 0 : bytes / 4096};
    return 0;
}

#endif

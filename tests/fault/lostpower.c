/* lostpower - notes what the daemon under test asks of its disk, so that a test can tell what a power cut leaves.
 *
 *     LD_PRELOAD=build/tests/fault/lostpower.so FWSYNC_POWER_DATA=/tmp/x/data FWSYNC_POWER_LOG=/tmp/x/log fwsyncd ...
 *
 * Every operation that changes what is below FWSYNC_POWER_DATA is noted in FWSYNC_POWER_LOG, in the order in which
 * they took place: under one mutex an operation is done and noted. A sync is noted when it begins and when it is
 * done, and runs without the mutex: what was noted before its beginning is on disk when its end is noted. The notes
 * are in the log before the caller goes on, so before anybody is told of anything.
 *
 * SIGUSR1 kills the daemon as SIGKILL does, but at a moment when all that was done is noted: what another daemon finds
 * then, whose notes go on in the same log, is what they say. SIGUSR2 does that when the next sync begins.
 *
 * Here is what fwsyncd and LMDB call. tests/crash/test_power.py compares what the notes say with the folder that is
 * there, so what is missing here is found. sync_file_range promises nothing, so it isn't noted. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

int __open_2(const char *path, int flags);
int open64(const char *path, int flags, ...);
int __open64_2(const char *path, int flags);
ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t offset);
int ftruncate64(int fd, off_t len);

enum { DESCRIPTORS_MAX = 65536, PATHS_BYTES = 2 * 4200 };

enum kind {
    NOTE_OPEN,       /* the path follows; `at` is a sum of the flags below */
    NOTE_WRITE,      /* at this place of the file; the bytes follow */
    NOTE_TRUNCATE,   /* the file is `at` long */
    NOTE_SYNC_BEGIN, /* of a file or a folder */
    NOTE_SYNC_END,   /* of the one whose beginning is at this place of the log */
    NOTE_WRITE_END,  /* of a write to a file that was opened with O_DSYNC: it is on disk */
    NOTE_RENAME,     /* the old path, a NUL, the new one */
    NOTE_UNLINK,
    NOTE_MKDIR,
    NOTE_RMDIR,
};

enum { OPEN_CREATED = 1, OPEN_TRUNCATED = 2 };

/* As the log has it, the machine's byte order; so many bytes follow. */
struct note {
    uint32_t kind;
    int32_t fd;
    uint64_t at;
    uint64_t bytes;
};
_Static_assert(sizeof(struct note) == 24, "no padding in the log");

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static const char *data; /* NULL: nothing is noted */
static int log_fd;
static uint64_t log_end;
static atomic_bool must_die, must_die_at_sync;

/* What is known of a descriptor; whoever owns it reads and writes it. */
static struct {
    bool noted;
    bool synced; /* it has O_DSYNC */
} descriptors[DESCRIPTORS_MAX];

/* Not while an operation is being done or noted: then whoever is at it dies at its end. */
static void die(int number)
{
    if (pthread_mutex_trylock(&mutex) == 0)
        kill(getpid(), SIGKILL);
    atomic_store(&must_die, number != 0);
}

static void die_at_sync(int number)
{
    atomic_store(&must_die_at_sync, number != 0);
}

static void begin(void)
{
    pthread_mutex_lock(&mutex);
}

static void end(void)
{
    if (atomic_load(&must_die))
        kill(getpid(), SIGKILL);
    pthread_mutex_unlock(&mutex);
}

__attribute__((constructor)) static void start(void)
{
    const char *log = getenv("FWSYNC_POWER_LOG");
    if (log == NULL)
        return;
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    off_t len = log_fd < 0 ? -1 : lseek(log_fd, 0, SEEK_END); /* another daemon's may be there */
    if (len < 0)
        abort();
    log_end = (uint64_t)len;
    data = getenv("FWSYNC_POWER_DATA");
    signal(SIGUSR1, die);
    signal(SIGUSR2, die_at_sync);
}

static bool is_ours(const char *path)
{
    return data != NULL && strncmp(path, data, strlen(data)) == 0;
}

static bool is_noted(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS_MAX && descriptors[fd].noted;
}

/* --- the log; with the mutex held ------------------------------------------------------------------------------ */

static void put(const void *bytes, size_t len)
{
    for (const char *at = bytes; len > 0;) {
        ssize_t written = syscall(SYS_write, log_fd, at, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            abort();
        at += written;
        len -= (size_t)written;
        log_end += (uint64_t)written;
    }
}

/* Where the note is in the log. errno stays the operation's. */
static uint64_t note(enum kind kind, int fd, uint64_t at, const void *bytes, size_t len)
{
    int error = errno;
    uint64_t place = log_end;
    put(&(struct note){kind, fd, at, len}, sizeof(struct note));
    put(bytes, len);
    errno = error;
    return place;
}

static void note_path(enum kind kind, const char *path)
{
    note(kind, -1, 0, path, strlen(path));
}

static uint64_t note_alone(enum kind kind, int fd, uint64_t at)
{
    begin();
    uint64_t place = note(kind, fd, at, "", 0);
    end();
    return place;
}

/* --- files ----------------------------------------------------------------------------------------------------- */

static int open_noted(const char *path, int flags, mode_t mode)
{
    struct stat st;
    if (!is_ours(path))
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    begin();
    bool existed = stat(path, &st) == 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (fd >= 0) {
        uint64_t how = (existed ? 0 : OPEN_CREATED) | ((flags & O_TRUNC) != 0 ? OPEN_TRUNCATED : 0);
        if (fd >= DESCRIPTORS_MAX)
            abort();
        descriptors[fd].synced = (flags & O_DSYNC) != 0;
        descriptors[fd].noted = true;
        note(NOTE_OPEN, fd, how, path, strlen(path));
    }
    end();
    return fd;
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_noted(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_noted(path, flags, mode);
}

int __open_2(const char *path, int flags)
{
    return open_noted(path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
    return open_noted(path, flags, 0);
}

int close(int fd)
{
    if (is_noted(fd))
        descriptors[fd].noted = false;
    return (int)syscall(SYS_close, fd);
}

/* One that is on disk when it returns may be there in part before: it is noted first, and once more at its end. */
static ssize_t write_synced(int fd, const void *bytes, size_t len, off_t offset)
{
    begin();
    uint64_t place = note(NOTE_WRITE, fd, (uint64_t)offset, bytes, len);
    ssize_t written = syscall(SYS_pwrite64, fd, bytes, len, offset);
    if (written != (ssize_t)len)
        abort(); /* the note was wrong */
    note(NOTE_WRITE_END, fd, place, "", 0);
    end();
    return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    if (!is_noted(fd))
        return syscall(SYS_pwrite64, fd, bytes, len, offset);
    if (descriptors[fd].synced)
        return write_synced(fd, bytes, len, offset);
    begin();
    ssize_t written = syscall(SYS_pwrite64, fd, bytes, len, offset);
    if (written > 0)
        note(NOTE_WRITE, fd, (uint64_t)offset, bytes, (size_t)written);
    end();
    return written;
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t offset)
{
    return pwrite(fd, bytes, len, offset);
}

/* Where the descriptor stands. Only LMDB writes there, and it has moved there just before. */
ssize_t write(int fd, const void *bytes, size_t len)
{
    if (!is_noted(fd))
        return syscall(SYS_write, fd, bytes, len);
    off_t offset = lseek(fd, 0, SEEK_CUR);
    ssize_t written = pwrite(fd, bytes, len, offset);
    if (written > 0 && lseek(fd, offset + written, SEEK_SET) < 0)
        abort();
    return written;
}

ssize_t writev(int fd, const struct iovec *parts, int part_count)
{
    if (!is_noted(fd))
        return syscall(SYS_writev, fd, parts, part_count);
    ssize_t all = 0;
    for (int i = 0; i < part_count; i++) {
        ssize_t written = write(fd, parts[i].iov_base, parts[i].iov_len);
        if (written < 0)
            return all > 0 ? all : -1;
        all += written;
        if ((size_t)written < parts[i].iov_len)
            break;
    }
    return all;
}

int ftruncate(int fd, off_t len)
{
    if (!is_noted(fd))
        return (int)syscall(SYS_ftruncate, fd, len);
    begin();
    int failed = (int)syscall(SYS_ftruncate, fd, len);
    if (failed == 0)
        note(NOTE_TRUNCATE, fd, (uint64_t)len, "", 0);
    end();
    return failed;
}

int ftruncate64(int fd, off_t len)
{
    return ftruncate(fd, len);
}

static int sync_noted(long number, int fd)
{
    if (!is_noted(fd))
        return (int)syscall(number, fd);
    uint64_t place = note_alone(NOTE_SYNC_BEGIN, fd, 0);
    if (atomic_load(&must_die_at_sync)) {
        begin();
        kill(getpid(), SIGKILL);
    }
    int failed = (int)syscall(number, fd);
    if (failed == 0)
        note_alone(NOTE_SYNC_END, fd, place);
    return failed;
}

int fsync(int fd)
{
    return sync_noted(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return sync_noted(SYS_fdatasync, fd);
}

/* --- folders --------------------------------------------------------------------------------------------------- */

static int rename_noted(const char *from, const char *to, unsigned flags)
{
    char both[PATHS_BYTES];
    int len = snprintf(both, sizeof both, "%s%c%s", from, '\0', to);
    if (!is_ours(to))
        return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
    if (len < 0 || len >= (int)sizeof both)
        abort();
    begin();
    int failed = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
    if (failed == 0)
        note(NOTE_RENAME, -1, 0, both, (size_t)len);
    end();
    return failed;
}

int rename(const char *from, const char *to)
{
    return rename_noted(from, to, 0);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    if (from_folder != AT_FDCWD || to_folder != AT_FDCWD)
        abort();
    return rename_noted(from, to, flags);
}

int unlink(const char *path)
{
    begin();
    int failed = (int)syscall(SYS_unlink, path);
    if (failed == 0 && is_ours(path))
        note_path(NOTE_UNLINK, path);
    end();
    return failed;
}

int mkdir(const char *path, mode_t mode)
{
    begin();
    int failed = (int)syscall(SYS_mkdir, path, mode);
    if (failed == 0 && is_ours(path))
        note_path(NOTE_MKDIR, path);
    end();
    return failed;
}

int rmdir(const char *path)
{
    begin();
    int failed = (int)syscall(SYS_rmdir, path);
    if (failed == 0 && is_ours(path))
        note_path(NOTE_RMDIR, path);
    end();
    return failed;
}

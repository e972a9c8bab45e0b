#include "store/lmdb_env.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store/disk.h"

enum {
    DBS_MAX = 16,
    PROBE_BYTES = 1 << 20, /* more than LMDB writes in one call, MDB_COMMIT_PAGES: 64 pages */
};

/* The environment's mark: key "format" in sub-database "meta", value "fwsync journal 1". */

/* --- errors --- */

static bool means_full(int rc)
{
    return rc == MDB_MAP_FULL || disk_means_full(rc);
}

static bool means_foreign(int rc)
{
    return rc == MDB_INVALID || rc == MDB_VERSION_MISMATCH || rc == MDB_CORRUPTED ||
           rc == MDB_PAGE_NOTFOUND;
}

bool lmdb_env_error(const struct lmdb_env *env, int rc, const char *doing, struct err *err)
{
    assert(rc != 0);
    if (rc == MDB_MAP_FULL)
        return err_set(err, ERR_FULL,
                       "%s: its bound of %" PRIu64 " MiB is reached while %s: raise it", env->path,
                       env->map_bytes >> 20, doing);
    if (means_foreign(rc))
        return lmdb_env_damaged(env, err, "%s while %s", mdb_strerror(rc), doing);
    if (rc > 0)
        return disk_error(env->path, rc, doing, err);
    return err_set(err, ERR_STORE, "%s: %s while %s", env->path, mdb_strerror(rc), doing);
}

bool lmdb_env_damaged(const struct lmdb_env *env, struct err *err, const char *format, ...)
{
    char what[ERR_TEXT_BYTES / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return err_set(err, ERR_DAMAGED, "%s: %s: %s", env->path, what, env->advice);
}

/* --- space --- */

static bool size_limit_reached(const struct lmdb_env *env)
{
    struct rlimit limit;
    struct stat st;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return false;
    return stat(env->path, &st) == 0 && (rlim_t)st.st_size + PROBE_BYTES > limit.rlim_cur;
}

/* 0 or errno. */
static int write_zeros(int fd, size_t bytes)
{
    static const char zeros[65536];
    int error = 0;
    for (size_t done = 0; error == 0 && done < bytes; done += sizeof zeros)
        error = disk_write(fd, zeros, sizeof zeros, done);
    return error != 0 ? error : fdatasync(fd) == 0 ? 0 : errno;
}

/* LMDB reports a short write, which is how a disk fills up, as EIO, just like a failing disk.
 * Writing a little beside the file tells one from the other. */
static bool disk_is_full(const struct lmdb_env *env)
{
    char name[4096];
    if (size_limit_reached(env))
        return true;
    if (snprintf(name, sizeof name, "%s.probe", env->path) >= (int)sizeof name)
        return false;
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0)
        return means_full(errno);
    bool full = means_full(write_zeros(fd, PROBE_BYTES));
    close(fd);
    unlink(name);
    return full;
}

uint64_t lmdb_env_free_bytes(const struct lmdb_env *env)
{
    struct statvfs fs;
    if (statvfs(env->path, &fs) != 0)
        return UINT64_MAX;
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

uint64_t lmdb_env_pages(const struct lmdb_env *env)
{
    MDB_envinfo info;
    int rc = mdb_env_info(env->env, &info);
    assert(rc == 0);
    return (uint64_t)info.me_last_pgno + 1;
}

/* --- transactions --- */

bool lmdb_env_begin(struct lmdb_env *env, MDB_txn **txn, struct err *err)
{
    int rc = mdb_txn_begin(env->env, NULL, 0, txn);
    return rc == 0 || lmdb_env_error(env, rc, "starting a transaction", err);
}

/* Is the environment usable and without transaction `id`? */
static bool is_as_before(struct lmdb_env *env, size_t id)
{
    MDB_txn *txn;
    if (mdb_txn_begin(env->env, NULL, MDB_RDONLY, &txn) != 0)
        return false;
    bool before = mdb_txn_id(txn) < id;
    mdb_txn_abort(txn);
    return before;
}

bool lmdb_env_commit(struct lmdb_env *env, MDB_txn *txn, struct err *err)
{
    size_t id = mdb_txn_id(txn);
    int rc = mdb_txn_commit(txn);
    if (rc == 0)
        return true;
    bool full = means_full(rc) || (rc == EIO && disk_is_full(env));
    if (full && is_as_before(env, id))
        return lmdb_env_error(env, rc == EIO ? ENOSPC : rc, "committing", err);
    return err_set(err, ERR_STORE,
                   "%s: a commit failed with an unknown outcome (%s): check the disk", env->path,
                   mdb_strerror(rc));
}

/* --- opening --- */

static int open_environment(const char *dir, uint64_t map_bytes, unsigned flags, MDB_env **out)
{
    MDB_env *env;
    int rc = mdb_env_create(&env);
    if (rc != 0)
        return rc;
    rc = mdb_env_set_mapsize(env, map_bytes);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(env, DBS_MAX);
    if (rc == 0)
        rc = mdb_env_open(env, dir, MDB_NOTLS | flags, 0640);
    if (rc == 0) {
        *out = env;
        return 0;
    }
    mdb_env_close(env);
    return rc;
}

static int write_mark(MDB_env *env, const char *mark)
{
    MDB_txn *txn;
    MDB_dbi meta;
    MDB_val key = lmdb_val("format", 6), value = lmdb_val(mark, strlen(mark));
    int rc = mdb_txn_begin(env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &meta);
    if (rc == 0)
        rc = mdb_put(txn, meta, &key, &value, 0);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

static void remove_folder(const char *dir)
{
    static const char *const files[] = {"data.mdb", "lock.mdb"};
    char path[4200];
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    rmdir(dir);
}

/* Build `dir`/data.mdb: either it is there with its mark, on disk, or it isn't there. */
static int create_environment(const char *dir, const char *path, uint64_t map_bytes,
                              const char *mark)
{
    char building[4100], built[4200];
    MDB_env *env;
    snprintf(building, sizeof building, "%s/creating", dir);
    snprintf(built, sizeof built, "%s/data.mdb", building);
    remove_folder(building);
    if (mkdir(building, 0750) != 0)
        return errno;
    int rc = open_environment(building, map_bytes, 0, &env);
    if (rc == 0) {
        rc = write_mark(env, mark);
        mdb_env_close(env);
    }
    if (rc == 0 && rename(built, path) != 0)
        rc = errno;
    remove_folder(building);
    return rc == 0 ? disk_sync_folder(dir) : rc;
}

/* Free pages from number `first` on, as LMDB lists them in its sub-database 0: each value is a
 * count and so many page numbers. */
static bool count_free_pages(MDB_cursor *cursor, uint64_t first, uint64_t *count)
{
    MDB_val key, value;
    int rc;
    *count = 0;
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        const size_t *list = value.mv_data;
        if (value.mv_size < sizeof *list || list[0] >= value.mv_size / sizeof *list)
            return false;
        for (size_t i = 1; i <= list[0]; i++)
            *count += list[i] >= first;
    }
    return rc == MDB_NOTFOUND;
}

/* Are all pages from `first` on free? */
static bool rest_is_free(const struct lmdb_env *env, uint64_t first)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    uint64_t count;
    bool is_free = false;
    if (mdb_txn_begin(env->env, NULL, MDB_RDONLY, &txn) != 0)
        return false;
    if (mdb_cursor_open(txn, 0, &cursor) == 0) {
        is_free = count_free_pages(cursor, first, &count) && count == lmdb_env_pages(env) - first;
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return is_free;
}

/* LMDB doesn't write pages that a transaction took at the end of the file and gave back, so a sound
 * file may end early; then all that is missing is free. To find out, the list of free pages must be
 * read, which itself may be missing: the file is made long enough (with a hole) so that this can't
 * kill us. A page of zeros is none of LMDB's. */
static bool check_length(struct lmdb_env *env, struct err *err)
{
    MDB_stat stat_now;
    mdb_filehandle_t fd;
    struct stat st;
    if (mdb_env_stat(env->env, &stat_now) != 0 || mdb_env_get_fd(env->env, &fd) != 0 ||
        fstat(fd, &st) != 0)
        return err_set(err, ERR_IO, "%s: cannot look at it: %s", env->path, strerror(errno));
    env->page_bytes = stat_now.ms_psize;
    uint64_t need = lmdb_env_pages(env) * env->page_bytes;
    if ((uint64_t)st.st_size >= need)
        return true;
    if (ftruncate(fd, (off_t)need) != 0)
        return lmdb_env_error(env, errno, "making it longer", err);
    if (rest_is_free(env, (uint64_t)st.st_size / env->page_bytes))
        return true;
    if (ftruncate(fd, st.st_size) != 0) /* as it was found */
        return lmdb_env_error(env, errno, "making it shorter", err);
    return lmdb_env_damaged(env, err, "the file was cut: %jd bytes of %" PRIu64,
                            (intmax_t)st.st_size, need);
}

static bool check_mark(struct lmdb_env *env, const struct lmdb_env_kind *kind, const char *mark,
                       struct err *err)
{
    MDB_txn *txn;
    MDB_dbi meta;
    MDB_val key = lmdb_val("format", 6), value = {0, NULL};
    char found[64] = "";
    int rc = mdb_txn_begin(env->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return lmdb_env_error(env, rc, "opening it", err);
    rc = mdb_dbi_open(txn, "meta", 0, &meta);
    if (rc == 0)
        rc = mdb_get(txn, meta, &key, &value);
    if (rc == 0)
        snprintf(found, sizeof found, "%.*s", (int)(value.mv_size < 60 ? value.mv_size : 60),
                 (const char *)value.mv_data);
    mdb_txn_abort(txn);
    if (strcmp(found, mark) == 0)
        return true;
    if (rc != 0 || strncmp(found, "fwsync ", 7) != 0)
        return lmdb_env_damaged(env, err, "this is no %s of fwsync", kind->name);
    return lmdb_env_damaged(env, err, "this is '%s', but '%s' is needed here", found, mark);
}

static bool open_existing(struct lmdb_env *env, const struct lmdb_env_kind *kind, const char *dir,
                          const char *mark, struct err *err)
{
    struct stat st;
    if (stat(env->path, &st) == 0 && st.st_size == 0)
        return lmdb_env_damaged(env, err, "the file is empty");
    int rc = open_environment(dir, env->map_bytes, 0, &env->env);
    if (rc == ENOMEM)
        return err_set(err, ERR_IO,
                       "%s: cannot reserve %" PRIu64 " MiB of address space: lower its bound",
                       env->path, env->map_bytes >> 20);
    if (rc != 0)
        return lmdb_env_error(env, rc, "opening it", err);
    int stale = 0;
    mdb_reader_check(env->env, &stale);
    return check_length(env, err) && check_mark(env, kind, mark, err);
}

static bool open_or_create(struct lmdb_env *env, const struct lmdb_env_kind *kind, const char *dir,
                           struct err *err)
{
    char mark[64];
    snprintf(mark, sizeof mark, "fwsync %s %d", kind->name, kind->format);
    if (!disk_check_kind(dir, err))
        return false;
    struct stat st;
    if (stat(env->path, &st) != 0 && errno == ENOENT) {
        int rc = create_environment(dir, env->path, env->map_bytes, mark);
        if (rc != 0)
            return lmdb_env_error(env, rc, "creating it", err);
    }
    return open_existing(env, kind, dir, mark, err);
}

bool lmdb_env_open(struct lmdb_env *out, const struct lmdb_env_kind *kind, const char *dir,
                   uint64_t map_bytes, struct err *err)
{
    struct lmdb_env env = {.advice = kind->advice, .map_bytes = map_bytes};
    if (!disk_make_folders(dir, err))
        return false;
    if (asprintf(&env.path, "%s/data.mdb", dir) < 0)
        abort();
    if (!open_or_create(&env, kind, dir, err)) {
        lmdb_env_close(&env);
        return false;
    }
    *out = env;
    return true;
}

void lmdb_env_close(struct lmdb_env *env)
{
    if (env->env != NULL)
        mdb_env_close(env->env);
    free(env->path);
    *env = (struct lmdb_env){0};
}

/* --- backup --- */

bool lmdb_env_open_copy(struct lmdb_env *out, const struct lmdb_env *source, const char *dir,
                        struct err *err)
{
    struct lmdb_env env = {.advice = source->advice,
                           .map_bytes = source->map_bytes,
                           .page_bytes = source->page_bytes};
    if (!disk_make_folders(dir, err))
        return false;
    if (asprintf(&env.path, "%s/data.mdb", dir) < 0)
        abort();
    int rc = open_environment(dir, env.map_bytes, MDB_NOSYNC | MDB_NOLOCK, &env.env);
    if (rc != 0) {
        lmdb_env_error(&env, rc, "creating it", err);
        lmdb_env_close(&env);
        return false;
    }
    *out = env;
    return true;
}

static int secure_and_sync(const char *dir)
{
    char path[4200];
    if (snprintf(path, sizeof path, "%s/data.mdb", dir) >= (int)sizeof path)
        return ENAMETOOLONG;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int rc = fchmod(fd, 0640) == 0 && fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return rc == 0 ? disk_sync_folder(dir) : rc;
}

bool lmdb_env_backup(const struct lmdb_env *env, const char *dir, struct err *err)
{
    if (!disk_make_folders(dir, err))
        return false;
    int rc = mdb_env_copy2(env->env, dir, MDB_CP_COMPACT);
    if (rc == 0)
        rc = secure_and_sync(dir);
    if (rc == 0)
        return true;
    return err_set(err, means_full(rc) || rc == EIO ? ERR_FULL : ERR_IO, "cannot copy %s to %s: %s",
                   env->path, dir, rc == EEXIST ? "there is one already" : mdb_strerror(rc));
}

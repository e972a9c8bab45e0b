#include "engine/service/backup.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/thread.h"
#include "store/disk.h"

enum { DIR_BYTES_MAX = 3000, PATH_BYTES = 4096, FOLDER_MODE = 0750, FILE_MODE = 0640 };

static const char mark_name[] = "unfinished-backup";
static const char mark_text[] = "fwsyncd is copying its data here, or had to give up: this is no backup.\n";

/* The folders of a backup: what is in one of them comes before it. */
static const char *const parts[] = {"state/history", "state", "journal/sources", "journal"};
enum { PART_HISTORY, PART_STATE, PART_SOURCES, PART_JOURNAL, PART_COUNT };
_Static_assert(sizeof parts / sizeof parts[0] == PART_COUNT, "name every part");

struct backup {
    struct partition *partition;
    struct query *asked; /* to be begun; NULL: nothing */
    pthread_t thread;
    bool has_thread;     /* to be joined */
    atomic_bool running; /* the thread isn't done */
    char dir[DIR_BYTES_MAX + 1];
    uint64_t bytes_total;
    struct copying copying;
    atomic_int_fast64_t finished_ms;

    /* the thread's, while it runs */
    struct query *query;
    struct state_snapshot *snapshot;
};

/* --- the folder ------------------------------------------------------------------------------------------ */

static void below(const struct backup *backup, const char *name, char path[PATH_BYTES])
{
    int len = snprintf(path, PATH_BYTES, "%s/%s", backup->dir, name);
    assert(len > 0 && len < PATH_BYTES);
}

static bool folder_error(const struct backup *backup, int error, const char *doing, struct err *err)
{
    return disk_error(backup->dir, error, doing, err);
}

/* So that the names in it are on disk. */
static bool sync_folder(const struct backup *backup, const char *name, struct err *err)
{
    char path[PATH_BYTES];
    below(backup, name, path);
    int error = disk_sync_folder(path);
    return error == 0 || folder_error(backup, error, "syncing it", err);
}

static void look_at(void *empty, const char *name)
{
    if (strcmp(name, mark_name) != 0)
        *(bool *)empty = false;
}

/* A mark alone is what a copy that had to be given up leaves. */
static bool is_empty(const struct backup *backup, bool *empty, struct err *err)
{
    *empty = true;
    return disk_list(backup->dir, look_at, empty, err);
}

static bool is_marked(const char *folder)
{
    char path[PATH_BYTES];
    return snprintf(path, sizeof path, "%s/%s", folder, mark_name) < PATH_BYTES && access(path, F_OK) == 0;
}

/* A copy in the data folder goes with it, and what is in there is fwsync's own. */
static bool is_outside(const struct backup *backup, struct err *err)
{
    char *data = realpath(backup->partition->settings->data, NULL), *dir = realpath(backup->dir, NULL);
    size_t len = data == NULL ? 0 : strlen(data);
    bool inside = data != NULL && dir != NULL && strncmp(dir, data, len) == 0 && (dir[len] == '/' || dir[len] == '\0');
    free(data);
    free(dir);
    return !inside || err_set(err, ERR_IO, "%s: it is in the data folder itself: name one elsewhere", backup->dir);
}

static bool make_folder(const struct backup *backup, struct err *err)
{
    bool empty = false;
    if (mkdir(backup->dir, FOLDER_MODE) == 0) {
        if (is_outside(backup, err))
            return sync_folder(backup, "..", err);
        rmdir(backup->dir);
        return false;
    }
    if (errno != EEXIST)
        return folder_error(backup, errno, "making it", err);
    if (!is_empty(backup, &empty, err))
        return false;
    if (empty)
        return is_outside(backup, err);
    return err_set(err, ERR_IO, "%s: %s", backup->dir,
                   is_marked(backup->dir)
                       ? "there is an unfinished backup in it: remove it, or name another folder"
                       : "it isn't empty: name a new or an empty folder");
}

static int write_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        return errno;
    int error = disk_write(fd, mark_text, sizeof mark_text - 1, 0);
    if (error == 0 && fsync(fd) != 0)
        error = errno;
    close(fd);
    return error;
}

static bool write_mark(const struct backup *backup, struct err *err)
{
    char path[PATH_BYTES];
    below(backup, mark_name, path);
    int error = write_file(path);
    return error == 0 ? sync_folder(backup, ".", err) : folder_error(backup, error, "writing to it", err);
}

static bool remove_mark(const struct backup *backup, struct err *err)
{
    char path[PATH_BYTES];
    below(backup, mark_name, path);
    if (!sync_folder(backup, ".", err))
        return false;
    return unlink(path) == 0 ? sync_folder(backup, ".", err)
                             : folder_error(backup, errno, "finishing it", err);
}

static bool check_space(const struct backup *backup, struct err *err)
{
    struct statvfs fs;
    if (statvfs(backup->dir, &fs) != 0)
        return true;
    uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
    return left >= backup->bytes_total ||
           err_set(err, ERR_FULL,
                   "%s: a backup takes up to %" PRIu64 " MiB and there are %" PRIu64 " MiB left: free some space",
                   backup->dir, (backup->bytes_total >> 20) + 1, left >> 20);
}

struct files {
    const char *part;
    uint64_t (*visit)(const char *path);
    uint64_t sum;
};

static void visit_file(void *context, const char *name)
{
    struct files *files = context;
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/%s", files->part, name) < PATH_BYTES)
        files->sum += files->visit(path);
}

/* Calls `visit` with each file of a part, if it is there; adds up what it returns. */
static uint64_t each_file(const char *part, uint64_t (*visit)(const char *path))
{
    struct files files = {part, visit, 0};
    struct err ignored;
    disk_list(part, visit_file, &files, &ignored);
    return files.sum;
}

static uint64_t file_bytes(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
}

static uint64_t remove_file(const char *path)
{
    unlink(path);
    return 0;
}

static void remove_parts(const struct backup *backup)
{
    for (size_t i = 0; i < PART_COUNT; i++) {
        char path[PATH_BYTES];
        below(backup, parts[i], path);
        each_file(path, remove_file);
        rmdir(path);
    }
}

static uint64_t count_bytes(const struct backup *backup)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < PART_COUNT; i++) {
        char path[PATH_BYTES];
        below(backup, parts[i], path);
        bytes += each_file(path, file_bytes);
    }
    return bytes;
}

/* --- the thread ------------------------------------------------------------------------------------------ */

/* *seq is the last event that is surely in it: those committed while the journal is copied may be, too. */
static bool copy_parts(struct backup *backup, uint64_t *seq, struct err *err)
{
    char state_dir[PATH_BYTES], journal_dir[PATH_BYTES];
    below(backup, parts[PART_STATE], state_dir);
    below(backup, parts[PART_JOURNAL], journal_dir);
    if (!state_backup(backup->snapshot, state_dir, &backup->copying, err))
        return false;
    *seq = atomic_load(&backup->partition->journal_seq);
    return journal_backup(backup->partition->journal, journal_dir, &backup->copying, err);
}

static bool fill_folder(struct backup *backup, uint64_t *seq, struct err *err)
{
    if (!make_folder(backup, err) || !write_mark(backup, err))
        return false;
    if (check_space(backup, err) && copy_parts(backup, seq, err) && remove_mark(backup, err))
        return true;
    remove_parts(backup);
    return false;
}

static bool make(struct backup *backup, uint64_t *seq, struct err *err)
{
    if (fill_folder(backup, seq, err))
        return true;
    if (err->code == ERR_STORE)
        err->code = ERR_IO; /* the copy's: the daemon itself goes on */
    return false;
}

static void answer(struct backup *backup, uint64_t seq, int64_t took_ms)
{
    char path[PATH_MAX];
    const char *dir = realpath(backup->dir, path) != NULL ? path : backup->dir;
    uint64_t bytes = count_bytes(backup);
    struct buf *reply = &backup->query->reply;
    buf_byte(reply, '{');
    json_member_boolean(reply, "ok", true);
    json_member_unsigned(reply, "seq", seq);
    json_member_text(reply, "dir", text_of(dir));
    json_member_unsigned(reply, "bytes", bytes);
    buf_byte(reply, '}');
    log_line(LOG_INFO, "backup", "dir=%s seq=%" PRIu64 " bytes=%" PRIu64 " ms=%" PRId64, log_quote(dir), seq,
             bytes, took_ms);
}

static void answer_error(struct backup *backup, const struct err *err)
{
    query_reply_error(backup->query, err);
    log_line(LOG_ERROR, "backup-failed", "error=%s", log_quote(err->text));
}

static void *run(void *argument)
{
    struct backup *backup = argument;
    struct err err;
    uint64_t seq;
    int64_t start_ms = clock_wall_ms();
    thread_stand_back();
    bool done = make(backup, &seq, &err);
    state_snapshot_release(backup->snapshot);
    sem_post(&backup->partition->may_trim);
    if (done) {
        answer(backup, seq, clock_wall_ms() - start_ms);
        atomic_store(&backup->copying.bytes, backup->bytes_total);
        atomic_store(&backup->finished_ms, clock_wall_ms());
    } else {
        answer_error(backup, &err);
    }
    struct query *query = backup->query;
    atomic_store(&backup->running, false); /* before the answer, so that the next may be asked for after it */
    queue_push(backup->partition->door_queue, &query->work);
    return NULL;
}

/* --- for the applier ------------------------------------------------------------------------------------- */

struct backup *backup_create(struct partition *partition)
{
    struct backup *backup = calloc(1, sizeof *backup);
    if (backup == NULL)
        abort();
    backup->partition = partition;
    return backup;
}

void backup_destroy(struct backup *backup)
{
    if (backup == NULL)
        return;
    backup_stop(backup);
    free(backup);
}

static void join(struct backup *backup)
{
    if (backup->has_thread)
        pthread_join(backup->thread, NULL);
    backup->has_thread = false;
}

bool backup_ask(struct backup *backup, struct query *query, struct text dir, struct err *err)
{
    if (backup->asked != NULL || atomic_load(&backup->running))
        return err_set(err, ERR_BUSY, "a backup into %s is being made; one at a time", backup->dir);
    if (dir.len == 0 || dir.len > DIR_BYTES_MAX)
        return err_set(err, ERR_BAD_QUERY, "dir: expected the path of a folder, of up to %d bytes",
                       DIR_BYTES_MAX);
    join(backup);
    memcpy(backup->dir, dir.bytes, dir.len);
    backup->dir[dir.len] = '\0';
    backup->bytes_total = 0;
    atomic_store(&backup->copying.bytes, 0);
    query->answered_later = true;
    backup->asked = query;
    return true;
}

/* The committer gives it back after a moment. */
static void hold_journal(struct partition *partition)
{
    while (sem_wait(&partition->may_trim) != 0)
        continue;
}

static void give_up(struct backup *backup, const struct err *err)
{
    struct query *query = backup->query = backup->asked;
    backup->asked = NULL;
    answer_error(backup, err);
    queue_push(backup->partition->door_queue, &query->work);
}

void backup_begin(struct backup *backup, struct state *state)
{
    struct err err;
    struct partition *partition = backup->partition;
    if (backup->asked == NULL)
        return;
    if (!state_snapshot_take(state, &backup->snapshot, &err)) {
        give_up(backup, &err);
        return;
    }
    hold_journal(partition);
    backup->query = backup->asked;
    backup->asked = NULL;
    backup->bytes_total = state_bytes(state) + state_history_bytes(state) + journal_bytes(partition->journal);
    atomic_store(&backup->running, true);
    backup->has_thread = pthread_create(&backup->thread, NULL, run, backup) == 0;
    if (backup->has_thread) {
        pthread_setname_np(backup->thread, "backup");
        return;
    }
    atomic_store(&backup->running, false);
    state_snapshot_release(backup->snapshot);
    sem_post(&partition->may_trim);
    backup->asked = backup->query;
    err_set(&err, ERR_BUSY, "there are too many threads on the machine");
    give_up(backup, &err);
}

void backup_stop(struct backup *backup)
{
    struct err err;
    err_set(&err, ERR_BUSY, "the daemon is stopping");
    if (backup->asked != NULL)
        give_up(backup, &err);
    atomic_store(&backup->copying.stop, true);
    join(backup);
}

struct backup_progress backup_progress(const struct backup *backup)
{
    uint64_t bytes = atomic_load(&backup->copying.bytes); /* the journal grows while it is copied */
    return (struct backup_progress){
        .running = backup->asked != NULL || atomic_load(&backup->running),
        .dir = text_of(backup->dir),
        .bytes_done = bytes < backup->bytes_total ? bytes : backup->bytes_total,
        .bytes_total = backup->bytes_total,
        .finished_ms = atomic_load(&backup->finished_ms),
    };
}

bool backup_check(const char *folder, struct err *err)
{
    return !is_marked(folder) ||
           err_set(err, ERR_DAMAGED,
                   "data: %s is a backup that wasn't finished (there is a file '%s' in it): start from another "
                   "one, and remove this",
                   folder, mark_name);
}

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

enum { DIR_BYTES_MAX = 3000, PATH_BYTES = 4096, FOLDER_MODE = 0750 };

static const char mark_name[] = "unfinished-backup";
static const char mark_text[] = "fwsyncd is copying its data here, or had to give up: this is no backup.\n";

enum { PART_BYTES = PARTITION_DIR_BYTES + 16, PART_COUNT_MAX = 2 * PARTITION_COUNT_MAX + 2 };

/* The folders of a backup: what is in one of them comes before it. */
struct parts {
    char names[PART_COUNT_MAX][PART_BYTES];
    size_t count;
};

struct backup {
    struct engine *engine;
    pthread_t thread;
    bool has_thread;     /* to be joined */
    atomic_bool running; /* the thread isn't done */
    pthread_mutex_t mutex;
    pthread_cond_t ended;

    /* Under the mutex, but for two moments when nobody else looks: `asked` is set while all appliers stand still, and the
     * thread lets go before it says that it isn't running. */
    _Atomic(struct query *) asked; /* to be begun; NULL: nothing */
    struct state_snapshot *snapshots[PARTITION_COUNT_MAX];
    unsigned held_count;   /* of them */
    bool thread_ended;     /* it has sent its answer; true, too, when there is none */

    char dir[DIR_BYTES_MAX + 1];
    uint64_t bytes_total;
    struct copying copying;
    atomic_int_fast64_t finished_ms;

    struct query *query; /* the thread's, while it runs */
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
    char *data = realpath(backup->engine->settings->data, NULL), *dir = realpath(backup->dir, NULL);
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

static bool write_mark(const struct backup *backup, struct err *err)
{
    char path[PATH_BYTES];
    below(backup, mark_name, path);
    int error = disk_write_file(path, mark_text);
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

static void add_part(struct parts *parts, const char *folder, const char *below_it)
{
    snprintf(parts->names[parts->count++], PART_BYTES, "%s%s", folder, below_it);
}

static void list_parts(const struct backup *backup, struct parts *parts)
{
    char state[PARTITION_DIR_BYTES];
    parts->count = 0;
    for (unsigned i = 0; i < backup->engine->partition_count; i++) {
        partition_dir(i, state);
        add_part(parts, state, "/history");
        add_part(parts, state, "");
    }
    add_part(parts, "journal", "/sources");
    add_part(parts, "journal", "");
}

static void remove_parts(const struct backup *backup)
{
    struct parts parts;
    char count_path[PATH_BYTES];
    below(backup, PARTITION_COUNT_FILE, count_path);
    unlink(count_path);
    list_parts(backup, &parts);
    for (size_t i = 0; i < parts.count; i++) {
        char path[PATH_BYTES];
        below(backup, parts.names[i], path);
        each_file(path, remove_file);
        rmdir(path);
    }
}

static uint64_t count_bytes(const struct backup *backup)
{
    struct parts parts;
    char count_path[PATH_BYTES];
    below(backup, PARTITION_COUNT_FILE, count_path);
    uint64_t bytes = file_bytes(count_path);
    list_parts(backup, &parts);
    for (size_t i = 0; i < parts.count; i++) {
        char path[PATH_BYTES];
        below(backup, parts.names[i], path);
        bytes += each_file(path, file_bytes);
    }
    return bytes;
}

/* --- the thread ------------------------------------------------------------------------------------------ */

static bool copy_states(struct backup *backup, struct err *err)
{
    bool done = true;
    for (unsigned i = 0; done && i < backup->engine->partition_count; i++) {
        char name[PARTITION_DIR_BYTES], path[PATH_BYTES];
        partition_dir(i, name);
        below(backup, name, path);
        done = state_backup(backup->snapshots[i], path, &backup->copying, err);
    }
    return done;
}

/* *seq is the last event that is surely in it: those committed while the journal is copied may be, too. */
static bool copy_parts(struct backup *backup, uint64_t *seq, struct err *err)
{
    char path[PATH_BYTES];
    below(backup, "journal", path);
    if (!copy_states(backup, err))
        return false;
    *seq = atomic_load(&backup->engine->journal_seq);
    return journal_backup(backup->engine->journal, path, &backup->copying, err);
}

static bool fill_folder(struct backup *backup, uint64_t *seq, struct err *err)
{
    if (!make_folder(backup, err) || !write_mark(backup, err))
        return false;
    if (check_space(backup, err) && partition_note_count(backup->dir, backup->engine->partition_count, true, err) &&
        copy_parts(backup, seq, err) && remove_mark(backup, err))
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

/* The states and the journal are free again. */
static void let_go(struct backup *backup)
{
    for (unsigned i = 0; i < backup->engine->partition_count; i++) {
        if (backup->snapshots[i] != NULL)
            state_snapshot_release(backup->snapshots[i]);
        backup->snapshots[i] = NULL;
    }
    backup->held_count = 0;
    sem_post(&backup->engine->may_trim);
}

static void *run(void *argument)
{
    struct backup *backup = argument;
    struct err err;
    uint64_t seq;
    int64_t start_ms = clock_wall_ms();
    thread_stand_back();
    bool done = make(backup, &seq, &err);
    let_go(backup);
    if (done) {
        answer(backup, seq, clock_wall_ms() - start_ms);
        atomic_store(&backup->copying.bytes, backup->bytes_total);
        atomic_store(&backup->finished_ms, clock_wall_ms());
    } else {
        answer_error(backup, &err);
    }
    struct query *query = backup->query;
    atomic_store(&backup->running, false); /* before the answer, so that the next may be asked for after it */
    queue_push(backup->engine->door_queue, &query->work);
    pthread_mutex_lock(&backup->mutex);
    backup->thread_ended = true;
    pthread_cond_broadcast(&backup->ended);
    pthread_mutex_unlock(&backup->mutex);
    return NULL;
}

/* --- for the appliers ------------------------------------------------------------------------------------ */

struct backup *backup_create(struct engine *engine)
{
    struct backup *backup = calloc(1, sizeof *backup);
    if (backup == NULL)
        abort();
    backup->engine = engine;
    backup->thread_ended = true;
    pthread_mutex_init(&backup->mutex, NULL);
    pthread_cond_init(&backup->ended, NULL);
    return backup;
}

static void join(struct backup *backup)
{
    if (backup->has_thread)
        pthread_join(backup->thread, NULL);
    backup->has_thread = false;
}

void backup_destroy(struct backup *backup)
{
    if (backup == NULL)
        return;
    join(backup);
    pthread_mutex_destroy(&backup->mutex);
    pthread_cond_destroy(&backup->ended);
    free(backup);
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
    atomic_store(&backup->asked, query);
    return true;
}

/* The committer gives it back after a moment. */
static void hold_journal(struct engine *engine)
{
    while (sem_wait(&engine->may_trim) != 0)
        continue;
}

static void give_up(struct backup *backup, const struct err *err)
{
    struct query *query = backup->query = backup->asked;
    if (backup->held_count > 0)
        let_go(backup);
    atomic_store(&backup->asked, NULL);
    answer_error(backup, err);
    queue_push(backup->engine->door_queue, &query->work);
}

/* All partitions have taken hold. */
static void start(struct backup *backup)
{
    struct err err;
    backup->query = backup->asked;
    backup->bytes_total += journal_bytes(backup->engine->journal);
    backup->thread_ended = false;
    atomic_store(&backup->running, true);
    backup->has_thread = pthread_create(&backup->thread, NULL, run, backup) == 0;
    if (backup->has_thread) {
        pthread_setname_np(backup->thread, "backup");
        atomic_store(&backup->asked, NULL);
        return;
    }
    backup->thread_ended = true;
    atomic_store(&backup->running, false);
    err_set(&err, ERR_BUSY, "there are too many threads on the machine");
    give_up(backup, &err);
}

/* The journal before the first of them: what comes behind a copied checkpoint has to stay in it. */
static void hold(struct backup *backup, unsigned number, struct state *state)
{
    struct err err;
    if (backup->held_count == 0)
        hold_journal(backup->engine);
    backup->held_count++;
    if (!state_snapshot_take(state, &backup->snapshots[number], &err)) {
        backup->snapshots[number] = NULL;
        give_up(backup, &err);
        return;
    }
    backup->bytes_total += state_bytes(state) + state_history_bytes(state);
    if (backup->held_count == backup->engine->partition_count)
        start(backup);
}

void backup_begin(struct backup *backup, const struct partition *partition, struct state *state)
{
    if (atomic_load_explicit(&backup->asked, memory_order_relaxed) == NULL)
        return;
    pthread_mutex_lock(&backup->mutex);
    if (backup->asked != NULL && backup->snapshots[partition->number] == NULL)
        hold(backup, partition->number, state);
    pthread_mutex_unlock(&backup->mutex);
}

void backup_stop(struct backup *backup)
{
    struct err err;
    err_set(&err, ERR_BUSY, "the daemon is stopping");
    pthread_mutex_lock(&backup->mutex);
    if (backup->asked != NULL)
        give_up(backup, &err);
    atomic_store(&backup->copying.stop, true);
    while (!backup->thread_ended)
        pthread_cond_wait(&backup->ended, &backup->mutex);
    pthread_mutex_unlock(&backup->mutex);
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

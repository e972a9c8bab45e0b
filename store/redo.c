#include "store/redo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/crc32c.h"
#include "store/disk.h"

enum { BUFFER_BYTES = 256 * 1024, PATH_BYTES = 4200 };

/* The file: a head, the rows of all sub-databases (each a row_head, its key, its value), and the crc32c of
 * all that. The byte order is the machine's, as in LMDB. */
static const char magic[8] = "fwredo1";

struct file_head {
    char magic[sizeof magic];
    struct redo_head redo;
    uint64_t row_count;
};
_Static_assert(sizeof(struct file_head) == 32, "no padding on disk");

struct row_head {
    uint32_t value_len;
    uint16_t key_len;
    uint8_t db;
    uint8_t is_deleted;
};
_Static_assert(sizeof(struct row_head) == 8, "no padding on disk");

static void file_path(char path[PATH_BYTES], const char *dir, const char *name)
{
    snprintf(path, PATH_BYTES, "%s/%s", dir, name);
}

/* --- writing --- */

struct output {
    int fd;
    int error; /* errno of the first failure */
    uint32_t crc;
    size_t used;
    char *buffer;
};

static void flush(struct output *output)
{
    for (size_t done = 0; output->error == 0 && done < output->used;) {
        ssize_t written = write(output->fd, output->buffer + done, output->used - done);
        if (written > 0)
            done += (size_t)written;
        else if (written == 0 || errno != EINTR)
            output->error = written == 0 ? ENOSPC : errno;
    }
    output->used = 0;
}

static void put(struct output *output, const void *bytes, size_t len)
{
    output->crc = crc32c(output->crc, bytes, len);
    for (const char *at = bytes; len > 0;) {
        size_t part = BUFFER_BYTES - output->used < len ? BUFFER_BYTES - output->used : len;
        memcpy(output->buffer + output->used, at, part);
        output->used += part;
        at += part;
        len -= part;
        if (output->used == BUFFER_BYTES)
            flush(output);
    }
}

static void put_all(struct output *output, const struct redo_head *redo, const struct changes *changes)
{
    struct file_head head = {.redo = *redo, .row_count = changes->count};
    memcpy(head.magic, magic, sizeof magic);
    put(output, &head, sizeof head);
    for (size_t i = 0; i < changes->count; i++) {
        const struct change *change = changes->rows[i];
        struct row_head row = {change->value_len, change->key_len, change->db, change->is_deleted};
        put(output, &row, sizeof row);
        put(output, change->bytes, (size_t)change->key_len + change->value_len);
    }
    uint32_t crc = output->crc;
    put(output, &crc, sizeof crc);
    flush(output);
}

static int write_file(const char *path, const struct redo_head *head, const struct changes *changes)
{
    struct output output = {.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640)};
    if (output.fd < 0)
        return errno;
    output.buffer = malloc(BUFFER_BYTES);
    if (output.buffer == NULL)
        abort();
    put_all(&output, head, changes);
    if (output.error == 0 && fdatasync(output.fd) != 0)
        output.error = errno;
    free(output.buffer);
    close(output.fd);
    return output.error;
}

bool redo_write(const char *dir, const struct redo_head *head, const struct changes *changes,
                struct err *err)
{
    char path[PATH_BYTES], writing[PATH_BYTES];
    file_path(path, dir, "changes");
    file_path(writing, dir, "changes.new");
    int error = write_file(writing, head, changes);
    if (error == 0 && rename(writing, path) != 0)
        error = errno;
    if (error == 0)
        error = disk_sync_folder(dir);
    if (error == 0)
        return true;
    unlink(writing);
    unlink(path);
    bool full = disk_means_full(error);
    bool passes = disk_passes(error);
    return err_set(err, full || passes ? ERR_FULL : ERR_STORE, "%s: %s while writing a checkpoint%s",
                   path, strerror(error),
                   full     ? ": free some space"
                   : passes ? ""
                            : ": check the disk");
}

bool redo_remove(const char *dir, struct err *err)
{
    char path[PATH_BYTES];
    file_path(path, dir, "changes");
    int error = unlink(path) == 0 || errno == ENOENT ? disk_sync_folder(dir) : errno;
    if (error == 0)
        return true;
    bool passes = disk_passes(error);
    return err_set(err, passes ? ERR_FULL : ERR_STORE, "%s: %s while removing it%s", path, strerror(error),
                   passes ? "" : ": check the disk");
}

/* --- reading --- */

static bool read_failed(const char *path, struct err *err)
{
    return err_set(err, ERR_IO, "%s: %s while reading it", path, strerror(errno));
}

static bool damaged(const char *path, struct err *err)
{
    return err_set(err, ERR_DAMAGED,
                   "%s: it fails its checksum, so the state beside it is between two checkpoints: move "
                   "the state folder away and start again, if the journal goes back to event 1; else "
                   "restore a backup",
                   path);
}

/* All of an open file in memory (free it), or NULL and errno. */
static char *read_all(int fd, size_t *len)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return NULL;
    char *bytes = malloc((size_t)st.st_size + 1);
    if (bytes == NULL)
        abort();
    for (*len = 0; *len < (size_t)st.st_size;) {
        ssize_t part = read(fd, bytes + *len, (size_t)st.st_size - *len);
        if (part == 0)
            break;
        if (part < 0) {
            free(bytes);
            return NULL;
        }
        *len += (size_t)part;
    }
    return bytes;
}

/* The same by name; NULL and errno 0 when there is no such file. */
static char *read_file(const char *path, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        errno = errno == ENOENT ? 0 : errno;
        return NULL;
    }
    char *bytes = read_all(fd, len);
    int error = errno;
    close(fd);
    errno = error;
    return bytes;
}

static bool take_rows(const char *at, const char *end, uint64_t row_count, struct changes *changes)
{
    for (; row_count > 0; row_count--) {
        struct row_head row;
        if ((size_t)(end - at) < sizeof row)
            return false;
        memcpy(&row, at, sizeof row);
        at += sizeof row;
        if ((size_t)(end - at) < (size_t)row.key_len + row.value_len || row.key_len == 0 ||
            row.db >= CHANGES_DB_MAX)
            return false;
        struct text key = {at, row.key_len};
        if (row.is_deleted)
            changes_delete(changes, row.db, key);
        else if (row.value_len == 0)
            changes_put(changes, row.db, key, 0);
        else
            memcpy(changes_put(changes, row.db, key, row.value_len), at + row.key_len, row.value_len);
        at += row.key_len + row.value_len;
    }
    return at == end;
}

static bool take_file(const char *bytes, size_t len, struct redo_head *redo, struct changes *changes)
{
    struct file_head head;
    uint32_t crc;
    if (len < sizeof head + sizeof crc)
        return false;
    memcpy(&head, bytes, sizeof head);
    memcpy(&crc, bytes + len - sizeof crc, sizeof crc);
    *redo = head.redo;
    return memcmp(head.magic, magic, sizeof magic) == 0 && crc == crc32c(0, bytes, len - sizeof crc) &&
           take_rows(bytes + sizeof head, bytes + len - sizeof crc, head.row_count, changes);
}

bool redo_read(const char *dir, struct redo_head *head, struct changes *changes, bool *found,
               struct err *err)
{
    char path[PATH_BYTES];
    size_t len;
    file_path(path, dir, "changes.new"); /* of a write that didn't come to its end */
    unlink(path);
    file_path(path, dir, "changes");
    char *bytes = read_file(path, &len);
    *found = bytes != NULL;
    if (bytes == NULL)
        return errno == 0 || read_failed(path, err);
    bool good = take_file(bytes, len, head, changes);
    free(bytes);
    return good || damaged(path, err);
}

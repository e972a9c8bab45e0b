#include "store/layer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/crc32c.h"

enum { BUFFER_BYTES = 256 * 1024, PATH_BYTES = 4200, LAYER_ALIGN = 8, NUMBER_DIGITS = 16, FILE_MODE = 0640 };

#define FILE_END ".layer"
#define BUILDING FILE_END ".new" /* a file before all of it is on disk */

/* The file: a head, then the rows, each a row_head, its key and its value, and zeros up to a multiple of
 * LAYER_ALIGN. */
static const char magic[8] = "fwlayer3";

struct file_head {
    char magic[sizeof magic];
    struct layer_span span;
    uint64_t row_count;
    uint64_t bytes; /* of the file */
    uint32_t crc;   /* of what is before it */
    uint32_t zero;
};
_Static_assert(sizeof(struct file_head) == 64, "no padding on disk");

struct row_head {
    uint32_t crc; /* of the rest of the head, the key and the value */
    uint32_t value_len;
    uint16_t key_len;
    uint8_t db;
    uint8_t is_deleted;
    uint32_t zero;
};
_Static_assert(sizeof(struct row_head) == 16, "no padding on disk");
_Static_assert(sizeof(struct row_head) + LAYER_ALIGN == LAYER_ROW_EXTRA_BYTES, "room for a row");

static void file_path(char path[PATH_BYTES], const char *dir, uint64_t number, const char *end)
{
    int len = snprintf(path, PATH_BYTES, "%s/%0*" PRIx64 "%s", dir, NUMBER_DIGITS, number, end);
    assert(len > 0 && len < PATH_BYTES);
}

static size_t padded(size_t bytes)
{
    return (bytes + LAYER_ALIGN - 1) & ~(size_t)(LAYER_ALIGN - 1);
}

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes);
    if (memory == NULL)
        abort();
    return memory;
}

static uint32_t head_crc(const struct file_head *head)
{
    return crc32c(0, head, offsetof(struct file_head, crc));
}

static uint32_t row_crc(const struct row_head *head, const char *bytes)
{
    enum { BEHIND_CRC = offsetof(struct row_head, value_len) };
    uint32_t crc = crc32c(0, (const char *)head + BEHIND_CRC, sizeof *head - BEHIND_CRC);
    return crc32c(crc, bytes, (size_t)head->key_len + head->value_len);
}

/* --- writing --- */

struct output {
    int fd;
    int error;       /* errno of the first failure */
    uint64_t at;     /* of the file */
    uint64_t synced; /* of it, up to here */
    size_t used;     /* of the buffer */
    char *buffer;
};

static void sync_file(struct output *output)
{
    if (output->error == 0 && fdatasync(output->fd) != 0)
        output->error = errno;
    output->synced = output->at;
}

static void flush(struct output *output)
{
    if (output->error == 0)
        output->error = disk_write(output->fd, output->buffer, output->used, output->at);
    output->at += output->used;
    output->used = 0;
    if (output->at - output->synced >= SYNC_PART_BYTES)
        sync_file(output);
}

static void put(struct output *output, const void *bytes, size_t len)
{
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

static size_t put_row(struct output *output, const struct change *change)
{
    static const char zeros[LAYER_ALIGN];
    struct row_head head = {.value_len = change->value_len,
                            .key_len = change->key_len,
                            .db = change->db,
                            .is_deleted = change->is_deleted};
    size_t len = sizeof head + head.key_len + head.value_len;
    head.crc = row_crc(&head, change->bytes);
    put(output, &head, sizeof head);
    put(output, change->bytes, len - sizeof head);
    put(output, zeros, padded(len) - len);
    return padded(len);
}

/* Where each row will be. Returns the size of the file. */
static size_t lay_out(const struct changes *changes, const struct layer_rows *more, uint32_t *offsets)
{
    size_t at = sizeof(struct file_head);
    for (size_t i = 0; i < changes->count; i++) {
        const struct change *change = changes->rows[i];
        offsets[i] = (uint32_t)(at / LAYER_ALIGN);
        at += padded(sizeof(struct row_head) + change->key_len + change->value_len);
    }
    for (size_t i = 0; i < more->count; i++) {
        offsets[changes->count + i] = (uint32_t)(at / LAYER_ALIGN);
        at += more->row(more->context, i).len;
    }
    assert(at / LAYER_ALIGN <= UINT32_MAX);
    return at;
}

static void put_all(struct output *output, const struct layer *layer, const struct changes *changes,
                    const struct layer_rows *more)
{
    struct file_head head = {.span = layer->span, .row_count = layer->count, .bytes = layer->bytes};
    memcpy(head.magic, magic, sizeof magic);
    head.crc = head_crc(&head);
    put(output, &head, sizeof head);
    for (size_t i = 0; i < changes->count; i++)
        put_row(output, changes->rows[i]);
    for (size_t i = 0; i < more->count; i++) {
        struct text row = more->row(more->context, i);
        put(output, row.bytes, row.len);
    }
    flush(output);
}

/* All of it in memory as the file's pages; 0 or errno. */
static int map_file(struct layer *layer, int fd)
{
    void *map = mmap(NULL, layer->bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (map == MAP_FAILED)
        return errno;
    layer->map = map;
    return 0;
}

static int write_file(struct layer *layer, const char *path, const struct changes *changes,
                      const struct layer_rows *more)
{
    struct output output = {.fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MODE)};
    if (output.fd < 0)
        return errno;
    output.buffer = allocate(BUFFER_BYTES);
    put_all(&output, layer, changes, more);
    free(output.buffer);
    sync_file(&output);
    if (output.error == 0)
        output.error = map_file(layer, output.fd);
    close(output.fd);
    return output.error;
}

static struct layer *create(const char *dir, uint64_t number, size_t row_count)
{
    char path[PATH_BYTES];
    struct layer *layer = calloc(1, sizeof *layer);
    file_path(path, dir, number, FILE_END);
    if (layer == NULL || (layer->path = strdup(path)) == NULL)
        abort();
    layer->span.number = number;
    layer->count = row_count;
    layer->offsets = allocate((row_count + 1) * sizeof *layer->offsets);
    atomic_init(&layer->holders, 1);
    return layer;
}

static bool write_failed(const struct layer *layer, int error, const char *doing, struct err *err)
{
    bool full = disk_means_full(error), passes = disk_passes(error);
    return err_set(err, full || passes ? ERR_FULL : ERR_STORE, "%s: %s while %s%s", layer->path,
                   strerror(error), doing, full ? ": free some space" : passes ? "" : ": check the disk");
}

bool layer_write(const char *dir, const struct layer_span *span, const struct changes *changes,
                 const struct layer_rows *more, struct layer **out, struct err *err)
{
    char building[PATH_BYTES];
    file_path(building, dir, span->number, BUILDING);
    struct layer *layer = create(dir, span->number, changes->count + more->count);
    layer->span = *span;
    layer->first_place = changes->first_place;
    layer->bytes = lay_out(changes, more, layer->offsets);
    int error = write_file(layer, building, changes, more);
    if (error == 0 && rename(building, layer->path) != 0)
        error = errno;
    if (error == 0)
        error = disk_sync_folder(dir);
    if (error == 0) {
        *out = layer;
        return true;
    }
    unlink(building);
    unlink(layer->path);
    write_failed(layer, error, "writing a checkpoint", err);
    layer_release(layer);
    return false;
}

bool layer_remove(const struct layer *layer, const char *dir, struct err *err)
{
    int error = unlink(layer->path) == 0 || errno == ENOENT ? disk_sync_folder(dir) : errno;
    return error == 0 || write_failed(layer, error, "removing it", err);
}

static int copy_bytes(const struct layer *layer, int fd, struct copying *copying)
{
    int error = 0;
    for (size_t done = 0, part; error == 0 && done < layer->bytes && !atomic_load(&copying->stop); done += part) {
        part = layer->bytes - done < COPY_SYNC_BYTES ? layer->bytes - done : COPY_SYNC_BYTES;
        error = disk_write(fd, layer->map + done, part, done);
        if (error == 0 && fdatasync(fd) != 0)
            error = errno;
        atomic_fetch_add(&copying->bytes, part);
    }
    return error;
}

bool layer_copy(const struct layer *layer, const char *dir, struct copying *copying, struct err *err)
{
    char path[PATH_BYTES];
    file_path(path, dir, layer->span.number, FILE_END);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        return disk_error(path, errno, "creating it", err);
    int error = copy_bytes(layer, fd, copying);
    close(fd);
    return error == 0 ? !copying_stopped(copying, err) : disk_error(path, error, "writing it", err);
}

/* --- reading --- */

static bool damaged(const struct layer *layer, struct err *err)
{
    return err_set(err, ERR_DAMAGED,
                   "%s: it isn't as it was written: move the state folder away and start again, if the "
                   "journal goes back to event 1; else restore a backup",
                   layer->path);
}

static bool row_at(const struct layer *layer, size_t at, struct layer_row *row, size_t *bytes)
{
    struct row_head head;
    if (layer->bytes - at < sizeof head)
        return false;
    memcpy(&head, layer->map + at, sizeof head);
    const char *key = layer->map + at + sizeof head;
    *bytes = padded(sizeof head + head.key_len + head.value_len);
    if (layer->bytes - at < *bytes || head.key_len == 0 || head.db >= CHANGES_DB_MAX ||
        head.crc != row_crc(&head, key))
        return false;
    *row = (struct layer_row){{key, head.key_len}, {key + head.key_len, head.value_len}, head.db, head.is_deleted};
    return true;
}

bool layer_row(const struct layer *layer, size_t index, struct layer_row *row, struct err *err)
{
    assert(index < layer->count);
    size_t bytes;
    return row_at(layer, (size_t)layer->offsets[index] * LAYER_ALIGN, row, &bytes) || damaged(layer, err);
}

struct text layer_raw(const struct layer *layer, size_t index)
{
    const char *row = layer->map + (size_t)layer->offsets[index] * LAYER_ALIGN;
    struct row_head head;
    memcpy(&head, row, sizeof head);
    return (struct text){row, padded(sizeof head + head.key_len + head.value_len)};
}

struct text layer_make_row(char *out, uint8_t db, struct text key, struct text value)
{
    struct row_head head = {.value_len = (uint32_t)value.len, .key_len = (uint16_t)key.len, .db = db};
    size_t len = sizeof head + key.len + value.len;
    memcpy(out + sizeof head, key.bytes, key.len);
    memcpy(out + sizeof head + key.len, value.bytes, value.len);
    memset(out + len, 0, padded(len) - len);
    head.crc = row_crc(&head, out + sizeof head);
    memcpy(out, &head, sizeof head);
    return (struct text){out, padded(len)};
}

void layer_prefetch(const struct layer *layer, size_t index, unsigned step)
{
    enum { LINE_BYTES = 64, LINES = 3 };
    if (step == 0) {
        __builtin_prefetch(&layer->offsets[index]);
        return;
    }
    const char *row = layer->map + (size_t)layer->offsets[index] * LAYER_ALIGN;
    for (unsigned line = 0; line < LINES; line++)
        __builtin_prefetch(row + line * LINE_BYTES);
}

/* Every row is looked at, so that damage is found now. */
static bool find_rows(struct layer *layer)
{
    size_t at = sizeof(struct file_head), bytes = 0;
    for (size_t i = 0; i < layer->count; i++, at += bytes) {
        struct layer_row row;
        layer->offsets[i] = (uint32_t)(at / LAYER_ALIGN);
        if (!row_at(layer, at, &row, &bytes))
            return false;
    }
    return at == layer->bytes;
}

static bool read_head(int fd, struct file_head *head)
{
    struct stat st;
    return pread(fd, head, sizeof *head, 0) == sizeof *head && fstat(fd, &st) == 0 &&
           memcmp(head->magic, magic, sizeof magic) == 0 && head->crc == head_crc(head) &&
           head->bytes == (uint64_t)st.st_size && head->row_count <= head->bytes / sizeof(struct row_head);
}

static bool open_file(const char *dir, uint64_t number, int fd, struct layer **out, struct err *err)
{
    struct file_head head;
    bool good = read_head(fd, &head) && head.span.number == number;
    struct layer *layer = create(dir, number, good ? head.row_count : 0);
    int error = 0;
    if (good) {
        layer->span = head.span;
        layer->bytes = head.bytes;
        error = map_file(layer, fd);
    }
    if (error != 0)
        err_set(err, ERR_IO, "%s: %s while reading it", layer->path, strerror(error));
    else if (!good || !find_rows(layer))
        good = damaged(layer, err);
    if (good && error == 0) {
        *out = layer;
        return true;
    }
    layer_release(layer);
    return false;
}

bool layer_open(const char *dir, uint64_t number, struct layer **out, struct err *err)
{
    char path[PATH_BYTES];
    file_path(path, dir, number, FILE_END);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_IO, "%s: %s while reading it", path, strerror(errno));
    bool done = open_file(dir, number, fd, out, err);
    close(fd);
    return done;
}

static int compare_numbers(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* A name as file_path makes them? */
static bool take_name(const char *name, const char *end, uint64_t *number)
{
    char *behind;
    if (strspn(name, "0123456789abcdef") != NUMBER_DIGITS)
        return false;
    *number = strtoull(name, &behind, 16);
    return strcmp(behind, end) == 0;
}

struct listing {
    const char *dir;
    uint64_t *numbers;
    size_t count;
};

static void take_file(void *context, const char *name)
{
    struct listing *listing = context;
    char path[PATH_BYTES];
    uint64_t number;
    if (take_name(name, BUILDING, &number) && snprintf(path, sizeof path, "%s/%s", listing->dir, name) < PATH_BYTES)
        unlink(path);
    if (!take_name(name, FILE_END, &number))
        return;
    listing->numbers = realloc(listing->numbers, (listing->count + 1) * sizeof *listing->numbers);
    if (listing->numbers == NULL)
        abort();
    listing->numbers[listing->count++] = number;
}

bool layer_list(const char *dir, uint64_t **numbers, size_t *count, struct err *err)
{
    struct listing listing = {.dir = dir};
    if (!disk_list(dir, take_file, &listing, err)) {
        free(listing.numbers);
        return false;
    }
    if (listing.count > 0)
        qsort(listing.numbers, listing.count, sizeof *listing.numbers, compare_numbers);
    *numbers = listing.numbers;
    *count = listing.count;
    return true;
}

/* --- holders --- */

void layer_hold(struct layer *layer)
{
    atomic_fetch_add(&layer->holders, 1);
}

void layer_release(struct layer *layer)
{
    if (layer == NULL || atomic_fetch_sub(&layer->holders, 1) > 1)
        return;
    if (layer->map != NULL)
        munmap((void *)(uintptr_t)layer->map, layer->bytes);
    free(layer->offsets);
    free(layer->path);
    free(layer);
}

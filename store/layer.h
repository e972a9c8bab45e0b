/* layer.h - the changes of one checkpoint in a file: what isn't worked into the database at once.
 *
 * A page of the database holds some twenty devices. A checkpoint of a large fleet that wrote the changed
 * devices into their pages would write nearly every page there is, for a few devices each. So it writes its
 * changes one behind the other into a file, a layer, and the devices' rows are read from there; behind them
 * those of the oldest layers that are still good, so that these can go (state_carry.c). All other rows go into
 * the database with the same checkpoint; they are in the file because that takes several transactions: who
 * opens the database and finds a layer that it doesn't know puts them in again.
 *
 * A row is found by its place (changes.h): the layer takes over the places of the changes that it was made
 * of, the rows behind them have the places that follow, and each takes 4 bytes of memory. The file is mapped
 * and never changes. Each row has a checksum, looked at
 * whenever it is read. The byte order is the machine's, as in LMDB. */
#ifndef STORE_LAYER_H
#define STORE_LAYER_H

#include <stdatomic.h>

#include "engine/base/err.h"
#include "store/changes.h"
#include "store/disk.h"

/* Which layer it is, dense from one to the next, which events its changes lead from and to (which are the
 * same when no event caused them), and the oldest layer that is needed with it: itself, when it is the only one, and
 * the next one's number, when the database has all that is in it. */
struct layer_span {
    uint64_t number;
    uint64_t base_seq;
    uint64_t seq;
    uint64_t oldest;
};

struct layer_row {
    struct text key;
    struct text value;
    uint8_t db;
    bool is_deleted;
};

struct layer {
    struct layer_span span;
    uint32_t first_place; /* what the first row's place says; the others follow */
    size_t count;         /* of rows */
    size_t bytes;         /* of the file */

    /* layer.c's */
    char *path;
    const char *map;
    uint32_t *offsets;   /* of the rows in the file, in units of LAYER_ALIGN */
    atomic_uint holders; /* the state, and copies that are being made */
};

/* Rows that come behind the changes: row says one, as layer_raw and layer_make_row have it, borrowed until the next.
 * It is asked twice for each, and says the same length. */
struct layer_rows {
    size_t count;
    struct text (*row)(void *context, size_t i);
    void *context;
};

/* layer_write - a file in the folder `dir`, of all changes and of more rows; on disk when it returns.
 * The changes aren't written meanwhile.
 * Errors  ERR_FULL: there is no space, or no descriptor or memory for want of something that passes;
 *         ERR_STORE. Then there is no file; after a power cut there may be, and it is a whole one that fits. */
bool layer_write(const char *dir, const struct layer_span *span, const struct changes *changes,
                 const struct layer_rows *more, struct layer **out, struct err *err);

/* layer_open - one that is there, by its number. Its places are yet to be set.
 * Errors  ERR_DAMAGED, ERR_IO. */
bool layer_open(const char *dir, uint64_t number, struct layer **out, struct err *err);

/* layer_list - the numbers of the layers in `dir`, rising, in an array of their own (free it). What a write that
 * didn't come to its end left is removed. Errors ERR_IO. */
bool layer_list(const char *dir, uint64_t **numbers, size_t *count, struct err *err);

/* layer_hold - one holder more; layer_release - one less; the last one's memory is freed, NULL is fine. Any
 * thread. */
void layer_hold(struct layer *layer);
void layer_release(struct layer *layer);

/* layer_row - the row at `index`, below the count; borrowed from the layer.
 * Errors  ERR_DAMAGED: it isn't as it was written. */
bool layer_row(const struct layer *layer, size_t index, struct layer_row *row, struct err *err);

/* layer_raw - all bytes of a row in the file, as they go into another layer. It was looked at. layer_make_row - such
 * bytes of a new row, made in `out`, where there is room for key, value, and LAYER_ROW_EXTRA_BYTES. */
enum { LAYER_ROW_EXTRA_BYTES = 24 };
struct text layer_raw(const struct layer *layer, size_t index);
struct text layer_make_row(char *out, uint8_t db, struct text key, struct text value);

/* layer_prefetch - that row will be read soon: 0: where it is, 1: itself. */
void layer_prefetch(const struct layer *layer, size_t index, unsigned step);

/* layer_remove - its file is gone for good when this returns; what was read stays readable. A file that came
 * back would hide what later checkpoints wrote. Errors ERR_FULL: no descriptor was left, try again; ERR_STORE. */
bool layer_remove(const struct layer *layer, const char *dir, struct err *err);

/* layer_copy - a copy of its file in the folder `dir`, on disk but for the folder. Any thread that holds it.
 * Errors  ERR_FULL, ERR_IO, ERR_STORE; ERR_BUSY: `copying` was stopped. */
bool layer_copy(const struct layer *layer, const char *dir, struct copying *copying, struct err *err);

#endif

/* changes.h - the rows written since a checkpoint, in memory: what the next one will write.
 *
 * A row that changes a hundred times between two checkpoints is a hundred times a short copy here and
 * once a write to the disk; and since a checkpoint writes its rows in the order of their keys, it
 * touches a page of the database once however many rows of it changed.
 *
 * A table by (sub-database, key). For rows that the caller can number (devices), a place in the caller's
 * array stands in for the table: one look at memory instead of two or three. Sub-databases are plain
 * numbers here, below CHANGES_DB_MAX. While one thread writes them to disk, others may read them, and
 * nothing else. */
#ifndef STORE_CHANGES_H
#define STORE_CHANGES_H

#include "engine/base/arena.h"

enum { CHANGES_DB_MAX = 16 };

/* One row: its new value, or that it is gone. A write may move it. */
struct change {
    uint32_t hash; /* 0: it isn't in the table but in a place */
    uint32_t value_len;
    uint32_t capacity; /* for the value */
    uint16_t key_len;
    uint8_t db;
    bool is_deleted;
    char bytes[]; /* the key, then the value */
};

static inline struct text change_key(const struct change *change)
{
    return (struct text){change->bytes, change->key_len};
}

static inline struct text change_value(const struct change *change)
{
    return (struct text){change->bytes + change->key_len, change->value_len};
}

struct change_slot;

struct changes {
    struct arena arena; /* the rows */
    struct change **rows;
    size_t count;
    size_t capacity;      /* of rows */
    uint32_t first_place; /* what the first row's place says; the others follow */
    struct change_slot *slots;
    size_t slot_count;   /* a power of two */
    size_t hashed_count; /* rows in slots */
    struct {
        size_t count;
        size_t bytes; /* of keys and values */
    } dbs[CHANGES_DB_MAX];
};

void changes_init(struct changes *changes);
void changes_fini(struct changes *changes);
/* changes_clear - forget all, and keep the memory for as much again; what only a burst needed is given back. */
void changes_clear(struct changes *changes);
/* changes_rest - forget all, and give the memory back. Places go on. */
void changes_rest(struct changes *changes);
/* changes_follow - the rows to come of `changes`, which is empty, get places from `place` on. changes_end_place -
 * the first behind its rows. */
void changes_follow(struct changes *changes, uint32_t place);
uint32_t changes_end_place(const struct changes *changes);

/* changes_bytes - the memory that it takes. */
size_t changes_bytes(const struct changes *changes);

/* changes_find - the row, or NULL when it wasn't changed. */
const struct change *changes_find(const struct changes *changes, unsigned db, struct text key);

/* changes_hash - of a row's key. changes_prefetch - the row of that hash will be asked for soon, and the byte `at` of
 * its key and value. Step 0 asks for its slot, 1 for where it is, 2 for the row itself. */
uint32_t changes_hash(unsigned db, struct text key);
void changes_prefetch(const struct changes *changes, uint32_t hash, size_t at, unsigned step);

/* changes_put - the row's new value of `len` bytes, for the caller to fill at once; the old one's bytes
 * may be overwritten. `key` is 1..UINT16_MAX bytes, copied. */
char *changes_put(struct changes *changes, unsigned db, struct text key, size_t len);
void changes_delete(struct changes *changes, unsigned db, struct text key);
/* changes_edit - the value of a row that is in these changes and not deleted, to be changed where it is; else NULL. */
char *changes_edit(struct changes *changes, unsigned db, struct text key, size_t *len);

/* changes_at - the row that `place` says, if it is of these changes and has this key; else NULL. A place
 * starts as 0 and is kept by the caller, one a row; it need not be cleared when changes are. */
const struct change *changes_at(const struct changes *changes, uint32_t place, unsigned db,
                                struct text key);
/* changes_prefetch_at - that row will be asked for soon: 0: where it is, 1: itself. */
void changes_prefetch_at(const struct changes *changes, uint32_t place, unsigned step);
/* changes_put_at - as changes_put, for a row that is found by its place only. */
char *changes_put_at(struct changes *changes, uint32_t *place, unsigned db, struct text key,
                     size_t len);

/* changes_sorted - the rows of one sub-database whose key starts with `prefix`, in an array of its own
 * (free it; NULL when *count is 0), valid until the next write: by bytes, or, when keys are integers of 4
 * or 8 bytes in the machine's order, by number. */
const struct change **changes_sorted(const struct changes *changes, unsigned db, struct text prefix,
                                     bool by_number, size_t *count);

#endif

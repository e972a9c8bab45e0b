/* seen.h - when each device was last seen.
 *
 * Most reports change nothing but this, so it must not touch the device's record: the times are an
 * array by device id, in blocks of about a page of the database, and a checkpoint writes the blocks that
 * changed.
 *
 * A checkpoint's thread reads the blocks while the owner goes on setting times, so a time on disk may be
 * of a later event than the checkpoint's last. That does no harm: after a crash the replay sets the times
 * of all later events again, and ends with the same ones. Blocks never move. */
#ifndef STORE_SEEN_H
#define STORE_SEEN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 500 times, their checksum and LMDB's page head fit one page of 4096 bytes. */
enum { SEEN_BLOCK_COUNT = 500, SEEN_BLOCK_BYTES = SEEN_BLOCK_COUNT * sizeof(int64_t) };

struct seen_block {
    _Atomic int64_t ms[SEEN_BLOCK_COUNT]; /* by device id; 0: never */
    uint32_t number;
};

struct seen {
    struct seen_block **blocks;
    bool *dirty; /* by block number; together, since every event looks there */
    size_t block_count;
    size_t block_capacity;
    size_t dirty_count;
};

void seen_fini(struct seen *seen);
/* seen_grow - make room for `device_count` devices, the new ones never seen. */
void seen_grow(struct seen *seen, size_t device_count);
void seen_set(struct seen *seen, uint32_t id, int64_t ms);
/* seen_prefetch - it will be set soon. */
void seen_prefetch(const struct seen *seen, uint32_t id);
int64_t seen_get(const struct seen *seen, uint32_t id);

/* seen_take_dirty - the blocks that changed since the last call, in an array (free it; NULL when *count
 * is 0). */
struct seen_block **seen_take_dirty(struct seen *seen, size_t *count);
/* seen_block_read, seen_block_write - the times of one block; reading is for any thread. */
void seen_block_read(const struct seen_block *block, char out[SEEN_BLOCK_BYTES]);
void seen_block_write(struct seen_block *block, const char in[SEEN_BLOCK_BYTES]);

#endif

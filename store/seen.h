/* seen.h - when each device was last seen.
 *
 * Most reports change nothing but this, so it must not touch the device's record: the times are a
 * plain array by device id, written in blocks at a checkpoint, and a block is one page of the
 * database. This unit holds the array; state.c reads and writes the blocks. */
#ifndef STORE_SEEN_H
#define STORE_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 500 times, their checksum and LMDB's page head fit one page of 4096 bytes. */
enum { SEEN_BLOCK_COUNT = 500 };

struct seen {
    int64_t *ms; /* by device id; 0: never */
    bool *dirty; /* by block */
    size_t block_count;
    size_t block_capacity;
    size_t dirty_count;
};

void seen_fini(struct seen *seen);
/* seen_grow - make room for `device_count` devices, the new ones never seen. */
void seen_grow(struct seen *seen, size_t device_count);
void seen_set(struct seen *seen, uint32_t id, int64_t ms);

#endif

/* seen.h - when each device was last seen.
 *
 * Most reports change nothing but this, so it must not touch the device's record: the times are an
 * array by device id, in blocks of about a page of the database, and which of them changed is a bit for each. How they
 * come to disk is in state_seen.c.
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

#include "engine/base/text.h"

/* 500 times, a bit for each, their checksum and LMDB's page head fit one page of 4096 bytes. */
enum { SEEN_BLOCK_COUNT = 500, SEEN_WORDS = (SEEN_BLOCK_COUNT + 63) / 64 };

struct seen_block {
    _Atomic int64_t ms[SEEN_BLOCK_COUNT]; /* by device id; 0: never */
    uint32_t number;
    uint64_t layer; /* state_seen.c's: the oldest layer with times that the database doesn't have; 0: it has all */
};

/* Some times of a block. */
struct seen_times {
    struct seen_block *block;
    uint64_t which[SEEN_WORDS]; /* a bit for each, by device id */
};

struct seen {
    struct seen_block **blocks;
    uint64_t (*changed)[SEEN_WORDS]; /* since seen_take, by block number; together, since every event looks there */
    size_t block_count;
    size_t block_capacity;
};

void seen_fini(struct seen *seen);
/* seen_grow - make room for `device_count` devices, the new ones never seen. */
void seen_grow(struct seen *seen, size_t device_count);
void seen_set(struct seen *seen, uint32_t id, int64_t ms);
/* seen_prefetch - it will be set soon. */
void seen_prefetch(const struct seen *seen, uint32_t id);
int64_t seen_get(const struct seen *seen, uint32_t id);

/* seen_take - of each block what changed since the last call, perhaps nothing, by block number: block_count of them in
 * `times`. Returns how many have something. */
size_t seen_take(struct seen *seen, struct seen_times *times);

bool seen_has_any(const struct seen_times *times);
bool seen_has_all(const struct seen_times *times);
void seen_want_all(struct seen_times *times);

/* Times as bytes: which ones, then each. seen_pack - returns their number; for any thread. seen_unpack - false: they
 * aren't such bytes. */
enum { SEEN_BYTES_MAX = (SEEN_WORDS + SEEN_BLOCK_COUNT) * 8 };
size_t seen_packed_len(const struct seen_times *times);
size_t seen_pack(const struct seen_times *times, char out[SEEN_BYTES_MAX]);
bool seen_unpack(struct seen_block *block, struct text bytes);

#endif

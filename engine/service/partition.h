/* partition.h - a part of the fleet: its state, and the thread that keeps it.
 *
 * A device belongs to one partition, by a hash of its name, for as long as there is the data folder. Each partition
 * reads the whole journal, in order, and applies what is its devices', so several cores fold one log
 * (docs/decisions/0015-partitions.md). They share nothing but what the engine lends them. */
#ifndef SERVICE_PARTITION_H
#define SERVICE_PARTITION_H

#include <stdatomic.h>

#include "engine/base/err.h"
#include "engine/base/text.h"
#include "engine/service/histogram.h"
#include "engine/service/work.h"

struct engine;

struct partition {
    struct engine *engine; /* borrowed for the partition's life */
    unsigned number;       /* from 0 */

    struct queue *apply_queue;  /* the way in: batches, rules, ticks, questions, stop */
    struct queue *results_home; /* results that were sent, for the next use */
    struct applier *applier;

    /* The applier's, for others to read. */
    atomic_uint_fast64_t checkpoint_seq;  /* its state needs nothing of the journal up to here */
    atomic_bool disk_full;                /* the state can't be checkpointed: take nothing more */
    atomic_int_fast64_t unsaved_since_ms; /* monotonic: when the oldest change without a checkpoint was made */
    atomic_uint_fast64_t checkpoint_ms;   /* the last one's length */
    atomic_uint_fast64_t apply_lag_ms;    /* of the last batch, from its receipt until it was applied */
    struct histogram apply;               /* a batch */
};

/* data_path - of what has that name in the data folder. ERR_CONFIG: it would be too long. */
enum { DATA_PATH_BYTES = 4096 };
bool data_path(const char *folder, const char *name, char path[DATA_PATH_BYTES], struct err *err);

/* partition_dir - the folder of a partition's state, below the data folder. */
enum { PARTITION_DIR_BYTES = 24 };
void partition_dir(unsigned number, char name[PARTITION_DIR_BYTES]);

#define PARTITION_COUNT_FILE "partitions" /* in the data folder */

/* partition_note_count - a data folder has as many partitions as it was made with, since devices stay where they are;
 * a file in it says so where they are several.
 * is_new  it has no event yet
 * Errors  ERR_CONFIG: it was made with another number; ERR_DAMAGED: the file says none; ERR_FULL, ERR_IO, ERR_STORE. */
bool partition_note_count(const char *folder, unsigned count, bool is_new, struct err *err);

/* partition_of - the number of the partition that a device belongs to, of `count`. Never change it: data folders are
 * made by it. The last bits of an FNV-1a are little more than the parity of the name's, and names often have a check
 * digit: so it is mixed once more, by the finalizer of MurmurHash3. */
static inline unsigned partition_of(struct text device, unsigned count)
{
    if (count == 1)
        return 0;
    uint32_t hash = text_fnv1a32(device);
    hash = (hash ^ hash >> 16) * 0x85ebca6bu;
    hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
    return (hash ^ hash >> 16) % count;
}

#endif

/* replay.h - the journal read back at a start, ahead of the threads that apply it.
 *
 * Reading, checking and parsing a record is a fifth of the work, and depends on nothing that is applied. So a thread
 * of its own does that, once for all partitions, a few bundles of records ahead, and the appliers' threads only apply;
 * each bundle has its memory, which is used again when all are through with it. The order is the journal's, and what is
 * wrong with a record comes up behind good ones before it, as if one thread did both.
 *
 * A reader is an applier. Each joins, or leaves without having joined, and reading begins when the last of them has, at
 * the earliest record that one of them needs. */
#ifndef SERVICE_REPLAY_H
#define SERVICE_REPLAY_H

#include "engine/service/work.h"
#include "rules/event.h"
#include "store/journal.h"

struct replay_bundle {
    struct shared shared;
    struct arena arena; /* of all that follows */
    const struct journal_record *records;
    const struct event *events; /* position by position; only a record of kind JOURNAL_EVENT has one */
    size_t count;               /* 0 and no error: the journal has no more */
    struct err err;             /* why there are no further ones; code ERR_NONE: there are */
};

struct replay;

/* replay_create - for so many readers, up to PARTITION_COUNT_MAX. The journal must outlive it. */
struct replay *replay_create(struct journal *journal, unsigned reader_count);

/* replay_join - reader `number` needs what there is from `from_seq` on; it may get earlier records, too. Waits for the
 * others. */
void replay_join(struct replay *replay, unsigned number, uint64_t from_seq);

/* replay_next - wait for the next records; they are borrowed until the reader's next call. Not to be called again after
 * the last bundle, which has an error or no records. */
const struct replay_bundle *replay_next(struct replay *replay, unsigned number);

/* replay_leave - the reader needs no more, or nothing at all; every one does it once. */
void replay_leave(struct replay *replay, unsigned number);

/* replay_extent - when all have left: how many records there were to apply, and how long that took. */
void replay_extent(const struct replay *replay, uint64_t *record_count, int64_t *ms);

/* replay_destroy - all have left. */
void replay_destroy(struct replay *replay);

#endif

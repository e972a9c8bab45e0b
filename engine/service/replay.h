/* replay.h - the journal read back at a start, ahead of the thread that applies it.
 *
 * Reading, checking and parsing a record is a fifth of the work, and depends on nothing that is applied. So a thread
 * of its own does that, a few bundles of records ahead, and the applier's thread only applies; each bundle has its
 * memory, which is used again when the applier is through with it. The order is the journal's, and what is wrong
 * with a record comes up behind good ones before it, as if one thread did both.
 *
 * While it runs, its thread is the journal's reader: nobody else may call journal_read. */
#ifndef SERVICE_REPLAY_H
#define SERVICE_REPLAY_H

#include "engine/service/work.h"
#include "rules/event.h"
#include "store/journal.h"

struct replay_bundle {
    struct work work;
    struct arena arena; /* of all that follows */
    const struct journal_record *records;
    const struct event *events; /* position by position; only a record of kind JOURNAL_EVENT has one */
    size_t count;               /* 0 and no error: the journal has no more */
    struct err err;             /* why there are no further ones; code ERR_NONE: there are */
};

struct replay;

/* replay_start - begin to read at `from_seq`. The journal must outlive it. */
struct replay *replay_start(struct journal *journal, uint64_t from_seq);

/* replay_next - wait for the next records; they are borrowed until the next call. Not to be called again after
 * the last bundle, which has an error or no records. */
const struct replay_bundle *replay_next(struct replay *replay);

/* replay_stop - at the end, or anywhere before: wait until the thread has ended, and free. From here on somebody
 * else may read the journal. */
void replay_stop(struct replay *replay);

#endif

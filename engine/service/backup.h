/* backup.h - a copy of the data folder, made while events flow.
 *
 * Each partition's state is copied as of one checkpoint, then the journal, which by then has every event that the
 * states' copies lack: nothing is trimmed meanwhile. A thread of its own does it; the appliers only take hold of their
 * checkpoints, each between two of them.
 *
 * A folder is marked before anything is written to it, and the mark is taken away when all is on disk: a
 * daemon doesn't start from a marked one. So a copy is whole or is refused, whatever happened. Why all this:
 * docs/decisions/0009-backup.md.
 *
 * backup_ask and backup_progress are called when all appliers stand still, for a question to all of them. */
#ifndef SERVICE_BACKUP_H
#define SERVICE_BACKUP_H

#include "engine/service/query.h"

struct backup *backup_create(struct engine *engine);
/* backup_destroy - none is being made. */
void backup_destroy(struct backup *backup);

/* backup_ask - have a copy made in the new or empty folder `dir`; `query` goes home to the doors with the
 * answer when it is done. ERR_BUSY: one is being made; ERR_BAD_QUERY: that can't be a folder's name. */
bool backup_ask(struct backup *backup, struct query *query, struct text dir, struct err *err);

/* backup_begin - if one was asked for, this partition takes hold of `state`, of which no checkpoint is running; the
 * last partition that does begins it. On the applier's thread. */
void backup_begin(struct backup *backup, const struct partition *partition, struct state *state);

/* backup_stop - give up the one that is asked for or being made, and wait until its thread has let go of all states. On
 * each applier's thread, before it closes its own. */
void backup_stop(struct backup *backup);

struct backup_progress {
    bool running;
    struct text dir; /* as it was given, of the last one; borrowed until the next is asked for */
    uint64_t bytes_done;
    uint64_t bytes_total; /* about: a copy is more compact */
    int64_t finished_ms;  /* wall clock, of the last one that succeeded; 0: none since the start */
};
struct backup_progress backup_progress(const struct backup *backup);

/* backup_check - ERR_DAMAGED when the data folder is a backup that wasn't finished. */
bool backup_check(const char *folder, struct err *err);

#endif

/* backup.h - a copy of the data folder, made while events flow.
 *
 * The state is copied as of one checkpoint, then the journal, which by then has every event that the state's
 * copy lacks: nothing is trimmed meanwhile. A thread of its own does it; the applier only takes hold of the
 * checkpoint, between two of them.
 *
 * A folder is marked before anything is written to it, and the mark is taken away when all is on disk: a
 * daemon doesn't start from a marked one. So a copy is whole or is refused, whatever happened. Why all this:
 * docs/decisions/0009-backup.md.
 *
 * All functions are called on the applier's thread, but for backup_check. */
#ifndef SERVICE_BACKUP_H
#define SERVICE_BACKUP_H

#include "engine/service/query.h"

struct backup *backup_create(struct partition *partition);
/* backup_destroy - stops one first. */
void backup_destroy(struct backup *backup);

/* backup_ask - have a copy made in the new or empty folder `dir`; `query` goes home to the doors with the
 * answer when it is done. ERR_BUSY: one is being made; ERR_BAD_QUERY: that can't be a folder's name. */
bool backup_ask(struct backup *backup, struct query *query, struct text dir, struct err *err);

/* backup_begin - if one was asked for, begin it: no checkpoint of `state` is running. */
void backup_begin(struct backup *backup, struct state *state);

/* backup_stop - give up the one that is being made, and wait until its thread has ended. */
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

/* sources.h - the highest number of each producer, as of the journal's last commit.
 *
 * The journal's commits hold the numbers that they raised. Here those since the last save are in memory, and
 * all others in an LMDB environment, with the place in the journal up to which it is complete: from there on
 * the journal is read at open, and nothing before it is needed any more. So a million producers take memory
 * for those that sent lately. Used by journal.c, on its writer's thread. */
#ifndef STORE_SOURCES_H
#define STORE_SOURCES_H

#include "engine/base/err.h"
#include "engine/base/text.h"

struct sources;

/* A place behind a commit in the journal, and what the journal knows there. */
struct sources_place {
    uint64_t position;
    uint64_t last_seq;
    int64_t last_received_ms;
};

/* sources_open - in the folder `dir`, made if missing. *place: the last save's; all 0 when there was none.
 * Errors as journal_open. */
bool sources_open(const char *dir, struct sources **sources, struct sources_place *place, struct err *err);
void sources_close(struct sources *sources);

/* sources_find - the producer's highest number, 0 when it has none. Errors ERR_DAMAGED, ERR_STORE. */
bool sources_find(struct sources *sources, struct text name, uint64_t *n, struct err *err);
/* sources_raise - it is `n` from now on; in memory. */
void sources_raise(struct sources *sources, struct text name, uint64_t n);

/* sources_unsaved - producers raised since the last save. */
size_t sources_unsaved(const struct sources *sources);
/* sources_save - all that was raised is on disk, and complete up to `place`, which must be on disk too.
 * Errors  ERR_FULL nothing is saved, all stays in memory; ERR_STORE. */
bool sources_save(struct sources *sources, const struct sources_place *place, struct err *err);

/* sources_backup - a copy of the last save in the new or empty folder `dir`. Any thread.
 * Errors  ERR_IO, ERR_FULL. */
bool sources_backup(const struct sources *sources, const char *dir, struct err *err);

#endif

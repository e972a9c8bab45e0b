/* redo.h - a set of changes in a file: what makes a checkpoint of many transactions one.
 *
 * A large checkpoint is worked into LMDB in slices, or its changed pages would take more memory than the
 * changes themselves. Between two slices the database is neither old nor new, so first all changes are
 * written here, to "changes" beside it, and synced; whoever opens the database and finds the file puts
 * them in again (which changes nothing where they are in already), and is at the checkpoint. The file
 * goes when the last slice is in. It is checked by a checksum as a whole. */
#ifndef STORE_REDO_H
#define STORE_REDO_H

#include "engine/base/err.h"
#include "store/changes.h"

/* redo_write - the changes that lead to event `seq`, into the folder `dir`; on disk when it returns.
 * Errors  ERR_FULL, ERR_STORE; then there is no file. */
bool redo_write(const char *dir, uint64_t seq, const struct changes *changes, struct err *err);

/* redo_read - add what the file has to `changes`; *found false when there is none.
 * Errors  ERR_DAMAGED, ERR_IO. */
bool redo_read(const char *dir, uint64_t *seq, struct changes *changes, bool *found,
               struct err *err);

/* redo_remove - when it isn't needed any more. That it comes back after a power failure does no harm. */
void redo_remove(const char *dir);

#endif

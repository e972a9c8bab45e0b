/* redo.h - a set of changes in a file: what makes a checkpoint of many transactions one.
 *
 * A large checkpoint is worked into LMDB in slices, or its changed pages would take more memory than the
 * changes themselves. Between two slices the database is neither old nor new, so first all changes are
 * written here, to "changes" beside it, and synced; whoever opens the database and finds the file puts
 * them in again (which changes nothing where they are in already), and is at the checkpoint. The file
 * goes when the last slice is in; it says where it leads from and to, so that it isn't taken for part of
 * another database. It is checked by a checksum as a whole. */
#ifndef STORE_REDO_H
#define STORE_REDO_H

#include "engine/base/err.h"
#include "store/changes.h"

/* Where the changes lead from and to. */
struct redo_head {
    uint64_t base_seq;
    uint64_t seq;
};

/* redo_write - into the folder `dir`; on disk when it returns.
 * Errors  ERR_FULL: there is no space, or no file could be opened for want of something that passes;
 *         ERR_STORE. Then there is no file. */
bool redo_write(const char *dir, const struct redo_head *head, const struct changes *changes,
                struct err *err);

/* redo_read - add what the file has to `changes`; *found false when there is none.
 * Errors  ERR_DAMAGED, ERR_IO. */
bool redo_read(const char *dir, struct redo_head *head, struct changes *changes, bool *found,
               struct err *err);

/* redo_remove - when it isn't needed any more; it is gone for good when this returns. Coming back after a
 * power failure it would undo what later checkpoints wrote. Errors ERR_FULL: no descriptor was left, try again;
 * ERR_STORE. */
bool redo_remove(const char *dir, struct err *err);

#endif

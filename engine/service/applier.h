/* applier.h - the thread that folds the journal into the state.
 *
 * It takes batches in the order of their numbers, runs the rules on each event, makes a checkpoint about
 * once a second at a batch boundary, answers queries between batches, and passes results to the door.
 * At its start it replays the journal from the last checkpoint (replay.h reads ahead): the same events through the
 * same rules give the same state and the same results.
 *
 * The state is opened, used and closed on this thread alone; what it writes to disk at a checkpoint it writes
 * on a thread of its own. */
#ifndef SERVICE_APPLIER_H
#define SERVICE_APPLIER_H

#include "engine/service/partition.h"

struct applier;

/* applier_start - start the thread. It opens the state in `state_dir` and replays what that lacks, from the
 * journal, which is open; then this returns. Errors as state_open; then no thread runs. */
bool applier_start(struct partition *partition, const char *state_dir, struct applier **applier,
                   struct err *err);
/* applier_finish - wait until the thread has ended by a WORK_STOP, and free. */
void applier_finish(struct applier *applier);

#endif

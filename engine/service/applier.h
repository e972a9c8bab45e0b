/* applier.h - the thread that folds the journal into the state.
 *
 * It takes batches in the order of their numbers, runs the rules on each event of its partition's devices, makes a
 * checkpoint about once a second at a batch boundary, answers queries between batches, and passes results to the door.
 * At its start it replays the journal from the last checkpoint (replay.h reads ahead): the same events through the
 * same rules give the same state and the same results.
 *
 * The state is opened, used and closed on this thread alone; what it writes to disk at a checkpoint it writes
 * on a thread of its own. */
#ifndef SERVICE_APPLIER_H
#define SERVICE_APPLIER_H

#include "engine/service/engine.h"

struct applier;

/* applier_start - start the thread. It opens the partition's state and replays what that lacks, from the journal, which
 * is open. applier_ready - wait for that. Errors as state_open; then the applier is no more. */
struct applier *applier_start(struct partition *partition);
bool applier_ready(struct applier *applier, struct err *err);
/* applier_give_up - have a ready one end without a word, since another partition's can't be opened.
 * applier_finish - wait until the thread has ended, by this or by a WORK_STOP, and free. */
void applier_give_up(struct applier *applier);
void applier_finish(struct applier *applier);

#endif

/* committer.h - the thread that writes the journal and answers producers.
 *
 * Whatever has queued up while the last commit was on its way to the disk goes into the next one: one
 * event alone waits for one fsync, a thousand share it. An answer leaves only after the commit, and after
 * the batch was queued for the appliers, so that a query asked after the answer sees the event. */
#ifndef SERVICE_COMMITTER_H
#define SERVICE_COMMITTER_H

#include "engine/service/engine.h"

/* committer_run - thread body; returns after WORK_STOP, or after a failure that was passed on. */
void *committer_run(void *engine);

#endif

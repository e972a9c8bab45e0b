/* remedy.h - what would make a device synced, in a sentence for whoever runs the fleet.
 *
 * A row for each state of the node firmware-verdict. */
#ifndef SERVICE_REMEDY_H
#define SERVICE_REMEDY_H

#include "engine/base/buf.h"

/* remedy_write - append the sentence.
 * state   the server attribute fwSyncState; another or {NULL, 0}: the rules have no such node
 * synced  fwStateIsSynced
 * target  the version that should run, "" when there is none
 * told    the version that the device was told to run (shared targetFwVer), "" when none */
void remedy_write(struct buf *out, struct text state, bool synced, struct text target, struct text told);

#endif

/* remedy.h - what would make a device synced, in a sentence for whoever runs the fleet.
 *
 * A row for each state of the node firmware-verdict, and for each stage in which a device may be stuck. */
#ifndef SERVICE_REMEDY_H
#define SERVICE_REMEDY_H

#include "engine/base/buf.h"

/* What is known of the device; "" or {NULL, 0}: there is none. */
struct remedy_facts {
    struct text state;   /* server attribute fwSyncState; another than the node's or none: the rules don't have it */
    struct text reason;  /* server attribute fwSyncReason */
    bool synced;         /* server attribute fwStateIsSynced */
    struct text current; /* client attribute currentFwVer */
    struct text target;  /* server attribute lastTargetFwVer: what should run */
    struct text told;    /* shared attribute targetFwVer: what the device was told to run */
};

/* remedy_write - append the sentence. */
void remedy_write(struct buf *out, const struct remedy_facts *facts);

#endif

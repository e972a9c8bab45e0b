/* verdict.h - the states that the rules give a device (server attribute fwSyncState), as the tool knows them:
 * for `--state`, for their order in counts, and for their colour. */
#ifndef TOOL_VERDICT_H
#define TOOL_VERDICT_H

#include "engine/tool/screen.h"

enum { VERDICT_STATE_COUNT = 10 };
/* From good to bad, as they are listed. */
extern const char *const verdict_states[VERDICT_STATE_COUNT];
/* The same in one text, separated by blanks: for help and completion. */
#define VERDICT_STATES \
    "synced pending updating no-target never-reported newer different rolled-back failed stuck"

/* verdict_style - good, bad for what needs a person, dim for what there is nothing to say about. Plain for a
 * state that isn't known here. */
enum screen_style verdict_style(struct text state);

#endif

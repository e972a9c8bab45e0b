/* trial.h - a test of rules, run: its events through the rules, and what came of them held against what it expects. */
#ifndef RULES_TRIAL_H
#define RULES_TRIAL_H

#include "rules/simulator.h"
#include "rules/trial_file.h"

/* What trial_run() needs noted. */
enum { TRIAL_NOTES = NOTE_ALL };

enum { TRIAL_STORY_LINES_MAX = 60 };

struct trial_outcome {
    bool passed;
    /* When it failed; each text is one line, in the arena. */
    struct text error;  /* file:line:column: TEST: what was expected, and what was found */
    const struct text *story; /* what happened since the last send: the way through the rules, what changed */
    size_t story_count;
};

/* trial_run - up to its first failure. It begins at 2026-01-01T00:00:00Z, and time passes where it waits.
 * simulator  of the rules, noting TRIAL_NOTES; what is in it is forgotten first */
struct trial_outcome trial_run(const struct trial *trial, struct simulator *simulator, struct arena *arena);

#endif

/* step.h - one event applied: through the active rules, into the state, its results to the publisher.
 *
 * The same step for an event just journaled and for one replayed. On the applier's thread. */
#ifndef SERVICE_STEP_H
#define SERVICE_STEP_H

#include "engine/service/publisher.h"
#include "rules/apply.h"
#include "store/state.h"

struct step {
    struct state *state;
    struct publisher *publisher;
    struct ruleset *ruleset; /* NULL until the first is active: then no event may come */
    struct arena arena;      /* of the event under way */
    struct arena names;      /* of the devices of the tick under way */
};

void step_init(struct step *step);
/* step_fini - only the arena; the rest is the caller's. */
void step_fini(struct step *step);

/* step_event - apply one event; its seq is above state_applied_seq.
 * line         as it is in the journal
 * dead_letters out: branches that failed
 * Errors       of the state; then nothing more may be applied, and no checkpoint may follow. */
bool step_event(struct step *step, const struct event *event, struct text line, uint64_t seq,
                int64_t received_ms, unsigned *dead_letters, struct err *err);

/* step_tick - time has passed: of the devices whose timers are due by received_ms, take the first 500, and
 * send each a DEADLINE_PASSED through the rules. All of it is of the tick's seq. Errors as step_event. */
bool step_tick(struct step *step, uint64_t seq, int64_t received_ms, struct err *err);

#endif

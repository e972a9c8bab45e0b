/* rerun.h - an event once more: on the device as it was before it, through the rules that were active then,
 * leaving no trace.
 *
 * Rules are a pure function of state and event, so this gives the same again: the way through the chains, and results
 * with the numbers that they had; when results differ from those in the history, it says so. What it needs is the
 * event in the journal and, in the history, all that changed the device since. Telemetry isn't in the history: where
 * another event has brought another value since, rules that depend on it can't be run again. Events of one device,
 * one after the other, go on from each other.
 *
 * On the applier's thread, or on another's at a meeting; it uses the state's working copy of a device. */
#ifndef SERVICE_RERUN_H
#define SERVICE_RERUN_H

#include "engine/service/query.h"
#include "engine/service/trace.h"
#include "rules/event.h"
#include "store/journal.h"

struct rerun {
    struct journal *journal;
    struct state *state;
    const struct ruleset *active;
    struct ruleset *older; /* compiled for the last event that needed it */
    struct ruleset_activation *activations; /* NULL: not asked for yet */
    size_t activation_count;
    struct publisher *publisher;
    struct device *device; /* the working copy, as the last rerun left it; NULL: nothing can go on from it */
    struct stored_telemetry *telemetry; /* of it, as it was before any rerun; those that were asked for */
    size_t telemetry_count;
    struct arena telemetry_arena;
    uint64_t device_row;   /* position of the last row of its chain that is in it */
    struct arena arena; /* of what is given out; until rerun_clear */
    struct arena lasting; /* of the activations; until rerun_fini */
    struct arena scratch;
};

/* rerun_init - of one partition's devices; what the context has is borrowed. */
void rerun_init(struct rerun *rerun, const struct query_context *context);
void rerun_fini(struct rerun *rerun);
void rerun_clear(struct rerun *rerun);

/* rerun_read - an event as it was journaled; for a tick, what the device was woken with. `device` is its name.
 * Errors  ERR_GONE: it is no longer in the journal; ERR_NOT_FOUND: it is none that a device sees; ERR_DAMAGED. */
bool rerun_read(struct rerun *rerun, uint64_t seq, struct text device, struct event *event, struct text *line,
                int64_t *received_ms, struct err *err);

/* rerun_find_row - the row of history that the event `seq` made of the device with that number. *found false: it
 * changed nothing of it, and had no results. Errors as state_history_seek. */
bool rerun_find_row(struct rerun *rerun, uint64_t seq, uint32_t device, struct history_row *row, bool *found,
                    struct err *err);

/* rerun_event - the event `seq` once more, on `device`.
 * row      its row of history, for the numbers of its results; NULL: they don't matter
 * trace    out: may be NULL; zero it, but for wants_members. On errors it is so again
 * results  out: what it published, to be given to results_destroy; NULL when it was nothing
 * Errors   ERR_GONE: the event or the history since are no longer kept, or it comes out otherwise than in `row`;
 *          ERR_NOT_FOUND: no such event or device; ERR_RULE: rules of a newer program; ERR_DAMAGED; ERR_STORE. */
bool rerun_event(struct rerun *rerun, uint64_t seq, struct text device, const struct history_row *row,
                 struct trace *trace, struct results **results, struct err *err);

/* rerun_is_history - did the event change then what it changed now? `row` is its row of history, NULL: there is none,
 * as it changed nothing and had no results. What a result said isn't kept, so it isn't compared.
 * Errors  ERR_GONE: it came out otherwise. */
bool rerun_is_history(const struct trace *trace, const struct results *results, uint64_t seq,
                      const struct history_row *row, struct err *err);

#endif

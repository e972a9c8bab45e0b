/* activation.h - which rules run: the active ones, and those on their way to be.
 *
 * A change of rules is a record of the journal, so that a replay runs each event through the very rules that ran then:
 *
 *     the settings, at a start and at SIGHUP --\
 *                                               applier: wanted --> committer: journaled --> applier: active
 *     an operator, through the query door -----/
 *
 * The settings speak when their rules have changed, an operator when he asks; the newest word counts
 * (docs/decisions/0004-which-rules-run.md). Of several partitions the lead hears them; once journaled, each partition
 * makes the rules its own, and the lead tells whoever waits when all of them have.
 *
 * One for each partition, on its applier's thread. */
#ifndef SERVICE_ACTIVATION_H
#define SERVICE_ACTIVATION_H

#include "engine/service/query.h"
#include "engine/service/step.h"

enum rules_stage {
    RULES_WANTED,     /* by the settings: the lead judges */
    RULES_JOURNALED,  /* or about to be: each partition takes it */
    RULES_EVERYWHERE, /* all have taken it, and it is the lead's again */
};

/* A new rule set on its way. */
struct rules_change {
    struct shared shared;
    struct ruleset *ruleset; /* owned; the lead's in the end, then NULL */
    char *bundle_bytes;      /* the same for the other partitions, malloc'd; NULL: there are none */
    size_t bundle_len;
    enum ruleset_by by;
    struct query *asker; /* to be answered when it is active; NULL: nobody waits */
    enum rules_stage stage;
    uint64_t seq;        /* 0: never journaled, so never to become active */
    int64_t received_ms;
    char version[VERSION_BYTES_MAX + 1]; /* its rules', once it was sent */
    bool taken, active;  /* by the lead; what it made of it */
    struct err err;      /* why it isn't active */
};

/* rules_change_create - a wanted one; takes over `ruleset`. */
struct rules_change *rules_change_create(struct ruleset *ruleset, enum ruleset_by by);
void rules_change_destroy(struct rules_change *change);
/* rules_change_kind - of its record in the journal. */
enum journal_kind rules_change_kind(const struct rules_change *change);

struct activation;

/* activation_create - both borrowed; the active rules are step->ruleset. */
struct activation *activation_create(const struct partition *partition, struct step *step);
/* activation_destroy - with the active rules. */
void activation_destroy(struct activation *activation);

/* activation_load - at a start: the rules that were active at the last checkpoint. */
bool activation_load(struct activation *activation, struct err *err);
/* activation_replay - a rules record of the journal, once more. Errors as ruleset_load_kept. */
bool activation_replay(struct activation *activation, const struct journal_record *record, struct err *err);

/* activation_hear - the settings want this: the lead's to judge. */
void activation_hear(struct activation *activation, struct rules_change *change);
/* activation_take - one that comes from the committer becomes this partition's rules. False only when the store
 * failed. activation_finish - all partitions have taken it: the lead's, to answer whoever asked. */
bool activation_take(struct activation *activation, struct rules_change *change, struct err *err);
void activation_finish(struct activation *activation, struct rules_change *change);

/* activation_ask - an operator wants `ruleset`, which is taken over, also on errors. *active: it is so already; else
 * `query` goes home with the answer when it is.
 * Errors  ERR_BUSY: another is on its way. */
bool activation_ask(struct activation *activation, struct query *query, struct ruleset *ruleset, bool *active,
                    struct err *err);

/* activation_stop - no more is coming; the committer has stopped. What is still on its way is given up. */
void activation_stop(struct activation *activation);

/* activation_by - who, in a word, for answers and the log. */
const char *activation_by(enum ruleset_by by);

/* activation_write - the members that say which rules a change made active. */
void activation_write(struct buf *out, struct text version, uint64_t seq, bool changed);

#endif

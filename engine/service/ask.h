/* ask.h - a question while it is being answered: reading its members, and what a kind of question is.
 *
 * A kind of question is a `struct op` in one of the query_*.c files and its line in query.c. */
#ifndef SERVICE_ASK_H
#define SERVICE_ASK_H

#include "engine/base/json.h"
#include "engine/service/query.h"

enum { ASK_FIELDS_MAX = 8 };

struct ask {
    const struct query_context *context;
    struct query *query;
    struct fields fields; /* the question's members */
    struct buf *out;      /* the reply's object is open, with "ok" and "seq" in it */
    struct err *err;
    struct buf details; /* in the query's arena: members for an answer that is an error */
};

/* Whose states: all (ask->context->all), that of the partition which `device` belongs to, or the lead's. */
enum op_needs { OP_NEEDS_ALL, OP_NEEDS_DEVICE, OP_NEEDS_LEAD };

struct op {
    const char *name;
    const char *fields[ASK_FIELDS_MAX]; /* besides "op"; NULL behind the last */
    /* Adds members to the reply. False with an error in ask->err: what was written is thrown away, and
     * the error is the answer. */
    bool (*answer)(struct ask *ask);
    enum op_needs needs;
};

extern const struct op op_backup, op_ping;               /* query_daemon.c */
extern const struct op op_metrics, op_stats;             /* query_stats.c */
extern const struct op op_device, op_devices, op_count;  /* query_devices.c */
extern const struct op op_changes, op_history, op_snapshot; /* query_history.c */
extern const struct op op_explain;                        /* query_explain.c */
extern const struct op op_trace;                          /* query_trace.c */
extern const struct op op_deadletters;                   /* query_deadletters.c */
extern const struct op op_rules, op_rules_check, op_rules_apply, op_rules_rollback; /* query_rules.c */

/* Each fills its output, or says in ask->err which member is wrong, and how. */

/* ask_text - a string member, or {NULL, 0} when it isn't there. */
bool ask_text(struct ask *ask, const char *name, struct text *text);
/* ask_limit - `limit`: 1..LIST_COUNT_MAX, else LIST_COUNT_DEFAULT. */
bool ask_limit(struct ask *ask, size_t *limit);
/* ask_seq - `name`: number of an event, 0 or more; *given tells whether it is there. */
bool ask_seq(struct ask *ask, const char *name, uint64_t *seq, bool *given);
/* ask_cursor - `cursor`: two numbers with a colon between, as ask_write_cursor wrote them, or both 0 when it
 * isn't there. */
bool ask_cursor(struct ask *ask, uint64_t *first, uint64_t *second);
/* ask_fleet_cursor - likewise, in a list that goes through the partitions in turn; seq 0 and part 0: it begins. */
struct fleet_cursor {
    unsigned part;          /* the partition that it is at */
    uint64_t seq;           /* the event that the list began at; with one partition it isn't told */
    uint64_t first, second; /* in that partition */
};
bool ask_fleet_cursor(struct ask *ask, struct fleet_cursor *cursor);
void ask_write_fleet_cursor(struct ask *ask, const struct fleet_cursor *cursor);
/* ask_wrong_cursor - the error for numbers that can't be from ask_write_cursor; always false. */
bool ask_wrong_cursor(struct ask *ask);
void ask_write_cursor(struct ask *ask, uint64_t first, uint64_t second);
/* ask_time - `name`: milliseconds since 1970, 0 or more; *given tells whether it is there. */
bool ask_time(struct ask *ask, const char *name, int64_t *ms, bool *given);
/* ask_device - the device named in `device`, opened for reading; ERR_NOT_FOUND if there is none. */
bool ask_device(struct ask *ask, struct device **device);

/* The index that a question names. */
struct asked_index {
    bool given;
    bool type;    /* the pseudo index on the device's type */
    size_t index; /* else this one */
    struct text name;
    const struct value *value; /* NULL: not asked for one */
};
bool ask_index(struct ask *ask, struct asked_index *asked);
/* ask_index_named - the same for a name and a value (may be NULL) that stand elsewhere. */
bool ask_index_named(struct ask *ask, struct text name, const struct value *value,
                     struct asked_index *asked);

#endif

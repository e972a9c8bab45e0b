/* trace.h - notes of an event's run: the nodes that its message passed, what they asked for, saved, and did to the
 * message, in the order in which it happened. */
#ifndef SERVICE_TRACE_H
#define SERVICE_TRACE_H

#include "rules/apply.h"
#include "store/state.h"

struct trace_step {
    struct text chain, node;
    struct text type, relation;      /* relation "": nothing can follow the node */
    size_t changes_end, members_end; /* so many of both there were until now */
    struct text published;           /* the class; "": nothing was */
};
/* What a node did to the message. */
struct trace_member {
    bool in_metadata; /* else in data */
    bool has_old, has_new;
    struct text key;
    struct value old, new;
};
struct trace_read {
    enum scope scope;
    struct text key;
    int64_t ts_ms; /* of what was found; 0: there was nothing */
};
struct trace {
    bool wants_members; /* in: are they to be noted? */
    bool cut;           /* they became too much: the last steps are without */
    struct fields metadata; /* of the message as it came to the first node, if members are wanted */
    struct trace_step *steps;
    size_t step_count;
    struct trace_read *reads; /* stored values that nodes asked for, each once */
    size_t read_count;
    struct history_change *changes; /* values that were really changed */
    size_t change_count;
    size_t saved_count;  /* the first of them are the engine's: an operator's write */
    struct trace_member *members;
    size_t member_count;
    struct text version; /* of the rules */

    /* while notes are taken */
    struct tracer tracer;
    struct arena *arena;
    size_t member_bytes;
    struct text published; /* by the node under way */
};

/* trace_begin - start taking notes, in `arena`; their texts are there too, or static. Returns the tracer to be given to
 * apply_event(). */
const struct tracer *trace_begin(struct trace *trace, struct arena *arena);

/* trace_note_read - a stored value was asked for. trace_note_change - one is about to be stored, or NULL: deleted; it
 * counts once the caller has raised change_count. */
void trace_note_read(struct trace *trace, enum scope scope, struct text key, int64_t ts_ms);
void trace_note_change(struct trace *trace, enum scope scope, struct text key, const struct value *old,
                       const struct value *new);

/* trace_grow - room for one more behind `count` items: arrays double. */
void *trace_grow(struct arena *arena, void *items, size_t count, size_t item_bytes);
/* trace_copy_value - with its text in the arena. */
struct value trace_copy_value(struct arena *arena, const struct value *value);

#endif

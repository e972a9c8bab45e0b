/* apply.h - one event changes the state: the fold's step.
 *
 * A pure function of (rules, device, event): an operator's write is saved first, then the root chain
 * runs. A value that the store won't take is a dead letter; those after it aren't saved, and the chain runs
 * for those before it if they changed something. The step reaches the device through `struct device_access`
 * and the outside through `struct sink`, so it is the same on the real store, in a test against a model, and
 * in a what-if. */
#ifndef RULES_APPLY_H
#define RULES_APPLY_H

#include "rules/event.h"
#include "rules/ruleset.h"

/* The originator's stored values. `device` is passed back as it was given. The text of a value that `get`
 * gave is copied before the next call, so it may be borrowed from the store. On false `err` is filled; an
 * ERR_TOO_LARGE or ERR_LIMIT fails the node only, any other code ends apply_event() with false. */
struct device_access {
    bool (*get)(void *device, enum scope scope, struct text key, struct value *value, bool *found,
                struct err *err);
    bool (*put)(void *device, enum scope scope, struct text key, const struct value *value,
                int64_t ts_ms, uint64_t seq, bool *changed, struct err *err);
    bool (*remove)(void *device, enum scope scope, struct text key, bool *existed, struct err *err);
    /* as device_timer_set in store/state.h */
    void (*timer_set)(void *device, int64_t due_ms, int64_t now_ms);
};

/* Members of a message that go out: those that `keys` names and that are there, in its order; NULL: all of them. */
struct chosen {
    const struct fields *fields;
    const struct fwsync_keys *keys;
};
struct fwsync_keys {
    size_t count;
    struct member_key {
        struct text key;
        struct text name; /* the same as JSON, a comma before it and the colon behind it */
    } items[];
};
/* chosen_none - is none of them there? */
bool chosen_none_of_some(const struct chosen *chosen);
static inline bool chosen_none(const struct chosen *chosen)
{
    size_t count = chosen->keys == NULL ? chosen->fields->count : chosen->keys->count;
    return count == 0 || (chosen->keys != NULL && chosen_none_of_some(chosen));
}
/* chosen_put - one JSON object; returns where it ends. NULL: it may not fit in front of `end`; what is there then is of
 * no use. */
char *chosen_put(char *at, const char *end, const struct chosen *chosen);
/* chosen_json - the object in the arena. */
struct text chosen_json(const struct chosen *chosen, struct arena *arena);

/* What of a message goes out when it is published; borrowed during the call. */
struct message_view {
    struct text type;
    struct chosen data, metadata;
};

/* Where results go. Calls come in the order in which things happen. */
struct sink {
    void *context;
    /* a stored attribute (never telemetry) really changed; value NULL: deleted */
    void (*attribute)(void *context, enum scope scope, struct text key, const struct value *value);
    void (*publish)(void *context, struct text class_name, int class_index,
                    const struct message_view *message);
    /* a branch failed with no Failure link; chain and node are "" when the engine itself failed */
    void (*dead_letter)(void *context, struct text chain, struct text node, const char *error);
    void (*log)(void *context, struct text chain, struct text node, struct text line);
};

/* A message at a node: as it came, and as it leaves. Borrowed during the call. */
struct message_passage {
    struct fields data_before, data;
    struct fields metadata_before, metadata;
};

/* Who watches the message's way. */
struct tracer {
    void *context;
    /* the engine's own saves are done, and the first node comes; may be NULL */
    void (*begun)(void *context, const struct fields *metadata);
    /* the message left a node by a relation, "" where nothing can follow. passage NULL: not asked for */
    void (*passed)(void *context, struct text chain, struct text node, const char *type, const char *relation,
                   const struct message_passage *passage);
    /* the node that the message is at publishes it; before `passed`; may be NULL */
    void (*published)(void *context, struct text class_name);
    bool wants_passages; /* may be changed on the way, when it was enough */
};

struct apply_input {
    const struct event *event;
    uint64_t seq;
    int64_t received_ms;
    struct text device_type; /* as stored now */
    void *device;
    const struct device_access *access;
    const struct sink *sink;
    const struct tracer *tracer; /* NULL: nobody */
    struct arena *arena; /* the message's memory; reset by the caller afterwards */
};

/* apply_event - false only when the store failed; *dead_letter_count tells how many branches failed. */
bool apply_event(const struct ruleset *ruleset, const struct apply_input *input,
                 unsigned *dead_letter_count, struct err *err);

#endif

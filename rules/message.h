/* message.h - one message on its way, and the run of one event that it belongs to.
 *
 * A message's members are shared with the event or with the other copies of a fan-out until the first
 * change, which copies the (small) array; keys and texts are never copied. Inside rules/ only. */
#ifndef RULES_MESSAGE_H
#define RULES_MESSAGE_H

#include "rules/apply.h"
#include "rules/chain.h"

/* Metadata or data. */
struct members {
    struct fields fields;
    size_t capacity; /* of our own array; 0: the array is shared, copy it before a change */
};

/* One event's run through the chains; what its messages have in common. */
struct run {
    const struct ruleset *ruleset;
    const struct apply_input *input;
    int64_t ts_ms;
    unsigned visit_count;
    unsigned dead_letter_count;
    bool store_failed; /* `err` says why; nothing runs on */
    struct err *err;
    struct pending *pending; /* branches yet to run, the next one first */
};

struct fwsync_message {
    struct run *run;
    const struct node *node; /* where it stands; NULL while the engine itself saves */
    struct members metadata; /* all values are strings */
    struct members data;
    bool changed;            /* a save that it passed changed something */
    const char *error;       /* what fwsync_fail() said in this node, or NULL */
    const struct chain *call; /* where fwsync_call() sends it, or NULL */
};

/* members_find - position of `key`, or the count. */
size_t members_find(const struct members *members, struct text key);
/* members_put - replace or append; false when FIELD_COUNT_MAX members are there already. */
bool members_put(struct members *members, struct text key, const struct value *value,
                 struct arena *arena);
bool members_delete(struct members *members, struct text key, struct arena *arena);

/* message_save - what fwsync_attribute_put and fwsync_telemetry_put do; also the engine's own saves.
 * On false either run->store_failed is set, or message->error says why. */
bool message_save(struct fwsync_message *message, enum scope scope, struct text key,
                  const struct value *value, int64_t ts_ms);

/* members_json - all of them as one JSON object in the arena. */
struct text members_json(const struct members *members, struct arena *arena);

/* run_message - take the message through the chains from `first` on, until every branch has ended or
 * the store failed. */
void run_message(struct run *run, struct fwsync_message *message, const struct node *first);

/* run_dead_letter - count and hand out a branch that failed; node NULL: the engine itself failed. */
void run_dead_letter(struct run *run, const struct node *node, const char *error);

/* --- the plugin's types are ours under other names --------------------------------------------------- */

static inline struct text text_in(struct fwsync_text text)
{
    return (struct text){text.bytes, text.len};
}

static inline struct fwsync_text text_out(struct text text)
{
    return (struct fwsync_text){text.bytes, text.len};
}

_Static_assert(sizeof(struct value) == sizeof(struct fwsync_value) &&
                   offsetof(struct value, text) == offsetof(struct fwsync_value, text) &&
                   (int)VALUE_BOOLEAN == (int)FWSYNC_BOOLEAN &&
                   (int)VALUE_INTEGER == (int)FWSYNC_INTEGER &&
                   (int)VALUE_DOUBLE == (int)FWSYNC_DOUBLE &&
                   (int)VALUE_STRING == (int)FWSYNC_STRING && (int)VALUE_JSON == (int)FWSYNC_JSON,
               "a value is copied as bytes across the plugin border");
_Static_assert((int)SCOPE_CLIENT == (int)FWSYNC_CLIENT && (int)SCOPE_SHARED == (int)FWSYNC_SHARED &&
                   (int)SCOPE_SERVER == (int)FWSYNC_SERVER &&
                   (int)SCOPE_TELEMETRY == (int)FWSYNC_TELEMETRY,
               "a scope is cast across the plugin border");

static inline struct value value_in(const struct fwsync_value *value)
{
    struct value copy;
    memcpy(&copy, value, sizeof copy);
    return copy;
}

static inline struct fwsync_value value_out(const struct value *value)
{
    struct fwsync_value copy;
    memcpy(&copy, value, sizeof copy);
    return copy;
}

#endif

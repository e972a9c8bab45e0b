/* fwsync_plugin.h - what a rule node may know: this file and nothing else.
 *
 * A node type is one table (struct fwsync_node_type) in one file. At load `create` reads the node's
 * settings, reports everything wrong with them, and returns the node's own memory; at run time `run`
 * looks at one message, changes it, and says through which relation it leaves. The node types that
 * come with fwsync are written against this header too, so they are the examples.
 *
 * Rules are a pure function of state and event. A node reads no clock, draws no random number, does no
 * input or output and keeps nothing between two messages: replaying the journal has to give the same
 * state again. What must reach the outside leaves through fwsync_publish().
 *
 * Texts are UTF-8 with a length, borrowed for as long as the function that gives them says. `run` calls
 * no malloc: fwsync_alloc() gives memory that lives as long as the message.
 * All calls come from one thread per rule set; a node needs no locks. */
#ifndef FWSYNC_PLUGIN_H
#define FWSYNC_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Compared for equality at load; raised by any change in this file that an old node would not survive. */
enum { FWSYNC_ABI = 4 };

struct fwsync_text {
    const char *bytes;
    size_t len;
};
static inline bool fwsync_text_equal(struct fwsync_text a, struct fwsync_text b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.bytes, b.bytes, a.len) == 0);
}
static inline bool fwsync_text_is(struct fwsync_text text, const char *word)
{
    struct fwsync_text other = {word, strlen(word)};
    return fwsync_text_equal(text, other);
}

enum fwsync_kind {
    FWSYNC_NULL,
    FWSYNC_BOOLEAN,
    FWSYNC_INTEGER, /* -2^53 .. 2^53 */
    FWSYNC_DOUBLE,  /* written with a decimal point, or not whole */
    FWSYNC_STRING,
    FWSYNC_JSON, /* an object or array as compact JSON text */
};

struct fwsync_value {
    enum fwsync_kind kind;
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct fwsync_text text;
    };
};

enum fwsync_scope { FWSYNC_CLIENT, FWSYNC_SHARED, FWSYNC_SERVER, FWSYNC_TELEMETRY };

/* Message types with a relation of their own, as ThingsBoard names both (its TbMsgType and
 * TbMsgTypeSwitchNode). X(name on the wire, relation). A type not listed leaves by "Other". The last is
 * fwsync's own: fwsync_timer_set(). */
#define FWSYNC_MESSAGE_TYPES(X)                                                                        \
    X("POST_ATTRIBUTES_REQUEST", "Post attributes")                                                    \
    X("POST_TELEMETRY_REQUEST", "Post telemetry")                                                      \
    X("TO_SERVER_RPC_REQUEST", "RPC Request from Device")                                              \
    X("RPC_CALL_FROM_SERVER_TO_DEVICE", "RPC Request to Device")                                       \
    X("ACTIVITY_EVENT", "Activity Event")                                                              \
    X("INACTIVITY_EVENT", "Inactivity Event")                                                          \
    X("CONNECT_EVENT", "Connect Event")                                                                \
    X("DISCONNECT_EVENT", "Disconnect Event")                                                          \
    X("ENTITY_CREATED", "Entity Created")                                                              \
    X("ENTITY_UPDATED", "Entity Updated")                                                              \
    X("ENTITY_DELETED", "Entity Deleted")                                                              \
    X("ENTITY_ASSIGNED", "Entity Assigned")                                                            \
    X("ENTITY_UNASSIGNED", "Entity Unassigned")                                                        \
    X("ATTRIBUTES_UPDATED", "Attributes Updated")                                                      \
    X("ATTRIBUTES_DELETED", "Attributes Deleted")                                                      \
    X("ALARM", "Alarm")                                                                                \
    X("ALARM_CREATED", "Alarm Created")                                                                \
    X("ALARM_UPDATED", "Alarm Updated")                                                                \
    X("ALARM_SEVERITY_UPDATED", "Alarm Severity Updated")                                              \
    X("ALARM_ACK", "Alarm Acknowledged")                                                               \
    X("ALARM_CLEAR", "Alarm Cleared")                                                                  \
    X("ALARM_ASSIGNED", "Alarm Assigned")                                                              \
    X("ALARM_UNASSIGNED", "Alarm Unassigned")                                                          \
    X("COMMENT_CREATED", "Comment Created")                                                            \
    X("COMMENT_UPDATED", "Comment Updated")                                                            \
    X("ENTITY_ASSIGNED_FROM_TENANT", "Entity Assigned From Tenant")                                    \
    X("ENTITY_ASSIGNED_TO_TENANT", "Entity Assigned To Tenant")                                        \
    X("TIMESERIES_UPDATED", "Timeseries Updated")                                                      \
    X("TIMESERIES_DELETED", "Timeseries Deleted")                                                      \
    X("RPC_QUEUED", "RPC Queued")                                                                      \
    X("RPC_SENT", "RPC Sent")                                                                          \
    X("RPC_DELIVERED", "RPC Delivered")                                                                \
    X("RPC_SUCCESSFUL", "RPC Successful")                                                              \
    X("RPC_TIMEOUT", "RPC Timeout")                                                                    \
    X("RPC_EXPIRED", "RPC Expired")                                                                    \
    X("RPC_FAILED", "RPC Failed")                                                                      \
    X("RPC_DELETED", "RPC Deleted")                                                                    \
    X("RELATION_ADD_OR_UPDATE", "Relation Added or Updated")                                           \
    X("RELATION_DELETED", "Relation Deleted")                                                          \
    X("RELATIONS_DELETED", "All Relations Deleted")                                                    \
    X("REST_API_REQUEST", "REST API request")                                                          \
    X("DEADLINE_PASSED", "Deadline Passed")

/* --- a node type ----------------------------------------------------------------------------------- */

struct fwsync_config;  /* a node's settings while it is being created */
struct fwsync_message; /* one message on its way through the chains */
struct fwsync_pattern; /* a compiled text with ${key} and $[path] in it */

/* What `run` returns instead of a relation's position. */
enum { FWSYNC_FAILURE = -1 /* through `Failure`, after fwsync_fail() said why */ };

struct fwsync_node_type {
    int abi;          /* FWSYNC_ABI */
    const char *name; /* as in YAML: "compare" */
    const char *help; /* one line */

    /* The relations by which a message can leave, NULL-terminated, without Failure, which every node
     * has. `run` returns a position in this list. An empty list: nothing can follow this node, and
     * `run` returns 0. */
    const char *const *relations;

    /* create - read the settings and return the node (fwsync_config_alloc), or report at least one
     * problem and return NULL. Every setting must be asked for, before any return: what was not is an
     * "unknown setting". A node with a problem never runs, so create may go on after a reader's false. */
    void *(*create)(struct fwsync_config *config);

    /* emits - can the node, set as it is, leave by this relation? NULL: by every one of the list. A
     * rule that links a relation which never comes is refused. */
    bool (*emits)(const void *node, int relation);

    /* run - the work. Returns a position in `relations`, or FWSYNC_FAILURE. */
    int (*run)(const void *node, struct fwsync_message *message);
};

/* --- while creating a node ------------------------------------------------------------------------- */

/* Memory that lives as long as the rule set, zeroed; never NULL. */
void *fwsync_config_alloc(struct fwsync_config *config, size_t bytes);

/* Each reader returns true and fills its output when the setting is there and right. When it is absent,
 * a required one is reported as a problem; an optional one leaves the output as it was. Either way the
 * return is false. Texts live as long as the rule set and are NUL-terminated. */
enum fwsync_need { FWSYNC_OPTIONAL, FWSYNC_REQUIRED };
bool fwsync_config_text(struct fwsync_config *config, const char *key, enum fwsync_need need,
                        struct fwsync_text *text);
bool fwsync_config_boolean(struct fwsync_config *config, const char *key, enum fwsync_need need,
                           bool *boolean);
bool fwsync_config_integer(struct fwsync_config *config, const char *key, enum fwsync_need need,
                           int64_t min, int64_t max, int64_t *integer);
/* One of `words` (NULL-terminated), exactly; *position tells which. */
bool fwsync_config_choice(struct fwsync_config *config, const char *key, enum fwsync_need need,
                          const char *const *words, int *position);
bool fwsync_config_scope(struct fwsync_config *config, const char *key, enum fwsync_need need,
                         enum fwsync_scope *scope); /* CLIENT_SCOPE, SHARED_SCOPE, SERVER_SCOPE */
bool fwsync_config_texts(struct fwsync_config *config, const char *key, enum fwsync_need need,
                         const struct fwsync_text **texts, size_t *count); /* one scalar or a list */
/* Names of members, one or a list, in a form that is quick to find and to write. *keys lives as long as the rule set. */
struct fwsync_keys;
bool fwsync_config_keys(struct fwsync_config *config, const char *key, enum fwsync_need need,
                        const struct fwsync_keys **keys);
bool fwsync_config_pattern(struct fwsync_config *config, const char *key, enum fwsync_need need,
                           const struct fwsync_pattern **pattern);
bool fwsync_config_patterns(struct fwsync_config *config, const char *key, enum fwsync_need need,
                            const struct fwsync_pattern *const **patterns,
                            size_t *count); /* one scalar or a list */
/* fwsync_pattern_constant - has the pattern no placeholder? Then *text is all that it ever gives; it
 * lives as long as the rule set. */
bool fwsync_pattern_constant(const struct fwsync_pattern *pattern, struct fwsync_text *text);
/* A mapping of keys to patterns / texts, in the order written. */
struct fwsync_member {
    struct fwsync_text key;
    struct fwsync_text text;
    const struct fwsync_pattern *pattern; /* of the same text */
    bool quoted;                          /* the text was written in quotes */
};
bool fwsync_config_mapping(struct fwsync_config *config, const char *key, enum fwsync_need need,
                           const struct fwsync_member **members, size_t *count);
/* A mapping of any of `words` (NULL-terminated) to times: 500ms, 30s, 15m, 2h, 1d, at most 3650d, or 0. Those
 * that are there, in ms, at their word's position; the others stay as they were. */
bool fwsync_config_durations(struct fwsync_config *config, const char *key, enum fwsync_need need,
                             const char *const *words, int64_t *durations_ms);
/* A result class: registers its name with the rule set; *class_index goes to fwsync_publish(). */
bool fwsync_config_class(struct fwsync_config *config, const char *key, enum fwsync_need need,
                         int *class_index);
/* The name of another chain; *chain_index goes to fwsync_call(). */
bool fwsync_config_chain(struct fwsync_config *config, const char *key, enum fwsync_need need,
                         int *chain_index);
/* fwsync_config_has - is the setting there at all, right or wrong? */
bool fwsync_config_has(const struct fwsync_config *config, const char *key);
/* fwsync_config_problem - report something else that is wrong with `key` (NULL: the node as a whole). */
void fwsync_config_problem(struct fwsync_config *config, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- while a message runs -------------------------------------------------------------------------- */

/* fwsync_fail - say why, in one line (cut at 511 bytes), and return FWSYNC_FAILURE. What the texts lie in may be
 * gone afterwards. */
int fwsync_fail(struct fwsync_message *message, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* fwsync_alloc - memory that lives as long as the message and its copies on other ways: until the event is done.
 * Aligned to 16 bytes, not zeroed; never NULL, also for 0 bytes. */
void *fwsync_alloc(struct fwsync_message *message, size_t bytes);

/* Whose message it is, of which type the device is, and the message. These texts, and those of metadata and data
 * below, live as fwsync_alloc's memory does; there need be no NUL behind them. None of the three is empty. */
struct fwsync_text fwsync_message_device(const struct fwsync_message *message);
struct fwsync_text fwsync_message_device_type(const struct fwsync_message *message);
struct fwsync_text fwsync_message_type(const struct fwsync_message *message);
/* The type's position in FWSYNC_MESSAGE_TYPES, or the length of that list for any other type. */
int fwsync_message_type_index(const struct fwsync_message *message);
/* When it happened, as far as the producer says so; else when it was received. In ms since 1970. */
int64_t fwsync_message_ts_ms(const struct fwsync_message *message);
/* When it was received: this never goes back from one message to the next. */
int64_t fwsync_message_received_ms(const struct fwsync_message *message);
/* Has a save that this message passed changed anything stored? */
bool fwsync_message_changed(const struct fwsync_message *message);

/* Metadata: string -> string. Data: the message's JSON object. `put` replaces; keys and texts are
 * borrowed, so they must live as long as the message (the rule set's and fwsync_alloc's do).
 * `put` is false when a bound was hit (1000 members, keys of 1..255 bytes, texts of 65,536 bytes);
 * fwsync_fail() was called then. */
bool fwsync_metadata_get(const struct fwsync_message *message, struct fwsync_text key,
                         struct fwsync_text *text);
bool fwsync_metadata_put(struct fwsync_message *message, struct fwsync_text key,
                         struct fwsync_text text);
bool fwsync_metadata_delete(struct fwsync_message *message, struct fwsync_text key);
bool fwsync_data_get(const struct fwsync_message *message, struct fwsync_text key,
                     struct fwsync_value *value);
bool fwsync_data_put(struct fwsync_message *message, struct fwsync_text key,
                     const struct fwsync_value *value);
bool fwsync_data_delete(struct fwsync_message *message, struct fwsync_text key);
/* Walking: members are numbered from 0; deleting one moves those behind it up. */
size_t fwsync_metadata_count(const struct fwsync_message *message);
size_t fwsync_data_count(const struct fwsync_message *message);
void fwsync_metadata_at(const struct fwsync_message *message, size_t index, struct fwsync_text *key,
                        struct fwsync_text *text);
void fwsync_data_at(const struct fwsync_message *message, size_t index, struct fwsync_text *key,
                    struct fwsync_value *value);

/* How metadata shows a value: strings bare, else its JSON. Lives as long as the message. */
struct fwsync_text fwsync_value_text(struct fwsync_message *message, const struct fwsync_value *value);
/* All the data, all the metadata as one JSON object. Lives as long as the message. */
struct fwsync_text fwsync_data_json(struct fwsync_message *message);
struct fwsync_text fwsync_metadata_json(struct fwsync_message *message);
/* fwsync_json_members - the members of a FWSYNC_JSON value that is an object; false when it is an
 * array or no JSON at all. They live as long as the message. */
struct fwsync_field {
    struct fwsync_text key;
    struct fwsync_value value;
};
bool fwsync_json_members(struct fwsync_message *message, const struct fwsync_value *object,
                         const struct fwsync_field **members, size_t *count);

/* fwsync_pattern_expand - the pattern's text for this message. ${key} is the metadata's value, $[a.b]
 * the data's; ${*} and $[*] are all of it as JSON; what was put in is not expanded again. *complete (may
 * be NULL) is false when a key was missing; its place then holds the placeholder as written. *text lives
 * as long as the message. False after fwsync_fail(): the text would have more than 65,536 bytes. */
bool fwsync_pattern_expand(struct fwsync_message *message, const struct fwsync_pattern *pattern,
                           struct fwsync_text *text, bool *complete);
/* fwsync_pattern_value - the same as a value: a pattern that is one $[path] and nothing else gives what
 * stands there with its type, any other gives its text as a string. */
bool fwsync_pattern_value(struct fwsync_message *message, const struct fwsync_pattern *pattern,
                          struct fwsync_value *value, bool *complete);

/* The originator's stored attributes (or latest telemetry). get: *found tells; the value lives as long
 * as the message. put: the value (not FWSYNC_NULL) is saved now with the message's time, and an attribute
 * that really changed is published in class `attributes`. delete: absence is fine. All false after
 * fwsync_fail(); the node then returns FWSYNC_FAILURE. */
bool fwsync_attribute_get(struct fwsync_message *message, enum fwsync_scope scope,
                          struct fwsync_text key, struct fwsync_value *value, bool *found);
bool fwsync_attribute_put(struct fwsync_message *message, enum fwsync_scope scope,
                          struct fwsync_text key, const struct fwsync_value *value);
bool fwsync_attribute_delete(struct fwsync_message *message, enum fwsync_scope scope,
                             struct fwsync_text key);
/* fwsync_telemetry_put - a reading with a time of its own, 0..2^53 ms since 1970. */
bool fwsync_telemetry_put(struct fwsync_message *message, struct fwsync_text key,
                          const struct fwsync_value *value, int64_t ts_ms);

/* fwsync_timer_set - the originator's one timer, in place of what it was set to before: at due_ms (at most 2^53,
 * on the clock of fwsync_message_received_ms) or up to a second or 1/64 of the way later, a message
 * DEADLINE_PASSED with empty data starts in the root chain. 0, or less: no timer. */
void fwsync_timer_set(struct fwsync_message *message, int64_t due_ms);

/* fwsync_publish - the message as it is now leaves as a result of that class. Of its data and its metadata go
 * out only the members that `data` and `metadata` name, in that order; one that isn't there is left out. NULL:
 * all of them, as they stand. */
void fwsync_publish(struct fwsync_message *message, int class_index, const struct fwsync_keys *data,
                    const struct fwsync_keys *metadata);
/* fwsync_call - hand the message over: when `run` returns, it goes on at the first node of that chain and
 * by no relation of this node (unless `run` returns FWSYNC_FAILURE). Called twice, the last one counts. */
void fwsync_call(struct fwsync_message *message, int chain_index);
/* fwsync_log - one line in the daemon's log, with the chain and the node. */
void fwsync_log(struct fwsync_message *message, struct fwsync_text text);

/* fwsync_version_compare - order two firmware versions; see docs/rules.md, "How versions are ordered". */
enum fwsync_order { FWSYNC_OLDER, FWSYNC_EQUAL, FWSYNC_NEWER, FWSYNC_INCOMPARABLE };
enum fwsync_order fwsync_version_compare(struct fwsync_text left, struct fwsync_text right);

#endif

/* shape.h - how the results of a class are written, behind the members that all results have.
 *
 * A single result names each of its members. In a batch the names stand once, at its head, and each result is a
 * row (results.h). */
#ifndef SERVICE_SHAPE_H
#define SERVICE_SHAPE_H

#include "engine/base/buf.h"
#include "rules/apply.h"

enum form { FORM_SINGLE, FORM_ROW };

struct shape {
    const char *names; /* of the members, as JSON, in the order in which `put` writes them */
    /* room - the bytes that `put` may take, in either form. put - write the members of `what`, each with a comma before
     * it; returns where they end. A member that a result doesn't have is null in its row, or behind the row's end. */
    size_t (*room)(const void *what);
    char *(*put)(char *at, enum form form, const void *what);
};

/* Of a changed attribute: a struct attribute_change. */
extern const struct shape change_shape;
struct attribute_change {
    struct text scope;
    struct text key;
    const struct value *value; /* NULL: deleted */
};

/* Of a message that a rule publishes: a struct published. */
extern const struct shape message_shape;
struct published {
    struct text device_type;
    const struct message_view *message;
};

/* Of a dead letter: a struct letter. */
extern const struct shape letter_shape;
struct letter {
    struct text chain, node, error;
    struct text event; /* JSON */
};

#endif

/* shape.h - how the results of a class are written, behind the members that all results have.
 *
 * A single result names each of its members. In a batch the names stand once, at its head, and each result is a
 * row (results.h). What most rows would repeat the head says, too: a row has its own only where it is otherwise. */
#ifndef SERVICE_SHAPE_H
#define SERVICE_SHAPE_H

#include "engine/base/buf.h"
#include "engine/base/limits.h"
#include "rules/apply.h"

/* What a batch's head says of its rows. */
struct common {
    struct text device_type, type; /* in `bytes` */
    bool no_metadata;
    char bytes[2 * TYPE_BYTES_MAX];
};
enum { COMMON_ROOM = sizeof ",'deviceType':'','type':'','metadata':{}" + 12 * TYPE_BYTES_MAX + 8 };

struct shape {
    const char *names; /* of a row's members, as JSON, in their order */
    /* put - write the members of `what`, each with a comma before it; returns where they end. NULL: they may not fit in
     * front of `end`; what is there then is of no use. common NULL: a single result, with the names. Else a row; a
     * member that it doesn't have, or has as `common` says, is null or behind the row's end. */
    char *(*put)(char *at, const char *end, const struct common *common, const void *what);
    /* put_common - choose what is common from the first row, and write that as members, up to COMMON_ROOM bytes; NULL:
     * nothing is. */
    char *(*put_common)(char *at, struct common *common, const void *what);
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

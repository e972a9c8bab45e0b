/* whatif.h - what would other rules make of a device, as it is?
 *
 * The device is judged twice, each time from the same values: by the rules that run and by the others. Judged means:
 * an operator's write comes that writes nothing, and then the device reports again what it reported last. What is
 * otherwise then is a difference: a stored value, how often a class was published, how often a node failed.
 * Telemetry and timers aren't taken along.
 * One owner, one thread at a time. */
#ifndef RULES_WHATIF_H
#define RULES_WHATIF_H

#include "rules/event.h"
#include "rules/ruleset.h"

enum { WHATIF_SCOPES = SCOPE_SERVER + 1 };

/* A device's values. Borrowed during the call. */
struct whatif_device {
    struct text name, type;
    struct fields values[WHATIF_SCOPES]; /* client, shared, server */
};

enum difference_kind { DIFFERENCE_VALUE, DIFFERENCE_RESULTS, DIFFERENCE_DEAD_LETTERS };

struct difference {
    enum difference_kind kind;
    enum scope scope;         /* of a value */
    struct text name;         /* its key; the class; or the node that failed, CHAIN/NODE, "" when the engine did */
    struct value now, then;   /* the value, VALUE_NULL: there is none; or how many results or dead letters */
};

struct whatif;

/* whatif_create - both borrowed. */
struct whatif *whatif_create(const struct ruleset *now, const struct ruleset *then);
void whatif_destroy(struct whatif *whatif);

/* whatif_judge - at the time `at_ms` of the clock.
 * differences  out: valid until the next call; values by scope and key, then results, then dead letters
 * Errors       ERR_TOO_LARGE: a name, key or value that no device can have. */
bool whatif_judge(struct whatif *whatif, const struct whatif_device *device, int64_t at_ms,
                  struct difference **differences, size_t *count, struct err *err);

#endif

/* numbers.h - the last number of each class of results: how a follower sees what is missing. */
#ifndef CLIENT_NUMBERS_H
#define CLIENT_NUMBERS_H

#include "engine/base/json.h"
#include "engine/base/limits.h"

struct number {
    char name[CLASS_NAME_BYTES_MAX + 1];
    uint64_t n;
    bool known; /* false: nothing was heard of this class yet */
};

/* A zeroed one knows nothing. */
struct numbers {
    struct number items[CLASS_LIFE_COUNT_MAX];
    size_t count;
    bool complete; /* a class that isn't among them has had no result */
};

/* numbers_find - the class's number, added when it isn't there: 0 and known if `complete`. NULL: there can't
 * be such a class. Valid until the numbers are overwritten. */
struct number *numbers_find(struct numbers *numbers, struct text name);

/* numbers_read - a JSON object {"CLASS": N, ...} as numbers that are complete. scratch and arena: left with
 * garbage. */
void numbers_read(struct numbers *numbers, struct text json, struct arena *scratch, struct arena *arena);

#endif

/* tally.h - how many devices have each value of an index, now or at a time: an answer's pages added up.
 *
 * Pages of a time hold differences, which may be negative: only their sum over all pages says something. */
#ifndef TOOL_TALLY_H
#define TOOL_TALLY_H

#include "engine/tool/session.h"

struct tally_row {
    struct text json; /* the value; "null": has none */
    int64_t count;
};

struct tally {
    struct tally_row *rows; /* sorted by their JSON, none with 0 */
    size_t row_count;
    size_t capacity;
    struct arena arena;
};

enum { TALLY_NOW = -1 };

void tally_init(struct tally *tally);
void tally_fini(struct tally *tally);

/* tally_ask - fill it. `at_ms` is TALLY_NOW or a time. With --json the pages of now are printed as they come.
 * *ok is false when the answer isn't ok: session_complain tells it. */
bool tally_ask(struct tally *tally, struct session *session, struct text index, int64_t at_ms, bool *ok);

/* tally_find_index - the full name of the index that a person means: `fwStateIsSynced` is `server.fwStateIsSynced`
 * if there is such an index. False after telling. */
bool tally_find_index(struct session *session, const char *name, struct buf *index);
/* tally_ask_value - how many devices have one value now: the answer's `count`. *ok as above. */
bool tally_ask_value(struct session *session, struct text index, const struct value *value, bool *ok);

/* tally_count - of one value, 0 if it isn't there; tally_total - of all, with those that have none. */
int64_t tally_count(const struct tally *tally, const struct value *value);
int64_t tally_total(const struct tally *tally);

#endif

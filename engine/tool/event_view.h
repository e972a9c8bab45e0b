/* event_view.h - what an answer says of an event, for those commands that tell what became of one. Texts are in the
 * session's arena. */
#ifndef TOOL_EVENT_VIEW_H
#define TOOL_EVENT_VIEW_H

#include "engine/tool/session.h"

/* event_when - a member that is a time. event_came - when the event came or, where it is no longer kept, its own time,
 * which is with what it wrote. */
struct text event_when(struct session *session, const struct fields *fields, const char *key);
struct text event_came(struct session *session, const struct fields *fields);
/* event_scope - the short name of the member `scope`. event_number - the member `seq`, which is a name and no count;
 * "" when there is none. */
struct text event_scope(const struct fields *fields);
struct text event_number(struct session *session, const struct fields *fields);

/* event_print_data - what an event brought, in a line or two: the scope of a write, and as much of the data and the
 * metadata of its member `event` as there is room for. */
void event_print_data(struct session *session, const struct fields *event);

/* PRINT_CELLS - a line for a program: clean texts with tabs between, "-" for an empty one. */
void print_cells(struct session *session, const struct text *cells, size_t count);
#define PRINT_CELLS(session, ...)                                     \
    print_cells(session, (const struct text[]){__VA_ARGS__},          \
                sizeof((const struct text[]){__VA_ARGS__}) / sizeof(struct text))

#endif

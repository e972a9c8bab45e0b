/* draw.h - a rule set as a picture: text to read, or Graphviz's language; or what a program needs to draw one.
 *
 * The root chain comes first, then the others as they are met from there. A node is drawn where it is first met; the
 * other ways to it only name it. So a picture has at most one line for each link, however many ways there are through
 * the chains. Relations that lead nowhere aren't drawn. */
#ifndef RULES_DRAW_H
#define RULES_DRAW_H

#include "engine/base/buf.h"
#include "rules/ruleset.h"

/* How a picture in text looks where it is shown; all of it is borrowed during the call. */
struct draw_look {
    bool boxes;                           /* box-drawing characters and arrows; else ASCII */
    const char *head, *dim, *bad, *plain; /* escape sequences, or "" */
    struct text (*clean)(struct text name, struct arena *arena); /* a name as it may be shown */
    size_t (*width)(struct text text);                           /* the columns that a clean text takes */
};

/* ruleset_draw_text - appends lines such as
 *
 *   root
 *     what-came                         message-type-switch
 *     ├─ Post attributes → save-report  save-attributes
 *     │  ↓ Success → firmware-synced    rule-chain → firmware-synced
 *     └─ Attributes Updated → firmware-synced (above)
 *
 * where what follows a node stands below it: its branches, or after an arrow the only node that can come next. What
 * is nested deeper than is good to read is drawn by itself, below the rest of its chain. */
void ruleset_draw_text(const struct ruleset *ruleset, const struct draw_look *look, struct buf *out);

/* ruleset_draw_dot - appends a graph for `dot`: a cluster for each chain, failures red, dashed to another chain. */
void ruleset_draw_dot(const struct ruleset *ruleset, struct buf *out);

/* ruleset_draw_json - appends a line for each node:
 * {"chain":"root","node":"a","type":"log","first":true,"to":{"Success":["b"]},"calls":[]} */
void ruleset_draw_json(const struct ruleset *ruleset, struct buf *out);

#endif

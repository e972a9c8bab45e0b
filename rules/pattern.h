/* pattern.h - texts with ${key} and $[path] in them, taken apart once at load.
 *
 * The syntax is ThingsBoard's (TbNodeUtils.processPattern): ${key} is a metadata member, $[a.b] a member
 * of the data, ${*} and $[*] the whole as JSON. Unlike there, what was put in is not searched again, so a
 * device can't smuggle a placeholder into a rule. */
#ifndef RULES_PATTERN_H
#define RULES_PATTERN_H

#include "engine/base/arena.h"
#include "engine/base/err.h"

enum part_kind { PART_LITERAL, PART_METADATA, PART_DATA, PART_ALL_METADATA, PART_ALL_DATA };

struct part {
    enum part_kind kind;
    struct text text;    /* the literal, the metadata key, or the path */
    struct text written; /* the placeholder with its brackets: stands where a key is missing */
    bool dotted;         /* PART_DATA: the path has more than one step */
};

struct fwsync_pattern {
    struct text source;
    struct part *parts; /* an empty pattern has none */
    size_t count;
};

/* pattern_compile - take `source` (borrowed for as long as the pattern) apart into `arena`.
 * Errors  ERR_CONFIG: an unclosed or empty placeholder, with what is wrong. */
bool pattern_compile(struct text source, struct arena *arena, struct fwsync_pattern *pattern,
                     struct err *err);

#endif

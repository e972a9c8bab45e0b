/* chain.h - a rule set as it runs: chains of nodes, linked by pointers.
 *
 * Everything that a name stands for is looked up once, at load: running follows pointers and positions
 * only. All of it lives in the rule set's arena and never changes after the load.
 * Inside rules/ only; the daemon sees rules/ruleset.h. */
#ifndef RULES_CHAIN_H
#define RULES_CHAIN_H

#include "engine/base/problems.h"
#include "plugins/fwsync_plugin.h"

enum {
    CHAIN_COUNT_MAX = 1000,
    NODE_COUNT_MAX = 1000, /* in one chain */
    NAME_BYTES_MAX = 255,  /* of a chain or a node */
};

struct chain;

/* Where one relation leads, in the order written. */
struct targets {
    const struct node *const *nodes;
    size_t count;
};

/* One `to` entry's link as it was written; for the checks. */
struct link {
    const struct link *next;
    int relation; /* position in the type's list, FWSYNC_FAILURE, or RELATION_UNKNOWN */
    const struct node *to;
    struct place place;
};
enum { RELATION_UNKNOWN = -2 };

/* A chain that a node hands messages to. */
struct call {
    const struct call *next;
    int chain_index;
    struct place place;
};

struct node {
    const struct fwsync_node_type *type; /* NULL only while a load with problems goes on */
    const void *memory;                  /* what the type's create returned */
    const struct targets *targets;       /* [0] is Failure, [1 + position] the type's relations */
    int relation_count;                  /* without Failure */
    const struct chain *chain;
    struct text name;
    size_t index; /* in its chain */
    struct place place;
    const struct link *links;
    const struct call *calls;
};

struct chain {
    struct text name;
    struct place place; /* of the name */
    struct node *nodes; /* in the order written */
    size_t node_count;
    struct targets entry; /* the first node */
};

struct ruleset {
    struct arena arena;
    struct chain **chains; /* by name; node settings hold positions in this list */
    size_t chain_count;
    const struct chain *root;
    struct text *class_names; /* CLASS_COUNT_MAX of room */
    size_t class_count;
    struct text bundle;
    char version[17];
};

#endif

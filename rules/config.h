/* config.h - a node's settings while it is created: YAML on one side, the plugin header's readers on
 * the other. Inside rules/ only. */
#ifndef RULES_CONFIG_H
#define RULES_CONFIG_H

#include "engine/base/yaml.h"
#include "rules/chain.h"

enum { SETTING_COUNT_MAX = 32 }; /* that one node type may ask for */

struct fwsync_config {
    struct ruleset *ruleset;
    struct problems *problems;
    struct node *node;
    const struct yaml_node *yaml;         /* the node's mapping */
    const char *asked[SETTING_COUNT_MAX]; /* what the type knows; `type`, `to`, `description` go first */
    size_t asked_count;
    bool chains_complete; /* every file gave a chain name, so a name that isn't there is unknown */
    bool call_unknown;    /* out: a chain was named that isn't there */
};

/* config_create_node - let the node's type read its settings; problems go where they belong. */
void config_create_node(struct fwsync_config *config);

/* config_name - a chain's, node's or class's name; false with a problem when it is no non-empty text
 * of at most NAME_BYTES_MAX bytes without control characters. `what` starts the message. */
bool config_name(const struct yaml_node *yaml, const char *what, struct problems *problems,
                 struct text *name);

/* config_duration - a time as it is written: 500ms, 30s, 15m, 2h, 1d, at most DURATION_MS_MAX, or 0. False: it is none,
 * and *duration_ms may be anything. */
#define DURATION_MS_MAX (INT64_C(3650) * 24 * 3600 * 1000)
bool config_duration(struct text text, int64_t *duration_ms);

/* problem_unknown - "unknown WHAT 'wrong'; did you mean ...? Expected one of: ...". */
void problem_unknown(struct problems *problems, struct place place, const char *what,
                     struct text wrong, const char *const *words, size_t word_count);

#endif

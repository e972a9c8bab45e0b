/* yaml.h - a YAML file as a tree in which every node knows its place.
 *
 * libyaml's event interface, fenced: at most REQUEST_BYTES_MAX bytes, YAML_DEPTH_MAX levels and
 * YAML_NODE_COUNT_MAX nodes; anchors, aliases, tags, further documents and duplicate keys are refused,
 * each with its place. Scalars stay text with a note whether they were quoted: typing is the reader's,
 * so that `no` and `0o17` never turn into something else. */
#ifndef BASE_YAML_H
#define BASE_YAML_H

#include "engine/base/problems.h"

enum { YAML_DEPTH_MAX = 32, YAML_NODE_COUNT_MAX = 100000 };

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
    enum yaml_kind kind;
    struct place place;
    struct text scalar;     /* YAML_SCALAR: UTF-8 without NUL, NUL-terminated */
    bool quoted;            /* YAML_SCALAR: written in quotes or as a block, so always a string */
    struct text key;        /* as a mapping's member: its key; NUL-terminated */
    struct place key_place; /* and where the key stands */
    struct yaml_node *first; /* children in order */
    struct yaml_node *next;  /* sibling */
    size_t count;            /* of children */
};

/* yaml_parse - parse `text`, called `file` in messages (borrowed), into `arena`.
 * Returns the root, NULL for an empty document without a problem, or NULL with problems added. */
struct yaml_node *yaml_parse(const char *file, struct text text, struct arena *arena,
                             struct problems *problems);

/* yaml_member - a mapping's member by key, or NULL (also when `node` is no mapping). */
struct yaml_node *yaml_member(const struct yaml_node *node, const char *key);

/* yaml_kind_name - "a scalar", "a list", "a mapping". */
const char *yaml_kind_name(const struct yaml_node *node);

/* Readers that add a problem at the node's place and return false when the form is wrong. */
bool yaml_boolean(const struct yaml_node *node, bool *value, struct problems *problems);
bool yaml_integer(const struct yaml_node *node, int64_t min, int64_t max, int64_t *value,
                  struct problems *problems);

#endif

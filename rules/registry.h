/* registry.h - the node types by name. */
#ifndef RULES_REGISTRY_H
#define RULES_REGISTRY_H

#include "engine/base/text.h"
#include "plugins/fwsync_plugin.h"

/* node_type_find - the type of that name, or NULL. */
const struct fwsync_node_type *node_type_find(struct text name);

/* node_type_names - all names, in alphabetical order; returns how many. */
enum { NODE_TYPE_COUNT_MAX = 64 };
size_t node_type_names(const char *names[NODE_TYPE_COUNT_MAX]);

/* node_type_relation_count - length of the type's list, which is without Failure. */
int node_type_relation_count(const struct fwsync_node_type *type);

#endif

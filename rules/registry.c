#include "rules/registry.h"

#include <assert.h>

/* Each is defined in rules/nodes/<type>.c. */
extern const struct fwsync_node_type node_check_fields;
extern const struct fwsync_node_type node_compare;
extern const struct fwsync_node_type node_copy_keys;
extern const struct fwsync_node_type node_delete_attributes;
extern const struct fwsync_node_type node_delete_keys;
extern const struct fwsync_node_type node_fetch_attributes;
extern const struct fwsync_node_type node_firmware_verdict;
extern const struct fwsync_node_type node_log;
extern const struct fwsync_node_type node_message_type_filter;
extern const struct fwsync_node_type node_message_type_switch;
extern const struct fwsync_node_type node_publish;
extern const struct fwsync_node_type node_rename_keys;
extern const struct fwsync_node_type node_rule_chain;
extern const struct fwsync_node_type node_save_attributes;
extern const struct fwsync_node_type node_save_telemetry;
extern const struct fwsync_node_type node_set;

/* In alphabetical order, as messages list them. */
static const struct fwsync_node_type *const builtin_types[] = {
    &node_check_fields,
    &node_compare,
    &node_copy_keys,
    &node_delete_attributes,
    &node_delete_keys,
    &node_fetch_attributes,
    &node_firmware_verdict,
    &node_log,
    &node_message_type_filter,
    &node_message_type_switch,
    &node_publish,
    &node_rename_keys,
    &node_rule_chain,
    &node_save_attributes,
    &node_save_telemetry,
    &node_set,
};
#define TYPE_COUNT (sizeof builtin_types / sizeof builtin_types[0])

const struct fwsync_node_type *node_type_find(struct text name)
{
    for (size_t i = 0; i < TYPE_COUNT; i++)
        if (text_is(name, builtin_types[i]->name))
            return builtin_types[i];
    return NULL;
}

size_t node_type_names(const char *names[NODE_TYPE_COUNT_MAX])
{
    _Static_assert(TYPE_COUNT <= NODE_TYPE_COUNT_MAX, "make room for the node types");
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        assert(builtin_types[i]->abi == FWSYNC_ABI);
        names[i] = builtin_types[i]->name;
    }
    return TYPE_COUNT;
}

int node_type_relation_count(const struct fwsync_node_type *type)
{
    int count = 0;
    while (type->relations[count] != NULL)
        count++;
    return count;
}

/* ruleset.h - a directory of YAML chains, checked and compiled; immutable from then on.
 *
 * The root chain is the one named "root". Everything a person can get wrong is found here, all of it at
 * once, with its place. A rule set's bundle is its files as one JSON object ({"root.yaml":"..."}), its
 * version the FNV-1a 64 hash of that, 16 hex digits: the journal keeps the bundle, so a replay runs the
 * very rules that ran then.
 * A bundle has at most 1 KiB less than REQUEST_BYTES_MAX, so a request that brings it fits, and a journal record.
 * Load on any thread; run on one thread at a time. */
#ifndef RULES_RULESET_H
#define RULES_RULESET_H

#include "engine/base/err.h"
#include "engine/base/problems.h"

struct ruleset;

/* ruleset_load_dir - read every *.yaml and *.yml in `dir` (not below), in name order.
 * Returns NULL with at least one problem. */
struct ruleset *ruleset_load_dir(const char *dir, struct problems *problems);
/* ruleset_load_bundle - from a bundle as journaled. */
struct ruleset *ruleset_load_bundle(struct text bundle, struct problems *problems);
/* ruleset_load_kept - the same for one that was taken before, so it has no problems but a newer program's.
 * Errors  ERR_RULE. */
struct ruleset *ruleset_load_kept(struct text bundle, struct err *err);
/* ruleset_load_shipped - the chains that come with fwsync, compiled into the program. */
struct ruleset *ruleset_load_shipped(struct problems *problems);
void ruleset_destroy(struct ruleset *ruleset);

struct text ruleset_version(const struct ruleset *ruleset);
struct text ruleset_bundle(const struct ruleset *ruleset);

/* Chains in name order, and the classes that publish nodes name, by class index. */
size_t ruleset_chain_count(const struct ruleset *ruleset);
struct text ruleset_chain_name(const struct ruleset *ruleset, size_t chain);
size_t ruleset_chain_node_count(const struct ruleset *ruleset, size_t chain);
size_t ruleset_class_count(const struct ruleset *ruleset);
struct text ruleset_class_name(const struct ruleset *ruleset, size_t class_index);

#endif

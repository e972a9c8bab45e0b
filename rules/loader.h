/* loader.h - from files to linked chains: reads YAML, creates nodes, resolves every name. */
#ifndef RULES_LOADER_H
#define RULES_LOADER_H

#include "rules/chain.h"
#include "rules/sources.h"

/* load_chains - fill `ruleset` (its arena is ready) from the sources; problems tell what is wrong, all of
 * it. `complete` is false when not every file could be read: what is missing is no problem then. */
void load_chains(struct ruleset *ruleset, const struct sources *sources, bool complete,
                 struct problems *problems);

#endif

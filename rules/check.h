/* check.h - what only the whole graph shows: circles, and what nothing leads to. */
#ifndef RULES_CHECK_H
#define RULES_CHECK_H

#include "rules/chain.h"

/* check_chain_circles, check_node_circles - a message could go round for ever. Each closing link is
 * reported once, with the way round. */
void check_node_circles(const struct chain *chain, struct problems *problems);
void check_chain_circles(const struct ruleset *ruleset, struct problems *problems);

/* check_nodes_reached, check_chains_reached - a node no link leads to and that isn't the first; a chain
 * that no rule-chain node names and that isn't the root. What hangs behind one is not reported again.
 * Call only when all links are known: a link that could not be resolved may be the one that leads there. */
void check_nodes_reached(const struct chain *chain, struct problems *problems);
void check_chains_reached(const struct ruleset *ruleset, struct problems *problems);

#endif

#include "rules/check.h"

#include <assert.h>
#include <stdio.h>

enum mark { MARK_NEW, MARK_OPEN, MARK_DONE };

/* The way from the start of the search to where it is. Its depth is bounded by NODE_COUNT_MAX and
 * CHAIN_COUNT_MAX, so recursion is safe. */
struct step {
    const struct step *back;
    size_t index;
    struct text name;
};

/* "a -> b -> a", from the step whose index is `index` on; cut at the buffer's size. */
static void describe_circle(const struct step *last, size_t index, char *out, size_t out_bytes)
{
    if (last->index != index)
        describe_circle(last->back, index, out, out_bytes);
    else
        out[0] = '\0';
    size_t used = strlen(out);
    snprintf(out + used, out_bytes - used, "%s%s", used == 0 ? "" : " -> ", last->name.bytes);
}

static void report_circle(struct problems *problems, struct place place, const char *what,
                          const struct step *last, size_t index, struct text name)
{
    char way[512];
    if (problems->count >= PROBLEM_COUNT_MAX) {
        problems->count++;
        return;
    }
    describe_circle(last, index, way, sizeof way);
    problem_add(problems, place, "%s go in a circle: %s -> %s", what, way, name.bytes);
}

/* --- nodes ------------------------------------------------------------------------------------------ */

static void visit_node(const struct node *node, const struct step *back, unsigned char *marks,
                       struct problems *problems)
{
    struct step here = {back, node->index, node->name};
    marks[node->index] = MARK_OPEN;
    for (const struct link *link = node->links; link != NULL; link = link->next) {
        if (marks[link->to->index] == MARK_NEW)
            visit_node(link->to, &here, marks, problems);
        else if (marks[link->to->index] == MARK_OPEN)
            report_circle(problems, link->place, "nodes", &here, link->to->index, link->to->name);
    }
    marks[node->index] = MARK_DONE;
}

void check_node_circles(const struct chain *chain, struct problems *problems)
{
    unsigned char marks[NODE_COUNT_MAX] = {0};
    for (size_t i = 0; i < chain->node_count; i++)
        if (marks[i] == MARK_NEW)
            visit_node(&chain->nodes[i], NULL, marks, problems);
}

void check_nodes_reached(const struct chain *chain, struct problems *problems)
{
    bool reached[NODE_COUNT_MAX] = {false};
    for (size_t i = 0; i < chain->node_count; i++)
        for (const struct link *link = chain->nodes[i].links; link != NULL; link = link->next)
            reached[link->to->index] = true;
    if (chain->entry.count > 0)
        reached[chain->entry.nodes[0]->index] = true;
    for (size_t i = 0; i < chain->node_count; i++)
        if (!reached[i])
            problem_add(problems, chain->nodes[i].place,
                        "nothing leads to the node '%s': neither 'first' nor any 'to' names it",
                        chain->nodes[i].name.bytes);
}

/* --- chains ----------------------------------------------------------------------------------------- */

static void visit_chain(const struct ruleset *ruleset, size_t index, const struct step *back,
                        unsigned char *marks, struct problems *problems)
{
    const struct chain *chain = ruleset->chains[index];
    struct step here = {back, index, chain->name};
    marks[index] = MARK_OPEN;
    for (size_t i = 0; i < chain->node_count; i++)
        for (const struct call *call = chain->nodes[i].calls; call != NULL; call = call->next) {
            size_t to = (size_t)call->chain_index;
            if (marks[to] == MARK_NEW)
                visit_chain(ruleset, to, &here, marks, problems);
            else if (marks[to] == MARK_OPEN)
                report_circle(problems, call->place, "chains", &here, to, ruleset->chains[to]->name);
        }
    marks[index] = MARK_DONE;
}

void check_chain_circles(const struct ruleset *ruleset, struct problems *problems)
{
    unsigned char marks[CHAIN_COUNT_MAX] = {0};
    assert(ruleset->chain_count <= CHAIN_COUNT_MAX);
    for (size_t i = 0; i < ruleset->chain_count; i++)
        if (marks[i] == MARK_NEW)
            visit_chain(ruleset, i, NULL, marks, problems);
}

static void mark_called(const struct chain *chain, bool reached[CHAIN_COUNT_MAX])
{
    for (size_t i = 0; i < chain->node_count; i++)
        for (const struct call *call = chain->nodes[i].calls; call != NULL; call = call->next)
            reached[call->chain_index] = true;
}

void check_chains_reached(const struct ruleset *ruleset, struct problems *problems)
{
    bool reached[CHAIN_COUNT_MAX] = {false};
    assert(ruleset->chain_count <= CHAIN_COUNT_MAX);
    for (size_t i = 0; i < ruleset->chain_count; i++)
        mark_called(ruleset->chains[i], reached);
    for (size_t i = 0; i < ruleset->chain_count; i++) {
        const struct chain *chain = ruleset->chains[i];
        if (!reached[i] && chain != ruleset->root)
            problem_add(problems, chain->place,
                        "nothing leads to the chain '%s': no rule-chain node names it",
                        chain->name.bytes);
    }
}

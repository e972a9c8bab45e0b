/* loader.c - files become chains in four passes, because each needs all of the one before: the chains'
 * names (rule-chain nodes name chains), the nodes (links name nodes), the links, the checks of the whole.
 * A pass goes on after a problem, and marks what it could not find out, so that a later pass stays silent
 * where it would only repeat the same slip in other words. */
#include "rules/loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "engine/base/yaml.h"
#include "rules/check.h"
#include "rules/config.h"
#include "rules/registry.h"
#include "rules/words.h"

struct draft {
    struct chain *chain;
    const struct yaml_node *yaml; /* the file's mapping */
    bool links_complete;          /* every link of the chain is known */
};

struct loader {
    struct ruleset *ruleset;
    struct problems *problems;
    struct draft *drafts; /* in the order of ruleset->chains */
    bool chains_complete; /* every file gave a chain's name */
    bool calls_complete;  /* and every node that hands over to a chain is known */
};

/* --- 1: the chains' names --------------------------------------------------------------------------- */

static const struct yaml_node *parse_source(struct loader *loader, const struct source *source)
{
    size_t before = loader->problems->count;
    const struct yaml_node *root =
        yaml_parse(source->file, source->text, &loader->ruleset->arena, loader->problems);
    const struct place top = {source->file, 1, 1};
    if (root == NULL && loader->problems->count == before)
        problem_add(loader->problems, top, "the file is empty; expected a chain: chain, first, nodes");
    if (root != NULL && root->kind != YAML_MAPPING) {
        problem_add(loader->problems, root->place, "expected a chain (chain, first, nodes), got %s",
                    yaml_kind_name(root));
        return NULL;
    }
    return root;
}

static void check_top_keys(struct loader *loader, const struct yaml_node *root)
{
    static const char *const keys[] = {"chain", "first", "nodes", "description"};
    enum { KEY_COUNT = sizeof keys / sizeof keys[0] };
    for (const struct yaml_node *member = root->first; member != NULL; member = member->next) {
        size_t i = 0;
        while (i < KEY_COUNT && !text_is(member->key, keys[i]))
            i++;
        if (i == KEY_COUNT)
            problem_unknown(loader->problems, member->key_place, "key", member->key, keys, KEY_COUNT);
    }
}

static const struct chain *find_chain(const struct loader *loader, struct text name)
{
    for (size_t i = 0; i < loader->ruleset->chain_count; i++)
        if (text_equal(loader->drafts[i].chain->name, name))
            return loader->drafts[i].chain;
    return NULL;
}

/* A draft for the file's chain, unless it has no name or one that is taken. */
static void draft_chain(struct loader *loader, const struct source *source)
{
    const struct yaml_node *root = parse_source(loader, source);
    if (root == NULL) {
        loader->chains_complete = false;
        return;
    }
    check_top_keys(loader, root);
    const struct yaml_node *name = yaml_member(root, "chain");
    struct chain *chain = arena_zero(&loader->ruleset->arena, sizeof *chain);
    if (name == NULL)
        problem_add(loader->problems, root->place, "the key 'chain' is missing: the chain's name");
    if (name == NULL || !config_name(name, "chain", loader->problems, &chain->name)) {
        loader->chains_complete = false;
        return;
    }
    chain->place = name->place;
    const struct chain *twin = find_chain(loader, chain->name);
    if (twin != NULL) {
        problem_add(loader->problems, chain->place, "the chain '%s' is already in %s:%u",
                    chain->name.bytes, twin->place.file, twin->place.line);
        return;
    }
    loader->drafts[loader->ruleset->chain_count++] = (struct draft){chain, root, true};
}

static int compare_drafts(const void *left, const void *right)
{
    return strcmp(((const struct draft *)left)->chain->name.bytes,
                  ((const struct draft *)right)->chain->name.bytes);
}

static void report_no_root(struct loader *loader, const char *whole)
{
    const struct ruleset *ruleset = loader->ruleset;
    const char *names[CHAIN_COUNT_MAX];
    for (size_t i = 0; i < ruleset->chain_count; i++)
        names[i] = ruleset->chains[i]->name.bytes;
    char found[WORDS_HINT_BYTES];
    words_list(names, ruleset->chain_count, found);
    const char *nearest = text_nearest(TEXT("root"), names, ruleset->chain_count);
    problem_add(loader->problems, (struct place){whole, 0, 0},
                "no chain is named 'root', the one that gets every message; found: %s%s%s%s", found,
                nearest == NULL ? "" : "; is it '", nearest == NULL ? "" : nearest,
                nearest == NULL ? "" : "'?");
}

static void draft_chains(struct loader *loader, const struct sources *sources)
{
    struct ruleset *ruleset = loader->ruleset;
    loader->drafts = arena_zero(&ruleset->arena, (sources->count + 1) * sizeof *loader->drafts);
    ruleset->chains = arena_zero(&ruleset->arena, (sources->count + 1) * sizeof *ruleset->chains);
    for (size_t i = 0; i < sources->count; i++)
        draft_chain(loader, &sources->items[i]);
    qsort(loader->drafts, ruleset->chain_count, sizeof *loader->drafts, compare_drafts);
    for (size_t i = 0; i < ruleset->chain_count; i++) {
        ruleset->chains[i] = loader->drafts[i].chain;
        if (text_is(ruleset->chains[i]->name, "root"))
            ruleset->root = ruleset->chains[i];
    }
    if (ruleset->root == NULL && loader->chains_complete)
        report_no_root(loader, sources->whole);
}

/* --- 2: the nodes ----------------------------------------------------------------------------------- */

static void report_unknown_type(struct loader *loader, struct place place, struct text name)
{
    const char *names[NODE_TYPE_COUNT_MAX];
    size_t count = node_type_names(names);
    problem_unknown(loader->problems, place, "node type", name, names, count);
}

/* The type that the node's mapping names, or NULL with a problem. */
static const struct fwsync_node_type *read_type(struct loader *loader, const struct node *node,
                                                const struct yaml_node *yaml)
{
    const struct yaml_node *type = yaml_member(yaml, "type");
    if (type == NULL) {
        problem_add(loader->problems, node->place, "node '%s': the setting 'type' is missing",
                    node->name.bytes);
        return NULL;
    }
    struct text name;
    if (!config_name(type, "type", loader->problems, &name))
        return NULL;
    const struct fwsync_node_type *found = node_type_find(name);
    if (found == NULL)
        report_unknown_type(loader, type->place, name);
    return found;
}

static void create_node(struct loader *loader, struct node *node, const struct yaml_node *yaml)
{
    node->type = read_type(loader, node, yaml);
    if (node->type == NULL) { /* it may have been meant for a rule-chain */
        loader->calls_complete = false;
        return;
    }
    node->relation_count = node_type_relation_count(node->type);
    struct fwsync_config config = {
        .ruleset = loader->ruleset,
        .problems = loader->problems,
        .node = node,
        .yaml = yaml,
        .chains_complete = loader->chains_complete,
    };
    config_create_node(&config);
    loader->calls_complete &= !config.call_unknown;
}

static bool check_node_name(struct loader *loader, const struct yaml_node *yaml)
{
    struct yaml_node name = {.kind = YAML_SCALAR, .scalar = yaml->key, .place = yaml->key_place};
    struct text text;
    return config_name(&name, "node", loader->problems, &text);
}

/* The chain's mapping of nodes, or NULL with a problem. */
static const struct yaml_node *read_nodes(struct loader *loader, const struct draft *draft)
{
    const struct yaml_node *nodes = yaml_member(draft->yaml, "nodes");
    const struct chain *chain = draft->chain;
    if (nodes == NULL)
        problem_add(loader->problems, chain->place, "chain '%s': the key 'nodes' is missing", chain->name.bytes);
    else if (nodes->count > NODE_COUNT_MAX)
        problem_add(loader->problems, nodes->place, "nodes: %zu nodes; at most %d in a chain", nodes->count,
                    NODE_COUNT_MAX);
    else if (nodes->kind != YAML_MAPPING || nodes->count == 0)
        problem_add(loader->problems, nodes->place, "nodes: expected a mapping of at least one node, "
                                                    "name: {type: ...}");
    else
        return nodes;
    return NULL;
}

static void add_node(struct loader *loader, struct draft *draft, const struct yaml_node *yaml)
{
    struct chain *chain = draft->chain;
    struct node *node = &chain->nodes[chain->node_count];
    node->chain = chain;
    node->name = yaml->key;
    node->place = yaml->key_place;
    node->index = chain->node_count++;
    if (!check_node_name(loader, yaml))
        draft->links_complete = false;
    if (yaml->kind == YAML_MAPPING) {
        create_node(loader, node, yaml);
        return;
    }
    draft->links_complete = loader->calls_complete = false;
    problem_add(loader->problems, yaml->place, "node '%s': expected {type: ...}, got %s", node->name.bytes,
                yaml_kind_name(yaml));
}

static void create_nodes(struct loader *loader, struct draft *draft)
{
    const struct yaml_node *nodes = read_nodes(loader, draft);
    if (nodes == NULL) {
        draft->links_complete = loader->calls_complete = false;
        return;
    }
    draft->chain->nodes = arena_zero(&loader->ruleset->arena, nodes->count * sizeof *draft->chain->nodes);
    for (const struct yaml_node *yaml = nodes->first; yaml != NULL; yaml = yaml->next)
        add_node(loader, draft, yaml);
}

/* --- 3: the links ----------------------------------------------------------------------------------- */

static const struct node *find_node(struct loader *loader, struct draft *draft,
                                    const struct yaml_node *yaml, const char *what)
{
    const struct chain *chain = draft->chain;
    struct text name;
    if (config_name(yaml, what, loader->problems, &name)) {
        for (size_t i = 0; i < chain->node_count; i++)
            if (text_equal(chain->nodes[i].name, name))
                return &chain->nodes[i];
        const char *names[NODE_COUNT_MAX];
        for (size_t i = 0; i < chain->node_count; i++)
            names[i] = chain->nodes[i].name.bytes;
        problem_unknown(loader->problems, yaml->place, "node", name, names, chain->node_count);
    }
    draft->links_complete = false;
    return NULL;
}

static bool emits(const struct node *node, int relation)
{
    return node->memory == NULL || node->type->emits == NULL ||
           node->type->emits(node->memory, relation);
}

/* The relations by which this node, set as it is, can be left; returns how many. */
enum { RELATION_COUNT_MAX = 100 };
static size_t possible_relations(const struct node *node, const char *names[RELATION_COUNT_MAX])
{
    size_t count = 0;
    for (int i = 0; i < node->relation_count && count < RELATION_COUNT_MAX - 1; i++)
        if (emits(node, i))
            names[count++] = node->type->relations[i];
    names[count++] = "Failure";
    return count;
}

/* Position of the relation that the key names. */
static int read_relation(struct loader *loader, const struct node *node,
                         const struct yaml_node *yaml)
{
    if (strcasecmp(yaml->key.bytes, "Failure") == 0)
        return FWSYNC_FAILURE;
    if (node->type == NULL)
        return RELATION_UNKNOWN;
    char what[160];
    const char *names[RELATION_COUNT_MAX];
    size_t count = possible_relations(node, names);
    for (int i = 0; i < node->relation_count; i++) {
        if (strcasecmp(yaml->key.bytes, node->type->relations[i]) != 0)
            continue;
        if (emits(node, i))
            return i;
        snprintf(what, sizeof what, "relation of this %s, as it is set,", node->type->name);
        problem_unknown(loader->problems, yaml->key_place, what, yaml->key, names, count);
        return RELATION_UNKNOWN;
    }
    snprintf(what, sizeof what, "relation of %s", node->type->name);
    problem_unknown(loader->problems, yaml->key_place, what, yaml->key, names, count);
    return RELATION_UNKNOWN;
}

/* The links of one node in the order written: a list with a tail. */
struct links {
    struct node *node;
    const struct link **last;
};

static bool relation_linked(const struct node *node, int relation)
{
    for (const struct link *link = node->links; link != NULL; link = link->next)
        if (link->relation == relation)
            return true;
    return false;
}

static void add_link(struct loader *loader, struct draft *draft, struct links *links, int relation,
                     const struct yaml_node *yaml, const struct link *first_of_relation)
{
    const struct node *to = find_node(loader, draft, yaml, "to");
    if (to == NULL)
        return;
    for (const struct link *link = first_of_relation; link != NULL; link = link->next)
        if (link->to == to) {
            problem_add(loader->problems, yaml->place, "to: '%s' stands twice in the list",
                        to->name.bytes);
            return;
        }
    struct link *link = arena_zero(&loader->ruleset->arena, sizeof *link);
    *link = (struct link){NULL, relation, to, yaml->place};
    *links->last = link;
    links->last = &link->next;
}

/* One `relation: node` or `relation: [node, ...]`. */
static void add_relation(struct loader *loader, struct draft *draft, struct links *links,
                         const struct yaml_node *yaml)
{
    int relation = read_relation(loader, links->node, yaml);
    if (relation != RELATION_UNKNOWN && relation_linked(links->node, relation))
        problem_add(loader->problems, yaml->key_place, "the relation '%s' stands twice", yaml->key.bytes);
    if (yaml->kind != YAML_SEQUENCE) {
        add_link(loader, draft, links, relation, yaml, NULL);
        return;
    }
    if (yaml->count > NODE_COUNT_MAX) {
        problem_add(loader->problems, yaml->place, "to: a list of more than %d nodes", NODE_COUNT_MAX);
        draft->links_complete = false;
        return;
    }
    const struct link **start = links->last;
    *start = NULL;
    for (const struct yaml_node *item = yaml->first; item != NULL; item = item->next)
        add_link(loader, draft, links, relation, item, *start);
}

static void add_links(struct loader *loader, struct draft *draft, struct node *node,
                      const struct yaml_node *yaml)
{
    const struct yaml_node *to = yaml_member(yaml, "to");
    if (to == NULL)
        return;
    if (to->kind != YAML_MAPPING) {
        problem_add(loader->problems, to->place, "to: expected {relation: node}, got %s",
                    yaml_kind_name(to));
        draft->links_complete = false;
        return;
    }
    struct links links = {node, &node->links};
    for (const struct yaml_node *member = to->first; member != NULL; member = member->next)
        add_relation(loader, draft, &links, member);
}

static void link_chain(struct loader *loader, struct draft *draft)
{
    struct chain *chain = draft->chain;
    if (chain->nodes == NULL)
        return;
    const struct yaml_node *yaml = yaml_member(draft->yaml, "nodes")->first;
    for (size_t i = 0; i < chain->node_count; i++, yaml = yaml->next)
        add_links(loader, draft, &chain->nodes[i], yaml);
    const struct yaml_node *first = yaml_member(draft->yaml, "first");
    if (first == NULL) {
        draft->links_complete = false;
        problem_add(loader->problems, chain->place, "chain '%s': the key 'first' is missing: the node "
                                                    "where a message starts",
                    chain->name.bytes);
        return;
    }
    const struct node *node = find_node(loader, draft, first, "first");
    if (node == NULL)
        return;
    const struct node **nodes = arena_alloc(&loader->ruleset->arena, sizeof *nodes);
    *nodes = node;
    chain->entry = (struct targets){nodes, 1};
}

/* --- 4: the whole, and the form that runs ----------------------------------------------------------- */

static void check_whole(struct loader *loader)
{
    const struct ruleset *ruleset = loader->ruleset;
    bool calls_complete = loader->calls_complete && loader->chains_complete;
    for (size_t i = 0; i < ruleset->chain_count; i++) {
        check_node_circles(ruleset->chains[i], loader->problems);
        if (loader->drafts[i].links_complete)
            check_nodes_reached(ruleset->chains[i], loader->problems);
    }
    check_chain_circles(ruleset, loader->problems);
    if (calls_complete && ruleset->root != NULL)
        check_chains_reached(ruleset, loader->problems);
}

/* Links by relation: what run.c follows. */
static void compile_node(struct ruleset *ruleset, struct node *node)
{
    size_t list_count = 1 + (size_t)node->relation_count;
    struct targets *targets = arena_zero(&ruleset->arena, list_count * sizeof *targets);
    for (size_t i = 0; i < list_count; i++) {
        size_t count = 0;
        for (const struct link *link = node->links; link != NULL; link = link->next)
            count += link->relation + 1 == (int)i;
        const struct node **nodes = arena_alloc(&ruleset->arena, (count + 1) * sizeof *nodes);
        targets[i] = (struct targets){nodes, count};
        for (const struct link *link = node->links; link != NULL; link = link->next)
            if (link->relation + 1 == (int)i)
                *nodes++ = link->to;
    }
    node->targets = targets;
}

void load_chains(struct ruleset *ruleset, const struct sources *sources, bool complete,
                 struct problems *problems)
{
    size_t before = problems->count;
    struct loader loader = {ruleset, problems, NULL, complete, true};
    draft_chains(&loader, sources);
    for (size_t i = 0; i < ruleset->chain_count; i++)
        create_nodes(&loader, &loader.drafts[i]);
    for (size_t i = 0; i < ruleset->chain_count; i++)
        link_chain(&loader, &loader.drafts[i]);
    check_whole(&loader);
    if (problems->count > before)
        return;
    for (size_t i = 0; i < ruleset->chain_count; i++)
        for (size_t j = 0; j < ruleset->chains[i]->node_count; j++)
            compile_node(ruleset, &ruleset->chains[i]->nodes[j]);
}

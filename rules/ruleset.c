#include "rules/ruleset.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/limits.h"
#include "rules/chain.h"
#include "rules/loader.h"
#include "rules/sources.h"

static struct ruleset *ruleset_create(void)
{
    enum { CHUNK_BYTES = 64 * 1024 };
    struct ruleset *ruleset = malloc(sizeof *ruleset);
    if (ruleset == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    *ruleset = (struct ruleset){.chain_count = 0};
    arena_init(&ruleset->arena, CHUNK_BYTES);
    ruleset->class_names =
        arena_zero(&ruleset->arena, CLASS_COUNT_MAX * sizeof *ruleset->class_names);
    return ruleset;
}

void ruleset_destroy(struct ruleset *ruleset)
{
    if (ruleset == NULL)
        return;
    arena_fini(&ruleset->arena);
    free(ruleset);
}

/* A bundle travels in one request, with some words around it, and is one record of the journal. */
enum { AROUND_BYTES = 1024, BUNDLE_BYTES_MAX = REQUEST_BYTES_MAX - AROUND_BYTES };

static void set_bundle(struct ruleset *ruleset, const struct sources *sources,
                       struct problems *problems)
{
    ruleset->bundle = sources_bundle(sources, &ruleset->arena);
    if (ruleset->bundle.len > BUNDLE_BYTES_MAX)
        problem_add(problems, (struct place){sources->whole, 0, 0},
                    "the rules have %zu bytes as one bundle; at most %d are taken",
                    ruleset->bundle.len, BUNDLE_BYTES_MAX);
    snprintf(ruleset->version, sizeof ruleset->version, "%016" PRIx64,
             text_fnv1a64(ruleset->bundle, FNV1A64_START));
}

/* `ruleset` when all is well; else it is destroyed. */
static struct ruleset *finish(struct ruleset *ruleset, const struct sources *sources, bool complete,
                              size_t problems_before, struct problems *problems)
{
    if (complete || sources->count > 0)
        load_chains(ruleset, sources, complete, problems);
    if (problems->count == problems_before)
        set_bundle(ruleset, sources, problems);
    if (problems->count == problems_before)
        return ruleset;
    ruleset_destroy(ruleset);
    return NULL;
}

struct ruleset *ruleset_load_dir(const char *dir, struct problems *problems)
{
    struct ruleset *ruleset = ruleset_create();
    struct sources sources;
    size_t before = problems->count;
    bool complete = sources_read_dir(dir, &ruleset->arena, &sources, problems);
    return finish(ruleset, &sources, complete, before, problems);
}

struct ruleset *ruleset_load_bundle(struct text bundle, struct problems *problems)
{
    struct ruleset *ruleset = ruleset_create();
    struct sources sources;
    size_t before = problems->count;
    bool complete = sources_read_bundle(bundle, &ruleset->arena, &sources, problems);
    return finish(ruleset, &sources, complete, before, problems);
}

struct ruleset *ruleset_load_kept(struct text bundle, struct err *err)
{
    struct problems problems;
    problems_init(&problems);
    struct ruleset *ruleset = ruleset_load_bundle(bundle, &problems);
    if (ruleset == NULL)
        err_set(err, ERR_RULE, "the rules kept in the data folder aren't understood by this version (one that does can "
                               "go back to others: fwsync rules rollback): %s",
                problems.first->line);
    problems_fini(&problems);
    return ruleset;
}

struct ruleset *ruleset_load_shipped(struct problems *problems)
{
    struct ruleset *ruleset = ruleset_create();
    struct sources sources;
    sources_shipped(&ruleset->arena, &sources);
    return finish(ruleset, &sources, true, problems->count, problems);
}

struct text ruleset_version(const struct ruleset *ruleset)
{
    return (struct text){ruleset->version, sizeof ruleset->version - 1};
}

struct text ruleset_bundle(const struct ruleset *ruleset)
{
    return ruleset->bundle;
}

size_t ruleset_chain_count(const struct ruleset *ruleset)
{
    return ruleset->chain_count;
}

struct text ruleset_chain_name(const struct ruleset *ruleset, size_t chain)
{
    assert(chain < ruleset->chain_count);
    return ruleset->chains[chain]->name;
}

size_t ruleset_chain_node_count(const struct ruleset *ruleset, size_t chain)
{
    assert(chain < ruleset->chain_count);
    return ruleset->chains[chain]->node_count;
}

size_t ruleset_class_count(const struct ruleset *ruleset)
{
    return ruleset->class_count;
}

struct text ruleset_class_name(const struct ruleset *ruleset, size_t class_index)
{
    assert(class_index < ruleset->class_count);
    return ruleset->class_names[class_index];
}

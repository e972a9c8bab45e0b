/* cmd_rules_check.c - `fwsync rules check`: is there anything wrong with these rules? Doesn't need the daemon. */
#include <stdio.h>

#include "engine/base/buf.h"
#include "engine/tool/command.h"
#include "rules/ruleset.h"

static size_t node_count(const struct ruleset *ruleset)
{
    size_t count = 0;
    for (size_t i = 0; i < ruleset_chain_count(ruleset); i++)
        count += ruleset_chain_node_count(ruleset, i);
    return count;
}

static void print_right(const struct setup *setup, const struct ruleset *ruleset)
{
    size_t chains = ruleset_chain_count(ruleset), nodes = node_count(ruleset);
    struct text version = ruleset_version(ruleset);
    if (setup->json)
        printf("{\"ok\":true,\"chains\":%zu,\"nodes\":%zu,\"version\":\"" TEXT_FMT "\"}\n", chains,
               nodes, TEXT_ARG(version));
    else
        printf("ok: %zu chain%s, %zu node%s, version " TEXT_FMT "\n", chains, chains == 1 ? "" : "s",
               nodes, nodes == 1 ? "" : "s", TEXT_ARG(version));
}

static void print_wrong_json(const struct problems *problems)
{
    struct buf line = {.bytes = NULL};
    buf_append(&line, TEXT("{\"ok\":false,\"code\":\"config\",\"problems\":["));
    for (const struct problem *problem = problems->first; problem != NULL; problem = problem->next) {
        json_comma(&line);
        json_string(&line, text_of(problem->line));
    }
    printf(TEXT_FMT "]}\n", TEXT_ARG(line));
    buf_fini(&line);
}

static void print_wrong(const struct problems *problems)
{
    size_t shown = 0;
    for (const struct problem *problem = problems->first; problem != NULL; problem = problem->next) {
        puts(problem->line);
        shown++;
    }
    if (problems->count > shown)
        printf("and %zu more\n", problems->count - shown);
    printf("%zu problem%s\n", problems->count, problems->count == 1 ? "" : "s");
}

static int run(const struct setup *setup, struct options *options)
{
    const char *dir;
    if (!options_only_words(options, "DIR", 1, 1, &dir))
        return EXIT_USAGE;
    struct problems problems;
    problems_init(&problems);
    struct ruleset *ruleset = ruleset_load_dir(dir, &problems);
    bool right = ruleset != NULL && problems.count == 0;
    if (right)
        print_right(setup, ruleset);
    else if (setup->json)
        print_wrong_json(&problems);
    else
        print_wrong(&problems);
    ruleset_destroy(ruleset);
    problems_fini(&problems);
    return right ? EXIT_DONE : EXIT_ERROR;
}

const struct command command_rules_check = {
    .name = "rules check",
    .usage = "DIR",
    .summary = "tell everything that is wrong with a folder of rule chains",
    .details = "Each problem comes with its file, line and column. The daemon isn't asked. Exit code 1 if there\n"
               "is any.\n"
               "\n"
               "  fwsync rules check my-rules\n",
    .words = {"DIR"},
    .common = COMMON_JSON,
    .run = run,
};

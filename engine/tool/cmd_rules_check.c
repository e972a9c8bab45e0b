/* cmd_rules_check.c - `fwsync rules check`: is there anything wrong with these rules? Doesn't need the daemon. */
#include <stdio.h>

#include "engine/tool/command.h"
#include "engine/tool/rules_folder.h"

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

static int run(const struct setup *setup, struct options *options)
{
    const char *dir;
    if (!options_only_words(options, "DIR", 1, 1, &dir))
        return EXIT_USAGE;
    struct ruleset *ruleset = rules_folder_load(setup, dir, stdout);
    if (ruleset == NULL)
        return EXIT_ERROR;
    print_right(setup, ruleset);
    ruleset_destroy(ruleset);
    return EXIT_DONE;
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

/* cmd_rules.c - `fwsync rules check DIR`: are these rules right? Needs no daemon. */
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

static int check(const struct setup *setup, const char *dir)
{
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

static int run(const struct setup *setup, struct options *options)
{
    static const char *const actions[] = {"check"};
    const char *words[2];
    if (!options_only_words(options, "what to do (check DIR)", 1, 2, words))
        return EXIT_USAGE;
    if (strcmp(words[0], "check") != 0) {
        const char *nearest = text_nearest(text_of(words[0]), actions, 1);
        return options_wrong(options, "'rules %s' is unknown%s", words[0],
                             nearest == NULL ? "; there is: check DIR" : "; did you mean 'check'?");
    }
    if (words[1] == NULL)
        return options_wrong(options, "DIR is missing: fwsync rules check DIR");
    return check(setup, words[1]);
}

const struct command command_rules = {
    .name = "rules",
    .usage = "check DIR",
    .summary = "check a folder of rule chains",
    .details = "Prints everything that is wrong, each with its file, line and column, without asking\n"
               "the daemon. Exit code 1 if there is anything.\n"
               "\n"
               "  fwsync rules check my-rules\n",
    .words = {"check", "DIR"},
    .common = COMMON_JSON,
    .run = run,
};

#include "engine/tool/rules_folder.h"

#include "engine/base/buf.h"

static void print_json(const struct problems *problems)
{
    struct buf line = {.bytes = NULL};
    buf_append(&line, TEXT("{\"ok\":false,\"code\":\"config\",\"problems\":"));
    problems_json(&line, problems);
    printf(TEXT_FMT "}\n", TEXT_ARG(line));
    buf_fini(&line);
}

static void print_lines(const struct problems *problems, FILE *out)
{
    size_t shown = 0;
    for (const struct problem *problem = problems->first; problem != NULL; problem = problem->next) {
        fprintf(out, "%s\n", problem->line);
        shown++;
    }
    if (problems->count > shown)
        fprintf(out, "and %zu more\n", problems->count - shown);
    fprintf(out, "%zu problem%s\n", problems->count, problems->count == 1 ? "" : "s");
}

void rules_folder_complain(const struct setup *setup, const struct problems *problems, FILE *out)
{
    if (setup->json)
        print_json(problems);
    else
        print_lines(problems, out);
}

struct ruleset *rules_folder_load(const struct setup *setup, const char *dir, FILE *out)
{
    struct problems problems;
    problems_init(&problems);
    struct ruleset *ruleset = ruleset_load_dir(dir, &problems);
    if (ruleset == NULL)
        rules_folder_complain(setup, &problems, out);
    problems_fini(&problems);
    return ruleset;
}

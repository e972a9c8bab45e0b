/* cmd_rules.c - `fwsync rules`: are these right? which are active, and were? what do they say? Only the last two need
 * the daemon. */
#include <stdio.h>

#include "engine/base/buf.h"
#include "engine/tool/command.h"
#include "engine/tool/session.h"
#include "engine/tool/table.h"
#include "engine/tool/when.h"
#include "rules/ruleset.h"

/* --- check -------------------------------------------------------------------------------------------- */

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

/* --- list --------------------------------------------------------------------------------------------- */

static void add_activation(struct session *session, struct table *table, const struct value *item, bool is_active)
{
    struct fields activation = value_object(session, item);
    enum screen_style style = is_active ? STYLE_GOOD : STYLE_PLAIN;
    table_cell(table, field_text(&activation, "version"), style);
    table_cell(table, is_active ? TEXT("active") : TEXT("was"), style);
    table_cell(table, when_text(&session->setup->screen, field_integer(&activation, "since"), &session->arena),
               STYLE_PLAIN);
    table_cell_seq(table, field_integer(&activation, "activated"));
}

static int list(const struct setup *setup)
{
    static const struct table_column columns[] = {
        {"VERSION", false}, {"NOW", false}, {"SINCE", false}, {"SEQ", true}};
    struct session session;
    session_open(&session, setup, "rules");
    struct table *table = table_create(columns, sizeof columns / sizeof columns[0], &setup->screen);
    session_question(&session, "rules");
    if (session_ask(&session)) {
        struct value *activations;
        size_t count = field_array(&session, &session.answer, "activations", &activations);
        for (size_t i = 0; i < count; i++)
            if (setup->json)
                printf(TEXT_FMT "\n", TEXT_ARG(activations[i].text));
            else
                add_activation(&session, table, &activations[i], i == 0);
        table_print(table, stdout);
    }
    table_destroy(table);
    return session_close(&session);
}

/* --- show --------------------------------------------------------------------------------------------- */

/* The active ones' version, when none is given. */
static bool ask_files(struct session *session, const char *version)
{
    struct buf active = {.bytes = NULL}; /* the next question ends the life of this answer */
    if (version == NULL) {
        session_question(session, "rules");
        if (!session_ask(session))
            return false;
        buf_append(&active, field_text(&session->answer, "version"));
    }
    json_member_text(session_question(session, "rules"), "version",
                     version == NULL ? buf_text(&active) : text_of(version));
    buf_fini(&active);
    return session_ask(session);
}

static int show(const struct setup *setup, const char *version)
{
    struct session session;
    session_open(&session, setup, "rules");
    if (ask_files(&session, version)) {
        struct fields files = field_object(&session, &session.answer, "files");
        if (setup->json)
            session_print_raw(&session);
        else
            for (size_t i = 0; i < files.count; i++)
                printf("%s# " TEXT_FMT "\n" TEXT_FMT, i == 0 ? "" : "\n", TEXT_ARG(files.items[i].key),
                       TEXT_ARG(files.items[i].value.text));
    }
    return session_close(&session);
}

/* --- what to do ---------------------------------------------------------------------------------------- */

static int run(const struct setup *setup, struct options *options)
{
    static const char *const actions[] = {"check", "list", "show"};
    enum { ACTION_COUNT = sizeof actions / sizeof actions[0] };
    const char *words[2];
    if (!options_only_words(options, "what to do (check DIR, list, show)", 1, 2, words))
        return EXIT_USAGE;
    if (strcmp(words[0], "check") == 0 && words[1] != NULL)
        return check(setup, words[1]);
    if (strcmp(words[0], "check") == 0)
        return options_wrong(options, "DIR is missing: fwsync rules check DIR");
    if (strcmp(words[0], "show") == 0)
        return show(setup, words[1]);
    if (strcmp(words[0], "list") == 0)
        return words[1] == NULL ? list(setup) : options_wrong(options, "too much: '%s'", words[1]);
    const char *nearest = text_nearest(text_of(words[0]), actions, ACTION_COUNT);
    if (nearest != NULL)
        return options_wrong(options, "'rules %s' is unknown; did you mean '%s'?", words[0], nearest);
    return options_wrong(options, "'rules %s' is unknown; there are: check DIR, list, show [VERSION]", words[0]);
}

const struct command command_rules = {
    .name = "rules",
    .usage = "check DIR | list | show [VERSION]",
    .summary = "check rule chains; list and show those that run",
    .details = "check prints everything that is wrong in a folder, each with its file, line and column,\n"
               "without asking the daemon. Exit code 1 if there is anything. list has the rule sets that\n"
               "were active, the newest first; SEQ is the event that made one so. show prints the files of\n"
               "the active one, or of that version.\n"
               "\n"
               "  fwsync rules check my-rules\n"
               "  fwsync rules list\n",
    .words = {"check list show", "DIR"},
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY,
    .run = run,
};

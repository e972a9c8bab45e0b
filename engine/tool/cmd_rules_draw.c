/* cmd_rules_draw.c - `fwsync rules draw`: rule chains as a picture, of a folder or those that run. */
#include <stdio.h>

#include "engine/tool/command.h"
#include "engine/tool/rules_folder.h"
#include "engine/tool/rules_running.h"
#include "rules/draw.h"

enum { OPT_DOT = 1 };

static const struct option_spec specs[] = {
    {OPT_DOT, "dot", NULL, "as a graph for Graphviz's dot"},
};

struct wish {
    const char *dir; /* NULL: what runs */
    bool dot;
};

static void print_picture(const struct setup *setup, const struct ruleset *ruleset, bool dot)
{
    const struct screen *screen = &setup->screen;
    const struct draw_look look = {
        .boxes = screen->utf8,
        .head = screen_style(screen, STYLE_HEAD),
        .dim = screen_style(screen, STYLE_DIM),
        .bad = screen_style(screen, STYLE_BAD),
        .plain = screen_plain(screen, STYLE_DIM),
        .clean = screen_clean,
        .width = screen_width,
    };
    struct buf picture = {.bytes = NULL};
    if (setup->json)
        ruleset_draw_json(ruleset, &picture);
    else if (dot)
        ruleset_draw_dot(ruleset, &picture);
    else
        ruleset_draw_text(ruleset, &look, &picture);
    fwrite(picture.bytes, 1, picture.len, stdout);
    buf_fini(&picture);
}

static int draw_folder(const struct setup *setup, const struct wish *wish)
{
    struct ruleset *ruleset = rules_folder_load(setup, wish->dir, stderr);
    if (ruleset == NULL)
        return EXIT_ERROR;
    print_picture(setup, ruleset, wish->dot);
    ruleset_destroy(ruleset);
    return EXIT_DONE;
}

static int draw_running(const struct setup *setup, const struct wish *wish)
{
    struct session session;
    session_open(&session, setup, "rules draw");
    struct ruleset *ruleset = rules_running(&session);
    if (ruleset != NULL)
        print_picture(setup, ruleset, wish->dot);
    ruleset_destroy(ruleset);
    return session_close(&session);
}

static int run(const struct setup *setup, struct options *options)
{
    struct wish wish = {.dir = NULL};
    for (int id; (id = options_next(options)) != OPTION_END;) {
        if (id == OPTION_WRONG)
            return EXIT_USAGE;
        if (id == OPT_DOT)
            wish.dot = true;
        else if (wish.dir == NULL)
            wish.dir = options->value;
        else
            return options_wrong(options, "too much: '%s'", options->value);
    }
    if (wish.dot && setup->json)
        return options_wrong(options, "--dot and --json exclude each other");
    return wish.dir == NULL ? draw_running(setup, &wish) : draw_folder(setup, &wish);
}

const struct command command_rules_draw = {
    .name = "rules draw",
    .usage = "[DIR] [--dot]",
    .summary = "draw the rule chains that run, or those of a folder",
    .details = "What follows a node stands below it, each branch behind the relations that lead there. A node is\n"
               "drawn once; \"(above)\" marks one that was. With --json an object for each node. With DIR the daemon\n"
               "isn't asked.\n"
               "\n"
               "  fwsync rules draw\n"
               "  fwsync rules draw my-rules\n"
               "  fwsync rules draw --dot my-rules | dot -Tsvg >rules.svg\n",
    .specs = specs,
    .spec_count = sizeof specs / sizeof specs[0],
    .words = {"DIR"},
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY,
    .run = run,
};

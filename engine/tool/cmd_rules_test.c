/* cmd_rules_test.c - `fwsync rules test`: does a folder of rules do what its tests expect? Doesn't need the daemon. */
#include <stdio.h>

#include "engine/base/buf.h"
#include "engine/tool/command.h"
#include "engine/tool/rules_folder.h"
#include "rules/trial.h"

struct tally {
    size_t passed, failed;
};

/* --- one test ------------------------------------------------------------------------------------------- */

static void print_clean(struct text line, struct arena *arena)
{
    printf("     " TEXT_FMT "\n", TEXT_ARG(screen_clean(line, arena)));
}

static void print_outcome(const struct setup *setup, const struct trial *trial, const struct trial_outcome *outcome,
                          struct arena *arena)
{
    const struct screen *screen = &setup->screen;
    enum screen_style style = outcome->passed ? STYLE_GOOD : STYLE_BAD;
    printf("%s%s%s " TEXT_FMT ": " TEXT_FMT "\n", screen_style(screen, style), outcome->passed ? "ok  " : "FAIL",
           screen_plain(screen, style), TEXT_ARG(trial->file), TEXT_ARG(screen_clean(trial->name, arena)));
    if (outcome->passed)
        return;
    print_clean(outcome->error, arena);
    fputs(screen_style(screen, STYLE_DIM), stdout);
    for (size_t i = 0; i < outcome->story_count; i++)
        print_clean(outcome->story[i], arena);
    fputs(screen_plain(screen, STYLE_DIM), stdout);
}

static void print_outcome_json(const struct trial *trial, const struct trial_outcome *outcome, struct arena *arena)
{
    struct buf line = {.arena = arena};
    buf_byte(&line, '{');
    json_member_boolean(&line, "ok", outcome->passed);
    json_member_text(&line, "file", trial->file);
    json_member_text(&line, "test", trial->name);
    if (!outcome->passed) {
        json_member_text(&line, "error", outcome->error);
        json_open(&line, "happened", '[');
        for (size_t i = 0; i < outcome->story_count; i++) {
            json_comma(&line);
            json_string(&line, outcome->story[i]);
        }
        buf_byte(&line, ']');
    }
    printf(TEXT_FMT "}\n", TEXT_ARG(line));
}

/* --- all of them ---------------------------------------------------------------------------------------- */

static bool is_wanted(const struct trial *trial, const char *only)
{
    return only == NULL || memmem(trial->name.bytes, trial->name.len, only, strlen(only)) != NULL ||
           memmem(trial->file.bytes, trial->file.len, only, strlen(only)) != NULL;
}

static struct tally run_all(const struct setup *setup, const struct ruleset *ruleset, const struct trial *first,
                            const char *only)
{
    enum { CHUNK_BYTES = 64 * 1024 };
    struct tally tally = {0, 0};
    struct simulator *simulator = simulator_create(ruleset, TRIAL_NOTES);
    struct arena arena;
    arena_init(&arena, CHUNK_BYTES);
    for (const struct trial *trial = first; trial != NULL; trial = trial->next) {
        if (!is_wanted(trial, only))
            continue;
        struct trial_outcome outcome = trial_run(trial, simulator, &arena);
        if (setup->json)
            print_outcome_json(trial, &outcome, &arena);
        else
            print_outcome(setup, trial, &outcome, &arena);
        *(outcome.passed ? &tally.passed : &tally.failed) += 1;
        arena_reset(&arena);
    }
    arena_fini(&arena);
    simulator_destroy(simulator);
    return tally;
}

/* False when one failed, or none ran. */
static bool print_tally(const struct setup *setup, struct tally tally, const char *only)
{
    bool right = tally.failed == 0 && tally.passed > 0;
    if (setup->json)
        printf("{\"ok\":%s,\"passed\":%zu,\"failed\":%zu}\n", right ? "true" : "false", tally.passed, tally.failed);
    else
        printf("%zu passed, %zu failed\n", tally.passed, tally.failed);
    if (tally.passed + tally.failed == 0)
        fprintf(stderr, "fwsync rules test: no test's name or file has '%s' in it\n", only);
    return right;
}

static bool test_rules(const struct setup *setup, const char *dir, const char *only, struct arena *arena)
{
    struct problems problems;
    problems_init(&problems);
    const struct trial *first = NULL;
    struct ruleset *ruleset = ruleset_load_dir(dir, &problems);
    if (ruleset != NULL)
        first = trial_files_read(dir, ruleset, arena, &problems);
    if (first == NULL)
        rules_folder_complain(setup, &problems, stdout);
    bool right = first != NULL && print_tally(setup, run_all(setup, ruleset, first, only), only);
    ruleset_destroy(ruleset);
    problems_fini(&problems);
    return right;
}

/* --- the command ---------------------------------------------------------------------------------------- */

enum { OPTION_ONLY = 1 };

static const struct option_spec specs[] = {
    {OPTION_ONLY, "only", "WORD", "only the tests that have it in their name or their file's"},
};

static bool read_options(struct options *options, const char **dir, const char **only)
{
    *dir = *only = NULL;
    for (int id; (id = options_next(options)) != OPTION_END;) {
        if (id == OPTION_WRONG)
            return false;
        const char **value = id == OPTION_ONLY ? only : dir;
        if (*value != NULL && value == dir) {
            options_wrong(options, "too much: '%s'", options->value);
            return false;
        }
        *value = options->value;
    }
    if (*dir == NULL)
        options_wrong(options, "DIR is missing");
    return *dir != NULL;
}

static int run(const struct setup *setup, struct options *options)
{
    enum { CHUNK_BYTES = 64 * 1024 };
    const char *dir, *only;
    if (!read_options(options, &dir, &only))
        return EXIT_USAGE;
    struct arena arena;
    arena_init(&arena, CHUNK_BYTES);
    bool right = test_rules(setup, dir, only, &arena);
    arena_fini(&arena);
    return right ? EXIT_DONE : EXIT_ERROR;
}

const struct command command_rules_test = {
    .name = "rules test",
    .usage = "DIR [--only WORD]",
    .summary = "run the tests of a folder of rule chains",
    .details = "They are the *.yaml in DIR/tests: events, passing time, and what is expected to come of them. A test\n"
               "that fails comes with its place and with what happened last. The daemon isn't asked. Exit code 1 if\n"
               "one fails, or the rules or tests are wrong.\n"
               "\n"
               "  fwsync rules test my-rules\n"
               "  fwsync rules test my-rules --only 'rolled back'\n",
    .specs = specs,
    .spec_count = sizeof specs / sizeof specs[0],
    .words = {"DIR"},
    .common = COMMON_JSON,
    .run = run,
};

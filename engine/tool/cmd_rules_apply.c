/* cmd_rules_apply.c - `fwsync rules apply` and `rules rollback`: have other rules run, or older ones. */
#include <stdio.h>

#include "engine/tool/command.h"
#include "engine/tool/rules_folder.h"
#include "engine/tool/session.h"

static void print_answer(struct session *session)
{
    if (session->setup->json) {
        session_print_raw(session);
        return;
    }
    struct text version = screen_clean(field_text(&session->answer, "version"), &session->arena);
    printf("%s: version " TEXT_FMT ", from event %lld on\n",
           field_boolean(&session->answer, "changed") ? "active" : "active already",
           TEXT_ARG(version), (long long)field_integer(&session->answer, "activated"));
    if (session->setup->screen.tables && field_boolean(&session->answer, "changed"))
        puts("Devices keep their verdicts until their next event; now: fwsync rules judge");
}

static int finish(struct session *session)
{
    if (session_ask(session))
        print_answer(session);
    return session_close(session);
}

static int apply(const struct setup *setup, struct options *options)
{
    const char *dir;
    if (!options_only_words(options, "DIR", 1, 1, &dir))
        return EXIT_USAGE;
    struct ruleset *ruleset = rules_folder_load(setup, dir, stdout);
    if (ruleset == NULL)
        return EXIT_ERROR;
    struct session session;
    session_open(&session, setup, "rules apply");
    json_member_raw(session_question(&session, "rules-apply"), "files", ruleset_bundle(ruleset));
    ruleset_destroy(ruleset);
    return finish(&session);
}

static int rollback(const struct setup *setup, struct options *options)
{
    const char *version;
    if (!options_only_words(options, "", 0, 1, &version))
        return EXIT_USAGE;
    struct session session;
    session_open(&session, setup, "rules rollback");
    struct buf *question = session_question(&session, "rules-rollback");
    if (version != NULL)
        json_member_text(question, "version", text_of(version));
    return finish(&session);
}

const struct command command_rules_apply = {
    .name = "rules apply",
    .usage = "DIR",
    .summary = "check the rules in a folder, and have the daemon run them",
    .details = "They run from the next event on, and after a restart, until others are applied or those that the\n"
               "daemon's settings name are changed. Wrong rules are listed as `fwsync rules check` does it, and\n"
               "the old ones stay.\n"
               "\n"
               "  fwsync rules apply my-rules\n",
    .words = {"DIR"},
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY,
    .run = apply,
};

const struct command command_rules_rollback = {
    .name = "rules rollback",
    .usage = "[VERSION]",
    .summary = "have the daemon run the rules that were active before, or that version",
    .details = "Once more, and it is undone. `fwsync rules list` has all versions, `rules show` what they say.\n"
               "\n"
               "  fwsync rules rollback\n"
               "  fwsync rules rollback 3135bbc8b4f5ab5a\n",
    .words = {"VERSION"},
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY,
    .run = rollback,
};

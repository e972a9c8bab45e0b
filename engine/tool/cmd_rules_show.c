/* cmd_rules_show.c - `fwsync rules show`: the files of a rule set that is active, or was. */
#include <stdio.h>

#include "engine/tool/command.h"
#include "engine/tool/rules_running.h"

static int run(const struct setup *setup, struct options *options)
{
    const char *version;
    if (!options_only_words(options, "", 0, 1, &version))
        return EXIT_USAGE;
    struct session session;
    session_open(&session, setup, "rules show");
    if (rules_ask_files(&session, version)) {
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

const struct command command_rules_show = {
    .name = "rules show",
    .usage = "[VERSION]",
    .summary = "print the files of the active rules, or of that version",
    .details = "Versions are those of `fwsync rules list`, and those that `fwsync explain` names.\n"
               "\n"
               "  fwsync rules show\n"
               "  fwsync rules show 3135bbc8b4f5ab5a\n",
    .words = {"VERSION"},
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY,
    .run = run,
};

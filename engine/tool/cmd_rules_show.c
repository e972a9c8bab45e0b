/* cmd_rules_show.c - `fwsync rules show`: the files of a rule set that is active, or was. */
#include <stdio.h>

#include "engine/tool/command.h"
#include "engine/tool/session.h"

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

static int run(const struct setup *setup, struct options *options)
{
    const char *version;
    if (!options_only_words(options, "", 0, 1, &version))
        return EXIT_USAGE;
    struct session session;
    session_open(&session, setup, "rules show");
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

#include "engine/tool/rules_running.h"

bool rules_ask_files(struct session *session, const char *version)
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

struct ruleset *rules_running(struct session *session)
{
    if (!rules_ask_files(session, NULL))
        return NULL;
    struct problems problems;
    problems_init(&problems);
    struct ruleset *ruleset = ruleset_load_bundle(field_json(&session->answer, "files"), &problems);
    if (ruleset == NULL) {
        struct err err;
        err_set(&err, ERR_RULE, "the daemon's rules aren't understood by this version of fwsync: %s",
                problems.first->line);
        session_fail(session, &err);
    }
    problems_fini(&problems);
    return ruleset;
}

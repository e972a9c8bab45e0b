/* rules_running.h - rules as the daemon has them. */
#ifndef TOOL_RULES_RUNNING_H
#define TOOL_RULES_RUNNING_H

#include "engine/tool/session.h"
#include "rules/ruleset.h"

/* rules_ask_files - ask for the files of that version, NULL: of the active one. The answer has them as `files`.
 * False after telling what is wrong. */
bool rules_ask_files(struct session *session, const char *version);

/* rules_running - the active rules; the caller destroys them. NULL after telling what is wrong. */
struct ruleset *rules_running(struct session *session);

#endif

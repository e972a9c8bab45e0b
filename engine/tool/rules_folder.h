/* rules_folder.h - rules from a folder, without asking the daemon. */
#ifndef TOOL_RULES_FOLDER_H
#define TOOL_RULES_FOLDER_H

#include <stdio.h>

#include "engine/tool/options.h"
#include "rules/ruleset.h"

/* rules_folder_load - the rules of the folder `dir`; the caller destroys them. NULL when anything is wrong with them,
 * after listing all of it: a line each, or with --json as one object on standard output.
 *
 * out  where the lines go: standard output when the problems are what was asked for; standard error when a program
 *      at the other end of the pipe waits for something else */
struct ruleset *rules_folder_load(const struct setup *setup, const char *dir, FILE *out);

/* rules_folder_complain - list what is wrong, likewise. */
void rules_folder_complain(const struct setup *setup, const struct problems *problems, FILE *out);

#endif

#include "engine/tool/command.h"

#include <stddef.h>

const struct command *const commands[] = {
    &command_send,
    &command_get,
    &command_list,
    &command_count,
    &command_explain,
    &command_history,
    &command_watch,
    &command_export,
    &command_import,
    &command_backup,
    &command_rules_check,
    &command_rules_test,
    &command_rules_draw,
    &command_rules_whatif,
    &command_rules_apply,
    &command_rules_rollback,
    &command_rules_judge,
    &command_rules_list,
    &command_rules_show,
    &command_rules_trace,
    &command_stats,
    &command_metrics,
    &command_deadletters,
    &command_ping,
    &command_completion,
    NULL,
};
_Static_assert(sizeof commands / sizeof commands[0] <= COMMAND_COUNT_MAX + 1, "raise COMMAND_COUNT_MAX");

const char *const command_groups[] = {"rules", NULL};

const char *command_group(const struct command *command)
{
    for (const char *const *group = command_groups; *group != NULL; group++)
        if (text_starts(text_of(command->name), text_of(*group)) && command->name[strlen(*group)] == ' ')
            return *group;
    return "";
}

const char *command_word(const struct command *command)
{
    const char *blank = strchr(command->name, ' ');
    return blank == NULL ? command->name : blank + 1;
}

const struct command *command_find(const char *group, const char *word)
{
    for (const struct command *const *command = commands; *command != NULL; command++)
        if (strcmp(command_group(*command), group) == 0 && strcmp(command_word(*command), word) == 0)
            return *command;
    return NULL;
}

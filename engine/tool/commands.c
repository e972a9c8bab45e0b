#include "engine/tool/command.h"

#include <stddef.h>

const struct command *const commands[] = {
    &command_send,    &command_get,    &command_list,   &command_count,   &command_explain,
    &command_history, &command_watch,  &command_export, &command_import,  &command_backup,
    &command_rules,   &command_stats,  &command_metrics, &command_deadletters, &command_ping,
    &command_completion, NULL,
};
_Static_assert(sizeof commands / sizeof commands[0] <= COMMAND_COUNT_MAX + 1, "raise COMMAND_COUNT_MAX");

/* command.h - a command of `fwsync`. Adding one: its file, its line below, its line in commands.c. A name of two words
 * makes it one of a group: "rules check". */
#ifndef TOOL_COMMAND_H
#define TOOL_COMMAND_H

#include "engine/tool/options.h"

enum { COMMAND_WORDS_MAX = 2, COMMAND_COUNT_MAX = 32 };

struct command {
    const char *name;
    const char *usage;   /* what stands behind its name; lines after the first are further forms */
    const char *summary; /* one line */
    const char *details; /* paragraphs, with an example */
    const struct option_spec *specs;
    size_t spec_count;
    unsigned common; /* the common options that it uses: COMMON_JSON | ... */
    /* What stands behind its name besides options, for completion: words to choose from, or a kind of word
     * in capitals, "DEVICE". */
    const char *words[COMMAND_WORDS_MAX];
    /* Returns the exit code. options->setup is complete once options_next has returned OPTION_END. */
    int (*run)(const struct setup *setup, struct options *options);
};

extern const struct command command_send;
extern const struct command command_get;
extern const struct command command_list;
extern const struct command command_count;
extern const struct command command_watch;
extern const struct command command_stats;
extern const struct command command_ping;
extern const struct command command_deadletters;
extern const struct command command_rules_check;
extern const struct command command_rules_test;
extern const struct command command_rules_draw;
extern const struct command command_rules_whatif;
extern const struct command command_rules_apply;
extern const struct command command_rules_rollback;
extern const struct command command_rules_judge;
extern const struct command command_rules_list;
extern const struct command command_rules_show;
extern const struct command command_rules_trace;
extern const struct command command_explain;
extern const struct command command_history;
extern const struct command command_metrics;
extern const struct command command_export;
extern const struct command command_import;
extern const struct command command_backup;
extern const struct command command_completion;

/* All of them, as they are listed; NULL behind the last. */
extern const struct command *const commands[];

/* The first words of those that have two; NULL behind the last. */
extern const char *const command_groups[];

/* command_group - "" for a command of one word. command_word - its last word. */
const char *command_group(const struct command *command);
const char *command_word(const struct command *command);
/* command_find - the command of that group and word; NULL: there is none. */
const struct command *command_find(const char *group, const char *word);

#endif

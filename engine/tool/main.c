/* main.c - fwsync, the command line tool: find the command, or help to find it. */
#include <stdio.h>

#include "engine/tool/command.h"
#include "engine/tool/interrupt.h"

enum { WORD_COUNT_MAX = COMMAND_COUNT_MAX + 8 }; /* commands, groups of them, and help */

static bool is_group(const char *word)
{
    for (const char *const *group = command_groups; *group != NULL; group++)
        if (strcmp(*group, word) == 0)
            return true;
    return false;
}

/* Of one group, or all: NULL. */
static void print_commands(const char *group)
{
    for (const struct command *const *command = commands; *command != NULL; command++)
        if (group == NULL || strcmp(command_group(*command), group) == 0)
            printf("  %-15s %s\n", (*command)->name, (*command)->summary);
}

static void print_overview(void)
{
    printf("fwsync talks with fwsyncd, which knows of every device whether the firmware that runs\n"
           "is the firmware that should run.\n\n"
           "Usage: fwsync COMMAND ...\n\n");
    print_commands(NULL);
    printf("\nMore about one: fwsync help COMMAND. Every command takes, before or after its name:\n");
    options_print_common(COMMON_ALL);
    printf("\nIn a pipe: a line for each item, tabs between, '-' for what isn't there; an empty string is \"\".\n");
    printf("Exit code: 0 done, 1 the answer is an error or there is none, 2 bad usage.\n");
}

static void print_group(const char *group)
{
    printf("Usage: fwsync %s COMMAND ...\n\n", group);
    print_commands(group);
    printf("\nMore about one: fwsync help %s COMMAND.\n", group);
}

/* The usage may hold several forms, one a line. */
static void print_usage(const struct command *command)
{
    const char *form = command->usage;
    for (const char *lead = "Usage:"; form != NULL; lead = "      ") {
        const char *end = strchr(form, '\n');
        int len = end == NULL ? (int)strlen(form) : (int)(end - form);
        printf("%s fwsync %s%s%.*s\n", lead, command->name, len > 0 ? " " : "", len, form);
        form = end == NULL ? NULL : end + 1;
    }
}

static void print_help(const struct command *command)
{
    printf("fwsync %s: %s\n\n", command->name, command->summary);
    print_usage(command);
    printf("\n%s\n", command->details);
    options_print_specs(command->specs, command->spec_count);
    options_print_common(command->common);
}

/* What one may look for, and what there is. */
static const struct {
    const char *name;
    const char *instead;
} elsewhere[] = {
    {"restore", "a backup is restored by starting from it: fwsyncd --data DIR"},
    {"delete", "devices stay; a rule can delete attributes: fwsync-rules(5), delete-attributes"},
};

/* The words that can stand behind a group's name, or behind "fwsync": "". */
static size_t list_words(const char *group, const char *words[WORD_COUNT_MAX])
{
    size_t count = 0;
    if (group[0] == '\0') {
        words[count++] = "help";
        for (const char *const *other = command_groups; *other != NULL; other++)
            words[count++] = *other;
    }
    for (const struct command *const *command = commands; *command != NULL; command++)
        if (strcmp(command_group(*command), group) == 0)
            words[count++] = command_word(*command);
    return count;
}

static int unknown_command(const struct options *options, const char *group)
{
    for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++)
        if (group[0] == '\0' && strcmp(options->value, elsewhere[i].name) == 0)
            return options_wrong(options, "there is no command '%s': %s", elsewhere[i].name, elsewhere[i].instead);
    for (const struct command *const *command = commands; *command != NULL && group[0] == '\0'; command++)
        if (command_group(*command)[0] != '\0' && strcmp(command_word(*command), options->value) == 0)
            return options_wrong(options, "there is no command '%s'; did you mean '%s'?", options->value,
                                 (*command)->name);
    const char *words[WORD_COUNT_MAX];
    options_one_of(options, "command", words, list_words(group, words));
    return EXIT_USAGE;
}

/* `words` up to a NULL: a command, a group and its command, a group, or nothing. */
static int help_about(struct options *options, const char *const *words)
{
    bool grouped = words[0] != NULL && is_group(words[0]);
    const char *group = grouped ? words[0] : "", *word = words[grouped];
    if (word == NULL && grouped) {
        print_group(group);
        return EXIT_DONE;
    }
    if (word == NULL || (!grouped && strcmp(word, "help") == 0)) {
        print_overview();
        return EXIT_DONE;
    }
    const struct command *command = command_find(group, word);
    options->value = word;
    if (command == NULL)
        return unknown_command(options, group);
    print_help(command);
    return EXIT_DONE;
}

static bool asks_for_help(const struct options *options)
{
    for (int i = options->at; i < options->word_count; i++) {
        if (strcmp(options->words[i], "--") == 0)
            return false;
        if (strcmp(options->words[i], "--help") == 0 || strcmp(options->words[i], "-h") == 0)
            return true;
    }
    return false;
}

static int run_command(struct options *options, const char *group)
{
    const struct command *command = command_find(group, options->value);
    if (command == NULL)
        return unknown_command(options, group);
    if (asks_for_help(options)) {
        print_help(command);
        return EXIT_DONE;
    }
    options->command = command->name;
    options->specs = command->specs;
    options->spec_count = command->spec_count;
    options->common = command->common;
    return command->run(options->setup, options);
}

/* The group's name was read; the word behind it is the command. */
static int run_group(struct options *options, const char *group)
{
    static const struct option_spec help = {1, "help", NULL, "print the commands"};
    options->command = group;
    options->specs = &help;
    options->spec_count = 1;
    switch (options_next(options)) {
    case 1:
        print_group(group);
        return EXIT_DONE;
    case OPTION_WORD:
        if (strcmp(options->value, "help") != 0)
            return run_command(options, group);
        print_group(group);
        return EXIT_DONE;
    case OPTION_WRONG:
        return EXIT_USAGE;
    default:
        print_group(group);
        return EXIT_USAGE;
    }
}

/* The options in front of the command, then the command. */
static int run(struct options *options)
{
    static const struct option_spec specs[] = {
        {1, "version", NULL, "print the version"},
        {2, "help", NULL, "print the commands"},
    };
    options->specs = specs;
    options->spec_count = sizeof specs / sizeof specs[0];
    if (options->word_count > 1 && strcmp(options->words[1], "-h") == 0) {
        print_overview();
        return EXIT_DONE;
    }
    switch (options_next(options)) {
    case 1:
        printf("fwsync %s\n", FWSYNC_VERSION);
        return EXIT_DONE;
    case 2:
        print_overview();
        return EXIT_DONE;
    case OPTION_WORD:
        if (strcmp(options->value, "help") == 0)
            return help_about(options, options->words + options->at); /* argv ends with NULL */
        return is_group(options->value) ? run_group(options, options->value) : run_command(options, "");
    case OPTION_WRONG:
        return EXIT_USAGE;
    default:
        print_overview();
        return EXIT_USAGE;
    }
}

int main(int argc, char **argv)
{
    struct setup setup;
    interrupt_install();
    setup_init(&setup);
    struct options options = {
        .words = (const char *const *)argv,
        .word_count = argc,
        .at = 1,
        .command = "",
        .setup = &setup,
    };
    int exit_code = run(&options);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "fwsync: cannot write to standard output\n");
        return EXIT_ERROR;
    }
    return exit_code;
}

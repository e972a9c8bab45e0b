/* cmd_completion.c - `fwsync completion bash`: what a shell needs to complete fwsync's words.
 *
 * The script is made from the commands' tables, so it is never behind them. It is run when fwsync is
 * installed, and may be run in ~/.bashrc. */
#include <stdio.h>

#include "engine/tool/command.h"
#include "engine/tool/verdict.h"

/* The kinds of words, as they are called in help and usage, that something is known about. */
static const struct kind {
    const char *name;
    const char *words;  /* to choose from */
    const char *action; /* else what to do in the script */
} kinds[] = {
    {"STATE", VERDICT_STATES, NULL},
    {"TIME", "30s 15m 1h 1d", NULL},
    {"CLASS", "sync attributes deadletter", NULL},
    {"ATTRIBUTE", "fwStateIsSynced fwSyncState currentFwVer lastTargetFwVer type", NULL},
    {"DEVICE", NULL, "_fwsync_ask \"$cur\" \"${ask[@]}\" list --prefix \"$cur\" --limit 50"},
    {"VALUE", NULL, "_fwsync_ask \"$cur\" \"${ask[@]}\" count -- \"$first\""},
    {"DEVICETYPE", NULL, "_fwsync_ask \"$cur\" \"${ask[@]}\" count type"},
    {"DIR", NULL, "_fwsync_files -d \"$cur\""},
    {"FILE", NULL, "_fwsync_files -f \"$cur\""},
};

static const char head[] =
    "# Completion of fwsync's words for bash, made by `fwsync completion bash`.\n"
    "\n"
    "_fwsync_ask() # the first words of what fwsyncd answers, if it is there\n"
    "{\n"
    "    local cur=$1\n"
    "    mapfile -t COMPREPLY < <(\"${@:2}\" 2>/dev/null | while IFS=$'\\t' read -r word _; do\n"
    "        [[ $word != \"$cur\"* ]] || printf '%q\\n' \"$word\"; done | head -n 50)\n"
    "}\n"
    "\n"
    "_fwsync_files()\n"
    "{\n"
    "    compopt -o filenames 2>/dev/null\n"
    "    mapfile -t COMPREPLY < <(compgen \"$1\" -- \"$2\")\n"
    "}\n"
    "\n"
    "_fwsync()\n"
    "{\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
    "    local choices='' command='' first='' at=0 valued value i ask=(\"$1\" --timeout 0.5)\n"
    "    COMPREPLY=()\n"
    "    [[ $cur != = ]] || cur='' # --name=value is three words\n"
    "    [[ $prev != = ]] || prev=${COMP_WORDS[COMP_CWORD-2]}\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        valued=''\n"
    "        case $command/${COMP_WORDS[i]} in\n";

/* In a case on "$command/$option": an option that takes a value, of one command or, NULL, of all. */
static void print_valued(const struct command *command, const struct option_spec *spec, const char *indent,
                         const char *then)
{
    if (spec->value == NULL)
        return;
    if (command == NULL)
        printf("%s*/--%s) %s ;;\n", indent, spec->name, then);
    else
        printf("%s\"%s\"/--%s) %s ;;\n", indent, command->name, spec->name, then);
}

static void print_kind(const char *what)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, what) == 0) {
            if (kinds[i].words != NULL)
                printf("choices='%s' ;;\n", kinds[i].words);
            else
                printf("%s ;;\n", kinds[i].action);
            return;
        }
    if (what[0] >= 'A' && what[0] <= 'Z')
        puts(": ;;");
    else
        printf("choices='%s' ;;\n", what);
}

/* Go over the words so far: which is the command, and how many words stand behind it? */
static void print_walk(void)
{
    for (const struct command *const *command = commands; *command != NULL; command++)
        for (size_t i = 0; i < (*command)->spec_count; i++)
            print_valued(*command, &(*command)->specs[i], "        ", "valued=1");
    for (size_t i = 0; options_common(i) != NULL; i++)
        print_valued(NULL, options_common(i), "        ", "valued=1");
    puts("        */-?*) ;;\n"
         "        /*) command=${COMP_WORDS[i]} ;;");
    for (const char *const *group = command_groups; *group != NULL; group++)
        printf("        %s/*) command+=\" ${COMP_WORDS[i]}\" ;;\n", *group);
    puts("        *) [[ $((at++)) != 0 ]] || first=${COMP_WORDS[i]} ;;\n"
         "        esac\n"
         "        [[ -n $valued ]] || continue\n"
         "        valued=${COMP_WORDS[i++]}\n"
         "        [[ ${COMP_WORDS[i]-} != = ]] || ((i++))\n"
         "        value=${COMP_WORDS[i]-}\n"
         "        while ((i + 2 < COMP_CWORD)) && [[ ${COMP_WORDS[i+1]} == : ]]; do # tcp://a:1 is five words\n"
         "            value+=:${COMP_WORDS[i+2]}\n"
         "            ((i += 2))\n"
         "        done\n"
         "        [[ $valued != --query ]] || ask+=(--query \"$value\")\n"
         "    done");
}

static void print_values(void)
{
    puts("    case $command/$prev in");
    for (const struct command *const *command = commands; *command != NULL; command++)
        for (size_t i = 0; i < (*command)->spec_count; i++)
            if ((*command)->specs[i].value != NULL) {
                printf("    \"%s\"/--%s) ", (*command)->name, (*command)->specs[i].name);
                print_kind((*command)->specs[i].value);
            }
    for (size_t i = 0; options_common(i) != NULL; i++)
        print_valued(NULL, options_common(i), "    ", ":");
    puts("    *)");
}

static void print_options(const struct command *command)
{
    printf("        \"%s\"/-*) choices='", command->name);
    for (size_t i = 0; i < command->spec_count; i++)
        printf("--%s ", command->specs[i].name);
    for (size_t i = 0; options_common(i) != NULL; i++)
        if ((unsigned)options_common(i)->id & command->common)
            printf("--%s ", options_common(i)->name);
    puts("--help' ;;");
}

/* The end of a list of words: a group's commands, or "" those of one word. */
static void print_choices(const char *group)
{
    for (const struct command *const *command = commands; *command != NULL; command++)
        if (strcmp(command_group(*command), group) == 0)
            printf(" %s", command_word(*command));
    puts("' ;;");
}

/* A word that is no option's value: an option, or what the command takes in this place. */
static void print_words(void)
{
    puts("        case $command/$cur in");
    for (const struct command *const *command = commands; *command != NULL; command++)
        print_options(*command);
    fputs("        /-*) choices='--version --help", stdout);
    for (size_t i = 0; options_common(i) != NULL; i++)
        if ((unsigned)options_common(i)->id & COMMON_ALL)
            printf(" --%s", options_common(i)->name);
    puts("' ;;\n"
         "        *)\n"
         "            case $command/$at in");
    fputs("            /0 | help/0) choices='help", stdout);
    for (const char *const *group = command_groups; *group != NULL; group++)
        printf(" %s", *group);
    print_choices("");
    for (const char *const *group = command_groups; *group != NULL; group++) {
        printf("            %s/0) choices='", *group);
        print_choices(*group);
        printf("            help/1) [[ $first != %s ]] || choices='", *group);
        print_choices(*group);
    }
    for (const struct command *const *command = commands; *command != NULL; command++)
        for (size_t i = 0; i < COMMAND_WORDS_MAX && (*command)->words[i] != NULL; i++) {
            printf("            \"%s\"/%zu) ", (*command)->name, i);
            print_kind((*command)->words[i]);
        }
    puts("            esac ;;\n"
         "        esac ;;\n"
         "    esac\n"
         "    [[ -z $choices ]] || mapfile -t COMPREPLY < <(compgen -W \"$choices\" -- \"$cur\")\n"
         "}\n"
         "complete -F _fwsync fwsync");
}

static int run(const struct setup *setup, struct options *options)
{
    static const char *const shells[] = {"bash"};
    const char *words[1];
    (void)setup;
    if (!options_only_words(options, "the shell (bash)", 1, 1, words))
        return EXIT_USAGE;
    options->value = words[0];
    if (options_one_of(options, "shell", shells, 1) == NULL)
        return EXIT_USAGE;
    fputs(head, stdout);
    print_walk();
    print_values();
    print_words();
    return EXIT_DONE;
}

const struct command command_completion = {
    .name = "completion",
    .usage = "bash",
    .summary = "print what bash needs to complete fwsync's words",
    .details = "Installed with fwsync; for a build that isn't installed, in this shell and in all:\n"
               "\n"
               "  eval \"$(fwsync completion bash)\"\n"
               "  fwsync completion bash >~/.local/share/bash-completion/completions/fwsync\n",
    .words = {"bash"},
    .run = run,
};

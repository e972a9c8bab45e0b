/* options.h - the words behind `fwsync COMMAND`, one after the other.
 *
 * getopt_long reorders its words, keeps its place in globals and takes `--unsync` for --unsynced today and
 * for something else tomorrow; `send` needs the order. So this is a reader of its own: long options in
 * full (`--name value`, `--name=value`), `--` ends them, everything else is a word. The options that every
 * command has are taken here and land in `struct setup`. */
#ifndef TOOL_OPTIONS_H
#define TOOL_OPTIONS_H

#include "engine/tool/screen.h"

enum { EXIT_DONE = 0, EXIT_ERROR = 1, EXIT_USAGE = 2 };

/* What every command works with. */
struct setup {
    const char *events; /* endpoints */
    const char *query;
    const char *results;
    int64_t timeout_ms;
    bool json;
    bool watch; /* repeat.h */
    struct screen screen; /* standard output */
};

/* setup_init - the defaults, and FWSYNC_EVENTS, FWSYNC_QUERY, FWSYNC_RESULTS over them. */
void setup_init(struct setup *setup);

/* One of a command's own options. */
struct option_spec {
    int id;            /* 1 and up: what options_next returns */
    const char *name;  /* without dashes */
    const char *value; /* what stands for its value in the help; NULL: it takes none */
    const char *help;
};

enum { OPTION_END = 0, OPTION_WORD = -1, OPTION_WRONG = -2 };

/* The options that every command takes, as a set of bits. */
enum {
    COMMON_JSON = 1,
    COMMON_TIMEOUT = 2,
    COMMON_EVENTS = 4,
    COMMON_QUERY = 8,
    COMMON_RESULTS = 16,
    COMMON_ALL = 31, /* what is fine with every command, if not of use to it */
    COMMON_WATCH = 32,
};

/* For `--limit N` and the like: more than anybody reads. */
enum { OPTION_COUNT_MAX = 1000000000 };

struct options {
    const char *const *words; /* borrowed */
    int word_count;
    int at;
    bool only_words;     /* `--` was there */
    const char *command; /* for messages; "" before it is known */
    const struct option_spec *specs;
    size_t spec_count;
    unsigned common; /* the common ones that it takes; those of COMMON_ALL are always taken */
    struct setup *setup;
    const char *value; /* of the option or word just returned; NULL if the option takes none */
};

/* options_next - the id of the next option of the command's own, OPTION_WORD, OPTION_END, or
 * OPTION_WRONG, after the user was told what is wrong: return EXIT_USAGE then. */
int options_next(struct options *options);

/* options_wrong - tell the user what is wrong with the command line; returns EXIT_USAGE. */
int options_wrong(const struct options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* options_number - the value just returned as a whole number, or false after telling. */
bool options_number(const struct options *options, int64_t min, int64_t max, int64_t *number);
/* options_seconds - as milliseconds, which fit an int; "0.5" is fine. */
bool options_seconds(const struct options *options, int64_t *ms);

/* options_moment - a moment that must have been: when_parse. */
bool options_moment(const struct options *options, int64_t *ms);
/* options_one_of - the value just returned, if it is one of `words`; else NULL, after telling which is the
 * nearest. `what` is what the words are: "state". */
const char *options_one_of(const struct options *options, const char *what, const char *const *words,
                           size_t word_count);

/* options_only_words - for commands without options of their own: up to `word_max` words, missing ones
 * NULL. False after telling. `what` names the words for the message: "DEVICE". */
bool options_only_words(struct options *options, const char *what, size_t word_min, size_t word_max,
                        const char *words[]);

/* The help of a command's own options, and of those common ones that are in the set. */
void options_print_specs(const struct option_spec *specs, size_t spec_count);
void options_print_common(unsigned set);
/* options_common - the common options, one after the other; NULL behind the last. */
const struct option_spec *options_common(size_t i);

#endif

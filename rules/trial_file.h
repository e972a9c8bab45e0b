/* trial_file.h - tests of rules as people write them (docs/rules.md, "Testing rules"): YAML becomes steps that can be
 * run, and all that is wrong is found here, at once, with its place.
 *
 * An event is turned to JSON and read by event_parse(), so its errors and bounds are the wire's. */
#ifndef RULES_TRIAL_FILE_H
#define RULES_TRIAL_FILE_H

#include "engine/base/problems.h"
#include "rules/event.h"
#include "rules/ruleset.h"

enum trial_word { TRIAL_SEND, TRIAL_WAIT, TRIAL_EXPECT, TRIAL_PUBLISHES, TRIAL_DEAD_LETTERS, TRIAL_WORD_COUNT };

/* A member and the value that it is to have; VALUE_NULL: it isn't there. */
struct trial_member {
    struct place place; /* of the value */
    struct text name;   /* as written: "server.fwSyncState" */
    enum scope scope;   /* of an attribute */
    struct text key;
    struct value value;
};

struct trial_members {
    struct trial_member *items;
    size_t count;
};

struct trial_result {
    struct place place;
    struct text class_name;
    struct trial_members data; /* those of its data that matter */
};

/* Both are empty for the engine itself. */
struct trial_letter {
    struct place place;
    struct text chain, node;
};

struct trial_step {
    enum trial_word word;
    struct place place; /* of the word */
    struct event event;           /* TRIAL_SEND */
    int64_t wait_ms;              /* TRIAL_WAIT; above 0 */
    bool letters_expected;        /* these two: dead letters have a step of their own, before anything else happens */
    struct text device;           /* TRIAL_EXPECT; one that got an event before */
    struct trial_members members; /* TRIAL_EXPECT */
    struct trial_result *results; /* TRIAL_PUBLISHES */
    size_t result_count;
    struct trial_letter *letters; /* TRIAL_DEAD_LETTERS; NULL: only their number matters */
    size_t letter_count;
};

struct trial {
    struct text file; /* its name alone: "update.yaml" */
    struct text name;
    struct trial_step *steps;
    size_t step_count;
    const struct trial *next;
};

/* trial_files_read - the tests of the rules in the folder `dir`, in the order of their files' names and as written.
 * NULL with at least one problem. They live in `arena`, and as long as `ruleset`, which is that folder's. */
const struct trial *trial_files_read(const char *dir, const struct ruleset *ruleset, struct arena *arena,
                                     struct problems *problems);
/* trial_text_read - the same of one file's text; both texts live as long as the tests. */
const struct trial *trial_text_read(const char *file, struct text text, const struct ruleset *ruleset,
                                    struct arena *arena, struct problems *problems);

#endif

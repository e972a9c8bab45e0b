/* sources.h - the files of a rule set, wherever they come from, as texts in name order. */
#ifndef RULES_SOURCES_H
#define RULES_SOURCES_H

#include "engine/base/problems.h"

struct source {
    struct text name; /* the file's name without its directory; NUL-terminated */
    const char *file; /* as messages show it */
    struct text text;
};

struct sources {
    struct source *items; /* sorted by name, names distinct */
    size_t count;
    const char *whole; /* what messages about all of it name: the directory */
};

/* Each fills `sources` with memory of `arena`, or adds problems and returns false. A file that cannot be
 * read does not hide the problems of the others: *sources then holds those, at most CHAIN_COUNT_MAX. */
bool sources_read_dir(const char *dir, struct arena *arena, struct sources *sources,
                      struct problems *problems);
/* sources_read_tests - the same of the tests of the rules in `dir`, which are in its folder "tests". */
bool sources_read_tests(const char *dir, struct arena *arena, struct sources *sources, struct problems *problems);
bool sources_read_bundle(struct text bundle, struct arena *arena, struct sources *sources,
                         struct problems *problems);

/* sources_shipped - the chains compiled into the program. */
void sources_shipped(struct arena *arena, struct sources *sources);

/* sources_bundle - as one JSON object, {"NAME":"TEXT",...}: the same files give the same bytes. */
struct text sources_bundle(const struct sources *sources, struct arena *arena);

#endif

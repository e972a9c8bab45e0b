/* problems.h - everything wrong with a set of files, not only the first thing, in the order in which a
 * person goes through them: by file, line and column, and in one place as they were found.
 * Each problem is one line that starts with `file:line:column: `, or with `file: ` where it is about a
 * file or a directory as a whole. Line ends in what is quoted become spaces. */
#ifndef BASE_PROBLEMS_H
#define BASE_PROBLEMS_H

#include "engine/base/arena.h"

struct buf;

/* A place in a file; line and column count from 1, 0 means "the file as a whole". */
struct place {
    const char *file; /* borrowed: lives as long as the parsed file's arena */
    unsigned line;
    unsigned column;
};

enum { PROBLEM_COUNT_MAX = 100 }; /* what comes after is counted, not kept */

struct problem {
    const char *line;
    struct place place; /* its file's name lives as long as the problem */
    struct problem *next;
};

struct problems {
    struct arena arena;
    struct problem *first; /* in order */
    size_t count; /* all of them, kept or not */
};

void problems_init(struct problems *problems);
void problems_fini(struct problems *problems);
void problem_add(struct problems *problems, struct place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* problems_json - the kept lines as a JSON array. */
void problems_json(struct buf *out, const struct problems *problems);

#endif

/* err.h - how a failure travels.
 *
 * What can fail returns bool (true = done) and fills a `struct err`: a code for machines and one line
 * that a user can act on. The code's name is what the wire shows as "code", so a client never has to
 * read the sentence. Context is added on the way up, and the error is logged once, where it is handled.
 *
 * On false a function's outputs are untouched and nothing leaks. Absence is an answer, not an error. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>

enum err_code {
    ERR_NONE,
    ERR_BAD_JSON,  /* not JSON, or JSON that we refuse to guess about */
    ERR_BAD_EVENT, /* JSON, but not an event: a field is missing, unknown or of the wrong type */
    ERR_BAD_QUERY, /* JSON, but not a query */
    ERR_TOO_LARGE, /* a request or a value over its bound in bytes */
    ERR_LIMIT,     /* a bound on how many was exceeded */
    ERR_NOT_FOUND,
    ERR_GONE,    /* it was there once, and is no longer kept */
    ERR_BUSY,    /* try again after a while; nothing was taken */
    ERR_FULL,    /* no space on the disk or in the map; nothing was written, may pass */
    ERR_STORE,   /* the database failed in a way that stops the process */
    ERR_DAMAGED, /* stored bytes fail their checksum, or the file isn't ours */
    ERR_IN_USE,  /* another process holds the data folder or the address */
    ERR_CONFIG,  /* settings or rules with an error in them */
    ERR_RULE,    /* a rule node could not do its work on this message */
    ERR_IO,      /* a file or socket failed */
    ERR_TIMEOUT,
    ERR_CODE_COUNT
};

enum { ERR_TEXT_BYTES = 512 };

struct err {
    enum err_code code;
    char text[ERR_TEXT_BYTES]; /* one line, no newline; cut, never overrun */
};

/* err_set - fill `err` and return false, so that callers write `return err_set(...)`. err may be NULL. */
bool err_set(struct err *err, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* err_context - put a phrase in front of the text already there ("chain 'root': "), return false. */
bool err_context(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* err_code_name - the code as the wire and --json show it: "bad-json", "not-found". */
const char *err_code_name(enum err_code code);

#endif

/* screen.h - whom we write for: a person at a terminal, or a program at the other end of a pipe.
 *
 * A person gets tables, colour and "3 min ago"; a program gets tab-separated lines and ISO 8601 in UTC.
 * FWSYNC_TABLE=1 asks for tables in a pipe too (for `less`, `watch`, and this project's documentation).
 * Nothing that came over the wire reaches the screen with a control character in it. */
#ifndef TOOL_SCREEN_H
#define TOOL_SCREEN_H

#include "engine/base/value.h"

struct screen {
    bool tables; /* for a person */
    bool colour; /* a terminal, and NO_COLOR isn't set */
    bool draws;  /* a terminal whose cursor can be moved */
    bool utf8;   /* the environment's locale has box-drawing characters */
    int columns; /* width; 0: not limited */
    int rows;    /* height of a terminal, else 0 */
};

enum screen_style { STYLE_PLAIN, STYLE_GOOD, STYLE_BAD, STYLE_DIM, STYLE_HEAD };

/* screen_detect - what stands behind the open file descriptor `fd`; COLUMNS in the environment beats its width. */
struct screen screen_detect(int fd);

/* screen_style - the escape sequence that turns a style on; "" without colour. screen_plain: off. */
const char *screen_style(const struct screen *screen, enum screen_style style);
const char *screen_plain(const struct screen *screen, enum screen_style style);

/* screen_clean - `text` with control characters and broken UTF-8 made visible (\n, \t, \x1b). */
struct text screen_clean(struct text text, struct arena *arena);
/* screen_width - columns that a clean text takes: two for a wide character (Chinese, emoji), none for one
 * that sits on another. */
size_t screen_width(struct text text);
/* screen_cut - the text's first `width` columns, with an ellipsis in place of what is missing. */
struct text screen_cut(struct text text, size_t width, struct arena *arena);

/* screen_value - a value for reading. A string that is empty, is "-" or begins with a quote keeps its quotes, so that
 * it isn't taken for one that isn't there. In tables so does one that looks like another kind of value ("1.2",
 * "true") or has blanks around it; in a pipe these are bare. */
struct text screen_value(const struct screen *screen, const struct value *value,
                         struct arena *arena);

#endif

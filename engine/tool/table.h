/* table.h - rows for reading, or for a program.
 *
 * For a person: aligned columns under a headline, cut or left out to fit the terminal. For a program: the cells with
 * a tab between them, one row a line, no headline. Rows are kept until table_print, which may be called
 * once per page of a long list; the columns then keep the widths that they have. */
#ifndef TOOL_TABLE_H
#define TOOL_TABLE_H

#include <stdio.h>

#include "engine/tool/screen.h"

enum { TABLE_COLUMN_COUNT_MAX = 9 };

struct table_column {
    const char *title; /* NULL in all columns: no headline */
    bool right;        /* numbers */
};

struct table;

/* table_create - the columns and the screen are borrowed for the table's life. */
struct table *table_create(const struct table_column *columns, size_t column_count,
                           const struct screen *screen);
void table_destroy(struct table *table);

/* table_may_drop - columns to leave out for a person, in this order, while the terminal is too narrow for
 * what would be left. They are borrowed for the table's life. */
void table_may_drop(struct table *table, const unsigned char *columns, size_t column_count);

/* table_needs - for a person: so much of the column's width is only cut when nothing is left to be left out, and what
 * is wider in other columns is cut. 16, unless said. */
void table_needs(struct table *table, size_t column, size_t width);

/* table_cell - the next cell, from left to right; the text is copied, and empty text becomes "-". */
void table_cell(struct table *table, struct text text, enum screen_style style);
/* table_cell_count - a number with thousands separated for a person. table_cell_seq - an event's number, which is a
 * name: as it stands in logs and answers. */
void table_cell_count(struct table *table, int64_t count);
void table_cell_seq(struct table *table, int64_t seq);

/* table_print - write the complete rows and forget them. */
void table_print(struct table *table, FILE *out);

#endif

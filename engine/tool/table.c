#include "engine/tool/table.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

/* Columns wider than they need are cut before another one is left out. */
enum { GAP = 2, WIDTH_MIN = 4, WIDTH_ENOUGH = 16, CHUNK_BYTES = 16384 };

struct cell {
    struct text text;
    enum screen_style style;
};

struct table {
    const struct table_column *columns;
    size_t column_count;
    const struct screen *screen;
    struct arena arena; /* of the rows' cells and texts */
    struct cell *cells;
    size_t cell_count;
    size_t cell_capacity;
    size_t widths[TABLE_COLUMN_COUNT_MAX];
    size_t needs[TABLE_COLUMN_COUNT_MAX];
    bool dropped[TABLE_COLUMN_COUNT_MAX];
    const unsigned char *drop_order;
    size_t drop_count;
    bool headline_printed;
};

static struct text title(const struct table *table, size_t column)
{
    const char *text = table->columns[column].title;
    return text == NULL ? TEXT("") : text_of(text);
}

struct table *table_create(const struct table_column *columns, size_t column_count,
                           const struct screen *screen)
{
    assert(column_count > 0 && column_count <= TABLE_COLUMN_COUNT_MAX);
    struct table *table = calloc(1, sizeof *table);
    if (table == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    table->columns = columns;
    table->column_count = column_count;
    table->screen = screen;
    arena_init(&table->arena, CHUNK_BYTES);
    for (size_t i = 0; i < column_count; i++) {
        table->widths[i] = title(table, i).len;
        table->needs[i] = WIDTH_ENOUGH;
    }
    return table;
}

void table_destroy(struct table *table)
{
    if (table == NULL)
        return;
    arena_fini(&table->arena);
    free(table);
}

void table_may_drop(struct table *table, const unsigned char *columns, size_t column_count)
{
    table->drop_order = columns;
    table->drop_count = column_count;
}

void table_needs(struct table *table, size_t column, size_t width)
{
    assert(column < table->column_count);
    table->needs[column] = width;
}

void table_cell(struct table *table, struct text text, enum screen_style style)
{
    if (table->cell_count == table->cell_capacity) {
        size_t capacity = table->cell_capacity == 0 ? 64 : table->cell_capacity * 2;
        struct cell *cells = arena_alloc(&table->arena, capacity * sizeof *cells);
        if (table->cell_count > 0)
            memcpy(cells, table->cells, table->cell_count * sizeof *cells);
        table->cells = cells;
        table->cell_capacity = capacity;
    }
    struct text clean =
        text.len == 0 ? TEXT("-") : arena_copy(&table->arena, screen_clean(text, &table->arena));
    size_t column = table->cell_count % table->column_count;
    size_t width = screen_width(clean);
    if (width > table->widths[column])
        table->widths[column] = width;
    table->cells[table->cell_count++] = (struct cell){clean, style};
}

void table_cell_count(struct table *table, int64_t count)
{
    char digits[32];
    int len = snprintf(digits, sizeof digits, "%" PRId64, count);
    char text[48];
    size_t used = 0;
    for (int i = 0; i < len; i++) {
        if (table->screen->tables && i > 0 && (len - i) % 3 == 0 && digits[i - 1] != '-')
            text[used++] = ',';
        text[used++] = digits[i];
    }
    table_cell(table, (struct text){text, used}, STYLE_PLAIN);
}

void table_cell_seq(struct table *table, int64_t seq)
{
    char digits[32];
    int len = snprintf(digits, sizeof digits, "%" PRId64, seq);
    table_cell(table, (struct text){digits, (size_t)len}, STYLE_PLAIN);
}

static size_t needed(const struct table *table, size_t column)
{
    return table->widths[column] < table->needs[column] ? table->widths[column] : table->needs[column];
}

/* What a row takes; `cut`: when no column is wider than it needs. */
static size_t row_width(const struct table *table, bool cut)
{
    size_t total = 0;
    for (size_t i = 0; i < table->column_count; i++)
        if (!table->dropped[i])
            total += GAP + (cut ? needed(table, i) : table->widths[i]);
    return total - GAP;
}

/* Is column `a` to be cut before `b`? One that is wider than it needs is, else the wider one. */
static bool gives_way(const struct table *table, size_t a, size_t b)
{
    bool a_spares = table->widths[a] > table->needs[a], b_spares = table->widths[b] > table->needs[b];
    return a_spares != b_spares ? a_spares : table->widths[a] > table->widths[b];
}

/* Leave out columns, once for all pages, and take from the others until the row fits. */
static void fit(struct table *table)
{
    size_t columns = (size_t)table->screen->columns;
    if (columns == 0)
        return;
    for (size_t i = 0; i < table->drop_count && !table->headline_printed; i++)
        if (row_width(table, true) > columns)
            table->dropped[table->drop_order[i]] = true;
    for (size_t total = row_width(table, false); total > columns; total--) {
        size_t widest = 0;
        for (size_t i = 1; i < table->column_count; i++)
            if (table->dropped[widest] || (!table->dropped[i] && gives_way(table, i, widest)))
                widest = i;
        if (table->widths[widest] <= WIDTH_MIN)
            return;
        table->widths[widest]--;
    }
}

static bool is_last(const struct table *table, size_t column)
{
    do
        column++;
    while (column < table->column_count && table->dropped[column]);
    return column == table->column_count;
}

static void print_cell(struct table *table, size_t column, const struct cell *cell, FILE *out)
{
    if (table->dropped[column])
        return;
    struct text text = screen_cut(cell->text, table->widths[column], &table->arena);
    size_t pad = table->widths[column] - screen_width(text);
    bool last = is_last(table, column);
    if (table->columns[column].right)
        fprintf(out, "%*s", (int)pad, "");
    fputs(screen_style(table->screen, cell->style), out);
    fwrite(text.bytes, 1, text.len, out);
    fputs(screen_plain(table->screen, cell->style), out);
    if (!table->columns[column].right && !last)
        fprintf(out, "%*s", (int)pad, "");
    fputs(last ? "\n" : "  ", out);
}

static void print_headline(struct table *table, FILE *out)
{
    if (table->headline_printed || table->columns[0].title == NULL)
        return;
    for (size_t i = 0; i < table->column_count; i++) {
        struct cell cell = {title(table, i), STYLE_HEAD};
        print_cell(table, i, &cell, out);
    }
    table->headline_printed = true;
}

void table_print(struct table *table, FILE *out)
{
    assert(table->cell_count % table->column_count == 0);
    if (table->screen->tables && table->cell_count > 0) {
        fit(table);
        print_headline(table, out);
    }
    for (size_t i = 0; i < table->cell_count; i++) {
        size_t column = i % table->column_count;
        struct text text = table->cells[i].text;
        if (table->screen->tables) {
            print_cell(table, column, &table->cells[i], out);
            continue;
        }
        fwrite(text.bytes, 1, text.len, out);
        fputc(column + 1 == table->column_count ? '\n' : '\t', out);
    }
    arena_reset(&table->arena);
    table->cells = NULL;
    table->cell_count = table->cell_capacity = 0;
}

/* Tables, values and times as `fwsync` prints them: for a person, and for a program. */
#include "engine/tool/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "engine/tool/when.h"

static const struct table_column columns[] = {{"NAME", false}, {"COUNT", true}, {"NOTE", false}};

static const struct screen program = {.tables = false};
static const struct screen person = {.tables = true};

/* What one table with these rows of (name, count, note) prints. The caller frees it. */
static char *printed(const struct screen *screen, size_t row_count, const char *const rows[][3])
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    struct table *table = table_create(columns, 3, screen);
    for (size_t i = 0; i < row_count; i++) {
        table_cell(table, text_of(rows[i][0]), STYLE_PLAIN);
        table_cell_count(table, strtoll(rows[i][1], NULL, 10));
        table_cell(table, text_of(rows[i][2]), STYLE_GOOD);
    }
    table_print(table, out);
    table_destroy(table);
    fclose(out);
    return text;
}

static void expect(const struct screen *screen, size_t row_count, const char *const rows[][3],
                   const char *expected)
{
    char *text = printed(screen, row_count, rows);
    assert_string_equal(text, expected);
    free(text);
}

static void test_program_gets_tabs_and_no_headline(void **state)
{
    (void)state;
    const char *const rows[][3] = {{"a", "1234567", "x"}, {"", "-5", ""}};
    expect(&program, 2, rows, "a\t1234567\tx\n-\t-5\t-\n");
    expect(&program, 0, NULL, "");
}

static void test_person_gets_aligned_columns(void **state)
{
    (void)state;
    const char *const rows[][3] = {{"a", "1234567", "x"}, {"longer", "-123", ""}, {"b", "999", "y"}};
    expect(&person, 3, rows,
           "NAME        COUNT  NOTE\n"
           "a       1,234,567  x\n"
           "longer       -123  -\n"
           "b             999  y\n");
    expect(&person, 0, NULL, "");
}

static void test_characters_count_not_bytes(void **state)
{
    (void)state;
    const char *const rows[][3] = {{"\xC3\xA9\xE2\x82\xAC", "1", "x"}, {"abcde", "2", "y"}};
    expect(&person, 2, rows, "NAME   COUNT  NOTE\n\xC3\xA9\xE2\x82\xAC         1  x\nabcde      2  y\n");
}

static void test_control_characters_never_reach_the_screen(void **state)
{
    (void)state;
    const char *const rows[][3] = {{"a\tb\nc", "1", "\033[31m"},
                                   {"\xC2\x9B", "2", "\xFF\x7F"},
                                   {"\xE2\x80\xAE" "a\xE2\x81\xA6", "3", "\xE2\x80\xA6"}};
    expect(&program, 3, rows,
           "a\\tb\\nc\t1\t\\x1b[31m\n\\xc2\\x9b\t2\t\\xff\\x7f\n"
           "\\xe2\\x80\\xaea\\xe2\\x81\\xa6\t3\t\xE2\x80\xA6\n");
}

static void test_the_widest_column_gives_way_to_a_narrow_terminal(void **state)
{
    (void)state;
    struct screen narrow = {.tables = true, .columns = 24};
    const char *const rows[][3] = {{"a-very-long-name-indeed", "7", "note"}};
    expect(&narrow, 1, rows,
           "NAME         COUNT  NOTE\n"
           "a-very-lon\xE2\x80\xA6      7  note\n");
}

/* What a table of two rows prints whose columns may go, NOTE first; NAME needs so many columns. */
static void expect_dropped_needing(size_t need, int columns_of_terminal, const char *expected)
{
    static const unsigned char drop_order[] = {2, 1};
    struct screen narrow = {.tables = true, .columns = columns_of_terminal};
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    struct table *table = table_create(columns, 3, &narrow);
    table_may_drop(table, drop_order, sizeof drop_order);
    table_needs(table, 0, need);
    table_cell(table, TEXT("a-name-of-twenty-one."), STYLE_PLAIN);
    table_cell_count(table, 12345);
    table_cell(table, TEXT("note"), STYLE_PLAIN);
    table_print(table, out);
    table_destroy(table);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
}

static void expect_dropped(int columns_of_terminal, const char *expected)
{
    expect_dropped_needing(16, columns_of_terminal, expected);
}

static void test_columns_are_left_out_before_others_are_cut_short(void **state)
{
    (void)state;
    expect_dropped(0, "NAME                    COUNT  NOTE\na-name-of-twenty-one.  12,345  note\n");
    expect_dropped(35, "NAME                    COUNT  NOTE\na-name-of-twenty-one.  12,345  note\n");
    expect_dropped(30, "NAME               COUNT  NOTE\na-name-of-twent\xE2\x80\xA6  12,345  note\n");
    expect_dropped(29, "NAME                    COUNT\na-name-of-twenty-one.  12,345\n");
    expect_dropped(24, "NAME               COUNT\na-name-of-twent\xE2\x80\xA6  12,345\n");
    expect_dropped(23, "NAME\na-name-of-twenty-one.\n");
    expect_dropped(10, "NAME\na-name-of\xE2\x80\xA6\n");
}

static void test_what_a_column_needs_is_cut_last(void **state)
{
    (void)state;
    expect_dropped_needing(21, 35, "NAME                    COUNT  NOTE\na-name-of-twenty-one.  12,345  note\n");
    expect_dropped_needing(21, 34, "NAME                    COUNT\na-name-of-twenty-one.  12,345\n");
    expect_dropped_needing(21, 28, "NAME\na-name-of-twenty-one.\n");
    expect_dropped_needing(4, 23, "NAME        COUNT  NOTE\na-name-o\xE2\x80\xA6  12,345  note\n");
}

static void test_wide_characters_take_two_columns(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 256);
    assert_int_equal(screen_width(TEXT("\xE6\xB8\xA9\xE5\xBA\xA6")), 4);
    assert_int_equal(screen_width(TEXT("\xF0\x9F\x98\x80!")), 3);
    assert_int_equal(screen_width(TEXT("e\xCC\x81")), 1);
    assert_int_equal(screen_width(TEXT("")), 0);
    struct text text = TEXT("\xE6\xB8\xA9\xE5\xBA\xA6x");
    assert_true(text_is(screen_cut(text, 5, &arena), text.bytes));
    assert_true(text_is(screen_cut(text, 4, &arena), "\xE6\xB8\xA9\xE2\x80\xA6"));
    assert_true(text_is(screen_cut(text, 2, &arena), "\xE2\x80\xA6"));
    arena_fini(&arena);
}

static void test_colour_surrounds_the_text_only(void **state)
{
    (void)state;
    struct screen colour = {.tables = true, .colour = true};
    const char *const rows[][3] = {{"a", "1", "x"}};
    expect(&colour, 1, rows,
           "\033[1mNAME\033[0m  \033[1mCOUNT\033[0m  \033[1mNOTE\033[0m\n"
           "a         1  \033[32mx\033[0m\n");
}

static void test_pages_share_headline_and_widths(void **state)
{
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    struct table *table = table_create(columns, 3, &person);
    const char *const names[] = {"wide-name", "x"};
    for (size_t i = 0; i < 2; i++) {
        table_cell(table, text_of(names[i]), STYLE_PLAIN);
        table_cell_count(table, 1);
        table_cell(table, TEXT("n"), STYLE_PLAIN);
        table_print(table, out);
    }
    table_destroy(table);
    fclose(out);
    assert_string_equal(text, "NAME       COUNT  NOTE\nwide-name      1  n\nx              1  n\n");
    free(text);
}

static void test_cut_keeps_whole_characters(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 256);
    struct text text = TEXT("\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9");
    assert_true(text_is(screen_cut(text, 4, &arena), text.bytes));
    assert_true(text_is(screen_cut(text, 3, &arena), "\xC3\xA9\xC3\xA9\xE2\x80\xA6"));
    assert_true(text_is(screen_cut(text, 1, &arena), "\xE2\x80\xA6"));
    arena_fini(&arena);
}

static void test_strings_that_look_like_something_else_keep_their_quotes(void **state)
{
    (void)state;
    static const struct {
        const char *string;
        const char *for_person;
        const char *for_program;
    } rows[] = {
        {"v1.2", "v1.2", "v1.2"},
        {"1.2", "\"1.2\"", "1.2"},
        {"true", "\"true\"", "true"},
        {"True", "True", "True"},
        {" x", "\" x\"", " x"},
        {"null", "\"null\"", "null"},
        {"1.2.3", "1.2.3", "1.2.3"},
        {"{\"a\":1}", "\"{\\\"a\\\":1}\"", "{\"a\":1}"},
        {"", "\"\"", "\"\""},
        {"-", "\"-\"", "\"-\""},
        {"--", "--", "--"},
        {"\"\"", "\"\\\"\\\"\"", "\"\\\"\\\"\""},
        {"\"x", "\"\\\"x\"", "\"\\\"x\""},
    };
    struct arena arena;
    arena_init(&arena, 256);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct value value = value_string(text_of(rows[i].string));
        assert_true(text_is(screen_value(&person, &value, &arena), rows[i].for_person));
        assert_true(text_is(screen_value(&program, &value, &arena), rows[i].for_program));
    }
    arena_fini(&arena);
}

static void test_times(void **state)
{
    (void)state;
    const int64_t now = INT64_C(1795242906559), second = 1000, day = 86400 * second;
    const struct {
        int64_t before_ms;
        const char *text;
    } rows[] = {
        {0, "just now"},
        {999, "just now"},
        {second, "1 s ago"},
        {120 * second - 1, "119 s ago"},
        {120 * second, "2 min ago"},
        {7200 * second - 1, "119 min ago"},
        {7200 * second, "2 h ago"},
        {2 * day - 1, "47 h ago"},
        {2 * day, "2 days ago"},
        {14 * day - 1, "13 days ago"},
        {14 * day, "2026-11-07 06:35:06"},
        {-1, "2026-11-21 06:35:06"},
    };
    char text[WHEN_BYTES];
    setenv("TZ", "UTC", 1);
    tzset();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        when_ago(now - rows[i].before_ms, now, text);
        assert_string_equal(text, rows[i].text);
    }
    when_iso(now, text);
    assert_string_equal(text, "2026-11-21T06:35:06.559Z");
    when_iso(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
    when_iso(INT64_MIN, text); /* whatever it says, it fits */
    assert_true(strlen(text) < WHEN_BYTES);
}

static void test_moments_that_a_person_types(void **state)
{
    (void)state;
    enum { NONE = -1 };
    static const int64_t now_ms = 1790000000000; /* 2026-09-21T14:13:20Z */
    static const struct {
        const char *word;
        int64_t ms;
    } rows[] = {
        {"0s", 1790000000000},
        {"30s", 1789999970000},
        {"15m", 1789999100000},
        {"1h", 1789996400000},
        {"2d", 1789827200000},
        {"1790000000000", 1790000000000},
        {"1790000000001", NONE}, /* to come */
        {"179000000000", 179000000000},
        {"17900000000", NONE}, /* too short to be sure */
        {"1970-01-01T00:00:00Z", 0},
        {"2026-09-21T14:13:20Z", 1790000000000},
        {"2026-09-21 14:13:20.25Z", NONE},
        {"2026-09-21T14:13:19.25Z", 1789999999250},
        {"2026-09-21T14:13Z", 1789999980000},
        {"2026-09-21T16:13:20+02:00", 1790000000000},
        {"2026-09-21T06:43:20-0730", 1790000000000},
        {"2026-09-20", 1789855200000}, /* local: UTC+2 */
        {"2026-09-20Z", 1789862400000},
        {"2026-09-21T16:13:20", 1790000000000},
        {"16:13", 1789999980000},
        {"16:13:20", 1790000000000},
        {"6:13", 1789964000000 - 20000},
        {"16:13:20.5", 1789913600500}, /* to come today: yesterday's */
        {"16:14", 1789913640000},
        {"24:00", NONE},
        {"16:60", NONE},
        {"16:13Z", NONE},
        {"16:", NONE},
        {"-1:13", NONE},
        {"2026-02-29", NONE},
        {"2024-02-29Z", 1709164800000},
        {"2026-13-01", NONE},
        {"2026-9-21", NONE},
        {"2026-09-21T24:00Z", NONE},
        {"2026-09-21T14:60Z", NONE},
        {"2026-09-21T14", NONE},
        {"2026-09-21x", NONE},
        {"2026-09-21T14:13Zx", NONE},
        {"2026-09-20T14:13+1", NONE},
        {"1w", NONE},
        {"h", NONE},
        {"-1h", NONE},
        {"1.5h", NONE},
        {"", NONE},
        {"now", NONE},
    };
    setenv("TZ", "HERE-2", 1);
    tzset();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t ms = 7;
        bool read = when_parse(rows[i].word, now_ms, &ms);
        if (read != (rows[i].ms != NONE) || ms != (read ? rows[i].ms : 7))
            fail_msg("%s: %d, %lld", rows[i].word, read, (long long)ms);
    }
}

static void test_never(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 256);
    assert_true(text_is(when_text(&person, 0, &arena), "never"));
    assert_true(text_is(when_text(&program, 0, &arena), "-"));
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_program_gets_tabs_and_no_headline),
        cmocka_unit_test(test_person_gets_aligned_columns),
        cmocka_unit_test(test_characters_count_not_bytes),
        cmocka_unit_test(test_control_characters_never_reach_the_screen),
        cmocka_unit_test(test_the_widest_column_gives_way_to_a_narrow_terminal),
        cmocka_unit_test(test_columns_are_left_out_before_others_are_cut_short),
        cmocka_unit_test(test_what_a_column_needs_is_cut_last),
        cmocka_unit_test(test_wide_characters_take_two_columns),
        cmocka_unit_test(test_colour_surrounds_the_text_only),
        cmocka_unit_test(test_pages_share_headline_and_widths),
        cmocka_unit_test(test_cut_keeps_whole_characters),
        cmocka_unit_test(test_strings_that_look_like_something_else_keep_their_quotes),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_moments_that_a_person_types),
        cmocka_unit_test(test_never),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The ground: errors, texts, values, arenas, checksums. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/arena.h"
#include "engine/base/crc32c.h"
#include "engine/base/err.h"
#include "engine/base/value.h"

static void test_context_goes_in_front_and_is_cut_not_overrun(void **state)
{
    (void)state;
    struct err err;
    assert_false(err_set(&err, ERR_RULE, "no %s", "value"));
    assert_false(err_context(&err, "chain '%s': ", "root"));
    assert_string_equal(err.text, "chain 'root': no value");
    assert_string_equal(err_code_name(err.code), "rule");
    for (int i = 0; i < 100; i++)
        err_context(&err, "0123456789");
    assert_int_equal(strlen(err.text), ERR_TEXT_BYTES - 1);
    assert_false(err_set(NULL, ERR_IO, "nobody asked"));
}

static void test_nearest_word_helps_only_when_near(void **state)
{
    (void)state;
    static const char *const words[] = {"fetch-attributes", "save-attributes", "compare", "set"};
    static const struct {
        const char *wrong;
        const char *nearest;
    } rows[] = {
        {"compair", "compare"},   {"Save-Attributes", "save-attributes"}, {"fetch-atributes", "fetch-attributes"},
        {"compraer", "compare"},  {"tes", "set"},                         {"banana", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *nearest = text_nearest(text_of(rows[i].wrong), words, 4);
        if (rows[i].nearest == NULL)
            assert_null(nearest);
        else
            assert_string_equal(nearest == NULL ? "nothing" : nearest, rows[i].nearest);
    }
}

static void test_utf8_is_what_the_standard_says(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        bool valid;
    } rows[] = {
        {"plain", true},           {"\xC3\xA9", true},         {"\xE2\x82\xAC", true},
        {"\xF0\x9F\x98\x80", true}, {"\xF4\x8F\xBF\xBF", true}, {"\xF4\x90\x80\x80", false},
        {"\xC1\xBF", false},       {"\xE0\x9F\xBF", false},    {"\xED\xBF\xBF", false},
        {"\xF0\x8F\xBF\xBF", false}, {"\x80", false},           {"\xE2\x82", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(text_valid_utf8(text_of(rows[i].bytes)), rows[i].valid);
    assert_false(text_valid_utf8((struct text){"a\0b", 3}));
}

static void test_values_of_different_kinds_differ(void **state)
{
    (void)state;
    const struct value values[] = {
        {.kind = VALUE_NULL},
        {.kind = VALUE_BOOLEAN, .boolean = true},
        {.kind = VALUE_INTEGER, .integer = 1},
        {.kind = VALUE_DOUBLE, .number = 1},
        {.kind = VALUE_STRING, .text = TEXT("1")},
        {.kind = VALUE_JSON, .text = TEXT("1")},
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        for (size_t j = 0; j < sizeof values / sizeof values[0]; j++)
            assert_int_equal(value_equal(&values[i], &values[j]), i == j);
}

static void test_a_number_has_a_point_in_every_locale(void **state)
{
    (void)state;
    static const struct {
        const char *text, *point, *expected;
    } rows[] = {
        {"2.5", ".", "2.5"},
        {"2,5", ",", "2.5"},
        {"-1,25e-07", ",", "-1.25e-07"},
        {"2\xd9\xab\x35", "\xd9\xab", "2.5"}, /* the Arabic one has two bytes */
        {"1e+300", ",", "1e+300"},
        {"7", "\xd9\xab", "7"},
        {"7", "", "7"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[DOUBLE_TEXT_BYTES];
        size_t len = strlen(rows[i].text);
        memcpy(text, rows[i].text, len + 1);
        assert_int_equal(value_put_point(text, len, rows[i].point), strlen(rows[i].expected));
        assert_string_equal(text, rows[i].expected);
    }
}

/* Where one with a comma is installed, or in LOCPATH. */
static void test_a_number_is_formatted_the_same_in_a_locale_with_a_comma(void **state)
{
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8"};
    static const double numbers[] = {2.5, 1.0, 1e300, -1.25e-7, 1234567.875};
    static const char *const texts[] = {"2.5", "1.0", "1e+300", "-1.25e-07", "1234567.875"};
    const char *taken = NULL;
    for (size_t i = 0; taken == NULL && i < sizeof names / sizeof names[0]; i++)
        taken = setlocale(LC_ALL, names[i]);
    if (taken == NULL)
        print_message("no such locale here\n");
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        char text[DOUBLE_TEXT_BYTES];
        assert_int_equal(value_format_double(numbers[i], text), strlen(texts[i]));
        assert_string_equal(text, texts[i]);
    }
    setlocale(LC_ALL, "C");
}

static void test_scopes_read_back(void **state)
{
    (void)state;
    for (enum scope scope = SCOPE_CLIENT; scope < SCOPE_COUNT; scope++) {
        enum scope found;
        assert_int_equal(scope_parse(text_of(scope_name(scope)), &found), scope != SCOPE_TELEMETRY);
        assert_true(scope_parse_short(text_of(scope_short(scope)), &found));
        assert_int_equal(found, scope);
    }
}

/* Every byte at every place of a text of every length around the words of eight. */
static void test_plain_length_stops_at_the_first_special_byte(void **state)
{
    (void)state;
    enum { LENGTH_MAX = 27 };
    for (size_t length = 0; length <= LENGTH_MAX; length++) {
        char bytes[LENGTH_MAX];
        memset(bytes, 'a', sizeof bytes);
        assert_int_equal(text_plain_length(bytes, length), length);
        for (size_t at = 0; at < length; at++) {
            for (int byte = 0; byte < 256; byte++) {
                bytes[at] = (char)byte;
                bool plain = byte >= 0x20 && byte < 0x7F && byte != '"' && byte != '\\';
                assert_int_equal(text_plain_length(bytes, length), plain ? length : at);
            }
            bytes[at] = '!'; /* after a special byte the next ones don't matter */
        }
    }
    assert_int_equal(text_plain_length("aaa\"\x01#\x80 ", 8), 3);
}

static void test_decimal_is_what_printf_gives(void **state)
{
    (void)state;
    uint64_t number = UINT64_MAX;
    for (size_t i = 0; i < 100000; i++) {
        char digits[DECIMAL_BYTES], wanted[DECIMAL_BYTES + 1];
        number = i < 20000 ? i : number <= 1 ? UINT64_MAX - i : number - number / 16 - 1; /* of all lengths */
        snprintf(wanted, sizeof wanted, "%llu", (unsigned long long)number);
        assert_true(text_is((struct text){digits, (size_t)(put_unsigned(digits, number) - digits)}, wanted));
    }
}

/* A table that is half full finds a free slot after half a look more, if the hashes are like random ones. */
/* Of every length, and with one byte that differs, wherever it is. In memory of just that size: nothing else is read. */
static void test_texts_are_equal_when_each_byte_is(void **state)
{
    enum { LEN_MAX = 40 };
    (void)state;
    for (size_t len = 0; len <= LEN_MAX; len++) {
        char *ours = malloc(len + 1), *others = malloc(len + 1);
        assert_true(ours != NULL && others != NULL);
        struct text a = {ours + 1, len}, b = {others + 1, len}; /* up to the end */
        for (size_t i = 1; i <= len; i++)
            ours[i] = others[i] = (char)('a' + i % 3);
        assert_true(text_equal(a, b) && text_starts(a, b) && text_hash(a) == text_hash(b));
        assert_true(len == 0 || !text_equal(a, (struct text){b.bytes, len - 1}));
        for (size_t i = 1; i <= len; i++) {
            others[i] = (char)~others[i];
            assert_false(text_equal(a, b) || text_starts(a, b) || text_hash(a) == text_hash(b));
            others[i] = (char)~others[i];
        }
        free(ours);
        free(others);
    }
}

static void test_hashes_of_numbered_names_spread(void **state)
{
    (void)state;
    enum { NAMES = 50000, SLOTS = 1 << 17 };
    static const struct {
        const char *before;
        int digits;
        const char *after;
    } rows[] = {{"d", 1, ""}, {"", 1, ""}, {"device-", 7, ""}, {"ESP32-", 6, ""}, {"24:6F:28:", 6, ""}, {"", 1, ".sensor"}};
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        static bool taken[SLOTS];
        unsigned long looks = 0;
        memset(taken, 0, sizeof taken);
        for (int i = 0; i < NAMES; i++) {
            char name[40];
            int len = snprintf(name, sizeof name, "%s%0*d%s", rows[row].before, rows[row].digits, i, rows[row].after);
            size_t slot = text_hash((struct text){name, (size_t)len}) % SLOTS;
            for (; taken[slot]; slot = (slot + 1) % SLOTS)
                looks++;
            taken[slot] = true;
        }
        assert_in_range(looks, 1, NAMES / 2);
    }
}

static void test_arena_aligns(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1024);
    for (int i = 0; i < 100; i++) {
        char *more = arena_alloc(&arena, 333);
        assert_int_equal((uintptr_t)more % 16, 0);
        memset(more, i, 333);
    }
    assert_int_equal(arena.used_bytes, 100 * 336);
    assert_string_equal(arena_format(&arena, "%d-%s", 7, "x").bytes, "7-x");
    assert_string_equal(arena_copy(&arena, TEXT("abc")).bytes, "abc");
    arena_fini(&arena);
}

static void test_arena_keeps_its_largest_chunk_within_bounds(void **state)
{
    (void)state;
    enum { CHUNK = 1024, BOUND = CHUNK * ARENA_KEEP_CHUNKS };
    static const struct {
        size_t allocations, bytes_each, kept;
    } rows[] = {
        {0, 0, 0},          {1, 1, CHUNK},          {100, 16, 2 * CHUNK},  {1, 3000, 3008},
        {1, BOUND, BOUND},  {1, BOUND + 1, 0},      {10000, 16, BOUND},
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct arena arena;
        arena_init(&arena, CHUNK);
        for (size_t i = 0; i < rows[row].allocations; i++)
            memset(arena_alloc(&arena, rows[row].bytes_each), 1, rows[row].bytes_each);
        arena_reset(&arena);
        assert_int_equal(arena.used_bytes, 0);
        assert_int_equal(arena.end - arena.next, rows[row].kept);
        memset(arena_alloc(&arena, BOUND), 1, BOUND);
        arena_fini(&arena);
    }
}

static bool is_among(char *const *blocks, size_t count, const char *block)
{
    while (count > 0 && blocks[count - 1] != block)
        count--;
    return count > 0;
}

static void test_arena_keeps_as_much_as_it_is_told_to(void **state)
{
    (void)state;
    enum { CHUNK = 64, BLOCK = CHUNK * ARENA_KEEP_CHUNKS, COUNT = 20 };
    static const size_t kept[] = {0, BLOCK - 1, BLOCK, 7 * BLOCK, 100 * BLOCK};
    for (size_t row = 0; row < sizeof kept / sizeof kept[0]; row++) {
        struct arena arena;
        char *first[COUNT];
        size_t again = 0, expected = kept[row] / BLOCK < COUNT ? kept[row] / BLOCK : COUNT;
        arena_init(&arena, CHUNK);
        for (size_t i = 0; i < COUNT; i++) /* each is a chunk of its own */
            memset(first[i] = arena_alloc(&arena, BLOCK), 1, BLOCK);
        arena_reset_keeping(&arena, kept[row]);
        assert_int_equal(arena.used_bytes, 0);
        for (; arena.spare != NULL; again++) {
            char *block = arena_alloc(&arena, BLOCK);
            memset(block, 2, BLOCK);
            assert_true(is_among(first, COUNT, block));
        }
        assert_int_equal(again, expected);
        memset(arena_alloc(&arena, 2 * BLOCK), 3, 2 * BLOCK); /* no spare one is large enough */
        arena_fini(&arena);
    }
}

/* RFC 3720, appendix B.4. */
static void test_crc32c_matches_the_published_vectors(void **state)
{
    (void)state;
    unsigned char zeros[32] = {0}, ones[32], rising[32];
    memset(ones, 0xFF, sizeof ones);
    for (unsigned i = 0; i < sizeof rising; i++)
        rising[i] = (unsigned char)i;
    assert_int_equal(crc32c(0, zeros, 32), 0x8A9136AA);
    assert_int_equal(crc32c(0, ones, 32), 0x62A8AB43);
    assert_int_equal(crc32c(0, rising, 32), 0x46DD794E);
    assert_int_equal(crc32c(crc32c(0, rising, 13), rising + 13, 19), 0x46DD794E);
    assert_int_equal(crc32c(0, "", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_context_goes_in_front_and_is_cut_not_overrun),
        cmocka_unit_test(test_nearest_word_helps_only_when_near),
        cmocka_unit_test(test_utf8_is_what_the_standard_says),
        cmocka_unit_test(test_values_of_different_kinds_differ),
        cmocka_unit_test(test_a_number_has_a_point_in_every_locale),
        cmocka_unit_test(test_a_number_is_formatted_the_same_in_a_locale_with_a_comma),
        cmocka_unit_test(test_scopes_read_back),
        cmocka_unit_test(test_plain_length_stops_at_the_first_special_byte),
        cmocka_unit_test(test_decimal_is_what_printf_gives),
        cmocka_unit_test(test_texts_are_equal_when_each_byte_is),
        cmocka_unit_test(test_hashes_of_numbered_names_spread),
        cmocka_unit_test(test_arena_aligns),
        cmocka_unit_test(test_arena_keeps_its_largest_chunk_within_bounds),
        cmocka_unit_test(test_arena_keeps_as_much_as_it_is_told_to),
        cmocka_unit_test(test_crc32c_matches_the_published_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

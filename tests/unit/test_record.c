/* A device's record gives back what was put in, and bytes that were changed are noticed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/coding.h"
#include "store/record.h"
#include "store/value_key.h"

static struct arena arena;
static struct words words;

static int setup(void **unused)
{
    (void)unused;
    arena_init(&arena, 4096);
    words_init(&words);
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    arena_fini(&arena);
    words_fini(&words);
    return 0;
}

static char large[VALUE_BYTES_MAX];

static const struct {
    enum scope scope;
    const char *key;
    struct value value;
    int64_t ts_ms;
    uint64_t seq;
} rows[] = {
    {SCOPE_CLIENT, "a", {.kind = VALUE_BOOLEAN, .boolean = true}, 0, 1},
    {SCOPE_CLIENT, "ab", {.kind = VALUE_BOOLEAN, .boolean = false}, -1, 0},
    {SCOPE_CLIENT, "b", {.kind = VALUE_INTEGER, .integer = 0}, INT64_MIN, UINT64_MAX},
    {SCOPE_SHARED, "a", {.kind = VALUE_INTEGER, .integer = -9007199254740992}, INT64_MAX, 1 << 20},
    {SCOPE_SHARED, "B", {.kind = VALUE_INTEGER, .integer = 9007199254740992}, 1732147200000, 127},
    {SCOPE_SERVER, "a", {.kind = VALUE_DOUBLE, .number = -0.0}, 1732147200000, 128},
    {SCOPE_SERVER, "b", {.kind = VALUE_DOUBLE, .number = 5e-324}, 63, 16383},
    {SCOPE_SERVER, "c", {.kind = VALUE_STRING, .text = {"", 0}}, 64, 16384},
    {SCOPE_SERVER, "\303\244", {.kind = VALUE_STRING, .text = {"v1.20", 5}}, -64, 34359738368},
    {SCOPE_SERVER, "d", {.kind = VALUE_STRING, .text = {large, sizeof large}}, -65, 3},
    {SCOPE_TELEMETRY, "a", {.kind = VALUE_JSON, .text = {"[1,{}]", 6}}, 1, 2},
};
enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

static void put_rows(struct entries *entries)
{
    memset(large, 'x', sizeof large);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        size_t position, row = i * 7 % ROW_COUNT; /* not in order */
        struct attribute attribute = {text_of(rows[row].key), rows[row].value, rows[row].ts_ms,
                                      rows[row].seq};
        assert_false(entries_find(entries, rows[row].scope, attribute.key, &position));
        entries_insert(entries, position,
                       entry_encode(&arena, &words, rows[row].scope, &attribute));
    }
}

static struct text write_record(const struct record_head *head, const struct entries *entries)
{
    size_t len = record_bytes(&words, head, entries);
    char *bytes = arena_alloc(&arena, len);
    record_write(bytes, len, &words, head, entries);
    return (struct text){bytes, len};
}

static const struct record_head head = {{"ESP32_OTA", 9}, {"device-7", 8}, 1732147200000, 4096, 0, 0};

static void check_rows(const struct entries *entries)
{
    assert_int_equal(entries->count, ROW_COUNT);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        size_t position;
        assert_true(entries_find(entries, rows[i].scope, text_of(rows[i].key), &position));
        struct attribute found = entry_decode(&entries->items[position]);
        assert_true(text_is(found.key, rows[i].key));
        assert_true(value_equal(&found.value, &rows[i].value));
        assert_int_equal(found.ts_ms, rows[i].ts_ms);
        assert_int_equal(found.seq, rows[i].seq);
    }
    for (size_t i = 1; i < ROW_COUNT; i++) {
        const struct entry *a = &entries->items[i - 1], *b = &entries->items[i];
        assert_true(a->scope < b->scope || (a->scope == b->scope && strcmp(a->key, b->key) != 0));
    }
}

/* Alone at the end of its bytes, or with others behind it; padded or not. */
static void test_varints_read_back_wherever_they_end(void **unused)
{
    (void)unused;
    for (unsigned bits = 0; bits <= 64; bits++)
        for (size_t bytes_min = 1; bytes_min <= 9; bytes_min++)
            for (size_t behind = 0; behind < 10; behind++) {
                uint64_t number = bits == 0 ? 0 : UINT64_C(0xB5A9D3C7E1F08642) >> (64 - bits);
                unsigned char bytes[32];
                memset(bytes, (int)(bits * 37 + behind), sizeof bytes);
                unsigned char *end = coding_put_padded(bytes, number, bytes_min);
                struct coding_reader reader = {bytes, end + behind};
                assert_true(coding_read_varint(&reader) == number);
                assert_ptr_equal(reader.at, end);
                for (reader.end = end - 1; reader.end >= bytes; reader.end--) {
                    reader.at = bytes; /* cut short */
                    assert_int_equal(coding_read_varint(&reader), 0);
                    assert_null(reader.at);
                }
            }
}

static void test_record_gives_back_what_was_put_in(void **unused)
{
    (void)unused;
    struct entries in = {0}, out = {0};
    struct record_head read_head;
    put_rows(&in);
    check_rows(&in);
    struct text record = write_record(&head, &in);
    assert_true(record_read(&words, record, &read_head, &out));
    assert_true(text_equal(read_head.name, head.name) && text_equal(read_head.type, head.type));
    assert_int_equal(read_head.created_ms, head.created_ms);
    assert_true(read_head.history == head.history);
    check_rows(&out);
    struct record_head new = head;
    new.history = HISTORY_NONE;
    assert_true(record_read(&words, write_record(&new, &in), &read_head, &out));
    assert_true(read_head.history == HISTORY_NONE);
    record = write_record(NULL, &in);
    assert_true(record_read(&words, record, NULL, &out));
    check_rows(&out);
    entries_fini(&in);
    entries_fini(&out);
}

static void test_record_keeps_the_timer(void **unused)
{
    (void)unused;
    static const struct {
        int64_t due_ms, bucket_ms;
    } timers[] = {{0, 0}, {0, 1000}, {1, 1000}, {1732147200001, 1732147201000}, {1, 1732147200000},
                  {INT64_C(1) << 53, INT64_C(9007199254741000)}};
    struct entries none = {0}, out = {0};
    for (size_t i = 0; i < sizeof timers / sizeof timers[0]; i++) {
        struct record_head with = head, read_head;
        with.due_ms = timers[i].due_ms;
        with.bucket_ms = timers[i].bucket_ms;
        assert_true(record_read(&words, write_record(&with, &none), &read_head, &out));
        assert_int_equal(read_head.due_ms, with.due_ms);
        assert_int_equal(read_head.bucket_ms, with.bucket_ms);
    }
    entries_fini(&out);
}

/* Otherwise LMDB moves its neighbours at each change. */
static void test_record_keeps_its_length_while_a_timer_is_set_and_cleared(void **unused)
{
    (void)unused;
    struct entries none = {0};
    struct record_head set = head, cleared = head;
    cleared.bucket_ms = set.bucket_ms = 1732147200000;
    set.due_ms = 1732147200000;
    assert_int_equal(record_bytes(&words, &set, &none), record_bytes(&words, &cleared, &none));
}

/* Whether bytes are the right ones is the checksum's business (state_db.h). Here a wrong length must not
 * lead outside of them, which the sanitizers see. */
static void test_wrong_bytes_are_walked_safely(void **unused)
{
    (void)unused;
    struct entries in = {0}, out = {0};
    struct record_head read_head;
    struct attribute attribute = {TEXT("currentFwVer"), value_string(TEXT("v1.1")), 1, 1};
    entries_insert(&in, 0, entry_encode(&arena, &words, SCOPE_CLIENT, &attribute));
    struct text record = write_record(&head, &in);
    unsigned refused = 0;
    for (size_t bit = 0; bit < 8 * record.len; bit++) {
        char *bytes = malloc(record.len); /* of its own, so that a step outside is seen */
        memcpy(bytes, record.bytes, record.len);
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
        refused += !record_read(&words, (struct text){bytes, record.len}, &read_head, &out);
        free(bytes);
    }
    assert_true(refused > record.len); /* most of the lengths and kinds */
    for (size_t len = 0; len + 8 <= record.len; len++) {
        char *bytes = malloc(len + 1);
        memcpy(bytes, record.bytes, len);
        assert_false(record_read(&words, (struct text){bytes, len}, &read_head, &out));
        free(bytes);
    }
    assert_true(record_read(&words, record, &read_head, &out));
    entries_fini(&in);
    entries_fini(&out);
}

static void test_record_keeps_its_length_while_seq_rises(void **unused)
{
    (void)unused;
    struct entries entries = {0};
    size_t position = 0, len = 0;
    for (uint64_t seq = 1; seq < UINT64_C(1) << 35; seq = seq * 3 + 1) {
        struct attribute attribute = {TEXT("currentFwVer"), value_string(TEXT("v1.1")),
                                      1732147200000 + (int64_t)seq, seq};
        struct entry entry = entry_encode(&arena, &words, SCOPE_CLIENT, &attribute);
        if (entries.count == 0)
            entries_insert(&entries, position, entry);
        else
            entries_replace(&entries, position, entry);
        assert_true(len == 0 || record_bytes(&words, &head, &entries) == len);
        len = record_bytes(&words, &head, &entries);
    }
    assert_true(len < 64);
    entries_fini(&entries);
}

static void test_entries_are_removed(void **unused)
{
    (void)unused;
    struct entries entries = {0};
    size_t position;
    put_rows(&entries);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        assert_true(entries_find(&entries, rows[i].scope, text_of(rows[i].key), &position));
        entries_remove(&entries, position);
        assert_false(entries_find(&entries, rows[i].scope, text_of(rows[i].key), &position));
    }
    assert_int_equal(entries.count, 0);
    assert_int_equal(entries.bytes, 0);
    entries_fini(&entries);
}

/* When there is no number left, the key itself is in the record. */
static void test_words_may_run_out(void **unused)
{
    (void)unused;
    struct entries in = {0}, out = {0};
    for (int i = 0; i < WORD_COUNT_MAX + 100; i++) {
        size_t position;
        struct text key = arena_format(&arena, "key-%05d", i);
        struct attribute attribute = {key, value_boolean(i % 2 == 0), i, (uint64_t)i};
        assert_false(entries_find(&in, SCOPE_CLIENT, key, &position));
        entries_insert(&in, position, entry_encode(&arena, &words, SCOPE_CLIENT, &attribute));
        uint32_t number;
        assert_int_equal(words_find(&words, key, &number), i < WORD_COUNT_MAX);
    }
    struct text record = write_record(NULL, &in);
    assert_true(record_read(&words, record, NULL, &out));
    assert_int_equal(out.count, WORD_COUNT_MAX + 100);
    for (int i = 0; i < WORD_COUNT_MAX + 100; i++) {
        struct attribute found = entry_decode(&out.items[i]);
        assert_true(text_equal(found.key, arena_format(&arena, "key-%05d", i)));
        assert_int_equal(found.seq, i);
    }
    entries_fini(&in);
    entries_fini(&out);
}

/* --- values as keys --- */

static struct text key_of(struct value value)
{
    unsigned char *bytes = arena_alloc(&arena, VALUE_KEY_BYTES_MAX);
    return (struct text){(const char *)bytes, value_key_encode(&value, bytes)};
}

static struct value number(double n)
{
    return (struct value){.kind = VALUE_DOUBLE, .number = n};
}

static struct value integer(int64_t n)
{
    return (struct value){.kind = VALUE_INTEGER, .integer = n};
}

static void test_value_keys_are_as_equal_as_values(void **unused)
{
    (void)unused;
    struct text long_a = arena_copy(&arena, (struct text){large, 5000}), long_b = long_a;
    long_b.len = 4999;
    const struct value values[] = {
        value_boolean(false),
        value_boolean(true),
        integer(0),
        integer(1),
        integer(-1),
        number(0.0),
        number(-0.0),
        number(1.0),
        number(INFINITY),
        value_string(TEXT("")),
        value_string(TEXT("1")),
        value_string(TEXT("true")),
        value_string((struct text){large, VALUE_KEY_TEXT_MAX}),
        value_string((struct text){large, VALUE_KEY_TEXT_MAX + 1}),
        value_string(long_a),
        value_string(long_b),
        {.kind = VALUE_JSON, .text = TEXT("1")},
        {.kind = VALUE_JSON, .text = long_a},
    };
    size_t count = sizeof values / sizeof values[0];
    for (size_t i = 0; i < count; i++) {
        struct value decoded;
        for (size_t j = 0; j < count; j++)
            assert_int_equal(text_equal(key_of(values[i]), key_of(values[j])),
                             value_equal(&values[i], &values[j]));
        bool whole = value_key_decode(key_of(values[i]), &decoded);
        bool is_text = values[i].kind == VALUE_STRING || values[i].kind == VALUE_JSON;
        assert_int_equal(whole, !is_text || values[i].text.len <= VALUE_KEY_TEXT_MAX);
        assert_true(!whole || value_equal(&decoded, &values[i]));
    }
}

static void test_number_keys_sort_as_numbers(void **unused)
{
    (void)unused;
    static const double rising[] = {-INFINITY, -1e300, -2.5, -1,    -0.0,
                                    0.0,       5e-324, 1,    1e300, INFINITY};
    static const int64_t integers[] = {-9007199254740992, -256, -1, 0, 1, 255, 256,
                                       9007199254740992};
    for (size_t i = 1; i < sizeof rising / sizeof rising[0]; i++)
        assert_true(
            memcmp(key_of(number(rising[i - 1])).bytes, key_of(number(rising[i])).bytes, 9) < 0);
    for (size_t i = 1; i < sizeof integers / sizeof integers[0]; i++)
        assert_true(memcmp(key_of(integer(integers[i - 1])).bytes,
                           key_of(integer(integers[i])).bytes, 9) < 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_varints_read_back_wherever_they_end),
        TEST(test_record_gives_back_what_was_put_in),
        TEST(test_record_keeps_the_timer),
        TEST(test_record_keeps_its_length_while_a_timer_is_set_and_cleared),
        TEST(test_wrong_bytes_are_walked_safely),
        TEST(test_record_keeps_its_length_while_seq_rises),
        TEST(test_entries_are_removed),
        TEST(test_words_may_run_out),
        TEST(test_value_keys_are_as_equal_as_values),
        TEST(test_number_keys_sort_as_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

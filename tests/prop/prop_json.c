/* prop_json.c - the short way through the JSON border against the one through cJSON.
 *
 * Random objects, most of them plain or nearly so, some broken by a changed byte, go through both; they have
 * to agree whether it is an object, and on what its members hold. FWSYNC_SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/base/buf.h"
#include "engine/base/clock.h"
#include "tests/unit/json_agree.h"

enum { ROUND_COUNT = 60000, MEMBERS_MAX = 19 };

static uint64_t random_state;

static unsigned random_below(unsigned bound)
{
    random_state ^= random_state << 13; /* xorshift64 */
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)((random_state >> 11) % bound);
}

#define PICK(words) words[random_below(sizeof words / sizeof words[0])]

static const char *const spaces[] = {"", "", "", "", "", "", " ", "  ", "\t", "\r\n", " \n", "\f"};
static const char *const keys[] = {"\"device\"", "\"type\"", "\"ts\"", "\"data\"", "\"metadata\"", "\"\"", "\"a\"",
                                   "\"A\"", "\"b c\"", "\"\\u0061\"", "\"d\xC3\xA9\"", "\"currentFwVer\""};
static const char *const plain_values[] = {
    "\"v1.1\"", "\"\"", "\"a longer text: 0123456789 }{][,:\"", "0", "7", "123456789012345", "true", "false", "null",
};
static const char *const other_values[] = {
    "1234567890123456", "9007199254740992", "9007199254740993", "-1", "-0", "00", "01", "1.0", "2.50", "1e2",
    "1E400", "-", "1.", ".5", "+1", "0x1", "1-2", "1 2", "tru", "True", "nul", "truee", "NaN", "", "\"a\\nb\"",
    "\"\\ud83d\\ude00\"", "\"\\x\"", "\"\xC3\xA9\"", "\"\xC3\"", "\"\x01\"", "\"\x7F\"", "\"", "[]", "[1,2]", "{}",
    "{\"x\":{\"y\":1.0}}", "{\"x\":1,\"x\":2}", "[[\"a\"]", "{\"data\":{}}",
};

static void write_members(struct buf *out, unsigned depth);

static void write_value(struct buf *out, unsigned depth)
{
    if (depth < 2 && random_below(3) == 0)
        write_members(out, depth + 1);
    else
        buf_append(out, text_of(random_below(20) > 0 ? PICK(plain_values) : PICK(other_values)));
}

static void write_members(struct buf *out, unsigned depth)
{
    unsigned count = random_below(random_below(8) == 0 ? MEMBERS_MAX : 4);
    unsigned first_key = random_below(1000); /* mostly different ones, or an object would seldom be right */
    buf_byte(out, '{');
    for (unsigned i = 0; i < count; i++) {
        if (i > 0)
            buf_byte(out, ',');
        buf_append(out, text_of(PICK(spaces)));
        if (random_below(30) == 0)
            buf_append(out, text_of(PICK(keys)));
        else if (random_below(3) > 0)
            buf_append(out, text_of(keys[(first_key + i) % (sizeof keys / sizeof keys[0])]));
        else
            buf_printf(out, "\"k%u\"", i);
        buf_append(out, text_of(PICK(spaces)));
        buf_byte(out, ':');
        buf_append(out, text_of(PICK(spaces)));
        write_value(out, depth);
        buf_append(out, text_of(PICK(spaces)));
    }
    buf_byte(out, '}');
}

static void break_it(struct buf *out)
{
    size_t place = random_below((unsigned)out->len);
    switch (random_below(3)) {
    case 0:
        out->bytes[place] = "{}[],:\"\\ 0-x"[random_below(12)];
        break;
    case 1:
        memmove(out->bytes + place, out->bytes + place + 1, out->len - place - 1);
        out->len--;
        break;
    case 2:
        out->len = place;
        break;
    }
}

static void prop_both_ways_agree(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 64 * 1024);
    unsigned accepted_count = 0;
    for (unsigned i = 0; i < ROUND_COUNT; i++) {
        arena_reset(&arena);
        struct buf out = {.arena = &arena};
        write_members(&out, 0);
        if (random_below(4) == 0)
            break_it(&out);
        /* in memory of its own, so that reading beyond its end shows */
        char *bytes = malloc(out.len > 0 ? out.len : 1);
        if (out.len > 0)
            memcpy(bytes, out.bytes, out.len);
        bool accepted;
        if (!json_agree((struct text){bytes, out.len}, &arena, &accepted))
            fail_msg("round %u: they differ about %.*s", i, (int)out.len, bytes);
        accepted_count += accepted;
        free(bytes);
    }
    assert_in_range(accepted_count, ROUND_COUNT / 4, ROUND_COUNT); /* else little was tried */
    arena_fini(&arena);
}

int main(void)
{
    const char *given = getenv("FWSYNC_SEED");
    random_state = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)clock_wall_ms();
    printf("FWSYNC_SEED=%llu\n", (unsigned long long)random_state);
    random_state = random_state * UINT64_C(2685821657736338717) | 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prop_both_ways_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

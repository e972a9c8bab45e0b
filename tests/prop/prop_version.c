/* prop_version.c - the order of versions is one: random versions, and a second way to compare them.
 *
 * `key_of` writes a version as a text that strcmp() orders: numbers padded with zeros, a release behind its
 * pre-releases. Which texts are versions at all is a regular expression. From both follows what
 * fwsync_version_compare() has to say about any two. FWSYNC_SEED repeats a run. */
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/clock.h"
#include "plugins/fwsync_plugin.h"

enum { VERSION_BYTES = 256, KEY_BYTES = 1024, NUMBER_COUNT = 4, DIGITS = 24 };

static uint64_t random_state;
static regex_t is_version;

static unsigned random_below(unsigned bound)
{
    random_state ^= random_state << 13; /* xorshift64 */
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)((random_state >> 11) % bound);
}

/* --- random versions ---------------------------------------------------------------------------------- */

static void append(char *out, size_t bytes, const char *part)
{
    size_t used = strlen(out);
    snprintf(out + used, bytes - used, "%s", part);
}

static void append_parts(char out[VERSION_BYTES], const char *const *parts, unsigned part_count)
{
    for (unsigned i = random_below(3) + 1; i > 0; i--) {
        append(out, VERSION_BYTES, parts[random_below(part_count)]);
        if (i > 1)
            append(out, VERSION_BYTES, ".");
    }
}

/* Short and from few parts, so that equal beginnings are common; now and then with a slip in it. */
static void random_version(char out[VERSION_BYTES])
{
    static const char *const numbers[] = {"0", "1", "2", "10", "01", "99999999999999999999"};
    static const char *const words[] = {"0", "1",  "2", "10", "01", "a",
                                        "B", "rc", "-", "1a", "99999999999999999999"};
    static const char *const slips[] = {".", "-", "+", " ", "v", "_"};
    static const char *const beginnings[] = {"", "", "v", "V"};
    out[0] = '\0';
    append(out, VERSION_BYTES, beginnings[random_below(4)]);
    append_parts(out, numbers, 6);
    if (random_below(2) == 0) {
        append(out, VERSION_BYTES, "-");
        append_parts(out, words, 11);
    }
    if (random_below(4) == 0) {
        append(out, VERSION_BYTES, "+");
        append_parts(out, words, 11);
    }
    if (random_below(10) == 0)
        append(out, VERSION_BYTES, slips[random_below(6)]);
}

/* --- comparing in another way --------------------------------------------------------------------------- */

static bool has_order(const char *version)
{
    return regexec(&is_version, version, 0, NULL, 0) == 0;
}

static void append_number(char key[KEY_BYTES], const char *digits)
{
    size_t used = strlen(key);
    snprintf(key + used, KEY_BYTES - used, "%0*d%s", (int)(DIGITS - strlen(digits)), 0, digits);
}

/* Takes the part up to the next dot off. */
static const char *next_part(char **rest)
{
    char *part = *rest;
    size_t len = strcspn(part, ".");
    *rest += len + (part[len] == '.');
    part[len] = '\0';
    return part;
}

static void append_numbers(char key[KEY_BYTES], char *numbers)
{
    int count = 0;
    for (; *numbers != '\0'; count++)
        append_number(key, next_part(&numbers));
    for (; count < NUMBER_COUNT; count++)
        append_number(key, "0");
}

static void append_words(char key[KEY_BYTES], char *words)
{
    while (*words != '\0') {
        const char *part = next_part(&words);
        bool is_number = part[strspn(part, "0123456789")] == '\0';
        append(key, KEY_BYTES, is_number ? "\1" "0" : "\1" "1"); /* a number before a word */
        if (is_number)
            append_number(key, part);
        else
            append(key, KEY_BYTES, part);
    }
}

static void key_of(const char *version, char key[KEY_BYTES])
{
    char copy[VERSION_BYTES], *numbers = copy;
    snprintf(copy, sizeof copy, "%s", version);
    numbers += copy[0] == 'v' || copy[0] == 'V';
    copy[strcspn(copy, "+")] = '\0';
    char *words = strchr(numbers, '-');
    if (words != NULL)
        *words++ = '\0';
    key[0] = '\0';
    append_numbers(key, numbers);
    append(key, KEY_BYTES, words == NULL ? "r" : "p"); /* a pre-release before its release */
    if (words != NULL)
        append_words(key, words);
}

static enum fwsync_order expected(const char *a, const char *b)
{
    char key_a[KEY_BYTES], key_b[KEY_BYTES];
    if (a[0] != '\0' && strcmp(a, b) == 0)
        return FWSYNC_EQUAL;
    if (!has_order(a) || !has_order(b))
        return FWSYNC_INCOMPARABLE;
    key_of(a, key_a);
    key_of(b, key_b);
    int order = strcmp(key_a, key_b);
    return order < 0 ? FWSYNC_OLDER : order > 0 ? FWSYNC_NEWER : FWSYNC_EQUAL;
}

/* --- properties ---------------------------------------------------------------------------------------- */

static enum fwsync_order compare(const char *a, const char *b)
{
    return fwsync_version_compare((struct fwsync_text){a, strlen(a)}, (struct fwsync_text){b, strlen(b)});
}

static enum fwsync_order reversed(enum fwsync_order order)
{
    return order == FWSYNC_OLDER ? FWSYNC_NEWER : order == FWSYNC_NEWER ? FWSYNC_OLDER : order;
}

static void prop_compared_as_by_the_other_way(void **state)
{
    (void)state;
    unsigned counts[4] = {0};
    for (int round = 0; round < 200000; round++) {
        char a[VERSION_BYTES], b[VERSION_BYTES];
        random_version(a);
        random_version(b);
        enum fwsync_order order = compare(a, b);
        if (order != expected(a, b))
            fail_msg("%s against %s: %d, not %d", a, b, order, expected(a, b));
        counts[order]++;
    }
    for (int order = 0; order < 4; order++)
        assert_true(counts[order] > 1000);
}

/* Antisymmetric, transitive, and total where there is an order; equal ones can stand for each other. */
static void prop_it_is_an_order(void **state)
{
    (void)state;
    unsigned ordered = 0;
    for (int round = 0; round < 300000; round++) {
        char a[VERSION_BYTES], b[VERSION_BYTES], c[VERSION_BYTES];
        random_version(a);
        random_version(b);
        random_version(c);
        enum fwsync_order ab = compare(a, b), bc = compare(b, c), ac = compare(a, c);
        if (compare(b, a) != reversed(ab) || compare(a, a) != FWSYNC_EQUAL)
            fail_msg("not antisymmetric: %s, %s", a, b);
        if (has_order(a) && has_order(b) && ab == FWSYNC_INCOMPARABLE)
            fail_msg("not total: %s, %s", a, b);
        if (ab == FWSYNC_INCOMPARABLE || bc == FWSYNC_INCOMPARABLE)
            continue;
        ordered++;
        enum fwsync_order both = ab == FWSYNC_EQUAL ? bc : ab;
        if ((ab == FWSYNC_EQUAL || bc == FWSYNC_EQUAL || ab == bc) && ac != both)
            fail_msg("not transitive: %s, %s, %s", a, b, c);
        if (ac == FWSYNC_INCOMPARABLE)
            fail_msg("not total: %s, %s, %s", a, b, c);
    }
    assert_true(ordered > 100000);
}

static int setup(void **state)
{
    (void)state;
    const char *seed = getenv("FWSYNC_SEED");
    random_state = seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)clock_monotonic_ns();
    random_state |= random_state == 0;
    print_message("FWSYNC_SEED=%llu\n", (unsigned long long)random_state);
#define PARTS(letters) letters "+(\\." letters "+)*"
    return regcomp(&is_version,
                   "^[vV]?" PARTS("[0-9]") "(-" PARTS("[0-9A-Za-z-]") ")?(\\+" PARTS("[0-9A-Za-z-]") ")?$",
                   REG_EXTENDED | REG_NOSUB);
}

static int teardown(void **state)
{
    (void)state;
    regfree(&is_version);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prop_compared_as_by_the_other_way),
        cmocka_unit_test(prop_it_is_an_order),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

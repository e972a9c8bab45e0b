/* fwsync_version_compare: the order of firmware versions, by rows and as a law over random versions. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plugins/fwsync_plugin.h"

static enum fwsync_order compare(const char *left, const char *right)
{
    return fwsync_version_compare((struct fwsync_text){left, strlen(left)},
                                  (struct fwsync_text){right, strlen(right)});
}

static enum fwsync_order reversed(enum fwsync_order order)
{
    return order == FWSYNC_OLDER ? FWSYNC_NEWER : order == FWSYNC_NEWER ? FWSYNC_OLDER : order;
}

static void test_order(void **state)
{
    (void)state;
    static const struct {
        const char *left;
        const char *right;
        enum fwsync_order order;
    } rows[] = {
        {"1.2.3", "1.2.3", FWSYNC_EQUAL},
        {"v1.2", "1.2", FWSYNC_EQUAL},
        {"V1.2", "v1.2", FWSYNC_EQUAL},
        {"1.2", "1.2.0", FWSYNC_EQUAL},
        {"1", "1.0.0.0.0", FWSYNC_EQUAL},
        {"1.02", "1.2", FWSYNC_EQUAL},
        {"1.2+a", "1.2+b", FWSYNC_EQUAL},
        {"1.2-rc.1+a", "1.2-rc.1", FWSYNC_EQUAL},
        {"1.20", "1.2", FWSYNC_NEWER},
        {"1.9", "1.10", FWSYNC_OLDER},
        {"1.2", "1.2.1", FWSYNC_OLDER},
        {"2", "10", FWSYNC_OLDER},
        {"1.0.0.1", "1.0.1", FWSYNC_OLDER},
        {"18446744073709551616", "18446744073709551617", FWSYNC_OLDER}, /* beyond 64 bits */
        {"99999999999999999999999", "100000000000000000000000", FWSYNC_OLDER},
        {"0.0.0000000000000000000000001", "0.0.1", FWSYNC_EQUAL},
        /* the list of Semantic Versioning 2.0.0, section 11 */
        {"1.0.0-alpha", "1.0.0-alpha.1", FWSYNC_OLDER},
        {"1.0.0-alpha.1", "1.0.0-alpha.beta", FWSYNC_OLDER},
        {"1.0.0-alpha.beta", "1.0.0-beta", FWSYNC_OLDER},
        {"1.0.0-beta", "1.0.0-beta.2", FWSYNC_OLDER},
        {"1.0.0-beta.2", "1.0.0-beta.11", FWSYNC_OLDER},
        {"1.0.0-beta.11", "1.0.0-rc.1", FWSYNC_OLDER},
        {"1.0.0-rc.1", "1.0.0", FWSYNC_OLDER},
        {"1.0-RC", "1.0-rc", FWSYNC_OLDER}, /* ASCII order: case counts */
        {"1.0--", "1.0-a", FWSYNC_OLDER},
        {"1.0-1", "1.1-0", FWSYNC_OLDER},
        /* no version: only ever equal to itself */
        {"banana", "banana", FWSYNC_EQUAL},
        {"banana", "1.0", FWSYNC_INCOMPARABLE},
        {"v", "v", FWSYNC_EQUAL},
        {"v", "1", FWSYNC_INCOMPARABLE},
        {"vv1", "1", FWSYNC_INCOMPARABLE},
        {"1.", "1", FWSYNC_INCOMPARABLE},
        {".1", "1", FWSYNC_INCOMPARABLE},
        {"1..2", "1.2", FWSYNC_INCOMPARABLE},
        {"1.2 ", "1.2", FWSYNC_INCOMPARABLE},
        {" 1.2", "1.2", FWSYNC_INCOMPARABLE},
        {"1.2-", "1.2", FWSYNC_INCOMPARABLE},
        {"1.2-a..b", "1.2", FWSYNC_INCOMPARABLE},
        {"1.2-a_b", "1.2", FWSYNC_INCOMPARABLE},
        {"1.2+", "1.2", FWSYNC_INCOMPARABLE},
        {"1.2+a+b", "1.2", FWSYNC_INCOMPARABLE},
        {"1.2+a_", "1.2", FWSYNC_INCOMPARABLE},
        {"-1", "1", FWSYNC_INCOMPARABLE},
        {"1.2a", "1.2", FWSYNC_INCOMPARABLE},
        {"1.2rc1", "1.2", FWSYNC_INCOMPARABLE},
        {"\xC3\xA4", "1", FWSYNC_INCOMPARABLE},
        /* nothing is not a version */
        {"", "", FWSYNC_INCOMPARABLE},
        {"", "1", FWSYNC_INCOMPARABLE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (compare(rows[i].left, rows[i].right) != rows[i].order ||
            compare(rows[i].right, rows[i].left) != reversed(rows[i].order))
            fail_msg("%s against %s", rows[i].left, rows[i].right);
    }
}

/* --- the law ---------------------------------------------------------------------------------------- */

static uint64_t random_state;

static unsigned random_below(unsigned bound)
{
    random_state ^= random_state << 13; /* xorshift64 */
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state % bound);
}

enum { VERSION_BYTES = 256 };

static void append(char out[VERSION_BYTES], const char *part)
{
    size_t used = strlen(out);
    snprintf(out + used, VERSION_BYTES - used, "%s", part);
}

static void append_parts(char out[VERSION_BYTES], const char *const *parts, unsigned part_count)
{
    for (unsigned i = random_below(3) + 1; i > 0; i--) {
        append(out, parts[random_below(part_count)]);
        if (i > 1)
            append(out, ".");
    }
}

/* Short and from few parts, so that equal beginnings are common; now and then with a slip in it. */
static void random_version(char out[VERSION_BYTES])
{
    static const char *const numbers[] = {"0", "1", "2", "10", "01", "99999999999999999999"};
    static const char *const words[] = {"0", "1", "2", "10", "01", "a", "B", "rc", "-", "1a"};
    static const char *const slips[] = {".", "-", "+", " ", "v", "_"};
    out[0] = '\0';
    append(out, random_below(2) == 0 ? "v" : "");
    append_parts(out, numbers, 6);
    if (random_below(2) == 0) {
        append(out, "-");
        append_parts(out, words, 10);
    }
    if (random_below(4) == 0) {
        append(out, "+");
        append_parts(out, words, 10);
    }
    if (random_below(10) == 0)
        append(out, slips[random_below(6)]);
}

static void test_antisymmetric_and_transitive(void **state)
{
    (void)state;
    const char *seed = getenv("FWSYNC_SEED");
    random_state = seed != NULL ? strtoull(seed, NULL, 10) : UINT64_C(88172645463325252);
    random_state |= random_state == 0;
    print_message("FWSYNC_SEED=%llu\n", (unsigned long long)random_state);
    unsigned ordered = 0;
    for (int round = 0; round < 300000; round++) {
        char a[VERSION_BYTES], b[VERSION_BYTES], c[VERSION_BYTES];
        random_version(a);
        random_version(b);
        random_version(c);
        enum fwsync_order ab = compare(a, b), bc = compare(b, c), ac = compare(a, c);
        if (compare(b, a) != reversed(ab) || compare(a, a) != FWSYNC_EQUAL)
            fail_msg("not antisymmetric: %s, %s", a, b);
        if (ab == FWSYNC_INCOMPARABLE || bc == FWSYNC_INCOMPARABLE)
            continue;
        ordered++;
        enum fwsync_order expected = ab == FWSYNC_EQUAL ? bc : ab;
        if ((ab == FWSYNC_EQUAL || bc == FWSYNC_EQUAL || ab == bc) && ac != expected)
            fail_msg("not transitive: %s, %s, %s", a, b, c);
        if (ac == FWSYNC_INCOMPARABLE)
            fail_msg("not total: %s, %s, %s", a, b, c);
    }
    assert_true(ordered > 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_antisymmetric_and_transitive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

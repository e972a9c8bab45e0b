/* fwsync_version_compare: the order of firmware versions, by rows; tests/prop/prop_version.c has the laws. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
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
        {"1.0-01", "1.0-1", FWSYNC_EQUAL}, /* a number, however it is written */
        {"1.0-1a", "1.0-2", FWSYNC_NEWER}, /* a word */
        {"1.0-99999999999999999999", "1.0-a", FWSYNC_OLDER},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

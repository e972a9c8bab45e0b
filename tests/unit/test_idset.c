/* A set of ids holds what was put in and nothing else, in both of its forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/idset.h"

static unsigned flips; /* that were easy */

struct set {
    unsigned char bytes[IDSET_BYTES_MAX];
    size_t len;
};

static struct text text_of_set(const struct set *set)
{
    return (struct text){(const char *)set->bytes, set->len};
}

static bool change(struct set *set, unsigned offset, bool add)
{
    struct set changed, flipped = *set;
    bool did, easy = idset_flip((char *)flipped.bytes, flipped.len, offset, add);
    changed.len = add ? idset_add(text_of_set(set), offset, changed.bytes, &did)
                      : idset_remove(text_of_set(set), offset, changed.bytes, &did);
    if (easy) {
        assert_true(did);
        assert_true(text_equal(text_of_set(&flipped), text_of_set(&changed)));
        flips++;
    }
    *set = changed;
    return did;
}

static void same(const struct set *set, const bool *model)
{
    unsigned next = 0;
    for (unsigned i = 0; i < IDSET_SPAN; i++) {
        if (!model[i])
            continue;
        assert_int_equal(idset_next(text_of_set(set), next), i);
        next = i + 1;
    }
    assert_int_equal(idset_next(text_of_set(set), next), IDSET_SPAN);
}

static void test_set_is_what_was_put_in(void **unused)
{
    (void)unused;
    srand(1);
    for (int round = 0; round < 20; round++) {
        struct set set = {.len = 0};
        static bool model[IDSET_SPAN];
        size_t count = 0;
        memset(model, 0, sizeof model);
        /* fill up to a random height, then empty, so that both forms are passed both ways */
        for (int step = 0; step < 6000; step++) {
            unsigned offset = (unsigned)rand() % (round % 2 ? IDSET_SPAN : 300);
            bool add = step < 3000 ? rand() % 4 != 0 : rand() % 4 == 0;
            assert_int_equal(change(&set, offset, add), model[offset] != add);
            count += (size_t)(add && !model[offset]);
            count -= (size_t)(!add && model[offset]);
            model[offset] = add;
            if (count <= IDSET_LIST_MAX / 4)
                assert_true(count == 0 ? set.len == 0 : set.len > 0);
            if (step % 100 == 0)
                same(&set, model);
        }
        same(&set, model);
        for (unsigned i = 0; i < IDSET_SPAN; i++)
            assert_int_equal(change(&set, i, false), model[i]);
        assert_int_equal(set.len, 0);
    }
    assert_true(flips > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_is_what_was_put_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

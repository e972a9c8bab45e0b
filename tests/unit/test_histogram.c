/* Histograms: every duration is in the one bucket that it belongs to, quantiles are near the truth, and
 * Prometheus's text is written by its rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "engine/service/exposition.h"

static struct histogram histogram;
static struct histogram_view view;

static int setup(void **state)
{
    (void)state;
    histogram = (struct histogram){0};
    return 0;
}

static void add(int64_t ns, uint64_t count)
{
    histogram_add(&histogram, ns, count);
    histogram_read(&histogram, &view);
}

static void test_a_bound_is_in_its_bucket_and_what_is_above_is_not(void **state)
{
    (void)state;
    for (unsigned power = 2; power <= HISTOGRAM_POWER_MAX; power++) {
        setup(NULL);
        int64_t bound_ns = (INT64_C(1) << power) * 1000;
        add(bound_ns, 1);
        assert_int_equal(histogram_up_to(&view, power), 1);
        assert_int_equal(power == 2 ? 0 : histogram_up_to(&view, power - 1), 0);
        add(bound_ns + 1, 1);
        assert_int_equal(histogram_up_to(&view, power), 1);
        assert_int_equal(view.count, 2);
    }
}

static void test_nothing_is_too_short_or_too_long(void **state)
{
    (void)state;
    add(-5, 1);
    add(0, 1);
    add(1, 1);
    add(INT64_MAX, 1);
    assert_int_equal(view.count, 4);
    assert_int_equal(histogram_up_to(&view, 2), 3);
    assert_int_equal(histogram_up_to(&view, HISTOGRAM_POWER_MAX), 3);
    assert_float_equal(histogram_quantile(&view, 1), 134.217728, 1e-6);
}

static void test_count_and_sum_are_exact(void **state)
{
    (void)state;
    add(2000000, 500);
    add(5000, 3);
    assert_int_equal(view.count, 503);
    assert_float_equal(view.sum_s, 1.000015, 1e-9);
}

static void test_quantiles_are_right_to_a_fifth(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    assert_float_equal(histogram_quantile(&(struct histogram_view){.count = 0}, 0.5), 0, 0);
    for (int64_t i = 1; i <= COUNT; i++) /* evenly from 1 us to 0.1 s */
        histogram_add(&histogram, i * 1000, 1);
    histogram_read(&histogram, &view);
    static const double parts[] = {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        double right = parts[i] * COUNT / 1e6, found = histogram_quantile(&view, parts[i]);
        assert_true(found > right / 1.2 && found < right * 1.2);
    }
}

static void test_label_values_are_escaped(void **state)
{
    (void)state;
    struct buf out = {.arena = NULL};
    struct label labels[] = {{"a", TEXT("x\"y\\z\nw")}, {"b", TEXT("")}};
    exposition_count(&out, "m", labels, 2, 7);
    assert_true(text_is(buf_text(&out), "m{a=\"x\\\"y\\\\z\\nw\",b=\"\"} 7\n"));
    buf_fini(&out);
}

static void test_a_histogram_is_cumulative_and_ends_with_all(void **state)
{
    (void)state;
    struct buf out = {.arena = NULL};
    add(100000, 2);
    add(INT64_C(200) * 1000000000, 1);
    exposition_histogram(&out, "h", "Help.", &view);
    buf_byte(&out, '\0');
    assert_non_null(strstr(out.bytes, "# HELP h Help.\n# TYPE h histogram\nh_bucket{le=\"1.6e-05\"} 0\n"));
    assert_non_null(strstr(out.bytes, "h_bucket{le=\"6.4e-05\"} 0\nh_bucket{le=\"0.000128\"} 2\n"));
    assert_non_null(strstr(out.bytes, "h_bucket{le=\"134.217728\"} 2\nh_bucket{le=\"+Inf\"} 3\n"
                                      "h_sum 200.0002\nh_count 3\n"));
    buf_fini(&out);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_bound_is_in_its_bucket_and_what_is_above_is_not),
        TEST(test_nothing_is_too_short_or_too_long),
        TEST(test_count_and_sum_are_exact),
        TEST(test_quantiles_are_right_to_a_fifth),
        TEST(test_label_values_are_escaped),
        TEST(test_a_histogram_is_cumulative_and_ends_with_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

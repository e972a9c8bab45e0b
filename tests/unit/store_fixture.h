/* store_fixture.h - for the tests of the store: a folder for each test, a disk that works until it is told not to, and
 * what a call should have answered. */
#ifndef TEST_STORE_FIXTURE_H
#define TEST_STORE_FIXTURE_H

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "engine/base/arena.h"
#include "engine/base/err.h"
#include "tests/unit/full_disk.h"
#include "tests/unit/temp_dir.h"

static char *dir;
static struct arena arena;
static struct err err;

static inline int store_setup(void **unused)
{
    (void)unused;
    signal(SIGXFSZ, SIG_IGN); /* as the daemon does */
    dir = temp_dir_make();
    arena_init(&arena, 65536);
    memset(&full_disk, 0, sizeof full_disk);
    err = (struct err){0};
    return 0;
}

static inline int store_teardown(void **unused)
{
    (void)unused;
    memset(&full_disk, 0, sizeof full_disk);
    arena_fini(&arena);
    temp_dir_remove(dir);
    return 0;
}

static inline void done(bool ok)
{
    if (!ok)
        fail_msg("%s: %s", err_code_name(err.code), err.text);
}

static inline void fails(bool ok, enum err_code code, const char *words)
{
    assert_false(ok);
    if (err.code != code || strstr(err.text, words) == NULL)
        fail_msg("expected %s with '%s', got %s: %s", err_code_name(code), words, err_code_name(err.code),
                 err.text);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)

#endif

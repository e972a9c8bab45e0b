/* prop_seglog - random operations on a log and on a model that is too simple to be wrong: a list of numbered
 * records, and how many of them are flushed and synced. The log is closed, reopened, and loses power: then
 * what was not synced is torn in random places, and exactly what is before the first of them is there.
 *
 * The seed is printed; FWSYNC_SEED=n repeats a run, FWSYNC_STEPS=n makes it longer. */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "store/seglog.h"
#include "tests/unit/full_disk.h"
#include "tests/unit/temp_dir.h"

enum { STEPS = 20000, RECORDS_MAX = 20000, SEGMENT_BYTES = 3000, HEAD_BYTES = 64, LEN_MAX = 900 };

/* --- the model --- */

static struct {
    struct record {
        uint64_t position;
        unsigned seed;
        size_t len;
    } records[RECORDS_MAX + 1]; /* one more: the end */
    size_t first, flushed, synced, count;
} model;

/* --- the log --- */

static const struct seglog_kind kind = {"trial", 1, "give up"};
static char *dir;
static struct seglog *trial;
static struct arena arena;
static struct err err;
static uint64_t seed, random_state;
static size_t torn_count;

static unsigned pick(unsigned below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 33) % below;
}

static void done(bool ok)
{
    if (!ok)
        fail_msg("seed %" PRIu64 ": %s: %s", seed, err_code_name(err.code), err.text);
}

static void require(bool holds, const char *what)
{
    if (!holds)
        fail_msg("seed %" PRIu64 ": %s", seed, what);
}

static struct text content(const struct record *record)
{
    static char bytes[LEN_MAX];
    unsigned value = record->seed;
    for (size_t i = 0; i < record->len; i++) {
        value = value * 1103515245 + 12345;
        bytes[i] = (char)(value >> 16 & (record->seed % 4 == 0 ? 1 : 255)); /* some look like heads */
    }
    return (struct text){bytes, record->len};
}

static void open_log(void)
{
    struct seglog_options options = {SEGMENT_BYTES, pick(2) == 0};
    done(seglog_open(dir, &kind, &options, &trial, &err));
}

/* --- operations, on both sides --- */

static void append(void)
{
    if (model.count == RECORDS_MAX)
        return;
    struct record *record = &model.records[model.count];
    record->seed = pick(1000000);
    record->len = 1 + (pick(4) == 0 ? pick(LEN_MAX) : pick(60));
    struct text text = content(record);
    size_t cut = pick((unsigned)record->len + 1);
    struct text parts[] = {{text.bytes, cut}, {text.bytes + cut, text.len - cut}};
    require(seglog_append(trial, parts, 2) == record->position, "appended elsewhere");
    model.count++;
    record[1].position = seglog_end(trial);
}

static void flush(void)
{
    if (pick(8) == 0) {
        full_disk.error = ENOSPC;
        bool ok = seglog_flush(trial, &err);
        full_disk.error = 0;
        require(ok == (model.flushed == model.count), "a full disk");
    }
    done(seglog_flush(trial, &err));
    model.flushed = model.count;
}

static void sync_log(void)
{
    done(seglog_sync(trial, &err));
    model.synced = model.flushed;
}

static void drop_from(size_t index)
{
    model.count = index;
    if (model.flushed > index)
        model.flushed = index;
    if (model.synced > index)
        model.synced = index;
}

static void truncate_log(void)
{
    size_t index = model.first + pick((unsigned)(model.count - model.first) + 1);
    if (pick(3) != 0 && model.count - index > 20)
        index = model.count - 20;
    done(seglog_truncate(trial, model.records[index].position, &err));
    drop_from(index);
}

static void trim(void)
{
    size_t index = model.first + pick((unsigned)(model.count - model.first) + 1);
    seglog_trim(trial, model.records[index].position);
    if (pick(2) == 0)
        done(seglog_remove(trial, &err));
    uint64_t first = seglog_first(trial);
    require(first <= model.records[index].position, "trimmed too much");
    while (model.records[model.first].position < first)
        model.first++;
    require(model.records[model.first].position == first, "trimmed between two records");
}

/* What is in the file is as if it had been synced. */
static void reopen(void)
{
    seglog_close(trial);
    drop_from(model.flushed);
    open_log();
    require(seglog_torn_bytes(trial) == 0, "something torn off");
    model.synced = model.flushed;
}

/* Overwrite some of the record's bytes in its file. */
static void tear(const struct record *record, uint64_t segment)
{
    char name[32], bytes[32] = {0};
    snprintf(name, sizeof name, "%016" PRIx64 ".log", segment);
    int fd = open(temp_dir_path(dir, name), O_RDWR);
    uint64_t at = HEAD_BYTES + record->position - segment;
    for (size_t i = 0; pick(2) == 0 && i < sizeof bytes; i++)
        bytes[i] = (char)pick(256);
    bytes[0] = (char)(record->len ^ 1); /* of the length, so that it is another in any case */
    require(syscall(SYS_pwrite64, fd, bytes, 1 + pick(12), at + 4) > 0, "tearing");
    close(fd);
}

static void lose_power(void)
{
    size_t damaged = model.flushed;
    for (unsigned times = pick(4); times > 0 && model.synced < model.flushed; times--) {
        size_t index = model.synced + pick((unsigned)(model.flushed - model.synced));
        size_t segment = seglog_segment_count(trial) - 1;
        while (seglog_segment_first(trial, segment) > model.records[index].position)
            segment--;
        tear(&model.records[index], seglog_segment_first(trial, segment));
        if (index < damaged)
            damaged = index;
    }
    seglog_close(trial);
    torn_count += damaged < model.flushed;
    drop_from(damaged);
    open_log();
    model.synced = model.flushed;
}

static void check_record(size_t index)
{
    struct text found;
    uint64_t next;
    done(seglog_read(trial, model.records[index].position, &arena, &found, &next, &err));
    require(text_equal(found, content(&model.records[index])), "other bytes");
    require(next == model.records[index + 1].position, "another next");
}

static void check(bool all)
{
    require(seglog_first(trial) == model.records[model.first].position, "first");
    require(seglog_end(trial) == model.records[model.count].position, "end");
    require(seglog_synced_end(trial) == model.records[model.synced].position, "synced");
    for (size_t i = model.first; all && i < model.count; i++)
        check_record(i);
    for (int i = 0; i < 3 && model.first < model.count; i++)
        check_record(model.first + pick((unsigned)(model.count - model.first)));
    arena_reset(&arena);
}

static void step(void)
{
    switch (pick(40)) {
    case 0:
        lose_power();
        break;
    case 1:
        reopen();
        break;
    case 2:
        truncate_log();
        break;
    case 3:
        trim();
        break;
    case 4:
        seglog_forget(trial);
        drop_from(model.flushed);
        break;
    case 5:
        seglog_roll(trial);
        break;
    case 6:
    case 7:
    case 8:
        sync_log();
        break;
    case 9:
    case 10:
    case 11:
    case 12:
    case 13:
    case 14:
        flush();
        break;
    default:
        append();
        break;
    }
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void test_log_is_its_model(void **unused)
{
    (void)unused;
    uint64_t steps = setting("FWSYNC_STEPS", STEPS);
    dir = temp_dir_make();
    arena_init(&arena, 65536);
    open_log();
    for (uint64_t i = 0; i < steps; i++) {
        step();
        check(i % 200 == 0);
    }
    check(true);
    print_message("%zu records, torn %zu times\n", model.count, torn_count);
    require(torn_count > 0, "never torn");
    seglog_close(trial);
    arena_fini(&arena);
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_log_is_its_model)};
    seed = setting("FWSYNC_SEED", (uint64_t)time(NULL));
    random_state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    print_message("FWSYNC_SEED=%" PRIu64 "\n", seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* seglog_fixture.h - for the tests of the log: small segments, and records that begin with their number. */
#ifndef TEST_SEGLOG_FIXTURE_H
#define TEST_SEGLOG_FIXTURE_H

#include "store/seglog.h"
#include "tests/unit/store_fixture.h"

enum { SEGMENT_BYTES = 4096, HEAD = 64, ROOM = 16 };

static const struct seglog_kind kind = {"trial", 3, "restore a backup"};

static inline struct seglog *open_log(bool ahead)
{
    struct seglog *log;
    struct seglog_options options = {SEGMENT_BYTES, ahead};
    done(seglog_open(dir, &kind, &options, &log, &err));
    return log;
}

static inline bool try_open(struct seglog **log)
{
    struct seglog_options options = {SEGMENT_BYTES, false};
    return seglog_open(dir, &kind, &options, log, &err);
}

static inline uint64_t append(struct seglog *log, const char *string)
{
    struct text parts[] = {text_of(string)};
    return seglog_append(log, parts, 1);
}

static inline void flush(struct seglog *log)
{
    done(seglog_flush(log, &err));
}

static inline void flush_and_sync(struct seglog *log)
{
    flush(log);
    done(seglog_sync(log, &err));
}

/* A record of so many bytes, which begins with its number. */
static inline uint64_t append_numbered(struct seglog *log, unsigned number, size_t len)
{
    char digits[16];
    static char filler[100000];
    memset(filler, 'a' + (int)(number % 26), sizeof filler);
    int digit_count = snprintf(digits, sizeof digits, "%u:", number);
    struct text parts[] = {{digits, (size_t)digit_count}, TEXT(""), {filler, len - (size_t)digit_count}};
    return seglog_append(log, parts, 3);
}

static inline const char *read_at(struct seglog *log, uint64_t position, uint64_t *next)
{
    struct text record;
    done(seglog_read(log, position, &arena, &record, next, &err));
    return record.bytes; /* arena_copy puts a NUL behind it */
}

/* The records are numbered from `from` up to below `until`, and nothing else is there. */
static inline void holds(struct seglog *log, uint64_t position, unsigned from, unsigned until)
{
    for (; position < seglog_end(log); from++)
        assert_int_equal(strtoul(read_at(log, position, &position), NULL, 10), from);
    assert_int_equal(from, until);
}

static inline const char *segment_path(uint64_t first)
{
    char name[32];
    snprintf(name, sizeof name, "%016" PRIx64 ".log", first);
    return temp_dir_path(dir, name);
}

static inline void copy_file(const char *from, const char *to, size_t len)
{
    static char bytes[1 << 20];
    FILE *file = fopen(from, "rb");
    size_t got = fread(bytes, 1, len < sizeof bytes ? len : sizeof bytes, file);
    fclose(file);
    file = fopen(to, "wb");
    fwrite(bytes, 1, got, file);
    fclose(file);
}

static inline void patch_at(const char *path, long at, const void *bytes, size_t len)
{
    FILE *file = fopen(path, "r+b");
    fseek(file, at, SEEK_SET);
    fwrite(bytes, 1, len, file);
    fclose(file);
}

/* Segments of ten records of 400 bytes with heads; 35 records. */
static inline struct seglog *filled(void)
{
    struct seglog *log = open_log(false);
    for (unsigned i = 0; i < 35; i++) {
        append_numbered(log, i, 384);
        flush_and_sync(log);
    }
    assert_int_equal(seglog_segment_count(log), 4);
    return log;
}

#endif

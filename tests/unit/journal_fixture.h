/* journal_fixture.h - for the tests of the journal: one with small segments, and how it is filled and read. */
#ifndef TEST_JOURNAL_FIXTURE_H
#define TEST_JOURNAL_FIXTURE_H

#include "store/journal.h"
#include "tests/unit/store_fixture.h"

/* A small segment takes ten records of SMALL_BODY bytes, one a transaction, with heads and commits. */
enum { SEGMENT_BYTES = 1 << 20, SMALL_SEGMENT_BYTES = 4096, SMALL_BODY = 320, SMALL_EVENTS = 10 };

static inline struct journal *open_journal(void)
{
    struct journal *journal;
    done(journal_open(dir, SEGMENT_BYTES, &journal, &err));
    return journal;
}

static inline struct journal *open_small(void)
{
    struct journal *journal;
    done(journal_open(dir, SMALL_SEGMENT_BYTES, &journal, &err));
    return journal;
}

static inline uint64_t append(struct journal *journal, int64_t received_ms, const char *body)
{
    return journal_append(journal, JOURNAL_EVENT, received_ms, text_of(body));
}

static inline void append_committed(struct journal *journal, int64_t received_ms, const char *body)
{
    journal_begin(journal);
    append(journal, received_ms, body);
    done(journal_commit(journal, &err));
}

/* So many events of SMALL_BODY bytes, at 1000, 2000, ... ms. */
static inline void fill_small(struct journal *journal, int count)
{
    static char body[SMALL_BODY + 1];
    memset(body, 'x', SMALL_BODY);
    for (int i = 0; i < count; i++)
        append_committed(journal, (int64_t)(journal_last_seq(journal) + 1) * 1000, body);
}

static inline uint64_t highest(struct journal *journal, const char *source)
{
    uint64_t n;
    journal_begin(journal);
    done(journal_source_highest(journal, text_of(source), &n, &err));
    journal_abort(journal);
    return n;
}

static inline void raise_to(struct journal *journal, const char *source, uint64_t n)
{
    bool duplicate;
    done(journal_source(journal, text_of(source), n, &duplicate, &err));
    assert_false(duplicate);
}

static inline size_t read_from(struct journal *journal, uint64_t seq, size_t count_max,
                               struct journal_record **records)
{
    size_t count;
    done(journal_read(journal, seq, count_max, &arena, records, &count, &err));
    return count;
}

static inline void is_damaged(const char *words)
{
    struct journal *journal;
    fails(journal_open(dir, SEGMENT_BYTES, &journal, &err), ERR_DAMAGED, words);
    assert_non_null(strstr(err.text, dir));
    assert_non_null(strstr(err.text, "backup"));
}

#endif

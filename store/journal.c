#include "store/journal.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/base/limits.h"
#include "store/raised.h"
#include "store/seglog.h"
#include "store/sources.h"
#include "store/waypoints.h"

enum {
    COMMIT = 0, /* a record's kind beside those of enum journal_kind: the last of a transaction */
    READ_BYTES_MAX = 1 << 20,
    SOURCES_UNSAVED_MAX = 4096, /* producers */
    SEGMENTS_OF_KEEP = 8,       /* a segment is this part of what is to be kept, */
    SEGMENT_BYTES_LEAST = 256 << 10,
    SEGMENT_BYTES_MOST = 32 << 20, /* within these */
    ROLLS_OF_KEEP = 4,             /* and takes records of this part of the time, */
    ROLL_MS_LEAST = 60 * 1000,     /* or of this one */
    PATH_BYTES = 4200,
};

/* What every record begins with. The body follows; of a commit, the numbers it raised: put_number.
 * Byte order is the machine's. */
struct head {
    uint64_t seq; /* of a commit: the last event's so far */
    int64_t received_ms;
    uint32_t kind;
    uint32_t number_count; /* of a commit */
};
_Static_assert(sizeof(struct head) == 24, "no padding on disk");

/* A producer's number: n, the length of the name, the name. */
enum { NUMBER_HEAD_BYTES = sizeof(uint64_t) + 1 };
_Static_assert(SOURCE_BYTES_MAX <= UINT8_MAX, "a name's length fits");

struct bounds {
    uint64_t last_seq;
    int64_t last_received_ms;
};

struct journal {
    struct seglog *log;
    struct sources *sources;
    uint64_t torn_bytes;
    uint64_t segment_bytes;
    uint64_t saved; /* the sources are, up to this position */
    struct bounds committed;
    _Atomic uint64_t first_seq;
    _Atomic uint64_t last_seq; /* as in `committed`, for the reader */
    _Atomic int64_t last_received_ms;
    _Atomic uint64_t committed_end; /* of its commit, for a backup */

    /* the writer's */
    struct seglog_reader *own_reader;
    int64_t segment_ms; /* time of the newest segment's first records */
    uint64_t second;    /* where the first segment behind the oldest that can be read begins, once it was looked at */
    struct head second_head;
    bool in_transaction;
    struct bounds open; /* as the transaction has it */
    struct raised raised;
    char *numbers; /* a commit's */
    size_t numbers_bytes, numbers_capacity;

    /* whoever reads has these */
    pthread_mutex_t reading;
    struct seglog_reader *reader;
    uint64_t next_seq, next_position; /* where it would go on */
    struct waypoints waypoints;
};

static const struct seglog_kind journal_kind = {
    .name = "journal",
    .format = 2,
    .advice = "restore a backup, of all of the data folder",
};

uint64_t journal_segment_bytes(uint64_t keep_bytes)
{
    uint64_t bytes = keep_bytes / SEGMENTS_OF_KEEP;
    return bytes < SEGMENT_BYTES_LEAST  ? SEGMENT_BYTES_LEAST
           : bytes > SEGMENT_BYTES_MOST ? SEGMENT_BYTES_MOST
                                        : bytes;
}

/* --- records ----------------------------------------------------------------------------------------------- */

static size_t put_number(char *at, struct text name, uint64_t n)
{
    memcpy(at, &n, sizeof n);
    at[sizeof n] = (char)name.len;
    memcpy(at + NUMBER_HEAD_BYTES, name.bytes, name.len);
    return NUMBER_HEAD_BYTES + name.len;
}

/* Takes it off the front of `body`; false when it is cut short. */
static bool take_number(struct text *body, struct text *name, uint64_t *n)
{
    if (body->len < NUMBER_HEAD_BYTES)
        return false;
    memcpy(n, body->bytes, sizeof *n);
    *name = (struct text){body->bytes + NUMBER_HEAD_BYTES, (uint8_t)body->bytes[sizeof *n]};
    size_t bytes = NUMBER_HEAD_BYTES + name->len;
    if (name->len == 0 || body->len < bytes)
        return false;
    *body = (struct text){body->bytes + bytes, body->len - bytes};
    return true;
}

/* The record there, borrowed until the reader's next. */
static bool read_record(struct journal *journal, struct seglog_reader *reader, uint64_t position, struct head *head,
                        struct text *body, uint64_t *next, struct err *err)
{
    struct text record;
    if (!seglog_reader_next(reader, position, &record, next, err))
        return false;
    if (record.len < sizeof *head)
        return seglog_damaged(journal->log, position, err, "the record at %" PRIu64 " is cut short", position);
    memcpy(head, record.bytes, sizeof *head);
    *body = (struct text){record.bytes + sizeof *head, record.len - sizeof *head};
    return true;
}

/* The event that a segment begins with, whatever its first record is. */
static uint64_t first_event(const struct head *head)
{
    return head->kind == COMMIT ? head->seq + 1 : head->seq;
}

/* The first record from `position` on; a commit like that of an empty transaction where there is none. */
static bool head_at(struct journal *journal, struct seglog_reader *reader, uint64_t position, struct head *head,
                    struct err *err)
{
    struct text body;
    uint64_t next;
    if (position < seglog_flushed_end(journal->log))
        return read_record(journal, reader, position, head, &body, &next, err);
    *head = (struct head){atomic_load(&journal->last_seq), atomic_load(&journal->last_received_ms), COMMIT, 0};
    return true;
}

/* --- opening ----------------------------------------------------------------------------------------------- */

static bool refuse_old_format(const char *dir, struct err *err)
{
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/data.mdb", dir) >= (int)sizeof path || access(path, F_OK) != 0)
        return true;
    return err_set(err, ERR_DAMAGED, "%s: this is the journal of an older fwsyncd, which this one can't read: run that "
                                     "one, or begin with another data folder", path);
}

static bool take_numbers(struct journal *journal, uint64_t position, const struct head *head, struct text body,
                         struct err *err)
{
    for (uint32_t i = 0; i < head->number_count; i++) {
        struct text name;
        uint64_t n;
        if (!take_number(&body, &name, &n))
            return seglog_damaged(journal->log, position, err, "the producers' numbers at %" PRIu64 " are cut short",
                                  position);
        sources_raise(journal->sources, name, n);
    }
    return true;
}

static bool save_sources(struct journal *journal, uint64_t position, struct err *err)
{
    struct sources_place place = {position, journal->committed.last_seq, journal->committed.last_received_ms};
    if (!sources_save(journal->sources, &place, err))
        return false;
    journal->saved = position;
    return true;
}

/* Saves the sources when many are unsaved, to take little memory. On a full disk they stay there, and it is tried
 * again when they are twice as many. */
static bool save_many(struct journal *journal, uint64_t position, size_t *due, struct err *err)
{
    size_t unsaved = sources_unsaved(journal->sources);
    if (unsaved < *due)
        return true;
    *due = SOURCES_UNSAVED_MAX;
    if (save_sources(journal, position, err))
        return true;
    *due = 2 * unsaved;
    return err->code == ERR_FULL;
}

/* Reads what was committed since the sources were saved; what no commit closes is dropped. */
static bool read_commits(struct journal *journal, struct err *err)
{
    uint64_t position = journal->saved, closed = position, last_seq = journal->committed.last_seq;
    size_t due = SOURCES_UNSAVED_MAX;
    while (position < seglog_end(journal->log)) {
        struct head head;
        struct text body;
        uint64_t at = position;
        if (!read_record(journal, journal->own_reader, at, &head, &body, &position, err))
            return false;
        if (head.seq != last_seq + (head.kind != COMMIT))
            return seglog_damaged(journal->log, at, err, "event %" PRIu64 " is missing", last_seq + 1);
        last_seq = head.seq;
        if (head.kind != COMMIT)
            continue;
        if (!take_numbers(journal, at, &head, body, err))
            return false;
        closed = position;
        journal->committed = (struct bounds){head.seq, head.received_ms};
        if (!save_many(journal, closed, &due, err))
            return false;
    }
    journal->torn_bytes += position - closed;
    return position == closed || seglog_truncate(journal->log, closed, err);
}

static bool check_place(struct journal *journal, const struct sources_place *place, struct err *err)
{
    if (place->position < seglog_first(journal->log))
        return seglog_damaged(journal->log, seglog_first(journal->log), err,
                              "the producers' numbers in sources/ aren't those that belong to it");
    if (place->position > seglog_end(journal->log))
        return seglog_damaged(journal->log, seglog_end(journal->log), err,
                              "the file was cut: event %" PRIu64 " was in the journal", place->last_seq);
    journal->saved = place->position;
    journal->committed = (struct bounds){place->last_seq, place->last_received_ms};
    return true;
}

/* Other threads see what is committed. */
static void show_committed(struct journal *journal)
{
    atomic_store(&journal->last_received_ms, journal->committed.last_received_ms);
    atomic_store(&journal->last_seq, journal->committed.last_seq);
    atomic_store(&journal->committed_end, seglog_flushed_end(journal->log));
}

static bool find_bounds(struct journal *journal, struct err *err)
{
    struct head head;
    show_committed(journal);
    if (!head_at(journal, journal->own_reader, seglog_first(journal->log), &head, err))
        return false;
    atomic_store(&journal->first_seq, first_event(&head));
    if (!head_at(journal, journal->own_reader, seglog_segment_first(journal->log, SIZE_MAX), &head, err))
        return false;
    journal->segment_ms = head.received_ms;
    return true;
}

static bool open_parts(struct journal *journal, const char *dir, struct err *err)
{
    char path[PATH_BYTES];
    struct seglog_options options = {.segment_bytes = journal->segment_bytes, .ahead = true};
    struct sources_place place;
    if (!refuse_old_format(dir, err) || !seglog_open(dir, &journal_kind, &options, &journal->log, err))
        return false;
    journal->torn_bytes = seglog_torn_bytes(journal->log);
    journal->own_reader = seglog_reader_create(journal->log);
    journal->reader = seglog_reader_create(journal->log);
    snprintf(path, sizeof path, "%s/sources", dir);
    return sources_open(path, &journal->sources, &place, err) && check_place(journal, &place, err) &&
           read_commits(journal, err) && find_bounds(journal, err);
}

bool journal_open(const char *dir, uint64_t segment_bytes, struct journal **out, struct err *err)
{
    struct journal *journal = calloc(1, sizeof *journal);
    if (journal == NULL)
        abort();
    journal->segment_bytes = segment_bytes;
    raised_init(&journal->raised);
    pthread_mutex_init(&journal->reading, NULL);
    if (!open_parts(journal, dir, err)) {
        journal_close(journal);
        return false;
    }
    *out = journal;
    return true;
}

void journal_close(struct journal *journal)
{
    if (journal == NULL)
        return;
    seglog_reader_destroy(journal->own_reader);
    seglog_reader_destroy(journal->reader);
    waypoints_fini(&journal->waypoints);
    sources_close(journal->sources);
    seglog_close(journal->log);
    raised_fini(&journal->raised);
    pthread_mutex_destroy(&journal->reading);
    free(journal->numbers);
    free(journal);
}

uint64_t journal_first_seq(const struct journal *journal)
{
    return atomic_load(&journal->first_seq);
}

uint64_t journal_last_seq(const struct journal *journal)
{
    return journal->committed.last_seq;
}

int64_t journal_last_received_ms(const struct journal *journal)
{
    return journal->committed.last_received_ms;
}

uint64_t journal_bytes(const struct journal *journal)
{
    return seglog_bytes(journal->log);
}

uint64_t journal_torn_bytes(const struct journal *journal)
{
    return journal->torn_bytes;
}

/* --- writing ----------------------------------------------------------------------------------------------- */

void journal_begin(struct journal *journal)
{
    assert(!journal->in_transaction);
    journal->in_transaction = true;
    journal->open = journal->committed;
}

uint64_t journal_append(struct journal *journal, enum journal_kind kind, int64_t received_ms, struct text body)
{
    assert(journal->in_transaction && body.len < UINT32_MAX);
    struct bounds *open = &journal->open;
    if (received_ms > open->last_received_ms)
        open->last_received_ms = received_ms;
    struct head head = {++open->last_seq, open->last_received_ms, (uint32_t)kind, 0};
    const struct text parts[] = {{(const char *)&head, sizeof head}, body};
    seglog_append(journal->log, parts, 2);
    return open->last_seq;
}

bool journal_source(struct journal *journal, struct text name, uint64_t n, bool *duplicate, struct err *err)
{
    assert(journal->in_transaction && name.len >= 1 && name.len <= SOURCE_BYTES_MAX);
    struct raised_source *source = raised_find(&journal->raised, name);
    if (source == NULL) {
        uint64_t stored;
        if (!sources_find(journal->sources, name, &stored, err))
            return false;
        source = raised_add(&journal->raised, name, stored);
    }
    *duplicate = n <= source->n;
    if (!*duplicate) {
        source->n = n;
        source->changed = true;
    }
    return true;
}

bool journal_source_highest(struct journal *journal, struct text name, uint64_t *n, struct err *err)
{
    assert(journal->in_transaction && name.len >= 1 && name.len <= SOURCE_BYTES_MAX);
    const struct raised_source *source = raised_find(&journal->raised, name);
    if (source == NULL)
        return sources_find(journal->sources, name, n, err);
    *n = source->n;
    return true;
}

static void end_transaction(struct journal *journal)
{
    journal->in_transaction = false;
    raised_clear(&journal->raised);
}

static void add_number(struct journal *journal, const struct raised_source *source)
{
    size_t need = journal->numbers_bytes + NUMBER_HEAD_BYTES + SOURCE_BYTES_MAX;
    if (need > journal->numbers_capacity) {
        journal->numbers_capacity = 2 * need;
        journal->numbers = realloc(journal->numbers, journal->numbers_capacity);
        if (journal->numbers == NULL)
            abort();
    }
    journal->numbers_bytes += put_number(journal->numbers + journal->numbers_bytes, source->name, source->n);
}

/* Appends the record that closes the transaction, unless there is nothing in it. */
static void close_transaction(struct journal *journal)
{
    const struct raised_source *source;
    struct head head = {journal->open.last_seq, journal->open.last_received_ms, COMMIT, 0};
    journal->numbers_bytes = 0;
    for (size_t at = 0; (source = raised_next(&journal->raised, &at)) != NULL;)
        if (source->changed) {
            add_number(journal, source);
            head.number_count++;
        }
    const struct text parts[] = {{(const char *)&head, sizeof head}, {journal->numbers, journal->numbers_bytes}};
    if (head.number_count > 0 || journal->open.last_seq > journal->committed.last_seq)
        seglog_append(journal->log, parts, 2);
}

static bool sources_are_due(const struct journal *journal)
{
    return sources_unsaved(journal->sources) >= SOURCES_UNSAVED_MAX ||
           seglog_flushed_end(journal->log) - journal->saved >= journal->segment_bytes;
}

/* Before anything of the transaction is written, so that a full disk is found in time. */
static bool write_transaction(struct journal *journal, struct err *err)
{
    if (sources_are_due(journal) && !save_sources(journal, seglog_flushed_end(journal->log), err))
        return false;
    close_transaction(journal);
    return seglog_flush(journal->log, err) && seglog_sync(journal->log, err);
}

bool journal_commit(struct journal *journal, struct err *err)
{
    assert(journal->in_transaction);
    uint64_t position = seglog_flushed_end(journal->log);
    if (!write_transaction(journal, err)) {
        journal_abort(journal);
        return false;
    }
    const struct raised_source *source;
    for (size_t at = 0; (source = raised_next(&journal->raised, &at)) != NULL;)
        if (source->changed)
            sources_raise(journal->sources, source->name, source->n);
    if (seglog_segment_first(journal->log, SIZE_MAX) >= position)
        journal->segment_ms = journal->open.last_received_ms;
    end_transaction(journal);
    journal->committed = journal->open;
    show_committed(journal);
    return true;
}

void journal_abort(struct journal *journal)
{
    assert(journal->in_transaction);
    seglog_forget(journal->log);
    end_transaction(journal);
}

/* --- trimming ---------------------------------------------------------------------------------------------- */

/* Looks once at what the oldest segment ends before: the first record of the second one. A segment whose first
 * record can't be read hasn't a known age, and goes with the one before it, when that of a later one says so. */
static bool find_second(struct journal *journal, bool *found, struct err *err)
{
    struct err why;
    size_t count = seglog_segment_count(journal->log);
    *found = journal->second > seglog_first(journal->log);
    for (size_t i = 1; i < count && !*found; i++) {
        uint64_t position = seglog_segment_first(journal->log, i);
        *found = head_at(journal, journal->own_reader, position, &journal->second_head, &why);
        if (*found) {
            journal->second = position;
        } else if (why.code != ERR_DAMAGED) {
            *err = why;
            return why.code == ERR_BUSY; /* another time */
        }
    }
    return true;
}

/* May what is before the second segment go? */
static bool oldest_may_go(struct journal *journal, uint64_t applied_seq, int64_t older_than_ms, uint64_t keep_bytes,
                          bool *may, struct err *err)
{
    bool found;
    *may = false;
    if (!find_second(journal, &found, err))
        return false;
    const struct head *head = &journal->second_head;
    *may = found && first_event(head) - 1 <= applied_seq &&
           (head->received_ms < older_than_ms || seglog_bytes(journal->log) > keep_bytes);
    return true;
}

bool journal_trim(struct journal *journal, uint64_t applied_seq, int64_t now_ms, int64_t keep_ms, uint64_t keep_bytes,
                  uint64_t *trimmed, struct err *err)
{
    assert(!journal->in_transaction && keep_ms >= 0);
    bool may;
    struct err full;
    int64_t roll_ms = keep_ms / ROLLS_OF_KEEP > ROLL_MS_LEAST ? keep_ms / ROLLS_OF_KEEP : ROLL_MS_LEAST;
    *trimmed = 0;
    if (journal->segment_ms < now_ms - roll_ms)
        seglog_roll(journal->log);
    if (!oldest_may_go(journal, applied_seq, now_ms - keep_ms, keep_bytes, &may, err))
        return false;
    if (!may)
        return true;
    if (journal->second > journal->saved && !save_sources(journal, seglog_flushed_end(journal->log), &full)) {
        if (full.code == ERR_FULL)
            return true; /* another time */
        *err = full;
        return false;
    }
    uint64_t first_seq = atomic_load(&journal->first_seq), next_seq = first_event(&journal->second_head);
    atomic_store(&journal->first_seq, next_seq);
    seglog_trim(journal->log, journal->second);
    *trimmed = next_seq - first_seq;
    return true;
}

bool journal_remove(struct journal *journal, struct err *err)
{
    return seglog_remove(journal->log, err);
}

/* --- reading ----------------------------------------------------------------------------------------------- */

/* The head of the newest segment above `low` and up to *at that begins with a good record; *at becomes `low` when
 * there is none: what those have belongs to that one. */
static bool good_head(struct journal *journal, size_t low, size_t *at, struct head *head, struct err *err)
{
    for (; *at > low; --*at) {
        if (head_at(journal, journal->reader, seglog_segment_first(journal->log, *at), head, err))
            return true;
        if (err->code != ERR_DAMAGED)
            return false;
    }
    return true;
}

/* The position of a segment that begins with `seq` or an earlier event, and not much earlier. Damage elsewhere is of
 * no concern. */
static bool find_segment(struct journal *journal, uint64_t seq, uint64_t *position, struct err *err)
{
    struct head head;
    size_t from = 0, low = 0, until = seglog_segment_count(journal->log);
    while (until - low > 1) {
        size_t middle = low + (until - low) / 2, at = middle;
        if (!good_head(journal, low, &at, &head, err))
            return false;
        if (at > low && first_event(&head) > seq) {
            until = at;
            continue;
        }
        from = at > low ? at : from;
        low = middle;
    }
    do { /* what was trimmed meanwhile has moved them */
        *position = seglog_segment_first(journal->log, from);
        if (!head_at(journal, journal->reader, *position, &head, err))
            return false;
    } while (first_event(&head) > seq && from-- > 0);
    if (first_event(&head) <= seq)
        return true;
    return err_set(err, ERR_GONE, "event %" PRIu64 " is no longer in the journal, the first is %" PRIu64, seq,
                   first_event(&head));
}

/* Where to begin reading for `seq`. */
static bool find_event(struct journal *journal, uint64_t seq, uint64_t *position, struct err *err)
{
    struct waypoint waypoint;
    if (!find_segment(journal, seq, position, err))
        return false;
    if (waypoints_find(&journal->waypoints, seq, &waypoint) && waypoint.position > *position)
        *position = waypoint.position;
    return true;
}

static bool read_on(struct journal *journal, uint64_t seq, size_t count_max, struct arena *arena,
                    struct journal_record *items, size_t *count, struct err *err)
{
    uint64_t position = journal->next_position;
    size_t bytes = 0;
    journal->next_seq = 0; /* unless all goes well */
    for (*count = 0; *count < count_max && bytes < READ_BYTES_MAX;) {
        struct head head;
        struct text body;
        uint64_t at = position;
        if (!read_record(journal, journal->reader, at, &head, &body, &position, err))
            return err_context(err, "event %" PRIu64 ": ", seq);
        if (head.kind == COMMIT)
            continue;
        waypoints_note(&journal->waypoints, head.seq, at, seglog_first(journal->log));
        if (head.seq < seq)
            continue;
        if (head.seq != seq)
            return seglog_damaged(journal->log, at, err, "event %" PRIu64 " is missing", seq);
        items[(*count)++] = (struct journal_record){seq++, (enum journal_kind)head.kind, head.received_ms,
                                                    arena_copy(arena, body)};
        bytes += body.len;
    }
    journal->next_seq = seq;
    journal->next_position = position;
    return true;
}

/* The last read ended behind an event and before its commit, in the same file: that one may be gone by now. */
static bool read_some(struct journal *journal, uint64_t seq, size_t count_max, struct arena *arena,
                      struct journal_record *items, size_t *count, struct err *err)
{
    if (seq == journal->next_seq) {
        if (read_on(journal, seq, count_max, arena, items, count, err))
            return true;
        if (err->code != ERR_GONE)
            return false;
    }
    return find_event(journal, seq, &journal->next_position, err) &&
           read_on(journal, seq, count_max, arena, items, count, err);
}

bool journal_read(struct journal *journal, uint64_t from_seq, size_t record_count_max, struct arena *arena,
                  struct journal_record **records, size_t *record_count, struct err *err)
{
    uint64_t first_seq = atomic_load(&journal->first_seq), last_seq = atomic_load(&journal->last_seq);
    if (from_seq < first_seq)
        return err_set(err, ERR_GONE,
                       "event %" PRIu64 " is no longer in the journal, the first is %" PRIu64, from_seq, first_seq);
    uint64_t kept = from_seq <= last_seq ? last_seq - from_seq + 1 : 0;
    size_t count_max = kept < record_count_max ? (size_t)kept : record_count_max;
    struct journal_record *items = arena_alloc(arena, count_max * sizeof *items);
    size_t count = 0;
    pthread_mutex_lock(&journal->reading);
    bool done = count_max == 0 || read_some(journal, from_seq, count_max, arena, items, &count, err);
    pthread_mutex_unlock(&journal->reading);
    if (!done)
        return false;
    *records = items;
    *record_count = count;
    return true;
}

bool journal_backup(struct journal *journal, const char *dir, struct copying *copying, struct err *err)
{
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/sources", dir) >= (int)sizeof path)
        return err_set(err, ERR_IO, "the path '%.100s' is too long", dir);
    return sources_backup(journal->sources, path, err) &&
           seglog_backup(journal->log, dir, atomic_load(&journal->committed_end), copying, err);
}

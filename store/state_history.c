/* state_history.c - the state's side of the history (history.h): rows are added while events are applied, cut
 * back to the last checkpoint at open, and read to look things up or to take a device back in time. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/clock.h"
#include "store/state_db.h"

enum {
    SEGMENT_BYTES = 4 << 20, /* a look-up reads through half of one */
    FLUSH_BYTES = 1 << 20,
    FLUSHES_HELD = 3, /* while a checkpoint syncs the log; 4 MiB and its buffer would be given back each time */
    ROWS_ARENA_BYTES = 16384,
    MARK_COUNT = sizeof ((struct state *)NULL)->marks / sizeof(struct history_mark),
};

static const struct seglog_kind history_kind = {
    .name = "history",
    .format = 1,
    .advice = "restore a backup, of all of the data folder",
};

/* --- life --- */

/* What is behind the last checkpoint comes again from the journal. */
static bool cut_back(struct state *state, struct err *err)
{
    uint64_t end = state->totals.history_end;
    if (end > seglog_end(state->history))
        return seglog_damaged(state->history, end, err,
                              "the state knows the history up to %" PRIu64 ", and it ends at %" PRIu64, end,
                              seglog_end(state->history));
    return end == seglog_end(state->history) || seglog_truncate(state->history, end, err);
}

bool state_history_open(struct state *state, struct err *err)
{
    const struct seglog_options options = {.segment_bytes = SEGMENT_BYTES};
    char dir[4096];
    state->flush_bytes = FLUSH_BYTES;
    int len = snprintf(dir, sizeof dir, "%s/history", state->dir);
    if (len < 0 || (size_t)len >= sizeof dir)
        return err_set(err, ERR_IO, "the path is too long: %s", state->dir);
    return seglog_open(dir, &history_kind, &options, &state->history, err) && cut_back(state, err);
}

void state_step(struct state *state, uint64_t seq, int64_t received_ms, unsigned cause)
{
    state->notes.seq = seq;
    state->notes.received_ms = received_ms;
    state->notes.cause = cause;
    history_notes_clear(&state->notes);
}

void state_note_result(struct state *state, const uint64_t *counter)
{
    size_t bytes = (size_t)((const char *)counter - (const char *)state->counters);
    history_note_result(&state->notes, &state->counters[bytes / sizeof state->counters[0]].class_name, *counter);
}

/* --- writing --- */

bool state_history_add(struct state *state, struct device *device, struct err *err)
{
    struct history_notes *notes = &state->notes;
    bool changes_device = notes->change_count > 0 || notes->created || notes->old_type.len > 0;
    if (!changes_device && notes->result_count == 0)
        return true;
    uint64_t position = history_write(state->history, &state->words, notes, device->id, device->head.type,
                                      device->head.history);
    if (changes_device) {
        device->head.history = position;
        device->changed[PART_ATTRIBUTES] = true;
    }
    history_notes_clear(notes);
    /* a file that is being synced makes whoever writes to it wait */
    size_t enough = state->checkpoint.is_running ? FLUSHES_HELD * state->flush_bytes : state->flush_bytes;
    if (seglog_unflushed_bytes(state->history) < enough)
        return true;
    struct err full;
    bool flushed = seglog_flush(state->history, &full);
    state->flush_bytes = flushed ? FLUSH_BYTES : seglog_unflushed_bytes(state->history) + FLUSH_BYTES;
    if (flushed || full.code == ERR_FULL)
        return true; /* a checkpoint tries again, and says so if it can't */
    *err = full;
    return false;
}

/* --- reading --- */

uint64_t state_history_first(const struct state *state)
{
    return seglog_first(state->history);
}

uint64_t state_history_end(const struct state *state)
{
    return seglog_end(state->history);
}

uint64_t state_history_bytes(const struct state *state)
{
    return seglog_bytes(state->history);
}

uint64_t state_history_reads(const struct state *state)
{
    return state->history_reads;
}

bool state_history_read(struct state *state, uint64_t position, struct arena *arena, struct history_row *row,
                        struct err *err)
{
    state->history_reads++;
    return history_read(state->history, &state->words, position, arena, row, err);
}

static bool is_after(const struct history_row *row, struct moment moment)
{
    return row->seq > moment.seq || row->received_ms > moment.ms;
}

static bool gone(const struct history_row *first, struct err *err)
{
    char when[CLOCK_ISO_BYTES];
    clock_iso(first->received_ms, when);
    return err_set(err, ERR_GONE, "the history of that moment is no longer kept: it goes back to event %" PRIu64
                                  " at %s", first->seq, when);
}

/* Were rows after the moment trimmed? They are no newer than the oldest that is kept. */
static bool check_kept(struct state *state, struct moment moment, struct arena *arena, struct err *err)
{
    struct history_row first;
    if (state_history_first(state) == 0)
        return true;
    if (state_history_first(state) == state_history_end(state))
        return err_set(err, ERR_GONE, "the history of that moment is no longer kept");
    if (!state_history_read(state, state_history_first(state), arena, &first, err))
        return false;
    return !is_after(&first, moment) || gone(&first, err);
}

/* The newest segment whose first row isn't after the moment; the first one if there is none. */
static bool seek_segment(struct state *state, struct moment moment, struct arena *arena, size_t *segment,
                         struct err *err)
{
    size_t low = 0, high = seglog_segment_count(state->history);
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        uint64_t position = seglog_segment_first(state->history, middle);
        struct history_row row;
        if (position == state_history_end(state)) {
            high = middle;
            continue;
        }
        if (!state_history_read(state, position, arena, &row, err))
            return false;
        if (is_after(&row, moment))
            high = middle;
        else
            low = middle;
    }
    *segment = low;
    return true;
}

static bool seek(struct state *state, struct moment moment, struct arena *arena, uint64_t *out, struct err *err)
{
    size_t segment;
    if (!check_kept(state, moment, arena, err) || !seek_segment(state, moment, arena, &segment, err))
        return false;
    uint64_t position = seglog_segment_first(state->history, segment);
    while (position != state_history_end(state)) {
        struct history_row row;
        if (!state_history_read(state, position, arena, &row, err))
            return false;
        if (is_after(&row, moment))
            break;
        position = row.next;
        arena_reset(arena);
    }
    *out = position;
    return true;
}

/* Positions before the first one were trimmed since. */
static bool find_mark(const struct state *state, struct moment moment, uint64_t *position)
{
    for (size_t i = 0; i < MARK_COUNT; i++) {
        const struct history_mark *mark = &state->marks[i];
        if (mark->moment.seq == moment.seq && mark->moment.ms == moment.ms && moment.seq > 0 &&
            mark->position >= state_history_first(state)) {
            *position = mark->position;
            return true;
        }
    }
    return false;
}

void state_history_mark(struct state *state, struct moment moment, uint64_t position)
{
    state->marks[state->mark_next++ % MARK_COUNT] = (struct history_mark){moment, position};
}

bool state_history_seek(struct state *state, struct moment moment, uint64_t *position, struct err *err)
{
    struct arena arena;
    if (find_mark(state, moment, position))
        return true;
    arena_init(&arena, ROWS_ARENA_BYTES);
    bool done = seek(state, moment, &arena, position, err);
    arena_fini(&arena);
    return done;
}

/* --- back in time --- */

static void undo_change(struct device *device, const struct history_change *change)
{
    struct entries *entries = &device->parts[PART_ATTRIBUTES];
    size_t position;
    bool there = entries_find(entries, change->scope, change->old.key, &position);
    if (!change->has_old) {
        if (there)
            entries_remove(entries, position);
        return;
    }
    struct entry entry = entry_encode(&device->arena, &device->state->words, change->scope, &change->old);
    if (there)
        entries_replace(entries, position, entry);
    else
        entries_insert(entries, position, entry);
}

static void undo_row(struct device *device, const struct history_row *row)
{
    for (size_t i = row->change_count; i > 0; i--)
        undo_change(device, &row->changes[i - 1]);
    if (row->old_type.len > 0)
        device->head.type = arena_copy(&device->arena, row->old_type);
    device->head.history = row->before;
}

static bool too_many(const struct device *device, struct err *err)
{
    return err_set(err, ERR_GONE,
                   "the device \"" TEXT_FMT "\" has changed more than %d times since: that is too far back to go; "
                   "its changes can still be listed, newest first (fwsync history DEVICE)",
                   TEXT_ARG(device->head.name), REWIND_ROWS_MAX);
}

static bool rewind_rows(struct device *device, struct moment moment, struct arena *arena, bool *existed,
                        struct err *err)
{
    struct state *state = device->state;
    *existed = true;
    for (size_t rows = 0; *existed && device->head.history != HISTORY_NONE; rows++) {
        struct history_row row;
        if (device->head.history < state_history_first(state))
            return check_kept(state, moment, arena, err);
        if (!state_history_read(state, device->head.history, arena, &row, err))
            return false;
        if (!is_after(&row, moment))
            return true;
        if (rows == REWIND_ROWS_MAX)
            return too_many(device, err);
        undo_row(device, &row);
        *existed = !row.created;
        arena_reset(arena);
    }
    return true;
}

bool device_rewind(struct device *device, struct moment moment, bool *existed, struct err *err)
{
    struct arena arena;
    arena_init(&arena, ROWS_ARENA_BYTES);
    device->is_trial = true;
    bool done = rewind_rows(device, moment, &arena, existed, err);
    arena_fini(&arena);
    return done;
}

void device_trial_open(struct device *device, bool existed, struct text type)
{
    assert(device->is_trial);
    if (type.len > 0 || !existed)
        device->head.type = arena_copy(&device->arena, type.len > 0 ? type : TEXT("default"));
}

bool device_is_trial(const struct device *device, uint32_t number)
{
    return device->is_trial && device->id == number;
}

uint32_t device_number(const struct device *device)
{
    return device->id;
}

uint64_t device_history(const struct device *device)
{
    return device->head.history;
}

/* --- keeping --- */

/* Is all of a segment older than `oldest_ms`, by the first row of the one after it? When that row can't be read, the
 * next one's tells; without any nothing is known to be old. */
static bool is_old(struct state *state, size_t segment, int64_t oldest_ms, struct arena *arena, bool *old,
                   struct err *err)
{
    size_t count = seglog_segment_count(state->history);
    *old = false;
    while (++segment < count) {
        uint64_t position = seglog_segment_first(state->history, segment);
        struct history_row row;
        if (position == state_history_end(state))
            break;
        if (state_history_read(state, position, arena, &row, err)) {
            *old = row.received_ms < oldest_ms;
            break;
        }
        if (err->code != ERR_DAMAGED)
            return err->code == ERR_BUSY; /* another time */
    }
    return true;
}

static bool find_trim(struct state *state, int64_t oldest_ms, uint64_t keep_bytes, struct arena *arena,
                      uint64_t *position, struct err *err)
{
    size_t count = seglog_segment_count(state->history), segment = 0;
    for (; segment + 1 < count; segment++) {
        bool old;
        uint64_t next = seglog_segment_first(state->history, segment + 1);
        if (next > state->checkpoint_history)
            break; /* the last checkpoint has to find its end */
        if (!is_old(state, segment, oldest_ms, arena, &old, err))
            return false;
        if (!old && state_history_end(state) - seglog_segment_first(state->history, segment) <= keep_bytes)
            break;
    }
    *position = seglog_segment_first(state->history, segment);
    return true;
}

bool state_history_trim(struct state *state, int64_t keep_ms, uint64_t keep_bytes, struct err *err)
{
    struct arena arena;
    uint64_t position;
    assert(!state->checkpoint.is_running);
    if (atomic_load(&state->snapshot_count) > 0)
        return true; /* a backup needs them: next time */
    arena_init(&arena, ROWS_ARENA_BYTES);
    bool done = find_trim(state, state->notes.received_ms - keep_ms, keep_bytes, &arena, &position, err);
    if (done)
        seglog_trim(state->history, position);
    arena_fini(&arena);
    return done;
}

#include "store/state.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/state_db.h"

enum { DEVICE_CHUNK_BYTES = 16384, LASTING_CHUNK_BYTES = 8192, SLICE_PAGES = 256 };

static const struct lmdb_env_kind state_kind = {
    .name = "state",
    .format = 8,
    .advice =
        "move the state folder away and start again: it is rebuilt if the journal goes back to "
        "event 1; else restore a backup",
};

/* --- from disk --- */

static bool load_totals(struct state *state, struct err *err)
{
    struct text value;
    bool found;
    struct totals totals = {.letter_first = 1, .letter_next = 1};
    if (!state_db_get(state, DB_META, row_key("totals", 6), &value, &found, err))
        return false;
    if (found && value.len != sizeof totals)
        return state_db_damaged(state, DB_META, err);
    if (found)
        memcpy(&totals, value.bytes, sizeof totals);
    state->totals = state->written = totals;
    state_places_grow(state, totals.device_count);
    seen_grow(&state->seen, totals.device_count);
    state->checkpoint_seq = totals.applied_seq;
    state->checkpoint_history = totals.history_end;
    return true;
}

static bool load(struct state *state, struct err *err)
{
    int rc = mdb_txn_begin(state->env.env, NULL, MDB_RDONLY, &state->read);
    if (rc != 0)
        return lmdb_env_error(&state->env, rc, "reading", err);
    return load_totals(state, err) && state_seen_load(state, err) && state_redo(state, err) &&
           load_totals(state, err) && state_history_open(state, err) && state_words_load(state, err) &&
           state_names_load(state, err) && state_counters_load(state, err) && state_timers_load(state, err);
}

/* Goes past all devices once, so that their pages are in memory and mapped when the first events come: these touch
 * pages at random, and would wait for each. A database that is large beside the memory isn't read for that.
 * A damaged page that it finds is an error here: LMDB lets nothing be read in that transaction any more, and would say
 * no better why than that. */
static bool warm(const struct state *state, struct err *err)
{
    enum { PART_OF_MEMORY = 4 };
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    MDB_cursor *cursor;
    MDB_val key, value;
    if (state_file_bytes(state) > memory / PART_OF_MEMORY)
        return true;
    int rc = mdb_cursor_open(state->read, state->dbs[DB_DEVICES], &cursor);
    if (rc != 0)
        return lmdb_env_error(&state->env, rc, "reading", err);
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
        continue;
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND || lmdb_env_error(&state->env, rc, "reading", err);
}

/* --- opening --- */

static void init(struct state *state)
{
    names_init(&state->names);
    spots_init(&state->spots);
    words_init(&state->words);
    struct changes **roles[] = {&state->now, &state->frozen, &state->last};
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        changes_init(*roles[i] = &state->changes[i]);
    arena_init(&state->lasting, LASTING_CHUNK_BYTES);
    arena_init(&state->device.arena, DEVICE_CHUNK_BYTES);
    state->device.state = state;
}

bool state_open(const char *dir, const struct state_options *options, struct state **out,
                struct err *err)
{
    assert(options->index_count <= INDEX_COUNT_MAX);
    struct state *state = calloc(1, sizeof *state);
    if (state == NULL)
        abort();
    init(state);
    state->slice_pages = options->slice_pages == 0 ? SLICE_PAGES : options->slice_pages;
    if ((state->dir = strdup(dir)) == NULL)
        abort();
    if (!lmdb_env_open(&state->env, &state_kind, dir, options->map_bytes, err) ||
        !state_db_open(state, err) || !load(state, err) ||
        !state_index_configure(state, options, err) || !warm(state, err)) {
        state_close(state);
        return false;
    }
    *out = state;
    return true;
}

void state_close(struct state *state)
{
    if (state == NULL)
        return;
    assert(atomic_load(&state->snapshot_count) == 0);
    if (state->checkpoint.is_running && state->checkpoint.has_thread)
        pthread_join(state->checkpoint.thread, NULL);
    if (state->read != NULL)
        mdb_txn_abort(state->read);
    lmdb_env_close(&state->env);
    seglog_close(state->history);
    history_notes_fini(&state->notes);
    for (size_t i = 0; i < sizeof state->changes / sizeof state->changes[0]; i++)
        changes_fini(&state->changes[i]);
    names_fini(&state->names);
    spots_fini(&state->spots);
    state_layers_close(state);
    carry_fini(&state->checkpoint.carry);
    for (enum part part = 0; part < PART_COUNT; part++)
        free(state->places[part]);
    words_fini(&state->words);
    seen_fini(&state->seen);
    free(state->checkpoint.seen);
    free(state->buckets.items);
    for (enum part part = 0; part < PART_COUNT; part++)
        entries_fini(&state->device.parts[part]);
    entries_fini(&state->scratch);
    arena_fini(&state->device.arena);
    arena_fini(&state->lasting);
    free(state->dir);
    free(state);
}

/* --- the fold's bookkeeping --- */

uint64_t state_applied_seq(const struct state *state)
{
    return state->totals.applied_seq;
}

uint64_t state_checkpoint_seq(const struct state *state)
{
    return state->checkpoint_seq;
}

void state_set_applied_seq(struct state *state, uint64_t seq)
{
    state->totals.applied_seq = seq;
}

uint64_t state_device_count(const struct state *state)
{
    return state->totals.device_count;
}

uint64_t state_bytes(const struct state *state)
{
    uint64_t pages = 0;
    size_t branches;
    for (enum db db = 0; db < DB_COUNT; db++)
        pages += state_db_pages(state, state->read, db, &branches);
    return pages * state->env.page_bytes + layers_bytes(&state->layers);
}

uint64_t state_file_bytes(const struct state *state)
{
    return lmdb_env_pages(&state->env) * state->env.page_bytes + layers_bytes(&state->layers);
}

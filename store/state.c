#include "store/state.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "engine/base/crc32c.h"
#include "store/state_db.h"

enum { DEVICE_CHUNK_BYTES = 16384, LASTING_CHUNK_BYTES = 8192 };

/* Beyond what the checkpoint needs: room for the file system's own needs. */
enum {
    FREE_MARGIN_BYTES = 1 << 20,
    MAP_MARGIN_PART = 16, /* of the map, for what is applied between two checkpoints */
};

static const struct lmdb_env_kind state_kind = {
    .name = "state",
    .advice =
        "move the state folder away and start again: it is rebuilt if the journal goes back to "
        "event 1; else restore a backup",
};

/* Last-seen times of one block on disk. */
struct seen_record {
    uint32_t crc;
    uint32_t zero;
    int64_t ms[SEEN_BLOCK_COUNT];
};

/* --- from disk --- */

static bool load_totals(struct state *state, struct err *err)
{
    MDB_val value;
    bool found;
    struct totals totals = {.letter_first = 1, .letter_next = 1};
    if (!state_db_get(state, DB_META, lmdb_val("totals", 6), &value, &found, err))
        return false;
    if (found) {
        if (value.mv_size != sizeof totals)
            return lmdb_env_damaged(&state->env, err, "its totals are cut short");
        memcpy(&totals, value.mv_data, sizeof totals);
        if (totals.crc != crc32c(0, &totals, offsetof(struct totals, crc)))
            return lmdb_env_damaged(&state->env, err, "its totals fail their checksum");
    }
    state->totals = state->committed = totals;
    return true;
}

static uint32_t seen_crc(uint32_t block, const int64_t *ms)
{
    return crc32c(crc32c(0, &block, sizeof block), ms, SEEN_BLOCK_COUNT * sizeof *ms);
}

static bool load_seen(struct state *state, struct err *err)
{
    seen_fini(&state->seen);
    seen_grow(&state->seen, state->totals.device_count);
    for (uint32_t block = 0; block < state->seen.block_count; block++) {
        MDB_val value;
        bool found;
        struct seen_record record;
        if (!state_db_get(state, DB_SEEN, lmdb_val(&block, sizeof block), &value, &found, err))
            return false;
        if (!found)
            continue; /* none of them was ever seen */
        if (value.mv_size == sizeof record)
            memcpy(&record, value.mv_data, sizeof record);
        if (value.mv_size != sizeof record || record.crc != seen_crc(block, record.ms))
            return lmdb_env_damaged(&state->env, err, "last-seen times fail their checksum");
        memcpy(state->seen.ms + (size_t)block * SEEN_BLOCK_COUNT, record.ms, sizeof record.ms);
    }
    return true;
}

static void start_counting_pages(struct state *state)
{
    size_t branches;
    for (enum db db = 0; db < DB_COUNT; db++) {
        state->page_writes[db] = 0;
        state->pages_then[db] = state_db_pages(state, db, &branches);
    }
}

/* Open a transaction and bring everything in memory to what it holds. */
static bool load(struct state *state, struct err *err)
{
    assert(state->txn == NULL);
    if (!lmdb_env_begin(&state->env, &state->txn, err))
        return false;
    state->is_broken = false;
    start_counting_pages(state);
    counts_clear(&state->counts);
    return load_totals(state, err) && state_words_load(state, err) &&
           state_names_load(state, err) && load_seen(state, err) && state_counters_load(state, err);
}

/* --- to disk --- */

static bool flush_seen(struct state *state, struct err *err)
{
    struct seen *seen = &state->seen;
    for (uint32_t block = 0; seen->dirty_count > 0 && block < seen->block_count; block++) {
        if (!seen->dirty[block])
            continue;
        const int64_t *ms = seen->ms + (size_t)block * SEEN_BLOCK_COUNT;
        char *bytes;
        struct seen_record *record;
        if (!state_db_reserve(state, DB_SEEN, lmdb_val(&block, sizeof block), sizeof *record, 0,
                              &bytes, err))
            return false;
        uint32_t head[2] = {seen_crc(block, ms), 0};
        memcpy(bytes, head, sizeof head);
        memcpy(bytes + sizeof head, ms, sizeof record->ms);
        seen->dirty[block] = false;
        seen->dirty_count--;
    }
    return true;
}

static bool flush_totals(struct state *state, struct err *err)
{
    struct totals *totals = &state->totals;
    if (memcmp(totals, &state->committed, offsetof(struct totals, crc)) == 0)
        return true;
    totals->crc = crc32c(0, totals, offsetof(struct totals, crc));
    return state_db_put(state, DB_META, lmdb_val("totals", 6), lmdb_val(totals, sizeof *totals),
                        err);
}

static bool flush(struct state *state, struct err *err)
{
    return flush_seen(state, err) && state_counts_flush(state, err) &&
           state_words_save(state, err) && state_counters_flush(state, err) &&
           flush_totals(state, err);
}

bool state_commit(struct state *state, struct err *err)
{
    struct err failure;
    size_t pages = state_dirty_pages(state);
    if (!flush(state, &failure)) {
        mdb_txn_abort(state->txn);
        state->txn = NULL;
    } else {
        MDB_txn *txn = state->txn;
        state->txn = NULL;
        if (lmdb_env_commit(&state->env, txn, &failure) &&
            lmdb_env_begin(&state->env, &state->txn, &failure)) {
            state->committed = state->totals;
            state->committed_pages_written = pages;
            start_counting_pages(state);
            for (size_t i = 0; i < state->counter_count; i++) {
                state->counters[i].committed = state->counters[i].number;
                state->counters[i].stored = true;
            }
            return true;
        }
    }
    state->is_broken = true;
    state->broken = failure;
    return err_set(err, failure.code, "%s", failure.text);
}

/* --- opening --- */

static bool open_databases(struct state *state, struct err *err)
{
    if (!lmdb_env_begin(&state->env, &state->txn, err) || !state_db_open(state, err))
        return false;
    MDB_txn *txn = state->txn;
    state->txn = NULL;
    return lmdb_env_commit(&state->env, txn, err);
}

static void init(struct state *state)
{
    names_init(&state->names);
    words_init(&state->words);
    counts_init(&state->counts);
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
    if (!lmdb_env_open(&state->env, &state_kind, dir, options->map_bytes, err) ||
        !open_databases(state, err) || !load(state, err) ||
        !state_index_configure(state, options, err)) {
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
    if (state->txn != NULL)
        mdb_txn_abort(state->txn);
    lmdb_env_close(&state->env);
    names_fini(&state->names);
    words_fini(&state->words);
    seen_fini(&state->seen);
    counts_fini(&state->counts);
    for (enum part part = 0; part < PART_COUNT; part++)
        entries_fini(&state->device.parts[part]);
    entries_fini(&state->scratch);
    arena_fini(&state->device.arena);
    arena_fini(&state->lasting);
    free(state);
}

/* --- the fold's bookkeeping --- */

uint64_t state_applied_seq(const struct state *state)
{
    return state->totals.applied_seq;
}

uint64_t state_checkpoint_seq(const struct state *state)
{
    return state->committed.applied_seq;
}

void state_set_applied_seq(struct state *state, uint64_t seq)
{
    state->totals.applied_seq = seq;
}

uint64_t state_device_count(const struct state *state)
{
    return state->totals.device_count;
}

/* Writes that are still in memory. */
struct pending {
    size_t writes;
    size_t new_pages; /* that they may add, at most */
};

static struct pending pending_of(const struct state *state, enum db db)
{
    enum { COUNTS_PER_PAGE = 8 }; /* half a page of the longest keys */
    if (db == DB_SEEN)
        return (struct pending){state->seen.dirty_count, state->seen.dirty_count};
    if (db == DB_COUNTS)
        return (struct pending){state->counts.changed_count,
                                state->counts.changed_count / COUNTS_PER_PAGE};
    if (db == DB_COUNTERS)
        return (struct pending){state->counter_count, state->counter_count / COUNTS_PER_PAGE};
    return (struct pending){0, 0};
}

/* Pages of one sub-database that the commit would write: what its writes can have touched and what
 * was added since, or all that it has. Every branch page may be among them. */
static size_t dirty_pages_of(const struct state *state, enum db db)
{
    struct pending pending = pending_of(state, db);
    size_t branches, all = state_db_pages(state, db, &branches);
    size_t added = all > state->pages_then[db] ? all - state->pages_then[db] : 0;
    size_t touched = state->page_writes[db] + added + pending.writes;
    if (touched == 0)
        return 0;
    touched += branches;
    return (touched < all ? touched : all) + pending.new_pages + 4;
}

size_t state_dirty_pages(const struct state *state)
{
    size_t pages = 8; /* LMDB's own */
    for (enum db db = 0; db < DB_COUNT; db++)
        pages += dirty_pages_of(state, db);
    return pages + pages / 256; /* the list of freed pages */
}

uint64_t state_bytes(const struct state *state)
{
    uint64_t pages = 0;
    size_t branches;
    for (enum db db = 0; db < DB_COUNT; db++)
        pages += state_db_pages(state, db, &branches);
    return pages * state->env.page_bytes;
}

/* --- the checkpoint --- */

/* Pages of the file that no commit needs any more, so that writing them takes no space. Those that
 * the last commit gave up are still needed by it. */
static uint64_t reusable_pages(const struct state *state)
{
    uint64_t in_file = lmdb_env_pages(&state->env);
    uint64_t in_use =
        state_bytes(state) / state->env.page_bytes + state->committed_pages_written + 64;
    return in_file > in_use ? in_file - in_use : 0;
}

static bool check_space(const struct state *state, struct err *err)
{
    uint64_t pages = state_dirty_pages(state), reusable = reusable_pages(state);
    uint64_t need = pages > reusable ? (pages - reusable) * state->env.page_bytes : 0;
    uint64_t file_bytes = lmdb_env_pages(&state->env) * state->env.page_bytes;
    if (file_bytes + need + state->env.map_bytes / MAP_MARGIN_PART > state->env.map_bytes)
        return err_set(err, ERR_FULL,
                       "%s: it has grown to its bound of %" PRIu64
                       " GiB: raise state-map-gib and start again",
                       state->env.path, state->env.map_bytes >> 30);
    uint64_t free_bytes = lmdb_env_free_bytes(&state->env);
    if (free_bytes >= need + FREE_MARGIN_BYTES)
        return true;
    return err_set(err, ERR_FULL,
                   "%s: a checkpoint may need %" PRIu64 " KiB and the disk has %" PRIu64
                   " KiB left: free some",
                   state->env.path, (need + FREE_MARGIN_BYTES) >> 10, free_bytes >> 10);
}

/* The transaction is lost, by `why`: back to the last commit. */
static bool go_back(struct state *state, const struct err *why, bool *lost, struct err *err)
{
    if (state->txn != NULL)
        mdb_txn_abort(state->txn);
    state->txn = NULL;
    state->is_broken = true;
    state->broken = *why;
    if (why->code == ERR_DAMAGED)
        return err_set(err, ERR_DAMAGED, "%s", why->text);
    if (why->code != ERR_FULL || !load(state, err))
        return err_set(err, ERR_STORE, "%s", why->text);
    *lost = true;
    return err_set(err, ERR_FULL, "%s", why->text);
}

bool state_checkpoint(struct state *state, bool *lost, struct err *err)
{
    *lost = false;
    struct err failure;
    if (state->is_broken) {
        failure = state->broken;
        return go_back(state, &failure, lost, err);
    }
    if (!check_space(state, err))
        return false;
    return state_commit(state, &failure) || go_back(state, &failure, lost, err);
}

bool state_backup(const struct state *state, const char *dir, struct err *err)
{
    return lmdb_env_backup(&state->env, dir, err);
}

/* Checkpoints: the changes so far are frozen, a thread of its own writes them, and the state goes on with
 * an empty set meanwhile. When it is done the frozen ones are the last ones, only kept to be read until the next
 * checkpoint. When there was no space they stay frozen, and are tried again: nothing is lost by that. */
#include "store/state_checkpoint.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/base/thread.h"
#include "store/state_db.h"

enum {
    SLICES_AT_ONCE = 8,          /* what isn't more than this is one transaction */
    FREE_MARGIN_BYTES = 1 << 20, /* for the file system's own needs */
    MAP_MARGIN_PART = 16,        /* of the map is kept in reserve */
};

/* --- is there space? --- */

/* Pages of one sub-database that writing so many rows takes, at most: each row on a page of its own, or
 * all pages there are, and what the rows add. A removed row may merge its page with two others. Added rows fill pages
 * at least half; the last four are a root, a level more, and the two that a split is made of. */
static uint64_t pages_for(const struct state *state, MDB_txn *txn, enum db db, uint64_t rows, uint64_t bytes)
{
    enum { ROW_EXTRA_BYTES = 24, PAGES_A_ROW = 3 };
    size_t branches, all = state_db_pages(state, txn, db, &branches);
    if (rows == 0)
        return 0;
    uint64_t touched = PAGES_A_ROW * rows + branches;
    return (touched < all ? touched : all) + 2 * (bytes + rows * ROW_EXTRA_BYTES) / state->env.page_bytes + 4;
}

/* What is in layers, if it is to go into the database. */
static uint64_t pages_from_layers(const struct state *state, MDB_txn *txn, enum db db)
{
    const struct carry *carry = &state->checkpoint.carry;
    if (!carry->all || carry->places[db_part(db)] == NULL)
        return 0;
    return pages_for(state, txn, db, carry->device_count, layers_bytes(&state->layers) + state->frozen->dbs[db].bytes);
}

static uint64_t pages_to_write(const struct state *state, MDB_txn *txn, enum db db)
{
    return db_is_of_devices(db) && state->checkpoint.layered
               ? pages_from_layers(state, txn, db)
               : pages_for(state, txn, db, state->frozen->dbs[db].count, state->frozen->dbs[db].bytes);
}

static uint64_t seen_blocks_to_write(const struct state *state)
{
    const struct checkpoint *checkpoint = &state->checkpoint;
    if (!checkpoint->layered)
        return checkpoint->seen_changed;
    return checkpoint->carry.all ? checkpoint->seen_count : 0;
}

static uint64_t all_pages_to_write(const struct state *state, MDB_txn *txn)
{
    enum { PAGES_A_BLOCK = 2 };
    uint64_t pages = 8; /* LMDB's own */
    for (enum db db = 0; db < DB_COUNT; db++)
        pages += pages_to_write(state, txn, db);
    pages += PAGES_A_BLOCK * seen_blocks_to_write(state);
    return pages + pages / 256; /* the list of freed pages */
}

static uint64_t pages_in_use(const struct state *state, MDB_txn *txn)
{
    uint64_t pages = 0;
    size_t branches;
    for (enum db db = 0; db < DB_COUNT; db++)
        pages += state_db_pages(state, txn, db, &branches);
    return pages;
}

/* Pages of the file that no transaction needs any more, so that writing them takes no space. Those that
 * the last checkpoint gave up are still needed by it; a snapshot that is being copied may need any. */
static uint64_t reusable_pages(const struct state *state, MDB_txn *txn)
{
    if (atomic_load(&state->snapshot_count) > 0)
        return 0;
    uint64_t in_file = lmdb_env_pages(&state->env);
    uint64_t needed = pages_in_use(state, txn) + state->checkpoint_pages + 64;
    return in_file > needed ? in_file - needed : 0;
}

/* What is carried over is as large as what is in the layers. */
static uint64_t layer_bytes_to_write(const struct state *state)
{
    const struct layers *layers = &state->layers;
    if (!state->checkpoint.layered || state->checkpoint.layer != NULL)
        return 0;
    size_t rows = layers_rows(layers), carried = state->checkpoint.carry.row_max;
    return changes_bytes(state->frozen) + state->checkpoint.seen_count * sizeof state->checkpoint.seen_row +
           (rows == 0 ? 0 : layers_bytes(layers) / rows * carried);
}

static uint64_t bytes_to_add(const struct state *state, MDB_txn *txn, uint64_t pages)
{
    uint64_t reusable = reusable_pages(state, txn);
    return pages > reusable ? (pages - reusable) * state->env.page_bytes : 0;
}

static bool check_map(const struct state *state, MDB_txn *txn, uint64_t pages, struct err *err)
{
    const struct lmdb_env *env = &state->env;
    uint64_t file_bytes = lmdb_env_pages(env) * env->page_bytes;
    return file_bytes + bytes_to_add(state, txn, pages) + env->map_bytes / MAP_MARGIN_PART <= env->map_bytes ||
           err_set(err, ERR_FULL,
                   "%s: it has grown to its bound of %" PRIu64
                   " GiB: raise state-map-gib and start again",
                   env->path, env->map_bytes >> 30);
}

static bool check_disk(const struct state *state, MDB_txn *txn, uint64_t pages, struct err *err)
{
    const struct lmdb_env *env = &state->env;
    uint64_t free_bytes = lmdb_env_free_bytes(env);
    uint64_t need = bytes_to_add(state, txn, pages) + layer_bytes_to_write(state) + FREE_MARGIN_BYTES;
    return free_bytes >= need ||
           err_set(err, ERR_FULL,
                   "%s: a checkpoint may need %" PRIu64 " KiB and the disk has %" PRIu64
                   " KiB left: free some",
                   env->path, need >> 10, free_bytes >> 10);
}

/* --- freezing --- */

static void save_totals(struct state *state)
{
    const struct totals *totals = &state->totals;
    if (memcmp(totals, &state->written, sizeof *totals) == 0)
        return;
    memcpy(state_db_put(state, DB_META, row_key("totals", 6), sizeof *totals), totals,
           sizeof *totals);
    state->written = *totals;
}

/* Few changes go into the database in one transaction. More become a layer; then all that follow, so that layers
 * hide nothing newer, until there are so few that they can take all layers with them. That waits until there is space
 * for it, and so does carrying over: one more layer takes little. */
static void plan(struct state *state)
{
    struct checkpoint *checkpoint = &state->checkpoint;
    checkpoint->layered = false;
    uint64_t pages = all_pages_to_write(state, state->read);
    checkpoint->layered = state->frozen->count > 0 &&
                          (state->layers.count > 0 || pages > SLICES_AT_ONCE * state->slice_pages);
    if (!checkpoint->layered)
        return;
    struct err why;
    bool few = state->layers.count > 0 && pages <= state->slice_pages;
    enum carry_what what = few ? CARRY_ALL : CARRY_SOME;
    state_carry_plan(state, what);
    while (few && what != CARRY_NONE && !check_disk(state, state->read, all_pages_to_write(state, state->read), &why))
        state_carry_plan(state, ++what);
}

/* With the changes that are the layer's, the database learns that it has to be there. */
static void save_layer_number(struct state *state)
{
    const struct checkpoint *checkpoint = &state->checkpoint;
    uint64_t number = checkpoint->layered && !checkpoint->carry.all ? state->layer_number + 1 : 0;
    if (state->frozen->count == 0 || number == state->totals.layer)
        return;
    state->totals.layer = number;
    memcpy(changes_put(state->frozen, DB_META, row_key("totals", 6), sizeof state->totals), &state->totals,
           sizeof state->totals);
    state->written = state->totals;
}

/* What is kept beside the rows joins them; then the changes are frozen. */
static void freeze(struct state *state)
{
    assert(state->frozen->count == 0 && !state->checkpoint.is_frozen);
    state->checkpoint.is_frozen = true;
    state_seen_freeze(state);
    state_words_save(state);
    state_counters_save(state);
    state->totals.history_end = seglog_end(state->history);
    save_totals(state);
    state->checkpoint.seq = state->totals.applied_seq;
    state->checkpoint.history_end = state->totals.history_end;
    struct changes *empty = state->frozen;
    state->frozen = state->now;
    changes_clear(state->now = state->last);
    state->last = empty;
    plan(state);
    save_layer_number(state);
    size_t more = state->checkpoint.seen_count + state->checkpoint.carry.row_max; /* rows of the layer, at most */
    changes_follow(state->now, changes_end_place(state->frozen) + (uint32_t)more);
}

/* --- the thread --- */

/* Those that the applier's changes don't have: when devices were seen, then what is carried over. */
static struct text row_behind(void *context, size_t i)
{
    struct state *state = context;
    size_t seen_rows = state->checkpoint.seen_rows;
    return i < seen_rows ? state_seen_row(state, i) : state_carry_raw(state, i - seen_rows);
}

static bool write_layer(struct state *state, struct err *err)
{
    struct checkpoint *checkpoint = &state->checkpoint;
    uint64_t number = state->layer_number + 1;
    if (!state_carry_gather(state, err))
        return false;
    struct layer_span span = {number, state->checkpoint_seq, checkpoint->seq, state_carry_oldest(state, number)};
    state_seen_gather(state, &span);
    struct layer_rows behind = {checkpoint->seen_rows + checkpoint->carry.count, row_behind, state};
    if (!layer_write(state->dir, &span, state->frozen, &behind, &checkpoint->layer, err))
        return false;
    state_seen_layered(state, number);
    return true;
}

/* A layer makes many transactions as good as one. */
static bool write_frozen(struct state *state, struct err *err)
{
    const struct checkpoint *checkpoint = &state->checkpoint;
    if (!checkpoint->layered)
        return state_write(state, SIZE_MAX, err);
    if ((checkpoint->layer == NULL && !write_layer(state, err)) ||
        !state_write(state, state->slice_pages, err))
        return false;
    if (checkpoint->carry.all)
        state_seen_saved(state);
    return state_carry_remove(state, err);
}

/* The rows on disk name positions in the history, so it comes first. Without one, the state is being opened. */
static bool write_history(struct state *state, struct err *err)
{
    return state->history == NULL || seglog_sync(state->history, err);
}

/* Before anything is written: it gives space. */
static bool remove_trimmed(struct state *state, struct err *err)
{
    return state->history == NULL || seglog_remove(state->history, err);
}

static bool write_checkpoint(struct state *state, struct err *err)
{
    if (state->frozen->count == 0 && state->checkpoint.seen_changed == 0)
        return true; /* on a full disk, too */
    MDB_txn *txn;
    int rc = mdb_txn_begin(state->env.env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return lmdb_env_error(&state->env, rc, "reading", err);
    uint64_t pages = all_pages_to_write(state, txn);
    bool fits = check_map(state, txn, pages, err) && check_disk(state, txn, pages, err);
    mdb_txn_abort(txn);
    if (!fits || !write_history(state, err))
        return false;
    if (!write_frozen(state, err))
        return false;
    state->checkpoint_pages = pages;
    return true;
}

static void run(struct state *state)
{
    struct checkpoint *checkpoint = &state->checkpoint;
    layers_release(&state->dropped); /* their space counts */
    checkpoint->done = checkpoint->is_flushed && remove_trimmed(state, &checkpoint->err) &&
                       write_checkpoint(state, &checkpoint->err);
    atomic_store(&state->checkpoint.is_over, true);
}

static void *run_thread(void *state)
{
    thread_stand_back();
    run(state);
    return NULL;
}

/* --- for the state's owner --- */

void state_checkpoint_begin(struct state *state)
{
    struct checkpoint *checkpoint = &state->checkpoint;
    assert(!checkpoint->is_running);
    if (!checkpoint->is_frozen)
        freeze(state);
    checkpoint->is_flushed = state->history == NULL || seglog_flush(state->history, &checkpoint->err);
    atomic_store(&checkpoint->is_over, false);
    checkpoint->is_running = true;
    checkpoint->has_thread = pthread_create(&checkpoint->thread, NULL, run_thread, state) == 0;
    if (checkpoint->has_thread)
        pthread_setname_np(checkpoint->thread, "checkpoint");
    else
        run(state); /* there are too many threads on the machine */
}

bool state_checkpoint_running(const struct state *state)
{
    return state->checkpoint.is_running;
}

bool state_checkpoint_over(const struct state *state)
{
    return state->checkpoint.is_running && atomic_load(&state->checkpoint.is_over);
}

bool state_checkpoint_end(struct state *state, struct err *err)
{
    struct checkpoint *checkpoint = &state->checkpoint;
    assert(checkpoint->is_running);
    if (checkpoint->has_thread)
        pthread_join(checkpoint->thread, NULL);
    checkpoint->is_running = false;
    if (!checkpoint->done && checkpoint->err.code != ERR_FULL) {
        *err = checkpoint->err;
        return false;
    }
    /* also between two checkpoints: what is half written is in the frozen changes, and pages that the
     * reader holds can't be used by the next attempt */
    spots_clear(&state->spots);
    mdb_txn_reset(state->read);
    int rc = mdb_txn_renew(state->read);
    if (rc != 0)
        return lmdb_env_error(&state->env, rc, "reading", err);
    if (!checkpoint->done) {
        *err = checkpoint->err;
        return false;
    }
    if (checkpoint->layered)
        state_carry_end(state);
    struct changes *written = state->frozen;
    state->frozen = state->last; /* empty */
    state->last = written;
    checkpoint->is_frozen = false;
    state->checkpoint_seq = checkpoint->seq;
    state->checkpoint_history = checkpoint->history_end;
    return true;
}

void state_rest(struct state *state)
{
    if (state->checkpoint.is_running || state->now->count > 0 || state->checkpoint.is_frozen)
        return;
    changes_rest(state->now);
    changes_rest(state->last);
    layers_release(&state->dropped);
    struct err ignored; /* then the next checkpoint's thread meets it, too */
    remove_trimmed(state, &ignored);
    carry_fini(&state->checkpoint.carry);
    state_seen_rest(state);
}

static bool checkpoint_once(struct state *state, struct err *err)
{
    state_checkpoint_begin(state);
    return state_checkpoint_end(state, err);
}

bool state_checkpoint(struct state *state, struct err *err)
{
    if (state->checkpoint.is_running && !state_checkpoint_end(state, err))
        return false;
    return (!state->checkpoint.is_frozen || checkpoint_once(state, err)) && checkpoint_once(state, err);
}

size_t state_changes_bytes(const struct state *state)
{
    return changes_bytes(state->now) + seglog_unflushed_bytes(state->history);
}

bool state_redo(struct state *state, struct err *err)
{
    bool cut_short;
    return state_layers_load(state, &cut_short, err) && (!cut_short || checkpoint_once(state, err));
}

/* lmdb_env.h - what the state and the journal's numbers (sources.h) share about their LMDB environments:
 * opening one safely, committing, and turning LMDB's numbers into sentences.
 *
 * LMDB trusts its file: cut short, it opens and dies of SIGBUS later; a foreign file may be half
 * believed. So the file is looked at before anything is read from it. A new environment is built in
 * a subfolder and moved into place after its first commit: a data.mdb that exists was complete
 * once, so an empty or unmarked one is damage and never "new".
 *
 * A commit fails in two ways: there is no space and nothing was written (ERR_FULL), or the
 * outcome is unknown (ERR_STORE); only this unit decides which. Used by sources.c and the state_*.c
 * files. */
#ifndef STORE_LMDB_ENV_H
#define STORE_LMDB_ENV_H

#include <lmdb.h>

#include "engine/base/err.h"
#include "engine/base/text.h"

struct lmdb_env {
    MDB_env *env;
    char *path;         /* of data.mdb, for messages */
    const char *advice; /* what to do about damage; a literal */
    size_t page_bytes;
    uint64_t map_bytes;
};

struct lmdb_env_kind {
    const char *name;   /* "state": what the mark in the file says */
    int format;         /* likewise: its version */
    const char *advice; /* a sentence: what to do when it is damaged */
};

/* lmdb_env_open - open or create the environment in `dir` (made with its parents, 0750).
 * Errors  ERR_IO, ERR_DAMAGED, ERR_FULL, ERR_STORE; nothing stays open. */
bool lmdb_env_open(struct lmdb_env *env, const struct lmdb_env_kind *kind, const char *dir,
                   uint64_t map_bytes, struct err *err);
/* lmdb_env_close - a zeroed struct is fine. */
void lmdb_env_close(struct lmdb_env *env);

/* lmdb_env_error - fill `err` for LMDB's or errno's `rc`; `doing` completes "while ". Returns
 * false. */
bool lmdb_env_error(const struct lmdb_env *env, int rc, const char *doing, struct err *err);
/* lmdb_env_damaged - ERR_DAMAGED with the file, what is wrong in it, and what to do. Returns false.
 */
bool lmdb_env_damaged(const struct lmdb_env *env, struct err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* lmdb_env_begin - a write transaction. */
bool lmdb_env_begin(struct lmdb_env *env, MDB_txn **txn, struct err *err);

/* lmdb_env_commit - commit `txn`, which is over afterwards in any case.
 * Errors  ERR_FULL: nothing of it is on disk and the environment is as before; ERR_STORE: unknown.
 */
bool lmdb_env_commit(struct lmdb_env *env, MDB_txn *txn, struct err *err);

/* lmdb_env_free_bytes - what the file system has left for us; UINT64_MAX when it doesn't say. */
uint64_t lmdb_env_free_bytes(const struct lmdb_env *env);

/* lmdb_env_pages - pages of the file in use or reusable, as of the last commit. */
uint64_t lmdb_env_pages(const struct lmdb_env *env);

/* lmdb_env_open_copy - a new environment in the empty or new folder `dir`, for a copy of `source` by hand. It
 * is for this process alone, and on disk only after mdb_env_sync. Errors as lmdb_env_open. */
bool lmdb_env_open_copy(struct lmdb_env *env, const struct lmdb_env *source, const char *dir,
                        struct err *err);

/* lmdb_env_backup - write a compact copy of the last commit into the empty or new folder `dir`.
 * Any thread. Errors ERR_IO, ERR_FULL; what was written stays for the caller to remove. */
bool lmdb_env_backup(const struct lmdb_env *env, const char *dir, struct err *err);

static inline MDB_val lmdb_val(const void *bytes, size_t len)
{
    return (MDB_val){.mv_size = len, .mv_data = (void *)(uintptr_t)bytes};
}

#endif

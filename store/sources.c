#include "store/sources.h"

#include <stdlib.h>

#include "engine/base/crc32c.h"
#include "store/lmdb_env.h"
#include "store/raised.h"

#define MAP_BYTES (UINT64_C(16) << 30) /* of address space: room for a hundred million producers */

struct sources {
    struct lmdb_env env;
    MDB_dbi numbers;
    MDB_dbi places;
    struct raised unsaved;
};

static const struct lmdb_env_kind sources_kind = {
    .name = "sources",
    .format = 1,
    .advice = "restore a backup, of all of the data folder",
};

/* A producer's number on disk. */
struct number_record {
    uint64_t n;
    uint32_t crc;
    uint32_t zero;
};

static uint32_t number_crc(struct text name, uint64_t n)
{
    return crc32c(crc32c(0, name.bytes, name.len), &n, sizeof n);
}

struct place_record {
    struct sources_place place;
    uint32_t crc;
    uint32_t zero;
};

static const struct text place_key = {"saved", 5};

/* --- opening ----------------------------------------------------------------------------------------------- */

static bool read_place(struct sources *sources, MDB_txn *txn, struct sources_place *place, struct err *err)
{
    struct place_record record = {0};
    MDB_val key = lmdb_val(place_key.bytes, place_key.len), value;
    int rc = mdb_get(txn, sources->places, &key, &value);
    if (rc == MDB_NOTFOUND) {
        *place = (struct sources_place){0};
        return true;
    }
    if (rc != 0)
        return lmdb_env_error(&sources->env, rc, "opening it", err);
    if (value.mv_size == sizeof record)
        memcpy(&record, value.mv_data, sizeof record);
    if (value.mv_size != sizeof record || record.crc != crc32c(0, &record.place, sizeof record.place))
        return lmdb_env_damaged(&sources->env, err, "the place of its last save fails its checksum");
    *place = record.place;
    return true;
}

static bool open_databases(struct sources *sources, struct sources_place *place, struct err *err)
{
    MDB_txn *txn;
    if (!lmdb_env_begin(&sources->env, &txn, err))
        return false;
    int rc = mdb_dbi_open(txn, "sources", MDB_CREATE, &sources->numbers);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "place", MDB_CREATE, &sources->places);
    if (rc == 0 && read_place(sources, txn, place, err))
        return lmdb_env_commit(&sources->env, txn, err);
    mdb_txn_abort(txn);
    return rc != 0 && lmdb_env_error(&sources->env, rc, "opening it", err);
}

bool sources_open(const char *dir, struct sources **out, struct sources_place *place, struct err *err)
{
    struct sources *sources = calloc(1, sizeof *sources);
    if (sources == NULL)
        abort();
    raised_init(&sources->unsaved);
    if (!lmdb_env_open(&sources->env, &sources_kind, dir, MAP_BYTES, err) ||
        !open_databases(sources, place, err)) {
        sources_close(sources);
        return false;
    }
    *out = sources;
    return true;
}

void sources_close(struct sources *sources)
{
    if (sources == NULL)
        return;
    lmdb_env_close(&sources->env);
    raised_fini(&sources->unsaved);
    free(sources);
}

/* --- numbers ----------------------------------------------------------------------------------------------- */

static bool load(struct sources *sources, MDB_txn *txn, struct text name, uint64_t *n, struct err *err)
{
    struct number_record record = {0};
    MDB_val key = lmdb_val(name.bytes, name.len), value;
    int rc = mdb_get(txn, sources->numbers, &key, &value);
    if (rc == MDB_NOTFOUND) {
        *n = 0;
        return true;
    }
    if (rc != 0)
        return lmdb_env_error(&sources->env, rc, "reading a producer's number", err);
    if (value.mv_size == sizeof record)
        memcpy(&record, value.mv_data, sizeof record);
    if (value.mv_size != sizeof record || record.crc != number_crc(name, record.n))
        return lmdb_env_damaged(&sources->env, err, "the number of producer '" TEXT_FMT "' is damaged",
                                TEXT_ARG(name));
    *n = record.n;
    return true;
}

bool sources_find(struct sources *sources, struct text name, uint64_t *n, struct err *err)
{
    const struct raised_source *source = raised_find(&sources->unsaved, name);
    if (source != NULL) {
        *n = source->n;
        return true;
    }
    MDB_txn *txn;
    int rc = mdb_txn_begin(sources->env.env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return lmdb_env_error(&sources->env, rc, "reading a producer's number", err);
    bool done = load(sources, txn, name, n, err);
    mdb_txn_abort(txn);
    return done;
}

void sources_raise(struct sources *sources, struct text name, uint64_t n)
{
    struct raised_source *source = raised_find(&sources->unsaved, name);
    if (source == NULL)
        raised_add(&sources->unsaved, name, n);
    else
        source->n = n;
}

/* --- saving ------------------------------------------------------------------------------------------------ */

size_t sources_unsaved(const struct sources *sources)
{
    return sources->unsaved.count;
}

static int put_all(struct sources *sources, MDB_txn *txn, const struct sources_place *place)
{
    const struct raised_source *source;
    for (size_t at = 0; (source = raised_next(&sources->unsaved, &at)) != NULL;) {
        struct number_record record = {source->n, number_crc(source->name, source->n), 0};
        MDB_val key = lmdb_val(source->name.bytes, source->name.len), value = lmdb_val(&record, sizeof record);
        int rc = mdb_put(txn, sources->numbers, &key, &value, 0);
        if (rc != 0)
            return rc;
    }
    struct place_record record = {.place = *place, .crc = crc32c(0, place, sizeof *place)};
    MDB_val key = lmdb_val(place_key.bytes, place_key.len), value = lmdb_val(&record, sizeof record);
    return mdb_put(txn, sources->places, &key, &value, 0);
}

bool sources_save(struct sources *sources, const struct sources_place *place, struct err *err)
{
    MDB_txn *txn;
    if (!lmdb_env_begin(&sources->env, &txn, err))
        return false;
    int rc = put_all(sources, txn, place);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return lmdb_env_error(&sources->env, rc, "saving the producers' numbers", err);
    }
    if (!lmdb_env_commit(&sources->env, txn, err))
        return false;
    raised_clear(&sources->unsaved);
    return true;
}

bool sources_backup(const struct sources *sources, const char *dir, struct err *err)
{
    return lmdb_env_backup(&sources->env, dir, err);
}

#include <assert.h>

#include "engine/base/crc32c.h"
#include "store/state_db.h"

/* Two kinds of rows: "v" version -> crc32c, bundle; and "a" seq big-endian -> struct activation,
 * version. The last activation is the active one; the ones before it are what can be gone back to.
 */

enum { CRC_BYTES = 4, ACTIVATION_KEY_BYTES = 9, VERSION_KEY_BYTES_MAX = 1 + VERSION_BYTES_MAX };

struct activation {
    uint32_t crc; /* over seq, since_ms and the version */
    uint32_t zero;
    int64_t since_ms;
};

static void activation_key(uint64_t seq, unsigned char key[ACTIVATION_KEY_BYTES])
{
    key[0] = 'a';
    for (unsigned i = 0; i < 8; i++)
        key[1 + i] = (unsigned char)(seq >> (56 - 8 * i));
}

static uint64_t activation_seq(const unsigned char *key)
{
    uint64_t seq = 0;
    for (unsigned i = 0; i < 8; i++)
        seq = seq << 8 | key[1 + i];
    return seq;
}

static uint32_t activation_crc(uint64_t seq, int64_t since_ms, struct text version)
{
    uint32_t crc = crc32c(crc32c(0, &seq, sizeof seq), &since_ms, sizeof since_ms);
    return crc32c(crc, version.bytes, version.len);
}

static size_t version_key(struct text version, char key[VERSION_KEY_BYTES_MAX])
{
    assert(version.len >= 1 && version.len <= VERSION_BYTES_MAX);
    key[0] = 'v';
    memcpy(key + 1, version.bytes, version.len);
    return 1 + version.len;
}

/* --- writing --- */

static bool put_bundle(struct state *state, struct text version, struct text bundle,
                       struct err *err)
{
    char key[VERSION_KEY_BYTES_MAX], *bytes;
    uint32_t crc = crc32c(crc32c(0, version.bytes, version.len), bundle.bytes, bundle.len);
    size_t len = version_key(version, key);
    if (!state_db_reserve(state, DB_RULESETS, lmdb_val(key, len), CRC_BYTES + bundle.len, 0, &bytes,
                          err))
        return false;
    memcpy(bytes, &crc, CRC_BYTES);
    if (bundle.len > 0)
        memcpy(bytes + CRC_BYTES, bundle.bytes, bundle.len);
    return true;
}

bool state_ruleset_activate(struct state *state, struct text version, struct text bundle,
                            uint64_t seq, int64_t now_ms, struct err *err)
{
    unsigned char key[ACTIVATION_KEY_BYTES];
    struct activation activation = {activation_crc(seq, now_ms, version), 0, now_ms};
    char *bytes;
    if (!put_bundle(state, version, bundle, err))
        return false;
    activation_key(seq, key);
    if (!state_db_reserve(state, DB_RULESETS, lmdb_val(key, sizeof key),
                          sizeof activation + version.len, 0, &bytes, err))
        return false;
    memcpy(bytes, &activation, sizeof activation);
    memcpy(bytes + sizeof activation, version.bytes, version.len);
    return true;
}

/* --- reading --- */

static bool read_activation(struct state *state, const MDB_val *key, const MDB_val *value,
                            struct arena *arena, struct ruleset *ruleset, struct err *err)
{
    struct activation activation;
    if (key->mv_size != ACTIVATION_KEY_BYTES || value->mv_size <= sizeof activation)
        return lmdb_env_damaged(&state->env, err, "its list of rule sets is damaged");
    uint64_t seq = activation_seq(key->mv_data);
    memcpy(&activation, value->mv_data, sizeof activation);
    struct text version = {(const char *)value->mv_data + sizeof activation,
                           value->mv_size - sizeof activation};
    if (activation.crc != activation_crc(seq, activation.since_ms, version))
        return lmdb_env_damaged(&state->env, err, "its list of rule sets fails its checksum");
    *ruleset = (struct ruleset){arena_copy(arena, version), seq, activation.since_ms};
    return true;
}

/* Up to `limit` activations, newest first: the keys end where those of "v" begin. */
static bool walk_back(struct state *state, MDB_cursor *cursor, size_t limit, struct arena *arena,
                      struct ruleset *rulesets, size_t *count, struct err *err)
{
    MDB_val key = lmdb_val("b", 1), value;
    bool found;
    *count = 0;
    if (!state_db_move(state, cursor, &key, &value, MDB_SET_RANGE, &found, err) ||
        !state_db_move(state, cursor, &key, &value, found ? MDB_PREV : MDB_LAST, &found, err))
        return false;
    while (found && *count < limit && *(const char *)key.mv_data == 'a') {
        if (!read_activation(state, &key, &value, arena, &rulesets[*count], err) ||
            !state_db_move(state, cursor, &key, &value, MDB_PREV, &found, err))
            return false;
        (*count)++;
    }
    return true;
}

bool state_rulesets(struct state *state, size_t limit, struct arena *arena,
                    struct ruleset **rulesets, size_t *ruleset_count, struct err *err)
{
    assert(limit >= 1 && limit <= LIST_COUNT_MAX);
    MDB_cursor *cursor;
    size_t count;
    struct ruleset *items = arena_alloc(arena, limit * sizeof *items);
    if (!state_db_cursor(state, DB_RULESETS, &cursor, err))
        return false;
    bool done = walk_back(state, cursor, limit, arena, items, &count, err);
    mdb_cursor_close(cursor);
    if (!done)
        return false;
    *rulesets = items;
    *ruleset_count = count;
    return true;
}

bool state_ruleset_bundle(struct state *state, struct text version, struct arena *arena,
                          struct text *bundle, bool *found, struct err *err)
{
    char key[VERSION_KEY_BYTES_MAX];
    MDB_val value;
    uint32_t crc = 0;
    *found = false;
    if (version.len == 0 || version.len > VERSION_BYTES_MAX)
        return true;
    size_t len = version_key(version, key);
    if (!state_db_get(state, DB_RULESETS, lmdb_val(key, len), &value, found, err))
        return false;
    if (!*found)
        return true;
    if (value.mv_size >= CRC_BYTES)
        memcpy(&crc, value.mv_data, CRC_BYTES);
    struct text bytes = {(const char *)value.mv_data + CRC_BYTES, value.mv_size - CRC_BYTES};
    if (value.mv_size < CRC_BYTES ||
        crc != crc32c(crc32c(0, version.bytes, version.len), bytes.bytes, bytes.len))
        return lmdb_env_damaged(&state->env, err, "rule set " TEXT_FMT " fails its checksum",
                                TEXT_ARG(version));
    *bundle = arena_copy(arena, bytes);
    return true;
}

bool state_ruleset_active(struct state *state, struct arena *arena, struct text *version,
                          struct text *bundle, uint64_t *seq, int64_t *since_ms, struct err *err)
{
    struct ruleset *active;
    struct text bytes = {"", 0};
    size_t count;
    bool found = false;
    if (!state_rulesets(state, 1, arena, &active, &count, err))
        return false;
    if (count == 0)
        active[0] = (struct ruleset){{"", 0}, 0, 0};
    else if (!state_ruleset_bundle(state, active[0].version, arena, &bytes, &found, err))
        return false;
    else if (!found)
        return lmdb_env_damaged(&state->env, err, "the active rule set is missing");
    *version = active[0].version;
    *bundle = bytes;
    *seq = active[0].seq;
    *since_ms = active[0].since_ms;
    return true;
}

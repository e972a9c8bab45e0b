#include <assert.h>

#include "store/state_db.h"

/* Two kinds of rows: "v" version -> bundle; and "a" seq big-endian -> since_ms, version. The last
 * activation is the active one; the ones before it are what can be gone back to. */

enum { ACTIVATION_KEY_BYTES = 9, VERSION_KEY_BYTES_MAX = 1 + VERSION_BYTES_MAX };

static void activation_key(uint64_t seq, unsigned char key[ACTIVATION_KEY_BYTES])
{
    key[0] = 'a';
    for (unsigned i = 0; i < 8; i++)
        key[1 + i] = (unsigned char)(seq >> (56 - 8 * i));
}

static uint64_t activation_seq(const char *key)
{
    uint64_t seq = 0;
    for (unsigned i = 0; i < 8; i++)
        seq = seq << 8 | (unsigned char)key[1 + i];
    return seq;
}

static size_t version_key(struct text version, char key[VERSION_KEY_BYTES_MAX])
{
    assert(version.len >= 1 && version.len <= VERSION_BYTES_MAX);
    key[0] = 'v';
    memcpy(key + 1, version.bytes, version.len);
    return 1 + version.len;
}

/* --- writing --- */

void state_ruleset_activate(struct state *state, struct text version, struct text bundle,
                            uint64_t seq, int64_t now_ms)
{
    unsigned char key[ACTIVATION_KEY_BYTES];
    char version_row[VERSION_KEY_BYTES_MAX];
    size_t len = version_key(version, version_row);
    char *bytes = state_db_put(state, DB_RULESETS, row_key(version_row, len), bundle.len);
    if (bundle.len > 0)
        memcpy(bytes, bundle.bytes, bundle.len);
    activation_key(seq, key);
    bytes = state_db_put(state, DB_RULESETS, row_key(key, sizeof key), sizeof now_ms + version.len);
    memcpy(bytes, &now_ms, sizeof now_ms);
    memcpy(bytes + sizeof now_ms, version.bytes, version.len);
}

/* --- reading --- */

static bool read_activation(const struct state *state, struct text key, struct text value,
                            struct arena *arena, struct ruleset_activation *ruleset, struct err *err)
{
    int64_t since_ms;
    if (key.len != ACTIVATION_KEY_BYTES || value.len <= sizeof since_ms)
        return state_db_damaged(state, DB_RULESETS, err);
    memcpy(&since_ms, value.bytes, sizeof since_ms);
    struct text version = {value.bytes + sizeof since_ms, value.len - sizeof since_ms};
    *ruleset = (struct ruleset_activation){arena_copy(arena, version), activation_seq(key.bytes), since_ms};
    return true;
}

/* All activations pass by, oldest first; the last `limit` of them stay, newest first. There is one for
 * each change of rules in the folder's life. */
static bool walk(struct scan *scan, size_t limit, struct arena *arena, struct ruleset_activation *rulesets,
                 size_t *count, struct err *err)
{
    struct text key, value;
    bool found = true;
    *count = 0;
    while (state_scan_next(scan, &key, &value, &found, err)) {
        struct ruleset_activation ruleset;
        if (!found)
            return true;
        if (!read_activation(scan->state, key, value, arena, &ruleset, err))
            return false;
        *count += *count < limit;
        memmove(rulesets + 1, rulesets, (*count - 1) * sizeof *rulesets);
        rulesets[0] = ruleset;
    }
    return false;
}

bool state_rulesets(struct state *state, size_t limit, struct arena *arena,
                    struct ruleset_activation **rulesets, size_t *ruleset_count, struct err *err)
{
    assert(limit >= 1 && limit <= LIST_COUNT_MAX);
    struct scan scan;
    size_t count;
    struct ruleset_activation *items = arena_alloc(arena, limit * sizeof *items);
    bool done = state_scan_open(state, DB_RULESETS, TEXT("a"), TEXT(""), &scan, err) &&
                walk(&scan, limit, arena, items, &count, err);
    state_scan_close(&scan);
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
    struct text bytes;
    *found = false;
    if (version.len == 0 || version.len > VERSION_BYTES_MAX)
        return true;
    size_t len = version_key(version, key);
    if (!state_db_get(state, DB_RULESETS, row_key(key, len), &bytes, found, err))
        return false;
    if (*found)
        *bundle = arena_copy(arena, bytes);
    return true;
}

bool state_ruleset_active(struct state *state, struct arena *arena, struct text *version,
                          struct text *bundle, uint64_t *seq, int64_t *since_ms, struct err *err)
{
    struct ruleset_activation *active;
    struct text bytes = {"", 0};
    size_t count;
    bool found = false;
    if (!state_rulesets(state, 1, arena, &active, &count, err))
        return false;
    if (count == 0)
        active[0] = (struct ruleset_activation){{"", 0}, 0, 0};
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

#include <assert.h>

#include "store/state_db.h"

/* Two kinds of rows: "v" version -> bundle; and "a" seq big-endian -> since_ms, who did it, version. The last
 * activation is the active one; the ones before it are what can be gone back to. */

enum { ACTIVATION_KEY_BYTES = 9, VERSION_KEY_BYTES_MAX = 1 + VERSION_BYTES_MAX };
enum { SINCE_BYTES = sizeof(int64_t), ACTIVATION_HEAD_BYTES = SINCE_BYTES + 1 };

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

void state_ruleset_activate(struct state *state, const struct ruleset_activation *activation, struct text bundle)
{
    unsigned char key[ACTIVATION_KEY_BYTES];
    char version_row[VERSION_KEY_BYTES_MAX];
    struct text version = activation->version;
    size_t len = version_key(version, version_row);
    char *bytes = state_db_put(state, DB_RULESETS, row_key(version_row, len), bundle.len);
    if (bundle.len > 0)
        memcpy(bytes, bundle.bytes, bundle.len);
    activation_key(activation->seq, key);
    bytes = state_db_put(state, DB_RULESETS, row_key(key, sizeof key), ACTIVATION_HEAD_BYTES + version.len);
    memcpy(bytes, &activation->since_ms, SINCE_BYTES);
    bytes[SINCE_BYTES] = (char)activation->by;
    memcpy(bytes + ACTIVATION_HEAD_BYTES, version.bytes, version.len);
}

/* --- reading --- */

static bool read_activation(const struct state *state, struct text key, struct text value,
                            struct arena *arena, struct ruleset_activation *activation, struct err *err)
{
    if (key.len != ACTIVATION_KEY_BYTES || value.len <= ACTIVATION_HEAD_BYTES ||
        (unsigned char)value.bytes[SINCE_BYTES] > RULESET_BY_PROGRAM)
        return state_db_damaged(state, DB_RULESETS, err);
    struct text version = {value.bytes + ACTIVATION_HEAD_BYTES, value.len - ACTIVATION_HEAD_BYTES};
    *activation = (struct ruleset_activation){
        .version = arena_copy(arena, version),
        .seq = activation_seq(key.bytes),
        .by = (enum ruleset_by)value.bytes[SINCE_BYTES],
    };
    memcpy(&activation->since_ms, value.bytes, SINCE_BYTES);
    return true;
}

/* Whose activations; a set of bits. */
enum {
    BY_CONFIGURATION = 1 << RULESET_BY_SETTINGS | 1 << RULESET_BY_PROGRAM,
    BY_ANYBODY = BY_CONFIGURATION | 1 << RULESET_BY_OPERATOR,
};

/* All activations of those pass by, oldest first; the last `limit` of them stay, newest first. There are RULESETS_KEPT
 * of them, and the configured one. */
static bool walk(struct scan *scan, unsigned by, size_t limit, struct arena *arena,
                 struct ruleset_activation *rulesets, size_t *count, struct err *err)
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
        if ((by & 1U << ruleset.by) == 0)
            continue;
        *count += *count < limit;
        memmove(rulesets + 1, rulesets, (*count - 1) * sizeof *rulesets);
        rulesets[0] = ruleset;
    }
    return false;
}

static bool list_activations(struct state *state, unsigned by, size_t limit, struct arena *arena,
                             struct ruleset_activation *activations, size_t *count, struct err *err)
{
    struct scan scan;
    bool done = state_scan_open(state, DB_RULESETS, TEXT("a"), TEXT(""), &scan, err) &&
                walk(&scan, by, limit, arena, activations, count, err);
    state_scan_close(&scan);
    return done;
}

bool state_rulesets(struct state *state, size_t limit, struct arena *arena,
                    struct ruleset_activation **activations, size_t *activation_count, struct err *err)
{
    assert(limit >= 1 && limit <= LIST_COUNT_MAX);
    *activations = arena_alloc(arena, limit * sizeof **activations);
    return list_activations(state, BY_ANYBODY, limit, arena, *activations, activation_count, err);
}

static bool newest(struct state *state, unsigned by, struct arena *arena, struct ruleset_activation *activation,
                   struct err *err)
{
    size_t count;
    *activation = (struct ruleset_activation){.version = {"", 0}};
    return list_activations(state, by, 1, arena, activation, &count, err);
}

bool state_ruleset_configured(struct state *state, struct arena *arena, struct ruleset_activation *configured,
                              struct err *err)
{
    return newest(state, BY_CONFIGURATION, arena, configured, err);
}

/* --- forgetting --- */

static bool is_named(const struct ruleset_activation *activations, size_t count, struct text version)
{
    for (size_t i = 0; i < count; i++)
        if (text_equal(activations[i].version, version))
            return true;
    return false;
}

/* others  the activations that stay */
static void forget(struct state *state, const struct ruleset_activation *activation,
                   const struct ruleset_activation *others, size_t other_count)
{
    unsigned char key[ACTIVATION_KEY_BYTES];
    char version_row[VERSION_KEY_BYTES_MAX];
    activation_key(activation->seq, key);
    state_db_delete(state, DB_RULESETS, row_key(key, sizeof key));
    if (!is_named(others, other_count, activation->version))
        state_db_delete(state, DB_RULESETS, row_key(version_row, version_key(activation->version, version_row)));
}

bool state_ruleset_trim(struct state *state, struct arena *arena, struct err *err)
{
    enum { ROWS_MAX = RULESETS_KEPT + 2 }; /* the newest ones, the one that is configured, and one too many */
    struct ruleset_activation *rows = arena_alloc(arena, ROWS_MAX * sizeof *rows);
    struct ruleset_activation configured;
    size_t count, kept = RULESETS_KEPT;
    if (!list_activations(state, BY_ANYBODY, ROWS_MAX, arena, rows, &count, err) ||
        !state_ruleset_configured(state, arena, &configured, err))
        return false;
    for (size_t i = RULESETS_KEPT; i < count; i++)
        if (rows[i].seq == configured.seq) {
            struct ruleset_activation swapped = rows[kept];
            rows[kept++] = rows[i];
            rows[i] = swapped;
        }
    for (size_t i = kept; i < count; i++)
        forget(state, &rows[i], rows, kept);
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

bool state_ruleset_active(struct state *state, struct arena *arena, struct ruleset_activation *active,
                          struct text *bundle, struct err *err)
{
    bool found;
    *bundle = TEXT("");
    if (!newest(state, BY_ANYBODY, arena, active, err))
        return false;
    if (active->version.len == 0)
        return true;
    if (!state_ruleset_bundle(state, active->version, arena, bundle, &found, err))
        return false;
    return found || lmdb_env_damaged(&state->env, err, "the active rule set is missing");
}

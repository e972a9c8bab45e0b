/* The values of an index, with how many devices have each. A cursor is the last value_key in hex. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/state_db.h"

static struct text write_hex(struct arena *arena, struct text bytes)
{
    char *out = arena_alloc(arena, 2 * bytes.len + 1);
    for (size_t i = 0; i < bytes.len; i++)
        snprintf(out + 2 * i, 3, "%02x", (unsigned char)bytes.bytes[i]);
    return (struct text){out, 2 * bytes.len};
}

/* Length of what the hex says, or 0 when it is none. */
static size_t read_hex(struct text hex, unsigned char out[VALUE_KEY_BYTES_MAX])
{
    if (hex.len % 2 != 0 || hex.len / 2 > VALUE_KEY_BYTES_MAX)
        return 0;
    for (size_t i = 0; i < hex.len / 2; i++) {
        char digits[3] = {hex.bytes[2 * i], hex.bytes[2 * i + 1], '\0'}, *end;
        out[i] = (unsigned char)strtoul(digits, &end, 16);
        if (end != digits + 2 || digits[0] == '+' || digits[0] == '-' || digits[0] == ' ')
            return 0;
    }
    return hex.len / 2;
}

/* A long text isn't in its key: a device that has it knows. */
static bool find_long_value(struct state *state, size_t place, struct text value_key,
                            struct value *value, struct err *err)
{
    struct record_head head;
    uint32_t id;
    size_t count, position;
    if (!state_index_ids(state, place, value_key, 0, &id, 1, &count, err))
        return false;
    if (count == 0)
        return lmdb_env_damaged(&state->env, err, "a counted value has no device in the index");
    if (!state_device_look(state, id, &head, err))
        return false;
    *value = value_string(head.type);
    if (place == TYPE_INDEX)
        return true;
    const struct index *index = &state->indexes[place];
    if (!entries_find(&state->scratch, index->scope, index->key, &position))
        return lmdb_env_damaged(&state->env, err, "an index has a device in the wrong place");
    *value = entry_value(&state->scratch.items[position]);
    return true;
}

static bool add_value(struct state *state, size_t place, struct text value_key, struct text number,
                      struct arena *arena, struct value_count *out, struct err *err)
{
    if (number.len != sizeof out->count)
        return state_db_damaged(state, DB_COUNTS, err);
    memcpy(&out->count, number.bytes, sizeof out->count);
    out->key = arena_copy(arena, value_key);
    if (!value_key_decode(value_key, &out->value) &&
        !find_long_value(state, place, value_key, &out->value, err))
        return false;
    if (out->value.kind == VALUE_STRING || out->value.kind == VALUE_JSON)
        out->value.text = arena_copy(arena, out->value.text);
    return true;
}

struct text state_values_cursor(const struct value_count *last, struct arena *arena)
{
    return write_hex(arena, last->key);
}

struct value_page {
    struct value_count *items;
    size_t count;
    size_t limit;
    struct text next;
};

static bool list_values(struct state *state, size_t place, struct scan *scan, struct text after,
                        struct arena *arena, struct value_page *page, struct err *err)
{
    struct text key, number;
    bool found = true;
    while (state_scan_next(scan, &key, &number, &found, err)) {
        if (!found)
            return true;
        if (text_equal(key, after))
            continue;
        if (page->count == page->limit) {
            page->next = state_values_cursor(&page->items[page->count - 1], arena);
            return true;
        }
        struct text value_key = {key.bytes + 1, key.len - 1};
        if (!add_value(state, place, value_key, number, arena, &page->items[page->count], err))
            return false;
        page->count++;
    }
    return false;
}

static bool values_of(struct state *state, size_t place, struct text cursor, size_t limit,
                      struct arena *arena, struct value_count **values, size_t *value_count,
                      struct text *next, struct err *err)
{
    assert(limit >= 1 && limit <= LIST_COUNT_MAX);
    unsigned char start[1 + VALUE_KEY_BYTES_MAX] = {state->indexes[place].number};
    size_t len = read_hex(cursor, start + 1);
    if (cursor.len > 0 && len == 0)
        return err_set(err, ERR_BAD_QUERY,
                       "the cursor is not one of this list: give 'cursor' of the page before");
    struct value_page page = {
        .items = arena_alloc(arena, limit * sizeof *page.items), .limit = limit, .next = {"", 0}};
    struct scan scan;
    struct text after = row_key(start, 1 + len);
    bool done = state_scan_open(state, DB_COUNTS, row_key(start, 1), after, &scan, err) &&
                list_values(state, place, &scan, after, arena, &page, err);
    state_scan_close(&scan);
    if (!done)
        return false;
    *values = page.items;
    *value_count = page.count;
    *next = page.next;
    return true;
}

bool state_index_values(struct state *state, size_t index, struct text cursor, size_t limit,
                        struct arena *arena, struct value_count **values, size_t *value_count,
                        struct text *next, struct err *err)
{
    assert(index < state_index_count(state));
    return values_of(state, FIRST_INDEX + index, cursor, limit, arena, values, value_count, next,
                     err);
}

bool state_type_values(struct state *state, struct text cursor, size_t limit, struct arena *arena,
                       struct value_count **values, size_t *value_count, struct text *next,
                       struct err *err)
{
    return values_of(state, TYPE_INDEX, cursor, limit, arena, values, value_count, next, err);
}

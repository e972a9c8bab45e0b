#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/state_db.h"

/* Devices looked at per call: with the record of each read, a few milliseconds. */
enum { LOOK_COUNT_MAX = 5000, IDS_AT_ONCE = 256 };

/* A page of names in the making. */
struct page {
    struct state *state;
    const struct device_filter *filter;
    struct arena *arena;
    struct text *names;
    size_t count;
    size_t limit;
    size_t look_count;
};

static bool is_full(const struct page *page)
{
    return page->count == page->limit || page->look_count == LOOK_COUNT_MAX;
}

static void add_name(struct page *page, struct text name)
{
    page->names[page->count++] = arena_copy(page->arena, name);
}

/* --- cursors: the filter's hash, a colon, and how far the list went --- */

enum { CURSOR_HASH_LEN = 16 };

static uint64_t hash_part(struct text part, uint64_t hash)
{
    return text_fnv1a64(TEXT("|"), text_fnv1a64(part, hash));
}

static uint64_t filter_hash(const struct device_filter *filter)
{
    unsigned char key[VALUE_KEY_BYTES_MAX];
    uint64_t hash = FNV1A64_START;
    for (size_t i = 0; i < filter->condition_count; i++) {
        const struct device_condition *condition = &filter->conditions[i];
        size_t len = value_key_encode(&condition->value, key);
        hash = hash_part(row_key(&condition->index, sizeof condition->index), hash);
        hash = hash_part(row_key(key, len), hash);
    }
    for (size_t i = 0; i < filter->changed_count; i++)
        hash = hash_part(filter->changed[i].key, hash);
    hash = hash_part(row_key(&filter->changed_since_ms, sizeof filter->changed_since_ms), hash);
    return hash_part(filter->prefix, hash_part(filter->type, hash));
}

static bool read_cursor(const struct device_filter *filter, struct text cursor, struct text *rest,
                        struct err *err)
{
    char start[CURSOR_HASH_LEN + 2];
    *rest = (struct text){"", 0};
    if (cursor.len == 0)
        return true;
    snprintf(start, sizeof start, "%016" PRIx64 ":", filter_hash(filter));
    if (cursor.len <= CURSOR_HASH_LEN + 1 || !text_starts(cursor, text_of(start)))
        return err_set(err, ERR_BAD_QUERY,
                       "the cursor is not one of this list: give 'cursor' of the page before, with "
                       "the same filter");
    *rest = (struct text){cursor.bytes + CURSOR_HASH_LEN + 1, cursor.len - CURSOR_HASH_LEN - 1};
    return true;
}

struct text state_devices_cursor(const struct device_filter *filter, struct text name, struct arena *arena)
{
    return arena_format(arena, "%016" PRIx64 ":" TEXT_FMT, filter_hash(filter), TEXT_ARG(name));
}

static struct text write_cursor(const struct page *page, struct text rest)
{
    return state_devices_cursor(page->filter, rest, page->arena);
}

/* --- one device --- */

/* Of the device just looked at. */
static bool get_looked_at(const struct page *page, enum scope scope, struct text key,
                          struct attribute *attribute)
{
    const struct entries *entries = &page->state->scratch;
    size_t position;
    bool found = entries_find(entries, scope, key, &position);
    if (found)
        *attribute = entry_decode(&entries->items[position]);
    return found;
}

static bool holds(const struct page *page, const struct device_condition *condition)
{
    const struct index *index = &page->state->indexes[FIRST_INDEX + condition->index];
    struct attribute attribute;
    return get_looked_at(page, index->scope, index->key, &attribute) &&
           value_equal(&attribute.value, &condition->value);
}

static bool changed_since(const struct page *page)
{
    const struct device_filter *filter = page->filter;
    struct attribute attribute;
    for (size_t i = 0; i < filter->changed_count; i++)
        if (get_looked_at(page, filter->changed[i].scope, filter->changed[i].key, &attribute))
            return attribute.ts_ms >= filter->changed_since_ms;
    return filter->changed_count == 0;
}

static bool matches(const struct page *page, const struct record_head *head)
{
    const struct device_filter *filter = page->filter;
    for (size_t i = 0; i < filter->condition_count; i++)
        if (!holds(page, &filter->conditions[i]))
            return false;
    return (filter->type.len == 0 || text_equal(head->type, filter->type)) &&
           (filter->prefix.len == 0 || text_starts(head->name, filter->prefix)) &&
           changed_since(page);
}

/* --- by name --- */

/* Only the name is known of a device until more than that is asked. */
static bool look_at_named(struct page *page, struct text name, struct text id_bytes, struct err *err)
{
    struct record_head head;
    uint32_t id;
    page->look_count++;
    if (page->filter->changed_count > 0) {
        if (id_bytes.len != sizeof id)
            return state_db_damaged(page->state, DB_NAMES, err);
        memcpy(&id, id_bytes.bytes, sizeof id);
        if (!state_device_look(page->state, id, &head, err))
            return false;
        if (!matches(page, &head))
            return true;
    }
    add_name(page, name);
    return true;
}

static bool list_by_name(struct page *page, struct scan *scan, struct text after,
                         struct text *next, struct err *err)
{
    struct text name, id, last = after;
    bool found = true;
    while (state_scan_next(scan, &name, &id, &found, err)) {
        if (!found)
            return true;
        if (text_equal(name, after))
            continue;
        if (is_full(page)) {
            *next = write_cursor(page, last);
            return true;
        }
        if (!look_at_named(page, name, id, err))
            return false;
        last = name;
    }
    return false;
}

/* --- by an index --- */

/* The index whose devices are gone through. */
struct driver {
    size_t place;
    const struct device_condition *condition; /* NULL: the type */
    struct text value_key;
    unsigned char key[VALUE_KEY_BYTES_MAX];
};

/* The one with the fewest devices: whatever else must hold is looked up in each of them. Every index
 * lists by id, so the next page may well choose another. */
static bool choose_driver(const struct page *page, struct driver *driver, struct err *err)
{
    const struct device_filter *filter = page->filter;
    struct value type = value_string(filter->type);
    bool has_choice = filter->condition_count + (filter->type.len > 0) > 1;
    uint64_t fewest = UINT64_MAX, count = 0;
    *driver = (struct driver){.place = TYPE_INDEX};
    if (has_choice && filter->type.len > 0 &&
        !state_counts_get(page->state, TYPE_INDEX, &type, &fewest, err))
        return false;
    for (size_t i = 0; i < filter->condition_count; i++) {
        const struct device_condition *condition = &filter->conditions[i];
        size_t place = FIRST_INDEX + condition->index;
        if (has_choice && !state_counts_get(page->state, place, &condition->value, &count, err))
            return false;
        if (count >= fewest)
            continue;
        fewest = count;
        driver->place = place;
        driver->condition = condition;
    }
    const struct value *value = driver->condition != NULL ? &driver->condition->value : &type;
    driver->value_key = row_key(driver->key, value_key_encode(value, driver->key));
    return true;
}

static bool look_at(struct page *page, const struct driver *driver, uint32_t id, struct err *err)
{
    struct record_head head;
    if (!state_device_look(page->state, id, &head, err))
        return false;
    if (driver->condition != NULL ? !holds(page, driver->condition)
                                  : !text_equal(head.type, page->filter->type))
        return lmdb_env_damaged(&page->state->env, err,
                                "an index has device '" TEXT_FMT "' in the wrong place",
                                TEXT_ARG(head.name));
    if (matches(page, &head))
        add_name(page, head.name);
    return true;
}

/* Look at devices of the index from `from_id` on until the page is full; the cursor is the last id.
 */
static bool list_by_index(struct page *page, const struct driver *driver, uint32_t from_id,
                          struct text *next, struct err *err)
{
    uint32_t ids[IDS_AT_ONCE];
    for (size_t count = IDS_AT_ONCE; count == IDS_AT_ONCE;) {
        if (!state_index_ids(page->state, driver->place, driver->value_key, from_id, ids, IDS_AT_ONCE,
                             &count, err))
            return false;
        for (size_t i = 0; i < count; i++) {
            if (is_full(page)) {
                char rest[16];
                snprintf(rest, sizeof rest, "%08" PRIx32, from_id);
                *next = write_cursor(page, text_of(rest));
                return true;
            }
            page->look_count++;
            from_id = ids[i] + 1;
            if (!look_at(page, driver, ids[i], err))
                return false;
        }
    }
    return true;
}

/* The id that the cursor says to go on with. */
static bool read_id(struct text rest, uint32_t *from_id, struct err *err)
{
    char digits[9] = "", *end = digits;
    *from_id = 0;
    if (rest.len == 0)
        return true;
    if (rest.len == 8) {
        memcpy(digits, rest.bytes, rest.len);
        *from_id = (uint32_t)strtoul(digits, &end, 16);
    }
    if (end != digits + 8)
        return err_set(err, ERR_BAD_QUERY, "the cursor is not one of this list");
    return true;
}

bool state_devices_ordered(const struct device_filter *filter)
{
    return filter->condition_count == 0 && filter->type.len == 0;
}

static bool list(struct page *page, struct text rest, struct text *next, struct err *err)
{
    const struct device_filter *filter = page->filter;
    if (!state_devices_ordered(filter)) {
        struct driver driver;
        uint32_t from_id;
        return read_id(rest, &from_id, err) && choose_driver(page, &driver, err) &&
               list_by_index(page, &driver, from_id, next, err);
    }
    struct scan scan;
    bool done = state_scan_open(page->state, DB_NAMES, filter->prefix, rest, &scan, err) &&
                list_by_name(page, &scan, rest, next, err);
    state_scan_close(&scan);
    return done;
}

/* Can no device match, whatever there is? No attribute is null. */
static bool asks_for_null(const struct device_filter *filter)
{
    for (size_t i = 0; i < filter->condition_count; i++)
        if (filter->conditions[i].value.kind == VALUE_NULL)
            return true;
    return false;
}

bool state_devices(struct state *state, const struct device_filter *filter, struct text cursor,
                   size_t limit, struct arena *arena, struct text **names, size_t *name_count,
                   struct text *next, struct err *err)
{
    assert(limit >= 1 && limit <= LIST_COUNT_MAX);
    for (size_t i = 0; i < filter->condition_count; i++)
        assert(filter->conditions[i].index < state_index_count(state));
    struct text rest, following = {"", 0};
    struct page page = {.state = state, .filter = filter, .arena = arena, .limit = limit};
    if (asks_for_null(filter)) {
        *names = NULL;
        *name_count = 0;
        *next = following;
        return true;
    }
    if (!read_cursor(filter, cursor, &rest, err))
        return false;
    page.names = arena_alloc(arena, limit * sizeof *page.names);
    if (!list(&page, rest, &following, err))
        return false;
    *names = page.names;
    *name_count = page.count;
    *next = following;
    return true;
}

#include "rules/message.h"

#include "engine/base/buf.h"
#include "engine/base/limits.h"

size_t members_find(const struct members *members, struct text key)
{
    const struct field *items = members->fields.items;
    size_t i = 0;
    while (i < members->fields.count && !text_equal(items[i].key, key))
        i++;
    return i;
}

/* An array of our own with room for one more. */
static void members_own(struct members *members, struct arena *arena)
{
    enum { SPARE = 8 };
    if (members->capacity > members->fields.count)
        return;
    size_t capacity = members->fields.count + members->fields.count / 2 + SPARE;
    struct field *items = arena_alloc(arena, capacity * sizeof *items);
    if (members->fields.count > 0)
        memcpy(items, members->fields.items, members->fields.count * sizeof *items);
    members->fields.items = items;
    members->capacity = capacity;
}

bool members_put(struct members *members, struct text key, const struct value *value,
                 struct arena *arena)
{
    size_t i = members_find(members, key);
    if (i == members->fields.count && i >= FIELD_COUNT_MAX)
        return false;
    members_own(members, arena);
    members->fields.items[i] = (struct field){key, *value};
    members->fields.count += i == members->fields.count;
    return true;
}

bool members_delete(struct members *members, struct text key, struct arena *arena)
{
    size_t i = members_find(members, key);
    if (i == members->fields.count)
        return false;
    members_own(members, arena);
    struct field *items = members->fields.items;
    members->fields.count--;
    memmove(items + i, items + i + 1, (members->fields.count - i) * sizeof *items);
    return true;
}

/* --- as JSON ---------------------------------------------------------------------------------------------- */

size_t chosen_key_count(const struct chosen *chosen)
{
    return chosen->keys == NULL ? 0 : chosen->keys->count;
}

static size_t value_room(const struct value *value)
{
    return sizeof "," + json_value_room(value);
}

static void find_all(struct chosen *chosen)
{
    const struct fields *fields = chosen->fields;
    chosen->count = fields->count;
    chosen->room = sizeof "{}";
    for (size_t i = 0; i < fields->count; i++)
        chosen->room += value_room(&fields->items[i].value) + sizeof ":" + json_string_room(fields->items[i].key);
}

void chosen_find(struct chosen *chosen, const struct value **found)
{
    const struct fwsync_keys *keys = chosen->keys;
    size_t count = 0, room = sizeof "{}";
    if (keys == NULL) {
        find_all(chosen);
        return;
    }
    for (size_t i = 0; i < keys->count; i++) {
        const struct value *value = found[i] = fields_get(chosen->fields, keys->items[i].key);
        if (value == NULL)
            continue;
        count++;
        room += value_room(value) + keys->items[i].name.len + PUT_SHORT_MORE;
    }
    *chosen = (struct chosen){chosen->fields, keys, found, count, room};
}

char *chosen_put(char *at, const struct chosen *chosen)
{
    const struct fwsync_keys *keys = chosen->keys;
    char before = '{';
    if (chosen->count == 0)
        return put_text(at, TEXT("{}"));
    for (size_t i = 0, end = keys == NULL ? chosen->count : keys->count; i < end; i++) {
        const struct value *value = keys == NULL ? &chosen->fields->items[i].value : chosen->found[i];
        if (value == NULL)
            continue;
        *at++ = before;
        before = ',';
        if (keys == NULL)
            at = put_text(put_json_string(at, chosen->fields->items[i].key), TEXT(":"));
        else
            at = put_short(at, keys->items[i].name);
        at = put_json_value(at, value);
    }
    *at++ = '}';
    return at;
}

struct text chosen_json(struct chosen *chosen, struct arena *arena)
{
    size_t key_count = chosen_key_count(chosen);
    chosen_find(chosen, key_count == 0 ? NULL : arena_alloc(arena, key_count * sizeof *chosen->found));
    char *bytes = arena_alloc(arena, chosen->room);
    return (struct text){bytes, (size_t)(chosen_put(bytes, chosen) - bytes)};
}

struct text members_json(const struct members *members, struct arena *arena)
{
    struct chosen all = {.fields = &members->fields};
    return members->fields.count == 0 ? TEXT("{}") : chosen_json(&all, arena);
}

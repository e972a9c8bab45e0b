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

bool chosen_none_of_some(const struct chosen *chosen)
{
    const struct fwsync_keys *keys = chosen->keys;
    size_t i = 0;
    while (i < keys->count && fields_get(chosen->fields, keys->items[i].key) == NULL)
        i++;
    return i == keys->count;
}

enum { END_ROOM = sizeof "{}" };

/* Each member with a comma before it. */
static char *put_all(char *at, const char *end, const struct fields *fields)
{
    for (size_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        if ((size_t)(end - at) < sizeof ",:" + json_string_room(field->key) + json_value_room(&field->value) + END_ROOM)
            return NULL;
        at = put_json_string(put_text(at, TEXT(",")), field->key);
        at = put_json_value(put_text(at, TEXT(":")), &field->value);
    }
    return at;
}

/* In [first, end); NULL: there is none. */
static __attribute__((noinline)) const struct field *find(const struct field *first, const struct field *end,
                                                          struct text key)
{
    for (; first < end; first++)
        if (text_equal(first->key, key))
            return first;
    return NULL;
}

/* Likewise, those that are named. Mostly they stand in the message in the order in which they were chosen, so a look
 * behind the last one finds the next. */
static char *put_named(char *at, const char *end, const struct fields *fields, const struct fwsync_keys *keys)
{
    const struct field *items = fields->items, *items_end = items + fields->count, *next = items;
    for (const struct member_key *key = keys->items, *keys_end = key + keys->count; key < keys_end; key++) {
        bool is_next = next < items_end && text_equal(next->key, key->key);
        const struct field *field = is_next ? next : find(items, items_end, key->key);
        if (field == NULL)
            continue;
        next = field + 1;
        if ((size_t)(end - at) < key->name.len + PUT_SHORT_MORE + json_value_room(&field->value) + END_ROOM)
            return NULL;
        at = put_json_value(put_short(at, key->name), &field->value);
    }
    return at;
}

char *chosen_put(char *at, const char *end, const struct chosen *chosen)
{
    char *start = at;
    if (end - at < END_ROOM)
        return NULL;
    at = chosen->keys == NULL ? put_all(at, end, chosen->fields) : put_named(at, end, chosen->fields, chosen->keys);
    if (at == NULL)
        return NULL;
    if (at == start)
        at++;
    *start = '{'; /* in place of the first comma */
    return put_text(at, TEXT("}"));
}

struct text chosen_json(const struct chosen *chosen, struct arena *arena)
{
    enum { FIRST_ROOM = 1024 };
    for (size_t room = FIRST_ROOM;; room *= 2) {
        char *bytes = arena_alloc(arena, room), *end = chosen_put(bytes, bytes + room, chosen);
        if (end != NULL)
            return (struct text){bytes, (size_t)(end - bytes)};
    }
}

struct text members_json(const struct members *members, struct arena *arena)
{
    struct chosen all = {.fields = &members->fields};
    return members->fields.count == 0 ? TEXT("{}") : chosen_json(&all, arena);
}

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

static const struct field *find(const struct members *members, struct text key)
{
    size_t i = members_find(members, key);
    return i == members->fields.count ? NULL : &members->fields.items[i];
}

struct text members_json(const struct members *members, const struct fwsync_keys *keys, struct arena *arena)
{
    size_t count = keys == NULL ? members->fields.count : keys->count, room = sizeof "{}";
    if (count == 0)
        return TEXT("{}");
    const struct field **chosen = arena_alloc(arena, count * sizeof(void *));
    for (size_t i = 0; i < count; i++) {
        chosen[i] = keys == NULL ? &members->fields.items[i] : find(members, keys->items[i].key);
        if (chosen[i] != NULL)
            room += sizeof ",:" + json_string_room(chosen[i]->key) + json_value_room(&chosen[i]->value);
    }
    char *start = arena_alloc(arena, room), *at = start;
    for (size_t i = 0; i < count; i++) {
        if (chosen[i] == NULL)
            continue;
        at = put_text(at, at == start ? TEXT("{") : TEXT(","));
        at = keys == NULL ? put_text(put_json_string(at, chosen[i]->key), TEXT(":")) : put_text(at, keys->items[i].name);
        at = put_json_value(at, &chosen[i]->value);
    }
    at = put_text(at, at == start ? TEXT("{}") : TEXT("}"));
    return (struct text){start, (size_t)(at - start)};
}

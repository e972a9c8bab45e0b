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

struct text members_json(const struct members *members, const struct fwsync_keys *keys, struct arena *arena)
{
    enum { USUAL_BYTES = 512 };
    const struct fields *fields = &members->fields;
    size_t count = keys == NULL ? fields->count : keys->count;
    struct buf json = {.arena = arena};
    if (count > 0)
        buf_room(&json, USUAL_BYTES);
    for (size_t i = 0; i < count; i++) {
        size_t place = keys == NULL ? i : members_find(members, keys->items[i].key);
        if (place == fields->count)
            continue;
        const struct field *field = &fields->items[place];
        char *at = buf_room(&json, sizeof ",:" + json_string_room(field->key) + json_value_room(&field->value));
        *at++ = json.len == 0 ? '{' : ',';
        at = keys == NULL ? put_text(put_json_string(at, field->key), TEXT(":")) : put_text(at, keys->items[i].name);
        json.len = (size_t)(put_json_value(at, &field->value) - json.bytes);
    }
    if (json.len == 0)
        return TEXT("{}");
    buf_byte(&json, '}');
    return buf_text(&json);
}

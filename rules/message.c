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

struct text message_members_json(const struct fwsync_message *message,
                                 const struct members *members)
{
    struct buf buf = {.arena = message->run->input->arena};
    buf_byte(&buf, '{');
    for (size_t i = 0; i < members->fields.count; i++) {
        json_key_text(&buf, members->fields.items[i].key);
        json_value(&buf, &members->fields.items[i].value);
    }
    buf_byte(&buf, '}');
    return buf_text(&buf);
}

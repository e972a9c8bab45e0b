#include "engine/client/numbers.h"

struct number *numbers_find(struct numbers *numbers, struct text name)
{
    for (size_t i = 0; i < numbers->count; i++)
        if (text_is(name, numbers->items[i].name))
            return &numbers->items[i];
    if (numbers->count == CLASS_LIFE_COUNT_MAX || name.len == 0 || name.len > CLASS_NAME_BYTES_MAX)
        return NULL;
    struct number *number = &numbers->items[numbers->count++];
    *number = (struct number){.known = numbers->complete};
    memcpy(number->name, name.bytes, name.len);
    return number;
}

void numbers_read(struct numbers *numbers, struct text json, struct arena *scratch, struct arena *arena)
{
    struct fields fields = {NULL, 0};
    *numbers = (struct numbers){.complete = true};
    json_parse_object(json, scratch, arena, &fields, NULL);
    for (size_t i = 0; i < fields.count; i++) {
        const struct value *value = &fields.items[i].value;
        struct number *number = numbers_find(numbers, fields.items[i].key);
        if (number != NULL && value->kind == VALUE_INTEGER && value->integer >= 0)
            number->n = (uint64_t)value->integer;
    }
}

/* json_agree.h - for tests: the two ways through the JSON border hold the same about a text. */
#ifndef TEST_JSON_AGREE_H
#define TEST_JSON_AGREE_H

#include <assert.h>

#include "engine/base/json.h"
#include "engine/base/limits.h"

static const char *const json_agree_names[] = {"data", "metadata"};
enum { JSON_AGREE_NAMES = 2 };

static inline size_t json_agree_position(const struct field *field)
{
    size_t i = field->value.kind == VALUE_JSON && field->value.text.bytes[0] == '{' ? 0 : JSON_AGREE_NAMES;
    while (i < JSON_AGREE_NAMES && !text_is(field->key, json_agree_names[i]))
        i++;
    return i;
}

static inline bool json_agree_fields(const struct fields *a, const struct fields *b)
{
    bool equal = a->count == b->count;
    for (size_t i = 0; equal && i < a->count; i++)
        equal = text_equal(a->items[i].key, b->items[i].key) &&
                value_equal(&a->items[i].value, &b->items[i].value);
    return equal;
}

/* json_agree - false when json_parse_object and json_parse_object_expanding differ; *accepted is what the first
 * says. */
static inline bool json_agree(struct text text, struct arena *arena, bool *accepted)
{
    struct fields whole, fields, expanded[JSON_AGREE_NAMES], inner;
    struct err err;
    *accepted = json_parse_object(text, arena, arena, &whole, &err);
    if (json_parse_object_expanding(text, JSON_DEPTH_MAX, json_agree_names, JSON_AGREE_NAMES, arena, arena,
                                    &fields, expanded, &err) != *accepted)
        return false;
    if (!*accepted)
        return true;
    size_t kept = 0, expanded_count = 0;
    for (size_t i = 0; i < whole.count; i++) {
        struct field *field = &whole.items[i];
        size_t position = json_agree_position(field);
        if (position == JSON_AGREE_NAMES) {
            whole.items[kept++] = *field;
            continue;
        }
        expanded_count++;
        if (expanded[position].items == NULL ||
            !json_parse_object(field->value.text, arena, arena, &inner, &err) ||
            !json_agree_fields(&inner, &expanded[position]))
            return false;
    }
    whole.count = kept;
    for (size_t i = 0; i < JSON_AGREE_NAMES; i++)
        expanded_count -= expanded[i].items != NULL;
    return expanded_count == 0 && json_agree_fields(&whole, &fields);
}

#endif

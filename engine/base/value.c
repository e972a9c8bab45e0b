#include "engine/base/value.h"

#include <assert.h>
#include <inttypes.h>
#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name;
    const char *short_name;
} scopes[] = {
    [SCOPE_CLIENT] = {"CLIENT_SCOPE", "client"},
    [SCOPE_SHARED] = {"SHARED_SCOPE", "shared"},
    [SCOPE_SERVER] = {"SERVER_SCOPE", "server"},
    [SCOPE_TELEMETRY] = {"LATEST_TELEMETRY", "telemetry"},
};
_Static_assert(sizeof scopes / sizeof scopes[0] == SCOPE_COUNT, "name every scope");

bool value_equal(const struct value *a, const struct value *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case VALUE_NULL:
        return true;
    case VALUE_BOOLEAN:
        return a->boolean == b->boolean;
    case VALUE_INTEGER:
        return a->integer == b->integer;
    case VALUE_DOUBLE:
        return memcmp(&a->number, &b->number, sizeof a->number) == 0;
    case VALUE_STRING:
    case VALUE_JSON:
        return text_equal(a->text, b->text);
    }
    abort();
}

size_t value_put_point(char *text, size_t len, const char *point)
{
    char *at = strstr(text, point);
    size_t point_len = strlen(point);
    if (at == NULL || point_len == 0)
        return len;
    *at = '.';
    memmove(at + 1, at + point_len, len - (size_t)(at - text) - point_len + 1);
    return len - point_len + 1;
}

size_t value_format_double(double number, char out[DOUBLE_TEXT_BYTES])
{
    int len = 0;
    for (int digits = 15; digits <= 17; digits++) {
        len = snprintf(out, DOUBLE_TEXT_BYTES, "%.*g", digits, number);
        if (strtod(out, NULL) == number)
            break;
    }
    assert(len > 0 && len < DOUBLE_TEXT_BYTES - 2);
    len = (int)value_put_point(out, (size_t)len, nl_langinfo(RADIXCHAR));
    if (strpbrk(out, ".e") == NULL) {
        memcpy(out + len, ".0", 3);
        len += 2;
    }
    return (size_t)len;
}

struct text value_text(const struct value *value, struct arena *arena)
{
    char digits[DOUBLE_TEXT_BYTES];
    switch (value->kind) {
    case VALUE_NULL:
        return TEXT("null");
    case VALUE_BOOLEAN:
        return value->boolean ? TEXT("true") : TEXT("false");
    case VALUE_INTEGER:
        return arena_format(arena, "%" PRId64, value->integer);
    case VALUE_DOUBLE:
        return arena_copy(arena, (struct text){digits, value_format_double(value->number, digits)});
    case VALUE_STRING:
    case VALUE_JSON:
        return value->text;
    }
    abort();
}

const char *scope_name(enum scope scope)
{
    assert(scope < SCOPE_COUNT);
    return scopes[scope].name;
}

const char *scope_short(enum scope scope)
{
    assert(scope < SCOPE_COUNT);
    return scopes[scope].short_name;
}

bool scope_parse(struct text name, enum scope *scope)
{
    for (enum scope s = SCOPE_CLIENT; s <= SCOPE_SERVER; s++)
        if (text_is(name, scopes[s].name)) {
            *scope = s;
            return true;
        }
    return false;
}

bool scope_parse_short(struct text name, enum scope *scope)
{
    for (enum scope s = SCOPE_CLIENT; s < SCOPE_COUNT; s++)
        if (text_is(name, scopes[s].short_name)) {
            *scope = s;
            return true;
        }
    return false;
}

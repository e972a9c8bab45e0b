#include "engine/base/json_plain.h"

enum { MEMBERS_MAX = 16, DIGITS_MAX = 15 /* fewer than 2^53 has */ };

struct plain {
    const char *at;
    const char *end;
    const char *const *names; /* of members to expand */
    size_t name_count;
    struct arena *scratch;
    struct arena *arena;
    struct fields *expanded;
};

static void skip_spaces(struct plain *plain)
{
    while (plain->at < plain->end &&
           (*plain->at == ' ' || *plain->at == '\t' || *plain->at == '\r' || *plain->at == '\n'))
        plain->at++;
}

/* Is this byte next? Then it is taken. */
static bool take(struct plain *plain, char byte)
{
    if (plain->at < plain->end && (unsigned char)*plain->at <= ' ')
        skip_spaces(plain);
    if (plain->at == plain->end || *plain->at != byte)
        return false;
    plain->at++;
    return true;
}

static bool take_word(struct plain *plain, struct text word)
{
    struct text rest = {plain->at, (size_t)(plain->end - plain->at)};
    if (!text_starts(rest, word))
        return false;
    plain->at += word.len;
    return true;
}

/* `at` is behind the opening quote. */
static bool take_string(struct plain *plain, struct text *text)
{
    size_t len = text_plain_length(plain->at, (size_t)(plain->end - plain->at));
    *text = (struct text){plain->at, len};
    plain->at += len;
    return plain->at < plain->end && *plain->at++ == '"';
}

static bool is_number_byte(char byte)
{
    return (byte >= '0' && byte <= '9') || byte == '-' || byte == '+' || byte == '.' || byte == 'e' ||
           byte == 'E';
}

/* A short positive integer is read here; others are values of their own for json.c. */
static bool take_number(struct plain *plain, struct value *value)
{
    const char *start = plain->at;
    int64_t number = 0;
    while (plain->at < plain->end && *plain->at >= '0' && *plain->at <= '9' && plain->at - start < DIGITS_MAX)
        number = number * 10 + (*plain->at++ - '0');
    ptrdiff_t digit_count = plain->at - start;
    if (plain->at < plain->end && is_number_byte(*plain->at))
        digit_count = 0;
    if (digit_count == 1 || (digit_count > 1 && *start != '0')) {
        *value = (struct value){.kind = VALUE_INTEGER, .integer = number};
        return true;
    }
    while (plain->at < plain->end && is_number_byte(*plain->at))
        plain->at++;
    struct text text = {start, (size_t)(plain->at - start)};
    return json_parse_value(text, plain->scratch, plain->arena, value, NULL);
}

static bool take_value(struct plain *plain, struct value *value)
{
    if (take(plain, '"')) {
        value->kind = VALUE_STRING;
        return take_string(plain, &value->text);
    }
    if (plain->at == plain->end)
        return false;
    switch (*plain->at) {
    case 't':
        *value = value_boolean(true);
        return take_word(plain, TEXT("true"));
    case 'f':
        *value = value_boolean(false);
        return take_word(plain, TEXT("false"));
    case 'n':
        *value = (struct value){.kind = VALUE_NULL, .text = {NULL, 0}};
        return take_word(plain, TEXT("null"));
    default:
        return is_number_byte(*plain->at) && take_number(plain, value);
    }
}

static bool take_key(struct plain *plain, struct text keys[MEMBERS_MAX], size_t count)
{
    if (count == MEMBERS_MAX || !take(plain, '"') || !take_string(plain, &keys[count]))
        return false;
    for (size_t i = 0; i < count; i++)
        if (text_equal(keys[i], keys[count]))
            return false;
    return take(plain, ':');
}

/* Of an object to be expanded, behind its '{'; its members are copied, since their number isn't known before. */
static bool take_members(struct plain *plain, struct fields *fields)
{
    struct text keys[MEMBERS_MAX];
    struct field members[MEMBERS_MAX];
    size_t count = 0;
    if (!take(plain, '}')) {
        do {
            if (!take_key(plain, keys, count) || !take_value(plain, &members[count].value))
                return false;
            members[count].key = keys[count];
            count++;
        } while (take(plain, ','));
        if (!take(plain, '}'))
            return false;
    }
    fields->items = arena_alloc(plain->arena, (count > 0 ? count : 1) * sizeof *members);
    if (count > 0)
        memcpy(fields->items, members, count * sizeof *members);
    fields->count = count;
    return true;
}

/* Where the object under this key goes, or NULL. */
static struct fields *expanded_of(const struct plain *plain, struct text key)
{
    for (size_t i = 0; i < plain->name_count; i++)
        if (text_is(key, plain->names[i]))
            return &plain->expanded[i];
    return NULL;
}

static bool take_object(struct plain *plain, struct fields *fields)
{
    struct text keys[MEMBERS_MAX];
    size_t count = 0;
    if (!take(plain, '{') || take(plain, '}')) /* an empty one is seldom right */
        return false;
    do {
        if (!take_key(plain, keys, count))
            return false;
        struct text key = keys[count++];
        if (take(plain, '{')) {
            struct fields *object = expanded_of(plain, key);
            if (object == NULL || !take_members(plain, object))
                return false;
            continue;
        }
        struct field *field = &fields->items[fields->count++];
        field->key = key;
        if (!take_value(plain, &field->value))
            return false;
    } while (take(plain, ','));
    return take(plain, '}');
}

bool json_plain_object(struct text text, const char *const *names, size_t name_count,
                       struct arena *scratch, struct arena *arena, struct fields *fields,
                       struct fields *expanded)
{
    struct plain plain = {text.bytes, text.bytes + text.len, names, name_count, scratch, arena, expanded};
    for (size_t i = 0; i < name_count; i++)
        expanded[i] = (struct fields){NULL, 0};
    *fields = (struct fields){arena_alloc(scratch, MEMBERS_MAX * sizeof(struct field)), 0};
    if (!take_object(&plain, fields))
        return false;
    skip_spaces(&plain);
    return plain.at == plain.end;
}

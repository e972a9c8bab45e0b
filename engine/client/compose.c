#include "engine/client/compose.h"

#include "engine/base/json.h"

bool compose_field(const char *word, struct arena *arena, struct field *field, struct err *err)
{
    const char *equals = strchr(word, '=');
    if (equals == NULL)
        return err_set(err, ERR_CONFIG, "'%s' is neither key=value nor key:=json", word);
    bool json = equals > word && equals[-1] == ':';
    struct text key = {word, (size_t)(equals - word) - json};
    if (key.len == 0)
        return err_set(err, ERR_CONFIG, "'%s' has no key: write key=value", word);
    struct text text = text_of(equals + 1);
    struct value value = value_string(text);
    if (json) {
        struct arena scratch;
        struct err why;
        arena_init(&scratch, 4096);
        bool done = json_parse_value(text, &scratch, arena, &value, &why);
        arena_fini(&scratch);
        if (!done)
            return err_set(err, ERR_CONFIG,
                           "'%s': " TEXT_FMT ":= takes JSON (%s); for a string write " TEXT_FMT "=%s",
                           word, TEXT_ARG(key), why.text, TEXT_ARG(key), text.bytes);
    }
    *field = (struct field){key, value};
    return true;
}

size_t compose_readings(const char *word, struct arena *arena, struct value values[2])
{
    struct arena scratch;
    struct value parsed;
    arena_init(&scratch, 1024);
    bool json = json_parse_value(text_of(word), &scratch, arena, &parsed, NULL);
    arena_fini(&scratch);
    bool quoted = json && parsed.kind == VALUE_STRING;
    values[0] = quoted ? parsed : value_string(text_of(word));
    if (!json || quoted)
        return 1;
    values[1] = parsed;
    return 2;
}

static const char *event_type(enum scope scope)
{
    return scope == SCOPE_CLIENT      ? "POST_ATTRIBUTES_REQUEST"
           : scope == SCOPE_TELEMETRY ? "POST_TELEMETRY_REQUEST"
                                      : "ATTRIBUTES_UPDATED";
}

void compose_event(struct buf *body, struct text device, struct text device_type, enum scope scope,
                   const struct field *fields, size_t field_count)
{
    if (body->len > 0)
        buf_byte(body, '\n');
    buf_byte(body, '{');
    json_member_text(body, "device", device);
    if (device_type.len > 0)
        json_member_text(body, "deviceType", device_type);
    json_member_text(body, "type", text_of(event_type(scope)));
    if (scope == SCOPE_SHARED || scope == SCOPE_SERVER)
        json_member_text(body, "scope", text_of(scope_name(scope)));
    json_key(body, "data");
    buf_byte(body, '{');
    for (size_t i = 0; i < field_count; i++) {
        json_key_text(body, fields[i].key);
        json_value(body, &fields[i].value);
    }
    buf_append(body, TEXT("}}"));
}

void compose_numbered(struct buf *body, struct text line, struct text source, uint64_t n)
{
    const char *brace = memchr(line.bytes, '{', line.len);
    if (brace == NULL) {
        buf_append(body, line);
        return;
    }
    size_t head = (size_t)(brace - line.bytes) + 1;
    struct text rest = {line.bytes + head, line.len - head};
    buf_append(body, (struct text){line.bytes, head});
    json_member_text(body, "source", source);
    json_member_unsigned(body, "n", n);
    size_t blanks = 0;
    while (blanks < rest.len && strchr(" \t\r", rest.bytes[blanks]) != NULL)
        blanks++;
    if (blanks == rest.len || rest.bytes[blanks] != '}')
        buf_byte(body, ',');
    buf_append(body, rest);
}

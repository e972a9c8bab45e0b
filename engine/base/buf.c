#include "engine/base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_FIRST_BYTES = 256 };

void buf_fini(struct buf *buf)
{
    if (buf->arena == NULL)
        free(buf->bytes);
    *buf = (struct buf){.arena = buf->arena};
}

void buf_grow(struct buf *buf, size_t bytes)
{
    size_t needed = buf->len + bytes;
    size_t capacity = buf->capacity < BUF_FIRST_BYTES ? BUF_FIRST_BYTES : buf->capacity;
    while (capacity < needed)
        capacity *= 2;
    if (buf->arena != NULL) {
        char *moved = arena_alloc(buf->arena, capacity);
        if (buf->len > 0)
            memcpy(moved, buf->bytes, buf->len);
        buf->bytes = moved;
    } else {
        buf->bytes = realloc(buf->bytes, capacity);
        if (buf->bytes == NULL) {
            fputs("out of memory\n", stderr);
            abort();
        }
    }
    buf->capacity = capacity;
}

void buf_unsigned(struct buf *buf, uint64_t number)
{
    char digits[DECIMAL_BYTES];
    buf_append(buf, text_decimal(number, digits));
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(len >= 0);
    vsnprintf(buf_room(buf, (size_t)len + 1), (size_t)len + 1, format, again);
    va_end(again);
    buf->len += (size_t)len;
}

/* The escape of a byte that JSON doesn't allow bare, or 0. */
static char json_short_escape(char byte)
{
    switch (byte) {
    case '"':
    case '\\':
        return byte;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

void json_string(struct buf *buf, struct text text)
{
    enum { ESCAPE_BYTES_MAX = 6 }; /* \u001f */
    char *out = buf_room(buf, text.len * ESCAPE_BYTES_MAX + 2);
    *out++ = '"';
    for (size_t i = 0;;) {
        size_t plain = text_plain_length(text.bytes + i, text.len - i);
        if (plain > 0)
            out = mempcpy(out, text.bytes + i, plain);
        i += plain;
        if (i == text.len)
            break;
        char byte = text.bytes[i++];
        if ((unsigned char)byte >= 0x20 && byte != '"' && byte != '\\') {
            *out++ = byte;
            continue;
        }
        *out++ = '\\';
        char escape = json_short_escape(byte);
        if (escape != 0) {
            *out++ = escape;
            continue;
        }
        static const char hex[] = "0123456789abcdef";
        memcpy(out, "u00", 3);
        out[3] = hex[(unsigned char)byte >> 4];
        out[4] = hex[byte & 15];
        out += 5;
    }
    *out++ = '"';
    buf->len = (size_t)(out - buf->bytes);
}

static void json_integer(struct buf *buf, int64_t number)
{
    if (number < 0)
        buf_byte(buf, '-');
    buf_unsigned(buf, number < 0 ? -(uint64_t)number : (uint64_t)number);
}

void json_value(struct buf *buf, const struct value *value)
{
    char digits[DOUBLE_TEXT_BYTES];
    switch (value->kind) {
    case VALUE_NULL:
        buf_append(buf, TEXT("null"));
        return;
    case VALUE_BOOLEAN:
        buf_append(buf, value->boolean ? TEXT("true") : TEXT("false"));
        return;
    case VALUE_INTEGER:
        json_integer(buf, value->integer);
        return;
    case VALUE_DOUBLE:
        buf_append(buf, (struct text){digits, value_format_double(value->number, digits)});
        return;
    case VALUE_STRING:
        json_string(buf, value->text);
        return;
    case VALUE_JSON:
        buf_append(buf, value->text);
        return;
    }
    abort();
}

void json_comma(struct buf *buf)
{
    if (buf->len > 0 && buf->bytes[buf->len - 1] != '{' && buf->bytes[buf->len - 1] != '[')
        buf_byte(buf, ',');
}

void json_key(struct buf *buf, const char *key)
{
    json_key_text(buf, text_of(key));
}

void json_key_text(struct buf *buf, struct text key)
{
    json_comma(buf);
    json_string(buf, key);
    buf_byte(buf, ':');
}

void json_open(struct buf *buf, const char *key, char bracket)
{
    json_key(buf, key);
    buf_byte(buf, bracket);
}

void json_member_text(struct buf *buf, const char *key, struct text text)
{
    json_key(buf, key);
    json_string(buf, text);
}

void json_member_integer(struct buf *buf, const char *key, int64_t integer)
{
    json_key(buf, key);
    json_integer(buf, integer);
}

void json_member_unsigned(struct buf *buf, const char *key, uint64_t integer)
{
    json_key(buf, key);
    buf_unsigned(buf, integer);
}

void json_member_boolean(struct buf *buf, const char *key, bool boolean)
{
    json_key(buf, key);
    buf_append(buf, boolean ? TEXT("true") : TEXT("false"));
}

void json_member_raw(struct buf *buf, const char *key, struct text json)
{
    json_key(buf, key);
    buf_append(buf, json);
}

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
    buf->len = (size_t)(put_unsigned(buf_room(buf, DECIMAL_BYTES), number) - buf->bytes);
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

/* --- into room that is there ---------------------------------------------------------------------------- */

/* Is there a byte among these that JSON doesn't allow bare? The compiler knows what compares sixteen at once. */
typedef unsigned char bytes16 __attribute__((vector_size(16)));
typedef uint64_t words2 __attribute__((vector_size(16)));
static inline bool has_special(bytes16 bytes)
{
    words2 each = (words2)(bytes < 0x20) | (words2)(bytes == '"') | (words2)(bytes == '\\');
    return (each[0] | each[1]) != 0;
}

static char *put_escape(char *at, unsigned char byte)
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    *at++ = '\\';
    if (byte == '"' || byte == '\\' || (byte < sizeof letters && letters[byte] != 0)) {
        *at++ = byte < sizeof letters ? letters[byte] : (char)byte;
        return at;
    }
    at = put_text(at, TEXT("u00"));
    *at++ = hex[byte >> 4];
    *at++ = hex[byte & 15];
    return at;
}

static __attribute__((noinline)) char *put_escaped(char *at, struct text text)
{
    *at++ = '"';
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.bytes[i];
        if (byte < 0x20 || byte == '"' || byte == '\\')
            at = put_escape(at, byte);
        else
            *at++ = (char)byte;
    }
    *at++ = '"';
    return at;
}

/* Mostly nothing is to be escaped, so a text is copied while it is looked at, up to eight bytes too many; only when
 * something is special, that was of no use. Each of these copies the text and says whether nothing was: of up to seven
 * bytes, of up to 16, of more. */
static inline bool copy_word(char *at, struct text text)
{
    const uint64_t spaces = UINT64_C(0x2020202020202020);
    uint64_t word = htole64(short_word(text.bytes, text.len) | spaces << text.len * 8);
    memcpy(at, &word, sizeof word);
    return !has_special((bytes16)(words2){word, spaces});
}

static inline bool copy_two_words(char *at, struct text text)
{
    uint64_t first, last; /* some bytes may be in both */
    memcpy(&first, text.bytes, sizeof first);
    memcpy(&last, text.bytes + text.len - sizeof last, sizeof last);
    memcpy(at, &first, sizeof first);
    memcpy(at + text.len - sizeof last, &last, sizeof last);
    return !has_special((bytes16)(words2){first, last});
}

static inline bool copy_sixteen(char *at, const char *from)
{
    bytes16 bytes;
    memcpy(&bytes, from, sizeof bytes);
    memcpy(at, &bytes, sizeof bytes);
    return !has_special(bytes);
}

static __attribute__((noinline)) bool copy_more(char *at, struct text text)
{
    size_t last = text.len - sizeof(bytes16); /* these, too, some of them once more */
    for (size_t i = 0; i < last; i += sizeof(bytes16))
        if (!copy_sixteen(at + i, text.bytes + i))
            return false;
    return copy_sixteen(at + last, text.bytes + last);
}

char *put_json_string(char *at, struct text text)
{
    bool plain = text.len < sizeof(uint64_t)        ? copy_word(at + 1, text)
                 : text.len <= 2 * sizeof(uint64_t) ? copy_two_words(at + 1, text)
                                                    : copy_more(at + 1, text);
    if (!plain)
        return put_escaped(at, text);
    *at = '"';
    at[text.len + 1] = '"';
    return at + text.len + 2;
}

static char *put_integer(char *at, int64_t number)
{
    if (number < 0)
        *at++ = '-';
    return put_unsigned(at, number < 0 ? -(uint64_t)number : (uint64_t)number);
}

char *put_json_value(char *at, const struct value *value)
{
    switch (value->kind) {
    case VALUE_NULL:
        return put_text(at, TEXT("null"));
    case VALUE_BOOLEAN:
        return value->boolean ? put_text(at, TEXT("true")) : put_text(at, TEXT("false"));
    case VALUE_INTEGER:
        return put_integer(at, value->integer);
    case VALUE_DOUBLE:
        return at + value_format_double(value->number, at);
    case VALUE_STRING:
        return put_json_string(at, value->text);
    case VALUE_JSON:
        return put_text(at, value->text);
    }
    abort();
}

/* --- into the buffer ------------------------------------------------------------------------------------ */

void json_string(struct buf *buf, struct text text)
{
    char *at = buf_room(buf, json_string_room(text));
    buf->len = (size_t)(put_json_string(at, text) - buf->bytes);
}

static void json_integer(struct buf *buf, int64_t number)
{
    json_value(buf, &(struct value){.kind = VALUE_INTEGER, .integer = number});
}

void json_value(struct buf *buf, const struct value *value)
{
    char *at = buf_room(buf, json_value_room(value));
    buf->len = (size_t)(put_json_value(at, value) - buf->bytes);
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

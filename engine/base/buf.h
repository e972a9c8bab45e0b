/* buf.h - a growing byte buffer, and the JSON that we write into it.
 *
 * Replies, results and records are written straight into one buffer that is reused; no tree is built.
 * The caller writes the commas through json_key()/json_comma(), which look at the last byte. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <endian.h>

#include "engine/base/value.h"

struct buf {
    char *bytes; /* not NUL-terminated */
    size_t len;
    size_t capacity;
    struct arena *arena; /* where it grows; NULL: malloc */
};

/* A zeroed struct buf is an empty one. buf_fini frees what malloc gave. */
void buf_fini(struct buf *buf);
static inline void buf_clear(struct buf *buf)
{
    buf->len = 0;
}
static inline struct text buf_text(const struct buf *buf)
{
    return (struct text){buf->bytes, buf->len};
}

/* buf_room - make room for `bytes` more and return where they go; len is the caller's to raise. */
void buf_grow(struct buf *buf, size_t bytes);
static inline char *buf_room(struct buf *buf, size_t bytes)
{
    if (buf->capacity - buf->len < bytes)
        buf_grow(buf, bytes);
    return buf->bytes + buf->len;
}
static inline void buf_append(struct buf *buf, struct text text)
{
    if (text.len == 0)
        return;
    memcpy(buf_room(buf, text.len), text.bytes, text.len);
    buf->len += text.len;
}
static inline void buf_byte(struct buf *buf, char byte)
{
    *buf_room(buf, 1) = byte;
    buf->len++;
}
/* buf_unsigned - the number in decimal. */
void buf_unsigned(struct buf *buf, uint64_t number);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For a record of many pieces, room is made once and each piece put there: each of these gives where the next
 * one goes. A number takes up to DECIMAL_BYTES, a string or a value up to what its room says. */
static inline char *put_text(char *at, struct text text)
{
    if (text.len > 0)
        memcpy(at, text.bytes, text.len);
    return at + text.len;
}
/* put_short - put_text of what is short, without a call; up to PUT_SHORT_MORE bytes more are written behind it. */
enum { PUT_SHORT_MORE = 7 };
static inline char *put_short(char *at, struct text text)
{
    uint64_t word;
    if (text.len < sizeof word) {
        word = htole64(short_word(text.bytes, text.len));
        memcpy(at, &word, sizeof word);
        return at + text.len;
    }
    const char *from = text.bytes, *last = from + text.len - sizeof word;
    char *end = at + text.len;
    memcpy(end - sizeof word, last, sizeof word); /* some of these once more, below */
    for (; from < last; from += sizeof word, at += sizeof word)
        memcpy(at, from, sizeof word);
    return end;
}
char *put_json_string(char *at, struct text text);
char *put_json_value(char *at, const struct value *value);
static inline size_t json_string_room(struct text text)
{
    enum { ESCAPE_BYTES_MAX = 6, AROUND = 9 }; /* \u001f; the quotes, and the rest of a word */
    return text.len * ESCAPE_BYTES_MAX + AROUND;
}
static inline size_t json_value_room(const struct value *value)
{
    return value->kind == VALUE_STRING ? json_string_room(value->text)
           : value->kind == VALUE_JSON ? value->text.len
                                       : DOUBLE_TEXT_BYTES;
}

/* JSON: json_string quotes and escapes; json_value writes any value; json_key writes `"key":` with a
 * comma before it unless the buffer ends in '{' ; json_comma writes a comma unless it ends in '['/'{'.
 * The text/integer/boolean members are json_key plus the value. */
void json_string(struct buf *buf, struct text text);
void json_value(struct buf *buf, const struct value *value);
void json_comma(struct buf *buf);
void json_key(struct buf *buf, const char *key);
void json_key_text(struct buf *buf, struct text key);
/* json_open - a member that is an object or an array: its key and `bracket`, which opens it. */
void json_open(struct buf *buf, const char *key, char bracket);
void json_member_text(struct buf *buf, const char *key, struct text text);
void json_member_integer(struct buf *buf, const char *key, int64_t integer);
void json_member_unsigned(struct buf *buf, const char *key, uint64_t integer);
void json_member_boolean(struct buf *buf, const char *key, bool boolean);
/* json_member_raw - the value is JSON already. */
void json_member_raw(struct buf *buf, const char *key, struct text json);

#endif

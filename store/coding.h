/* coding.h - numbers, texts and values as the bytes of a record.
 *
 * Numbers are varints (7 bits a byte, the low ones first), signed ones zigzag. A seq takes at least 5
 * bytes, so that a record doesn't change its length each time it is written. A word is its number plus
 * one (words.h), or 0 and the text.
 *
 * Writing: each coding_put_* writes at `out`, where coding_*_bytes have been made room for, and returns the
 * place behind. Reading: bytes from disk can hold anything, so a reader knows its end and turns bad when a
 * read would pass it; what a bad reader gives is 0 or empty. */
#ifndef STORE_CODING_H
#define STORE_CODING_H

#include "engine/base/value.h"
#include "store/words.h"

enum { CODING_SEQ_BYTES_MIN = 5, CODING_VARINT_BYTES_MAX = 10 };

/* What a value is. On disk: never renumber. */
enum coding_kind { CODING_FALSE, CODING_TRUE, CODING_INTEGER, CODING_DOUBLE, CODING_STRING, CODING_JSON };

static inline size_t coding_varint_bytes(uint64_t number)
{
    size_t bytes = 1;
    for (; number >= 128; number >>= 7)
        bytes++;
    return bytes;
}

static inline unsigned char *coding_put_varint(unsigned char *out, uint64_t number)
{
    for (; number >= 128; number >>= 7)
        *out++ = (unsigned char)(number | 128);
    *out++ = (unsigned char)number;
    return out;
}

static inline uint64_t coding_zigzag(int64_t number)
{
    return ((uint64_t)number << 1) ^ (number < 0 ? UINT64_MAX : 0);
}

static inline int64_t coding_unzigzag(uint64_t number)
{
    return (int64_t)(number >> 1) ^ -(int64_t)(number & 1);
}

/* A number in at least `bytes_min` bytes; read as any other. */
static inline size_t coding_padded_bytes(uint64_t number, size_t bytes_min)
{
    size_t bytes = coding_varint_bytes(number);
    return bytes > bytes_min ? bytes : bytes_min;
}

unsigned char *coding_put_padded(unsigned char *out, uint64_t number, size_t bytes_min);

static inline size_t coding_seq_bytes(uint64_t seq)
{
    return coding_padded_bytes(seq, CODING_SEQ_BYTES_MIN);
}

unsigned char *coding_put_seq(unsigned char *out, uint64_t seq);

size_t coding_text_bytes(struct text text);
unsigned char *coding_put_text(unsigned char *out, struct text text);

size_t coding_word_bytes(const struct words *words, struct text word);
/* coding_word_room - the most that it may take, known without looking it up. */
static inline size_t coding_word_room(struct text word)
{
    return 1 + CODING_VARINT_BYTES_MAX + word.len;
}
unsigned char *coding_put_word(unsigned char *out, const struct words *words, struct text word);
unsigned char *coding_put_number(unsigned char *out, uint32_t number); /* of a word that has one */

/* A value's kind is written apart from it, by the caller; a value is never VALUE_NULL. */
enum coding_kind coding_kind(const struct value *value);
size_t coding_value_bytes(const struct value *value);
unsigned char *coding_put_value(unsigned char *out, const struct value *value);

/* --- reading --- */

struct coding_reader {
    const unsigned char *at; /* NULL: the bytes were no good */
    const unsigned char *end;
};

uint64_t coding_read_long_varint(struct coding_reader *reader);

static inline uint64_t coding_read_varint(struct coding_reader *reader)
{
    if (reader->at != NULL && reader->at < reader->end && *reader->at < 128)
        return *reader->at++;
    return coding_read_long_varint(reader);
}

void coding_skip_long_varint(struct coding_reader *reader);

static inline void coding_skip_varint(struct coding_reader *reader)
{
    if (reader->at != NULL && reader->at < reader->end && *reader->at < 128)
        reader->at++;
    else
        coding_skip_long_varint(reader);
}

/* Texts are borrowed from the bytes, words from `words` or the bytes. */
static inline struct text coding_read_bytes(struct coding_reader *reader, uint64_t len)
{
    if (reader->at == NULL || len > (uint64_t)(reader->end - reader->at)) {
        reader->at = NULL;
        return (struct text){NULL, 0};
    }
    struct text text = {(const char *)reader->at, (size_t)len};
    reader->at += len;
    return text;
}

struct text coding_read_text(struct coding_reader *reader);
struct text coding_read_word(struct coding_reader *reader, const struct words *words);
/* coding_read_value - of a kind as coding_kind gave it; false when there is no such kind. */
bool coding_read_value(struct coding_reader *reader, unsigned kind, struct value *value);

#endif

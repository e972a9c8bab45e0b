#include "store/coding.h"

#include <endian.h>
#include <stdlib.h>

unsigned char *coding_put_padded(unsigned char *out, uint64_t number, size_t bytes_min)
{
    for (size_t left = coding_padded_bytes(number, bytes_min); left > 1; left--, number >>= 7)
        *out++ = (unsigned char)(number | 128);
    *out++ = (unsigned char)number;
    return out;
}

unsigned char *coding_put_seq(unsigned char *out, uint64_t seq)
{
    return coding_put_padded(out, seq, CODING_SEQ_BYTES_MIN);
}

/* Byte by byte: what is near the end, too long, or no good. */
static uint64_t read_varint_slowly(struct coding_reader *reader)
{
    uint64_t number = 0;
    for (unsigned shift = 0; reader->at != NULL && shift < 7 * CODING_VARINT_BYTES_MAX; shift += 7) {
        if (reader->at == reader->end)
            break;
        unsigned char byte = *reader->at++;
        number |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return number;
    }
    reader->at = NULL;
    return 0;
}

/* The next eight bytes, and the high bit of each that ends a number; false when there are not as many, or none
 * of them does. */
static bool next_word(const struct coding_reader *reader, uint64_t *word, uint64_t *ends)
{
    if (reader->at == NULL || (size_t)(reader->end - reader->at) < sizeof *word)
        return false;
    memcpy(word, reader->at, sizeof *word);
    *word = le64toh(*word);
    *ends = ~*word & UINT64_C(0x8080808080808080);
    return *ends != 0;
}

void coding_skip_long_varint(struct coding_reader *reader)
{
    uint64_t word, ends;
    if (next_word(reader, &word, &ends))
        reader->at += (size_t)__builtin_ctzll(ends) / 8 + 1;
    else
        read_varint_slowly(reader);
}

/* Times and seqs take 5 or 6 bytes: eight are looked at at once, and pairs of 7, 14 and 28 bits joined. */
uint64_t coding_read_long_varint(struct coding_reader *reader)
{
    uint64_t word, ends;
    if (!next_word(reader, &word, &ends))
        return read_varint_slowly(reader);
    reader->at += (size_t)__builtin_ctzll(ends) / 8 + 1;
    word &= ends ^ (ends - 1); /* up to the first end */
    word &= UINT64_C(0x7F7F7F7F7F7F7F7F);
    word = (word & UINT64_C(0x007F007F007F007F)) | (word & UINT64_C(0x7F007F007F007F00)) >> 1;
    word = (word & UINT64_C(0x00003FFF00003FFF)) | (word & UINT64_C(0x3FFF00003FFF0000)) >> 2;
    return (word & UINT64_C(0x000000000FFFFFFF)) | (word & UINT64_C(0x0FFFFFFF00000000)) >> 4;
}

struct text coding_read_text(struct coding_reader *reader)
{
    return coding_read_bytes(reader, coding_read_varint(reader));
}

size_t coding_text_bytes(struct text text)
{
    return coding_varint_bytes(text.len) + text.len;
}

size_t coding_word_bytes(const struct words *words, struct text word)
{
    uint32_t number;
    if (words_find(words, word, &number))
        return coding_varint_bytes((uint64_t)number + 1);
    return 1 + coding_text_bytes(word);
}

unsigned char *coding_put_text(unsigned char *out, struct text text)
{
    out = coding_put_varint(out, text.len);
    if (text.len > 0)
        memcpy(out, text.bytes, text.len);
    return out + text.len;
}

unsigned char *coding_put_number(unsigned char *out, uint32_t number)
{
    return coding_put_varint(out, (uint64_t)number + 1);
}

unsigned char *coding_put_word(unsigned char *out, const struct words *words, struct text word)
{
    uint32_t number;
    if (words_find(words, word, &number))
        return coding_put_number(out, number);
    *out++ = 0;
    return coding_put_text(out, word);
}

struct text coding_read_word(struct coding_reader *reader, const struct words *words)
{
    uint64_t number = coding_read_varint(reader);
    if (number == 0)
        return coding_read_text(reader);
    if (number <= words->count)
        return words->items[number - 1];
    reader->at = NULL;
    return (struct text){NULL, 0};
}

size_t coding_value_bytes(const struct value *value)
{
    switch (value->kind) {
    case VALUE_NULL:
        break;
    case VALUE_BOOLEAN:
        return 0;
    case VALUE_INTEGER:
        return coding_varint_bytes(coding_zigzag(value->integer));
    case VALUE_DOUBLE:
        return sizeof value->number;
    case VALUE_STRING:
    case VALUE_JSON:
        return coding_text_bytes(value->text);
    }
    abort();
}

enum coding_kind coding_kind(const struct value *value)
{
    switch (value->kind) {
    case VALUE_NULL:
        break;
    case VALUE_BOOLEAN:
        return value->boolean ? CODING_TRUE : CODING_FALSE;
    case VALUE_INTEGER:
        return CODING_INTEGER;
    case VALUE_DOUBLE:
        return CODING_DOUBLE;
    case VALUE_STRING:
        return CODING_STRING;
    case VALUE_JSON:
        return CODING_JSON;
    }
    abort();
}

unsigned char *coding_put_value(unsigned char *out, const struct value *value)
{
    switch (value->kind) {
    case VALUE_NULL:
        break;
    case VALUE_BOOLEAN:
        return out;
    case VALUE_INTEGER:
        return coding_put_varint(out, coding_zigzag(value->integer));
    case VALUE_DOUBLE:
        memcpy(out, &value->number, sizeof value->number);
        return out + sizeof value->number;
    case VALUE_STRING:
    case VALUE_JSON:
        return coding_put_text(out, value->text);
    }
    abort();
}

bool coding_read_value(struct coding_reader *reader, unsigned kind, struct value *value)
{
    struct text eight;
    switch (kind) {
    case CODING_FALSE:
    case CODING_TRUE:
        *value = value_boolean(kind == CODING_TRUE);
        return true;
    case CODING_INTEGER:
        *value = (struct value){.kind = VALUE_INTEGER, .integer = coding_unzigzag(coding_read_varint(reader))};
        return true;
    case CODING_DOUBLE:
        *value = (struct value){.kind = VALUE_DOUBLE};
        eight = coding_read_bytes(reader, sizeof value->number);
        if (eight.bytes != NULL)
            memcpy(&value->number, eight.bytes, sizeof value->number);
        return true;
    case CODING_STRING:
    case CODING_JSON:
        *value = (struct value){.kind = kind == CODING_STRING ? VALUE_STRING : VALUE_JSON,
                                .text = coding_read_text(reader)};
        return true;
    default: /* bytes from disk can hold anything */
        return false;
    }
}

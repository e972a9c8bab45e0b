#include "store/value_key.h"

#include <assert.h>
#include <stdlib.h>

/* On disk: never renumber. */
enum tag { TAG_BOOLEAN = 1, TAG_INTEGER, TAG_DOUBLE, TAG_STRING, TAG_JSON, TAG_LONG = 0x80 };

enum { HASH_BYTES = 8, BEGINNING_BYTES = VALUE_KEY_TEXT_MAX - HASH_BYTES };

#define SIGN_BIT (UINT64_C(1) << 63)

static void put_big_endian(unsigned char *out, uint64_t number)
{
    for (int i = 7; i >= 0; i--, number >>= 8)
        out[i] = (unsigned char)number;
}

static uint64_t get_big_endian(const unsigned char *in)
{
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | in[i];
    return number;
}

/* Bits of a double so that they sort as the numbers do: negatives turn over. */
static uint64_t double_to_sortable(double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits & SIGN_BIT ? ~bits : bits | SIGN_BIT;
}

static double double_from_sortable(uint64_t bits)
{
    double number;
    bits = bits & SIGN_BIT ? bits & ~SIGN_BIT : ~bits;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static size_t encode_text(enum tag tag, struct text text, unsigned char *out)
{
    if (text.len <= VALUE_KEY_TEXT_MAX) {
        out[0] = (unsigned char)tag;
        if (text.len > 0)
            memcpy(out + 1, text.bytes, text.len);
        return 1 + text.len;
    }
    out[0] = (unsigned char)(tag | TAG_LONG);
    memcpy(out + 1, text.bytes, BEGINNING_BYTES);
    put_big_endian(out + 1 + BEGINNING_BYTES, text_fnv1a64(text, FNV1A64_START));
    return VALUE_KEY_BYTES_MAX;
}

size_t value_key_encode(const struct value *value, unsigned char out[VALUE_KEY_BYTES_MAX])
{
    switch (value->kind) {
    case VALUE_NULL:
        break;
    case VALUE_BOOLEAN:
        out[0] = TAG_BOOLEAN;
        out[1] = value->boolean;
        return 2;
    case VALUE_INTEGER:
        out[0] = TAG_INTEGER;
        put_big_endian(out + 1, (uint64_t)value->integer ^ SIGN_BIT);
        return 9;
    case VALUE_DOUBLE:
        out[0] = TAG_DOUBLE;
        put_big_endian(out + 1, double_to_sortable(value->number));
        return 9;
    case VALUE_STRING:
        return encode_text(TAG_STRING, value->text, out);
    case VALUE_JSON:
        return encode_text(TAG_JSON, value->text, out);
    }
    abort();
}

bool value_key_decode(struct text key, struct value *value)
{
    assert(key.len >= 1);
    const unsigned char *bytes = (const unsigned char *)key.bytes;
    struct text text = {key.bytes + 1, key.len - 1};
    switch (bytes[0]) {
    case TAG_BOOLEAN:
        assert(key.len == 2);
        *value = value_boolean(bytes[1] != 0);
        return true;
    case TAG_INTEGER:
        assert(key.len == 9);
        *value = (struct value){.kind = VALUE_INTEGER,
                                .integer = (int64_t)(get_big_endian(bytes + 1) ^ SIGN_BIT)};
        return true;
    case TAG_DOUBLE:
        assert(key.len == 9);
        *value = (struct value){.kind = VALUE_DOUBLE,
                                .number = double_from_sortable(get_big_endian(bytes + 1))};
        return true;
    case TAG_STRING:
    case TAG_JSON:
        *value = (struct value){.kind = bytes[0] == TAG_STRING ? VALUE_STRING : VALUE_JSON,
                                .text = text};
        return true;
    default: /* the beginning of a long text */
        return false;
    }
}

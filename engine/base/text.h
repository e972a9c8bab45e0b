/* text.h - a borrowed run of bytes with its length. Never owns; may hold no NUL-terminator.
 * Whoever hands out a text says how long it lives. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct text {
    const char *bytes;
    size_t len;
};

#define TEXT(literal)  ((struct text){"" literal, sizeof(literal) - 1})
#define TEXT_FMT       "%.*s"
#define TEXT_ARG(text) (int)(text).len, (text).bytes
#define TEXT_CUT(text, bytes_max) \
    (int)((text).len < (bytes_max) ? (text).len : (bytes_max)), (text).bytes

static inline struct text text_of(const char *string)
{
    return (struct text){string, strlen(string)};
}

/* short_word - up to seven bytes as a number, the first in its lowest byte. */
static inline uint64_t short_word(const char *bytes, size_t len)
{
    uint32_t first, last;
    if (len >= sizeof first) { /* two halves that overlap */
        memcpy(&first, bytes, sizeof first);
        memcpy(&last, bytes + len - sizeof last, sizeof last);
        return le32toh(first) | (uint64_t)le32toh(last) << (len - sizeof last) * 8;
    }
    if (len == 0)
        return 0;
    uint64_t middle = (unsigned char)bytes[len / 2], end = (unsigned char)bytes[len - 1];
    return (unsigned char)bytes[0] | middle << len / 2 * 8 | end << (len - 1) * 8;
}

static inline bool words_equal(const char *a, const char *b)
{
    uint64_t word_a, word_b;
    memcpy(&word_a, a, sizeof word_a);
    memcpy(&word_b, b, sizeof word_b);
    return word_a == word_b;
}

/* Names, words and values are mostly short: quicker than the call of memcmp(). The end first: what is alike mostly
 * begins alike. */
static inline bool bytes_equal(const char *a, const char *b, size_t len)
{
    enum { WORD = sizeof(uint64_t) };
    if (len < WORD)
        return short_word(a, len) == short_word(b, len);
    const char *last = a + len - WORD;
    if (!words_equal(last, b + len - WORD))
        return false;
    for (; a < last; a += WORD, b += WORD)
        if (!words_equal(a, b))
            return false;
    return true;
}

static inline bool text_equal(struct text a, struct text b)
{
    return a.len == b.len && bytes_equal(a.bytes, b.bytes, a.len);
}

/* A literal's length is known, and memcmp() needs no call then. */
static inline bool text_is(struct text a, const char *string)
{
    size_t len = strlen(string);
    return a.len == len && (len == 0 || memcmp(a.bytes, string, len) == 0);
}

static inline bool text_starts(struct text whole, struct text prefix)
{
    return whole.len >= prefix.len && bytes_equal(whole.bytes, prefix.bytes, prefix.len);
}

/* For tables in memory, where it is to be quick: eight bytes at a time. Other machines and versions may differ. Not a
 * defence against chosen inputs either. */
static inline uint64_t text_hash(struct text text)
{
    const uint64_t factor = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t word, hash = text.len * factor;
    size_t at = 0;
    for (; text.len - at >= sizeof word; at += sizeof word) {
        memcpy(&word, text.bytes + at, sizeof word);
        hash = (hash ^ word) * factor;
        hash ^= hash >> 32;
    }
    if (text.len >= sizeof word) /* the last eight, some of them once more */
        memcpy(&word, text.bytes + text.len - sizeof word, sizeof word);
    else
        word = short_word(text.bytes, text.len);
    hash = (hash ^ word) * factor;
    hash = (hash ^ hash >> 32) * factor; /* the last letters are in the high bits only */
    return hash ^ hash >> 32;
}

/* FNV-1a: spreads names over hash tables; not a defence against chosen inputs. */
static inline uint32_t text_fnv1a32(struct text text)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.bytes[i]) * 16777619u;
    return hash;
}

static inline uint64_t text_fnv1a64(struct text text, uint64_t hash)
{
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.bytes[i]) * 1099511628211u;
    return hash;
}
#define FNV1A64_START UINT64_C(14695981039346656037)

/* text_compare - by bytes, as memcmp() orders them; the shorter one first where it is the other's beginning. */
static inline int text_compare(struct text a, struct text b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter == 0 ? 0 : memcmp(a.bytes, b.bytes, shorter);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* put_unsigned - the number in decimal, where there is room for DECIMAL_BYTES; returns its end. */
enum { DECIMAL_BYTES = 20, EIGHT_DIGITS_MAX = 99999999 };
static inline uint64_t eight_digits(uint64_t number) /* of up to EIGHT_DIGITS_MAX; the first in the lowest byte */
{
    /* Side by side in one word: two halves of up to 9,999, four quarters, eight digits. The multiplications divide by
     * 100 and by 10. */
    uint64_t halves = number / 10000 | number % 10000 << 32;
    uint64_t hundreds = halves * 10486 >> 20 & UINT64_C(0x7F0000007F);
    uint64_t quarters = hundreds | (halves - hundreds * 100) << 16;
    uint64_t tens = quarters * 103 >> 10 & UINT64_C(0x000F000F000F000F);
    return tens | (quarters - tens * 10) << 8;
}
#define ASCII_ZEROS UINT64_C(0x3030303030303030)
char *put_long_unsigned(char *at, uint64_t number);
static inline char *put_unsigned(char *at, uint64_t number)
{
    if (number > EIGHT_DIGITS_MAX)
        return put_long_unsigned(at, number);
    uint64_t digits = eight_digits(number);
    unsigned zeros = (unsigned)__builtin_ctzll(digits | UINT64_C(1) << 56) / 8; /* in front; the last digit stays */
    uint64_t word = htole64((digits | ASCII_ZEROS) >> zeros * 8);
    memcpy(at, &word, sizeof word);
    return at + sizeof word - zeros;
}

/* text_plain_length - how many bytes from there on are printable ASCII without '"' and '\\': those that
 * mean nothing special in JSON, in UTF-8 or to a terminal. Looks at eight at a time. */
size_t text_plain_length(const char *bytes, size_t left);

/* text_utf8_length - bytes of the well-formed UTF-8 sequence that starts there (Unicode 15, table 3-7); 0
 * when there is none. left is at least 1. */
size_t text_utf8_length(const char *bytes, size_t left);

/* text_valid_utf8 - well-formed UTF-8 (no overlong forms, no surrogates, up to U+10FFFF) without NUL. */
bool text_valid_utf8(struct text text);

/* text_is_class - can it be the name of a result class? 1 to CLASS_NAME_BYTES_MAX small letters, digits and '-', a
 * letter first. */
bool text_is_class(struct text name);

/* text_to_line - make an error text fit for one line and for JSON, in place: control characters become
 * spaces, and what a bound on its length cut out of the middle of a UTF-8 character goes. */
void text_to_line(char *string);

/* text_nearest - the word of `words` (count of them) closest to `wrong` by edit distance, ignoring
 * case, or NULL when none is near enough to be what was meant. Borrowed from `words`. */
const char *text_nearest(struct text wrong, const char *const *words, size_t word_count);

#endif

#include "engine/base/text.h"

#include <ctype.h>
#include <endian.h>

#include "engine/base/limits.h"

char *put_long_unsigned(char *at, uint64_t number)
{
    enum { ONE_MORE = EIGHT_DIGITS_MAX + 1 };
    at = put_unsigned(at, number / ONE_MORE);
    uint64_t word = htole64(eight_digits(number % ONE_MORE) | ASCII_ZEROS);
    memcpy(at, &word, sizeof word);
    return at + sizeof word;
}

/* Is the byte special? In a word of eight, the high bit of each that is; above the first, of some others
 * too, since a subtraction borrows from the next byte. (Bit Twiddling Hacks, "determine if a word has a
 * byte less than n") */
static uint64_t special_bytes(uint64_t word)
{
    const uint64_t ones = UINT64_MAX / 0xFF;
    return (word | (word - ones * 0x20) | ((word ^ ones * '"') - ones) | ((word ^ ones * '\\') - ones) |
            ((word ^ ones * 0x7F) - ones)) &
           (ones * 0x80);
}

static bool is_plain(unsigned char byte)
{
    return byte >= 0x20 && byte < 0x7F && byte != '"' && byte != '\\';
}

size_t text_plain_length(const char *bytes, size_t left)
{
    size_t length = 0;
    uint64_t word;
    while (left - length >= sizeof word) {
        memcpy(&word, bytes + length, sizeof word);
        uint64_t special = special_bytes(le64toh(word));
        if (special != 0)
            return length + (size_t)__builtin_ctzll(special) / 8;
        length += sizeof word;
        if (length < left && left - length < sizeof word)
            length = left - sizeof word; /* the last word, once more in part */
    }
    while (length < left && is_plain((unsigned char)bytes[length]))
        length++;
    return length;
}

size_t text_utf8_length(const char *bytes, size_t left)
{
    const unsigned char *at = (const unsigned char *)bytes;
    unsigned char lead = at[0];
    if (lead < 0x80)
        return 1;
    size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || left < length)
        return 0;
    unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if (at[i] < 0x80 || at[i] > 0xBF)
            return 0;
    return length;
}

bool text_valid_utf8(struct text text)
{
    for (size_t i = 0; i < text.len;) {
        size_t length = text_utf8_length(text.bytes + i, text.len - i);
        if (length == 0 || text.bytes[i] == '\0')
            return false;
        i += length;
    }
    return true;
}

void text_to_line(char *string)
{
    enum { UTF8_BYTES_MAX = 4 };
    char *out = string;
    for (const char *at = string; *at != '\0';) {
        size_t len = text_utf8_length(at, strnlen(at, UTF8_BYTES_MAX));
        if (len == 0) {
            at++;
            continue;
        }
        memmove(out, at, len);
        if (len == 1 && ((unsigned char)*out < 0x20 || *out == 0x7F))
            *out = ' ';
        out += len;
        at += len;
    }
    *out = '\0';
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

enum { WORD_BYTES_MAX = 64 };

/* Damerau-Levenshtein distance (optimal string alignment), ignoring case. Both at most WORD_BYTES_MAX. */
static size_t edit_distance(struct text a, struct text b)
{
    size_t rows[3][WORD_BYTES_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b.len; j++)
        last[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            int x = tolower((unsigned char)a.bytes[i - 1]);
            int y = tolower((unsigned char)b.bytes[j - 1]);
            row[j] = least(least(last[j], row[j - 1]) + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b.bytes[j - 2]) &&
                y == tolower((unsigned char)a.bytes[i - 2]))
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[b.len];
}

const char *text_nearest(struct text wrong, const char *const *words, size_t word_count)
{
    if (wrong.len == 0 || wrong.len > WORD_BYTES_MAX)
        return NULL;
    const char *nearest = NULL;
    size_t nearest_distance = wrong.len / 3 + 1; /* further away is a guess, not help */
    for (size_t i = 0; i < word_count; i++) {
        struct text word = text_of(words[i]);
        if (word.len > WORD_BYTES_MAX)
            continue;
        size_t distance = edit_distance(wrong, word);
        if (distance < nearest_distance || (distance == nearest_distance && nearest == NULL)) {
            nearest = words[i];
            nearest_distance = distance;
        }
    }
    return nearest;
}

bool text_is_class(struct text name)
{
    static const char rest[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    if (name.len == 0 || name.len > CLASS_NAME_BYTES_MAX || name.bytes[0] < 'a' || name.bytes[0] > 'z')
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (memchr(rest, name.bytes[i], sizeof rest - 1) == NULL)
            return false;
    return true;
}

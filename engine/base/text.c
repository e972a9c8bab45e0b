#include "engine/base/text.h"

#include <ctype.h>

enum { WORD_BYTES_MAX = 64 };

static size_t utf8_length_said(unsigned char lead)
{
    return lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
}

void text_to_line(char *string)
{
    char *out = string;
    for (const char *at = string; *at != '\0';) {
        size_t len = utf8_length_said((unsigned char)*at);
        if (strnlen(at, len) < len || !text_valid_utf8((struct text){at, len})) {
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

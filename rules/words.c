#include "rules/words.h"

#include <stdarg.h>
#include <stdio.h>

/* Adds at the end of `hint`, cut at its size. */
static void add(char hint[WORDS_HINT_BYTES], const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void add(char hint[WORDS_HINT_BYTES], const char *format, ...)
{
    size_t used = strlen(hint);
    va_list args;
    va_start(args, format);
    vsnprintf(hint + used, WORDS_HINT_BYTES - used, format, args);
    va_end(args);
}

static void add_list(char hint[WORDS_HINT_BYTES], const char *const *words, size_t word_count)
{
    enum { SHOWN_MAX = 16 };
    for (size_t i = 0; i < word_count && i < SHOWN_MAX; i++)
        add(hint, "%s%s", i == 0 ? "" : ", ", words[i]);
    if (word_count > SHOWN_MAX)
        add(hint, ", ... (%zu in all)", word_count);
}

void words_list(const char *const *words, size_t word_count, char list[WORDS_HINT_BYTES])
{
    list[0] = '\0';
    add_list(list, words, word_count);
}

void words_hint(struct text wrong, const char *const *words, size_t word_count,
                char hint[WORDS_HINT_BYTES])
{
    const char *nearest = text_nearest(wrong, words, word_count);
    hint[0] = '\0';
    if (nearest != NULL)
        add(hint, "did you mean '%s'? ", nearest);
    if (word_count == 0) {
        add(hint, "expected none");
        return;
    }
    add(hint, "%s ", word_count == 1 ? "expected" : "expected one of:");
    if (nearest != NULL)
        hint[strlen("did you mean ''? ") + strlen(nearest)] = 'E';
    add_list(hint, words, word_count);
}

bool text_has_control(struct text text)
{
    for (size_t i = text_plain_length(text.bytes, text.len); i < text.len; i++) {
        unsigned char byte = (unsigned char)text.bytes[i];
        if (byte < 0x20 || byte == 0x7F)
            return true;
        if (byte == 0xC2 && i + 1 < text.len && (unsigned char)text.bytes[i + 1] < 0xA0)
            return true;
    }
    return false;
}

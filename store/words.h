/* words.h - attribute keys and device types by number.
 *
 * A fleet's devices have the same few keys, and their texts would be half of every record. A record
 * holds a word's number instead. The list only grows and is bounded: what comes when it is full is
 * written out in the records, so nothing depends on there being room. New words are in memory
 * first; a checkpoint writes them (from `saved_count` on) with the first record that uses them. */
#ifndef STORE_WORDS_H
#define STORE_WORDS_H

#include "engine/base/arena.h"

enum { WORD_COUNT_MAX = 4096, WORD_BYTES_MAX = 255, WORDS_BYTES_MAX = 128 * 1024 };

struct words {
    struct text *items; /* by number; in `bytes` */
    uint32_t count;
    uint32_t saved_count; /* of them on disk */
    uint16_t *slots;      /* open addressing: number plus one, 0: free */
    uint16_t *by_place;   /* the same, by where in memory a word's text is; the last of those that fall together */
    struct arena bytes;
};

void words_init(struct words *words);
void words_fini(struct words *words);
/* words_find - false when the word has no number. Quick for a text of `items`, as records give it. */
bool words_find(const struct words *words, struct text word, uint32_t *number);
/* words_intern - the same, but give it a number if there is room. */
bool words_intern(struct words *words, struct text word, uint32_t *number);

#endif

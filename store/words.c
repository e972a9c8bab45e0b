#include "store/words.h"

#include <assert.h>
#include <stdlib.h>

enum { SLOT_COUNT = 2 * WORD_COUNT_MAX, PLACE_COUNT = 1024, CHUNK_BYTES = 4096 };
_Static_assert(WORD_COUNT_MAX < UINT16_MAX, "a slot holds a number plus one");

void words_init(struct words *words)
{
    *words = (struct words){.items = calloc(WORD_COUNT_MAX, sizeof(struct text)),
                            .slots = calloc(SLOT_COUNT, sizeof(uint16_t)),
                            .by_place = calloc(PLACE_COUNT, sizeof(uint16_t))};
    if (words->items == NULL || words->slots == NULL || words->by_place == NULL)
        abort();
    arena_init(&words->bytes, CHUNK_BYTES);
}

void words_fini(struct words *words)
{
    free(words->items);
    free(words->slots);
    free(words->by_place);
    arena_fini(&words->bytes);
}

static uint16_t *slot_of(const struct words *words, struct text word)
{
    size_t i = text_hash(word) % SLOT_COUNT;
    while (words->slots[i] != 0 && !text_equal(words->items[words->slots[i] - 1], word))
        i = (i + 1) % SLOT_COUNT;
    return &words->slots[i];
}

static uint16_t *place_of(const struct words *words, struct text word)
{
    return &words->by_place[(uintptr_t)word.bytes / ARENA_ALIGN % PLACE_COUNT];
}

/* Is `word` not only equal to one, but its very text? Then without a hash. */
static bool is_item(const struct words *words, struct text word, uint32_t *number)
{
    uint16_t slot = *place_of(words, word);
    if (slot == 0)
        return false;
    *number = slot - 1u;
    return words->items[*number].bytes == word.bytes && words->items[*number].len == word.len;
}

bool words_find(const struct words *words, struct text word, uint32_t *number)
{
    if (is_item(words, word, number))
        return true;
    uint16_t slot = *slot_of(words, word);
    if (slot == 0)
        return false;
    *number = slot - 1u;
    return true;
}

bool words_intern(struct words *words, struct text word, uint32_t *number)
{
    assert(word.len >= 1 && word.len <= WORD_BYTES_MAX);
    if (is_item(words, word, number))
        return true;
    uint16_t *slot = slot_of(words, word);
    if (*slot == 0) {
        if (words->count == WORD_COUNT_MAX || words->bytes.used_bytes >= WORDS_BYTES_MAX)
            return false;
        struct text *item = &words->items[words->count];
        *item = arena_copy(&words->bytes, word);
        words->count++;
        *slot = *place_of(words, *item) = (uint16_t)words->count;
    }
    *number = *slot - 1u;
    return true;
}

#include "store/state_db.h"

/* A word on disk: number -> text. Numbers run from 0 without a gap. */

static bool load_word(struct state *state, struct text key, struct text word, struct err *err)
{
    uint32_t number = UINT32_MAX, given;
    if (key.len == sizeof number)
        memcpy(&number, key.bytes, sizeof number);
    return (number == state->words.count && word.len >= 1 && word.len <= WORD_BYTES_MAX &&
            words_intern(&state->words, word, &given) && given == number) ||
           state_db_damaged(state, DB_WORDS, err);
}

bool state_words_load(struct state *state, struct err *err)
{
    struct scan scan;
    struct text key, word;
    bool found = true;
    bool done = state_scan_open(state, DB_WORDS, TEXT(""), TEXT(""), &scan, err);
    while (done && (done = state_scan_next(&scan, &key, &word, &found, err)) && found)
        done = load_word(state, key, word, err);
    state_scan_close(&scan);
    state->words.saved_count = state->words.count;
    return done;
}

void state_words_save(struct state *state)
{
    struct words *words = &state->words;
    for (; words->saved_count < words->count; words->saved_count++) {
        uint32_t number = words->saved_count;
        struct text word = words->items[number];
        memcpy(state_db_put(state, DB_WORDS, row_key(&number, sizeof number), word.len), word.bytes,
               word.len);
    }
}

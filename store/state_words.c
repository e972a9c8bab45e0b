#include "engine/base/crc32c.h"
#include "store/state_db.h"

/* A word on disk: number -> crc32c over number and text, text. Numbers run from 0 without a gap. */

enum { CRC_BYTES = 4 };

static uint32_t word_crc(uint32_t number, struct text word)
{
    return crc32c(crc32c(0, &number, sizeof number), word.bytes, word.len);
}

static bool load_word(struct state *state, const MDB_val *key, const MDB_val *value,
                      struct err *err)
{
    uint32_t number = UINT32_MAX, given, crc;
    if (value->mv_size > CRC_BYTES && value->mv_size <= CRC_BYTES + WORD_BYTES_MAX) {
        struct text word = {(const char *)value->mv_data + CRC_BYTES, value->mv_size - CRC_BYTES};
        memcpy(&number, key->mv_data, sizeof number);
        memcpy(&crc, value->mv_data, CRC_BYTES);
        if (number == state->words.count && crc == word_crc(number, word) &&
            words_intern(&state->words, word, &given) && given == number)
            return true;
    }
    return lmdb_env_damaged(&state->env, err, "its list of words fails its checksum");
}

bool state_words_load(struct state *state, struct err *err)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    bool found;
    words_clear(&state->words);
    if (!state_db_cursor(state, DB_WORDS, &cursor, err))
        return false;
    bool done = state_db_move(state, cursor, &key, &value, MDB_FIRST, &found, err);
    while (done && found)
        done = load_word(state, &key, &value, err) &&
               state_db_move(state, cursor, &key, &value, MDB_NEXT, &found, err);
    mdb_cursor_close(cursor);
    state->words.saved_count = state->words.count;
    return done;
}

bool state_words_save(struct state *state, struct err *err)
{
    struct words *words = &state->words;
    while (words->saved_count < words->count) {
        uint32_t number = words->saved_count;
        struct text word = words->items[number];
        uint32_t crc = word_crc(number, word);
        char *bytes;
        if (!state_db_reserve(state, DB_WORDS, lmdb_val(&number, sizeof number),
                              CRC_BYTES + word.len, MDB_APPEND, &bytes, err))
            return false;
        memcpy(bytes, &crc, CRC_BYTES);
        memcpy(bytes + CRC_BYTES, word.bytes, word.len);
        words->saved_count++;
    }
    return true;
}

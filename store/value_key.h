/* value_key.h - a value as part of a database key: equal values give equal bytes, others other
 * bytes.
 *
 * A tag byte says the kind, so "1", 1 and 1.0 stay apart; numbers are laid out so that bytes sort
 * as the numbers do. A text over VALUE_KEY_TEXT_MAX bytes is its beginning plus a 64-bit hash of
 * all of it: two such texts with the same beginning are taken for one with a chance of 2^-64. */
#ifndef STORE_VALUE_KEY_H
#define STORE_VALUE_KEY_H

#include "engine/base/value.h"

enum {
    VALUE_KEY_TEXT_MAX = 200,
    VALUE_KEY_BYTES_MAX = 1 + VALUE_KEY_TEXT_MAX,
};

/* value_key_encode - fill `out`, return the length. The value is not VALUE_NULL. */
size_t value_key_encode(const struct value *value, unsigned char out[VALUE_KEY_BYTES_MAX]);

/* value_key_decode - false when the key holds only the beginning of a long text. Texts are
 * borrowed. `key` must come from value_key_encode. */
bool value_key_decode(struct text key, struct value *value);

#endif

/* words.h - what every message about a wrong word ends with: the nearest right one and the choice. */
#ifndef RULES_WORDS_H
#define RULES_WORDS_H

#include "engine/base/text.h"

enum { WORDS_HINT_BYTES = 400 };

/* words_hint - "did you mean 'x'? Expected one of: x, y, z". A long list is cut ("... (42 in all)"). */
void words_hint(struct text wrong, const char *const *words, size_t word_count,
                char hint[WORDS_HINT_BYTES]);

/* words_list - "x, y, z", cut likewise; "" for none. */
void words_list(const char *const *words, size_t word_count, char list[WORDS_HINT_BYTES]);

/* text_has_control - is there a C0 or C1 control character or a DEL in this UTF-8 text? */
bool text_has_control(struct text text);

#endif

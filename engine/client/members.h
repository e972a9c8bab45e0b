/* members.h - what an object that came over the wire says, with a default for what is missing or of another kind. */
#ifndef CLIENT_MEMBERS_H
#define CLIENT_MEMBERS_H

#include "engine/base/json.h"

/* member_text - a string; else "". member_json - an object or an array as JSON text, or a string; else "". */
struct text member_text(const struct fields *fields, const char *key);
struct text member_json(const struct fields *fields, const char *key);
/* member_integer - else 0. member_number - one that counts something: above 0; else 0. */
int64_t member_integer(const struct fields *fields, const char *key);
uint64_t member_number(const struct fields *fields, const char *key);
/* member_true - is it the boolean true? */
bool member_true(const struct fields *fields, const char *key);

#endif

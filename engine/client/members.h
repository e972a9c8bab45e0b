/* members.h - what an object that came over the wire says, with a default for what is missing or of another kind. */
#ifndef CLIENT_MEMBERS_H
#define CLIENT_MEMBERS_H

#include "engine/base/json.h"

/* field_text - a string; else "". field_json - an object or an array as JSON text, or a string; else "". */
struct text field_text(const struct fields *fields, const char *key);
struct text field_json(const struct fields *fields, const char *key);
/* field_integer - else 0. field_number - one that counts something: above 0; else 0. */
int64_t field_integer(const struct fields *fields, const char *key);
uint64_t field_number(const struct fields *fields, const char *key);
/* field_partition - whose it is: 0 where that isn't said, PARTITION_COUNT_MAX or more where there can't be such a one. */
uint64_t field_partition(const struct fields *fields);
/* field_boolean - is it the boolean true? */
bool field_boolean(const struct fields *fields, const char *key);

#endif

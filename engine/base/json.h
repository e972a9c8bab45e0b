/* json.h - the border where JSON text becomes values that cannot be wrong.
 *
 * cJSON parses, but it is lenient in ways that lose data (docs/decisions/0002-json-border.md), so the
 * text is checked first: UTF-8, escapes, number form, depth, duplicate keys, trailing bytes, and
 * integers that a double cannot hold. cJSON is seen in json.c only; what leaves is flat: the members of
 * one object as fields, nested objects and arrays as compact JSON text.
 * Any thread; a parse uses only the arenas it is given. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "engine/base/err.h"
#include "engine/base/value.h"

/* The members of a JSON object, in the order in which they came. */
struct fields {
    struct field *items;
    size_t count;
};

/* json_parse_object - parse `text`, which must be exactly one JSON object.
 *
 * scratch  used during the call and left with garbage in it: the caller resets it
 * arena    keys and values are copied here, with a NUL behind each text
 * Errors   ERR_BAD_JSON with the byte offset (from 0); ERR_LIMIT deeper than JSON_DEPTH_MAX. */
bool json_parse_object(struct text text, struct arena *scratch, struct arena *arena,
                       struct fields *fields, struct err *err);

/* json_parse_object_expanding - as json_parse_object, and in the same pass: a member named in `names`
 * that is an object itself is given as expanded[i] and not among `fields`. expanded[i].items is NULL when
 * there is no such member or it isn't an object (then it is among `fields`, to be complained about).
 *
 * Nothing is copied that needn't be: keys and strings without escapes are borrowed from `text`, without a
 * NUL behind them, and the array of `fields` itself is in `scratch`.
 * depth_max is 2..JSON_DEPTH_MAX. */
bool json_parse_object_expanding(struct text text, unsigned depth_max, const char *const *names,
                                 size_t name_count, struct arena *scratch, struct arena *arena,
                                 struct fields *fields, struct fields *expanded, struct err *err);

/* json_parse_value - the same for one JSON value of any kind. */
bool json_parse_value(struct text text, struct arena *scratch, struct arena *arena,
                      struct value *value, struct err *err);

/* json_parse_array - the elements of a JSON array. */
bool json_parse_array(struct text text, struct arena *scratch, struct arena *arena,
                      struct value **values, size_t *value_count, struct err *err);

/* json_path - walk `path` ("a.b.c", objects only) below the members; false when a part is
 * missing or is no object. The value is borrowed from `fields` or lives in `arena`. */
bool json_path(const struct fields *fields, struct text path, struct arena *arena,
               struct value *value);

/* fields_get - the member's value, or NULL. */
const struct value *fields_get(const struct fields *fields, struct text key);

/* json_kind_name - "a string", "an object": for messages that say what came instead. */
const char *json_kind_name(const struct value *value);

#endif

/* json_plain.h - the short way through the border, for objects in which nothing is hard.
 *
 * Plain is what nearly every event is: an object of strings in ASCII without escapes, numbers, true, false and
 * null, with the few members that are to be expanded being such objects too. For these the strict scan is
 * all there is to do, and no tree is needed. Whatever is not plain, wrong or only unusual, is left to
 * json.c and cJSON, whole: so there is one place that says what is wrong. Both give the same for what is
 * plain; tests/prop/prop_json.c and tests/fuzz/fuzz_json.c hold them against each other.
 * For json.c only. */
#ifndef BASE_JSON_PLAIN_H
#define BASE_JSON_PLAIN_H

#include "engine/base/json.h"

/* json_plain_object - as json_parse_object_expanding, for a plain object. False: it isn't one, the outputs
 * are garbage, and both arenas may have been used. */
bool json_plain_object(struct text text, const char *const *names, size_t name_count,
                       struct arena *scratch, struct arena *arena, struct fields *fields,
                       struct fields *expanded);

#endif

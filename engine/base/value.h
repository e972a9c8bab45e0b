/* value.h - a typed scalar: what an attribute, a telemetry reading or a message field holds.
 *
 * A type is never guessed: what came as a JSON string stays a string ("1.20" is not 1.2). A number
 * written with a decimal point is a double, one without is an integer (1.0 and 1 differ, as they do in
 * ThingsBoard). Objects and arrays are kept as compact JSON text. */
#ifndef BASE_VALUE_H
#define BASE_VALUE_H

#include "engine/base/arena.h"
#include "engine/base/text.h"

enum value_kind { VALUE_NULL, VALUE_BOOLEAN, VALUE_INTEGER, VALUE_DOUBLE, VALUE_STRING, VALUE_JSON };

struct value {
    enum value_kind kind;
    union {
        bool boolean;
        int64_t integer;  /* -2^53 .. 2^53 */
        double number;    /* finite */
        struct text text; /* VALUE_STRING: UTF-8 without NUL. VALUE_JSON: compact JSON. Borrowed */
    };
};

/* A key with its value; in an object the keys are distinct. */
struct field {
    struct text key;
    struct value value;
};

/* Where a value lives. The first three are ThingsBoard's attribute scopes. */
enum scope { SCOPE_CLIENT, SCOPE_SHARED, SCOPE_SERVER, SCOPE_TELEMETRY, SCOPE_COUNT };

static inline struct value value_boolean(bool boolean)
{
    return (struct value){.kind = VALUE_BOOLEAN, .boolean = boolean};
}

static inline struct value value_string(struct text text)
{
    return (struct value){.kind = VALUE_STRING, .text = text};
}

/* value_equal - same kind and same content; 1 and 1.0 and "1" are three different values. */
bool value_equal(const struct value *a, const struct value *b);

/* value_text - how metadata and patterns show a value: strings bare, true, 1, 1.0, 2.5, JSON compact,
 * null as "null". The text is borrowed from the value or allocated in `arena`. */
struct text value_text(const struct value *value, struct arena *arena);

/* value_format_double - shortest text that reads back the same, always with '.' or 'e', whatever the locale of the
 * program that the library is in. Returns len. */
enum { DOUBLE_TEXT_BYTES = 32 };
size_t value_format_double(double number, char out[DOUBLE_TEXT_BYTES]);
/* value_put_point - in a number's text of that length, NUL-terminated: '.' in place of the locale's `point`, of one or
 * several bytes. Returns the length then. */
size_t value_put_point(char *text, size_t len, const char *point);

/* scope_name - "CLIENT_SCOPE", ... (the wire); scope_short - "client", "shared", "server", "telemetry". */
const char *scope_name(enum scope scope);
const char *scope_short(enum scope scope);
/* scope_parse - from a wire name (exact), attribute scopes only. False if it is none of the three. */
bool scope_parse(struct text name, enum scope *scope);
/* scope_parse_short - from a short name, all four. */
bool scope_parse_short(struct text name, enum scope *scope);

#endif

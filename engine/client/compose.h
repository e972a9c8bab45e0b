/* compose.h - from what a person types to values and events as they go over the wire. */
#ifndef CLIENT_COMPOSE_H
#define CLIENT_COMPOSE_H

#include "engine/base/buf.h"
#include "engine/base/err.h"

/* compose_field - `key=value` (a string) or `key:=json` (any JSON value); the first '=' counts.
 * The field's texts are borrowed from the word or live in `arena`.
 * Errors  ERR_CONFIG with what to write instead. */
bool compose_field(const char *word, struct arena *arena, struct field *field, struct err *err);

/* compose_readings - the values that a bare word may mean: for `1.1` the string and the number, for `v1.1`
 * only the string, for `"1.1"`, in quotes, only the string 1.1. Returns how many, 1 or 2, the string
 * first. They are borrowed from the word or live in `arena`. */
size_t compose_readings(const char *word, struct arena *arena, struct value values[2]);

/* compose_event - append one event as a line: a device's report of attributes (SCOPE_CLIENT) or of
 * telemetry, or an operator's write (SCOPE_SHARED, SCOPE_SERVER). An empty device_type is left out. */
void compose_event(struct buf *body, struct text device, struct text device_type, enum scope scope,
                   const struct field *fields, size_t field_count);

/* compose_numbered - append the line (a JSON object, not looked into) with `source` and `n` put in
 * behind its first '{'. A line without one is appended as it is. */
void compose_numbered(struct buf *body, struct text line, struct text source, uint64_t n);

#endif

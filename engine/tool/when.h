/* when.h - moments for reading: milliseconds since 1970 as text. */
#ifndef TOOL_WHEN_H
#define TOOL_WHEN_H

#include "engine/tool/screen.h"

enum { WHEN_BYTES = 48 };

/* when_iso - "2026-11-21T05:13:00.123Z". when_local - "2026-11-21 06:13:00" in the local time zone.
 * when_clock - "06:13:00", local. */
void when_iso(int64_t ms, char out[WHEN_BYTES]);
void when_local(int64_t ms, char out[WHEN_BYTES]);
void when_clock(int64_t ms, char out[WHEN_BYTES]);

/* when_ago - "just now", "42 s ago", "3 min ago", "5 h ago", "2 days ago"; what is more than two weeks
 * back, or to come, as when_local. */
void when_ago(int64_t ms, int64_t now_ms, char out[WHEN_BYTES]);

/* when_parse - a moment that a person typed, not after now_ms: "30s", "15m", "1h", "2d" (ago), a time of day
 * ("06:13", "06:13:00.5": when the local clock showed it the last time), a date or a date and time ("2026-11-21",
 * "2026-11-21T06:13", "2026-11-21 06:13:00.5"), local or with Z or +01:00 behind it, or milliseconds since 1970. False
 * when it is none of these. */
bool when_parse(const char *word, int64_t now_ms, int64_t *ms);

/* when_text - when_ago for a person and when_iso for a program; 0 is "never" and "-". when_moment - likewise, with
 * when_local for a person: where rows are held against each other, or against a log. */
struct text when_text(const struct screen *screen, int64_t ms, struct arena *arena);
struct text when_moment(const struct screen *screen, int64_t ms, struct arena *arena);

#endif

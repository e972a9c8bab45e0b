#include "engine/tool/when.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "engine/base/clock.h"

static void format_local(int64_t ms, const char *format, char out[WHEN_BYTES])
{
    time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0));
    struct tm parts;
    if (localtime_r(&seconds, &parts) == NULL) {
        snprintf(out, WHEN_BYTES, "%lld ms", (long long)ms);
        return;
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    if (strftime(out, WHEN_BYTES, format, &parts) == 0)
        out[0] = '\0';
#pragma GCC diagnostic pop
}

void when_iso(int64_t ms, char out[WHEN_BYTES])
{
    _Static_assert((int)WHEN_BYTES >= (int)CLOCK_ISO_BYTES, "a moment has room");
    clock_iso(ms, out);
}

void when_local(int64_t ms, char out[WHEN_BYTES])
{
    format_local(ms, "%Y-%m-%d %H:%M:%S", out);
}

void when_clock(int64_t ms, char out[WHEN_BYTES])
{
    format_local(ms, "%H:%M:%S", out);
}

void when_ago(int64_t ms, int64_t now_ms, char out[WHEN_BYTES])
{
    enum { MINUTE_S = 60, HOUR_S = 3600, DAY_S = 86400 };
    static const struct {
        int64_t below_s;
        int64_t unit_s;
        const char *unit;
    } steps[] = {
        {2 * MINUTE_S, 1, "s"},
        {2 * HOUR_S, MINUTE_S, "min"},
        {2 * DAY_S, HOUR_S, "h"},
        {14 * DAY_S, DAY_S, "days"},
    };
    int64_t seconds = (now_ms - ms) / 1000;
    if (ms <= now_ms && seconds < 1) {
        snprintf(out, WHEN_BYTES, "just now");
        return;
    }
    for (size_t i = 0; ms <= now_ms && i < sizeof steps / sizeof steps[0]; i++)
        if (seconds < steps[i].below_s) {
            snprintf(out, WHEN_BYTES, "%d %s ago", (int)(seconds / steps[i].unit_s), steps[i].unit);
            return;
        }
    when_local(ms, out);
}

struct text when_text(const struct screen *screen, int64_t ms, struct arena *arena)
{
    char text[WHEN_BYTES];
    if (!screen->tables || ms == 0)
        return when_moment(screen, ms, arena);
    when_ago(ms, clock_wall_ms(), text);
    return arena_copy(arena, text_of(text));
}

struct text when_moment(const struct screen *screen, int64_t ms, struct arena *arena)
{
    if (ms == 0)
        return screen->tables ? TEXT("never") : TEXT("-");
    char text[WHEN_BYTES];
    if (screen->tables)
        when_local(ms, text);
    else
        when_iso(ms, text);
    return arena_copy(arena, text_of(text));
}

/* --- reading --- */

/* "15m": so long ago. */
static bool parse_ago(const char *word, int64_t now_ms, int64_t *ms)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    enum { COUNT_MAX = 1000000 };
    char *end;
    if (word[0] < '0' || word[0] > '9')
        return false;
    unsigned long count = strtoul(word, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(end, units[i].unit) == 0 && count <= COUNT_MAX) {
            *ms = now_ms - (int64_t)count * units[i].ms;
            return true;
        }
    return false;
}

/* At least 12 digits: milliseconds since 1970. Fewer might be seconds, or a year. */
static bool parse_number(const char *word, int64_t *ms)
{
    size_t len = strspn(word, "0123456789");
    if (len < 12 || len > 15 || word[len] != '\0')
        return false;
    *ms = strtoll(word, NULL, 10);
    return true;
}

/* "Z", "+01:00", "-0730", or nothing, which is local. */
static bool parse_zone(const char *word, bool *local, int64_t *offset_s)
{
    int hours, minutes, used = 0;
    *local = *word == '\0';
    *offset_s = 0;
    if (*local || strcmp(word, "Z") == 0)
        return true;
    if ((word[0] != '+' && word[0] != '-') ||
        (sscanf(word + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 &&
         sscanf(word + 1, "%2d%2d%n", &hours, &minutes, &used) != 2) ||
        word[1 + used] != '\0' || minutes > 59)
        return false;
    *offset_s = (word[0] == '-' ? -60 : 60) * (hours * 60 + minutes);
    return true;
}

/* "06:13", "06:13:00.5"; *word is moved behind it. */
static bool parse_clock(const char **word, struct tm *parts, int *milliseconds)
{
    int used = 0;
    if (**word < '0' || **word > '9' ||
        sscanf(*word, "%2d:%2d%n", &parts->tm_hour, &parts->tm_min, &used) != 2)
        return false;
    *word += used;
    if (**word == ':') {
        if (sscanf(*word, ":%2d%n", &parts->tm_sec, &used) != 1)
            return false;
        *word += used;
    }
    if (**word == '.') {
        size_t digit_count = strspn(++*word, "0123456789");
        for (size_t i = 0; i < 3; i++)
            *milliseconds = *milliseconds * 10 + (i < digit_count ? (*word)[i] - '0' : 0);
        *word += digit_count;
    }
    return parts->tm_hour < 24 && parts->tm_min < 60 && parts->tm_sec < 61;
}

static bool parse_date(const char *word, int64_t *ms)
{
    struct tm parts = {.tm_isdst = -1};
    int used = 0, milliseconds = 0;
    int64_t offset_s;
    bool local;
    if (sscanf(word, "%4d-%2d-%2d%n", &parts.tm_year, &parts.tm_mon, &parts.tm_mday, &used) != 3 ||
        used != 10 || parts.tm_year < 1970 || parts.tm_mon < 1 || parts.tm_mon > 12 ||
        parts.tm_mday < 1 || parts.tm_mday > 31)
        return false;
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    word += used;
    if ((*word == 'T' || *word == ' ') && (word++, !parse_clock(&word, &parts, &milliseconds)))
        return false;
    if (!parse_zone(word, &local, &offset_s))
        return false;
    int month = parts.tm_mon;
    time_t seconds = local ? mktime(&parts) : timegm(&parts);
    *ms = ((int64_t)seconds - offset_s) * 1000 + milliseconds;
    return parts.tm_mon == month; /* there is no 30 February */
}

/* When the local clock showed that the last time: today, or yesterday. */
static bool parse_time_of_day(const char *word, int64_t now_ms, int64_t *ms)
{
    time_t now = (time_t)(now_ms / 1000);
    struct tm today;
    if (localtime_r(&now, &today) == NULL)
        return false;
    struct tm parts = {.tm_year = today.tm_year, .tm_mon = today.tm_mon, .tm_mday = today.tm_mday, .tm_isdst = -1};
    int milliseconds = 0;
    if (!parse_clock(&word, &parts, &milliseconds) || *word != '\0')
        return false;
    struct tm yesterday = parts;
    yesterday.tm_mday--;
    *ms = (int64_t)mktime(&parts) * 1000 + milliseconds;
    if (*ms > now_ms)
        *ms = (int64_t)mktime(&yesterday) * 1000 + milliseconds;
    return true;
}

bool when_parse(const char *word, int64_t now_ms, int64_t *ms)
{
    int64_t parsed;
    if ((!parse_ago(word, now_ms, &parsed) && !parse_number(word, &parsed) &&
         !parse_time_of_day(word, now_ms, &parsed) && !parse_date(word, &parsed)) ||
        parsed < 0 || parsed > now_ms)
        return false;
    *ms = parsed;
    return true;
}

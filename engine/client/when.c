#include "engine/client/when.h"

#include <stdio.h>
#include <time.h>

#include "engine/base/clock.h"

static void format_time(int64_t ms, bool local, const char *format, char out[WHEN_BYTES])
{
    time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0));
    struct tm parts;
    struct tm *filled = local ? localtime_r(&seconds, &parts) : gmtime_r(&seconds, &parts);
    if (filled == NULL) {
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
    format_time(ms, false, "%Y-%m-%dT%H:%M:%S", out);
    size_t len = strlen(out);
    snprintf(out + len, WHEN_BYTES - len, ".%03dZ", (int)((ms % 1000 + 1000) % 1000));
}

void when_local(int64_t ms, char out[WHEN_BYTES])
{
    format_time(ms, true, "%Y-%m-%d %H:%M:%S", out);
}

void when_clock(int64_t ms, char out[WHEN_BYTES])
{
    format_time(ms, true, "%H:%M:%S", out);
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
    if (ms == 0)
        return screen->tables ? TEXT("never") : TEXT("-");
    char text[WHEN_BYTES];
    if (screen->tables)
        when_ago(ms, clock_wall_ms(), text);
    else
        when_iso(ms, text);
    return arena_copy(arena, text_of(text));
}

#include "engine/base/clock.h"

#include <stdio.h>
#include <time.h>

int64_t clock_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void clock_iso(int64_t ms, char out[CLOCK_ISO_BYTES])
{
    time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0));
    struct tm parts;
    size_t len = gmtime_r(&seconds, &parts) == NULL
                     ? 0
                     : strftime(out, CLOCK_ISO_BYTES, "%Y-%m-%dT%H:%M:%S", &parts);
    if (len == 0)
        snprintf(out, CLOCK_ISO_BYTES, "%lld ms", (long long)ms);
    else
        snprintf(out + len, CLOCK_ISO_BYTES - len, ".%03dZ", (int)((ms % 1000 + 1000) % 1000));
}

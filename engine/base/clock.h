/* clock.h - the two clocks, and a moment as text. Rules never read a clock: their time is the event's. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds since 1970-01-01 UTC; may jump when the machine's clock is set. */
int64_t clock_wall_ms(void);
/* Nanoseconds from an arbitrary start; never goes back. */
int64_t clock_monotonic_ns(void);
static inline int64_t clock_monotonic_ms(void)
{
    return clock_monotonic_ns() / 1000000;
}

/* clock_iso - milliseconds since 1970 as "2026-11-21T05:13:00.123Z", for people and for programs. What no calendar has
 * a year for is a number with " ms" behind it. */
enum { CLOCK_ISO_BYTES = 48 };
void clock_iso(int64_t ms, char out[CLOCK_ISO_BYTES]);

#endif

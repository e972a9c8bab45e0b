/* clock.h - the two clocks. Rules never read one: their time is the event's. */
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

#endif

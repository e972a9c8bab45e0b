/* workload.h - the events that every bench sends, to us and to others.
 *
 * A fleet of devices named ESP32-00000000 on. Each gets the target v1.3, then reports v1.(its number
 * modulo 8); that is the fleet as a measured run finds it. */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include "engine/base/buf.h"

enum load_kind {
    WORK_TARGETS,   /* setting up: each device in turn gets its target */
    WORK_REPORTS,   /* setting up: each device in turn reports its first version */
    WORK_CHANGING,  /* a random device reports one of eight versions at random */
    WORK_UNCHANGED, /* a random device reports what it reported in WORK_REPORTS */
    WORK_CAMPAIGN,  /* each device once, in a scattered order, reports another version than before */
    WORK_TELEMETRY, /* a random device sends a reading */
};

struct workload {
    enum load_kind work;
    uint64_t device_count; /* 1..100,000,000 */
    uint64_t count;        /* events given so far */
    uint64_t random;       /* not 0 */
    uint64_t step;         /* of the campaign; 0 to start */
};

/* What one event says; `value` is borrowed from static memory or from the event. */
struct report {
    uint64_t device;
    char name[16]; /* ESP32-00000000 and a zero byte */
    char value[8]; /* of the version, or of the reading, and a zero byte */
};

/* workload_named - the kind of work by its name in lower case ("changing"), or false. */
bool workload_named(const char *name, enum load_kind *work);
/* workload_next - the next event. */
struct report workload_next(struct workload *load);
/* workload_event - the next event as fwsync takes it, one line of JSON with its newline. */
void workload_event(struct workload *load, struct buf *out);

#endif

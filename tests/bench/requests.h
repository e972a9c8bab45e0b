/* requests.h - the workload's events as bodies of requests, for programs that include the daemon's headers:
 * its `struct work` and the workload's `enum work` can't both be seen in one file. */
#ifndef BENCH_REQUESTS_H
#define BENCH_REQUESTS_H

#include "engine/base/buf.h"

struct requests;

/* requests_create - for a fleet of `device_count`; the same events every time. */
struct requests *requests_create(uint64_t device_count);
void requests_destroy(struct requests *requests);
/* requests_start - from now on this kind of work, by its name in workload.h; the randomness goes on. */
void requests_start(struct requests *requests, const char *work);
/* requests_write - append the next events, a line each. */
void requests_write(struct requests *requests, size_t event_count, struct buf *body);

#endif

/* exposition.h - writing Prometheus's text format, version 0.0.4: families of samples.
 *
 *     # HELP fwsync_events_in_total ...
 *     # TYPE fwsync_events_in_total counter
 *     fwsync_events_in_total 42
 *
 * The family's head is written once, then all of its samples.
 * Source  https://prometheus.io/docs/instrumenting/exposition_formats/ */
#ifndef SERVICE_EXPOSITION_H
#define SERVICE_EXPOSITION_H

#include "engine/base/buf.h"
#include "engine/service/histogram.h"

/* A pair name="value" of a sample; the value is escaped. */
struct label {
    const char *name;
    struct text value;
};

/* exposition_family - the head. `name` is complete; `type` is "counter", "gauge" or "histogram"; `help` has
 * neither line feed nor backslash. */
void exposition_family(struct buf *out, const char *name, const char *type, const char *help);

/* exposition_count, exposition_number - a sample. */
void exposition_count(struct buf *out, const char *name, const struct label *labels, size_t label_count,
                      uint64_t count);
void exposition_number(struct buf *out, const char *name, double number);

/* exposition_histogram - head and samples, in seconds. */
void exposition_histogram(struct buf *out, const char *name, const char *help,
                          const struct histogram_view *view);

#endif

/* figures.h - every plain number that the daemon tells about itself, in one table.
 *
 * A number is one field below and one row in figures.c; from it come the member in `stats` and the sample in
 * `metrics`. What has labels (classes, values, latencies) is beside them, in query_stats.c. */
#ifndef SERVICE_FIGURES_H
#define SERVICE_FIGURES_H

#include "engine/service/query.h"

struct figures {
    uint64_t uptime_ms;

    uint64_t in, accepted, duplicates, rejected, applied, dead_lettered, pending, replayed;

    uint64_t requests, busy, malformed, queries, results, replies_dropped;

    uint64_t journal_seq, journal_lag, apply_lag_ms, ticks, journal_bytes, commits, trimmed;

    uint64_t partitions;
    uint64_t devices, state_bytes, state_file_bytes, state_map_bytes, history_bytes, changes_bytes;
    uint64_t checkpoint_seq, checkpoints, checkpoint_ms, checkpoint_age_ms;
    uint64_t dead_letters, dead_letters_trimmed, disk_full;

    uint64_t anonymous_bytes, file_bytes;
};

/* figures_take - as they are now, between two batches of all partitions. */
void figures_take(const struct query_context *context, struct figures *figures);

/* figures_json - members of the open object, most of them in objects by topic. */
void figures_json(const struct figures *figures, struct buf *out);
/* figures_text - in Prometheus's text format. */
void figures_text(const struct figures *figures, struct buf *out);

#endif

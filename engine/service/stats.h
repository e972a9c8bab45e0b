/* stats.h - the daemon's counters since it started. Any thread adds; `stats` reads.
 *
 * The conservation law: in = accepted + duplicates + rejected, and every accepted event is applied,
 * dead-lettered, or still on its way. Requests answered "busy" are not in `in`: nothing of them was taken. */
#ifndef SERVICE_STATS_H
#define SERVICE_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include "engine/service/histogram.h"

struct stats {
    int64_t started_ms;
    atomic_uint_fast64_t accepted;
    atomic_uint_fast64_t duplicates;
    atomic_uint_fast64_t rejected;
    atomic_uint_fast64_t applied;
    atomic_uint_fast64_t dead_lettered;
    atomic_uint_fast64_t replayed; /* from the journal, at the start */
    atomic_uint_fast64_t ticks;    /* of passing time, applied; they aren't events */
    atomic_uint_fast64_t requests;
    atomic_uint_fast64_t busy; /* requests refused for now */
    atomic_uint_fast64_t malformed; /* messages without a usable envelope */
    atomic_uint_fast64_t queries;
    atomic_uint_fast64_t replies_dropped; /* their client was gone, or didn't read */
    atomic_uint_fast64_t results;         /* handed to subscribers' queues */
    atomic_uint_fast64_t commits;         /* of the journal */
    atomic_uint_fast64_t checkpoints;
    atomic_uint_fast64_t trimmed;       /* journal records */

    struct histogram ack;    /* from reading a request to its answer's being handed to the socket; the doors add */
    struct histogram query;  /* likewise for a question */
    struct histogram commit; /* a group's, with the fsync; the committer adds */
};

static inline void stats_add(atomic_uint_fast64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

static inline uint64_t stats_get(atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif

#include "engine/service/figures.h"

#include <stddef.h>
#include <stdio.h>

#include "engine/base/clock.h"
#include "engine/service/exposition.h"
#include "engine/service/memory.h"

/* --- the table ------------------------------------------------------------------------------------------- */

/* A counter only rises while the daemon runs. Milliseconds are seconds in `metrics`; a flag is 0 or 1 there. */
enum kind { COUNTER, GAUGE, MILLISECONDS, FLAG };

static const struct row {
    const char *group;  /* object in `stats`; NULL: none. Rows of a group follow each other */
    const char *member; /* in it */
    const char *metric; /* behind "fwsync_" */
    enum kind kind;
    size_t offset;
    const char *help;
} rows[] = {
#define AT(field) offsetof(struct figures, field)
    {NULL, "uptimeMs", "uptime_seconds", MILLISECONDS, AT(uptime_ms), "Time since the daemon started."},

    {"events", "in", "events_in_total", COUNTER, AT(in),
     "Events answered: accepted, duplicate or rejected. Requests answered with busy are not among them."},
    {"events", "accepted", "events_accepted_total", COUNTER, AT(accepted),
     "Events committed to the journal: applied, dead-lettered or pending."},
    {"events", "duplicates", "events_duplicate_total", COUNTER, AT(duplicates),
     "Events that were in the journal already."},
    {"events", "rejected", "events_rejected_total", COUNTER, AT(rejected), "Lines that are no event."},
    {"events", "applied", "events_applied_total", COUNTER, AT(applied),
     "Accepted events that the rules handled completely."},
    {"events", "deadLettered", "events_dead_lettered_total", COUNTER, AT(dead_lettered),
     "Accepted events of which the rules left a dead letter."},
    {"events", "pending", "events_pending", GAUGE, AT(pending), "Accepted events that aren't applied yet."},
    {"events", "replayed", "events_replayed_total", COUNTER, AT(replayed),
     "Events applied again from the journal."},

    {"traffic", "requests", "requests_total", COUNTER, AT(requests), "Requests at the events door."},
    {"traffic", "busy", "requests_busy_total", COUNTER, AT(busy),
     "Requests answered with busy: nothing of them was taken."},
    {"traffic", "malformed", "messages_malformed_total", COUNTER, AT(malformed),
     "Messages without a usable envelope, at either door."},
    {"traffic", "queries", "queries_total", COUNTER, AT(queries), "Questions at the query door."},
    {"traffic", "results", "results_sent_total", COUNTER, AT(results), "Results handed to subscribers."},
    {"traffic", "repliesDropped", "replies_dropped_total", COUNTER, AT(replies_dropped),
     "Answers whose client was gone, or didn't read."},

    {"journal", "last", "journal_last_seq", GAUGE, AT(journal_seq), "Number of the last committed event."},
    {"journal", "lag", "journal_lag_events", GAUGE, AT(journal_lag),
     "Committed records that aren't applied yet."},
    {"journal", "applyLagMs", "apply_lag_seconds", MILLISECONDS, AT(apply_lag_ms),
     "From an event's receipt until it was applied, in the last batch."},
    {"journal", "ticks", "ticks_total", COUNTER, AT(ticks),
     "Records of passing time, applied: the deadlines of up to 500 devices each."},
    {"journal", "bytes", "journal_bytes", GAUGE, AT(journal_bytes), "Size of the journal."},
    {"journal", "commits", "journal_commits_total", COUNTER, AT(commits), "Commits of the journal."},
    {"journal", "trimmed", "journal_trimmed_total", COUNTER, AT(trimmed), "Old records deleted."},

    {"state", "partitions", "partitions", GAUGE, AT(partitions), "Parts that the fleet is split into."},
    {"state", "devices", "devices", GAUGE, AT(devices), "Devices known."},
    {"state", "bytes", "state_bytes", GAUGE, AT(state_bytes), "Size of what the last checkpoint holds."},
    {"state", "fileBytes", "state_file_bytes", GAUGE, AT(state_file_bytes),
     "Size of the state's file, which doesn't shrink."},
    {"state", "mapBytes", "state_map_bytes", GAUGE, AT(state_map_bytes),
     "What the state's file may grow to: the setting state-map-gib."},
    {"state", "historyBytes", "state_history_bytes", GAUGE, AT(history_bytes), "Size of the history of changes."},
    {"state", "changesBytes", "state_changes_bytes", GAUGE, AT(changes_bytes),
     "Memory of what the next checkpoint will write."},
    {"state", "checkpoint", "checkpoint_seq", GAUGE, AT(checkpoint_seq),
     "Number of the last event in the last checkpoint."},
    {"state", "checkpoints", "checkpoints_total", COUNTER, AT(checkpoints), "Checkpoints made."},
    {"state", "checkpointMs", "checkpoint_duration_seconds", MILLISECONDS, AT(checkpoint_ms),
     "How long the last checkpoint took."},
    {"state", "checkpointAgeMs", "checkpoint_age_seconds", MILLISECONDS, AT(checkpoint_age_ms),
     "How long the oldest change has waited for a checkpoint; 0 when all are in one."},
    {"state", "deadLetters", "dead_letters", GAUGE, AT(dead_letters), "Dead letters kept."},
    {"state", "deadLettersTrimmed", "dead_letters_trimmed_total", COUNTER, AT(dead_letters_trimmed),
     "Dead letters that had to go for newer ones, over the data folder's life."},
    {"state", "diskFull", "disk_full", FLAG, AT(disk_full),
     "1 while checkpoints fail for want of space, and events are refused."},

    {"memory", "anonymous", "memory_anonymous_bytes", GAUGE, AT(anonymous_bytes), "Memory of the daemon's own."},
    {"memory", "file", "memory_file_bytes", GAUGE, AT(file_bytes),
     "Mapped files in memory, which the kernel may take back."},
#undef AT
};
enum { ROW_COUNT = sizeof rows / sizeof rows[0] };
_Static_assert(sizeof(struct figures) == ROW_COUNT * sizeof(uint64_t), "a row for each figure");

static uint64_t figure_of(const struct figures *figures, const struct row *row)
{
    uint64_t figure;
    memcpy(&figure, (const char *)figures + row->offset, sizeof figure);
    return figure;
}

/* --- taking them ----------------------------------------------------------------------------------------- */

/* Read back to front along an event's way, so that the sums never show one that isn't counted yet. */
static void take_events(struct stats *stats, struct figures *figures)
{
    figures->dead_lettered = stats_get(&stats->dead_lettered);
    figures->applied = stats_get(&stats->applied);
    figures->rejected = stats_get(&stats->rejected);
    figures->duplicates = stats_get(&stats->duplicates);
    figures->accepted = stats_get(&stats->accepted);
    figures->in = figures->accepted + figures->duplicates + figures->rejected;
    figures->pending = figures->accepted - figures->applied - figures->dead_lettered;
    figures->replayed = stats_get(&stats->replayed);
}

static void take_traffic(struct stats *stats, struct figures *figures)
{
    figures->requests = stats_get(&stats->requests);
    figures->busy = stats_get(&stats->busy);
    figures->malformed = stats_get(&stats->malformed);
    figures->queries = stats_get(&stats->queries);
    figures->results = stats_get(&stats->results);
    figures->replies_dropped = stats_get(&stats->replies_dropped);
}

static void take_journal(struct engine *engine, struct figures *figures)
{
    struct stats *stats = engine->stats;
    figures->journal_seq = atomic_load(&engine->journal_seq);
    figures->ticks = stats_get(&stats->ticks);
    figures->journal_bytes = journal_bytes(engine->journal);
    figures->commits = stats_get(&stats->commits);
    figures->trimmed = stats_get(&stats->trimmed);
    figures->checkpoints = stats_get(&stats->checkpoints);
    figures->checkpoint_seq = UINT64_MAX; /* until a state says less */
}

static void raise_to(uint64_t *figure, uint64_t other)
{
    if (other > *figure)
        *figure = other;
}

/* Of sizes the sum; of times the longest; the event up to which all are. */
static void add_state(struct partition *partition, const struct state *state, struct figures *figures)
{
    uint64_t checkpoint_seq = state_checkpoint_seq(state);
    figures->devices += state_device_count(state);
    figures->state_bytes += state_bytes(state);
    figures->state_file_bytes += state_file_bytes(state);
    figures->state_map_bytes += (uint64_t)partition->engine->settings->state_map_gib << 30;
    figures->history_bytes += state_history_bytes(state);
    figures->changes_bytes += state_changes_bytes(state);
    figures->dead_letters += state_dead_letter_count(state);
    figures->dead_letters_trimmed += state_dead_letter_trimmed(state);
    figures->disk_full |= atomic_load(&partition->disk_full);
    if (checkpoint_seq < figures->checkpoint_seq)
        figures->checkpoint_seq = checkpoint_seq;
    raise_to(&figures->journal_lag, figures->journal_seq - state_applied_seq(state));
    raise_to(&figures->apply_lag_ms, stats_get(&partition->apply_lag_ms));
    raise_to(&figures->checkpoint_ms, stats_get(&partition->checkpoint_ms));
    if (checkpoint_seq != state_applied_seq(state))
        raise_to(&figures->checkpoint_age_ms,
              (uint64_t)(clock_monotonic_ms() - atomic_load(&partition->unsaved_since_ms)));
}

void figures_take(const struct query_context *context, struct figures *figures)
{
    struct engine *engine = context->partition->engine;
    struct memory memory = memory_in_use();
    *figures = (struct figures){
        .uptime_ms = (uint64_t)(clock_wall_ms() - engine->stats->started_ms),
        .partitions = engine->partition_count,
        .anonymous_bytes = memory.anonymous_bytes,
        .file_bytes = memory.file_bytes,
    };
    take_events(engine->stats, figures);
    take_traffic(engine->stats, figures);
    take_journal(engine, figures);
    for (unsigned i = 0; i < context->count; i++)
        add_state(context->all[i].partition, context->all[i].state, figures);
}

/* --- telling them ---------------------------------------------------------------------------------------- */

void figures_json(const struct figures *figures, struct buf *out)
{
    const char *group = NULL;
    for (const struct row *row = rows; row < rows + ROW_COUNT; row++) {
        if (row->group != NULL && (group == NULL || strcmp(group, row->group) != 0)) {
            if (group != NULL)
                buf_byte(out, '}');
            json_open(out, group = row->group, '{');
        }
        if (row->kind == FLAG)
            json_member_boolean(out, row->member, figure_of(figures, row) != 0);
        else
            json_member_unsigned(out, row->member, figure_of(figures, row));
    }
    buf_byte(out, '}');
}

void figures_text(const struct figures *figures, struct buf *out)
{
    for (const struct row *row = rows; row < rows + ROW_COUNT; row++) {
        char name[64];
        snprintf(name, sizeof name, "fwsync_%s", row->metric);
        exposition_family(out, name, row->kind == COUNTER ? "counter" : "gauge", row->help);
        if (row->kind == MILLISECONDS)
            exposition_number(out, name, (double)figure_of(figures, row) / 1e3);
        else
            exposition_count(out, name, NULL, 0, figure_of(figures, row));
    }
}

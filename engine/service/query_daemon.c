/* query_daemon.c - is it there, and how is it. */
#include "engine/service/ask.h"

#include "engine/base/clock.h"
#include "engine/service/memory.h"

static bool answer_ping(struct ask *ask)
{
    json_member_text(ask->out, "version", TEXT(FWSYNC_VERSION));
    return true;
}

const struct op op_ping = {"ping", {NULL}, answer_ping};

static void write_event_counters(struct stats *stats, struct buf *out)
{
    /* read back to front along an event's way, so that the sums never show one that isn't yet counted */
    uint64_t dead = stats_get(&stats->dead_lettered), applied = stats_get(&stats->applied);
    uint64_t rejected = stats_get(&stats->rejected), duplicates = stats_get(&stats->duplicates);
    uint64_t accepted = stats_get(&stats->accepted);
    json_open(out, "events", '{');
    json_member_unsigned(out, "in", accepted + duplicates + rejected);
    json_member_unsigned(out, "accepted", accepted);
    json_member_unsigned(out, "duplicates", duplicates);
    json_member_unsigned(out, "rejected", rejected);
    json_member_unsigned(out, "applied", applied);
    json_member_unsigned(out, "deadLettered", dead);
    json_member_unsigned(out, "pending", accepted - applied - dead);
    json_member_unsigned(out, "replayed", stats_get(&stats->replayed));
    buf_byte(out, '}');
}

static void write_traffic(struct stats *stats, struct buf *out)
{
    json_open(out, "traffic", '{');
    json_member_unsigned(out, "requests", stats_get(&stats->requests));
    json_member_unsigned(out, "busy", stats_get(&stats->busy));
    json_member_unsigned(out, "malformed", stats_get(&stats->malformed));
    json_member_unsigned(out, "queries", stats_get(&stats->queries));
    json_member_unsigned(out, "results", stats_get(&stats->results));
    json_member_unsigned(out, "repliesDropped", stats_get(&stats->replies_dropped));
    buf_byte(out, '}');
}

static void write_stores(const struct query_context *context, struct buf *out)
{
    struct partition *partition = context->partition;
    struct stats *stats = partition->stats;
    json_open(out, "journal", '{');
    json_member_unsigned(out, "last", atomic_load(&partition->journal_seq));
    json_member_unsigned(out, "bytes", journal_bytes(partition->journal));
    json_member_unsigned(out, "commits", stats_get(&stats->commits));
    json_member_unsigned(out, "trimmed", stats_get(&stats->trimmed));
    buf_byte(out, '}');
    json_open(out, "state", '{');
    json_member_unsigned(out, "devices", state_device_count(context->state));
    json_member_unsigned(out, "bytes", state_bytes(context->state));
    json_member_unsigned(out, "changesBytes", state_changes_bytes(context->state));
    json_member_unsigned(out, "checkpoint", state_checkpoint_seq(context->state));
    json_member_unsigned(out, "checkpoints", stats_get(&stats->checkpoints));
    json_member_unsigned(out, "checkpointMs", stats_get(&stats->checkpoint_ms));
    json_member_unsigned(out, "deadLetters", state_dead_letter_count(context->state));
    json_member_unsigned(out, "deadLettersTrimmed", state_dead_letter_trimmed(context->state));
    json_member_boolean(out, "diskFull", atomic_load(&stats->disk_full));
    buf_byte(out, '}');
}

static bool answer_stats(struct ask *ask)
{
    struct stats *stats = ask->context->partition->stats;
    struct buf *out = ask->out;
    struct memory memory = memory_in_use();
    json_member_text(out, "version", TEXT(FWSYNC_VERSION));
    json_member_integer(out, "uptimeMs", clock_wall_ms() - stats->started_ms);
    write_event_counters(stats, out);
    write_traffic(stats, out);
    write_stores(ask->context, out);
    json_open(out, "results", '{');
    publisher_classes(ask->context->publisher, out);
    buf_byte(out, '}');
    json_open(out, "memory", '{');
    json_member_unsigned(out, "anonymous", memory.anonymous_bytes);
    json_member_unsigned(out, "file", memory.file_bytes);
    buf_byte(out, '}');
    return true;
}

const struct op op_stats = {"stats", {NULL}, answer_stats};

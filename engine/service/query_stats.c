/* query_stats.c - how is it: `stats` as JSON for people and scripts, `metrics` for a time series database.
 *
 * Both tell the same: the plain numbers of figures.c, and what has labels from here. */
#include "engine/service/ask.h"

#include <assert.h>
#include <stddef.h>

#include "engine/service/backup.h"
#include "engine/service/exposition.h"
#include "engine/service/figures.h"
#include "engine/service/fleet.h"

/* --- how long things take -------------------------------------------------------------------------------- */

static const struct latency {
    const char *member;
    const char *metric;
    const char *help;
    size_t offset; /* in the daemon's counters, or in each partition's */
    bool each;
} latencies[] = {
    {"ack", "fwsync_ack_seconds", "From reading a request with events to handing out its answer.",
     offsetof(struct stats, ack), false},
    {"commit", "fwsync_commit_seconds", "A commit of the journal, with its sync to disk.",
     offsetof(struct stats, commit), false},
    {"apply", "fwsync_apply_seconds", "Running the rules on a batch of events.", offsetof(struct partition, apply), true},
    {"query", "fwsync_query_seconds", "From reading a question to handing out its answer.",
     offsetof(struct stats, query), false},
};
enum { LATENCY_COUNT = sizeof latencies / sizeof latencies[0] };

static void read_at(void *counters, size_t offset, struct histogram_view *view)
{
    histogram_read((struct histogram *)((char *)counters + offset), view);
}

static void read_latency(const struct engine *engine, const struct latency *latency, struct histogram_view *view)
{
    if (!latency->each) {
        read_at(engine->stats, latency->offset, view);
        return;
    }
    read_at(&engine->partitions[0], latency->offset, view);
    for (unsigned i = 1; i < engine->partition_count; i++) {
        struct histogram_view more;
        read_at(&engine->partitions[i], latency->offset, &more);
        histogram_add_up(view, &more);
    }
}

static void latencies_json(const struct engine *engine, struct buf *out)
{
    json_open(out, "latency", '{');
    for (size_t i = 0; i < LATENCY_COUNT; i++) {
        struct histogram_view view;
        read_latency(engine, &latencies[i], &view);
        json_open(out, latencies[i].member, '{');
        json_member_unsigned(out, "count", view.count);
        buf_printf(out, ",\"p50Ms\":%.3f,\"p99Ms\":%.3f}", 1e3 * histogram_quantile(&view, 0.5),
                   1e3 * histogram_quantile(&view, 0.99));
    }
    buf_byte(out, '}');
}

static void latencies_text(const struct engine *engine, struct buf *out)
{
    for (size_t i = 0; i < LATENCY_COUNT; i++) {
        struct histogram_view view;
        read_latency(engine, &latencies[i], &view);
        exposition_histogram(out, latencies[i].metric, latencies[i].help, &view);
    }
}

/* --- verdicts: devices by value -------------------------------------------------------------------------- */

/* Of the indexes that a verdict is in; an index on anything else may have any number of values. */
static const char *const verdicts[] = {"fwSyncState", "fwStateIsSynced"};
enum { VERDICT_COUNT = sizeof verdicts / sizeof verdicts[0], VERDICT_VALUES_MAX = 32, INDEX_VALUES_MAX = 100 };

/* Visits each verdict that is indexed, with its most VERDICT_VALUES_MAX first values. */
static bool each_verdict(struct ask *ask, struct buf *out,
                         void (*visit)(struct buf *out, struct arena *arena, const char *name,
                                       const struct value_count *values, size_t count))
{
    struct arena *arena = &ask->query->arena;
    for (size_t i = 0; i < VERDICT_COUNT; i++) {
        struct asked_index index = {.given = true};
        size_t count;
        struct value_count *values;
        struct text next;
        if (!state_index_find(ask->context->state, SCOPE_SERVER, text_of(verdicts[i]), &index.index))
            continue;
        if (!fleet_values(ask, &index, TEXT(""), VERDICT_VALUES_MAX, &values, &count, &next))
            return false;
        visit(out, arena, verdicts[i], values, count);
    }
    return true;
}

static void verdict_json(struct buf *out, struct arena *arena, const char *name,
                         const struct value_count *values, size_t count)
{
    (void)arena;
    json_open(out, name, '[');
    for (size_t i = 0; i < count; i++) {
        json_comma(out);
        buf_byte(out, '{');
        json_key(out, "value");
        json_value(out, &values[i].value);
        json_member_unsigned(out, "count", values[i].count);
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

/* A label is text: true and "true" are one series there. */
static void series(struct buf *out, struct arena *arena, const char *metric, struct label of,
                   const struct value_count *values, size_t count)
{
    struct text texts[INDEX_VALUES_MAX];
    uint64_t counts[INDEX_VALUES_MAX];
    size_t text_count = 0;
    assert(count <= INDEX_VALUES_MAX);
    for (size_t i = 0; i < count; i++) {
        struct text text = value_text(&values[i].value, arena);
        size_t at = 0;
        while (at < text_count && !text_equal(texts[at], text))
            at++;
        texts[at] = text;
        counts[at] = values[i].count + (at < text_count ? counts[at] : 0);
        text_count += at == text_count;
    }
    for (size_t i = 0; i < text_count; i++) {
        struct label labels[] = {of, {"value", texts[i]}};
        exposition_count(out, metric, labels, 2, counts[i]);
    }
}

static void verdict_text(struct buf *out, struct arena *arena, const char *name,
                         const struct value_count *values, size_t count)
{
    series(out, arena, "fwsync_verdict_devices", (struct label){"attribute", text_of(name)}, values, count);
}

/* Of each index: how many run v1.2? One with many values would drown the others, and has no series. */
static bool indexes_text(struct ask *ask, struct buf *out)
{
    const struct settings *settings = ask->context->partition->engine->settings;
    struct arena *arena = &ask->query->arena;
    for (size_t i = 0; i < settings->index_count; i++) {
        const struct index_key *key = &settings->indexes[i];
        struct asked_index index = {.given = true};
        size_t count;
        struct value_count *values;
        struct text next;
        if (!state_index_find(ask->context->state, key->scope, key->key, &index.index))
            continue;
        if (!fleet_values(ask, &index, TEXT(""), INDEX_VALUES_MAX, &values, &count, &next))
            return false;
        struct text name = arena_format(arena, "%s." TEXT_FMT, scope_short(key->scope), TEXT_ARG(key->key));
        if (next.len == 0)
            series(out, arena, "fwsync_index_devices", (struct label){"index", name}, values, count);
    }
    return true;
}

/* --- results: numbers by class --------------------------------------------------------------------------- */

static void class_json(void *out, struct text name, uint64_t number)
{
    json_key_text(out, name);
    buf_unsigned(out, number);
}

static void class_text(void *out, struct text name, uint64_t number)
{
    struct label label = {"class", name};
    exposition_count(out, "fwsync_results_total", &label, 1, number);
}

/* --- backups --------------------------------------------------------------------------------------------- */

static void backup_json(const struct backup *backup, struct buf *out)
{
    struct backup_progress progress = backup_progress(backup);
    json_open(out, "backup", '{');
    json_member_boolean(out, "running", progress.running);
    json_member_text(out, "dir", progress.dir);
    json_member_unsigned(out, "bytesDone", progress.bytes_done);
    json_member_unsigned(out, "bytesTotal", progress.bytes_total);
    json_member_integer(out, "finished", progress.finished_ms);
    buf_byte(out, '}');
}

static void backup_text(const struct backup *backup, struct buf *out)
{
    struct backup_progress progress = backup_progress(backup);
    exposition_family(out, "fwsync_backup_running", "gauge", "1 while a backup is being made.");
    exposition_count(out, "fwsync_backup_running", NULL, 0, progress.running);
    exposition_family(out, "fwsync_backup_finished_timestamp_seconds", "gauge",
                      "When the last backup since the start was finished; 0 when there was none.");
    exposition_number(out, "fwsync_backup_finished_timestamp_seconds", (double)progress.finished_ms / 1e3);
}

/* --- the two questions ----------------------------------------------------------------------------------- */

static bool answer_stats(struct ask *ask)
{
    struct figures figures;
    struct buf *out = ask->out;
    figures_take(ask->context, &figures);
    json_member_text(out, "version", TEXT(FWSYNC_VERSION));
    figures_json(&figures, out);
    json_open(out, "results", '{');
    fleet_each_class(ask->context, class_json, out);
    buf_byte(out, '}');
    json_open(out, "verdicts", '{');
    if (!each_verdict(ask, out, verdict_json))
        return false;
    buf_byte(out, '}');
    latencies_json(ask->context->partition->engine, out);
    backup_json(ask->context->partition->engine->backup, out);
    return true;
}

const struct op op_stats = {"stats", {NULL}, answer_stats, OP_NEEDS_ALL};

static bool answer_metrics(struct ask *ask)
{
    struct figures figures;
    struct buf text = {.arena = &ask->query->arena};
    struct label version = {"version", TEXT(FWSYNC_VERSION)};
    figures_take(ask->context, &figures);
    exposition_family(&text, "fwsync_info", "gauge", "The daemon's version; always 1.");
    exposition_count(&text, "fwsync_info", &version, 1, 1);
    figures_text(&figures, &text);
    exposition_family(&text, "fwsync_results_total", "counter",
                      "Results by class, over the data folder's life, whether or not anybody listens.");
    fleet_each_class(ask->context, class_text, &text);
    exposition_family(&text, "fwsync_verdict_devices", "gauge", "Devices by the value of a verdict.");
    if (!each_verdict(ask, &text, verdict_text))
        return false;
    exposition_family(&text, "fwsync_index_devices", "gauge",
                      "Devices by the value of an indexed attribute, of indexes with at most 100 values.");
    if (!indexes_text(ask, &text))
        return false;
    latencies_text(ask->context->partition->engine, &text);
    backup_text(ask->context->partition->engine->backup, &text);
    json_member_text(ask->out, "text", buf_text(&text));
    return true;
}

const struct op op_metrics = {"metrics", {NULL}, answer_metrics, OP_NEEDS_ALL};

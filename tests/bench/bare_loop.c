/* bare_loop - the bench's work on our own libraries with nothing around it: the limit that we
 * measure ourselves against.
 *
 *     bare_loop FOLDER DEVICES EVENTS [BATCH]        FOLDER must not exist; it stays
 *
 * One thread, no rules, no doors. For each batch: every event is parsed with cJSON and its line
 * appended to a journal, which is committed; then every event gets its device's state and puts the
 * new one, in a transaction of a second environment that is committed once a second. The events are
 * there: the time to make them up is not counted.
 *
 * A batch of 100 would measure the disk. 2000 is about what fwsync commits at once under load,
 * where it takes all that came while the last commit ran.
 *
 * Prints one line of JSON: acked_per_s, and results, which is how many verdicts changed. */
#include <assert.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "engine/base/clock.h"
#include "tests/bench/fail.h"
#include "tests/bench/workload.h"

enum {
    BATCH = 2000,
    BATCH_MAX = 100000,
    DIRTY_PAGES_MAX = 90000, /* LMDB keeps a list of at most 131,071 in a transaction */
    PATH_BYTES = 4096,
    CHECKPOINT_NS = 1000000000,
};
static const size_t map_bytes = (size_t)64 << 30;

/* A device as it is stored. */
struct record {
    char current[8];
    char target[8];
    bool is_synced;
};

/* A parsed event; both borrowed from `json`. */
struct event {
    cJSON *json;
    const char *device;
    const char *version;
};

struct loop {
    MDB_env *journal, *state;
    MDB_dbi lines, devices;
    uint64_t seq;
    MDB_txn *txn; /* of the state: open all the time */
    int64_t checkpoint_ns;
    uint64_t puts; /* since then */
    uint64_t results;
    struct buf text; /* the lines of a batch, one after the other */
    size_t ends[BATCH_MAX];
    struct event events[BATCH_MAX];
};

static void need(const char *what, int rc)
{
    if (rc != 0)
        fail("%s: %s", what, mdb_strerror(rc));
}

static MDB_env *open_environment(const char *folder, const char *name, unsigned flags, MDB_dbi *dbi)
{
    char path[PATH_BYTES];
    MDB_env *env;
    MDB_txn *txn;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    need(path, mkdir(path, 0750) == 0 ? 0 : errno);
    need("create", mdb_env_create(&env));
    need("map", mdb_env_set_mapsize(env, map_bytes));
    need("open", mdb_env_open(env, path, 0, 0640));
    need("begin", mdb_txn_begin(env, NULL, 0, &txn));
    need("table", mdb_dbi_open(txn, NULL, flags, dbi));
    need("commit", mdb_txn_commit(txn));
    return env;
}

static MDB_val value_of(const void *bytes, size_t len)
{
    return (MDB_val){len, (void *)(uintptr_t)bytes};
}

/* --- a batch's four steps --- */

static void make_up(struct loop *loop, struct workload *load, size_t count)
{
    buf_clear(&loop->text);
    for (size_t i = 0; i < count; i++) {
        workload_event(load, &loop->text);
        loop->ends[i] = loop->text.len;
    }
}

static struct text line_of(const struct loop *loop, size_t i)
{
    const size_t start = i == 0 ? 0 : loop->ends[i - 1];
    return (struct text){loop->text.bytes + start, loop->ends[i] - start};
}

static void parse(struct loop *loop, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct text line = line_of(loop, i);
        cJSON *json = cJSON_ParseWithLength(line.bytes, line.len);
        cJSON *data = cJSON_GetObjectItemCaseSensitive(json, "data");
        loop->events[i] = (struct event){
            .json = json,
            .device = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "device")),
            .version = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(data, "currentFwVer")),
        };
        assert(loop->events[i].device != NULL && loop->events[i].version != NULL);
    }
}

static void journal(struct loop *loop, size_t count)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    need("begin", mdb_txn_begin(loop->journal, NULL, 0, &txn));
    need("cursor", mdb_cursor_open(txn, loop->lines, &cursor));
    for (size_t i = 0; i < count; i++) {
        struct text line = line_of(loop, i);
        loop->seq++;
        MDB_val key = value_of(&loop->seq, sizeof loop->seq),
                value = value_of(line.bytes, line.len);
        need("append", mdb_cursor_put(cursor, &key, &value, MDB_APPEND));
    }
    mdb_cursor_close(cursor);
    need("commit", mdb_txn_commit(txn));
}

static void apply(struct loop *loop, const struct event *event)
{
    MDB_val key = value_of(event->device, strlen(event->device)), value;
    struct record record;
    need("get", mdb_get(loop->txn, loop->devices, &key, &value));
    assert(value.mv_size == sizeof record && strlen(event->version) < sizeof record.current);
    memcpy(&record, value.mv_data, sizeof record);
    memcpy(record.current, event->version, strlen(event->version) + 1);
    const bool is_synced = strcmp(record.current, record.target) == 0;
    loop->results += is_synced != record.is_synced;
    record.is_synced = is_synced;
    value = value_of(&record, sizeof record);
    need("put", mdb_put(loop->txn, loop->devices, &key, &value, 0));
    loop->puts++;
}

/* --- the state's transaction --- */

/* A put changes one leaf, so there are never more changed pages than this. */
static uint64_t dirty_pages_bound(struct loop *loop)
{
    MDB_stat stat;
    need("stat", mdb_stat(loop->txn, loop->devices, &stat));
    return stat.ms_branch_pages +
           (loop->puts < stat.ms_leaf_pages ? loop->puts : stat.ms_leaf_pages);
}

static void commit_state(struct loop *loop)
{
    need("checkpoint", mdb_txn_commit(loop->txn));
    need("begin", mdb_txn_begin(loop->state, NULL, 0, &loop->txn));
    loop->checkpoint_ns = clock_monotonic_ns();
    loop->puts = 0;
}

static void commit_state_when_due(struct loop *loop)
{
    if (clock_monotonic_ns() - loop->checkpoint_ns >= CHECKPOINT_NS ||
        dirty_pages_bound(loop) >= DIRTY_PAGES_MAX)
        commit_state(loop);
}

/* --- the run --- */

static void prepare_fleet(struct loop *loop, uint64_t device_count)
{
    struct workload reports = {WORK_REPORTS, device_count, .random = 1};
    struct workload targets = {WORK_TARGETS, device_count, .random = 1};
    need("begin", mdb_txn_begin(loop->state, NULL, 0, &loop->txn));
    for (uint64_t i = 0; i < device_count; i++) {
        struct report report = workload_next(&reports), target = workload_next(&targets);
        struct record record = {.is_synced = strcmp(report.value, target.value) == 0};
        memcpy(record.current, report.value, sizeof record.current);
        memcpy(record.target, target.value, sizeof record.target);
        MDB_val key = value_of(report.name, strlen(report.name));
        MDB_val value = value_of(&record, sizeof record);
        need("put", mdb_put(loop->txn, loop->devices, &key, &value, 0));
        if (++loop->puts % DIRTY_PAGES_MAX == 0)
            commit_state(loop);
    }
    commit_state(loop);
}

static void run_batch(struct loop *loop, size_t count)
{
    parse(loop, count);
    journal(loop, count);
    for (size_t i = 0; i < count; i++)
        apply(loop, &loop->events[i]);
    for (size_t i = 0; i < count; i++)
        cJSON_Delete(loop->events[i].json);
    commit_state_when_due(loop);
}

/* Nanoseconds for all events, from the first line to all of it on disk. */
static int64_t run(struct loop *loop, struct workload *load, uint64_t event_count, size_t batch)
{
    int64_t took_ns = 0;
    for (uint64_t left = event_count; left > 0;) {
        const size_t count = left < batch ? (size_t)left : batch;
        make_up(loop, load, count);
        const int64_t start_ns = clock_monotonic_ns();
        run_batch(loop, count);
        left -= count;
        if (left == 0)
            commit_state(loop);
        took_ns += clock_monotonic_ns() - start_ns;
    }
    return took_ns;
}

int main(int argc, char **argv)
{
    static struct loop loop;
    const uint64_t device_count = argc >= 4 ? strtoull(argv[2], NULL, 10) : 0;
    const uint64_t event_count = argc >= 4 ? strtoull(argv[3], NULL, 10) : 0;
    const size_t batch = argc == 5 ? strtoull(argv[4], NULL, 10) : BATCH;
    if (argc > 5 || device_count == 0 || event_count == 0 || batch < 1 || batch > BATCH_MAX) {
        fprintf(stderr, "usage: bare_loop FOLDER DEVICES EVENTS [BATCH]\nBATCH: 1..%d\n",
                BATCH_MAX);
        return 2;
    }
    need(argv[1], mkdir(argv[1], 0750) == 0 ? 0 : errno);
    loop.journal = open_environment(argv[1], "journal", MDB_INTEGERKEY, &loop.lines);
    loop.state = open_environment(argv[1], "state", 0, &loop.devices);
    prepare_fleet(&loop, device_count);
    struct workload load = {WORK_CHANGING, device_count, .random = 88172645463325252u};
    const int64_t took_ns = run(&loop, &load, event_count, batch);
    printf("{\"acked_per_s\":%.0f,\"results\":%" PRIu64 "}\n",
           (double)event_count * 1e9 / (double)took_ns, loop.results);
    mdb_txn_abort(loop.txn);
    mdb_env_close(loop.state);
    mdb_env_close(loop.journal);
    buf_fini(&loop.text);
    return 0;
}

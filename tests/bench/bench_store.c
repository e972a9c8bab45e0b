/* bench_store - the store alone, on one thread: what is the room that it leaves for everything
 * else?
 *
 *     bench_store [DEVICES [EVENTS [DIRTY_PAGES [DIR]]]]
 *     default 100000, 1000000, 30000, a new folder below /tmp
 *
 * state    random devices report one of 8 versions; the compare result is saved beside it: two puts
 * and up to two moves in an index per event; a checkpoint each second or at DIRTY_PAGES unchanged
 * every device reports what it reported before: only last-seen times change journal  events of 131
 * bytes in commits of 100 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "store/journal.h"
#include "store/state.h"
#include "tests/unit/temp_dir.h"

enum { BATCH_COUNT = 100, BODY_BYTES = 131, NANOSECONDS = 1000000000 };

static struct err err;
static size_t changes_max = 16 << 20;

static void need(bool done)
{
    if (done)
        return;
    fprintf(stderr, "bench_store: %s\n", err.text);
    exit(1);
}

static uint64_t random_next(void)
{
    static uint64_t x = 88172645463325252u;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

static void print_memory(void)
{
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, "RssAnon", 7) == 0)
            printf("    %s", line);
    if (status != NULL)
        fclose(status);
}

struct run {
    struct state *state;
    uint64_t seq;
    int64_t checkpoint_ns;
    unsigned checkpoints;
};

static void one_event(struct run *run, uint64_t device_number, uint64_t value)
{
    char name[32], version[16];
    struct device *device;
    struct attribute target;
    bool changed, found;
    int64_t now_ms = 1732147200000 + (int64_t)run->seq;
    int name_len = snprintf(name, sizeof name, "device-%07" PRIu64, device_number);
    int version_len = snprintf(version, sizeof version, "v1.%" PRIu64 ".0", value);
    struct text current = {version, (size_t)version_len};
    struct value reported = value_string(current);
    run->seq++;
    need(state_device_open(run->state, (struct text){name, (size_t)name_len}, TEXT("ESP32"), now_ms,
                           now_ms, &device, &err));
    need(device_put(device, SCOPE_CLIENT, TEXT("currentFwVer"), &reported, now_ms, run->seq,
                    &changed, &err));
    need(device_get(device, SCOPE_SERVER, TEXT("lastTargetFwVer"), &target, &found, &err));
    struct value target_value = value_string(TEXT("v1.3.0"));
    if (!found)
        need(device_put(device, SCOPE_SERVER, TEXT("lastTargetFwVer"), &target_value, now_ms,
                        run->seq, &changed, &err));
    struct value synced = value_boolean(text_equal(current, target_value.text));
    need(device_put(device, SCOPE_SERVER, TEXT("fwStateIsSynced"), &synced, now_ms, run->seq,
                    &changed, &err));
    need(state_device_save(run->state, device, &err));
    state_set_applied_seq(run->state, run->seq);
}

static void maybe_checkpoint(struct run *run)
{
    bool much = state_changes_bytes(run->state) >= changes_max;
    if (state_checkpoint_running(run->state)) {
        if (!much && !state_checkpoint_over(run->state))
            return;
        need(state_checkpoint_end(run->state, &err));
    }
    int64_t now = clock_monotonic_ns();
    if (!much && now - run->checkpoint_ns < NANOSECONDS)
        return;
    state_checkpoint_begin(run->state);
    run->checkpoint_ns = now;
    run->checkpoints++;
}

static void measure(const char *what, struct run *run, uint64_t devices, uint64_t events,
                    uint64_t (*device_of)(uint64_t i, uint64_t devices), bool vary)
{
    int64_t start = run->checkpoint_ns = clock_monotonic_ns();
    run->checkpoints = 0;
    for (uint64_t i = 0; i < events; i++) {
        uint64_t device = device_of(i, devices);
        one_event(run, device, vary ? random_next() % 8 : device % 8);
        if (i % BATCH_COUNT == 0)
            maybe_checkpoint(run);
    }
    need(state_checkpoint(run->state, &err));
    double seconds = (double)(clock_monotonic_ns() - start) / NANOSECONDS;
    printf("%-10s %9.0f events/s  (%.2f s, %u checkpoints, %" PRIu64 " MB in use)\n", what,
           (double)events / seconds, seconds, run->checkpoints, state_bytes(run->state) >> 20);
    print_memory();
}

static uint64_t in_order(uint64_t i, uint64_t devices)
{
    return i % devices;
}

static uint64_t at_random(uint64_t i, uint64_t devices)
{
    (void)i;
    return random_next() % devices;
}

static void bench_state(const char *dir, uint64_t devices, uint64_t events)
{
    const struct index_key indexes[] = {
        {SCOPE_SERVER, TEXT("fwStateIsSynced")},
        {SCOPE_CLIENT, TEXT("currentFwVer")},
        {SCOPE_SERVER, TEXT("lastTargetFwVer")},
    };
    struct state_options options = {UINT64_C(64) << 30, indexes, 3, 0};
    struct run run = {.seq = 0};
    char path[4096];
    snprintf(path, sizeof path, "%s/state", dir);
    need(state_open(path, &options, &run.state, &err));
    measure("new", &run, devices, devices, in_order, false);
    measure("unchanged", &run, devices, devices, in_order, false);
    measure("random", &run, devices, events, at_random, true);
    state_close(run.state);
    int64_t start = clock_monotonic_ns();
    need(state_open(path, &options, &run.state, &err));
    printf("reopened in %.3f s\n", (double)(clock_monotonic_ns() - start) / NANOSECONDS);
    print_memory();
    state_close(run.state);
}

static void bench_journal(const char *dir, uint64_t events)
{
    struct journal *journal;
    char path[4096], body[BODY_BYTES];
    bool duplicate;
    memset(body, 'x', sizeof body);
    snprintf(path, sizeof path, "%s/journal", dir);
    need(journal_open(path, 32 << 20, &journal, &err));
    int64_t start = clock_monotonic_ns();
    for (uint64_t i = 0; i < events; i++) {
        if (i % BATCH_COUNT == 0)
            journal_begin(journal);
        need(journal_source(journal, TEXT("line-1"), i + 1, &duplicate, &err));
        journal_append(journal, JOURNAL_EVENT, (int64_t)i, (struct text){body, sizeof body});
        if (i % BATCH_COUNT == BATCH_COUNT - 1 || i == events - 1)
            need(journal_commit(journal, &err));
    }
    double seconds = (double)(clock_monotonic_ns() - start) / NANOSECONDS;
    printf("%-10s %9.0f events/s  (%.2f s, commits of %d, %" PRIu64 " MB in use)\n", "journal",
           (double)events / seconds, seconds, BATCH_COUNT, journal_bytes(journal) >> 20);
    journal_close(journal);
}

static void remove_store(const char *dir, const char *store)
{
    char *path;
    if (asprintf(&path, "%s/%s", dir, store) > 0)
        temp_dir_remove(path);
}

int main(int argc, char **argv)
{
    uint64_t devices = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    uint64_t events = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    char temporary[] = "/tmp/fwsync-bench-XXXXXX";
    if (argc > 3)
        changes_max = strtoull(argv[3], NULL, 10) << 20;
    const char *dir = argc > 4 ? argv[4] : mkdtemp(temporary);
    if (dir == NULL)
        perror("bench_store: mkdtemp");
    if (dir == NULL || devices == 0) {
        fprintf(stderr, "usage: bench_store [DEVICES [EVENTS [DIRTY_PAGES [DIR]]]]\n");
        return 2;
    }
    printf("%" PRIu64 " devices, %" PRIu64 " events\n", devices, events);
    bench_state(dir, devices, events);
    bench_journal(dir, events);
    remove_store(dir, "state");
    remove_store(dir, "journal");
    rmdir(dir);
    return 0;
}

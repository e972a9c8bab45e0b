/* sample_path.c - the sample's events through the parts of the daemon that every event passes.
 *
 *     sample_path FOLDER RULES
 *
 * For counting instructions, not for time: budget.py runs this under callgrind, which counts only what
 * happens inside counted(). So everything is on one thread, with fixed events and times, and one part
 * after the other: the same program counts the same in every run.
 *
 * parse   requests of 100 lines become batches, as at the door
 * commit  the committer takes each batch into the journal, in a commit of its own
 * apply   the rules on the state, with a subscriber to `sync`, in batches
 * follow  the same with nobody who listens, and with a subscriber to each class, in batches: the difference is what a
 *         follower costs
 *
 * FOLDER has to be empty. RULES is a folder; with an empty one, it is the shipped rules, and only what they do
 * is counted. Prints a line per counted part, in the order in which they ran: its name and its
 * number of events. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/service/batch.h"
#include "engine/service/committer.h"
#include "engine/service/step.h"
#include "tests/bench/workload.h"

enum { BATCH_COUNT = 20, BATCH_EVENTS = 100, EVENT_COUNT = BATCH_COUNT * BATCH_EVENTS };
enum { ARENA_BYTES = 256 * 1024, PATH_BYTES = 4096 };

static const int64_t received_ms = 1732147200000; /* of every event */

struct path {
    bool shipped; /* the rules are; else the sample's */
    struct settings settings;
    struct stats stats;
    struct queue *door_queue;
    struct engine engine;
    struct partition partition;
    struct step step;
    struct arena scratch;
    struct workload load;
    struct buf bodies[BATCH_COUNT]; /* of the requests of this pass */
    struct batch *batches[BATCH_COUNT];
    size_t results_bytes; /* written since the pass began */
};

static struct err failure;

static void need(bool done)
{
    if (done)
        return;
    fprintf(stderr, "sample_path: %s\n", failure.text);
    exit(1);
}

/* --- parse ------------------------------------------------------------------------------------------- */

/* As they would come from the socket. */
static void write_bodies(struct path *path)
{
    for (size_t i = 0; i < BATCH_COUNT; i++) {
        buf_clear(&path->bodies[i]);
        for (size_t j = 0; j < BATCH_EVENTS; j++)
            workload_event(&path->load, &path->bodies[i]);
    }
}

static void parse(struct path *path)
{
    struct text frames[] = {TEXT("id"), TEXT("")};
    struct envelope envelope = {.frames = frames, .frame_count = 2};
    for (size_t i = 0; i < BATCH_COUNT; i++) {
        struct batch *batch = path->batches[i];
        batch->received_ms = received_ms;
        batch_add(batch, envelope, buf_text(&path->bodies[i]), &path->scratch);
        assert(batch->event_count == BATCH_EVENTS);
    }
}

/* --- commit ------------------------------------------------------------------------------------------ */

/* The committer runs until a stop, and passes that on behind the batch. */
static void commit_batch(struct engine *engine, struct batch *batch)
{
    queue_push(engine->commit_queue, &batch->shared.work);
    engine_stop_begin(engine);
    committer_run(engine);
    struct work *taken = queue_take(engine_lead(engine)->apply_queue, 0);
    struct work *answered = queue_take(engine->door_queue, 0);
    assert(taken == &batch->shared.work && taken->next->kind == WORK_STOP);
    free(taken->next);
    assert(answered != NULL && answered->kind == WORK_ACKS);
    batch_pair(batch, (struct acks *)answered);
}

static void commit(struct path *path)
{
    for (size_t i = 0; i < BATCH_COUNT; i++)
        commit_batch(&path->engine, path->batches[i]);
}

/* --- apply ------------------------------------------------------------------------------------------- */

static void apply_one(struct path *path, const struct batch_event *item)
{
    unsigned dead_letters;
    need(step_event(&path->step, &item->event, item->line, item->seq, received_ms, &dead_letters,
                    &failure));
    assert(dead_letters == 0);
}

static void apply(struct path *path)
{
    for (size_t i = 0; i < BATCH_COUNT; i++) {
        struct batch *batch = path->batches[i];
        for (size_t j = 0; j < batch->event_count; j++)
            apply_one(path, &batch->events[j]);
        for (struct results *results; (results = publisher_take(path->step.publisher)) != NULL;) {
            path->results_bytes += results->bytes.len;
            results_done(results);
        }
    }
}

/* --- passes ------------------------------------------------------------------------------------------ */

/* What budget.py tells callgrind to count. Reads the path after the step, so that the call of the step
 * isn't this function's end. */
static __attribute__((noinline, used)) size_t counted(void (*step)(struct path *), struct path *path)
{
    step(path);
    size_t event_count = 0;
    for (size_t i = 0; i < BATCH_COUNT; i++)
        event_count += path->batches[i]->event_count;
    return event_count;
}

static void start_pass(struct path *path, const char *work)
{
    bool known = workload_named(work, &path->load.work);
    assert(known);
    path->load.count = 0;
    path->results_bytes = 0;
    write_bodies(path);
}

static void end_pass(struct path *path)
{
    for (size_t i = 0; i < BATCH_COUNT; i++) {
        batch_clear(path->batches[i]);
        acks_clear(path->batches[i]->acks);
    }
}

static void pass(struct path *path, const char *work)
{
    start_pass(path, work);
    parse(path);
    commit(path);
    apply(path);
    end_pass(path);
}

/* A pass before it warms up: arenas, pages, and the first call of each function. */
static void warm_pass(struct path *path, const char *work)
{
    pass(path, work);
    start_pass(path, work);
    if (path->shipped) {
        parse(path);
        commit(path);
        printf("shipped-%s %zu\n", work, counted(apply, path));
    } else {
        printf("parse-%s %zu\n", work, counted(parse, path));
        printf("commit-%s %zu\n", work, counted(commit, path));
        printf("apply-%s %zu\n", work, counted(apply, path));
    }
    end_pass(path);
}

static void subscribe(struct path *path, const char *topic, bool on)
{
    subscriptions_change(path->engine.subscriptions, text_of(topic), on);
}

/* topic  NULL: nobody listens */
static void follow_pass(struct path *path, const char *name, const char *topic)
{
    if (topic != NULL)
        subscribe(path, topic, true);
    pass(path, "changing");
    start_pass(path, "changing");
    parse(path);
    commit(path);
    printf("follow-%s%s %zu\n", path->shipped ? "shipped-" : "", name, counted(apply, path));
    assert((path->results_bytes > 0) == (topic != NULL));
    end_pass(path);
    if (topic != NULL)
        subscribe(path, topic, false);
}

/* --- life -------------------------------------------------------------------------------------------- */

static const char *below(char path[PATH_BYTES], const char *folder, const char *name)
{
    int len = snprintf(path, PATH_BYTES, "%s/%s", folder, name);
    assert(len > 0 && len < PATH_BYTES);
    return path;
}

static void open_stores(struct path *path, const char *folder)
{
    char dir[PATH_BYTES];
    const struct settings *settings = &path->settings;
    struct state_options options = {
        .map_bytes = UINT64_C(1) << 30,
        .indexes = settings->indexes,
        .index_count = settings->index_count,
    };
    need(journal_open(below(dir, folder, "journal"), 32 << 20, &path->engine.journal, &failure));
    need(state_open(below(dir, folder, "state"), &options, &path->step.state, &failure));
}

static void load_rules(struct path *path, const char *rules)
{
    struct problems problems;
    problems_init(&problems);
    path->step.ruleset =
        path->shipped ? ruleset_load_shipped(&problems) : ruleset_load_dir(rules, &problems);
    assert(path->step.ruleset != NULL);
    problems_fini(&problems);
    need(publisher_rules(path->step.publisher, path->step.ruleset, &failure));
}

static void path_open(struct path *path, const char *folder, const char *rules)
{
    *path = (struct path){.shipped = rules[0] == '\0',
                          .load = {.device_count = EVENT_COUNT, .random = 88172645463325252u}};
    settings_init(&path->settings);
    path->engine = (struct engine){
        .settings = &path->settings,
        .stats = &path->stats,
        .subscriptions = subscriptions_create(),
        .door_queue = queue_create(),
        .commit_queue = queue_create(),
        .partitions = &path->partition,
        .partition_count = 1,
        .order = PTHREAD_MUTEX_INITIALIZER,
    };
    path->partition = (struct partition){
        .engine = &path->engine,
        .apply_queue = queue_create(),
        .results_home = queue_create(),
    };
    step_init(&path->step);
    open_stores(path, folder);
    subscribe(path, "batch/sync", true);
    path->step.publisher = publisher_create(path->step.state, path->engine.subscriptions, 100);
    publisher_home(path->step.publisher, path->partition.results_home);
    load_rules(path, rules);
    arena_init(&path->scratch, ARENA_BYTES);
    for (size_t i = 0; i < BATCH_COUNT; i++)
        path->batches[i] = batch_create();
}

static void path_close(struct path *path)
{
    for (size_t i = 0; i < BATCH_COUNT; i++)
        batch_destroy(path->batches[i]);
    for (size_t i = 0; i < BATCH_COUNT; i++)
        buf_fini(&path->bodies[i]);
    step_fini(&path->step);
    arena_fini(&path->scratch);
    publisher_destroy(path->step.publisher);
    ruleset_destroy(path->step.ruleset);
    state_close(path->step.state);
    journal_close(path->engine.journal);
    results_destroy_all(queue_take(path->partition.results_home, 0));
    queue_destroy(path->partition.results_home);
    queue_destroy(path->partition.apply_queue);
    queue_destroy(path->engine.commit_queue);
    queue_destroy(path->engine.door_queue);
    subscriptions_destroy(path->engine.subscriptions);
    settings_fini(&path->settings);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: sample_path FOLDER RULES\n");
        return 2;
    }
    static struct path path;
    path_open(&path, argv[1], argv[2]);
    pass(&path, "targets");
    pass(&path, "reports");
    assert(state_device_count(path.step.state) == EVENT_COUNT);
    warm_pass(&path, "unchanged");
    assert(path.results_bytes == 0);
    warm_pass(&path, "changing");
    assert(path.results_bytes > 0);
    subscribe(&path, "batch/sync", false);
    pass(&path, "changing");
    follow_pass(&path, "nobody", NULL);
    follow_pass(&path, "attributes", "batch/attributes");
    follow_pass(&path, "sync", "batch/sync");
    path_close(&path);
    return 0;
}

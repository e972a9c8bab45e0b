/* bench.c - the sample's rules, or the shipped ones, under load: the real daemon, its real doors, fsync on.
 *
 *     bench DAEMON FOLDER [KEY=VALUE...]
 *
 * Starts the daemon on FOLDER, gives every device a target and has it report once (unless prepare=no
 * says that FOLDER holds such a fleet), then measures one kind of work (workload.h). Prints a few lines, or
 * one line of JSON with everything. Timing never fails a run; a wrong answer does. run.py makes a table
 * of many. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/fail.h"
#include "tests/bench/load.h"

enum { SETTINGS_MAX = 32, PAIRS_MAX = 100, PREPARE_BATCH = 100, PREPARE_WINDOW = 64 };

struct options {
    const char *work_name;
    struct demand demand;
    uint32_t clients;
    const char *subscribe; /* NULL: nobody */
    uint32_t pair_count;   /* of runs without the subscriber and with it; 0: one run */
    bool prepare;
    bool json;
    const char *settings[SETTINGS_MAX];
    size_t setting_count;
};

static _Noreturn void usage(void)
{
    fputs("usage: bench DAEMON FOLDER [KEY=VALUE...]\n"
          "  work=changing|unchanged|campaign|telemetry\n"
          "  devices=N events=N      events=0 only prepares, and asks\n"
          "  batch=N                 events in a request\n"
          "  window=N                requests under way\n"
          "  clients=N               connections to spread them over\n"
          "  rate=N                  events each second; 0: as fast as the window lets\n"
          "  subscribe=PREFIX        a subscriber to these topics: sync/, batch/sync\n"
          "  pairs=N                 of runs without the subscriber and with it, odd; the middle one counts\n"
          "  ask=device|page|count   questions at the same time\n"
          "  ask-rate=N              questions each second; 0: one after the other\n"
          "  asks=N                  at least so many\n"
          "  prepare=yes|no          make the fleet first\n"
          "  seed=N                  of the random devices and versions\n"
          "  rules=FOLDER            tests/bench/rules if not given; empty: the shipped ones\n"
          "  setting=--NAME=VALUE    for the daemon, any number of times\n"
          "  format=row|json\n",
          stderr);
    exit(2);
}

/* --- options ------------------------------------------------------------------------------------- */

static uint64_t number(const char *value, uint64_t least, uint64_t most)
{
    char *end;
    errno = 0;
    uint64_t result = strtoull(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || result < least || result > most)
        fail("%s: expected a number from %" PRIu64 " to %" PRIu64, value, least, most);
    return result;
}

static bool either(const char *value, const char *yes, const char *no)
{
    if (strcmp(value, yes) != 0 && strcmp(value, no) != 0)
        fail("%s: expected %s or %s", value, yes, no);
    return strcmp(value, yes) == 0;
}

static void add_setting(struct options *options, const char *setting)
{
    if (options->setting_count == SETTINGS_MAX)
        fail("more than %d settings", SETTINGS_MAX);
    options->settings[options->setting_count++] = setting;
}

/* In place of the default ones. */
static void set_rules(struct options *options, const char *folder)
{
    static char setting[4096];
    snprintf(setting, sizeof setting, "--rules=%s", folder);
    options->settings[0] = setting;
}

static bool is(const char *option, size_t key_len, const char *key)
{
    return key_len == strlen(key) && memcmp(option, key, key_len) == 0;
}

static void read_option(struct options *options, const char *option)
{
    struct demand *demand = &options->demand;
    size_t key_len = strcspn(option, "=");
    if (option[key_len] == '\0')
        usage();
    const char *value = option + key_len + 1;
    if (is(option, key_len, "work")) {
        if (!workload_named(value, &demand->work))
            usage();
        options->work_name = value;
    } else if (is(option, key_len, "ask")) {
        if (!asker_kind_named(value, &demand->ask))
            usage();
    } else if (is(option, key_len, "ask-rate"))
        demand->ask_rate = (double)number(value, 0, 1000000);
    else if (is(option, key_len, "asks"))
        demand->ask_count = number(value, 0, 100000000);
    else if (is(option, key_len, "devices"))
        demand->device_count = number(value, 1, 100000000);
    else if (is(option, key_len, "events"))
        demand->event_count = number(value, 0, 1000000000);
    else if (is(option, key_len, "batch"))
        demand->batch = (uint32_t)number(value, 1, 5000);
    else if (is(option, key_len, "window"))
        demand->window = (uint32_t)number(value, 1, WINDOW_MAX);
    else if (is(option, key_len, "clients"))
        options->clients = (uint32_t)number(value, 1, CLIENTS_MAX);
    else if (is(option, key_len, "rate"))
        demand->rate = (double)number(value, 0, 100000000);
    else if (is(option, key_len, "seed"))
        demand->seed = number(value, 0, UINT32_MAX);
    else if (is(option, key_len, "subscribe"))
        options->subscribe = value;
    else if (is(option, key_len, "pairs"))
        options->pair_count = (uint32_t)number(value, 0, PAIRS_MAX);
    else if (is(option, key_len, "prepare"))
        options->prepare = either(value, "yes", "no");
    else if (is(option, key_len, "format"))
        options->json = either(value, "json", "row");
    else if (is(option, key_len, "rules"))
        set_rules(options, value);
    else if (is(option, key_len, "setting"))
        add_setting(options, value);
    else
        usage();
}

/* What a run came to; and what the daemon took in the run beside it, where there was no subscriber. */
struct pair {
    struct cpu alone_cpu;
    struct outcome outcome;
};

/* In the order of how much more the daemon took with the subscriber. */
struct pairs {
    struct pair items[PAIRS_MAX];
    uint32_t count; /* a single run is a pair without the other one */
};

static double more_percent(const struct pair *pair)
{
    return 100 * (pair->outcome.daemon_cpu.all_s / pair->alone_cpu.all_s - 1);
}

/* --- output -------------------------------------------------------------------------------------- */

static double per_event_us(const struct demand *demand, double seconds)
{
    return demand->event_count == 0 ? 0 : seconds * 1e6 / (double)demand->event_count;
}

static void print_cpu(const struct demand *demand, const char *whose, const struct cpu *cpu)
{
    printf("\"%s_cpu_us_per_event\":%.3f,", whose, per_event_us(demand, cpu->all_s));
    for (size_t thread = 0; thread < THREAD_COUNT; thread++)
        printf("\"%s_%s_us\":%.3f,", whose, daemon_threads[thread], per_event_us(demand, cpu->by_thread_s[thread]));
}

static void print_following(const struct pairs *pairs)
{
    for (uint32_t i = 0; i < pairs->count; i++)
        printf("%s%.3f", i == 0 ? "\"following\":[" : ",", more_percent(&pairs->items[i]));
    printf("],");
}

static void print_json(const struct options *options, double rest_mib, const struct pairs *pairs)
{
    const struct pair *pair = &pairs->items[pairs->count / 2];
    const struct outcome *outcome = &pair->outcome;
    const struct demand *demand = &options->demand;
    printf("{\"work\":\"%s\",\"devices\":%" PRIu64 ",\"events\":%" PRIu64 ",\"batch\":%u,"
           "\"window\":%u,\"clients\":%u,\"rate\":%.0f,",
           options->work_name, demand->device_count, demand->event_count, demand->batch,
           demand->window, options->clients, demand->rate);
    printf("\"acked_per_s\":%.0f,\"applied_per_s\":%.0f,\"p50_ms\":%.4f,\"p99_ms\":%.4f,"
           "\"p999_ms\":%.4f,\"max_ms\":%.4f,",
           (double)demand->event_count / outcome->acked_s,
           (double)demand->event_count / outcome->applied_s, outcome->p50_ms, outcome->p99_ms,
           outcome->p999_ms, outcome->max_ms);
    printf("\"rest_anon_mib\":%.1f,\"anon_mib\":%.1f,\"file_mib\":%.1f,\"busy\":%" PRIu64
           ",\"results\":%" PRIu64 ",\"own_cpu_us_per_event\":%.3f,",
           rest_mib, outcome->anonymous_mib, outcome->file_mib, outcome->busy, outcome->results,
           per_event_us(demand, outcome->own_cpu_s));
    print_cpu(demand, "daemon", &outcome->daemon_cpu);
    print_cpu(demand, "alone", &pair->alone_cpu);
    if (options->pair_count > 0)
        print_following(pairs);
    printf("\"asked\":%" PRIu64 ",\"ask_p50_ms\":%.4f,\"ask_p99_ms\":%.4f,\"ask_max_ms\":%.4f}\n",
           outcome->asked, outcome->ask_p50_ms, outcome->ask_p99_ms, outcome->ask_max_ms);
}

static void print_row(const struct options *options, double rest_mib, const struct pairs *pairs)
{
    const struct pair *pair = &pairs->items[pairs->count / 2];
    const struct outcome *outcome = &pair->outcome;
    const struct demand *demand = &options->demand;
    printf("%s, %" PRIu64 " devices, %" PRIu64 " events, %u a request, %u requests under way, "
           "%u clients\n",
           options->work_name, demand->device_count, demand->event_count, demand->batch,
           demand->window, options->clients);
    printf("  acked/s %.0f  applied/s %.0f  p50 %.2f ms  p99 %.2f ms  p99.9 %.2f ms  "
           "most %.2f ms\n",
           (double)demand->event_count / outcome->acked_s,
           (double)demand->event_count / outcome->applied_s, outcome->p50_ms, outcome->p99_ms,
           outcome->p999_ms, outcome->max_ms);
    printf("  anonymous MiB %.1f, at rest %.1f  file-backed MiB %.1f  us/event %.2f, our own %.2f  "
           "busy %" PRIu64 "  results %" PRIu64 "\n",
           outcome->anonymous_mib, rest_mib, outcome->file_mib,
           per_event_us(demand, outcome->daemon_cpu.all_s), per_event_us(demand, outcome->own_cpu_s),
           outcome->busy, outcome->results);
    if (options->pair_count > 0)
        printf("  us/event without the subscriber %.2f  with it %.1f %% more, quartiles %.1f and %.1f, of %u pairs\n",
               per_event_us(demand, pair->alone_cpu.all_s), more_percent(pair),
               more_percent(&pairs->items[pairs->count / 4]), more_percent(&pairs->items[pairs->count * 3 / 4]),
               pairs->count);
    if (outcome->asked > 0)
        printf("  questions %" PRIu64 "  p50 %.2f ms  p99 %.2f ms  most %.2f ms\n", outcome->asked,
               outcome->ask_p50_ms, outcome->ask_p99_ms, outcome->ask_max_ms);
}

/* --- the run ------------------------------------------------------------------------------------- */

static void prepare(struct load *load, uint64_t device_count)
{
    struct demand demand = {.work = WORK_TARGETS, .device_count = device_count,
                            .event_count = device_count, .batch = PREPARE_BATCH,
                            .window = PREPARE_WINDOW};
    struct outcome outcome;
    load_run(load, &demand, &outcome);
    demand.work = WORK_REPORTS;
    load_run(load, &demand, &outcome);
}

static int compare_pairs(const void *left, const void *right)
{
    double a = more_percent(left), b = more_percent(right);
    return (a > b) - (a < b);
}

/* One behind the other, so that what the machine does meanwhile falls on both; every second pair the other way
 * round. */
static void measure_pairs(struct load *load, const struct options *options, struct pairs *pairs)
{
    struct demand demand = options->demand;
    struct outcome alone;
    load_subscribe(load, options->subscribe);
    for (uint32_t run = 0; run < 2 * options->pair_count; run++) {
        struct pair *pair = &pairs->items[run / 2];
        bool followed = run % 4 == 1 || run % 4 == 2;
        load_listen(load, options->subscribe, followed);
        demand.seed++;
        load_run(load, &demand, followed ? &pair->outcome : &alone);
        if (!followed)
            pair->alone_cpu = alone.daemon_cpu;
    }
    pairs->count = options->pair_count;
    qsort(pairs->items, pairs->count, sizeof pairs->items[0], compare_pairs);
}

static void measure_once(struct load *load, const struct options *options, struct pairs *pairs)
{
    if (options->subscribe != NULL)
        load_subscribe(load, options->subscribe);
    load_run(load, &options->demand, &pairs->items[0].outcome);
    pairs->count = 1;
}

static void measure(const struct options *options, const struct daemon *daemon)
{
    const struct demand *demand = &options->demand;
    double rest_mib = daemon_memory(daemon).anonymous_mib;
    static struct pairs pairs;
    if (options->prepare) {
        struct load *load = load_create(daemon, 1);
        prepare(load, demand->device_count);
        load_destroy(load);
    }
    struct load *load = load_create(daemon, options->clients);
    if (load_device_count(load) != demand->device_count)
        fail("the folder does not hold a fleet of %" PRIu64 " devices", demand->device_count);
    bool runs = demand->event_count > 0 || demand->ask_count > 0;
    if (runs && options->pair_count > 0)
        measure_pairs(load, options, &pairs);
    else if (runs)
        measure_once(load, options, &pairs);
    if (load_device_count(load) != demand->device_count)
        fail("the number of devices is wrong");
    load_destroy(load);
    if (!runs)
        return;
    if (options->json)
        print_json(options, rest_mib, &pairs);
    else
        print_row(options, rest_mib, &pairs);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct options options = {
        .work_name = "changing",
        .demand = {.work = WORK_CHANGING, .device_count = 10000, .event_count = 1000000,
                   .batch = 100, .window = 64},
        .clients = 1,
        .prepare = true,
        .settings = {"--rules=tests/bench/rules"},
        .setting_count = 1,
    };
    if (argc < 3)
        usage();
    for (int i = 3; i < argc; i++)
        read_option(&options, argv[i]);
    if (options.pair_count > 0 && (options.subscribe == NULL || options.demand.event_count == 0))
        fail("pairs: of runs with a subscriber and with events");
    struct daemon daemon;
    daemon_start(&daemon, argv[1], argv[2], options.settings, options.setting_count);
    measure(&options, &daemon);
    if (!daemon_stop(&daemon))
        fail("the daemon did not stop well");
    return 0;
}

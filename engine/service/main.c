/* main.c - fwsyncd: read the settings, open everything, say "ready", serve, stop cleanly.
 *
 * Exit status: 0 stopped by SIGTERM or SIGINT after a checkpoint; 2 wrong usage, settings or rules,
 * nothing was started; 1 it could not open its data, or had to stop while running, and said why. */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/service/applier.h"
#include "engine/service/backup.h"
#include "engine/service/crash.h"
#include "engine/service/doors.h"
#include "engine/service/lock.h"
#include "store/state.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, OPTIONS_MAX = 64 };

static const char default_file[] = "fwsync.yaml";

struct command {
    struct settings settings;
    const char *file; /* NULL: default_file when there is one */
    bool check;
};

/* --- the command line ------------------------------------------------------------------------------------- */

static void print_help(void)
{
    printf("usage: fwsyncd [options]\n\n"
           "Takes events over ZeroMQ, runs rule chains, and knows for every device whether the firmware\n"
           "that runs is the firmware that should run.\n\n"
           "  --config FILE            settings; without it ./fwsync.yaml is read when it exists\n"
           "  --check                  print all settings, check the rules, and exit\n"
           "  --version                print the version and exit\n"
           "  --help                   print this and exit\n\nsettings, also in FILE as `name: value`:\n");
    for (size_t i = 0; settings_name(i) != NULL; i++)
        printf("  --%-22s %s\n", settings_name(i), settings_help(i));
    printf("\nexample:\n  fwsyncd --data /var/lib/fwsync --rules /etc/fwsync/rules\n");
}

static int usage_hint(void)
{
    fprintf(stderr, "(fwsyncd --help lists the options)\n");
    return EXIT_USAGE;
}

static int usage_error(const char *problem)
{
    fprintf(stderr, "fwsyncd: %s\n", problem);
    return usage_hint();
}

static void print_problems(const struct problems *problems)
{
    for (const struct problem *problem = problems->first; problem != NULL; problem = problem->next)
        fprintf(stderr, "%s\n", problem->line);
    if (problems->count > PROBLEM_COUNT_MAX)
        fprintf(stderr, "... and %zu more\n", problems->count - PROBLEM_COUNT_MAX);
}

enum own_option { OPTION_CONFIG, OPTION_CHECK, OPTION_VERSION, OPTION_HELP, OPTION_SETTINGS };

static void list_options(struct option options[OPTIONS_MAX])
{
    options[OPTION_CONFIG] = (struct option){"config", required_argument, NULL, OPTION_CONFIG};
    options[OPTION_CHECK] = (struct option){"check", no_argument, NULL, OPTION_CHECK};
    options[OPTION_VERSION] = (struct option){"version", no_argument, NULL, OPTION_VERSION};
    options[OPTION_HELP] = (struct option){"help", no_argument, NULL, OPTION_HELP};
    size_t i = 0;
    for (; settings_name(i) != NULL && OPTION_SETTINGS + i < OPTIONS_MAX - 1; i++)
        options[OPTION_SETTINGS + i] =
            (struct option){settings_name(i), required_argument, NULL, (int)(OPTION_SETTINGS + i)};
    options[OPTION_SETTINGS + i] = (struct option){NULL, 0, NULL, 0};
}

static int unknown_option(const char *given, const struct option *options)
{
    const char *names[OPTIONS_MAX];
    size_t count = 0;
    for (; options[count].name != NULL; count++)
        names[count] = options[count].name;
    struct text word = {given + strspn(given, "-"), 0};
    word.len = strcspn(word.bytes, "=");
    char problem[256];
    const char *nearest = text_nearest(word, names, count);
    for (size_t i = 0; i < count; i++)
        if (text_is(word, names[i])) {
            snprintf(problem, sizeof problem, "--%s %s", names[i],
                     options[i].has_arg == required_argument ? "needs a value" : "takes no value");
            return usage_error(problem);
        }
    snprintf(problem, sizeof problem, "unknown option %.80s%s%s%s", given,
             nearest == NULL ? "" : "; did you mean --", nearest == NULL ? "" : nearest,
             nearest == NULL ? "" : "?");
    return usage_error(problem);
}

/* Two passes: the file first, so that an option beats it. Returns an exit status, or -1 to go on. Wrong values are all
 * listed; a word that is no option ends it, since what follows may belong to it. */
static int read_options(struct command *command, int argc, char **argv, bool file_pass)
{
    struct option options[OPTIONS_MAX];
    list_options(options);
    opterr = 0;
    optind = 1;
    bool right = true;
    for (int at = 1, option; (option = getopt_long(argc, argv, "+h", options, NULL)) != -1; at = optind) {
        struct err err;
        switch (option) {
        case OPTION_CONFIG:
            command->file = optarg;
            break;
        case OPTION_CHECK:
            command->check = true;
            break;
        case OPTION_VERSION:
            printf("fwsyncd %s\n", FWSYNC_VERSION);
            return EXIT_DONE;
        case OPTION_HELP:
        case 'h':
            print_help();
            return EXIT_DONE;
        case '?':
            return unknown_option(argv[at], options);
        default:
            if (!file_pass && !settings_set(&command->settings, options[option].name, optarg, &err)) {
                fprintf(stderr, "fwsyncd: %s\n", err.text);
                right = false;
            }
        }
    }
    if (optind < argc) {
        char problem[256];
        snprintf(problem, sizeof problem, "unexpected argument \"%.80s\"", argv[optind]);
        return usage_error(problem);
    }
    return right ? -1 : usage_hint();
}

static bool read_file(struct command *command)
{
    struct stat status;
    if (command->file == NULL && stat(default_file, &status) != 0)
        return true;
    struct problems problems;
    problems_init(&problems);
    bool right = settings_read_file(&command->settings,
                                    command->file != NULL ? command->file : default_file, &problems);
    print_problems(&problems);
    problems_fini(&problems);
    return right;
}

/* --- rules -------------------------------------------------------------------------------------------------- */

/* The rule set that the settings name; NULL when it has problems. */
static struct ruleset *load_rules(const struct settings *settings, struct problems *problems)
{
    return settings->rules[0] == '\0' ? ruleset_load_shipped(problems)
                                      : ruleset_load_dir(settings->rules, problems);
}

static void reload_rules(struct engine *engine)
{
    struct problems problems;
    problems_init(&problems);
    struct ruleset *ruleset = load_rules(engine->settings, &problems);
    for (const struct problem *problem = problems.first; problem != NULL; problem = problem->next)
        log_line(LOG_ERROR, "rules-problem", "error=%s", log_quote(problem->line));
    problems_fini(&problems);
    if (ruleset == NULL)
        log_line(LOG_ERROR, "rules-kept", "error=\"the new rules have errors; the old ones stay\"");
    else
        engine_change_rules(engine, ruleset);
}

/* --- serving ------------------------------------------------------------------------------------------------ */

/* Signals come through a descriptor, in the door's loop; threads started later inherit the mask. */
static bool open_signals(int *signal_fd, struct err *err)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is a full disk, not a reason to die */
    *signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return *signal_fd >= 0 || err_set(err, ERR_IO, "cannot wait for signals: %s", strerror(errno));
}

static int fail(const struct err *err)
{
    log_line(LOG_ERROR, "stopped", "code=%s error=%s", err_code_name(err->code), log_quote(err->text));
    return err->code == ERR_CONFIG ? EXIT_USAGE : EXIT_FAILED;
}

static void print_ready(const struct doors *doors)
{
    printf("ready events=%s query=%s results=%s\n", doors_events(doors), doors_query(doors),
           doors_results(doors));
    fflush(stdout);
}

/* Serves until a signal says stop. It is ready when it is settled which rules are active. Returns false when the
 * engine failed. */
static bool serve(struct doors *doors, struct engine *engine, int signal_fd, struct err *err)
{
    for (bool ready = false;;) {
        int happened = doors_run(doors, engine, signal_fd, err);
        switch (happened) {
        case DOORS_FAILED:
            return false;
        case DOORS_RULES_SETTLED:
            if (!ready)
                print_ready(doors);
            ready = true;
            break;
        case SIGHUP:
            reload_rules(engine);
            break;
        default:
            log_line(LOG_INFO, "stopping", "signal=%s", strsignal(happened));
            engine_stop_begin(engine);
            return doors_drain(doors, err);
        }
    }
}

/* What a run opens, in this order. */
struct service {
    int signal_fd, lock_fd; /* -1: not open */
    struct subscriptions *subscriptions;
    struct doors *doors;
    struct engine engine;
    bool started; /* the engine's threads run */
};

/* The doors come first: that checks settings, and touches no file. */
static bool open_all(struct service *service, const struct settings *settings, struct ruleset *ruleset,
                     struct stats *stats, struct err *err)
{
    service->subscriptions = subscriptions_create();
    if (!open_signals(&service->signal_fd, err) ||
        !doors_open(&service->doors, settings, stats, service->subscriptions, err) ||
        !backup_check(settings->data, err) || !lock_folder(settings->data, &service->lock_fd, err)) {
        ruleset_destroy(ruleset);
        return false;
    }
    service->engine = (struct engine){
        .settings = settings,
        .lock_fd = service->lock_fd,
        .stats = stats,
        .subscriptions = service->subscriptions,
        .door_queue = doors_queue(service->doors),
    };
    service->started = engine_open(&service->engine, ruleset, err);
    return service->started;
}

static void close_all(struct service *service)
{
    if (service->started)
        engine_close(&service->engine);
    doors_close(service->doors);
    subscriptions_destroy(service->subscriptions);
    if (service->lock_fd >= 0)
        close(service->lock_fd);
    if (service->signal_fd >= 0)
        close(service->signal_fd);
}

static int run(const struct settings *settings, struct ruleset *ruleset)
{
    struct err err;
    struct stats stats = {.started_ms = clock_wall_ms()};
    struct service service = {.signal_fd = -1, .lock_fd = -1};
    crash_watch(settings->data);
    if (!open_all(&service, settings, ruleset, &stats, &err)) {
        close_all(&service);
        return fail(&err);
    }
    log_line(LOG_INFO, "started", "version=%s data=%s rules=%s", FWSYNC_VERSION,
             log_quote(settings->data), settings->rules[0] == '\0' ? "shipped" : log_quote(settings->rules));
    if (!serve(service.doors, &service.engine, service.signal_fd, &err))
        _exit(fail(&err)); /* its threads may hold anything: nothing here is safe to take down */
    close_all(&service);
    log_line(LOG_INFO, "stopped", "uptime_ms=%lld", (long long)(clock_wall_ms() - stats.started_ms));
    return EXIT_DONE;
}

/* Large blocks live as long as a checkpoint or a growing table: they are mapped, so that the kernel has
 * them back when they are freed. (By itself malloc stops doing that after the first one.) */
static void set_up_malloc(void)
{
    enum { MAPPED_BYTES = 512 * 1024, TRIM_BYTES = 2 << 20 };
    mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
    mallopt(M_TRIM_THRESHOLD, TRIM_BYTES);
}

/* Each connection takes a descriptor, and the usual soft limit of 1024 is meant for programs that use select. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    set_up_malloc();
    raise_file_limit();
    struct command command = {.file = NULL};
    settings_init(&command.settings);
    int status = read_options(&command, argc, argv, true);
    if (status < 0 && !read_file(&command))
        status = EXIT_USAGE;
    if (status < 0)
        status = read_options(&command, argc, argv, false);
    if (status < 0) {
        log_set_level((enum log_level)command.settings.log_level);
        settings_advise(&command.settings);
        struct problems problems;
        problems_init(&problems);
        struct ruleset *ruleset = load_rules(&command.settings, &problems);
        print_problems(&problems);
        problems_fini(&problems);
        if (ruleset == NULL) {
            status = EXIT_USAGE;
        } else if (command.check) {
            settings_print(&command.settings);
            ruleset_destroy(ruleset);
            status = EXIT_DONE;
        } else {
            status = run(&command.settings, ruleset);
        }
    }
    settings_fini(&command.settings);
    return status;
}

/* cmd_watch.c - `fwsync watch`: results as they come, one a line, through the library's follower.
 *
 * A heartbeat is waited for first: it proves that the daemon is there and that the subscription stands. From
 * then on nothing is missed: what was lost on the way is asked for, and what can't be had is told. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#include "engine/base/clock.h"
#include "engine/base/limits.h"
#include "engine/client/fwsync.h"
#include "engine/tool/command.h"
#include "engine/tool/interrupt.h"
#include "engine/tool/session.h"
#include "engine/tool/when.h"

enum { OPT_COUNT = 1, OPT_TIMEOUT, OPT_SINCE, OPT_NO_WAIT };

static const struct option_spec specs[] = {
    {OPT_SINCE, "since", "TIME", "first what came since: 30s, 15m, 1h, 2d, 06:13, a date"},
    {OPT_NO_WAIT, "no-wait", NULL, "only that: stop when there is no more"},
    {OPT_COUNT, "count", "N", "stop after N results"},
    {OPT_TIMEOUT, "timeout", "SECONDS", "stop after that time (never)"},
};

struct watch {
    struct session session; /* for what is told, and to take results apart */
    const char *what;       /* as given: "", CLASS or CLASS/DEVICE */
    char class_name[CLASS_NAME_BYTES_MAX + 1];
    const char *device; /* NULL: all */
    int64_t count_max;  /* 0: no bound */
    int64_t count;
    int64_t timeout_ms; /* 0: no end */
    int64_t end_ms;     /* monotonic */
    int64_t started_ms;
    bool no_wait;
    int64_t since_ms; /* 0: from now on */
    uint64_t after;   /* the last event before that time */
    bool heard; /* a heartbeat has come */
    bool live;  /* nothing is left of what was before now */
    bool silent; /* the last that was told of the daemon is that it isn't heard */
    struct fwsync_follower *follower;
};

/* --- printing --------------------------------------------------------------------------------------- */

static void print_text(struct watch *watch, struct text text, enum screen_style style)
{
    const struct screen *screen = &watch->session.setup->screen;
    text = screen_clean(text, &watch->session.arena);
    printf("%s" TEXT_FMT "%s", screen_style(screen, style), TEXT_ARG(text),
           screen_plain(screen, style));
}

static void print_assignment(struct watch *watch, struct text scope, struct text key,
                             const struct value *value)
{
    print_text(watch, scope, STYLE_PLAIN);
    fputs(scope.len > 0 ? "." : "", stdout);
    print_text(watch, key, STYLE_PLAIN);
    putchar('=');
    if (value == NULL) {
        print_text(watch, TEXT("(deleted)"), STYLE_DIM);
        return;
    }
    bool verdict = text_is(key, "fwStateIsSynced") && value->kind == VALUE_BOOLEAN;
    print_text(watch, screen_value(&watch->session.setup->screen, value, &watch->session.arena),
               !verdict         ? STYLE_PLAIN
               : value->boolean ? STYLE_GOOD
                                : STYLE_BAD);
}

static void print_body(struct watch *watch, struct text class_name, const struct fields *result)
{
    if (text_is(class_name, "attributes")) {
        enum scope scope = SCOPE_CLIENT;
        struct text name = field_text(result, "scope");
        if (scope_parse(name, &scope))
            name = text_of(scope_short(scope));
        print_assignment(watch, name, field_text(result, "key"), fields_get(result, TEXT("value")));
    } else if (text_is(class_name, "deadletter")) {
        print_text(watch, field_text(result, "chain"), STYLE_PLAIN);
        putchar('/');
        print_text(watch, field_text(result, "node"), STYLE_PLAIN);
        fputs(": ", stdout);
        print_text(watch, field_text(result, "error"), STYLE_BAD);
    } else {
        struct fields data = field_object(&watch->session, result, "data");
        for (size_t i = 0; i < data.count; i++) {
            fputs(i > 0 ? " " : "", stdout);
            print_assignment(watch, TEXT(""), data.items[i].key, &data.items[i].value);
        }
    }
}

static void print_result(struct watch *watch, struct text class_name)
{
    const struct fields *result = &watch->session.answer;
    bool tables = watch->session.setup->screen.tables;
    const char *gap = tables ? "  " : "\t";
    char when[WHEN_BYTES];
    if (tables)
        when_clock(field_integer(result, "ts"), when);
    else
        when_iso(field_integer(result, "ts"), when);
    print_text(watch, text_of(when), STYLE_DIM);
    fputs(gap, stdout);
    print_text(watch, class_name, STYLE_PLAIN);
    fputs(gap, stdout);
    print_text(watch, field_text(result, "device"), STYLE_HEAD);
    fputs(gap, stdout);
    print_body(watch, class_name, result);
    putchar('\n');
}

/* --- what the follower tells ------------------------------------------------------------------------ */

static int on_result(void *context, const struct fwsync_result *result)
{
    struct watch *watch = context;
    if (watch->session.setup->json)
        printf("%s\n", result->json);
    else if (session_read(&watch->session, (struct text){result->json, result->json_len}, NULL))
        print_result(watch, text_of(result->class_name));
    fflush(stdout);
    return ++watch->count == watch->count_max || ferror(stdout);
}

static int on_lost(void *context, const char *class_name, uint64_t count, const char *why)
{
    struct watch *watch = context;
    arena_reset(&watch->session.arena);
    struct text clean = screen_clean(text_of(why), &watch->session.arena);
    if (count > 0)
        fprintf(stderr, "fwsync watch: missed %" PRIu64 " result%s of class '%s': " TEXT_FMT "\n", count,
                count == 1 ? "" : "s", class_name, TEXT_ARG(clean));
    else
        fprintf(stderr, "fwsync watch: results may be missed: " TEXT_FMT "\n", TEXT_ARG(clean));
    return 0;
}

static void on_state(void *context, enum fwsync_follower_state state, const char *why)
{
    struct watch *watch = context;
    watch->heard |= state != FWSYNC_FOLLOWER_CONNECTING;
    if (state == FWSYNC_FOLLOWER_LIVE && !watch->live) {
        if (!watch->no_wait)
            fprintf(stderr, "watching %s at %s; Ctrl-C ends\n",
                    watch->what[0] == '\0' ? "everything" : watch->what, watch->session.setup->results);
        watch->live = true;
    } else if (state == FWSYNC_FOLLOWER_CONNECTING) {
        fprintf(stderr, "fwsync watch: %s\n", why);
        watch->silent = true;
    } else if (watch->silent) {
        fprintf(stderr, "fwsync watch: fwsyncd is heard again\n");
        watch->silent = false;
    }
}

/* --- words that nothing may ever come for ------------------------------------------------------------ */

/* False when there is no answer: that is no reason not to watch. */
static bool ask(struct session *asking, struct buf *question)
{
    struct err err;
    buf_byte(question, '}');
    return client_request(asking->client, CLIENT_QUERY, buf_text(question), &asking->raw, &err) &&
           session_read(asking, buf_text(&asking->raw), &err);
}

static void warn_of_class(const struct watch *watch, struct session *asking)
{
    enum { OWN_COUNT = 2 };
    struct value *classes;
    if (!ask(asking, session_question(asking, "rules")) || !field_boolean(&asking->answer, "ok"))
        return;
    size_t count = field_array(asking, &asking->answer, "classes", &classes);
    const char **names = arena_alloc(&asking->arena, (count + OWN_COUNT) * sizeof *names);
    struct buf list = {.arena = &asking->arena};
    names[0] = "attributes";
    names[1] = "deadletter";
    for (size_t i = 0; i < count; i++)
        names[OWN_COUNT + i] = value_text(&classes[i], &asking->arena).bytes;
    for (size_t i = 0; i < count + OWN_COUNT; i++) {
        if (strcmp(names[i], watch->class_name) == 0)
            return;
        buf_printf(&list, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
    const char *nearest = text_nearest(text_of(watch->class_name), names, count + OWN_COUNT);
    if (nearest != NULL)
        fprintf(stderr, "fwsync watch: nothing publishes the class '%s' so far; did you mean '%s'?\n",
                watch->class_name, nearest);
    else
        fprintf(stderr,
                "fwsync watch: nothing publishes the class '%s' so far; there are: " TEXT_FMT
                "; and of one device: CLASS/DEVICE\n",
                watch->class_name, TEXT_ARG(list));
}

static void warn_of_device(const struct watch *watch, struct session *asking)
{
    struct buf *question = session_question(asking, "device");
    json_member_text(question, "device", text_of(watch->device));
    if (ask(asking, question) && text_is(field_text(&asking->answer, "code"), "not-found"))
        fprintf(stderr, "fwsync watch: there is no device '" TEXT_FMT "' so far; for all: fwsync watch %s\n",
                TEXT_ARG(screen_clean(text_of(watch->device), &asking->arena)), watch->class_name);
}

/* A rule or a device of that name may still come, so it is watched all the same. */
static void warn_of_words(const struct watch *watch)
{
    enum { ASK_MS = 3000 };
    struct setup quick = *watch->session.setup;
    struct session asking;
    quick.timeout_ms = quick.timeout_ms < ASK_MS ? quick.timeout_ms : ASK_MS;
    session_open(&asking, &quick, "watch");
    if (watch->class_name[0] != '\0')
        warn_of_class(watch, &asking);
    if (watch->device != NULL)
        warn_of_device(watch, &asking);
    session_close(&asking);
}

/* --- the loop --------------------------------------------------------------------------------------- */

static bool fail(struct watch *watch, enum err_code code, const char *why)
{
    struct err err;
    err_set(&err, code, "%s", why);
    return session_fail(&watch->session, &err);
}

static bool nobody_there(struct watch *watch, int64_t silence_ms)
{
    char why[ERR_TEXT_BYTES];
    snprintf(why, sizeof why, "nothing heard from %s within %g s: is fwsyncd running?",
             watch->session.setup->results, (double)silence_ms / 1000);
    return fail(watch, ERR_TIMEOUT, why);
}

/* The time given with --timeout is over. */
static void end_in_time(struct watch *watch)
{
    if (!watch->heard && watch->count == 0) {
        nobody_there(watch, watch->timeout_ms);
    } else if (watch->count_max > 0) {
        fprintf(stderr, "%" PRId64 " of %" PRId64 " results came\n", watch->count, watch->count_max);
        watch->session.exit_code = EXIT_ERROR;
    }
}

/* Wait for something to do, Ctrl-C or the end, and do it. False: stop. */
static bool watch_step(struct watch *watch)
{
    enum { STEP_MS = 500 };
    const struct setup *setup = watch->session.setup;
    int64_t left_ms = watch->end_ms - clock_monotonic_ms(); /* may be over by now: poll would wait for ever */
    struct pollfd items[] = {
        {.fd = fwsync_follower_fd(watch->follower), .events = POLLIN},
        {.fd = interrupt_fd(), .events = POLLIN},
    };
    poll(items, 2, left_ms < 0 ? 0 : left_ms < STEP_MS ? (int)left_ms : STEP_MS);
    enum fwsync_code code = fwsync_follower_process(watch->follower, 0);
    if (code != FWSYNC_OK && code != FWSYNC_E_STOPPED)
        return fail(watch, ERR_IO, fwsync_follower_error(watch->follower));
    if (!watch->heard && clock_monotonic_ms() - watch->started_ms >= setup->timeout_ms)
        return nobody_there(watch, setup->timeout_ms);
    return true;
}

static void watch_loop(struct watch *watch)
{
    bool warned = false;
    while (!interrupted() && !ferror(stdout) && (watch->count_max == 0 || watch->count < watch->count_max)) {
        if (clock_monotonic_ms() >= watch->end_ms) {
            end_in_time(watch);
            return;
        }
        if (!watch_step(watch))
            return;
        if (watch->live && !warned)
            warn_of_words(watch);
        warned = watch->live;
        if (watch->live && watch->no_wait)
            return;
    }
    if (interrupted() && watch->session.setup->screen.tables)
        fprintf(stderr, "\n%" PRId64 " result%s\n", watch->count, watch->count == 1 ? "" : "s");
}

/* Where to begin, for --since. */
static bool find_start(struct watch *watch)
{
    if (watch->since_ms == 0)
        return true;
    struct buf *question = session_question(&watch->session, "changes");
    json_member_integer(question, "since", watch->since_ms);
    json_member_integer(question, "limit", 1);
    if (!session_ask(&watch->session))
        return false;
    watch->after = field_number(&watch->session.answer, "from");
    return true;
}

static bool watch_open(struct watch *watch)
{
    const struct setup *setup = watch->session.setup;
    const struct fwsync_options options = {
        .query = setup->query, .results = setup->results, .timeout_ms = (int)setup->timeout_ms};
    const struct fwsync_follow follow = {
        .class_name = watch->class_name,
        .device = watch->device,
        .start = watch->since_ms == 0 ? FWSYNC_START_NOW : FWSYNC_START_AFTER,
        .after = watch->after,
        .on_result = on_result,
        .on_lost = on_lost,
        .on_state = on_state,
        .context = watch,
    };
    enum fwsync_code code = fwsync_follow(&options, &follow, &watch->follower);
    watch->started_ms = clock_monotonic_ms();
    return code == FWSYNC_OK ||
           fail(watch, code == FWSYNC_E_CONFIG ? ERR_CONFIG : ERR_IO, fwsync_last_error(NULL));
}

static bool read_words(struct options *options, struct watch *watch)
{
    watch->end_ms = INT64_MAX;
    watch->what = "";
    for (;;) {
        switch (options_next(options)) {
        case OPT_COUNT:
            if (!options_number(options, 1, OPTION_COUNT_MAX, &watch->count_max))
                return false;
            break;
        case OPT_TIMEOUT:
            if (!options_seconds(options, &watch->timeout_ms))
                return false;
            watch->end_ms = clock_monotonic_ms() + watch->timeout_ms;
            break;
        case OPT_SINCE:
            if (!options_moment(options, &watch->since_ms))
                return false;
            break;
        case OPT_NO_WAIT:
            watch->no_wait = true;
            break;
        case OPTION_WORD:
            if (watch->what[0] != '\0') {
                options_wrong(options, "too much: '%s'", options->value);
                return false;
            }
            watch->what = options->value;
            break;
        case OPTION_END:
            return true;
        default:
            return false;
        }
    }
}

/* A letter, then letters, digits and '-': what a class's name is made of. */
static int run(const struct setup *setup, struct options *options)
{
    struct watch watch = {.what = ""};
    if (!read_words(options, &watch))
        return EXIT_USAGE;
    const char *slash = strchr(watch.what, '/');
    size_t class_len = slash == NULL ? strlen(watch.what) : (size_t)(slash - watch.what);
    if (watch.what[0] != '\0' && !text_is_class((struct text){watch.what, class_len}))
        return options_wrong(options,
                             "'%.*s' can't be a class: up to 32 small letters, digits and '-', a letter first",
                             (int)class_len, watch.what);
    if (class_len == strlen("heartbeat") && memcmp(watch.what, "heartbeat", class_len) == 0)
        return options_wrong(options, "heartbeats are no results; whether fwsyncd is there: fwsync ping");
    if (slash != NULL && slash[1] == '\0')
        return options_wrong(options, "the DEVICE behind '%s' is missing", watch.what);
    if (strlen(watch.what) - class_len > DEVICE_BYTES_MAX + 1)
        return options_wrong(options, "'%s' is too long", watch.what);
    memcpy(watch.class_name, watch.what, class_len);
    watch.device = slash == NULL ? NULL : slash + 1;
    if (watch.no_wait && watch.since_ms == 0)
        return options_wrong(options, "--no-wait goes with --since TIME");
    session_open(&watch.session, setup, "watch");
    if (find_start(&watch) && watch_open(&watch))
        watch_loop(&watch);
    fwsync_follower_close(watch.follower);
    return session_close(&watch.session);
}

const struct command command_watch = {
    .name = "watch",
    .usage = "[CLASS[/DEVICE]] [--since TIME [--no-wait]] [--count N] [--timeout SECONDS]",
    .summary = "print what changes, as it changes",
    .details = "CLASS is sync (the rules' verdicts), attributes, deadletter, or one that a rule of yours\n"
               "publishes. Nothing is missed, also when fwsyncd restarts: what was lost on the way is asked\n"
               "for. A class or a device that isn't there is told, and watched for. With --count and\n"
               "--timeout, exit code 1 means that fewer came. --since TIME begins with what has come since,\n"
               "as far back as fwsyncd keeps it.\n"
               "\n"
               "  fwsync watch sync\n"
               "  fwsync watch sync --since 1h --no-wait\n"
               "  fwsync watch attributes/ESP32 --count 1 --timeout 60\n",
    .specs = specs,
    .spec_count = sizeof specs / sizeof specs[0],
    .words = {"CLASS"},
    .common = COMMON_JSON | COMMON_QUERY | COMMON_RESULTS,
    .run = run,
};

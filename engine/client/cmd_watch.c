/* cmd_watch.c - `fwsync watch`: results as they come, one a line.
 *
 * A heartbeat is waited for first: it proves that the daemon is there and that the subscription stands.
 * The numbers `n` are dense per class, so when a whole class is watched, what was lost shows. */
#include <inttypes.h>
#include <stdio.h>

#include "engine/base/clock.h"
#include "engine/base/limits.h"
#include "engine/client/command.h"
#include "engine/client/interrupt.h"
#include "engine/client/session.h"
#include "engine/client/when.h"

enum { OPT_COUNT = 1, OPT_TIMEOUT };
enum { CLASSES_MAX = 256, CLASS_BYTES_MAX = 128, SILENCE_MS = 5000 };

static const struct option_spec specs[] = {
    {OPT_COUNT, "count", "N", "stop after N results"},
    {OPT_TIMEOUT, "timeout", "SECONDS", "stop after that time (never)"},
};

/* The last number seen of a class. */
struct seen {
    char name[CLASS_BYTES_MAX];
    int64_t n;
};

struct watch {
    struct session session;
    const char *what;      /* as given: "", CLASS or CLASS/DEVICE */
    bool one_device;       /* numbers have gaps by nature */
    int64_t count_max;     /* 0: no bound */
    int64_t count;
    int64_t timeout_ms;    /* 0: no end */
    int64_t end_ms;        /* monotonic */
    int64_t heard_ms;
    bool started;          /* a heartbeat has come */
    bool silence_told;
    struct seen classes[CLASSES_MAX];
    size_t class_count;
    struct buf topic;
    struct buf payload;
};

static int64_t now_ms(void)
{
    return clock_monotonic_ns() / 1000000;
}

/* --- gaps ------------------------------------------------------------------------------------------- */

static struct seen *find_seen(struct watch *watch, struct text name)
{
    for (size_t i = 0; i < watch->class_count; i++)
        if (text_is(name, watch->classes[i].name))
            return &watch->classes[i];
    return NULL;
}

static bool is_watched(const struct watch *watch, struct text name)
{
    return watch->what[0] == '\0' || text_is(name, watch->what);
}

/* A result (step 1) or a heartbeat (step 0) says that `n` is the class's latest number. One that went
 * back is a restarted daemon that repeats results. */
static void note_number(struct watch *watch, struct text name, int64_t n, int64_t step)
{
    if (watch->one_device || !is_watched(watch, name))
        return;
    struct seen *seen = find_seen(watch, name);
    if (seen == NULL) {
        if (watch->class_count == CLASSES_MAX || name.len >= CLASS_BYTES_MAX)
            return;
        seen = &watch->classes[watch->class_count++];
        memcpy(seen->name, name.bytes, name.len);
        seen->name[name.len] = '\0';
    } else if (n > seen->n + step) {
        int64_t missed = n - seen->n - step;
        fprintf(stderr, "fwsync watch: missed %" PRId64 " result%s of class '%s'\n", missed,
                missed == 1 ? "" : "s", seen->name);
    }
    seen->n = n;
}

static void hear_heartbeat(struct watch *watch)
{
    struct session *session = &watch->session;
    if (!session_read(session, buf_text(&watch->payload), NULL))
        return;
    struct fields numbers = field_object(session, &session->answer, "n");
    for (size_t i = 0; i < numbers.count; i++)
        if (numbers.items[i].value.kind == VALUE_INTEGER)
            note_number(watch, numbers.items[i].key, numbers.items[i].value.integer, 0);
    if (!watch->started)
        fprintf(stderr, "watching %s at %s; Ctrl-C ends\n",
                watch->what[0] == '\0' ? "everything" : watch->what, session->setup->results);
    watch->started = true;
}

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

/* The payload doesn't say its class; the line does, in front. */
static void print_json(struct watch *watch, struct text class_name)
{
    struct buf line = {.bytes = NULL};
    struct text payload = buf_text(&watch->payload);
    buf_byte(&line, '{');
    json_member_text(&line, "class", class_name);
    if (payload.len > 2)
        buf_byte(&line, ',');
    buf_append(&line, (struct text){payload.bytes + 1, payload.len - 1});
    printf(TEXT_FMT "\n", TEXT_ARG(line));
    buf_fini(&line);
}

/* --- the loop --------------------------------------------------------------------------------------- */

static bool is_wanted(const struct watch *watch, struct text topic)
{
    return !watch->one_device || text_is(topic, watch->what);
}

static void hear_result(struct watch *watch)
{
    struct text topic = buf_text(&watch->topic);
    if (text_is(topic, "heartbeat")) {
        hear_heartbeat(watch);
        return;
    }
    const char *slash = memchr(topic.bytes, '/', topic.len);
    if (slash == NULL || !is_wanted(watch, topic) ||
        !session_read(&watch->session, buf_text(&watch->payload), NULL))
        return;
    struct text class_name = {topic.bytes, (size_t)(slash - topic.bytes)};
    note_number(watch, class_name, field_integer(&watch->session.answer, "n"), 1);
    if (watch->session.setup->json)
        print_json(watch, class_name);
    else
        print_result(watch, class_name);
    fflush(stdout);
    watch->count++;
}

static bool nobody_there(struct watch *watch, int64_t silence_ms)
{
    struct err err;
    err_set(&err, ERR_TIMEOUT, "nothing heard from %s within %g s: is fwsyncd running?",
            watch->session.setup->results, (double)silence_ms / 1000);
    return session_fail(&watch->session, &err);
}

/* Nothing, not even a heartbeat, for a while. False before the first one: nobody is there. */
static bool check_silence(struct watch *watch)
{
    const struct setup *setup = watch->session.setup;
    int64_t silence_ms = watch->started ? SILENCE_MS : setup->timeout_ms;
    if (now_ms() - watch->heard_ms < silence_ms)
        return true;
    if (!watch->started)
        return nobody_there(watch, silence_ms);
    if (!watch->silence_told)
        fprintf(stderr, "fwsync watch: nothing heard for %d s, not even a heartbeat; waiting\n",
                SILENCE_MS / 1000);
    watch->silence_told = true;
    return true;
}

static bool watch_step(struct watch *watch)
{
    enum { STEP_MS = 500 };
    int64_t left_ms = watch->end_ms - now_ms();
    bool found;
    struct err err;
    if (!client_next_result(watch->session.client, left_ms < STEP_MS ? left_ms : STEP_MS,
                            &watch->topic, &watch->payload, &found, &err))
        return session_fail(&watch->session, &err);
    if (!found)
        return check_silence(watch);
    watch->heard_ms = now_ms();
    watch->silence_told = false;
    hear_result(watch);
    return true;
}

/* The time given with --timeout is over. */
static void end_in_time(struct watch *watch)
{
    if (!watch->started && watch->count == 0) {
        nobody_there(watch, watch->timeout_ms);
    } else if (watch->count_max > 0) {
        fprintf(stderr, "%" PRId64 " of %" PRId64 " results came\n", watch->count, watch->count_max);
        watch->session.exit_code = EXIT_ERROR;
    }
}

static void watch_loop(struct watch *watch)
{
    char prefix[512];
    struct err err;
    snprintf(prefix, sizeof prefix, "%s%s", watch->what,
             watch->what[0] == '\0' || watch->one_device ? "" : "/");
    if (!client_subscribe(watch->session.client, prefix, &err) ||
        !client_subscribe(watch->session.client, "heartbeat", &err)) {
        session_fail(&watch->session, &err);
        return;
    }
    watch->heard_ms = now_ms();
    while (!interrupted() && (watch->count_max == 0 || watch->count < watch->count_max)) {
        if (now_ms() >= watch->end_ms) {
            end_in_time(watch);
            return;
        }
        if (!watch_step(watch))
            return;
    }
    if (interrupted() && watch->session.setup->screen.tables)
        fprintf(stderr, "\n%" PRId64 " result%s\n", watch->count, watch->count == 1 ? "" : "s");
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
            watch->end_ms = now_ms() + watch->timeout_ms;
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
static bool is_class(struct text name)
{
    static const char rest[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    for (size_t i = 0; i < name.len; i++)
        if (memchr(rest, name.bytes[i], sizeof rest - 1) == NULL)
            return false;
    return name.len > 0 && name.bytes[0] >= 'a' && name.bytes[0] <= 'z';
}

static int run(const struct setup *setup, struct options *options)
{
    static struct watch watch; /* large */
    if (!read_words(options, &watch))
        return EXIT_USAGE;
    const char *slash = strchr(watch.what, '/');
    watch.one_device = slash != NULL;
    size_t class_len = slash == NULL ? strlen(watch.what) : (size_t)(slash - watch.what);
    if (watch.what[0] != '\0' && !is_class((struct text){watch.what, class_len}))
        return options_wrong(options,
                             "'%.*s' can't be a class: small letters, digits and '-', a letter first",
                             (int)class_len, watch.what);
    if (slash != NULL && slash[1] == '\0')
        return options_wrong(options, "the DEVICE behind '%s' is missing", watch.what);
    if (strlen(watch.what) > DEVICE_BYTES_MAX + CLASS_BYTES_MAX)
        return options_wrong(options, "'%s' is too long", watch.what);
    session_open(&watch.session, setup, "watch");
    watch_loop(&watch);
    buf_fini(&watch.topic);
    buf_fini(&watch.payload);
    return session_close(&watch.session);
}

const struct command command_watch = {
    .name = "watch",
    .usage = "[CLASS[/DEVICE]] [--count N] [--timeout SECONDS]",
    .summary = "print what changes, as it changes",
    .details = "CLASS is sync (the rules' verdicts), attributes, deadletter, or one that a rule of yours\n"
               "publishes. With --count and --timeout, exit code 1 means that fewer came.\n"
               "\n"
               "  fwsync watch sync\n"
               "  fwsync watch attributes/ESP32 --count 1 --timeout 60\n",
    .specs = specs,
    .spec_count = sizeof specs / sizeof specs[0],
    .words = {"CLASS"},
    .common = COMMON_JSON | COMMON_RESULTS,
    .run = run,
};

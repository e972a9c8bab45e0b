#include "engine/tool/options.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/clock.h"
#include "engine/client/client.h"
#include "engine/tool/when.h"

enum {
    TIMEOUT_MS_DEFAULT = 5000,
    SECONDS_MAX = INT_MAX / 1000, /* the library and poll() take milliseconds as an int; it is 24 days */
    SPEC_COUNT_MAX = 32,
};

static const struct option_spec common[] = {
    {COMMON_JSON, "json", NULL, "print one JSON object a line"},
    {COMMON_TIMEOUT, "timeout", "SECONDS", "how long to wait for an answer (5)"},
    {COMMON_EVENTS, "events", "ENDPOINT", "the events door; or FWSYNC_EVENTS"},
    {COMMON_QUERY, "query", "ENDPOINT", "the query door; or FWSYNC_QUERY"},
    {COMMON_RESULTS, "results", "ENDPOINT", "the results door; or FWSYNC_RESULTS"},
    {COMMON_WATCH, "watch", NULL, "again each second; in a pipe, when it has changed"},
};
enum { COMMON_COUNT = sizeof common / sizeof common[0] };

static const char *environment_or(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value == NULL || *value == '\0' ? otherwise : value;
}

void setup_init(struct setup *setup)
{
    *setup = (struct setup){
        .events = environment_or("FWSYNC_EVENTS", CLIENT_EVENTS_DEFAULT),
        .query = environment_or("FWSYNC_QUERY", CLIENT_QUERY_DEFAULT),
        .results = environment_or("FWSYNC_RESULTS", CLIENT_RESULTS_DEFAULT),
        .timeout_ms = TIMEOUT_MS_DEFAULT,
        .screen = screen_detect(STDOUT_FILENO),
    };
}

int options_wrong(const struct options *options, const char *format, ...)
{
    bool named = options->command[0] != '\0';
    fprintf(stderr, "fwsync%s%s: ", named ? " " : "", options->command);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nTry: fwsync%s%s --help\n", named ? " " : "", options->command);
    return EXIT_USAGE;
}

static const struct option_spec *find_spec(const struct option_spec *specs, size_t count,
                                           struct text name)
{
    for (size_t i = 0; i < count; i++)
        if (text_is(name, specs[i].name))
            return &specs[i];
    return NULL;
}

static bool is_common(const struct option_spec *spec)
{
    return spec >= common && spec < common + COMMON_COUNT;
}

static bool takes_common(const struct options *options, const struct option_spec *spec)
{
    return ((unsigned)spec->id & (COMMON_ALL | options->common)) != 0;
}

static int unknown_option(const struct options *options, struct text name)
{
    const char *names[SPEC_COUNT_MAX + COMMON_COUNT + 1];
    size_t count = 0;
    assert(options->spec_count <= SPEC_COUNT_MAX);
    for (size_t i = 0; i < options->spec_count; i++)
        names[count++] = options->specs[i].name;
    for (size_t i = 0; i < COMMON_COUNT; i++)
        if (takes_common(options, &common[i]))
            names[count++] = common[i].name;
    names[count++] = "help";
    const char *nearest = text_nearest(name, names, count);
    if (nearest == NULL)
        options_wrong(options, "there is no option --" TEXT_FMT, TEXT_ARG(name));
    else
        options_wrong(options, "there is no option --" TEXT_FMT "; did you mean --%s?",
                      TEXT_ARG(name), nearest);
    return OPTION_WRONG;
}

/* True if the option was one of the common ones and its value is fine. */
static bool take_common(struct options *options, int id)
{
    struct setup *setup = options->setup;
    switch (id) {
    case COMMON_JSON:
        setup->json = true;
        return true;
    case COMMON_TIMEOUT:
        return options_seconds(options, &setup->timeout_ms);
    case COMMON_EVENTS:
        setup->events = options->value;
        return true;
    case COMMON_QUERY:
        setup->query = options->value;
        return true;
    case COMMON_RESULTS:
        setup->results = options->value;
        return true;
    case COMMON_WATCH:
        setup->watch = true;
        return true;
    default:
        abort();
    }
}

/* `word` begins with two dashes. Returns the spec with options->value set, or NULL after telling. */
static const struct option_spec *take_option(struct options *options, const char *word)
{
    const char *equals = strchr(word, '=');
    struct text name = {word + 2, equals == NULL ? strlen(word + 2) : (size_t)(equals - word - 2)};
    const struct option_spec *spec = find_spec(options->specs, options->spec_count, name);
    if (spec == NULL)
        spec = find_spec(common, COMMON_COUNT, name);
    if (spec == NULL || (is_common(spec) && !takes_common(options, spec))) {
        unknown_option(options, name);
        return NULL;
    }
    options->value = equals == NULL ? NULL : equals + 1;
    if (spec->value == NULL && equals != NULL) {
        options_wrong(options, "--%s takes no value", spec->name);
        return NULL;
    }
    if (spec->value != NULL && equals == NULL) {
        if (options->at == options->word_count) {
            options_wrong(options, "--%s needs a value: --%s %s", spec->name, spec->name, spec->value);
            return NULL;
        }
        options->value = options->words[options->at++];
    }
    return spec;
}

int options_next(struct options *options)
{
    while (options->at < options->word_count) {
        const char *word = options->words[options->at++];
        bool dashes = word[0] == '-' && word[1] != '\0' && !options->only_words;
        if (!dashes) {
            options->value = word;
            return OPTION_WORD;
        }
        if (strcmp(word, "--") == 0) {
            options->only_words = true;
            continue;
        }
        if (word[1] != '-') {
            options_wrong(options, "there is no option %s; options are written out: --name", word);
            return OPTION_WRONG;
        }
        const struct option_spec *spec = take_option(options, word);
        if (spec == NULL)
            return OPTION_WRONG;
        if (!is_common(spec))
            return spec->id;
        if (!take_common(options, spec->id))
            return OPTION_WRONG;
    }
    return OPTION_END;
}

bool options_number(const struct options *options, int64_t min, int64_t max, int64_t *number)
{
    char *end;
    errno = 0;
    long long parsed = strtoll(options->value, &end, 10);
    if (errno == 0 && end != options->value && *end == '\0' && parsed >= min && parsed <= max) {
        *number = parsed;
        return true;
    }
    options_wrong(options, "'%s' is not a whole number from %lld to %lld", options->value,
                  (long long)min, (long long)max);
    return false;
}

bool options_seconds(const struct options *options, int64_t *ms)
{
    char *end;
    double seconds = strtod(options->value, &end);
    if (end != options->value && *end == '\0' && seconds >= 0.001 && seconds <= SECONDS_MAX) {
        *ms = (int64_t)(seconds * 1000);
        return true;
    }
    options_wrong(options, "'%s' is not a number of seconds above 0, at most %d", options->value, SECONDS_MAX);
    return false;
}

bool options_moment(const struct options *options, int64_t *ms)
{
    if (when_parse(options->value, clock_wall_ms(), ms))
        return true;
    options_wrong(options,
                  "'%s' is not a time that was: 30s, 15m, 1h or 2d ago, 06:13, 2026-11-21, "
                  "2026-11-21T06:13:00, the same with Z for UTC, or milliseconds since 1970",
                  options->value);
    return false;
}

const char *options_one_of(const struct options *options, const char *what, const char *const *words,
                           size_t word_count)
{
    for (size_t i = 0; i < word_count; i++)
        if (strcmp(options->value, words[i]) == 0)
            return words[i];
    const char *nearest = text_nearest(text_of(options->value), words, word_count);
    struct buf list = {.bytes = NULL};
    for (size_t i = 0; i < word_count; i++)
        buf_printf(&list, "%s%s", i == 0 ? "" : ", ", words[i]);
    if (nearest != NULL)
        options_wrong(options, "there is no %s '%s'; did you mean '%s'?", what, options->value, nearest);
    else
        options_wrong(options, "there is no %s '%s'; there are: " TEXT_FMT, what, options->value,
                      TEXT_ARG(list));
    buf_fini(&list);
    return NULL;
}

bool options_only_words(struct options *options, const char *what, size_t word_min, size_t word_max,
                        const char *words[])
{
    size_t count = 0;
    for (size_t i = 0; i < word_max; i++)
        words[i] = NULL;
    for (;;) {
        int id = options_next(options);
        if (id == OPTION_WRONG)
            return false;
        if (id == OPTION_END)
            break;
        if (count == word_max) {
            options_wrong(options, "too much: '%s'", options->value);
            return false;
        }
        words[count++] = options->value;
    }
    if (count < word_min)
        options_wrong(options, "%s is missing", what);
    return count >= word_min;
}

void options_print_specs(const struct option_spec *specs, size_t spec_count)
{
    enum { NAME_WIDTH = 24 };
    for (size_t i = 0; i < spec_count; i++) {
        const char *value = specs[i].value;
        int used = printf("  --%s%s%s", specs[i].name, value == NULL ? "" : " ",
                          value == NULL ? "" : value);
        printf("%*s%s\n", used < NAME_WIDTH ? NAME_WIDTH - used : 1, "", specs[i].help);
    }
}

void options_print_common(unsigned set)
{
    for (size_t i = 0; i < COMMON_COUNT; i++)
        if (set & (unsigned)common[i].id)
            options_print_specs(&common[i], 1);
    printf("  --help                this\n");
}

const struct option_spec *options_common(size_t i)
{
    return i < COMMON_COUNT ? &common[i] : NULL;
}

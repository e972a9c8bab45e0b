/* cmd_send.c - `fwsync send DEVICE key=value ...`: a few events typed by a person, in one request. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/base/limits.h"
#include "engine/client/compose.h"
#include "engine/tool/command.h"
#include "engine/tool/send_stream.h"
#include "engine/tool/session.h"

enum { OPT_CLIENT = 1, OPT_SHARED, OPT_SERVER, OPT_TELEMETRY, OPT_TYPE, OPT_SOURCE };

static const struct option_spec specs[] = {
    {OPT_CLIENT, "client", NULL, "what follows is reported by the device (the default)"},
    {OPT_SHARED, "shared", NULL, "what follows is for the device, written by you"},
    {OPT_SERVER, "server", NULL, "what follows is known to the server only, written by you"},
    {OPT_TELEMETRY, "telemetry", NULL, "what follows is telemetry of the device"},
    {OPT_TYPE, "type", "DEVICETYPE", "the device's type, as in ESP32_OTA"},
    {OPT_SOURCE, "source", "NAME", "with `-`: number the lines, so that a rerun applies none twice"},
};

/* What was typed, as far as it is read. */
struct draft {
    const char *device;
    const char *device_type;
    const char *source;
    const char *other; /* the first word or option of what is sent; NULL: none */
    enum scope scope;
    struct field fields[FIELD_COUNT_MAX]; /* of the group that is being read */
    size_t field_count;
    struct buf body;
    size_t event_count;
    struct arena arena;
};

static void finish_group(struct draft *draft)
{
    if (draft->field_count == 0)
        return;
    compose_event(&draft->body, text_of(draft->device), text_of(draft->device_type), draft->scope,
                  draft->fields, draft->field_count);
    draft->field_count = 0;
    draft->event_count++;
}

static bool add_field(const struct options *options, struct draft *draft, const char *word)
{
    struct err err;
    struct field field;
    if (!compose_field(word, &draft->arena, &field, &err)) {
        options_wrong(options, "%s", err.text);
        return false;
    }
    for (size_t i = 0; i < draft->field_count; i++)
        if (text_equal(draft->fields[i].key, field.key)) {
            options_wrong(options, "'" TEXT_FMT "' is given twice", TEXT_ARG(field.key));
            return false;
        }
    if (draft->field_count == FIELD_COUNT_MAX) {
        options_wrong(options, "more than %d values in one event", FIELD_COUNT_MAX);
        return false;
    }
    draft->fields[draft->field_count++] = field;
    return true;
}

static enum scope scope_of(int id)
{
    return id == OPT_CLIENT   ? SCOPE_CLIENT
           : id == OPT_SHARED ? SCOPE_SHARED
           : id == OPT_SERVER ? SCOPE_SERVER
                              : SCOPE_TELEMETRY;
}

/* One pass over the words. The first pass finds device, type and source; the second composes. */
static bool read_words(struct options *options, struct draft *draft, bool compose)
{
    bool device_seen = false;
    draft->scope = SCOPE_CLIENT;
    for (;;) {
        int id = options_next(options);
        if (id == OPTION_WRONG)
            return false;
        if (id == OPTION_END)
            return true;
        if ((id == OPT_TYPE || id == OPT_SOURCE) && options->value[0] == '\0') { /* "$NAME" that was never set */
            options_wrong(options, "the name behind %s is empty", id == OPT_TYPE ? "--type" : "--source");
            return false;
        }
        if (id == OPT_TYPE) {
            draft->device_type = options->value;
        } else if (id == OPT_SOURCE) {
            draft->source = options->value;
        } else if (id == OPTION_WORD && !device_seen) {
            draft->device = options->value;
            device_seen = true;
        } else if (compose && id == OPTION_WORD) {
            if (!add_field(options, draft, options->value))
                return false;
        } else if (compose) {
            finish_group(draft);
            draft->scope = scope_of(id);
        } else if (draft->other == NULL) {
            draft->other = options->words[options->at - 1];
        }
    }
}

/* The answer for a person: what was taken, and what wasn't and why. */
static void print_answer(struct session *session)
{
    int64_t accepted = field_integer(&session->answer, "accepted");
    int64_t first = field_integer(&session->answer, "first");
    int64_t last = field_integer(&session->answer, "last");
    struct value *errors;
    size_t error_count = field_array(session, &session->answer, "errors", &errors);
    for (size_t i = 0; i < error_count; i++) {
        struct fields error = value_object(session, &errors[i]);
        struct text text = screen_clean(field_text(&error, "error"), &session->arena);
        fprintf(stderr, "fwsync send: event %" PRId64 " is rejected: " TEXT_FMT "\n",
                field_integer(&error, "line"), TEXT_ARG(text));
    }
    if (accepted == 1)
        printf("accepted 1 event, seq %" PRId64 "\n", first);
    else if (accepted > 1)
        printf("accepted %" PRId64 " events, seq %" PRId64 " to %" PRId64 "\n", accepted, first, last);
}

static int send_draft(const struct setup *setup, struct draft *draft)
{
    struct session session;
    bool ok;
    session_open(&session, setup, "send");
    if (session_request(&session, CLIENT_EVENTS, buf_text(&draft->body), &ok)) {
        bool counted = fields_get(&session.answer, TEXT("accepted")) != NULL;
        session.exit_code = ok && counted ? EXIT_DONE : EXIT_ERROR;
        if (setup->json)
            session_print_raw(&session);
        else if (!counted) /* refused as a whole, or by no events door */
            session_complain(&session);
        else
            print_answer(&session);
    }
    return session_close(&session);
}

static int send_typed(const struct setup *setup, struct options *options, struct draft *draft)
{
    if (draft->source != NULL)
        return options_wrong(options, "--source numbers lines: it goes with `fwsync send -`");
    if (!read_words(options, draft, true))
        return EXIT_USAGE;
    finish_group(draft);
    if (draft->event_count == 0 && access(draft->device, R_OK) == 0)
        return options_wrong(options, "nothing to send; did you mean: fwsync send - <%s",
                             draft->device);
    if (draft->event_count == 0)
        return options_wrong(options, "nothing to send: fwsync send %s key=value", draft->device);
    if (draft->body.len > REQUEST_BYTES_MAX)
        return options_wrong(options, "more than %d bytes in one request", REQUEST_BYTES_MAX);
    return send_draft(setup, draft);
}

/* False after telling: for `send -` there are words that would be ignored. */
static bool check_only_lines(const struct options *options, const struct draft *draft)
{
    if (draft->device_type[0] != '\0')
        options_wrong(options, "--type goes with a DEVICE; in lines, write \"deviceType\"");
    else if (draft->other != NULL && draft->other[0] == '-')
        options_wrong(options, "%s goes with a DEVICE; lines have \"type\" and \"scope\"", draft->other);
    else if (draft->other != NULL)
        options_wrong(options, "'%s' goes with a DEVICE; lines are whole events", draft->other);
    else
        return true;
    return false;
}

static int run(const struct setup *setup, struct options *options)
{
    static struct draft draft; /* large */
    int first_word = options->at;
    draft = (struct draft){.device_type = ""};
    if (!read_words(options, &draft, false))
        return EXIT_USAGE;
    if (draft.device == NULL)
        return options_wrong(options, "DEVICE is missing (or - for events from standard input)");
    if (strcmp(draft.device, "-") == 0) {
        if (!check_only_lines(options, &draft))
            return EXIT_USAGE;
        const struct send_job job = {
            .command = "send",
            .fd = STDIN_FILENO,
            .line_bytes_max = REQUEST_BYTES_MAX,
            .example = "{\"device\":\"ESP32\",\"type\":\"POST_ATTRIBUTES_REQUEST\","
                       "\"data\":{\"currentFwVer\":\"v1.1\"}}",
            .source = draft.source,
        };
        return send_stream(setup, &job);
    }
    options->at = first_word;
    options->only_words = false;
    arena_init(&draft.arena, 4096);
    int exit_code = send_typed(setup, options, &draft);
    arena_fini(&draft.arena);
    buf_fini(&draft.body);
    return exit_code;
}

const struct command command_send = {
    .name = "send",
    .usage = "DEVICE [--client|--shared|--server|--telemetry] key=value key:=json ...\n"
             "- [--source NAME] <EVENTS",
    .summary = "send events: a device's report, your own writes, or a file of events",
    .details =
        "key=value sends a string, key:=json any JSON: counter:=1, active:=true.\n"
        "--client and the like hold for what follows; all goes in one request, in order.\n"
        "It is on disk when this command is back.\n"
        "\n"
        "  fwsync send ESP32 currentFwVer=v1.1                      what the device runs\n"
        "  fwsync send ESP32 --server lastTargetFwVer=v1.2          what it should run\n"
        "  fwsync send ESP32 --telemetry counter:=17\n"
        "  fwsync send - <fleet.ndjson                              one event a line\n"
        "\n"
        "`send -` keeps the order of the lines, and sends again what wasn't answered, so a line\n"
        "may be applied twice after trouble. With --source, never: line 17 is event 17 of NAME, and\n"
        "fwsyncd takes a number only once. A line that was rejected and then corrected counts as seen\n"
        "if a later one was taken: send it without --source.\n",
    .specs = specs,
    .spec_count = sizeof specs / sizeof specs[0],
    .words = {"DEVICE"},
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_EVENTS,
    .run = run,
};

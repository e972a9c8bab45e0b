/* cmd_rules_judge.c - `fwsync rules judge`: have the active rules look at every device now, and not at its next event.
 *
 * Each device gets an operator's write that writes nothing. They go through the library, each exactly once. */
#include <inttypes.h>
#include <stdio.h>

#include "engine/base/limits.h"
#include "engine/client/fwsync.h"
#include "engine/tool/command.h"
#include "engine/tool/interrupt.h"
#include "engine/tool/progress.h"
#include "engine/tool/session.h"

enum { OPTION_TYPE = 1, OPTION_PREFIX };
static const struct option_spec specs[] = {
    {OPTION_TYPE, "type", "DEVICETYPE", "only devices of this type"},
    {OPTION_PREFIX, "prefix", "TEXT", "only devices whose name begins so"},
};

struct judging {
    struct session session;
    struct fwsync_client *client;
    const char *type, *prefix; /* NULL: any */
    struct progress progress;
    int64_t device_count;
};

/* False after telling why not. */
static bool check(struct judging *judging, enum fwsync_code code)
{
    struct err err;
    if (code == FWSYNC_OK)
        return true;
    progress_clear(&judging->progress);
    err_set(&err, code == FWSYNC_E_TIMEOUT || code == FWSYNC_E_FULL ? ERR_TIMEOUT : ERR_IO, "%s",
            fwsync_last_error(judging->client));
    return session_fail(&judging->session, &err);
}

static bool judge_page(struct judging *judging)
{
    struct session *session = &judging->session;
    struct value *devices;
    size_t count;
    if (!session_list(session, "devices", &devices, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct fields device = value_object(session, &devices[i]);
        struct fwsync_event event = {
            .device = field_text(&device, "device").bytes, /* JSON's texts end with a NUL */
            .type = "ATTRIBUTES_UPDATED",
            .scope = "SERVER_SCOPE",
        };
        if (!check(judging, fwsync_send_event(judging->client, &event, (int)session->setup->timeout_ms)))
            return false;
        progress_show(&judging->progress, ++judging->device_count);
    }
    return !interrupted();
}

static bool judge_all(struct judging *judging)
{
    struct session *session = &judging->session;
    struct buf cursor = {.bytes = NULL};
    bool going;
    do {
        struct buf *question = session_question(session, "devices");
        json_member_integer(question, "limit", LIST_COUNT_MAX);
        if (judging->type != NULL)
            json_member_text(question, "type", text_of(judging->type));
        if (judging->prefix != NULL)
            json_member_text(question, "prefix", text_of(judging->prefix));
        if (cursor.len > 0)
            json_member_raw(question, "cursor", buf_text(&cursor));
        going = session_ask(session) && judge_page(judging);
        session_keep_cursor(session, &cursor);
    } while (going && cursor.len > 0);
    buf_fini(&cursor);
    return going && check(judging, fwsync_flush(judging->client, (int)session->setup->timeout_ms));
}

static void print_sum(const struct judging *judging)
{
    if (judging->session.setup->json)
        printf("{\"ok\":true,\"devices\":%" PRId64 "}\n", judging->device_count);
    else
        printf("%" PRId64 " device%s judged\n", judging->device_count, judging->device_count == 1 ? "" : "s");
}

static int judge(struct judging *judging, const struct setup *setup)
{
    const struct fwsync_options options = {.events = setup->events, .timeout_ms = (int)setup->timeout_ms};
    session_open(&judging->session, setup, "rules judge");
    progress_start(&judging->progress, "devices", 0);
    if (check(judging, fwsync_open(&options, &judging->client))) {
        bool all = judge_all(judging);
        progress_clear(&judging->progress);
        if (all)
            print_sum(judging);
        else if (judging->session.exit_code == EXIT_DONE)
            judging->session.exit_code = EXIT_ERROR;
    }
    fwsync_close(judging->client);
    return session_close(&judging->session);
}

static int run(const struct setup *setup, struct options *options)
{
    struct judging judging = {.client = NULL};
    for (int id; (id = options_next(options)) != OPTION_END;) {
        if (id == OPTION_WRONG)
            return EXIT_USAGE;
        if (id == OPTION_WORD)
            return options_wrong(options, "too much: '%s'", options->value);
        *(id == OPTION_TYPE ? &judging.type : &judging.prefix) = options->value;
    }
    return judge(&judging, setup);
}

const struct command command_rules_judge = {
    .name = "rules judge",
    .usage = "[--type DEVICETYPE] [--prefix TEXT]",
    .summary = "have the active rules look at every device now",
    .details = "Rules run when an event comes, so new ones say nothing of a device before its next. This sends each\n"
               "an operator's write that writes nothing (ATTRIBUTES_UPDATED, SERVER_SCOPE); it counts neither as\n"
               "heard from nor as told anew. Rules that do nothing on it have to wait for the device.\n"
               "\n"
               "  fwsync rules judge\n"
               "  fwsync rules judge --type ESP32_OTA\n",
    .specs = specs,
    .spec_count = sizeof specs / sizeof specs[0],
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_EVENTS | COMMON_QUERY,
    .run = run,
};

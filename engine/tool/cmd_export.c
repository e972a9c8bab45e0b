/* cmd_export.c - `fwsync export`: every device with its attributes, one JSON object a line, all as of one
 * moment. `fwsync import` reads it. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/base/limits.h"
#include "engine/tool/command.h"
#include "engine/tool/interrupt.h"
#include "engine/tool/progress.h"
#include "engine/tool/session.h"

/* The lines are the daemon's own JSON of each device. False after telling, or at the end of the output. */
static bool print_page(struct session *session, int64_t *device_count)
{
    struct value *devices;
    size_t count;
    if (!session_list(session, "devices", &devices, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        fwrite(devices[i].text.bytes, 1, devices[i].text.len, stdout);
        putchar('\n');
    }
    *device_count += (int64_t)count;
    return !ferror(stdout) && !interrupted();
}

static bool export_all(struct session *session, struct progress *progress)
{
    struct buf cursor = {.bytes = NULL};
    int64_t device_count = 0;
    bool going;
    do {
        struct buf *question = session_question(session, "snapshot");
        json_member_integer(question, "limit", LIST_COUNT_MAX);
        if (cursor.len > 0)
            json_member_raw(question, "cursor", buf_text(&cursor));
        progress_clear(progress); /* an error may be told */
        going = session_ask(session) && print_page(session, &device_count);
        progress->total = field_integer(&session->answer, "of");
        progress_show(progress, device_count);
        session_keep_cursor(session, &cursor);
    } while (going && cursor.len > 0);
    buf_fini(&cursor);
    return going;
}

static int run(const struct setup *setup, struct options *options)
{
    if (!options_only_words(options, "", 0, 0, NULL))
        return EXIT_USAGE;
    struct session session;
    struct progress progress;
    session_open(&session, setup, "export");
    progress_start(&progress, "devices", 0);
    progress.enabled &= !isatty(STDOUT_FILENO); /* there it would stand among the lines */
    bool whole = export_all(&session, &progress);
    progress_clear(&progress);
    if (!whole && session.exit_code == EXIT_DONE)
        session.exit_code = EXIT_ERROR;
    return session_close(&session);
}

const struct command command_export = {
    .name = "export",
    .usage = ">FILE",
    .summary = "write every device with its attributes, one JSON object a line",
    .details = "All lines are as of one moment, whatever happens meanwhile. Telemetry, dead letters and history\n"
               "aren't in it: for all of it, `fwsync backup`. Exit code 1: it is not whole.\n"
               "\n"
               "  fwsync export >fleet.ndjson\n"
               "  fwsync export | jq -r 'select(.server.fwSyncState == \"stuck\") | .device'\n",
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY,
    .run = run,
};

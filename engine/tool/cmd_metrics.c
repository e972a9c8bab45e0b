/* cmd_metrics.c - `fwsync metrics`: the daemon's numbers as Prometheus reads them. */
#include <stdio.h>

#include "engine/tool/command.h"
#include "engine/tool/session.h"

static int run(const struct setup *setup, struct options *options)
{
    if (!options_only_words(options, "", 0, 0, NULL))
        return EXIT_USAGE;
    struct session session;
    session_open(&session, setup, "metrics");
    session_question(&session, "metrics");
    if (session_ask(&session) && setup->json) {
        session_print_raw(&session);
    } else if (session.exit_code == EXIT_DONE) {
        struct text text = field_text(&session.answer, "text");
        fwrite(text.bytes, 1, text.len, stdout);
    }
    return session_close(&session);
}

const struct command command_metrics = {
    .name = "metrics",
    .usage = "",
    .summary = "print the daemon's numbers in Prometheus's text format",
    .details = "The same numbers as `fwsync stats`, with histograms of latencies. For a node exporter:\n"
               "\n"
               "  fwsync metrics >/var/lib/node-exporter/fwsync.prom.new &&\n"
               "      mv /var/lib/node-exporter/fwsync.prom.new /var/lib/node-exporter/fwsync.prom\n",
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY,
    .run = run,
};

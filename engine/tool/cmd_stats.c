/* cmd_stats.c - `fwsync stats` and `fwsync ping`: how the daemon is. */
#include <inttypes.h>
#include <stdio.h>

#include "engine/base/clock.h"
#include "engine/tool/command.h"
#include "engine/tool/repeat.h"
#include "engine/tool/session.h"
#include "engine/tool/table.h"

/* The answer's members as rows; those of a nested object as outer.inner. */
static void add_members(struct session *session, struct table *table, struct text outer,
                        const struct fields *fields)
{
    for (size_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        if (outer.len == 0 && text_is(field->key, "ok"))
            continue;
        struct text name = field->key;
        if (outer.len > 0)
            name = arena_format(&session->arena, TEXT_FMT "." TEXT_FMT, TEXT_ARG(outer),
                                TEXT_ARG(field->key));
        if (field->value.kind == VALUE_JSON && field->value.text.bytes[0] == '{') {
            struct fields inner = value_object(session, &field->value);
            add_members(session, table, name, &inner);
            continue;
        }
        table_cell(table, name, STYLE_PLAIN);
        if (field->value.kind == VALUE_INTEGER)
            table_cell_count(table, field->value.integer);
        else
            table_cell(table, value_text(&field->value, &session->arena), STYLE_PLAIN);
    }
}

static int stats_once(const struct setup *setup, void *unused)
{
    (void)unused;
    static const struct table_column columns[] = {{NULL, false}, {NULL, true}};
    struct session session;
    session_open(&session, setup, "stats");
    session_question(&session, "stats");
    if (session_ask(&session) && setup->json) {
        session_print_raw(&session);
    } else if (session.exit_code == EXIT_DONE) {
        struct table *table = table_create(columns, 2, &setup->screen);
        add_members(&session, table, TEXT(""), &session.answer);
        table_print(table, stdout);
        table_destroy(table);
    }
    return session_close(&session);
}

static int run_stats(const struct setup *setup, struct options *options)
{
    if (!options_only_words(options, "", 0, 0, NULL))
        return EXIT_USAGE;
    return repeat(setup, stats_once, NULL);
}

static int run_ping(const struct setup *setup, struct options *options)
{
    if (!options_only_words(options, "", 0, 0, NULL))
        return EXIT_USAGE;
    struct session session;
    session_open(&session, setup, "ping");
    int64_t start_ns = clock_monotonic_ns();
    session_question(&session, "ping");
    if (session_ask(&session)) {
        double took_ms = (double)(clock_monotonic_ns() - start_ns) / 1e6;
        struct text version = field_text(&session.answer, "version");
        if (setup->json)
            session_print_raw(&session);
        else
            printf("fwsyncd " TEXT_FMT " answers at %s in %.1f ms, seq %" PRId64 "\n",
                   TEXT_ARG(version), setup->query, took_ms, field_integer(&session.answer, "seq"));
    }
    return session_close(&session);
}

const struct command command_stats = {
    .name = "stats",
    .usage = "",
    .summary = "show the daemon's counters, sizes and lags",
    .details = "  fwsync stats --watch\n"
               "  fwsync stats | awk '$1 == \"events.rejected\" {print $2}'\n",
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY | COMMON_WATCH,
    .run = run_stats,
};

const struct command command_ping = {
    .name = "ping",
    .usage = "",
    .summary = "ask whether the daemon is there",
    .details = "  fwsync ping && echo it is\n",
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY,
    .run = run_ping,
};

/* cmd_rules_list.c - `fwsync rules list`: which rules are active, and which were. */
#include <stdio.h>

#include "engine/base/limits.h"
#include "engine/tool/command.h"
#include "engine/tool/session.h"
#include "engine/tool/table.h"
#include "engine/tool/when.h"

static void add_activation(struct session *session, struct table *table, const struct value *item, bool is_active)
{
    struct fields activation = value_object(session, item);
    enum screen_style style = is_active ? STYLE_GOOD : STYLE_PLAIN;
    table_cell(table, field_text(&activation, "version"), style);
    table_cell(table, is_active ? TEXT("active") : TEXT("was"), style);
    table_cell(table, when_text(&session->setup->screen, field_integer(&activation, "since"), &session->arena),
               STYLE_PLAIN);
    table_cell(table, field_text(&activation, "by"), STYLE_PLAIN);
    table_cell_seq(table, field_integer(&activation, "activated"));
}

static int run(const struct setup *setup, struct options *options)
{
    static const struct table_column columns[] = {
        {"VERSION", false}, {"NOW", false}, {"SINCE", false}, {"BY", false}, {"SEQ", true}};
    if (!options_only_words(options, "", 0, 0, NULL))
        return EXIT_USAGE;
    struct session session;
    session_open(&session, setup, "rules list");
    struct table *table = table_create(columns, sizeof columns / sizeof columns[0], &setup->screen);
    json_member_integer(session_question(&session, "rules"), "limit", LIST_COUNT_MAX); /* all that are kept */
    if (session_ask(&session)) {
        struct value *activations;
        size_t count = field_array(&session, &session.answer, "activations", &activations);
        for (size_t i = 0; i < count; i++)
            if (setup->json)
                printf(TEXT_FMT "\n", TEXT_ARG(activations[i].text));
            else
                add_activation(&session, table, &activations[i], i == 0);
        table_print(table, stdout);
    }
    table_destroy(table);
    return session_close(&session);
}

const struct command command_rules_list = {
    .name = "rules list",
    .usage = "",
    .summary = "list the rule sets that are and were active",
    .details = "The newest first. BY is `settings`, a folder that the daemon's settings name; `operator`, `rules\n"
               "apply` or `rules rollback`; or `shipped`, fwsync's own. SEQ is the event that made it active.\n"
               "\n"
               "  fwsync rules list\n",
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY,
    .run = run,
};

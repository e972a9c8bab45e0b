/* cmd_deadletters.c - `fwsync deadletters`: messages that no rule could handle, newest first. */
#include <inttypes.h>
#include <stdio.h>

#include "engine/base/limits.h"
#include "engine/tool/command.h"
#include "engine/tool/interrupt.h"
#include "engine/tool/session.h"
#include "engine/tool/table.h"
#include "engine/tool/when.h"

enum { OPT_LIMIT = 1, OPT_ALL };

static const struct option_spec specs[] = {
    {OPT_LIMIT, "limit", "N", "at most N (100)"},
    {OPT_ALL, "all", NULL, "no limit"},
};

struct listing {
    struct session session;
    struct table *table;
    int64_t limit;
    int64_t count;
    int64_t kept; /* by the daemon */
    struct buf cursor;
};

static void add_letter(struct listing *listing, const struct value *item)
{
    struct session *session = &listing->session;
    listing->count++;
    if (session->setup->json) {
        printf(TEXT_FMT "\n", TEXT_ARG(item->text));
        return;
    }
    struct fields letter = value_object(session, item);
    struct text chain = field_text(&letter, "chain");
    struct text node = field_text(&letter, "node");
    struct text place = arena_format(&session->arena, TEXT_FMT "%s" TEXT_FMT, TEXT_ARG(chain),
                                     node.len > 0 ? "/" : "", TEXT_ARG(node));
    table_cell_seq(listing->table, field_integer(&letter, "seq"));
    table_cell(listing->table,
               when_text(&session->setup->screen, field_integer(&letter, "ts"), &session->arena),
               STYLE_PLAIN);
    table_cell(listing->table, field_text(&letter, "device"), STYLE_PLAIN);
    table_cell(listing->table, place, STYLE_PLAIN);
    table_cell(listing->table, field_text(&letter, "error"), STYLE_BAD);
}

static bool list_page(struct listing *listing)
{
    struct session *session = &listing->session;
    int64_t left = listing->limit - listing->count;
    struct buf *question = session_question(session, "deadletters");
    json_member_integer(question, "limit", left < LIST_COUNT_MAX ? left : LIST_COUNT_MAX);
    if (listing->cursor.len > 0)
        json_member_raw(question, "cursor", buf_text(&listing->cursor));
    if (!session_ask(session))
        return false;
    listing->kept = field_integer(&session->answer, "count");
    struct value *letters;
    size_t count;
    if (!session_list(session, "deadletters", &letters, &count))
        return false;
    for (size_t i = 0; i < count; i++)
        add_letter(listing, &letters[i]);
    table_print(listing->table, stdout);
    session_keep_cursor(session, &listing->cursor);
    return true;
}

static void list_all(struct listing *listing)
{
    do
        if (!list_page(listing))
            return;
    while (listing->cursor.len > 0 && listing->count < listing->limit && !interrupted());
    fflush(stdout);
    if (listing->cursor.len > 0)
        fprintf(stderr, "These are the newest %" PRId64 " of %" PRId64 "; for more: --limit N or --all\n",
                listing->count, listing->kept);
    else if (listing->count == 0 && listing->session.setup->screen.tables)
        fprintf(stderr, "No dead letters.\n");
}

static int run(const struct setup *setup, struct options *options)
{
    enum { SEQ, WHEN, DEVICE, PLACE, ERROR };
    static const struct table_column columns[] = {
        [SEQ] = {"SEQ", true},           [WHEN] = {"WHEN", false},   [DEVICE] = {"DEVICE", false},
        [PLACE] = {"CHAIN/NODE", false}, [ERROR] = {"ERROR", false},
    };
    static const unsigned char drop_order[] = {SEQ, PLACE, WHEN};
    struct listing listing = {.limit = LIST_COUNT_DEFAULT};
    for (int id; (id = options_next(options)) != OPTION_END;) {
        if (id == OPTION_WORD)
            return options_wrong(options, "too much: '%s'", options->value);
        if (id == OPTION_WRONG ||
            (id == OPT_LIMIT && !options_number(options, 1, OPTION_COUNT_MAX, &listing.limit)))
            return EXIT_USAGE;
        if (id == OPT_ALL)
            listing.limit = INT64_MAX;
    }
    session_open(&listing.session, setup, "deadletters");
    listing.table = table_create(columns, sizeof columns / sizeof columns[0], &setup->screen);
    table_may_drop(listing.table, drop_order, sizeof drop_order);
    list_all(&listing);
    table_destroy(listing.table);
    buf_fini(&listing.cursor);
    return session_close(&listing.session);
}

const struct command command_deadletters = {
    .name = "deadletters",
    .usage = "[--limit N|--all]",
    .summary = "list messages that a rule could not handle, with the reason",
    .details = "With --json, each comes with its event, ready to be sent again once the rule is mended.\n"
               "\n"
               "  fwsync deadletters --limit 10\n",
    .specs = specs,
    .spec_count = sizeof specs / sizeof specs[0],
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY,
    .run = run,
};

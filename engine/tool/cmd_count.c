/* cmd_count.c - `fwsync count`: how many devices, and how many by an attribute's value; now, or at a time. */
#include <inttypes.h>
#include <stdio.h>

#include "engine/base/clock.h"
#include "engine/client/compose.h"
#include "engine/tool/command.h"
#include "engine/tool/repeat.h"
#include "engine/tool/session.h"
#include "engine/tool/table.h"
#include "engine/tool/tally.h"
#include "engine/tool/verdict.h"
#include "engine/tool/when.h"

enum { OPT_AT = 1 };

static const struct option_spec specs[] = {
    {OPT_AT, "at", "TIME", "as it was: 1h (ago), 06:13, 2026-11-21T06:13:00, ..."},
};

static const struct table_column columns[] = {{NULL, false}, {NULL, true}};

struct wish {
    const char *attribute; /* NULL: by sync state */
    const char *value;     /* NULL: all */
    const char *at;        /* as typed; NULL: now */
};

struct counting {
    struct session session;
    const struct wish *wish;
    int64_t at_ms; /* or TALLY_NOW */
    struct table *table;
};

static void add_count(struct counting *counting, struct text what, int64_t count, enum screen_style style)
{
    table_cell(counting->table, what, style);
    table_cell_count(counting->table, count);
}

/* Pages of a time are differences: with --json the sums are printed instead. */
static void print_json(const struct counting *counting, struct text index, const struct tally *tally)
{
    for (size_t i = 0; i < tally->row_count; i++)
        printf("{\"at\":%" PRId64 ",\"index\":\"" TEXT_FMT "\",\"value\":" TEXT_FMT ",\"count\":%" PRId64 "}\n",
               counting->at_ms, TEXT_ARG(index), TEXT_ARG(tally->rows[i].json), tally->rows[i].count);
}

/* --- count ------------------------------------------------------------------------------------------ */

/* By the index fwStateIsSynced: true, false, and whatever else was written there, or nothing. */
static void add_sync_split(struct counting *counting, const struct tally *tally, int64_t device_count)
{
    struct value yes = value_boolean(true), no = value_boolean(false);
    int64_t synced = tally_count(tally, &yes), unsynced = tally_count(tally, &no);
    add_count(counting, TEXT("synced"), synced, STYLE_GOOD);
    add_count(counting, TEXT("not synced"), unsynced, unsynced > 0 ? STYLE_BAD : STYLE_PLAIN);
    add_count(counting, TEXT("unknown"), device_count - synced - unsynced, STYLE_PLAIN);
}

/* By the index fwSyncState: what isn't plainly synced, from good to bad. */
static void add_states(struct counting *counting, const struct tally *tally)
{
    for (size_t state = 1; state < VERDICT_STATE_COUNT; state++) {
        struct text name = text_of(verdict_states[state]);
        struct value value = value_string(name);
        int64_t count = tally_count(tally, &value);
        if (count > 0)
            add_count(counting, name, count, verdict_style(name));
    }
}

/* An index that may not be there. */
static bool ask_split(struct counting *counting, const char *index, struct tally *tally, bool *indexed)
{
    bool answered =
        tally_ask(tally, &counting->session, text_of(index), counting->at_ms, indexed);
    if (*indexed && counting->session.setup->json && counting->at_ms != TALLY_NOW)
        print_json(counting, text_of(index), tally);
    return answered;
}

/* How many there are now; of another time the sum over an index says it. */
static bool count_now(struct session *session, int64_t *device_count)
{
    session_question(session, "count");
    if (!session_ask(session))
        return false;
    if (session->setup->json)
        session_print_raw(session);
    *device_count = field_integer(&session->answer, "devices");
    return true;
}

static bool count_fleet(struct counting *counting)
{
    struct session *session = &counting->session;
    struct tally synced, states;
    bool has_synced = false, has_states = false, now = counting->at_ms == TALLY_NOW;
    int64_t device_count = 0;
    tally_init(&synced);
    tally_init(&states);
    bool answered = (!now || count_now(session, &device_count)) &&
                    ask_split(counting, "server.fwStateIsSynced", &synced, &has_synced);
    if (answered && !now && !has_synced)
        answered = session_complain(session);
    answered = answered && ask_split(counting, "server.fwSyncState", &states, &has_states);
    if (answered && !session->setup->json) {
        device_count = now ? device_count : tally_total(&synced);
        add_count(counting, TEXT("devices"), device_count, STYLE_HEAD);
        if (has_synced)
            add_sync_split(counting, &synced, device_count);
        if (has_states)
            add_states(counting, &states);
        table_print(counting->table, stdout);
    }
    tally_fini(&synced);
    tally_fini(&states);
    return answered;
}

/* --- count ATTRIBUTE -------------------------------------------------------------------------------- */

static void add_value_row(struct counting *counting, const struct value *value, int64_t count)
{
    struct session *session = &counting->session;
    add_count(counting, screen_value(&session->setup->screen, value, &session->arena), count, STYLE_PLAIN);
}

/* Rows in the order of the values' JSON; devices without a value aren't one. */
static void add_tally(struct counting *counting, const struct tally *tally)
{
    struct session *session = &counting->session;
    for (size_t i = 0; i < tally->row_count; i++) {
        struct value value;
        arena_reset(&session->scratch);
        if (json_parse_value(tally->rows[i].json, &session->scratch, &session->arena, &value, NULL) &&
            value.kind != VALUE_NULL)
            add_value_row(counting, &value, tally->rows[i].count);
    }
}

static bool count_values(struct counting *counting, struct text index)
{
    struct session *session = &counting->session;
    struct tally tally;
    bool ok;
    tally_init(&tally);
    bool answered = tally_ask(&tally, session, index, counting->at_ms, &ok);
    if (answered && !ok)
        answered = session_complain(session);
    if (answered && session->setup->json && counting->at_ms != TALLY_NOW)
        print_json(counting, index, &tally);
    else if (answered && !session->setup->json)
        add_tally(counting, &tally);
    table_print(counting->table, stdout);
    tally_fini(&tally);
    return answered;
}

/* --- count ATTRIBUTE VALUE -------------------------------------------------------------------------- */

/* One reading's count; with --json a line is printed for it. */
static bool count_reading(struct counting *counting, struct text index, const struct tally *then,
                          const struct value *value, int64_t *count)
{
    struct session *session = &counting->session;
    bool ok;
    if (then != NULL) {
        *count = tally_count(then, value);
        return true;
    }
    if (!tally_ask_value(session, index, value, &ok))
        return false;
    *count = field_integer(&session->answer, "count");
    return ok ? true : session_complain(session);
}

static void print_reading(struct counting *counting, struct text index, const struct value *value,
                          int64_t count)
{
    if (!counting->session.setup->json) {
        add_value_row(counting, value, count);
    } else if (counting->at_ms == TALLY_NOW) {
        session_print_raw(&counting->session);
    } else {
        struct buf json = {.bytes = NULL};
        json_value(&json, value);
        struct tally_row row = {buf_text(&json), count};
        print_json(counting, index, &(struct tally){.rows = &row, .row_count = 1});
        buf_fini(&json);
    }
}

/* None has it: perhaps since nothing can. */
static void hint_at_value(struct text index, const char *word)
{
    if (strcmp(word, "yes") == 0 || strcmp(word, "no") == 0)
        fprintf(stderr, "If that is a boolean attribute: write true or false.\n");
    if (!text_is(index, "server.fwSyncState"))
        return;
    const char *nearest = text_nearest(text_of(word), verdict_states, VERDICT_STATE_COUNT);
    if (nearest != NULL && strcmp(nearest, word) != 0)
        fprintf(stderr, "Did you mean '%s'?\n", nearest);
}

/* A row for each reading that counts any device; for none, a row with 0. */
static bool count_readings(struct counting *counting, struct text index, const struct tally *then)
{
    const char *word = counting->wish->value;
    struct arena arena;
    struct value values[2];
    arena_init(&arena, 1024);
    size_t count = compose_readings(word, &arena, values), row_count = 0;
    bool ok = true;
    for (size_t i = count; i-- > 0 && ok;) { /* JSON first; the string is what a 0 is shown for */
        int64_t devices;
        ok = count_reading(counting, index, then, &values[i], &devices);
        if (!ok || (devices == 0 && (i > 0 || row_count > 0)))
            continue;
        print_reading(counting, index, &values[i], devices);
        row_count++;
        if (devices == 0)
            hint_at_value(index, word);
    }
    table_print(counting->table, stdout);
    arena_fini(&arena);
    return ok;
}

static bool count_value(struct counting *counting, struct text index)
{
    struct tally tally;
    bool ok;
    if (counting->at_ms == TALLY_NOW)
        return count_readings(counting, index, NULL);
    tally_init(&tally);
    bool answered = tally_ask(&tally, &counting->session, index, counting->at_ms, &ok);
    if (answered && !ok)
        answered = session_complain(&counting->session);
    answered = answered && count_readings(counting, index, &tally);
    tally_fini(&tally);
    return answered;
}

/* --- the command ------------------------------------------------------------------------------------ */

static int count_once(const struct setup *setup, void *context)
{
    struct counting counting = {.wish = context, .at_ms = TALLY_NOW};
    const struct wish *wish = counting.wish;
    struct buf index = {.bytes = NULL};
    session_open(&counting.session, setup, "count");
    counting.table = table_create(columns, 2, &setup->screen);
    if (wish->at != NULL)
        when_parse(wish->at, clock_wall_ms(), &counting.at_ms); /* was fine before */
    if (wish->attribute == NULL)
        count_fleet(&counting);
    else if (tally_find_index(&counting.session, wish->attribute, &index)) {
        if (wish->value == NULL)
            count_values(&counting, buf_text(&index));
        else
            count_value(&counting, buf_text(&index));
    }
    buf_fini(&index);
    table_destroy(counting.table);
    return session_close(&counting.session);
}

static int run(const struct setup *setup, struct options *options)
{
    struct wish wish = {.attribute = NULL};
    int64_t at_ms;
    for (int id; (id = options_next(options)) != OPTION_END;) {
        if (id == OPTION_WRONG || (id == OPT_AT && !options_moment(options, &at_ms)))
            return EXIT_USAGE;
        if (id == OPT_AT)
            wish.at = options->value;
        else if (wish.attribute == NULL)
            wish.attribute = options->value;
        else if (wish.value == NULL)
            wish.value = options->value;
        else
            return options_wrong(options, "too much: '%s'", options->value);
    }
    return repeat(setup, count_once, &wish);
}

const struct command command_count = {
    .name = "count",
    .usage = "[ATTRIBUTE [VALUE]] [--at TIME]",
    .summary = "count devices, by sync state or by an indexed attribute's value",
    .details = "ATTRIBUTE is an indexed one: fwStateIsSynced, fwSyncState, currentFwVer, lastTargetFwVer, or\n"
               "what fwsyncd was configured to index, with or without `client.`, `shared.` or `server.` in\n"
               "front; or `type`. The numbers are kept, not computed: this is fast for any fleet.\n"
               "VALUE 1.1 means the number and the string; '\"1.1\"', with quotes, only the string.\n"
               "With --at, as it was at that time, as far back as history is kept; this takes longer.\n"
               "\n"
               "  fwsync count\n"
               "  fwsync count currentFwVer\n"
               "  fwsync count client.currentFwVer v1.1\n"
               "  fwsync count --at 1d\n",
    .specs = specs,
    .spec_count = sizeof specs / sizeof specs[0],
    .words = {"ATTRIBUTE", "VALUE"},
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY | COMMON_WATCH,
    .run = run,
};

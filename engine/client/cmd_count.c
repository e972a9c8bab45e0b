/* cmd_count.c - `fwsync count`: how many devices, and how many by an attribute's value. */
#include <inttypes.h>
#include <stdio.h>

#include "engine/base/limits.h"
#include "engine/client/command.h"
#include "engine/client/compose.h"
#include "engine/client/interrupt.h"
#include "engine/client/repeat.h"
#include "engine/client/session.h"
#include "engine/client/table.h"
#include "engine/client/verdict.h"

static const struct table_column columns[] = {{NULL, false}, {NULL, true}};

static void add_count(struct table *table, struct text what, int64_t count, enum screen_style style)
{
    table_cell(table, what, style);
    table_cell_count(table, count);
}

/* --- count ------------------------------------------------------------------------------------------ */

/* `values` as counted by the index fwStateIsSynced: true, false, and whatever else was written there. */
static void add_sync_split(struct session *session, struct table *table)
{
    int64_t synced = 0, unsynced = 0, other = field_integer(&session->answer, "devices");
    struct value *items;
    size_t item_count = field_array(session, &session->answer, "values", &items);
    for (size_t i = 0; i < item_count; i++) {
        struct fields item = value_object(session, &items[i]);
        const struct value *value = fields_get(&item, TEXT("value"));
        int64_t count = field_integer(&item, "count");
        if (value == NULL || value->kind != VALUE_BOOLEAN)
            continue;
        *(value->boolean ? &synced : &unsynced) += count;
        other -= count;
    }
    add_count(table, TEXT("synced"), synced, STYLE_GOOD);
    add_count(table, TEXT("not synced"), unsynced, unsynced > 0 ? STYLE_BAD : STYLE_PLAIN);
    add_count(table, TEXT("unknown"), other, STYLE_PLAIN);
}

/* By the index fwSyncState: what isn't plainly synced, from good to bad. */
static void add_states(struct session *session, struct table *table)
{
    struct value *items;
    size_t item_count = field_array(session, &session->answer, "values", &items);
    int64_t counts[VERDICT_STATE_COUNT] = {0};
    for (size_t i = 0; i < item_count; i++) {
        struct fields item = value_object(session, &items[i]);
        for (size_t state = 0; state < VERDICT_STATE_COUNT; state++)
            if (text_is(field_text(&item, "value"), verdict_states[state]))
                counts[state] = field_integer(&item, "count");
    }
    for (size_t state = 1; state < VERDICT_STATE_COUNT; state++) {
        struct text name = text_of(verdict_states[state]);
        if (counts[state] > 0)
            add_count(table, name, counts[state], verdict_style(name));
    }
}

/* Ask for an index that may not be there, and hand its values to `add`. */
static bool count_split(struct session *session, struct table *table, const char *index,
                        void (*add)(struct session *session, struct table *table))
{
    bool indexed = false;
    json_member_text(session_question(session, "count"), "index", text_of(index));
    bool answered = session_try(session, &indexed);
    if (indexed && session->setup->json)
        session_print_raw(session);
    else if (indexed)
        add(session, table);
    return answered;
}

static bool count_fleet(struct session *session)
{
    session_question(session, "count");
    if (!session_ask(session))
        return false;
    if (session->setup->json)
        session_print_raw(session);
    struct table *table = table_create(columns, 2, &session->setup->screen);
    add_count(table, TEXT("devices"), field_integer(&session->answer, "devices"), STYLE_HEAD);
    bool answered = count_split(session, table, "server.fwStateIsSynced", add_sync_split) &&
                    count_split(session, table, "server.fwSyncState", add_states);
    if (!session->setup->json)
        table_print(table, stdout);
    table_destroy(table);
    return answered;
}

/* --- count ATTRIBUTE -------------------------------------------------------------------------------- */

/* Ask for one page. *ok false: there is no such index, say. */
static bool ask_count(struct session *session, struct text index, const struct value *value,
                      struct text cursor, bool *ok)
{
    struct buf *question = session_question(session, "count");
    json_member_text(question, "index", index);
    if (value != NULL) {
        json_key(question, "value");
        json_value(question, value);
    } else {
        json_member_integer(question, "limit", LIST_COUNT_MAX);
    }
    if (cursor.len > 0)
        json_member_raw(question, "cursor", cursor);
    return session_try(session, ok);
}

/* The full name of the index that the user means: `fwStateIsSynced` is `server.fwStateIsSynced` if
 * there is such an index. False after telling. */
static bool find_index(struct session *session, const char *name, struct buf *index)
{
    static const char *const prefixes[] = {"server.", "client.", "shared.", ""};
    bool full = strchr(name, '.') != NULL || strcmp(name, "type") == 0;
    for (size_t i = full ? 3 : 0; i < 4; i++) {
        struct value probe = value_string(TEXT("-"));
        bool ok;
        buf_clear(index);
        buf_printf(index, "%s%s", prefixes[i], name);
        if (!ask_count(session, buf_text(index), &probe, TEXT(""), &ok))
            return false;
        if (ok)
            return true;
    }
    return session_complain(session);
}

static void add_value_row(struct session *session, struct table *table, const struct value *value,
                          int64_t count)
{
    add_count(table, screen_value(&session->setup->screen, value, &session->arena), count,
              STYLE_PLAIN);
}

static bool count_values(struct session *session, struct text index)
{
    struct table *table = table_create(columns, 2, &session->setup->screen);
    struct buf cursor = {.bytes = NULL};
    bool ok;
    while ((ok = false, ask_count(session, index, NULL, buf_text(&cursor), &ok)) && ok) {
        struct value *items;
        size_t item_count = field_array(session, &session->answer, "values", &items);
        for (size_t i = 0; i < item_count && !session->setup->json; i++) {
            struct fields item = value_object(session, &items[i]);
            const struct value *value = fields_get(&item, TEXT("value"));
            if (value != NULL)
                add_value_row(session, table, value, field_integer(&item, "count"));
        }
        if (session->setup->json)
            session_print_raw(session);
        table_print(table, stdout);
        session_keep_cursor(session, &cursor);
        if (cursor.len == 0 || interrupted())
            break;
    }
    if (!ok && session->exit_code == EXIT_DONE)
        session_complain(session);
    table_destroy(table);
    buf_fini(&cursor);
    return ok;
}

/* --- count ATTRIBUTE VALUE -------------------------------------------------------------------------- */

/* A row for each reading that counts any device; for none, a row with 0. */
static bool count_value(struct session *session, struct text index, const char *word)
{
    struct arena arena;
    struct value values[2];
    arena_init(&arena, 1024);
    struct table *table = table_create(columns, 2, &session->setup->screen);
    size_t count = compose_readings(word, &arena, values), row_count = 0;
    int64_t total = 0;
    bool ok = true;
    for (size_t i = 0; i < count && ok; i++) {
        size_t choice = count - 1 - i; /* JSON first; the string is what a 0 is shown for */
        if (!ask_count(session, index, &values[choice], TEXT(""), &ok) || !ok) {
            ok = ok ? false : session_complain(session);
            break;
        }
        int64_t devices = field_integer(&session->answer, "count");
        total += devices;
        if (devices == 0 && (choice > 0 || row_count > 0))
            continue;
        if (session->setup->json)
            session_print_raw(session);
        else
            add_value_row(session, table, &values[choice], devices);
        row_count++;
    }
    table_print(table, stdout);
    if (ok && total == 0 && (strcmp(word, "yes") == 0 || strcmp(word, "no") == 0))
        fprintf(stderr, "If that is a boolean attribute: write true or false.\n");
    table_destroy(table);
    arena_fini(&arena);
    return ok;
}

static int count_once(const struct setup *setup, void *context)
{
    const char *const *words = context;
    struct session session;
    struct buf index = {.bytes = NULL};
    session_open(&session, setup, "count");
    if (words[0] == NULL)
        count_fleet(&session);
    else if (find_index(&session, words[0], &index)) {
        if (words[1] == NULL)
            count_values(&session, buf_text(&index));
        else
            count_value(&session, buf_text(&index), words[1]);
    }
    buf_fini(&index);
    return session_close(&session);
}

static int run(const struct setup *setup, struct options *options)
{
    const char *words[2];
    if (!options_only_words(options, "", 0, 2, words))
        return EXIT_USAGE;
    return repeat(setup, count_once, words);
}

const struct command command_count = {
    .name = "count",
    .usage = "[ATTRIBUTE [VALUE]]",
    .summary = "count devices, by sync state or by an indexed attribute's value",
    .details = "ATTRIBUTE is an indexed one: fwStateIsSynced, fwSyncState, currentFwVer, lastTargetFwVer, or\n"
               "what fwsyncd was configured to index, with or without `client.`, `shared.` or `server.` in\n"
               "front; or `type`. The numbers are kept, not computed: this is fast for any fleet.\n"
               "VALUE 1.1 means the number and the string; '\"1.1\"', with quotes, only the string.\n"
               "\n"
               "  fwsync count\n"
               "  fwsync count currentFwVer\n"
               "  fwsync count client.currentFwVer v1.1\n",
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY | COMMON_WATCH,
    .run = run,
};

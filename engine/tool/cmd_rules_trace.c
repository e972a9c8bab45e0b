/* cmd_rules_trace.c - `fwsync rules trace DEVICE`: each node that an event passed, what changed there, and what
 * became of the message.
 *
 * A person gets a table; a program gets a line for each piece, whose first cell says what it is: event, said, saved,
 * step, data, metadata, published, result, cut. What a node did stands behind its step. */
#include <inttypes.h>
#include <stdio.h>

#include "engine/tool/command.h"
#include "engine/tool/event_view.h"
#include "engine/tool/table.h"

struct view {
    struct session *session;
    struct fields trace; /* the answer's */
    struct table *table; /* NULL: lines for a program */
    struct text chain, node, type, relation; /* of the step; all " " once they were printed, or between steps */
    bool had_effect;
};

/* --- pieces --- */

static struct text shown(struct view *view, const struct fields *effect, const char *side)
{
    const struct value *value = fields_get(effect, text_of(side));
    return value == NULL ? TEXT("") : screen_value(&view->session->setup->screen, value, &view->session->arena);
}

/* "client.currentFwVer: v1.0 -> v1.1" */
static struct text sentence(struct view *view, const struct fields *effect, struct text name)
{
    struct text old = shown(view, effect, "old"), new = shown(view, effect, "new");
    bool had_old = fields_get(effect, TEXT("old")) != NULL;
    if (fields_get(effect, TEXT("new")) == NULL)
        new = TEXT("gone");
    return arena_format(&view->session->arena, TEXT_FMT ": " TEXT_FMT "%s" TEXT_FMT, TEXT_ARG(name), TEXT_ARG(old),
                        had_old ? " -> " : "", TEXT_ARG(new));
}

static void add_row(struct view *view, struct text text)
{
    static const struct text blank = {" ", 1};
    bool first = !view->had_effect;
    view->had_effect = true;
    table_cell(view->table, first ? view->chain : blank, STYLE_PLAIN);
    table_cell(view->table, first ? view->node : blank, STYLE_PLAIN);
    table_cell(view->table, first ? view->type : blank, STYLE_DIM);
    table_cell(view->table, first ? view->relation : blank, STYLE_PLAIN);
    table_cell(view->table, text, STYLE_PLAIN);
}

/* What a node did: `old` and `new` of something, either may be missing. */
static void show_effect(struct view *view, struct text kind, const struct fields *effect, struct text name)
{
    if (view->table != NULL)
        add_row(view, sentence(view, effect, name));
    else
        PRINT_CELLS(view->session, kind, name, shown(view, effect, "old"), shown(view, effect, "new"));
}

/* Attributes that were saved or deleted. */
static void show_changes(struct view *view, const struct fields *from, const char *member)
{
    struct value *changes;
    size_t count = field_array(view->session, from, member, &changes);
    for (size_t i = 0; i < count; i++) {
        struct fields change = value_object(view->session, &changes[i]);
        struct text scope = event_scope(&change), key = field_text(&change, "key");
        show_effect(view, TEXT("saved"), &change,
                    arena_format(&view->session->arena, TEXT_FMT "." TEXT_FMT, TEXT_ARG(scope), TEXT_ARG(key)));
    }
}

/* Members of the message that are otherwise now. */
static void show_members(struct view *view, const struct fields *step)
{
    struct value *members;
    size_t count = field_array(view->session, step, "message", &members);
    for (size_t i = 0; i < count; i++) {
        struct fields member = value_object(view->session, &members[i]);
        struct text in = field_text(&member, "in"), key = field_text(&member, "key");
        if (view->table != NULL) /* as patterns name it */
            key = arena_format(&view->session->arena, text_is(in, "data") ? "$[" TEXT_FMT "]" : "${" TEXT_FMT "}",
                               TEXT_ARG(key));
        show_effect(view, in, &member, key);
    }
}

/* That a node which is there for it publishes nothing is what people look for. */
static void show_published(struct view *view, const struct fields *step)
{
    struct text class_name = field_text(step, "published");
    bool meant_to = text_is(field_text(step, "type"), "publish");
    if (view->table == NULL && (class_name.len > 0 || meant_to))
        PRINT_CELLS(view->session, TEXT("published"), class_name);
    else if (class_name.len > 0)
        add_row(view, arena_format(&view->session->arena, "published: " TEXT_FMT, TEXT_ARG(class_name)));
    else if (meant_to)
        add_row(view, TEXT("not published: nothing was changed"));
}

/* --- the way --- */

static void begin_step(struct view *view, const struct fields *step)
{
    view->chain = field_text(step, "chain");
    view->node = field_text(step, "node");
    view->type = field_text(step, "type");
    view->relation = field_text(step, "relation");
    view->had_effect = false;
    if (view->table == NULL)
        PRINT_CELLS(view->session, TEXT("step"), view->chain, view->node, view->type, view->relation);
}

static void show_saved(struct view *view)
{
    view->chain = view->node = view->relation = TEXT(" ");
    view->type = TEXT("an operator's write");
    view->had_effect = false;
    show_changes(view, &view->trace, "saved");
}

static void show_path(struct view *view)
{
    struct value *steps;
    size_t count = field_array(view->session, &view->trace, "path", &steps);
    for (size_t i = 0; i < count; i++) {
        struct fields step = value_object(view->session, &steps[i]);
        begin_step(view, &step);
        show_changes(view, &step, "changes");
        show_members(view, &step);
        show_published(view, &step);
        if (view->table != NULL && !view->had_effect)
            add_row(view, TEXT(""));
    }
}

/* Changed attributes are results, too, but stand where they were changed. */
static void show_results(struct view *view)
{
    struct session *session = view->session;
    struct value *results;
    size_t count = field_array(session, &view->trace, "results", &results);
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        struct fields result = value_object(session, &results[i]);
        struct text class_name = field_text(&result, "class");
        if (text_is(class_name, "attributes"))
            continue;
        struct text json = field_json(&result, text_is(class_name, "deadletter") ? "error" : "data");
        if (view->table == NULL) {
            PRINT_CELLS(session, TEXT("result"), class_name, json);
            continue;
        }
        printf("%s  " TEXT_FMT " " TEXT_FMT "\n", any ? "" : "\nPublished\n",
               TEXT_ARG(screen_clean(class_name, &session->arena)), TEXT_ARG(screen_clean(json, &session->arena)));
        any = true;
    }
}

/* --- the answer --- */

static void print_lines(struct session *session)
{
    struct view view = {.session = session, .trace = field_object(session, &session->answer, "trace")};
    PRINT_CELLS(session, TEXT("event"), event_number(session, &view.trace), field_text(&view.trace, "type"),
                event_came(session, &view.trace), field_text(&view.trace, "rules"));
    struct fields event = field_object(session, &view.trace, "event");
    PRINT_CELLS(session, TEXT("said"), field_json(&event, "data"), field_json(&event, "metadata"));
    show_saved(&view);
    show_path(&view);
    show_results(&view);
    if (field_boolean(&view.trace, "cut"))
        PRINT_CELLS(session, TEXT("cut"));
}

static void print_answer(struct session *session)
{
    static const struct table_column columns[] = {
        {"CHAIN", false}, {"NODE", false}, {"NODE TYPE", false}, {"RELATION", false}, {"WHAT IT DID", false}};
    static const unsigned char drop_order[] = {2};
    struct view view = {
        .session = session,
        .trace = field_object(session, &session->answer, "trace"),
        .table = table_create(columns, sizeof columns / sizeof columns[0], &session->setup->screen),
    };
    table_may_drop(view.table, drop_order, sizeof drop_order);
    struct text type = screen_clean(field_text(&view.trace, "type"), &session->arena);
    struct text rules = screen_clean(field_text(&view.trace, "rules"), &session->arena);
    printf("Event " TEXT_FMT " (" TEXT_FMT ", " TEXT_FMT ") under rules " TEXT_FMT "\n",
           TEXT_ARG(event_number(session, &view.trace)), TEXT_ARG(type), TEXT_ARG(event_came(session, &view.trace)),
           TEXT_ARG(rules));
    event_print_data(session, &view.trace);
    putchar('\n');
    show_saved(&view);
    show_path(&view);
    table_print(view.table, stdout);
    table_destroy(view.table);
    show_results(&view);
    if (field_boolean(&view.trace, "cut"))
        puts("\nThe message became too large to be shown at every node.");
}

static int trace(const struct setup *setup, const char *device, int64_t event)
{
    struct session session;
    session_open(&session, setup, "rules trace");
    struct buf *question = session_question(&session, "trace");
    json_member_text(question, "device", text_of(device));
    if (event > 0)
        json_member_integer(question, "event", event);
    if (session_ask(&session)) {
        if (setup->json)
            session_print_raw(&session);
        else if (setup->screen.tables)
            print_answer(&session);
        else
            print_lines(&session);
    }
    return session_close(&session);
}

enum { OPTION_EVENT = 1 };
static const struct option_spec specs[] = {
    {OPTION_EVENT, "event", "SEQ", "that event, of this device; else the newest that changed it"},
};

static int run(const struct setup *setup, struct options *options)
{
    const char *device = NULL;
    int64_t event = 0;
    for (int id; (id = options_next(options)) != OPTION_END;) {
        if (id == OPTION_WRONG || (id == OPTION_EVENT && !options_number(options, 1, INT64_MAX, &event)))
            return EXIT_USAGE;
        if (id == OPTION_WORD && device != NULL)
            return options_wrong(options, "too much: '%s'", options->value);
        if (id == OPTION_WORD)
            device = options->value;
    }
    if (device == NULL)
        return options_wrong(options, "DEVICE is missing");
    return trace(setup, device, event);
}

const struct command command_rules_trace = {
    .name = "rules trace",
    .usage = "DEVICE [--event SEQ]",
    .summary = "show what an event did at each node of the rules",
    .details = "The event is run once more on the device as it was, through the rules of that time, and leaves no\n"
               "trace. Of the message, $[...] is data and ${...} metadata. What telemetry there was before isn't\n"
               "known. In a pipe each line begins with what it is: event, said, saved, step, data, metadata,\n"
               "published, result, cut; what a node did stands behind its step.\n"
               "\n"
               "  fwsync rules trace ESP32\n"
               "  fwsync rules trace ESP32 --event 17\n",
    .specs = specs,
    .spec_count = sizeof specs / sizeof specs[0],
    .words = {"DEVICE"},
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY,
    .run = run,
};

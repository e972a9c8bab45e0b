/* cmd_explain.c - `fwsync explain DEVICE`: the verdict on a device, what it rests on, how the rules came to it,
 * and what would make it synced.
 *
 * A person gets sentences and tables; a program gets a line for each piece, whose first cell says what it
 * is: verdict, fact, event, later, step, remedy. */
#include <stdio.h>

#include "engine/tool/command.h"
#include "engine/tool/event_view.h"
#include "engine/tool/repeat.h"
#include "engine/tool/session.h"
#include "engine/tool/table.h"
#include "engine/tool/verdict.h"

/* --- pieces --- */

static struct text value_of(struct session *session, const struct fields *fact)
{
    const struct value *value = fields_get(fact, TEXT("value"));
    return value == NULL ? TEXT("-")
                         : screen_value(&session->setup->screen, value, &session->arena);
}

/* "the device", "an operator", "the rules". */
static struct text author(const struct fields *fact)
{
    struct text by = field_text(fact, "by");
    return text_is(by, "operator") ? TEXT("an operator")
           : text_is(by, "device") ? TEXT("the device")
           : text_is(by, "rules")  ? TEXT("the rules")
                                   : by;
}

/* --- for a program --- */

static void print_verdict_line(struct session *session)
{
    struct fields verdict = field_object(session, &session->answer, "verdict");
    const struct value *synced = fields_get(&verdict, TEXT("synced"));
    PRINT_CELLS(session, TEXT("verdict"),
                synced == NULL ? TEXT("-")
                               : screen_value(&session->setup->screen, synced, &session->arena),
                field_text(&verdict, "state"), event_when(session, &verdict, "since"),
                field_text(&verdict, "reason"), event_when(session, &verdict, "stageSince"));
}

static void print_fact_lines(struct session *session)
{
    struct value *facts;
    size_t count = field_array(session, &session->answer, "facts", &facts);
    for (size_t i = 0; i < count; i++) {
        struct fields fact = value_object(session, &facts[i]);
        PRINT_CELLS(session, TEXT("fact"), event_scope(&fact), field_text(&fact, "key"),
                    value_of(session, &fact), event_came(session, &fact), field_text(&fact, "by"),
                    field_text(&fact, "type"), event_number(session, &fact), session_source(session, &fact));
    }
}

static void print_event_lines(struct session *session, const char *member, const char *first)
{
    struct fields event = field_object(session, &session->answer, member);
    struct value *steps;
    size_t count = field_array(session, &event, "path", &steps);
    if (event.count == 0)
        return;
    PRINT_CELLS(session, text_of(first), event_number(session, &event), field_text(&event, "type"),
                event_came(session, &event), field_text(&event, "rules"), field_text(&event, "missing"));
    for (size_t i = 0; i < count; i++) {
        struct fields step = value_object(session, &steps[i]);
        PRINT_CELLS(session, TEXT("step"), field_text(&step, "chain"), field_text(&step, "node"),
                    field_text(&step, "type"), field_text(&step, "relation"));
    }
}

static void print_lines(struct session *session)
{
    print_verdict_line(session);
    print_fact_lines(session);
    print_event_lines(session, "decided", "event");
    print_event_lines(session, "later", "later");
    PRINT_CELLS(session, TEXT("remedy"), field_text(&session->answer, "remedy"));
}

/* --- for a person --- */

static void print_text(struct session *session, struct text text, enum screen_style style)
{
    const struct screen *screen = &session->setup->screen;
    text = screen_clean(text, &session->arena);
    printf("%s" TEXT_FMT "%s", screen_style(screen, style), TEXT_ARG(text), screen_plain(screen, style));
}

static void print_verdict(struct session *session)
{
    struct fields verdict = field_object(session, &session->answer, "verdict");
    struct text state = field_text(&verdict, "state"), reason = field_text(&verdict, "reason");
    const struct value *synced = fields_get(&verdict, TEXT("synced"));
    bool known = synced != NULL && synced->kind == VALUE_BOOLEAN;
    print_text(session, field_text(&session->answer, "device"), STYLE_HEAD);
    printf(" (" TEXT_FMT ") ",
           TEXT_ARG(screen_clean(field_text(&session->answer, "deviceType"), &session->arena)));
    if (!known)
        print_text(session, TEXT("has no verdict yet"), STYLE_DIM);
    else if (synced->boolean)
        print_text(session, TEXT("is in sync"), STYLE_GOOD);
    else
        print_text(session, TEXT("is not in sync"), STYLE_BAD);
    if (state.len > 0 && !text_is(state, "synced")) {
        fputs(": ", stdout);
        print_text(session, state, verdict_style(state));
    }
    if (field_integer(&verdict, "since") > 0)
        printf(", since " TEXT_FMT, TEXT_ARG(event_when(session, &verdict, "since")));
    if (field_integer(&verdict, "stageSince") > 0)
        printf("; the stage began " TEXT_FMT, TEXT_ARG(event_when(session, &verdict, "stageSince")));
    putchar('\n');
    if (reason.len > 0) {
        print_text(session, reason, STYLE_PLAIN);
        putchar('\n');
    }
}

static void print_facts(struct session *session)
{
    enum { WHERE, KEY, VALUE, WRITTEN, BY, EVENT, SEQ, SOURCE };
    static const struct table_column columns[] = {
        [WHERE] = {"WHERE", false}, [KEY] = {"KEY", false},     [VALUE] = {"VALUE", false},
        [WRITTEN] = {"WRITTEN", false}, [BY] = {"BY", false},   [EVENT] = {"EVENT", false},
        [SEQ] = {"SEQ", true},      [SOURCE] = {"SOURCE", false},
    };
    static const unsigned char drop_order[] = {SOURCE, EVENT, SEQ, BY};
    struct value *facts;
    size_t count = field_array(session, &session->answer, "facts", &facts);
    struct table *table = table_create(columns, sizeof columns / sizeof columns[0], &session->setup->screen);
    table_may_drop(table, drop_order, sizeof drop_order);
    for (size_t i = 0; i < count; i++) {
        struct fields fact = value_object(session, &facts[i]);
        table_cell(table, event_scope(&fact), STYLE_DIM);
        table_cell(table, field_text(&fact, "key"), STYLE_PLAIN);
        table_cell(table, value_of(session, &fact), STYLE_PLAIN);
        table_cell(table, event_came(session, &fact), STYLE_PLAIN);
        table_cell(table, author(&fact), STYLE_PLAIN);
        table_cell(table, field_text(&fact, "type"), STYLE_PLAIN);
        table_cell(table, event_number(session, &fact), STYLE_PLAIN);
        table_cell(table, session_source(session, &fact), STYLE_PLAIN);
    }
    if (count > 0)
        puts("\nIt rests on");
    table_print(table, stdout);
    table_destroy(table);
}

static void print_path(struct session *session, const struct fields *event)
{
    static const struct table_column columns[] = {
        {"CHAIN", false}, {"NODE", false}, {"NODE TYPE", false}, {"RELATION", false}};
    struct value *steps;
    size_t count = field_array(session, event, "path", &steps);
    struct table *table = table_create(columns, 4, &session->setup->screen);
    for (size_t i = 0; i < count; i++) {
        struct fields step = value_object(session, &steps[i]);
        table_cell(table, field_text(&step, "chain"), STYLE_PLAIN);
        table_cell(table, field_text(&step, "node"), STYLE_PLAIN);
        table_cell(table, field_text(&step, "type"), STYLE_DIM);
        table_cell(table, field_text(&step, "relation"), STYLE_PLAIN);
    }
    table_print(table, stdout);
    table_destroy(table);
}

/* "event 17 (ATTRIBUTES_UPDATED, 3 min ago) under rules 3135bbc", and below it how it went. */
static void print_event(struct session *session, const struct fields *event)
{
    struct text type = screen_clean(field_text(event, "type"), &session->arena);
    struct text rules = screen_clean(field_text(event, "rules"), &session->arena);
    struct text missing = screen_clean(field_text(event, "missing"), &session->arena);
    printf("event " TEXT_FMT " (" TEXT_FMT "%s" TEXT_FMT ")", TEXT_ARG(event_number(session, event)), TEXT_ARG(type),
           type.len > 0 ? ", " : "", TEXT_ARG(event_came(session, event)));
    if (rules.len > 0)
        printf(" under rules " TEXT_FMT, TEXT_ARG(rules));
    if (missing.len > 0)
        printf(", which can't be run again: " TEXT_FMT, TEXT_ARG(missing));
    putchar('\n');
    event_print_data(session, event);
    print_path(session, event);
}

static void print_decision(struct session *session)
{
    struct fields decided = field_object(session, &session->answer, "decided");
    if (decided.count == 0)
        return;
    fputs("\nDecided by ", stdout);
    print_event(session, &decided);
    struct fields later = field_object(session, &session->answer, "later");
    if (later.count == 0)
        return;
    fputs("\nThe newest that can be run again is ", stdout);
    print_event(session, &later);
}

static void print_answer(struct session *session)
{
    struct text remedy = field_text(&session->answer, "remedy");
    print_verdict(session);
    print_facts(session);
    print_decision(session);
    if (remedy.len > 0)
        printf("\nRemedy: " TEXT_FMT "\n", TEXT_ARG(screen_clean(remedy, &session->arena)));
}

/* --- the command --- */

static int explain_once(const struct setup *setup, void *context)
{
    const char *const *words = context;
    struct session session;
    session_open(&session, setup, "explain");
    json_member_text(session_question(&session, "explain"), "device", text_of(words[0]));
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

static int run(const struct setup *setup, struct options *options)
{
    const char *words[1];
    if (!options_only_words(options, "DEVICE", 1, 1, words))
        return EXIT_USAGE;
    return repeat(setup, explain_once, words);
}

const struct command command_explain = {
    .name = "explain",
    .usage = "DEVICE",
    .summary = "tell why a device is in sync or not, and what to do",
    .details = "The verdict and its reason, the attributes that it rests on with who wrote them and when, the\n"
               "way through the rules that led to it, and what would make the device synced. In a pipe each\n"
               "line begins with what it is: verdict, fact, event, later, step, remedy.\n"
               "\n"
               "  fwsync explain ESP32\n"
               "  fwsync explain ESP32 | awk -F'\\t' '$1 == \"remedy\" {print $2}'\n",
    .words = {"DEVICE"},
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY | COMMON_WATCH,
    .run = run,
};

#include "rules/trial.h"

#include "engine/base/buf.h"
#include "engine/base/clock.h"

#define START_MS INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */

struct attempt {
    const struct trial *trial;
    struct simulator *simulator;
    struct arena *arena;
    struct trial_outcome outcome;
    const struct note *before; /* the note before the last send or wait; NULL: there is none */
};

/* --- what is shown ---------------------------------------------------------------------------------- */

/* One line of what rules and tests hold. */
static struct text line_of(struct buf *buf)
{
    buf_byte(buf, '\0');
    text_to_line(buf->bytes);
    return text_of(buf->bytes);
}

/* Without the end of a long one. */
static void show_cut(struct buf *out, struct text text)
{
    enum { SHOWN_BYTES = 400 };
    buf_printf(out, TEXT_FMT "%s", TEXT_CUT(text, SHOWN_BYTES), text.len > SHOWN_BYTES ? "..." : "");
}

static struct text shown(const struct attempt *attempt, const struct value *value)
{
    struct buf json = {.arena = attempt->arena}, out = {.arena = attempt->arena};
    if (value == NULL || value->kind == VALUE_NULL)
        return TEXT("nothing");
    json_value(&json, value);
    show_cut(&out, buf_text(&json));
    return line_of(&out);
}

static const char *letter_name(const struct attempt *attempt, struct text chain, struct text node)
{
    return chain.len == 0 ? "engine"
                          : arena_format(attempt->arena, TEXT_FMT "/" TEXT_FMT, TEXT_ARG(chain), TEXT_ARG(node)).bytes;
}

/* A change of a value, a result, a dead letter, a line of a log, or the node that a message left. */
static void show_note(const struct attempt *attempt, struct buf *out, const struct note *note)
{
    char when[CLOCK_ISO_BYTES];
    switch (note->kind) {
    case NOTE_EVENTS:
        clock_iso(note->at_ms, when);
        buf_printf(out, "%s " TEXT_FMT " of " TEXT_FMT, when, TEXT_ARG(note->name), TEXT_ARG(note->device));
        break;
    case NOTE_CHANGES:
        buf_printf(out, "  %s %s." TEXT_FMT, note->value.kind == VALUE_NULL ? "deleted" : "saved",
                   scope_short(note->scope), TEXT_ARG(note->key));
        if (note->value.kind != VALUE_NULL)
            buf_printf(out, " = " TEXT_FMT, TEXT_ARG(shown(attempt, &note->value)));
        break;
    case NOTE_RESULTS:
        buf_printf(out, "  published " TEXT_FMT " ", TEXT_ARG(note->name));
        show_cut(out, note->text);
        break;
    case NOTE_DEAD_LETTERS:
        buf_printf(out, "  dead letter of %s: " TEXT_FMT, letter_name(attempt, note->chain, note->node),
                   TEXT_ARG(note->text));
        break;
    case NOTE_LOGS:
        buf_printf(out, "  logged ");
        show_cut(out, note->text);
        break;
    case NOTE_STEPS:
        buf_printf(out, "  left " TEXT_FMT "/" TEXT_FMT " (" TEXT_FMT ")%s" TEXT_FMT, TEXT_ARG(note->chain),
                   TEXT_ARG(note->node), TEXT_ARG(note->text), note->name.len > 0 ? " by " : "",
                   TEXT_ARG(note->name));
        break;
    }
}

static struct text note_line(const struct attempt *attempt, const struct note *note)
{
    struct buf line = {.arena = attempt->arena};
    show_note(attempt, &line, note);
    return line_of(&line);
}

/* What happened since the last send, and what time it is if some has passed. Of a long story the end matters most. */
static void tell_story(struct attempt *attempt)
{
    const struct note *first = simulator_notes(attempt->simulator);
    struct text *lines = arena_alloc(attempt->arena, TRIAL_STORY_LINES_MAX * sizeof *lines);
    size_t count = 0, told = 0, at = 0;
    int64_t last_ms = START_MS, now_ms = simulator_now_ms(attempt->simulator);
    for (const struct note *note = first; note != NULL; note = note->next, count++)
        last_ms = note->at_ms;
    enum { ROOM = TRIAL_STORY_LINES_MAX - 2 };
    size_t left_out = count > ROOM ? count - ROOM : 0;
    for (const struct note *note = first; note != NULL; note = note->next, at++) {
        if (at == 0 || at > left_out)
            lines[told++] = note_line(attempt, note);
        if (at == 0 && left_out > 0)
            lines[told++] = arena_format(attempt->arena, "  ... %zu lines more", left_out);
    }
    if (now_ms > last_ms) {
        char now[CLOCK_ISO_BYTES];
        clock_iso(now_ms, now);
        lines[told++] = arena_format(attempt->arena, "%s now", now);
    }
    attempt->outcome.story = lines;
    attempt->outcome.story_count = told;
}

/* --- failures --------------------------------------------------------------------------------------- */

static bool fail(struct attempt *attempt, struct place place, struct text what)
{
    struct buf line = {.arena = attempt->arena};
    buf_printf(&line, "%s:%u:%u: " TEXT_FMT ": " TEXT_FMT, place.file, place.line, place.column,
               TEXT_ARG(attempt->trial->name), TEXT_ARG(what));
    attempt->outcome.error = line_of(&line);
    tell_story(attempt);
    return false;
}
#define FAIL(attempt, place, ...) fail(attempt, place, arena_format((attempt)->arena, __VA_ARGS__))

/* The next note of this kind, from `note` on; or NULL. */
static const struct note *next_of(const struct note *note, unsigned kind)
{
    while (note != NULL && note->kind != kind)
        note = note->next;
    return note;
}

/* The first of this kind since the last send or wait, or NULL. */
static const struct note *first_of(const struct attempt *attempt, unsigned kind)
{
    return next_of(attempt->before != NULL ? attempt->before->next : simulator_notes(attempt->simulator), kind);
}

/* --- the steps -------------------------------------------------------------------------------------- */

static bool check_unexpected_letters(struct attempt *attempt, const struct trial_step *step)
{
    const struct note *letter = first_of(attempt, NOTE_DEAD_LETTERS);
    return step->letters_expected || letter == NULL ||
           FAIL(attempt, step->place, "a dead letter that no step expects, of %s: " TEXT_FMT,
                letter_name(attempt, letter->chain, letter->node), TEXT_ARG(letter->text));
}

static bool run_send(struct attempt *attempt, const struct trial_step *step)
{
    simulator_clear_notes(attempt->simulator);
    attempt->before = NULL;
    simulator_apply(attempt->simulator, &step->event, simulator_now_ms(attempt->simulator));
    return check_unexpected_letters(attempt, step);
}

static bool run_wait(struct attempt *attempt, const struct trial_step *step)
{
    struct err err;
    const struct note *note = attempt->before != NULL ? attempt->before : simulator_notes(attempt->simulator);
    for (; note != NULL; note = note->next)
        attempt->before = note;
    if (!simulator_pass(attempt->simulator, simulator_now_ms(attempt->simulator) + step->wait_ms, &err))
        return FAIL(attempt, step->place, "wait: %s", err.text);
    return check_unexpected_letters(attempt, step);
}

/* whose  " of E1", or ""
 * found  NULL: nothing */
static bool check_member(struct attempt *attempt, const struct trial_member *member, const char *whose,
                         const struct value *found)
{
    bool none = found == NULL || found->kind == VALUE_NULL;
    if (none ? member->value.kind == VALUE_NULL : value_equal(found, &member->value))
        return true;
    struct text expected = shown(attempt, &member->value), there = shown(attempt, found);
    return FAIL(attempt, member->place, TEXT_FMT "%s: expected " TEXT_FMT ", found " TEXT_FMT, TEXT_ARG(member->name),
                whose, TEXT_ARG(expected), TEXT_ARG(there));
}

static const char *of(const struct attempt *attempt, struct text name)
{
    return arena_format(attempt->arena, " of " TEXT_FMT, TEXT_ARG(name)).bytes;
}

static bool run_expect(struct attempt *attempt, const struct trial_step *step)
{
    const struct simulated_device *device = simulator_find(attempt->simulator, step->device);
    const char *whose = text_is(step->device, "device") ? "" : of(attempt, step->device);
    for (size_t i = 0; i < step->members.count; i++) {
        const struct trial_member *member = &step->members.items[i];
        const struct simulated_value *stored = simulated_get(device, member->scope, member->key);
        if (!check_member(attempt, member, whose, stored == NULL ? NULL : &stored->value))
            return false;
    }
    return true;
}

static bool check_result(struct attempt *attempt, const struct trial_result *result, const struct note *note)
{
    struct fields data = {.count = 0};
    const char *whose = of(attempt, result->class_name);
    if (!text_equal(result->class_name, note->name))
        return FAIL(attempt, result->place, "publishes: expected " TEXT_FMT ", found " TEXT_FMT,
                    TEXT_ARG(result->class_name), TEXT_ARG(note->name));
    json_parse_object(note->text, attempt->arena, attempt->arena, &data, NULL); /* it was written by us */
    for (size_t i = 0; i < result->data.count; i++)
        if (!check_member(attempt, &result->data.items[i], whose, fields_get(&data, result->data.items[i].key)))
            return false;
    return true;
}

static bool run_publishes(struct attempt *attempt, const struct trial_step *step)
{
    const struct note *note = first_of(attempt, NOTE_RESULTS);
    for (size_t i = 0; i < step->result_count; i++) {
        const struct trial_result *result = &step->results[i];
        if (note == NULL)
            return FAIL(attempt, result->place, "publishes: expected " TEXT_FMT ", found nothing",
                        TEXT_ARG(result->class_name));
        if (!check_result(attempt, result, note))
            return false;
        note = next_of(note->next, NOTE_RESULTS);
    }
    return note == NULL || FAIL(attempt, step->place, "publishes: expected nothing%s, found " TEXT_FMT,
                                step->result_count > 0 ? " more" : "", TEXT_ARG(note->name));
}

static bool check_letters(struct attempt *attempt, const struct trial_step *step)
{
    const struct note *note = first_of(attempt, NOTE_DEAD_LETTERS);
    for (size_t i = 0; i < step->letter_count; i++) {
        const struct trial_letter *letter = &step->letters[i];
        if (note == NULL || !text_equal(letter->chain, note->chain) || !text_equal(letter->node, note->node))
            return FAIL(attempt, letter->place, "dead-letters: expected %s, found %s",
                        letter_name(attempt, letter->chain, letter->node),
                        note == NULL ? "nothing" : letter_name(attempt, note->chain, note->node));
        note = next_of(note->next, NOTE_DEAD_LETTERS);
    }
    return note == NULL || FAIL(attempt, step->place, "dead-letters: expected nothing%s, found %s",
                                step->letter_count > 0 ? " more" : "", letter_name(attempt, note->chain, note->node));
}

static bool run_dead_letters(struct attempt *attempt, const struct trial_step *step)
{
    size_t count = 0;
    if (step->letters != NULL)
        return check_letters(attempt, step);
    for (const struct note *note = first_of(attempt, NOTE_DEAD_LETTERS); note != NULL; count++)
        note = next_of(note->next, NOTE_DEAD_LETTERS);
    return step->letter_count == count ||
           FAIL(attempt, step->place, "dead-letters: expected %zu, found %zu", step->letter_count, count);
}

struct trial_outcome trial_run(const struct trial *trial, struct simulator *simulator, struct arena *arena)
{
    static bool (*const runners[])(struct attempt *, const struct trial_step *) = {
        run_send, run_wait, run_expect, run_publishes, run_dead_letters,
    };
    _Static_assert(sizeof runners / sizeof runners[0] == TRIAL_WORD_COUNT, "run every step");
    struct attempt attempt = {
        .trial = trial, .simulator = simulator, .arena = arena, .outcome.passed = true};
    struct err err;
    simulator_forget(simulator);
    simulator_pass(simulator, START_MS, &err); /* there is no device yet */
    for (size_t i = 0; attempt.outcome.passed && i < trial->step_count; i++)
        attempt.outcome.passed = runners[trial->steps[i].word](&attempt, &trial->steps[i]);
    return attempt.outcome;
}

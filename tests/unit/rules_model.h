/* rules_model.h - rules without a daemon: a device in an array, and a sink that writes down what
 * happens as lines of text, so that a test compares texts. For the tests of rules/ only. */
#ifndef TESTS_RULES_MODEL_H
#define TESTS_RULES_MODEL_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/base/buf.h"
#include "rules/apply.h"

enum { MODEL_ATTRIBUTE_COUNT_MAX = 2000 };

/* One device: a list, looked through from the start. */
struct model {
    struct arena arena;
    struct {
        enum scope scope;
        struct text key;
        struct value value;
        int64_t ts_ms;
    } attributes[MODEL_ATTRIBUTE_COUNT_MAX];
    size_t count;
    int64_t due_ms;             /* the timer; 0: none */
    unsigned put_count;         /* all calls, equal values too */
    enum err_code put_error;    /* what the next puts fail with, or ERR_NONE */
    const char *put_error_key;  /* only for this key, if not NULL */
    struct buf happenings;      /* the sink's lines */
    struct buf borrowed;        /* what get gave out; overwritten by the next call, as a store may */
};

static inline void model_init(struct model *model)
{
    *model = (struct model){.count = 0};
    arena_init(&model->arena, 64 * 1024);
}

static inline void model_fini(struct model *model)
{
    arena_fini(&model->arena);
    buf_fini(&model->happenings);
    buf_fini(&model->borrowed);
}

static inline size_t model_find(const struct model *model, enum scope scope, struct text key)
{
    size_t i = 0;
    while (i < model->count && (model->attributes[i].scope != scope ||
                                !text_equal(model->attributes[i].key, key)))
        i++;
    return i;
}

/* What was borrowed dies. */
static inline void model_take_back(struct model *model)
{
    if (model->borrowed.len > 0)
        memset(model->borrowed.bytes, '#', model->borrowed.len);
    buf_clear(&model->borrowed);
}

static inline bool model_get(void *device, enum scope scope, struct text key, struct value *value,
                             bool *found, struct err *err)
{
    struct model *model = device;
    (void)err;
    model_take_back(model);
    size_t i = model_find(model, scope, key);
    *found = i < model->count;
    if (!*found)
        return true;
    *value = model->attributes[i].value;
    if (value->kind == VALUE_STRING || value->kind == VALUE_JSON) {
        buf_append(&model->borrowed, value->text);
        value->text = buf_text(&model->borrowed);
    }
    return true;
}

static inline struct value model_copy(struct model *model, const struct value *value)
{
    struct value copy = *value;
    if (value->kind == VALUE_STRING || value->kind == VALUE_JSON)
        copy.text = arena_copy(&model->arena, value->text);
    return copy;
}

static inline bool model_put(void *device, enum scope scope, struct text key,
                             const struct value *value, int64_t ts_ms, uint64_t seq, bool *changed,
                             struct err *err)
{
    struct model *model = device;
    assert_true(seq > 0);
    assert_int_not_equal(value->kind, VALUE_NULL);
    model_take_back(model);
    model->put_count++;
    if (model->put_error != ERR_NONE &&
        (model->put_error_key == NULL || text_is(key, model->put_error_key)))
        return err_set(err, model->put_error, "the model says no");
    size_t i = model_find(model, scope, key);
    *changed = i == model->count || !value_equal(&model->attributes[i].value, value);
    if (scope == SCOPE_TELEMETRY && i < model->count && ts_ms < model->attributes[i].ts_ms) {
        *changed = false;
        return true;
    }
    if (i == model->count) {
        assert_true(model->count < MODEL_ATTRIBUTE_COUNT_MAX);
        model->attributes[model->count++].key = arena_copy(&model->arena, key);
        model->attributes[i].scope = scope;
    }
    if (*changed)
        model->attributes[i].value = model_copy(model, value);
    model->attributes[i].ts_ms = ts_ms;
    return true;
}

static inline bool model_remove(void *device, enum scope scope, struct text key, bool *existed,
                                struct err *err)
{
    struct model *model = device;
    (void)err;
    model_take_back(model);
    size_t i = model_find(model, scope, key);
    *existed = i < model->count;
    if (*existed)
        model->attributes[i] = model->attributes[--model->count];
    return true;
}

static inline void model_timer_set(void *device, int64_t due_ms, int64_t now_ms)
{
    assert_true(due_ms >= 0 && now_ms > 0);
    ((struct model *)device)->due_ms = due_ms;
}

static const struct device_access model_access = {model_get, model_put, model_remove, model_timer_set};

/* --- the sink --------------------------------------------------------------------------------------- */

static inline void model_attribute(void *context, enum scope scope, struct text key,
                                   const struct value *value)
{
    struct buf *lines = &((struct model *)context)->happenings;
    if (value == NULL) {
        buf_printf(lines, "deleted %s." TEXT_FMT "\n", scope_short(scope), TEXT_ARG(key));
        return;
    }
    buf_printf(lines, "%s." TEXT_FMT "=", scope_short(scope), TEXT_ARG(key));
    json_value(lines, value);
    buf_byte(lines, '\n');
}

static inline void model_publish(void *context, struct text class_name, int class_index,
                                 const struct message_view *message)
{
    struct model *model = context;
    struct buf *lines = &model->happenings;
    assert_true(class_index >= 0);
    buf_printf(lines, TEXT_FMT " ", TEXT_ARG(class_name));
    buf_append(lines, chosen_json(&message->data, &model->arena));
    if (text_is(class_name, "full")) { /* tests that look at the metadata publish in this class */
        buf_byte(lines, ' ');
        buf_append(lines, chosen_json(&message->metadata, &model->arena));
    }
    buf_byte(lines, '\n');
}

static inline void model_dead_letter(void *context, struct text chain, struct text node,
                                     const char *error)
{
    struct buf *lines = &((struct model *)context)->happenings;
    buf_printf(lines, "dead " TEXT_FMT "/" TEXT_FMT ": %s\n", TEXT_ARG(chain), TEXT_ARG(node), error);
}

static inline void model_log(void *context, struct text chain, struct text node, struct text line)
{
    struct buf *lines = &((struct model *)context)->happenings;
    buf_printf(lines, "log " TEXT_FMT "/" TEXT_FMT ": " TEXT_FMT "\n", TEXT_ARG(chain), TEXT_ARG(node),
               TEXT_ARG(line));
}

/* --- using it --------------------------------------------------------------------------------------- */

/* A rule set of these files, given as name, text, name, text, ..., NULL; NULL with problems. */
static inline struct ruleset *rules_try(struct problems *problems, const char *const *files)
{
    struct buf bundle = {.bytes = NULL};
    buf_byte(&bundle, '{');
    for (; *files != NULL; files += 2)
        json_member_text(&bundle, files[0], text_of(files[1]));
    buf_byte(&bundle, '}');
    struct ruleset *ruleset = ruleset_load_bundle(buf_text(&bundle), problems);
    buf_fini(&bundle);
    return ruleset;
}

static inline void problems_print(const struct problems *problems)
{
    for (const struct problem *problem = problems->first; problem != NULL; problem = problem->next)
        print_message("%s\n", problem->line);
}

/* The same, of one file, which must be right. */
static inline struct ruleset *rules_of(const char *yaml)
{
    struct problems problems;
    problems_init(&problems);
    struct ruleset *ruleset = rules_try(&problems, (const char *const[]){"root.yaml", yaml, NULL});
    problems_print(&problems);
    problems_fini(&problems);
    assert_non_null(ruleset);
    return ruleset;
}

static inline struct ruleset *rules_shipped(void)
{
    struct problems problems;
    problems_init(&problems);
    struct ruleset *ruleset = ruleset_load_shipped(&problems);
    problems_print(&problems);
    problems_fini(&problems);
    assert_non_null(ruleset);
    return ruleset;
}

/* ThingsBoard's sample, with its chain of four nodes. */
static inline struct ruleset *rules_sample(void)
{
    struct problems problems;
    problems_init(&problems);
    struct ruleset *ruleset = ruleset_load_dir("tests/bench/rules", &problems);
    problems_print(&problems);
    problems_fini(&problems);
    assert_non_null(ruleset);
    return ruleset;
}

/* Applies one event with seq 7. Returns apply_event's answer; the lines are in model->happenings. */
static inline bool model_apply_event(struct model *model, const struct ruleset *ruleset,
                                     const struct event *event, int64_t received_ms,
                                     unsigned *dead_letter_count, struct err *err)
{
    struct arena arena;
    arena_init(&arena, 64 * 1024);
    struct sink sink = {model, model_attribute, model_publish, model_dead_letter, model_log};
    struct apply_input input = {
        .event = event,
        .seq = 7,
        .received_ms = received_ms,
        .device_type = event->device_type.bytes == NULL ? TEXT("default") : event->device_type,
        .device = model,
        .access = &model_access,
        .sink = &sink,
        .arena = &arena,
    };
    buf_clear(&model->happenings);
    bool done = apply_event(ruleset, &input, dead_letter_count, err);
    buf_byte(&model->happenings, '\0');
    model->happenings.len--;
    arena_fini(&arena);
    return done;
}

/* The same of an event given as JSON. */
static inline bool model_apply_at(struct model *model, const struct ruleset *ruleset, const char *json,
                                  int64_t received_ms, unsigned *dead_letter_count, struct err *err)
{
    struct arena scratch, arena;
    arena_init(&scratch, 64 * 1024);
    arena_init(&arena, 64 * 1024);
    struct event event;
    struct err parse_err;
    if (!event_parse(text_of(json), &scratch, &arena, &event, &parse_err))
        fail_msg("%s: %s", json, parse_err.text);
    bool done = model_apply_event(model, ruleset, &event, received_ms, dead_letter_count, err);
    arena_fini(&scratch);
    arena_fini(&arena);
    return done;
}

/* At 1000 ms. */
static inline bool model_apply(struct model *model, const struct ruleset *ruleset, const char *json,
                               unsigned *dead_letter_count, struct err *err)
{
    return model_apply_at(model, ruleset, json, 1000, dead_letter_count, err);
}

/* The lines of an event that must not stop the fold; valid until the next. */
static inline const char *model_run_at(struct model *model, const struct ruleset *ruleset,
                                       const char *json, int64_t received_ms)
{
    unsigned dead_letter_count = 0;
    struct err err;
    if (!model_apply_at(model, ruleset, json, received_ms, &dead_letter_count, &err))
        fail_msg("%s: %s", json, err.text);
    return model->happenings.bytes;
}

static inline const char *model_run(struct model *model, const struct ruleset *ruleset,
                                    const char *json)
{
    return model_run_at(model, ruleset, json, 1000);
}

/* The same of device E's deadline that has passed: its timer is cleared before, as the store does it. */
static inline const char *model_deadline_passed(struct model *model, const struct ruleset *ruleset,
                                                int64_t received_ms)
{
    unsigned dead_letter_count = 0;
    struct event event;
    struct err err;
    event_deadline_passed(TEXT("E"), &model->arena, &event);
    model->due_ms = 0;
    if (!model_apply_event(model, ruleset, &event, received_ms, &dead_letter_count, &err))
        fail_msg("DEADLINE_PASSED: %s", err.text);
    return model->happenings.bytes;
}

#endif

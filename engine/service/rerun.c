#include "engine/service/rerun.h"

#include <assert.h>
#include <inttypes.h>

enum { ARENA_BYTES = 16384 };

void rerun_init(struct rerun *rerun, const struct query_context *context)
{
    const struct engine *engine = context->partition->engine;
    *rerun = (struct rerun){.journal = engine->journal, .state = context->state, .active = context->ruleset};
    rerun->publisher = publisher_create_trial();
    publisher_partition(rerun->publisher, context->partition->number, engine->partition_count);
    arena_init(&rerun->arena, ARENA_BYTES);
    arena_init(&rerun->lasting, ARENA_BYTES);
    arena_init(&rerun->telemetry_arena, ARENA_BYTES);
    arena_init(&rerun->scratch, ARENA_BYTES);
}

void rerun_fini(struct rerun *rerun)
{
    publisher_destroy(rerun->publisher);
    ruleset_destroy(rerun->older);
    arena_fini(&rerun->arena);
    arena_fini(&rerun->lasting);
    arena_fini(&rerun->telemetry_arena);
    arena_fini(&rerun->scratch);
}

void rerun_clear(struct rerun *rerun)
{
    arena_reset(&rerun->arena);
}

/* --- the event ------------------------------------------------------------------------------------------- */

bool rerun_read(struct rerun *rerun, uint64_t seq, struct text device, struct event *event, struct text *line,
                int64_t *received_ms, struct err *err)
{
    struct journal_record *records;
    size_t count;
    if (!journal_read(rerun->journal, seq, 1, &rerun->arena, &records, &count, err))
        return false;
    if (count == 0)
        return err_set(err, ERR_NOT_FOUND, "there is no event %" PRIu64 " yet", seq);
    *received_ms = records[0].received_ms;
    *line = records[0].body;
    switch (records[0].kind) {
    case JOURNAL_EVENT:
        return event_parse(*line, &rerun->scratch, &rerun->arena, event, err);
    case JOURNAL_TICK:
        *line = event_deadline_passed(device, &rerun->arena, event);
        return true;
    case JOURNAL_RULES:
    case JOURNAL_RULES_OF_OPERATOR:
    case JOURNAL_RULES_OF_PROGRAM:
        break;
    }
    return err_set(err, ERR_NOT_FOUND, "record %" PRIu64 " is a change of rules", seq);
}

/* --- the rules of that time ------------------------------------------------------------------------------ */

static bool load_older(struct rerun *rerun, struct text version, struct err *err)
{
    struct text bundle;
    bool found;
    if (rerun->older != NULL && text_equal(ruleset_version(rerun->older), version))
        return true;
    ruleset_destroy(rerun->older);
    rerun->older = NULL;
    if (!state_ruleset_bundle(rerun->state, version, &rerun->arena, &bundle, &found, err))
        return false;
    if (!found)
        return err_set(err, ERR_GONE, "the rules " TEXT_FMT " are no longer kept", TEXT_ARG(version));
    rerun->older = ruleset_load_kept(bundle, err);
    return rerun->older != NULL;
}

/* All activations, newest first, read once. */
static bool know_activations(struct rerun *rerun, struct err *err)
{
    return rerun->activations != NULL ||
           state_rulesets(rerun->state, RULESETS_KEPT, &rerun->lasting, &rerun->activations,
                          &rerun->activation_count, err);
}

static bool rules_at(struct rerun *rerun, uint64_t seq, const struct ruleset **ruleset, struct err *err)
{
    size_t i = 0;
    if (!know_activations(rerun, err))
        return false;
    while (i < rerun->activation_count && rerun->activations[i].seq > seq)
        i++;
    if (i == rerun->activation_count)
        return err_set(err, ERR_GONE, "the rules that were active at event %" PRIu64 " are no longer known", seq);
    struct text version = rerun->activations[i].version;
    *ruleset = rerun->active;
    if (text_equal(version, ruleset_version(rerun->active)))
        return true;
    if (!load_older(rerun, version, err))
        return false;
    *ruleset = rerun->older;
    return true;
}

/* --- what it goes by ------------------------------------------------------------------------------------- */

/* An event to be run again. */
struct past {
    uint64_t seq;
    int64_t received_ms;
    struct event event;
    struct text line;
    const struct ruleset *ruleset; /* of that time */
};

struct trial {
    struct rerun *rerun;
    const struct past *past;
    struct device *device;
    struct field *saved; /* telemetry, in the order in which it was */
    size_t saved_count;
    struct trace *trace; /* NULL: nobody wants to know */
};

static bool depends_on_telemetry(uint64_t seq, struct err *err)
{
    return err_set(err, ERR_GONE, "event %" PRIu64 " can't be run again: its rules depend on telemetry, which has "
                                  "no history", seq);
}

/* `value` NULL: it is deleted. The old value is looked up, so this comes before the change; but what of telemetry is
 * there now says nothing of then. */
static bool note_change(struct trial *trial, enum scope scope, struct text key, const struct value *value,
                        struct err *err)
{
    struct attribute old;
    bool found = false;
    if (trial->trace == NULL)
        return true;
    if (scope != SCOPE_TELEMETRY && !device_get(trial->device, scope, key, &old, &found, err))
        return false;
    trace_note_change(trial->trace, scope, key, found ? &old.value : NULL, value);
    return true;
}

static void count_change(struct trial *trial, bool changed)
{
    if (trial->trace != NULL)
        trial->trace->change_count += changed;
}

/* --- telemetry -------------------------------------------------------------------------------------------- */

/* What is stored now, or was before a rerun saved something else. It tells of then: a value keeps the number of the
 * event that brought it as long as others bring the same. */
struct stored_telemetry {
    struct text key;
    bool found;
    uint64_t seq;
    int64_t ts_ms;
    struct value value;
};

enum telemetry_age {
    TELEMETRY_OF_BEFORE, /* this is what the event found, and left; or there was nothing */
    TELEMETRY_OF_EVENT,  /* what it brought */
    TELEMETRY_OF_LATER,  /* unknown what there was */
};

static enum telemetry_age age_of(const struct trial *trial, const struct stored_telemetry *stored)
{
    return !stored->found || stored->seq < trial->past->seq ? TELEMETRY_OF_BEFORE
           : stored->seq == trial->past->seq                ? TELEMETRY_OF_EVENT
                                                            : TELEMETRY_OF_LATER;
}

static bool stored_telemetry(struct trial *trial, struct text key, const struct stored_telemetry **stored,
                             struct err *err)
{
    struct rerun *rerun = trial->rerun;
    struct arena *arena = &rerun->telemetry_arena;
    struct attribute attribute;
    for (size_t i = 0; i < rerun->telemetry_count; i++)
        if (text_equal(rerun->telemetry[i].key, key)) {
            *stored = &rerun->telemetry[i];
            return true;
        }
    rerun->telemetry = trace_grow(arena, rerun->telemetry, rerun->telemetry_count, sizeof *rerun->telemetry);
    struct stored_telemetry *found = &rerun->telemetry[rerun->telemetry_count];
    *found = (struct stored_telemetry){.key = arena_copy(arena, key)};
    if (!device_get(trial->device, SCOPE_TELEMETRY, key, &attribute, &found->found, err))
        return false;
    if (found->found) {
        found->seq = attribute.seq;
        found->ts_ms = attribute.ts_ms;
        found->value = trace_copy_value(arena, &attribute.value);
    }
    rerun->telemetry_count++;
    *stored = found;
    return true;
}

/* The value that this run has saved, or NULL. */
static const struct value *saved_telemetry(const struct trial *trial, struct text key)
{
    for (size_t i = trial->saved_count; i > 0; i--)
        if (text_equal(trial->saved[i - 1].key, key))
            return &trial->saved[i - 1].value;
    return NULL;
}

/* What a save took is what a later node finds, but for one with a time of its own, which may have been too old. */
static bool get_telemetry(struct trial *trial, struct text key, struct value *value, bool *found, struct err *err)
{
    const struct stored_telemetry *stored;
    if (!stored_telemetry(trial, key, &stored, err))
        return false;
    const struct value *saved = saved_telemetry(trial, key);
    enum telemetry_age age = age_of(trial, stored);
    bool known = age == TELEMETRY_OF_BEFORE ||
                 (saved != NULL && (age == TELEMETRY_OF_EVENT || !trial->past->event.has_ts));
    if (!known)
        return depends_on_telemetry(trial->past->seq, err);
    *found = stored->found;
    if (*found)
        *value = age == TELEMETRY_OF_BEFORE ? stored->value : *saved;
    if (trial->trace != NULL)
        trace_note_read(trial->trace, SCOPE_TELEMETRY, key, *found ? stored->ts_ms : 0);
    return true;
}

/* Was it a change? Of one that others have changed since, it is taken for one. */
static bool put_telemetry(struct trial *trial, struct text key, const struct value *value, int64_t ts_ms,
                          bool *changed, struct err *err)
{
    const struct stored_telemetry *stored;
    if (!stored_telemetry(trial, key, &stored, err) ||
        !device_put(trial->device, SCOPE_TELEMETRY, key, value, ts_ms, trial->past->seq, changed, err))
        return false;
    struct arena *arena = &trial->rerun->arena;
    trial->saved = trace_grow(arena, trial->saved, trial->saved_count, sizeof *trial->saved);
    trial->saved[trial->saved_count++] = (struct field){arena_copy(arena, key), trace_copy_value(arena, value)};
    *changed = !stored->found || age_of(trial, stored) != TELEMETRY_OF_BEFORE;
    return true;
}

/* --- the device as the rules see it ----------------------------------------------------------------------- */

static bool trial_get(void *context, enum scope scope, struct text key, struct value *value, bool *found,
                      struct err *err)
{
    struct trial *trial = context;
    struct attribute attribute;
    if (scope == SCOPE_TELEMETRY)
        return get_telemetry(trial, key, value, found, err);
    if (!device_get(trial->device, scope, key, &attribute, found, err))
        return false;
    if (trial->trace != NULL)
        trace_note_read(trial->trace, scope, key, *found ? attribute.ts_ms : 0);
    if (*found)
        *value = attribute.value;
    return true;
}

static bool trial_put(void *context, enum scope scope, struct text key, const struct value *value,
                      int64_t ts_ms, uint64_t seq, bool *changed, struct err *err)
{
    struct trial *trial = context;
    if (!note_change(trial, scope, key, value, err))
        return false;
    bool done = scope == SCOPE_TELEMETRY
                    ? put_telemetry(trial, key, value, ts_ms, changed, err)
                    : device_put(trial->device, scope, key, value, ts_ms, seq, changed, err);
    if (done)
        count_change(trial, *changed);
    return done;
}

static bool trial_remove(void *context, enum scope scope, struct text key, bool *existed, struct err *err)
{
    struct trial *trial = context;
    if (!note_change(trial, scope, key, NULL, err) || !device_delete(trial->device, scope, key, existed, err))
        return false;
    count_change(trial, *existed);
    return true;
}

static void trial_timer_set(void *context, int64_t due_ms, int64_t now_ms)
{
    (void)context, (void)due_ms, (void)now_ms; /* what will be has been */
}

static const struct device_access trial_access = {trial_get, trial_put, trial_remove, trial_timer_set};

bool rerun_find_row(struct rerun *rerun, uint64_t seq, uint32_t device, struct history_row *row, bool *found,
                    struct err *err)
{
    uint64_t position, end = state_history_end(rerun->state);
    *found = false;
    if (!state_history_seek(rerun->state, (struct moment){seq - 1, INT64_MAX}, &position, err))
        return false;
    for (; position < end; position = row->next) {
        if (!state_history_read(rerun->state, position, &rerun->arena, row, err))
            return false;
        if (row->seq != seq)
            return true;
        *found = row->device == device;
        if (*found)
            return true;
    }
    return true;
}

/* --- the rerun ------------------------------------------------------------------------------------------- */

static bool read_past(struct rerun *rerun, struct text name, struct past *past, struct err *err)
{
    return rerun_read(rerun, past->seq, name, &past->event, &past->line, &past->received_ms, err) &&
           rules_at(rerun, past->seq, &past->ruleset, err);
}

/* The working copy, if it is what the event of this row found: the last rerun left it as it was after the row
 * before. Else NULL. Whoever takes it leaves it again when all went well. */
static struct device *take_device(struct rerun *rerun, const struct history_row *row)
{
    struct device *device = rerun->device;
    rerun->device = NULL;
    bool goes_on = row != NULL && device != NULL && row->before == rerun->device_row &&
                   device_is_trial(device, row->device);
    return goes_on ? device : NULL;
}

/* A row without any of these is about results alone, and no part of the device's chain. */
static bool changes_device(const struct history_row *row)
{
    return row->change_count > 0 || row->created || row->new_type.len > 0;
}

static void leave_device(struct rerun *rerun, struct device *device, const struct history_row *row)
{
    if (row == NULL)
        return;
    rerun->device = device;
    rerun->device_row = changes_device(row) ? row->position : row->before;
}

/* The device as it was before the event, in the working copy; *device isn't NULL when it is so already. */
static bool open_before(struct rerun *rerun, const struct past *past, struct device **device, struct err *err)
{
    struct text name = past->event.device;
    bool existed = true;
    if (*device == NULL) {
        rerun->telemetry_count = 0;
        arena_reset(&rerun->telemetry_arena);
        if (!state_device_find(rerun->state, name, device, err))
            return false;
        if (*device == NULL)
            return err_set(err, ERR_NOT_FOUND, "there is no device \"" TEXT_FMT "\"", TEXT_ARG(name));
        if (!device_rewind(*device, (struct moment){past->seq - 1, INT64_MAX}, &existed, err))
            return false;
    }
    device_trial_open(*device, existed, past->event.device_type);
    return true;
}

static uint64_t count_of_class(const struct results *results, struct text class_name)
{
    struct text topic, payload;
    uint64_t count = 0;
    for (size_t at = 0; results != NULL && results_next(results, &at, &topic, &payload);)
        count += topic.len > class_name.len && topic.bytes[class_name.len] == '/' &&
                 text_starts(topic, class_name);
    return count;
}

/* The results of then, no fewer and no others? Else something that it depends on isn't as it was. */
static bool came_out_the_same(const struct history_row *row, const struct results *results)
{
    uint64_t count = 0;
    if (row == NULL)
        return true;
    for (size_t i = 0; i < row->result_count; i++) {
        if (count_of_class(results, row->results[i].class_name) != row->results[i].count)
            return false;
        count += row->results[i].count;
    }
    return count == (results == NULL ? 0 : results->count);
}

static bool same_change(const struct history_change *a, const struct history_change *b)
{
    return a->scope == b->scope && text_equal(a->new.key, b->new.key) && a->has_new == b->has_new &&
           (!a->has_new || value_equal(&a->new.value, &b->new.value));
}

bool rerun_is_history(const struct trace *trace, const struct results *results, uint64_t seq,
                      const struct history_row *row, struct err *err)
{
    size_t wanted = row == NULL ? 0 : row->change_count, found = 0;
    bool same = row != NULL || results == NULL || results->count == 0;
    for (size_t i = 0; same && i < trace->change_count; i++)
        if (trace->changes[i].scope != SCOPE_TELEMETRY) {
            same = found < wanted && same_change(&trace->changes[i], &row->changes[found]);
            found++;
        }
    return (same && found == wanted) || depends_on_telemetry(seq, err);
}

static bool apply(struct rerun *rerun, const struct past *past, struct trial *trial, struct err *err)
{
    unsigned dead_letters;
    struct apply_input input = {
        .event = &past->event,
        .seq = past->seq,
        .received_ms = past->received_ms,
        .device_type = device_type(trial->device),
        .device = trial,
        .access = &trial_access,
        .sink = publisher_sink(rerun->publisher),
        .tracer = trial->trace == NULL ? NULL : trace_begin(trial->trace, &rerun->arena),
        .arena = &rerun->scratch,
    };
    if (trial->trace != NULL)
        trial->trace->version = arena_copy(&rerun->arena, ruleset_version(past->ruleset));
    return apply_event(past->ruleset, &input, &dead_letters, err);
}

static bool run(struct rerun *rerun, const struct past *past, const struct history_row *row, struct trial *trial,
                struct results **results, struct err *err)
{
    if (!publisher_rules(rerun->publisher, past->ruleset, err))
        return false;
    if (row != NULL)
        publisher_number(rerun->publisher, row);
    publisher_event(rerun->publisher, past->seq, past->received_ms, past->event.device, device_type(trial->device),
                    past->line);
    bool done = apply(rerun, past, trial, err);
    struct results *published = publisher_take(rerun->publisher);
    arena_reset(&rerun->scratch);
    if (done)
        *results = published;
    else
        results_destroy(published);
    return done;
}

static bool rerun_traced(struct rerun *rerun, struct past *past, struct text name, const struct history_row *row,
                         struct trace *trace, struct results **results, struct err *err)
{
    struct trial trial = {
        .rerun = rerun,
        .past = past,
        .device = take_device(rerun, row),
        .trace = trace,
    };
    struct results *published;
    if (!read_past(rerun, name, past, err) || !open_before(rerun, past, &trial.device, err) ||
        !run(rerun, past, row, &trial, &published, err))
        return false;
    if (!came_out_the_same(row, published)) {
        results_destroy(published);
        return depends_on_telemetry(past->seq, err);
    }
    leave_device(rerun, trial.device, row);
    *results = published;
    return true;
}

bool rerun_event(struct rerun *rerun, uint64_t seq, struct text name, const struct history_row *row,
                 struct trace *trace, struct results **results, struct err *err)
{
    struct past past = {.seq = seq};
    if (rerun_traced(rerun, &past, name, row, trace, results, err))
        return true;
    if (trace != NULL)
        *trace = (struct trace){.wants_members = trace->wants_members}; /* half a way tells nothing */
    return false;
}

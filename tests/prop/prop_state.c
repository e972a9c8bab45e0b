/* prop_state - random operations on the real store and on a model that is too simple to be wrong:
 * plain arrays, no indexes, copied as a whole at a checkpoint. Checkpoints succeed, are refused and
 * get lost; the store is closed without one, reopened, and its list of indexes changes. Copies of the
 * model as it was now and then are what devices taken back in time have to be like.
 *
 * The seed is printed; FWSYNC_SEED=n repeats a run, FWSYNC_STEPS=n makes it longer. */
#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "store/state.h"
#include "tests/unit/full_disk.h"
#include "tests/unit/temp_dir.h"

enum { DEVICE_COUNT = 60, KEY_COUNT = 5, VALUE_COUNT = 12, TYPE_COUNT = 3, LETTERS_KEPT = 7 };
enum { MAP_BYTES = 64 << 20, PAST_COUNT = 50, MS_A_STEP = 10 };

/* --- the model --- */

struct model_attribute {
    bool exists;
    int value; /* of `values` */
    int64_t ts_ms;
    uint64_t seq;
};

struct model_device {
    bool exists;
    unsigned age; /* how many there were before it */
    int type;
    int64_t created_ms, seen_ms;
    int64_t due_ms, set_ms; /* the timer; 0: none; and when it was set */
    struct model_attribute attributes[SCOPE_COUNT][KEY_COUNT];
};

struct model {
    struct model_device devices[DEVICE_COUNT];
    unsigned device_count;
    uint64_t applied_seq, counter, letters;
};

static struct model model, committed, frozen;
static bool has_frozen;
static struct model past[PAST_COUNT]; /* older ones, in no order */
static unsigned past_count;

static const char *const keys[KEY_COUNT] = {"currentFwVer", "k", "kk", "lastTargetFwVer", "zz"};
static const char *const types[TYPE_COUNT] = {"default", "ESP32", "pump"};
static struct value values[VALUE_COUNT];

/* --- the store --- */

static char *dir;
static struct state *state;
static struct arena arena;
static struct err err;
static uint64_t seed, random_state;
static size_t index_count;
static struct index_key indexes[3 * KEY_COUNT];

static unsigned pick(unsigned below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 33) % below;
}

static void done(bool ok)
{
    if (!ok)
        fail_msg("seed %" PRIu64 ": %s: %s", seed, err_code_name(err.code), err.text);
}

static struct text name_of(unsigned device)
{
    /* some are a prefix of others, one is as long as can be */
    if (device == 0)
        return arena_format(&arena, "%0255d", 0);
    return arena_format(&arena, "%s%u", device % 3 ? "d" : "dev/", device * 7);
}

static void make_values(void)
{
    static char large[2][3000];
    memset(large, 'L', sizeof large);
    large[1][2999] = 'M';
    const struct value made[VALUE_COUNT] = {
        value_boolean(true),
        value_boolean(false),
        {.kind = VALUE_INTEGER, .integer = 1},
        {.kind = VALUE_INTEGER, .integer = -70000},
        {.kind = VALUE_DOUBLE, .number = 1.0},
        {.kind = VALUE_DOUBLE, .number = -2.5},
        value_string(TEXT("")),
        value_string(TEXT("1")),
        value_string(TEXT("v1.10")),
        {.kind = VALUE_JSON, .text = TEXT("{\"a\":[1]}")},
        value_string((struct text){large[0], 3000}),
        value_string((struct text){large[1], 3000}),
    };
    memcpy(values, made, sizeof values);
}

/* --- operations, on both sides --- */

static struct device *open_device(unsigned number, struct model_device **of_model)
{
    struct model_device *m = &model.devices[number];
    int type = pick(4) == 0 ? (int)pick(TYPE_COUNT) : -1;
    static int64_t clock_ms; /* events come in the order of their times */
    int64_t now_ms = (int64_t)pick(1000000), seen_ms = pick(3) == 0 ? 0 : ++clock_ms;
    struct device *device;
    struct text type_text = type < 0 ? (struct text){NULL, 0} : text_of(types[type]);
    uint64_t seq = model.applied_seq + 1;
    state_step(state, seq, (int64_t)seq * MS_A_STEP, (unsigned)(seq % 100));
    done(state_device_open(state, name_of(number), type_text, now_ms, seen_ms, &device, &err));
    if (!m->exists)
        *m = (struct model_device){
            .exists = true, .age = model.device_count++, .created_ms = now_ms};
    if (type >= 0)
        m->type = type;
    if (seen_ms > 0)
        m->seen_ms = seen_ms;
    *of_model = m;
    return device;
}

static void put_one(struct device *device, struct model_device *m)
{
    enum scope scope = (enum scope)pick(SCOPE_COUNT);
    unsigned key = pick(KEY_COUNT), value = pick(VALUE_COUNT);
    int64_t ts_ms = (int64_t)pick(50);
    struct model_attribute *a = &m->attributes[scope][key];
    bool changed, older = scope == SCOPE_TELEMETRY && a->exists && ts_ms < a->ts_ms;
    bool equal = a->exists && a->value == (int)value;
    done(device_put(device, scope, text_of(keys[key]), &values[value], ts_ms, model.applied_seq + 1,
                    &changed, &err));
    assert_int_equal(changed, !older && !equal);
    if (changed)
        *a = (struct model_attribute){true, (int)value, ts_ms, model.applied_seq + 1};
    else if (equal && scope == SCOPE_TELEMETRY && !older)
        a->ts_ms = ts_ms;
}

static void delete_one(struct device *device, struct model_device *m)
{
    enum scope scope = (enum scope)pick(SCOPE_COUNT);
    unsigned key = pick(KEY_COUNT);
    bool existed;
    done(device_delete(device, scope, text_of(keys[key]), &existed, &err));
    assert_int_equal(existed, m->attributes[scope][key].exists);
    m->attributes[scope][key].exists = false;
}

/* Passing time, as timers have it. */
static int64_t timer_ms = INT64_C(1732147200000);

static int64_t random_distance(void)
{
    return (int64_t)pick(1000) << pick(24); /* to half a year */
}

static void set_timer(struct device *device, struct model_device *m)
{
    m->due_ms = pick(3) == 0 ? 0 : timer_ms + random_distance() - 2000;
    m->set_ms = timer_ms;
    device_timer_set(device, m->due_ms, timer_ms);
}

static void change_device(void)
{
    struct model_device *m;
    struct device *device = open_device(pick(DEVICE_COUNT), &m);
    for (unsigned i = pick(6); i > 0; i--) {
        if (pick(5) == 0)
            delete_one(device, m);
        else
            put_one(device, m);
        if (pick(4) == 0)
            set_timer(device, m);
        if (pick(10) == 0)
            done(state_device_save(state, device, &err));
    }
    done(state_device_save(state, device, &err));
    state_set_applied_seq(state, ++model.applied_seq);
    if (pick(20) == 0)
        past[past_count < PAST_COUNT ? past_count++ : pick(PAST_COUNT)] = model;
}

/* What was lost never happened. */
static void forget_past(void)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < past_count; i++)
        if (past[i].applied_seq <= model.applied_seq)
            past[kept++] = past[i];
    past_count = kept;
}

static void change_the_rest(void)
{
    char letter[32];
    snprintf(letter, sizeof letter, "%" PRIu64, ++model.letters);
    state_dead_letter_add(state, text_of(letter), LETTERS_KEPT);
    model.counter += pick(3);
    *state_counter(state, TEXT("n")) = model.counter;
    state_set_applied_seq(state, ++model.applied_seq);
}

static unsigned number_of(struct text name)
{
    unsigned number = 0;
    while (number < DEVICE_COUNT && !text_equal(name_of(number), name))
        number++;
    assert_true(number < DEVICE_COUNT);
    return number;
}

/* The time by which a timer has to have been found: state.h. */
static int64_t latest(const struct model_device *m)
{
    int64_t distance_ms = m->due_ms - m->set_ms;
    return m->due_ms + (distance_ms > 64 * 1000 ? distance_ms / 64 : 1000);
}

/* What the store says about the time to look next. */
static void same_next_timer(void)
{
    int64_t next_ms = state_timer_next(state);
    for (unsigned i = 0; i < DEVICE_COUNT; i++)
        if (model.devices[i].exists && model.devices[i].due_ms != 0)
            assert_true(next_ms < latest(&model.devices[i]));
}

/* Time passes, and of the timers whose time has come some are found, or all. */
static void pass_time(void)
{
    timer_ms += random_distance();
    for (bool all = pick(4) > 0, more = true; more; more = all && state_timer_next(state) <= timer_ms) {
        struct text *names;
        size_t count, limit = 1 + pick(20);
        done(state_timers_due(state, timer_ms, limit, &arena, &names, &count, &err));
        assert_true(count <= limit);
        for (size_t i = 0; i < count; i++) {
            struct model_device *m = &model.devices[number_of(names[i])];
            assert_true(m->exists && m->due_ms > 0 && m->due_ms <= timer_ms);
            m->due_ms = 0;
        }
        state_set_applied_seq(state, ++model.applied_seq);
    }
    if (state_timer_next(state) > timer_ms)
        for (unsigned i = 0; i < DEVICE_COUNT; i++)
            assert_true(model.devices[i].due_ms == 0 || latest(&model.devices[i]) > timer_ms);
}

/* Last-seen times may be newer than the checkpoint; the replay would set them again. */
static void take_seen(void)
{
    for (unsigned i = 0; i < DEVICE_COUNT; i++) {
        struct device *device;
        struct model_device *m = &model.devices[i];
        if (!m->exists)
            continue;
        done(state_device_find(state, name_of(i), &device, &err));
        assert_non_null(device);
        assert_true(device_seen_ms(device) >= m->seen_ms);
        m->seen_ms = committed.devices[i].seen_ms = device_seen_ms(device);
    }
}

static void reopen(void)
{
    struct state_options options = {MAP_BYTES, indexes, 0, pick(2) ? 0 : pick(8)};
    if (state != NULL)
        state_close(state);
    index_count = 0;
    unsigned which = pick(3) ? 0x0249 : pick(1 << (3 * KEY_COUNT)); /* mostly the same */
    for (unsigned i = 0; i < 3 * KEY_COUNT; i++)
        if (which >> i & 1)
            indexes[index_count++] =
                (struct index_key){(enum scope)(i / KEY_COUNT), text_of(keys[i % KEY_COUNT])};
    options.index_count = index_count;
    done(state_open(dir, &options, &state, &err));
    /* what began to be written may be there or not, but as a whole */
    if (has_frozen && state_applied_seq(state) == frozen.applied_seq)
        committed = frozen;
    has_frozen = false;
    model = committed;
    forget_past();
    take_seen();
}

/* What a checkpoint that began has, until it is on disk; a failed one stays so. */
static void freeze(void)
{
    if (!has_frozen || frozen.applied_seq == committed.applied_seq) /* nothing was in it */
        frozen = model;
    has_frozen = true;
}

static void end_checkpoint(bool ok)
{
    if (!ok) {
        assert_int_equal(err.code, ERR_FULL);
        return;
    }
    committed = frozen;
    has_frozen = false;
}

static void break_disk(unsigned kind)
{
    full_disk.no_bytes_left = kind == 0;
    full_disk.error = kind == 1 ? ENOSPC : 0;
    full_disk.fails_after = kind == 2 ? 1 + pick(6) : 0;
}

static void checkpoint(void)
{
    unsigned kind = pick(8);
    if (state_checkpoint_running(state)) {
        end_checkpoint(state_checkpoint_end(state, &err));
        return;
    }
    freeze();
    break_disk(kind);
    state_checkpoint_begin(state);
    if (kind > 5)
        return; /* and let it run */
    bool ok = state_checkpoint_end(state, &err);
    break_disk(UINT_MAX);
    assert_true(ok || kind <= 2);
    assert_false(ok && kind <= 1 && frozen.applied_seq != committed.applied_seq);
    end_checkpoint(ok);
}

/* --- is it the same? --- */

static void same_attribute(struct device *device, enum scope scope, unsigned key,
                           const struct model_attribute *a)
{
    struct attribute found;
    bool exists;
    done(device_get(device, scope, text_of(keys[key]), &found, &exists, &err));
    assert_int_equal(exists, a->exists);
    if (!exists)
        return;
    assert_true(value_equal(&found.value, &values[a->value]));
    assert_int_equal(found.ts_ms, a->ts_ms);
    assert_int_equal(found.seq, a->seq);
}

static void same_device(unsigned number)
{
    const struct model_device *m = &model.devices[number];
    struct device *device;
    done(state_device_find(state, name_of(number), &device, &err));
    assert_int_equal(device != NULL, m->exists);
    if (device == NULL)
        return;
    assert_true(text_equal(device_name(device), name_of(number)));
    assert_true(text_is(device_type(device), types[m->type]));
    assert_int_equal(device_created_ms(device), m->created_ms);
    assert_int_equal(device_seen_ms(device), m->seen_ms);
    assert_int_equal(device_timer(device), m->due_ms);
    for (enum scope scope = 0; scope < SCOPE_COUNT; scope++)
        for (unsigned key = 0; key < KEY_COUNT; key++)
            same_attribute(device, scope, key, &m->attributes[scope][key]);
}

static void same_device_then(unsigned number, const struct model *then, struct moment moment)
{
    const struct model_device *m = &then->devices[number];
    struct device *device;
    bool existed;
    done(state_device_find(state, name_of(number), &device, &err));
    if (device == NULL) {
        assert_false(m->exists);
        return;
    }
    done(device_rewind(device, moment, &existed, &err));
    assert_int_equal(existed, m->exists);
    if (!existed)
        return;
    assert_true(text_is(device_type(device), types[m->type]));
    for (enum scope scope = 0; scope < SCOPE_TELEMETRY; scope++)
        for (unsigned key = 0; key < KEY_COUNT; key++)
            same_attribute(device, scope, key, &m->attributes[scope][key]);
}

/* Back in time, by event or by clock. */
static void same_past(void)
{
    if (past_count == 0)
        return;
    const struct model *then = &past[pick(past_count)];
    struct moment moment = {then->applied_seq, INT64_MAX};
    if (pick(2))
        moment = (struct moment){UINT64_MAX, (int64_t)then->applied_seq * MS_A_STEP + pick(MS_A_STEP)};
    for (int i = 0; i < 12; i++)
        same_device_then(pick(DEVICE_COUNT), then, moment);
}

static bool has(const struct model_device *m, const struct index_key *index, unsigned value)
{
    for (unsigned key = 0; key < KEY_COUNT; key++)
        if (text_is(index->key, keys[key]))
            return m->exists && m->attributes[index->scope][key].exists &&
                   m->attributes[index->scope][key].value == (int)value;
    return false;
}

/* Every device that the model says, in the order of age or name, and no other. */
static void same_list(const struct device_filter *filter, const bool *expected)
{
    struct text *names, cursor = {"", 0}, last = {"", 0};
    size_t count, total = 0, wanted = 0;
    unsigned last_age = 0;
    bool by_name = filter->condition_count == 0 && filter->type.len == 0;
    do {
        done(state_devices(state, filter, cursor, 1 + pick(20), &arena, &names, &count, &cursor,
                           &err));
        for (size_t i = 0; i < count; i++, total++) {
            unsigned number = number_of(names[i]);
            assert_true(expected[number]);
            if (total > 0 && by_name) {
                size_t shorter = last.len < names[i].len ? last.len : names[i].len;
                int order = memcmp(last.bytes, names[i].bytes, shorter);
                assert_true(order < 0 || (order == 0 && last.len < names[i].len));
            } else if (total > 0) {
                assert_true(model.devices[number].age > last_age);
            }
            last = names[i];
            last_age = model.devices[number].age;
        }
    } while (cursor.len > 0);
    for (unsigned i = 0; i < DEVICE_COUNT; i++)
        wanted += expected[i];
    assert_int_equal(total, wanted);
}

/* A few conditions: half of them hold for some device that there is, so that several can hold at once. */
static size_t pick_conditions(struct device_condition conditions[], int of_value[])
{
    size_t count = index_count == 0 ? 0 : pick(4);
    const struct model_device *like = &model.devices[pick(DEVICE_COUNT)];
    for (size_t i = 0; i < count; i++) {
        size_t index = pick((unsigned)index_count);
        unsigned value = pick(VALUE_COUNT);
        for (unsigned other = 0; other < VALUE_COUNT && pick(2); other++)
            if (has(like, &indexes[index], other))
                value = other;
        conditions[i] = (struct device_condition){index, values[value]};
        of_value[i] = (int)value;
    }
    return count;
}

/* Are all conditions true of the device? */
static bool has_all(const struct model_device *m, const struct device_filter *filter,
                    const int of_value[])
{
    for (size_t i = 0; i < filter->condition_count; i++)
        if (!has(m, &indexes[filter->conditions[i].index], (unsigned)of_value[i]))
            return false;
    return true;
}

static bool is_since(const struct model_device *m, const struct device_filter *filter)
{
    for (size_t i = 0; i < filter->changed_count; i++)
        for (unsigned key = 0; key < KEY_COUNT; key++) {
            const struct model_attribute *a = &m->attributes[filter->changed[i].scope][key];
            if (text_is(filter->changed[i].key, keys[key]) && a->exists)
                return a->ts_ms >= filter->changed_since_ms;
        }
    return filter->changed_count == 0;
}

static void same_random_list(void)
{
    struct device_condition conditions[3];
    struct index_key changed[2];
    int of_value[3];
    struct device_filter filter = {.conditions = conditions, .changed = changed};
    bool expected[DEVICE_COUNT];
    unsigned type = pick(TYPE_COUNT);
    filter.condition_count = pick_conditions(conditions, of_value);
    filter.type = pick(2) ? text_of(types[type]) : (struct text){NULL, 0};
    filter.prefix = pick(2) ? text_of(pick(2) ? "d" : "dev/1") : (struct text){NULL, 0};
    filter.changed_count = pick(3);
    filter.changed_since_ms = pick(50);
    for (size_t i = 0; i < 2; i++)
        changed[i] = (struct index_key){(enum scope)pick(SCOPE_TELEMETRY), text_of(keys[pick(KEY_COUNT)])};
    for (unsigned i = 0; i < DEVICE_COUNT; i++) {
        const struct model_device *m = &model.devices[i];
        expected[i] = m->exists && has_all(m, &filter, of_value) && is_since(m, &filter) &&
                      (filter.type.len == 0 || m->type == (int)type) &&
                      (filter.prefix.len == 0 || text_starts(name_of(i), filter.prefix));
    }
    same_list(&filter, expected);
}

static void same_counts(void)
{
    for (size_t index = 0; index < index_count; index++) {
        struct value_count *counts;
        struct text next;
        size_t count, wanted = 0;
        for (unsigned value = 0; value < VALUE_COUNT; value++) {
            uint64_t in_model = 0, in_store;
            for (unsigned i = 0; i < DEVICE_COUNT; i++)
                in_model += has(&model.devices[i], &indexes[index], value);
            done(state_index_devices(state, index, &values[value], &in_store, &err));
            assert_int_equal(in_store, in_model);
            wanted += in_model > 0;
        }
        done(state_index_values(state, index, TEXT(""), 100, &arena, &counts, &count, &next, &err));
        assert_int_equal(count, wanted);
        for (size_t i = 0; i < count; i++) {
            uint64_t again;
            done(state_index_devices(state, index, &counts[i].value, &again, &err));
            assert_int_equal(counts[i].count, again);
        }
    }
    for (int type = 0; type < TYPE_COUNT; type++) {
        uint64_t in_model = 0, in_store;
        for (unsigned i = 0; i < DEVICE_COUNT; i++)
            in_model += model.devices[i].exists && model.devices[i].type == type;
        done(state_type_devices(state, text_of(types[type]), &in_store, &err));
        assert_int_equal(in_store, in_model);
    }
}

static void same_rest(void)
{
    uint64_t kept = model.letters < LETTERS_KEPT ? model.letters : LETTERS_KEPT, next;
    struct text *letters;
    size_t count;
    assert_int_equal(state_device_count(state), model.device_count);
    assert_int_equal(state_applied_seq(state), model.applied_seq);
    assert_int_equal(state_checkpoint_seq(state), committed.applied_seq);
    assert_int_equal(*state_counter(state, TEXT("n")), model.counter);
    assert_int_equal(state_dead_letter_count(state), kept);
    assert_int_equal(state_dead_letter_trimmed(state), model.letters - kept);
    done(state_dead_letters(state, 0, 100, SIZE_MAX, &arena, &letters, &count, &next, &err));
    assert_int_equal(count, kept);
    for (size_t i = 0; i < count; i++)
        assert_true(text_equal(letters[i], arena_format(&arena, "%" PRIu64, model.letters - i)));
}

static void same_all(void)
{
    for (unsigned i = 0; i < DEVICE_COUNT; i++)
        same_device(i);
    for (int i = 0; i < 5; i++)
        same_random_list();
    same_counts();
    same_next_timer();
    same_past();
    same_rest();
}

static void step(void)
{
    arena_reset(&arena);
    unsigned kind = pick(1000);
    if (kind < 900)
        change_device();
    else if (kind < 920)
        change_the_rest();
    else if (kind < 930)
        pass_time();
    else if (kind < 960)
        checkpoint();
    else if (kind < 970)
        reopen();
    else if (kind < 980)
        same_all();
    else if (kind < 990)
        same_past();
    else
        same_random_list();
}

static void test_store_does_what_the_model_does(void **unused)
{
    (void)unused;
    const char *given = getenv("FWSYNC_STEPS");
    unsigned long steps = given != NULL ? strtoul(given, NULL, 10) : 30000;
    reopen();
    for (unsigned long i = 0; i < steps; i++)
        step();
    arena_reset(&arena);
    same_all();
    reopen();
    same_all();
    state_close(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_store_does_what_the_model_does)};
    const char *given = getenv("FWSYNC_SEED");
    seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    random_state = seed * UINT64_C(0x9E3779B97F4A7C15) | 1;
    printf("prop_state: FWSYNC_SEED=%" PRIu64 "\n", seed);
    dir = temp_dir_make();
    arena_init(&arena, 1 << 20);
    make_values();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_fini(&arena);
    temp_dir_remove(dir);
    return failed;
}

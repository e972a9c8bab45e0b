/* state_fixture.h - for the tests of the state: a new one in a folder of its own for each test, and short words for
 * what they do with it. */
#ifndef TEST_STATE_FIXTURE_H
#define TEST_STATE_FIXTURE_H

#include "store/state.h"
#include "tests/unit/store_fixture.h"

enum { MAP_BYTES = 256 << 20 };

static struct state *state;

static const struct index_key default_indexes[] = {
    {SCOPE_SERVER, {"fwStateIsSynced", 15}},
    {SCOPE_CLIENT, {"currentFwVer", 12}},
    {SCOPE_SERVER, {"lastTargetFwVer", 15}},
};
enum { SYNCED, VERSION, TARGET };

static inline void open_with(const struct index_key *indexes, size_t count)
{
    struct state_options options = {MAP_BYTES, indexes, count, 0};
    done(state_open(dir, &options, &state, &err));
}

static inline void open_state(void)
{
    open_with(default_indexes, 3);
}

static inline void reopen(void)
{
    state_close(state);
    open_state();
}

static inline void checkpoint(void)
{
    done(state_checkpoint(state, &err));
}

static inline int state_setup(void **unused)
{
    store_setup(unused);
    open_state();
    return 0;
}

static inline int state_teardown(void **unused)
{
    memset(&full_disk, 0, sizeof full_disk);
    state_close(state);
    return store_teardown(unused);
}

static inline struct device *device_open(const char *name)
{
    struct device *device;
    done(state_device_open(state, text_of(name), (struct text){NULL, 0}, 1000, 0, &device, &err));
    return device;
}

static inline struct device *device_find(const char *name)
{
    struct device *device;
    done(state_device_find(state, text_of(name), &device, &err));
    return device;
}

static inline bool put(struct device *device, enum scope scope, const char *key, struct value value,
                       int64_t ts_ms, uint64_t seq)
{
    bool changed;
    done(device_put(device, scope, text_of(key), &value, ts_ms, seq, &changed, &err));
    return changed;
}

static inline bool get(struct device *device, enum scope scope, const char *key,
                       struct attribute *attribute)
{
    bool found;
    done(device_get(device, scope, text_of(key), attribute, &found, &err));
    return found;
}

static inline void save(struct device *device)
{
    done(state_device_save(state, device, &err));
}

/* One attribute of one device, written at once. */
static inline void set(const char *name, enum scope scope, const char *key, struct value value)
{
    struct device *device = device_open(name);
    put(device, scope, key, value, 1, 1);
    save(device);
}

static inline struct value text_value(const char *text)
{
    return value_string(text_of(text));
}

static inline struct value integer(int64_t number)
{
    return (struct value){.kind = VALUE_INTEGER, .integer = number};
}

static inline uint64_t count_of(size_t index, struct value value)
{
    uint64_t count;
    done(state_index_devices(state, index, &value, &count, &err));
    return count;
}

static inline uint64_t count_of_type(const char *type)
{
    uint64_t count;
    done(state_type_devices(state, text_of(type), &count, &err));
    return count;
}

/* All names of a list, separated by blanks, taken in pages of `limit`. */
static inline const char *list(struct device_filter filter, size_t limit)
{
    struct text *names, cursor = {"", 0};
    struct text all = {"", 0};
    size_t count;
    do {
        done(state_devices(state, &filter, cursor, limit, &arena, &names, &count, &cursor, &err));
        assert_in_range(count, 0, limit);
        for (size_t i = 0; i < count; i++)
            all = arena_format(&arena, TEXT_FMT "%s" TEXT_FMT, TEXT_ARG(all), all.len ? " " : "",
                               TEXT_ARG(names[i]));
    } while (cursor.len > 0);
    return all.len == 0 ? "" : all.bytes;
}

static inline void change_something(int round)
{
    for (int i = 0; i < 500; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%d", i * (round + 1) % 900);
        set(name, SCOPE_CLIENT, "currentFwVer", integer(round));
    }
    state_set_applied_seq(state, 100 * (uint64_t)(round + 1));
    *state_counter(state, TEXT("n")) = (uint64_t)round;
}

static inline void reopen_with_slices(size_t slice_pages)
{
    struct state_options options = {MAP_BYTES, default_indexes, 3, slice_pages};
    state_close(state);
    done(state_open(dir, &options, &state, &err));
}

/* Leaves a checkpoint half written, with its layer. */
static inline void interrupt_a_checkpoint(void)
{
    reopen_with_slices(1);
    change_something(1);
    full_disk.fails_after = 2;
    fails(state_checkpoint(state, &err), ERR_FULL, "no space");
    full_disk.error = 0;
    full_disk.fails_after = 0;
}

#define STATE_TEST(name) cmocka_unit_test_setup_teardown(name, state_setup, state_teardown)

#endif

/* prop_simulator.c - rules in the simulator against the same rules in the daemon's state.
 *
 * Random events, of several devices, and time that passes go through simulator.h and through step.h with a real state.
 * After each of them every device has to hold the same values, the same type and the same timer in both, and as many
 * dead letters have to have come out. The state looks at a timer up to 1/64 of its length too late; deadlines and
 * waits here are such that nothing happens meanwhile, and times of values may differ by that much.
 * FWSYNC_SEED repeats a run. */
#include "engine/service/step.h"
#include "rules/simulator.h"
#include "tests/unit/store_fixture.h"

#include <stdlib.h>

#include "engine/base/clock.h"
#include "rules/ruleset.h"

enum { ROUND_COUNT = 12, STEP_COUNT = 250, MAP_BYTES = 64 << 20, START_MS = 1000000, LATE_MS = 100000 };

static uint64_t random_state;

static unsigned pick(unsigned below)
{
    random_state ^= random_state << 13; /* xorshift64 */
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)((random_state >> 11) % below);
}

/* --- what there is ---------------------------------------------------------------------------------- */

/* The shipped way, with deadlines of 100 minutes: waits are of 7. And what else rules can do to a device. */
static const char bundle[] =
    "{\"root.yaml\":\"chain: root\\nfirst: what\\nnodes:\\n"
    "  what: {type: message-type-switch, to: {Post attributes: save, Post telemetry: [keep, verdict],"
    " Attributes Updated: verdict, Deadline Passed: verdict, Other: forget}}\\n"
    "  save: {type: save-attributes, scope: CLIENT_SCOPE, to: {Success: [verdict, copy]}}\\n"
    "  copy: {type: save-attributes, scope: SHARED_SCOPE, keys: [other]}\\n"
    "  keep: {type: save-telemetry}\\n"
    "  forget: {type: delete-attributes, scope: SHARED_SCOPE, keys: [other, fw]}\\n"
    "  verdict: {type: firmware-verdict, deadlines: {pending: 100m, queued: 100m, initiated: 100m,"
    " downloading: 100m, downloaded: 100m, verified: 100m, updating: 100m, updated: 0}, to: {Success: tell}}\\n"
    "  tell: {type: publish, class: sync}\\n\"}";

static const char *const devices[] = {"a", "b", "c", "a longer name"};
static const char *const types[] = {NULL, NULL, NULL, "ESP32", "pump"};
static const char *const keys[] = {"currentFwVer", "lastTargetFwVer", "fw_state", "fw_error", "other", "fw"};
static const char *const values[] = {"\"v1\"", "\"v2\"", "\"v2\"", "\"DOWNLOADING\"", "\"failed\"", "1",
                                     "1.0",    "true",   "null",   "{\"a\":[1,2]}",   "\"\"",       "-2.5e3"};
static const char *const scopes[] = {"CLIENT_SCOPE", "SHARED_SCOPE", "SERVER_SCOPE", "SERVER_SCOPE"};
#define ANY(list) list[pick(sizeof list / sizeof list[0])]

enum { KEY_COUNT = sizeof keys / sizeof keys[0], DEVICE_COUNT = sizeof devices / sizeof devices[0] };

static struct text random_event(int64_t now_ms)
{
    static const char *const kinds[] = {"POST_ATTRIBUTES_REQUEST", "POST_TELEMETRY_REQUEST", "ATTRIBUTES_UPDATED",
                                        "CONNECT_EVENT"};
    struct buf line = {.arena = &arena};
    const char *kind = ANY(kinds), *type = ANY(types);
    buf_byte(&line, '{');
    json_member_text(&line, "device", text_of(ANY(devices)));
    json_member_text(&line, "type", text_of(kind));
    if (type != NULL)
        json_member_text(&line, "deviceType", text_of(type));
    if (kind == kinds[2])
        json_member_text(&line, "scope", text_of(ANY(scopes)));
    if (pick(3) == 0)
        json_member_integer(&line, "ts", now_ms - 5000 + pick(10) * 1000);
    json_open(&line, "data", '{');
    for (unsigned key = 0; key < KEY_COUNT; key++)
        if (pick(3) == 0)
            json_member_raw(&line, keys[key], text_of(ANY(values)));
    buf_append(&line, TEXT("}}"));
    return buf_text(&line);
}

/* --- both --------------------------------------------------------------------------------------------- */

static struct ruleset *ruleset;
static struct simulator *simulator;
static struct step step;
static int64_t now_ms;

static uint64_t next_seq(void)
{
    return state_applied_seq(step.state) + 1;
}

static unsigned letters_noted(void)
{
    unsigned count = 0;
    for (const struct note *note = simulator_notes(simulator); note != NULL; note = note->next)
        count += note->kind == NOTE_DEAD_LETTERS;
    return count;
}

static void happen(struct text line)
{
    struct arena scratch;
    struct event event;
    unsigned letters = 0;
    arena_init(&scratch, 65536);
    done(event_parse(line, &scratch, &arena, &event, &err));
    done(step_event(&step, &event, line, next_seq(), now_ms, &letters, &err));
    simulator_apply(simulator, &event, now_ms);
    if (letters != letters_noted())
        fail_msg("%u dead letters, not %u, after " TEXT_FMT, letters_noted(), letters, TEXT_ARG(line));
    arena_fini(&scratch);
}

static void pass_time(int64_t ms)
{
    now_ms += ms;
    while (state_timer_next(step.state) <= now_ms) {
        int64_t tick_ms = state_timer_next(step.state);
        done(step_tick(&step, next_seq(), tick_ms, &err));
    }
    done(simulator_pass(simulator, now_ms, &err));
}

struct walk {
    const struct simulated_value *values;
    size_t count, at;
};

static void compare_value(void *context, const struct attribute *stored)
{
    struct walk *walk = context;
    assert_true(walk->at < walk->count);
    const struct simulated_value *simulated = &walk->values[walk->at++];
    if (!text_equal(simulated->key, stored->key) || !value_equal(&simulated->value, &stored->value) ||
        llabs(simulated->ts_ms - stored->ts_ms) > LATE_MS)
        fail_msg("%s." TEXT_FMT " isn't what is stored as " TEXT_FMT, scope_short(simulated->scope),
                 TEXT_ARG(simulated->key), TEXT_ARG(stored->key));
}

static void compare_device(struct text name)
{
    struct device *device;
    struct walk walk = {.at = 0};
    done(state_device_find(step.state, name, &device, &err));
    const struct simulated_device *simulated = simulator_find(simulator, name);
    assert_int_equal(device == NULL, simulated == NULL);
    if (device == NULL)
        return;
    assert_true(text_equal(device_type(device), simulated_type(simulated)));
    assert_int_equal(device_timer(device), simulated_timer(simulated));
    walk.values = simulated_values(simulated, &walk.count);
    for (enum scope scope = SCOPE_CLIENT; scope < SCOPE_COUNT; scope++)
        done(device_each(device, scope, compare_value, &walk, &err));
    assert_int_equal(walk.at, walk.count);
}

static void live(void)
{
    now_ms = START_MS;
    done(simulator_pass(simulator, now_ms, &err));
    for (int i = 0; i < STEP_COUNT; i++) {
        simulator_clear_notes(simulator);
        if (pick(3) > 0)
            happen(random_event(now_ms));
        else
            pass_time((int64_t)pick(20) * 7 * 60000);
        for (size_t device = 0; device < DEVICE_COUNT; device++)
            compare_device(text_of(devices[device]));
        arena_reset(&arena);
    }
}

/* The state is a new one each time, the simulator forgets. */
static void run_round(int round)
{
    struct state_options options = {.map_bytes = MAP_BYTES};
    char name[64];
    struct buf path = {.arena = &arena};
    snprintf(name, sizeof name, "/%d", round);
    buf_append(&path, text_of(dir));
    buf_append(&path, text_of(name));
    buf_byte(&path, '\0');
    step_init(&step);
    done(state_open(path.bytes, &options, &step.state, &err));
    step.ruleset = ruleset;
    step.publisher = publisher_create_trial();
    done(publisher_rules(step.publisher, ruleset, &err));
    live();
    publisher_destroy(step.publisher);
    state_close(step.state);
    step_fini(&step);
    simulator_forget(simulator);
}

static void prop_simulated_rules_do_what_the_daemons_do(void **unused)
{
    (void)unused;
    const char *seed = getenv("FWSYNC_SEED");
    random_state = seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)clock_monotonic_ns();
    random_state |= random_state == 0;
    print_message("FWSYNC_SEED=%llu\n", (unsigned long long)random_state);
    ruleset = ruleset_load_kept(text_of(bundle), &err);
    done(ruleset != NULL);
    simulator = simulator_create(ruleset, NOTE_ALL);
    for (int round = 0; round < ROUND_COUNT; round++)
        run_round(round);
    simulator_destroy(simulator);
    ruleset_destroy(ruleset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(prop_simulated_rules_do_what_the_daemons_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

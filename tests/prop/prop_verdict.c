/* prop_verdict.c - random lives of a device against the verdict, written down a second time.
 *
 * firmware-verdict remembers nothing but the state and the reason that it saved as texts. The naive one here
 * remembers everything in a struct, and writes its reason only to compare. Each life is lived twice: the same
 * messages give the same verdicts. FWSYNC_SEED repeats a run. */
#include <inttypes.h>

#include "tests/unit/rules_model.h"

#include "engine/base/clock.h"

enum { ROUND_COUNT = 400, MESSAGE_COUNT = 200 };

static uint64_t random_state;

static unsigned pick(unsigned below)
{
    random_state ^= random_state << 13; /* xorshift64 */
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)((random_state >> 11) % below);
}

/* --- what there is ------------------------------------------------------------------------------------ */

/* Versions of the same rank are equal, those of rank 0 have no order; the first is none. */
static const struct {
    const char *text;
    int rank;
} versions[] = {{"", 0}, {"v1", 1}, {"v2", 2}, {"v2", 2}, {"v3", 3}, {"2.0", 2}, {"latest", 0}, {"v1.5", 1}};
enum { VERSION_COUNT = 7 }; /* v1.5 isn't v1 */

enum stage { TOLD, STAGE_COUNT = 8 };
static const char *const stage_settings[] = {"pending",  "queued",   "initiated", "downloading", "downloaded",
                                             "verified", "updating", "updated"};
static const char *const stage_names[] = {"",           "QUEUED",   "INITIATED", "DOWNLOADING",
                                          "DOWNLOADED", "VERIFIED", "UPDATING",  "UPDATED"};

static const struct {
    const char *setting;
    const char *words;
    int64_t ms;
} lengths[] = {{"0", "", 0},          {"1ms", "1 ms", 1},          {"90s", "90 seconds", 90000},
               {"1h", "1 hour", 3600000}, {"48h", "2 days", 172800000}, {"60000ms", "1 minute", 60000}};
enum { LENGTH_COUNT = 6, ERROR_COUNT = 3 };

static const char *const errors[ERROR_COUNT] = {"", "no space", "bad checksum"};

/* --- the naive verdict -------------------------------------------------------------------------------- */

enum state { NO_TARGET, NEVER, SYNCED, PENDING, NEWER, DIFFERENT, UPDATING, FAILED, STUCK, ROLLED_BACK, NONE };
static const char *const state_words[] = {"no-target", "never-reported", "synced", "pending", "newer",
                                          "different", "updating",       "failed", "stuck",   "rolled-back"};

struct naive {
    bool refuse;
    unsigned lengths[STAGE_COUNT]; /* of `lengths` */
    unsigned current, target;      /* of `versions` */
    enum state state;
    unsigned about_current, about_target; /* what they were then */
    unsigned stage;
    unsigned error;
    int64_t due_ms;
};

/* A message: what changes in the device, and what it says. */
struct message {
    int64_t now_ms;
    bool told, late;
    unsigned stage; /* TOLD: it says nothing about one; STAGE_COUNT: FAILED */
    unsigned error;
    char json[256]; /* empty when it is late */
};

static bool same(unsigned a, unsigned b)
{
    return strcmp(versions[a].text, versions[b].text) == 0;
}

static void begin(struct naive *naive, enum state state, unsigned stage, int64_t now_ms)
{
    int64_t length_ms = lengths[naive->lengths[stage]].ms;
    naive->state = state;
    naive->stage = stage;
    naive->due_ms = length_ms == 0 ? 0 : now_ms + length_ms;
}

static void end(struct naive *naive, enum state state)
{
    naive->state = state;
    naive->due_ms = 0;
}

static void hear(struct naive *naive, const struct message *message, bool goes_on, enum state base)
{
    bool underway = naive->state == base || naive->state == UPDATING;
    if (message->late && goes_on) {
        if (underway && lengths[naive->lengths[naive->stage]].ms > 0)
            end(naive, STUCK);
    } else if (message->stage == STAGE_COUNT) {
        naive->error = message->error != 0 || naive->state != FAILED ? message->error : naive->error;
        end(naive, FAILED);
    } else if (message->stage == TOLD) {
        if (naive->state == FAILED && message->error != 0)
            naive->error = message->error;
    } else if (!((naive->state == UPDATING || naive->state == STUCK) && naive->stage == message->stage)) {
        begin(naive, UPDATING, message->stage, message->now_ms);
    }
}

static void judge_unsynced(struct naive *naive, const struct message *message)
{
    int runs = versions[naive->current].rank, wanted = versions[naive->target].rank;
    enum state base = runs == 0 || wanted == 0 || runs == wanted ? DIFFERENT : runs < wanted ? PENDING : NEWER;
    bool same_target = same(naive->about_target, naive->target);
    if (base == NEWER && naive->refuse) {
        end(naive, NEWER);
        return;
    }
    bool goes_on = !message->told && same_target && same(naive->about_current, naive->current) &&
                   naive->state >= PENDING && naive->state != NONE;
    bool was_on_it = same_target && (naive->state == SYNCED || naive->state == ROLLED_BACK);
    if (!goes_on && base == PENDING && !message->told && was_on_it)
        end(naive, ROLLED_BACK);
    else if (!goes_on)
        begin(naive, base, TOLD, message->now_ms);
    hear(naive, message, goes_on, base);
}

static void judge(struct naive *naive, const struct message *message)
{
    if (message->late)
        naive->due_ms = 0;
    if (versions[naive->target].text[0] == '\0')
        end(naive, NO_TARGET);
    else if (versions[naive->current].text[0] == '\0')
        end(naive, NEVER);
    else if (same(naive->current, naive->target))
        end(naive, SYNCED);
    else
        judge_unsynced(naive, message);
    naive->about_current = naive->current;
    naive->about_target = naive->target;
}

static const char *stage_text(const struct naive *naive, int runs, int wanted)
{
    if (naive->stage != TOLD)
        return stage_names[naive->stage];
    return runs == 0 || wanted == 0 || runs == wanted
               ? "neither is the newer one, and the update has not begun"
           : runs < wanted ? "the update has not begun"
                           : "the downgrade has not begun";
}

static void write_reason(const struct naive *naive, char out[256])
{
    const char *current = versions[naive->current].text, *target = versions[naive->target].text;
    int runs = versions[naive->current].rank, wanted = versions[naive->target].rank;
    int len = snprintf(out, 256, "runs %s, should run %s; ", current, target);
    char *rest = out + len;
    size_t room = (size_t)(256 - len);
    if (naive->state == NO_TARGET)
        snprintf(out, 256, "no target version is set");
    else if (naive->state == NEVER)
        snprintf(out, 256, "has never reported a version, should run %s", target);
    else if (naive->state == SYNCED)
        snprintf(out, 256, "runs %s, as it should", target);
    else if (naive->state == ROLLED_BACK)
        snprintf(out, 256, "ran %s, reports %s again", target, current);
    else if (naive->state == NEWER && naive->refuse)
        snprintf(rest, room, "downgrades are refused");
    else if (naive->state == FAILED)
        snprintf(rest, room, "the update failed%s%s", naive->error == 0 ? "" : ": ",
                 naive->error == 0 ? ", and the device gave no reason" : errors[naive->error]);
    else
        snprintf(rest, room, "%s%s%s", stage_text(naive, runs, wanted),
                 naive->state == STUCK ? " for more than " : "",
                 naive->state == STUCK ? lengths[naive->lengths[naive->stage]].words : "");
}

/* --- messages ----------------------------------------------------------------------------------------- */

static unsigned pick_version(void)
{
    unsigned version = pick(VERSION_COUNT + 3);
    return version < VERSION_COUNT ? version : 1 + version % 2; /* mostly v1 and v2 */
}

static void report(struct naive *naive, struct message *message)
{
    naive->current = pick_version();
    snprintf(message->json, sizeof message->json,
             "{\"device\":\"E\",\"type\":\"POST_ATTRIBUTES_REQUEST\",\"data\":{\"currentFwVer\":\"%s\"}}",
             versions[naive->current].text);
}

static void write(struct naive *naive, struct message *message)
{
    static const char *const others[] = {"\"targetFwUrl\":\"u\"", "\"lastOtaStartedOn\":1", "\"owner\":1"};
    unsigned what = pick(6);
    char data[64];
    if (what >= 3) {
        naive->target = pick_version();
        snprintf(data, sizeof data, "\"lastTargetFwVer\":\"%s\"", versions[naive->target].text);
    } else {
        snprintf(data, sizeof data, "%s", others[what]);
    }
    message->told = what != 2;
    snprintf(message->json, sizeof message->json,
             "{\"device\":\"E\",\"type\":\"ATTRIBUTES_UPDATED\",\"scope\":\"SERVER_SCOPE\",\"data\":{%s}}", data);
}

static void say(struct message *message)
{
    message->stage = pick(STAGE_COUNT + 2); /* the last: nothing that anybody knows */
    message->error = pick(ERROR_COUNT);
    const char *name = message->stage < STAGE_COUNT    ? stage_names[message->stage]
                       : message->stage == STAGE_COUNT ? "Failed"
                                                       : "BORED";
    bool unknown = message->stage > STAGE_COUNT, silent = message->stage == TOLD;
    snprintf(message->json, sizeof message->json,
             "{\"device\":\"E\",\"type\":\"POST_TELEMETRY_REQUEST\",\"data\":{\"x\":1%s%s%s%s%s%s}}",
             silent ? "" : ",\"fw_state\":\"", silent ? "" : name, silent ? "" : "\"",
             message->error == 0 ? "" : ",\"fw_error\":\"", errors[message->error],
             message->error == 0 ? "" : "\"");
    if (unknown) { /* an error is only taken with what it is about */
        message->stage = TOLD;
        message->error = 0;
    }
}

static struct message next_message(struct naive *naive, int64_t now_ms)
{
    struct message message = {.now_ms = now_ms, .stage = TOLD};
    switch (pick(8)) {
    case 0:
    case 1:
        report(naive, &message);
        break;
    case 2:
        write(naive, &message);
        break;
    case 3:
    case 4:
        message.late = true;
        message.now_ms = naive->due_ms > now_ms ? naive->due_ms : now_ms;
        break;
    default:
        say(&message);
    }
    return message;
}

/* --- lives -------------------------------------------------------------------------------------------- */

static struct ruleset *make_rules(struct naive *naive)
{
    char yaml[1024];
    int len = snprintf(yaml, sizeof yaml,
                       "chain: root\nfirst: what\nnodes:\n"
                       "  what: {type: message-type-switch, to: {Post attributes: save, Post telemetry: verdict,\n"
                       "         Attributes Updated: verdict, Deadline Passed: verdict}}\n"
                       "  save: {type: save-attributes, scope: CLIENT_SCOPE, to: {Success: verdict}}\n"
                       "  verdict: {type: firmware-verdict, downgrade: %s, deadlines: {",
                       naive->refuse ? "refuse" : "allow");
    for (unsigned stage = 0; stage < STAGE_COUNT; stage++)
        len += snprintf(yaml + len, sizeof yaml - (size_t)len, "%s%s: %s", stage == 0 ? "" : ", ",
                        stage_settings[stage], lengths[naive->lengths[stage]].setting);
    snprintf(yaml + len, sizeof yaml - (size_t)len, "}}\n");
    return rules_of(yaml);
}

static void run(struct model *model, const struct ruleset *ruleset, const struct message *message)
{
    if (message->late)
        model_deadline_passed(model, ruleset, message->now_ms);
    else
        model_run_at(model, ruleset, message->json, message->now_ms);
}

static void expect_text(const struct model *model, const char *key, const char *expected,
                        const struct message *message)
{
    size_t at = model_find(model, SCOPE_SERVER, text_of(key));
    assert_true(at < model->count && model->attributes[at].value.kind == VALUE_STRING);
    if (!text_is(model->attributes[at].value.text, expected))
        fail_msg("%s is '" TEXT_FMT "', not '%s', after %s", key,
                 TEXT_ARG(model->attributes[at].value.text), expected,
                 message->late ? "its deadline" : message->json);
}

static void compare(const struct model *model, const struct naive *naive, const struct message *message)
{
    char reason[256];
    write_reason(naive, reason);
    expect_text(model, "fwSyncState", state_words[naive->state], message);
    expect_text(model, "fwSyncReason", reason, message);
    size_t at = model_find(model, SCOPE_SERVER, TEXT("fwStateIsSynced"));
    assert_true(at < model->count && model->attributes[at].value.boolean == (naive->state == SYNCED));
    if (model->due_ms != naive->due_ms)
        fail_msg("due at %" PRId64 ", not %" PRId64 ", after %s", model->due_ms, naive->due_ms,
                 message->late ? "its deadline" : message->json);
}

static void live(void)
{
    struct naive naive = {.refuse = pick(3) == 0, .state = NONE};
    struct message messages[MESSAGE_COUNT];
    struct model first, second;
    for (unsigned stage = 0; stage < STAGE_COUNT; stage++)
        naive.lengths[stage] = pick(LENGTH_COUNT);
    struct ruleset *ruleset = make_rules(&naive);
    model_init(&first);
    model_init(&second);
    int64_t now_ms = 1000;
    for (int i = 0; i < MESSAGE_COUNT; i++) {
        messages[i] = next_message(&naive, now_ms);
        now_ms = messages[i].now_ms + pick(1000);
        judge(&naive, &messages[i]);
        run(&first, ruleset, &messages[i]);
        compare(&first, &naive, &messages[i]);
    }
    for (int i = 0; i < MESSAGE_COUNT; i++)
        run(&second, ruleset, &messages[i]);
    compare(&second, &naive, &messages[MESSAGE_COUNT - 1]);
    model_fini(&first);
    model_fini(&second);
    ruleset_destroy(ruleset);
}

static void prop_verdict_is_what_its_history_says(void **state)
{
    (void)state;
    const char *seed = getenv("FWSYNC_SEED");
    random_state = seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)clock_monotonic_ns();
    random_state |= random_state == 0;
    print_message("FWSYNC_SEED=%llu\n", (unsigned long long)random_state);
    for (int i = 0; i < ROUND_COUNT; i++)
        live();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prop_verdict_is_what_its_history_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

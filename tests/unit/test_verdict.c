/* firmware-verdict: every state, what leads from one to another, and what is written down about it.
 *
 * A life is a list of messages to one device, a second apart, the first at second 1. After each: the state, the
 * reason, and the second at which the device's timer is due (0: none). */
#include "tests/unit/rules_model.h"

#define RULES(settings)                                                                                \
    "chain: root\nfirst: what\nnodes:\n"                                                               \
    "  what: {type: message-type-switch, to: {Post attributes: save, Post telemetry: verdict,\n"       \
    "         Attributes Updated: verdict, Deadline Passed: verdict}}\n"                               \
    "  save: {type: save-attributes, scope: CLIENT_SCOPE, to: {Success: verdict}}\n"                   \
    "  verdict: {type: firmware-verdict" settings ", to: {Success: tell}}\n"                           \
    "  tell: {type: publish, class: sync}\n"
#define DEADLINES                                                                                      \
    ", deadlines: {pending: 100s, queued: 1h, initiated: 11s, downloading: 30m, downloaded: 13s,\n"    \
    "  verified: 1500ms, updating: 1m, updated: 2d}"

#define EVENT(type, data) "{\"device\":\"E\",\"type\":\"" type "\",\"data\":" data "}"
#define WRITE(scope, data)                                                                             \
    "{\"device\":\"E\",\"type\":\"ATTRIBUTES_UPDATED\",\"scope\":\"" scope "\",\"data\":" data "}"
#define RUNS(version)  EVENT("POST_ATTRIBUTES_REQUEST", "{\"currentFwVer\":" version "}")
#define SAYS(data)     EVENT("POST_TELEMETRY_REQUEST", data)
#define TARGET(version) WRITE("SERVER_SCOPE", "{\"lastTargetFwVer\":" version "}")
#define LATE ""  /* the deadline has passed */
#define AT(stage) SAYS("{\"fw_state\":\"" stage "\"}")

struct step {
    const char *event;
    const char *state;
    const char *reason;
    double due_s;
};

static const char *stored(const struct model *model, const char *key)
{
    size_t at = model_find(model, SCOPE_SERVER, text_of(key));
    assert_true(at < model->count && model->attributes[at].value.kind == VALUE_STRING);
    static char text[4][1024];
    static unsigned turn;
    char *out = text[turn++ % 4];
    snprintf(out, sizeof text[0], TEXT_FMT, TEXT_ARG(model->attributes[at].value.text));
    return out;
}

static bool is_synced(const struct model *model)
{
    size_t at = model_find(model, SCOPE_SERVER, TEXT("fwStateIsSynced"));
    assert_true(at < model->count && model->attributes[at].value.kind == VALUE_BOOLEAN);
    return model->attributes[at].value.boolean;
}

static const char *run_at(struct model *model, const struct ruleset *ruleset, const char *event,
                          int64_t now_ms)
{
    return event[0] == '\0' ? model_deadline_passed(model, ruleset, now_ms)
                            : model_run_at(model, ruleset, event, now_ms);
}

static void expect_life(const char *yaml, const struct step *steps)
{
    struct ruleset *ruleset = rules_of(yaml);
    struct model model;
    model_init(&model);
    for (int i = 0; steps[i].event != NULL; i++) {
        run_at(&model, ruleset, steps[i].event, (i + 1) * 1000);
        const char *state = stored(&model, "fwSyncState"), *reason = stored(&model, "fwSyncReason");
        if (strcmp(state, steps[i].state) != 0 || strcmp(reason, steps[i].reason) != 0 ||
            model.due_ms != (int64_t)(steps[i].due_s * 1000))
            fail_msg("step %d %s: %s, '%s', due at %lld ms", i + 1, steps[i].event, state, reason,
                     (long long)model.due_ms);
        assert_int_equal(is_synced(&model), strcmp(steps[i].state, "synced") == 0);
    }
    model_fini(&model);
    ruleset_destroy(ruleset);
}

#define LIFE(settings, ...)                                                                            \
    expect_life(RULES(settings), (const struct step[]){__VA_ARGS__, {NULL, NULL, NULL, 0}})

#define NO_TARGET "no target version is set"
#define NEVER "has never reported a version, should run v2"
#define SYNCED "runs v2, as it should"
#define OLD "runs v1, should run v2; "
#define PENDING OLD "the update has not begun"
#define BACK "ran v2, reports v1 again"

static void test_an_update_goes_well(void **unused)
{
    (void)unused;
    LIFE(DEADLINES, {RUNS("\"v1\""), "no-target", NO_TARGET, 0},
         {TARGET("\"v2\""), "pending", PENDING, 102},
         {RUNS("\"v1\""), "pending", PENDING, 102}, /* nothing new */
         {AT("QUEUED"), "updating", OLD "QUEUED", 4 + 3600},
         {AT("INITIATED"), "updating", OLD "INITIATED", 5 + 11},
         {AT("DOWNLOADING"), "updating", OLD "DOWNLOADING", 6 + 1800},
         {AT("DOWNLOADING"), "updating", OLD "DOWNLOADING", 6 + 1800},
         {AT("downloaded"), "updating", OLD "DOWNLOADED", 8 + 13},
         {AT("Verified"), "updating", OLD "VERIFIED", 9 + 1.5},
         {AT("UPDATING"), "updating", OLD "UPDATING", 10 + 60},
         {AT("UPDATED"), "updating", OLD "UPDATED", 11 + 2 * 86400},
         {RUNS("\"v2\""), "synced", SYNCED, 0}, {RUNS("\"v2\""), "synced", SYNCED, 0},
         {AT("UPDATED"), "synced", SYNCED, 0});
}

/* The sample's devices say nothing on the way. */
static void test_an_update_without_a_word_goes_well(void **unused)
{
    (void)unused;
    LIFE("", {TARGET("\"v2\""), "never-reported", NEVER, 0},
         {RUNS("\"v1\""), "pending", PENDING, 2 + 86400}, {RUNS("\"v2\""), "synced", SYNCED, 0});
}

static void test_no_target_comes_before_all_else(void **unused)
{
    (void)unused;
    LIFE("", {SAYS("{\"fw_state\":\"FAILED\"}"), "no-target", NO_TARGET, 0},
         {RUNS("\"v1\""), "no-target", NO_TARGET, 0}, {TARGET("\"v2\""), "pending", PENDING, 3 + 86400},
         {TARGET("\"\""), "no-target", NO_TARGET, 0}, {AT("QUEUED"), "no-target", NO_TARGET, 0},
         {LATE, "no-target", NO_TARGET, 0});
}

static void test_a_version_is_reported_only_when_it_is_not_empty(void **unused)
{
    (void)unused;
    LIFE("", {TARGET("\"v2\""), "never-reported", NEVER, 0}, {RUNS("\"\""), "never-reported", NEVER, 0},
         {AT("DOWNLOADING"), "never-reported", NEVER, 0}, {LATE, "never-reported", NEVER, 0});
}

static void test_synced_is_the_same_text(void **unused)
{
    (void)unused;
    LIFE("", {TARGET("\"1.0\""), "never-reported", "has never reported a version, should run 1.0", 0},
         {RUNS("1.0"), "synced", "runs 1.0, as it should", 0}, /* a number shows as the same text */
         {RUNS("\"1\""), "different",
          "runs 1, should run 1.0; neither is the newer one, and the update has not begun", 3 + 86400});
}

/* --- deadlines -------------------------------------------------------------------------------------- */

static void test_each_stage_has_its_deadline(void **unused)
{
    (void)unused;
#define THEN_LATE(stage, due, words)                                                                   \
    LIFE(DEADLINES, {RUNS("\"v1\""), "no-target", NO_TARGET, 0},                                       \
         {TARGET("\"v2\""), "pending", PENDING, 102}, {AT(stage), "updating", OLD stage, 3 + (due)},   \
         {LATE, "stuck", OLD stage " for more than " words, 0},                                        \
         {AT(stage), "stuck", OLD stage " for more than " words, 0}, /* no news */                     \
         {RUNS("\"v1\""), "stuck", OLD stage " for more than " words, 0},                              \
         {LATE, "stuck", OLD stage " for more than " words, 0})
    THEN_LATE("QUEUED", 3600, "1 hour");
    THEN_LATE("INITIATED", 11, "11 seconds");
    THEN_LATE("DOWNLOADING", 1800, "30 minutes");
    THEN_LATE("DOWNLOADED", 13, "13 seconds");
    THEN_LATE("VERIFIED", 1.5, "1500 ms");
    THEN_LATE("UPDATING", 60, "1 minute");
    THEN_LATE("UPDATED", 2 * 86400, "2 days");
}

static void test_nothing_heard_is_stuck_too(void **unused)
{
    (void)unused;
    LIFE("", {RUNS("\"v1\""), "no-target", NO_TARGET, 0}, {TARGET("\"v2\""), "pending", PENDING, 2 + 86400},
         {LATE, "stuck", PENDING " for more than 1 day", 0},
         {RUNS("\"v1\""), "stuck", PENDING " for more than 1 day", 0},
         {AT("INITIATED"), "updating", OLD "INITIATED", 5 + 1800},
         {LATE, "stuck", OLD "INITIATED for more than 30 minutes", 0},
         {AT("DOWNLOADING"), "updating", OLD "DOWNLOADING", 7 + 1800},
         {LATE, "stuck", OLD "DOWNLOADING for more than 30 minutes", 0},
         {RUNS("\"v2\""), "synced", SYNCED, 0});
}

static void test_a_stage_may_have_no_deadline(void **unused)
{
    (void)unused;
    LIFE(", deadlines: {pending: 0, queued: 1ms}", {RUNS("\"v1\""), "no-target", NO_TARGET, 0},
         {TARGET("\"v2\""), "pending", PENDING, 0},
         {LATE, "pending", PENDING, 0}, /* of settings before these */
         {AT("QUEUED"), "updating", OLD "QUEUED", 4.001});
}

/* --- told again ------------------------------------------------------------------------------------- */

static void test_told_again_starts_over(void **unused)
{
    (void)unused;
    static const char *const told[] = {
        TARGET("\"v2\""),
        WRITE("SERVER_SCOPE", "{\"lastOtaStartedOn\":5}"),
        WRITE("SERVER_SCOPE", "{\"lastTargetFwUrl\":\"u\"}"),
        WRITE("SHARED_SCOPE", "{\"targetFwVer\":\"v2\"}"),
        WRITE("SHARED_SCOPE", "{\"targetFwUrl\":\"u\"}"),
    };
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        LIFE("", {RUNS("\"v1\""), "no-target", NO_TARGET, 0},
             {TARGET("\"v2\""), "pending", PENDING, 2 + 86400}, {told[i], "pending", PENDING, 3 + 86400},
             {AT("DOWNLOADING"), "updating", OLD "DOWNLOADING", 4 + 1800},
             {told[i], "pending", PENDING, 5 + 86400}, {LATE, "stuck", PENDING " for more than 1 day", 0},
             {told[i], "pending", PENDING, 7 + 86400},
             {AT("FAILED"), "failed", OLD "the update failed, and the device gave no reason", 0},
             {told[i], "pending", PENDING, 9 + 86400}, {RUNS("\"v2\""), "synced", SYNCED, 0},
             {told[i], "synced", SYNCED, 0}, {RUNS("\"v1\""), "rolled-back", BACK, 0},
             {told[i], "pending", PENDING, 13 + 86400});
    }
}

/* A write that brings a verdict is a copy of another daemon's: it goes on from there, if it is about these versions. */
static void test_a_verdict_that_is_copied_goes_on(void **unused)
{
    (void)unused;
#define COPY(state, reason)                                                                            \
    WRITE("SERVER_SCOPE", "{\"lastTargetFwVer\":\"v2\",\"fwSyncState\":\"" state "\",\"fwSyncReason\":\"" reason "\"}")
    static const struct {
        const char *event, *state, *reason;
        int due_s;
    } copies[] = {
        {COPY("failed", OLD "the update failed: 5"), "failed", OLD "the update failed: 5", 0},
        {COPY("updating", OLD "DOWNLOADING"), "updating", OLD "DOWNLOADING", 3 + 1800},
        {COPY("pending", PENDING), "pending", PENDING, 3 + 86400},
        {COPY("stuck", OLD "QUEUED for more than 1 hour"), "stuck", OLD "QUEUED for more than 1 hour", 0},
        {COPY("rolled-back", BACK), "rolled-back", BACK, 0},
        {COPY("synced", SYNCED), "rolled-back", BACK, 0}, /* it ran that when it was copied */
        {COPY("failed", "runs v0, should run v2; the update failed"), "pending", PENDING, 3 + 86400},
        {COPY("new-word", "whatever"), "pending", PENDING, 3 + 86400},
        {COPY("no-target", NO_TARGET), "pending", PENDING, 3 + 86400},
    };
#undef COPY
    for (size_t i = 0; i < sizeof copies / sizeof copies[0]; i++)
        LIFE("", {RUNS("\"v1\""), "no-target", NO_TARGET, 0},
             {WRITE("SHARED_SCOPE", "{\"targetFwVer\":\"v2\"}"), "no-target", NO_TARGET, 0},
             {copies[i].event, copies[i].state, copies[i].reason, copies[i].due_s});
    LIFE("", {RUNS("\"v1\""), "no-target", NO_TARGET, 0}, {TARGET("\"v2\""), "pending", PENDING, 2 + 86400},
         {WRITE("CLIENT_SCOPE", "{\"fwSyncState\":\"failed\"}"), "pending", PENDING, 2 + 86400});
}

static void test_other_writes_tell_nothing(void **unused)
{
    (void)unused;
    static const char *const others[] = {
        WRITE("CLIENT_SCOPE", "{\"targetFwVer\":\"v2\"}"),
        WRITE("SERVER_SCOPE", "{\"owner\":\"x\"}"),
        WRITE("SERVER_SCOPE", "{\"lastTargetFwVer\":null}"),
        EVENT("POST_ATTRIBUTES_REQUEST", "{\"targetFwVer\":\"v2\"}"),
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        LIFE("", {RUNS("\"v1\""), "no-target", NO_TARGET, 0},
             {TARGET("\"v2\""), "pending", PENDING, 2 + 86400},
             {AT("DOWNLOADING"), "updating", OLD "DOWNLOADING", 3 + 1800},
             {others[i], "updating", OLD "DOWNLOADING", 3 + 1800});
}

static void test_other_versions_start_over(void **unused)
{
    (void)unused;
    LIFE("", {RUNS("\"v1\""), "no-target", NO_TARGET, 0}, {TARGET("\"v2\""), "pending", PENDING, 2 + 86400},
         {AT("UPDATING"), "updating", OLD "UPDATING", 3 + 1800},
         {RUNS("\"v1.5\""), "pending", "runs v1.5, should run v2; the update has not begun", 4 + 86400},
         {AT("UPDATING"), "updating", "runs v1.5, should run v2; UPDATING", 5 + 1800},
         {TARGET("\"v3\""), "pending", "runs v1.5, should run v3; the update has not begun", 6 + 86400});
}

/* --- failures --------------------------------------------------------------------------------------- */

static void test_the_device_says_why_it_failed(void **unused)
{
    (void)unused;
#define FAILED OLD "the update failed"
    LIFE("", {RUNS("\"v1\""), "no-target", NO_TARGET, 0}, {TARGET("\"v2\""), "pending", PENDING, 2 + 86400},
         {AT("failed"), "failed", FAILED ", and the device gave no reason", 0},
         {SAYS("{\"fw_error\":\"no space\"}"), "failed", FAILED ": no space", 0}, /* it follows */
         {AT("FAILED"), "failed", FAILED ": no space", 0}, /* known already */
         {RUNS("\"v1\""), "failed", FAILED ": no space", 0},
         {SAYS("{\"fw_state\":\"FAILED\",\"fw_error\":\"a\\nb\"}"), "failed", FAILED ": a b", 0},
         {SAYS("{\"fw_state\":\"FAILED\",\"fw_error\":-12}"), "failed", FAILED ": -12", 0},
         {SAYS("{\"fw_state\":\"FAILED\",\"fw_error\":{\"code\":5}}"), "failed", FAILED ": {\"code\":5}", 0},
         {SAYS("{\"fw_error\":null}"), "failed", FAILED ": {\"code\":5}", 0},
         {SAYS("{\"fw_error\":\"a b\"}"), "failed", FAILED ": a b", 0},
         {LATE, "failed", FAILED ": a b", 0},
         {AT("DOWNLOADING"), "updating", OLD "DOWNLOADING", 13 + 1800}, /* it tries again */
         {SAYS("{\"fw_error\":\"stale\"}"), "updating", OLD "DOWNLOADING", 13 + 1800});
}

static void test_an_unknown_stage_says_nothing(void **unused)
{
    (void)unused;
    LIFE("", {RUNS("\"v1\""), "no-target", NO_TARGET, 0}, {TARGET("\"v2\""), "pending", PENDING, 2 + 86400},
         {AT("DOWNLOADIN"), "pending", PENDING, 2 + 86400}, {AT("DOWNLOADINGS"), "pending", PENDING, 2 + 86400},
         {SAYS("{\"fw_state\":3}"), "pending", PENDING, 2 + 86400},
         {AT("UPDATING"), "updating", OLD "UPDATING", 6 + 1800},
         {AT("BORED"), "updating", OLD "UPDATING", 6 + 1800});
}

/* --- rolled back, newer, different ------------------------------------------------------------------- */

static void test_an_older_version_after_the_target_is_rolled_back(void **unused)
{
    (void)unused;
    LIFE("", {RUNS("\"v2\""), "no-target", NO_TARGET, 0}, {TARGET("\"v2\""), "synced", SYNCED, 0},
         {RUNS("\"v1\""), "rolled-back", BACK, 0}, {RUNS("\"v1\""), "rolled-back", BACK, 0},
         {LATE, "rolled-back", BACK, 0},
         {RUNS("\"v1.1\""), "rolled-back", "ran v2, reports v1.1 again", 0},
         {RUNS("\"v1\""), "rolled-back", BACK, 0},
         {AT("DOWNLOADING"), "updating", OLD "DOWNLOADING", 8 + 1800},
         {RUNS("\"v2\""), "synced", SYNCED, 0},
         {SAYS("{\"fw_state\":\"DOWNLOADING\"}"), "synced", SYNCED, 0},
         {RUNS("\"v1\""), "rolled-back", BACK, 0},
         {AT("FAILED"), "failed", OLD "the update failed, and the device gave no reason", 0},
         {RUNS("\"v2\""), "synced", SYNCED, 0},
         {TARGET("\"v3\""), "pending", "runs v2, should run v3; the update has not begun", 14 + 86400},
         {RUNS("\"v1\""), "pending", "runs v1, should run v3; the update has not begun", 15 + 86400});
}

static void test_after_the_target_only_older_is_rolled_back(void **unused)
{
    (void)unused;
    LIFE("", {RUNS("\"v2\""), "no-target", NO_TARGET, 0}, {TARGET("\"v2\""), "synced", SYNCED, 0},
         {RUNS("\"v3\""), "newer", "runs v3, should run v2; the downgrade has not begun", 3 + 86400},
         {RUNS("\"v2\""), "synced", SYNCED, 0},
         {RUNS("\"abc\""), "different",
          "runs abc, should run v2; neither is the newer one, and the update has not begun", 5 + 86400});
}

static void test_a_downgrade_is_an_update(void **unused)
{
    (void)unused;
#define NEW "runs v3, should run v2; "
    LIFE(", downgrade: allow", {RUNS("\"v3\""), "no-target", NO_TARGET, 0},
         {TARGET("\"v2\""), "newer", NEW "the downgrade has not begun", 2 + 86400},
         {RUNS("\"v3\""), "newer", NEW "the downgrade has not begun", 2 + 86400},
         {LATE, "stuck", NEW "the downgrade has not begun for more than 1 day", 0},
         {AT("DOWNLOADING"), "updating", NEW "DOWNLOADING", 5 + 1800},
         {AT("FAILED"), "failed", NEW "the update failed, and the device gave no reason", 0},
         {TARGET("\"v2\""), "newer", NEW "the downgrade has not begun", 7 + 86400},
         {RUNS("\"v2\""), "synced", SYNCED, 0});
}

static void test_a_refused_downgrade_stays_newer(void **unused)
{
    (void)unused;
#define REFUSED NEW "downgrades are refused"
    LIFE(", downgrade: refuse", {RUNS("\"v3\""), "no-target", NO_TARGET, 0},
         {TARGET("\"v2\""), "newer", REFUSED, 0}, {AT("DOWNLOADING"), "newer", REFUSED, 0},
         {AT("FAILED"), "newer", REFUSED, 0}, {LATE, "newer", REFUSED, 0},
         {RUNS("\"v1\""), "pending", PENDING, 6 + 86400}, /* an update isn't refused */
         {RUNS("\"abc\""), "different",
          "runs abc, should run v2; neither is the newer one, and the update has not begun", 7 + 86400});
}

static void test_versions_without_an_order_are_different(void **unused)
{
    (void)unused;
#define ODD "runs latest, should run v2; "
#define WAITS "neither is the newer one, and the update has not begun"
    LIFE("", {RUNS("\"latest\""), "no-target", NO_TARGET, 0},
         {TARGET("\"v2\""), "different", ODD WAITS, 2 + 86400},
         {LATE, "stuck", ODD WAITS " for more than 1 day", 0},
         {AT("UPDATING"), "updating", ODD "UPDATING", 4 + 1800}, {RUNS("\"v2\""), "synced", SYNCED, 0});
}

/* --- what is written down ----------------------------------------------------------------------------- */

static void test_only_changes_are_saved_and_told(void **unused)
{
    (void)unused;
    struct ruleset *ruleset = rules_of(RULES(""));
    struct model model;
    model_init(&model);
    assert_string_equal(model_run(&model, ruleset, TARGET("\"v2\"")),
                        "server.lastTargetFwVer=\"v2\"\nserver.fwStateIsSynced=false\n"
                        "server.fwSyncState=\"never-reported\"\nserver.fwSyncReason=\"" NEVER "\"\n"
                        "sync {\"lastTargetFwVer\":\"v2\",\"fwStateIsSynced\":false,"
                        "\"fwSyncState\":\"never-reported\",\"fwSyncReason\":\"" NEVER "\"}\n");
    assert_string_equal(model_run(&model, ruleset, TARGET("\"v2\"")), "");
    assert_string_equal(model_run(&model, ruleset, RUNS("\"v1\"")),
                        "client.currentFwVer=\"v1\"\nserver.fwSyncState=\"pending\"\n"
                        "server.fwSyncReason=\"" PENDING "\"\n"
                        "sync {\"currentFwVer\":\"v1\",\"fwStateIsSynced\":false,"
                        "\"fwSyncState\":\"pending\",\"fwSyncReason\":\"" PENDING "\"}\n");
    assert_string_equal(model_run(&model, ruleset, RUNS("\"v1\"")), "");
    assert_string_equal(model_run(&model, ruleset, AT("QUEUED")),
                        "server.fwSyncState=\"updating\"\nserver.fwSyncReason=\"" OLD "QUEUED\"\n"
                        "sync {\"fw_state\":\"QUEUED\",\"fwStateIsSynced\":false,"
                        "\"fwSyncState\":\"updating\",\"fwSyncReason\":\"" OLD "QUEUED\"}\n");
    assert_string_equal(model_run(&model, ruleset, AT("QUEUED")), "");
    model_fini(&model);
    ruleset_destroy(ruleset);
}

/* What an operator wrote over it is put right by the next message. */
static void test_a_verdict_that_was_overwritten_is_made_again(void **unused)
{
    (void)unused;
    static const char *const writes[] = {
        WRITE("SERVER_SCOPE", "{\"fwSyncState\":\"synced\"}"),
        WRITE("SERVER_SCOPE", "{\"fwSyncState\":5}"),
        WRITE("SERVER_SCOPE", "{\"fwSyncReason\":\"" OLD "\"}"),
        WRITE("SERVER_SCOPE", "{\"fwSyncReason\":\"\"}"),
    };
    for (size_t i = 0; i < sizeof writes / sizeof writes[0]; i++)
        LIFE("", {RUNS("\"v1\""), "no-target", NO_TARGET, 0},
             {TARGET("\"v2\""), "pending", PENDING, 2 + 86400}, {writes[i], "pending", PENDING, 3 + 86400},
             {WRITE("SERVER_SCOPE", "{\"fwStateIsSynced\":true}"), "pending", PENDING, 3 + 86400});
}

/* Versions and errors are as long as devices like; a reason isn't, and it is never cut inside a character. */
static void test_reasons_are_short(void **unused)
{
    (void)unused;
    struct ruleset *ruleset = rules_of(RULES(""));
    for (size_t shift = 0; shift < 4; shift++) {
        char event[4096], letters[2000] = "xyz", expected[1024];
        for (size_t len = shift; len < 1500; len += 3)
            memcpy(letters + len, "\xE2\x82\xAC", 4); /* three bytes and the end */
        struct model model;
        model_init(&model);
        snprintf(event, sizeof event, RUNS("\"%s\""), letters);
        model_run(&model, ruleset, event);
        model_run(&model, ruleset, TARGET("\"v2\""));
        snprintf(event, sizeof event, SAYS("{\"fw_state\":\"FAILED\",\"fw_error\":\"%s\"}"), letters);
        model_run(&model, ruleset, event);
        size_t len = strlen(letters), tail = 32 - (32 - (len - shift) % 3) % 3;
        snprintf(expected, sizeof expected, "runs %.*s...%s, should run v2; the update failed: %.*s...",
                 (int)(32 - (32 - shift) % 3), letters, letters + len - tail, (int)(200 - (200 - shift) % 3), letters);
        assert_string_equal(stored(&model, "fwSyncReason"), expected);
        model_fini(&model);
    }
    ruleset_destroy(ruleset);
}

/* --- the shipped chains ------------------------------------------------------------------------------ */

/* Life with the shipped chains: what each message makes happen. */
static void expect_shipped(const char *const *steps)
{
    struct ruleset *ruleset = rules_shipped();
    struct model model;
    model_init(&model);
    for (; *steps != NULL; steps += 2)
        assert_string_equal(run_at(&model, ruleset, steps[0], 1000), steps[1]);
    model_fini(&model);
    ruleset_destroy(ruleset);
}

#define VERDICT(synced, state, reason)                                                                 \
    "\"fwStateIsSynced\":" synced ",\"fwSyncState\":\"" state "\",\"fwSyncReason\":\"" reason "\"}\n"

static void test_shipped_chains_hear_of_updates_in_telemetry(void **unused)
{
    (void)unused;
    expect_shipped((const char *const[]){
        TARGET("\"v2\""), "server.lastTargetFwVer=\"v2\"\nserver.fwStateIsSynced=false\n"
                          "server.fwSyncState=\"never-reported\"\nserver.fwSyncReason=\"" NEVER "\"\n"
                          "sync {\"lastTargetFwVer\":\"v2\"," VERDICT("false", "never-reported", NEVER),
        SAYS("{\"current_fw_version\":\"v1\",\"rssi\":-60}"),
        "client.currentFwVer=\"v1\"\nserver.fwSyncState=\"pending\"\nserver.fwSyncReason=\"" PENDING "\"\n"
        "sync {\"currentFwVer\":\"v1\"," VERDICT("false", "pending", PENDING),
        SAYS("{\"fw_state\":\"DOWNLOADING\",\"progress\":1}"),
        "server.fwSyncState=\"updating\"\nserver.fwSyncReason=\"" OLD "DOWNLOADING\"\n"
        "sync {" VERDICT("false", "updating", OLD "DOWNLOADING"),
        SAYS("{\"fw_state\":\"DOWNLOADING\",\"progress\":2}"), "", /* readings are no results */
        SAYS("{\"counter\":1}"), "",
        LATE, "server.fwSyncState=\"stuck\"\nserver.fwSyncReason=\"" OLD "DOWNLOADING for more than 30 minutes\"\n"
              "sync {" VERDICT("false", "stuck", OLD "DOWNLOADING for more than 30 minutes"),
        SAYS("{\"current_fw_version\":\"v2\",\"fw_state\":\"UPDATED\"}"),
        "client.currentFwVer=\"v2\"\nserver.fwStateIsSynced=true\nserver.fwSyncState=\"synced\"\n"
        "server.fwSyncReason=\"" SYNCED "\"\n"
        "sync {\"currentFwVer\":\"v2\"," VERDICT("true", "synced", SYNCED),
        SAYS("{\"current_fw_version\":\"v2\",\"fw_state\":\"UPDATED\"}"), "",
        NULL,
    });
}

static void test_shipped_chains_keep_readings_as_readings(void **unused)
{
    (void)unused;
    struct ruleset *ruleset = rules_shipped();
    struct model model;
    model_init(&model);
    model_run(&model, ruleset, SAYS("{\"fw_state\":\"UPDATING\",\"currentFwVer\":\"v9\"}"));
    model_run(&model, ruleset, SAYS("{\"current_fw_version\":null}"));
    assert_true(model_find(&model, SCOPE_CLIENT, TEXT("currentFwVer")) == model.count);
    assert_true(model_find(&model, SCOPE_TELEMETRY, TEXT("currentFwVer")) < model.count);
    assert_true(model_find(&model, SCOPE_TELEMETRY, TEXT("fw_state")) < model.count);
    model_run(&model, ruleset, SAYS("{\"current_fw_version\":\"v1\"}"));
    assert_true(model_find(&model, SCOPE_CLIENT, TEXT("currentFwVer")) < model.count);
    assert_true(model_find(&model, SCOPE_TELEMETRY, TEXT("current_fw_version")) < model.count);
    model_fini(&model);
    ruleset_destroy(ruleset);
}

/* --- settings --------------------------------------------------------------------------------------- */

static void test_wrong_settings_are_told_with_their_place(void **unused)
{
    (void)unused;
    static const char expected_time[] = "expected a time such as 500ms, 30s, 15m, 2h or 1d, at most 3650d, or 0 "
                                        "for none; got ";
    static const struct {
        const char *settings;
        const char *where; /* NULL: a time */
        const char *what;
    } rows[] = {
        {"downgrade: alow", "3:48: ", "downgrade: there is no 'alow'; did you mean 'allow'? Expected one of: "
                                      "allow, refuse"},
        {"deadline: {}", "3:37: ", "unknown setting of firmware-verdict 'deadline'; did you mean 'deadlines'? "
                                   "Expected one of: type, to, description, deadlines, downgrade"},
        {"deadlines: 5m", "3:48: ", "deadlines: expected a mapping (word: time), got a text"},
        {"deadlines: {pendin: 5m}", "3:49: ",
         "unknown member of deadlines 'pendin'; did you mean 'pending'? Expected one of: pending, queued, "
         "initiated, downloading, downloaded, verified, updating, updated"},
        {"deadlines: {queued: 5 min}", NULL, "queued 3:57: 5 min"},
        {"deadlines: {queued: 5}", NULL, "queued 3:57: 5"},
        {"deadlines: {queued: -5s}", NULL, "queued 3:57: -5s"},
        {"deadlines: {queued: 1.5h}", NULL, "queued 3:57: 1.5h"},
        {"deadlines: {queued: s}", NULL, "queued 3:57: s"},
        {"deadlines: {queued: }", NULL, "queued 3:57: nothing"},
        {"deadlines: {queued: [1s]}", NULL, "queued 3:57: a list"},
        {"deadlines: {queued: 3651d}", NULL, "queued 3:57: 3651d"},
        {"deadlines: {queued: 99999999999999999999ms}", NULL, "queued 3:57: 99999999999999999999ms"},
        {"deadlines: {queued: 3650d, updated: 0, pending: 0s, updating: '7m', verified: 1ms}", "", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char yaml[512], expected[512];
        struct problems problems;
        snprintf(yaml, sizeof yaml, "chain: root\nfirst: n\nnodes: {n: {type: firmware-verdict, %s}}\n",
                 rows[i].settings);
        problems_init(&problems);
        struct ruleset *ruleset = rules_try(&problems, (const char *const[]){"root.yaml", yaml, NULL});
        if (rows[i].where == NULL) {
            const char *place = strchr(rows[i].what, ' ') + 1, *got = strchr(place, ' ') + 1;
            snprintf(expected, sizeof expected, "root.yaml:%.*sdeadlines.%.*s: %s%s", (int)(got - place),
                     place, (int)(place - rows[i].what - 1), rows[i].what, expected_time, got);
        } else {
            snprintf(expected, sizeof expected, "root.yaml:%s%s", rows[i].where, rows[i].what);
        }
        if (rows[i].what[0] == '\0')
            assert_non_null(ruleset);
        else
            assert_string_equal(problems.first == NULL ? "" : problems.first->line, expected);
        ruleset_destroy(ruleset);
        problems_fini(&problems);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_update_goes_well),
        cmocka_unit_test(test_an_update_without_a_word_goes_well),
        cmocka_unit_test(test_no_target_comes_before_all_else),
        cmocka_unit_test(test_a_version_is_reported_only_when_it_is_not_empty),
        cmocka_unit_test(test_synced_is_the_same_text),
        cmocka_unit_test(test_each_stage_has_its_deadline),
        cmocka_unit_test(test_nothing_heard_is_stuck_too),
        cmocka_unit_test(test_a_stage_may_have_no_deadline),
        cmocka_unit_test(test_told_again_starts_over),
        cmocka_unit_test(test_a_verdict_that_is_copied_goes_on),
        cmocka_unit_test(test_other_writes_tell_nothing),
        cmocka_unit_test(test_other_versions_start_over),
        cmocka_unit_test(test_the_device_says_why_it_failed),
        cmocka_unit_test(test_an_unknown_stage_says_nothing),
        cmocka_unit_test(test_an_older_version_after_the_target_is_rolled_back),
        cmocka_unit_test(test_after_the_target_only_older_is_rolled_back),
        cmocka_unit_test(test_a_downgrade_is_an_update),
        cmocka_unit_test(test_a_refused_downgrade_stays_newer),
        cmocka_unit_test(test_versions_without_an_order_are_different),
        cmocka_unit_test(test_only_changes_are_saved_and_told),
        cmocka_unit_test(test_a_verdict_that_was_overwritten_is_made_again),
        cmocka_unit_test(test_reasons_are_short),
        cmocka_unit_test(test_shipped_chains_hear_of_updates_in_telemetry),
        cmocka_unit_test(test_shipped_chains_keep_readings_as_readings),
        cmocka_unit_test(test_wrong_settings_are_told_with_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

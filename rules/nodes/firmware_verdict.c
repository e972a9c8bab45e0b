/* firmware-verdict - does the firmware that runs equal the firmware that should run, and if not, why not?
 *
 * Three server attributes: fwStateIsSynced as ThingsBoard's sample has it (the version reported last is the
 * target, byte for byte), fwSyncState, one of the words below, and fwSyncReason, a line for a person. The
 * states and what leads from one to another are in docs/rules.md.
 *
 * What a device says of its update on the way (fw_state, fw_error) is taken from the message at hand. All that
 * has to be remembered from one message to the next is in the last state and reason: a reason is written from the
 * versions and the stage alone, so writing it again tells whether it is still about the same. A deadline is the
 * device's timer, set when a stage begins. */
#include <assert.h>
#include <string.h>

#include "plugins/fwsync_plugin.h"

static const char *const relations[] = {"Success", NULL};
enum { SUCCESS };

#define TEXT(literal) ((struct fwsync_text){literal, sizeof(literal) - 1})

enum state {
    NO_TARGET,
    NEVER_REPORTED,
    SYNCED,
    PENDING,
    UPDATING,
    FAILED,
    STUCK,
    ROLLED_BACK,
    NEWER,
    DIFFERENT,
};

static const char *const state_words[] = {
    [NO_TARGET] = "no-target", [NEVER_REPORTED] = "never-reported", [SYNCED] = "synced",
    [PENDING] = "pending",     [UPDATING] = "updating",             [FAILED] = "failed",
    [STUCK] = "stuck",         [ROLLED_BACK] = "rolled-back",       [NEWER] = "newer",
    [DIFFERENT] = "different",
};

/* How far an update is, and what deadlines are for: told and nothing heard, then ThingsBoard's stages. */
enum stage { TOLD, QUEUED, INITIATED, DOWNLOADING, DOWNLOADED, VERIFIED, INSTALLING, UPDATED, STAGE_COUNT };

static const char *const stage_words[] = {"pending",  "queued",   "initiated", "downloading", "downloaded",
                                          "verified", "updating", "updated",   NULL};
static const char *const stage_names[] = {NULL,         "QUEUED",   "INITIATED", "DOWNLOADING",
                                          "DOWNLOADED", "VERIFIED", "UPDATING",  "UPDATED"};
_Static_assert(sizeof stage_words / sizeof stage_words[0] == STAGE_COUNT + 1 &&
                   sizeof stage_names / sizeof stage_names[0] == STAGE_COUNT,
               "name every stage");

static const char *const downgrades[] = {"allow", "refuse", NULL};
enum { ALLOW, REFUSE };

struct firmware_verdict {
    int downgrade;
    int64_t deadlines_ms[STAGE_COUNT]; /* 0: none */
};

/* --- settings --------------------------------------------------------------------------------------- */

static void *create(struct fwsync_config *config)
{
    enum { MINUTE_MS = 60000, HOUR_MS = 60 * MINUTE_MS };
    struct firmware_verdict *self = fwsync_config_alloc(config, sizeof *self);
    for (enum stage stage = INITIATED; stage < STAGE_COUNT; stage++)
        self->deadlines_ms[stage] = 30 * MINUTE_MS;
    self->deadlines_ms[TOLD] = 24 * HOUR_MS;
    self->deadlines_ms[QUEUED] = HOUR_MS;
    fwsync_config_durations(config, "deadlines", FWSYNC_OPTIONAL, stage_words, self->deadlines_ms);
    fwsync_config_choice(config, "downgrade", FWSYNC_OPTIONAL, downgrades, &self->downgrade);
    return self;
}

/* --- texts ------------------------------------------------------------------------------------------ */

static bool starts(struct fwsync_text text, struct fwsync_text with)
{
    return text.len >= with.len && (with.len == 0 || memcmp(text.bytes, with.bytes, with.len) == 0);
}

static struct fwsync_text word(const char *word)
{
    return (struct fwsync_text){word, strlen(word)};
}

enum { LINE_BYTES = 512, VERSION_SHOWN_BYTES = 64, ERROR_SHOWN_BYTES = 200 };
static const char cut_mark[] = "...";

/* A reason being written. There is room for two versions, an error and the longest words around them. */
struct line {
    size_t len;
    char bytes[LINE_BYTES];
};

static struct fwsync_text line_text(const struct line *line)
{
    return (struct fwsync_text){line->bytes, line->len};
}

static void add(struct line *line, const char *bytes, size_t len)
{
    assert(len <= sizeof line->bytes - line->len);
    memcpy(line->bytes + line->len, bytes, len);
    line->len += len;
}

static void say(struct line *line, const char *words)
{
    add(line, words, strlen(words));
}

/* What somebody else wrote, in one line. */
static void add_foreign(struct line *line, const char *bytes, size_t len)
{
    char *out = line->bytes + line->len;
    add(line, bytes, len);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)out[i] < ' ' || out[i] == 127)
            out[i] = ' ';
}

static bool is_inside_character(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

static void show_error(struct line *line, struct fwsync_text error)
{
    size_t len = error.len;
    if (len > ERROR_SHOWN_BYTES)
        for (len = ERROR_SHOWN_BYTES; len > 0 && is_inside_character(error.bytes[len]);)
            len--;
    add_foreign(line, error.bytes, len);
    if (len < error.len)
        say(line, cut_mark);
}

/* Of a long one the middle is left out: what tells two builds apart is mostly at the end. */
static void show_version(struct line *line, struct fwsync_text version)
{
    size_t head = VERSION_SHOWN_BYTES / 2, tail = version.len - VERSION_SHOWN_BYTES / 2;
    if (version.len <= VERSION_SHOWN_BYTES) {
        add_foreign(line, version.bytes, version.len);
        return;
    }
    while (head > 0 && is_inside_character(version.bytes[head]))
        head--;
    while (tail < version.len && is_inside_character(version.bytes[tail]))
        tail++;
    add_foreign(line, version.bytes, head);
    say(line, cut_mark);
    add_foreign(line, version.bytes + tail, version.len - tail);
}

static void say_number(struct line *line, int64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    for (; number > 0 || at == sizeof digits; number /= 10)
        digits[--at] = (char)('0' + number % 10);
    add(line, digits + at, sizeof digits - at);
}

/* In the largest unit that holds it exactly. */
static void say_duration(struct line *line, int64_t duration_ms)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{" day", 86400000}, {" hour", 3600000}, {" minute", 60000}, {" second", 1000}, {" ms", 1}};
    size_t u = 0;
    while (duration_ms % units[u].ms != 0)
        u++;
    int64_t number = duration_ms / units[u].ms;
    say_number(line, number);
    say(line, units[u].name);
    if (number != 1 && units[u].ms > 1)
        say(line, "s");
}

/* --- what the verdict rests on ---------------------------------------------------------------------- */

struct facts {
    const struct firmware_verdict *self;
    struct fwsync_text current, target;        /* empty: not there */
    struct fwsync_text old_state, old_reason;  /* likewise */
    bool told;                                 /* this message tells the device what to run, */
    bool copied;                               /* or brings a verdict of its own, as an import does */
    bool deadline_passed;                      /* this message is that */
    struct fwsync_text fw_state, fw_error;     /* what this message brings; empty: nothing */
};

static bool read_attribute(struct fwsync_message *message, enum fwsync_scope scope, struct fwsync_text key,
                           struct fwsync_text *text)
{
    struct fwsync_value value;
    bool found;
    if (!fwsync_attribute_get(message, scope, key, &value, &found))
        return false;
    *text = found ? fwsync_value_text(message, &value) : TEXT("");
    return true;
}

/* Errors come as numbers, too. */
static struct fwsync_text data_text(struct fwsync_message *message, struct fwsync_text key)
{
    struct fwsync_value value;
    return fwsync_data_get(message, key, &value) && value.kind != FWSYNC_NULL ? fwsync_value_text(message, &value)
                                                                              : TEXT("");
}

static bool is_write(const struct fwsync_message *message)
{
    struct fwsync_text scope;
    return fwsync_text_is(fwsync_message_type(message), "ATTRIBUTES_UPDATED") &&
           fwsync_metadata_get(message, TEXT("scope"), &scope) && !fwsync_text_is(scope, "CLIENT_SCOPE");
}

static bool has(const struct fwsync_message *message, struct fwsync_text key)
{
    struct fwsync_value value;
    return fwsync_data_get(message, key, &value) && value.kind != FWSYNC_NULL;
}

/* Does the write say what the device is to run? The sample's widgets write it into both scopes. */
static bool tells(const struct fwsync_message *message)
{
    static const struct fwsync_text keys[] = {
        {"lastTargetFwVer", 15}, {"lastTargetFwUrl", 15}, {"lastOtaStartedOn", 16},
        {"targetFwVer", 11},     {"targetFwUrl", 11},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (has(message, keys[i]))
            return true;
    return false;
}

static bool read_facts(struct fwsync_message *message, struct facts *facts)
{
    bool written = is_write(message);
    facts->copied = written && has(message, TEXT("fwSyncState"));
    facts->told = written && !facts->copied && tells(message);
    facts->deadline_passed = fwsync_text_is(fwsync_message_type(message), "DEADLINE_PASSED");
    facts->fw_state = data_text(message, TEXT("fw_state"));
    facts->fw_error = data_text(message, TEXT("fw_error"));
    return read_attribute(message, FWSYNC_CLIENT, TEXT("currentFwVer"), &facts->current) &&
           read_attribute(message, FWSYNC_SERVER, TEXT("lastTargetFwVer"), &facts->target) &&
           read_attribute(message, FWSYNC_SERVER, TEXT("fwSyncState"), &facts->old_state) &&
           read_attribute(message, FWSYNC_SERVER, TEXT("fwSyncReason"), &facts->old_reason);
}

/* --- reasons ---------------------------------------------------------------------------------------- */

struct verdict {
    enum state state;
    enum stage stage;        /* of PENDING, NEWER, DIFFERENT, UPDATING, STUCK */
    enum { KEEP, CLEAR, START } timer; /* START: the stage's deadline */
    struct line reason; /* empty: as it was */
};

static void say_synced(struct line *line, struct fwsync_text target)
{
    say(line, "runs ");
    show_version(line, target);
    say(line, ", as it should");
}

/* The beginning of the reason in all states of a device that runs something else than it should. */
static void say_versions(struct line *line, const struct facts *facts)
{
    line->len = 0;
    say(line, "runs ");
    show_version(line, facts->current);
    say(line, ", should run ");
    show_version(line, facts->target);
    say(line, "; ");
}

static void say_ran(struct line *line, struct fwsync_text target)
{
    line->len = 0;
    say(line, "ran ");
    show_version(line, target);
    say(line, ", reports ");
}

/* What it is at: in the state `base` (PENDING, NEWER or DIFFERENT) while nothing was heard. */
static void say_stage(struct line *line, enum state base, enum stage stage)
{
    if (stage != TOLD)
        say(line, stage_names[stage]);
    else
        say(line, base == PENDING ? "the update has not begun"
                  : base == NEWER ? "the downgrade has not begun"
                                  : "neither is the newer one, and the update has not begun");
}

static const char more_than[] = " for more than ", update_failed[] = "the update failed", again[] = " again";

/* --- the last verdict, if it is still about the same ------------------------------------------------- */

static bool recall_stage(const struct facts *facts, enum state base, struct verdict *last)
{
    bool is_stuck = fwsync_text_is(facts->old_state, state_words[STUCK]);
    bool is_updating = fwsync_text_is(facts->old_state, state_words[UPDATING]);
    if (!is_stuck && !is_updating && !fwsync_text_is(facts->old_state, state_words[base]))
        return false;
    last->state = is_stuck ? STUCK : is_updating ? UPDATING : base;
    enum stage first = is_updating ? QUEUED : TOLD, end = is_stuck || is_updating ? STAGE_COUNT : QUEUED;
    struct line line;
    say_versions(&line, facts);
    size_t versions_len = line.len;
    for (enum stage stage = first; stage < end; stage++) {
        line.len = versions_len;
        last->stage = stage;
        say_stage(&line, base, stage);
        if (is_stuck)
            say(&line, more_than);
        if (is_stuck ? starts(facts->old_reason, line_text(&line))
                     : fwsync_text_equal(facts->old_reason, line_text(&line)))
            return true;
    }
    return false;
}

/* False: there is none, or the versions were others, or it can't be in this state with these settings. */
static bool recall(const struct facts *facts, enum state base, struct verdict *last)
{
    struct line line;
    if (fwsync_text_is(facts->old_state, state_words[FAILED])) {
        say_versions(&line, facts);
        say(&line, update_failed);
        last->state = FAILED;
        return starts(facts->old_reason, line_text(&line));
    }
    if (fwsync_text_is(facts->old_state, state_words[ROLLED_BACK])) {
        say_ran(&line, facts->target);
        show_version(&line, facts->current);
        say(&line, again);
        last->state = ROLLED_BACK;
        return base == PENDING && fwsync_text_equal(facts->old_reason, line_text(&line));
    }
    return recall_stage(facts, base, last);
}

/* Did it run this very target the last time we looked? */
static bool was_on_target(const struct facts *facts)
{
    struct line line = {.len = 0};
    if (fwsync_text_is(facts->old_state, state_words[SYNCED])) {
        say_synced(&line, facts->target);
        return fwsync_text_equal(facts->old_reason, line_text(&line));
    }
    say_ran(&line, facts->target);
    return fwsync_text_is(facts->old_state, state_words[ROLLED_BACK]) &&
           starts(facts->old_reason, line_text(&line));
}

/* --- the verdict on a device that runs something else than it should ---------------------------------- */

static void enter(struct verdict *verdict, const struct facts *facts, enum state base, enum stage stage)
{
    verdict->state = stage == TOLD ? base : UPDATING;
    verdict->stage = stage;
    verdict->timer = START;
    say_versions(&verdict->reason, facts);
    say_stage(&verdict->reason, base, stage);
}

static void roll_back(struct verdict *verdict, const struct facts *facts)
{
    verdict->state = ROLLED_BACK;
    verdict->timer = CLEAR;
    say_ran(&verdict->reason, facts->target);
    show_version(&verdict->reason, facts->current);
    say(&verdict->reason, again);
}

static void fail(struct verdict *verdict, const struct facts *facts)
{
    if (verdict->state == FAILED && facts->fw_error.len == 0)
        return; /* what it said before is better than nothing */
    verdict->state = FAILED;
    verdict->timer = CLEAR;
    say_versions(&verdict->reason, facts);
    say(&verdict->reason, update_failed);
    say(&verdict->reason, facts->fw_error.len > 0 ? ": " : ", and the device gave no reason");
    show_error(&verdict->reason, facts->fw_error);
}

static void pass_deadline(struct verdict *verdict, const struct facts *facts, enum state base)
{
    if (verdict->state != base && verdict->state != UPDATING)
        return; /* there is nothing that could take too long */
    int64_t deadline_ms = facts->self->deadlines_ms[verdict->stage];
    if (deadline_ms == 0)
        return;
    verdict->state = STUCK;
    verdict->timer = CLEAR;
    say_versions(&verdict->reason, facts);
    say_stage(&verdict->reason, base, verdict->stage);
    say(&verdict->reason, more_than);
    say_duration(&verdict->reason, deadline_ms);
}

/* ThingsBoard writes them in capitals; devices don't always. */
static bool is_stage(struct fwsync_text text, const char *name)
{
    size_t i = 0;
    for (; i < text.len && name[i] != '\0'; i++) {
        char byte = text.bytes[i];
        if ((byte >= 'a' && byte <= 'z' ? byte - 'a' + 'A' : byte) != name[i])
            return false;
    }
    return i == text.len && name[i] == '\0';
}

/* What the device says about its update, if anything. */
static void take_report(struct verdict *verdict, const struct facts *facts, enum state base)
{
    if (is_stage(facts->fw_state, "FAILED") || (facts->fw_state.len == 0 && facts->fw_error.len > 0 &&
                                                verdict->state == FAILED)) {
        fail(verdict, facts);
        return;
    }
    for (enum stage stage = QUEUED; stage < STAGE_COUNT; stage++)
        if (is_stage(facts->fw_state, stage_names[stage]) &&
            ((verdict->state != UPDATING && verdict->state != STUCK) || verdict->stage != stage))
            enter(verdict, facts, base, stage);
}

static void judge_unsynced(struct verdict *verdict, const struct facts *facts)
{
    enum fwsync_order order = fwsync_version_compare(facts->current, facts->target);
    enum state base = order == FWSYNC_OLDER ? PENDING : order == FWSYNC_NEWER ? NEWER : DIFFERENT;
    if (base == NEWER && facts->self->downgrade == REFUSE) {
        verdict->state = NEWER;
        say_versions(&verdict->reason, facts);
        say(&verdict->reason, "downgrades are refused");
        return;
    }
    verdict->timer = KEEP;
    bool goes_on = !facts->told && recall(facts, base, verdict);
    if (goes_on && facts->copied && (verdict->state == base || verdict->state == UPDATING))
        verdict->timer = START; /* the device may be a new one here */
    if (!goes_on && base == PENDING && !facts->told && was_on_target(facts))
        roll_back(verdict, facts);
    else if (!goes_on)
        enter(verdict, facts, base, TOLD);
    if (goes_on && facts->deadline_passed)
        pass_deadline(verdict, facts, base);
    else
        take_report(verdict, facts, base);
}

static void judge(struct verdict *verdict, const struct facts *facts)
{
    verdict->stage = TOLD;
    verdict->timer = CLEAR;
    verdict->reason.len = 0;
    if (facts->target.len == 0) {
        verdict->state = NO_TARGET;
        say(&verdict->reason, "no target version is set");
    } else if (facts->current.len == 0) {
        verdict->state = NEVER_REPORTED;
        say(&verdict->reason, "has never reported a version, should run ");
        show_version(&verdict->reason, facts->target);
    } else if (fwsync_text_equal(facts->current, facts->target)) {
        verdict->state = SYNCED;
        say_synced(&verdict->reason, facts->target);
    } else {
        judge_unsynced(verdict, facts);
    }
}

/* --- saving it -------------------------------------------------------------------------------------- */

static bool save(struct fwsync_message *message, struct fwsync_text key, const struct fwsync_value *value)
{
    return fwsync_attribute_put(message, FWSYNC_SERVER, key, value) &&
           fwsync_data_put(message, key, value);
}

/* The same, for a text of which we know what is stored. */
static bool save_text(struct fwsync_message *message, struct fwsync_text key, struct fwsync_text old,
                      struct fwsync_text text)
{
    struct fwsync_value value = {.kind = FWSYNC_STRING, .text = text};
    return fwsync_text_equal(old, text) ? fwsync_data_put(message, key, &value) : save(message, key, &value);
}

static struct fwsync_text keep_line(struct fwsync_message *message, const struct line *line)
{
    char *bytes = fwsync_alloc(message, line->len);
    memcpy(bytes, line->bytes, line->len);
    return (struct fwsync_text){bytes, line->len};
}

static void set_timer(struct fwsync_message *message, const struct firmware_verdict *self,
                      const struct verdict *verdict)
{
    int64_t deadline_ms = verdict->timer == START ? self->deadlines_ms[verdict->stage] : 0;
    if (verdict->timer != KEEP)
        fwsync_timer_set(message, deadline_ms == 0 ? 0 : fwsync_message_received_ms(message) + deadline_ms);
}

static int run(const void *node, struct fwsync_message *message)
{
    struct facts facts = {.self = node};
    struct verdict verdict;
    if (!read_facts(message, &facts))
        return FWSYNC_FAILURE;
    judge(&verdict, &facts);
    set_timer(message, node, &verdict);
    struct fwsync_value synced = {.kind = FWSYNC_BOOLEAN, .boolean = verdict.state == SYNCED};
    struct fwsync_text reason =
        verdict.reason.len > 0 ? keep_line(message, &verdict.reason) : facts.old_reason;
    bool saved = save(message, TEXT("fwStateIsSynced"), &synced) &&
                 save_text(message, TEXT("fwSyncState"), facts.old_state, word(state_words[verdict.state])) &&
                 save_text(message, TEXT("fwSyncReason"), facts.old_reason, reason);
    return saved ? SUCCESS : FWSYNC_FAILURE;
}

const struct fwsync_node_type node_firmware_verdict = {
    .abi = FWSYNC_ABI,
    .name = "firmware-verdict",
    .help = "does it run what it should, and if not, why not?",
    .relations = relations,
    .create = create,
    .run = run,
};

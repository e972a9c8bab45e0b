#include "engine/service/remedy.h"

#include "plugins/fwsync_plugin.h"

/* The sentence is `before`, the target if it is to be named, `after`. */
struct remedy {
    const char *state; /* or stage */
    const char *before;
    bool names_target;
    const char *after;
    bool needs_told; /* the device can't know its target unless it was told */
};

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
    STATE_COUNT
};

#define TELL_AGAIN ", and tell it again (write lastTargetFwVer again); it is synced when it reports "

static const struct remedy remedies[] = {
    [NO_TARGET] = {"no-target", "set the version that should run: the server attribute lastTargetFwVer", false, "",
                   false},
    [NEVER_REPORTED] = {"never-reported", "the device has to report what it runs, as currentFwVer; it never did", false,
                        "", false},
    [SYNCED] = {"synced", "nothing: it runs what it should", false, "", false},
    [PENDING] = {"pending", "it is synced when it reports ", true, "", true},
    [UPDATING] = {"updating", "wait: it is synced when it reports ", true, "", false},
    [FAILED] = {"failed", "mend what the device complains about" TELL_AGAIN, true, "", false},
    [STUCK] = {"stuck", "see whether the device is on and hears what it is told" TELL_AGAIN, true, "", true},
    [ROLLED_BACK] = {"rolled-back", "find out on the device why it went back, or set a target that works; it is "
                                    "synced when it reports ", true, " again", false},
    [NEWER] = {"newer", "set lastTargetFwVer to what it runs, or have it go back: it is synced when it reports ", true,
               "", true},
    [DIFFERENT] = {"different", "its version can't be ordered against the target; it is synced when it reports "
                                "exactly ", true, "", true},
};
_Static_assert(sizeof remedies / sizeof remedies[0] == STATE_COUNT, "a remedy for every state");

/* Stuck in a stage: the device knows its target, and said so. */
static const struct remedy stuck_in[] = {
    {"QUEUED", "see whether the device is on, and why it doesn't begin" TELL_AGAIN, true, "", false},
    {"INITIATED", "see whether the device is on, and why it doesn't begin" TELL_AGAIN, true, "", false},
    {"DOWNLOADING", "see whether the device is on and reaches the firmware server" TELL_AGAIN, true, "", false},
    {"DOWNLOADED", "see whether the device is on, and why it doesn't check what it downloaded" TELL_AGAIN, true, "",
     false},
    {"VERIFIED", "see whether the device is on, and why it doesn't install what it has" TELL_AGAIN, true, "", false},
    {"UPDATING", "see whether the device came through the update, or needs a restart" TELL_AGAIN, true, "", false},
    {"UPDATED", "see whether the device restarted, and what it runs: it said that it is updated, and has to report "
                "its version, as currentFwVer; it is synced when that is ", true, "", false},
};

static const struct remedy without_state = {
    NULL, "it is synced when currentFwVer is exactly ", true, ", the server attribute lastTargetFwVer", false};

static const struct remedy same_version = {
    NULL, "both are the same version, written differently, and synced is by the text: it is synced when it reports "
          "exactly ", true, ", or when lastTargetFwVer is written as what it reports", false};

static bool is_same_version(const struct remedy_facts *facts)
{
    struct fwsync_text current = {facts->current.bytes, facts->current.len};
    struct fwsync_text target = {facts->target.bytes, facts->target.len};
    return !text_equal(facts->current, facts->target) && fwsync_version_compare(current, target) == FWSYNC_EQUAL;
}

/* The stage begins the last part of the reason: "runs v1, should run v2; DOWNLOADING for more than 30 minutes". NULL:
 * the update hasn't begun. */
static const struct remedy *find_stage(struct text reason)
{
    size_t start = reason.len;
    while (start > 1 && memcmp(reason.bytes + start - 2, "; ", 2) != 0)
        start--;
    struct text last = {reason.bytes + start, reason.len - start};
    for (size_t i = 0; i < sizeof stuck_in / sizeof stuck_in[0]; i++)
        if (text_starts(last, text_of(stuck_in[i].state)))
            return &stuck_in[i];
    return NULL;
}

static const struct remedy *find(const struct remedy_facts *facts)
{
    enum state state = 0;
    while (state < STATE_COUNT && !text_is(facts->state, remedies[state].state))
        state++;
    if (state == STATE_COUNT && facts->synced)
        return &remedies[SYNCED];
    if (state == STATE_COUNT)
        return facts->target.len == 0 ? &remedies[NO_TARGET] : &without_state;
    const struct remedy *stage = state == STUCK ? find_stage(facts->reason) : NULL;
    if (stage != NULL)
        return stage;
    return (state == DIFFERENT || state == STUCK) && is_same_version(facts) ? &same_version : &remedies[state];
}

static void write_told(struct buf *out, struct text told)
{
    buf_append(out, TEXT(". The device was "));
    if (told.len == 0)
        buf_append(out, TEXT("never told"));
    else {
        buf_append(out, TEXT("told to run "));
        buf_append(out, told);
    }
    buf_append(out, TEXT(": set the shared attributes targetFwVer and targetFwUrl"));
}

void remedy_write(struct buf *out, const struct remedy_facts *facts)
{
    const struct remedy *remedy = find(facts);
    buf_append(out, text_of(remedy->before));
    if (remedy->names_target)
        buf_append(out, facts->target);
    buf_append(out, text_of(remedy->after));
    if (remedy->needs_told && !text_equal(facts->told, facts->target))
        write_told(out, facts->told);
    if (remedy == &remedies[NO_TARGET] && facts->told.len > 0)
        buf_append(out, TEXT(", which is what is compared; the shared attribute targetFwVer is only what the device is "
                             "told"));
}

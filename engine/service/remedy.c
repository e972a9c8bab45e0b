#include "engine/service/remedy.h"

/* The sentence is `before`, the target if it is to be named, `after`. */
struct remedy {
    const char *state;
    const char *before;
    bool names_target;
    const char *after;
    bool needs_told; /* the device can't know its target unless it was told */
};

static const struct remedy remedies[] = {
    {"no-target", "set the version that should run: the server attribute lastTargetFwVer", false, "", false},
    {"never-reported", "the device has to report what it runs, as currentFwVer; it never did", false, "", false},
    {"synced", "nothing: it runs what it should", false, "", false},
    {"pending", "it is synced when it reports ", true, "", true},
    {"updating", "wait: it is synced when it reports ", true, "", false},
    {"failed", "mend what the device complains about and tell it again (write lastTargetFwVer again); it is synced "
               "when it reports ", true, "", false},
    {"stuck", "see whether the device is on and reaches the firmware server, and tell it again (write "
              "lastTargetFwVer again); it is synced when it reports ", true, "", true},
    {"rolled-back", "find out on the device why it went back, or set a target that works; it is synced when it "
                    "reports ", true, " again", false},
    {"newer", "set lastTargetFwVer to what it runs, or have it go back: it is synced when it reports ", true, "",
     true},
    {"different", "its version can't be ordered against the target; it is synced when it reports exactly ", true,
     "", true},
};

static const struct remedy without_state = {
    NULL, "it is synced when currentFwVer is exactly ", true, ", the server attribute lastTargetFwVer", false};

static const struct remedy *find(struct text state, bool synced, struct text target)
{
    enum { NO_TARGET = 0, SYNCED = 2 };
    for (size_t i = 0; i < sizeof remedies / sizeof remedies[0]; i++)
        if (text_is(state, remedies[i].state))
            return &remedies[i];
    if (synced)
        return &remedies[SYNCED];
    return target.len == 0 ? &remedies[NO_TARGET] : &without_state;
}

void remedy_write(struct buf *out, struct text state, bool synced, struct text target, struct text told)
{
    const struct remedy *remedy = find(state, synced, target);
    buf_append(out, text_of(remedy->before));
    if (remedy->names_target)
        buf_append(out, target);
    buf_append(out, text_of(remedy->after));
    if (!remedy->needs_told || text_equal(told, target))
        return;
    buf_append(out, TEXT(". The device was "));
    if (told.len == 0)
        buf_append(out, TEXT("never told"));
    else {
        buf_append(out, TEXT("told to run "));
        buf_append(out, told);
    }
    buf_append(out, TEXT(": set the shared attributes targetFwVer and targetFwUrl"));
}

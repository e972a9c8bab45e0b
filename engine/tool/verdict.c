#include "engine/tool/verdict.h"

const char *const verdict_states[VERDICT_STATE_COUNT] = {
    "synced", "pending",   "updating",    "no-target", "never-reported",
    "newer",  "different", "rolled-back", "failed",    "stuck",
};

enum screen_style verdict_style(struct text state)
{
    static const struct {
        const char *state;
        enum screen_style style;
    } styles[] = {
        {"synced", STYLE_GOOD},   {"no-target", STYLE_DIM}, {"never-reported", STYLE_DIM},
        {"rolled-back", STYLE_BAD}, {"failed", STYLE_BAD},    {"stuck", STYLE_BAD},
    };
    for (size_t i = 0; i < sizeof styles / sizeof styles[0]; i++)
        if (text_is(state, styles[i].state))
            return styles[i].style;
    return STYLE_PLAIN;
}

/* query_daemon.c - is it there. */
#include "engine/service/ask.h"

static bool answer_ping(struct ask *ask)
{
    json_member_text(ask->out, "version", TEXT(FWSYNC_VERSION));
    return true;
}

const struct op op_ping = {"ping", {NULL}, answer_ping};

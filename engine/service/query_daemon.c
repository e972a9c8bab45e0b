/* query_daemon.c - is it there; have its data copied. */
#include "engine/service/ask.h"
#include "engine/service/backup.h"

static bool answer_ping(struct ask *ask)
{
    json_member_text(ask->out, "version", TEXT(FWSYNC_VERSION));
    return true;
}

const struct op op_ping = {"ping", {NULL}, answer_ping, OP_NEEDS_LEAD};

static bool answer_backup(struct ask *ask)
{
    struct text dir;
    return ask_text(ask, "dir", &dir) && backup_ask(ask->context->partition->engine->backup, ask->query, dir, ask->err);
}

const struct op op_backup = {"backup", {"dir"}, answer_backup, OP_NEEDS_ALL};

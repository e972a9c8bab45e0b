/* cmd_backup.c - `fwsync backup DIR`: have the daemon copy its data folder, and wait until it has.
 *
 * That may take minutes, so there is no bound on it as a whole: meanwhile the daemon is asked for its
 * progress, and has to answer that in time. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/client/command.h"
#include "engine/client/interrupt.h"
#include "engine/client/progress.h"
#include "engine/client/session.h"

struct backup {
    struct session session;
    struct progress progress;
    uint64_t backup_id; /* of the request that is answered at the end */
    uint64_t stats_id;  /* of the one that asks how far it is; 0: none is under way */
    int64_t heard_ms;
    int64_t asked_ms;
};

static int64_t now_ms(void)
{
    return clock_monotonic_ns() / 1000000;
}

static bool post(struct backup *backup, uint64_t *id)
{
    struct session *session = &backup->session;
    struct err err;
    buf_byte(&session->question, '}');
    return client_post(session->client, CLIENT_QUERY, buf_text(&session->question), id, &err) ||
           session_fail(session, &err);
}

static bool ask_progress(struct backup *backup)
{
    if (backup->stats_id != 0 || now_ms() - backup->asked_ms < PROGRESS_MS)
        return true;
    backup->asked_ms = now_ms();
    session_question(&backup->session, "stats");
    return post(backup, &backup->stats_id);
}

static void hear_progress(struct backup *backup)
{
    struct fields stats = field_object(&backup->session, &backup->session.answer, "backup");
    backup->stats_id = 0;
    backup->progress.total = field_integer(&stats, "bytesTotal");
    if (field_boolean(&stats, "running"))
        progress_show(&backup->progress, field_integer(&stats, "bytesDone"));
}

/* What has come. *done: the answer to the backup is the session's. */
static bool take_answers(struct backup *backup, bool *done)
{
    struct session *session = &backup->session;
    bool found = true;
    *done = false;
    while (found && !*done) {
        struct err err;
        uint64_t id;
        if (!client_take(session->client, CLIENT_QUERY, &id, &session->raw, &found, &err))
            return session_fail(session, &err);
        if (!found)
            return true;
        backup->heard_ms = now_ms();
        if (!session_read(session, buf_text(&session->raw), &err))
            return session_fail(session, &err);
        *done = id == backup->backup_id;
        if (!*done && id == backup->stats_id)
            hear_progress(backup);
    }
    return true;
}

static bool check_silence(struct backup *backup)
{
    const struct setup *setup = backup->session.setup;
    struct err err;
    if (interrupted()) {
        progress_clear(&backup->progress);
        fprintf(stderr, "fwsync backup: fwsyncd goes on with it; see `fwsync stats`\n");
        return false;
    }
    if (now_ms() - backup->heard_ms < setup->timeout_ms)
        return true;
    err_set(&err, ERR_TIMEOUT, "no answer from %s within %g s: is fwsyncd running?", setup->query,
            (double)setup->timeout_ms / 1000);
    progress_clear(&backup->progress);
    return session_fail(&backup->session, &err);
}

static bool wait_for_end(struct backup *backup)
{
    for (;;) {
        struct err err;
        bool done, fd_ready;
        if (!take_answers(backup, &done) || done)
            return done;
        if (!check_silence(backup) || !ask_progress(backup))
            return false;
        if (!client_wait(backup->session.client, CLIENT_QUERY, -1, PROGRESS_MS, &fd_ready, &err))
            return session_fail(&backup->session, &err);
    }
}

/* `dir` from where the user is; the daemon is somewhere else. */
static const char *absolute(const char *dir, char path[PATH_MAX])
{
    char here[PATH_MAX];
    if (dir[0] == '/' || getcwd(here, sizeof here) == NULL ||
        (size_t)snprintf(path, PATH_MAX, "%s/%s", here, dir) >= PATH_MAX)
        return dir;
    return path;
}

static void print_answer(struct session *session)
{
    struct text dir = screen_clean(field_text(&session->answer, "dir"), &session->arena);
    if (session->setup->json)
        session_print_raw(session);
    else if (!field_boolean(&session->answer, "ok"))
        session_complain(session);
    else
        printf("%.1f MiB in " TEXT_FMT ", with all events up to seq %" PRId64 "\n",
               (double)field_integer(&session->answer, "bytes") / (1 << 20), TEXT_ARG(dir),
               field_integer(&session->answer, "seq"));
    if (!field_boolean(&session->answer, "ok"))
        session->exit_code = EXIT_ERROR;
}

static int run(const struct setup *setup, struct options *options)
{
    const char *words[1];
    char path[PATH_MAX];
    if (!options_only_words(options, "DIR", 1, 1, words))
        return EXIT_USAGE;
    struct backup backup = {.heard_ms = now_ms()};
    session_open(&backup.session, setup, "backup");
    progress_start(&backup.progress, "copied", 0);
    backup.progress.bytes = true;
    json_member_text(session_question(&backup.session, "backup"), "dir", text_of(absolute(words[0], path)));
    bool done = post(&backup, &backup.backup_id) && wait_for_end(&backup);
    progress_clear(&backup.progress);
    if (done)
        print_answer(&backup.session);
    return session_close(&backup.session);
}

const struct command command_backup = {
    .name = "backup",
    .usage = "DIR",
    .summary = "have the daemon copy its data folder into DIR, while events flow",
    .details = "DIR is a new or an empty folder on the daemon's machine. The copy is whole when this command is\n"
               "back with exit code 0. To restore: fwsyncd --data DIR.\n"
               "\n"
               "  fwsync backup /backup/fwsync-$(date +%F)\n",
    .words = {"DIR"},
    .common = COMMON_JSON | COMMON_TIMEOUT | COMMON_QUERY,
    .run = run,
};

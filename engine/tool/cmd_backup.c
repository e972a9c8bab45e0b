/* cmd_backup.c - `fwsync backup DIR`: have the daemon copy its data folder, and wait until it has.
 *
 * That may take minutes, so there is no bound on it as a whole: meanwhile the daemon is asked for its
 * progress, and has to answer that in time. One that makes no backup and doesn't answer either was restarted. */
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/tool/command.h"
#include "engine/tool/interrupt.h"
#include "engine/tool/progress.h"
#include "engine/tool/session.h"

enum { WAIT_MS_FIRST = 10 }; /* then longer and longer, up to PROGRESS_MS */

struct backup {
    struct session session; /* the backup's answer comes here */
    struct session asking;  /* meanwhile, how far it is */
    struct progress progress;
    uint64_t id;
    int64_t running_ms; /* when it was last told to be made, or asked for */
};

static bool post(struct backup *backup, const char *dir)
{
    struct session *session = &backup->session;
    struct err err;
    backup->running_ms = clock_monotonic_ms();
    json_member_text(session_question(session, "backup"), "dir", text_of(dir));
    buf_byte(&session->question, '}');
    return client_post(session->client, CLIENT_QUERY, buf_text(&session->question), &backup->id, &err) ||
           session_fail(session, &err);
}

/* *done: the answer has come, and is the session's. */
static bool take_answer(struct backup *backup, bool *done)
{
    struct session *session = &backup->session;
    struct err err;
    uint64_t id;
    if (!client_take(session->client, CLIENT_QUERY, &id, &session->raw, done, &err))
        return session_fail(session, &err);
    *done = *done && id == backup->id;
    return !*done || session_read(session, buf_text(&session->raw), &err) || session_fail(session, &err);
}

/* Between its end and its answer no backup is running either, but not for long. */
static bool check_running(struct backup *backup)
{
    struct err err;
    if (clock_monotonic_ms() - backup->running_ms < backup->asking.setup->timeout_ms)
        return true;
    err_set(&err, ERR_IO, "fwsyncd was restarted meanwhile, so the copy isn't whole, and no daemon starts from it: "
                          "make another one");
    return session_fail(&backup->asking, &err);
}

/* False after telling: nobody is there any more, or has forgotten it. */
static bool ask_progress(struct backup *backup)
{
    progress_clear(&backup->progress); /* an error may be told */
    session_question(&backup->asking, "stats");
    if (!session_ask(&backup->asking))
        return false;
    struct fields stats = field_object(&backup->asking, &backup->asking.answer, "backup");
    backup->progress.total = field_integer(&stats, "bytesTotal");
    if (!field_boolean(&stats, "running"))
        return check_running(backup);
    backup->running_ms = clock_monotonic_ms();
    progress_show(&backup->progress, field_integer(&stats, "bytesDone"));
    return true;
}

static bool wait_for_end(struct backup *backup)
{
    for (int wait_ms = WAIT_MS_FIRST;; wait_ms = wait_ms * 2 < PROGRESS_MS ? wait_ms * 2 : PROGRESS_MS) {
        struct pollfd item = {.fd = interrupt_fd(), .events = POLLIN};
        bool done;
        if (!take_answer(backup, &done) || done)
            return done;
        if (!ask_progress(backup))
            return false;
        poll(&item, 1, wait_ms);
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
    struct backup backup;
    session_open(&backup.session, setup, "backup");
    session_open(&backup.asking, setup, "backup");
    progress_start(&backup.progress, "copied", 0);
    backup.progress.bytes = true;
    bool done = post(&backup, absolute(words[0], path)) && wait_for_end(&backup);
    progress_clear(&backup.progress);
    if (done)
        print_answer(&backup.session);
    else if (interrupted())
        fprintf(stderr, "fwsync backup: fwsyncd goes on with it; see `fwsync stats`\n");
    int asking_code = session_close(&backup.asking), exit_code = session_close(&backup.session);
    return asking_code != EXIT_DONE ? asking_code : exit_code;
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

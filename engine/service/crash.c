#include "engine/service/crash.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "engine/base/text.h"

enum { LINE_BYTES = 1024, COMM_BYTES = 16, DATA_BYTES_MAX = 200 };

/* What is behind the signal's and the thread's name. Nothing may be formatted any more once it has happened. */
static char advice[LINE_BYTES / 2];

/* Without the time that other lines have in front: nothing that formats it may be called in a signal's handler. */
static void say(int number)
{
    char line[LINE_BYTES], thread[COMM_BYTES] = "";
    struct text name = number == SIGBUS ? TEXT("SIGBUS") : TEXT("SIGSEGV");
    prctl(PR_GET_NAME, thread);
    const struct text parts[] = {
        TEXT("error crashed signal="), name, TEXT(" thread="), text_of(thread), TEXT(" "), text_of(advice),
    };
    size_t len = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        memcpy(line + len, parts[i].bytes, parts[i].len);
        len += parts[i].len;
    }
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written; /* there is nobody else to tell */
}

/* SA_RESETHAND: raised again, it ends the process. */
static void crashed(int number)
{
    say(number);
    raise(number);
}

static void watch(int number)
{
    struct sigaction now, ours = {.sa_handler = crashed, .sa_flags = (int)SA_RESETHAND | SA_NODEFER};
    if (sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
        sigaction(number, &ours, NULL);
}

void crash_watch(const char *data)
{
    snprintf(advice, sizeof advice,
             "hint=\"the disk may fail, or files in " TEXT_FMT "/state may be damaged: start again; if it crashes again, "
             "move that folder away, and it is rebuilt if the journal goes back to event 1; else restore a backup\"\n",
             TEXT_CUT(text_of(data), DATA_BYTES_MAX));
    watch(SIGSEGV);
    watch(SIGBUS);
}

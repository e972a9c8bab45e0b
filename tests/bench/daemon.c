#include "tests/bench/daemon.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/fail.h"

enum { SETTINGS_MAX = 32 };

/* In the child: becomes the daemon. */
static _Noreturn void become(const char *program, const char *folder, const char *const *settings,
                             size_t setting_count)
{
    const char *args[12 + SETTINGS_MAX + 1] = {
        program, "--data", folder, "--events", "tcp://127.0.0.1:*", "--query", "tcp://127.0.0.1:*",
        "--results", "tcp://127.0.0.1:*", "--log-level", "warn",
    };
    for (size_t i = 0, at = 11; i < setting_count; i++)
        args[at++] = settings[i];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execv(program, (char *const *)args);
    perror(program);
    _exit(127);
}

void daemon_start(struct daemon *daemon, const char *program, const char *folder,
                  const char *const *settings, size_t setting_count)
{
    assert(setting_count <= SETTINGS_MAX);
    int out[2];
    if (pipe(out) != 0)
        fail("pipe: %s", strerror(errno));
    daemon->pid = fork();
    if (daemon->pid < 0)
        fail("fork: %s", strerror(errno));
    if (daemon->pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        close(out[0]);
        close(out[1]);
        become(program, folder, settings, setting_count);
    }
    close(out[1]);
    FILE *ready = fdopen(out[0], "r");
    if (ready == NULL || fscanf(ready, "ready events=%127s query=%127s results=%127s",
                                daemon->events, daemon->query, daemon->results) != 3)
        fail("the daemon did not start");
    fclose(ready);
}

bool daemon_stop(const struct daemon *daemon)
{
    int status;
    kill(daemon->pid, SIGTERM);
    return waitpid(daemon->pid, &status, 0) == daemon->pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static FILE *open_proc(const struct daemon *daemon, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)daemon->pid, name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        fail("%s: %s", path, strerror(errno));
    return file;
}

struct memory daemon_memory(const struct daemon *daemon)
{
    char line[256];
    double anonymous_kib = 0, file_kib = 0;
    FILE *status = open_proc(daemon, "status");
    while (fgets(line, sizeof line, status) != NULL) {
        sscanf(line, "RssAnon: %lf", &anonymous_kib);
        if (sscanf(line, "RssFile: %lf", &file_kib) == 1)
            break;
    }
    fclose(status);
    return (struct memory){anonymous_kib / 1024, file_kib / 1024};
}

double daemon_cpu_s(const struct daemon *daemon)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(daemon->pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        fail("the daemon has no clock of its own");
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

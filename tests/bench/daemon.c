#include "tests/bench/daemon.h"

#include <assert.h>
#include <dirent.h>
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

const char *const daemon_threads[THREAD_COUNT] = {"applier", "door", "committer", "zeromq", "rest"};

/* As the kernel calls them; the main thread is the door. */
static const char *const comms[THREAD_REST] = {"applier", "fwsyncd", "committer", "ZMQbg/IO/0"};

/* One that ends meanwhile is among the rest. */
static void add_thread(const struct daemon *daemon, const char *id, struct cpu *cpu)
{
    char path[300], comm[32] = "";
    double ns = 0;
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "/proc/%d/task/%s/%s", (int)daemon->pid, id, i == 0 ? "comm" : "schedstat");
        FILE *file = fopen(path, "re");
        bool is_read = file != NULL && (i == 0 ? fscanf(file, "%31[^\n]", comm) == 1 : fscanf(file, "%lf", &ns) == 1);
        if (file != NULL)
            fclose(file);
        if (!is_read)
            return;
    }
    for (size_t thread = 0; thread < THREAD_REST; thread++)
        if (strcmp(comm, comms[thread]) == 0)
            cpu->by_thread_s[thread] += ns / 1e9;
}

struct cpu daemon_cpu(const struct daemon *daemon)
{
    clockid_t clock;
    struct timespec used;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)daemon->pid);
    DIR *folder = opendir(path);
    if (folder == NULL || clock_getcpuclockid(daemon->pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        fail("what the daemon takes can't be read");
    struct cpu cpu = {.all_s = (double)used.tv_sec + (double)used.tv_nsec / 1e9};
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (entry->d_name[0] != '.')
            add_thread(daemon, entry->d_name, &cpu);
    closedir(folder);
    cpu.by_thread_s[THREAD_REST] = cpu.all_s;
    for (size_t thread = 0; thread < THREAD_REST; thread++)
        cpu.by_thread_s[THREAD_REST] -= cpu.by_thread_s[thread];
    return cpu;
}

struct cpu cpu_between(const struct cpu *before, const struct cpu *after)
{
    struct cpu cpu = {.all_s = after->all_s - before->all_s};
    for (size_t thread = 0; thread < THREAD_COUNT; thread++)
        cpu.by_thread_s[thread] = after->by_thread_s[thread] - before->by_thread_s[thread];
    return cpu;
}

/* daemon.h - the daemon as a child process, and what the kernel knows about it. */
#ifndef BENCH_DAEMON_H
#define BENCH_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { ENDPOINT_BYTES = 128 };

struct daemon {
    pid_t pid;
    char events[ENDPOINT_BYTES];
    char query[ENDPOINT_BYTES];
    char results[ENDPOINT_BYTES];
};

struct memory {
    double anonymous_mib;
    double file_mib;
};

/* daemon_start - start `program` on a data folder, with free ports, and wait until it is ready. It dies
 * when the calling thread does.
 *
 * settings  further arguments, --NAME=VALUE; at most 32 */
void daemon_start(struct daemon *daemon, const char *program, const char *folder,
                  const char *const *settings, size_t setting_count);
/* daemon_stop - ask it to stop and wait; false when it failed. */
bool daemon_stop(const struct daemon *daemon);

struct memory daemon_memory(const struct daemon *daemon);

/* Seconds of processor time. `rest` is of threads that don't last: a checkpoint's, mostly. */
enum daemon_thread { THREAD_APPLIER, THREAD_DOOR, THREAD_COMMITTER, THREAD_ZEROMQ, THREAD_REST, THREAD_COUNT };
extern const char *const daemon_threads[THREAD_COUNT];
struct cpu {
    double all_s;
    double by_thread_s[THREAD_COUNT];
};

/* daemon_cpu - since the daemon was started; a thread that is running may lack up to 4 ms. */
struct cpu daemon_cpu(const struct daemon *daemon);
/* cpu_between - what was added from one to the other. */
struct cpu cpu_between(const struct cpu *before, const struct cpu *after);

#endif

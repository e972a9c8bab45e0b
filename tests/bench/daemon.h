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
/* daemon_cpu_s - seconds of all its threads since it was started, in steps of a hundredth. */
double daemon_cpu_s(const struct daemon *daemon);

#endif

/* backclock - a wall clock that is set back while the daemon runs.
 *
 *     LD_PRELOAD=build/tests/fault/backclock.so FWSYNC_BACK_FLAG=/tmp/x/back fwsyncd ...
 *
 * While the file named by FWSYNC_BACK_FLAG exists, CLOCK_REALTIME is an hour behind. */
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BACK_S = 3600 };

int clock_gettime(clockid_t clock, struct timespec *now)
{
    struct stat st;
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    const char *flag = getenv("FWSYNC_BACK_FLAG");
    if (failed == 0 && clock == CLOCK_REALTIME && flag != NULL && stat(flag, &st) == 0)
        now->tv_sec -= BACK_S;
    return failed;
}

#include "engine/base/thread.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/base/log.h"

void thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *argument)
{
    int error = pthread_create(thread, NULL, run, argument);
    if (error == 0) {
        pthread_setname_np(*thread, name);
        return;
    }
    log_line(LOG_ERROR, "stopped", "error=%s thread=%s", log_quote(strerror(error)), name);
    _exit(1); /* other threads may hold anything: nothing here is safe to take down */
}

/* A thread's niceness is its own on Linux. */
void thread_stand_back(void)
{
    enum { NICENESS = 10 };
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS);
}

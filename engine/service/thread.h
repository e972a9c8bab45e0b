/* thread.h - starting a thread that the daemon can't work without. */
#ifndef SERVICE_THREAD_H
#define SERVICE_THREAD_H

#include <pthread.h>

/* thread_start - `name` is what tools show, up to 15 bytes. When the machine has no room for another thread, that is
 * logged and the process ends with exit code 1; what is on disk stays as it is. */
void thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *argument);

#endif

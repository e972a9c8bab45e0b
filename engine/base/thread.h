/* thread.h - threads that a process can't work without, and those that let others go first. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

/* thread_start - `name` is what tools show, up to 15 bytes. When the machine has no room for another thread, that is
 * logged and the process ends with exit code 1; what is on disk stays as it is. */
void thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *argument);

/* thread_stand_back - the calling thread has time, while somebody waits for what the others do. */
void thread_stand_back(void);

#endif

#include "engine/tool/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static int pipe_ends[2] = {-1, -1};
static volatile sig_atomic_t came;

static void note_signal(int number)
{
    (void)number;
    int saved = errno;
    came = 1;
    ssize_t written = write(pipe_ends[1], "!", 1);
    (void)written;
    errno = saved;
}

void interrupt_install(void)
{
    if (pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return; /* then a signal ends the program as it always does */
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int interrupt_fd(void)
{
    return pipe_ends[0];
}

bool interrupted(void)
{
    return came != 0;
}

/* interrupt.h - Ctrl-C (SIGINT) and SIGTERM as something that one can wait for.
 *
 * The one thing that is global in the tool, because signals are. A second Ctrl-C ends the program at
 * once, in case that the clean way hangs. */
#ifndef TOOL_INTERRUPT_H
#define TOOL_INTERRUPT_H

#include <stdbool.h>

enum { EXIT_INTERRUPTED = 130 }; /* 128 + SIGINT, as shells have it */

/* interrupt_install - from now on signals are noted. */
void interrupt_install(void);
/* interrupt_fd - becomes readable, and stays so, when a signal came; -1 before interrupt_install. */
int interrupt_fd(void);
bool interrupted(void);

#endif

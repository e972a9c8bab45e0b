/* crash.h - a last line in the log before a signal ends the process.
 *
 * LMDB reads its file through a mapping, and believes what its pages say: a page that the disk can't read, or a file
 * that somebody cut, is a SIGBUS, and a damaged page may be a SIGSEGV. Whoever finds the daemon gone should know that
 * this may be why. */
#ifndef SERVICE_CRASH_H
#define SERVICE_CRASH_H

/* crash_watch - from now on SIGSEGV and SIGBUS write that line, and then do what they always do. A handler that is
 * there already, a sanitizer's, stays. `data` is the data folder; its name is cut to 200 bytes. */
void crash_watch(const char *data);

#endif

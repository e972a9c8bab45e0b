/* lock.h - one daemon a data folder. The lock goes with the process, however that ends. */
#ifndef SERVICE_LOCK_H
#define SERVICE_LOCK_H

#include "engine/base/err.h"

/* lock_folder - make the folder if it is missing (0750), and lock it (flock on FOLDER/lock).
 * Errors  ERR_IN_USE another process has it, with its number; ERR_IO no permission or no such place. */
bool lock_folder(const char *folder, int *fd, struct err *err);

/* lock_check - is the folder at that path still the one that `fd` locks? What is written into one that was removed
 * or replaced is lost, however well it was synced. Errors ERR_IO. */
bool lock_check(const char *folder, int fd, struct err *err);

#endif

/* disk.h - what files beside LMDB's need from the file system. */
#ifndef STORE_DISK_H
#define STORE_DISK_H

#include <stdbool.h>

/* disk_means_full - does this errno say that there is no space? */
bool disk_means_full(int error);
/* disk_sync_folder - what was created, renamed or removed in it is on disk afterwards. 0 or errno. */
int disk_sync_folder(const char *dir);

#endif

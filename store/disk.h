/* disk.h - what journal, state and the files beside them need from the file system. */
#ifndef STORE_DISK_H
#define STORE_DISK_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

/* A copy of files being made: any thread looks at it, and may stop it. */
struct copying {
    atomic_uint_fast64_t bytes; /* done, of the original */
    atomic_bool stop;
};

/* Of a copy this much is brought to disk at a time: syncing more at once would hold up those who sync beside
 * it, such as the journal. */
enum { COPY_SYNC_BYTES = 16 << 20 };

/* The same for what a checkpoint writes, while the journal is synced many times: with more at once one of these took up
 * to 20 ms. */
enum { SYNC_PART_BYTES = 1 << 20 };

/* copying_stopped - ERR_BUSY when it was stopped. */
bool copying_stopped(const struct copying *copying, struct err *err);

/* disk_means_full - does this errno say that there is no space? */
bool disk_means_full(int error);
/* disk_passes - does it say that descriptors or memory are short, and nothing is wrong with the disk? */
bool disk_passes(int error);
/* disk_sync - what was written to the file between these places is on disk afterwards. 0 or errno. */
int disk_sync(int fd, uint64_t from, uint64_t until);
/* disk_sync_folder - what was created, renamed or removed in it is on disk afterwards. 0 or errno. */
int disk_sync_folder(const char *dir);
/* disk_write - all of it, at that place of the file. 0 or errno. */
int disk_write(int fd, const char *bytes, size_t len, uint64_t at);
/* disk_write_file - a new file, or an old one anew, with that text, of mode 0640; its content is on disk. 0 or errno. */
int disk_write_file(const char *path, const char *text);
/* disk_error - a sentence for an errno about the file at `path`; `doing` completes "while ". ERR_FULL, ERR_IO or
 * ERR_STORE. Returns false. */
bool disk_error(const char *path, int error, const char *doing, struct err *err);
/* disk_make_folders - the folder with its parents, 0750; those that it makes are on disk. Errors ERR_FULL, ERR_IO. */
bool disk_make_folders(const char *dir, struct err *err);
/* disk_list - call `visit` with the name of each entry of the folder, but "." and "..". What can't be read to its end
 * isn't taken for a folder with less in it. Errors ERR_IO; some names may have been visited then. */
bool disk_list(const char *dir, void (*visit)(void *context, const char *name), void *context, struct err *err);
/* disk_check_kind - ERR_IO for a file system that is known not to work: those over a network. */
bool disk_check_kind(const char *dir, struct err *err);

#endif

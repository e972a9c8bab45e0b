#include "engine/service/partition.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/disk.h"

enum { PATH_BYTES = 4096, FILE_MODE = 0640 };

/* The first one's is as it was before there were others. */
void partition_dir(unsigned number, char name[PARTITION_DIR_BYTES])
{
    if (number == 0)
        snprintf(name, PARTITION_DIR_BYTES, "state");
    else
        snprintf(name, PARTITION_DIR_BYTES, "state-%u", number);
}

enum note { NOTE_ABSENT, NOTE_WRONG, NOTE_READ };

static enum note read_note(const char *path, unsigned *count)
{
    char line[16] = "";
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return errno == ENOENT ? NOTE_ABSENT : NOTE_WRONG;
    if (fgets(line, sizeof line, file) == NULL)
        line[0] = '\0';
    fclose(file);
    *count = (unsigned)strtoul(line, NULL, 10);
    return strchr(line, '\n') != NULL && *count >= 1 && *count <= PARTITION_COUNT_MAX ? NOTE_READ : NOTE_WRONG;
}

/* Is there a second partition's state? */
static bool has_others(const char *folder)
{
    char name[PARTITION_DIR_BYTES], path[PATH_BYTES];
    partition_dir(1, name);
    return snprintf(path, sizeof path, "%s/%s", folder, name) < PATH_BYTES && access(path, F_OK) == 0;
}

static int write_file(const char *path, unsigned count)
{
    char line[16];
    int len = snprintf(line, sizeof line, "%u\n", count);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        return errno;
    int error = disk_write(fd, line, (size_t)len, 0);
    if (error == 0 && fsync(fd) != 0)
        error = errno;
    close(fd);
    return error;
}

static bool write_note(const char *folder, const char *path, unsigned count, struct err *err)
{
    int error = write_file(path, count);
    if (error == 0)
        error = disk_sync_folder(folder);
    return error == 0 || disk_error(path, error, "writing it", err);
}

bool partition_note_count(const char *folder, unsigned count, bool is_new, struct err *err)
{
    char path[PATH_BYTES];
    unsigned made_with = 1;
    if (snprintf(path, sizeof path, "%s/" PARTITION_COUNT_FILE, folder) >= PATH_BYTES)
        return err_set(err, ERR_CONFIG, "data: the path is too long: %s", folder);
    enum note note = read_note(path, &made_with);
    if (note == NOTE_ABSENT && has_others(folder))
        note = NOTE_WRONG;
    if (is_new && note != NOTE_READ)
        return count == 1 || write_note(folder, path, count, err);
    if (note == NOTE_WRONG)
        return err_set(err, ERR_DAMAGED,
                       "%s: expected the number of partitions that the folder was made with, in a line: one more than "
                       "there are folders state-1, state-2, ...", path);
    if (made_with == count)
        return true;
    return err_set(err, ERR_CONFIG,
                   "partitions: %s was made with %u and can't change it to %u: set partitions to %u, or export the "
                   "devices, and import them into a new folder", folder, made_with, count, made_with);
}

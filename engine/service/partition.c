#include "engine/service/partition.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/disk.h"

bool data_path(const char *folder, const char *name, char path[DATA_PATH_BYTES], struct err *err)
{
    int len = snprintf(path, DATA_PATH_BYTES, "%s/%s", folder, name);
    return (len > 0 && len < DATA_PATH_BYTES) ||
           err_set(err, ERR_CONFIG, "data: the path is too long: %s", folder);
}

/* The first one's is as it was before there were others. */
void partition_dir(unsigned number, char name[PARTITION_DIR_BYTES])
{
    if (number == 0)
        snprintf(name, PARTITION_DIR_BYTES, "state");
    else
        snprintf(name, PARTITION_DIR_BYTES, "state-%u", number);
}

enum note { NOTE_ABSENT, NOTE_WRONG, NOTE_READ };

static enum note read_note(FILE *file, unsigned *count)
{
    char line[16] = "";
    if (file == NULL)
        return NOTE_ABSENT;
    if (fgets(line, sizeof line, file) == NULL)
        line[0] = '\0';
    fclose(file);
    *count = (unsigned)strtoul(line, NULL, 10);
    return strchr(line, '\n') != NULL && *count >= 1 && *count <= PARTITION_COUNT_MAX ? NOTE_READ : NOTE_WRONG;
}

/* Is there a second partition's state? */
static bool has_others(const char *folder)
{
    char name[PARTITION_DIR_BYTES], path[DATA_PATH_BYTES];
    struct err ignored;
    partition_dir(1, name);
    return data_path(folder, name, path, &ignored) && access(path, F_OK) == 0;
}

static bool write_note(const char *folder, const char *path, unsigned count, struct err *err)
{
    char line[16];
    snprintf(line, sizeof line, "%u\n", count);
    int error = disk_write_file(path, line);
    if (error == 0)
        error = disk_sync_folder(folder);
    return error == 0 || disk_error(path, error, "writing it", err);
}

bool partition_note_count(const char *folder, unsigned count, bool is_new, struct err *err)
{
    char path[DATA_PATH_BYTES];
    unsigned made_with = 1;
    if (!data_path(folder, PARTITION_COUNT_FILE, path, err))
        return false;
    FILE *file = fopen(path, "re");
    if (file == NULL && errno != ENOENT)
        return disk_error(path, errno, "opening it", err);
    enum note note = read_note(file, &made_with);
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

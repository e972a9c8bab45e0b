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

/* What the file says; 0: it isn't there, or its writing was cut short. */
static unsigned read_count(const char *path)
{
    char line[16] = "";
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    if (fgets(line, sizeof line, file) == NULL)
        line[0] = '\0';
    fclose(file);
    return strchr(line, '\n') == NULL ? 0 : (unsigned)strtoul(line, NULL, 10);
}

static int write_count(const char *path, unsigned count)
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

bool partition_note_count(const char *folder, unsigned count, bool is_new, struct err *err)
{
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/" PARTITION_COUNT_FILE, folder) >= PATH_BYTES)
        return err_set(err, ERR_CONFIG, "data: the path is too long: %s", folder);
    unsigned made_with = read_count(path);
    if (made_with == 0)
        made_with = is_new ? count : 1;
    if (made_with != count)
        return err_set(err, ERR_CONFIG,
                       "partitions: %s was made with %u and can't change it to %u: set partitions to %u, or export the "
                       "devices, and import them into a new folder", folder, made_with, count, made_with);
    if (count == 1)
        return true;
    int error = write_count(path, count);
    if (error == 0)
        error = disk_sync_folder(folder);
    return error == 0 || disk_error(path, error, "writing it", err);
}

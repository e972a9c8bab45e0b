#include "store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

bool disk_means_full(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

int disk_sync_folder(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int rc = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return rc;
}

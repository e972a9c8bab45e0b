/* temp_dir.h - for tests: a folder of their own, and bytes of files in it. */
#ifndef TEST_TEMP_DIR_H
#define TEST_TEMP_DIR_H

#include <assert.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Below TMPDIR, as Python's tempfile does it for the other tests. */
static inline char *temp_dir_make(void)
{
    const char *tmp = getenv("TMPDIR");
    char *dir;
    int len = asprintf(&dir, "%s/fwsync-test-XXXXXX", tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp");
    assert(len > 0 && mkdtemp(dir) != NULL);
    return dir;
}

static inline int temp_dir_visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline void temp_dir_remove(char *dir)
{
    nftw(dir, temp_dir_visit, 16, FTW_DEPTH | FTW_PHYS);
    free(dir);
}

/* A path below the folder, in one of a few static buffers. */
static inline const char *temp_dir_path(const char *dir, const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

/* Write `patch` over every place in the file where `found` stands (same length); how many there
 * were. */
static inline size_t file_patch(const char *path, const char *found, const char *patch)
{
    FILE *file = fopen(path, "r+b");
    assert(file != NULL && strlen(found) == strlen(patch));
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file), len = strlen(found), count = 0;
    char *bytes = malloc(size);
    rewind(file);
    assert(bytes != NULL && fread(bytes, 1, size, file) == size);
    for (size_t i = 0; i + len <= size; i++) {
        if (memcmp(bytes + i, found, len) != 0)
            continue;
        fseek(file, (long)i, SEEK_SET);
        fwrite(patch, 1, len, file);
        count++;
    }
    free(bytes);
    fclose(file);
    return count;
}

#endif

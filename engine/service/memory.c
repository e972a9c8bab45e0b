#include "engine/service/memory.h"

#include <inttypes.h>
#include <stdio.h>

struct memory memory_in_use(void)
{
    struct memory memory = {0, 0};
    FILE *status = fopen("/proc/self/status", "re");
    if (status == NULL)
        return memory;
    char line[256];
    uint64_t kib;
    while (fgets(line, sizeof line, status) != NULL) {
        if (sscanf(line, "RssAnon: %" SCNu64, &kib) == 1)
            memory.anonymous_bytes = kib * 1024;
        else if (sscanf(line, "RssFile: %" SCNu64, &kib) == 1)
            memory.file_bytes = kib * 1024;
    }
    fclose(status);
    return memory;
}

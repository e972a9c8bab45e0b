/* memory.h - how much memory the process holds, as the kernel counts it (/proc/self/status, proc(5)). */
#ifndef SERVICE_MEMORY_H
#define SERVICE_MEMORY_H

#include <stdint.h>

struct memory {
    uint64_t anonymous_bytes; /* RssAnon: ours */
    uint64_t file_bytes;      /* RssFile: mapped database pages, which the kernel may take back */
};

/* memory_in_use - zeros where there is no /proc. */
struct memory memory_in_use(void);

#endif

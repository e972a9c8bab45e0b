/* crc32c.h - CRC-32C (Castagnoli, as in RFC 3720 appendix B.4), in hardware where there is SSE 4.2. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* crc32c - continue from `crc` (0 to start) over `len` bytes. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);

#endif

/* shipped.c - rules/chains/ inside the program, so that an installed daemon needs no files.
 * .incbin reads the files when this one is compiled, by their path from the top of the repository (the
 * Makefile lists them as what this file depends on). */
#include "rules/sources.h"

#define EMBED(symbol, path)                                                                            \
    __asm__(".pushsection .rodata\n"                                                                   \
            ".globl " #symbol "\n"                                                                     \
            ".globl " #symbol "_end\n" #symbol ":\n"                                                   \
            ".incbin \"" path "\"\n" #symbol "_end:\n"                                                 \
            ".byte 0\n"                                                                                \
            ".popsection\n");                                                                          \
    extern const char symbol[];                                                                        \
    extern const char symbol##_end[]

EMBED(shipped_firmware_synced, "rules/chains/firmware-synced.yaml");
EMBED(shipped_root, "rules/chains/root.yaml");

static const struct {
    const char *name;
    const char *start;
    const char *end;
} shipped[] = { /* by name */
    {"firmware-synced.yaml", shipped_firmware_synced, shipped_firmware_synced_end},
    {"root.yaml", shipped_root, shipped_root_end},
};
enum { SHIPPED_COUNT = sizeof shipped / sizeof shipped[0] };

void sources_shipped(struct arena *arena, struct sources *sources)
{
    struct source *items = arena_zero(arena, sizeof *items * SHIPPED_COUNT);
    for (size_t i = 0; i < SHIPPED_COUNT; i++)
        items[i] = (struct source){
            .name = text_of(shipped[i].name),
            .file = shipped[i].name,
            .text = {shipped[i].start, (size_t)(shipped[i].end - shipped[i].start)},
        };
    *sources = (struct sources){items, SHIPPED_COUNT, "the shipped rules"};
}

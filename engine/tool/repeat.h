/* repeat.h - `--watch`: a command's output, again and again.
 *
 * On a terminal it fills the screen, is drawn anew each second, and is gone at the end. In a pipe it is
 * printed again whenever it has become another one. Ctrl-C ends it. A daemon that is slow or goes away meanwhile is
 * waited for: the last output stays, with what is wrong and since when. */
#ifndef TOOL_REPEAT_H
#define TOOL_REPEAT_H

#include "engine/tool/options.h"

/* repeat - `once(setup, context)` prints something and returns an exit code; without --watch that is all.
 * With it, `once` is called each second with both standard streams going into memory. Returns the exit
 * code: that of the first call if it failed. */
int repeat(const struct setup *setup, int (*once)(const struct setup *setup, void *context),
           void *context);

#endif

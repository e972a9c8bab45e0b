/* fail.h - how a bench ends that cannot go on, or got a wrong answer: one line, and exit code 1.
 *
 * A bench holds nothing that must be put in order: its daemon dies with it (daemon.h), and the folder
 * belongs to whoever started it. */
#ifndef BENCH_FAIL_H
#define BENCH_FAIL_H

/* fail - prints "bench: ..." to standard error and exits. */
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif

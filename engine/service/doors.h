/* doors.h - the three sockets, and the thread that owns them.
 *
 * It reads requests, checks events, and gathers them into batches for the engine; what comes back -
 * acknowledgements, answers, results - it sends. It never blocks on a peer: what can't be sent now, to a
 * client that is gone or doesn't read, is dropped and counted, and the client asks again. */
#ifndef SERVICE_DOORS_H
#define SERVICE_DOORS_H

#include "engine/service/engine.h"

struct doors;

/* doors_open - bind the three endpoints. ERR_IN_USE: an address is taken; ERR_CONFIG: it is no endpoint. */
bool doors_open(struct doors **doors, const struct settings *settings, struct stats *stats,
                struct subscriptions *subscriptions, struct err *err);
void doors_close(struct doors *doors);

/* The queue for finished work. */
struct queue *doors_queue(const struct doors *doors);

/* The endpoints as they are, with real ports. Borrowed from the doors. */
const char *doors_events(const struct doors *doors);
const char *doors_query(const struct doors *doors);
const char *doors_results(const struct doors *doors);

/* doors_run - serve until `signal_fd` (a signalfd, non-blocking) has a signal, what the settings want of the rules is
 * settled (active, or kept out), or the engine fails. Returns the signal's number (above 0), or one of these;
 * DOORS_FAILED comes with the error. */
enum { DOORS_FAILED = 0, DOORS_RULES_SETTLED = -1 };
int doors_run(struct doors *doors, struct engine *engine, int signal_fd, struct err *err);

/* doors_drain - after engine_stop_begin: send what is under way until the engine has stopped.
 * False with the error when it failed on the way. */
bool doors_drain(struct doors *doors, struct err *err);

#endif

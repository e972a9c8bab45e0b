/* fwsync.h - libfwsync: send events to fwsyncd, ask it, and follow what changes, from C11 or C++.
 *
 *     #include <fwsync.h>
 *     #include <stdio.h>
 *
 *     int main(void)
 *     {
 *         struct fwsync_client *client;
 *         if (fwsync_open(NULL, &client) != FWSYNC_OK)
 *             return 1;
 *         const char *event = "{\"device\":\"ESP32\",\"type\":\"POST_ATTRIBUTES_REQUEST\","
 *                             "\"data\":{\"currentFwVer\":\"v1.1\"}}";
 *         int code = fwsync_send(client, event, FWSYNC_STRING_END, -1);
 *         if (code == FWSYNC_OK)
 *             code = fwsync_flush(client, 10000);
 *         if (code != FWSYNC_OK)
 *             fprintf(stderr, "%s\n", fwsync_last_error(client));
 *         fwsync_close(client);
 *         return code != FWSYNC_OK;
 *     }
 *
 *     cc example.c $(pkg-config --cflags --libs libfwsync)
 *
 * What it promises. An event that fwsync_send took is delivered exactly once, and in order, however often
 * the connection breaks or the daemon is killed and started again, as long as this process and its handle
 * live: it is numbered, kept until fwsyncd has it on disk, and sent again until then. A follower ends with
 * exactly the server's state after any gap, slow spell or restart, and is told each change once, in order.
 *
 * Handles. A client (fwsync_open) sends and asks; a follower (fwsync_follow) hears what changes. Each is
 * used by one thread at a time; different handles are independent. No thread of the library's calls you:
 * callbacks are called from within the functions that say so, by the thread that called these. ZeroMQ's own
 * I/O thread moves bytes; it takes no signals. After fork() a handle is of no use in the child.
 *
 * Time. Durations and waits are milliseconds; a wait of 0 doesn't wait and -1 waits as long as it takes.
 * Moments are milliseconds since 1970, UTC.
 *
 * Text is UTF-8 and ends with a NUL. What you pass in is copied or no longer needed when the function is
 * back; what you get is borrowed, and each function says until when.
 *
 * Errors are codes, and a sentence for a person: fwsync_last_error. After an error a handle can be used on,
 * unless it says otherwise. The library doesn't print, doesn't exit and reads no environment; when memory is
 * out it aborts. Bugs of the caller (a NULL handle) are asserted.
 *
 * The soname changes whenever a struct of this header does: always start from a zeroed struct. Linux only. */
#ifndef FWSYNC_H
#define FWSYNC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FWSYNC_API __attribute__((visibility("default")))

#define FWSYNC_VERSION_MAJOR 0
#define FWSYNC_VERSION_MINOR 1
#define FWSYNC_VERSION_PATCH 0

/* fwsync_version - of the library that runs, as "0.1.0" and in numbers; any pointer may be NULL. */
FWSYNC_API const char *fwsync_version(int *major, int *minor, int *patch);

/* What functions return. New ones may come: treat what you don't know as an error. */
enum fwsync_code {
    FWSYNC_OK = 0,
    FWSYNC_E_TIMEOUT = 1,   /* not done within the wait; what was begun goes on with the next call */
    FWSYNC_E_FULL = 2,      /* the window is full: this event was not taken */
    FWSYNC_E_STOPPED = 3,   /* a callback asked to stop */
    FWSYNC_E_CONFIG = 4,    /* an endpoint or option that can't be; or an endpoint that is another door */
    FWSYNC_E_INVALID = 5,   /* an argument that can't be: an empty event, a number that doesn't rise */
    FWSYNC_E_TOO_LARGE = 6, /* an event or a question over its bound in bytes */
    FWSYNC_E_NOT_FOUND = 7, /* answered: there is no such device */
    FWSYNC_E_BAD_QUERY = 8, /* answered: the question is wrong, or no JSON, or this fwsyncd doesn't know it */
    FWSYNC_E_GONE = 9,      /* answered: what was asked for is no longer kept */
    FWSYNC_E_BUSY = 10,     /* answered: not now */
    FWSYNC_E_REFUSED = 11,  /* answered: any other error; the answer's `code` tells */
    FWSYNC_E_IO = 12        /* a socket or descriptor failed: out of them, most likely */
};

/* fwsync_strerror - the code in words, in static memory; for any number. */
FWSYNC_API const char *fwsync_strerror(int code);

/* How to reach fwsyncd. Zero it first; what is left zero takes its default. Read during the call only. */
struct fwsync_options {
    const char *events;  /* NULL: tcp://127.0.0.1:7601 */
    const char *query;   /* NULL: tcp://127.0.0.1:7602 */
    const char *results; /* NULL: tcp://127.0.0.1:7603 */
    int timeout_ms;      /* how long an answer may take before it counts as lost; 0: 5000 */

    /* Numbering: each event carries `source` and a number that rises, by which fwsyncd knows an event that
     * comes a second time. Three ways:
     *   source NULL   a random name for each handle, numbers from 1. Right for nearly everybody. The daemon
     *                 remembers every source for good (some tens of bytes): open a handle once per
     *                 program, not once per event.
     *   a name        exactly once over restarts of your program too, when you number events yourself by
     *                 something that lasts: the line of a file, the key of a row (fwsync_send_numbered).
     *                 After a restart send again from the first event that you don't know to be settled
     *                 (fwsync_settled); those that had been taken count as duplicates. first_n is the
     *                 number of the next fwsync_send. A number at or below one that was taken before is
     *                 NOT applied: never start again from 1 with an old name. One name, one handle at a
     *                 time: two that use it at once lose events.
     *   ""            no numbers are sent: nothing is lost, but an event may be applied twice after trouble. The
     *                 numbers are for you only: in on_rejected and fwsync_settled. When more than a hundred
     *                 events of a request are rejected, some of them may be counted and not told. */
    const char *source;  /* up to 255 bytes */
    uint64_t first_n;    /* 1 to 2^53; 0 unless source is a name, and then not 0 */
    size_t window_events; /* how many unacknowledged events are kept, 1 to 10,000,000; 0: 10,000 */
    size_t window_bytes;  /* and how many bytes of them; 0: 16 MiB. One event always fits */

    /* Told of each event that fwsyncd rejected, in order: `event` as it was given to fwsync_send (len bytes, and
     * a NUL), its n, the daemon's code ("bad-json", "bad-event", ...) and its sentence, all
     * borrowed during the call. It is settled then, and not sent again. Called from within fwsync_send,
     * fwsync_process and fwsync_flush; it must not use the client. NULL: rejected events are counted only. */
    void (*on_rejected)(void *context, uint64_t n, const char *event, size_t len, const char *code,
                        const char *error);
    void *context; /* handed to on_rejected */
};

/* --- a client --------------------------------------------------------------------------------------------- */

struct fwsync_client;

/* fwsync_open - make a client. options NULL: all defaults. It doesn't wait for the daemon, which may be
 * started later: nobody there shows as FWSYNC_E_TIMEOUT of a flush or a query.
 *
 * client   out: the handle, to be closed with fwsync_close; NULL on failure
 * Errors   FWSYNC_E_CONFIG a bad option or endpoint; FWSYNC_E_IO out of file descriptors. */
FWSYNC_API enum fwsync_code fwsync_open(const struct fwsync_options *options,
                                        struct fwsync_client **client);

/* fwsync_close - end it. Events that aren't acknowledged yet are dropped, and may or may not have been taken:
 * call fwsync_flush first. NULL is fine. Doesn't wait. */
FWSYNC_API void fwsync_close(struct fwsync_client *client);

/* fwsync_last_error - the sentence about the client's latest failure or trouble ("no answer from
 * tcp://127.0.0.1:7601 within 5 s: is fwsyncd running?"), "" if there was none. Borrowed until the next call.
 * client NULL: about this thread's latest failed fwsync_open or fwsync_follow. */
FWSYNC_API const char *fwsync_last_error(const struct fwsync_client *client);

/* --- sending ---------------------------------------------------------------------------------------------- */

#define FWSYNC_STRING_END ((size_t)-1) /* as a length: up to the NUL */

/* fwsync_send - take one event, a JSON object as docs/protocol.md describes it (without `source` and `n`).
 *
 * The event is copied into the window and goes out at once when nothing is under way, else together with
 * all others that wait as soon as the answer has come: the more you send the larger the requests become.
 * The answer is heard in later calls: fwsync_send, fwsync_process or fwsync_flush. Line breaks in it
 * become blanks.
 *
 * len      bytes, or FWSYNC_STRING_END
 * wait_ms  how long to wait for room when the window is full
 * Errors   FWSYNC_E_FULL no room within the wait; FWSYNC_E_INVALID it is blank; FWSYNC_E_TOO_LARGE over
 *          1 MiB with source and n; FWSYNC_E_CONFIG the endpoint is no events door; FWSYNC_E_IO.
 *          In all of these the event was not taken. */
FWSYNC_API enum fwsync_code fwsync_send(struct fwsync_client *client, const char *event, size_t len,
                                        int wait_ms);

/* fwsync_send_numbered - the same with a number of the caller's: above all numbers before it, up to 2^53. Gaps
 * are fine. Errors as fwsync_send; FWSYNC_E_INVALID also when n doesn't rise. */
FWSYNC_API enum fwsync_code fwsync_send_numbered(struct fwsync_client *client, uint64_t n,
                                                 const char *event, size_t len, int wait_ms);

/* One member of an event's data: a string, or any JSON value as text ("17", "true", "{\"a\":1}"). */
struct fwsync_item {
    const char *key;
    const char *string; /* NULL: json is used */
    const char *json;
};

/* An event in parts. Zero it first; NULL and 0 are left out. */
struct fwsync_event {
    const char *device;      /* required */
    const char *type;        /* required: "POST_ATTRIBUTES_REQUEST", "ATTRIBUTES_UPDATED", ... */
    const char *scope;       /* with ATTRIBUTES_UPDATED: "SERVER_SCOPE", ... */
    const char *device_type;
    int64_t ts_ms;           /* when it happened */
    const struct fwsync_item *items;
    size_t item_count;
    const char *metadata;    /* a JSON object of strings */
};

/* fwsync_send_event - compose the JSON, with all escaping, and fwsync_send it. Errors as fwsync_send;
 * FWSYNC_E_INVALID also when a required part or an item's key or value is missing. */
FWSYNC_API enum fwsync_code fwsync_send_event(struct fwsync_client *client,
                                              const struct fwsync_event *event, int wait_ms);

/* fwsync_flush - wait until every event taken so far is settled: on the daemon's disk, or rejected.
 *
 * Errors   FWSYNC_E_TIMEOUT not within the wait; they stay in the window and can be waited for again.
 *          fwsync_last_error tells of the daemon's latest trouble. FWSYNC_E_CONFIG the endpoint is no events
 *          door; FWSYNC_E_IO. */
FWSYNC_API enum fwsync_code fwsync_flush(struct fwsync_client *client, int wait_ms);

/* fwsync_process - hear what has come, send what waits, send again what wasn't answered; when there was nothing
 * to do, wait for something. Call it now and then when you send seldom, so that what was lost goes out again.
 * FWSYNC_OK also when nothing came. Errors FWSYNC_E_CONFIG, FWSYNC_E_IO as fwsync_flush. */
FWSYNC_API enum fwsync_code fwsync_process(struct fwsync_client *client, int wait_ms);

/* fwsync_fd - a descriptor for event loops (poll, epoll, libuv, ...): readable means that fwsync_process(client,
 * 0) has something to do. It covers the library's own timers, so the loop needs none. Only wait on it:
 * never read, write or close it. The same for the client's life. */
FWSYNC_API int fwsync_fd(const struct fwsync_client *client);

struct fwsync_counts {
    uint64_t accepted;   /* on disk, and applied or about to be */
    uint64_t duplicates; /* had been taken before: by an earlier run with the same source, or by this one when
                            its answer got lost */
    uint64_t rejected;
    uint64_t waiting;    /* in the window, not settled */
    uint64_t resends;    /* requests sent again because the connection broke or no answer came in time */
    uint64_t busy;       /* times that fwsyncd asked to wait */
};

/* fwsync_counts - since fwsync_open, as far as answers were heard. */
FWSYNC_API void fwsync_counts(const struct fwsync_client *client, struct fwsync_counts *counts);

/* fwsync_settled - every event up to this number is settled; 0: none. */
FWSYNC_API uint64_t fwsync_settled(const struct fwsync_client *client);

/* --- asking ----------------------------------------------------------------------------------------------- */

/* fwsync_query - ask the query door and wait for the answer, at most the timeout.
 *
 * question  JSON: {"op":"device","device":"ESP32"}; docs/protocol.md lists the ops
 * answer    out, may be NULL: the answer's JSON, also when it isn't ok; borrowed until the next fwsync_query
 *           or fwsync_close. NULL when there is none
 * Errors    FWSYNC_E_NOT_FOUND, _BAD_QUERY, _GONE, _BUSY, _REFUSED: there is an answer, and it isn't ok;
 *           FWSYNC_E_TIMEOUT no answer; FWSYNC_E_TOO_LARGE; FWSYNC_E_CONFIG the endpoint is no query door;
 *           FWSYNC_E_IO. */
FWSYNC_API enum fwsync_code fwsync_query(struct fwsync_client *client, const char *question,
                                         const char **answer);

/* --- following -------------------------------------------------------------------------------------------- */

struct fwsync_attribute {
    const char *scope; /* "CLIENT_SCOPE", "SHARED_SCOPE" or "SERVER_SCOPE" */
    const char *key;
    const char *value; /* JSON: "\"v1.1\"", "17", "true"; NULL: deleted (never in a snapshot) */
};

/* A device of a snapshot, with all its attributes. */
struct fwsync_device {
    const char *device;
    const char *device_type;
    int64_t created_ms;
    const struct fwsync_attribute *attributes;
    size_t attribute_count;
};

/* An attribute that changed. */
struct fwsync_change {
    const char *device;
    struct fwsync_attribute attribute;
    uint64_t seq;  /* of the event that caused it; several changes may have the same */
    uint64_t n;    /* its number among all changes of its partition: rises by 1 */
    int64_t ts_ms; /* when the event was received */
    unsigned partition; /* of the device; 0 where there is one (docs/protocol.md, "Several partitions") */
};

/* Any result. */
struct fwsync_result {
    const char *class_name; /* "sync", "attributes", "deadletter", or one of a rule's */
    const char *device;
    uint64_t seq;
    uint64_t n; /* its number in its class and partition: rises by 1 */
    int64_t ts_ms;
    const char *json; /* all of it, as the answer to `changes` has it; docs/protocol.md, "Results" */
    size_t json_len;
    unsigned partition; /* as in fwsync_change */
};

/* Where following begins, and so what is done when the daemon no longer keeps what is missing. */
enum fwsync_start {
    FWSYNC_START_SNAPSHOT = 0, /* a snapshot, then every change; again a snapshot when some can't be had */
    FWSYNC_START_AFTER = 1,    /* every result of events after `after`; when some can't be had, a snapshot, or
                                  on_lost for a class that has none */
    FWSYNC_START_NOW = 2       /* results from now on, no snapshot; on_lost when some can't be had. Now is when
                                  a heartbeat of each partition was heard */
};

enum fwsync_follower_state {
    FWSYNC_FOLLOWER_CONNECTING = 0,  /* nothing heard yet, or for some seconds not even a heartbeat */
    FWSYNC_FOLLOWER_CATCHING_UP = 1, /* taking a snapshot, or what was missed */
    FWSYNC_FOLLOWER_LIVE = 2         /* everything is delivered up to each partition's latest heartbeat or result */
};

/* What to follow and whom to tell. Zero it first. Callbacks that are NULL aren't called; what they get is
 * borrowed during the call. They are called from within fwsync_follower_process and must not use the follower
 * (another handle is fine). One that returns other than 0 makes fwsync_follower_process return
 * FWSYNC_E_STOPPED at once; what it was told counts as told, and the next call goes on behind it. */
struct fwsync_follow {
    /* One class of results; NULL: "attributes"; "": all of them. Whatever the class, the daemon sends all of
     * it: a `device` is picked out here, since only so it can be known that nothing is missing. */
    const char *class_name;
    const char *device; /* only results of this device; NULL: of all */

    enum fwsync_start start; /* SNAPSHOT needs "attributes" or "" as class_name */
    uint64_t after;          /* with FWSYNC_START_AFTER: from fwsync_follower_seq of an earlier follower */
    int silence_ms;          /* without a heartbeat for that long: connect anew; 0: 5000 */

    /* A snapshot: begin (forget all you have), each device, end. It may break off and begin again. Until its
     * end nothing else is delivered. `seq` is the last event that it includes. A device appears once it has
     * an attribute or is in a snapshot. */
    int (*on_snapshot_begin)(void *context, uint64_t seq);
    int (*on_device)(void *context, const struct fwsync_device *device);
    int (*on_snapshot_end)(void *context, uint64_t seq);

    /* Results of class "attributes"; when on_change is NULL these go to on_result, as all others. Those of one
     * partition come in the order of their events; of two partitions, the later event may come first. */
    int (*on_change)(void *context, const struct fwsync_change *change);
    int (*on_result)(void *context, const struct fwsync_result *result);

    /* Where there is no snapshot: `count` results of this class are lost, since the daemon doesn't keep them any
     * longer or doesn't answer questions; 0: how many isn't known. Following goes on behind them. */
    int (*on_lost)(void *context, const char *class_name, uint64_t count, const char *why);

    /* The state changed; `why` is a sentence, "" when there is nothing to say. */
    void (*on_state)(void *context, enum fwsync_follower_state state, const char *why);

    void *context; /* handed to all of them */
};

struct fwsync_follower;

/* fwsync_follow - begin to follow. Doesn't wait; the rest happens in fwsync_follower_process.
 *
 * options   for the endpoints of query and results, and timeout_ms; NULL: defaults
 * follow    copied
 * follower  out: the handle, to be closed with fwsync_follower_close; NULL on failure
 * Errors    FWSYNC_E_CONFIG, FWSYNC_E_IO as fwsync_open; FWSYNC_E_INVALID what is to be followed can't be. */
FWSYNC_API enum fwsync_code fwsync_follow(const struct fwsync_options *options,
                                          const struct fwsync_follow *follow,
                                          struct fwsync_follower **follower);
FWSYNC_API void fwsync_follower_close(struct fwsync_follower *follower);

/* fwsync_follower_process - deliver what has come, ask for what is missing; when there was nothing to do,
 * wait for something. A daemon that is away is waited for, without an end: see fwsync_follower_state.
 *
 * Errors   FWSYNC_E_STOPPED a callback asked for it; FWSYNC_E_CONFIG an endpoint that is another door;
 *          FWSYNC_E_BAD_QUERY this fwsyncd can't give snapshots or changes; FWSYNC_E_IO. FWSYNC_OK also
 *          when nothing came. */
FWSYNC_API enum fwsync_code fwsync_follower_process(struct fwsync_follower *follower, int wait_ms);

/* fwsync_follower_fd - as fwsync_fd, for fwsync_follower_process(follower, 0). */
FWSYNC_API int fwsync_follower_fd(const struct fwsync_follower *follower);

FWSYNC_API enum fwsync_follower_state fwsync_follower_state(const struct fwsync_follower *follower);

/* fwsync_follower_seq - the last event all of whose results, and those of all before it, were delivered; 0: none.
 * Keep it together with what you made of the results to go on later from there with FWSYNC_START_AFTER: of
 * following events some results may come a second time, with the same n (with several partitions, as many as the
 * others are ahead of the one that is behind most). Not valid while a snapshot is delivered: 0 then. 0 also until
 * every partition has been heard of, where following began with FWSYNC_START_NOW. */
FWSYNC_API uint64_t fwsync_follower_seq(const struct fwsync_follower *follower);

/* fwsync_follower_error - as fwsync_last_error. */
FWSYNC_API const char *fwsync_follower_error(const struct fwsync_follower *follower);

#ifdef __cplusplus
}
#endif

#endif

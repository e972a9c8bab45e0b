/* session.h - one command's talk with the daemon: ask, take the answer apart, report what went wrong.
 *
 * The answer's pieces (fields, texts) live until the next question. Errors are told here, once: as a
 * line on standard error, or with --json as an object on standard output; the exit code is kept. */
#ifndef TOOL_SESSION_H
#define TOOL_SESSION_H

#include "engine/base/json.h"
#include "engine/client/client.h"
#include "engine/client/members.h"
#include "engine/tool/options.h"

struct session {
    const struct setup *setup;
    const char *command; /* for messages */
    enum client_door door; /* that gave the last answer */
    struct client *client;
    struct buf question;
    struct buf raw; /* the last answer as it came */
    struct fields answer;
    struct arena arena; /* of the answer's pieces */
    struct arena scratch;
    int exit_code;
};

/* session_open never fails: what can fail is a question. session_close returns the exit code. */
void session_open(struct session *session, const struct setup *setup, const char *command);
int session_close(struct session *session);

/* session_question - start writing a question {"op":"..."; add members to it and session_ask. */
struct buf *session_question(struct session *session, const char *op);

/* session_ask - put the question. False after telling what is wrong.
 * session_try - the same, but an answer that isn't ok is only handed over: *ok is false. */
bool session_ask(struct session *session);
bool session_try(struct session *session, bool *ok);
/* session_request - send `body` through any door; an answer that isn't ok is handed over too. */
bool session_request(struct session *session, enum client_door door, struct text body, bool *ok);

/* session_error - what is wrong, says the last answer, which came from `door`; ready for the screen, until
 * the next question. When the answer shows that the endpoint is another door, that. */
struct text session_error(struct session *session, enum client_door door);
/* session_complain - tell the error that the last answer holds; always false. */
bool session_complain(struct session *session);
/* session_fail - tell an error of ours; always false. */
bool session_fail(struct session *session, const struct err *err);

/* session_read - take a JSON object apart into the session's fields and arena. False: it is none, and
 * the fields are empty. */
bool session_read(struct session *session, struct text json, struct err *err);

/* session_keep_cursor - the answer's `cursor` as JSON, for json_member_raw in the next question; empty when
 * there is none. */
void session_keep_cursor(const struct session *session, struct buf *cursor);

/* session_list - the answer's list of that name, of objects as JSON. False after telling that it has none. */
bool session_list(struct session *session, const char *name, struct value **values, size_t *count);

/* session_source - "NAME#17" of an object with `source` and `n`; "" when it has none. */
struct text session_source(struct session *session, const struct fields *fields);

/* session_print_raw - the answer as a line on standard output. */
void session_print_raw(const struct session *session);

/* field_object - a nested object's members; none if it isn't there. field_array likewise. Other members: members.h. */
struct fields field_object(struct session *session, const struct fields *fields, const char *key);
size_t field_array(struct session *session, const struct fields *fields, const char *key,
                   struct value **values);
/* value_object - an array's element taken apart. */
struct fields value_object(struct session *session, const struct value *value);

#endif

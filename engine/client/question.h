/* question.h - one question at a time to the query door: written by the caller, posted, and its answer taken apart.
 *
 * An answer may come late, or never, with its connection; then the question is put again. The answer's pieces live
 * until the next question. */
#ifndef CLIENT_QUESTION_H
#define CLIENT_QUESTION_H

#include "engine/client/reach.h"

#include "engine/base/json.h"

enum { QUESTION_AGAIN_MS = 20, QUESTION_AGAIN_MS_MAX = 1000 }; /* until one is put again */

struct question {
    bool posted;
    uint64_t id;
    int64_t due_ms;   /* posted: when to give up on the answer; else: when to post */
    int64_t again_ms; /* the next pause of question_again */
    struct buf text; /* written by the caller before question_post */
    struct buf answer;
    struct fields fields; /* of the answer; empty: none has come */
    struct value *items;  /* of its list */
    size_t item_count, item_at;
    struct arena arena; /* of the three above */
    struct arena scratch;
};

void question_init(struct question *question);
void question_fini(struct question *question);

/* question_next - the one under way, and its answer, are done with; another one may be posted from due_ms on.
 * question_again - likewise, but it was in vain: refused, or answered with what is of no use. The pause
 * doubles, up to QUESTION_AGAIN_MS_MAX, until question_helped. */
void question_next(struct question *question, int64_t due_ms);
void question_again(struct question *question, int64_t now_ms);
void question_helped(struct question *question);

/* question_post - put the question in `text`; its answer is due within reach's timeout. It stays in `text`, to be
 * posted again when question_check_due tells that it is lost or late.
 * Errors  ERR_CONFIG, ERR_IO as client_post; it isn't posted, and due again after a pause. */
bool question_post(struct question *question, struct reach *reach, int64_t now_ms, struct err *err);

/* question_hear - take an answer that has come. *found: one was, perhaps of another question; *answered: of this one,
 * and it is in `fields`. Errors: it can't be read, so there is no query door. */
bool question_hear(struct question *question, struct reach *reach, int64_t now_ms, bool *found, bool *answered,
                   struct err *err);
bool question_is_ok(const struct question *question);
/* question_list - the answer's list of that name, of objects, is stepped through with question_item, which is false at
 * its end. Errors: there is no such list, so there is no query door. */
bool question_list(struct question *question, const struct reach *reach, const char *name, int64_t now_ms,
                   struct err *err);
bool question_item(struct question *question, struct text *json);

/* question_check_due - has the answer to be given up? The connection is dropped then. */
enum due { DUE_NOT, DUE_LOST, DUE_LATE };
enum due question_check_due(struct question *question, struct reach *reach, int64_t now_ms);

#endif

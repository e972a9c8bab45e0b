/* history.h - what each event changed: one row an event and device, in a log (seglog.h).
 *
 * A row has the old and the new value of every attribute that the event changed, and the numbers of the
 * results that it published. So it answers what changed, when and why; it takes a device back to an
 * earlier moment, by undoing rows; and it tells a follower what it missed. Rows of one device are a chain:
 * each has the position of the one before it, the device's record that of the newest.
 *
 *     seq, received_ms, cause, device, how far back the row before is (0: there is none), flags
 *     if the device is new: its type; if the type changed: the old one, the new one
 *     the number of changes; for each: scope and new kind, old kind, key, the new ts and value, the old
 *       ts, seq and value; a kind of GONE: there was, or is, none
 *     the number of classes with results; for each: class, first n, how many
 *
 * Numbers are varints, keys, types and classes words (coding.h). Telemetry isn't in it. Only store/ uses
 * this; state.h has what others may ask. Why a log: docs/decisions/0010-history.md. */
#ifndef STORE_HISTORY_H
#define STORE_HISTORY_H

#include "engine/base/buf.h"
#include "store/seglog.h"
#include "store/state.h"
#include "store/words.h"

enum { HISTORY_CLASSES_MAX = CLASS_COUNT_MAX + 2 }; /* a rule set's, and the engine's own two */

/* What has to go into the next row. */
struct history_notes {
    uint64_t seq;        /* of the event */
    int64_t received_ms;
    unsigned cause;
    bool created;         /* the device is new */
    struct text old_type; /* len 0: it didn't change, or the device is new; lives as long as the device */
    struct buf changes;
    size_t change_count;
    struct {
        const struct text *class_name;
        uint64_t first_n;
        uint64_t count;
    } results[HISTORY_CLASSES_MAX];
    size_t result_count;
};

void history_notes_fini(struct history_notes *notes);
/* history_notes_clear - forget the changes and results. */
void history_notes_clear(struct history_notes *notes);
/* history_note_change - `old` and `new` are NULL where there was, or is, none. */
void history_note_change(struct history_notes *notes, const struct words *words, enum scope scope,
                         struct text key, const struct attribute *old, const struct attribute *new);
/* history_note_result - class_name is the same pointer for the same class, and lives on. The n of a class
 * come without gaps. */
void history_note_result(struct history_notes *notes, const struct text *class_name, uint64_t n);

/* history_write - the notes as a row of device number `device`, of type `type` now; returns its position.
 * before  position of the device's row before, or HISTORY_NONE. */
uint64_t history_write(struct seglog *log, const struct words *words, const struct history_notes *notes,
                       uint32_t device, struct text type, uint64_t before);

/* history_read - the row at `position`, in `arena`. Errors as seglog_read; ERR_DAMAGED. */
bool history_read(struct seglog *log, const struct words *words, uint64_t position, struct arena *arena,
                  struct history_row *row, struct err *err);

#endif

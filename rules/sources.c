#include "rules/sources.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/json.h"
#include "engine/base/limits.h"
#include "rules/chain.h"
#include "rules/words.h"

static int compare_sources(const void *left, const void *right)
{
    return strcmp(((const struct source *)left)->name.bytes,
                  ((const struct source *)right)->name.bytes);
}

static void sort(struct sources *sources)
{
    if (sources->count > 0)
        qsort(sources->items, sources->count, sizeof *sources->items, compare_sources);
}

static bool has_ending(struct text name, const char *ending)
{
    size_t len = strlen(ending);
    return name.len > len && memcmp(name.bytes + name.len - len, ending, len) == 0;
}

static bool is_rule_file(struct text name)
{
    return name.bytes[0] != '.' && (has_ending(name, ".yaml") || has_ending(name, ".yml"));
}

static bool check_name(struct text name, const char *whole, struct problems *problems)
{
    if (text_valid_utf8(name) && !text_has_control(name) && memchr(name.bytes, '/', name.len) == NULL)
        return true;
    problem_add(problems, (struct place){whole, 0, 0},
                "'%s' can't be a rule file's name; expected UTF-8 without '/' or control characters",
                name.bytes);
    return false;
}

/* --- a directory ------------------------------------------------------------------------------------ */

static bool io_problem(struct problems *problems, const char *file, const char *what)
{
    problem_add(problems, (struct place){file, 0, 0}, "%s: %s", what, strerror(errno));
    return false;
}

/* All bytes of an open file; one that is longer than it may be isn't read. */
static bool read_all(int fd, const char *file, struct arena *arena, struct text *text,
                     struct problems *problems)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return io_problem(problems, file, "can't be read");
    if (!S_ISREG(status.st_mode)) {
        problem_add(problems, (struct place){file, 0, 0}, "not a file");
        return false;
    }
    if (status.st_size > REQUEST_BYTES_MAX) {
        problem_add(problems, (struct place){file, 1, 1}, "the file has %lld bytes; at most %d are read",
                    (long long)status.st_size, REQUEST_BYTES_MAX);
        return false;
    }
    size_t room = (size_t)status.st_size;
    char *bytes = arena_alloc(arena, room + 1);
    size_t len = 0;
    while (len < room) {
        ssize_t got = read(fd, bytes + len, room - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return io_problem(problems, file, "can't be read");
        if (got == 0)
            break;
        len += (size_t)got;
    }
    *text = (struct text){bytes, len};
    return true;
}

static const char *path_below(const char *dir, const char *name, struct arena *arena)
{
    size_t dir_len = strlen(dir);
    bool slash = dir_len > 0 && dir[dir_len - 1] == '/';
    return arena_format(arena, "%s%s%s", dir, slash ? "" : "/", name).bytes;
}

static bool read_file(const char *dir, struct text name, struct arena *arena, struct source *source,
                      struct problems *problems)
{
    source->file = path_below(dir, name.bytes, arena);
    source->name = name;
    int fd = open(source->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not hang us */
    if (fd < 0)
        return io_problem(problems, source->file, "can't be opened");
    bool done = read_all(fd, source->file, arena, &source->text, problems);
    close(fd);
    return done;
}

/* The directory that didn't open may be a file of the one that was meant. */
static bool dir_problem(struct problems *problems, const char *dir)
{
    int reason = errno;
    struct stat status;
    if (reason == ENOTDIR && stat(dir, &status) == 0) {
        const char *slash = strrchr(dir, '/');
        struct text folder = TEXT(".");
        if (slash != NULL)
            folder = (struct text){dir, slash == dir ? 1 : (size_t)(slash - dir)};
        problem_add(problems, (struct place){dir, 0, 0},
                    "is a file; expected the folder it is in: " TEXT_FMT, TEXT_ARG(folder));
        return false;
    }
    errno = reason;
    return io_problem(problems, dir, "the rules directory can't be opened");
}

/* The names of the rule files, in any order. */
static bool list_names(const char *dir, struct arena *arena, struct text names[CHAIN_COUNT_MAX],
                       size_t *count, struct problems *problems)
{
    DIR *stream = opendir(dir);
    if (stream == NULL)
        return dir_problem(problems, dir);
    bool right = true;
    *count = 0;
    const struct dirent *entry;
    while (errno = 0, (entry = readdir(stream)) != NULL) {
        struct text name = text_of(entry->d_name);
        if (!is_rule_file(name))
            continue;
        if (*count == CHAIN_COUNT_MAX) {
            problem_add(problems, (struct place){dir, 0, 0}, "more than %d rule files",
                        CHAIN_COUNT_MAX);
            right = false;
            break;
        }
        name = arena_copy(arena, name);
        if (check_name(name, dir, problems))
            names[(*count)++] = name;
        else
            right = false;
    }
    int error = entry == NULL ? errno : 0;
    closedir(stream);
    if (error == 0)
        return right;
    errno = error;
    return io_problem(problems, dir, "the rules directory can't be read");
}

/* Those that are there, and which may be none. */
static bool read_files(const char *dir, struct arena *arena, struct sources *sources, struct problems *problems)
{
    struct text names[CHAIN_COUNT_MAX];
    size_t name_count = 0;
    *sources = (struct sources){.whole = dir};
    bool right = list_names(dir, arena, names, &name_count, problems);
    sources->items = arena_zero(arena, (name_count + 1) * sizeof *sources->items);
    for (size_t i = 0; i < name_count; i++) {
        if (read_file(dir, names[i], arena, &sources->items[sources->count], problems))
            sources->count++;
        else
            right = false;
    }
    sort(sources);
    return right;
}

bool sources_read_dir(const char *dir, struct arena *arena, struct sources *sources,
                      struct problems *problems)
{
    const char *whole = arena_copy(arena, text_of(dir)).bytes;
    bool right = read_files(whole, arena, sources, problems);
    if (right && sources->count == 0) {
        problem_add(problems, (struct place){whole, 0, 0},
                    "no *.yaml or *.yml file in this directory; expected at least root.yaml");
        right = false;
    }
    return right;
}

bool sources_read_tests(const char *dir, struct arena *arena, struct sources *sources, struct problems *problems)
{
    const char *folder = path_below(dir, "tests", arena);
    *sources = (struct sources){.whole = folder};
    struct stat status;
    bool there = stat(folder, &status) == 0 ? S_ISDIR(status.st_mode) : errno != ENOENT;
    if (there && !read_files(folder, arena, sources, problems))
        return false;
    if (sources->count > 0)
        return true;
    problem_add(problems, (struct place){dir, 0, 0}, "there are no tests: expected *.yaml in %s", folder);
    return false;
}

/* --- a bundle --------------------------------------------------------------------------------------- */

bool sources_read_bundle(struct text bundle, struct arena *arena, struct sources *sources,
                         struct problems *problems)
{
    static const char whole[] = "rules";
    const struct place place = {whole, 0, 0};
    struct fields fields;
    struct err err;
    *sources = (struct sources){.whole = whole};
    if (!json_parse_object(bundle, arena, arena, &fields, &err)) {
        problem_add(problems, place, "%s", err.text);
        return false;
    }
    if (fields.count == 0 || fields.count > CHAIN_COUNT_MAX) {
        problem_add(problems, place, "%zu rule files; expected 1 to %d", fields.count, CHAIN_COUNT_MAX);
        return false;
    }
    sources->items = arena_zero(arena, (fields.count + 1) * sizeof *sources->items);
    bool right = true;
    for (size_t i = 0; i < fields.count; i++) {
        const struct field *field = &fields.items[i];
        if (field->key.len == 0 || !is_rule_file(field->key) || field->value.kind != VALUE_STRING) {
            problem_add(problems, place,
                        "'%s': expected a file name that ends in .yaml or .yml and begins with no '.', with its text",
                        field->key.bytes);
            right = false;
        } else if (!check_name(field->key, whole, problems)) {
            right = false;
        } else {
            sources->items[sources->count++] =
                (struct source){field->key, field->key.bytes, field->value.text};
        }
    }
    sort(sources);
    return right;
}

struct text sources_bundle(const struct sources *sources, struct arena *arena)
{
    struct buf buf = {.arena = arena};
    buf_byte(&buf, '{');
    for (size_t i = 0; i < sources->count; i++) {
        json_key_text(&buf, sources->items[i].name);
        json_string(&buf, sources->items[i].text);
    }
    buf_byte(&buf, '}');
    return buf_text(&buf);
}

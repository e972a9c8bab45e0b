"""Rules about the sources that no compiler checks. Run by tests/check.sh; prints ok / not ok per rule.

    tests/check_sources.py [ROOT]"""
import os
import re
import sys

ROOT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else
                       os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# Who may include whom: the first row that fits a file decides. A row's prefixes are all of ours that the
# files may include. Dependencies point down this list only.
LAYERS = [
    ("docs/", []),  # examples: they include what is installed, as others do
    ("tests/", ["tests/", "engine/", "rules/", "store/", "plugins/"]),
    ("plugins/", ["plugins/"]),
    ("engine/tool/", ["engine/tool/", "engine/client/", "engine/base/", "rules/"]),
    ("engine/client/", ["engine/client/", "engine/base/"]),
    ("engine/service/", ["engine/service/", "engine/base/", "rules/", "store/",
                         "plugins/fwsync_plugin.h"]),
    ("rules/nodes/", ["plugins/fwsync_plugin.h"]),
    ("rules/", ["rules/", "engine/base/", "plugins/fwsync_plugin.h"]),
    ("store/", ["store/", "engine/base/"]),
    ("engine/base/", ["engine/base/"]),
]

# A library's header stays behind the unit that fences it off. Tests may look at all of them.
FENCED = {
    "zmq.h": ["engine/service/", "engine/client/"],
    "lmdb.h": ["store/"],
    "cjson/cJSON.h": ["engine/base/json.c"],
    "cJSON.h": ["engine/base/json.c"],
    "yaml.h": ["engine/base/yaml.c"],
}

# Functions with a better one beside them: snprintf or buf.h, strtoll with checks, an arena.
BANNED = ("strcpy strncpy stpcpy strcat strncat sprintf vsprintf gets strtok strtok_r atoi atol atoll atof "
          "alloca setjmp longjmp tmpnam mktemp asctime ctime gmtime localtime").split()

LEFTOVER = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
COMMENT_OR_TEXT = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)
FENCE = re.compile(r"^\s*(```|~~~)")
LINK = re.compile(r"\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")


def files(*endings):
    """Paths below ROOT, relative, without build folders and what git keeps."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(set(folders) - {".git", "build", "fwsync-data", "fwsync-demo", "node_modules",
                                            "__pycache__"})
        for name in sorted(names):
            if name.endswith(endings):
                yield os.path.relpath(os.path.join(folder, name), ROOT)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def includes(path):
    """(line number, quoted?, name) of each include."""
    for number, line in enumerate(read(path).splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1) == '"', match.group(2)


def check_layers():
    for path in files(".c", ".h"):
        allowed = next((row for prefix, row in LAYERS if path.startswith(prefix)), None)
        if allowed is None:
            yield f"{path}: a C file in a folder that has no layer"
            continue
        for number, quoted, name in includes(path):
            if quoted and not name.startswith(tuple(allowed)):
                yield f"{path}:{number}: may not include {name}; only {' '.join(allowed)}"
            if quoted and not os.path.exists(os.path.join(ROOT, name)):
                yield f"{path}:{number}: {name} is not a path from the project's root"


def check_fences():
    for path in files(".c", ".h"):
        for number, _, name in includes(path):
            where = FENCED.get(name)
            if where and not path.startswith(tuple(where) + ("tests/",)):
                yield f"{path}:{number}: <{name}> only in {' '.join(where)}"


def check_own_header_first():
    for path in files(".c"):
        own = path[:-2] + ".h"
        if os.path.exists(os.path.join(ROOT, own)):
            first = next((name for _, _, name in includes(path)), None)
            if first != own:
                yield f"{path}: the first include is {first}, not {own}"


def check_banned_functions():
    call = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
    for path in files(".c", ".h"):
        # Comments and texts become spaces, lines stay lines.
        code = COMMENT_OR_TEXT.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), read(path))
        for number, line in enumerate(code.splitlines(), 1):
            for match in call.finditer(line):
                yield f"{path}:{number}: {match.group(1)}() is banned"


def check_leftovers():
    for path in files(".c", ".h", ".py", ".sh", ".yaml", ".md", "Makefile"):
        for number, line in enumerate(read(path).splitlines(), 1):
            if LEFTOVER.search(line):
                yield f"{path}:{number}: {line.strip()}"


def prose(path):
    """(line number, line) outside of fenced blocks."""
    fenced = False
    for number, line in enumerate(read(path).splitlines(), 1):
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            yield number, line


def anchors(path):
    """The names under which headings can be linked to."""
    names = set()
    for _, line in prose(path):
        if line.startswith("#"):
            text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", line.lstrip("#").strip().lower())
            name = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            again = 0
            while name + (f"-{again}" if again else "") in names:
                again += 1
            names.add(name + (f"-{again}" if again else ""))
    return names


def check_links():
    for path in files(".md"):
        for number, line in prose(path):
            for target in LINK.findall(re.sub(r"`[^`]*`", "", line)):
                if re.match(r"[a-z]+:", target):
                    continue
                file, _, anchor = target.partition("#")
                there = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
                if not os.path.exists(os.path.join(ROOT, there)):
                    yield f"{path}:{number}: {target}: there is no {there}"
                elif anchor and there.endswith(".md") and anchor not in anchors(there):
                    yield f"{path}:{number}: {target}: no heading of that name"


RULES = [
    ("includes point down the layers", check_layers),
    ("each library is seen only by the unit that fences it off", check_fences),
    ("each .c includes its own header first", check_own_header_first),
    ("no banned function is called", check_banned_functions),
    ("nothing is left for later", check_leftovers),
    ("links in the documents lead somewhere", check_links),
]


def main():
    failed = 0
    for name, rule in RULES:
        found = list(rule())
        failed += bool(found)
        print(f"{'not ok' if found else 'ok'} {name}")
        for line in found:
            print(f"   | {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

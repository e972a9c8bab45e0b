"""What a disk may have after a power cut, from what lostpower.so noted (tests/fault/lostpower.c).

    recording = Recording(start, log, data)   # a copy of the folder before, the notes, where the folder was
    recording.image(cut, target, rng)         # the power goes when `cut` notes are done; returns a line: how

On disk is what was noted before the beginning of a sync that ended before the cut. Of the rest:

- of a file any part. Each block of 512 or 4096 bytes is as it was after one of the writes to it since then, and its
  length is one that it had since then, unwritten bytes of it zeros;
- of a folder, what was made, renamed or removed in it, in one of three ways: as a file system with a journal does it,
  the operations of all folders in their order, up to a point; each folder up to a point of its own; or each operation
  for itself, there or not. A sync of a file is no sync of its name, though on most file systems it is.

A rename is there or isn't; from one folder to another it is two operations. A sync of a range promises nothing."""
import bisect
import collections
import os
import struct

NOTE = struct.Struct("=IiQQ")
OPEN, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, WRITE_END, RENAME, UNLINK, MKDIR, RMDIR = range(10)
KINDS = "open write truncate sync-begin sync-end write-end rename unlink mkdir rmdir".split()
CREATED, TRUNCATED = 1, 2


class Change:
    """Of a file: bytes at an offset, or (`bytes` is None) another length."""

    def __init__(self, index, offset, data):
        self.index, self.offset, self.bytes = index, offset, data
        self.end = None  # the note that says that it alone is on disk

    def apply(self, content):
        if self.bytes is None:
            resize(content, self.offset)
        else:
            put(content, self.offset, self.bytes)

    def size_after(self, size):
        return self.offset if self.bytes is None else max(size, self.offset + len(self.bytes))

    def blocks(self, block_bytes):
        return range(self.offset // block_bytes, (self.offset + len(self.bytes) - 1) // block_bytes + 1)

    def apply_block(self, content, block, block_bytes):
        start = max(self.offset, block * block_bytes)
        until = min(self.offset + len(self.bytes), (block + 1) * block_bytes)
        put(content, start, self.bytes[start - self.offset:until - self.offset])


def resize(content, size):
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


def put(content, offset, data):
    if len(content) < offset:
        resize(content, offset)
    content[offset:offset + len(data)] = data


class Node:
    """A file or a folder: how it began, and what was done to it."""

    def __init__(self):
        self.changes, self.syncs = [], []
        self.path = None  # the last one under which it was opened, or to which it was moved

    def synced(self, cut):
        """Changes with a lower index are on disk."""
        return max((begin for begin, end in self.syncs if end < cut), default=0)


class File(Node):
    def __init__(self, start=b""):
        super().__init__()
        self.start = start

    def content(self, cut, how, rng):
        """Its bytes, and how they were chosen, None when nothing was to be chosen."""
        done = self.synced(cut)
        content = bytearray(self.start)
        rest = []
        for change in self.changes:
            if change.index >= cut:
                break
            if change.index < done:
                change.apply(content)
            else:
                rest.append(change)
        if not rest:
            return content, None
        how = how or rng.choice(["all", "none", "newest", "in-order", "blocks", "blocks", "blocks"])
        Rest(rest, cut, how, rng).apply(content)
        return content, f"{how} of {len(rest)}"


class Rest:
    """What isn't known to be on disk of a file's changes."""

    def __init__(self, changes, cut, how, rng):
        self.changes, self.how, self.rng = changes, how, rng
        self.block_bytes = rng.choice([512, 4096])
        self.point = rng.randint(0, len(changes))
        self.known = [i for i, change in enumerate(changes) if change.end is not None and change.end < cut]

    def apply(self, content):
        writes = collections.defaultdict(list)  # block -> which changes write there
        size, sizes = len(content), [len(content)]
        for i, change in enumerate(self.changes):
            size = change.size_after(size)
            sizes.append(size)
            for block in change.blocks(self.block_bytes) if change.bytes else ():
                writes[block].append(i)
        until = {block: self.choose(which) for block, which in writes.items()}
        length_point = self.choose_length()
        for i, change in enumerate(self.changes):
            if change.bytes is not None:
                for block in change.blocks(self.block_bytes):
                    if i < until[block]:
                        change.apply_block(content, block, self.block_bytes)
            elif i < length_point:
                change.apply(content)
            else:
                break  # what was written behind a change of length that isn't there went where nothing refers to
        resize(content, sizes[length_point])

    def choose(self, which):
        """The changes below this one are there, of a block that these changes write."""
        versions = [0] + [i + 1 for i in which]
        least = max((i for i, version in enumerate(versions) if version - 1 in self.known), default=0)
        chosen = {"all": len(which), "none": 0, "in-order": bisect.bisect(versions, self.point) - 1,
                  "newest": len(which) if which[-1] == len(self.changes) - 1 else 0,
                  "blocks": self.rng.randint(0, len(which))}[self.how]
        return versions[max(least, chosen)]

    def choose_length(self):
        least = self.known[-1] + 1 if self.known else 0
        chosen = {"all": len(self.changes), "none": 0, "in-order": self.point, "newest": len(self.changes),
                  "blocks": self.rng.choice([0, self.point, len(self.changes)])}[self.how]
        return max(least, chosen)


class Folder(Node):
    """A change of it is (index, {name: node, or None when it went})."""

    def __init__(self, start=None):
        super().__init__()
        self.start = start or {}
        self.now = dict(self.start)

    def change(self, index, names):
        self.changes.append((index, names))
        self.now.update(names)

    def entries(self, cut, lasts):
        """Those on disk; `lasts(folder, index)` says which of the changes that may be there are."""
        done, found = self.synced(cut), dict(self.start)
        for index, names in self.changes:
            if index < cut and (index < done or lasts(self, index)):
                found.update(names)
        return {name: node for name, node in found.items() if node is not None}


def read_tree(path):
    if not os.path.isdir(path):
        with open(path, "rb") as file:
            return File(file.read())
    return Folder({name: read_tree(os.path.join(path, name)) for name in os.listdir(path)})


def folders_below(node):
    if not isinstance(node, Folder):
        return []
    return [node] + [folder for below in node.start.values() for folder in folders_below(below)]


class Recording:
    def __init__(self, start, log, data):
        self.root, self.data = read_tree(start), data
        self.ends = []  # of each note, its end in the log
        self.places = collections.defaultdict(list)  # "rename journal" -> the notes of that sort
        self.folders = folders_below(self.root)
        self.open_files = {}
        self.begun = {}  # a beginning's place in the log -> its node, and the sync's index or the change
        with open(log, "rb") as file:
            self.read(memoryview(file.read()))

    def read(self, notes):
        at = 0
        while at < len(notes):
            kind, fd, where, size = NOTE.unpack_from(notes, at)
            self.take(len(self.ends), at, kind, fd, where, notes[at + NOTE.size:at + NOTE.size + size])
            at += NOTE.size + size
            self.ends.append(at)

    # --- the notes

    def find(self, path):
        """(folder, name, node or None)"""
        path = os.path.relpath(os.path.normpath(path), self.data)
        if path == ".":
            return None, "", self.root
        node = self.root
        *parents, name = path.split("/")
        for parent in parents:
            node = node.now[parent]
        return node, name, node.now.get(name)

    def take(self, index, at, kind, fd, where, payload):
        if kind in (OPEN, RENAME, UNLINK, MKDIR, RMDIR):
            paths = bytes(payload).decode().split("\0")
            node = self.take_path(index, kind, fd, where, *paths)
            node.path = paths[-1]
        elif kind in (SYNC_END, WRITE_END):
            node, begin = self.begun.pop(where)
            if kind == SYNC_END:
                node.syncs.append((begin, index))
            else:
                begin.end = index
        else:
            node = self.open_files[fd]
            if kind == SYNC_BEGIN:
                self.begun[at] = node, index
            else:
                node.changes.append(Change(index, where, payload if kind == WRITE else None))
                self.begun[at] = node, node.changes[-1]
        if (kind != OPEN or where & CREATED) and not node.path.endswith(("lock", "lock.mdb")):
            self.places[f"{KINDS[kind]} {self.sort_of(node.path)}"].append(index)

    def take_path(self, index, kind, fd, where, path, new_path=None):
        folder, name, node = self.find(path)
        if kind == OPEN:
            if where & CREATED:
                node = File()
                folder.change(index, {name: node})
            elif where & TRUNCATED:
                node.changes.append(Change(index, 0, None))
            self.open_files[fd] = node
        elif kind == MKDIR:
            node = Folder()
            self.folders.append(node)
            folder.change(index, {name: node})
        elif kind == RENAME:
            to, new_name, _ = self.find(new_path)
            if to is folder:
                folder.change(index, {name: None, new_name: node})
            else:
                to.change(index, {new_name: node})
                folder.change(index, {name: None})
        else:
            folder.change(index, {name: None})
        return node

    def sort_of(self, path):
        """Names with numbers in them are of one sort."""
        folder, name = os.path.split(os.path.relpath(os.path.normpath(path), self.data))
        return os.path.join(folder, os.path.splitext(name)[1] if name[0].isdigit() else name)

    # --- cuts

    def count(self, place):
        return len(self.places.get(place, ()))

    def notes_at(self, log_bytes):
        """How many notes were done when the log had so many bytes."""
        return bisect.bisect_right(self.ends, log_bytes)

    def choose_cut(self, rng, wanted):
        """(how many notes are done, words for where that is): anywhere, at one of the `wanted` (words: some), or,
        mostly, where something was done of a sort that is chosen first: what is seldom done gets its share."""
        sort = rng.choice(["anywhere", *wanted] + ["seldom"] * 4)
        if sort == "seldom":
            kind = rng.choice(sorted({place.split(" ")[0] for place in self.places}))
            place = rng.choice(sorted(place for place in self.places if place.startswith(kind + " ")))
            return rng.choice(self.places[place]) + rng.choice([0, 1]), place
        if sort == "anywhere":
            return rng.randint(0, len(self.ends)), sort
        return rng.choice(wanted[sort]), sort

    def survivors(self, cut, rng):
        """(which changes of folders that may be there are, as a function for Folder.entries; how)"""
        how = rng.choice(["journaled", "by-folder", "by-name"])
        least = max(folder.synced(cut) for folder in self.folders)
        point = rng.choice([least, cut, rng.randint(least, cut)])
        points = {folder: rng.choice([0, cut, rng.randint(0, cut)]) for folder in self.folders}
        chances = {index: rng.random() < 0.5 for folder in self.folders for index, _ in folder.changes}
        return {"journaled": lambda _, index: index < point,
                "by-folder": lambda folder, index: index < points[folder],
                "by-name": lambda _, index: chances[index]}[how], how

    def image(self, cut, target, rng):
        lasts, how = self.survivors(cut, rng)
        how_files = rng.choice(["none", "all"] + [None] * 4)  # None: each in its own way
        lines = [how]

        def make(node, path):
            if isinstance(node, Folder):
                os.mkdir(path)
                for name, below in sorted(node.entries(cut, lasts).items()):
                    make(below, os.path.join(path, name))
                return
            content, chosen = node.content(cut, how_files, rng)
            with open(path, "wb") as file:
                file.write(content)
            if chosen:
                lines.append(f"{os.path.relpath(path, target)}: {chosen}")

        make(self.root, target)
        return "; ".join(lines)

    def is_like(self, folder):
        """Is this what the folder has, when nothing is lost? Not of lock.mdb, which is mapped."""
        def same(node, path):
            if isinstance(node, File):
                content = bytearray(node.start)
                for change in node.changes:
                    change.apply(content)
                with open(path, "rb") as file:
                    return path.endswith("lock.mdb") or file.read() == content
            names = {name: below for name, below in node.now.items() if below is not None}
            return sorted(names) == sorted(os.listdir(path)) and all(
                same(below, os.path.join(path, name)) for name, below in names.items())

        return same(self.root, folder)

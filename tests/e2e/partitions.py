"""What the tests of partitions share: where a device belongs, rules, a producer that never waits, folders."""
import collections
import hashlib
import json
import os
import tempfile
import threading

import zmq

from harness import DEADLINE_S

# Each event saves one attribute, and so makes one result.
SAVE = {"root.yaml": """
chain: root
first: save
nodes:
  save: {type: save-attributes, scope: CLIENT_SCOPE}
"""}


def partition_of(device, count):
    """FNV-1a with 32 bits of the name, the finalizer of MurmurHash3, and modulo the number of partitions."""
    number = 2166136261
    for byte in device.encode():
        number = (number ^ byte) * 16777619 % (1 << 32)
    for shift, factor in ((16, 0x85ebca6b), (13, 0xc2b2ae35)):
        number = (number ^ number >> shift) * factor % (1 << 32)
    return (number ^ number >> 16) % count


def names_of(partition, count, how_many, prefix="p"):
    """Names of devices of one partition."""
    names, i = [], 0
    while len(names) < how_many:
        if partition_of(f"{prefix}{i}", count) == partition:
            names.append(f"{prefix}{i}")
        i += 1
    return names


def report(device, **data):
    return {"device": device, "type": "POST_ATTRIBUTES_REQUEST", "data": data}


def write(device, scope="SERVER_SCOPE", **data):
    return {"device": device, "type": "ATTRIBUTES_UPDATED", "scope": scope, "data": data}


class Rules:
    """A folder with these files of rules; write() puts others into it."""

    def __init__(self, files):
        self.folder = tempfile.TemporaryDirectory(prefix="fwsync-rules-")
        self.write(files)

    def write(self, files):
        for name, text in files.items():
            with open(os.path.join(self.folder.name, name), "w", encoding="utf-8") as file:
                file.write(text)

    def __str__(self):
        return self.folder.name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()


def pages(daemon, query, key, **how):
    """The items of all pages of a list, which are in the member `key`."""
    items, query = [], dict(query, **how)
    while True:
        answer = daemon.query(query)
        assert answer["ok"], (query, answer)
        items += answer[key]
        if "cursor" not in answer:
            return items
        assert answer["cursor"] != query.get("cursor"), (query, "goes round in a circle")
        query = dict(query, cursor=answer["cursor"])


def all_changes(daemon, after=0, **how):
    """All results behind an event."""
    found, more = [], True
    while more:
        answer = daemon.query(dict({"op": "changes", "after": after, "limit": 1000}, **how))
        assert answer["ok"], answer
        found += answer["results"]
        after, more = answer["after"], answer["more"]
    return found


def without(value, *members):
    """An answer without these members, wherever they are in it."""
    if isinstance(value, dict):
        return {key: without(item, *members) for key, item in value.items() if key not in members}
    return [without(item, *members) for item in value] if isinstance(value, list) else value


def check_numbers(results, count, first=1):
    """Each result is of its device's partition, and `n` is without a gap in each class of each partition."""
    last = collections.defaultdict(lambda: first - 1)
    for result in results:
        assert result["partition"] == partition_of(result["device"], count), result
        last[result["class"], result["partition"]] += 1
        assert result["n"] == last[result["class"], result["partition"]], (result, dict(last))
    return dict(last)


def tree(folder):
    """What is in a data folder, locks aside: the names, and of files a checksum."""
    found = {}
    for path, folders, names in os.walk(folder):
        for name in folders:
            found[os.path.join(path, name)] = None
        for name in set(names) - {"lock", "lock.mdb"}:
            with open(os.path.join(path, name), "rb") as file:
                found[os.path.join(path, name)] = hashlib.sha256(file.read()).hexdigest()
    return found


class Producer(threading.Thread):
    """Sends event(n) for n from `first` on, numbered, some requests ahead, until it is told to finish.

    n     the last that was acknowledged
    seqs  {n: seq} of those that were acknowledged, but not of duplicates"""

    def __init__(self, daemon, event, batch=10, window=4, first=1):
        super().__init__(daemon=True)
        self.daemon_asked, self.event, self.batch, self.window = daemon, event, batch, window
        self.n, self.next, self.seqs = first - 1, first, {}
        self.stopping, self.abandoned, self.error = threading.Event(), threading.Event(), None

    def run(self):
        try:
            with self.daemon_asked.context.socket(zmq.DEALER) as socket:
                socket.linger = 0
                socket.connect(self.daemon_asked.events)
                self.work(socket)
        except Exception as error:  # pylint: disable=broad-except; raised again by finish()
            self.error = error

    def send(self, socket, first):
        """The request whose first event is `first`; that is its number, too."""
        events = [dict(self.event(n), source="s", n=n) for n in range(first, first + self.batch)]
        socket.send_multipart([b"%d" % first, b"", "\n".join(json.dumps(event) for event in events).encode()])

    def work(self, socket):
        silent_ms = 0
        while not self.stopping.is_set() or (self.next > self.n + 1 and not self.abandoned.is_set()):
            while not self.stopping.is_set() and self.next <= self.n + self.batch * (self.window - 1) + 1:
                self.send(socket, self.next)
                self.next += self.batch
            if not socket.poll(20):
                silent_ms += 20
                assert silent_ms < DEADLINE_S * 1000 or self.abandoned.is_set(), "no answer"
                continue
            silent_ms = 0
            first, _, body = socket.recv_multipart()
            reply = json.loads(body)
            if reply.get("code") == "busy":
                self.send(socket, int(first))
            else:
                self.take(int(first), reply)

    def take(self, first, reply):
        assert reply["ok"] and reply["accepted"] + reply["duplicates"] == self.batch, reply
        assert first == self.n + 1, "an acknowledgement out of order"
        fresh = range(first + reply["duplicates"], first + self.batch)
        self.seqs.update(zip(fresh, range(reply.get("first", 0), reply.get("last", -1) + 1)))
        self.n += self.batch

    def is_at(self, n):
        """Did it come so far? For wait_until."""
        return self.error is not None or self.n >= n

    def finish(self, abandon=False):
        """Waits for the answers that are due; `abandon`: not for those, since the daemon is gone."""
        if abandon:
            self.abandoned.set()
        self.stopping.set()
        self.join()
        if self.error:
            raise self.error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.finish(abandon=error[0] is not None)

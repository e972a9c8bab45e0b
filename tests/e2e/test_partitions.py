"""A fleet in several partitions answers as one that is whole: the same events to a daemon with one partition and to
one with several, and all that can be asked is compared; what differs by design (n, partition) is checked by itself.
Then: an answer about the fleet is of one event, while others flow, and includes what was acknowledged before."""
import collections
import json
import os
import random
import re
import threading
import time

import zmq

from harness import DEADLINE_S, ROOT, SAN, Daemon, main, receive, test, wait_until
from partitions import (SAVE, Producer, Rules, all_changes, check_numbers, names_of, pages, partition_of, report,
                        without, write)

TIMES = ("created", "lastSeen", "received", "ts")  # of receipt, which differ from daemon to daemon
INDEXES = ("server.fwStateIsSynced", "server.fwSyncState", "client.currentFwVer", "server.lastTargetFwVer",
           "client.note", "type")
CLASSES = ("attributes", "sync", "deadletter")


# --- what happens to a fleet

def shipped_rules_that_forget():
    """The shipped chains, where any other message deletes attributes."""
    files = {}
    for name in ("root.yaml", "firmware-synced.yaml"):
        with open(os.path.join(ROOT, "rules", "chains", name), encoding="utf-8") as file:
            files[name] = file.read()
    files["root.yaml"] = files["root.yaml"].replace(
        "      Post telemetry: about-firmware\n", "      Post telemetry: about-firmware\n      Other: forget\n") + """
  forget:
    type: delete-attributes
    scope: CLIENT_SCOPE
    keys: [currentFwVer, note]
    to: {Success: firmware-synced}
"""
    return files


VERSIONS = ["v1", "v2", "v3", "", "1.20", 1, 1.5, True, None, "x" * 300]


class Happenings:
    """Random events of all kinds, as requests; the same for each daemon that they are sent to."""

    def __init__(self, seed, devices):
        self.chance, self.ms, self.numbers = random.Random(seed), int(time.time() * 1000), collections.Counter()
        self.names = [f"{kind}{i}" for i in range(devices // 3) for kind in ("pump/", "valve-", "ü")]

    def data(self):
        """(message type, scope, data)"""
        chance = self.chance
        version, kind = chance.choice(VERSIONS), chance.random()
        if kind < 0.4:
            note = {"note": chance.choice(["a", "b", 7, None])} if chance.random() < 0.4 else {}
            return "POST_ATTRIBUTES_REQUEST", None, {"currentFwVer": version, **note}
        if kind < 0.65:
            return "ATTRIBUTES_UPDATED", "SERVER_SCOPE", {"lastTargetFwVer": version, "lastTargetFwUrl": "http://x/y"}
        if kind < 0.75:
            return "ATTRIBUTES_UPDATED", "SHARED_SCOPE", {"targetFwVer": version, "targetFwUrl": f"http://x/{version}"}
        if kind < 0.9:
            said = chance.choice([{"fw_state": "DOWNLOADING"}, {"fw_state": "FAILED", "fw_error": "no power"},
                                  {"fw_state": "UPDATED", "current_fw_version": "v2"}, {"counter": chance.random()}])
            return "POST_TELEMETRY_REQUEST", None, said
        return ("POST_TELEMETRY_REQUEST", None, {}) if kind < 0.95 else ("FORGET", None, {})

    def line(self):
        chance = self.chance
        if chance.random() < 0.02:
            return "no event"
        kind, scope, data = self.data()
        self.ms += 1
        event = {"device": chance.choice(self.names), "type": kind, "data": data, "ts": self.ms}
        if scope:
            event["scope"] = scope
        if chance.random() < 0.15:
            event["deviceType"] = chance.choice(["ESP32_OTA", "ESP32_S3", "y" * 200])
        if chance.random() < 0.5:
            source = chance.choice("abc")
            self.numbers[source] += chance.choice([1, 1, 5])
            event.update(source=source, n=self.numbers[source])
        return json.dumps(event)

    def requests(self, count):
        """Some come twice, as from who didn't hear the answer."""
        found = []
        for _ in range(count):
            found.append("\n".join(self.line() for _ in range(self.chance.randrange(1, 8))).encode())
            if self.chance.random() < 0.1:
                found.append(found[-1])
        return found


def send_ahead(daemon, requests):
    """All under way at once; their answers."""
    socket = daemon.socket(zmq.DEALER, daemon.events)
    for request in requests:
        socket.send_multipart([b"", request])
    return [json.loads(receive(socket)[1]) for _ in requests]


def a_later_moment():
    """The time, in a millisecond that is over: what happened is of then or before, what comes next isn't."""
    moment = int(time.time() * 1000)
    wait_until(lambda: int(time.time() * 1000) > moment)
    return moment


# --- the same questions to both

class Pair:
    """One daemon with one partition, `whole`, another with several, `split`, and the same events to both."""

    def __init__(self, whole, split, count):
        self.whole, self.split, self.count = whole, split, count
        self.moments = []  # (a time of whole, a time of split, the counts then)

    def send(self, requests):
        assert send_ahead(self.whole, requests) == send_ahead(self.split, requests)
        counts = [self.whole.query({"op": "count", "index": index, "limit": 1000}) for index in INDEXES]
        self.moments.append((a_later_moment(), a_later_moment(), without(counts, "seq")))

    def same(self, query, *members):
        """Both answer alike, but for these members and for times of receipt. What they answer."""
        answers = [without(daemon.query(query), *members, *TIMES) for daemon in (self.whole, self.split)]
        assert answers[0] == answers[1], (query, answers)
        return answers[0]

    def same_list(self, query, key, *members, ordered=True, **how):
        lists = [without(pages(daemon, query, key, **how), *members, *TIMES) for daemon in (self.whole, self.split)]
        if not ordered:
            lists = [sorted(items, key=json.dumps) for items in lists]
        assert lists[0] == lists[1], (query, how, lists)
        return lists[0]

    def compare(self):
        names = self.compare_lists()
        self.compare_devices(names)
        self.compare_counts()
        self.compare_the_past(names)
        self.compare_snapshots(names)
        self.compare_changes()
        self.compare_the_rest()

    def compare_lists(self):
        everything = self.same_list({"op": "devices"}, "devices", limit=1000)
        names = [device["device"] for device in everything]
        assert names == sorted(names, key=str.encode) and len(set(names)) == len(names) > 0
        middle = sorted(device["since"] for device in everything if "since" in device)[len(everything) // 3]
        for more in ({}, {"prefix": "pump/"}, {"prefix": "pump/1"}, {"prefix": "v"}, {"prefix": "zzz"},
                     {"since": middle}, {"since": middle, "prefix": "ü"}):
            for limit in (1, 2, 7, len(names), len(names) + 1):
                self.same_list({"op": "devices", **more}, "devices", limit=limit)
        for index in INDEXES:
            for value in [row["value"] for row in self.same({"op": "count", "index": index})["values"]] + ["none"]:
                for limit in (1, 4, 1000):
                    found = self.same_list({"op": "devices", "index": index, "value": value}, "devices",
                                           limit=limit, ordered=False)
                    assert len(found) == self.same({"op": "count", "index": index, "value": value})["count"]
        for more in ({"type": "ESP32_OTA", "prefix": "valve-"},
                     {"where": {"server.fwSyncState": "pending"}, "since": middle},
                     {"where": {"server.fwStateIsSynced": False, "client.currentFwVer": "v1"}}):
            for limit in (1, 3, 1000):
                self.same_list({"op": "devices", **more}, "devices", limit=limit, ordered=False)
        return names

    def compare_devices(self, names):
        traced = 0
        for name in names:
            self.same({"op": "device", "device": name})
            self.same({"op": "explain", "device": name})
            changes = self.same_list({"op": "history", "device": name}, "changes", limit=1000)
            assert self.same_list({"op": "history", "device": name}, "changes", limit=3) == changes
            for seq in sorted({change["seq"] for change in changes})[-3:] + [1]:
                answer = self.same({"op": "trace", "device": name, "event": seq}, "n", "partition")
                traced += answer["ok"]
            self.same({"op": "trace", "device": name}, "n", "partition")
        assert traced > len(names)
        self.same({"op": "device", "device": "nobody"})

    def compare_counts(self):
        self.same({"op": "count"})
        for index in INDEXES:
            values = self.same({"op": "count", "index": index, "limit": 1000})["values"]
            for limit in (1, 2, 5):
                assert self.same_list({"op": "count", "index": index}, "values", limit=limit) == values

    def compare_the_past(self, names):
        """Of each moment that was noted: counts, whose pages add up, devices, and changes since."""
        for whole_ms, split_ms, counts in self.moments:
            for count in counts:
                index = count["index"]
                assert sums(self.split, index, split_ms) == sums(self.whole, index, whole_ms) == \
                    (count["devices"], {json.dumps(row["value"]): row["count"] for row in count["values"]})
            for name in names[::5]:
                answers = [without(daemon.query({"op": "device", "device": name, "at": ms}), "at", *TIMES)
                           for daemon, ms in ((self.whole, whole_ms), (self.split, split_ms))]
                assert answers[0] == answers[1], (name, answers)
            answers = [without(daemon.query({"op": "changes", "since": ms + 1, "class": "attributes", "limit": 5}),
                               "n", "partition", *TIMES)
                       for daemon, ms in ((self.whole, whole_ms), (self.split, split_ms))]
            assert answers[0] == answers[1], answers

    def compare_snapshots(self, names):
        for limit in (1, 7, 1000):
            found = self.same_list({"op": "snapshot"}, "devices", limit=limit, ordered=False)
            assert sorted(device["device"] for device in found) == sorted(names), "each once"
        first = self.split.query({"op": "snapshot", "limit": 1})
        assert first["at"] == first["seq"] and first["of"] == len(names) and "n" not in first
        whole = self.whole.query({"op": "snapshot", "limit": 1})
        assert "partitions" not in whole and len(first["partitions"]) == self.count
        for name, number in whole["n"].items():
            assert sum(part[name] for part in first["partitions"]) == number, (name, first, whole)

    def compare_changes(self):
        """One by one, since telemetry may have some of them gone; and of each class, as many as fit."""
        after, last, outcomes = 0, self.whole.query({"op": "ping"})["seq"], collections.Counter()
        while after < last:
            answer = self.same({"op": "changes", "after": after, "limit": 1}, "n", "partition", "error")
            outcomes[answer["ok"]] += 1
            after = answer["after"] if answer["ok"] else after + 1
        assert outcomes[True] > last // 2, outcomes
        first = self.split.query({"op": "snapshot", "limit": 1})
        for name in ("attributes", "deadletter"):
            results = all_changes(self.split, **{"class": name})
            for limit in (4, 1000):
                assert without(all_changes(self.whole, limit=limit, **{"class": name}), "n", "ts") == \
                    without(results, "n", "ts", "partition")
                assert all_changes(self.split, limit=limit, **{"class": name}) == results
            assert results and [r["seq"] for r in results] == sorted(r["seq"] for r in results)
            numbers = check_numbers(results, self.count)
            for part in range(self.count):
                assert first["partitions"][part][name] == numbers.get((name, part), 0), (first, numbers)

    def compare_the_rest(self):
        letters = self.same_list({"op": "deadletters"}, "deadletters", limit=1000)
        seqs = [letter["seq"] for letter in letters]
        assert seqs == sorted(seqs, reverse=True) and len(seqs) == self.same({"op": "deadletters", "limit": 1},
                                                                            "cursor")["count"]
        for limit in (1, 2, 3, len(letters)):
            assert self.same_list({"op": "deadletters"}, "deadletters", limit=limit) == letters
        self.same({"op": "rules"}, "since")
        self.same({"op": "ping"})
        whole, split = (daemon.query({"op": "stats"}) for daemon in (self.whole, self.split))
        for name in ("accepted", "duplicates", "rejected", "in", "pending"):
            assert whole["events"][name] == split["events"][name], (name, whole, split)
        events = split["events"]
        assert events["applied"] + events["deadLettered"] == events["accepted"]
        assert split["state"]["partitions"] == self.count
        for name in ("devices", "deadLetters", "deadLettersTrimmed"):
            assert whole["state"][name] == split["state"][name], (name, whole, split)
        assert whole["verdicts"] == split["verdicts"] and whole["results"] == split["results"], (whole, split)
        check_metrics(self.split.query({"op": "metrics"})["text"])
        self.same({"op": "count", "index": "client.nothing"})
        self.same({"op": "no-such-op"})


def sums(daemon, index, at):
    """The pages of a count of then, added up."""
    devices, counts, query = 0, collections.Counter(), {"op": "count", "index": index, "at": at}
    while query:
        answer = daemon.query(query)
        assert answer["ok"], answer
        devices += answer["devices"]
        for row in answer["values"]:
            counts[json.dumps(row["value"])] += row["count"]
        query = dict(query, cursor=answer["cursor"]) if "cursor" in answer else None
    return devices, {value: count for value, count in counts.items() if count}


def check_metrics(text):
    """Each line is a comment or a sample, and no series is there twice."""
    series = [re.fullmatch(r'([a-z_]+(?:\{[a-zA-Z_]+="[^"]*"(?:,[a-zA-Z_]+="[^"]*")*\})?) [0-9.e+-]+', line)
              for line in text.splitlines() if not line.startswith("#")]
    assert all(series) and len({match[1] for match in series}) == len(series) > 40, text


def compare_with(count, devices, rounds, requests):
    happenings = Happenings(11, devices)
    with Rules(shipped_rules_that_forget()) as rules:
        arguments = ("--rules", rules, "--indexes", ",".join(INDEXES[:-1]))
        with Daemon("--partitions", 1, *arguments) as whole, Daemon("--partitions", count, *arguments) as split:
            pair = Pair(whole, split, count)
            for _ in range(rounds):
                pair.send(happenings.requests(requests))
            pair.compare()
            split.kill()
            split.restart()
            pair.compare_counts()
            pair.compare_changes()
            pair.send(happenings.requests(requests))
            for end in (split.stop, whole.kill):
                end()
            split.restart()
            whole.restart()
            names = pair.compare_lists()
            pair.compare_devices(names[::4])
            pair.compare_the_past(names)
            pair.compare_snapshots(names)


@test
def three_partitions_answer_as_one():
    compare_with(3, devices=48, rounds=3, requests=10 if SAN else 40)


@test
def sixteen_partitions_answer_as_one():
    compare_with(16, devices=18, rounds=1, requests=30)


@test
def a_device_is_found_however_its_question_is_written():
    """JSON may write any letter of a member's name as a number."""
    with Daemon("--partitions", 3) as daemon:
        names = [names_of(partition, 3, 1)[0] for partition in range(3)]
        daemon.send_events([report(name, currentFwVer="v1") for name in names])
        for name in names:
            for member in ("device", "\\u0064evice", "devic\\u0065"):
                answer = daemon.query(f'{{"op":"explain","{member}":"{name}"}}'.encode())
                assert answer["ok"] and answer["device"] == name, (member, name, answer)


# --- lists that don't fit into a page

@test
def a_list_that_looks_at_many_devices_leaves_none_out():
    """A page looks at 5,000 devices of each partition: that with more stops before others' names."""
    names = sorted(names_of(0, 3, 5300, "a") + [f"{letter}{n}" for letter in "_b" for n in range(300)])
    with Daemon("--partitions", 3) as daemon:
        for first in range(0, len(names), 1000):
            assert daemon.send_events([write(name, lastTargetFwVer="v1") for name in names[first:first + 1000]])["ok"]
        since = a_later_moment() + 1
        chosen = sorted(random.Random(3).sample(names, 28) + random.Random(4).sample(names[-400:], 12))
        daemon.send_events([write(name, lastTargetFwVer="v2") for name in chosen] +
                           [report(name, currentFwVer="v2") for name in chosen])
        for limit in (1, 3, 39, 40, 1000):
            found = pages(daemon, {"op": "devices", "since": since}, "devices", limit=limit)
            assert [device["device"] for device in found] == chosen, limit
        for more in ({"type": "default"}, {"index": "server.fwSyncState", "value": "synced"}):
            found = pages(daemon, {"op": "devices", "since": since, **more}, "devices", limit=7)
            assert sorted(device["device"] for device in found) == chosen


@test
def a_list_of_large_devices_leaves_none_out():
    """A page has about 1 MiB."""
    names = [f"d{n:03}" for n in range(90)]
    with Daemon("--partitions", 3) as daemon:
        for name in names:
            daemon.send_events(report(name, currentFwVer="v1", a="x" * 30000, b="y" * (len(name) * 1000)))
        found = pages(daemon, {"op": "devices"}, "devices", limit=1000)
        assert [device["device"] for device in found] == names
        for query in ({"op": "devices", "type": "default"}, {"op": "snapshot"},
                      {"op": "devices", "index": "client.currentFwVer", "value": "v1"}):
            assert sorted(device["device"] for device in pages(daemon, query, "devices", limit=1000)) == names, query


def dead(device, size=0):
    return {"device": device, "type": "POST_TELEMETRY_REQUEST", "data": {},
            "metadata": {f"m{i}": "x" * 60000 for i in range(size)}}


@test
def dead_letters_come_newest_first_also_where_they_are_large():
    small, large = (names_of(partition, 3, 1)[0] for partition in (0, 1))
    with Daemon("--partitions", 3) as daemon:
        for _ in range(6):
            daemon.send_events([dead(small) for _ in range(5)])
        for _ in range(8):
            daemon.send_events(dead(large, size=5))
        letters = pages(daemon, {"op": "deadletters"}, "deadletters", limit=1000)
        assert sorted(letter["seq"] for letter in letters) == list(range(2, 40)), "each once"
        assert [letter["seq"] for letter in letters] == list(range(39, 1, -1))


@test
def dead_letters_that_are_no_longer_kept_are_counted():
    with Daemon("--partitions", 3, "--dead-letters", 10) as daemon:
        for first in range(0, 90, 9):
            daemon.send_events([dead(f"d{n}") for n in range(first, first + 9)])
        for limit in (1, 2, 3, 7, 1000):
            letters = pages(daemon, {"op": "deadletters"}, "deadletters", limit=limit)
            seqs = [letter["seq"] for letter in letters]
            assert seqs == sorted(set(seqs), reverse=True)
            kept = collections.Counter(partition_of(letter["device"], 3) for letter in letters)
            assert kept == {0: 10, 1: 10, 2: 10}, kept
        answer = daemon.query({"op": "deadletters", "limit": 1})
        assert (answer["count"], answer["trimmed"]) == (30, 60), answer
        for cursor in ("1:1:", "1:1:1:1:", "0:1:1:", "x", "1:1:1", ":::"):
            wrong = daemon.query({"op": "deadletters", "cursor": cursor})
            assert wrong["code"] == "bad-query" and wrong["error"].startswith("cursor: "), (cursor, wrong)


@test
def wrong_cursors_are_refused():
    with Daemon("--partitions", 3) as daemon:
        daemon.send_events([report(f"d{n}", currentFwVer="v1") for n in range(30)])
        for query in ({"op": "devices", "type": "default"}, {"op": "devices"}, {"op": "snapshot"},
                      {"op": "count", "index": "type", "at": 1 << 45}):
            right = daemon.query({**query, **({} if "at" in query else {"limit": 3})})["cursor"]
            assert daemon.query({**query, "cursor": right})["ok"], (query, right)
            for cursor in ("3/" + right.split("/")[-1], "-1/1:1", "1", "/", "1/x", "99999999999/1:1", "x" + right):
                wrong = daemon.query({**query, "cursor": cursor})
                assert wrong.get("code") == "bad-query" and "cursor" in wrong["error"], (query, cursor, wrong["ok"])


# --- results

def listen(daemon, prefix):
    """A socket that is known to be subscribed: each of its topics, heartbeats too, comes from now on."""
    socket = daemon.socket(zmq.SUB, daemon.results)
    for topic in (prefix, b"heartbeat"):
        socket.subscribe(topic)
    receive(socket, what="a first heartbeat")
    return socket


def rows_of(payload):
    """The results of a batch, as in docs/protocol.md."""
    head, *rows = [json.loads(line) for line in payload.split(b"\n")]
    names, first = head.pop("members"), head.pop("n")
    for n, row in enumerate(rows, first):
        yield {"n": n, **head, **{name: value for name, value in zip(names, row) if value is not None}}


def results_until_rest(socket, seq, count):
    """Everything that comes until each partition has said, with its numbers, that it is at this event."""
    single, batched, beats, end = [], [], {}, time.monotonic() + DEADLINE_S
    while len(beats) < count:
        assert time.monotonic() < end, f"only these said that they are at rest: {beats}"
        topic, payload = receive(socket, what="a result, or a heartbeat at rest")
        topic = topic.decode()
        if topic == "heartbeat":
            beat = json.loads(payload)
            assert beat["partitions"] == count, beat
            if beat["seq"] == seq:
                beats[beat["partition"]] = beat["n"]
        elif topic.startswith("batch/"):
            batched += [dict(result, **{"class": topic[6:]}) for result in rows_of(payload)]
        else:
            single.append(dict(json.loads(payload), **{"class": topic.split("/", 1)[0]}))
            assert topic == f"{single[-1]['class']}/{single[-1]['device']}"
    return single, batched, beats


@test
def each_partition_counts_its_own_results():
    count = 3
    with Daemon("--partitions", count) as daemon:
        every, batches = listen(daemon, b""), listen(daemon, b"batch/")
        for i in range(30):
            daemon.send_events([report(f"d{i + j}", currentFwVer=f"v{i % 4}") for j in range(7)] +
                               [write(f"d{i}", lastTargetFwVer="v2"),
                                {"device": f"e{i}", "type": "POST_TELEMETRY_REQUEST", "data": {}}])
        seq = daemon.query({"op": "ping"})["seq"]
        single, _, beats = results_until_rest(every, seq, count)
        _, batched, other_beats = results_until_rest(batches, seq, count)
        assert {result["class"] for result in single} == set(CLASSES)
        for results in (single, batched):
            numbers = check_numbers(results, count)
            for part in range(count):
                assert beats[part] == other_beats[part] == {name: numbers[name, part] for name in CLASSES}, beats
        order = lambda result: (result["class"], result["partition"], result["n"])  # noqa: E731
        assert sorted(single, key=order) == sorted(batched, key=order)
        assert [len([r for r in single if r["class"] == name]) for name in CLASSES] == \
            [daemon.query({"op": "stats"})["results"][name] for name in CLASSES]


@test
def one_partition_says_nothing_of_it():
    with Daemon("--partitions", 1) as daemon:
        subscription = daemon.subscribe("")
        daemon.send_events(report("a", currentFwVer="v1"))
        topic, payload = subscription.next()
        while topic != "heartbeat" or payload["n"]["attributes"] == 0:
            assert "partition" not in payload and "partitions" not in payload, payload
            topic, payload = subscription.next()
        assert "partition" not in json.dumps(daemon.query({"op": "changes", "after": 0}))
        assert "partition" not in json.dumps(daemon.query({"op": "snapshot"}))
        assert os.listdir(daemon.data).count("partitions") == 0


# --- answers while events flow

def new_device(n):
    return report(f"d{n}", v=f"v{n % 3}")


class Asker:
    """Asks one thing after the other. Each event makes one device with one attribute, event 1 were the rules; so every
    answer of one event tells which one it was, in several ways."""

    def __init__(self, daemon):
        self.daemon, self.socket = daemon, daemon.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(daemon.query_endpoint)
        self.after, self.seqs = 1, set()

    def ask(self, **query):
        self.socket.send_multipart([b"", json.dumps(query).encode()])
        answer = json.loads(receive(self.socket, DEADLINE_S, query)[1])
        assert answer["ok"], answer
        self.seqs.add(answer["seq"])
        return answer

    def ask_all(self):
        count = self.ask(op="count", index="client.v")
        assert count["devices"] == sum(row["count"] for row in count["values"]) == count["seq"] - 1, count
        one = self.ask(op="count", index="client.v", value="v1")
        assert (one["devices"], one["count"]) == (one["seq"] - 1, (one["seq"] + 1) // 3), one
        kinds = self.ask(op="count", index="type")
        assert [row["count"] for row in kinds["values"]] == [kinds["devices"]] == [kinds["seq"] - 1], kinds
        first = self.ask(op="snapshot", limit=1)
        assert first["of"] == sum(part["attributes"] for part in first["partitions"]) == first["at"] - 1, first
        stats = self.ask(op="stats")
        assert stats["state"]["devices"] == stats["results"]["attributes"] == stats["seq"] - 1, stats
        assert stats["events"]["applied"] == stats["seq"] - 1, stats
        self.follow()

    def follow(self):
        """Past what the last answer included, whole, each device once, in the order of events."""
        goal = self.ask(op="ping")["seq"]
        while self.after < goal:
            answer = self.ask(op="changes", after=self.after, **{"class": "attributes"}, limit=1000)
            assert [result["seq"] for result in answer["results"]] == list(range(self.after + 1, answer["after"] + 1))
            assert all(result["device"] == f"d{result['seq'] - 1}" for result in answer["results"]), answer
            assert answer["more"] or answer["after"] == answer["seq"], answer
            self.after = answer["after"]

    def work(self):
        """Until many of the answers were of other events than the one before."""
        wait_until(lambda: self.ask_all() or len(self.seqs) > 100, what="events flow")
        self.socket.close()


@test
def an_answer_about_the_fleet_is_of_one_event():
    with Rules(SAVE) as rules, Daemon("--partitions", 3, "--rules", rules, "--indexes", "client.v") as daemon:
        askers, errors = [Asker(daemon), Asker(daemon)], []

        def work():
            try:
                askers[1].work()
            except Exception as error:  # pylint: disable=broad-except
                errors.append(error)
        with Producer(daemon, new_device, batch=5) as producer:
            other = threading.Thread(target=work)
            wait_until(lambda: producer.is_at(100), what="events flow")
            other.start()
            askers[0].work()
            other.join()
        assert not errors, errors
        assert daemon.query({"op": "count"})["devices"] == producer.n


@test
def a_snapshot_is_of_one_event_while_others_flow():
    with Rules(SAVE) as rules, Daemon("--partitions", 3, "--rules", rules) as daemon:
        with Producer(daemon, new_device, batch=5) as producer:
            for _ in range(5):
                start = producer.n
                wait_until(lambda: producer.is_at(start + 100), what="events flow")
                first = daemon.query({"op": "snapshot", "limit": 1})
                wait_until(lambda: producer.is_at(first["at"] + 100), what="events flow on")
                devices = first["devices"] + pages(daemon, {"op": "snapshot", "cursor": first["cursor"]}, "devices",
                                                   limit=50)
                assert sorted(int(device["device"][1:]) for device in devices) == list(range(1, first["at"]))


@test
def an_answer_includes_what_was_acknowledged_before():
    with Rules(SAVE) as rules, Daemon("--partitions", 4, "--rules", rules, "--indexes", "client.v") as daemon:
        for n in range(1, 301):
            last = daemon.send_events(new_device(n))["last"]
            answer = daemon.query({"op": "device", "device": f"d{n}"})
            assert answer["client"] == {"v": f"v{n % 3}"} and answer["seq"] >= last, answer
            if n % 2:
                daemon.send_events(dict(new_device(n), data={"v": "v9"}))
                assert daemon.query({"op": "count", "index": "client.v", "value": "v9"})["count"] == (n + 1) // 2
            answer = daemon.query({"op": "count"})
            assert answer["devices"] == n and answer["seq"] >= last, (n, answer)


@test
def a_heavy_partition_holds_up_no_answer_about_others_devices():
    """And an answer about the fleet includes what was acknowledged, though one partition has much to do."""
    busy, idle = names_of(1, 3, 500), names_of(2, 3, 1)[0]
    assert partition_of(idle, 3) == 2
    with Daemon("--partitions", 3) as daemon:
        daemon.send_events(report(idle, currentFwVer="v1"))
        with Producer(daemon, lambda n: report(busy[n % 500], currentFwVer=f"v{n}"), batch=300) as producer:
            for _ in range(40):
                acknowledged = producer.n
                answer = daemon.query({"op": "device", "device": idle})
                assert answer["client"] == {"currentFwVer": "v1"}
                assert daemon.query({"op": "ping"})["seq"] >= 2 + acknowledged
        assert daemon.query({"op": "count"})["devices"] == 501


main()

"""The wire contract of docs/protocol.md, through pyzmq: envelopes, replies, queries, results.

Expected values are worked out here, from what was sent; none is copied from the daemon."""
import collections
import json
import os
import re
import tempfile

import zmq

from harness import ROOT, SAMPLE_RULES, SAN, Daemon, main, receive, test, wait_until

MIB = 1 << 20


def report(device, version, **more):
    return dict({"device": device, "type": "POST_ATTRIBUTES_REQUEST",
                 "data": {"currentFwVer": version}}, **more)


def target(device, version, **more):
    return dict({"device": device, "type": "ATTRIBUTES_UPDATED", "scope": "SERVER_SCOPE",
                 "data": {"lastTargetFwVer": version}}, **more)


def ndjson(events):
    return b"\n".join(json.dumps(event).encode() for event in events)


def taken(reply):
    """The sequence numbers that a reply says were given."""
    return list(range(reply["first"], reply["last"] + 1)) if "first" in reply else []


def all_pages(daemon, query, key="devices"):
    """(all items of a paged query, the number of pages)."""
    items, pages, cursor = [], 0, None
    while True:
        page = daemon.query(dict(query, cursor=cursor) if cursor else query)
        assert page["ok"], page
        items += page[key]
        pages += 1
        cursor = page.get("cursor")
        if not cursor:
            return items, pages


def applied(daemon):
    """Statistics, once nothing is under way any more."""
    def done():
        stats = daemon.query({"op": "stats"})
        return stats if stats["events"]["pending"] == 0 else None
    return wait_until(done, what="pending events reach 0")


# --- envelopes

@test
def test_req_works_as_it_is():
    with Daemon() as daemon:
        req = daemon.socket(zmq.REQ, daemon.events)
        for i in range(3):
            req.send(ndjson([report("a", f"v{i}")]))
            frames = receive(req)
            assert len(frames) == 1, frames
            assert json.loads(frames[0])["accepted"] == 1
        query = daemon.socket(zmq.REQ, daemon.query_endpoint)
        query.send(b'{"op":"device","device":"a"}')
        assert json.loads(receive(query)[0])["client"] == {"currentFwVer": "v2"}


@test
def test_the_frames_before_the_empty_one_come_back_untouched():
    envelopes = [[b""], [b"one", b""], [b"\x00\xff\x00binary", b"two", b""],
                 [bytes([65 + i]) * 200 for i in range(8)] + [b""]]
    with Daemon() as daemon:
        for endpoint, body in ((daemon.events, ndjson([report("a", "v1")])),
                               (daemon.query_endpoint, b'{"op":"ping"}')):
            dealer = daemon.socket(zmq.DEALER, endpoint)
            for envelope in envelopes:
                dealer.send_multipart(envelope + [body])
                frames = receive(dealer)
                assert frames[:-1] == envelope, frames
                assert json.loads(frames[-1])["ok"] is True


@test
def test_pipelined_requests_are_answered_each_under_its_own_envelope():
    with Daemon() as daemon:
        dealer = daemon.socket(zmq.DEALER, daemon.events)
        for i in range(300):
            dealer.send_multipart([b"%d" % i, b"", ndjson([report("a", f"v{i}")] * (i % 3 + 1))])
        seqs = []
        for i in range(300):
            correlation, empty, body = receive(dealer)
            reply = json.loads(body)
            assert (int(correlation), empty, reply["accepted"]) == (i, b"", i % 3 + 1), (i, reply)
            seqs += taken(reply)
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "not dense, or not in order"
        assert len(seqs) == sum(i % 3 + 1 for i in range(300))


MALFORMED = {
    "one frame": [b"{}"],
    "no empty frame": [b"a", b"{}"],
    "nine frames before the empty one": [b"x"] * 9 + [b"", b"{}"],
    "two body frames": [b"", b"{}", b"{}"],
    "nothing behind the empty frame": [b"c", b""],
    "only empty frames": [b"", b"", b""],
}


@test
def test_a_malformed_message_is_counted_and_hurts_nobody():
    with Daemon() as daemon:
        for endpoint in (daemon.events, daemon.query_endpoint):
            before = daemon.query({"op": "stats"})["traffic"]["malformed"]
            sender = daemon.socket(zmq.DEALER, endpoint)
            for frames in MALFORMED.values():
                sender.send_multipart(frames)
            wait_until(lambda: daemon.query({"op": "stats"})["traffic"]["malformed"]
                       == before + len(MALFORMED), what="every malformed message is counted")
            assert daemon.send_events(report("a", "v1"))["accepted"] == 1
            # the same socket can still be served
            sender.send_multipart([b"mine", b"", b'{"op":"ping"}'])
            wait_until(lambda: receive(sender)[0] == b"mine")
        events = applied(daemon)["events"]
        assert (events["accepted"], events["rejected"]) == (2, 1), events  # the ping at the events door


# --- the events door

@test
def test_a_reply_has_exactly_the_fields_of_the_protocol():
    with Daemon() as daemon:
        one = daemon.send_events(report("a", "v1"))
        seq = one["first"]
        assert one == {"ok": True, "accepted": 1, "duplicates": 0, "rejected": 0,
                       "first": seq, "last": seq}
        three = daemon.send_events([report("a", "v2"), target("b", "v1"), report("c", "v1")])
        assert three == {"ok": True, "accepted": 3, "duplicates": 0, "rejected": 0,
                         "first": seq + 1, "last": seq + 3}
        numbered = report("a", "v3", source="s", n=1)
        assert daemon.send_events(numbered)["first"] == seq + 4
        again = daemon.send_events(numbered)
        assert again == {"ok": True, "accepted": 0, "duplicates": 1, "rejected": 0}
        mixed = daemon.send_events(ndjson([numbered, report("a", "v4")]) + b"\n{")
        errors = mixed.pop("errors")
        assert mixed == {"ok": False, "accepted": 1, "duplicates": 1, "rejected": 1,
                         "first": seq + 5, "last": seq + 5}
        assert [set(error) for error in errors] == [{"line", "code", "error"}]


@test
def test_bad_lines_are_named_and_the_good_ones_taken():
    lines = [
        (json.dumps(report("good-1", "v1")), None),
        ("{not json", "bad-json"),
        ("", None),
        ('{"device":"x","type":"T","colour":"red"}', "bad-event"),
        ("  \t \r", None),
        (json.dumps(report("good-2", "v1")) + "\r", None),
        (json.dumps(report("x" * 256, "v1")), "too-large"),
        (json.dumps(dict(report("x", "v1"), data={str(i): 1 for i in range(1001)})), "limit"),
        ("[1,2]", "bad-json"),
        (json.dumps(report("good-3", "v1")), None),
    ]
    with Daemon() as daemon:
        reply = daemon.send_events("\n".join(line for line, _ in lines))
        expected = [(number, code) for number, (_, code) in enumerate(lines, 1) if code]
        assert [(e["line"], e["code"]) for e in reply["errors"]] == expected, reply
        assert (reply["ok"], reply["accepted"], reply["rejected"]) == (False, 3, len(expected))
        devices, _ = all_pages(daemon, {"op": "devices"})
        assert [d["device"] for d in devices] == ["good-1", "good-2", "good-3"]


@test
def test_at_most_100_errors_are_listed_and_all_are_counted():
    with Daemon() as daemon:
        reply = daemon.send_events("\n".join(["nonsense"] * 150 + [json.dumps(report("a", "v"))]))
        assert (reply["accepted"], reply["rejected"], len(reply["errors"])) == (1, 150, 100)
        assert [e["line"] for e in reply["errors"]] == list(range(1, 101))


@test
def test_a_request_of_1_mib_is_taken_and_one_byte_more_is_not():
    with Daemon() as daemon:
        line = ndjson([report("a", "v1")])
        largest = line + b"\n" + b" " * (MIB - len(line) - 1)
        assert len(largest) == MIB
        assert daemon.send_events(largest)["accepted"] == 1
        reply = daemon.send_events(b" " + largest)
        assert reply["ok"] is False and reply["code"] == "too-large", reply
        assert set(reply) == {"ok", "code", "error"}, reply
        huge = daemon.query(b'{"op":"ping"' + b" " * MIB + b"}")
        assert huge["ok"] is False and huge["code"] == "too-large", huge
        # beyond 8 MiB the connection ends; everybody else goes on
        daemon.socket(zmq.DEALER, daemon.events).send_multipart([b"", b" " * (9 * MIB)])
        assert daemon.send_events(report("a", "v2"))["accepted"] == 1
        assert daemon.query({"op": "device", "device": "a"})["client"]["currentFwVer"] == "v2"


@test
def test_a_request_without_an_event_is_an_error():
    with Daemon() as daemon:
        for body in (b"", b"\n", b" \r\n\t\n\n"):
            reply = daemon.send_events(body)
            assert reply["ok"] is False and reply["code"] == "bad-event" and reply["error"], reply
        assert applied(daemon)["events"]["in"] == 0


@test
def test_a_number_not_above_the_highest_of_its_source_is_a_duplicate():
    def numbered(source, n):
        return report("a", f"{source}-{n}", source=source, n=n)

    with Daemon("--checkpoint-ms", 60000) as daemon:
        steps = [  # (source, n, is it a duplicate?)
            [("one", 1, False), ("one", 2, False), ("two", 1, False), ("one", 2, True)],
            [("one", 1, True), ("two", 7, False), ("two", 6, True), ("one", 3, False)],
        ]
        for step in steps:
            reply = daemon.send_events([numbered(source, n) for source, n, _ in step])
            duplicates = sum(duplicate for _, _, duplicate in step)
            assert reply["ok"] and reply["duplicates"] == duplicates, (step, reply)
            assert reply["accepted"] == len(step) - duplicates
        daemon.kill()
        daemon.restart()
        assert daemon.send_events([numbered("one", 3), numbered("two", 7)])["duplicates"] == 2
        assert daemon.query({"op": "device", "device": "a"})["client"]["currentFwVer"] == "one-3"
        daemon.stop()
        daemon.restart()
        assert daemon.send_events([numbered("one", 3), numbered("two", 7)])["duplicates"] == 2
        assert daemon.send_events(numbered("one", 4))["accepted"] == 1
        # without a source nothing is a duplicate
        assert daemon.send_events([report("a", "v"), report("a", "v")])["accepted"] == 2


# --- the query door

@test
def test_ping_and_device_have_exactly_the_fields_of_the_protocol():
    with Daemon(*SAMPLE_RULES) as daemon:
        ping = daemon.query({"op": "ping"})
        assert set(ping) == {"ok", "version", "seq"} and ping["ok"] is True
        sent = [report("ESP32", "v1.1", deviceType="ESP32_OTA"), target("ESP32", "v1.2"),
                {"device": "ESP32", "type": "ATTRIBUTES_UPDATED", "scope": "SHARED_SCOPE",
                 "data": {"targetFwVer": "v1.2", "retries": 3, "ratio": 1.0, "ok": True,
                          "nested": {"a": [1, 2.5, "x", None]}}},
                {"device": "ESP32", "type": "POST_TELEMETRY_REQUEST", "ts": 1732147200000,
                 "data": {"counter": 1}}]
        reply = daemon.send_events(sent)
        device = daemon.query({"op": "device", "device": "ESP32"})
        times = [device.pop("created"), device.pop("lastSeen"), device.pop("since")]
        assert all(isinstance(time, int) and time > 1.7e12 for time in times), times
        assert device == {
            "ok": True, "seq": reply["last"], "device": "ESP32", "deviceType": "ESP32_OTA",
            "client": {"currentFwVer": "v1.1"}, "shared": sent[2]["data"],
            "server": {"lastTargetFwVer": "v1.2", "fwStateIsSynced": False},
            "telemetry": {"counter": 1}}
        # an operator's write isn't the device being heard; 0: never heard
        daemon.send_events(target("silent", "v1"))
        assert daemon.query({"op": "device", "device": "silent"})["lastSeen"] == 0
        assert daemon.query({"op": "device", "device": "silent"})["deviceType"] == "default"
        missing = daemon.query({"op": "device", "device": "nobody"})
        assert missing["ok"] is False and missing["code"] == "not-found", missing


@test
def test_a_wrong_question_is_answered_with_what_was_meant():
    wrong = [  # question, code, words that the error has to have
        ({"op": "devcie"}, "bad-query", ["devcie", '"device"']),
        ({"op": "stat"}, "bad-query", ['"stats"']),
        ({"op": "zzzzzzzz"}, "bad-query", ["ping", "device", "devices", "count", "deadletters",
                                           "rules", "stats"]),
        ({"op": "device", "devic": "a"}, "bad-query", ['"device"']),
        ({"op": "devices", "limt": 3}, "bad-query", ['"limit"']),
        ({"op": "ping", "limit": 3}, "bad-query", ["limit"]),
        ({"op": 5}, "bad-query", ["op"]), ({}, "bad-query", ["op"]),
        ({"op": "device"}, "bad-query", ["device"]),
        ({"op": "device", "device": ""}, "bad-query", ["device"]),
        ({"op": "device", "device": 5}, "bad-query", ["device", "string"]),
        ({"op": "devices", "limit": 0}, "bad-query", ["limit", "1000"]),
        ({"op": "devices", "limit": 1001}, "bad-query", ["limit", "1000"]),
        ({"op": "devices", "limit": -1}, "bad-query", ["limit"]),
        ({"op": "devices", "limit": 1.5}, "bad-query", ["limit"]),
        ({"op": "devices", "limit": "5"}, "bad-query", ["limit"]),
        ({"op": "deadletters", "limit": 1001}, "bad-query", ["limit"]),
        ({"op": "devices", "index": "client.colour", "value": 1}, "bad-query",
         ["client.colour", "client.currentFwVer", "server.fwStateIsSynced"]),
        ({"op": "devices", "index": "client.currentFwVer"}, "bad-query", ["value"]),
        ({"op": "devices", "value": "v1"}, "bad-query", ["index"]),
        ({"op": "count", "value": "v1"}, "bad-query", ["index"]),
        ({"op": "count", "index": "type", "value": 1}, "bad-query", ["value", "string"]),
        ({"op": "devices", "cursor": "no cursor of ours"}, "bad-query", ["cursor"]),
        ({"op": "deadletters", "cursor": "x"}, "bad-query", ["cursor"]),
        ({"op": "devices", "prefix": 1}, "bad-query", ["prefix"]),
        ({"op": "devices", "type": True}, "bad-query", ["type"]),
        ({"op": "devices", "where": "stuck"}, "bad-query", ["where", "object"]),
        ({"op": "devices", "where": {"client.colour": 1}}, "bad-query", ["client.colour", "server.fwSyncState"]),
        ({"op": "devices", "where": {"type": 1}}, "bad-query", ["string"]),
        ({"op": "devices", "since": "1h"}, "bad-query", ["since", "milliseconds"]),
        ({"op": "devices", "since": -1}, "bad-query", ["since"]),
    ]
    with Daemon() as daemon:
        for question, code, words in wrong:
            reply = daemon.query(question)
            assert reply["ok"] is False and reply["code"] == code, (question, reply)
            assert set(reply) == {"ok", "code", "error"}, (question, reply)
            for word in words:
                assert word in reply["error"], (question, word, reply)
        for body in (b"", b"ping", b"[]", b'"ping"', b'{"op":"ping"}{}', b'{"op":"ping","op":"ping"}'):
            reply = daemon.query(body)
            assert reply["ok"] is False and reply["code"] == "bad-json", (body, reply)
        assert daemon.query({"op": "ping"})["ok"] is True


class Fleet:
    """Devices with known attributes, and what each filter has to find."""

    def __init__(self, daemon, count=260):
        self.devices = {}
        events = []
        for i in range(count):
            name = f"{'north' if i % 3 else 'south'}-{(i * 7919) % 1000:03d}-{i}"
            kind, running, wanted = f"kind-{i % 2}", f"v{i % 5}", f"v{i % 4}"
            self.devices[name] = (kind, running, wanted if i % 7 else None)
            events.append(report(name, running, deviceType=kind))
            if i % 7:
                events.append(target(name, wanted))
        for at in range(0, len(events), 100):
            reply = daemon.send_events(events[at:at + 100])
            assert reply["ok"], reply

    def matching(self, query):
        wishes = list(query.get("where", {}).items())
        if "index" in query:
            wishes.append((query["index"], query["value"]))
        return sorted(
            name for name, (kind, running, wanted) in self.devices.items()
            if name.startswith(query.get("prefix", ""))
            and query.get("type", kind) == kind
            and all(index == "client.currentFwVer" and running == value
                    or index == "server.lastTargetFwVer" and value is not None and wanted == value
                    or index == "server.fwStateIsSynced" and (running == wanted) == value
                    or index == "type" and kind == value
                    for index, value in wishes))


FILTERS = [
    {}, {"prefix": "north"}, {"prefix": "south-1"}, {"prefix": "none"}, {"type": "kind-1"},
    {"type": "other"}, {"type": "kind-0", "prefix": "south"},
    {"index": "client.currentFwVer", "value": "v3"},
    {"index": "client.currentFwVer", "value": "v9"},
    {"index": "server.lastTargetFwVer", "value": "v2", "type": "kind-0"},
    {"index": "server.fwStateIsSynced", "value": False},
    {"index": "server.fwStateIsSynced", "value": True, "prefix": "north"},
    {"index": "server.fwStateIsSynced", "value": False, "prefix": "south", "type": "kind-1"},
    {"index": "type", "value": "kind-1", "prefix": "south"},
    {"index": "type", "value": "kind-1", "type": "kind-1"},
    {"index": "type", "value": "kind-1", "type": "kind-0"},
    {"index": "client.currentFwVer", "value": 3}, {"index": "client.currentFwVer", "value": None},
    {"where": {}}, {"where": {"client.currentFwVer": "v3"}, "prefix": "north"},
    {"where": {"client.currentFwVer": "v1", "server.lastTargetFwVer": "v1"}},
    {"where": {"client.currentFwVer": "v1", "server.fwStateIsSynced": True}},
    {"where": {"client.currentFwVer": "v1", "server.fwStateIsSynced": False, "server.lastTargetFwVer": "v2"},
     "type": "kind-0"},
    {"where": {"server.lastTargetFwVer": "v2", "type": "kind-1"}, "type": "kind-1"},
    {"where": {"type": "kind-1"}, "index": "type", "value": "kind-0"},
    {"where": {"client.currentFwVer": "v1"}, "index": "client.currentFwVer", "value": "v2"},
    {"where": {"client.currentFwVer": "v1", "server.lastTargetFwVer": None}},
]


@test
def test_since_is_when_the_verdict_changed():
    with Daemon(*SAMPLE_RULES) as daemon:
        for number in range(8):  # each is not synced at 1000 * number, and says so again later
            for ts in (1000 * number, 50000):
                assert daemon.send_events(report(f"d{number}", "v1", ts=ts))["ok"]
        for number in range(4):  # and some get a state, of another time
            assert daemon.send_events({
                "device": f"d{number}", "type": "ATTRIBUTES_UPDATED", "scope": "SERVER_SCOPE",
                "ts": 20000 + number, "data": {"fwSyncState": "stuck" if number % 2 else "failed"}})["ok"]

        def names(**filters):
            found, _ = all_pages(daemon, dict(filters, op="devices", limit=2))
            return [device["device"] for device in found]

        assert names(since=0) == [f"d{number}" for number in range(8)]
        assert names(since=6000) == ["d0", "d1", "d2", "d3", "d6", "d7"]
        assert names(since=20002) == ["d2", "d3"] and names(since=20004) == []
        assert names(since=6001, prefix="d7") == ["d7"] and names(since=7001, prefix="d7") == []
        stuck = {"server.fwSyncState": "stuck"}
        assert names(where=stuck) == ["d1", "d3"] and names(where=stuck, since=20002) == ["d3"]
        assert names(where={"server.fwStateIsSynced": False}, since=20003) == ["d3"]


@test
def test_paging_gives_every_matching_device_exactly_once():
    with Daemon(*SAMPLE_RULES) as daemon:
        fleet = Fleet(daemon)
        for query in FILTERS:
            expected = fleet.matching(query)
            for limit in (1, 7, 100, 1000):
                if limit == 1 and len(expected) > 60:
                    continue
                found, pages = all_pages(daemon, dict(query, op="devices", limit=limit))
                names = [device["device"] for device in found]
                assert sorted(names) == expected, (query, limit, len(names), len(expected))
                assert pages >= len(expected) / limit, (query, limit, pages)
                for device in found:
                    kind, running, wanted = fleet.devices[device["device"]]
                    server = {"fwStateIsSynced": running == wanted}
                    if wanted:
                        server["lastTargetFwVer"] = wanted
                    assert device["client"] == {"currentFwVer": running}
                    assert device["server"] == server and device["deviceType"] == kind
                    assert "telemetry" not in device
        found, _ = all_pages(daemon, {"op": "devices", "prefix": "north", "limit": 10})
        names = [device["device"] for device in found]
        assert names == sorted(names), "by prefix the order is by name"


@test
def test_a_page_without_a_limit_has_at_most_100_devices():
    with Daemon() as daemon:
        Fleet(daemon)
        page = daemon.query({"op": "devices"})
        assert len(page["devices"]) == 100 and page["cursor"]


@test
def test_counts_by_index_value_and_type_are_exact():
    with Daemon() as daemon:
        fleet = Fleet(daemon)
        values = {
            "client.currentFwVer": [running for _, running, _ in fleet.devices.values()],
            "server.lastTargetFwVer": [w for _, _, w in fleet.devices.values() if w],
            "server.fwStateIsSynced": [r == w for _, r, w in fleet.devices.values()],
            "type": [kind for kind, _, _ in fleet.devices.values()],
        }
        total = len(fleet.devices)
        seq = daemon.query({"op": "ping"})["seq"]
        assert daemon.query({"op": "count"}) == {"ok": True, "seq": seq, "devices": total}
        for index, given in values.items():
            expected = collections.Counter(given)
            answer = daemon.query({"op": "count", "index": index})
            assert set(answer) == {"ok", "seq", "devices", "index", "values"}, answer
            assert {v["value"]: v["count"] for v in answer["values"]} == expected, (index, answer)
            assert len(answer["values"]) == len(expected)
            paged, _ = all_pages(daemon, {"op": "count", "index": index, "limit": 2}, "values")
            assert {v["value"]: v["count"] for v in paged} == expected and len(paged) == len(expected)
            for value, count in list(expected.items()) + [("nothing has this", 0)]:
                assert daemon.query({"op": "count", "index": index, "value": value}) == {
                    "ok": True, "seq": seq, "devices": total, "index": index, "value": value,
                    "count": count}
        # and they follow a change
        name = next(n for n, (_, running, _) in fleet.devices.items() if running == "v0")
        daemon.send_events(report(name, "v1", deviceType="moved"))
        for index, value, count in (("client.currentFwVer", "v0", -1), ("client.currentFwVer", "v1", 1)):
            answer = daemon.query({"op": "count", "index": index, "value": value})
            assert answer["count"] == values[index].count(value) + count, answer
        assert daemon.query({"op": "count", "index": "type", "value": "moved"})["count"] == 1


@test
def test_a_page_is_bounded_in_bytes():
    with Daemon() as daemon:
        names = [f"big-{i:02d}" for i in range(40)]
        for name in names:
            assert daemon.send_events(report(name, "v" * 60000))["accepted"] == 1
        sizes, found, cursor = [], [], None
        while True:
            query = {"op": "devices", "limit": 1000}
            page = daemon.query(dict(query, cursor=cursor) if cursor else query)
            sizes.append(len(json.dumps(page)))
            found += [device["device"] for device in page["devices"]]
            cursor = page.get("cursor")
            if not cursor:
                break
        assert found == names and max(sizes) < MIB + 70000 and len(sizes) > 2, (sizes, found)


@test
def test_dead_letters_are_kept_with_their_reason_newest_first():
    with Daemon("--dead-letters", 20) as daemon:
        empty = daemon.query({"op": "deadletters"})
        assert (empty["count"], empty["trimmed"], empty["deadletters"]) == (0, 0, [])
        sent = []
        for i in range(25):  # telemetry without a reading: nothing handles that failure
            event = {"device": f"d{i}", "type": "POST_TELEMETRY_REQUEST", "data": {}}
            sent.append((daemon.send_events(event)["first"], event))
        letters, pages = all_pages(daemon, {"op": "deadletters", "limit": 7}, "deadletters")
        assert pages == 3 and len(letters) == 20, (pages, len(letters))
        kept = list(reversed(sent))[:20]
        for letter, (seq, event) in zip(letters, kept):
            assert set(letter) == {"seq", "ts", "device", "chain", "node", "error", "event"}
            assert (letter["seq"], letter["event"], letter["device"]) == (seq, event, event["device"])
            assert (letter["chain"], letter["node"]) == ("root", "save-telemetry"), letter
            assert "telemetry" in letter["error"]
        answer = daemon.query({"op": "deadletters"})
        assert (answer["count"], answer["trimmed"]) == (20, 5), answer
        assert applied(daemon)["events"]["deadLettered"] == 25
        daemon.kill()
        daemon.restart()
        again, _ = all_pages(daemon, {"op": "deadletters", "limit": 1000}, "deadletters")
        assert again == letters


@test
def test_rules_tells_what_is_active():
    with Daemon() as daemon:
        rules = wait_until(lambda: (lambda rules: rules["ok"] and rules)(daemon.query({"op": "rules"})))
        assert set(rules) == {"ok", "seq", "version", "since", "activated", "chains", "classes", "activations"}
        assert rules["activated"] == 1 and rules["classes"] == ["sync"] and rules["version"]
        assert {chain["chain"] for chain in rules["chains"]} == {"root", "firmware-synced"}
        assert all(chain["nodes"] > 0 for chain in rules["chains"])
        daemon.stop()
        daemon.restart()
        again = daemon.query({"op": "rules"})
        assert again == rules, "the same rules aren't activated a second time"


@test
def test_no_event_is_lost_from_the_statistics():
    with Daemon() as daemon:
        good = [report(f"d{i}", "v1") for i in range(30)]
        letters = [{"device": "x", "type": "POST_TELEMETRY_REQUEST", "data": {}}] * 4
        numbered = [report("n", "v1", source="s", n=n) for n in (1, 2, 2, 1, 3)]
        daemon.send_events(good)
        daemon.send_events(letters)
        daemon.send_events(numbered)
        daemon.send_events("bad\n" * 6)
        events = daemon.query({"op": "stats"})["events"]
        assert events["in"] == events["accepted"] + events["duplicates"] + events["rejected"] == 45
        assert events["accepted"] == events["applied"] + events["deadLettered"] + events["pending"]
        events = applied(daemon)["events"]
        assert (events["accepted"], events["duplicates"], events["rejected"]) == (37, 2, 6), events
        assert (events["applied"], events["deadLettered"], events["pending"]) == (33, 4, 0), events
        # also while events are under way
        dealer = daemon.socket(zmq.DEALER, daemon.events)
        for i in range(100):
            dealer.send_multipart([b"", ndjson([report(f"d{j}", f"v{i}") for j in range(50)])])
            if i % 10 == 0:
                events = daemon.query({"op": "stats"})["events"]
                assert events["in"] == events["accepted"] + events["duplicates"] + events["rejected"]
                assert events["accepted"] == (events["applied"] + events["deadLettered"]
                                              + events["pending"]) and events["pending"] >= 0
        for _ in range(100):
            receive(dealer)
        assert applied(daemon)["events"]["accepted"] == 37 + 5000


@test
def test_a_query_sees_every_event_acknowledged_before_it():
    with Daemon() as daemon:
        for i in range(200):
            reply = daemon.send_events([report("a", f"v{i}"), target(f"b{i}", f"v{i}")])
            device = daemon.query({"op": "device", "device": "a"})
            assert device["client"]["currentFwVer"] == f"v{i}" and device["seq"] >= reply["last"]
            assert daemon.query({"op": "count"})["devices"] == i + 2


# --- results

class Collector:
    """Takes results until one for the device `end` has come; checks that n is dense per class."""

    def __init__(self, subscription):
        self.subscription, self.last = subscription, {}

    def until(self, daemon, end):
        daemon.send_events({"device": end, "type": "POST_TELEMETRY_REQUEST", "data": {}})
        results = []
        while True:
            topic, payload = self.subscription.next()
            if topic == "heartbeat":
                continue
            kind, _, device = topic.partition("/")
            assert payload["device"] == device, (topic, payload)
            assert payload["n"] == self.last.get(kind, payload["n"] - 1) + 1, (kind, payload)
            self.last[kind] = payload["n"]
            if device == end:
                return results
            results.append((topic, payload))


def changes(results):
    return [(topic.split("/", 1)[1], p["scope"], p["key"], p["value"])
            for topic, p in results if topic.startswith("attributes/")]


def syncs(results):
    return [(topic.split("/", 1)[1], p["data"]["fwStateIsSynced"])
            for topic, p in results if topic.startswith("sync/")]


@test
def test_only_what_changed_is_published():
    client, server = "CLIENT_SCOPE", "SERVER_SCOPE"
    steps = [  # event, attribute changes, sync results
        (report("a", "v1"), [("a", client, "currentFwVer", "v1"),
                             ("a", server, "fwStateIsSynced", False)], [("a", False)]),
        (report("a", "v1"), [], []),
        (target("a", "v1"), [("a", server, "lastTargetFwVer", "v1"),
                             ("a", server, "fwStateIsSynced", True)], [("a", True)]),
        (target("a", "v1"), [], []),
        (report("a", "v1"), [], []),
        ({"device": "a", "type": "POST_TELEMETRY_REQUEST", "data": {"counter": 1}}, [], []),
        ({"device": "a", "type": "ATTRIBUTES_UPDATED", "scope": "SHARED_SCOPE",
          "data": {"targetFwVer": "v1", "n": 1}},
         [("a", "SHARED_SCOPE", "targetFwVer", "v1"), ("a", "SHARED_SCOPE", "n", 1)], [("a", True)]),
        ({"device": "a", "type": "ATTRIBUTES_UPDATED", "scope": "SHARED_SCOPE",
          "data": {"targetFwVer": "v1", "n": "1"}},
         [("a", "SHARED_SCOPE", "n", "1")], [("a", True)]),
        (target("b", "v1"), [("b", server, "lastTargetFwVer", "v1"),
                             ("b", server, "fwStateIsSynced", False)], [("b", False)]),
    ]
    with Daemon(*SAMPLE_RULES) as daemon:
        collector = Collector(daemon.subscribe())
        for i, (event, changed, synced) in enumerate(steps):
            seq = daemon.send_events(event)["first"]
            results = collector.until(daemon, f"end-{i}")
            assert changes(results) == changed, (event, results)
            assert syncs(results) == synced, (event, results)
            for topic, payload in results:
                assert payload["seq"] == seq, (seq, payload)
        letter = {"device": "end", "type": "POST_TELEMETRY_REQUEST", "data": {}}
        seq = daemon.send_events(letter)["first"]
        topic, payload = collector.subscription.next()
        while topic != "deadletter/end":
            topic, payload = collector.subscription.next()
        assert set(payload) == {"n", "seq", "ts", "device", "chain", "node", "error", "event"}
        assert payload["seq"] == seq and payload["event"] == letter


TELL_ALL = """chain: root
first: fetch
nodes:
  fetch: {type: fetch-attributes, client: [currentFwVer], to: {Success: tell}}
  tell: {type: publish, class: sync, on: always}
"""


@test
def test_a_sync_result_has_exactly_the_fields_of_the_protocol():
    with tempfile.TemporaryDirectory() as rules:
        with open(f"{rules}/root.yaml", "w", encoding="utf-8") as file:
            file.write(TELL_ALL)
        with Daemon("--rules", rules) as daemon:
            subscription = daemon.subscribe("sync/")
            known = {"deviceType": "ESP32_OTA", "scope": "CLIENT_SCOPE", "data": {"currentFwVer": "v1.0"}}
            event = report("ESP32", "v1.1", ts=1732147200000, metadata={"site": "Kyiv"})
            seq = daemon.send_events([target("ESP32", "", **known), event])["last"]
            subscription.next()
            topic, payload = subscription.next()
            assert topic == "sync/ESP32"
            assert payload == {
                "n": 2, "seq": seq, "ts": daemon.query({"op": "device", "device": "ESP32"})["lastSeen"],
                "device": "ESP32", "deviceType": "ESP32_OTA", "type": "POST_ATTRIBUTES_REQUEST",
                "data": {"currentFwVer": "v1.1"},
                "metadata": {"deviceName": "ESP32", "deviceType": "ESP32_OTA", "ts": "1732147200000",
                             "site": "Kyiv", "cs_currentFwVer": "v1.0"}}


@test
def test_a_heartbeat_carries_the_latest_number_of_each_class():
    with Daemon(*SAMPLE_RULES) as daemon:
        subscription = daemon.subscribe("heartbeat")
        seq = daemon.send_events([report("a", "v1"), report("a", "v2"), target("a", "v2")])["last"]

        def current():
            topic, payload = subscription.next()
            assert topic == "heartbeat" and set(payload) == {"ts", "seq", "n"}, (topic, payload)
            return payload if payload["seq"] == seq else None
        payload = wait_until(current)
        # v1 changes two attributes, v2 one, the target two; in each message something changed
        assert payload["n"] == {"attributes": 5, "sync": 3, "deadletter": 0}, payload
        assert daemon.query({"op": "stats"})["results"] == payload["n"]


@test
def test_a_subscription_is_a_prefix_of_the_topic():
    with Daemon(*SAMPLE_RULES) as daemon:
        one, sync = daemon.subscribe("sync/ESP32"), daemon.subscribe("sync/")
        mixed = daemon.subscribe("attributes/other", "deadletter/")
        daemon.send_events([report("ESP32", "v1"), report("other", "v1"), report("ESP32-2", "v1"),
                            {"device": "x", "type": "POST_TELEMETRY_REQUEST", "data": {}},
                            report("ESP32-end", "v1"), report("other-end", "v1")])
        for subscription, end, expected in (
                (one, "sync/ESP32-end", ["sync/ESP32", "sync/ESP32-2"]),
                (sync, "sync/other-end",
                 ["sync/ESP32", "sync/other", "sync/ESP32-2", "sync/ESP32-end"]),
                (mixed, "attributes/other-end",
                 ["attributes/other", "attributes/other", "deadletter/x"])):
            topics = [subscription.next()[0]]
            while topics[-1] != end:
                topics.append(subscription.next()[0])
            assert topics[:-1] == expected, (end, topics)


def next_frames(socket):
    """Of the next message that is no heartbeat."""
    frames = receive(socket)
    while frames[0] == b"heartbeat":
        frames = receive(socket)
    return frames


def in_batch(payload):
    """The results in a batch, by the lines of Python in docs/protocol.md."""
    with open(os.path.join(ROOT, "docs", "protocol.md"), encoding="utf-8") as page:
        lines = re.search(r"```python\n(head, .*?)```", page.read(), re.S)[1]
    names = {"json": json, "payload": payload, "results": []}
    exec(lines + "    results.append(result)\n", names)
    return names["results"]


def batches(socket, topic, last):
    """The payloads of a batched topic up to the one that has the result with number `last`."""
    payloads, n = [], 0
    while n < last:
        frames = next_frames(socket)
        assert frames[0] == topic and len(frames) == 2, frames
        payloads.append(frames[1])
        n = in_batch(frames[1])[-1]["n"]
    return payloads


@test
def test_a_batch_is_one_message_with_what_single_ones_would_have_said():
    bound = 32 * 1024
    large = {"device": "large", "type": "POST_ATTRIBUTES_REQUEST", "data": {"text": "x" * 30000}}
    with Daemon(*SAMPLE_RULES) as daemon:
        batched, single = daemon.subscribe("batch/attributes"), daemon.subscribe("attributes/")
        everything, all_batches = daemon.subscribe(""), daemon.subscribe("batch/")
        for some in range(5):
            reply = daemon.send_events([report(f"d{i}", f"v{some}") for i in range(100)] +
                                       [target(f"t{some}", "v1"), large])
            assert reply["accepted"] == 102, reply
        last = daemon.query({"op": "stats"})["results"]["attributes"]
        payloads = batches(batched.socket, b"batch/attributes", last)
        results = [result for payload in payloads for result in in_batch(payload)]
        assert [result["n"] for result in results] == list(range(1, last + 1))
        frames = [next_frames(single.socket) for _ in results]
        assert [json.loads(payload) for _, payload in frames] == results
        assert all(topic.decode() == "attributes/" + json.loads(payload)["device"] for topic, payload in frames)
        # hundreds of results in a few messages, none of them over the bound
        sizes = [len(payload) for payload in payloads]
        assert last > 500 and 5 <= len(sizes) < 40 and 30000 < max(sizes) <= bound, (last, sizes)
        # who subscribes to everything gets what there is, in both forms
        heard = {b"attributes": [], b"batch": []}
        while len(heard[b"attributes"]) < last or len(heard[b"batch"]) < last:
            topic, payload = next_frames(everything.socket)
            kind, name = topic.split(b"/")
            if kind == b"attributes":
                heard[kind].append(json.loads(payload))
            elif name == b"attributes":
                heard[kind] += in_batch(payload)
        assert heard[b"attributes"] == heard[b"batch"] == results
        # each class has batches of its own
        daemon.send_events({"device": "x", "type": "POST_TELEMETRY_REQUEST", "data": {}})
        topics = set()
        while topics != {b"batch/attributes", b"batch/sync", b"batch/deadletter"}:
            topics.add(next_frames(all_batches.socket)[0])


DELETING = """
chain: root
first: what-came
nodes:
  what-came:
    type: message-type-switch
    to: {Post attributes: save, Post telemetry: save-telemetry}
  save: {type: save-attributes, scope: CLIENT_SCOPE, to: {Success: forget}}
  forget: {type: delete-attributes, scope: CLIENT_SCOPE, keys: [old], to: {Success: tell}}
  tell: {type: publish, class: told}
  save-telemetry: {type: save-telemetry}
"""


@test
def test_each_class_says_the_same_in_both_forms():
    with tempfile.TemporaryDirectory(prefix="fwsync-rules-") as rules:
        with open(os.path.join(rules, "root.yaml"), "w", encoding="utf-8") as file:
            file.write(DELETING)
        with Daemon("--rules", rules) as daemon:
            names = ["attributes", "told", "deadletter"]
            batched = {name: daemon.subscribe(f"batch/{name}") for name in names}
            single = {name: daemon.subscribe(f"{name}/") for name in names}
            data = {"old": 1.5, "text": "\"\u00fc\n\\", "nothing": None, "deep": {"a": [None, {}]}}
            # heads say what the first row has: others have it, too, or something else of their own
            own = [{}, {"deviceType": "T"}, {"metadata": {"m": "1"}}, {"deviceType": "default", "metadata": {}}]
            daemon.send_events([{"device": f"d{i}", "type": "POST_ATTRIBUTES_REQUEST", "data": {**data, "i": i}, **own[i]}
                                for i in range(4)] +
                               [{"device": "\u00e9\"", "type": "POST_TELEMETRY_REQUEST", "data": {}}])
            counts = daemon.query({"op": "stats"})["results"]
            assert counts == {"attributes": 20, "told": 4, "deadletter": 1}, counts
            for name in names:
                payloads = batches(batched[name].socket, b"batch/" + name.encode(), counts[name])
                results = [result for payload in payloads for result in in_batch(payload)]
                assert results == [json.loads(next_frames(single[name].socket)[1]) for _ in results], results
                assert len(results) == counts[name]
                assert sum("deleted" in result for result in results) == (4 if name == "attributes" else 0)


@test
def test_what_a_subscriber_sends_that_is_no_subscription_is_of_no_concern():
    with Daemon(*SAMPLE_RULES) as daemon:
        talker = daemon.context.socket(zmq.XSUB)
        talker.linger = 0
        talker.connect(daemon.results)
        for number in range(20):
            one, other = (daemon.context.socket(zmq.SUB) for _ in range(2))
            for socket, name in ((one, "one"), (other, "other")):
                socket.linger = 0
                socket.connect(daemon.results)
                talker.send(b"how do you do?")
                for prefix in (b"heartbeat", b"attributes/" + name.encode()):
                    socket.subscribe(prefix)
                talker.send(b"\x02attributes/")
            for socket in (one, other):
                while receive(socket)[0] != b"heartbeat":
                    pass
            daemon.send_events([{"device": name, "type": "POST_ATTRIBUTES_REQUEST", "data": {"number": number}}
                                for name in ("one", "other")])
            assert next_frames(one)[0] == b"attributes/one" and next_frames(other)[0] == b"attributes/other"
            one.close()
            other.close()
        talker.close()


@test
def test_a_subscriber_may_change_the_form():
    with Daemon(*SAMPLE_RULES) as daemon:
        socket, forms = daemon.subscribe("attributes/").socket, [b"attributes/", b"batch/attributes"]
        for number in range(6):
            before, now = forms[(number + 1) % 2], forms[number % 2]
            socket.subscribe(now)
            socket.unsubscribe(before)
            socket.subscribe(b"heartbeat")  # by the next one, the daemon knows of all three
            while receive(socket)[0] != b"heartbeat":
                pass
            socket.unsubscribe(b"heartbeat")
            daemon.send_events({"device": "a", "type": "POST_ATTRIBUTES_REQUEST", "data": {"number": number}})
            topic, payload = next_frames(socket)
            assert topic.startswith(now), (number, topic)
            result = in_batch(payload)[0] if topic.startswith(b"batch/") else json.loads(payload)
            assert result["value"] == number, payload


@test
def test_results_keep_their_numbers_over_a_crash():
    """What a subscriber saw before SIGKILL was made of events that the state on disk lacks: they are
    replayed, and the next result has the next number."""
    arguments = ("--checkpoint-ms", 60000)
    with Daemon(*arguments) as daemon, Daemon(*arguments) as undisturbed:
        events = [report(f"d{i % 7}", f"v{i % 3}") for i in range(60)]
        events += [target(f"d{i % 7}", f"v{i % 2}") for i in range(60)]
        first, second = events[:70], events[70:]
        for one in (daemon, undisturbed):
            collector = Collector(one.subscribe())
            one.send_events(first)
            collector.until(one, "end-1")
            one.collector = collector
        daemon.kill()
        daemon.restart()
        stats = daemon.query({"op": "stats"})
        assert stats["events"]["replayed"] == len(first) + 1, stats["events"]
        assert stats["results"] == daemon.collector.last == undisturbed.collector.last
        daemon.collector.subscription = daemon.subscribe()
        contents = []
        for one in (daemon, undisturbed):
            one.send_events(second)
            results = one.collector.until(one, "end-2")  # checks that n goes on densely
            for _, payload in results:
                del payload["ts"]
                payload.get("metadata", {}).pop("ts", None)
            contents.append(results)
        assert contents[0] and contents[0] == contents[1], "as if there had been no crash"
        assert daemon.collector.last == undisturbed.collector.last


@test
def an_asker_who_does_not_read_costs_little():
    asked, answer_bytes = (1000 if SAN else 3000), 60000
    with Daemon() as daemon:
        daemon.send_events({"device": "d", "type": "POST_ATTRIBUTES_REQUEST", "data": {"a": "x" * answer_bytes}})
        before = daemon.query({"op": "stats"})
        silent = daemon.context.socket(zmq.DEALER)
        silent.setsockopt(zmq.LINGER, 0)
        silent.setsockopt(zmq.SNDHWM, 0)
        silent.setsockopt(zmq.RCVHWM, 1)
        silent.connect(daemon.query_endpoint)
        for _ in range(asked):
            silent.send_multipart([b"", b'{"op":"device","device":"d"}'])

        def all_answered():
            now = daemon.query({"op": "stats"})
            return now if now["traffic"]["queries"] >= before["traffic"]["queries"] + asked else None
        after = wait_until(all_answered, what="all questions are answered")
        silent.close()
        assert after["traffic"]["repliesDropped"] > 0
        if not SAN:
            grown = after["memory"]["anonymous"] - before["memory"]["anonymous"]
            assert grown < asked * answer_bytes / 2, grown


main()

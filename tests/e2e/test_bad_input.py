"""Whatever is wrong outside - input, rules, settings, files - gets a clear error and costs nothing else.

Wherever the daemon has to refuse or to stop, it says why and exits with 1 or 2; it never dies of a signal."""
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile

import zmq

from harness import BUILD, DEADLINE_S, PARTITIONS, SAN, Daemon, fixed_doors, fwsync, main, receive, test, wait_until

MIB = 1 << 20
PORTS = ["--events", "tcp://127.0.0.1:*", "--query", "tcp://127.0.0.1:*", "--results", "tcp://127.0.0.1:*"]


def report(device, version, **more):
    return dict({"device": device, "type": "POST_ATTRIBUTES_REQUEST",
                 "data": {"currentFwVer": version}}, **more)


def ends(*args, data, cwd=None):
    """Runs fwsyncd, which has to end by itself; returns (exit code, stdout, stderr)."""
    command = [os.path.join(BUILD, "fwsyncd"), "--data", data, "--partitions", PARTITIONS] + PORTS
    command += [str(arg) for arg in args]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=cwd,
                          stdin=subprocess.DEVNULL, timeout=DEADLINE_S)
    return done.returncode, done.stdout, done.stderr


@contextlib.contextmanager
def folder():
    path = tempfile.mkdtemp(prefix="fwsync-test-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


# --- events

def event(**fields):
    return json.dumps(dict(report("x", "v1"), **fields))


def data(**members):
    return event(data=members)


WRITE = {"device": "x", "type": "ATTRIBUTES_UPDATED", "data": {"a": 1}, "scope": "SERVER_SCOPE"}

WRONG_EVENTS = [  # a line (str or bytes), the code, words of the error
    # not JSON
    ("{", "bad-json", []), ("}", "bad-json", []), ("nonsense", "bad-json", []),
    ('{"device":"x",}', "bad-json", []), ("{'device':'x'}", "bad-json", []),
    ('{"device":"x"', "bad-json", []), ('{"device":"x}', "bad-json", []),
    (event() + "x", "bad-json", []), (event() + event(), "bad-json", []),
    ('// comment\r' + event(), "bad-json", []), ("\x0b" + event(), "bad-json", []),
    ("\x00", "bad-json", []), (event() + "\x00", "bad-json", []), ("\ufeff" + event(), "bad-json", []),
    ('{"device":"x","type":NaN}', "bad-json", []), ('{"device":"x","type":undefined}', "bad-json", []),
    ('{"device":"x","type":"T","ts":01}', "bad-json", []), ('{"device":"x","type":"T","ts":+1}', "bad-json", []),
    ('{"device":"x","type":"T","ts":1.}', "bad-json", []), ('{"device":"x","type":"T","ts":.5}', "bad-json", []),
    ('{"device":"x","type":"T","ts":0x10}', "bad-json", []), ('{"device":"x","type":"T","ts":Infinity}', "bad-json", []),
    ('{"device":"x","type":"T\\x"}', "bad-json", []), ('{"device":"x","type":"T\\u12"}', "bad-json", []),
    ('{"device":"x","type":"a\tb"}', "bad-json", ["control"]),
    # not an object
    ("[]", "bad-json", ["object"]), ("1", "bad-json", ["object"]), ("null", "bad-json", ["object"]),
    ('"text"', "bad-json", ["object"]), ("true", "bad-json", ["object"]),
    # text
    (b'{"device":"\xff","type":"T"}', "bad-json", ["UTF-8"]),
    (b'{"device":"x\xc3","type":"T"}', "bad-json", ["UTF-8"]),
    (b'{"device":"\xc0\xaf","type":"T"}', "bad-json", ["UTF-8"]),
    (b'{"device":"\xed\xa0\x80","type":"T"}', "bad-json", ["UTF-8"]),
    (b'{"device":"\xf4\x90\x80\x80","type":"T"}', "bad-json", ["UTF-8"]),
    ('{"device":"\\u0000","type":"T"}', "bad-json", ["u0000"]),
    (data(a="x\0y"), "bad-json", ["u0000"]),
    ('{"device":"x","type":"T","a\\u0000b":1}', "bad-json", ["u0000"]),
    ('{"device":"\\ud800","type":"T"}', "bad-json", []), ('{"device":"\\udc00","type":"T"}', "bad-json", []),
    ('{"device":"\\ud800\\u0041","type":"T"}', "bad-json", []),
    # numbers
    (data(a=2 ** 53 + 1), "bad-json", ["2^53", "string"]), (data(a=-2 ** 53 - 1), "bad-json", ["2^53"]),
    (data(a=10 ** 30), "bad-json", ["2^53"]), (data(a={"b": [2 ** 53 + 1]}), "bad-json", ["2^53"]),
    ('{"device":"x","type":"T","data":{"a":1e999}}', "bad-json", ["large"]),
    (event(ts=2 ** 53 + 1), "bad-json", ["2^53"]), (event(source="s", n=2 ** 60), "bad-json", ["2^53"]),
    # keys
    ('{"device":"x","device":"y","type":"T"}', "bad-json", ["device", "twice"]),
    ('{"device":"x","type":"T","data":{"a":1,"b":2,"a":1}}', "bad-json", ["a", "twice"]),
    ('{"device":"x","type":"T","data":{"a":1,"\\u0061":1}}', "bad-json", ["twice"]),
    ('{"device":"x","type":"T","data":{"n":{"a":1,"a":1}}}', "bad-json", ["twice"]),
    (data(**{"": 1}), "bad-event", ["empty"]),
    # depth
    ("[" * 5000, "limit", ["32"]), ('{"a":' * 5000, "limit", ["32"]),
    ('{"device":"x","type":"T","data":{"a":%s}}' % ("[" * 31 + "]" * 31), "limit", ["32"]),
    # fields
    ("{}", "bad-event", ["device"]), ('{"device":"x"}', "bad-event", ["type"]),
    ('{"type":"T"}', "bad-event", ["device"]),
    ('{"device":"x","type":"POST_ATTRIBUTES_REQUEST"}', "bad-event", ["data"]),
    ('{"device":"x","type":"POST_TELEMETRY_REQUEST"}', "bad-event", ["data"]),
    (json.dumps({k: v for k, v in WRITE.items() if k != "scope"}), "bad-event", ["scope"]),
    (json.dumps({k: v for k, v in WRITE.items() if k != "data"}), "bad-event", ["data"]),
    (event(scope="SERVER_SCOPE"), "bad-event", ["scope", "ATTRIBUTES_UPDATED"]),
    (json.dumps(dict(WRITE, scope="SERVER_SCOP")), "bad-event", ["SERVER_SCOPE"]),
    (json.dumps(dict(WRITE, scope="server_scope")), "bad-event", ["SERVER_SCOPE"]),
    (json.dumps(dict(WRITE, scope=1)), "bad-event", ["scope", "string"]),
    (event(devcie="y"), "bad-event", ["devcie", "device"]), (event(metdata={}), "bad-event", ["metadata"]),
    (event(Device="y"), "bad-event", ["device"]), (event(zzzzzzzzzzzz=1), "bad-event", ["zzzzzzzzzzzz"]),
    (event(source="s"), "bad-event", ["n"]), (event(n=1), "bad-event", ["source"]),
    # types
    (event(device=1), "bad-event", ["device", "string"]), (event(device=None), "bad-event", ["device"]),
    (event(device=["x"]), "bad-event", ["device"]), (event(type=True), "bad-event", ["type", "string"]),
    (event(deviceType={}), "bad-event", ["deviceType", "string"]), (event(ts="now"), "bad-event", ["ts"]),
    (event(ts=1.5), "bad-event", ["ts"]), (event(ts=-1), "bad-event", ["ts"]), (event(ts=None), "bad-event", ["ts"]),
    (event(data=[]), "bad-event", ["data", "object"]), (event(data="x"), "bad-event", ["data", "object"]),
    (event(data=None), "bad-event", ["data", "object"]), (event(metadata=[]), "bad-event", ["metadata", "object"]),
    (event(metadata={"a": 1}), "bad-event", ["metadata.a", "string"]),
    (event(metadata={"a": None}), "bad-event", ["metadata.a", "string"]),
    (event(source=1, n=1), "bad-event", ["source", "string"]), (event(source="s", n="1"), "bad-event", ["n"]),
    (event(source="s", n=0), "bad-event", ["n"]), (event(source="s", n=-5), "bad-event", ["n"]),
    (event(source="s", n=1.5), "bad-event", ["n"]), (event(source="", n=1), "bad-event", ["source"]),
    # lengths
    (event(device=""), "bad-event", ["device", "empty"]), (event(type=""), "bad-event", ["type", "empty"]),
    (event(deviceType=""), "bad-event", ["deviceType"]),
    (event(device="d" * 256), "too-large", ["device", "256", "255"]),
    (event(device="é" * 128), "too-large", ["device", "256"]),
    (event(type="t" * 256), "too-large", ["type"]), (event(deviceType="t" * 256), "too-large", ["deviceType"]),
    (event(source="s" * 256, n=1), "too-large", ["source"]),
    (data(**{"k" * 256: 1}), "too-large", ["256", "255"]), (data(a="v" * 65537), "too-large", ["65537", "65536"]),
    (data(a=["v" * 65536]), "too-large", ["65536"]),
    (event(metadata={"k" * 256: "v"}), "too-large", ["256"]), (event(metadata={"a": "v" * 65537}), "too-large", ["65537"]),
    (data(**{str(i): i for i in range(1001)}), "limit", ["1001", "1000"]),
    (event(metadata={str(i): "" for i in range(1001)}), "limit", ["1001"]),
    # control characters in names
    (event(device="a\nb"), "bad-event", ["device", "control"]), (event(device="a\x1bb"), "bad-event", ["device"]),
    (event(device="a\x7fb"), "bad-event", ["device"]), (event(type="a\rb"), "bad-event", ["type"]),
    (event(deviceType="a\tb"), "bad-event", ["deviceType"]), (event(source="a\nb", n=1), "bad-event", ["source"]),
]

RIGHT_EVENTS = [  # just inside the bounds
    event(device="d" * 255), event(device="é" * 127), event(type="t" * 255), event(deviceType="t" * 255),
    event(source="s" * 255, n=2 ** 53), data(**{"k" * 255: 1}), data(a="v" * 65536),
    data(**{str(i): i for i in range(1000)}), event(metadata={str(i): "" for i in range(1000)}),
    data(a=2 ** 53, b=-2 ** 53), data(a=1e308), event(ts=0), event(metadata={}), event(data={}),
    '{"device":"x","type":"T","data":{"a":%s}}' % ("[" * 30 + "]" * 30),
    '{"device":"\\ud83d\\ude00 \\u00e9","type":"T"}', json.dumps(report("прилад 1", "v1"), ensure_ascii=False),
    ' \t{ "device" : "x" , "type" : "T" }\t \r', '{"device":"a/b \\"c\\" \\\\","type":"T"}',
]


@test
def test_a_wrong_event_is_rejected_with_code_and_reason():
    with Daemon() as daemon:
        for line, code, words in WRONG_EVENTS:
            line = line if isinstance(line, bytes) else line.encode()
            reply = daemon.send_events(line)
            assert (reply["ok"], reply["rejected"], reply.get("accepted")) == (False, 1, 0), (line[:200], reply)
            error = reply["errors"][0]
            assert error["line"] == 1 and error["code"] == code, (line[:200], code, error)
            for word in words:
                assert word in error["error"], (line[:200], word, error)
            assert len(error["error"]) > 8 and "\n" not in error["error"], error
        assert daemon.query({"op": "count"})["devices"] == 0, "nothing of them was taken"
        for line in RIGHT_EVENTS:
            reply = daemon.send_events(line)
            assert reply["ok"] and reply["accepted"] == 1, (line[:200], reply)
        names = {json.loads(line)["device"] for line in RIGHT_EVENTS}
        assert {d["device"] for d in daemon.query({"op": "devices"})["devices"]} == names


@test
def test_an_error_text_stays_utf_8_wherever_it_is_cut():
    with Daemon() as daemon:
        for shift in range(4):
            long = "x" * shift + "€😀é" * 30
            for line in (event(**{long: 1}), event(metadata={long[:80]: 1}), event(type=long * 3),
                         json.dumps(dict(WRITE, scope=long)), data(**{long * 2: 1}), data(**{long[:80]: "v" * 70000}),
                         '{"device":"x","type":"T","%s":1,"%s":1}' % (long, long)):
                reply = daemon.send_events(line)  # json.loads in there is the test
                assert reply["rejected"] == 1, reply
            for query in ({"op": long}, {"op": "ping", long: 1}, {"op": "device", "device": long[:70]},
                          {"op": "devices", "index": long, "value": 1}, {"op": "devices", "cursor": long}):
                assert daemon.query(query)["ok"] is False


@test
def test_a_wrong_query_costs_nothing_else():
    bodies = [b"", b"{", b"\xff", b"[]", b"null", b'{"op":"device","device":"\\u0000"}', b'{"op":' * 1000,
              b'{"op":"device","device":"' + b"x" * 300 + b'"}', b'{"op":"ping","limit":9007199254740993}',
              b'{"op":"devices","index":"server."}', b'{"op":"devices","index":"","value":1}',
              b'{"op":"devices","cursor":"' + b"A" * 5000 + b'"}', b'{"op":"devices","prefix":"' + b"p" * 5000 + b'"}',
              b'{"op":"devices","type":"' + b"t" * 5000 + b'"}', b'{"op":"devices","type":""}',
              b'{"op":"devices","index":"client.currentFwVer","value":"' + b"v" * 70000 + b'"}',
              b'{"op":"count","index":"client.currentFwVer","value":{"a":[1]}}',
              b'{"op":"count","index":"client.currentFwVer","cursor":"\xc3\xa9"}',
              b'{"op":"deadletters","cursor":"99999999999999999999999"}', b'{"op":"deadletters","cursor":"-1"}']
    with Daemon() as daemon:
        daemon.send_events([report("a", "v1"), report("b", "v2")])
        for body in bodies:
            reply = daemon.query(body)
            assert reply["ok"] in (True, False) and (reply["ok"] or reply["code"]), (body[:100], reply)
            if reply["ok"]:
                assert not reply.get("devices") or not isinstance(reply["devices"], list), (body[:100], reply)
        assert daemon.query({"op": "device", "device": "a"})["ok"]
        assert daemon.send_events(report("a", "v3"))["ok"]


# --- floods

def anonymous(daemon):
    return daemon.query({"op": "stats"})["memory"]["anonymous"]


@test
def test_a_flood_of_frames_is_dropped():
    with Daemon() as daemon:
        before = anonymous(daemon)
        for endpoint in (daemon.events, daemon.query_endpoint):
            sender = daemon.socket(zmq.DEALER, endpoint)
            for last in ([b"", b"{}"], [b"x"], [b"", b"", b""]):
                sender.send_multipart([b"x" * 100] * 20000 + last)
            sender.send_multipart([b""] * 20000)
            sender.send_multipart([b"y" * MIB] * 12 + [b"", b"{}"])
            sender.send_multipart([b"mine", b"", b"{}"])
            wait_until(lambda: receive(sender)[0] == b"mine")
        assert daemon.query({"op": "stats"})["traffic"]["malformed"] == 10
        assert daemon.send_events(report("a", "v1"))["accepted"] == 1
        if not SAN:
            assert anonymous(daemon) - before < 48 * MIB, anonymous(daemon)


@test
def test_a_flood_of_small_messages_keeps_the_doors_open_for_others():
    count = 30000
    with Daemon() as daemon:
        before = anonymous(daemon)
        flooders = []
        for endpoint, frames in ((daemon.events, [b"no", b"empty", b"frame"]), (daemon.events, [b"", b"\n"]),
                                 (daemon.events, [b"", b"bad"]), (daemon.query_endpoint, [b"", b'{"op":"devices"}'])):
            flooder = daemon.socket(zmq.DEALER, endpoint)
            flooder.sndhwm = 0
            for _ in range(count):
                flooder.send_multipart(frames)
            flooders.append(flooder)
        for i in range(20):
            assert daemon.send_events(report("a", f"v{i}"))["accepted"] == 1
            assert daemon.query({"op": "device", "device": "a"})["client"]["currentFwVer"] == f"v{i}"
        stats = wait_until(lambda: (lambda stats: stats["traffic"]["malformed"] == count
                                    and stats["events"]["rejected"] == count and stats)(daemon.query({"op": "stats"})))
        assert stats["events"]["accepted"] == 20
        if not SAN:
            assert anonymous(daemon) - before < 96 * MIB, anonymous(daemon)


@test
def test_an_asker_that_goes_with_questions_unread_takes_nobody_along():
    """The daemon has as many of them as it takes at once, and ZeroMQ as many as it keeps, so that it has stopped to
    read when the asker goes."""
    with Daemon() as daemon, Daemon() as clock:
        for i in range(20):
            assert daemon.send_events([report(f"d{j}", f"v{i}") for j in range(1000)])["ok"]
        asker = daemon.context.socket(zmq.DEALER)
        asker.linger = asker.sndhwm = asker.rcvhwm = 0
        asker.connect(daemon.query_endpoint)
        for _ in range(8000):
            asker.send_multipart([b"", b'{"op":"changes","after":1,"limit":1000}'])
        for _ in range(40):
            receive(asker)
        asker.close()
        beats = clock.subscribe("heartbeat")
        for _ in range(5):  # one a second
            beats.next()
        assert daemon.child.poll() is None, daemon.stderr
        sender = daemon.socket(zmq.DEALER, daemon.query_endpoint)
        sender.send_multipart([b"x"])
        assert json.loads(receive(sender)[-1])["code"] == "bad-query"


@test
def test_heartbeats_come_while_an_asker_asks_much_at_once():
    with Daemon() as daemon, Daemon() as clock:
        for i in range(20):
            assert daemon.send_events([report(f"d{j}", f"v{i}") for j in range(1000)])["ok"]
        beats, seconds = daemon.subscribe("heartbeat"), clock.subscribe("heartbeat")
        asker = daemon.socket(zmq.DEALER, daemon.query_endpoint)
        for _ in range(3000):  # half a minute of work, or so
            asker.send_multipart([b"", b'{"op":"changes","after":1,"limit":1000}'])
        receive(asker)
        while beats.socket.poll(0):  # from before
            beats.socket.recv_multipart()
        for _ in range(6):
            seconds.next()
        came = 0
        while beats.socket.poll(0):
            beats.socket.recv_multipart()
            came += 1
        assert came >= 3, f"{came} heartbeats in six seconds"


# --- rules

GOOD_RULES = """chain: root
first: mark
nodes:
  mark:
    type: set
    data: {mark: %s}
    to: {Success: save}
  save:
    type: save-attributes
    scope: SERVER_SCOPE
    keys: [mark]
"""


def write_file(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def places(stderr, file):
    return [(int(line), int(column)) for line, column in
            re.findall(rf"^{re.escape(file)}:(\d+):(\d+): .", stderr, re.MULTILINE)]


@test
def test_rules_with_errors_start_nothing_and_all_errors_are_listed():
    with folder() as top:
        rules, target = f"{top}/rules", f"{top}/data"
        os.mkdir(rules)
        root, other = f"{rules}/root.yaml", f"{rules}/other.yaml"
        write_file(root, "chain: root\nfirst: mark\nnodes:\n  mark:\n    type: sett\n    data: {mark: one}\n"
                         "    to: {Success: sav}\n  save:\n    type: save-attributes\n    scope: SERVER_SCOP\n"
                         "    keyz: [mark]\ncolour: red\n")
        write_file(other, "chain: other\nfirst: a\nnodes:\n  a: {type: log\n")
        code, out, err = ends("--rules", rules, data=target)
        assert (code, out) == (2, ""), (code, out, err)
        assert not os.path.exists(target), "a folder was made though nothing was to be started"
        found = places(err, root)
        for place, words in (((5, 11), ["sett", "'set'"]), ((10, 12), ["SERVER_SCOP", "SERVER_SCOPE"]),
                             ((11, 5), ["keyz", "'keys'"]), ((12, 1), ["colour"])):
            assert place in found, (place, err)
            line = next(line for line in err.splitlines() if line.startswith(f"{root}:{place[0]}:{place[1]}:"))
            assert all(word in line for word in words), line
        assert places(err, other), "the other file's errors are listed too"
        assert len(places(err, root)) + len(places(err, other)) == len(err.splitlines()), err
        for bad in (f"{top}/nowhere", root, f"{top}"):  # missing, a file, without a *.yaml
            code, _, err = ends("--rules", bad, data=target)
            assert code == 2 and err.startswith(bad) and not os.path.exists(target), (code, err)
        write_file(other, "")
        write_file(root, GOOD_RULES % "one" + "\0")
        assert ends("--rules", rules, data=target)[0] == 2
        code, _, err = ends("--check", "--rules", rules, data=target)
        assert code == 2 and err and not os.path.exists(target), "--check finds the same"


def rules_once_active(daemon):
    """The first rules are journaled as events are, so just after the start there are none."""
    return wait_until(lambda: (lambda rules: rules["ok"] and rules)(daemon.query({"op": "rules"})))


@test
def test_sighup_switches_rules_between_two_events():
    with folder() as rules:
        write_file(f"{rules}/root.yaml", GOOD_RULES % "one")
        with Daemon("--rules", rules) as daemon:
            before = rules_once_active(daemon)
            subscription = daemon.subscribe("attributes/")
            dealer = daemon.socket(zmq.DEALER, daemon.events)
            dealer.sndhwm = 0
            sent = answered = 0

            def push(count):
                nonlocal sent
                for _ in range(count):
                    sent += 1
                    dealer.send_multipart([b"", event(device=f"d{sent}").encode()])

            def take():
                nonlocal answered
                reply = json.loads(receive(dealer)[1])
                assert reply["accepted"] == 1, reply
                answered += 1

            push(500)
            while answered < 100:
                take()
            write_file(f"{rules}/root.yaml", GOOD_RULES % "two")
            daemon.signal(signal.SIGHUP)

            def switched():
                push(100)
                rules_now = daemon.query({"op": "rules"})
                return rules_now if rules_now["version"] != before["version"] else None
            after = wait_until(switched, what="the new rules are active")
            push(100)
            assert after["activated"] > before["activated"] and after["since"] >= before["since"]
            while answered < sent:
                take()
            seen = {}
            while len(seen) < sent:
                _, payload = subscription.next()
                assert payload["key"] == "mark"
                seen[payload["seq"]] = payload["value"]
            for seq, mark in seen.items():
                assert mark == ("one" if seq < after["activated"] else "two"), (seq, mark, after)
            assert set(seen.values()) == {"one", "two"}
            # the switch is part of the journal
            daemon.kill()
            daemon.restart()
            assert daemon.query({"op": "rules"})["activated"] == after["activated"]


@test
def test_sighup_with_broken_rules_keeps_the_old_ones():
    with folder() as rules:
        write_file(f"{rules}/root.yaml", GOOD_RULES % "one")
        with Daemon("--rules", rules) as daemon:
            before = rules_once_active(daemon)
            write_file(f"{rules}/root.yaml", (GOOD_RULES % "two").replace("type: set\n", "type: sett\n"))
            daemon.signal(signal.SIGHUP)
            wait_until(lambda: "rules-kept" in daemon.stderr, what="the log says that the rules stay")
            assert f"{rules}/root.yaml:5:11: " in daemon.stderr
            daemon.send_events(event(device="a"))
            assert daemon.query({"op": "device", "device": "a"})["server"] == {"mark": "one"}
            after = daemon.query({"op": "rules"})
            assert (after["version"], after["activated"]) == (before["version"], before["activated"])
            # and it still listens
            write_file(f"{rules}/root.yaml", GOOD_RULES % "three")
            daemon.signal(signal.SIGHUP)
            wait_until(lambda: daemon.query({"op": "rules"})["version"] != before["version"])
            daemon.send_events(event(device="a"))
            assert daemon.query({"op": "device", "device": "a"})["server"] == {"mark": "three"}


# --- settings

@test
def test_a_settings_file_with_errors_starts_nothing():
    with folder() as top:
        file, target = f"{top}/my.yaml", f"{top}/data"
        write_file(file, "checkpoint-ms: 500\ncheckpont-mib: 2000\nin-flight-events: 5\n"
                         "log-level:   loud\nindexes: [server.a, nowhere.b]\nresults-queue: [1]\n")
        code, out, err = ends("--config", file, data=target)
        assert (code, out) == (2, "") and not os.path.exists(target), (code, out, err)
        assert places(err, file) == [(2, 1), (3, 19), (4, 14), (5, 21), (6, 16)], err
        lines = err.splitlines()
        for line, words in zip(lines, (["checkpont-mib", "checkpoint-mib"], ["in-flight-events", "1000"],
                                       ["loud", "debug"], ["nowhere.b"], ["results-queue"])):
            assert all(word in line for word in words), line
        for text in ("- a\n- b\n", "a: [", "\tx: 1", "x: 1\nx: 2", "data: \"\\xff\0\""):
            write_file(file, text)
            code, _, err = ends("--config", file, data=target)
            assert code == 2 and err.startswith(f"{file}:") and not os.path.exists(target), (text, code, err)
        code, _, err = ends("--config", f"{top}/missing.yaml", data=target)
        assert code == 2 and "missing.yaml" in err and not os.path.exists(target)
        # found by itself in the working folder; an option beats it
        write_file(f"{top}/fwsync.yaml", "checkpoint-ms: 77\nresults-queue: 2000\n")
        code, out, err = ends("--check", "--checkpoint-ms", 99, data=target, cwd=top)
        assert code == 0 and not os.path.exists(target), (code, err)
        assert "checkpoint-ms: 99\n" in out and "results-queue: 2000\n" in out, out
        # what --check prints is a file that says the same
        write_file(file, out)
        assert ends("--check", "--config", file, data=target)[1] == out


@test
def test_indexes_without_the_verdict_are_warned_about():
    with folder() as top:
        for indexes, missing in (("client.site", "server.fwStateIsSynced, server.fwSyncState"),
                                 ("", "server.fwStateIsSynced, server.fwSyncState"),
                                 ("server.fwSyncState", "server.fwStateIsSynced"),
                                 ("server.fwStateIsSynced,client.fwSyncState", "server.fwSyncState"),
                                 ("server.fwStateIsSynced,server.fwSyncState", None)):
            code, _, err = ends("--check", "--indexes", indexes, data=f"{top}/data")
            assert code == 0 and err.count("\n") == (missing is not None), (indexes, err)
            assert missing is None or f' warn indexes-missing indexes="{missing}" help=' in err, (indexes, err)
        assert ends("--check", data=f"{top}/data")[2] == ""
    with Daemon("--indexes", "client.site") as daemon:
        assert "indexes-missing" in daemon.stderr, daemon.stderr
    with Daemon() as daemon:
        assert "indexes-missing" not in daemon.stderr, daemon.stderr


@test
def test_wrong_options_start_nothing():
    wrong = [
        (["--chek"], "--check"), (["--dat", "x", "--colour"], "--colour"), (["--checkpoint-ms"], "needs a value"),
        (["--checkpoint-ms", "5"], "10 to 60000"), (["--checkpoint-ms=60001"], "10 to 60000"),
        (["--checkpoint-ms", "5x"], "whole number"), (["--checkpoint-ms", ""], "whole number"),
        (["--checkpoint-ms", "99999999999999999999"], "whole number"), (["--check=1"], "takes no value"),
        (["stray"], "stray"), (["-x"], "-x"), (["-xyz"], "-xyz"), (["--log-level", "loud"], "loud"),
        (["--indexes", "server"], "server"), (["--indexes", "client.a,,client.b"], "indexes"),
        (["--indexes", "client.a,client.a"], "twice"), (["--data", ""], "data"),
        (["--indexes", ",".join(f"client.k{i}" for i in range(33))], "32"),
        (["--events", "foo"], "foo"), (["--events", "7601"], "7601: Invalid argument; an endpoint looks like tcp://"),
        (["--events", "tcp://127.0.0.1:99999"], "99999"),
        (["--query", "tcp://nowhere.invalid:1"], "nowhere.invalid"), (["--results", "udp://127.0.0.1:1"], "results"),
    ]
    with folder() as top:
        for args, word in wrong:
            code, out, err = ends(*args, data=f"{top}/data")
            assert (code, out) == (2, ""), (args, code, out, err)
            assert word in err and len(err.strip().splitlines()) <= 2, (args, err)
            assert os.listdir(top) == [], (args, "nothing is to be made")
        code, out, err = ends("--checkpoint-ms", "5", "--log-level", "loud", "--busy-after-ms", "0", data=f"{top}/data")
        assert (code, out) == (2, "") and "10 to 60000" in err and "loud" in err, (code, err)
        assert len(err.splitlines()) == 3, err


# --- addresses and folders

@test
def test_a_data_folder_belongs_to_one_daemon():
    with Daemon() as daemon:
        daemon.send_events(report("a", "v1"))
        code, out, err = ends(data=daemon.data)
        assert (code, out) == (1, ""), (code, out, err)
        assert daemon.data in err and "in use" in err and str(daemon.pid) in err, err
        assert daemon.send_events(report("a", "v2"))["accepted"] == 1
        daemon.kill()
        daemon.restart()  # whoever was killed holds nothing
        assert daemon.query({"op": "device", "device": "a"})["client"] == {"currentFwVer": "v2"}


@test
def test_a_data_folder_that_goes_away_stops_the_daemon():
    with tempfile.TemporaryDirectory() as top:
        for number, happens in enumerate([shutil.rmtree, lambda path: os.rename(path, path + ".old")]):
            path = f"{top}/{number}"
            with Daemon(data=path) as daemon:
                assert daemon.send_events({"device": "a", "type": "POST_TELEMETRY_REQUEST", "data": {}})["ok"]
                happens(path)
                if number == 1:
                    os.mkdir(path)
                    write_file(f"{path}/lock", "")
                assert daemon.wait() == 1, daemon.stderr
                word = ["removed", "replaced"][number]
                assert f"{path} was {word} under the running fwsyncd" in daemon.stderr, daemon.stderr


def refuses_what_another_has(daemon, top):
    for door, endpoint in (("events", daemon.events), ("query", daemon.query_endpoint), ("results", daemon.results)):
        code, out, err = ends(f"--{door}", endpoint, data=f"{top}/data")
        assert (code, out) == (1, "") and door in err and endpoint in err and "in use" in err, (code, err)


@test
def test_a_port_in_use_is_named():
    with Daemon() as daemon, folder() as top:
        refuses_what_another_has(daemon, top)
        assert daemon.query({"op": "ping"})["ok"]


@test
def test_an_ipc_endpoint_in_use_is_named_and_stays_the_other_daemons():
    with fixed_doors() as daemon, folder() as top:
        refuses_what_another_has(daemon, top)
        one = f"ipc://{top}/door"
        code, out, err = ends("--events", one, "--query", one, data=f"{top}/data")
        assert (code, out) == (1, "") and f"query: {one} is in use" in err, (code, err)
        code, out, err = fwsync("ping", daemon=daemon)  # a new connection
        assert code == 0, err
        daemon.kill()
        daemon.restart()  # whoever was killed holds none


@test
def test_no_permission_is_said():
    with folder() as top:
        write_file(f"{top}/file", "x")
        places_wrong = [f"{top}/file/data", "/proc/fwsync", f"{top}/" + "x" * 300, f"{top}/" + "x/" * 2100]
        if os.geteuid() != 0:
            os.mkdir(f"{top}/locked", 0o500)
            places_wrong.append(f"{top}/locked/data")
            with Daemon(data=f"{top}/mine") as daemon:
                daemon.stop()
            os.chmod(f"{top}/mine/state/data.mdb", 0o400)
            places_wrong.append(f"{top}/mine")
        for path in places_wrong:
            code, out, err = ends(data=path)
            assert (code, out) == (1, ""), (path[:100], code, err)
            assert "data" in err and len(err.strip().splitlines()) == 1, err
        os.makedirs(f"{top}/odd/journal/data.mdb")  # a folder where a file has to be
        code, out, err = ends(data=f"{top}/odd")
        assert (code, out) == (1, "") and f"{top}/odd/journal" in err, (code, err)


# --- damaged files

FILES = [("journal", "0000000000000000.log"), ("state", "data.mdb")]


def filled(data_folder, *args):
    """A data folder after a SIGKILL: 300 events, all still to be replayed."""
    with Daemon("--checkpoint-ms", 60000, *args, data=data_folder) as daemon:
        for i in range(3):
            lines = [report(f"d{j}", f"marker-{i}-{j:02d}") for j in range(100)]
            assert daemon.send_events(lines)["accepted"] == 100
        daemon.kill()


def refuses(data_folder, *words):
    code, out, err = ends(data=data_folder)
    assert code == 1 and out == "", (code, out, err)
    lines = err.strip().splitlines()
    assert " error stopped " in lines[-1], err
    for word in words:
        assert word in lines[-1], (word, err)
    return lines[-1]


@test
def test_a_truncated_database_is_refused():
    with folder() as top:
        filled(f"{top}/good")
        with Daemon(data=f"{top}/good") as daemon:
            daemon.stop()
        for part, name in FILES:
            path = f"{top}/bad/{part}/{name}"
            with open(f"{top}/good/{part}/{name}", "rb") as file:
                content = file.read()
            used = len(content.rstrip(b"\0"))
            for size in (1, 63, 64, 100, 4095, 4096, 8191, 8192, 8193, 12288, used // 2, used - 4096, used - 1):
                if part == "state" and size == used - 1:
                    continue  # what is behind the last byte of a page may be zeros that were cut off
                shutil.copytree(f"{top}/good", f"{top}/bad")
                os.truncate(path, size)
                # cut behind the head the journal looks like one whose last events were never written
                refuses(f"{top}/bad", path if part == "state" or size < 64 else "the state knows event 301")
                shutil.rmtree(f"{top}/bad")


@test
def test_a_foreign_or_empty_file_is_refused():
    with folder() as top:
        filled(f"{top}/good")
        foreign = f"{top}/foreign"
        os.mkdir(foreign)
        make_lmdb(foreign)
        contents = {"zero length": b"", "random bytes": os.urandom(64 * 1024), "zeros": bytes(64 * 1024),
                    "text": b"this is not a database\n" * 5000,
                    "an LMDB file of others": open(f"{foreign}/data.mdb", "rb").read()}
        for (part, name), other in zip(FILES, reversed(FILES)):
            path = f"{top}/bad/{part}/{name}"
            contents["the other part"] = open(f"{top}/good/{'/'.join(other)}", "rb").read()
            for what, content in contents.items():
                shutil.copytree(f"{top}/good", f"{top}/bad")
                with open(path, "wb") as file:
                    file.write(content)
                refuses(f"{top}/bad", path)
                with open(path, "rb") as file:
                    assert file.read() == content, (what, "a file that isn't ours was changed")
                shutil.rmtree(f"{top}/bad")


def make_lmdb(path):
    """An LMDB environment of somebody else, in `path`."""
    lmdb = ctypes.CDLL("liblmdb.so.0")

    class Val(ctypes.Structure):
        _fields_ = [("size", ctypes.c_size_t), ("data", ctypes.c_char_p)]

    env, txn, dbi = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_uint()
    steps = [lambda: lmdb.mdb_env_create(ctypes.byref(env)), lambda: lmdb.mdb_env_set_maxdbs(env, 4),
             lambda: lmdb.mdb_env_open(env, path.encode(), 0, 0o644),
             lambda: lmdb.mdb_txn_begin(env, None, 0, ctypes.byref(txn)),
             lambda: lmdb.mdb_dbi_open(txn, b"theirs", 0x40000, ctypes.byref(dbi)),
             lambda: lmdb.mdb_put(txn, dbi, ctypes.byref(Val(1, b"k")), ctypes.byref(Val(1, b"v")), 0),
             lambda: lmdb.mdb_txn_commit(txn)]
    for step in steps:
        assert step() == 0
    lmdb.mdb_env_close(env)


def flip_bit(path, marker):
    """Flips one bit in every copy of `marker` that the file holds."""
    with open(path, "r+b") as file:
        content = bytearray(file.read())
        at, count = content.find(marker), 0
        while at >= 0:
            content[at + len(marker) - 1] ^= 1
            at, count = content.find(marker, at + 1), count + 1
        file.seek(0)
        file.write(content)
    assert count > 0, f"{path} has no {marker}"


@test
def test_a_flipped_bit_in_the_journal_is_noticed_at_replay():
    with folder() as top:
        filled(f"{top}/data")
        flip_bit(f"{top}/data/journal/0000000000000000.log", b"marker-1-50")
        refuses(f"{top}/data", f"{top}/data/journal/0000000000000000.log", "checksum", "backup")


@test
def test_a_journal_of_an_older_build_is_refused():
    with folder() as top:
        os.makedirs(f"{top}/old/journal")
        make_lmdb(f"{top}/old/journal")
        refuses(f"{top}/old", f"{top}/old/journal/data.mdb", "older")


@test
def test_events_that_a_crash_tore_off_are_said_and_gone():
    """What was never on disk was never acknowledged; here it is cut off behind the daemon's back."""
    with folder() as top:
        filled(f"{top}/data")
        path = f"{top}/data/journal/0000000000000000.log"
        with open(path, "rb") as file:
            used = len(file.read().rstrip(b"\0"))
        os.truncate(path, used - 10)
        with Daemon(data=f"{top}/data") as daemon:
            assert daemon.query({"op": "ping"})["seq"] == 201
            assert "journal-end-dropped" in daemon.stderr and "seq=201" in daemon.stderr
            assert daemon.send_events(report("d1", "v"))["first"] == 202
            daemon.stop()
            daemon.restart()
            assert daemon.query({"op": "ping"})["seq"] == 202


@test
def test_a_flipped_bit_in_the_state_is_noticed_where_it_is_read():
    with folder() as top:
        filled(f"{top}/data")
        with Daemon(data=f"{top}/data") as daemon:
            daemon.stop()
        flip_bit(f"{top}/data/state/data.mdb", b"marker-2-50")
        with Daemon(data=f"{top}/data") as daemon:
            assert daemon.query({"op": "device", "device": "d49"})["client"] == {"currentFwVer": "marker-2-49"}
            reply = daemon.query({"op": "device", "device": "d50"})
            assert reply["ok"] is False and reply["code"] == "damaged", reply
            assert f"{top}/data/state/data.mdb" in reply["error"], reply
            assert daemon.query({"op": "ping"})["ok"]
            daemon.kill()


def branch_pages(content):
    """Where the last link of each branch page of an LMDB file has the upper bits of its page number."""
    for start in range(2 * 4096, len(content), 4096):
        flags, lower = struct.unpack_from("<HH", content, start + 10)
        if flags == 1 and 18 <= lower < 4096:
            yield start + struct.unpack_from("<H", content, start + lower - 2)[0] + 4


@test
def test_a_link_to_nowhere_in_the_state_is_called_damage():
    with folder() as top:
        with Daemon(data=f"{top}/good") as daemon:
            daemon.send_events([report(f"d{i}", f"v{i}-" + "x" * 100) for i in range(500)])
            daemon.stop()
        path = f"{top}/bad/state/data.mdb"
        with open(f"{top}/good/state/data.mdb", "rb") as file:
            content = file.read()
        refused = 0
        for at in branch_pages(content):
            shutil.copytree(f"{top}/good", f"{top}/bad")
            with open(path, "r+b") as file:
                file.seek(at)
                file.write(b"\xff\xff")
            with contextlib.ExitStack() as stack:
                try:
                    daemon = stack.enter_context(Daemon(data=f"{top}/bad"))
                except AssertionError as error:
                    assert "code=damaged" in str(error) and "start again" in str(error), error
                    refused += 1
                else:  # a page that isn't in use any more
                    assert daemon.query({"op": "device", "device": "d250"})["ok"]
                    daemon.stop()
            shutil.rmtree(f"{top}/bad")
        assert refused >= 2, refused


@test
def test_a_signal_that_ends_it_leaves_a_line_with_a_hint():
    with folder() as top:
        filled(f"{top}/data")
        with Daemon(data=f"{top}/data") as daemon:
            os.truncate(f"{top}/data/state/data.mdb", 2 * 4096)  # behind its back: what it maps is gone
            asker = daemon.socket(zmq.DEALER, daemon.query_endpoint)
            for number in range(100):
                asker.send_multipart([b"", json.dumps({"op": "device", "device": f"d{number}"}).encode()])
            status = daemon.wait()
            if "address" in SAN or "thread" in SAN:  # these have a report of their own
                assert status != 0 and "BUS" in daemon.stderr, (status, daemon.stderr)
                return
            assert status == -signal.SIGBUS, status
            line = daemon.stderr.splitlines()[-1]
            assert line.startswith("error crashed signal=SIGBUS thread=applier hint=\"the disk may fail"), line
            assert f"{top}/data/state may be damaged" in line and "restore a backup" in line, line


@test
def test_parts_that_do_not_belong_together_are_refused():
    with folder() as top:
        filled(f"{top}/long")
        with Daemon(data=f"{top}/long") as daemon:
            daemon.stop()
        with Daemon(data=f"{top}/short") as daemon:
            daemon.send_events(report("a", "v1"))
            daemon.stop()
        shutil.rmtree(f"{top}/short/state")
        shutil.copytree(f"{top}/long/state", f"{top}/short/state")
        refuses(f"{top}/short", "journal", "state", "301", "2")
        # a state that is lost is built again from a whole journal
        shutil.rmtree(f"{top}/long/state")
        with Daemon(data=f"{top}/long") as daemon:
            assert daemon.query({"op": "count"})["devices"] == 100
            assert daemon.query({"op": "device", "device": "d7"})["client"] == {"currentFwVer": "marker-2-07"}


# --- stopping

@test
def test_sigterm_under_load_loses_nothing_that_was_acknowledged():
    with Daemon() as daemon:
        dealer = daemon.socket(zmq.DEALER, daemon.events)
        dealer.sndhwm = dealer.rcvhwm = 0
        count, per = 4000, 20
        for i in range(count):
            lines = [event(device=f"d{i}-{j}") for j in range(per)]
            dealer.send_multipart([b"%d" % i, b"", "\n".join(lines).encode()])
        acked = {}

        def take():
            while dealer.poll(0):
                number, _, body = dealer.recv_multipart()
                reply = json.loads(body)
                if reply["ok"]:
                    assert reply["accepted"] == per
                    acked[int(number)] = (reply["first"], reply["last"])
                else:
                    assert reply["code"] == "busy", reply
        wait_until(lambda: take() or len(acked) > 50, what="it is at work")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
        wait_until(lambda: take() or not dealer.poll(200), what="its last answers are read")
        assert "stopped" in daemon.stderr
        daemon.restart()
        last = daemon.query({"op": "ping"})["seq"]
        devices = daemon.query({"op": "count"})["devices"]
        assert daemon.query({"op": "stats"})["events"]["replayed"] == 0, "it made a last checkpoint"
        assert max(last_seq for _, last_seq in acked.values()) <= last
        assert devices == last - 1 and devices >= len(acked) * per, (devices, last, len(acked))
        for number in list(acked)[::97] + [max(acked)]:
            for j in (0, per - 1):
                assert daemon.query({"op": "device", "device": f"d{number}-{j}"})["ok"], number


main()

"""The command line tool as people and scripts use it, with the real daemon. Where the daemon would have
to misbehave (be busy, fall silent, lose results) a stand-in does."""
import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
import time

import zmq

from harness import BUILD, DEADLINE_S, ROOT, SAN, Daemon, Skip, fixed_doors, fwsync, main, test, wait_until
from tool import NOWHERE, StandIn, accepted, done, doors, read_line, started

COMMANDS = ["send", "get", "list", "count", "explain", "history", "watch", "stats", "metrics", "deadletters",
            "ping", "export", "import", "backup", "completion", "rules apply", "rules check", "rules draw",
            "rules judge", "rules list", "rules rollback", "rules show", "rules test", "rules trace",
            "rules whatif"]


def report(device, version, **more):
    return json.dumps({"device": device, "type": "POST_ATTRIBUTES_REQUEST",
                       "data": {"currentFwVer": version}, **more})


# --- help and bad usage


@test
def every_command_has_help_with_an_example():
    overview = done(fwsync("--help"))
    assert done(fwsync("help")) == overview
    for command in COMMANDS:
        assert f"\n  {command} " in overview, command
        text = done(fwsync("help", *command.split()))
        assert done(fwsync(*command.split(), "--help")) == text
        assert re.search(rf"^  fwsync {command}", text, re.M), text


@test
def help_shows_the_options_that_a_command_uses():
    def options(command):
        return re.findall(r"^  (--\S+)", done(fwsync("help", *command.split())), re.M)

    assert options("rules list") == ["--json", "--timeout", "--query", "--help"]
    assert options("watch") == ["--since", "--no-wait", "--count", "--timeout", "--json", "--query", "--results",
                                "--help"]
    assert options("get") == ["--at", "--json", "--timeout", "--query", "--watch", "--help"]
    assert options("send")[-4:] == ["--json", "--timeout", "--events", "--help"]


@test
def a_group_of_commands_lists_them():
    listed = done(fwsync("help", "rules"))
    assert sorted(re.findall(r"^  (\S+ \S+)  ", listed, re.M)) == [name for name in COMMANDS if " " in name]
    assert done(fwsync("rules", "--help")) == done(fwsync("rules", "help")) == listed
    code, out, _ = fwsync("rules")
    assert (code, out) == (2, listed)


@test
def version_is_printed():
    assert re.fullmatch(r"fwsync \d+\.\d+\.\d+\n", done(fwsync("--version")))


@test
def bad_usage_exits_with_2_and_names_the_nearest_word():
    for args, said in [
            (["lst"], "did you mean 'list'?"),
            (["help", "wach"], "did you mean 'watch'?"),
            (["nonsense-altogether"], "no command 'nonsense-altogether'; there are: help, rules, send, get, list"),
            (["list", "--unsync"], "did you mean --unsynced?"),
            (["list", "--limit", "0"], "'0' is not a whole number from 1 to 1000000000"),
            (["list", "--limit"], "--limit needs a value"),
            (["list", "--synced", "--unsynced"], "exclude each other"),
            (["list", "ESP32"], "fwsync get ESP32"),
            (["list", "-u"], "no option -u"),
            (["get"], "DEVICE is missing"),
            (["get", "a", "b"], "too much: 'b'"),
            (["send"], "DEVICE is missing"),
            (["send", "a"], "nothing to send"),
            (["send", __file__], f"did you mean: fwsync send - <{__file__}"),
            (["send", "a", "b"], "neither key=value nor key:=json"),
            (["send", "a", "b:=v1.2"], "for a string write b=v1.2"),
            (["--timeout", "2147484", "ping"], "'2147484' is not a number of seconds above 0, at most 2147483"),
            (["watch", "--timeout", "2147484"], "'2147484' is not a number of seconds above 0, at most 2147483"),
            (["send", "-", "a=b"], "'a=b' goes with a DEVICE"),
            (["send", "-", "--server"], "--server goes with a DEVICE"),
            (["send", "-", "--source", "x", "--client", "a=b"], "--client goes with a DEVICE"),
            (["send", "a", "b=1", "b=2"], "'b' is given twice"),
            (["send", "a", "b=1", "--source", "x"], "--source numbers lines"),
            (["--timeout", "x", "ping"], "'x' is not a number of seconds"),
            (["--query", "nonsense", "ping"], "cannot use the endpoint 'nonsense': Invalid argument; one looks like "
                                              "tcp://127.0.0.1:7602"),
            (["--events", "nonsense", "send", "a", "b=1"], "one looks like tcp://127.0.0.1:7601"),
            (["--results", "nonsense", "watch"], "one looks like tcp://127.0.0.1:7603"),
            (["restore", "x"], "no command 'restore': a backup is restored by starting from it: fwsyncd --data DIR"),
            (["delete", "x"], "no command 'delete': "),
            (["watch", "sync/"], "the DEVICE behind 'sync/' is missing"),
            (["watch", "Sync"], "'Sync' can't be a class"),
            (["watch", "a_b/ESP32"], "'a_b' can't be a class"),
            (["watch", "/ESP32"], "'' can't be a class"),
            (["watch", "heartbeat"], "heartbeats are no results"),
            (["rules", "chek", "x"], "did you mean 'check'?"),
            (["rules", "nonsense"], "no command 'nonsense'; there are: check, test, draw, "),
            (["rules", "what"], "did you mean 'whatif'?"),
            (["whatif", "x"], "there is no command 'whatif'; did you mean 'rules whatif'?"),
            (["help", "rules", "shw"], "did you mean 'show'?"),
            (["rule"], "did you mean 'rules'?"),
            (["rules", "list", "x"], "too much: 'x'"),
            (["rules", "check"], "DIR is missing")]:
        code, out, err = fwsync(*args, env=NOWHERE)
        assert code == 2 and out == "" and said in err, (args, code, out, err)
    assert fwsync()[0] == 2


@test
def no_daemon_is_said_so():
    for args in [["ping"], ["get", "x"], ["list"], ["count"], ["stats"], ["deadletters"], ["explain", "x"],
                 ["history", "x"], ["metrics"], ["export"], ["count", "type", "--at", "1h"],
                 ["send", "a", "b=c"], ["watch"]]:
        code, out, err = fwsync("--timeout", "0.2", *args, env=NOWHERE)
        assert code == 1 and out == "", (args, code, out)
        assert "tcp://127.0.0.1:1 within 0.2 s: is fwsyncd running?" in err, (args, err)
    code, out, err = fwsync("--timeout", "0.2", "ping", "--json", env=NOWHERE)
    assert code == 1 and err == "" and json.loads(out)["code"] == "timeout"
    code, out, err = fwsync("--timeout", "0.2", "send", "-", input=report("a", "1"), env=NOWHERE)
    assert code == 1 and "is fwsyncd running?" in err and "1 without an answer" in out, (out, err)


@test
def the_wrong_door_is_named():
    with Daemon() as daemon:
        for args in [["ping"], ["get", "x"], ["list"], ["count"], ["count", "currentFwVer"], ["stats"]]:
            code, out, err = fwsync("--query", daemon.events, *args)
            assert code == 1 and out == "", (args, code, out)
            assert f"{daemon.events} is an events door, not a query door" in err, (args, err)
        for args, text in [(["send", "a", "b=c"], None), (["send", "-"], report("a", "v1"))]:
            code, out, err = fwsync("--events", daemon.query_endpoint, *args, input=text)
            assert code == 1 and f"{daemon.query_endpoint} is a query door, not an events door" in err, err


# --- one device, and the fleet

@test
def a_source_or_a_type_without_a_name_is_refused():
    for args in (["-", "--source", ""], ["-", "--source="], ["d", "--type", "", "a=1"]):
        code, out, err = fwsync("send", *args, env=NOWHERE)
        assert (code, out) == (2, "") and f"the name behind {args[1].strip('=')} is empty" in err, (args, code, err)


@test
def what_is_sent_is_there():
    with Daemon() as daemon:
        assert done(fwsync("send", "ESP32", "--type", "ESP32_OTA", "currentFwVer=1.20", "n:=2",
                           daemon=daemon)) == "accepted 1 event, seq 2\n"
        assert done(fwsync("send", "ESP32", "--server", "lastTargetFwVer=1.2", "--shared", "targetFwVer=1.2",
                           "--telemetry", "counter:=1.0", daemon=daemon)) == "accepted 3 events, seq 3 to 5\n"
        device = json.loads(done(fwsync("get", "ESP32", "--json", daemon=daemon)))
        assert device["client"] == {"currentFwVer": "1.20", "n": 2}
        assert device["server"] == {
            "lastTargetFwVer": "1.2", "fwStateIsSynced": False, "fwSyncState": "newer",
            "fwSyncReason": "runs 1.20, should run 1.2; the downgrade has not begun"}
        assert device["shared"] == {"targetFwVer": "1.2"} and device["telemetry"] == {"counter": 1.0}
        lines = done(fwsync("get", "ESP32", daemon=daemon)).splitlines()
        assert "client\tcurrentFwVer\t1.20" in lines and "device\ttype\tESP32_OTA" in lines, lines
        table = done(fwsync("get", "ESP32", daemon=daemon, env={"FWSYNC_TABLE": "1"}))
        assert re.search(r'^client +currentFwVer +"1.20"$', table, re.M), table
        code, out, err = fwsync("get", "ESP33", daemon=daemon)
        assert (code, out) == (1, "") and 'no device "ESP33"' in err
        code, out, err = fwsync("get", "ESP33", "--json", daemon=daemon)
        assert (code, err) == (1, "") and json.loads(out)["code"] == "not-found"


@test
def groups_go_in_one_request_in_order():
    with StandIn(lambda _, body: accepted(body)) as daemon:
        done(fwsync("--events", daemon.endpoint, "send", "--type", "T", "d", "a=1", "--server", "b=2", "c=3",
                    "--shared", "d=4", "--server", "e=5"))
        assert len(daemon.bodies) == 1
        events = [json.loads(line) for line in daemon.bodies[0].split("\n")]
        assert [(event.get("scope"), event["data"]) for event in events] == [
            (None, {"a": "1"}), ("SERVER_SCOPE", {"b": "2", "c": "3"}), ("SHARED_SCOPE", {"d": "4"}),
            ("SERVER_SCOPE", {"e": "5"})]
        assert all(event["deviceType"] == "T" and event["device"] == "d" for event in events)


@test
def the_deepest_value_an_event_may_bring_can_be_shown():
    deepest = "[" * 30 + "]" * 30
    with Daemon() as daemon:
        done(fwsync("send", "d", f"deep:={deepest}", daemon=daemon))
        assert deepest in done(fwsync("get", "d", daemon=daemon))
        listed = json.loads(done(fwsync("list", "--json", daemon=daemon)))
        assert json.dumps(listed["client"]["deep"]).replace(" ", "") == deepest


@test
def a_rejected_event_is_told_and_exits_with_1():
    with Daemon() as daemon:
        code, out, err = fwsync("send", "d" * 256, "a=1", daemon=daemon)
        assert code == 1 and out == "" and "event 1 is rejected: " in err, (code, out, err)


@test
def list_filters_and_pages():
    with Daemon() as daemon:
        events = []
        for number in range(1200):
            name = f"d{number:04}"
            events.append({"device": name, "type": "ATTRIBUTES_UPDATED", "scope": "SERVER_SCOPE",
                           "data": {"lastTargetFwVer": "v2"}})
            events.append({"device": name, "deviceType": "even" if number % 2 == 0 else "odd",
                           "type": "POST_ATTRIBUTES_REQUEST",
                           "data": {"currentFwVer": f"v{number % 3}"}})
        assert daemon.send_events(events)["rejected"] == 0

        def names(*args):
            code, out, err = fwsync("list", *args, daemon=daemon)
            assert code == 0, err
            return [line.split("\t")[0] for line in out.splitlines()], err

        everything, note = names("--all")
        assert everything == [f"d{number:04}" for number in range(1200)] and note == ""
        first, note = names()
        assert first == everything[:100] and "the first 100" in note
        assert names("--limit", "1200") == (everything, "")
        assert len(names("--limit", "1199")[0]) == 1199 and "the first 1199" in names("--limit", "1199")[1]
        wanted = [name for number, name in enumerate(everything)
                  if number % 2 == 0 and number % 3 == 2 and name.startswith("d00")]
        assert names("--synced", "--version", "v2", "--target", "v2", "--type", "even", "--prefix",
                     "d00") == (wanted, "")
        assert names("--unsynced", "--target", "v2", "--all") == (
            [name for number, name in enumerate(everything) if number % 3 != 2], "")
        assert names("--version", "v9") == ([], "")
        row = done(fwsync("list", "--prefix", "d0000", daemon=daemon))
        assert re.fullmatch(r"d0000\teven\tv0\tv2\tno\t\S+\t\d{4}-\d\d-\d\dT[\d:.]+Z\t[^\t]+\t\d{4}-\d\d-\d\dT[\d:.]+Z\n", row), row
        objects = done(fwsync("list", "--prefix", "d000", "--json", daemon=daemon)).splitlines()
        assert [json.loads(line)["device"] for line in objects] == everything[:10]


@test
def count_finds_the_index_and_reads_the_value_both_ways():
    with Daemon() as daemon:
        daemon.send_events("\n".join(
            [report("a", "v1", deviceType="T"), report("b", "1.0"), report("c", 1.0), report("d", "1.0")]))
        daemon.send_events({"device": "e", "type": "ATTRIBUTES_UPDATED", "scope": "SHARED_SCOPE",
                            "data": {"x": 1}})

        def count(*args):
            return dict(line.split("\t") for line in done(fwsync("count", *args, daemon=daemon)).splitlines())

        assert count() == {"devices": "5", "synced": "0", "not synced": "5", "unknown": "0",
                           "no-target": "5"}
        assert count("currentFwVer") == count("client.currentFwVer")
        assert sorted(done(fwsync("count", "currentFwVer", daemon=daemon)).splitlines()) == [
            "1.0\t1", "1.0\t2", "v1\t1"]
        assert count("currentFwVer", "v1") == {"v1": "1"} and count("currentFwVer", "v9") == {"v9": "0"}
        assert done(fwsync("count", "currentFwVer", "1.0", daemon=daemon)) == "1.0\t1\n1.0\t2\n"
        assert count("fwStateIsSynced", "false") == {"false": "5"}
        assert count("type") == {"T": "1", "default": "4"}
        code, out, err = fwsync("count", "nonsense", daemon=daemon)
        assert code == 1 and 'none on "nonsense"' in err, err


@test
def list_reads_a_version_as_count_does():
    with Daemon() as daemon:
        events = [{"device": f"{kind}{number}", "type": "ATTRIBUTES_UPDATED", "scope": scope,
                   "data": {key: value}}
                  for number in range(3) for kind, value in [("s", "1.1"), ("n", 1.1), ("o", "1.10")]
                  for scope, key in [("CLIENT_SCOPE", "currentFwVer"), ("SERVER_SCOPE", "lastTargetFwVer")]]
        assert daemon.send_events(events)["rejected"] == 0

        def names(*args):
            return [line.split("\t")[0] for line in done(fwsync("list", *args, daemon=daemon)).splitlines()]

        strings, numbers = ["s0", "s1", "s2"], ["n0", "n1", "n2"]
        for option in ["--version", "--target"]:
            assert names(option, "1.1") == strings + numbers
            assert names(option, '"1.1"') == strings
            assert names(option, "1.10") == ["o0", "o1", "o2"] + numbers
        assert names("--version", "1.1", "--target", "1.1") == strings + numbers
        assert names("--version", "1.1", "--target", '"1.1"') == strings
        code, out, err = fwsync("list", "--version", "1.1", "--limit", "4", daemon=daemon)
        assert code == 0 and len(out.splitlines()) == 4 and "the first 4" in err, (out, err)
        assert done(fwsync("count", "currentFwVer", '"1.1"', daemon=daemon)) == "1.1\t3\n"
        code, out, err = fwsync("count", "fwStateIsSynced", "no", daemon=daemon)
        assert (code, out) == (0, "no\t0\n") and "write true or false" in err, (out, err)


@test
def stats_and_ping_answer():
    with Daemon() as daemon:
        assert "answers at" in done(fwsync("ping", daemon=daemon))
        stats = dict(line.split("\t") for line in done(fwsync("stats", daemon=daemon)).splitlines())
        assert stats["events.accepted"] == "0" and "ok" not in stats, stats
        assert json.loads(done(fwsync("stats", "--json", daemon=daemon)))["ok"] is True


@test
def deadletters_are_listed_newest_first():
    with tempfile.TemporaryDirectory() as rules:
        with open(os.path.join(rules, "root.yaml"), "w", encoding="utf-8") as file:
            file.write("chain: root\nfirst: look\nnodes:\n  look:\n    type: fetch-attributes\n"
                       "    client: [absent]\n    require: true\n")
        code, out, _ = fwsync("rules", "check", rules)
        assert code == 0, out
        with Daemon("--rules", rules) as daemon:
            assert done(fwsync("deadletters", daemon=daemon)) == ""
            for version in ["v1", "v2", "v3"]:
                done(fwsync("send", "ESP32", f"currentFwVer={version}", daemon=daemon))
            lines = done(fwsync("deadletters", daemon=daemon)).splitlines()
            assert [line.split("\t")[0] for line in lines] == ["4", "3", "2"], lines
            assert all(line.split("\t")[2:4] == ["ESP32", "root/look"] for line in lines), lines
            code, out, err = fwsync("deadletters", "--limit", "2", "--json", daemon=daemon)
            letters = [json.loads(line) for line in out.splitlines()]
            assert [letter["event"]["data"]["currentFwVer"] for letter in letters] == ["v3", "v2"]
            assert code == 0 and "newest 2 of 3" in err, err


@test
def output_that_cannot_be_written_is_an_error():
    with Daemon() as daemon, open("/dev/full", "w", encoding="utf-8") as full:
        child = subprocess.run([os.path.join(BUILD, "fwsync"), "stats"], stdout=full, timeout=DEADLINE_S,
                               stderr=subprocess.PIPE, text=True, env=dict(os.environ, **doors(daemon)))
        assert child.returncode == 1 and "cannot write" in child.stderr, child


# --- send -

@test
def bad_lines_are_reported_with_their_number():
    lines = [report(f"d{number}", "v1") for number in range(1, 251)]
    lines[0] = ""
    lines[119] = "nonsense"
    lines[249] = '{"device":"x"}'
    with Daemon() as daemon:
        code, out, err = fwsync("send", "-", input="\r\n".join(lines), daemon=daemon)
        assert code == 1 and "249 events: 247 accepted, 0 duplicates, 2 rejected" in out, (out, err)
        assert [int(n) for n in re.findall(r"line (\d+) is rejected", err)] == [120, 250], err


@test
def a_rerun_with_a_source_applies_nothing_twice():
    lines = "\n".join(["", *(report(f"d{number}", "v1") for number in range(500))])
    with Daemon() as daemon:
        args = ["send", "-", "--source", "fleet", "--json"]
        first = json.loads(done(fwsync(*args, input=lines, daemon=daemon)))
        assert (first["accepted"], first["duplicates"], first["lines"]) == (500, 0, 501), first
        again = json.loads(done(fwsync(*args, input=lines + "\n" + report("new", "v1"), daemon=daemon)))
        assert (again["accepted"], again["duplicates"]) == (1, 500), again


@test
def lines_of_any_length_keep_their_numbers():
    long = report("long", "x" * 65000)
    lines = [report("a", "1"), "x" * (1 << 20), "y" * ((1 << 20) + 1), "z" * (3 << 20), "", "  ",
             *[long] * 20, "w" * (2 << 20)]
    with Daemon() as daemon:
        code, out, err = fwsync("send", "-", input="\n".join(lines), daemon=daemon)
        assert code == 1 and "25 events: 21 accepted, 0 duplicates, 4 rejected" in out, (out, err[:500])
        assert sorted(int(n) for n in re.findall(r"line (\d+) is rejected", err)) == [2, 3, 4, 27], err[:500]


@test
def a_slow_producer_is_not_kept_waiting():
    with Daemon() as daemon, started("send", "-", env=doors(daemon)) as child:
        for number in range(3):
            child.stdin.write(report("slow", f"v{number}") + "\n")
            child.stdin.flush()
            deadline = time.monotonic() + DEADLINE_S
            while daemon.query({"op": "stats"})["events"]["accepted"] <= number:
                assert time.monotonic() < deadline, "the line was not sent while the input stayed open"
        out, err = child.communicate(timeout=DEADLINE_S)
        assert child.returncode == 0 and out.startswith("3 events: 3 accepted"), (out, err)


def sent_lines(stand_in):
    """For each request, the devices of its lines."""
    return [[json.loads(line)["device"] for line in body.split("\n")] for body in stand_in.bodies]


@test
def busy_requests_are_sent_again_and_order_is_kept():
    def answer(number, body):
        busy = {"ok": False, "code": "busy", "retry_ms": 20, "error": "too much"}
        return busy if number == 2 else accepted(body)

    names = [f"d{number:03}" for number in range(350)]
    with StandIn(answer) as daemon:
        out = done(fwsync("--events", daemon.endpoint, "send", "-",
                          input="\n".join(report(name, "v1") for name in names)))
        assert out.startswith("350 events: 350 accepted"), out
        requests = sent_lines(daemon)
        assert requests[2] == requests[1], "the busy one was sent again, and nothing before it"
        del requests[1]
        assert [name for devices in requests for name in devices] == names, "all once, in order"


@test
def a_source_never_has_two_requests_under_way():
    def answer(number, body):
        return {"ok": False, "code": "busy", "retry_ms": 1} if number % 2 == 1 else accepted(body)

    with StandIn(answer) as daemon:
        lines = "\n".join(report(f"d{number}", "v1") for number in range(300))
        done(fwsync("--events", daemon.endpoint, "send", "-", "--source", "s", input=lines))
        numbers = [[json.loads(line)["n"] for line in body.split("\n")] for body in daemon.bodies]
        assert numbers[::2] == numbers[1::2], numbers
        assert [n for request in numbers[::2] for n in request] == list(range(1, 301)), numbers


@test
def silence_is_answered_by_sending_again():
    def answer(number, body):
        return None if number == 2 else accepted(body)

    with StandIn(answer) as daemon:
        lines = "\n".join(report(f"d{number}", "v1") for number in range(150))
        code, out, err = fwsync("--events", daemon.endpoint, "--timeout", "0.5", "send", "-", input=lines)
        assert code == 0 and out.startswith("150 events: 150 accepted"), (out, err)
        assert "no answer; sending again" in err, err


@test
def a_daemon_that_falls_silent_is_not_called_busy():
    if SAN:
        raise Skip("LD_PRELOAD and sanitizers don't go together")
    busy = {"ok": False, "code": "busy", "retry_ms": 10000, "error": "the disk is full"}
    env = {"LD_PRELOAD": os.path.abspath(f"{BUILD}/tests/fault/fastclock.so")}
    for later, said in [(None, "no answer from {} within 60 s: is fwsyncd running?"),
                        (busy, "fwsyncd at {} took nothing for 60 s")]:
        with StandIn(lambda number, body, later=later: accepted(body) if number == 1 else later) as daemon:
            lines = "\n".join(report(f"d{number}", "v1") for number in range(150))
            code, out, err = fwsync("--events", daemon.endpoint, "--timeout", "25", "send", "-", input=lines, env=env)
            assert code == 1 and said.format(daemon.endpoint) in err, (out, err)
            assert "149 without an answer" in out, out


@test
def an_answer_to_another_request_is_not_taken():
    """The stand-in answers the second request first with what belongs to nobody."""
    context = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    endpoint = f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"
    with started("--query", endpoint, "get", "x", "--json") as child:
        assert socket.poll(DEADLINE_S * 1000)
        peer, number, empty, _ = socket.recv_multipart()
        for frames in ([b"\xff" * 8, b"", b'{"ok":true,"wrong":1}'], [b"", b'{"ok":true,"wrong":2}'],
                       [number, b"no", b'{"ok":true,"wrong":3}'], [number, b"", b"{}", b"more"],
                       [number, b"", b'{"ok":true,"right":1}']):
            socket.send_multipart([peer, *frames])
        out, _ = child.communicate(timeout=DEADLINE_S)
        assert json.loads(out) == {"ok": True, "right": 1}, out
    context.destroy(linger=0)


@test
def ctrl_c_ends_send_with_a_summary():
    """What is under way is waited for a little: the stand-in answers after the interruption, or never."""
    for answered, summary in [(True, "1 event: 1 accepted, 0 duplicates, 0 rejected in "),
                              (False, "1 event: 0 accepted, 0 duplicates, 0 rejected, 1 without an answer in ")]:
        def answer(_, body):
            child.send_signal(signal.SIGINT)
            return accepted(body) if answered else None

        with StandIn(answer) as daemon, started("--events", daemon.endpoint, "send", "-") as child:
            child.stdin.write(report("a", "v1") + "\n")
            child.stdin.flush()
            assert child.wait(DEADLINE_S) == 130
            assert child.stdout.read().startswith(summary), summary


# --- watch

@test
def watch_prints_results_as_they_come():
    with Daemon() as daemon, started("watch", "sync", "--count", "2", env=doors(daemon)) as child:
        assert read_line(child.stderr).startswith("watching sync at ")
        daemon.send_events(report("ESP32", "v1"))
        assert re.fullmatch(r"\S+Z\tsync\tESP32\tcurrentFwVer=v1 fwStateIsSynced=false "
                            r"fwSyncState=no-target fwSyncReason=.*no target version is set.*\n",
                            read_line(child.stdout))
        daemon.send_events(report("ESP33", "v1"))
        assert "ESP33" in read_line(child.stdout)
        assert child.wait(DEADLINE_S) == 0


@test
def watch_says_a_result_of_a_batch_as_changes_does():
    with Daemon() as daemon, started("watch", "sync", "--json", "--count", "4", env=doors(daemon)) as child:
        read_line(child.stderr)
        daemon.send_events("\n".join([report("a", "v1", deviceType="T"), report("b", "v1"),
                                      json.dumps({"device": "b", "type": "ATTRIBUTES_UPDATED", "scope": "SERVER_SCOPE",
                                                  "data": {"lastTargetFwVer": "v1"}}),
                                      report("c", "v2", deviceType="T")]))
        lines = [read_line(child.stdout).rstrip("\n") for _ in range(4)]
        answer = daemon.query({"op": "changes", "after": 0, "class": "sync"})
        assert lines == [json.dumps(result, separators=(",", ":")) for result in answer["results"]], lines
        kinds = [(result["deviceType"], result["type"]) for result in answer["results"]]
        assert kinds == [("T", "POST_ATTRIBUTES_REQUEST"), ("default", "POST_ATTRIBUTES_REQUEST"),
                         ("default", "ATTRIBUTES_UPDATED"), ("T", "POST_ATTRIBUTES_REQUEST")], kinds


@test
def watch_begins_with_what_came_since():
    with Daemon() as daemon:
        daemon.send_events(report("a", "v1"))
        daemon.send_events(report("b", "v1"))
        first, second = daemon.query({"op": "changes", "after": 0, "class": "sync"})["results"]
        while second["ts"] == first["ts"]:  # a time can tell them apart
            daemon.send_events(report("b", f"v{second['n']}"))
            second = daemon.query({"op": "changes", "after": second["seq"], "class": "sync"})["results"][-1]
        out = done(fwsync("watch", "sync", "--since", str(first["ts"]), "--no-wait", "--json", daemon=daemon))
        assert numbers(out) == list(range(1, second["n"] + 1)), out
        out = done(fwsync("watch", "sync", "--since", str(second["ts"]), "--no-wait", "--json", daemon=daemon))
        assert numbers(out)[0] > 1 and numbers(out)[-1] == second["n"], out
        out = done(fwsync("watch", "sync/a", "--since", "1h", "--no-wait", daemon=daemon))
        assert re.fullmatch(r"\S+\tsync\ta\tcurrentFwVer=v1 .*\n", out), out
        # ... and goes on with what comes
        with started("watch", "sync", "--since", "1h", "--json", "--count", str(second["n"] + 1),
                     env=doors(daemon)) as child:
            assert read_line(child.stderr).startswith("watching sync at ")
            daemon.send_events(report("c", "v1"))
            assert child.wait(DEADLINE_S) == 0
            assert numbers(child.stdout.read()) == list(range(1, second["n"] + 2))
        status, _, err = fwsync("watch", "sync", "--no-wait", daemon=daemon)
        assert status == 2 and "--since TIME" in err, err


@test
def watch_of_one_device_leaves_out_its_namesakes():
    with Daemon() as daemon, started("watch", "attributes/ESP32", "--json", "--count", "1",
                                     env=doors(daemon)) as child:
        read_line(child.stderr)
        assert read_line(child.stderr) == (
            "fwsync watch: there is no device 'ESP32' so far; for all: fwsync watch attributes\n")
        daemon.send_events("\n".join([report("ESP32-2", "v1"), report("ESP3", "v1"), report("ESP32", "v7")]))
        result = json.loads(read_line(child.stdout))
        assert (result["class"], result["device"], result["value"]) == ("attributes", "ESP32", "v7")
        out, err = child.communicate(timeout=DEADLINE_S)
        assert child.returncode == 0 and (out, err) == ("", ""), (out, err)


@test
def watch_of_everything_keeps_the_order_beside_those_who_take_batches():
    with Daemon() as daemon:
        daemon.subscribe("batch/")
        with started("watch", "--json", "--count", "12", env=doors(daemon)) as child:
            read_line(child.stderr)
            daemon.send_events("\n".join(report(name, "v1") for name in "abcd"))
            results = [json.loads(read_line(child.stdout)) for _ in range(12)]
            assert {result["class"] for result in results} == {"attributes", "sync"}, results
            seqs = [result["seq"] for result in results]
            assert seqs == sorted(seqs), seqs


@test
def watch_says_for_which_words_nothing_may_come():
    with Daemon() as daemon:
        done(fwsync("send", "ESP32", "currentFwVer=v1", daemon=daemon))
        for word, said in [("snyc", "nothing publishes the class 'snyc' so far; did you mean 'sync'?"),
                           ("esp-003", "there are: attributes, deadletter, sync; and of one device: CLASS/DEVICE"),
                           ("sync/*", "no device '*' so far; for all: fwsync watch sync")]:
            with started("watch", word, env=doors(daemon)) as child:
                assert read_line(child.stderr).startswith("watching ")
                assert said in read_line(child.stderr), word
        with started("watch", "sync/ESP32", "--count", "1", env=doors(daemon)) as child:
            assert read_line(child.stderr).startswith("watching ")
            done(fwsync("send", "ESP32", "currentFwVer=v2", daemon=daemon))
            out, err = child.communicate(timeout=DEADLINE_S)
            assert (child.returncode, err) == (0, "") and "ESP32" in out, err


@test
def watch_that_cannot_write_ends_at_once():
    with Daemon() as daemon, open("/dev/full", "w", encoding="utf-8") as full:
        with subprocess.Popen([os.path.join(BUILD, "fwsync"), "watch", "attributes"], stdout=full, text=True,
                              stderr=subprocess.PIPE, env=dict(os.environ, **doors(daemon))) as child:
            read_line(child.stderr)
            done(fwsync("send", "d", "a=1", daemon=daemon))
            assert child.wait(DEADLINE_S) == 1 and "cannot write" in child.stderr.read()


@test
def watch_that_ends_early_says_so_by_its_exit_code():
    with Daemon() as daemon:
        code, out, err = fwsync("watch", "sync", "--count", "1", "--timeout", "2.5", daemon=daemon)
        assert (code, out) == (1, "") and err.endswith("\n0 of 1 results came\n"), (code, out, err)
        assert fwsync("watch", "--timeout", "2.5", daemon=daemon)[0] == 0
    code, out, err = fwsync("watch", "--timeout", "0.2", env=NOWHERE)
    assert (code, out) == (1, "") and "nothing heard from tcp://127.0.0.1:1 within 0.2 s" in err, err


@test
def watch_tells_that_a_daemon_is_gone_and_back():
    with fixed_doors() as daemon:
        with started("watch", "attributes", "--count", "1", env=doors(daemon)) as child:
            read_line(child.stderr)
            daemon.kill()
            assert "nothing heard from" in read_line(child.stderr)
            daemon.restart()
            assert read_line(child.stderr) == "fwsync watch: fwsyncd is heard again\n"
            done(fwsync("send", "d", "a=1", daemon=daemon))
            assert child.wait(DEADLINE_S) == 0 and "client.a=1" in child.stdout.read()


@contextlib.contextmanager
def watching_with_holes(answer):
    """`fwsync watch sync` on a stand-in for the results door, from number 10 on, and one for the query door that
    answers as `answer` says. Gives the child, and two functions that publish."""
    context = zmq.Context()
    socket = context.socket(zmq.XPUB)
    socket.linger = 0
    endpoint = f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"

    def publish(topic, *lines):
        socket.send_multipart([topic, "\n".join(json.dumps(line) for line in lines).encode()])

    def batch(class_name, *numbers):
        """Of events of the same numbers."""
        head = {"n": numbers[0], "ts": 1, "members": ["seq", "device", "data"]}
        publish(b"batch/" + class_name, head, *[[n, "a", {}] for n in numbers])

    def answer_all(number, body):
        return {"ok": True, "classes": ["sync"]} if json.loads(body)["op"] == "rules" else answer(number, body)

    with StandIn(answer_all) as query, started("--results", endpoint, "--query", query.endpoint, "watch", "sync",
                                           "--json", "--count", "5") as child:
        topics = {socket.recv() for _ in range(2) if socket.poll(DEADLINE_S * 1000)}
        assert topics == {b"\x01batch/sync", b"\x01heartbeat"}, topics
        publish(b"batch/sync")  # nothing at all
        publish(b"heartbeat", {"ts": 1, "seq": 10, "n": {"sync": 10, "other": 3}})
        batch(b"synced", 11, 12)  # of another class
        for head in ({"n": 11, "ts": 1}, {"n": 0, "ts": 1, "members": ["seq"]}, {"n": 11, "members": [1]}, [], 7):
            publish(b"batch/sync", head, [11])  # of nothing that a follower knows
        batch(b"sync", 11, 12)
        batch(b"sync", 15)
        batch(b"sync", 12)  # a restarted daemon repeats
        yield child, publish, batch
    context.destroy(linger=0)


def numbers(out):
    return [json.loads(line)["n"] for line in out.splitlines()]


@test
def watch_asks_for_what_it_missed():
    def answer(_, body):
        question = json.loads(body)
        assert (question["op"], question["class"]) == ("changes", "sync"), question
        results = [{"class": "sync", "n": n, "seq": n, "ts": 1, "device": "a", "data": {}}
                   for n in range(question["after"] + 1, 16)]
        return {"ok": True, "seq": 15, "results": results, "after": 15, "more": False}

    with watching_with_holes(answer) as (child, *_):
        out, err = child.communicate(timeout=DEADLINE_S)
        assert child.returncode == 0 and numbers(out) == [11, 12, 13, 14, 15], (out, err)
        assert "missed" not in err, err


@test
def watch_tells_what_is_lost():
    gone = {"ok": False, "code": "gone", "error": "kept from 100 on"}
    with watching_with_holes(lambda *_: gone) as (child, publish, batch):
        assert numbers("".join(read_line(child.stdout) for _ in range(3))) == [11, 12, 15]
        publish(b"heartbeat", {"ts": 1, "seq": 17, "n": {"sync": 17, "other": 30}})
        batch(b"sync", 18, 19)
        out, err = child.communicate(timeout=DEADLINE_S)
        assert child.returncode == 0 and numbers(out) == [18, 19], (out, err)
        assert re.findall(r"missed (\d+) results of class '(\w+)': kept from", err) == [("2", "sync")] * 2, err


@test
def ctrl_c_ends_watch():
    with Daemon() as daemon, started("watch", env=doors(daemon)) as child:
        read_line(child.stderr)
        child.send_signal(signal.SIGINT)
        assert child.wait(DEADLINE_S) == 130


# --- rules check

@test
def rules_check_needs_no_daemon_and_tells_everything():
    code, out, err = fwsync("rules", "check", os.path.join(ROOT, "rules", "chains"), env=NOWHERE)
    assert code == 0 and re.fullmatch(r"ok: \d+ chains, \d+ nodes, version [0-9a-f]{16}\n", out), (out, err)
    with tempfile.TemporaryDirectory() as rules:
        with open(os.path.join(rules, "root.yaml"), "w", encoding="utf-8") as file:
            file.write("chain: root\nfirst: a\nnodes:\n  a: {type: pubish, class: x}\n  b: {type: log}\n")
        code, out, err = fwsync("rules", "check", rules)
        assert code == 1 and re.search(r"root\.yaml:4:\d+: .*'publish'", out), (out, err)
        assert re.search(r"^\d+ problems$", out, re.M), out
        code, out, err = fwsync("rules", "check", rules, "--json")
        assert code == 1 and len(json.loads(out)["problems"]) >= 2, out
    code, out, err = fwsync("rules", "check", rules)
    assert code == 1 and rules in out, (out, err)


@test
def rules_that_ran_are_listed_and_shown():
    text = 'chain: root\nfirst: a\nnodes:\n  a: {type: log, text: "%s"}\n'
    one, other = text % "one", text % "two ü"
    with tempfile.TemporaryDirectory() as rules:
        path = os.path.join(rules, "root.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(one)
        with Daemon("--rules", rules) as daemon:
            first = daemon.query({"op": "rules"})["version"]
            with open(path, "w", encoding="utf-8") as file:
                file.write(other)
            daemon.signal(signal.SIGHUP)
            now = wait_until(lambda: (lambda rules: rules["version"] != first and rules)(daemon.query({"op": "rules"})))
            assert [row["version"] for row in now["activations"]] == [now["version"], first], now
            rows = [row.split("\t") for row in done(fwsync("rules", "list", daemon=daemon)).splitlines()]
            assert [row[:2] for row in rows] == [[now["version"], "active"], [first, "was"]], rows
            assert [int(row[4]) for row in rows] == [now["activated"], 1], rows
            lines = done(fwsync("rules", "list", "--json", daemon=daemon)).splitlines()
            assert [json.loads(line) for line in lines] == now["activations"], lines
            assert done(fwsync("rules", "show", daemon=daemon)) == "# root.yaml\n" + other
            assert done(fwsync("rules", "show", first, daemon=daemon)) == "# root.yaml\n" + one
            shown = json.loads(done(fwsync("rules", "show", first, "--json", daemon=daemon)))
            assert (shown["version"], shown["files"]) == (first, {"root.yaml": one}), shown
            code, _, err = fwsync("rules", "show", first[:-1], daemon=daemon)
            assert code == 1 and f"no rules of version '{first[:-1]}' were ever active here" in err, err
            assert daemon.query({"op": "rules", "version": ""})["code"] == "not-found"
            assert len(daemon.query({"op": "rules", "limit": 1})["activations"]) == 1


# --- the demonstration behind `make run`

@contextlib.contextmanager
def demonstration(data, **env):
    free = {name: "tcp://127.0.0.1:*" for name in NOWHERE}
    child = subprocess.Popen([os.path.join(ROOT, "docs", "demo", "run.sh")], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=dict(os.environ, FWSYNC_BUILD=BUILD, FWSYNC_DATA=data, **{**free, **env}))
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            child.communicate(timeout=DEADLINE_S)


def shown(child):
    """All that the demonstration shows until it serves."""
    text = ""
    while "Ctrl-C stops" not in text:
        line = read_line(child.stdout)
        assert line, text + child.stderr.read()
        text += line
    return text


@test
def the_demonstration_loads_an_empty_folder_and_only_that():
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "data")
        for first in [True, False]:
            with demonstration(data) as child:
                text = shown(child)
                assert ("loading the sample fleet" in text) is first, text
                assert re.search(r"^devices +300$", text, re.M), text
                assert re.search(r"^synced +1\d\d$", text, re.M), text
                assert re.search(r"^ESP32-\d{4} +ESP32_OTA +\S+ +v1.2 +no ", text, re.M), text
                child.send_signal(signal.SIGINT)
                assert child.wait(DEADLINE_S) == 0, child.stderr.read()


@test
def the_demonstration_ends_with_its_terminal():
    with tempfile.TemporaryDirectory() as folder:
        with demonstration(os.path.join(folder, "data")) as child:
            shown(child)
            with open(os.path.join(folder, "data", "lock"), encoding="utf-8") as file:
                daemon = int(file.read())
            child.stdout.close()
            child.stderr.close()
            child.send_signal(signal.SIGHUP)
            assert child.wait(DEADLINE_S) == 0
            assert not os.path.exists(f"/proc/{daemon}")


@test
def the_demonstration_says_when_a_port_is_taken():
    with Daemon() as daemon, tempfile.TemporaryDirectory() as folder:
        with demonstration(os.path.join(folder, "data"), FWSYNC_QUERY=daemon.query_endpoint) as child:
            out, err = child.communicate(timeout=DEADLINE_S)
            assert child.returncode != 0 and "fwsyncd did not start" in err, (out, err)
            assert daemon.query_endpoint in err, err


main()

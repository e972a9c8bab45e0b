"""The command line tool moves whole fleets: backup, export and import."""
import json
import os
import re
import signal
import tempfile

import zmq

from harness import DEADLINE_S, Daemon, fwsync, main, test
from tool import StandIn, Terminal, done


class SlowDaemon:
    """A query door that answers when the test says so: next() is an asker's envelope and question."""

    def __init__(self):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.query_endpoint = f"tcp://127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"
        self.events = self.results = self.query_endpoint

    def next(self):
        assert self.socket.poll(DEADLINE_S * 1000), "no question within the deadline"
        *envelope, body = self.socket.recv_multipart()
        return envelope, json.loads(body)

    def answer(self, envelope, **answer):
        self.socket.send_multipart([*envelope, json.dumps(answer).encode()])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.destroy(linger=0)


# --- backup

@test
def backup_makes_a_folder_that_a_daemon_starts_from():
    with tempfile.TemporaryDirectory() as folder, Daemon() as daemon:
        copy = os.path.join(folder, "copy")
        done(fwsync("send", "ESP32", "currentFwVer=v1", daemon=daemon))
        out = done(fwsync("backup", copy, daemon=daemon))
        assert re.fullmatch(rf"\d+\.\d MiB in {copy}, with all events up to seq 2\n", out), out
        code, out, err = fwsync("backup", copy, daemon=daemon)
        assert (code, out) == (1, "") and copy in err, err
        code, out, err = fwsync("backup", copy, "--json", daemon=daemon)
        assert (code, err) == (1, "") and json.loads(out)["ok"] is False
        answer = json.loads(done(fwsync("backup", copy + "-2", "--json", daemon=daemon)))
        assert answer["ok"] and answer["dir"] == copy + "-2", answer
        with Daemon(data=copy) as restored:
            assert json.loads(done(fwsync("get", "ESP32", "--json", daemon=restored)))["client"] == {
                "currentFwVer": "v1"}


def serve_backup(daemon, terminal, directory, steps):
    """Tells of `steps` steps of a backup of 10 MiB, then that it is done, and serves until the tool has ended."""
    backup, step = None, 0
    while terminal.child.poll() is None:
        if not daemon.socket.poll(50):
            continue
        envelope, question = daemon.next()
        if question["op"] == "backup":
            assert question == {"op": "backup", "dir": directory} and not backup, question
            backup = envelope
        else:
            assert question == {"op": "stats"}, question
            step += 1
            daemon.answer(envelope, ok=True,
                          backup={"running": True, "bytesDone": step << 20, "bytesTotal": 10 << 20})
        if step >= steps and backup:
            daemon.answer(backup, ok=True, dir="/d", bytes=1 << 20, seq=5)


@test
def backup_names_the_folder_from_where_one_is():
    with SlowDaemon() as daemon, Terminal("backup", "some/dir", daemon=daemon) as terminal:
        serve_backup(daemon, terminal, os.path.join(os.getcwd(), "some/dir"), steps=1)
        assert terminal.finish() == (0, "1.0 MiB in /d, with all events up to seq 5\r\n")


@test
def backup_shows_how_far_it_is_and_waits_as_long_as_that_is_answered():
    with SlowDaemon() as daemon, Terminal("--timeout", "1", "backup", "/d", daemon=daemon) as terminal:
        serve_backup(daemon, terminal, "/d", steps=9)  # together longer than the timeout
        code, text = terminal.finish()
        assert code == 0 and text.endswith("\r\x1b[K1.0 MiB in /d, with all events up to seq 5\r\n"), text
        assert re.search(r"\r\x1b\[K\d\.0 of 10\.0 MiB copied, \d0 %, \d+\.\d MiB/s", text), text
    with SlowDaemon() as daemon, Terminal("--timeout", "0.5", "backup", "/d", daemon=daemon) as terminal:
        code, text = terminal.finish()
        assert code == 1 and "is fwsyncd running?" in text, text
    with SlowDaemon() as daemon, Terminal("backup", "/d", daemon=daemon) as terminal:
        assert {daemon.next()[1]["op"], daemon.next()[1]["op"]} == {"backup", "stats"}
        code, text = terminal.finish(signal.SIGINT)
        assert code == 130 and "fwsyncd goes on with it" in text, text


@test
def backup_tells_that_the_daemon_was_restarted():
    with SlowDaemon() as daemon, Terminal("--timeout", "0.3", "backup", "/d", daemon=daemon) as terminal:
        stats = 0
        while terminal.child.poll() is None:
            if daemon.socket.poll(50):
                envelope, question = daemon.next()
                stats += question["op"] == "stats"
                if question["op"] == "stats":
                    daemon.answer(envelope, ok=True, backup={"running": stats < 3, "bytesDone": 1, "bytesTotal": 2})
        code, text = terminal.finish()
        assert code == 1 and "fwsyncd was restarted meanwhile, so the copy isn't whole" in text, text


# --- export and import

def exported(device, kind="default", **scopes):
    return json.dumps({"device": device, "deviceType": kind, "created": 1, "client": {}, "shared": {}, "server": {},
                       **scopes}, ensure_ascii=False)


def attributes(daemon):
    """All that an export holds of each device, but for the time at which it was made."""
    devices = [json.loads(line) for line in done(fwsync("export", daemon=daemon)).splitlines()]
    return {device["device"]: {key: device[key] for key in ["deviceType", "client", "shared", "server"]}
            for device in devices}


@test
def import_writes_every_scope_with_the_type():
    wide = {f"k{number}": "\x01" * 2000 for number in range(300)}  # more than one event may hold, in bytes
    many = {f"k{number}": number for number in range(2500)}  # and in number
    lines = [exported("a", "T", client={"currentFwVer": "v1"}, shared={"u": "é\u0001"}, server={"n": 1, "m": 1.0}),
             "", exported("bare", "U"), exported("wide", shared=wide), exported("many", shared=many)]
    with Daemon() as daemon, tempfile.NamedTemporaryFile("w", suffix=".ndjson", encoding="utf-8") as file:
        file.write("\n".join(lines))
        file.flush()
        out = done(fwsync("import", file.name, daemon=daemon))
        assert re.fullmatch(r"\d+ events: \d+ accepted, 0 duplicates, 0 rejected in \d+\.\d s\n", out), out
        device = json.loads(done(fwsync("get", "a", "--json", daemon=daemon)))
        assert (device["deviceType"], device["client"]) == ("T", {"currentFwVer": "v1"}), device
        assert device["shared"] == {"u": "é\u0001"} and repr(device["server"]["m"]) == "1.0", device
        assert device["lastSeen"] == 0, "an operator's write is nothing that the device said"
        device = json.loads(done(fwsync("get", "bare", "--json", daemon=daemon)))
        assert device["deviceType"] == "U", device
        for name, shared in [("wide", wide), ("many", many)]:
            assert json.loads(done(fwsync("get", name, "--json", daemon=daemon)))["shared"] == shared, name
        again = json.loads(done(fwsync("import", "-", "--json", input="\n".join(lines), daemon=daemon)))
        assert again["ok"] and again["accepted"] == again["events"] and again["lines"] == 5, again


@test
def import_tells_which_lines_are_none_of_an_export():
    lines = ["nonsense", '{"deviceType":"T"}', '{"device":"a","client":[]}', exported("good", server={"k": 1}),
             exported("d" * 300, server={"k": 1}), '{"device":"b","client":{"k":1}}']
    with Daemon() as daemon:
        code, out, err = fwsync("import", "-", input="\n".join(lines), daemon=daemon)
        assert code == 1 and out.startswith("6 events: 2 accepted, 0 duplicates, 4 rejected"), (out, err)
        assert [int(line) for line in re.findall(r"line (\d+) is rejected", err)] == [1, 2, 3], err
        assert 'expected an object, found an array' in err and re.search(r"device 'd{100}': .*255", err), err
        assert json.loads(done(fwsync("get", "b", "--json", daemon=daemon)))["client"] == {"k": 1}
        code, out, err = fwsync("import", "/nowhere/at-all", daemon=daemon)
        assert (code, out) == (2, "") and "cannot read '/nowhere/at-all'" in err, err


@test
def import_passes_over_no_word_that_it_does_not_know():
    with Daemon() as daemon:
        for line, said in [({"device": "x", "currentFwVer": "1.1"}, 'unknown "currentFwVer"; there are: device, '),
                           ({"device": "x", "devicetype": "T"}, 'did you mean "deviceType"?'),
                           ({"device": "x", "type": "T", "client": {}}, 'unknown "type"; there are: device, '),
                           ({"device": "x", "deviceType": 7}, "deviceType: expected a name, found a number"),
                           ({"device": "x", "deviceType": ""}, "deviceType: expected a name")]:
            code, out, err = fwsync("import", "-", input=json.dumps(line), daemon=daemon)
            assert code == 1 and "1 rejected" in out and said in err, (line, out, err)
        done(fwsync("send", "x", "a=1", daemon=daemon))
        listed = done(fwsync("list", "--json", daemon=daemon))
        assert "lastSeen" in listed and "since" in listed
        done(fwsync("import", "-", input=listed, daemon=daemon))
        [example] = re.findall(r"^  (\{.*)$", done(fwsync("help", "import")), re.M)
        done(fwsync("import", "-", input=example, daemon=daemon))


@test
def a_file_of_something_else_is_told_in_a_few_lines():
    csv = "device,version\n" + "".join(f"d{number},v1\n" for number in range(500))
    with Daemon() as daemon:
        for command in ["import", "send"]:
            code, out, err = fwsync(command, "-", input=csv, daemon=daemon)
            assert code == 1 and "501 rejected" in out, out
            lines = err.splitlines()
            assert len(lines) == 22 and len(re.findall(r"line \d+ is rejected", err)) == 20, err
            assert lines[1].startswith('A line looks like this: {"device":"ESP32",'), lines[1]
            assert lines[-1] == f"fwsync {command}: and 481 more are rejected", lines[-1]
            done(fwsync(command, "-", input=lines[1].split(": ", 1)[1], daemon=daemon))
            code, out, err = fwsync(command, "-", input='\n{"device":"d"}\nx', daemon=daemon)
            assert code == 1 and "looks like" not in err, err


@test
def an_export_that_is_imported_gives_the_same_attributes():
    with Daemon() as old, Daemon() as new:
        events = []
        for number in range(1500):
            name = f"d{number:04} é"
            events.append({"device": name, "type": "ATTRIBUTES_UPDATED", "scope": "SERVER_SCOPE",
                           "data": {"lastTargetFwVer": f"v{number % 3}", "nested": {"a": [1, 1.0, None]}}})
            events.append({"device": name, "type": "ATTRIBUTES_UPDATED", "scope": "SHARED_SCOPE",
                           "data": {"targetFwVer": f"v{number % 3}", "big": 9007199254740992}})
            events.append({"device": name, "deviceType": f"T{number % 2}", "type": "POST_ATTRIBUTES_REQUEST",
                           "data": {"currentFwVer": f"v{number % 4}", "text": 'a"b\\c\n'}})
            events.append({"device": name, "type": "POST_TELEMETRY_REQUEST", "data": {"counter": number}})
        assert old.send_events(events)["rejected"] == 0
        whole = done(fwsync("export", daemon=old))
        out = json.loads(done(fwsync("import", "-", "--json", input=whole, daemon=new)))
        assert out["accepted"] == 4500 and out["rejected"] == 0, out
        assert len(attributes(old)) == 1500
        before, after = attributes(old), attributes(new)
        assert before == after, next((before[name], after.get(name)) for name in before
                                     if before[name] != after.get(name))
        assert json.loads(done(fwsync("get", "d0000 é", "--json", daemon=new)))["telemetry"] == {}


@test
def verdicts_survive_an_export_and_its_import():
    def server(name, **data):
        return {"device": name, "type": "ATTRIBUTES_UPDATED", "scope": "SERVER_SCOPE", "data": data}

    def says(name, **data):
        return {"device": name, "type": "POST_TELEMETRY_REQUEST", "data": data}

    def runs(name, version):
        return {"device": name, "type": "POST_ATTRIBUTES_REQUEST", "data": {"currentFwVer": version}}
    with Daemon() as old, Daemon() as new:
        names = ["failed", "updating", "rolled-back", "pending", "synced", "newer"]
        events = [runs(name, "v1") for name in names] + [server(name, lastTargetFwVer="v2") for name in names]
        events += [says("failed", fw_state="FAILED", fw_error=12), says("updating", fw_state="DOWNLOADING"),
                   runs("rolled-back", "v2"), runs("rolled-back", "v1"), runs("synced", "v2"), runs("newer", "v3")]
        assert old.send_events(events)["rejected"] == 0
        done(fwsync("import", "-", input=done(fwsync("export", daemon=old)), daemon=new))
        before, after = attributes(old), attributes(new)
        assert {name: state["server"]["fwSyncState"] for name, state in before.items()} == {name: name for name in names}
        assert before == after, (before, after)


@test
def export_shows_how_far_it_is_and_only_to_a_person():
    with SlowDaemon() as daemon, Terminal("export", daemon=daemon, stdout=False) as terminal:
        page, shown = 0, None
        while not shown:
            envelope, question = daemon.next()
            assert question["op"] == "snapshot" and question.get("cursor") == (f"c{page}" if page else None), question
            page += 1
            daemon.answer(envelope, ok=True, at=7, of=1000000, devices=[{"device": f"d{page}"}], cursor=f"c{page}")
            shown = re.search(r"\r\x1b\[K\d+ of 1000000 devices, 0 %, \d+/s", terminal.peek())
        envelope, question = daemon.next()
        daemon.answer(envelope, ok=True, at=7, devices=[])
        code, text = terminal.finish()
        assert code == 0 and text.endswith("\r\x1b[K"), text
        assert [json.loads(line)["device"] for line in terminal.piped.splitlines()] == [
            f"d{number + 1}" for number in range(page)]
    with Daemon() as daemon:
        assert daemon.send_events({"device": "d", "type": "POST_TELEMETRY_REQUEST", "data": {"n": 1}})["ok"]
        line = done(fwsync("export", daemon=daemon))
        with Terminal("export", daemon=daemon) as terminal:
            assert terminal.finish() == (0, line.replace("\n", "\r\n"))


@test
def an_export_that_is_cut_short_says_so():
    def answer(number, body):
        if number == 1:
            return {"ok": True, "at": 7, "devices": [{"device": "a"}], "cursor": "c"}
        return {"ok": False, "code": "gone", "error": "this snapshot is no longer kept"}

    with StandIn(answer) as daemon:
        code, out, err = fwsync("export", env={"FWSYNC_QUERY": daemon.endpoint})
        assert (code, out) == (1, '{"device":"a"}\n') and "no longer kept" in err, (code, out, err)


main()

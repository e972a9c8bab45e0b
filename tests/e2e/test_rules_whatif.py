"""What other rules would make of the fleet is what they make of it."""
import json
import os
import random
import tempfile

from harness import ROOT, Daemon, fwsync, main, test
from tool import StandIn, done

SHIPPED = os.path.join(ROOT, "rules", "chains")
SAMPLE = os.path.join(ROOT, "tests", "bench", "rules")
STRICTER = {"type: firmware-verdict ": "type: firmware-verdict\n    downgrade: refuse "}


def send(daemon, *events):
    reply = daemon.send_events(list(events))
    assert reply["ok"], reply


def report(device, **data):
    return {"device": device, "type": "POST_ATTRIBUTES_REQUEST", "data": data}


def write(device, **data):
    return {"device": device, "type": "ATTRIBUTES_UPDATED", "scope": "SERVER_SCOPE", "data": data}


def fleet(daemon):
    """Every device, in every state that reports and writes alone can lead to."""
    chance = random.Random(3)
    events = []
    for number in range(1500):
        name = f"d{number:04}"
        if chance.random() < 0.8:
            events.append(report(name, currentFwVer=chance.choice(["v1", "v2", "odd", 3]), site=number % 7))
        if chance.random() < 0.8:
            events.append(write(name, lastTargetFwVer=chance.choice(["v1", "v2", "v3"])))
        if chance.random() < 0.3:
            events.append(report(name, currentFwVer=chance.choice(["v1", "v2"])))
    for start in range(0, len(events), 500):
        send(daemon, *events[start:start + 500])


def rules(folder, **changes):
    """The shipped chains with some words in place of others."""
    for name in ("root.yaml", "firmware-synced.yaml"):
        with open(os.path.join(SHIPPED, name), encoding="utf-8") as file:
            text = file.read()
        for old, new in changes.items():
            text = text.replace(old, new)
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    return folder


def values(daemon):
    """{(device, scope, key): value}"""
    found, cursor = {}, {}
    while True:
        page = daemon.query({"op": "snapshot", "limit": 1000, **cursor})
        for device in page["devices"]:
            for scope, short in (("CLIENT_SCOPE", "client"), ("SHARED_SCOPE", "shared"), ("SERVER_SCOPE", "server")):
                for key, value in device[short].items():
                    found[device["device"], scope, key] = value
        if "cursor" not in page:
            return found
        cursor = {"cursor": page["cursor"]}


def judge_for_real(daemon):
    """As whatif says that it does it."""
    reported = {}
    for (device, scope, key), value in values(daemon).items():
        reported.setdefault(device, {})
        if scope == "CLIENT_SCOPE":
            reported[device][key] = value
    for device, data in reported.items():
        send(daemon, write(device), *([report(device, **data)] if data else []))


def predict(daemon, folder):
    lines = done(fwsync("rules", "whatif", folder, "--all", "--json", daemon=daemon)).splitlines()
    *devices, total = [json.loads(line) for line in lines]
    return {row["device"]: row["differences"] for row in devices}, total


@test
def a_prediction_comes_true():
    with tempfile.TemporaryDirectory() as folder:
        for running, others in ((SHIPPED, rules(folder, **STRICTER)), (SAMPLE, SHIPPED)):
            with Daemon("--rules", running) as daemon:
                fleet(daemon)
                judge_for_real(daemon)  # so that the values of now are what the running rules make of them
                before, seq = values(daemon), daemon.query({"op": "ping"})["seq"]
                predicted, total = predict(daemon, others)
                assert daemon.query({"op": "ping"})["seq"] == seq and values(daemon) == before, "nothing is changed"
                assert done(fwsync("rules", "apply", others, daemon=daemon)).startswith("active: ")
                judge_for_real(daemon)
                after = values(daemon)
                found = {}
                for place in sorted(before.keys() | after.keys()):
                    if before.get(place) != after.get(place):
                        device, scope, key = place
                        found.setdefault(device, []).append(
                            {"scope": scope, "key": key, **({"now": before[place]} if place in before else {}),
                             **({"then": after[place]} if place in after else {})})
                wanted = {device: [row for row in rows if "key" in row] for device, rows in predicted.items()}
                assert found == {device: rows for device, rows in wanted.items() if rows}
                assert len(found) > 100 and total["devices"] == len({device for device, _, _ in before})
                assert total["differ"] == len(predicted) and total["then"] == daemon.query({"op": "rules"})["version"]


@test
def what_fails_or_is_published_otherwise_is_told():
    with tempfile.TemporaryDirectory() as folder, Daemon() as daemon:
        with open(os.path.join(folder, "root.yaml"), "w", encoding="utf-8") as file:
            file.write("chain: root\nfirst: need\nnodes:\n"
                       "  need: {type: fetch-attributes, client: [site], require: true, to: {Success: mark}}\n"
                       "  mark: {type: set, data: {mark: 1}, to: {Success: save}}\n"
                       "  save: {type: save-attributes, scope: SERVER_SCOPE, keys: [mark], to: {Success: tell}}\n"
                       "  tell: {type: publish, class: marked}\n")
        send(daemon, report("with", site="x"), report("without", v="1"))
        predicted, total = predict(daemon, folder)
        assert predicted == {
            "with": [{"scope": "SERVER_SCOPE", "key": "mark", "then": 1}, {"class": "marked", "now": 0, "then": 1}],
            "without": [{"deadletter": "root/need", "now": 0, "then": 2}]}, predicted
        assert (total["ok"], total["devices"], total["differ"]) == (True, 2, 2)


@test
def judging_brings_what_was_predicted_without_a_word_of_the_devices():
    with tempfile.TemporaryDirectory() as folder, Daemon() as daemon:
        others = rules(folder, **STRICTER)
        fleet(daemon)
        heard = {row["device"]: row["lastSeen"] for row in daemon.query({"op": "devices", "limit": 1000})["devices"]}
        predicted, total = predict(daemon, others)
        done(fwsync("rules", "apply", others, daemon=daemon))
        assert done(fwsync("rules", "judge", "--prefix", "d0000", daemon=daemon)) == "1 device judged\n"
        said = json.loads(done(fwsync("rules", "judge", "--json", daemon=daemon)))
        assert said == {"ok": True, "devices": total["devices"]}
        found = values(daemon)
        for device, rows in predicted.items():
            for row in rows:
                if "key" in row:
                    assert found.get((device, row["scope"], row["key"])) == row.get("then"), (device, row)
        after = {row["device"]: row["lastSeen"] for row in daemon.query({"op": "devices", "limit": 1000})["devices"]}
        assert after == heard and len(predicted) > 100
        assert done(fwsync("rules", "judge", "--type", "none", daemon=daemon)) == "0 devices judged\n"
        code, out, err = fwsync("rules", "judge", "--timeout", "0.2", "--query", daemon.query_endpoint,
                                "--events", "tcp://127.0.0.1:1")
        assert (code, out) == (1, "") and "127.0.0.1:1" in err, err
    code, _, err = fwsync("rules", "judge", "ESP32")
    assert code == 2 and "too much: 'ESP32'" in err


@test
def the_tool_lists_devices_and_sums_up():
    with tempfile.TemporaryDirectory() as folder, Daemon() as daemon:
        others = rules(folder, **STRICTER)
        for number in range(30):
            send(daemon, report(f"d{number:02}", currentFwVer="v2"), write(f"d{number:02}", lastTargetFwVer="v1"))
        send(daemon, report("other", currentFwVer="v1"))
        code, out, err = fwsync("rules", "whatif", others, daemon=daemon)
        rows = [line.split("\t") for line in out.splitlines()]
        assert code == 0 and len(rows) == 2 * 20, out
        assert rows[0] == ["d00", "server.fwSyncReason", "runs v2, should run v1; the downgrade has not begun",
                           "runs v2, should run v1; downgrades are refused"], rows[0]
        assert rows[1] == ["d00", "results sync", "0", "1"], rows[1]
        assert "These are the first 20 devices; for more: --limit N or --all\n" in err
        assert f"30 of 31 devices would come out otherwise by {others} (" in err
        out = fwsync("rules", "whatif", others, "--limit", 1, daemon=daemon, env={"FWSYNC_TABLE": "1"})[1]
        assert out.count("d00 ") == 2 and "d01" not in out
        assert "\nDEVICES  WHAT " in out and "\n     30  results sync  " in out, out
        assert "\n30 of 31 devices would come out otherwise" in out
        narrow = fwsync("rules", "whatif", others, daemon=daemon, env={"FWSYNC_TABLE": "1", "COLUMNS": "80"})[1]
        assert "...the downgrade has no\u2026  ...downgrades are refused" in narrow, narrow
        assert all(len(line) <= 80 for line in narrow.splitlines()[:-1]), narrow
        out, err = fwsync("rules", "whatif", SHIPPED, daemon=daemon)[1:]
        assert out == "" and "0 of 31 devices would come out otherwise" in err
        with open(os.path.join(folder, "root.yaml"), "a", encoding="utf-8") as file:
            file.write("  x: {type: logg}\n")
        code, out, err = fwsync("rules", "whatif", others, daemon=daemon)
        assert (code, out) == (1, "") and "unknown node type 'logg'" in err
    code, out, err = fwsync("rules", "whatif", SHIPPED, "--timeout", "0.1", "--query", "tcp://127.0.0.1:1")
    assert (code, out) == (1, "") and "127.0.0.1:1" in err
    for args, said in (([], "DIR is missing"), (["a", "b"], "too much: 'b'"), (["a", "--limit", "0"], "from 1 to")):
        code, _, err = fwsync("rules", "whatif", *args)
        assert code == 2 and said in err, err


@test
def a_device_that_cannot_be_is_told():
    """By a daemon that isn't this version, or none."""
    files = {}
    for name in ("root.yaml", "firmware-synced.yaml"):
        with open(os.path.join(SHIPPED, name), encoding="utf-8") as file:
            files[name] = file.read()
    for device, said in (({}, "name '' of 0 bytes"), ({"device": "x" * 256}, "name 'xxx"),
                         ({"device": "a", "server": {"": 1}}, "key '' of 0 bytes")):
        answers = [{"ok": True, "version": "v"}, {"ok": True, "files": files}, {"ok": True, "devices": [device]}]
        with StandIn(lambda number, _: answers[number - 1]) as one:
            code, out, err = fwsync("--query", one.endpoint, "rules", "whatif", SHIPPED)
            assert (code, out) == (1, "") and f"fwsync rules whatif: a device's {said}" in err, (code, out, err)


main()

"""What the command line tool shows of a fleet: filters of lists, tables on terminals, --watch."""
import json
import os
import re
import signal
import tempfile
import time

from harness import ROOT, Daemon, fwsync, main, test, wait_until
from tool import NOWHERE, StandIn, Terminal, done, doors, read_line, started

STATES = ["no-target", "never-reported", "synced", "pending", "updating", "failed", "stuck", "rolled-back",
          "newer", "different"]


def write(device, scope="SERVER_SCOPE", **data):
    return {"device": device, "type": "ATTRIBUTES_UPDATED", "scope": scope, "data": data}


class Fleet:
    """A daemon whose devices have just the verdicts that are written here: no rule touches them."""

    def __enter__(self):
        self.rules = tempfile.TemporaryDirectory()
        with open(self.rules.name + "/root.yaml", "w", encoding="utf-8") as file:
            file.write("chain: root\nfirst: look\nnodes:\n  look: {type: fetch-attributes, client: [currentFwVer]}\n")
        self.daemon = Daemon("--rules", self.rules.name)
        return self

    def __exit__(self, *error):
        self.daemon.__exit__(*error)
        self.rules.cleanup()

    def verdict(self, device, state, reason="", ts=None, version="v1", target="v2"):
        events = [write(device, scope="CLIENT_SCOPE", currentFwVer=version),
                  write(device, lastTargetFwVer=target, fwStateIsSynced=state == "synced", fwSyncState=state,
                        fwSyncReason=reason)]
        for event in events:
            if ts is not None:
                event["ts"] = ts
        reply = self.daemon.send_events(events)
        assert reply["ok"], reply

    def names(self, *args):
        out = done(fwsync("list", *args, daemon=self.daemon))
        return [line.split("\t")[0] for line in out.splitlines()]


# --- list and count

@test
def list_filters_by_state_and_anything_else_together():
    with Fleet() as fleet:
        for number, state in enumerate(STATES * 2):
            fleet.verdict(f"d{number:02}", state, version=f"v{number // 10}", target=f"v{number % 3}")
        for number, state in enumerate(STATES):
            assert fleet.names("--state", state) == [f"d{number:02}", f"d{number + 10:02}"], state
        assert fleet.names("--state", "stuck", "--state", "failed") == ["d06", "d16", "d05", "d15"]
        assert fleet.names("--state", "stuck", "--state", "failed", "--version", "v1") == ["d16", "d15"]
        assert fleet.names("--state", "stuck", "--target", "v1", "--unsynced") == ["d16"]
        assert fleet.names("--state", "stuck", "--synced") == []
        assert fleet.names("--state", "stuck", "--prefix", "d0", "--type", "default") == ["d06"]
        code, out, err = fwsync("list", "--state", "stuk", daemon=fleet.daemon)
        assert (code, out) == (2, "") and "no state 'stuk'; did you mean 'stuck'?" in err, err
        code, out, err = fwsync("list", "--state", "x", daemon=fleet.daemon)
        assert code == 2 and all(state in err for state in STATES), err


@test
def list_since_is_when_the_verdict_changed():
    with Fleet() as fleet:
        fleet.verdict("old", "stuck", ts=1_700_000_000_000)
        fleet.verdict("older", "failed", ts=1_600_000_000_000)
        fleet.verdict("new", "stuck")
        everything = ["old", "older", "new"]
        for since, names in [("1h", ["new"]), ("30s", ["new"]), ("15m", ["new"]), ("2d", ["new"]),
                             ("2023-11-14T22:13:20Z", ["new", "old"]), ("2023-11-14T22:13:20.001Z", ["new"]),
                             ("2023-11-14 23:13:20+01:00", ["new", "old"]), ("1700000000000", ["new", "old"]),
                             ("2020-01-01", ["new", "old", "older"])]:
            assert fleet.names("--since", since) == names, since
        assert fleet.names("--state", "stuck", "--since", "2020-01-01") == ["old", "new"]
        assert fleet.names() == sorted(everything)
        for wrong in ["1", "1x", "yesterday", "2020-13-01", "2020-02-30", "2999-01-01", "-1h", "1.5h", ""]:
            code, out, err = fwsync("list", "--since", wrong, daemon=fleet.daemon)
            assert (code, out) == (2, "") and "is not a time that was" in err, (wrong, err)


@test
def list_shows_since_when_the_verdict_is_what_it_is():
    with Fleet() as fleet:
        fleet.verdict("old", "stuck", ts=1_700_000_000_000)
        fleet.verdict("old", "stuck", "for another reason", ts=1_750_000_000_000)
        assert fleet.daemon.send_events([
            write("none", x=1), {**write("stateless", fwStateIsSynced=False), "ts": 1_600_000_000_000}])["ok"]
        cells = {line.split("\t")[0]: line.split("\t")[8]
                 for line in done(fwsync("list", daemon=fleet.daemon)).splitlines()}
        assert cells == {"old": "2023-11-14T22:13:20.000Z", "none": "-", "stateless": "2020-09-13T12:26:40.000Z"}, cells
        objects = [json.loads(line) for line in done(fwsync("list", "--json", daemon=fleet.daemon)).splitlines()]
        assert {one["device"]: one.get("since") for one in objects} == {
            "old": 1_700_000_000_000, "none": None, "stateless": 1_600_000_000_000}, objects


@test
def list_takes_any_indexed_attribute():
    with Fleet() as fleet:
        for number in range(6):
            fleet.verdict(f"d{number}", "stuck" if number % 2 else "synced", version=f"v{number // 2}")
        fleet.verdict("n", "synced", version=1.1)
        fleet.verdict("s", "synced", version="1.1")
        assert fleet.names("--where", "currentFwVer=v1") == ["d2", "d3"]
        assert fleet.names("--where", "client.currentFwVer=v1", "--where", "fwSyncState=stuck") == ["d3"]
        assert fleet.names("--where", "currentFwVer=1.1") == ["s", "n"]
        assert fleet.names("--where", "type=default", "--state", "stuck") == ["d1", "d3", "d5"]
        code, out, err = fwsync("list", "--where", "nonsense=1", daemon=fleet.daemon)
        assert (code, out) == (1, "") and 'none on "nonsense"; there are: type, ' in err, err
        code, out, err = fwsync("list", "--where", "nonsense", daemon=fleet.daemon)
        assert (code, out) == (2, "") and "'nonsense' is not KEY=VALUE" in err, err


@test
def what_finds_nothing_says_what_might():
    with Fleet() as fleet:
        tables = {"FWSYNC_TABLE": "1"}
        assert fwsync("list", daemon=fleet.daemon, env=tables) == (0, "", "No devices yet.\n")
        assert fwsync("list", "--synced", daemon=fleet.daemon, env=tables) == (0, "", "No device is like that.\n")
        assert fwsync("count", "fwSyncState", "pendin", daemon=fleet.daemon) == (
            0, "pendin\t0\n", "Did you mean 'pending'?\n")
        assert fwsync("count", "fwSyncState", "pending", daemon=fleet.daemon) == (0, "pending\t0\n", "")
        assert fwsync("count", "currentFwVer", "pendin", daemon=fleet.daemon) == (0, "pendin\t0\n", "")


@test
def count_shows_the_states_that_there_are():
    with Fleet() as fleet:
        for number, state in enumerate(["stuck", "pending", "synced", "stuck", "pending", "stuck"]):
            fleet.verdict(f"d{number}", state)
        assert done(fwsync("count", daemon=fleet.daemon)) == (
            "devices\t6\nsynced\t1\nnot synced\t5\nunknown\t0\npending\t2\nstuck\t3\n")
        assert done(fwsync("count", "fwSyncState", daemon=fleet.daemon)) == "pending\t2\nstuck\t3\nsynced\t1\n"
        answers = [json.loads(line) for line in done(fwsync("count", "--json", daemon=fleet.daemon)).splitlines()]
        assert [answer.get("index") for answer in answers] == [
            None, "server.fwStateIsSynced", "server.fwSyncState"], answers


@test
def explain_tells_of_a_real_device():
    with Daemon() as daemon:
        done(fwsync("send", "ESP32", "--type", "T", "currentFwVer=v1", daemon=daemon))
        done(fwsync("send", "ESP32", "--server", "lastTargetFwVer=v2", daemon=daemon))
        lines = [line.split("\t") for line in done(fwsync("explain", "ESP32", daemon=daemon)).splitlines()]
        assert lines[0][:3] == ["verdict", "false", "pending"], lines
        facts = {line[2]: line for line in lines if line[0] == "fact"}
        assert facts["currentFwVer"][3] == "v1" and facts["currentFwVer"][5] == "device", lines
        assert facts["lastTargetFwVer"][3] == "v2" and facts["lastTargetFwVer"][5] == "operator", lines
        assert [line[1:3] for line in lines if line[0] == "event"] == [["3", "ATTRIBUTES_UPDATED"]], lines
        assert any(line[0] == "step" and line[3] == "firmware-verdict" for line in lines), lines
        assert lines[-1][0] == "remedy" and "v2" in lines[-1][1], lines
        code, out, err = fwsync("explain", "ESP33", daemon=daemon)
        assert (code, out) == (1, "") and 'no device "ESP33"' in err, err
        with Terminal("explain", "ESP32", daemon=daemon, columns=60) as terminal:
            code, text = terminal.finish()
            assert code == 0 and "is not in sync\x1b[0m: pending, since" in text, text
            table = text[text.index("WHERE"):].split("\r\n\r\n")[0]
            assert all(len(line) <= 60 for line in screen_lines(table)), table


# --- history

@test
def history_lists_changes_newest_first_in_pages():
    with Fleet() as fleet:
        daemon = fleet.daemon
        for number in range(300):
            reply = daemon.send_events(write("d", a=number, **({"b": "x"} if number == 299 else {})))
            assert reply["ok"], reply
        lines = [line.split("\t") for line in done(fwsync("history", "d", "--all", daemon=daemon)).splitlines()]
        changes = [line[1:4] for line in lines if line[1] != "deviceType"]
        assert sorted(changes[:2]) == [["server.a", "298", "299"], ["server.b", "-", "x"]], changes[:2]
        assert changes[2:] == [["server.a", str(n - 1) if n else "-", str(n)] for n in range(298, -1, -1)]
        assert lines[0][4:] == ["ATTRIBUTES_UPDATED", "301"], lines[0]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", lines[0][0]), lines[0]
        code, out, err = fwsync("history", "d", "--limit", "1", daemon=daemon)
        assert code == 0 and len(out.splitlines()) == 1 and "newest 1; for more" in err, (out, err)
        code, out, err = fwsync("history", "d", daemon=daemon)
        assert code == 0 and out.splitlines() == ["\t".join(line) for line in lines[:100]], (out, err)
        objects = done(fwsync("history", "d", "--all", "--json", daemon=daemon)).splitlines()
        assert len(objects) == len(lines) and json.loads(objects[0])["seq"] == 301, objects[0]
        code, out, err = fwsync("history", "nobody", daemon=daemon)
        assert (code, out) == (1, "") and 'no device "nobody"' in err, err
        assert fwsync("history", daemon=daemon)[0] == 2 and fwsync("history", "d", "e", daemon=daemon)[0] == 2


@test
def history_fits_a_terminal_with_what_matters():
    with Fleet() as fleet:
        fleet.verdict("d", "pending", "runs v1, should run v2; the update has not begun")
        fleet.verdict("d", "stuck", "nothing was heard of the update since it was told to begin")
        with Terminal("history", "d", daemon=fleet.daemon, columns=80, env={"TZ": "HERE-2"}) as terminal:
            lines = screen_lines(terminal.finish()[1])
        assert re.fullmatch(r"WHEN +ATTRIBUTE +NEW +EVENT *", lines[0]), lines
        assert all(len(line) <= 80 for line in lines), lines
        with Terminal("history", "d", daemon=fleet.daemon, columns=60) as terminal:
            narrow = screen_lines(terminal.finish()[1])
        assert any("server.fwStateIsSynced  false" in line for line in narrow), narrow
        [reason] = [line for line in lines if "nothing was" in line]
        when = re.match(r"(\d{4}-\d\d-\d\d \d\d:\d\d):\d\d  server.fwSyncReason ", reason)
        ts = json.loads(done(fwsync("history", "d", "--json", daemon=fleet.daemon)).splitlines()[0])["ts"]
        assert when and when[1] == time.strftime("%F %H:%M", time.gmtime(ts / 1000 + 7200)), (reason, ts)
        assert "ATTRIBUTES" in reason and any("server.fwStateIsSynced  false" in line for line in lines), lines


@test
def an_events_number_is_written_as_everywhere():
    """It is a name, to be looked for in a log or an answer: no thousands."""
    def answer(number, body):
        if json.loads(body)["op"] == "history":
            return {"ok": True, "device": "d", "complete": True, "changes": [
                {"seq": 1234567, "ts": 1, "type": "T", "scope": "SERVER_SCOPE", "key": "a", "new": 1}]}
        return {"ok": True, "count": 1, "trimmed": 0, "deadletters": [
            {"seq": 1234567, "ts": 1, "device": "d", "chain": "c", "node": "n", "error": "e", "event": {}}]}

    with StandIn(answer) as daemon:
        for args in [["history", "d"], ["deadletters"]]:
            out = done(fwsync(*args, env={"FWSYNC_QUERY": daemon.endpoint, "FWSYNC_TABLE": "1"}))
            assert "1234567" in out.split(), out


@test
def columns_in_the_environment_say_how_wide_a_table_may_be():
    with Fleet() as fleet:
        fleet.verdict("d", "stuck", "a reason that is much too long for any table of few columns")
        tables = {"FWSYNC_TABLE": "1"}

        def widest(**env):
            return max(map(len, done(fwsync("list", daemon=fleet.daemon, env={**tables, **env})).splitlines()))

        whole = widest(COLUMNS="")
        assert whole > 100 and widest(COLUMNS="80") <= 80 and widest(COLUMNS="40") <= 40
        assert [widest(COLUMNS=word) for word in ("x", "0", "-40", "40x", "1000")] == [whole] * 5
        with Terminal("list", daemon=fleet.daemon, columns=200, env={"COLUMNS": "60"}) as terminal:
            lines = screen_lines(terminal.finish()[1])
        assert max(map(len, lines)) <= 60, lines


@test
def history_of_one_attribute_or_since_a_time():
    """The newest two pages are of some attributes, the third is older than what is asked for."""
    def change(ms, key, scope="SERVER_SCOPE"):
        return {"seq": 1, "ts": ms, "type": "T", "scope": scope, "key": key, "new": 1}

    def answer(number, body):
        page = int(json.loads(body).get("cursor", 0))
        asked.append((page, json.loads(body)["limit"]))
        return {"ok": True, "device": "d", **[
            {"changes": [change(9000, "a"), change(8000, "b"), change(7000, "a", "CLIENT_SCOPE")], "cursor": "1"},
            {"changes": [change(6000, "b"), change(5000, "a")], "cursor": "2"},
            {"changes": [change(4000, "a"), change(3000, "b")], "complete": False}][page]}

    def times(*args):
        asked.clear()
        code, out, err = fwsync("history", "d", *args, env={"FWSYNC_QUERY": daemon.endpoint})
        assert code == 0, err
        return [int(line[18]) for line in out.splitlines()], err

    asked = []
    kept = "What was before that is no longer kept.\n"
    with StandIn(answer) as daemon:
        assert times() == ([9, 8, 7, 6, 5, 4, 3], kept)
        assert times("--attribute", "a") == ([9, 7, 5, 4], kept)
        assert times("--attribute", "server.a") == ([9, 5, 4], kept)
        assert times("--attribute", "c") == ([], "No such change is kept any more.\n")
        assert times("--since", "1970-01-01T00:00:05Z") == ([9, 8, 7, 6, 5], "")
        assert times("--since", "1970-01-01T00:00:06Z") == ([9, 8, 7, 6], "") and len(asked) == 2, asked
        assert times("--attribute", "b", "--limit", "1") == (
            [8], "These are the newest 1; for more: --limit N or --all\n") and asked == [(0, 1000)], asked


@test
def nothing_an_empty_string_and_a_dash_can_be_told_apart():
    with Fleet() as fleet:
        for value in ["", "-"]:
            assert fleet.daemon.send_events(write("d", fwSyncState=value))["ok"]
        fleet.daemon.send_events(write("e", x=1))
        history = done(fwsync("history", "d", "--attribute", "fwSyncState", daemon=fleet.daemon))
        assert [line.split("\t")[2:4] for line in history.splitlines()] == [['""', '"-"'], ["-", '""']], history
        assert 'fwSyncState\t"-"\n' in done(fwsync("get", "d", daemon=fleet.daemon))
        assert done(fwsync("count", "fwSyncState", daemon=fleet.daemon)) == '"-"\t1\n'
        assert [line.split("\t")[5] for line in done(fwsync("list", daemon=fleet.daemon)).splitlines()] == ['"-"', "-"]


@test
def get_and_count_go_back_in_time():
    with Fleet() as fleet:
        daemon = fleet.daemon
        fleet.verdict("a", "pending", "told", version="v1")
        fleet.verdict("b", "stuck", version="v1")

        def changed(device):
            """When it last did."""
            return json.loads(done(fwsync("history", device, "--json", "--all", daemon=daemon)).splitlines()[0])["ts"]

        then = changed("b")
        while time.time() * 1000 < then + 1:
            pass  # what comes now is of a later millisecond
        fleet.verdict("c", "synced")
        fleet.verdict("a", "synced", version="v2")
        assert done(fwsync("count", "--at", then, daemon=daemon)) == (
            "devices\t2\nsynced\t0\nnot synced\t2\nunknown\t0\npending\t1\nstuck\t1\n")
        assert done(fwsync("count", daemon=daemon)) == (
            "devices\t3\nsynced\t2\nnot synced\t1\nunknown\t0\nstuck\t1\n")
        assert done(fwsync("count", "currentFwVer", "--at", then, daemon=daemon)) == "v1\t2\n"
        assert done(fwsync("count", "currentFwVer", daemon=daemon)) == "v1\t2\nv2\t1\n"
        assert done(fwsync("count", "currentFwVer", "v2", "--at", then, daemon=daemon)) == "v2\t0\n"
        assert json.loads(done(fwsync("count", "type", "--at", then, "--json", daemon=daemon))) == {
            "at": then, "index": "type", "value": "default", "count": 2}
        rows = done(fwsync("get", "a", "--at", then, daemon=daemon)).splitlines()
        assert "client\tcurrentFwVer\tv1" in rows and "server\tfwSyncState\tpending" in rows, rows
        assert not any("last seen" in row for row in rows), rows
        code, out, err = fwsync("get", "c", "--at", then, daemon=daemon)
        assert (code, out) == (1, "") and "c" in err, err
        code, out, err = fwsync("get", "a", "--at", "tomorrow", daemon=daemon)
        assert code == 2 and "is not a time that was" in err, err


@test
def counts_of_a_time_are_the_sums_over_all_pages():
    pages = [[("v1", 5), ("v2", 1), (1, 2), (None, 4)], [("v1", -2), ("v2", -1), (None, -1), ("v3", 1)]]

    def answer(number, body):
        question = json.loads(body)
        if "value" in question:  # is there such an index?
            return {"ok": True, "count": 0}
        page = pages[1 if question.get("cursor") else 0]
        assert question["at"] == 1700000000000, question
        values = [{"value": value, "count": count} for value, count in page]
        return {"ok": True, "values": values, **({} if question.get("cursor") else {"cursor": "c"})}

    with StandIn(answer) as daemon:
        env = {"FWSYNC_QUERY": daemon.endpoint}
        args = ["count", "currentFwVer", "--at", "1700000000000"]
        assert done(fwsync(*args, env=env)) == "v1\t3\nv3\t1\n1\t2\n"
        rows = [json.loads(line) for line in done(fwsync(*args, "--json", env=env)).splitlines()]
        assert [(row["value"], row["count"]) for row in rows] == [("v1", 3), ("v3", 1), (1, 2), (None, 3)], rows
        assert done(fwsync("count", "currentFwVer", "1", "--at", "1700000000000", env=env)) == "1\t2\n"
        assert done(fwsync("count", "--at", "1700000000000", env=env)) == (
            "devices\t9\nsynced\t0\nnot synced\t0\nunknown\t9\n")


@test
def with_json_every_command_prints_an_object_a_line():
    with Daemon() as daemon, tempfile.TemporaryDirectory() as folder:
        for number in range(3):
            done(fwsync("send", f"d{number}", "currentFwVer=v1", daemon=daemon))
        rules = os.path.join(ROOT, "rules", "chains")
        for args in [["send", "d0", "a=b"], ["get", "d0"], ["get", "d0", "--at", "0s"], ["list"], ["count"],
                     ["count", "type"], ["count", "type", "default"], ["explain", "d0"], ["history", "d0"],
                     ["export"], ["import", "-"], ["send", "-"], ["rules", "check", rules],
                     ["rules", "draw", rules], ["stats"], ["metrics"], ["ping"], ["backup", os.path.join(folder, "copy")], ["watch", "--count", "1"]]:
            lines = json.dumps(write("d1", a=time.time())) if args == ["send", "-"] else ""
            if args[0] == "watch":
                with started(*args, "--json", env=doors(daemon)) as child:
                    read_line(child.stderr)
                    done(fwsync("send", "d2", "currentFwVer=v2", daemon=daemon))
                    out = child.communicate()[0]
            else:
                out = done(fwsync(*args, "--json", daemon=daemon, input=lines))
            objects = [json.loads(line) for line in out.splitlines()]
            assert objects and all(isinstance(one, dict) for one in objects), (args, out)
        code, out, err = fwsync("history", "nobody", "--json", daemon=daemon)
        assert (code, err) == (1, "") and json.loads(out)["code"] == "not-found", (out, err)


# --- terminals

def screen_text(text):
    """What a terminal shows, without its escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def screen_lines(text):
    return screen_text(text).replace("\r", "").splitlines()


@test
def tables_fit_the_terminal():
    with Fleet() as fleet:
        fleet.verdict("thermometer-in-the-cellar-of-building-7", "failed",
                      "the device says: not enough room for the image in its flash memory")
        for columns, titles in [
                (40, "DEVICE CURRENT TARGET SYNCED"), (60, "DEVICE CURRENT TARGET SYNCED STATE"),
                (80, "DEVICE CURRENT TARGET SYNCED STATE REASON"),
                (85, "DEVICE CURRENT TARGET SYNCED STATE REASON SINCE"),
                (110, "DEVICE TYPE CURRENT TARGET SYNCED STATE LAST SEEN REASON SINCE"),
                (200, "DEVICE TYPE CURRENT TARGET SYNCED STATE LAST SEEN REASON SINCE")]:
            with Terminal("list", daemon=fleet.daemon, columns=columns) as terminal:
                code, text = terminal.finish()
                lines = screen_lines(text)
                assert code == 0 and re.sub(" +", " ", lines[0]) == titles, (columns, lines)
                assert all(len(line) <= columns for line in lines), (columns, lines)
                assert lines[1].startswith("thermometer"), (columns, lines)
                assert ("flash memory" in lines[1]) is (columns == 200), (columns, lines)
                assert ("the device says: no" in lines[1]) is (columns >= 80), (columns, lines)
        with Terminal("get", "thermometer-in-the-cellar-of-building-7", daemon=fleet.daemon,
                      columns=40) as terminal:
            code, text = terminal.finish()
            assert code == 0 and all(len(line) <= 40 for line in screen_lines(text)), text


@test
def a_table_shows_of_a_reason_what_tells_it_from_others():
    with Fleet() as fleet:
        fleet.verdict("a", "failed", "runs v1, should run v2; the update failed: no space")
        fleet.verdict("b", "failed", "runs v7, should run v2; of other versions")
        fleet.verdict("c", "synced", "runs v2, as it should", version="v2")
        fleet.verdict("d", "failed", "runs 1, should run v2; of a number", version=1)
        with Terminal("list", daemon=fleet.daemon, columns=80) as terminal:
            lines = screen_lines(terminal.finish()[1])
        assert [" ".join(line.split()[6:9]) for line in lines[1:5]] == [
            "the update failed:", "runs v7, should", "runs v2, as", "runs 1, should"], lines
        assert "runs v1, should run v2; the update failed: no space" in done(fwsync("list", daemon=fleet.daemon))


@test
def wide_characters_keep_columns_aligned():
    with Fleet() as fleet:
        for name in ["温度計", "plain1", "e\u0301te\u03011"]:
            fleet.verdict(name, "synced")
        with Terminal("list", daemon=fleet.daemon, columns=60) as terminal:
            lines = screen_lines(terminal.finish()[1])
        assert lines[0].startswith("DEVICE  CURRENT"), lines
        assert sorted(line.split("v1")[0] for line in lines[1:]) == sorted(
            ["温度計  ", "plain1  ", "e\u0301te\u03011    "]), lines


@test
def states_have_colours_unless_one_says_no():
    with Fleet() as fleet:
        for state in ["synced", "stuck", "no-target", "pending"]:
            fleet.verdict(state, state)

        def shown(**env):
            with Terminal("list", daemon=fleet.daemon, columns=120, env=env) as terminal:
                return terminal.finish()[1]

        text = shown()
        for state, sequence in [("synced", 32), ("stuck", 31), ("no-target", 2)]:
            assert f"\x1b[{sequence}m{state}\x1b[0m" in text, (state, text)
        assert "mpending" not in text and "\x1b[1mDEVICE\x1b[0m" in text, text
        assert "\x1b" not in shown(NO_COLOR="1") and "\x1b" not in shown(TERM="dumb")
        assert "\x1b[31m" in shown(NO_COLOR=""), "an empty NO_COLOR says nothing: no-color.org"
        assert "\x1b" not in done(fwsync("list", daemon=fleet.daemon))
        assert "\x1b" not in done(fwsync("list", daemon=fleet.daemon, env={"FORCE_COLOR": "1",
                                                                           "CLICOLOR_FORCE": "1"}))


# --- explain

EXPLANATION = {
    "ok": True, "seq": 9, "device": "ESP32", "deviceType": "ESP32_OTA",
    "verdict": {"synced": False, "state": "stuck", "reason": "the device says: no\nroom", "since": 1700000000000,
                "stageSince": 1699999999000},
    "facts": [
        {"scope": "CLIENT_SCOPE", "key": "currentFwVer", "value": "v1.1", "ts": 1, "seq": 3, "by": "device",
         "received": 1700000000000, "type": "POST_ATTRIBUTES_REQUEST"},
        {"scope": "SERVER_SCOPE", "key": "lastTargetFwVer", "value": "1.2", "ts": 1, "seq": 4321,
         "by": "operator", "received": 1700000001000, "type": "ATTRIBUTES_UPDATED", "source": "fleet", "n": 17},
        {"scope": "LATEST_TELEMETRY", "key": "fw_state", "value": "DOWNLOADING", "ts": 1700000002000, "seq": 2}],
    "decided": {"seq": 4321, "ts": 1, "received": 1700000001000, "type": "ATTRIBUTES_UPDATED", "rules": "abc",
                "event": {"device": "ESP32", "scope": "SERVER_SCOPE", "data": {"a": "1", "b": "x" * 200}},
                "path": [{"chain": "root", "node": "by-type", "type": "message-type-switch",
                          "relation": "Attributes Updated"},
                         {"chain": "firmware-synced", "node": "verdict", "type": "firmware-verdict",
                          "relation": "Failed"}]},
    "remedy": "make room, then send the update again"}


@test
def explain_is_sentences_for_a_person_and_lines_for_a_program():
    with StandIn(lambda _, body: EXPLANATION) as daemon:
        env = {"FWSYNC_QUERY": daemon.endpoint}
        assert done(fwsync("explain", "ESP32", env=env)) == (
            "verdict\tfalse\tstuck\t2023-11-14T22:13:20.000Z\tthe device says: no\\nroom\t2023-11-14T22:13:19.000Z\n"
            "fact\tclient\tcurrentFwVer\tv1.1\t2023-11-14T22:13:20.000Z\tdevice\tPOST_ATTRIBUTES_REQUEST\t3\t-\n"
            "fact\tserver\tlastTargetFwVer\t1.2\t2023-11-14T22:13:21.000Z\toperator\tATTRIBUTES_UPDATED\t4321\tfleet#17\n"
            "fact\ttelemetry\tfw_state\tDOWNLOADING\t2023-11-14T22:13:22.000Z\t-\t-\t2\t-\n"
            "event\t4321\tATTRIBUTES_UPDATED\t2023-11-14T22:13:21.000Z\tabc\t-\n"
            "step\troot\tby-type\tmessage-type-switch\tAttributes Updated\n"
            "step\tfirmware-synced\tverdict\tfirmware-verdict\tFailed\n"
            "remedy\tmake room, then send the update again\n")
        assert json.loads(daemon.bodies[0]) == {"op": "explain", "device": "ESP32"}
        assert json.loads(done(fwsync("explain", "ESP32", "--json", env=env))) == EXPLANATION
        assert done(fwsync("explain", "ESP32", env={**env, "FWSYNC_TABLE": "1", "TZ": "UTC"})) == (
            "ESP32 (ESP32_OTA) is not in sync: stuck, since 2023-11-14 22:13:20; the stage began 2023-11-14 22:13:19\n"
            "the device says: no\\nroom\n"
            "\n"
            "It rests on\n"
            "WHERE      KEY              VALUE        WRITTEN              BY           EVENT                     SEQ  SOURCE\n"
            "client     currentFwVer     v1.1         2023-11-14 22:13:20  the device   POST_ATTRIBUTES_REQUEST     3  -\n"
            'server     lastTargetFwVer  "1.2"        2023-11-14 22:13:21  an operator  ATTRIBUTES_UPDATED       4321  fleet#17\n'
            "telemetry  fw_state         DOWNLOADING  2023-11-14 22:13:22  -            -                           2  -\n"
            "\n"
            "Decided by event 4321 (ATTRIBUTES_UPDATED, 2023-11-14 22:13:21) under rules abc\n"
            'It said: server {"a":"1","b":"' + "x" * 89 + "\u2026\n"
            "CHAIN            NODE     NODE TYPE            RELATION\n"
            "root             by-type  message-type-switch  Attributes Updated\n"
            "firmware-synced  verdict  firmware-verdict     Failed\n"
            "\n"
            "Remedy: make room, then send the update again\n")


@test
def explain_says_what_is_no_longer_known():
    missing = {**EXPLANATION, "verdict": {"synced": None, "state": "no-target"}, "facts": [], "remedy": "",
               "decided": {"seq": 1234, "ts": 1700000000000, "missing": "the event is no longer kept"},
               "later": {**EXPLANATION["decided"], "seq": 5678, "path": []}}
    with StandIn(lambda _, body: missing) as daemon:
        env = {"FWSYNC_QUERY": daemon.endpoint}
        told = done(fwsync("explain", "ESP32", env={**env, "FWSYNC_TABLE": "1", "TZ": "UTC"}))
        assert told.startswith(
            "ESP32 (ESP32_OTA) has no verdict yet: no-target\n"
            "\n"
            "Decided by event 1234 (2023-11-14 22:13:20), which can't be run again: the event is no longer kept\n"
            "\n"
            "The newest that can be run again is event 5678 (ATTRIBUTES_UPDATED, 2023-11-14 22:13:21) under rules abc\n"
            'It said: server {"a":"1"'), told
        assert done(fwsync("explain", "ESP32", env=env)).splitlines()[1:3] == [
            "event\t1234\t-\t2023-11-14T22:13:20.000Z\t-\tthe event is no longer kept",
            "later\t5678\tATTRIBUTES_UPDATED\t2023-11-14T22:13:21.000Z\tabc\t-"]


@test
def sending_shows_how_far_it_is():
    line = json.dumps(write("d", k=1)).encode() + b"\n"
    with Daemon() as daemon:
        reader, writer = os.pipe()
        with Terminal("send", "-", daemon=daemon, stdin=reader) as terminal:
            os.close(reader)
            while not re.search(r"\r\x1b\[K\d+ events acknowledged, \d+/s", terminal.peek()):
                os.write(writer, line)
            os.close(writer)
            code, text = terminal.finish()
        assert code == 0 and re.search(r"\r\x1b\[K\d+ events: \d+ accepted, [^\r]*\r\n$", text), text
        reader, writer = os.pipe()
        with Terminal("send", "-", daemon=daemon, stdin=reader) as terminal:
            os.close(reader)
            while not re.search(r"\r\x1b\[K\d+ events acknowledged, \d+/s", terminal.peek()):
                os.write(writer, b"nonsense\n")
            os.close(writer)
            code, text = terminal.finish()
        assert code == 1 and set(re.findall(r"(\d+) events ack", text)) == {"0"}, "what is rejected isn't acknowledged"


@test
def what_is_typed_is_not_written_over():
    with Daemon() as daemon, Terminal("send", "-", daemon=daemon, columns=200) as terminal:
        terminal.until(lambda text: re.match(r"reading what you type, a line such as \{.*; Ctrl-D ends\r\n", text))
        beats = daemon.subscribe("heartbeat")
        for number in range(3):  # a second apart: progress would be due
            os.write(terminal.fd, json.dumps(write(f"d{number}", k=1)).encode() + b"\n")
            wait_until(lambda: daemon.query({"op": "stats"})["events"]["accepted"] > number)
            beats.next()
        os.write(terminal.fd, b"\x04")
        code, text = terminal.finish()
        assert code == 0 and "\x1b" not in text and "3 accepted" in text, text


# --- --watch

@test
def watch_on_a_terminal_redraws_and_leaves_no_trace():
    with Fleet() as fleet:
        fleet.verdict("first", "pending")
        with Terminal("list", "--watch", daemon=fleet.daemon, rows=10) as terminal:
            terminal.until(lambda text: "first" in text)
            fleet.verdict("second", "stuck")
            terminal.until(lambda text: "second" in text)
            for number in range(30):
                fleet.verdict(f"more-{number:02}", "pending")
            terminal.until(lambda text: "more-05" in text)
            code, text = terminal.finish(signal.SIGINT)
        assert code == 130 and text.startswith("\x1b[?1049h") and text.endswith("\x1b[?1049l"), text
        assert "Ctrl-C ends" in text and "more-20" not in text, "no more lines than the terminal has"


@test
def watch_in_a_pipe_prints_when_it_has_changed():
    def answer(number, body):
        return {"ok": True, "device": "d", "client": {}, "shared": {}, "telemetry": {},
                "server": {"fwSyncState": "pending" if number <= 3 else "stuck"}}

    with StandIn(answer) as daemon, started("get", "d", "--watch", env={"FWSYNC_QUERY": daemon.endpoint}) as child:
        lines = ""
        while "stuck" not in lines:
            lines += read_line(child.stdout)
        assert len(daemon.bodies) >= 4 and lines.count("fwSyncState\tpending\n") == 1, lines
        child.send_signal(signal.SIGINT)
        assert child.wait() == 130


@test
def each_of_some_commands_can_be_watched():
    with Fleet() as fleet:
        for command, first, second in [
                (["list", "--state", "pending", "--state", "stuck"], "pending", "stuck"),
                (["explain", "d"], "\tpending\t", "\tstuck\t"), (["stats"], "state.devices\t1", "events.in"),
                (["count", "fwSyncState"], "pending\t1", "stuck\t1")]:
            fleet.verdict("d", "pending")
            with started(*command, "--watch", env=doors(fleet.daemon)) as child:
                lines = ""
                while first not in lines:
                    lines += read_line(child.stdout)
                fleet.verdict("d", "stuck")
                while second not in lines:
                    lines += read_line(child.stdout)


@test
def watch_ends_at_once_when_nobody_is_there():
    code, out, err = fwsync("--timeout", "0.2", "count", "--watch", env=NOWHERE)
    assert (code, out) == (1, "") and "is fwsyncd running?" in err, err
    assert fwsync("count", "--wach", env=NOWHERE)[0] == 2
    code, out, err = fwsync("ping", "--watch", env=NOWHERE)
    assert code == 2 and "no option --watch" in err, err


def sometimes(bad):
    """A stand-in's answers for `get d`: good ones, but to the second and third question what `bad` is; to the fifth
    another one."""
    def answer(number, _):
        return bad if number in (2, 3) else {
            "ok": True, "device": "d", "client": {"v": 2 if number > 4 else 1}, "shared": {}, "server": {}, "telemetry": {}}
    return answer


@test
def watch_goes_on_when_an_answer_is_late():
    for bad, why in [(None, "no answer from "), ({"ok": False, "code": "io", "error": "bad luck"}, "bad luck")]:
        with StandIn(sometimes(bad)) as daemon:
            env = {"FWSYNC_QUERY": daemon.endpoint, "FWSYNC_EVENTS": daemon.endpoint, "FWSYNC_RESULTS": daemon.endpoint}
            for json_option, lines in [([], ["client\tv\t1\n", "client\tv\t2\n"]),
                                       (["--json"], ['"v": 1', '"v": 2'])]:
                daemon.bodies.clear()
                with started("--timeout", "0.2", "get", "d", "--watch", *json_option, env=env) as child:
                    text = ""
                    while lines[1] not in text:
                        text += read_line(child.stdout)
                    assert text.count(lines[0]) == text.count(lines[1]) == 1 and "false" not in text, text
                    child.send_signal(signal.SIGINT)
                    _, err = child.communicate()
                    assert child.returncode == 130
                    assert re.fullmatch((f".*{why}.*\n" if not json_option else "") +
                                        r"no answer since \d\d:\d\d:\d\d, trying again\nanswered again\n", err), err


@test
def watch_on_a_terminal_keeps_what_it_last_knew():
    with StandIn(sometimes(None)) as daemon:
        daemon.events = daemon.results = daemon.query_endpoint = daemon.endpoint
        with Terminal("--timeout", "0.2", "get", "d", "--watch", daemon=daemon) as terminal:
            text = terminal.until(lambda text: re.search(r"trying again[^\n]*\n[^\x1b]*WHERE", screen_text(text)))
            terminal.until(lambda text: re.search(r"client +v +2", screen_text(text)))
            code, after = terminal.finish(signal.SIGINT)
        assert code == 130 and "trying again" not in after[after.rindex("\x1b[H"):], (text, after)


main()

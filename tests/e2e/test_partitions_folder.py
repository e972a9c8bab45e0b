"""A data folder with several partitions: the number that it was made with, copies of it, and what becomes of it when
something is wrong with it."""
import json
import os
import shutil

import zmq

from harness import BUILD, DEADLINE_S, SAN, Daemon, Folder, Skip, main, receive, test, wait_until
from partitions import SAVE, Producer, Rules, all_changes, names_of, pages, partition_of, report, tree, write

MARK = "unfinished-backup"


def refused(data, code, *words, args=()):
    """It doesn't start, and says why; how it looks in the folder stays as it was."""
    before = tree(data)
    with Daemon(*args, data=data, start=False) as daemon:
        daemon.launch()
        assert daemon.wait() == code, daemon.stderr
        for word in words:
            assert word in daemon.stderr, (word, daemon.stderr)
    after = tree(data)
    assert set(after) == set(before), set(after) ^ set(before)
    changed = [path for path in before if before[path] != after[path]]
    assert not changed or code != 2, changed


def made_with(count, data, devices=30):
    with Daemon("--partitions", count, data=data) as daemon:
        daemon.send_events([report(f"d{i}", currentFwVer="v1") for i in range(devices)])
        daemon.stop()


def device_count(count, data):
    with Daemon("--partitions", count, data=data) as daemon:
        return daemon.query({"op": "count"})["devices"]


# --- the number

@test
def a_folder_keeps_the_number_that_it_was_made_with():
    with Folder() as place:
        for made, other in ((1, 3), (3, 1), (3, 4), (4, 3)):
            data = place(f"{made}-{other}")
            os.mkdir(data)
            made_with(made, data)
            said = (f"made with {made} ", f" to {other}:", f"set partitions to {made}", "export the devices", data)
            refused(data, 2, *said, args=("--partitions", other))
            states = sorted(name for name in os.listdir(data) if name.startswith("state"))
            assert states == ["state"] + [f"state-{i}" for i in range(1, made)]
            assert device_count(made, data) == 30
            assert os.path.exists(os.path.join(data, "partitions")) == (made > 1)
        for wrong in (0, 17, -1, "x"):
            refused(data, 2, "partitions", args=("--partitions", wrong))


@test
def an_empty_folder_takes_any_number_and_keeps_it():
    with Folder() as place:
        os.mkdir(place("data"))
        with Daemon("--partitions", 16, data=place("data")) as daemon:
            daemon.kill()
        refused(place("data"), 2, "made with 16", args=("--partitions", 1))
        made_with(16, place("data"))


@test
def the_noted_number_is_written_once():
    """Whoever writes it anew may be interrupted, and it's gone."""
    with Daemon("--partitions", 3) as daemon:
        path = os.path.join(daemon.data, "partitions")
        with open(path, encoding="ascii") as file:
            assert file.read() == "3\n"
        before = os.stat(path)
        daemon.stop()
        daemon.restart()
        after = os.stat(path)
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@test
def a_disk_that_takes_nothing_doesnt_take_the_number_away():
    """With a file size limit of 0 every write fails, as on a full disk."""
    with Folder() as place:
        os.mkdir(place("data"))
        made_with(3, place("data"))
        with Daemon("--partitions", 3, data=place("data"), start=False, wrapper=["prlimit", "--fsize=0"]) as daemon:
            daemon.launch()
            if daemon.child.stdout.readline():
                daemon.kill()
        with open(os.path.join(place("data"), "partitions"), encoding="ascii") as file:
            assert file.read() == "3\n"
        assert device_count(3, place("data")) == 30


@test
def a_number_cut_short_isnt_taken_for_one():
    """As after a crash in the middle of the first start, or by hand: there are events of three partitions."""
    with Folder() as place:
        for text in ("", "3"):
            data = place(f"data{text}")
            os.mkdir(data)
            made_with(3, data)
            with open(os.path.join(data, "partitions"), "w", encoding="ascii") as file:
                file.write(text)
            with Daemon("--partitions", 1, data=data, start=False) as daemon:
                daemon.launch()
                started = daemon.child.stdout.readline()
                assert not started, "it serves a third of the devices"
                assert daemon.wait() in (1, 2), daemon.stderr


# --- a part that is wrong or gone

@test
def a_part_that_cannot_be_opened_ends_the_start():
    with Folder() as place:
        for part in ("state", "state-1", "state-2"):
            data = place(part)
            os.mkdir(data)
            made_with(3, data)
            path = os.path.join(data, part, "data.mdb")
            with open(path, "r+b") as file:
                file.write(b"\xff" * 8192)
            refused(data, 1, f"{part}", "stopped code=", args=("--partitions", 3))


@test
def a_state_that_is_gone_comes_back_from_the_journal():
    with Folder() as place, Rules(SAVE) as rules:
        for part in ("state", "state-1", "state-2"):
            data = place(part)
            os.mkdir(data)
            with Daemon("--partitions", 3, "--rules", rules, data=data) as daemon:
                for n in range(5):
                    daemon.send_events([report(f"d{i}", v=f"v{n}") for i in range(60)])
                before = pages(daemon, {"op": "devices"}, "devices"), all_changes(daemon)
                daemon.stop()
                shutil.rmtree(os.path.join(data, part))
                daemon.restart()
                assert (pages(daemon, {"op": "devices"}, "devices"), all_changes(daemon)) == before, part
                replayed = daemon.query({"op": "stats"})["events"]["replayed"]
                assert replayed == 5 * sum(f"state-{partition_of(f'd{i}', 3)}".replace("-0", "") == part
                                           for i in range(60))


@test
def a_state_that_is_gone_with_its_events_is_refused():
    with Folder() as place:
        os.mkdir(place("data"))
        with Daemon("--partitions", 3, "--journal-keep-hours", 0, "--journal-keep-mib", 1, "--checkpoint-ms", 10,
                    data=place("data")) as daemon:
            with Producer(daemon, lambda n: report(f"d{n % 100}", v="x" * 500, n=n), batch=100) as producer:
                wait_until(lambda: producer.error or daemon.query({"op": "stats"})["journal"]["trimmed"] > 0,
                           what="the journal is trimmed")
            daemon.stop()
        shutil.rmtree(os.path.join(place("data"), "state-2"))
        with Daemon("--partitions", 3, data=place("data"), start=False) as daemon:
            daemon.launch()
            assert daemon.wait() == 1 and "journal" in daemon.stderr, daemon.stderr
            print("# " + daemon.stderr.strip().splitlines()[-1])


@test
def an_idle_partition_keeps_no_journal():
    """All events are of one partition's devices; the others need none of them again."""
    names = names_of(1, 3, 50)
    with Daemon("--partitions", 3, "--journal-keep-hours", 0, "--journal-keep-mib", 1, "--checkpoint-ms", 10) as daemon:
        with Producer(daemon, lambda n: report(names[n % 50], v="x" * 500, n=n), batch=100) as producer:
            wait_until(lambda: producer.error or daemon.query({"op": "stats"})["journal"]["trimmed"] > 0,
                       what="the journal is trimmed")
        daemon.kill()
        daemon.restart()
        assert daemon.query({"op": "count"})["devices"] == 50


# --- copies

def ask_backup(daemon, folder):
    """A socket on which the answer will come."""
    socket = daemon.socket(zmq.DEALER, daemon.query_endpoint)
    socket.send_multipart([b"", json.dumps({"op": "backup", "dir": folder}).encode()])
    return socket


def answer_of(socket):
    return json.loads(receive(socket, DEADLINE_S, "the answer to a backup")[1])


@test
def a_copy_under_load_has_all_that_was_acknowledged():
    with Folder() as place, Rules(SAVE) as rules:
        arguments = ("--partitions", 3, "--rules", rules, "--checkpoint-ms", 20)
        with Daemon(*arguments) as daemon:
            with Producer(daemon, lambda n: report(f"d{n}", v=n), batch=20) as producer:
                acknowledged = []
                for number in range(4):
                    start = producer.n
                    wait_until(lambda: producer.is_at(start + 500), what="events flow")
                    acknowledged.append(producer.n)
                    reply = daemon.query({"op": "backup", "dir": place(str(number))})
                    assert reply["ok"] and reply["seq"] >= 1 + acknowledged[-1], (reply, acknowledged)
                    assert reply["bytes"] == sum(os.path.getsize(os.path.join(folder, name))
                                                 for folder, _, names in os.walk(place(str(number))) for name in names)
        for number, least in enumerate(acknowledged):
            copy = place(str(number))
            assert sorted(os.listdir(copy)) == ["journal", "partitions", "state", "state-1", "state-2"]
            if number == 0:
                refused(copy, 2, "made with 3", args=("--partitions", 1))
            with Daemon(*arguments, data=copy) as again:
                seq = again.query({"op": "ping"})["seq"]
                assert seq >= 1 + least
                found = {device["device"]: device["client"]["v"]
                         for device in pages(again, {"op": "devices"}, "devices", limit=1000)}
                assert found == {f"d{n}": n for n in range(1, seq)}
                assert [result["seq"] for result in all_changes(again)] == list(range(2, seq + 1))
                reply = again.send_events([dict(report("d1", v=0), source="s", n=n) for n in (1, least)])
                assert reply["duplicates"] == 2, "it knows the producer's numbers"
                again.stop()


@test
def one_copy_at_a_time_and_wrong_folders_are_refused():
    with Folder() as place, Daemon("--partitions", 3) as daemon:
        daemon.send_events([report(f"d{i}", currentFwVer="v1", text="x" * 1000) for i in range(800)])
        sockets = [ask_backup(daemon, place(str(number))) for number in range(4)]
        answers = [answer_of(socket) for socket in sockets]
        made = [answer["dir"] for answer in answers if answer["ok"]]
        assert made and {answer["code"] for answer in answers if not answer["ok"]} <= {"busy"}, answers
        os.mkdir(place("full"))
        with open(place("full/file"), "w", encoding="ascii"):
            pass
        for folder, word in ((place("full"), "isn't empty"), (place("no/such/place"), "No such file"),
                             (f"{daemon.data}/state-1/new", "in the data folder itself"),
                             (f"{daemon.data}/new", "in the data folder itself"), (made[0], "isn't empty")):
            answer = daemon.query({"op": "backup", "dir": folder})
            assert answer["code"] == "io" and word in answer["error"], answer
        assert daemon.query({"op": "backup", "dir": place("after")})["ok"], "what was refused holds nothing"
        assert device_count(3, place("after")) == 800


@test
def a_disk_that_fills_up_while_copying_is_told():
    if SAN:
        raise Skip("LD_PRELOAD and sanitizers don't go together")
    with Folder() as place:
        flag = place("full")
        with Daemon("--partitions", 3, "--checkpoint-ms", 60000, env={"FWSYNC_FULL_FLAG": flag},
                    preload=os.path.join(BUILD, "tests", "fault", "fullfs.so")) as daemon:
            daemon.send_events([report(f"d{i}", currentFwVer="v1") for i in range(100)])
            with open(flag, "w", encoding="ascii"):
                pass
            answer = daemon.query({"op": "backup", "dir": place("copy")})
            assert answer["code"] == "full" and "space" in answer["error"], answer
            assert os.listdir(place("copy")) == [MARK]
            os.unlink(flag)
            assert daemon.query({"op": "backup", "dir": place("copy")})["ok"]
            assert daemon.send_events(report("d", currentFwVer="v"))["ok"], "the daemon itself had no harm"
        assert device_count(3, place("copy")) == 100


@test
def a_stop_ends_a_copy_at_any_moment():
    with Folder() as place, Daemon("--partitions", 3) as daemon:
        for start in range(0, 9000, 500):
            assert daemon.send_events([report(f"d{i}", text="x" * 500) for i in range(start, start + 500)])["ok"]
        moments = [lambda folder: True, os.path.exists, lambda folder: os.path.exists(f"{folder}/state-2"),
                   lambda folder: os.path.exists(f"{folder}/journal")]
        for number, moment in enumerate(moments):
            folder = place(str(number))
            socket = ask_backup(daemon, folder)
            wait_until(lambda: moment(folder), what=f"moment {number} of a copy")
            daemon.stop()
            # a stop may come before the question was read
            answer = answer_of(socket) if socket.poll(100) else {"ok": False, "error": "stopping"}
            if answer["ok"]:
                assert device_count(3, folder) == 9000
            else:
                assert "stopping" in answer["error"], answer
                assert not os.path.exists(folder) or os.listdir(folder) in ([MARK], []), os.listdir(folder)
            daemon.restart()
        assert daemon.query({"op": "count"})["devices"] == 9000


# --- passing time

DEADLINES = """chain: root
first: what-came
nodes:
  what-came:
    type: message-type-switch
    to: {Post attributes: save, Attributes Updated: verdict, Deadline Passed: verdict}
  save: {type: save-attributes, scope: CLIENT_SCOPE, to: {Success: verdict}}
  verdict: {type: firmware-verdict, deadlines: {pending: 1ms}, to: {Success: tell}}
  tell: {type: publish, class: sync}
"""


def told(device):
    """A device that runs v1 is told to run v2."""
    return [report(device, currentFwVer="v1"), write(device, lastTargetFwVer="v2")]


def stuck(daemon):
    return daemon.query({"op": "count", "index": "server.fwSyncState", "value": "stuck"})["count"]


@test
def deadlines_pass_in_all_partitions():
    names = [name for partition in range(3) for name in names_of(partition, 3, 40)]
    with Rules({"root.yaml": DEADLINES}) as rules, \
            Daemon("--partitions", 3, "--rules", rules, "--checkpoint-ms", 60000) as daemon:
        for first in range(0, 120, 20):
            daemon.send_events([event for name in names[first:first + 20] for event in told(name)])
        wait_until(lambda: stuck(daemon) == 120, what="all are stuck")
        results = all_changes(daemon)
        late = [result["device"] for result in results if result.get("value") == "stuck"]
        assert sorted(late) == sorted(names), "each once"
        journal = daemon.query({"op": "stats"})["journal"]
        ticks = {result["seq"] for result in results if result.get("value") == "stuck"}
        assert len(ticks) <= journal["ticks"] == journal["last"] - 1 - 240, "a tick is counted once, not in each"
        before = pages(daemon, {"op": "devices"}, "devices", limit=1000)
        daemon.kill()
        daemon.restart()
        assert pages(daemon, {"op": "devices"}, "devices", limit=1000) == before and all_changes(daemon) == results
        # one that is due wakes nobody else's
        quiet = names_of(2, 3, 41)[40]
        daemon.send_events(told(quiet))
        wait_until(lambda: stuck(daemon) == 121)
        new = all_changes(daemon, results[-1]["seq"])
        assert {result["device"] for result in new} == {quiet} and new[-1]["partition"] == 2, new


main()

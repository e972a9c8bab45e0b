"""Copies of the data folder while events flow: whole or refused, and a daemon that starts from one has what the
first had at some event, and goes on."""
import glob
import json
import os
import shutil
import subprocess
import threading

import zmq

from harness import BUILD, DEADLINE_S, SAN, Daemon, Folder, Skip, main, receive, test, wait_until

MARK = "unfinished-backup"


def report(device, version, **more):
    return dict({"device": device, "type": "POST_ATTRIBUTES_REQUEST", "data": {"currentFwVer": version}}, **more)


def target(device, version):
    return {"device": device, "type": "ATTRIBUTES_UPDATED", "scope": "SERVER_SCOPE",
            "data": {"lastTargetFwVer": version}}


class Producer(threading.Thread):
    """Sends events with (source, n) until it is told to stop: event n says version n of device n modulo
    `devices`. What was acknowledged is `n`. It goes on where it was with another daemon, too."""

    def __init__(self, daemon, devices=500, batch=50, first=1):
        super().__init__()
        self.daemon, self.devices, self.batch, self.n = daemon, devices, batch, first - 1
        self.stopping, self.error = threading.Event(), None

    def event(self, n):
        return report(f"d{n % self.devices}", f"v{n}", source="s", n=n)

    def run(self):
        try:
            socket = self.daemon.context.socket(zmq.REQ)
            socket.linger = 0
            socket.connect(self.daemon.events)
            while not self.stopping.is_set():
                events = [self.event(n) for n in range(self.n + 1, self.n + self.batch + 1)]
                socket.send("\n".join(json.dumps(event) for event in events).encode())
                reply = json.loads(receive(socket, DEADLINE_S, "an answer")[0])
                if reply.get("code") == "busy":
                    continue
                assert reply["ok"] and reply["accepted"] == self.batch, reply
                self.n += self.batch
            socket.close()
        except Exception as error:  # pylint: disable=broad-except; raised again by finish()
            self.error = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.finish()

    def finish(self):
        self.stopping.set()
        self.join()
        if self.error:
            raise self.error


def ask_backup(daemon, folder):
    """A socket on which the answer will come."""
    socket = daemon.socket(zmq.DEALER, daemon.query_endpoint)
    socket.send_multipart([b"", json.dumps({"op": "backup", "dir": folder}).encode()])
    return socket


def answer_of(socket):
    return json.loads(receive(socket, DEADLINE_S, "the answer to a backup")[1])


def backup(daemon, folder):
    reply = daemon.query({"op": "backup", "dir": folder})
    assert reply["ok"], reply
    return reply


def refused(daemon, folder, code, *words):
    reply = daemon.query({"op": "backup", "dir": folder})
    assert not reply["ok"] and reply["code"] == code, reply
    for word in words:
        assert word in reply["error"], (word, reply)
    return reply


def contents(daemon):
    """All that can be asked about devices, without the times of last reports."""
    devices, cursor = [], None
    while True:
        page = daemon.query(dict({"op": "devices", "limit": 1000}, **({"cursor": cursor} if cursor else {})))
        assert page["ok"], page
        devices += page["devices"]
        cursor = page.get("cursor")
        if not cursor:
            break
    counts = {index: daemon.query({"op": "count", "index": index, "limit": 1000})["values"]
              for index in ("client.currentFwVer", "server.fwStateIsSynced", "type")}
    return devices, counts


def without_times(pair):
    devices, counts = pair
    return [{key: value for key, value in device.items() if key not in ("created", "lastSeen")}
            for device in devices], counts


def check_events(daemon, devices, n):
    """Exactly the events 1 to n are in: every device has what the last event of its own said."""
    found = {device["device"]: device["client"]["currentFwVer"] for device in contents(daemon)[0]}
    expected = {f"d{i % devices}": f"v{i}" for i in range(max(1, n - devices + 1), n + 1)}
    assert found == expected, sorted(set(found.items()) ^ set(expected.items()))[:6]


def not_started(data, *words):
    with Daemon(data=data, start=False) as daemon:
        try:
            daemon.start()
        except AssertionError as why:
            assert "ended with code 1" in str(why), why
            for word in words:
                assert word in str(why), (word, why)
            return
        raise AssertionError("it started")


# --- what a backup is

@test
def test_a_copy_of_a_quiet_daemon_is_the_same():
    with Folder() as place, Daemon() as daemon:
        send(daemon, [report(f"d{i}", f"v{i % 7}") for i in range(3000)] +
             [target(f"d{i}", f"v{i % 3}") for i in range(0, 3000, 2)] +
             [{"device": "dead", "type": "POST_TELEMETRY_REQUEST", "data": {}}])
        before = contents(daemon)
        reply = backup(daemon, place("one"))
        assert set(reply) == {"ok", "seq", "dir", "bytes"}, reply
        assert reply["dir"] == os.path.realpath(place("one"))
        assert reply["seq"] == daemon.query({"op": "ping"})["seq"] == 4502
        sizes = sum(os.path.getsize(os.path.join(folder, name))
                    for folder, _, names in os.walk(place("one")) for name in names)
        assert reply["bytes"] == sizes > 100_000, (reply, sizes)
        assert set(os.listdir(place("one"))) == set(os.listdir(daemon.data)) - {"lock"}
        with Daemon(data=place("one")) as copy:
            assert copy.query({"op": "ping"})["seq"] == reply["seq"]
            assert contents(copy) == before
            assert copy.query({"op": "deadletters"})["deadletters"] == \
                daemon.query({"op": "deadletters"})["deadletters"]
            assert copy.query({"op": "stats"})["results"] == daemon.query({"op": "stats"})["results"]
            for question in ({"op": "history", "device": "d4"}, {"op": "explain", "device": "d4"},
                             {"op": "changes", "after": 0, "limit": 50}):
                answers = [one.query(question) for one in (copy, daemon)]
                assert answers[0]["ok"] and answers[0] == answers[1], answers
            copy.stop()


@test
def test_a_copy_under_load_is_the_state_at_some_event():
    with Folder() as place, Daemon("--checkpoint-ms", 20) as daemon:
        with Producer(daemon) as producer:
            for round_number in range(4):
                start = producer.n
                wait_until(lambda: producer.error or producer.n > start + 1000, what="events flow")
                before = producer.n
                reply = backup(daemon, place(str(round_number)))
                assert reply["seq"] >= 1 + before, "what was acknowledged before is in it"
        copied = place("3")
        with Daemon(data=copied) as copy:
            seq = copy.query({"op": "ping"})["seq"]
            assert seq >= reply["seq"]
            check_events(copy, producer.devices, seq - 1)
            # the producer, resending from what the copy may lack, brings it to where the first one is
            late = Producer(copy, producer.devices, 50, first=seq)
            while late.n < producer.n:
                events = [late.event(n) for n in range(late.n + 1, min(late.n + 50, producer.n) + 1)]
                again = copy.send_events(events)
                assert again["ok"] and again["duplicates"] == 0, again
                late.n += len(events)
            assert without_times(contents(copy)) == without_times(contents(daemon))
            repeated = copy.send_events([late.event(n) for n in range(1, 50)])
            assert repeated["duplicates"] == 49, "it knows the producer's numbers"


@test
def test_the_copy_has_all_that_its_state_lacks_although_the_journal_is_trimmed():
    """A journal that is trimmed at every commit, and checkpoints while the copy is made."""
    arguments = ("--checkpoint-ms", 10, "--journal-keep-hours", 0, "--journal-keep-mib", 1)
    with Folder() as place, Daemon(*arguments) as daemon:
        with Producer(daemon, devices=3000, batch=200) as producer:
            wait_until(lambda: producer.error or daemon.query({"op": "stats"})["journal"]["trimmed"] > 1000,
                       what="the journal is trimmed")
            for round_number in range(5):
                backup(daemon, place(str(round_number)))
            trimmed = daemon.query({"op": "stats"})["journal"]["trimmed"]
            wait_until(lambda: producer.error or daemon.query({"op": "stats"})["journal"]["trimmed"] > trimmed,
                       what="it is trimmed again afterwards")
        for round_number in range(5):
            with Daemon(data=place(str(round_number))) as copy:
                check_events(copy, producer.devices, copy.query({"op": "ping"})["seq"] - 1)


@test
def test_rules_travel_with_the_copy():
    chain = "chain: root\nfirst: save\nnodes:\n  save: {type: save-attributes, scope: CLIENT_SCOPE}\n"
    with Folder() as place:
        os.mkdir(place("rules"))
        with open(f"{place('rules')}/root.yaml", "w", encoding="ascii") as file:
            file.write(chain)
        with Daemon("--rules", place("rules")) as daemon:
            backup(daemon, place("copy"))
            with Daemon("--rules", place("rules"), data=place("copy")) as copy:
                assert copy.query({"op": "rules"}) == daemon.query({"op": "rules"})


@test
def test_a_relative_folder_is_the_daemons():
    with Folder() as place:
        with Daemon(wrapper=["env", "-C", place.path]) as daemon:
            reply = backup(daemon, "here")
            assert reply["dir"] == os.path.realpath(place("here")), reply


@test
def test_an_empty_folder_is_used_as_it_is():
    with Folder() as place, Daemon() as daemon:
        os.mkdir(place("empty"))
        os.chmod(place("empty"), 0o700)
        backup(daemon, place("empty"))
        assert os.stat(place("empty")).st_mode & 0o777 == 0o700
        with Daemon(data=place("empty")) as copy:
            assert copy.query({"op": "ping"})["seq"] == 1


# --- one at a time, and what is seen of it

def send(daemon, events):
    """All of them, in requests of 500; what a slow machine refuses is sent again."""
    for first in range(0, len(events), 500):
        wait_until(lambda: daemon.send_events(events[first:first + 500])["ok"], what="events are taken")


def large_daemon(*args):
    """With a state of some MiB, so that a copy takes a while."""
    daemon = Daemon(*args)
    try:
        send(daemon, [{"device": f"d{i}", "type": "POST_ATTRIBUTES_REQUEST",
                       "data": {"currentFwVer": f"v{i}", "text": "x" * 100}} for i in range(40000)])

        def saved():
            stats = daemon.query({"op": "stats"})
            return stats["state"]["checkpoint"] == stats["journal"]["last"]
        wait_until(saved, what="all of it is in a checkpoint")
    except BaseException:
        daemon.close()
        raise
    return daemon


@test
def test_one_at_a_time_and_its_progress_shows():
    with Folder() as place, large_daemon() as daemon:
        socket = daemon.socket(zmq.DEALER, daemon.query_endpoint)
        for number in range(3):
            question = json.dumps({"op": "backup", "dir": place(str(number))}).encode()
            socket.send_multipart([b"%d" % number, b"", question])
        seen = []

        def over():
            seen.append(daemon.query({"op": "stats"})["backup"])
            return seen[-1]["finished"]
        wait_until(over, what="the backup is over")
        answers = {}
        for _ in range(3):
            number, _, body = receive(socket)
            answers[int(number)] = json.loads(body)
        assert answers[0]["ok"] and answers[1]["code"] == "busy", answers
        assert place("0") in answers[1]["error"] and "one at a time" in answers[1]["error"], answers
        done = [row["bytesDone"] for row in seen]
        assert done == sorted(done), seen
        last = seen[-1]
        assert set(last) == {"running", "dir", "bytesDone", "bytesTotal", "finished"}, last
        assert last["bytesDone"] == last["bytesTotal"] > 1 << 20 and last["dir"] == place("0"), last
        assert any(row["running"] for row in seen), seen
        wait_until(lambda: "fwsync_backup_running 0\n" in daemon.query({"op": "metrics"})["text"])
        backup(daemon, place("next"))


@test
def test_events_and_questions_go_on_meanwhile():
    with Folder() as place, large_daemon() as daemon, Producer(daemon, batch=1) as producer:
        socket = ask_backup(daemon, place("copy"))
        before, asked = producer.n, 0
        while not socket.poll(0):
            assert daemon.query({"op": "stats"})["ok"]
            asked += 1
        assert answer_of(socket)["ok"]
        assert asked > 0 and producer.n > before, (asked, producer.n - before)


@test
def test_a_stop_gives_it_up():
    with Folder() as place, large_daemon() as daemon:
        socket = ask_backup(daemon, place("copy"))
        wait_until(lambda: os.path.exists(place("copy")), what="it has begun")
        daemon.stop()
        reply = answer_of(socket)
        if reply["ok"]:
            raise Skip("it was done before the stop came")
        assert "stopping" in reply["error"], reply
        not_started(place("copy"), "wasn't finished", MARK)
        daemon.restart()
        assert daemon.query({"op": "count"})["devices"] == 40000


# --- what can be wrong

@test
def test_wrong_folders_are_refused_with_a_reason():
    with Folder() as place, Daemon() as daemon:
        os.mkdir(place("full"))
        with open(place("full/file"), "w", encoding="ascii") as file:
            file.write("mine")
        refused(daemon, place("full"), "io", place("full"), "isn't empty")
        refused(daemon, place("full/file"), "io", "Not a directory")
        refused(daemon, place("no/such/place"), "io", "No such file")
        refused(daemon, daemon.data, "io", "isn't empty")
        os.symlink(daemon.data, place("link"))
        os.mkdir(f"{daemon.data}/empty")
        for inside in [f"{daemon.data}/new", f"{daemon.data}/state/new", place("link/new"), f"{daemon.data}/empty"]:
            refused(daemon, inside, "io", "in the data folder itself")
        assert not os.path.exists(f"{daemon.data}/new"), "nothing is left"
        refused(daemon, "", "bad-query", "dir: expected")
        refused(daemon, "x" * 5000, "bad-query", "dir: expected")
        assert daemon.query({"op": "backup"})["code"] == "bad-query"
        assert daemon.query({"op": "backup", "dir": 7})["code"] == "bad-query"
        assert os.listdir(place("full")) == ["file"]
        stats = daemon.query({"op": "stats"})["backup"]
        assert not stats["running"] and stats["finished"] == 0, stats
        assert daemon.stderr.count("backup-failed") == 8, daemon.stderr


@test
def test_a_folder_that_cannot_be_written_is_told():
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        wrapper = []
    else:
        wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    with Folder() as place:
        os.mkdir(place("data"))
        os.mkdir(place("closed"))
        os.chmod(place.path, 0o755)
        os.chmod(place("data"), 0o777)
        os.chmod(place("closed"), 0o555)
        with Daemon(data=place("data"), wrapper=wrapper) as daemon:
            refused(daemon, place("closed/new"), "io", "Permission denied", "running as user")
            refused(daemon, place("closed"), "io", "Permission denied", "running as user")


def on_small_tmpfs(place, size_kib):
    """A wrapper that runs the daemon with a tmpfs of that size at `place`/small."""
    command = ["unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-ec",
               f'mount -t tmpfs -o size={size_kib}k none "$0"; exec "$@"', place("small")]
    os.mkdir(place("small"))
    tried = subprocess.run(command + ["true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        raise Skip("no tmpfs can be mounted here: " + tried.stderr.strip().replace("\n", "; "))
    return command


def send_much(daemon):
    send(daemon, [{"device": f"d{i}", "type": "POST_ATTRIBUTES_REQUEST",
                   "data": {"currentFwVer": "v1", "text": "x" * 200}} for i in range(20000)])


@test
def test_too_little_space_is_seen_before_copying():
    with Folder() as place:
        with Daemon(wrapper=on_small_tmpfs(place, 2048)) as daemon:
            send_much(daemon)
            refused(daemon, place("small/copy"), "full", "MiB left", "free some space")
            inside = f"/proc/{daemon.pid}/root{place('small/copy')}"
            assert os.listdir(inside) == [MARK]
            again = refused(daemon, place("small/copy"), "full", "MiB left")
            assert "isn't empty" not in again["error"], "what is only marked can be used again"
            assert daemon.query({"op": "ping"})["ok"] and "stopped" not in daemon.stderr


@test
def test_a_disk_that_fills_up_while_copying_is_told():
    library = os.path.join(BUILD, "tests", "fault", "fullfs.so")
    if SAN:
        raise Skip("LD_PRELOAD and sanitizers don't go together")
    with Folder() as place:
        flag = place("full")
        with Daemon("--checkpoint-ms", 60000, preload=library, env={"FWSYNC_FULL_FLAG": flag}) as daemon:
            daemon.send_events([report(f"d{i}", "v1") for i in range(100)])
            with open(flag, "w", encoding="ascii"):
                pass
            refused(daemon, place("copy"), "full", "space")
            assert os.listdir(place("copy")) == [MARK]
            not_started(place("copy"), "wasn't finished")
            os.unlink(flag)
            reply = backup(daemon, place("copy"))
            assert reply["seq"] == 101, reply
            with Daemon(data=place("copy")) as copy:
                assert copy.query({"op": "count"})["devices"] == 100
            assert daemon.send_events(report("d", "v"))["ok"], "the daemon itself had no harm"


def moments(folder):
    """What happens to a folder while it is being filled, one after the other."""
    def size(name):
        path = os.path.join(folder, name)
        return os.path.getsize(path) if os.path.exists(path) else 0

    def state_size():
        return sum(size(os.path.relpath(path, folder)) for path in glob.glob(f"{folder}/state*/*"))
    yield lambda: os.path.exists(folder)
    yield lambda: size(MARK) > 0
    for mib in (1, 2, 4, 6):
        yield lambda mib=mib: state_size() >= mib << 20
    yield lambda: os.path.exists(os.path.join(folder, "journal"))
    yield lambda: os.path.exists(os.path.join(folder, "journal")) and not size(MARK)


@test
def test_a_kill_at_any_moment_leaves_a_whole_copy_or_what_is_refused():
    with Folder() as place, large_daemon() as daemon:
        count = len(list(moments("")))
        for number in range(count):
            folder = place(str(number))
            ask_backup(daemon, folder)
            wait_until(list(moments(folder))[number], what=f"moment {number} of a backup")
            daemon.kill()
            found = os.listdir(folder)
            if MARK in found:
                not_started(folder, "wasn't finished", MARK, "remove this")
            elif found:
                with Daemon(data=folder) as copy:
                    assert copy.query({"op": "count"})["devices"] == 40000
            daemon.restart()
            if MARK in found and "state" in found:
                refused(daemon, folder, "io", "unfinished backup", "remove it")
            assert daemon.query({"op": "count"})["devices"] == 40000
        assert MARK not in os.listdir(place(str(count - 1)))


main()

"""A replay gives the very state that the live run had, whatever the live run met."""
import contextlib
import os
import tempfile

import zmq

from harness import BUILD, SAN, Daemon, Skip, main, receive, test, wait_until


def devices(daemon):
    """Every device with all its fields, and nothing of the moment of asking."""
    found, cursor = [], {}
    while True:
        page = daemon.query({"op": "devices", "limit": 1000, **cursor})
        found += page["devices"]
        if "cursor" not in page:
            return found
        cursor = {"cursor": page["cursor"]}


def same_after_a_kill(daemon):
    """Kills and restarts a daemon that makes no checkpoint by itself, and compares."""
    before = devices(daemon)
    daemon.kill()
    daemon.restart()
    assert daemon.query({"op": "stats"})["events"]["replayed"] > 0
    assert devices(daemon) == before
    return before


@test
def test_many_short_requests_are_journaled_as_they_came():
    """libzmq keeps short bodies inside the message itself, which must stay where it is."""
    count = 5000
    with Daemon("--checkpoint-ms", 60000) as daemon:
        socket = daemon.context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.connect(daemon.events)
        for number in range(count):
            socket.send_multipart([b"", b'{"device":"%d","type":"b"}' % number])
        for _ in range(count):
            assert receive(socket)[1].startswith(b'{"ok":true,"accepted":1,')
        socket.close()
        assert len(same_after_a_kill(daemon)) == count


@test
def test_a_clock_that_is_set_back_makes_no_difference():
    if SAN:
        raise Skip("LD_PRELOAD and sanitizers don't go together")
    with tempfile.TemporaryDirectory() as folder:
        flag = f"{folder}/back"
        with Daemon("--checkpoint-ms", 60000, preload=os.path.abspath(f"{BUILD}/tests/fault/backclock.so"),
                    env={"FWSYNC_BACK_FLAG": flag}) as daemon:
            daemon.send_events([{"device": "a", "type": "T"}])
            open(flag, "w").close()
            daemon.send_events([{"device": "b", "type": "T"}, {"device": "a", "type": "T"}])
            before = same_after_a_kill(daemon)
            assert before[1]["created"] >= before[0]["created"], "time went back"


def filled(daemon, count=20000):
    """So many events that no checkpoint has, and then it dies. How its devices are."""
    for first in range(0, count, 1000):
        daemon.send_events([{"device": f"d{i % 700}", "type": "POST_ATTRIBUTES_REQUEST",
                             "data": {"currentFwVer": f"v-{i:05}"}} for i in range(first, first + 1000)])
    before = devices(daemon)
    daemon.kill()
    return before


def change_byte(folder, marker, change):
    """In the file of the folder that has the marker; which that is."""
    for name in os.listdir(folder):
        if not name.endswith(".log"):
            continue
        with open(f"{folder}/{name}", "r+b") as file:
            at = file.read().find(marker)
            if at >= 0:
                file.seek(at)
                file.write(change)
                return name
    raise AssertionError(f"{folder} has no {marker}")


@test
def test_a_damaged_record_far_in_ends_the_replay_and_repaired_it_goes_on():
    with Daemon("--checkpoint-ms", 60000, "--journal-keep-mib", 4) as daemon:  # small files: only the last is read to open
        before = filled(daemon)
        journal = f"{daemon.data}/journal"
        name = change_byte(journal, b"v-12345", b"w")
        daemon.launch()
        assert daemon.wait() == 1
        last = daemon.stderr.strip().splitlines()[-1]
        for word in ("error stopped", f"{journal}/{name}", "event 12347: ", "fails its checksum", "restore a backup"):
            assert word in last, (word, last)
        change_byte(journal, b"w-12345", b"v")
        daemon.restart()
        assert daemon.query({"op": "stats"})["events"]["replayed"] == 20000
        assert devices(daemon) == before


@test
def test_a_stop_or_a_kill_amid_a_replay_loses_nothing():
    with Daemon("--checkpoint-ms", 60000) as daemon:
        before = filled(daemon)

        def amid(end):
            said = len(daemon.stderr)
            daemon.launch()
            wait_until(lambda: "rules-active" in daemon.stderr[said:], what="its first record is replayed")
            end()
        amid(daemon.kill)
        amid(daemon.stop)
        daemon.restart()
        assert daemon.query({"op": "stats"})["events"]["replayed"] == 0, "a clean stop has saved all"
        assert devices(daemon) == before


@test
def old_events_leave_the_journal_but_never_before_a_checkpoint_has_them():
    batch = [{"device": f"d{i}", "type": "POST_ATTRIBUTES_REQUEST", "data": {"a": "v" * 500 + str(i)}} for i in range(100)]
    with Daemon("--journal-keep-mib", 1, "--checkpoint-ms", 60000, "--checkpoint-mib", 1024) as daemon:
        for _ in range(20):
            daemon.send_events(batch)
        assert daemon.query({"op": "stats"})["journal"]["trimmed"] == 0, "nothing is in a checkpoint yet"
        daemon.args = ["--journal-keep-mib", "1", "--checkpoint-ms", "10"]
        daemon.kill()
        daemon.restart()
        assert daemon.query({"op": "stats"})["events"]["replayed"] == 2000

        def trimmed():
            daemon.send_events(batch)
            return daemon.query({"op": "stats"})["journal"]["trimmed"] > 2000
        wait_until(trimmed, what="the journal is trimmed")

        def small():
            daemon.send_events(batch)
            files = [name for name in os.listdir(f"{daemon.data}/journal") if name.endswith(".log")]
            with contextlib.suppress(FileNotFoundError):  # it went in between
                return sum(os.path.getsize(f"{daemon.data}/journal/{name}") for name in files) < 2 << 20
        wait_until(small, what="the files are removed")
        before = devices(daemon)
        daemon.stop()
        daemon.restart()
        assert daemon.query({"op": "stats"})["events"]["replayed"] == 0
        assert devices(daemon) == before and len(before) == 100


main()

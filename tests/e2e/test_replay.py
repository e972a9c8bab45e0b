"""A replay gives the very state that the live run had, whatever the live run met."""
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
        before = devices(daemon)
        daemon.stop()
        daemon.restart()
        assert daemon.query({"op": "stats"})["events"]["replayed"] == 0
        assert devices(daemon) == before and len(before) == 100


main()

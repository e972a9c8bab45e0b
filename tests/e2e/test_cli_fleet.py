"""The command line tool moves whole fleets: backup, export and import."""
import contextlib
import json
import os
import re
import signal
import tempfile

import zmq

from harness import DEADLINE_S, Daemon, fwsync, main, test
from tool import Terminal, done, doors


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


@test
def backup_names_the_folder_from_where_one_is():
    with SlowDaemon() as daemon, Terminal("backup", "some/dir", daemon=daemon) as terminal:
        envelope, question = daemon.next()
        assert question == {"op": "backup", "dir": os.path.join(os.getcwd(), "some/dir")}
        daemon.answer(envelope, ok=True, dir="/x", bytes=1 << 20, seq=5)
        assert terminal.finish() == (0, "1.0 MiB in /x, with all events up to seq 5\r\n")


@test
def backup_shows_how_far_it_is_and_waits_as_long_as_that_moves():
    with SlowDaemon() as daemon, Terminal("--timeout", "1.5", "backup", "/d", daemon=daemon) as terminal:
        envelope, question = daemon.next()
        for step in range(1, 9):  # together longer than the timeout
            asker, question = daemon.next()
            assert question == {"op": "stats"}, question
            daemon.answer(asker, ok=True, backup={"running": True, "bytesDone": step << 20, "bytesTotal": 10 << 20})
        terminal.until(lambda text: re.search(r"\r\x1b\[K\d\.0 of 10\.0 MiB copied, \d0 %, \d+\.\d MiB/s", text))
        daemon.answer(envelope, ok=True, dir="/d", bytes=1 << 20, seq=5)
        code, text = terminal.finish()
        assert code == 0 and text.endswith("\r\x1b[K1.0 MiB in /d, with all events up to seq 5\r\n"), text
    with SlowDaemon() as daemon, Terminal("--timeout", "0.5", "backup", "/d", daemon=daemon) as terminal:
        code, text = terminal.finish()
        assert code == 1 and "is fwsyncd running?" in text, text
    with SlowDaemon() as daemon, Terminal("backup", "/d", daemon=daemon) as terminal:
        daemon.next()
        code, text = terminal.finish(signal.SIGINT)
        assert code == 130 and "fwsyncd goes on with it" in text, text


main()

"""A full disk: requests are answered with busy and the reason, questions are answered, and when there is
space again all goes on; nothing acknowledged is lost, nothing is applied twice.

The disk is full in two ways: tests/fault/fullfs.so makes writes fail, and a small tmpfs really is full."""
import errno
import os
import re
import shutil
import signal
import subprocess
import tempfile

from harness import BUILD, SAMPLE_RULES, SAN, Daemon, Skip, main, test, wait_until

LIBRARY = os.path.join(BUILD, "tests", "fault", "fullfs.so")


def report(device, version, **more):
    return dict({"device": device, "type": "POST_ATTRIBUTES_REQUEST",
                 "data": {"currentFwVer": version}}, **more)


class Disk:
    """A switch for fullfs.so: what it fails while it is on."""

    def __init__(self):
        if SAN:
            raise Skip("LD_PRELOAD and sanitizers don't go together")
        assert os.path.exists(LIBRARY), f"{LIBRARY} isn't built: make build-tests"
        self.folder = tempfile.mkdtemp(prefix="fwsync-test-")
        self.flag = os.path.join(self.folder, "full")
        self.options = {"preload": LIBRARY, "env": {"FWSYNC_FULL_FLAG": self.flag}}

    def fill(self, says_so):
        """says_so: the file system tells that no space is left, too; else only the writes fail."""
        with open(self.flag + ".new", "w") as file:
            file.write("full" if says_so else "")
        os.rename(self.flag + ".new", self.flag)

    def free(self):
        os.unlink(self.flag)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)


class Sender:
    """One producer; every event is for a device of its own, and its number tells how often it was applied."""

    def __init__(self, daemon):
        self.daemon, self.n, self.acknowledged = daemon, 0, 0

    def send(self, count=20):
        """One request, sent once; returns the reply. One that was refused is sent again the next time."""
        events = [report(f"d{n}", f"v{n}", source="s", n=n) for n in range(self.n + 1, self.n + count + 1)]
        reply = self.daemon.send_events(events)
        if reply["ok"]:
            assert reply["accepted"] == count and reply["duplicates"] == 0, reply
            self.n += count
        else:
            assert reply["code"] == "busy" and reply["retry_ms"] > 0, reply
            assert set(reply) == {"ok", "code", "retry_ms", "error"}, reply
        return reply

    def until_refused(self):
        return wait_until(lambda: (lambda reply: None if reply["ok"] else reply)(self.send()))

    def until_taken(self):
        wait_until(lambda: self.send()["ok"])

    def check(self):
        """Exactly what was acknowledged is there: one event a device, dense in the journal."""
        assert self.daemon.query({"op": "ping"})["seq"] == 1 + self.n
        assert self.daemon.query({"op": "count"})["devices"] == self.n
        for n in {1, self.n // 2, self.n} - {0}:
            assert self.daemon.query({"op": "device", "device": f"d{n}"})["client"] == {"currentFwVer": f"v{n}"}
        counts = self.daemon.query({"op": "count", "index": "server.fwStateIsSynced", "value": False})
        assert counts["count"] == self.n
        # a result for each attribute that changed: two a device, none twice
        assert self.daemon.query({"op": "stats"})["results"]["attributes"] == 2 * self.n


def check_restarts(daemon, sender):
    daemon.kill()
    daemon.restart()
    sender.check()
    daemon.stop()
    daemon.restart()
    assert daemon.query({"op": "stats"})["events"]["replayed"] == 0
    sender.check()
    assert sender.send()["ok"]
    sender.check()


def fill_and_free(says_so, *args):
    with Disk() as disk, Daemon(*SAMPLE_RULES, *args, **disk.options) as daemon:
        sender = Sender(daemon)
        for _ in range(3):
            sender.until_taken()  # a checkpoint that began on the full disk may fail a little later
            disk.fill(says_so)
            reply = sender.until_refused()
            assert "disk is full" in reply["error"], reply
            sender.check()  # questions are answered, with all that was acknowledged
            assert not sender.send()["ok"]
            disk.free()
            sender.until_taken()
            sender.check()
        assert daemon.stderr.count("journal-full") + daemon.stderr.count("state-full") >= 3
        stats = daemon.query({"op": "stats"})
        assert stats["traffic"]["busy"] >= 6 and stats["events"]["accepted"] == sender.n
        check_restarts(daemon, sender)


@test
def test_writes_that_fail_make_producers_wait():
    fill_and_free(False, "--checkpoint-ms", 60000)


@test
def test_writes_that_fail_at_checkpoints_too_make_producers_wait():
    fill_and_free(False, "--checkpoint-ms", 10)


@test
def test_a_stop_whose_last_checkpoint_fails_says_so_and_loses_nothing():
    with Disk() as disk:
        disk.options["env"]["FWSYNC_FULL_ERRNO"] = str(errno.EIO)
        with Daemon(*SAMPLE_RULES, "--checkpoint-ms", 60000, **disk.options) as daemon:
            sender = Sender(daemon)
            sender.until_taken()
            disk.fill(False)
            daemon.signal(signal.SIGTERM)
            assert daemon.wait() == 1, daemon.stderr
            assert os.strerror(errno.EIO) in daemon.stderr.splitlines()[-1], daemon.stderr
            disk.free()
            daemon.restart()
            sender.check()


@test
def test_a_file_system_without_space_makes_producers_wait():
    fill_and_free(True, "--checkpoint-ms", 10)


@test
def test_a_deadline_that_finds_no_space_passes_when_there_is_some():
    """Passing time is a record of the journal, too."""
    with Disk() as disk, tempfile.TemporaryDirectory() as rules:
        with open(os.path.join(rules, "root.yaml"), "w") as file:
            file.write("chain: root\nfirst: verdict\nnodes:\n"
                       "  verdict: {type: firmware-verdict, deadlines: {pending: 2s}}\n")
        with Daemon("--rules", rules, "--checkpoint-ms", 60000, **disk.options) as daemon:
            write = {"device": "a", "type": "ATTRIBUTES_UPDATED"}
            daemon.send_events([dict(write, scope="CLIENT_SCOPE", data={"currentFwVer": "v1"}),
                                dict(write, scope="SERVER_SCOPE", data={"lastTargetFwVer": "v2"})])

            def state():
                return daemon.query({"op": "device", "device": "a"})["server"]["fwSyncState"]
            disk.fill(True)
            wait_until(lambda: "journal-full" in daemon.stderr, what="the tick finds no space")
            assert state() == "pending"
            disk.free()
            wait_until(lambda: state() == "stuck")
            assert daemon.query({"op": "ping"})["seq"] == 4, "the rules, two writes, one tick"
            daemon.kill()
            daemon.restart()
            assert state() == "stuck"


@test
def test_a_checkpoint_that_fails_half_way_is_made_good():
    """What it had to write stays in memory and is tried again."""
    with Disk() as disk, Daemon(*SAMPLE_RULES, "--checkpoint-ms", 300, **disk.options) as daemon:
        sender = Sender(daemon)
        subscription = daemon.subscribe("attributes/")
        for _ in range(10):
            assert sender.send()["ok"]
        disk.fill(False)
        wait_until(lambda: daemon.query({"op": "stats"})["state"]["diskFull"], what="a checkpoint fails")
        sender.check()
        assert "state-full" in daemon.stderr
        assert not sender.send()["ok"]
        disk.free()
        wait_until(lambda: not daemon.query({"op": "stats"})["state"]["diskFull"], what="a checkpoint is made")
        assert "state-has-space" in daemon.stderr
        sender.until_taken()
        sender.check()
        stats = daemon.query({"op": "stats"})["events"]
        assert stats["accepted"] == stats["applied"] == sender.n, stats
        numbers = [subscription.next()[1]["n"] for _ in range(2 * sender.n)]
        assert numbers == list(range(1, 2 * sender.n + 1)), "each result once, in order"
        check_restarts(daemon, sender)


@test
def test_a_daemon_stops_cleanly_on_a_full_disk():
    with Disk() as disk, Daemon(*SAMPLE_RULES, "--checkpoint-ms", 60000, **disk.options) as daemon:
        sender = Sender(daemon)
        assert sender.send()["ok"]
        disk.fill(False)
        sender.until_refused()
        daemon.signal(15)
        assert daemon.wait() == 0, daemon.stderr
        disk.free()
        daemon.restart()
        sender.check()


@test
def test_a_full_disk_at_the_start_is_said():
    with Disk() as disk:
        disk.fill(False)
        daemon = Daemon(*SAMPLE_RULES, start=False, **disk.options)
        with daemon:
            try:
                daemon.start()
            except AssertionError as why:
                assert "ended with code 1" in str(why) and "space" in str(why), why
            else:
                raise AssertionError("it started without any space for its files")
            disk.free()
            daemon.start()
            assert Sender(daemon).send()["ok"]


# --- a tmpfs

def own_mounts(size_kib, part):
    """A wrapper that runs the daemon with a tmpfs of that size on its data folder, or a part of it."""
    command = ["unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-ec",
               f'mkdir -p "$0"; mount -t tmpfs -o size={size_kib}k none "$0"; exec "$@"']
    with tempfile.TemporaryDirectory() as place:
        tried = subprocess.run(command + [place, "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        raise Skip("no tmpfs can be mounted here: " + tried.stderr.strip().replace("\n", "; "))
    return lambda data: command + [os.path.join(data, part)]


def fill_tmpfs(part, door):
    data = tempfile.mkdtemp(prefix="fwsync-test-")
    try:
        wrapper = own_mounts(16384, part)(data)
        with Daemon(*SAMPLE_RULES, "--checkpoint-ms", 50, data=data, wrapper=wrapper) as daemon:
            sender = Sender(daemon)
            inside = f"/proc/{daemon.pid}/root{os.path.join(data, part)}/filler"
            for _ in range(3):
                assert sender.send()["ok"]
                with open(inside, "wb", buffering=0) as filler:
                    try:
                        while True:
                            filler.write(bytes(4096))
                    except OSError:
                        pass  # that was the last page
                reply = sender.until_refused()
                assert "disk is full" in reply["error"] and door in reply["error"], reply
                sender.check()
                os.unlink(inside)
                sender.until_taken()
                sender.check()
            daemon.stop()
    finally:
        shutil.rmtree(data, ignore_errors=True)


@test
def test_a_really_full_disk_makes_producers_wait():
    fill_tmpfs("", "")


@test
def test_a_really_full_disk_below_the_state_makes_producers_wait():
    fill_tmpfs("state", "state")


@test
def test_a_really_full_disk_below_the_journal_makes_producers_wait():
    fill_tmpfs("journal", "journal")


@test
def test_old_files_that_there_is_no_space_to_remove_go_later():
    with Disk() as disk:
        disk.options["env"]["FWSYNC_FULL_UNLINKS"] = "1"
        with Daemon(*SAMPLE_RULES, "--journal-keep-mib", 1, "--checkpoint-ms", 20, **disk.options) as daemon:
            sender = Sender(daemon)
            first = os.path.join(daemon.data, "journal", "0000000000000000.log")
            disk.fill(says_so=False)
            wait_until(lambda: sender.send(500)["ok"] and daemon.query({"op": "stats"})["journal"]["trimmed"] > 0)
            wait_until(lambda: "no space while removing it" in daemon.stderr)
            assert os.path.exists(first)
            sender.until_taken()
            disk.free()
            wait_until(lambda: sender.send()["ok"] and not os.path.exists(first))
            sender.check()
            check_restarts(daemon, sender)


@test
def test_rules_that_were_never_journaled_never_become_active():
    """New rules find the disk full and wait; when the daemon is stopped meanwhile, they are given up."""
    with Disk() as disk, tempfile.TemporaryDirectory() as rules:
        chain = "chain: root\nfirst: note\nnodes:\n  note: {type: log, text: %s}\n"
        with open(f"{rules}/root.yaml", "w") as file:
            file.write(chain % "one")
        with Daemon("--rules", rules, **disk.options) as daemon:
            before = daemon.query({"op": "rules"})
            with open(f"{rules}/root.yaml", "w") as file:
                file.write(chain % "two")
            disk.fill(says_so=False)
            daemon.signal(signal.SIGHUP)
            wait_until(lambda: "journal-full" in daemon.stderr, what="the new rules found the disk full")
            daemon.stop()
            active = set(re.findall(r"rules-active version=(\w+)", daemon.stderr))
            assert active == {before["version"]}, daemon.stderr
            disk.free()
            daemon.restart()
            after = daemon.query({"op": "rules"})
            assert after["version"] != before["version"] and after["activated"] == 2, after


@test
def test_rules_that_an_operator_applies_find_the_disk_full():
    """Whoever asked is told, and can ask again: nothing waits behind his back."""
    files = {"root.yaml": "chain: root\nfirst: note\nnodes:\n  note: {type: log, text: one}\n"}
    with Disk() as disk:
        with Daemon(**disk.options) as daemon:
            before = daemon.query({"op": "rules"})
            disk.fill(says_so=False)
            reply = daemon.query({"op": "rules-apply", "files": files})
            assert reply["code"] == "full" and "no space" in reply["error"], reply
            disk.free()
            wait_until(lambda: daemon.query({"op": "rules-apply", "files": files})["ok"])
            after = daemon.query({"op": "rules"})["activations"]
            assert after[1:] == before["activations"] and after[0]["activated"] == 2, after


@test
def test_a_file_size_limit_is_a_full_disk():
    """SIGXFSZ, which would end the process, and EFBIG."""
    if not shutil.which("prlimit"):
        raise Skip("there is no prlimit")
    limit = 12 << 20
    with Daemon(*SAMPLE_RULES, "--checkpoint-ms", 50, wrapper=["prlimit", f"--fsize={limit}"]) as daemon:
        value, accepted = "v" * 60000, 0

        def refused():
            nonlocal accepted
            reply = daemon.send_events([report(f"d{i}", value + str(accepted)) for i in range(10)])
            accepted += reply.get("accepted", 0)
            return None if reply["ok"] else reply
        reply = wait_until(refused)
        assert reply["code"] == "busy" and "full" in reply["error"], reply
        assert daemon.query({"op": "ping"})["seq"] == 1 + accepted
        assert daemon.child.poll() is None


main()

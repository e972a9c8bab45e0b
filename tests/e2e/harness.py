"""What the end-to-end, crash and documentation tests share: the real daemon, the real command line.

    from harness import Daemon, fwsync, main, test, wait_until

    @test
    def unknown_device_is_not_found():
        with Daemon() as daemon:
            assert daemon.query({"op": "device", "device": "x"})["code"] == "not-found"

    main()

Nothing here waits for time to pass: everything waits for a happening, with a deadline. The daemon gets a
free port for each door and says which. Deadlines are generous (DEADLINE_S); they only end a test that
would hang."""
import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import zmq

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("FWSYNC_BUILD", "build"))
SAN = os.environ.get("FWSYNC_SAN", "")
PARTITIONS = os.environ.get("FWSYNC_PARTITIONS", "1")  # of each daemon that doesn't say otherwise itself
# Arguments for a daemon with the four nodes of ThingsBoard's sample, for tests that count what a rule does.
SAMPLE_RULES = ("--rules", os.path.join(ROOT, "tests", "bench", "rules"))
DEADLINE_S = 60 if SAN else 20


def wait_until(happened, deadline_s=DEADLINE_S, what=None):
    """Calls `happened` until it returns something true, and returns that.

    Best used with a function that itself waits for a reply or a message. Between calls there is a pause
    of a few milliseconds, so that a function which doesn't wait can be used too."""
    end = time.monotonic() + deadline_s
    while True:
        result = happened()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what or happened.__name__}")
        time.sleep(0.005)


class Folder:
    """A place for data and copies, removed at the end."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="fwsync-test-")
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def __call__(self, name):
        return os.path.join(self.path, name)


class Daemon:
    """A running fwsyncd.

    data     its data folder; by default a fresh one, removed at the end. One that is given is kept, so a
             second Daemon can go on where a first one was killed
    args     more command line arguments; env: more environment; preload: a library for LD_PRELOAD
    wrapper  a command to put in front (["prlimit", "--fsize=..."])

    Attributes: events, query_endpoint, results (endpoints), ready (the line), pid, data."""

    def __init__(self, *args, data=None, env=None, preload=None, wrapper=(), start=True):
        self.context = zmq.Context()
        self.sockets = {}
        self.child = None
        self.owned = data is None
        self.data = data or tempfile.mkdtemp(prefix="fwsync-test-")
        self.log = tempfile.TemporaryFile()
        self.args, self.wrapper = [str(arg) for arg in args], list(wrapper)
        self.env = dict(os.environ, **(env or {}))
        if preload:
            self.env["LD_PRELOAD"] = preload
            self.env["ASAN_OPTIONS"] = self.env.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        if start:
            try:
                self.start()
            except BaseException:
                self.close()
                raise

    # --- its life

    def start(self):
        """Starts it and waits until it can serve. Fails with its log when it ends instead."""
        self.launch()
        self.ready = self._read_ready()
        fields = dict(word.split("=", 1) for word in self.ready.split()[1:])
        self.events, self.query_endpoint = fields["events"], fields["query"]
        self.results = fields["results"]
        return self

    def launch(self):
        """Starts it, and doesn't wait."""
        if self.child:
            self.child.stdout.close()
        command = self.wrapper + [
            os.path.join(BUILD, "fwsyncd"), "--data", self.data, "--events", "tcp://127.0.0.1:*",
            "--query", "tcp://127.0.0.1:*", "--results", "tcp://127.0.0.1:*", "--partitions", PARTITIONS] + self.args
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=self.log, env=self.env)

    def _read_ready(self):
        end, line = time.monotonic() + DEADLINE_S, b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.child.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0, end - time.monotonic())):
                    raise AssertionError(f"no ready line within {DEADLINE_S} s\n{self.stderr}")
                byte = os.read(self.child.stdout.fileno(), 1)
                if not byte:
                    code = self.child.wait(DEADLINE_S)
                    raise AssertionError(f"fwsyncd ended with code {code}\n{self.stderr}")
                line += byte
        line = line.decode().rstrip("\n")
        assert line.startswith("ready "), f"expected the ready line, got: {line}"
        return line

    @property
    def pid(self):
        return self.child.pid

    @property
    def stderr(self):
        """Everything it has logged so far."""
        size = os.fstat(self.log.fileno()).st_size
        return os.pread(self.log.fileno(), size, 0).decode(errors="replace")

    def wait(self, deadline_s=DEADLINE_S):
        """Waits until it ends by itself; returns its exit code (negative: the signal it died of)."""
        try:
            return self.child.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"fwsyncd still runs after {deadline_s} s\n{self.stderr}") from None

    def signal(self, number):
        self.child.send_signal(number)

    def stop(self):
        """A clean stop: SIGTERM, and it has to exit with 0."""
        self.signal(signal.SIGTERM)
        code = self.wait()
        assert code == 0, f"fwsyncd stopped with code {code}\n{self.stderr}"

    def kill(self):
        """The power goes: SIGKILL."""
        self.child.kill()
        self.child.wait()

    def restart(self):
        """Starts it again on the same data, after stop() or kill(); the ports are new ones."""
        for socket in self.sockets.values():
            socket.close(0)
        self.sockets.clear()
        return self.start()

    def close(self):
        self.context.destroy(linger=0)
        if self.child:
            if self.child.poll() is None:
                self.kill()
            self.child.stdout.close()
        self.log.close()
        if self.owned:
            shutil.rmtree(self.data, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is not None and not isinstance(error, Skip):
            print(f"--- fwsyncd's log:\n{self.stderr}---", file=sys.stderr)
        self.close()

    # --- its doors

    def socket(self, kind, endpoint):
        """A new connected socket, closed with the daemon."""
        socket = self.context.socket(kind)
        socket.linger = 0
        self.sockets[len(self.sockets), "own"] = socket
        socket.connect(endpoint)
        return socket

    def ask(self, endpoint, body, deadline_s=DEADLINE_S):
        """One request with one body frame, and its reply as a dict."""
        socket = self.sockets.get(endpoint)
        if not socket:
            socket = self.sockets[endpoint] = self.context.socket(zmq.DEALER)
            socket.linger = 0
            socket.connect(endpoint)
        socket.send_multipart([b"", body])
        frames = receive(socket, deadline_s, f"a reply to {body[:200]!r}")
        assert len(frames) == 2 and frames[0] == b"", frames
        return json.loads(frames[1])

    def send_events(self, events, deadline_s=DEADLINE_S):
        """Sends events (bytes or str as they are, or a dict, or a list of dicts); returns the reply."""
        if isinstance(events, dict):
            events = [events]
        if isinstance(events, list):
            events = "\n".join(json.dumps(event, ensure_ascii=False) for event in events)
        if isinstance(events, str):
            events = events.encode()
        return self.ask(self.events, events, deadline_s)

    def query(self, query, deadline_s=DEADLINE_S):
        """Asks the query door (a dict, or bytes as they are); returns the reply."""
        body = query if isinstance(query, bytes) else json.dumps(query, ensure_ascii=False).encode()
        return self.ask(self.query_endpoint, body, deadline_s)

    def subscribe(self, *prefixes):
        """A Subscription to the topics with these prefixes (all, when none is given)."""
        return Subscription(self, [prefix.encode() for prefix in prefixes or [""]])


@contextlib.contextmanager
def fixed_doors(*args):
    """A daemon whose doors stay where they are over a restart."""
    with tempfile.TemporaryDirectory(prefix="fwsync-doors-") as folder:
        doors = [word for door in ("events", "query", "results")
                 for word in (f"--{door}", f"ipc://{folder}/{door}")]
        with Daemon(*doors, *args) as daemon:
            yield daemon


class Subscription:
    """A SUB socket on the results door that is known to be connected: a first heartbeat has come."""

    def __init__(self, daemon, prefixes):
        self.socket = daemon.socket(zmq.SUB, daemon.results)
        self.prefixes = prefixes
        for prefix in prefixes:
            self.socket.subscribe(prefix)
        self.socket.subscribe(b"heartbeat")
        frames = receive(self.socket, DEADLINE_S, "a first heartbeat")
        self.pending = [] if frames[0] == b"heartbeat" else [frames]
        if not any(b"heartbeat".startswith(prefix) for prefix in prefixes):
            self.socket.unsubscribe(b"heartbeat")

    def next(self, deadline_s=DEADLINE_S):
        """(topic, payload as a dict) of the next result; heartbeats only if they were asked for."""
        while True:
            what = f"a result for {self.prefixes}"
            frames = self.pending.pop() if self.pending else receive(self.socket, deadline_s, what)
            if any(frames[0].startswith(prefix) for prefix in self.prefixes):
                return frames[0].decode(), json.loads(frames[1])


def receive(socket, deadline_s=DEADLINE_S, what="a message"):
    """The frames of the next message."""
    if not socket.poll(int(deadline_s * 1000)):
        raise AssertionError(f"not within {deadline_s} s: {what}")
    return socket.recv_multipart()


def fwsync(*args, daemon=None, input=None, env=None, deadline_s=DEADLINE_S):
    """Runs the command line tool; returns (exit code, standard output, standard error).

    daemon   gives it the daemon's endpoints as --events, --query and --results, before the arguments
    input    text for its standard input; without it, that is empty"""
    command = [os.path.join(BUILD, "fwsync")]
    if daemon:
        command += ["--events", daemon.events, "--query", daemon.query_endpoint,
                    "--results", daemon.results]
    command += [str(arg) for arg in args]
    done = subprocess.run(command, input=input or "", capture_output=True, text=True,
                          timeout=deadline_s, env={**os.environ, "COLUMNS": "", **(env or {})})
    return done.returncode, done.stdout, done.stderr


# --- tests

class Skip(Exception):
    """Raised by a test that cannot run here; the text says why."""


_tests = []


def test(function):
    """Marks a test. Its name states the rule; it fails by any exception."""
    _tests.append(function)
    return function


def _why(error):
    """One line: what was said, or the line of the test that did not hold."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)]
    place = next((f for f in reversed(frames) if not f.filename.endswith("harness.py")), frames[-1])
    text = str(error).split("\n", 1)[0] or place.line
    return f"{os.path.basename(place.filename)}:{place.lineno}: {type(error).__name__}: {text}"


def main():
    """Runs the file's tests, or those named on the command line; prints them and exits 0 or 1."""
    passed = failed = 0
    for function in _tests:
        if sys.argv[1:] and function.__name__ not in sys.argv[1:]:
            continue
        try:
            function()
        except Skip as why:
            print(f"ok {function.__name__} # SKIP {why}", flush=True)
        except Exception as error:
            failed += 1
            print(f"not ok {function.__name__}: {_why(error)}", flush=True)
            traceback.print_exc()
        else:
            passed += 1
            print(f"ok {function.__name__}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)

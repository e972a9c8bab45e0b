"""What the tests of the command line tool share: it as a process with pipes, and it on a terminal; and a
stand-in for the daemon."""
import contextlib
import fcntl
import json
import os
import pty
import selectors
import signal
import struct
import subprocess
import termios
import threading
import time

import zmq

from harness import BUILD, DEADLINE_S

NOWHERE = {"FWSYNC_EVENTS": "tcp://127.0.0.1:1", "FWSYNC_QUERY": "tcp://127.0.0.1:1",
           "FWSYNC_RESULTS": "tcp://127.0.0.1:1"}


def done(outcome):
    """Standard output of a command that has to succeed and say nothing else."""
    code, out, err = outcome
    assert code == 0 and err == "", outcome
    return out


def doors(daemon):
    return {"FWSYNC_EVENTS": daemon.events, "FWSYNC_QUERY": daemon.query_endpoint,
            "FWSYNC_RESULTS": daemon.results}


@contextlib.contextmanager
def started(*args, env=None):
    """The tool as a running process with pipes."""
    child = subprocess.Popen([os.path.join(BUILD, "fwsync"), *args], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=dict(os.environ, **(env or {})))
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def read_line(pipe):
    """The next line, within the deadline; byte by byte, so that nothing is kept from communicate()."""
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            assert selector.select(DEADLINE_S), f"no line within the deadline, only {line!r}"
            byte = os.read(pipe.fileno(), 1)
            if not byte:
                break
            line += byte
    return line.decode()


class StandIn:
    """A ROUTER that answers each request as `answer(number, body)` says: a dict, a list of dicts (several
    answers), or None for silence."""

    def __init__(self, answer):
        self.answer, self.bodies = answer, []
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.endpoint = f"tcp://127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self):
        while True:
            if not self.socket.poll(100):
                if self.stopped:
                    return
                continue
            *envelope, body = self.socket.recv_multipart()
            self.bodies.append(body.decode())
            answer = self.answer(len(self.bodies), body.decode())
            for one in answer if isinstance(answer, list) else [answer] if answer else []:
                self.socket.send_multipart(envelope + [json.dumps(one).encode()])

    def __enter__(self):
        self.stopped = False
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped = True
        self.thread.join()
        self.context.destroy(linger=0)


def accepted(body):
    count = len([line for line in body.split("\n") if line])
    return {"ok": True, "accepted": count, "duplicates": 0, "rejected": 0, "first": 1, "last": count}


class Terminal:
    """The tool on a terminal of its own. `text` is what it has written, with its escape sequences.

    stdout   False: only standard error is the terminal, and standard output a pipe (`piped`)"""

    def __init__(self, *args, daemon, columns=80, rows=24, env=None, stdin=None, stdout=True):
        self.text, self.piped = "", ""
        self.fd, child_fd = pty.openpty()
        self.resize(columns, rows, child_fd)
        clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
        self.child = subprocess.Popen(
            [os.path.join(BUILD, "fwsync"), *args], stdin=stdin or child_fd, start_new_session=True,
            stdout=child_fd if stdout else subprocess.PIPE, stderr=child_fd,
            env={**clean, **doors(daemon), "TERM": "xterm", **(env or {})})
        os.close(child_fd)

    def resize(self, columns, rows, fd=None):
        fcntl.ioctl(self.fd if fd is None else fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self, selector):
        assert selector.select(DEADLINE_S), f"nothing more within the deadline: {self.text!r}"
        try:
            piece = os.read(self.fd, 65536)
        except OSError:  # the terminal's other side is closed
            piece = b""
        self.text += piece.decode(errors="replace")
        return bool(piece)

    def peek(self):
        """The text so far, without waiting for more."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.fd, selectors.EVENT_READ)
            while selector.select(0) and self._read(selector):
                pass
        return self.text

    def until(self, wanted):
        """Reads until `wanted(text)` is true, and returns the text."""
        end = time.monotonic() + DEADLINE_S
        with selectors.DefaultSelector() as selector:
            selector.register(self.fd, selectors.EVENT_READ)
            while not wanted(self.text):
                assert time.monotonic() < end and self._read(selector), f"it ended: {self.text!r}"
        return self.text

    def finish(self, signal_number=None):
        """(exit code, text) at its end; with a signal, after sending that."""
        if signal_number:
            self.child.send_signal(signal_number)
        if self.child.stdout:
            self.piped = self.child.stdout.read().decode()
        with selectors.DefaultSelector() as selector:
            selector.register(self.fd, selectors.EVENT_READ)
            while self._read(selector):
                pass
        return self.child.wait(DEADLINE_S), self.text

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGKILL)
        self.child.wait()
        if self.child.stdout:
            self.child.stdout.close()
        os.close(self.fd)

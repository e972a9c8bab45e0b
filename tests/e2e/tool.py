"""What the tests of the command line tool share: it as a process with pipes, and it on a terminal."""
import contextlib
import fcntl
import os
import pty
import selectors
import signal
import struct
import subprocess
import termios
import time

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


class Terminal:
    """The tool on a terminal of its own. `text` is what it has written, with its escape sequences.

    stdout   False: only standard error is the terminal, and standard output a pipe (`piped`)"""

    def __init__(self, *args, daemon, columns=80, rows=24, env=None, stdin=None, stdout=True):
        self.text, self.piped = "", ""
        self.fd, child_fd = pty.openpty()
        self.resize(columns, rows, child_fd)
        clean = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
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

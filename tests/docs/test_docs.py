"""Runs the examples of README.md and docs/*.md and compares what they print with what the page says.

    ```console
    $ build/fwsyncd &
    ready events=tcp://127.0.0.1:7601 ...
    $ build/fwsync send ESP32 \\
    >     --client currentFwVer=v1.1
    accepted 1
    ...
    ```

`$ ` begins a command, `> ` continues it, the lines below are its output (both streams). A command with
<<'END' takes the lines up to END as they are, so that a reader can paste them. `...` stands for any text, alone on a line for any lines. A command that ends in `&` goes on in the background; what it
prints on standard output has to begin with the lines below it, within a deadline.
A block that begins with ```console skip-test=REASON isn't run, and is counted as skipped.

The blocks of one page are one session of one bash, in a copy of the project's folder with `build` linked to
the programs under test, with its own HOME and, where the system allows it, its own network: so pages can
use the default ports, and none sees another's files.

    tests/docs/test_docs.py [FILE...]"""
import glob
import os
import re
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("FWSYNC_BUILD", "build"))
DEADLINE_S = 60 if os.environ.get("FWSYNC_SAN") else 20
MARK = "--- end of command ---"
OWN_NETWORK = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


class Step:
    """One command of a page, with the output it shows."""

    def __init__(self, line, command):
        self.line, self.command, self.expected = line, command, []

    @property
    def open_text(self):
        """Is it still short of the END of its <<'END'?"""
        end = re.search(r"<<'?(\w+)", self.command)
        return end is not None and end.group(1) not in self.command.splitlines()[1:]

    @property
    def background(self):
        return self.command.rstrip().endswith("&") and not self.command.rstrip().endswith("&&")


def read_page(path):
    """(steps, [(line, reason)] of the skipped blocks)."""
    steps, skipped, block, fence = [], [], None, None
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        lines = file.read().splitlines()
    for number, line in enumerate(lines, 1):
        opening = re.match(r"^( *)(`{3,})\s*(\S*)\s*(.*)$", line)
        if fence is None and opening:
            fence = opening.group(1) + opening.group(2)
            indent = len(opening.group(1))
            block = opening.group(3) == "console"
            skip = re.match(r"skip-test=(.+)", opening.group(4))
            if block and skip:
                skipped.append((number, skip.group(1).strip("\"' ")))
                block = False
            elif block and opening.group(4):
                raise SystemExit(f"{path}:{number}: not understood: {opening.group(4)}")
        elif fence is not None and line.rstrip() == fence:
            fence = None
        elif fence is not None and block:
            text = line[indent:]
            if steps and steps[-1].open_text:
                steps[-1].command += "\n" + text
            elif text.startswith("$ "):
                steps.append(Step(number, text[2:]))
            elif not steps:
                raise SystemExit(f"{path}:{number}: output before the first command")
            elif text.startswith("> ") and not steps[-1].expected:
                steps[-1].command += "\n" + text[2:]
            else:
                steps[-1].expected.append(text)
    return steps, skipped


def pattern(expected):
    """A regular expression for the lines that a page shows."""
    parts = []
    for line in expected:
        if line.strip() == "...":
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            parts.append("[^\n]*".join(re.escape(part) for part in line.rstrip().split("...")) + "\n")
    return re.compile("".join(parts))


def tidy(output):
    """Without colours and trailing blanks, ending in a line feed."""
    output = re.sub(r"\x1b\[[0-9;]*m", "", output)
    return "".join(line.rstrip() + "\n" for line in output.splitlines())


def left_out(folder, names):
    """What of the project's folder a copy needn't have. The tests of rules are part of them."""
    left = shutil.ignore_patterns(".git", "build", "fwsync-data", "fwsync-demo", "__pycache__")(folder, names)
    return left | ({"tests"} if folder == ROOT else set())


class Session:
    """A bash in a scratch copy of the project."""

    def __init__(self, prefix):
        self.folder = tempfile.mkdtemp(prefix="fwsync-docs-")
        self.home = os.path.join(self.folder, "project")
        shutil.copytree(ROOT, self.home, symlinks=True, ignore=left_out)
        os.symlink(BUILD, os.path.join(self.home, "build"))
        os.mkdir(os.path.join(self.folder, "home"))
        env = {name: value for name, value in os.environ.items()
               if name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")}
        env.update(PATH="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", LANG="C.UTF-8", TERM="dumb",
                   HOME=os.path.join(self.folder, "home"))
        self.backgrounds = 0
        self.bash = subprocess.Popen(prefix + ["bash", "--norc", "--noprofile"], cwd=self.home, env=env,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, start_new_session=True)

    def run(self, step):
        """None when the step did as the page says, else what is wrong."""
        if step.background:
            return self._run_background(step)
        output, ended = self._execute(f"eval {shlex.quote(step.command)} </dev/null 2>&1")
        if not ended:
            raise TimeoutError(f"not done after {DEADLINE_S} s; it printed:\n{output}")
        if pattern(step.expected).fullmatch(tidy(output)):
            return None
        return difference(step, tidy(output))

    def _run_background(self, step):
        self.backgrounds += 1
        base = os.path.join(self.folder, f"background-{self.backgrounds}")
        _, ended = self._execute(f"eval {shlex.quote(step.command)} </dev/null >{base}.out 2>{base}.err")
        end = time.monotonic() + DEADLINE_S
        while ended:
            with open(base + ".out", errors="replace") as file:
                output = file.read()
            if pattern(step.expected).match(tidy(output)):
                return None
            if time.monotonic() > end:
                break
            time.sleep(0.01)
        with open(base + ".err", errors="replace") as file:
            raise TimeoutError(f"not within {DEADLINE_S} s\n{difference(step, tidy(output))}"
                               f"its standard error:\n{file.read()}")

    def _execute(self, line):
        """(output, has it ended) of one line given to bash."""
        self.bash.stdin.write(f"{line}\nprintf '%s\\n' '{MARK}'\n".encode())
        self.bash.stdin.flush()
        output, end = b"", time.monotonic() + DEADLINE_S
        mark = (MARK + "\n").encode()
        with selectors.DefaultSelector() as selector:
            selector.register(self.bash.stdout, selectors.EVENT_READ)
            while not output.endswith(mark):
                if not selector.select(max(0, end - time.monotonic())):
                    break
                piece = os.read(self.bash.stdout.fileno(), 65536)
                if not piece:
                    break
                output += piece
        ended = output.endswith(mark)
        return output.removesuffix(mark).decode(errors="replace"), ended

    def close(self):
        try:
            os.killpg(self.bash.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.bash.wait()
        self.bash.stdin.close()
        self.bash.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def difference(step, output):
    page = "".join(line + "\n" for line in step.expected)
    return f"the page shows:\n{page}it printed:\n{output}"


def run_page(path, prefix):
    """(passed, failed) of one page's examples."""
    steps, skipped = read_page(path)
    passed = failed = 0
    for line, reason in skipped:
        print(f"ok {path}:{line} # SKIP {reason}", flush=True)
    session = Session(prefix) if steps else None
    stuck = False
    for step in steps:
        name = f"{path}:{step.line} {step.command.splitlines()[0]}"
        wrong = "not run, because of the one before"
        if not stuck:
            try:
                wrong = session.run(step)
            except (TimeoutError, BrokenPipeError) as why:
                wrong, stuck = str(why), True
        if wrong is None:
            passed += 1
            print(f"ok {name}", flush=True)
        else:
            failed += 1
            print(f"not ok {name}", flush=True)
            print("".join(f"#   {line}\n" for line in wrong.splitlines()), end="", flush=True)
    if session:
        session.close()
    return passed, failed


def main():
    os.chdir(ROOT)
    pages = sys.argv[1:] or ["README.md"] * os.path.exists("README.md") + sorted(glob.glob("docs/*.md"))
    prefix = OWN_NETWORK
    if subprocess.run(prefix + ["true"], capture_output=True).returncode != 0:
        print("# no network of its own here: the pages use the machine's ports")
        prefix = []
    passed = failed = 0
    for page in pages:
        page_passed, page_failed = run_page(page, prefix)
        passed += page_passed
        failed += page_failed
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

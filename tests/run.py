"""Runs the test programs and counts the tests in them.

    tests/run.py [PART-OF-A-PATH...]      normally through `make test`

A test program is a file: tests/unit/*.c and tests/prop/*.c (built before), tests/e2e/test_*.py,
tests/crash/test_*.py, tests/docs/test_*.py. It prints one line per test, `ok NAME` or `not ok NAME: why`
(TAP's `ok 1 - NAME` too), and exits 0 when all is well. A program fails as a whole when it dies, runs
past its time, prints no test, or exits other than its lines say. What a failing one printed is shown.
The last line is `N passed, N failed`.

Environment: FWSYNC_BUILD (build folder), FWSYNC_SAN (its sanitizers), FWSYNC_TIMEOUT (seconds)."""
import concurrent.futures
import glob
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("FWSYNC_BUILD", "build")
SAN = os.environ.get("FWSYNC_SAN", "")
MEMORY_BYTES = 2 << 30  # more than the files of tests take
TIMEOUT_S = int(os.environ.get("FWSYNC_TIMEOUT", "120")) * (3 if SAN else 1)

# These are run a second time, with several partitions. Others have one in mind, or are about nothing that is split.
PARTITIONS = 3
WITH_PARTITIONS = {f"tests/e2e/test_{name}.py" for name in ("explain", "lib", "replay", "rules_change", "trace")}

LINE = re.compile(r"^(ok|not ok)\b(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)$")


def programs(parts):
    """(name, command) of every test program whose path contains one of `parts`."""
    found = []
    for folder in ("crash", "e2e", "prop", "docs", "unit"):  # long ones first: at the end no processor is idle
        for path in sorted(glob.glob(f"tests/{folder}/*.c")):
            found.append((path, [os.path.join(BUILD, path[:-2])]))
        for path in sorted(glob.glob(f"tests/{folder}/test_*.py")):
            found.append((path, [sys.executable, path]))
            if path in WITH_PARTITIONS:
                found.append((f"{path} with {PARTITIONS} partitions",
                              ["env", f"FWSYNC_PARTITIONS={PARTITIONS}", sys.executable, path]))
    return [(name, command) for name, command in found
            if not parts or any(part in name for part in parts)]


def in_memory():
    """With sanitizers, files of tests are kept in memory: what these look for has nothing to do with the disk, on
    which the tests run without them."""
    try:
        fs = os.statvfs("/dev/shm")
    except OSError:
        return {}
    return {"TMPDIR": "/dev/shm"} if SAN and fs.f_bavail * fs.f_frsize >= MEMORY_BYTES else {}


def environment():
    env = dict(os.environ, FWSYNC_BUILD=BUILD, CMOCKA_MESSAGE_OUTPUT="TAP", PYTHONUNBUFFERED="1",
               PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=os.path.join(ROOT, "tests", "e2e"),
               ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1",
               UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1",
               TSAN_OPTIONS=f"halt_on_error=1:suppressions={ROOT}/tests/tsan.supp", **in_memory())
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        env.pop(name, None)
    return env


class Outcome:
    """What one program's run came to."""

    def __init__(self, name, passed, failed, skipped, seconds, notes, output):
        self.name, self.passed, self.failed, self.skipped = name, passed, failed, skipped
        self.seconds, self.notes, self.output = seconds, notes, output


def judge(stdout, code, timed_out):
    """(passed, failed, skipped names, notes) from what a program printed and how it ended."""
    passed, failed, planned, skipped, notes = 0, 0, 0, [], []
    for line in stdout.splitlines():
        plan, test = PLAN.match(line), LINE.match(line)
        if plan:
            planned += int(plan.group(1))
        elif test and "# SKIP" in test.group(2).upper():
            skipped.append(test.group(2).strip())
        elif test and test.group(1) == "ok":
            passed += 1
        elif test:
            failed += 1
    seen = passed + failed + len(skipped)
    if timed_out:
        notes.append(f"killed after {TIMEOUT_S} s")
    elif code < 0:
        notes.append(f"died of {signal.Signals(-code).name}")
    elif code != 0 and failed == 0:
        notes.append(f"exit code {code} though no test failed")
    elif code == 0 and failed > 0:
        notes.append("exit code 0 though a test failed")
    elif seen == 0:
        notes.append("printed no test")
    elif planned > seen:
        notes.append(f"announced {planned} tests and ran {seen}")
    return passed, failed + (1 if notes else 0), skipped, notes


def run(name, command, env):
    start = time.monotonic()
    timed_out = False
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        try:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                                     env=env, cwd=ROOT, start_new_session=True)
        except OSError as why:
            return Outcome(name, 0, 1, [], 0, [f"cannot start: {why}"], "")
        try:
            child.wait(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            timed_out = True
        try:
            os.killpg(child.pid, signal.SIGKILL)  # the program, and whatever it left behind
        except ProcessLookupError:
            pass
        code = child.wait()
        out.seek(0)
        log.seek(0)
        stdout = out.read().decode(errors="replace")
        stderr = log.read().decode(errors="replace")
    passed, failed, skipped, notes = judge(stdout, code, timed_out)
    output = stdout + ("--- its standard error:\n" + stderr if stderr else "")
    return Outcome(name, passed, failed, skipped, time.monotonic() - start, notes, output)


def report(outcome):
    skips = f", {len(outcome.skipped)} skipped" if outcome.skipped else ""
    word = "FAIL" if outcome.failed else "ok  "
    print(f"{word} {outcome.name}: {outcome.passed} passed, {outcome.failed} failed{skips}"
          f" ({outcome.seconds:.1f} s)")
    for skip in outcome.skipped:
        print(f"     skipped: {skip}")
    if outcome.failed:
        for line in outcome.output.splitlines():
            print(f"   | {line}")
        for note in outcome.notes:
            print(f"   > {note}")
    sys.stdout.flush()


def without_address_randomisation(commands):
    """ThreadSanitizer's memory layout does not fit under the randomisation of newer kernels."""
    prefix = ["setarch", platform.machine(), "-R"]
    if "thread" not in SAN or subprocess.run(prefix + ["true"], capture_output=True).returncode:
        return commands
    return [(name, prefix + command) for name, command in commands]


def main():
    os.chdir(ROOT)
    # A shell's `&` has the tests ignore the one, nohup the other. What is caught here isn't ignored there.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    commands = without_address_randomisation(programs(sys.argv[1:]))
    env = environment()
    passed = failed = 0
    failing = []
    workers = os.cpu_count() or 1
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(run, name, command, env) for name, command in commands]
        for job in concurrent.futures.as_completed(jobs):
            outcome = job.result()
            report(outcome)
            passed += outcome.passed
            failed += outcome.failed
            if outcome.failed:
                failing.append(outcome.name)
    if not commands:
        print("no test program" + (" matches" if sys.argv[1:] else ""))
        failed += 1
    for name in sorted(failing):
        print(f"failing: {name}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Draws where the daemon's time goes under load: a flame graph, as one SVG without scripts.

    tests/bench/flamegraph.py BUILD_FOLDER OUT.svg      normally through `make flamegraph`

Runs the bench on the daemon, looks at all its threads with perf (package linux-perf, as root) for SECONDS,
and draws the stacks. A pointer on a box shows all of its name; boxes narrower than PIXELS_MIN are left out."""
import collections
import html
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

START_S, SECONDS, HERTZ = 10, 6, 499
FLEET = ["work=changing", "devices=10000"]
LOAD = FLEET + ["prepare=no", "events=1000000000", "batch=100", "window=64", "subscribe=batch/sync"]
PERF_RECORD = ["perf", "record", "-q", "-F", str(HERTZ), "--call-graph", "dwarf,8192"]
PERF_SCRIPT = ["perf", "script", "--no-inline", "-F", "comm,tid,ip,sym,dso"]

WIDTH, MARGIN, ROW, TOP, LETTER, PIXELS_MIN = 1200, 10, 17, 66, 6.2, 2.0  # pixels; a letter's: on average

# The functions that threads start with, and what the picture calls them; zmq names its own.
THREADS = {"main": "door", "committer_run": "committer", "run": "applier"}
LIBRARIES = [("kernel", r"^\[(kernel|guest)", "#d3d3d3"), ("fwsync", r"/fwsyncd$", "#f4b183"),
             ("lmdb", r"/liblmdb\.", "#a9c98a"), ("zmq", r"/lib(zmq|sodium|stdc\+\+)", "#8fbce6"),
             ("json", r"/libcjson\.", "#e7d27c"), ("libc", r"/lib[cm]\.so|^\[vdso\]", "#c9b3dd"),
             ("other", "", "#e3c5c5")]
COLOURS = {"thread": "#f2f0ea", **{name: colour for name, _, colour in LIBRARIES}}
FRAME = re.compile(r"^\s+[0-9a-f]+ (.*) \((.*)\)$")
SYSCALL = re.compile(r"^__(?:x64|arm64|se)_sys_(\w+)$")
VARIANT = re.compile(r"^_+(GI_+)?|_(?:evex|avx|sse)\w*$")  # of a function of libc, by processor

Frame = collections.namedtuple("Frame", "name library")


class Box:
    def __init__(self):
        self.count, self.boxes = 0, collections.defaultdict(Box)


def daemon_of(bench):
    """Its process, as soon as the bench has started it."""
    end = time.monotonic() + START_S
    while bench.poll() is None and time.monotonic() < end:
        with open(f"/proc/{bench.pid}/task/{bench.pid}/children", encoding="ascii") as file:
            for child in file.read().split():
                with open(f"/proc/{child}/comm", encoding="ascii") as name:
                    if name.read() == "fwsyncd\n":
                        return child
    sys.exit("flamegraph: the bench does not run")


def record(build, folder):
    """What perf saw, as text."""
    data = f"{folder}/perf.data"
    command = [f"{build}/tests/bench/bench", f"{build}/fwsyncd", f"{folder}/data"]
    subprocess.run(command + FLEET + ["events=0"], stdout=subprocess.DEVNULL, check=True)
    bench = subprocess.Popen(command + LOAD, stdout=subprocess.DEVNULL)
    try:
        done = subprocess.run(PERF_RECORD + ["-o", data, "-p", daemon_of(bench), "--", "sleep", str(SECONDS)],
                              capture_output=True, text=True)
        if bench.poll() is not None:
            sys.exit("flamegraph: the bench stopped too early")
    finally:
        bench.kill()  # the daemon dies with it
        bench.wait()
    if done.returncode != 0:
        sys.exit(f"flamegraph: {done.stderr}perf may not look: be root, or set kernel.perf_event_paranoid to 1")
    return subprocess.run(PERF_SCRIPT + ["-i", data], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=True).stdout


def frame_of(line):
    symbol, place = FRAME.match(line).groups()
    library = next(name for name, pattern, _ in LIBRARIES if re.search(pattern, place))
    call = SYSCALL.match(symbol)
    if library == "kernel":
        return Frame(call.group(1) if call else "kernel", library)
    if library == "libc":
        symbol = VARIANT.sub("", symbol)
    name = re.sub(r"[(<.].*", "", symbol.replace("non-virtual thunk to ", ""))
    return Frame(library if name in ("", "[unknown]") else name, library)


def stack_of(lines):
    """Outermost first, and one box for the kernel, for recursion, and for unnamed functions in a row."""
    stack = []
    for line in reversed(lines):
        frame = frame_of(line)
        if "asm_sysvec_apic_timer_interrupt" in line:
            break  # perf's own clock
        if frame.name in ("clone3", "start_thread"):
            continue
        if stack and stack[-1].library == frame.library == "kernel":
            if stack[-1].name == "kernel":
                stack[-1] = frame
        elif not stack or stack[-1] != frame:
            stack.append(frame)
    return stack


def fold(text):
    """A box that holds all threads, and each library's own share of the samples."""
    samples, names, root, own = [], {}, Box(), collections.Counter()
    for sample in text.strip().split("\n\n"):
        head, *lines = sample.splitlines()
        comm, tid = head.rsplit(None, 1)
        stack = stack_of([line for line in lines if FRAME.match(line)])
        names.setdefault(tid, "zmq io" if comm.startswith("ZMQbg/IO") else comm)
        start = next((i for i, frame in enumerate(stack) if frame.name in THREADS), -1)
        if start >= 0:
            names[tid] = THREADS[stack[start].name]
        samples.append((tid, stack[start + 1:]))
    for tid, stack in samples:
        box = root
        box.count += 1
        for frame in [Frame(names[tid], "thread")] + stack:
            box = box.boxes[frame]
            box.count += 1
        own[stack[-1].library if stack else "other"] += 1
    return root, own


def text_at(x, y, text, size=11):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}">{html.escape(text)}</text>'


def place(box, x, pixels, depth=0):
    """(frame, count, x, width, depth) of all boxes in `box` that are wide enough; the widest stand left."""
    for frame, inner in sorted(box.boxes.items(), key=lambda item: (-item[1].count, item[0])):
        width = inner.count * pixels
        if width >= PIXELS_MIN:
            yield frame, inner.count, x, width, depth
            yield from place(inner, x, pixels, depth + 1)
        x += width


def draw_box(frame, share, x, width, y):
    name = f"{frame.name}: {share}" if frame.library == "thread" else frame.name
    room = int((width - 6) / LETTER)
    shown = name if len(name) <= room else name[:room - 1] + "…" if room >= 4 else ""
    return (f'<g><title>{html.escape(frame.name)} ({frame.library}): {share}</title><rect x="{x:.1f}" y="{y}" '
            f'width="{width - 0.4:.1f}" height="{ROW - 1}" rx="1.5" fill="{COLOURS[frame.library]}"/>'
            f'{text_at(x + 3, y + 12.5, shown) if shown else ""}</g>')


def draw(root, own):
    boxes = list(place(root, MARGIN, (WIDTH - 2 * MARGIN) / root.count))
    height = TOP + (1 + max(depth for *_, depth in boxes)) * ROW + MARGIN
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} '
           f'{height}" font-family="DejaVu Sans, Verdana, Helvetica, sans-serif" fill="#222">')
    yield f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    yield text_at(MARGIN, 20, "fwsyncd under load: where the processor's time goes", 15)
    yield text_at(MARGIN, 34, "A box stands on its caller; its width is its share of all threads' time. "
                              "The colours, with what each spends itself:")
    left = MARGIN
    for library, count in own.most_common():
        percent = round(100 * count / root.count)
        if percent == 0:
            break
        yield f'<rect x="{left}" y="41" width="12" height="12" rx="1.5" fill="{COLOURS[library]}"/>'
        yield text_at(left + 17, 51, f"{library} {percent} %")
        left += 105
    for frame, count, x, width, depth in boxes:
        yield draw_box(frame, f"{100 * count / root.count:.1f} %", x, width,
                       height - MARGIN - (depth + 1) * ROW)
    yield "</svg>"


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: flamegraph.py BUILD_FOLDER OUT.svg")
    if shutil.which("perf") is None:
        sys.exit("flamegraph: perf is missing; as root: apt-get install linux-perf")
    build, out = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="flamegraph.", dir=build) as folder:
        root, own = fold(record(build, folder))
    with open(out, "w", encoding="utf-8") as file:
        file.write("\n".join(draw(root, own)) + "\n")
    print(f"{out}: {root.count} samples")


if __name__ == "__main__":
    main()

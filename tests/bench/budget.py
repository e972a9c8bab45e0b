"""Holds the instructions that an event takes against their budget.

    tests/bench/budget.py SAMPLE_PATH            normally through `make check-budget`
    tests/bench/budget.py --write SAMPLE_PATH    sets the budgets anew: what is counted now, and MARGIN

SAMPLE_PATH is the built program of that name. callgrind counts what happens in its counted(), which is the
same in every run, on a busy machine too: time never fails this. A part over its budget does. The last line
is `N passed, N failed`."""
import os
import re
import subprocess
import sys
import tempfile

RULES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rules")
BUDGET = os.path.join(os.path.dirname(os.path.abspath(__file__)), "budget.txt")
MARGIN = 1.05
GENEROUS = 0.75  # a part below this share of its budget could have a smaller one
TIMEOUT_S = 120

# glibc chooses its memcpy() and friends by the processor: those that every x86-64 has, for equal counts.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C",
               "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX_Fast_Unaligned_Load,-ERMS"}
CALLGRIND = ["valgrind", "-q", "--tool=callgrind", "--toggle-collect=counted", "--dump-after=counted",
             "--callgrind-out-file=counts"]

ENTRY = re.compile(r"^(?P<name>[a-z-]+)\s+(?P<budget>\d+)$", re.M)
TOTALS = re.compile(r"^totals: (\d+)$", re.M)


def stop(why):
    print(why)
    print("0 passed, 1 failed")
    sys.exit(1)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def run(program, rules):
    """What the program prints, and the instructions of each call of counted(), in order."""
    with tempfile.TemporaryDirectory() as folder:
        # Arguments and environment of one length: what lies on the stack above main() is the same then.
        os.symlink(os.path.abspath(program), os.path.join(folder, "sample_path"))
        os.symlink(RULES, os.path.join(folder, "rules"))
        try:
            done = subprocess.run(CALLGRIND + ["./sample_path", ".", rules], cwd=folder, env=ENVIRONMENT,
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=TIMEOUT_S)
        except OSError as why:
            stop(f"cannot start valgrind: {why.strerror}; install it")
        except subprocess.TimeoutExpired:
            stop(f"killed after {TIMEOUT_S} s")
        if done.returncode != 0:
            stop(done.stderr + f"exit code {done.returncode}")
        lines = done.stdout.splitlines()
        counts = [os.path.join(folder, f"counts.{i + 1}") for i in range(len(lines))]
        if not lines or not all(map(os.path.exists, counts)):
            stop("callgrind did not find counted()")
        return lines, [int(TOTALS.search(read(path)).group(1)) for path in counts]


def measure(program):
    """{part: instructions an event}."""
    measured = {}
    for rules in ("rules", ""):  # the sample's, the shipped ones
        for line, count in zip(*run(program, rules)):
            name, events = line.split()
            measured[name] = round(count / int(events))
    return measured


def write(measured):
    """New numbers; the comments stay."""
    def entry(match):
        name = match.group("name")
        return f"{name} {round(measured[name] * MARGIN)}" if name in measured else match.group()
    text = ENTRY.sub(entry, read(BUDGET))
    with open(BUDGET, "w", encoding="utf-8") as file:
        file.write(text)


def verdict(count, budget):
    if count is None:
        return "is not measured: take it out of the budget"
    if budget is None:
        return "has no budget: give it one"
    return f"is {count - budget} over its budget" if count > budget else None


def compare(measured, budgets):
    """Prints the table; the names of the parts that fail."""
    failing = []
    print(f"{'instructions an event':24} {'measured':>8} {'budget':>8}")
    for name in list(budgets) + [name for name in measured if name not in budgets]:
        count, budget = measured.get(name), budgets.get(name)
        share = f"{100 * count / budget:6.1f} %" if count and budget else ""
        wrong = verdict(count, budget)
        print(f"{name:24} {count or '-':>8} {budget or '-':>8} {share}{'  ' + wrong if wrong else ''}")
        if wrong:
            failing.append(name)
        elif count < budget * GENEROUS:
            print(f"{'':24} please lower its budget: far less is needed now")
    return failing


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--write"]
    if len(arguments) != 1:
        sys.exit("usage: budget.py [--write] SAMPLE_PATH")
    measured = measure(arguments[0])
    if "--write" in sys.argv:
        write(measured)
    budgets = {match["name"]: int(match["budget"]) for match in ENTRY.finditer(read(BUDGET))}
    failing = compare(measured, budgets)
    for name in failing:
        print(f"failing: {name} (tests/bench/budget.txt says what to do)")
    print(f"{len(set(budgets) | set(measured)) - len(failing)} passed, {len(failing)} failed")
    return 1 if failing else 0


if __name__ == "__main__":
    sys.exit(main())

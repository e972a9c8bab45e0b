"""Completion and the manual page know every command and option that the tool knows."""
import functools
import os
import re
import subprocess
import tempfile

from harness import BUILD, DEADLINE_S, ROOT, SAN, Daemon, fwsync, main, test, wait_until
from tool import NOWHERE, done, doors

FWSYNC = os.path.join(BUILD, "fwsync")


@functools.cache
def commands():
    return re.findall(r"^  (\S+(?: \S+)?)  ", done(fwsync("help")).split("More about one")[0], re.M)


@functools.cache
def options(command):
    return re.findall(r"^  --([\w-]+)", done(fwsync("help", *command.split())), re.M)


def complete(*lines, env=None, script=None):
    """For each line what bash offers for its last word, which is in progress; words are told apart as readline
    does it: by blanks, by '=' and by ':'."""
    source = f"source {script}" if script else f'eval "$("{FWSYNC}" completion bash)"'
    steps = []
    for line in lines:
        words = [word for word in re.split(r"\s+|([=:])", "fwsync " + line) if word is not None]
        quoted = " ".join("'" + word + "'" for word in words)
        steps.append(f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; COMPREPLY=()\n"
                     f'_fwsync "{FWSYNC}" && printf "%s\\n" "${{COMPREPLY[@]}}"; echo ---')
    shell = subprocess.run(["bash", "--norc", "-eu", "-c", "\n".join([source, *steps])], text=True,
                           capture_output=True, timeout=DEADLINE_S, env={**os.environ, **NOWHERE, **(env or {})})
    assert shell.returncode == 0 and shell.stderr == "", shell
    return [sorted(answer.split("\n")[:-1]) if answer != "\n" else []
            for answer in shell.stdout.split("---\n")[:-1]]


@test
def completion_knows_every_command_and_option():
    names = commands()
    first, common, *of_each = complete("", "--", *(f"{name} --" for name in names))
    assert len(names) > 12 and first == sorted({"help", *(name.split()[0] for name in names)})
    for name, offered in zip(names, of_each, strict=True):
        assert offered == sorted("--" + option for option in options(name)), name
    assert common == sorted(["--help", "--version", "--json", "--timeout", "--events", "--query", "--results"])


@test
def completion_knows_what_stands_where():
    wanted = {
        "li": ["list"], "--timeout 3 --json li": ["list"], "--timeout=3 li": ["list"],
        "help exp": ["explain", "export"], "help rules sh": ["show"], "help list sh": [],
        "list --un": ["--unsynced"], "list --state s": ["stuck", "synced"], "list --state=f": ["failed"],
        "list --state stuck --state=s": ["stuck", "synced"], "list --limit ": [], "list ": [],
        "list --since ": ["15m", "1d", "1h", "30s"], "watch a": ["attributes"],
        "count --at 1h fw": ["fwStateIsSynced", "fwSyncState"], "count --at=1h type ": [],
        "rules l": ["list"], "rules r": ["rollback"], "rules --timeout 3 sh": ["show"],
        f"rules check {ROOT}/rules/chai": [ROOT + "/rules/chains"], "rules draw --d": ["--dot"],
        f"rules draw --dot {ROOT}/rules/chai": [ROOT + "/rules/chains"],
        "rules test --only ": [], f"rules test --only x {ROOT}/rules/chai": [ROOT + "/rules/chains"],
        "--query tcp://127.0.0.1:7602 li": ["list"], "list --since 2026-11-21T06:13:00 --un": ["--unsynced"],
        "--query=ipc:///a:b list --un": ["--unsynced"], "compl": ["completion"],
        "nonsense ": [], "completion ": ["bash"], "ping ": []}
    *found, all_states = complete(*wanted, "list --state ")
    assert dict(zip(wanted, found, strict=True)) == wanted
    assert {"failed", "stuck", "synced"} <= set(all_states)


@test
def completion_asks_the_daemon_for_devices():
    assert complete("get ES") == [[]], "and keeps quiet when there is none"
    with Daemon() as daemon:
        for name in ["ESP32", "ESP33", "E", "with blank"]:
            done(fwsync("send", name, "currentFwVer=v1", daemon=daemon))
        wait_until(lambda: complete("get ES", "explain --json ESP33", "send w", "get ESP32 E", env=doors(daemon)) == [
            ["ESP32", "ESP33"], ["ESP33"], ["with\\ blank"], []], what="devices, which it waits for half a second only")
        query = daemon.query_endpoint
        wait_until(lambda: complete(f"--query {query} get ES", f"get --query={query} ESP33") == [
            ["ESP32", "ESP33"], ["ESP33"]], what="devices of the daemon that the line names")


@test
def completion_asks_the_daemon_for_values():
    with Daemon() as daemon:
        for device, kind, version in [("a", "ESP32_OTA", "v1.1"), ("b", "ESP32_CAM", "v1.2"), ("c", "x", "w")]:
            done(fwsync("send", device, "--type", kind, f"currentFwVer={version}", daemon=daemon))
        wait_until(lambda: complete("count currentFwVer v", "count --at 1h type ESP", "list --type ", "send d --type=ESP",
                                    env=doors(daemon)) == [
            ["v1.1", "v1.2"], ["ESP32_CAM", "ESP32_OTA"], ["ESP32_CAM", "ESP32_OTA", "x"], ["ESP32_CAM", "ESP32_OTA"]],
            what="values, which it waits for half a second only")


@test
def the_manual_page_names_every_command_and_option():
    with open(os.path.join(ROOT, "docs", "man", "fwsync.1"), encoding="utf-8") as file:
        page = file.read()
    for name in [*commands(), "completion", "help"]:
        assert re.search(rf"^(\.It )?\.?Cm {name}\b", page, re.M), f"fwsync.1 says nothing of: {name}"
        for option in options(name) if name != "help" else ["version"]:
            assert re.search(rf"Fl -{option}\b", page), f"fwsync.1 says nothing of: {name} --{option}"


@test
def install_brings_completion_and_manual_page():
    with tempfile.TemporaryDirectory() as folder:
        # -o all: what is built is installed, and not built anew with other flags while tests run it
        make = subprocess.run(["make", "-o", "all", "-C", ROOT, "install", f"SAN={SAN}",
                               f"CC={'clang' if '/clang' in BUILD else 'gcc'}", f"DESTDIR={folder}", "PREFIX=/usr"],
                              text=True, capture_output=True, timeout=DEADLINE_S * 10)
        assert make.returncode == 0, make.stderr
        script = os.path.join(folder, "usr/share/bash-completion/completions/fwsync")
        assert complete("li", script=script) == [["list"]]
        assert os.path.exists(os.path.join(folder, "usr/share/man/man1/fwsync.1"))


main()

"""libfwsync with the real daemon: programs in C (tests/lib) that use it, and how it is installed."""
import contextlib
import json
import os
import subprocess
import tempfile

from harness import BUILD, DEADLINE_S, ROOT, SAN, Daemon, Skip, fixed_doors, main, test

COMPILERS = {"c": "clang", "c++": "clang++"} if "/clang" in BUILD else {"c": "gcc", "c++": "g++"}


@contextlib.contextmanager
def started(name, *args):
    """A program of tests/lib with its standard output as lines."""
    child = subprocess.Popen([os.path.join(BUILD, "tests", "lib", name), *map(str, args)],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


# --- sending

@test
def a_sender_survives_kills_and_every_event_is_there_once():
    count, devices, kills = (20000 if SAN else 100000), 100, 6
    with fixed_doors() as daemon:
        before = daemon.query({"op": "ping"})["seq"]
        with started("send_numbers", daemon.events, count, devices) as child:
            killed, outcome = 0, None
            for line in child.stdout:
                if line.startswith("{"):
                    outcome = json.loads(line)
                elif killed < kills and int(line.split()[1]) >= count * (killed + 1) // (kills + 1):
                    daemon.kill()
                    daemon.restart()
                    killed += 1
            assert child.wait(DEADLINE_S) == 0 and killed == kills, (child.returncode, killed)
        assert outcome["accepted"] + outcome["duplicates"] == count and outcome["rejected"] == 0, outcome
        assert outcome["settled"] == count and outcome["resends"] > 0, outcome
        assert daemon.query({"op": "ping"})["seq"] == before + count
        for device in range(devices):
            last = count - (count - device) % devices
            state = daemon.query({"op": "device", "device": f"d{device}"})
            assert state["client"] == {"counter": last}, (device, last, state["client"])


# --- installing

PROGRAM = r"""
#include <fwsync.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    struct fwsync_options options = fwsync_options();
    options.events = argv[argc - 2];
    options.query = argv[argc - 1];
    struct fwsync_client *client;
    const char *answer;
    if (fwsync_open(&options, &client) != FWSYNC_OK)
        return 1;
    if (fwsync_send(client, "{\"device\":\"d\",\"type\":\"x\"}", FWSYNC_STRING_END, -1) != FWSYNC_OK ||
        fwsync_flush(client, 20000) != FWSYNC_OK ||
        fwsync_query(client, "{\"op\":\"device\",\"device\":\"d\"}", &answer) != FWSYNC_OK) {
        fprintf(stderr, "%s\n", fwsync_last_error(client));
        return 1;
    }
    puts(answer);
    fwsync_close(client);
    return 0;
}
"""


def output(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S * 3, check=False, **more)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def build(language, source, program, words):
    output(COMPILERS[language], "-x", language, source, "-x", "none", "-Wall", "-Wextra", "-Werror", "-pedantic",
           "-o", program, *words)


@test
def an_installed_library_is_found_linked_and_run():
    if SAN:
        raise Skip("what is installed has no sanitizers")
    with tempfile.TemporaryDirectory(prefix="fwsync-install-") as folder, Daemon() as daemon:
        root, library = f"{folder}/root", f"{folder}/root/usr/lib"
        # -o all: what is built is installed, and not built anew with other flags while tests run it
        make = ["make", "-s", "-o", "all", "-C", ROOT, f"CC={COMPILERS['c']}", f"DESTDIR={root}", "PREFIX=/usr"]
        output(*make, "install")
        assert os.readlink(f"{library}/libfwsync.so") == "libfwsync.so.0"
        env = dict(os.environ, PKG_CONFIG_SYSROOT_DIR=root, PKG_CONFIG_PATH=f"{library}/pkgconfig",
                   LD_LIBRARY_PATH=library)
        output("pkg-config", "--exists", "libfwsync", "fwsync", env=env)
        for language, zeroed in [("c", "{0}"), ("c++", "fwsync_options()")]:
            source = f"{folder}/program"
            with open(source, "w", encoding="utf-8") as file:
                file.write(PROGRAM.replace("fwsync_options()", zeroed))
            for static in [False, True]:
                words = output("pkg-config", "--cflags", "--libs", *["--static"][:static], "libfwsync", env=env)
                if static:
                    words = words.replace("-lfwsync", "-l:libfwsync.a")
                program = f"{folder}/{language}-{static}"
                build(language, source, program, words.split())
                assert ("libfwsync.so.0" in output("readelf", "-d", program)) != static
                answer = output(program, daemon.events, daemon.query_endpoint, env=env)
                assert json.loads(answer)["device"] == "d", answer
        output(*make, "uninstall")
        assert [names for _, _, names in os.walk(root) if names] == []


@test
def the_library_shows_only_what_its_header_declares():
    with open(os.path.join(ROOT, "engine", "client", "fwsync.h"), encoding="utf-8") as file:
        header = file.read()
    for library, options in [("libfwsync.so.0", ["-D"]), ("libfwsync.a", ["-g"])]:
        lines = output("nm", "--defined-only", *options, os.path.join(BUILD, library)).splitlines()
        names = [line.split()[2] for line in lines if len(line.split()) == 3]
        strange = [name for name in names if not name.startswith("fwsync_") and "san" not in name]
        assert names and (SAN or not strange), strange
        for name in names:
            assert not name.startswith("fwsync_") or f"{name}(" in header, name


@test
def both_public_headers_go_together():
    for language, standard in [("c", "c11"), ("c++", "c++11")]:
        text = '#include "plugins/fwsync_plugin.h"\n#include "engine/client/fwsync.h"\n'
        output(COMPILERS[language], "-fsyntax-only", "-x", language, f"-std={standard}", "-Wall", "-Wextra",
               "-Werror", "-pedantic", f"-I{ROOT}", "-", input=text)


main()

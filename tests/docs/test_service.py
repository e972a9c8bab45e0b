"""The systemd unit in docs/examples: systemd understands it, and fwsyncd the command in it."""
import os
import re
import shlex
import shutil
import subprocess
import tempfile

from harness import BUILD, ROOT, SAN, Skip, main, test

UNIT = os.path.join(ROOT, "docs", "examples", "fwsyncd.service")


def unit():
    with open(UNIT, encoding="utf-8") as file:
        return file.read()


@test
def the_command_of_the_unit_is_one_that_fwsyncd_takes():
    program, *args = shlex.split(re.search(r"^ExecStart=(.*)$", unit(), re.M)[1])
    assert program == "/usr/local/bin/fwsyncd", program
    with tempfile.TemporaryDirectory() as folder:  # where no fwsync.yaml is
        done = subprocess.run([os.path.join(BUILD, "fwsyncd"), *args, "--check"], cwd=folder, capture_output=True,
                              text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert 'data: "/var/lib/fwsync/data"\n' in done.stdout, done.stdout


@test
def systemd_understands_the_unit():
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        raise Skip("there is no systemd-analyze")
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "fwsyncd.service")
        with open(copy, "w", encoding="utf-8") as file:
            # it wants to see the program, and the pages
            text = unit().replace("/usr/local/bin/fwsyncd", os.path.join(BUILD, "fwsyncd"))
            file.write(re.sub(r"^Documentation=.*\n", "", text, flags=re.M))
        done = subprocess.run([analyze, "verify", copy], capture_output=True, text=True, check=False)
        # what it says of the machine's own units is no concern of ours
        said = [line for line in (done.stdout + done.stderr).splitlines() if "fwsyncd" in line]
        assert said == [], said


@test
def make_install_brings_the_unit_with_its_prefix():
    with tempfile.TemporaryDirectory() as folder:
        # -o all: what is built is installed, and not built anew with other flags while tests run it
        make = ["make", "-s", "-o", "all", "-C", ROOT, f"SAN={SAN}", f"CC={'clang' if '/clang' in BUILD else 'gcc'}",
                f"DESTDIR={folder}", "PREFIX=/usr"]
        subprocess.run([*make, "install"], check=True, capture_output=True)
        with open(f"{folder}/usr/lib/systemd/system/fwsyncd.service", encoding="utf-8") as file:
            assert file.read() == unit().replace("/usr/local/bin", "/usr/bin")
        subprocess.run([*make, "uninstall"], check=True, capture_output=True)
        assert not os.path.exists(f"{folder}/usr/lib/systemd/system/fwsyncd.service")


main()

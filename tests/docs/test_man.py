"""The manual pages against the programs: what a page lists is what there is.

    fwsyncd(8)      its options are those of --help
    fwsync.yaml(5)  its settings, ranges and defaults are those of --check, and its example is taken
    fwsync-rules(5) its node types and their settings are those that a check of rules names; its example is right, and
                    that of a test passes by the shipped rules"""
import os
import re
import shutil
import subprocess
import tempfile

from harness import BUILD, ROOT, main, test


def page(name):
    with open(os.path.join(ROOT, "docs", "man", name), encoding="utf-8") as file:
        return file.read()


def run(*command, expect=0):
    done = subprocess.run([os.path.join(BUILD, command[0]), *command[1:]], capture_output=True, text=True,
                          check=False)
    assert done.returncode == expect, (command, done.returncode, done.stdout + done.stderr)
    return done.stdout + done.stderr


def items(text, macro):
    """{word: text up to the next item} of the list items `.It MACRO WORD ...`."""
    parts = re.split(rf"^\.It {macro} (\S+)(.*)$", text, flags=re.M)[1:]
    return {parts[i]: re.split(r"^\.(?:It|El)\b", parts[i + 2], maxsplit=1, flags=re.M)[0]
            for i in range(0, len(parts), 3)}


def example(text):
    """The first literal display behind EXAMPLES."""
    return re.search(r"^\.Sh EXAMPLES\n.*?^\.Bd -literal[^\n]*\n(.*?)^\.Ed", text, re.M | re.S)[1]


def settings():
    """{name: (comment, value)} as the daemon prints them."""
    with tempfile.TemporaryDirectory() as folder:
        printed = run("fwsyncd", "--check", "--config", write(folder, "fwsync.yaml", ""))
    found = re.findall(r"^# (.*)\n([a-z-]+): (.*)$", printed, re.M)
    assert len(found) > 15
    return {name: (comment, value.strip('"')) for comment, name, value in found}


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


@test
def test_the_settings_of_the_page_are_those_of_the_daemon():
    described = items(page("fwsync.yaml.5"), "Ic")
    assert set(described) == set(settings()), set(described) ^ set(settings())


@test
def test_ranges_and_defaults_are_those_of_the_daemon():
    described = items(page("fwsync.yaml.5"), "Ic")
    for name, (comment, value) in settings().items():
        text = described[name]
        bounds = re.search(r"\((\d+) to (\d+), default (\d+)\)", comment)
        if bounds:
            assert f"From {bounds[1]} to {bounds[2]}, default {bounds[3]}." in text, (name, comment)
        elif value:
            assert re.search(r"^Default:\n\.Ql (.*) \.$", text, re.M)[1] == value, (name, value)
        else:
            assert "Default: empty." in text, name


@test
def test_the_example_of_settings_is_taken():
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "rules"))
        write(folder, "rules/root.yaml", example(page("fwsync-rules.5")))
        text = example(page("fwsync.yaml.5")).replace("/etc/fwsync/rules", os.path.join(folder, "rules"))
        printed = run("fwsyncd", "--check", "--config", write(folder, "fwsync.yaml", text))
        assert "journal-keep-mib: 20000\n" in printed and " warn " not in printed, printed


@test
def test_the_options_of_the_page_are_those_of_the_help():
    described = set(re.findall(r"^\.It Fl -(\w\S*)", page("fwsyncd.8"), re.M))
    named = set(re.findall(r"^  --([a-z-]+)", run("fwsyncd", "--help"), re.M)) - set(settings())
    assert described == named, described ^ named


def problems(chain):
    with tempfile.TemporaryDirectory() as folder:
        write(folder, "root.yaml", chain)
        return run("fwsync", "rules", "check", folder, expect=1)


def named_behind(text, words):
    return re.search(rf"{words} expected one of: (.*)$", text, re.M)[1].split(", ")


@test
def test_the_node_types_of_the_page_are_those_of_the_registry():
    described = items(page("fwsync-rules.5"), "Ic")
    known = named_behind(problems("chain: root\nfirst: a\nnodes:\n  a: {type: no-such-type}\n"), "no-such-type';")
    assert list(described) == known, (list(described), known)


@test
def test_the_settings_of_each_node_type_are_in_the_page():
    for name, text in items(page("fwsync-rules.5"), "Ic").items():
        wrong = problems(f"chain: root\nfirst: a\nnodes:\n  a: {{type: {name}, no-such-setting: 1}}\n")
        known = set(named_behind(wrong, "no-such-setting';")) - {"type", "to", "description"}
        described = set(re.findall(r"^\.Cm (\S+)", text, re.M))
        assert described == known, (name, described ^ known)


@test
def test_the_keys_of_a_chain_are_in_the_page():
    known = named_behind(problems("chain: root\nno-such-key: 1\nfirst: a\nnodes:\n  a: {type: log}\n"),
                         "no-such-key';")
    assert set(items(page("fwsync-rules.5"), "Cm")) == set(known), known


@test
def test_the_example_of_rules_is_right():
    with tempfile.TemporaryDirectory() as folder:
        write(folder, "root.yaml", example(page("fwsync-rules.5")))
        run("fwsync", "rules", "check", folder)


@test
def test_the_example_of_a_test_of_rules_passes():
    with tempfile.TemporaryDirectory() as folder:
        rules = shutil.copytree(os.path.join(ROOT, "rules", "chains"), os.path.join(folder, "rules"))
        text = page("fwsync-rules.5").split("\n.Ss Tests of rules\n")[1]
        write(rules, "tests/page.yaml", re.search(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed", text, re.M | re.S)[1])
        printed = run("fwsync", "rules", "test", rules, "--only", "page.yaml")
        assert printed == "ok   page.yaml: a told device that stays silent is stuck\n1 passed, 0 failed\n", printed


main()

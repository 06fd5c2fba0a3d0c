"""Load: before anything else runs, where the shim is to do nothing, with settings that cannot be read, beside others."""

import os
import pty
import shutil
import subprocess
import tty
import unicodedata

from harness import places
from harness.process import Failure
from harness.registry import test

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


@test("load/constructor that comes first")
def constructor_first(t):
    t.run("loaded_after", shim=False)
    t.run("loaded_after")


# --- inert -----------------------------------------------------------------------------------------------


def said(t, program, *arguments, **settings):
    return t.run(program, *arguments, **settings).output


@test("inert/FORKMEND=off")
def off(t):
    t.same("with the shim", said(t, "inert"), ["active"])
    t.same("with FORKMEND=off", said(t, "inert", FORKMEND="off"), ["inert"])
    t.run("orphan_lock", "normal", expect=99, VICTIM_MS=2500, FORKMEND="off", FORKMEND_GRACE_MS=200)


@test("inert/FORKMEND_ONLY")
def only(t):
    for value, expected in (("other", "inert"), ("in*", "active"), ("other, inert", "active"), ("inert?", "inert")):
        t.same("FORKMEND_ONLY=%s" % value, said(t, "inert", FORKMEND_ONLY=value), [expected])


@test("inert/FORKMEND_INHERIT=0")
def inherit(t):
    t.same("as a rule", said(t, "inert", "exec"), ["active", "active"])
    t.same("with FORKMEND_INHERIT=0", said(t, "inert", "exec", FORKMEND_INHERIT="0"), ["active", "inert"])
    both = "%s:%s" % (places.JEMALLOC, places.LIBRARY)
    t.same("beside another", said(t, "inert", "exec", FORKMEND_INHERIT="0", LD_PRELOAD=both), ["active", "inert"])


@test("inert/sanitizers")
def sanitizers(t):
    """One line says that the shim is off, and the program runs as it does without."""
    # AddressSanitizer insists on being the first library.
    asan_first = {"LD_PRELOAD": "%s %s" % (places.PROGRAMS / "libasan.so", places.LIBRARY)}
    for name, sanitizer, preload in (("asan", "AddressSanitizer", asan_first), ("tsan", "ThreadSanitizer", {})):
        t.same(name, said(t, "sanitized-" + name, shim=False), ["inert"])
        program = t.run("sanitized-" + name, **preload)
        t.same("stderr under " + name, program.stderr_lines, ["forkmend: off in this process: it runs under " + sanitizer])
        t.check("inert" in program.output, "the shim is active under " + name)


@test("inert/set-user-id")
def set_user_id(t):
    t.same("linked against the shim", said(t, "setuid", shim=False), ["active"])
    if os.geteuid() != 0:
        t.note("set-user-id itself not tested: needs root")
        return
    program = t.directory / "setuid"
    shutil.copy(places.PROGRAMS / "setuid", program)
    os.chmod(program, 0o4755)
    # setpriv is in util-linux, which every Debian has. The copy belongs to root: it runs with root's rights.
    def as_user(*arguments, **settings):
        return t.run("/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, *arguments,
                     shim=False, **settings).output

    t.same("set-user-id", as_user(), ["inert"])
    # No setting acts, not even to be complained of, and the self-test does not take the program's place.
    for settings in ({"FORKMEND_DOCTOR": "1"}, {"FORKMEND": "perhaps"}, {"FORKMEND": "off"}, {"FORKMEND_ONLY": "other"},
                     {"FORKMEND_DRAIN_MS": "soon"}, {"FORKMEND_CONFIG": "/nonexistent"}, {"FORKMEND_LOG": "info"}):
        t.same("set-user-id with %s" % settings, as_user(**settings), ["inert"])


@test("inert/the doctor's self-test")
def self_test(t):
    """Where the shim does not act it answers no question either: the program runs, and its exit code is its own."""
    t.check("forkmend doctor: active: ok" in said(t, "inert", FORKMEND_DOCTOR="1"), "it does not answer where it acts")
    t.same("with FORKMEND=off", said(t, "inert", FORKMEND_DOCTOR="1", FORKMEND="off"), ["inert"])
    t.same("with FORKMEND_ONLY", said(t, "inert", FORKMEND_DOCTOR="1", FORKMEND_ONLY="other"), ["inert"])
    for settings, expected in (({}, 0), ({"FORKMEND": "off"}, 1), ({"FORKMEND": "0"}, 1), ({"FORKMEND_ONLY": "other"}, 0)):
        output = "\n".join(t.run(places.COMMAND, "doctor", "--lib", places.LIBRARY, "/bin/true", shim=False,
                                 FORKMEND_DIR=t.reports, expect=expected, **settings).output)
        t.check("version" in output, "no answer with %r: %s" % (settings, output))


# --- settings ----------------------------------------------------------------------------------------------

BAD = {
    "FORKMEND_DRAIN_MS": "soon",
    "FORKMEND_GRACE_MS": "-1",
    "FORKMEND_THRESHOLD_MS": "99999999",
    "FORKMEND_ON_LOCKUP": "explode",
    "FORKMEND_LOG": "loud",
    "FORKMEND_ORPHANS": "maybe",
    "FORKMEND_INHERIT": "2",
    "FORKMEND_POLICY": "statsig",
    "FORKMEND_PROFILES": "nonsense",
    "FORKMEND": "perhaps",
    "FORKMEND_DRAIN_SM": "100",
}


@test("settings/bad ones")
def bad_settings(t):
    """One clear line each, said once though the program starts another one; then the default."""
    for name, value in BAD.items():
        program = t.run("inert", "exec", **{name: value})
        t.same("%s=%s" % (name, value), len(program.stderr_lines), 1)
        line = program.stderr_lines[0]
        t.check(line.startswith("forkmend: ") and name in line and value in line, "the line is %r" % line)
        t.same("active", [line for line in program.output if not line.startswith("forkmend")], ["active", "active"])


@test("settings/silence")
def silence(t):
    """Nothing on stderr of a process that has not locked up."""
    for arguments in (("inert",), ("pool_forks", "forks=5"), ("healthy_waits", "pipe")):
        t.same("stderr of " + arguments[0], t.run(*arguments, LATE_MS=300).stderr_lines, [])


@test("settings/FORKMEND_LOG=info")
def log_info(t):
    lines = t.run("pool_respawn", "once", FORKMEND_LOG="info").stderr_lines
    t.check(any("revived pool" in line for line in lines), "nothing of the revival: %r" % lines)


@test("settings/configuration file")
def configuration_file(t):
    file = t.directory / "forkmend.toml"
    file.write_text('[settings]\non_lockup = "exit:5"\ngrace_ms = 200\n')
    t.run("orphan_lock", "normal", expect=5, FORKMEND_CONFIG=file)
    t.claim_all("lockup")
    # The environment wins.
    t.run("orphan_lock", "normal", expect=6, FORKMEND_CONFIG=file, FORKMEND_ON_LOCKUP="exit:6")
    file.write_text('[settings]\non_lockup = "explode"\n')
    lines = t.run("inert", FORKMEND_CONFIG=file).stderr_lines
    t.same("lines", len(lines), 1)
    t.check("forkmend.toml:2" in lines[0] and "explode" in lines[0], "the line is %r" % lines[0])


HOSTILE = b"\x1b[31m\r\n\x9b2J\xc2\x9b\x7f\xff"
# As a thread's name, which has 15 bytes; the victim reads /proc by lines.
HOSTILE_THREAD = b"\x1b[31m\r\x9bJ\xc2\x9b\x7f\xff"


@test("settings/control bytes")
def control_bytes(t):
    """What a terminal obeys reaches none: not from settings, paths, names of threads or programs."""
    config, directory = os.fsencode(t.directory) + b"/" + HOSTILE + b".toml", os.fsencode(t.directory) + b"/" + HOSTILE
    with open(config, "w") as file:
        file.write("name = 5\n\"\\u001b[1m\" = 1\n")
    os.mkdir(directory)
    program = os.fsencode(t.directory) + b"/" + HOSTILE
    shutil.copy(os.fsencode(places.PROGRAMS / "inert"), program + b"/inert")
    hostile = os.fsdecode(HOSTILE.replace(b"\n", b""))
    for name, value in [(name, hostile) for name in BAD] + [
            ("FORKMEND_POLICY", os.fsdecode(HOSTILE) + ":"), ("FORKMEND_" + hostile, "1"), ("FORKMEND_PROFILES", "+" + hostile),
            ("FORKMEND_CONFIG", os.fsdecode(config)), ("FORKMEND_CONFIG", os.fsdecode(directory)),
            ("FORKMEND_PROFILES", os.fsdecode(config)), ("FORKMEND_PROFILES", hostile + "/none.toml")]:
        done = run_raw(t, [places.PROGRAMS / "inert"], **{name: value})
        t.check(done.stderr.startswith(b"forkmend: "), "nothing is said of %s=%r: %r" % (name, value, done.stderr))
        no_control(t, done.stderr, "stderr with %s=%r" % (name, value))
    for command in (["profiles", "check", config], ["profiles", "list"], ["profiles", "show", hostile], ["report", directory],
                    ["report", hostile], ["report", "--json", directory], ["run", "--", hostile], ["doctor", hostile]):
        done = run_raw(t, [places.COMMAND, *command], FORKMEND_PROFILES=os.fsdecode(config), FORKMEND_CONFIG=os.fsdecode(config))
        no_control(t, done.stdout + done.stderr, "output of forkmend %r" % command)


def run_raw(t, arguments, **settings):
    environment = {os.fsencode(name): os.fsencode(value) for name, value in t.environment(True, settings).items()}
    return subprocess.run(arguments, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)


def no_control(t, output, what):
    try:
        text = output.decode()
    except UnicodeDecodeError:
        raise Failure("%s is not UTF-8: %r" % (what, output[:300])) from None
    bad = sorted({c for c in text if c != "\n" and unicodedata.category(c) == "Cc"})
    t.check(not bad, "%s has %r: %r" % (what, bad, output[:300]))


# What a reader must refuse, and never die or wait of: text, or what stands under the file's name.
UNREADABLE = {
    "bracket": b"[\n", "bracket dot": b"[.]\n", "bracket equals": b"[=\n", "brackets equals": b"[[=\n",
    "third line": b"[settings]\n\n[\n",
    "nested arrays": b"a = " + b"[" * 100_000, "nested tables": b"a = " + b"{a=" * 100_000,
    "nested keys": b"[" + b"a." * 400_000 + b"a]\n", "many profiles": b"[[profile]]\n" * 80_000,
    "NUL": b"name = \"a\0b\"\n", "not UTF-8": b"name = \"\xff\xfe\"\n", "huge": b"#" * (1 << 20) + b"\n\n",
    "huge number": b"drain_ms = " + b"9" * 1000 + b"\n",
}
OTHERS = {"fifo": os.mkfifo, "directory": os.mkdir, "device": lambda path: os.symlink("/dev/zero", path),
          "terminal": lambda path: os.symlink("/dev/tty", path), "loop": lambda path: os.symlink(path, path)}


@test("settings/unreadable files", deadline=180)
def unreadable_files(t):
    """A file that is wrong never ends a server or holds it up: a few lines, and the defaults."""
    for kind in (*UNREADABLE, *OTHERS):
        file = t.directory / (kind.replace(" ", "_") + ".toml")
        if kind in UNREADABLE:
            file.write_bytes(UNREADABLE[kind])
        else:
            OTHERS[kind](str(file))
        for setting in ("FORKMEND_CONFIG", "FORKMEND_PROFILES"):
            # A directory may be given there.
            if (setting, kind) == ("FORKMEND_PROFILES", "directory"):
                continue
            program = t.run("inert", **{setting: file})
            t.same("output with %s" % kind, [line for line in program.output if not line.startswith("forkmend")], ["active"])
            t.check(1 <= len(program.stderr_lines) <= 30, "%d lines of %s" % (len(program.stderr_lines), kind))
            t.check(str(file) in program.stderr_lines[0], "the line is %r" % program.stderr_lines[0])
        if kind != "directory":
            lines = t.run(places.COMMAND, "profiles", "check", file, shim=False, expect=1).stderr_lines
            t.check(1 <= len(lines) <= 30 and lines[0].startswith(str(file)), "check says %r" % lines[:3])
            if kind in ("bracket", "brackets equals", "third line"):
                t.check(lines[0].startswith("%s:%d: " % (file, 3 if kind == "third line" else 1)), "its line is %r" % lines[0])


@test("settings/unreadable values are not given")
def not_given(t):
    """A file's setting holds where the environment has one that cannot be read."""
    file = t.directory / "forkmend.toml"
    file.write_text('[settings]\non_lockup = "exit:5"\ngrace_ms = 200\n')
    program = t.run("orphan_lock", "normal", expect=5, FORKMEND_CONFIG=file, FORKMEND_ON_LOCKUP="explode", FORKMEND_GRACE_MS="soon")
    t.claim_all("lockup")
    t.same("lines", len([line for line in program.stderr_lines if line.startswith("forkmend: FORKMEND_")]), 2)


# --- report directories -------------------------------------------------------------------------------------


def locks_up(t, **settings):
    return t.run("orphan_lock", "normal", expect=3, FORKMEND_ON_LOCKUP="exit:3", FORKMEND_GRACE_MS=200, **settings)


@test("reports/where they go")
def report_directory(t):
    runtime, temporary = t.directory / "run", t.directory / "tmp"
    runtime.mkdir()
    temporary.mkdir()
    locks_up(t, FORKMEND_DIR="", XDG_RUNTIME_DIR=runtime, TMPDIR=temporary)
    t.same("in XDG_RUNTIME_DIR", len(list((runtime / "forkmend").glob("*.jsonl"))), 1)
    t.same("its mode", (runtime / "forkmend").stat().st_mode & 0o777, 0o700)
    locks_up(t, FORKMEND_DIR="", XDG_RUNTIME_DIR="", TMPDIR=temporary)
    t.same("in TMPDIR", len(list(temporary.glob("forkmend-*/*.jsonl"))), 1)
    program = locks_up(t, FORKMEND_DIR=t.log, XDG_RUNTIME_DIR="", TMPDIR=temporary)
    t.check(any(": lockup " in line for line in program.stderr_lines), "nowhere to write, and nothing is said")


@test("reports/control bytes")
def report_control_bytes(t):
    """Names of threads and programs: on one line, in the block of a terminal, in the file and out of `forkmend report`."""
    program = os.fsencode(t.directory) + b"/" + HOSTILE
    shutil.copy(os.fsencode(places.PROGRAMS / "orphan_lock"), program)
    settings = {"FORKMEND_ON_LOCKUP": "exit:3", "FORKMEND_GRACE_MS": "200"}
    done = run_raw(t, [program, "normal", HOSTILE_THREAD], **settings)
    t.same("exit", done.returncode, 3)
    t.check(b"lockup" in done.stderr and b"\\x1b[31m" in done.stderr, "the line is %r" % done.stderr)
    no_control(t, done.stderr, "the line")
    t.same("lines", done.stderr.count(b"\n"), 1)
    block = run_on_terminal(t, [program, "normal", HOSTILE_THREAD], **settings)
    t.check(b"LOCKUP" in block and b"\\x1b[31m" in block, "the block is %r" % block)
    no_control(t, block, "the block")
    t.check(block.startswith(b"forkmend: LOCKUP"), "the block starts %r" % block[:80])
    for file in t.reports.glob("*.jsonl"):
        no_control(t, file.read_bytes(), "the report file")
    for option in ([], ["--json"]):
        done = run_raw(t, [places.COMMAND, "report", *option, t.reports])
        t.check(b"1b[31m" in done.stdout, "report says %r" % done.stdout[:300])
        no_control(t, done.stdout + done.stderr, "forkmend report %s" % option)
    t.claim_all("lockup")


def run_on_terminal(t, arguments, **settings):
    """What reaches a terminal that is stderr, as the program wrote it (no newline is turned into two characters)."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    environment = {os.fsencode(name): os.fsencode(value) for name, value in t.environment(True, settings).items()}
    # Below what a terminal buffers, so that it can be read when the program is gone.
    subprocess.run(arguments, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs, timeout=30,
                   check=False)
    os.set_blocking(ours, False)
    said = b""
    try:
        while part := os.read(ours, 65536):
            said += part
    except BlockingIOError:
        pass
    os.close(ours)
    os.close(theirs)
    return said


@test("reports/full directory")
def full_directory(t):
    """64 MiB and no more; said, where it bites."""
    with (t.reports / "old.jsonl.kept").open("wb") as file:
        file.truncate(65 << 20)
    program = locks_up(t)
    t.check(any("64 MiB" in line for line in program.stderr_lines), "not said: %r" % program.stderr_lines)
    t.same("reports", t.events("lockup"), [])


# --- beside others ---------------------------------------------------------------------------------------------


for name, library, settings in (("jemalloc", places.JEMALLOC, {}), ("libfaketime", FAKETIME, {"FAKETIME": "+1d"}),
                                ("libfaketime in the past", FAKETIME, {"FAKETIME": "-1d"})):
    @test("beside/" + name, library, settings, deadline=120)
    def beside(t, library, settings):
        """A pool works, a lockup is reported in time, a healthy child is left in peace: whoever comes first."""
        t.check(os.path.exists(library), "%s is missing: run scripts/setup test" % library)
        for libraries in ((library, places.LIBRARY), (places.LIBRARY, library)):
            preload = {"LD_PRELOAD": ":".join(map(str, libraries)), **settings}
            t.run("pool_forks", "forks=100", **preload)
            t.run("orphan_lock", "normal", expect=3, within=5, FORKMEND_ON_LOCKUP="exit:3", **preload)
            t.run("lost_signaller", "posix", expect=3, within=5, FORKMEND_ON_LOCKUP="exit:3", **preload)
            t.claim_all("lockup")
            t.run("healthy_waits", "sem-handler", "pool", LATE_MS=1500, FORKMEND_THRESHOLD_MS=500, FORKMEND_GRACE_MS=200,
                  **preload)
        t.same("lockups", len(t.events("lockup")), 4)

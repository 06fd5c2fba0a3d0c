"""Load: before anything else runs, where the shim is to do nothing, with settings that cannot be read, beside others."""

import os
import shutil

from harness import places
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
    t.same("set-user-id", t.run("/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program,
                                shim=False).output, ["inert"])


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

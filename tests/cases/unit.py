"""The unit tests, plain and under sanitizers: one program each, its test cases counted by doctest."""

import re

from harness import places
from harness.process import Failure
from harness.registry import test

FLAVOURS = {
    "plain": {},
    "asan": {"ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1", "UBSAN_OPTIONS": "print_stacktrace=1"},
    # The first race ends the process: in a forked one nobody would look at what was printed.
    "tsan": {"TSAN_OPTIONS": "halt_on_error=1:exitcode=66"},
}
SUMMARY = re.compile(r"test cases: +(\d+) \| +(\d+) passed \| +0 failed")


def run_unit_tests(t, flavour):
    program = t.start(places.UNIT / flavour / "run", shim=False, **FLAVOURS[flavour])
    code = program.wait(170)
    output = "\n".join(program.output)
    if code != 0:
        raise Failure("unit tests failed: exit %d" % code)
    match = SUMMARY.search(re.sub(r"\x1b\[[0-9;]*m", "", output))
    if not match or match[1] != match[2] or int(match[1]) <= 20:
        raise Failure("no summary of doctest's: %r" % output[-300:])
    t.note("%s test cases" % match[1])


for flavour in FLAVOURS:
    test("unit/" + flavour, flavour, deadline=180)(run_unit_tests)

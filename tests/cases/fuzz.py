"""What reads files and settings, under libFuzzer for a while, and over the corpus of what once failed.

`make fuzz` is the same with FUZZ_SECONDS=600. What libFuzzer finds stays below build/fuzz/found: make it small
(`build/fuzz/fuzz-NAME -minimize_crash=1 FILE`) and put it into tests/fuzz/corpus/NAME.
"""

import os
import re

from harness import places
from harness.registry import test

NAMES = ("profile_file", "settings", "report")
SECONDS = int(os.environ.get("FUZZ_SECONDS", "15"))
CORPUS = places.ROOT / "tests" / "fuzz" / "corpus"
FUZZ = places.BUILD / "fuzz"
# Bytes: a line of a report with two stacks has a few thousand.
LONGEST = 8192
# One input that takes longer is a hang.
SLOWEST_S = 25


for name in NAMES:
    @test("corpus/" + name, name)
    def corpus(t, name):
        files = sorted((CORPUS / name).iterdir())
        t.check(files, "the corpus of %s is empty" % name)
        program = t.run(FUZZ / ("replay-" + name), *files, shim=False)
        t.same("files", program.output[-1], "%d files" % len(files))

    @test("fuzz/" + name, name, deadline=SECONDS + 120.0)
    def fuzz(t, name):
        fuzzer = FUZZ / ("fuzz-" + name)
        if not fuzzer.exists():
            t.note("no clang: the corpus alone")
            return
        found, kept = FUZZ / "found", FUZZ / "corpus" / name
        found.mkdir(parents=True, exist_ok=True)
        kept.mkdir(parents=True, exist_ok=True)
        program = t.run(fuzzer, "-max_total_time=%d" % SECONDS, "-timeout=%d" % SLOWEST_S, "-max_len=%d" % LONGEST,
                        "-artifact_prefix=%s/%s-" % (found, name), "-print_final_stats=1", kept, CORPUS / name,
                        shim=False, within=SECONDS + 110.0, ASAN_OPTIONS="detect_leaks=1",
                        UBSAN_OPTIONS="print_stacktrace=1")
        runs = [re.match(r"stat::number_of_executed_units: +(\d+)", line) for line in program.output]
        t.note("%s executions" % next(match[1] for match in runs if match))

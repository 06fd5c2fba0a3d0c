"""forkmend.h and forkmend.hpp: compiled in every dialect with every warning (tests.mk), no-ops without the shim."""

from harness.registry import test

SHARED = ("header-c99", "header-c11", "header-c99-nopie", "header-cc17", "header-cc20")
STATIC = ("header-c99-static", "header-cc17-static")


@test("header/without the shim")
def without(t):
    for program in SHARED + STATIC:
        t.same(program, t.run(program, shim=False).output, ["no shim"])


@test("header/with the shim")
def with_shim(t):
    for program in SHARED:
        t.same(program, t.run(program).output, ["shim"])
    for program in STATIC:  # nothing can be preloaded into these
        t.same(program, t.run(program).output, ["no shim"])

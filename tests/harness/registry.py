"""The tests, in the order in which they were declared.

    @test("orphan_mutex", deadline=10)
    def orphan_mutex(t): ...

`soak` marks what is too long for CI. Neighbours with the same `beside` run at the same time: for tests that mostly
wait, since waiting costs no CPU.
"""

from dataclasses import dataclass
from typing import Callable, Optional

# Longer than any quick test needs on a loaded machine with two CPUs.
DEFAULT_DEADLINE_S = 60.0


@dataclass(frozen=True)
class Test:
    name: str
    body: Callable
    deadline: float
    soak: bool
    beside: Optional[str]


ALL: list[Test] = []


def test(name, *arguments, deadline=DEFAULT_DEADLINE_S, soak=False, beside=None):
    """Declares a test. Further arguments are passed on to the function, so that one function can be many tests."""

    def declare(body):
        if any(known.name == name for known in ALL):
            raise ValueError("two tests are called %r" % name)
        ALL.append(Test(name, lambda t: body(t, *arguments), deadline, soak, beside))
        return body

    return declare

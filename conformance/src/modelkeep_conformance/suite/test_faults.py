"""Errors at each step: all or nothing, told as what they are, and the handle that met one goes on."""

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from modelkeep import Error, StorageError
from modelkeep_conformance.jobs import JOBS, Job, some
from modelkeep_conformance.kit import Kit
from modelkeep_conformance.processes import Steps, forked
from modelkeep_conformance.suite import clause

#: What a failure is about besides errors: a push that fails, a put that does not replace.
_ALSO = {"push": "R4", "put": "I2", "move": "A5", "remove": "V4", "collect": "G6"}
CALLS = [
    pytest.param(name, marks=clause(_ALSO[name.partition("-")[0]]) if name.partition("-")[0] in _ALSO else ())
    for name in JOBS
]


def _failing(job: Job, step: int, error: BaseException) -> tuple[int, BaseException | None]:
    """Let a call fail at a step, in a child; check, and go on with the same handle.

    Returns:
        How many steps there were, and the error that the caller saw.
    """

    def fail() -> None:
        raise error

    def run() -> tuple[int, BaseException | None]:
        handle, seen = job.handle(), None
        with Steps(step, fail) as steps:
            try:
                job.call(handle)
            except (Error, KeyboardInterrupt) as caught:
                seen = caught
        job.check(acknowledged=seen is None)
        job.again(handle)
        job.follow(handle)
        return steps.seen, seen

    found: Any = forked(run)
    if isinstance(found, BaseException):
        raise found
    seen, caught = found
    return seen, caught


def _check(kit: Kit, name: str, make: Callable[[int], BaseException], expected: type[BaseException], few: int) -> None:
    steps, seen = _failing(Job(kit, name, kit.folder("counted")), 0, make(0))
    assert seen is None
    for step in some(kit, name, range(1, steps + 1), few):
        job = Job(kit, name, kit.folder(f"step{step}"))
        _, seen = _failing(job, step, make(step))
        assert seen is None or isinstance(seen, expected), f"step {step}: {seen!r}"
        job.remove()


@clause("E1")
@pytest.mark.parametrize("name", CALLS)
def test_an_error_at_each_step_leaves_all_or_nothing(kit: Kit, name: str) -> None:
    """Steps are the file events that Python reports; an engine in C has few of them."""

    def make(step: int) -> OSError:
        number = (errno.EIO, errno.ENOSPC)[step % 2]
        return OSError(number, os.strerror(number))

    _check(kit, name, make, StorageError, 8)


@clause("E1")
@pytest.mark.parametrize("name", CALLS)
def test_an_interrupt_at_each_step_leaves_all_or_nothing(kit: Kit, name: str) -> None:
    """Control-C passes as it is, and leaves no lock behind."""
    _check(kit, name, lambda _: KeyboardInterrupt(), KeyboardInterrupt, 6)

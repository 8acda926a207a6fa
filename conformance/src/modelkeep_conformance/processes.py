"""Running parts of a test in other threads and processes."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final

from modelkeep import Error

#: For how long any part of a test may take, in seconds; reaching it is a failure, not a pace.
PATIENCE: Final = 60.0


class ChildFailedError(AssertionError):
    """A process of the test failed in a way that the backend must not."""


def in_threads(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run functions at once, started by a barrier; return their results, modelkeep's errors among them."""
    barrier = threading.Barrier(len(works))
    results: list[Any] = [None] * len(works)

    def run(index: int, work: Callable[[], Any]) -> None:
        barrier.wait(PATIENCE)
        results[index] = _outcome(work)

    threads = [threading.Thread(target=run, args=(index, work), daemon=True) for index, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a thread hangs"
    return _checked(results)


def _outcome(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Error as error:
        return error
    except BaseException:
        return _Crash(traceback.format_exc())


class _Crash:
    def __init__(self, text: str) -> None:
        self.text = text


def _checked(results: list[Any]) -> list[Any]:
    for result in results:
        if isinstance(result, _Crash):
            raise ChildFailedError(result.text)
    return results


def in_processes(target: Callable[..., Any], arguments: Sequence[Sequence[Any]]) -> list[Any]:
    """Run a function in spawned processes at once, started by a barrier.

    Args:
        target: A function of an importable module.
        arguments: The arguments of each process; picklable.

    Returns:
        Their results, modelkeep's errors among them.
    """
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(arguments))
    pipes, processes = [], []
    for each in arguments:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_main, args=(theirs, barrier, target, each))
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    results = []
    try:
        for pipe in pipes:
            assert pipe.poll(PATIENCE), "a process hangs"
            results.append(pickle.loads(pipe.recv_bytes()))
    except EOFError:
        raise ChildFailedError("a process died") from None
    finally:
        for process in processes:
            process.join(PATIENCE)
            if process.is_alive():
                process.kill()
    return _checked(results)


def _main(pipe: Any, barrier: Any, target: Callable[..., Any], arguments: Sequence[Any]) -> None:
    barrier.wait(PATIENCE)
    pipe.send_bytes(pickle.dumps(_outcome(lambda: target(*arguments))))


def forked(work: Callable[[], Any], *, unprivileged: bool = False, kill_at: int | None = None) -> Any:
    """Run a function in a child made by fork; return its result or modelkeep's error.

    Args:
        work: The function.
        unprivileged: Whether the child gives up the rights that let root ignore permissions.
        kill_at: If given, the child is killed at that event that has to do with files: one that Python reports to
            audit hooks, or just before the call of a function in C that writes or flushes.

    Returns:
        The result, or `KILLED` if it was killed.
    """
    reading, writing = os.pipe()
    # other threads of the test runner do not hold what the child needs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            if unprivileged:
                _drop_capabilities()
            if kill_at is not None:
                _kill_at(kill_at)
            content = pickle.dumps(_outcome(work))
            if _armed:
                _armed.clear()
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(content)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    hung = threading.Event()

    def end() -> None:
        hung.set()
        os.kill(pid, signal.SIGKILL)

    watchdog = threading.Timer(PATIENCE, end)
    watchdog.start()
    try:
        with os.fdopen(reading, "rb") as answer:
            content = answer.read()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        watchdog.cancel()
        watchdog.join()
    if hung.is_set():
        raise ChildFailedError("a child made by fork hangs")
    if status == -signal.SIGKILL:
        return KILLED
    if status != 0:
        raise ChildFailedError(f"a child made by fork ended with {status}")
    return _checked([pickle.loads(content)])[0]


#: What `forked` returns for a child that was killed.
KILLED: Final = "killed"

_armed: Final[list[int]] = []
#: Functions in C that no audit hook is told of, by their names.
_WRITES: Final = frozenset(
    {"write", "writelines", "writev", "pwrite", "sendfile", "copy_file_range", "fsync", "fdatasync"}
)


def _kill_at(number: int) -> None:
    """Kill this process at its n-th event that has to do with files."""
    _armed.append(number)

    def step() -> None:
        _armed[0] -= 1
        if _armed[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, _arguments: object) -> None:
        if _armed and event.startswith(("os.", "open", "shutil.", "tempfile.", "mmap.", "fcntl.", "socket.")):
            step()

    def profile(_frame: object, event: str, function: Any) -> None:
        if _armed and event == "c_call" and function.__name__ in _WRITES:
            step()

    sys.addaudithook(hook)
    sys.setprofile(profile)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _drop_capabilities() -> None:
    """Give up all capabilities of Linux; a user without any loses nothing.

    See capset(2) for the structures.
    """
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(ctypes.byref(_Header(0x20080522, 0)), ctypes.byref((_Data * 2)())):
        raise OSError(ctypes.get_errno(), "capset")


def killed_after(work: Callable[[], Any], seconds: float) -> bool:
    """Run a function in a child made by fork and kill it after some time; tell whether it had ended before."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            work()
        os._exit(0)
    os.close(writing)
    timer = threading.Timer(seconds, os.kill, (pid, signal.SIGKILL))
    timer.start()
    # ends with the child, which still has its number then: the timer can't hit another process
    os.read(reading, 1)
    os.close(reading)
    timer.cancel()
    timer.join()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

"""Running parts of a test in other threads and processes."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn, Self

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


def in_processes(target: Callable[..., Any], arguments: Sequence[Sequence[Any]], *, meet: bool = False) -> list[Any]:
    """Run a function in spawned processes at once, started by a barrier.

    Args:
        target: A function of an importable module.
        arguments: The arguments of each process; picklable.
        meet: Whether the function gets one more argument: what it calls to wait for all others.

    Returns:
        Their results, modelkeep's errors among them.
    """
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(arguments))
    pipes, processes = [], []
    for each in arguments:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_main, args=(theirs, barrier, target, each, meet))
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


def _main(pipe: Any, barrier: Any, target: Callable[..., Any], arguments: Sequence[Any], meet: bool) -> None:
    barrier.wait(PATIENCE)
    more = [lambda: barrier.wait(PATIENCE)] if meet else []
    pipe.send_bytes(pickle.dumps(_outcome(lambda: target(*arguments, *more))))


def forked(
    work: Callable[[], Any],
    *,
    unprivileged: bool = False,
    kill_at: int | None = None,
    beside: Callable[[int], contextlib.AbstractContextManager[None]] | None = None,
) -> Any:
    """Run a function in a child made by fork; return its result or modelkeep's error.

    Args:
        work: The function.
        unprivileged: Whether the child gives up the rights that let root ignore permissions.
        kill_at: If given, the child is killed at that step; see `Steps`.
        beside: What goes on beside the child while it works, given its number.

    Returns:
        The result, or `KILLED` if it was killed.
    """
    ours, theirs = socket.socketpair()
    # other threads of the test runner do not hold what the child needs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        ours.close()
        _work(theirs, work, unprivileged=unprivileged, kill_at=kill_at)
    theirs.close()
    hung = threading.Event()

    def end() -> None:
        hung.set()
        os.kill(pid, signal.SIGKILL)

    watchdog = threading.Timer(PATIENCE, end)
    watchdog.start()
    content = b""
    try:
        with ours, beside(pid) if beside else contextlib.nullcontext():
            ours.sendall(b"!")
            with contextlib.suppress(ConnectionResetError):
                while part := ours.recv(1 << 16):
                    content += part
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


def _work(pipe: socket.socket, work: Callable[[], Any], *, unprivileged: bool, kill_at: int | None) -> NoReturn:
    """Be the child: work as soon as the parent says so, and send the result."""
    code = 1
    try:
        if unprivileged:
            _drop_capabilities()
        # its end, if something beside the child failed
        if pipe.recv(1):
            killed = (
                Steps(kill_at, lambda: os.kill(os.getpid(), signal.SIGKILL)) if kill_at else contextlib.nullcontext()
            )
            with killed:
                content = pickle.dumps(_outcome(work))
            pipe.sendall(content)
            code = 0
    finally:
        os._exit(code)


#: What `forked` returns for a child that was killed.
KILLED: Final = "killed"

#: Functions in C that no audit hook is told of, by their names.
_WRITES: Final = frozenset(
    {"write", "writelines", "writev", "pwrite", "sendfile", "copy_file_range", "fsync", "fdatasync"}
)
_EVENTS: Final = ("os.", "open", "shutil.", "tempfile.", "mmap.", "fcntl.", "socket.")


class Steps:
    """Counts what a thread does with files, and acts at one of these steps.

    A step is an event that Python reports to audit hooks, or the moment before the call of a function in C that writes
    or flushes. Only for a process that ends soon: an audit hook stays.

    Attributes:
        seen: How many there were.
    """

    def __init__(self, number: int, act: Callable[[], None]) -> None:
        self.seen = 0
        self._number, self._act, self._counts = number, act, False

    def _step(self) -> None:
        self.seen += 1
        if self.seen == self._number:
            self._act()

    def _event(self, event: str, _arguments: object) -> None:
        if self._counts and event.startswith(_EVENTS):
            self._step()

    def _call(self, _frame: object, event: str, function: Any) -> None:
        if event == "c_call" and function.__name__ in _WRITES:
            self._step()

    def __enter__(self) -> Self:
        sys.addaudithook(self._event)
        self._counts = True
        sys.setprofile(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        self._counts = False


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

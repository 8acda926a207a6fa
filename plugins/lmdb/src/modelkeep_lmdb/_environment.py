"""The environments of this process: one for a folder, however many handles use it.

LMDB must not be opened twice in a process, and an environment must not be used over a fork. So they are kept here, and
closed before this process forks; parent and child open it again when they need it. That is not possible while a view
is open, since its memory would be gone: then the parent goes on, and the child is refused.

A view is valid as long as its transaction and the environment are open: what a collection deletes meanwhile is not
reused before the transaction ends.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from pickle import PickleBuffer
from typing import Final

import lmdb

from modelkeep import InvalidError, StorageError
from modelkeep.backend import boot
from modelkeep_lmdb._stage import READERS, Stage, identity

#: The map that is asked for: address space, not memory and not disk.
_MAP: Final = 1 << 40
#: Below this a map is too small to be of use.
_LEAST: Final = 1 << 20
#: The folder of what waits for its commit, in that of the store.
STAGE: Final = "stage"
#: File systems over which the locks of LMDB do not hold.
_REMOTE: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "fuse.s3fs", "lustre"}
)

#: For how long a fork waits for the calls of other threads to end, in seconds.
_PATIENCE: Final = 5.0

_open: Final[dict[str, Environment]] = {}
#: Environments that a parent had open while it forked: not to be used, nor to be opened a second time.
_inherited: Final[dict[str, Environment]] = {}
#: Guards all of the above, and the users of the environments.
_lock = threading.RLock()
#: Told when a user has left, if somebody waits for that.
_left = threading.Condition(_lock)
_waiting = 0


def _before_fork() -> None:
    _lock.acquire()
    # calls of other threads end soon; a view of this one can not end while we wait for it
    me = threading.get_ident()
    _wait_for(lambda: not any(known.busy(besides=me) for known in _open.values()))
    for path, known in list(_open.items()):
        if not known.busy() and not known.kept:
            # closing twice does nothing: a moved folder has it by two paths
            known.close()
            del _open[path]


def _after_fork_in_parent() -> None:
    _lock.release()


def _after_fork_in_child() -> None:
    global _lock, _left, _waiting  # noqa: PLW0603  # other threads of the parent may wait for it
    _lock = threading.RLock()
    _left = threading.Condition(_lock)
    _waiting = 0
    _inherited.update(_open)
    _open.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def _wait_for(true: Callable[[], bool]) -> bool:
    """Wait until users have left, or patience is lost; the caller holds the lock."""
    global _waiting  # noqa: PLW0603  # those who leave need not tell it when nobody waits
    _waiting += 1
    try:
        return _left.wait_for(true, _PATIENCE)
    finally:
        _waiting -= 1


class Environment:
    """An LMDB environment with the options that it was opened with.

    Attributes:
        lmdb: The environment.
        limit: The most that it may hold, in bytes.
        sync: Whether each commit is flushed to the last.
        readonly: Whether the folder can't be written to.
        identity: Device and number of the data file.
        users: The threads that use it at the moment, once for each call and open view.
        kept: Whether somebody kept memory of a view beyond its block.
        stage_name: The name of the folder of its stage of this boot; None if the kernel tells no boot.
    """

    def __init__(self, path: str, limit: int | None, *, sync: bool) -> None:
        self.limit, self.sync = limit, sync
        self.readonly = not _writable(Path(path))
        self.lmdb = self._opened(path, limit or _MAP)
        self.identity = identity(f"{path}/data.mdb")
        self.users: list[int] = []
        self.kept = False
        self.stage_name = f"{boot()}-{self.identity[0]:x}-{self.identity[1]:x}" if boot() and self.identity else None
        self._stage: Stage | None = None
        if not self.readonly:
            self.lmdb.reader_check()

    def stage(self, path: str) -> Stage | None:
        """Give the stage of this boot, of the store in a folder; None if there can be none."""
        if self.readonly or not self.stage_name:
            return None
        folder = f"{path}/{STAGE}/{self.stage_name}"
        if self._stage is None or self._stage.identity != identity(f"{folder}/data.mdb"):
            with _lock:
                if self._stage is None or self._stage.identity != identity(f"{folder}/data.mdb"):
                    # if somebody removed it, who still uses it keeps it open
                    self._stage = None
                    self._stage = Stage(folder)
        return self._stage

    def close(self) -> None:
        """Close it; nobody uses it."""
        self.lmdb.close()
        if self._stage is not None:
            self._stage.lmdb.close()

    def has(self, limit: int | None, *, sync: bool) -> bool:
        """Whether it was opened with these options; any limit will do for who asks for none."""
        return self.sync == sync and (limit is None or limit == self.limit)

    def busy(self, *, besides: int | None = None) -> bool:
        """Whether a thread uses it, another one than the given."""
        return any(user != besides for user in self.users)

    def grow(self) -> None:
        """Map what another process with a higher limit has added; the caller uses the environment once.

        Raises:
            StorageError: A view is open, whose memory would be gone.
        """
        with _lock:
            if not _wait_for(lambda: len(self.users) == 1) or self.kept:
                raise StorageError(
                    f"The LMDB store {self.lmdb.path()} has grown beyond the limit of this process while a view is "
                    "open: leave the view, or use the same limit in all processes"
                )
            self.lmdb.set_mapsize(0)

    def _opened(self, path: str, size: int) -> lmdb.Environment:
        try:
            return lmdb.open(
                path,
                map_size=max(size, _LEAST),
                metasync=self.sync,
                readonly=self.readonly,
                # without a writable lock file nobody can be writing, or we could not know
                lock=not self.readonly,
                create=False,
                # less what the umask takes, as of any file
                mode=0o666,
                readahead=True,
                max_readers=READERS,
                max_spare_txns=16,
            )
        except (lmdb.MemoryError, MemoryError, lmdb.Error) as error:
            out_of_space = isinstance(error, lmdb.MemoryError | MemoryError) or "Cannot allocate" in str(error)
            if out_of_space and self.limit is None and size > _LEAST:
                return self._opened(path, size // 4)
            raise


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and all(
        os.access(file, os.W_OK) for file in (path / "data.mdb", path / "lock.mdb") if file.exists()
    )


class Lent:
    """Memory of the map for the length of a block; who keeps it keeps the environment open."""

    __slots__ = ("_environment", "_exporter", "_value", "_view")

    def __init__(self, environment: Environment, value: memoryview) -> None:
        self._environment, self._value = environment, value

    def __enter__(self) -> memoryview:
        # slices of a memoryview don't count as exports of it; through another exporter they do
        self._exporter = PickleBuffer(self._value)
        self._view = memoryview(self._exporter)
        return self._view

    def __exit__(self, *_: object) -> None:
        try:
            self._view.release()
            self._exporter.release()
            self._value.release()
        except BufferError:
            self._environment.kept = True


def borrow(path: str, limit: int | None, *, create: bool, sync: bool) -> Environment | None:
    """Use the environment of a folder until `give_back`; it is opened if it is not.

    No block, since it is so for each read, and a generator would cost as much as that.

    Args:
        path: The folder, resolved.
        limit: The most that it may hold, in bytes; None for whatever it is open with.
        create: Whether to make it if it is not there.
        sync: Whether each commit is flushed to the last.

    Returns:
        The environment, or None if it is not there and not to be made.

    Raises:
        InvalidError: It is open in this process with other options.
        StorageError: The folder can't be made, or this process was forked while a view was open.
    """
    with _lock:
        known = _open.get(path)
        if known is None or known.identity != identity(f"{path}/data.mdb") or not known.has(limit, sync=sync):
            known = _found(path, limit, create=create, sync=sync)
        if known is not None:
            known.users.append(threading.get_ident())
        return known


def give_back(known: Environment, user: int) -> None:
    """Let others close it.

    Args:
        known: The environment.
        user: The thread that borrowed it.
    """
    with _lock:
        known.users.remove(user)
        if _waiting:
            _left.notify_all()


def _found(path: str, limit: int | None, *, create: bool, sync: bool) -> Environment | None:
    """Find or open the environment of a folder; the caller holds the gate."""
    there = identity(f"{path}/data.mdb")
    known = _open.get(path)
    if known is not None and known.identity != there:
        # the folder was removed, and perhaps made anew; a view of the old one stays valid
        del _open[path]
        known = None
    if known is None:
        # a folder that was moved, or is reached by another way, is the same environment
        known = next((each for each in _open.values() if each.identity == there), None)
        if known is not None:
            _open[path] = known
    if known is None:
        if there is None and not create:
            return None
        if path in _inherited and _inherited[path].identity == there:
            raise StorageError(
                f"This process was forked while a view of the LMDB store {path} was open, and can not use it: "
                "leave the view before forking, or start processes by spawn"
            )
        if there is None:
            _make(path)
        known = _open[path] = Environment(path, limit, sync=sync)
    if not known.has(limit, sync=sync):
        raise InvalidError(
            f"The LMDB environment {path} is open in this process with limit={known.limit} and sync={known.sync}: "
            "use the same options for all handles"
        )
    return known


def _make(path: str) -> None:
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder {path} of an LMDB environment can not be made: {error}") from error
    kind = _file_system(Path(path))
    if kind in _REMOTE:
        warnings.warn(
            f"{path} lies on a network file system ({kind}), where the locks of LMDB do not hold: use it from one "
            "machine only, or choose another backend",
            stacklevel=2,
        )


def _file_system(path: Path) -> str | None:
    """The type of the file system that a folder lies on, where the kernel tells."""
    try:
        mounts = Path("/proc/self/mounts").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    # the last mount at the deepest point is the one in force
    points = [(line.split(" ")[1].replace("\\040", " "), line.split(" ")[2]) for line in mounts]
    above = [(len(point), number, kind) for number, (point, kind) in enumerate(points) if path.is_relative_to(point)]
    return max(above)[2] if above else None

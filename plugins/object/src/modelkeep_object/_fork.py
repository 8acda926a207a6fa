"""obstore in a child made by fork.

obstore runs its requests on the threads of a tokio runtime, one for the whole process. Those threads do not exist in a
child made by fork: whatever it asks of obstore waits forever, through new stores too, and nothing resets the runtime.
So a child loads the extension once more, from a copy of its file: a library loaded from another file has variables of
its own, and with them a runtime of its own. That takes about 15 ms, once for each child that uses a store.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ExtensionFileLoader
from typing import Any, Final, Protocol

import obstore
import obstore.store

_lock = threading.Lock()
#: What this process uses: the functions and the classes of stores. None: not decided yet.
_loaded: tuple[Any, Any] | None = (obstore, obstore.store)
#: What must not be freed in a child: its runtime does not run here, and its sockets are watched by the parent's.
_stranded: Final[list[object]] = []


class Holder(Protocol):
    """Who holds something of obstore."""

    def forked(self) -> object:
        """Let go of it, in a child that was just made; return it."""


_holders: Final[weakref.WeakSet[Holder]] = weakref.WeakSet()


def watch(holder: Holder) -> None:
    """Call `holder.forked()` in each child from now on, as long as there is the holder."""
    _holders.add(holder)


def _forget() -> None:
    global _lock, _loaded
    _stranded.append(_loaded)
    _stranded.extend(holder.forked() for holder in list(_holders))
    _lock, _loaded = threading.Lock(), None


os.register_at_fork(after_in_child=_forget)


def load() -> tuple[Any, Any]:
    """Give the functions of obstore, and its classes of stores, that work in this process.

    The exceptions they raise are of different classes in each process; their names are the same.
    """
    global _loaded  # noqa: PLW0603  # one extension for the process
    with _lock:
        if _loaded is None:
            extension = _load_anew()
            _loaded = extension, extension._store  # noqa: SLF001  # obstore.store derives from these, for parent's use
        return _loaded


def _load_anew() -> Any:
    name = "obstore._obstore"
    source = sys.modules[name].__file__
    modules = dict(sys.modules)
    with _copy(str(source)) as path:
        loader = ExtensionFileLoader(name, path)
        spec = importlib.util.spec_from_file_location(name, path, loader=loader)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
    # who imports obstore in this process keeps what he has
    for each in set(sys.modules) - set(modules):
        if each.startswith("obstore."):
            _stranded.append(sys.modules.pop(each))
    sys.modules.update({each: module for each, module in modules.items() if each.startswith("obstore")})
    return module


@contextmanager
def _copy(path: str) -> Iterator[str]:
    """Copy a library to a path that can be loaded, in memory where the system can do that.

    The path is one that no process before this one has loaded a library from: the linker knows them by their paths.
    """
    with open(path, "rb") as source:  # noqa: PTH123  # a str
        content = source.read()
    if hasattr(os, "memfd_create") and os.path.exists("/proc/self/fd"):  # noqa: PTH110  # a str
        file = os.memfd_create("obstore")
        try:
            with open(file, "wb", closefd=False) as target:
                target.write(content)
            yield f"/proc/{os.getpid()}/fd/{file}"
        finally:
            os.close(file)
    else:
        with tempfile.NamedTemporaryFile(suffix=".so") as target:
            target.write(content)
            target.flush()
            yield target.name

"""What is installed, what is configured, and whether that works."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import os
import platform
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import click

import modelkeep
from modelkeep import _config, _provider
from modelkeep._cli._output import Table, cell, count, emit, measure
from modelkeep._cli._session import Session, json_option
from modelkeep._cli._setup import found_providers, settings
from modelkeep._errors import Error

#: Less room than that, in bytes, is worth a word.
_LITTLE: Final = 1 << 30


@dataclasses.dataclass(frozen=True)
class _Finding:
    """What was found out.

    Attributes:
        what: What it is about.
        check: What was looked at.
        status: ok, broken, or between the two: note, unknown.
        detail: More of it.
    """

    what: str
    check: str
    status: str
    detail: str


@click.command()
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=20.0,
    show_default=True,
    help="How long to wait for the stores.",
)
@json_option
@click.pass_context
def doctor(context: click.Context, timeout: float) -> None:
    """Check the installation, settings and stores.

    Tells which providers are installed, broken or missing, which files and variables the settings are from, and
    of each store whether it can be reached, has a format that this version knows, is durable, and has room. Nothing is
    written; secrets are shown as ***.

    Exits with 1 if something that is configured is broken.

    \b
    The columns:
      what, check, status (ok, note, unknown or broken), detail

    \b
    Example:
      modelkeep doctor
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped
    session: Session = context.obj
    installation = list(_installation())
    configured = list(_configuration())
    with contextlib.suppress(Error):
        configured += _stores(_config.load(), timeout)
    findings = installation + configured
    emit(
        session,
        {"findings": [dataclasses.asdict(finding) for finding in findings]},
        Table([field.name for field in dataclasses.fields(_Finding)], [dataclasses.astuple(each) for each in findings]),
    )
    if any(finding.status == "broken" for finding in configured):
        context.exit(1)


def _installation() -> Iterator[_Finding]:
    yield _Finding("modelkeep", modelkeep.__version__, "ok", f"Python {platform.python_version()}")
    for each in found_providers(check=True):
        status = {"installed": "ok", "available": "note"}.get(each["status"], each["status"])
        yield _Finding("provider", " ".join(filter(None, (each["provider"], each["kind"]))), status, each["detail"])


def _configuration() -> Iterator[_Finding]:
    try:
        config = _config.load()
    except Error as error:
        yield _Finding("config", "sources", "broken", str(error))
        return
    for source in _config.sources():
        yield _Finding("config", "source", "ok", str(source))
    for key, value, origin in settings(config):
        yield _Finding("config", key, "ok", f"{cell(value)} ({origin})")
    for kind in _config.KINDS:
        try:
            config.entry(kind, None)
        except Error as error:
            yield _Finding("config", f"{kind}.default", "broken", str(error))


def _stores(config: _config.Config, timeout: float) -> Iterator[_Finding]:
    """Look at all stores at once, since some may not answer."""
    checks = [
        _Check(kind, name, options) for kind in _config.KINDS for name, options in sorted(config.entries[kind].items())
    ]
    end = time.monotonic() + timeout
    for check in checks:
        check.start()
    for check in checks:
        check.join(max(0, end - time.monotonic()))
        yield from check.findings(timeout)


class _Check(threading.Thread):
    """Looks at one store; a thread that nobody waits for at the end, since it may wait for an answer for long."""

    def __init__(self, kind: str, name: str, options: Mapping[str, _config.Setting]) -> None:
        super().__init__(daemon=True)
        self._kind, self._entry = kind, name
        self._options = {key: setting.value for key, setting in options.items()}
        self._reached: tuple[str, str] | None = None

    def run(self) -> None:
        try:
            self._reached = "ok", self._reach()
        except Error as error:
            self._reached = "broken", str(error)
        except BaseException as error:  # whatever a provider does must not hide what is to be said of the others
            self._reached = "broken", f"it fails with a {type(error).__name__}"

    def _reach(self) -> str:
        if self._kind == "registry":
            return f"{count(len(list(modelkeep.registry(self._entry).projects())), 'project')}, in a known format"
        return f"{count(len(list(modelkeep.inventory(self._entry).list())), 'application')}, in a known format"

    def findings(self, timeout: float) -> Iterator[_Finding]:
        """Tell what is known by now."""
        what = f"{self._kind} {self._entry}"
        yield _Finding(what, "reach", *(self._reached or ("broken", f"no answer within {timeout:g} seconds")))
        yield _Finding(what, "durable", *self._durable())
        path = self._options.get("path")
        if isinstance(path, str):
            yield _Finding(what, "room", *_room(Path(path)))

    def _durable(self) -> tuple[str, str]:
        """What the option `sync` says, which backends have that can trade durability away."""
        try:
            factory = _provider._load(self._kind, self._options["provider"])  # noqa: SLF001  # the core's own
            sync = self._options.get("sync", inspect.signature(factory).parameters["sync"].default)
        except (Error, KeyError, ValueError):
            return "unknown", "the provider does not tell"
        return (
            ("ok", "commits survive power loss")
            if sync is True
            else ("note", f"sync = {cell(sync)}: power loss may undo commits")
        )


def _room(path: Path) -> tuple[str, str]:
    """The room on the disk that holds, or will hold, a path."""
    try:
        there = next(each for each in (path, *path.parents) if each.exists())
        free = shutil.disk_usage(there).free
    except (OSError, StopIteration, ValueError) as error:
        return "broken", f"{path}: {error}"
    detail = f"{measure(free)} free at {there}"
    if not os.access(there, os.W_OK):
        return "note", f"{detail}, which can only be read"
    return ("broken" if free == 0 else "note" if free < _LITTLE else "ok"), detail

"""Running a command, and turning whatever it ends with into an exit code and a line on stderr."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from modelkeep._cli._commands import root
from modelkeep._cli._output import note, settle
from modelkeep._cli._ref import hint
from modelkeep._cli._session import Session
from modelkeep._errors import (
    ConflictError,
    CorruptedError,
    Error,
    InvalidError,
    MissingError,
    StorageError,
    UnsupportedError,
)

#: The exit code of each kind of error, the most special kinds first. Scripts rely on them: they never change.
CODES: Final[dict[type[Error], int]] = {
    MissingError: 3,
    InvalidError: 4,
    ConflictError: 5,
    CorruptedError: 6,
    StorageError: 7,
    UnsupportedError: 8,
    Error: 1,
}
#: What a shell shows for a process that SIGINT or SIGPIPE ended.
INTERRUPTED: Final = 130
PIPE: Final = 141


def run(arguments: Sequence[str]) -> int:
    """Run a command and return the exit code."""
    # a file name need not be Unicode, and a terminal need not be able to show all of it
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    message = None
    try:
        code = _invoke(list(arguments))
        # here, and not when the interpreter ends, where a full disk could not be told any more
        sys.stdout.flush()
    except BrokenPipeError:
        code = PIPE
    except (KeyboardInterrupt, click.Abort):
        code = INTERRUPTED
    except click.ClickException as error:
        code, message = error.exit_code, _hinted(error)
    except (Error, MemoryError, OSError) as error:
        code, message = _told(error)
    if code:
        settle(sys.stdout)
    if message is not None:
        note(message)
    return code


def _hinted(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{error.format_message()}\nTry '{context.command_path if context else 'modelkeep'} --help' for help."


def _invoke(arguments: list[str]) -> int:
    if instruction := os.environ.get("_MODELKEEP_COMPLETE"):
        from click.shell_completion import shell_complete

        return shell_complete(root, {}, "modelkeep", "_MODELKEEP_COMPLETE", instruction)
    try:
        with root.make_context("modelkeep", arguments) as context:
            try:
                root.invoke(context)
            except MissingError as error:
                if near := hint(context.ensure_object(Session)):
                    raise MissingError(f"{error}{near}") from error
                raise
    except click.exceptions.Exit as stop:
        return stop.exit_code
    return 0


def _told(error: Error | MemoryError | OSError) -> tuple[int, str]:
    """Find the exit code and the message of an error."""
    match error:
        case Error():
            return next(code for kind, code in CODES.items() if isinstance(error, kind)), str(error)
        case OSError():
            what = f"{error.filename}: " if error.filename else ""
            return CODES[StorageError], f"{what}{error.strerror or error}"
        case _:
            return CODES[StorageError], "There is not enough memory for this"

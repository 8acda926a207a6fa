"""What ForML's users catch, for each of modelkeep's errors."""
# ForML has no type hints to be found
# mypy: disable-error-code="import-untyped,import-not-found"

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import forml
from forml.io import asset

import modelkeep


@contextlib.contextmanager
def translated(missing: type[Exception] = forml.MissingError) -> Iterator[None]:
    """Raise the errors of ForML in place of those of modelkeep, which stay as their cause.

    Where ForML's own `posix` provider raises something, it is of the same type here. ForML's gateway answers
    "not found", "bad request" and "server error" for a MissingError, InvalidError and FailedError.

    Args:
        missing: The type for what is not there; that differs from method to method of ForML.
    """
    try:
        yield
    except modelkeep.MissingError as error:
        raise missing(str(error)) from error
    except (modelkeep.InvalidError, modelkeep.ConflictError) as error:
        raise asset.Level.Invalid(str(error)) from error
    except modelkeep.Error as error:
        raise forml.FailedError(str(error)) from error

"""The errors of modelkeep; nothing else escapes a backend.

    Error
    ├── MissingError       the project, release, generation, state or application is not there
    ├── InvalidError       the input can not be right, whatever the registry holds
    ├── ConflictError      it is there already, and what is there does not change
    ├── CorruptedError     the stored bytes are not those that were written
    ├── StorageError       the engine below failed: no room, no permission, no connection
    └── UnsupportedError   this backend, version or installation can not do that

A message says what happened, to which key, in which registry, and what to do next. It never shows a secret.
"""


class Error(Exception):
    """Base of all errors that modelkeep raises on purpose."""


class MissingError(Error, LookupError):
    """What was asked for is not in the registry or inventory."""


class InvalidError(Error, ValueError):
    """A name, value, package, tag or configuration that can never be valid."""


class ConflictError(Error):
    """Something else is already committed under that key; it was left as it is, and so was the caller's data."""


class CorruptedError(Error):
    """Stored bytes do not match the digest recorded for them. Restore the item from a copy; its siblings are fine."""


class StorageError(Error):
    """The storage engine failed. What was acknowledged before is intact, and the call may be made again."""


class UnsupportedError(Error):
    """The operation, format or provider is not available here."""

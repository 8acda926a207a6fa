"""The keys of a registry: value types that can not hold an invalid name.

Every name is short ASCII without separators, so each backend may use it as a file name or as a part of a key,
and two names that differ never meet, whatever the file system folds.
"""

from __future__ import annotations

import functools
import operator
import re
from typing import Final, Self, SupportsIndex

from packaging.version import InvalidVersion, Version

from modelkeep._errors import InvalidError

#: The longest name in characters. Project, release and state id joined stay below the 511 bytes of an LMDB key.
LIMIT: Final = 200
#: The largest generation number: what fits a signed 64-bit integer.
LAST: Final = 2**63 - 1

# https://packaging.python.org/en/latest/specifications/name-normalization/#name-format
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\Z", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,19}\Z", re.ASCII)


def shown(value: object) -> str:
    """Show any value in a message: shortly, and whatever its repr does."""
    try:
        return f"{value!r:.100}"
    except Exception:  # an int of too many digits, an object that is half made
        return f"<{type(value).__name__}>"


def _checked(kind: str, value: object) -> str:
    """Return the value when it is a short ASCII string, else raise InvalidError."""
    if not isinstance(value, str):
        raise InvalidError(f"A {kind} is a str, not {type(value).__name__}: {shown(value)}")
    # what a subclass, an enumeration say, makes of itself is not its text
    value = str.__str__(value)
    if len(value) > LIMIT:
        raise InvalidError(f"This {kind} has {len(value)} characters, at most {LIMIT} are allowed: {value[:40]!r}...")
    if not value.isascii():
        raise InvalidError(f"A {kind} is plain ASCII: {value!r}")
    return value


class _Name(str):
    """A PEP 508 name, kept as written."""

    __slots__ = ()
    _kind = "name"

    def __new__(cls, value: str) -> Self:
        """Check the name.

        Args:
            value: ASCII letters, digits, `.`, `_` and `-`, beginning and ending with a letter or digit.

        Raises:
            InvalidError: It is something else, or longer than 200 characters.
        """
        if type(value) is cls:
            return value
        value = _checked(cls._kind, value)
        if not _NAME.match(value):
            raise InvalidError(
                f"Not a valid {cls._kind}: {value!r}. Use letters, digits, '.', '_' and '-', "
                "beginning and ending with a letter or digit"
            )
        return super().__new__(cls, value)


class ProjectKey(_Name):
    """The name of a project, known as `Project.Key`."""

    __slots__ = ()
    _kind = "project name"


class AliasKey(_Name):
    """The name of an alias, known as `Alias.Key`."""

    __slots__ = ()
    _kind = "alias name"


class ApplicationKey(_Name):
    """The name of an application, known as `Descriptor.Key`."""

    __slots__ = ()
    _kind = "application name"


@functools.total_ordering
class ReleaseKey:
    """A PEP 440 version, known as `Release.Key`.

    Keys are equal and ordered as versions are (`1.0` = `1.0.0` = `v1.0`, `1.9` < `1.10`) and shown as written.

    Attributes:
        version: The parsed version.
        canonical: The one spelling that all equal versions share.
    """

    __slots__ = ("_text", "canonical", "version")

    _text: str
    version: Version
    canonical: str

    def __new__(cls, value: str | Version | ReleaseKey) -> Self:
        """Check the version.

        Args:
            value: A PEP 440 version of at most 200 characters.

        Raises:
            InvalidError: It is something else.
        """
        if type(value) is cls:
            return value
        return cls._parse(_checked("version", str(value) if isinstance(value, Version | ReleaseKey) else value))

    @classmethod
    @functools.lru_cache(maxsize=1024)
    def _parse(cls, text: str) -> Self:
        try:
            if text != text.strip():
                raise InvalidVersion("blanks around it")
            version = Version(text)
        except InvalidVersion as error:
            raise InvalidError(f"Not a PEP 440 version: {text!r}") from error
        self = super().__new__(cls)
        object.__setattr__(self, "_text", text)
        object.__setattr__(self, "version", version)
        object.__setattr__(self, "canonical", _canonical(version))
        return self

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (self._text,)

    def __eq__(self, other: object) -> bool:
        return self.canonical == other.canonical if isinstance(other, ReleaseKey) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.canonical)

    def __lt__(self, other: object) -> bool:
        return self.version < other.version if isinstance(other, ReleaseKey) else NotImplemented

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"ReleaseKey({self._text!r})"


def _canonical(version: Version) -> str:
    """Spell the version without trailing zeros, as packaging.utils does, which costs 10 ms to import."""
    epoch = f"{version.epoch}!" if version.epoch else ""
    kept = len(version.release)
    while kept > 1 and version.release[kept - 1] == 0:
        kept -= 1
    full = epoch + ".".join(map(str, version.release))
    return epoch + ".".join(map(str, version.release[:kept])) + str(version)[len(full) :]


class GenerationKey(int):
    """The number of a generation, known as `Generation.Key`: 1, 2, 3 and so on, gaps allowed."""

    __slots__ = ()

    def __new__(cls, value: SupportsIndex | str) -> Self:
        """Check the number.

        Args:
            value: An integer from 1 to 2**63 - 1, or such a number in ASCII digits.

        Raises:
            InvalidError: It is something else.
        """
        if type(value) is cls:
            return value
        if isinstance(value, str):
            if not _NUMBER.match(value):
                raise InvalidError(f"Not a generation number: {shown(value)}")
            number = int(value)
        else:
            try:
                number = -1 if isinstance(value, bool) else operator.index(value)
            except TypeError:
                raise InvalidError(
                    f"A generation number is an int, not {type(value).__name__}: {shown(value)}"
                ) from None
        if not 1 <= number <= LAST:
            raise InvalidError(f"A generation number is an integer from 1 to 2**63 - 1, not {shown(value)}")
        return super().__new__(cls, number)

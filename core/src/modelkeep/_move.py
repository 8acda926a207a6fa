"""The moves of an alias: each tells what the alias names from then on."""

from __future__ import annotations

import dataclasses
import datetime as dt
import operator
from typing import Final, Self, SupportsIndex, TypeAlias

from modelkeep import _toml
from modelkeep._errors import InvalidError
from modelkeep._key import LAST, GenerationKey, ReleaseKey, shown

#: A generation of the alias's project.
Target: TypeAlias = tuple[ReleaseKey, GenerationKey]
#: The longest note in characters.
NOTE: Final = 1000
_PAIR: Final = 2


def _number(kind: str, value: SupportsIndex) -> int:
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = -1
    if not 1 <= number <= LAST:
        raise InvalidError(f"The {kind} of a move is an integer from 1 to 2**63 - 1, not {shown(value)}")
    return number


def _target(value: object) -> Target:
    if not isinstance(value, tuple) or len(value) != _PAIR:
        raise InvalidError(f"The target of a move is a pair of a release and a generation, or None, not {shown(value)}")
    return ReleaseKey(value[0]), GenerationKey(value[1])


def _moment(value: object) -> dt.datetime:
    if not isinstance(value, dt.datetime) or value.utcoffset() is None:
        raise InvalidError(f"The moment of a move is a datetime with a zone, not {shown(value)}")
    try:
        return value.astimezone(dt.UTC).replace(fold=0)
    except OverflowError:
        raise InvalidError(f"This moment is out of range in UTC: {shown(value)}") from None


def _note(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidError(f"The note of a move is a str, not {type(value).__name__}: {shown(value)}")
    if not value.isprintable():
        raise InvalidError(f"The note of a move is one line of printable characters, not {shown(value)}")
    if len(value) > NOTE:
        raise InvalidError(f"This note has {len(value)} characters, at most {NOTE} are allowed: {value[:40]!r}...")
    return str.__str__(value)


@dataclasses.dataclass(frozen=True, init=False)
class Move:
    """What an alias was made to name: a frozen value that equals its stored copy.

    Attributes:
        number: Which one it is of its alias: 1, 2, 3 and so on, without gaps.
        target: The release and generation that the alias names from then on; None if it names nothing.
        moment: When, in UTC.
        note: Who moved it, or why: one line, at most 1000 characters.
        undoes: The number of the move that it takes back.
    """

    number: int
    target: Target | None
    moment: dt.datetime
    note: str | None
    undoes: int | None

    def __init__(
        self,
        number: SupportsIndex,
        target: tuple[str | ReleaseKey, int | str] | None,
        moment: dt.datetime | None = None,
        note: str | None = None,
        undoes: SupportsIndex | None = None,
    ) -> None:
        """Check the attributes.

        Args:
            number: See above.
            target: The same; plain values become keys.
            moment: A datetime with a zone, by default now.
            note: See above.
            undoes: The same.

        Raises:
            InvalidError: One of them is something else.
        """
        vars(self).update(
            number=_number("number", number),
            target=None if target is None else _target(target),
            moment=_moment(dt.datetime.now(dt.UTC) if moment is None else moment),
            note=None if note is None else _note(note),
            undoes=None if undoes is None else _number("number that it undoes", undoes),
        )
        if self.undoes is not None and self.undoes >= self.number:
            raise InvalidError(f"Move {self.number} can not undo move {self.undoes}, only one that was before it")

    def dumps(self) -> str:
        """Write the move as TOML, all but its number: that is where it is kept."""
        release, generation = self.target or (None, None)
        return _toml.lines(
            [
                ("moment", self.moment),
                ("release", None if release is None else str(release)),
                ("generation", generation),
                ("note", self.note),
                ("undoes", self.undoes),
            ]
        )

    @classmethod
    def loads(cls, number: int, text: str) -> Self:
        """Read what `dumps` wrote.

        Raises:
            InvalidError: It is not the TOML of a move.
        """
        import tomllib

        try:
            data = tomllib.loads(text)
            target = (data["release"], data["generation"]) if "release" in data else None
            return cls(number, target, data["moment"], data.get("note"), data.get("undoes"))
        except (KeyError, ValueError) as error:
            raise InvalidError(f"Not the TOML of a move: {error!r:.200}") from error

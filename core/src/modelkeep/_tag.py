"""The tag of a generation: how it came about and which states it has."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable
from typing import Final, Self
from uuid import UUID

from modelkeep import _toml
from modelkeep._errors import InvalidError
from modelkeep._key import shown

#: What an ordinal may be: the scalar types of TOML.
Ordinal = bool | int | float | str | dt.datetime | dt.date | dt.time
_ORDINALS: Final = (bool, int, float, str, dt.datetime, dt.date, dt.time)
#: Stands for all NaNs where values are compared.
_NAN: Final = object()
_MINUTE: Final = dt.timedelta(minutes=1)


def _plain(item: object) -> object:
    """Turn a scalar of numpy or pandas into the builtin that it stands for."""
    for convert in ("item", "to_pydatetime"):
        if type(item).__module__ != "builtins" and callable(getattr(item, convert, None)):
            try:
                plain: object = getattr(item, convert)()
            except (TypeError, ValueError) as error:
                raise InvalidError(f"A single value is needed, not {shown(item)}: {error}") from error
            if type(item).__name__ in ("datetime64", "timedelta64") and isinstance(plain, int):
                raise InvalidError(f"A {type(item).__name__} of nanoseconds has no type of Python: {shown(item)}")
            return plain
    return item


def _moment(item: object) -> dt.datetime | None:
    """Check a timestamp and give it a fixed offset from UTC, which is all that TOML can hold of its zone."""
    item = _plain(item)
    if item is None:
        return None
    if not isinstance(item, dt.datetime):
        raise InvalidError(f"A timestamp is a datetime, not {type(item).__name__}: {shown(item)}")
    offset = item.utcoffset()
    zone = None
    if offset is not None:
        zone = dt.UTC if offset % _MINUTE else dt.timezone(offset)
        try:
            item = item.astimezone(zone)
        except OverflowError:
            raise InvalidError(f"This timestamp is out of range in UTC: {item!r}") from None
    return dt.datetime.combine(item.date(), item.time().replace(fold=0), zone)


def _number(item: object) -> float | None:
    item = _plain(item)
    if item is None:
        return None
    if isinstance(item, bool) or not isinstance(item, int | float):
        raise InvalidError(f"A score is a float, not {type(item).__name__}: {shown(item)}")
    try:
        return float(item)
    except OverflowError:
        raise InvalidError("This score is too large for a float") from None


def _ordinal(item: object) -> Ordinal | None:
    item = _plain(item)
    if isinstance(item, dt.datetime):
        return _moment(item)
    if isinstance(item, float):
        return _number(item)
    for kind in _ORDINALS:
        if type(item) is kind:
            _writable(item)
            # a fold says nothing without the name of a zone, and TOML has no place for it
            return item.replace(fold=0) if isinstance(item, dt.time) else item
    if item is None:
        return None
    raise InvalidError(
        f"An ordinal is a bool, int, float, str, datetime, date or time, not {type(item).__name__}: {shown(item)}"
    )


def _writable(item: object) -> None:
    if isinstance(item, dt.time) and item.tzinfo is not None:
        raise InvalidError(f"A time with a zone can not be an ordinal; use a datetime: {item!r}")
    try:
        _toml.value(item).encode()
    except (UnicodeEncodeError, ValueError) as error:
        raise InvalidError(f"This ordinal can not be written: {error}") from error


class _Mode:
    """How equality is defined for both modes: field by field, all NaNs being equal."""

    def _fields(self) -> tuple[object, ...]:
        # a NaN equals nothing, itself included; here a failed score is a score like others
        return tuple(_NAN if item != item else item for item in vars(self).values())  # noqa: PLR0124

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())


@dataclasses.dataclass(frozen=True, eq=False)
class Training(_Mode):
    """When and up to where a generation was trained.

    Attributes:
        timestamp: The moment of the training; an aware one keeps its offset from UTC to the minute.
        ordinal: The last data that was seen, of any scalar type that TOML has; its type is kept.

    Raises:
        InvalidError: Neither can be turned into that.
    """

    timestamp: dt.datetime | None = None
    ordinal: Ordinal | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "timestamp", _moment(self.timestamp))
        object.__setattr__(self, "ordinal", _ordinal(self.ordinal))

    @classmethod
    def now(cls, ordinal: Ordinal | None = None) -> Self:
        """A training that ends at this moment, in UTC."""
        return cls(dt.datetime.now(dt.UTC), ordinal)


@dataclasses.dataclass(frozen=True, eq=False)
class Tuning(_Mode):
    """When a generation was tuned and how well it did.

    Attributes:
        timestamp: The moment of the tuning; an aware one keeps its offset from UTC to the minute.
        score: The score as a float; what a higher one means is the project's affair.

    Raises:
        InvalidError: Neither can be turned into that.
    """

    timestamp: dt.datetime | None = None
    score: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "timestamp", _moment(self.timestamp))
        object.__setattr__(self, "score", _number(self.score))

    @classmethod
    def now(cls, score: float | None = None) -> Self:
        """A tuning that ends at this moment, in UTC."""
        return cls(dt.datetime.now(dt.UTC), score)


@dataclasses.dataclass(frozen=True, init=False)
class Tag:
    """What is committed as a generation: a frozen value that equals its stored copy.

    Attributes:
        training: Of which training it is.
        tuning: Of which tuning it is.
        states: The ids of its states, in the order of the pipeline, duplicates allowed.
    """

    training: Training
    tuning: Tuning
    states: tuple[UUID, ...]

    def __init__(
        self,
        training: Training = Training(),  # a frozen value
        tuning: Tuning = Tuning(),  # same
        states: Iterable[UUID] = (),
    ) -> None:
        """Check the attributes.

        Raises:
            InvalidError: One is of another type.
        """
        if not isinstance(training, Training):
            raise InvalidError(f"Tag.training is a Training, not {type(training).__name__}")
        if not isinstance(tuning, Tuning):
            raise InvalidError(f"Tag.tuning is a Tuning, not {type(tuning).__name__}")
        if not isinstance(states, Iterable):
            raise InvalidError(f"Tag.states are UUIDs, not {type(states).__name__}")
        states = tuple(states)
        for sid in states:
            if not isinstance(sid, UUID):
                raise InvalidError(f"A state id is a UUID, not {type(sid).__name__}: {shown(sid)}")
        vars(self).update(training=training, tuning=tuning, states=states)

    def dumps(self) -> str:
        """Write the tag as TOML, laid out as ForML 0.93 does."""
        return (
            _toml.lines([("states", [str(sid) for sid in self.states])])
            + _toml.table("training", vars(self.training))
            + _toml.table("tuning", vars(self.tuning))
        )

    @classmethod
    def loads(cls, text: str) -> Self:
        """Read what `dumps` or ForML wrote; tables that we do not know are ignored.

        Raises:
            InvalidError: It is not the TOML of a tag.
        """
        import tomllib

        try:
            data = tomllib.loads(text)
            training, tuning = data.get("training", {}), data.get("tuning", {})
            return cls(
                Training(training.get("timestamp"), training.get("ordinal")),
                Tuning(tuning.get("timestamp"), tuning.get("score")),
                [UUID(sid) for sid in data["states"]],
            )
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise InvalidError(f"Not the TOML of a tag: {error!r:.200}") from error

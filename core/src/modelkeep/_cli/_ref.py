"""References: how a project, a release or a generation is named on the command line."""

from __future__ import annotations

import dataclasses
from typing import Any, Final, Self

import click

from modelkeep._directory import Directory, Generation, Project, Release
from modelkeep._errors import InvalidError

#: The word for the highest release or generation; it is neither a version nor a number.
LATEST: Final = "latest"
_LEVELS: Final = ("project", "project/release", "project/release/generation")


@dataclasses.dataclass(frozen=True)
class Ref:
    """A reference, whose parts are known to be valid and not known to exist.

    Attributes:
        parts: The project, and then maybe the release and the generation; None stands for the latest.
    """

    parts: tuple[Any, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `project[/release[/generation]]`.

        Raises:
            InvalidError: A part can't be such a name, version or number, or there are too many.
        """
        parts = text.split("/")
        if len(parts) > len(_LEVELS):
            raise InvalidError(f"Not a reference: {text!r:.200}. Write {_LEVELS[-1]}")
        keys = [Project.Key(parts[0])]
        for kind, part in zip((Release.Key, Generation.Key), parts[1:], strict=False):
            keys.append(None if part == LATEST else kind(part))  # type: ignore[arg-type]  # each takes a str
        return cls(tuple(keys))

    @property
    def depth(self) -> int:
        """How many parts there are, 1 to 3."""
        return len(self.parts)

    def _part(self, index: int) -> Any:
        return self.parts[index] if index < len(self.parts) else None

    def project(self, directory: Directory) -> Project:
        """The project."""
        return directory.get(self.parts[0])

    def release(self, directory: Directory) -> Release:
        """The release, by default the latest.

        Raises:
            MissingError: The latest is asked for, and there is none.
        """
        return self.project(directory).get(self._part(1))

    def generation(self, directory: Directory) -> Generation:
        """The generation, by default the latest of the release.

        Raises:
            MissingError: The latest is asked for, and there is none.
        """
        return self.release(directory).get(self._part(2))


class RefType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """A parameter that is a reference of certain depths."""

    name = "ref"

    def __init__(self, least: int = 1, most: int = 3) -> None:
        """Take references of `least` to `most` parts."""
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Ref:
        ref = value if isinstance(value, Ref) else Ref.parse(value)
        if not self._least <= ref.depth <= self._most:
            wanted = " or ".join(_LEVELS[self._least - 1 : self._most])
            self.fail(f"{value!r:.200} is a {_LEVELS[ref.depth - 1]}, needed is {wanted}", param, ctx)
        return ref

"""References: how a project, a release or a generation is named on the command line."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Self

import click

from modelkeep._cli._session import Session
from modelkeep._config import suggest
from modelkeep._directory import Alias, Directory, Generation, Project, Release
from modelkeep._errors import Error, InvalidError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: The word for the highest release or generation; it is neither a version nor a number.
LATEST: Final = "latest"
#: How many releases are named where none is close.
_SOME: Final = 5
_LEVELS: Final = ("project", "project/release", "project/release/generation")


@dataclasses.dataclass(frozen=True)
class Ref:
    """A reference, whose parts are known to be valid and not known to exist.

    Attributes:
        parts: The project, and then maybe the release and the generation; None stands for the latest, or for what the
            alias names.
        alias: The alias that stands for release and generation.
    """

    parts: tuple[Any, ...]
    alias: Alias.Key | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `project[/release[/generation]]` or `project@alias`.

        Raises:
            InvalidError: A part can't be such a name, version or number, or there are too many.
        """
        name, at, alias = text.partition("@")
        if at:
            return cls((Project.Key(name), None, None), Alias.Key(alias))
        parts = text.split("/")
        if len(parts) > len(_LEVELS):
            raise InvalidError(f"Not a reference: {text!r:.200}. Write {_LEVELS[-1]}, or project@alias")
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
            MissingError: The latest is asked for, and there is none, or the alias names nothing.
        """
        project = self.project(directory)
        return project.get(project.alias(self.alias).get().release if self.alias else self._part(1))

    def generation(self, directory: Directory) -> Generation:
        """The generation, by default the latest of the release.

        Raises:
            MissingError: The latest is asked for, and there is none, or the alias names nothing.
        """
        if self.alias:
            return self.project(directory).alias(self.alias).get()
        return self.release(directory).get(self._part(2))

    def level(self, directory: Directory) -> Project | Release | Generation:
        """The project, release or generation, whichever it names; the version is spelled as the registry has it.

        Raises:
            MissingError: There is no such project, or the latest is asked for, and there is none, or the alias names
                nothing.
        """
        project = self.project(directory)
        if self.depth == 1:
            return project
        # once, as an alias may be moved in between
        named = self.generation(directory) if self.alias else None
        asked = named.release if named else self.release(directory).key
        release = project.get(next((key for key in project.list() if key == asked), asked))
        return release if len(self.parts) < len(_LEVELS) else release.get(named.key if named else self._part(2))

    def near(self, directory: Directory) -> str:
        """Tell what is there instead of a part that is not; nothing if there is all of it."""
        project = self.project(directory)
        if project.key not in (projects := directory.list()):
            return suggest(project.key, projects)
        if self.alias and self.alias not in (aliases := project.aliases()):
            return suggest(self.alias, aliases) or (f"; {project.key} has @{', @'.join(aliases)}" if aliases else "")
        release = self.release(directory)
        if release.key not in (releases := project.list()):
            close = suggest(str(release.key), map(str, releases))
            return close or f"; {project.key} has {', '.join(map(str, releases[-_SOME:]))}"
        if self.alias:
            return ""
        latest = release.get().key
        return f"; the latest is {latest}" if self._part(2) not in (None, latest) else ""


def hint(session: Session) -> str:
    """Tell what might be meant by the references of a command, one of which is to something that is not there."""
    for ref in session.refs:
        with contextlib.suppress(Error):
            if near := ref.near(session.directory()):
                return near
    return ""


class RefType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """A parameter that is a reference of certain depths."""

    name = "ref"

    def __init__(self, least: int = 1, most: int = 3) -> None:
        """Take references of `least` to `most` parts."""
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Ref:
        ref = value if isinstance(value, Ref) else Ref.parse(value)
        if ref.alias and 1 < self._most < ref.depth:
            # of a generation that has a name, its release
            ref = dataclasses.replace(ref, parts=ref.parts[: self._most])
        if not self._least <= ref.depth <= self._most:
            wanted = " or ".join(_LEVELS[self._least - 1 : self._most])
            self.fail(f"{value!r:.200} is a {_LEVELS[ref.depth - 1]}, needed is {wanted}", param, ctx)
        if ctx is not None:
            ctx.ensure_object(Session).refs.append(ref)
        return ref

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002  # of click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        session = ctx.ensure_object(Session)
        above, slash, last = incomplete.rpartition("@" if "@" in incomplete else "/")
        names: Iterable[object] = ()
        # a shell has no use for errors here
        with contextlib.suppress(Error):
            directory = session.directory(ctx.params.get("source"))
            if slash == "@":
                names = directory.get(above).aliases()
                return [CompletionItem(f"{above}@{name}") for name in names if name.startswith(last)]
            level = Ref.parse(above).level(directory) if above else directory
            if not isinstance(level, Generation) and above.count("/") + bool(above) < self._most:
                names = level.list() if isinstance(level, Directory) else [*level.list(), LATEST]
        return [CompletionItem(above + slash + text) for text in map(str, names) if text.startswith(last)]

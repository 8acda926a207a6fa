"""What a notebook shows of a level: a small table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from typing import Final, TypeAlias, TypeVar

from modelkeep._directory import Directory, Generation, Project, Release
from modelkeep._errors import Error
from modelkeep._tag import Tag

#: The most rows; more would cost more requests than a glance is worth.
ROWS: Final = 20
_Row: TypeAlias = tuple[object, ...]
_Level = TypeVar("_Level", Project, Release, Generation)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a table, every text in it escaped; None is an empty cell."""
    return "\n".join(["<table>", _line("th", heads), *(_line("td", row) for row in rows), "</table>"])


def _line(kind: str, cells: Iterable[object]) -> str:
    texts = ("" if each is None else escape(str(each)) for each in cells)
    return "<tr>" + "".join(f"<{kind}>{text}</{kind}>" for text in texts) + "</tr>"


def html_of(level: Directory | Project | Release | Generation) -> str:
    """Show a level, whatever happens: an error is shown as its text."""
    try:
        return "\n".join(_shown(level))
    except Exception as error:  # a notebook would fill the screen with a traceback
        return f"<pre>{escape(_told(error))}</pre>"


def _shown(level: Directory | Project | Release | Generation) -> Iterator[str]:
    match level:
        case Directory():
            yield f"<p>{escape(repr(level.registry))}</p>"
            keys = level.list()
            yield table(("project", "releases", "latest"), [_row(key, level.get(key), _project) for key in keys[:ROWS]])
            yield from _more(len(keys), "more")
        case Project():
            yield f"<p>project {escape(level.key)} in {escape(repr(level.registry))}</p>"
            releases = level.list()
            rows = [_row(key, level.get(key), _release) for key in releases[-ROWS:]]
            yield table(("release", "latest generation"), rows)
            yield from _more(len(releases), "earlier")
        case Release():
            yield f"<p>release {escape(f'{level.project}/{level.key}')} in {escape(repr(level.registry))}</p>"
            numbers = level.list()
            rows = [_row(key, level.get(key), _generation) for key in numbers[-ROWS:]]
            yield table(("generation", "trained", "ordinal", "tuned", "score", "states"), rows)
            yield from _more(len(numbers), "earlier")
        case Generation():
            place = f"{level.project}/{level.release}/{level.key}"
            yield f"<p>generation {escape(place)} in {escape(repr(level.registry))}</p>"
            tag = level.tag
            yield table(("trained", "ordinal", "tuned", "score"), [_moments(tag)])
            yield table(("state", "id"), enumerate(tag.states[:ROWS]))
            yield from _more(len(tag.states), "more")


def _row(key: object, level: _Level, describe: Callable[[_Level], _Row]) -> _Row:
    """Describe an item, whose damage must not hide its siblings."""
    try:
        return key, *describe(level)
    except Error as error:
        return key, _told(error)


def _project(project: Project) -> _Row:
    releases = project.list()
    return len(releases), releases[-1] if releases else None


def _release(release: Release) -> _Row:
    return (release.registry.latest(release.project, release.key),)


def _generation(generation: Generation) -> _Row:
    tag = generation.tag
    return *_moments(tag), len(tag.states)


def _moments(tag: Tag) -> _Row:
    return tag.training.timestamp, tag.training.ordinal, tag.tuning.timestamp, tag.tuning.score


def _more(count: int, word: str) -> Iterator[str]:
    if count > ROWS:
        yield f"<p>and {count - ROWS} {word}</p>"


def _told(error: Exception) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # one whose text fails in its turn
        return type(error).__name__

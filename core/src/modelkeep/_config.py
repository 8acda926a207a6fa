"""Configuration: which backend a name stands for.

Sources, later ones win:

1. built in: `local`, under the user's data folder
2. the user's file, `$XDG_CONFIG_HOME/modelkeep/config.toml` (by default below `~/.config`)
3. `modelkeep.toml`, or `[tool.modelkeep]` of `pyproject.toml`, in the nearest folder from the working folder upwards
4. the file that `$MODELKEEP_CONFIG` names
5. `$MODELKEEP_REGISTRY` and `$MODELKEEP_INVENTORY`, the names to use by default
6. what the code passes

A table that names a `provider` replaces the one of an earlier source; one that does not is laid over it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from modelkeep._errors import InvalidError, MissingError

#: What can be configured.
KINDS: Final = ("registry", "inventory")
#: Options that are paths: relative ones are taken from the folder of the file that they stand in.
_PATHS: Final = ("path", "staging")


@dataclasses.dataclass(frozen=True)
class Setting:
    """A value and the source that it is from."""

    value: Any = dataclasses.field(repr=False)  # it may be a secret
    origin: str = "built in"


@dataclasses.dataclass(frozen=True)
class Config:
    """All settings in force, each with its origin.

    Attributes:
        default: Kind -> the name to use when none is asked for.
        entries: Kind -> name -> option -> setting; the option `provider` is always there.
    """

    default: Mapping[str, Setting]
    entries: Mapping[str, Mapping[str, Mapping[str, Setting]]]

    def entry(self, kind: str, name: str | None) -> Mapping[str, Setting]:
        """Find the settings of a name, by default of the default one.

        Raises:
            MissingError: There is no such name.
        """
        if name is None:
            name = str(self.default[kind].value)
        if not isinstance(name, str):
            raise InvalidError(f"A {kind} is asked for by its name, a str, not by {type(name).__name__}")
        try:
            return self.entries[kind][name]
        except KeyError:
            known = sorted(self.entries[kind])
            raise MissingError(
                f"No {kind} is named {name!r}{suggest(name, known)}. Known are: {', '.join(known)}. "
                f"Add [{kind}.{name}] with a provider to modelkeep.toml to define it"
            ) from None


def suggest(name: str, known: Iterable[str]) -> str:
    """Write ` (did you mean ...?)` if something known is close, else nothing."""
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def load() -> Config:
    """Read all sources.

    Raises:
        InvalidError: A file can't be read, is not TOML, or says what it must not.
    """
    default = {kind: Setting("local", "built in") for kind in KINDS}
    entries = {
        kind: {"local": {"provider": Setting("local", "built in"), "path": Setting(str(_data() / kind), "built in")}}
        for kind in KINDS
    }
    for path, tables in _files():
        for kind in KINDS:
            _lay(path, kind, tables.get(kind, {}), default, entries[kind])
    for kind in KINDS:
        variable = f"MODELKEEP_{kind.upper()}"
        if name := os.environ.get(variable):
            default[kind] = Setting(name, f"${variable}")
    return Config(default, entries)


def sources() -> list[Path]:
    """Name the files that are read, later ones win.

    Raises:
        InvalidError: A file can't be read, or is not TOML.
    """
    return [path for path, _ in _files()]


def _lay(
    path: Path, kind: str, tables: object, default: dict[str, Setting], entries: dict[str, dict[str, Setting]]
) -> None:
    """Lay the tables of a file over what earlier sources said."""
    if not isinstance(tables, Mapping):
        raise InvalidError(f"{path}: {kind!r} is a table of names, not a {type(tables).__name__}")
    for name, options in tables.items():
        if name == "default":
            if not isinstance(options, str):
                raise InvalidError(f"{path}: the default of {kind!r} is a name, not a {type(options).__name__}")
            default[kind] = Setting(options, str(path))
            continue
        if not isinstance(options, Mapping):
            raise InvalidError(
                f"{path}: [{kind}] has an unknown key {name!r}{suggest(name, ['default'])}. "
                f"It takes 'default' and tables [{kind}.NAME]"
            )
        below = {} if "provider" in options else entries.get(name, {})
        entries[name] = {
            **below,
            **{key: Setting(_resolved(path, key, value), str(path)) for key, value in options.items()},
        }
        if not isinstance(entries[name].get("provider", Setting(None, "")).value, str):
            raise InvalidError(f"{path}: [{kind}.{name}] needs a provider, the name of a backend, as a string")


def _resolved(path: Path, key: str, value: Any) -> Any:
    if key not in _PATHS or not isinstance(value, str):
        return value
    try:
        return str(path.parent / Path(value).expanduser())
    except RuntimeError as error:
        raise InvalidError(f"{path}: the {key} {value!r} can not be resolved: {error}") from error


def _files() -> Iterable[tuple[Path, Mapping[str, Any]]]:
    user = _home("XDG_CONFIG_HOME", "~/.config") / "config.toml"
    if user.is_file():
        yield user, _checked(user, _parse(user))
    yield from _project()
    if named := os.environ.get("MODELKEEP_CONFIG"):
        path = Path(named)
        with contextlib.suppress(RuntimeError):
            path = path.expanduser().absolute()
        if not path.is_file():
            raise InvalidError(f"$MODELKEEP_CONFIG names {named!r}, which is no file. Correct or unset it")
        yield path, _checked(path, _parse(path))


def _project() -> Iterable[tuple[Path, Mapping[str, Any]]]:
    try:
        here = Path.cwd()
    except FileNotFoundError:  # the working folder was removed
        return
    for folder in (here, *here.parents):
        own, shared = folder / "modelkeep.toml", folder / "pyproject.toml"
        if own.is_file():
            yield own, _checked(own, _parse(own))
            return
        if shared.is_file():
            tools = _parse(shared).get("tool")
            tables = tools.get("modelkeep") if isinstance(tools, Mapping) else None
            if tables is not None:
                yield shared, _checked(shared, tables)
                return


def _checked(path: Path, tables: object) -> Mapping[str, Any]:
    if not isinstance(tables, Mapping):
        raise InvalidError(f"{path}: the configuration of modelkeep is a table, not a {type(tables).__name__}")
    for key in tables:
        if key not in KINDS:
            raise InvalidError(f"{path}: unknown table [{key}]{suggest(key, KINDS)}. Known are: {', '.join(KINDS)}")
    return tables


def _parse(path: Path) -> Mapping[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidError(f"{path} can not be read: {error}") from error
    except ValueError as error:
        raise InvalidError(f"{path} is not TOML: {error}") from error


def _data() -> Path:
    return _home("XDG_DATA_HOME", "~/.local/share")


def _home(variable: str, default: str) -> Path:
    """Find a folder of ours; the variables are those of the XDG Base Directory Specification."""
    base = Path(os.environ.get(variable) or default)
    # without a home, in a container say, nothing is there, and only using it is an error
    with contextlib.suppress(RuntimeError):
        base = base.expanduser()
    return base / "modelkeep"

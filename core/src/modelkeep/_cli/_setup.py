"""What is installed and configured."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from modelkeep import _config, _provider
from modelkeep._cli._output import Table, emit
from modelkeep._cli._session import Session, json_option
from modelkeep._errors import Error, UnsupportedError

_MASK: Final = "***"
#: The password in a URL.
_PASSWORD: Final = re.compile(r"(?<=://)([^/@\s]*?):[^/\s]*@")


@click.command()
@click.option("--check", is_flag=True, help="Import each installed one, and tell which are broken.")
@json_option
@click.pass_obj
def providers(session: Session, *, check: bool) -> None:
    """List the installed providers and the extras.

    \b
    The columns:
      provider, kind (registry or inventory; empty for an extra), status (installed, available or broken),
      the object that it is loaded from, or how to install it, or what is broken.

    \b
    Example:
      modelkeep providers --check
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped
    found = found_providers(check=check)
    emit(
        session,
        {"providers": found},
        Table(("provider", "kind", "status", "detail"), [tuple(each.values()) for each in found]),
    )
    if broken := [f"{each['kind']} provider {each['provider']!r}" for each in found if each["status"] == "broken"]:
        raise UnsupportedError(f"Broken: {', '.join(broken)}. Repair or uninstall what they come from")


@click.command()
@click.option("--origin", is_flag=True, help="Tell where each value is from.")
@json_option
@click.pass_obj
def config(session: Session, *, origin: bool) -> None:
    """Show the configuration, secrets as ***.

    Each line has a key and its value, and with --origin the file or variable that it is from.

    \b
    Example:
      modelkeep config --origin
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped
    loaded = _config.load()
    document: dict[str, object] = {}
    for kind in _config.KINDS:
        default = loaded.default[kind]
        entries: dict[str, object] = {}
        for name, options in sorted(loaded.entries[kind].items()):
            entries[name] = {key: _document(key, setting, origin=origin) for key, setting in options.items()}
        document[kind] = {"default": _document("default", default, origin=origin), "entries": entries}
    columns = ("key", "value", "origin") if origin else ("key", "value")
    emit(session, document, Table(columns, [row[: len(columns)] for row in settings(loaded)]))


def found_providers(*, check: bool) -> list[dict[str, Any]]:
    """Find the installed providers and the extras that are not; see the columns of `providers`.

    Args:
        check: Whether to import each of them.
    """
    found: list[dict[str, Any]] = []
    for kind in _config.KINDS:
        for name, source in _provider.installed(kind).items():
            error = _broken(kind, source) if check else None
            status = "broken" if error else "installed"
            found.append({"provider": name, "kind": kind, "status": status, "detail": error or source})
    known = {each["provider"] for each in found}
    for name in _provider.extras():
        if name not in known:
            hint = f"pip install 'modelkeep[{name}]'"
            found.append({"provider": name, "kind": None, "status": "available", "detail": hint})
    return sorted(found, key=lambda each: str(each["provider"]))


def settings(loaded: _config.Config) -> Iterator[tuple[str, object, str]]:
    """List the settings in force: key, value with secrets hidden, and origin."""
    for kind in _config.KINDS:
        yield f"{kind}.default", loaded.default[kind].value, loaded.default[kind].origin
        for name, options in sorted(loaded.entries[kind].items()):
            for key, setting in options.items():
                yield f"{kind}.{name}.{key}", _masked(key, setting.value), setting.origin


def _broken(kind: str, source: str) -> str | None:
    try:
        _provider._load(kind, source)  # noqa: SLF001  # the core's own; it imports and does not open
    except Error as error:
        return str(error)
    return None


def _document(key: str, setting: _config.Setting, *, origin: bool) -> object:
    value = _masked(key, setting.value)
    return {"value": value, "origin": setting.origin} if origin else value


def _masked(key: str, value: Any) -> Any:
    """Hide what is secret, at any depth."""
    if _provider.is_secret(key):
        return _MASK
    if isinstance(value, Mapping):
        return {name: _masked(name, item) for name, item in value.items()}
    if isinstance(value, list):
        return [_masked("", item) for item in value]
    return _PASSWORD.sub(rf"\1:{_MASK}@", value) if isinstance(value, str) else value

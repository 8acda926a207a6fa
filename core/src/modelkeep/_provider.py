"""Loading a backend by the name that the configuration gives it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from modelkeep._errors import Error, InvalidError, StorageError, UnsupportedError
from modelkeep._inventory import Inventory
from modelkeep._registry import Registry

if TYPE_CHECKING:
    from modelkeep._config import Setting
    from modelkeep._guard import GuardedInventory, GuardedRegistry

_BASES: Final[Mapping[str, type]] = {"registry": Registry, "inventory": Inventory}
_SECRET: Final = re.compile(
    r"secret|passw|passphrase|pwd|token|credential|bearer|signature|connection_?string|(^|[?&])sig$|(^|[_-]|api|access|account)(key|auth|sas)($|[_-])",
    re.IGNORECASE,
)

#: Extras that let another program use our backends, and are none themselves.
_BRIDGES: Final = frozenset({"forml"})
#: The password of `scheme://user:password@host`, and the parameters of a query.
_PASSWORD: Final = re.compile(r"://[^/@\s:]*:([^/\s]+)@")
_PARAMETER: Final = re.compile(r"[?&]([^=&\s]+)=([^&\s]+)")


def registry(name: str | None = None, /, **options: Any) -> GuardedRegistry:
    """Open a registry.

    Args:
        name: Its name in the configuration; without one, the default.
        **options: Options that win over the configuration. With `provider` among them, and no name, the configuration
            is not looked at.

    Raises:
        MissingError: The configuration has no such name.
        InvalidError: The configuration or an option can't be right.
        UnsupportedError: The provider is not installed, or can't be loaded.
        StorageError: The provider fails to open the place.
    """
    from modelkeep._guard import GuardedRegistry

    return GuardedRegistry(*_open("registry", name, options))


def inventory(name: str | None = None, /, **options: Any) -> GuardedInventory:
    """Open an inventory; arguments and errors are those of `registry`."""
    from modelkeep._guard import GuardedInventory

    return GuardedInventory(*_open("inventory", name, options))


def installed(kind: str) -> dict[str, str]:
    """Name the installed providers of a kind, each with the object that it is loaded from. None of them is imported."""
    from importlib.metadata import entry_points

    return {entry.name: entry.value for entry in sorted(entry_points(group=f"modelkeep.{kind}"))}


def extras() -> dict[str, str]:
    """Name the extras of modelkeep that stand for a provider, each with the distribution that has it."""
    from importlib.metadata import requires

    found = (re.match(r"""(modelkeep-(\w+)).*extra == ['"](\w+)['"]""", line) for line in requires("modelkeep") or ())
    return {hit[2]: hit[1] for hit in found if hit and hit[2] == hit[3] and hit[2] not in _BRIDGES}


def _open(kind: str, name: str | None, options: dict[str, Any]) -> tuple[Any, frozenset[str]]:
    from modelkeep import _config

    settings: Mapping[str, Setting] = {}
    if name is not None or "provider" not in options:
        settings = _config.load().entry(kind, name)
    values = {key: setting.value for key, setting in settings.items()} | options
    what = f"{kind} {name!r}" if name is not None else f"the {kind}"
    provider = values.pop("provider")
    if not isinstance(provider, str):
        raise InvalidError(f"The provider of {what} is a name or 'module:Class', not {provider!r:.100}")
    secrets = frozenset(_secrets(values))
    factory = _load(kind, provider)
    _check(what, provider, factory, values)
    try:
        return factory(**values), secrets
    except Error as error:
        if (told := blotted(error, secrets)) is error:
            raise
        raise told from None
    except Exception as error:  # whatever an engine may raise
        message = redacted(f"The provider {provider!r} can not open {what}: {type(error).__name__}: {error}", secrets)
        raise StorageError(message) from (None if secrets else error)


def _secrets(value: Any) -> Iterator[str]:
    """Find what must not be shown: all that stands below a telling name, and passwords in URLs."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _texts(each) if is_secret(str(key)) else _secrets(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _secrets(each)
    elif isinstance(value, str):
        yield from (hit[1] for hit in _PASSWORD.finditer(value))
        yield from (hit[2] for hit in _PARAMETER.finditer(value) if is_secret(hit[1]))


def _texts(value: Any) -> Iterator[str]:
    """Every way in which a value could be shown."""
    if isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(each)
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "backslashreplace")
    elif value not in ("", None) and not isinstance(value, bool):
        yield str(value)


def blotted(error: Error, secrets: Iterable[str]) -> Error:
    """Give back an error of ours whose message, and whose causes, show no secret."""
    secrets = list(secrets)
    chain: list[BaseException] = [error]
    for each in chain:
        chain += [cause for cause in (each.__cause__, each.__context__) if cause is not None and cause not in chain]
    if all(redacted(str(each), secrets) == str(each) for each in chain):
        return error
    # a class of the backend's own may want other arguments
    kind: type[Error] = next(each for each in type(error).__mro__ if each.__module__ == Error.__module__)
    return kind(redacted(str(error), secrets))


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Blot out secrets, also as a repr shows them; longer ones first, since one may contain another."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        shown = repr(secret)[1:-1]
        # a repr of a text that holds a repr escapes it once more
        for form in (secret, shown, repr(shown)[1:-1], secret.replace("'", "\\'"), secret.replace('"', '\\"')):
            text = text.replace(form, "***")
    return text


def is_secret(key: str) -> bool:
    """Whether an option of that name holds what must not be shown."""
    return bool(_SECRET.search(key))


def _load(kind: str, provider: str) -> Any:
    """Import a provider, and no other one."""
    try:
        factory = _import(provider) if ":" in provider else _plugin(kind, provider)
    except Error:
        raise
    except Exception as error:  # whatever an import may raise
        raise UnsupportedError(f"The provider {provider!r} is broken, it can not be imported: {error!r}") from error
    if not (isinstance(factory, type) and issubclass(factory, _BASES[kind])):
        raise UnsupportedError(
            f"The provider {provider!r} is not a class derived from modelkeep.{_BASES[kind].__name__}"
        )
    return factory


def _import(provider: str) -> Any:
    from importlib.metadata import EntryPoint

    return EntryPoint("", provider, "").load()


def _plugin(kind: str, provider: str) -> Any:
    from stevedore.driver import DriverManager
    from stevedore.exception import MultipleMatches, NoMatches

    from modelkeep._config import suggest

    try:
        return DriverManager(
            f"modelkeep.{kind}",
            provider,
            on_load_failure_callback=_fail,
            on_missing_entrypoints_callback=lambda _: None,
        ).driver
    except MultipleMatches as error:
        raise UnsupportedError(
            f"More than one installed package offers the {kind} provider {provider!r}: {error}"
        ) from error
    except NoMatches:
        if provider in extras():
            raise UnsupportedError(
                f"The {kind} provider {provider!r} is not installed. Install it: pip install 'modelkeep[{provider}]'"
            ) from None
        known = sorted({*installed(kind), *extras()})
        raise UnsupportedError(
            f"There is no {kind} provider {provider!r}{suggest(provider, known)}. "
            f"Installed are: {', '.join(installed(kind)) or 'none'}; others come as extras: {', '.join(extras())}. "
            "Any class can be named as 'module:Class'"
        ) from None


def _fail(_manager: object, _entry: object, error: BaseException) -> None:
    raise error


def _check(what: str, provider: str, factory: Any, values: Mapping[str, Any]) -> None:
    """Refuse options that the provider does not take, before it is called."""
    import inspect

    from modelkeep._config import suggest

    signature = inspect.signature(factory)
    names = [p.name for p in signature.parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if not any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        for key in values:
            if key not in names:
                raise InvalidError(
                    f"Unknown option {key!r} of {what}{suggest(key, names)}. "
                    f"The provider {provider!r} takes: {', '.join(names) or 'none'}"
                )
    try:
        signature.bind(**values)
    except TypeError as error:
        raise InvalidError(f"The options of {what} do not fit the provider {provider!r}: {error}") from None

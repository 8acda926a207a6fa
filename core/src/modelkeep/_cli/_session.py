"""What the options that are common to the commands say."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

import modelkeep
from modelkeep import _config
from modelkeep._errors import Error

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from modelkeep._cli._ref import Ref

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclasses.dataclass
class Session:
    """The common options of one run.

    Attributes:
        registry_name: The registry to use, None for the default one.
        inventory_name: The inventory to use, None for the default one.
        json: Whether to write JSON.
        refs: The references that the command was given.
    """

    registry_name: str | None = None
    inventory_name: str | None = None
    json: bool = False
    refs: list[Ref] = dataclasses.field(default_factory=list)

    def directory(self, name: str | None = None) -> modelkeep.Directory:
        """Open the registry of a name, by default the one that was asked for."""
        return modelkeep.Directory(modelkeep.registry(name or self.registry_name))

    def inventory(self) -> modelkeep.Inventory:
        """Open the inventory."""
        return modelkeep.inventory(self.inventory_name)

    def counterpart(self) -> modelkeep.Inventory | None:
        """Open the inventory that was asked for, or else the one of the registry's name, if there is one."""
        if self.inventory_name is None and self.registry_name is not None:
            known = self.registry_name in _config.load().entries["inventory"]
            return modelkeep.inventory(self.registry_name) if known else None
        return self.inventory()


class NameType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """A parameter that is the name of a registry or inventory in the configuration."""

    name = "name"

    def __init__(self, kind: str) -> None:
        """Take names of a kind."""
        self._kind = kind

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002  # of click's signature
        param: click.Parameter,  # noqa: ARG002  # same
        incomplete: str,
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        names: list[str] = []
        # a shell has no use for errors here
        with contextlib.suppress(Error):
            names = sorted(_config.load().entries[self._kind])
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _remember(context: click.Context, option: click.Parameter, value: object) -> None:
    """Keep an option that was given; the one nearest to the end of the line wins."""
    session = context.ensure_object(Session)
    if value:
        setattr(session, str(option.name), value)


def json_option(function: _Function) -> _Function:
    """Add `--json`, which both the program and each command take."""
    return click.option(
        "--json", is_flag=True, expose_value=False, callback=_remember, help="Write one JSON document to stdout."
    )(function)


def registry_option(function: _Function) -> _Function:
    """Add `-R`, which both the program and each command on a registry take."""
    return click.option(
        "-R",
        "--registry",
        "registry_name",
        metavar="NAME",
        type=NameType("registry"),
        expose_value=False,
        callback=_remember,
        help="The registry to use, by its name in the configuration.",
    )(function)


def inventory_option(function: _Function) -> _Function:
    """Add `-I`, which both the program and each command on an inventory take."""
    return click.option(
        "-I",
        "--inventory",
        "inventory_name",
        metavar="NAME",
        type=NameType("inventory"),
        expose_value=False,
        callback=_remember,
        help="The inventory to use, by its name in the configuration.",
    )(function)


def threads_option(function: _Function) -> _Function:
    """Add `--threads`, which commands that read a lot take."""
    return click.option(
        "-j",
        "--threads",
        metavar="N",
        type=click.IntRange(1, 256),
        default=4,
        show_default=True,
        help="How many states are read at once.",
    )(function)

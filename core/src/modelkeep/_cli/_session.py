"""What the options that are common to the commands say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import click

import modelkeep

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclasses.dataclass
class Session:
    """The common options of one run.

    Attributes:
        registry_name: The registry to use, None for the default one.
        inventory_name: The inventory to use, None for the default one.
        json: Whether to write JSON.
    """

    registry_name: str | None = None
    inventory_name: str | None = None
    json: bool = False

    def directory(self) -> modelkeep.Directory:
        """Open the registry."""
        return modelkeep.Directory(modelkeep.registry(self.registry_name))

    def inventory(self) -> modelkeep.Inventory:
        """Open the inventory."""
        return modelkeep.inventory(self.inventory_name)


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
        expose_value=False,
        callback=_remember,
        help="The inventory to use, by its name in the configuration.",
    )(function)

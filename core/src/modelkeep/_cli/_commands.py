"""The program and its commands; the module of a command is imported when the command is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

import modelkeep
from modelkeep._cli._session import inventory_option, json_option, registry_option
from modelkeep._config import suggest


class Commands(click.Group):
    """A group of commands that are named by where they are found."""

    def __init__(self, *, found: Mapping[str, str], **options: Any) -> None:
        """Take the place of each command.

        Args:
            found: Name of a command -> `module:function`, the module in this package.
            **options: See `click.Group`.
        """
        super().__init__(**options)
        self._found = found

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # of click's signature
        return list(self._found)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # same
        if cmd_name not in self._found:
            return None
        module, _, function = self._found[cmd_name].partition(":")
        command = getattr(importlib.import_module(f"modelkeep._cli.{module}"), function)
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self._found and not args[0].startswith("-"):
            raise click.UsageError(f"There is no command {args[0]!r}{suggest(args[0], self._found)}", ctx)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(click.UsageError.exit_code)
        return super().parse_args(ctx, args)


@click.group(
    cls=Commands,
    found={
        "ls": "_browse:ls",
        "show": "_browse:show",
        "push": "_packages:push",
        "pull": "_packages:pull",
        "commit": "_states:commit",
        "get": "_states:get",
        "apps": "_apps:apps",
        "tree": "_tree:tree",
        "history": "_history:history",
        "alias": "_alias:alias",
        "cp": "_copy:cp",
        "rm": "_rm:rm",
        "gc": "_gc:gc",
        "verify": "_verify:verify",
        "doctor": "_doctor:doctor",
        "providers": "_setup:providers",
        "config": "_setup:config",
        "completion": "_completion:completion",
    },
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
    Exit codes:
      0  done                        5  it exists already, and does not change
      1  see below                   6  stored bytes are damaged
      2  wrong usage                 7  the storage, or a file here, failed
      3  it is not there             8  not supported, or not installed
      4  the input can't be right    130, 141  interrupted, nobody reads stdout
    \b
      1 is an unforeseen error, damage that verify or a fault that doctor found,
      or what rm asked about and was told to leave.
    """,
)
@json_option
@registry_option
@inventory_option
@click.version_option(modelkeep.__version__, prog_name="modelkeep", message="%(prog)s %(version)s")
def root() -> None:
    """Keep the artifacts of machine-learning projects.

    A REF is PROJECT[/RELEASE[/GENERATION]]; the words `latest` stand for the highest release and generation.
    PROJECT@ALIAS is the generation that an alias names.

    Data goes to stdout, everything else to stderr. Tables are tab-separated when stdout is no terminal.

    \b
    Example:
      modelkeep push digits-1.0.4ml
      modelkeep commit digits/latest scaler.bin model.bin --score 0.97
      modelkeep ls -l digits/latest
      modelkeep get digits/latest/latest -o states
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped

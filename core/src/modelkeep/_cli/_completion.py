"""Completion of commands, options, names and references by a shell."""

from __future__ import annotations

import sys

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Write the completion script for a shell.

    With it the shell completes commands, options, names of registries and inventories, and references.

    \b
    Where it goes:
      bash  eval "$(modelkeep completion bash)"              in ~/.bashrc
      zsh   eval "$(modelkeep completion zsh)"               in ~/.zshrc, after compinit
      fish  modelkeep completion fish > ~/.config/fish/completions/modelkeep.fish

    \b
    Example:
      modelkeep completion bash
    """  # noqa: D301  # \b is click's sign for a paragraph that is not to be wrapped
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    script = found(click.Group(), {}, "modelkeep", "_MODELKEEP_COMPLETE")
    # not `source()`: for bash that starts one to look at its version, and there may be none here
    sys.stdout.write(script.source_template % script.source_vars())

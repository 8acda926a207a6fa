"""Hooks: what other packages may add to the suite. They add; nothing of the suite can be removed or replaced.

A plugin is a module or object with functions named like those of `Specs`, each marked by `hookimpl`. It is installed
under the entry-point group `modelkeep.conformance.hooks`, or registered by `manager().register(plugin)` before pytest
collects.

    from modelkeep_conformance import Chapter, Clause, hookimpl

    @hookimpl
    def conformance_chapter():
        return Chapter("Audit", (Clause("ACME1", "Every commit is in the audit log."),), tests="acme.test_audit")
"""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pluggy

if TYPE_CHECKING:
    from modelkeep_conformance.clauses import Chapter
    from modelkeep_conformance.kit import Kit

GROUP: Final = "modelkeep.conformance.hooks"
hookimpl: Final = pluggy.HookimplMarker("modelkeep_conformance")
_hookspec: Final = pluggy.HookspecMarker("modelkeep_conformance")


class Specs:
    """What a plugin may have."""

    @_hookspec
    def conformance_chapter(self) -> Chapter:  # type: ignore[empty-body]  # a specification
        """Owe more: a chapter of further clauses, whose `tests` name the module or package that tests them."""

    @_hookspec(firstresult=True)
    def conformance_lever(self, kit: Kit, name: str, root: Path) -> AbstractContextManager[bool] | None:
        """Pull a lever on the store of a folder that its harness can't: `no_room`, `read_only`, or one of your own.

        Returns:
            What pulls it while a block lasts, and gives True if it could; None to leave it to others.
        """

    @_hookspec
    def conformance_report(self, report: dict[str, Any], folder: Path) -> Path | None:
        """Write a report into a folder, of what `report.json` holds; return its path."""


@functools.cache
def manager() -> pluggy.PluginManager:
    """The plugins; those that are installed are loaded at the first call."""
    made = pluggy.PluginManager("modelkeep_conformance")
    made.add_hookspecs(Specs)
    made.load_setuptools_entrypoints(GROUP)
    made.check_pending()
    return made

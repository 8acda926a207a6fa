"""Hooks: what other packages may do before and after a registry or inventory is used.

A plugin is a module or object with functions named like those of `Specs`, each marked by `hookimpl`. It is installed
under the entry-point group `modelkeep.hooks`, or registered by `register`. A `before_` hook may veto by raising: the
exception reaches the caller and nothing was done. An `after_` hook only observes: what it raises is logged, since the
commit stands.

    from modelkeep import hooks

    class Audit:
        @hooks.hookimpl
        def after_close(self, event):
            print(event.project, event.release, event.generation)

    hooks.register(Audit())
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Final
from uuid import UUID

import pluggy

from modelkeep._errors import InvalidError, UnsupportedError
from modelkeep._key import AliasKey, ApplicationKey, GenerationKey, ProjectKey, ReleaseKey
from modelkeep._move import Move
from modelkeep._tag import Tag

GROUP: Final = "modelkeep.hooks"
hookimpl: Final = pluggy.HookimplMarker("modelkeep")
_hookspec: Final = pluggy.HookspecMarker("modelkeep")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Event:
    """What is about to happen, or did; what an action has no use for is None.

    Attributes:
        action: push, pull, mount, write, read, close, move, remove, collect, put or get.
        place: The registry or inventory, as its repr shows it.
        project: The project.
        release: The release.
        generation: The generation.
        sid: The id of the state.
        size: The size of the state that is written, in bytes.
        tag: The tag that is closed.
        alias: The alias that is moved.
        move: What it is made to name.
        dry_run: Whether a collection only tells what it would delete.
        application: The application.
    """

    action: str
    place: str
    project: ProjectKey | None = None
    release: ReleaseKey | None = None
    generation: GenerationKey | None = None
    sid: UUID | None = None
    size: int | None = None
    tag: Tag | None = None
    alias: AliasKey | None = None
    move: Move | None = None
    dry_run: bool | None = None
    application: ApplicationKey | None = None


class Specs:
    """The hooks. Looking at a state (`view`) counts as reading it."""

    @_hookspec
    def before_push(self, event: Event) -> None: ...
    @_hookspec
    def after_push(self, event: Event) -> None: ...
    @_hookspec
    def before_pull(self, event: Event) -> None: ...
    @_hookspec
    def after_pull(self, event: Event) -> None: ...
    @_hookspec
    def before_mount(self, event: Event) -> None: ...
    @_hookspec
    def after_mount(self, event: Event) -> None: ...
    @_hookspec
    def before_write(self, event: Event) -> None: ...
    @_hookspec
    def after_write(self, event: Event) -> None: ...
    @_hookspec
    def before_read(self, event: Event) -> None: ...
    @_hookspec
    def after_read(self, event: Event) -> None: ...
    @_hookspec
    def before_close(self, event: Event) -> None: ...
    @_hookspec
    def after_close(self, event: Event) -> None: ...
    @_hookspec
    def before_move(self, event: Event) -> None: ...
    @_hookspec
    def after_move(self, event: Event) -> None: ...
    @_hookspec
    def before_remove(self, event: Event) -> None: ...
    @_hookspec
    def after_remove(self, event: Event) -> None: ...
    @_hookspec
    def before_collect(self, event: Event) -> None: ...
    @_hookspec
    def after_collect(self, event: Event) -> None: ...
    @_hookspec
    def before_put(self, event: Event) -> None: ...
    @_hookspec
    def after_put(self, event: Event) -> None: ...
    @_hookspec
    def before_get(self, event: Event) -> None: ...
    @_hookspec
    def after_get(self, event: Event) -> None: ...


class _Plugins:
    """The plugins of this process, and the names of the hooks that one of them implements."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager("modelkeep")
        self.manager.add_hookspecs(Specs)
        try:
            self.manager.load_setuptools_entrypoints(GROUP)
            self.check()
        except Exception as error:  # whatever a plugin's import may raise
            raise UnsupportedError(
                f"A plugin of the entry-point group {GROUP!r} can not be loaded: {error!r}. Repair or uninstall it"
            ) from error
        self.note()

    def check(self) -> None:
        """Refuse what is no hook, and wrappers, which could swallow a veto.

        Raises:
            pluggy.PluginValidationError: There is one.
        """
        self.manager.check_pending()
        for name in filter(lambda name: not name.startswith("_"), vars(Specs)):
            for each in getattr(self.manager.hook, name).get_hookimpls():
                if each.wrapper or each.hookwrapper:
                    raise pluggy.PluginValidationError(
                        each.plugin, f"{name} is a wrapper: hooks of modelkeep observe or veto, they do not wrap"
                    )

    def note(self) -> None:
        """Note which hooks are implemented, so that a call that no plugin cares for costs next to nothing."""
        names = (name for name in vars(Specs) if not name.startswith("_"))
        self.implemented = frozenset(name for name in names if getattr(self.manager.hook, name).get_hookimpls())


@functools.cache
def _plugins() -> _Plugins:
    return _Plugins()


def register(plugin: object) -> None:
    """Add a plugin to this process.

    Raises:
        InvalidError: It has a hook that does not exist or wraps others, or is registered already.
    """
    plugins = _plugins()
    try:
        plugins.manager.register(plugin)
        plugins.check()
    except (ValueError, pluggy.PluginValidationError) as error:
        if plugins.manager.is_registered(plugin) and isinstance(error, pluggy.PluginValidationError):
            plugins.manager.unregister(plugin)
        raise InvalidError(f"This plugin can not be registered: {error}") from error
    plugins.note()


def unregister(plugin: object) -> None:
    """Take a plugin of this process away.

    Raises:
        InvalidError: It is not registered.
    """
    plugins = _plugins()
    if not plugins.manager.is_registered(plugin):
        raise InvalidError("This plugin is not registered")
    plugins.manager.unregister(plugin)
    plugins.note()


def wanted(name: str) -> pluggy.HookCaller | None:
    """Find a hook by its name; None when there is no such hook or no plugin implements it."""
    plugins = _plugins()
    if name not in plugins.implemented:
        return None
    hook: pluggy.HookCaller = getattr(plugins.manager.hook, name)
    return hook

"""What the registry and the inventory share: the options that name a backend, and equality by place."""

from __future__ import annotations

from typing import Any


class Place:
    """Stands on a registry or inventory of modelkeep."""

    _inner: Any

    def __repr__(self) -> str:
        # as ForML logs its providers before they are made
        return repr(self._inner) if hasattr(self, "_inner") else f"modelkeep_forml.{type(self).__qualname__}"

    def __eq__(self, other: object) -> bool:
        # by place: ForML caches tags, states and mounted packages by the equality of registries
        return bool(self._inner == other._inner) if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._inner)


def resolved(name: str | None, backend: str | None, options: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Turn the options of ForML's configuration into the arguments of `modelkeep.registry` and `modelkeep.inventory`.

    ForML keeps the key `provider` for itself, so that a backend is named by `backend`; beside it, `name` is an option
    of the backend like others.
    """
    if backend is None:
        return name, options
    return None, {"provider": backend, **({} if name is None else {"name": name}), **options}

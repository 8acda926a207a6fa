"""The manifest of a package: data, never run."""

from __future__ import annotations

import dataclasses
import keyword
from collections.abc import Mapping
from typing import Final, Self

from modelkeep import _toml
from modelkeep._errors import InvalidError
from modelkeep._key import ProjectKey, ReleaseKey, shown

#: The native manifest in the root of a package.
NATIVE: Final = "__modelkeep__.toml"
#: ForML's manifest, a Python module of four literals.
FORML: Final = "__4ml__.py"
#: The largest manifest that is read, in bytes.
LIMIT: Final = 1 << 20


@dataclasses.dataclass(frozen=True, init=False)
class Manifest:
    """What a package says of itself.

    Attributes:
        name: The project that it is a release of.
        version: The version of the release.
        package: The dotted name of the Python package inside with the project's code.
        modules: Where to find a component: its name -> a dotted module name, absolute or relative to `package`.
    """

    name: ProjectKey
    version: ReleaseKey
    package: str
    modules: Mapping[str, str] = dataclasses.field(hash=False)

    def __init__(
        self, name: str, version: str | ReleaseKey, package: str, modules: Mapping[str, str] | None = None
    ) -> None:
        """Check the attributes.

        Raises:
            InvalidError: One can not be right.
        """
        modules = {} if modules is None else modules
        _dotted("package", package)
        if not isinstance(modules, Mapping):
            raise InvalidError(f"modules of a manifest is a mapping, not {type(modules).__name__}")
        for component, module in modules.items():
            if not isinstance(component, str) or not component or not component.isprintable():
                raise InvalidError(f"modules of a manifest maps names to modules, {component!r} is no name")
            _dotted(f"module {component!r}", module.removeprefix(".") if isinstance(module, str) else module)
        vars(self).update(name=ProjectKey(name), version=ReleaseKey(version), package=package, modules=dict(modules))

    def dumps(self) -> str:
        """Write the manifest as TOML."""
        head = [("name", self.name), ("version", str(self.version)), ("package", self.package)]
        return _toml.lines(head) + _toml.table("modules", self.modules)

    @classmethod
    def loads(cls, text: str) -> Self:
        """Read a native manifest.

        Raises:
            InvalidError: It is not the TOML of a manifest.
        """
        import tomllib

        try:
            data = tomllib.loads(text)
        except (ValueError, RecursionError, TypeError, AttributeError) as error:
            raise InvalidError(f"{NATIVE} is not TOML: {error}") from error
        return cls._of(data)

    @classmethod
    def loads_forml(cls, source: str) -> Self:
        """Read ForML's manifest by parsing its literals; nothing of it runs.

        Raises:
            InvalidError: It is not Python, or a value is an expression instead of a literal.
        """
        import ast

        data: dict[str, object] = {}
        try:
            for node in ast.parse(source).body:
                match node:
                    case ast.Assign(targets=[ast.Name(id=name)], value=value) if name.isupper():
                        data[name.lower()] = ast.literal_eval(value)
                    case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if name.isupper():
                        data[name.lower()] = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
            raise InvalidError(f"{FORML} must hold plain literals, it is read and never run: {error}") from error
        return cls._of(data)

    @classmethod
    def _of(cls, data: Mapping[str, object]) -> Self:
        lost = [key for key in ("name", "version", "package") if key not in data]
        if lost:
            raise InvalidError(f"The manifest lacks {', '.join(lost)}")
        # the constructor checks each of them
        return cls(data["name"], data["version"], data["package"], data.get("modules", {}))  # type: ignore[arg-type]


def _dotted(what: str, name: object) -> None:
    if (
        not isinstance(name, str)
        or not name.isprintable()
        or not all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split("."))
    ):
        raise InvalidError(f"The {what} of a manifest is a dotted Python name, not {shown(name)}")

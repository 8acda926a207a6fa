"""What a person waits for before anything happens: the import, and a command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Final

import modelkeep
from modelkeep_conformance.bench.measure import Contestant, Figure, Skipped, figure, race
from modelkeep_conformance.bench.place import Bench, commit, place, published


def _python(environment: Mapping[str, str], *arguments: str) -> Contestant:
    # compiled modules are kept, as they are for users
    kept = {key: value for key, value in environment.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, *arguments]
    return lambda: lambda: subprocess.run(command, env=kept, check=True, capture_output=True)


def bare_import(bench: Bench) -> Iterator[Figure]:
    """`import modelkeep` beside an interpreter that does nothing."""
    bare, ours = _python(os.environ, "-c", "pass"), _python(os.environ, "-c", "import modelkeep")
    times = race({"bare": bare, "import": ours}, 3 * bench.rounds)
    extra = [(mine - theirs) * 1e3 for mine, theirs in zip(times["import"], times["bare"], strict=True)]
    yield figure(
        "import modelkeep, over a bare interpreter", extra, "ms", 40, note=f"at its quickest {min(extra):.1f} ms"
    )


def listing(bench: Bench) -> Iterator[Figure]:
    """`modelkeep ls` in a new process, on a registry of a few generations."""
    if not (find_spec("click") and find_spec("rich")):
        raise Skipped("the command is not installed: pip install 'modelkeep[cli]'")
    try:
        options = place("local", bench.new())
        releases = published(options, bench.new())
    except modelkeep.UnsupportedError as error:
        raise Skipped(str(error)) from None
    for _ in range(3):
        release = next(releases)
        for number in range(3):
            commit(release, b"state %d" % number)
    home = bench.new()
    config = home / "config.toml"
    config.write_text(
        '[registry]\ndefault = "bench"\n[registry.bench]\n'
        + "".join(f"{key} = '{value}'\n" for key, value in options.items()),
        "utf-8",
    )
    environment = {**os.environ, "MODELKEEP_CONFIG": str(config), "HOME": str(home)}
    environment.pop("MODELKEEP_REGISTRY", None)
    for what, arguments, target in (
        ("modelkeep ls, in a new process", ["ls"], 200.0),
        ("modelkeep ls toy/latest, in a new process", ["ls", "toy/latest"], None),
    ):
        times = race({"ls": _python(environment, "-m", "modelkeep", *arguments)}, bench.rounds)["ls"]
        yield figure(what, [seconds * 1e3 for seconds in times], "ms", target)


FIGURES: Final = {"import": bare_import, "ls": listing}

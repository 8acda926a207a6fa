"""What a user might take instead, doing the same job in the same run, beside the backends that keep it on this machine.

The job is: commit a generation of some states with metadata, list the generations, load the first state of the latest
one. All keep all that they are given, each in a process of its own and timed by its own clock, after a first round that
does not count. A load is cold: by a new process, which loaded from another store before, so that what it imports when
it is first used is there, and which never saw this one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Final, TypeAlias

from modelkeep_conformance.bench.measure import Contestant, Figure, Took, race, ratio
from modelkeep_conformance.bench.peer import BENTOML, DISKCACHE, FORML, MLFLOW, Peer, Recipe, ours
from modelkeep_conformance.bench.place import Bench

_Part: TypeAlias = Callable[[Bench], Iterator[Figure]]

#: Ten states of a megabyte, as the targets say.
_COUNT: Final = 10
_SIZE: Final = 1_000_000
#: At how many generations small commits, lists and loads are timed.
_MANY: Final = 2000
#: The backends that are compared: they keep what they are given on this machine, and survive power loss.
_OURS: Final = ("local", "lmdb", "archive")
#: Those that the targets are for. An archive compresses what the others store as it is.
_AIMED: Final = frozenset({"local", "lmdb"})


@dataclasses.dataclass(frozen=True)
class Aims:
    """How many times faster than a peer a job should be; None if nothing is said.

    Attributes:
        large: Ten states of 1 MB.
        small: A small commit.
        load: Loading the latest small state.
    """

    large: float | None = None
    small: float | None = None
    load: float | None = None


def measure(bench: Bench, recipe: Recipe, aims: Aims) -> Iterator[Figure]:
    """Compare a peer with each backend."""
    installed = {entry.name for entry in entry_points(group="modelkeep.registry")}
    recipes = {each.title: each for each in (recipe, *(ours(name) for name in _OURS if name in installed))}
    many = _MANY // 10 if bench.quick else _MANY
    if bench.quick:
        # they are for all of them
        aims = dataclasses.replace(aims, small=None, load=None)
    folders = {name: bench.new() for name in recipes}
    for name, each in recipes.items():
        filling = dataclasses.replace(each, options={**each.options, **each.unsynced})
        with Peer.start(filling, bench.cache, folders[name]) as peer:
            # what a cold load warms itself up with
            peer.call("fill", "warm", 3)
            peer.call("fill", "many", many)
    with contextlib.ExitStack() as stack:
        peers = {
            name: stack.enter_context(Peer.start(each, bench.cache, folders[name])) for name, each in recipes.items()
        }
        yield from _compared(bench, recipe, aims.large, peers, "commit of 10 states of 1 MB", "large", _COUNT, _SIZE)
        what = f"commit of a small state at {many:,} generations"
        yield from _compared(bench, recipe, aims.small, peers, what, "many", 1, 100)

        times = race({name: functools.partial(_call, peer, "list", "many") for name, peer in peers.items()}, 5)
        yield from _ratios(recipe, None, times, f"list of {many:,} generations")

    def cold(name: str) -> Callable[[], Took]:
        def work() -> Took:
            with Peer.start(recipes[name], bench.cache, folders[name]) as peer:
                peer.call("load", "warm")
                return peer.call("load", "many")

        return work

    times = race({name: functools.partial(cold, name) for name in recipes}, 3 if bench.quick else 7)
    yield from _ratios(recipe, aims.load, times, f"cold load of the latest small state at {many:,} generations")


def _compared(
    bench: Bench, recipe: Recipe, aim: float | None, peers: dict[str, Peer], what: str, *arguments: object
) -> Iterator[Figure]:
    contestants: dict[str, Contestant] = {
        name: functools.partial(_call, peer, "commit", *arguments) for name, peer in peers.items()
    }
    yield from _ratios(recipe, aim, race(contestants, 2 * bench.rounds), what)


def _ratios(recipe: Recipe, aim: float | None, times: dict[str, list[float]], what: str) -> Iterator[Figure]:
    for name in (each for each in times if each != recipe.title):
        note = f"{name} syncs each commit; {recipe.title} {recipe.durability}" if "commit" in what else ""
        yield ratio(
            f"{name} against {recipe.title}: {what}, times faster",
            times,
            name,
            recipe.title,
            aim if name in _AIMED else None,
            share=True,
            note=note,
        )


def _call(peer: Peer, *arguments: object) -> Callable[[], Took]:
    name, *rest = map(str, arguments)
    return lambda: peer.call(name, *rest)


#: All that can be compared.
RECIPES: Final = (FORML, MLFLOW, DISKCACHE, BENTOML)
_AIMS: Final = {"ForML": Aims(2.5, 10, 100), "MLflow": Aims(4, 8)}
FIGURES: Final[dict[str, _Part]] = {
    each.title.lower(): functools.partial(measure, recipe=each, aims=_AIMS.get(each.title, Aims())) for each in RECIPES
}

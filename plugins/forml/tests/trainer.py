"""One of several processes that train at once; started by test_trainers.py, with its options as JSON."""
# ruff: noqa: T201  # this is how it answers

from __future__ import annotations

import json
import sys
import uuid

from forml import runtime, setup
from forml.io import asset

options = json.loads(sys.argv[1])
registry = asset.Registry[options["provider"]](**options["registry"])
# what `forml model train` does
platform = runtime.Platform(
    runner=setup.Runner.resolve(None),
    registry=registry,
    feeds=setup.Feed.resolve(None),
    sink=setup.Sink.Mode.resolve("null"),
)
directory = asset.Directory(registry)
# all that is slow comes before the start
directory.get("flowers").get("1.0").artifact.components  # noqa: B018
print("ready", flush=True)
sys.stdin.readline()
for _ in range(options["rounds"]):
    platform.launcher("flowers", "1.0", None).train_call()
acknowledged = {}
for _ in range(options["rounds"]):
    # what its runners do at the end of a training; in another release, since a training begins with the last states
    nodes = [uuid.uuid4(), uuid.uuid4()]
    instance = asset.Instance("flowers", "1.1", None, directory)
    state = instance.state(nodes, instance.tag.training.trigger())
    texts = [f"{node}" for node in nodes]
    state.commit([state.dump(text.encode()) for text in texts])
    # what was committed is what this process goes on with
    assert [state.load(node).decode() for node in nodes] == texts
    acknowledged[int(state._generation.key)] = texts
print(json.dumps(acknowledged), flush=True)

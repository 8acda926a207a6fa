"""The registry and the inventory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from modelkeep import Collected, InvalidError, keyvalue
from modelkeep_object import _engine
from modelkeep_object._engine import Engine


class Registry(keyvalue.Registry):
    """A registry in a bucket."""

    # releases are remembered for an hour, which saves a request of each write and commit
    removes = False

    def __init__(
        self,
        url: str,
        staging: str | os.PathLike[str] | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        client: Mapping[str, Any] | None = None,
        timeout: float = 30,
        retries: int = 8,
        concurrency: int = 8,
        cache: str | os.PathLike[str] | None = None,
        cache_limit: int = 10_000_000_000,
    ) -> None:
        """Open a place in a bucket. Nothing is requested before the first use, nothing written before the first write.

        Credentials are found by obstore: in `options`, the environment, or the metadata service of the machine.

        Args:
            url: `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
            staging: See `modelkeep.Registry`.
            options: obstore's configuration of that kind of store: endpoint, region and the like.
            client: obstore's configuration of its HTTP client: proxies, certificates and the like.
            timeout: How long one request may take, in seconds.
            retries: How often a request is made again that was throttled, timed out or lost its connection.
            concurrency: How many requests one large value is moved by.
            cache: A folder for copies of blobs, to be shared by all processes of the machine. None: no cache.
            cache_limit: About how many bytes the cache may hold.
        """
        engine = Engine(
            url,
            options=options,
            client=client,
            timeout=timeout,
            retries=retries,
            concurrency=concurrency,
            cache=cache,
            cache_limit=cache_limit,
        )
        super().__init__(engine, staging)

    def collect(self, older_than: timedelta, *, dry_run: bool = False) -> Collected:
        if older_than < _engine.LEAST:
            raise InvalidError(
                f"{self!r} can collect safely what is {_engine.LEAST.days} days old or older, not {older_than}"
            )
        return super().collect(older_than, dry_run=dry_run)


class Inventory(keyvalue.Inventory):
    """An inventory in a bucket."""

    def __init__(
        self,
        url: str,
        *,
        options: Mapping[str, Any] | None = None,
        client: Mapping[str, Any] | None = None,
        timeout: float = 30,
        retries: int = 8,
    ) -> None:
        """Open a place in a bucket; see `Registry`. It may be that of a registry."""
        super().__init__(Engine(url, options=options, client=client, timeout=timeout, retries=retries))

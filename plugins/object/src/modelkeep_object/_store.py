"""One place in a bucket: requests to it, and what their failures mean.

The bucket is reached through obstore. A store of obstore must not cross a fork, so each process makes its own at its
first request; see `_fork`.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from modelkeep import InvalidError, StorageError
from modelkeep_object import _fork

#: Values above this size are moved in parts of this size, in bytes.
PART: Final = 8 << 20
#: Values above this size are read into a temporary file instead of memory, in bytes.
_IN_MEMORY: Final = 128 << 20
#: The most parts that S3 takes.
_PARTS: Final = 10_000
#: How many keys a page of a listing has.
PAGE: Final = 1000

_CLASSES: Final = {"s3": "S3Store", "gs": "GCSStore", "az": "AzureStore"}
_URL: Final = re.compile(r"(s3|gs|az)://([A-Za-z0-9][A-Za-z0-9._-]*)(?:/+([A-Za-z0-9!_.*'()/+=,@ -]*))?")
_VARIABLES: Final = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}
_HTTP: Final = re.compile(r"https?://[A-Za-z0-9.\[\]:_-]+(/[A-Za-z0-9._~/-]*)?")
#: The codes of S3, Google and Azure for a bucket that is not there.
_NO_BUCKET: Final = re.compile(r"NoSuchBucket|ContainerNotFound|ContainerBeingDeleted")
#: The codes of S3's relatives for a bucket or a disk that is full.
_FULL: Final = re.compile(r"QuotaExceeded|StorageFull|InsufficientCapacity|status code: 507")
_CODE: Final = re.compile(r"<Code>([A-Za-z]{3,50})</Code>")
_STATUS: Final = re.compile(r"status code: (\d{3}[A-Za-z ]*)")


class NotModified(Exception):  # noqa: N818  # an answer
    """The object is the one whose ETag was given."""


class AlreadyThere(Exception):  # noqa: N818  # an answer
    """There is an object under that key. It may be our own."""


@dataclass(frozen=True)
class Value:
    """An object: its bytes, and what names this version of it."""

    content: memoryview
    etag: str
    modified: datetime


class Listed(NamedTuple):
    """An object in a listing: its key, its size in bytes, and when it was stored."""

    key: str
    size: int
    modified: datetime


class Store:
    """A place in a bucket.

    Attributes:
        place: Its URL, and the endpoint if one is configured. It is shown; it holds no secret.
        bucket: The same of its bucket: who shares it is served alike.
        timeout: How long one request may take, in seconds.
        patience: How long after the first attempt another one is made, in seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        options: Mapping[str, Any],
        client: Mapping[str, Any],
        timeout: float,
        retries: int,
        concurrency: int,
    ) -> None:
        self._scheme, self._bucket, self._prefix = _parse(url)
        self._options, self._client = dict(options), dict(client)
        self._retries, self._width = retries, concurrency
        self.timeout, self.patience = timeout, max(2 * timeout, 20.0)
        self._begin()
        endpoint = self._endpoint()
        self.place = self.bucket = f"{self._scheme}://{self._bucket}"
        if self._prefix:
            self.place += f"/{self._prefix}"
        if endpoint:
            self.place += f" at {endpoint}"
            self.bucket += f" at {endpoint}"
        self._handle()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._opened: tuple[Any, Any, ThreadPoolExecutor] | None = None
        _fork.watch(self)

    def forked(self) -> object:
        """Let go of what belongs to the parent, in a child."""
        left = self._opened
        # a new lock, too: another thread of the parent may have held it
        self._lock, self._opened = threading.Lock(), None
        return left

    def _endpoint(self) -> str | None:
        found = [value for name, value in self._options.items() if str(name).lower() in _ENDPOINTS]
        for endpoint in found:
            # obstore panics at what is no URL
            if not isinstance(endpoint, str) or not _HTTP.fullmatch(endpoint):
                raise InvalidError(
                    "The endpoint of an object store is a URL, http:// or https://, without user name and password"
                )
        return found[0] if found else None

    def _surrounding(self) -> str:
        """The endpoint that the environment names, "" if it names none."""
        for name in _ENDPOINTS:
            variable = name.upper()
            endpoint = os.environ.get(variable, "") if variable.startswith(_VARIABLES[self._scheme]) else ""
            if endpoint and not _HTTP.fullmatch(endpoint):
                raise InvalidError(f"The environment variable {variable} is no URL, http:// or https://")
            if endpoint:
                return endpoint
        return ""

    def _handle(self) -> tuple[Any, Any, ThreadPoolExecutor]:
        """Give the functions of obstore, the store, and threads for large values, all made in this process."""
        opened = self._opened
        if opened is None:
            with self._lock:
                opened = self._opened
                if opened is None:
                    functions, stores = _fork.load()
                    threads = ThreadPoolExecutor(self._width, thread_name_prefix="modelkeep-object")
                    opened = functions, self._open(getattr(stores, _CLASSES[self._scheme])), threads
                    self._opened = opened
        return opened

    def _open(self, kind: Any) -> Any:
        client = {"timeout": f"{round(self.timeout * 1000)}ms", **self._client}
        endpoint = self._endpoint() or self._surrounding()
        if endpoint.startswith("http:"):
            # who writes http means it
            client.setdefault("allow_http", True)
        try:
            return kind(
                self._bucket,
                prefix=self._prefix or None,
                config=self._options,
                client_options=client,
                retry_config={
                    "max_retries": self._retries,
                    "retry_timeout": timedelta(seconds=self.patience),
                    "backoff": {
                        "init_backoff": timedelta(seconds=0.1),
                        "max_backoff": timedelta(seconds=5),
                        "base": 2,
                    },
                },
            )
        except Exception as error:
            text = str(error).partition("\n")[0]
            for value in (*self._options.values(), *self._client.values()):
                text = text.replace(str(value), "***") if len(str(value)) > 3 else text  # noqa: PLR2004  # "eu", say
            raise InvalidError(f"The options of the object store {self.place!r} can not be right: {text}") from None

    def get(self, key: str) -> bytes | None:
        """Read a small object."""
        functions, store, _ = self._handle()
        try:
            return bytes(functions.get(store, key).bytes())
        except Exception as error:
            if self._missing(error):
                return None
            raise self.failure(error, f"reading {key}") from None

    def fetch(self, key: str, etag: str | None = None) -> Value | None:
        """Read an object of any size, a large one by concurrent requests for its parts.

        Raises:
            NotModified: It is the one with this ETag.
        """
        functions, store, threads = self._handle()
        unless = {} if etag is None else {"if_none_match": etag}
        try:
            try:
                first = functions.get(store, key, options={"range": (0, PART), **unless})
            except Exception as error:
                # an empty object has no range
                if "416" not in str(error):
                    raise
                first = functions.get(store, key, options=unless or None)
            meta = first.meta
            size = meta["size"]
            if size <= PART:
                content = memoryview(first.bytes())
            else:
                whole = _room(size)

                def part(start: int) -> None:
                    end = min(start + PART, size)
                    whole[start:end] = memoryview(functions.get_range(store, key, start=start, end=end))

                # the first is answered, though not read yet: its head has told the size
                others = threads.map(part, range(PART, size, PART))
                whole[:PART] = memoryview(first.bytes())
                # in the order they were asked for: the first failure is raised
                for _ in others:
                    pass
                content = whole.toreadonly()
        except Exception as error:
            if type(error).__name__ == "NotModifiedError":
                raise NotModified from None
            if self._missing(error):
                return None
            raise self.failure(error, f"reading {key}") from None
        return Value(content, meta["e_tag"] or "", meta["last_modified"])

    def modified(self, key: str) -> datetime | None:
        """Tell when an object was stored."""
        functions, store, _ = self._handle()
        try:
            found: datetime = functions.head(store, key)["last_modified"]
        except Exception as error:
            if self._missing(error):
                return None
            raise self.failure(error, f"looking at {key}") from None
        return found

    def put(self, key: str, value: bytes | memoryview) -> None:
        """Store an object over whatever is there; a large one by concurrent requests that hold a few parts."""
        functions, store, _ = self._handle()
        size = len(value)
        if size <= 2 * PART:
            how: dict[str, Any] = {"use_multipart": False}
        else:
            chunk = max(PART, -(-size // _PARTS))
            how = {"use_multipart": True, "chunk_size": chunk, "max_concurrency": self._width}
        # each request is repeated by obstore. All of them once more, since a lost answer to the last request of a
        # multipart upload can not be told from a failure
        for last in (size <= 2 * PART, True):
            try:
                functions.put(store, key, value, **how)
            except Exception as error:
                if last or type(error).__name__ in _FINAL:
                    raise self.failure(error, f"storing {key}") from None
            else:
                return

    def create(self, key: str, value: bytes) -> None:
        """Store a small object unless there is one, by one conditional request.

        Raises:
            AlreadyThere: There is one.
            Exception: Whatever obstore raises; the object may have been stored all the same.
        """
        functions, store, _ = self._handle()
        try:
            functions.put(store, key, value, mode="create", use_multipart=False)
        except Exception as error:
            if type(error).__name__ == "AlreadyExistsError":
                raise AlreadyThere from None
            raise

    def delete(self, key: str) -> None:
        """Remove an object; there may be none."""
        functions, store, _ = self._handle()
        try:
            functions.delete(store, key)
        except Exception as error:
            if not self._missing(error):
                raise self.failure(error, f"deleting {key}") from None

    def pages(self, prefix: str) -> Iterator[list[Listed]]:
        """List the objects below a folder, page by page, as they are asked for."""
        functions, store, _ = self._handle()
        try:
            for page in functions.list(store, prefix, chunk_size=PAGE):
                yield [Listed(each["path"], each["size"], each["last_modified"]) for each in page]
        except Exception as error:
            raise self.failure(error, f"listing {prefix}") from None

    def together(self, function: Any, arguments: Any) -> list[Any]:
        """Call a function for each argument, some at a time."""
        return list(self._handle()[2].map(function, arguments))

    def final(self, error: Exception) -> bool:
        """Tell whether an error would be the same again."""
        return type(error).__name__ in _FINAL

    def failure(self, error: Exception, doing: str) -> StorageError:
        """Say what went wrong, in words that hold nothing of the request: its headers and URL may hold secrets."""
        if isinstance(error, StorageError):
            return error
        text, kind = str(error), type(error).__name__
        code, status = _CODE.search(text), _STATUS.search(text)
        told = " ".join(hit[1].strip() for hit in (status, code) if hit) or kind
        if _NO_BUCKET.search(text):
            why = f"there is no bucket {self._bucket!r}; make it, or correct the url"
        elif _FULL.search(text):
            why = "it has no room left; make some, or raise its quota, and do it again"
        elif kind in _DENIED or (status and status[1][:3] in ("401", "403")):
            why = "access was denied; check the credentials and what they may do with this bucket and prefix"
        elif status and status[1][:3] in ("429", "503"):
            why = f"the store asked to slow down, {self._retries} times; try again later"
        elif "kind: Connect" in text:
            why = "no connection could be made; check the endpoint and the network"
        elif "kind: Timeout" in text or "timed out" in text or "TimedOut" in text:
            why = f"no answer came in time (timeout = {self.timeout:g} s)"
        elif "redential" in text or "169.254." in text:
            why = "no credentials were found, in the options, the environment or this machine's metadata service"
        elif status:
            why = "the store refused or failed"
        else:
            why = "the connection was lost, or its answer made no sense"
        return StorageError(f"The object store {self.place!r} failed {doing}: {why} ({told})")

    def _missing(self, error: Exception) -> bool:
        """Tell whether an error says that there is no such object, in a bucket that is there."""
        if not isinstance(error, FileNotFoundError):
            return False
        return not _NO_BUCKET.search(str(error))

    def __getstate__(self) -> dict[str, Any]:
        # what came from the environment is in the store, which stays here
        return {name: value for name, value in vars(self).items() if name not in ("_opened", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()


_ENDPOINTS: Final = frozenset(
    {
        "endpoint",
        "endpoint_url",
        "aws_endpoint",
        "aws_endpoint_url",
        "aws_endpoint_url_s3",
        "azure_endpoint",
        "azure_storage_endpoint",
        "base_url",
        "google_base_url",
    }
)
_DENIED: Final = frozenset({"PermissionDeniedError", "UnauthenticatedError"})
#: Errors that a repetition does not change.
_FINAL: Final = _DENIED | {"NotSupportedError", "InvalidPathError", "NotImplementedError"}


def _room(size: int) -> memoryview:
    """Make room for a value: memory, or a file that is mapped if it is so large that the system should page it out.

    Raises:
        StorageError: The disk of temporary files is full.
    """
    if size <= _IN_MEMORY:
        if not hasattr(mmap, "MADV_HUGEPAGE"):
            return memoryview(bytearray(size))
        # small pages, made one by one, take a quarter of the time of a read on loopback
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
        return memoryview(memory)
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):
                # a disk that turns out to be full when the map is written to would kill the process
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return memoryview(mmap.mmap(file.fileno(), size))
    except OSError as error:
        raise StorageError(
            f"A value of {size} bytes is read into a temporary file, and {tempfile.gettempdir()} has no room for it: "
            f"{error}. Make room, or set TMPDIR to another folder"
        ) from error


def _parse(url: object) -> tuple[str, str, str]:
    """Take a URL apart. What is wrong with it is said without it: it may hold a password."""
    if not isinstance(url, str):
        raise InvalidError(f"The url of an object store is a str, not {type(url).__name__}")
    found = _URL.fullmatch(url)
    if not found:
        scheme = re.match(r"[a-z0-9]{1,9}(?=:)", url)
        instead = {"file": "local", "memory": "memory"}.get(scheme[0] if scheme else "")
        if instead:
            raise InvalidError(f"An object store has no {instead} files; use the provider {instead!r} for that")
        raise InvalidError(
            "The url of an object store is s3://bucket/prefix, gs://bucket/prefix or az://container/prefix; "
            "what else is needed goes into its options, passwords into the environment"
        )
    prefix = "/".join(filter(None, (found[3] or "").split("/")))
    if {".", ".."} & set(prefix.split("/")):
        raise InvalidError("The prefix in the url of an object store has no parts . and ..")
    return found[1], found[2], prefix

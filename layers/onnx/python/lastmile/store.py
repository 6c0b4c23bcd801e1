"""Objects by path: S3 and what speaks its protocol, or memory. The one file that imports obstore.

Every write is conditional, and an object is seen whole or not at all.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast
from urllib.parse import unquote, urlsplit

import obstore
from obstore import exceptions
from obstore.store import MemoryStore, S3Store

from lastmile.aws import Endpoint, credential_provider
from lastmile.errors import LastmileError, NotFound, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Buffer, Callable

    from obstore import GetOptions, GetResult, PutMode
    from obstore.store import ClientConfig, RetryConfig

PIECE = 2 << 20  # objects of twice this size and more are read in pieces of it
PIECES_AT_ONCE = 24  # S3 sends about 80 MB/s over one connection
BEGINNING = 1_250_000  # bytes of an object of unknown size that are asked for first: most small models
BIG = 1 << 20  # objects from here on may take longer than QUICK
QUICK = timedelta(seconds=10)  # the longest that one request for a small object may take
CONNECT = timedelta(seconds=2)
SLOWEST_BYTES_PER_SECOND = 128 << 10  # what a big transfer must keep up
RETRIES: "RetryConfig" = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=6),
    "backoff": {"init_backoff": timedelta(milliseconds=50), "max_backoff": timedelta(seconds=1), "base": 2},
}
CONFLICTS = 4
BY_ETAG = "etag-"  # what begins the name of a version in a store that keeps none
_NAME = r"(?!\.)[^/\\\x00-\x1f\x7f\ud800-\udfff]+"
_PATH = re.compile(f"{_NAME}(/{_NAME})*")


class AlreadyExists(LastmileError):
    """The object to be created is there already."""


class Conflict(LastmileError):
    """The object to be replaced is not the one that was read."""


type Names = list[str]  # inside the class `list` is a method


class Stored(NamedTuple):
    """An object and the tag that changes with its content."""

    data: bytes
    etag: str


class Stat(NamedTuple):
    """One version of an object. `modified` is in seconds since 1970, in S3 whole ones.

    `version` names the content: the bucket's version id, or the etag in a store that keeps no versions.
    """

    size: int
    modified: float
    version: str
    etag: str


class Store:
    """Small objects read and written whole; paths are relative, with `/` between names that do not begin with a dot."""

    def __init__(self, client: "MemoryStore | S3Store", uri: str) -> None:
        self._client = client
        self._uri = uri

    @staticmethod
    def open(uri: str, *, environ: Mapping[str, str]) -> "Store":
        """The store at `s3://bucket[/prefix]`, `file:///directory` or `memory://` (a new, empty one)."""
        parts = urlsplit(uri)
        if parts.scheme == "s3" and parts.netloc:
            return _S3(parts.netloc, parts.path.strip("/"), environ)
        if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
            from lastmile.directory import Directory  # a store of its own, which S3 need not load

            return Directory(unquote(parts.path))
        if parts.scheme == "memory":
            return Store(MemoryStore(), uri)
        raise StoreUnavailable(f"'{uri}' is no store; give s3://bucket, file:///directory or memory://")

    def get(self, path: str) -> Stored:
        """Raises NotFound."""
        with self._errors(path):
            found = obstore.get(self._client, checked(path))
            return Stored(found.bytes().to_bytes(), found.meta["e_tag"] or "")

    def get_if_changed(self, path: str, etag: str) -> Stored | None:
        """None when the object still has that etag; one request. Raises NotFound."""
        with self._errors(path):
            try:
                found = obstore.get(self._client, checked(path), options={"if_none_match": etag})
            except exceptions.NotModifiedError:
                return None
            return Stored(found.bytes().to_bytes(), found.meta["e_tag"] or "")

    def pieces(self, path: str, size: int | None = None) -> "Iterator[Buffer]":
        """An object in order, several pieces under way at once; raises NotFound.

        Where its size is not known, the answer about its beginning tells; then it must not be empty.
        """
        if size is None:
            beginning = self._beginning(path)
            size = beginning.meta["size"]
            yield from self._in_turn(path, beginning.range[1], size, before=lambda: self._body(path, beginning))
        elif size < 2 * PIECE:
            yield self._whole(path, size)
        else:
            yield from self._in_turn(path, 0, size)

    def part(self, path: str, start: int, end: int) -> "Buffer":
        """Some bytes of an object; `end` may not be beyond its own. Raises NotFound."""
        return self._piece(path, start, end)

    def create(self, path: str, data: bytes) -> str:
        """Write what must not be there yet; returns the etag. Raises AlreadyExists."""
        for attempt in range(CONFLICTS):
            try:
                return self._put(path, data, "create")
            except AlreadyExists as error:
                if "409 Conflict" not in str(error.__cause__):
                    raise
                time.sleep(0.05 * 2**attempt)  # S3 answers 409 while another write to the path is under way
        raise StoreUnavailable(f"{path} is being written by others; try again")

    def replace(self, path: str, data: bytes, etag: str) -> str:
        """Write over the object with that etag and no other; returns the new etag. Raises Conflict."""
        try:
            return self._put(path, data, {"e_tag": etag})
        except (AlreadyExists, NotFound) as error:  # 409: another write is under way; 404: the object is gone
            raise Conflict(f"{path} was changed by somebody else") from error

    def put(self, path: str, data: bytes) -> str:
        """Write, whatever is there; returns the etag. For objects whose content follows from their path."""
        return self._put(path, data, "overwrite")

    def stat(self, path: str, *, version: str | None = None) -> Stat:
        """The newest version of an object, or the one named; raises NotFound."""
        with self._errors(path):
            meta = obstore.get(self._client, checked(path), options=_of_version(version) | {"head": True}).meta
        etag = (meta["e_tag"] or "").strip('"')
        stat = Stat(meta["size"], meta["last_modified"].timestamp(), meta["version"] or BY_ETAG + etag, etag)
        if version not in (None, stat.version):
            raise NotFound(f"{path} has no version {version} in {self._uri}")
        return stat

    def copy(self, path: str, to: str) -> None:
        """Write an object to another path too, without reading it here; raises NotFound."""
        with self._errors(path):
            obstore.copy(self._client, checked(path), checked(to))

    def fetch(self, path: str, file: BinaryIO, *, version: str | None = None) -> None:
        """Copy an object, or one version of it, into a file without holding it in memory; raises NotFound."""
        if version is not None:
            self.stat(path, version=version)
        with self._errors(path):
            for piece in obstore.get(self._reader(BIG), checked(path), options=_of_version(version)).stream(PIECE):
                file.write(piece)

    def exists(self, path: str) -> bool:
        try:
            with self._errors(path):
                obstore.head(self._client, checked(path))
        except NotFound:
            return False
        return True

    def list_folders(self, prefix: str) -> Names:
        """Names of the folders directly below the folder `prefix`, sorted."""
        with self._errors(prefix):
            found = obstore.list_with_delimiter(self._client, checked(prefix))
            return sorted(folder.rpartition("/")[2] for folder in found["common_prefixes"])

    def list(self, prefix: str) -> Iterator[str]:
        """Paths of all objects below the folder `prefix`, in no promised order."""
        with self._errors(prefix):
            for page in obstore.list(self._client, checked(prefix), chunk_size=1000):
                yield from (found["path"] for found in page)

    def reconnect(self) -> None:
        """Forget connections and credentials, as is needed after a snapshot was restored."""

    def _reader(self, size: int) -> "MemoryStore | S3Store":
        return self._client

    def _writer(self, size: int) -> "MemoryStore | S3Store":
        return self._client

    def _beginning(self, path: str) -> "GetResult":
        """Returns when the answer begins."""
        with self._errors(path):
            return obstore.get(self._client, checked(path), options={"range": (0, BEGINNING)})

    def _body(self, path: str, found: "GetResult") -> "Buffer":
        with self._errors(path):
            return found.bytes()

    def _in_turn(
        self, path: str, start: int, end: int, *, before: "Callable[[], Buffer] | None" = None
    ) -> "Iterator[Buffer]":
        """What `before` reads, and the rest of the object, which is under way meanwhile."""
        starts = range(start, end, PIECE)
        if not starts and before is not None:
            yield before()
            return
        from concurrent.futures import ThreadPoolExecutor  # 10 ms that small models need not spend

        self._reader(PIECE)  # made once and not by each thread
        with ThreadPoolExecutor(PIECES_AT_ONCE) as pool:
            rest = pool.map(lambda at: self._piece(path, at, min(at + PIECE, end)), starts)
            if before is not None:
                yield before()
            yield from rest

    def _whole(self, path: str, size: int) -> "Buffer":
        with self._errors(path):
            return obstore.get(self._reader(size), checked(path)).bytes()

    def _piece(self, path: str, start: int, end: int) -> "Buffer":
        with self._errors(path):
            return obstore.get_range(self._reader(end - start), checked(path), start=start, end=end)

    def _put(self, path: str, data: bytes, mode: "PutMode") -> str:
        with self._errors(path):
            return obstore.put(self._writer(len(data)), checked(path), data, mode=mode)["e_tag"] or ""

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            self._check_bucket(error)
            raise NotFound(f"{path} does not exist in {self._uri}") from error
        except exceptions.AlreadyExistsError as error:
            raise AlreadyExists(f"{path} exists already") from error
        except exceptions.PreconditionError as error:
            raise Conflict(f"{path} was changed by somebody else") from error
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise StoreUnavailable(f"{self._uri} refuses access to {path}: {_reason(error)}") from error
        except (exceptions.BaseError, ValueError, OSError) as error:
            self._check_bucket(error)
            raise StoreUnavailable(f"{self._uri} does not answer: {_reason(error)}") from error

    def _check_bucket(self, error: Exception) -> None:
        if "NoSuchBucket" in str(error):
            raise StoreUnavailable(f"{self._uri} cannot be used: there is no such bucket") from error


class _S3(Store):
    def __init__(self, bucket: str, prefix: str, environ: Mapping[str, str]) -> None:
        self._bucket = bucket
        self._prefix = prefix or None
        self._environ = environ
        self._bulk: S3Store | None = None
        super().__init__(self._connect(timeout=QUICK), f"s3://{bucket}/{prefix}".rstrip("/"))

    def reconnect(self) -> None:
        self._client = self._connect(timeout=QUICK)
        self._bulk = None

    def _reader(self, size: int) -> "MemoryStore | S3Store":
        if size < BIG:
            return self._client
        if self._bulk is None:
            slowest = timedelta(seconds=2 * PIECE * PIECES_AT_ONCE / SLOWEST_BYTES_PER_SECOND)
            self._bulk = self._connect(timeout=slowest, read_timeout=QUICK)
        return self._bulk

    def _writer(self, size: int) -> "MemoryStore | S3Store":
        """The timeout of a request spans its upload, so a big object gets a client of its own."""
        if size < BIG:
            return self._client
        return self._connect(timeout=QUICK + timedelta(seconds=size / SLOWEST_BYTES_PER_SECOND))

    def _connect(self, *, timeout: timedelta, read_timeout: timedelta | None = None) -> S3Store:
        endpoint = Endpoint.from_env(self._environ)
        options: ClientConfig = {
            "allow_http": endpoint.url.startswith("http://"),
            "connect_timeout": CONNECT,
            "timeout": timeout,
        }
        if read_timeout is not None:
            options["read_timeout"] = read_timeout
        if endpoint.certificates is not None:
            options["root_certificate"] = endpoint.certificates
        return S3Store(
            self._bucket,
            prefix=self._prefix,
            # obstore takes what is missing here from the process; the environment given is to decide alone.
            config={
                "region": endpoint.region,
                "endpoint": endpoint.url,
                "aws_endpoint_url_s3": endpoint.url,
                "virtual_hosted_style_request": False,
            },
            client_options=options,
            retry_config=RETRIES,
            credential_provider=cast("Any", credential_provider(self._environ)),
        )


def _of_version(version: str | None) -> "GetOptions":
    return {} if version is None or version.startswith(BY_ETAG) else {"version": version}


def checked(path: str) -> str:
    """The path, if no name in it is empty, begins with a dot or holds what no store takes in a name: another separator,
    a control character, half a character; raises NotFound otherwise."""
    if not is_path(path):
        raise NotFound(f"{path!r} is no path of an object")
    return path


def is_path(path: str) -> bool:
    return _PATH.fullmatch(path) is not None


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]

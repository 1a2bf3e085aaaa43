"""Objects in an S3-compatible store inside the company, through the library `minio`.

What S3 gives by itself is what Objects promises: a PUT, or the completion of a multipart upload, shows the
whole object at once or nothing, and answers once it keeps it. What it does not give is done here: proof of
what arrived, bounded retries, time limits, and errors that name what to mend.

What arrived is proven by the store's own ETag, the MD5 of the bytes that it took (of an upload in parts, of
the parts' MD5s); each request also carries a digest that the store checks. To read it all back would double
the traffic of a seal; only a store whose ETag is something else has its object read back, and compared by
SHA-256. MD5 is against faults here, never against forgery: that is what the segments' tags are for.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import os
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError, MaxRetryError, ProtocolError, ResponseError, SSLError
from urllib3.util import Retry, Timeout

from storage import disk
from storage.errors import IntegrityError, NotFound, StoreDown, VaultFull
from storage.objects import Source, Stored, check_object_name, digest_of

PART_BYTES = 16 * 1024**2
_FETCH_BYTES = 8 * 1024**2
_LINK_LIFE = timedelta(hours=1)
# Seconds without a byte. Someone waits for a read; a large file may take its time until it is on disk.
_FOR_READS = Timeout(connect=3, read=15)
_FOR_WRITES = Timeout(connect=5, read=120)
_TRIES = 4
BACKOFF_SECONDS = 0.2  # then twice that, and so on
_BUSY = (500, 502, 503, 504)
_FULL = frozenset({"XMinioStorageFull", "QuotaExceeded", "XAmzQuotaExceeded", "InsufficientCapacity"})


class S3Objects:
    """The objects of one bucket whose keys begin with a prefix. Safe across threads, not across a fork."""

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        prefix: str,
        *,
        access_key: str,
        secret_key: str,
        scratch: Path,
        region: str = "us-east-1",
        ca_file: str = "",
    ) -> None:
        """`endpoint`: `https://host:port`; `prefix`: "" or parts of a key that end in a slash. `scratch`: the
        folder for files without a name, which drafts and fetched objects are. Asks nothing of the store yet.
        """
        self._endpoint, self._bucket, self._prefix, self._scratch = endpoint, bucket, prefix, scratch
        trusted = ssl.create_default_context(cafile=ca_file or None)
        self._http = _pool(_FOR_WRITES, trusted)

        def client(pool: urllib3.PoolManager) -> Minio:
            host, secure = urlsplit(endpoint).netloc, endpoint.startswith("https:")
            return Minio(host, access_key, secret_key, secure=secure, region=region, http_client=pool)

        self._reads, self._writes = client(_pool(_FOR_READS, trusted)), client(self._http)

    def __repr__(self) -> str:
        return f"S3Objects({self.place('')!r})"

    @property
    def drafts(self) -> Path:
        """The folder for files without a name."""
        return self._scratch

    def place(self, name: str) -> str:
        """Bucket and key, as people write them."""
        return f"s3://{self._bucket}/{self._prefix}{name}"

    def open(self, name: str, first: int = 0) -> Source:
        """Open an object with the request for its first bytes; see Objects."""
        return _S3Source(self, self._key(name), max(first, 1))

    def fetch(self, name: str) -> int:
        """A descriptor of a file without a name that holds a copy of the object."""
        with contextlib.closing(self.open(name, _FETCH_BYTES)) as source:
            fd = disk.scratch(self._scratch)
            try:
                offset = 0
                while offset < source.size:
                    offset = disk.write_at(fd, [source.read_at(_FETCH_BYTES, offset)], offset)
            except BaseException:
                os.close(fd)
                raise
            return fd

    def begin(self, name: str) -> _Draft:
        """A file without a name, which is uploaded at its commit; a crash leaves nothing of it."""
        check_object_name(name)
        return _Draft(self, name, disk.scratch(self._scratch))

    def put(self, name: str, fd: int) -> None:
        """Upload, in parts when it is large; see Objects."""
        key, sent = self._key(name), _Sending(fd)
        with self._errors(name):
            try:
                stored = self._writes.put_object(
                    self._bucket,
                    key,
                    cast("BinaryIO", sent),
                    sent.size,
                    part_size=PART_BYTES,
                    num_parallel_uploads=1,
                )
                etag = stored.etag
            except S3Error as error:
                # A completion whose answer was lost is asked for again, and then there is no such upload.
                if error.code != "NoSuchUpload":
                    raise
                etag = self._writes.stat_object(self._bucket, key).etag
        self._prove(name, etag, sent)

    def settle(self, name: str) -> None:
        """What a store has answered for lasts."""

    def put_new(self, name: str, fd: int) -> bool:
        """One conditional PUT, so of at most 5 GiB; see Objects."""
        key, sent = self._key(name), _Sending(fd, part_bytes=1 << 40)
        while sent.read(_FETCH_BYTES):
            pass
        headers = {
            "If-None-Match": "*",
            "Content-Length": str(sent.size),
            "Content-MD5": base64.b64encode(bytes.fromhex(sent.etag)).decode(),
        }
        with self._errors(name):
            # The library sends no such header in a PUT of its own, so it signs an address for one.
            address = self._writes.get_presigned_url("PUT", self._bucket, key, expires=_LINK_LIFE)
            answer = self._http.urlopen("PUT", address, body=_Sending(fd), headers=headers)
            if answer.status == 412:
                # After a retry the one that is there may be ours, whose first answer was lost.
                tried = bool(answer.retries and answer.retries.history)
                return tried and digest_of(self.open(name)) == sent.sha256
            if answer.status != 200:
                raise (
                    S3Error.fromxml(answer) if answer.data else StoreDown("failing", f"HTTP {answer.status}")
                )
        self._prove(name, _etag_in(answer), sent)
        return True

    def remove(self, name: str) -> None:
        """Remove an object. Where the bucket keeps versions, they stay as long as the bucket says."""
        with self._errors(name):
            self._writes.remove_object(self._bucket, self._key(name))

    def exists(self, name: str) -> bool:
        """Whether an object has this name."""
        try:
            self.open(name).close()
        except NotFound:
            return False
        return True

    def list(self, prefix: str = "") -> Iterator[Stored]:
        """A thousand names a request, as they are asked for."""
        with self._errors(prefix):
            for found in self._reads.list_objects(self._bucket, self._prefix + prefix, recursive=True):
                name = (found.object_name or "").removeprefix(self._prefix)
                changed = found.last_modified.timestamp() if found.last_modified else 0.0
                try:
                    check_object_name(name)
                except IntegrityError:
                    yield Stored(name, (found.size or 0, changed), "stranger")
                else:
                    yield Stored(name, (found.size or 0, changed))

    def tidy(self, prefix: str = "") -> None:
        """Nothing: drafts are files without a name, and the parts of an upload that a crash cut short go by
        the bucket's own rule (docs/tiers.md)."""

    def _key(self, name: str) -> str:
        return self._prefix + check_object_name(name)

    def _prove(self, name: str, etag: str | None, sent: _Sending) -> None:
        if etag == sent.etag:
            return
        with contextlib.closing(self.open(name)) as stored:
            if digest_of(stored) != sent.sha256:
                raise IntegrityError("replaced", "other bytes arrived than were sent")

    @contextlib.contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Turn what the library and the network say into errors of storage."""
        try:
            yield
        except MaxRetryError as error:
            self._raise_down(error.reason or error)
        except HTTPError as error:
            self._raise_down(error)
        except S3Error as error:
            self._raise_refused(error, name)
        except MinioException as error:  # a server error, or an answer that is not S3's
            raise StoreDown("failing", f"{self._endpoint}: {error}") from error

    def _raise_down(self, error: Exception) -> NoReturn:
        if isinstance(error, ResponseError):
            raise StoreDown("failing", f"{self._endpoint} answers only with errors: {error}") from error
        if isinstance(error, SSLError):
            raise StoreDown("unreachable", f"{self._endpoint} is not trusted: {error}") from error
        why = str(error).rpartition(": ")[2]
        raise StoreDown("unreachable", f"{self._endpoint} does not answer: {why}") from error

    def _raise_refused(self, error: S3Error, name: str) -> NoReturn:
        status = error.response.status
        if error.code == "NoSuchKey":
            raise NotFound("file", name) from error
        if error.code == "NoSuchBucket":
            raise StoreDown("missing", f"{self._endpoint} has no bucket “{self._bucket}”") from error
        if error.code in _FULL or status == 507:
            raise VaultFull("disk", f"{self._endpoint} has no room: {error.code}") from error
        if status == 403:
            raise StoreDown("refused", f"{self._endpoint} refuses the access key: {error.code}") from error
        raise StoreDown("failing", f"{self._endpoint}: {error.code}, {error.message}") from error

    def read(self, key: str, length: int, offset: int) -> tuple[bytes, int, str]:
        """Bytes of an object, its size and its ETag. An answer that was cut short is asked for again."""
        with self._errors(key.removeprefix(self._prefix)):
            for left in reversed(range(_TRIES)):
                try:
                    return self._read_once(key, length, offset)
                except ProtocolError:
                    if not left:
                        raise
        raise AssertionError

    def _read_once(self, key: str, length: int, offset: int) -> tuple[bytes, int, str]:
        try:
            answer = self._reads.get_object(self._bucket, key, offset, length)
        except S3Error as error:
            if error.response.status != 416:
                raise
            found = self._reads.stat_object(self._bucket, key)  # of an empty object there are no ranges
            return b"", found.size or 0, found.etag or ""
        try:
            size = _size_in(answer.headers.get("content-range", ""))
            data = answer.read(length)
        finally:
            answer.close()
            answer.release_conn()
        if len(data) != min(length, size - offset):
            raise ProtocolError("the answer was cut short")
        return data, size, _etag_in(answer)


def _pool(patience: Timeout, trusted: ssl.SSLContext) -> urllib3.PoolManager:
    again = Retry(
        total=_TRIES - 1,
        redirect=0,
        backoff_factor=BACKOFF_SECONDS,
        status_forcelist=_BUSY,
        allowed_methods=None,
    )
    return urllib3.PoolManager(maxsize=16, timeout=patience, retries=again, ssl_context=trusted)


def _size_in(content_range: str) -> int:
    """The size of the whole object in `bytes 0-9/300`."""
    size = content_range.rpartition("/")[2]
    if not size.isdecimal():
        raise StoreDown("failing", "the store does not answer requests for a range")
    return int(size)


def _etag_in(answer: urllib3.BaseHTTPResponse) -> str:
    return answer.headers.get("etag", "").strip('"')


class _S3Source:
    """An object as it was when it was opened: once another has its name, reads fail."""

    def __init__(self, objects: S3Objects, key: str, first: int) -> None:
        self._objects, self._key = objects, key
        self._start, self.size, self._etag = objects.read(key, first, 0)

    def read_at(self, length: int, offset: int, /) -> bytes:
        """Bytes from `offset` on, fewer only at the end. Raises IntegrityError("replaced")."""
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        if offset + length <= len(self._start):
            return self._start[offset : offset + length]
        data, size, etag = self._objects.read(self._key, length, offset)
        if (size, etag) != (self.size, self._etag):
            raise IntegrityError("replaced", "another object has this name now")
        return data

    def forget(self, length: int, offset: int, /) -> None:
        """Nothing but the first bytes is kept here; whatever else is asked for comes from the store."""
        del length, offset
        self._start = b""

    def close(self) -> None:
        """Let go of the bytes that came with the opening."""
        self._start = b""


class _Draft:
    """A file without a name, to be uploaded."""

    def __init__(self, objects: S3Objects, name: str, fd: int) -> None:
        self._objects, self._name, self.fd = objects, name, fd
        self._open = True

    def commit(self) -> None:
        """Upload it; when that fails it is kept, to be tried again or discarded."""
        self._objects.put(self._name, self.fd)
        self.discard()

    def discard(self) -> None:
        """Close the file, and with it all there is of it."""
        if self._open:
            self._open = False
            os.close(self.fd)


class _Sending(io.RawIOBase):
    """What lies behind a descriptor, to be sent from its start, by position; and its digests once it was."""

    def __init__(self, fd: int, part_bytes: int = PART_BYTES) -> None:
        super().__init__()
        self._fd, self._part_bytes = fd, part_bytes
        self.size = os.fstat(fd).st_size
        self.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Begin again: a request that is repeated does, nothing else is asked for."""
        if (offset, whence) != (0, os.SEEK_SET):
            raise io.UnsupportedOperation("seek")
        self._position = 0
        self._whole, self._part, self._parts = hashlib.sha256(), _md5(), b""
        return 0

    def read(self, size: int = _FETCH_BYTES) -> bytes:
        """The next bytes, never across the end of a part."""
        left_in_part = self._part_bytes - self._position % self._part_bytes
        data = os.pread(self._fd, min(left_in_part, size), self._position)
        self._whole.update(data)
        self._part.update(data)
        self._position += len(data)
        if data and self._position % self._part_bytes == 0:
            self._parts += self._part.digest()
            self._part = _md5()
        return data

    @property
    def sha256(self) -> bytes:
        """Of all that was read."""
        return self._whole.digest()

    @property
    def etag(self) -> str:
        """What a store calls an object that it took in these parts."""
        open_part = self._position % self._part_bytes or not self._position
        digests = self._parts + (self._part.digest() if open_part else b"")
        count = len(digests) // 16
        return digests.hex() if count == 1 else f"{_md5(digests).hexdigest()}-{count}"


def _md5(data: bytes = b"") -> Any:  # Any: hashlib's own type has no public name
    return hashlib.md5(data, usedforsecurity=False)

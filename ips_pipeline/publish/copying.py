"""Copy a release to where its consumers are: any storage that fsspec reaches, such as an S3 bucket or a file share.

There it lies as it does here: ``<target>/<month>/<release>/…`` and ``<target>/<month>/CURRENT``, which is written last. So a reader who
follows CURRENT sees the former release or the new one whole. Nothing is ever deleted, and a copy that was broken off goes on where it was.
"""

from __future__ import annotations

import errno
import hashlib
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ips_pipeline.errors import IpsError, PublishError, RetryableError, UsageError
from ips_pipeline.store import stages

#: Classes of errors, by name since each storage brings its own, that a lost connection or an overloaded service ends in.
_LOST = frozenset(
    {
        "ConnectionError",
        "TimeoutError",
        "HTTPClientError",
        "ClientConnectionError",
        "ClientPayloadError",
        "IncompleteReadError",
        "ResponseStreamingError",
    }
)
#: What the system says of a full target, of one that may not be written, and of one that is busy or was lost.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_PASSING = frozenset({errno.EBUSY, errno.EAGAIN, errno.EIO, errno.EPIPE, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ESTALE})
#: Classes of errors about credentials that are no PermissionError.
_UNKNOWN_USER = frozenset({"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError"})
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy came to. ``sent`` is how many of the ``files`` were not there yet, and ``changed`` whether CURRENT was moved."""

    files: int
    sent: int
    changed: bool


def copy(release: stages.Stage, period: str, target: str, options: Mapping[str, Any], *, still: Callable[[], bool] = lambda: True) -> Copied:
    """Copy a sealed release, check what arrived, and make it current at the target.

    ``options`` are those of the storage, see ``storage_options``. Objects that are there with the same content are not sent again. ``still``
    is asked before CURRENT is moved whether the release is in force here. Raises InputError when the release is not what its manifest says,
    RetryableError for a lost connection and when another release came into force, UsageError for a target nothing can reach, and
    PublishError for one that is full, refuses, or does not hold what was sent.
    """
    stages.verify(release)
    wanted = {name: (held["bytes"], held["sha256"]) for name, held in release.manifest["files"].items()}
    manifest = release.path / stages.MANIFEST
    wanted[stages.MANIFEST] = (manifest.stat().st_size, stages.file_hash(manifest))
    with _told(target):
        if urlsplit(target).scheme not in fsspec.available_protocols():
            raise UsageError(f"{target} is not a target that anything here can reach; correct copy_to in [publish]")
        system, home = fsspec.core.url_to_fs(f"{target}/{period}", skip_instance_cache=True, **_defaults(target), **options)
        there = _sizes(system, f"{home}/{release.identity}")
        sent = []
        for name, (size, digest) in sorted(wanted.items()):
            remote = f"{home}/{release.identity}/{name}"
            if there.get(remote) != size or _hash(system, remote) != digest:
                system.put_file(str(release.path / name), remote)
                sent.append(name)
        arrived = _sizes(system, f"{home}/{release.identity}")
        for name, (size, digest) in sorted(wanted.items()):
            remote = f"{home}/{release.identity}/{name}"
            if arrived.get(remote) != size or (name in sent and _hash(system, remote) != digest):
                raise PublishError(f"{name} at {target} is not what was sent; nothing was made current there: copy again")
        if not still():
            raise RetryableError(f"Another release of {period} came into force while {release.identity} was copied to {target}; copy again")
        return Copied(len(wanted), len(sent), _point(system, f"{home}/{stages.CURRENT}", f"{release.identity}\n".encode("ascii")))


def storage_options(secret: str | None, endpoint: str | None) -> dict[str, Any]:
    """The options of the storage from a secret, which is a JSON object of them or an Airflow connection (URI or JSON), and the S3 endpoint.

    Without a secret the storage library looks where it always does: its environment variables, its files, the role of the machine. Raises
    UsageError when the secret is none of these; it is not shown.
    """
    options: dict[str, Any] = {}
    if secret is not None:
        try:
            held = json.loads(secret) if secret.startswith("{") else _connection_uri(secret)
            extra = held.get("extra") or {}
            extra = json.loads(extra) if isinstance(extra, str) else extra
            options = _of_connection(held, extra) if "conn_type" in held else dict(held)
        except (ValueError, AttributeError, TypeError):
            raise UsageError(
                "The credentials of [publish] are neither a JSON object of storage options nor an Airflow connection; correct them"
            ) from None
    return options | ({"endpoint_url": endpoint} if endpoint else {})


def _connection_uri(text: str) -> dict[str, Any]:
    """An Airflow connection written as a URI, in the form of one written as JSON."""
    parts = urlsplit(text)
    if not parts.scheme or "://" not in text:
        raise ValueError
    extra: dict[str, Any] = dict(parse_qsl(parts.query))
    if "__extra__" in extra:
        extra = json.loads(extra["__extra__"])
    return {"conn_type": parts.scheme, "login": unquote(parts.username or ""), "password": unquote(parts.password or ""), "extra": extra}


def _of_connection(held: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Options of S3 from an Airflow connection of type aws."""
    options = {
        "key": held.get("login"),
        "secret": held.get("password"),
        "token": extra.get("aws_session_token"),
        "endpoint_url": extra.get("endpoint_url"),
        "client_kwargs": {"region_name": extra["region_name"]} if extra.get("region_name") else None,
    }
    return {key: value for key, value in options.items() if value}


def _defaults(target: str) -> dict[str, Any]:
    """On a file share folders have to be made; in a bucket there are none, and a bucket is never made."""
    return {"auto_mkdir": True} if target.startswith(("file://", "local://")) else {}


def _sizes(system: Any, folder: str) -> dict[str, int]:
    """The size of every object under a folder, as the storage says it now; none where there is no such folder."""
    system.invalidate_cache()
    try:
        return {name: found["size"] for name, found in system.find(folder, detail=True).items()}
    except FileNotFoundError:
        return {}


def _hash(system: Any, remote: str) -> str:
    """SHA-256 of an object as read back."""
    digest = hashlib.sha256()
    with system.open(remote, "rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _point(system: Any, pointer: str, content: bytes) -> bool:
    """Move CURRENT in one step; gives whether it was moved. An object store replaces an object whole, a disk only by a rename."""
    try:
        if system.cat_file(pointer) == content:
            return False
    except FileNotFoundError:
        pass
    if isinstance(system, LocalFileSystem):
        fresh = Path(pointer).with_name(f".{stages.CURRENT}.{uuid.uuid4().hex}")
        system.pipe_file(str(fresh), content)
        fresh.replace(pointer)
    else:
        system.pipe_file(pointer, content)
    if system.cat_file(pointer) != content:
        raise PublishError(f"{pointer} is not what was written; copy again")
    return True


@contextmanager
def _told(target: str) -> Iterator[None]:
    """Turn whatever a storage raises into one line; its own text may hold keys or addresses and is dropped."""
    try:
        yield
    except IpsError:
        raise
    except Exception as error:  # noqa: BLE001 - every storage has its own classes
        raise _failure(error, target) from None


def _failure(error: Exception, target: str) -> IpsError:
    """What to say of an error of a storage, by its class and number alone."""
    names = {kind.__name__ for kind in type(error).__mro__}
    number = error.errno if isinstance(error, OSError) else None
    failed = f"Copying to {target} failed"
    if isinstance(error, ImportError):
        return UsageError(f"{target} cannot be reached: its storage library is not installed; for S3 install ips-pipeline[objectstore]")
    if number in _FULL:
        return PublishError(f"{failed}: it is full; make room there, then copy again")
    if isinstance(error, PermissionError) or number in _FORBIDDEN or names & _UNKNOWN_USER:
        return PublishError(f"{failed}: it refuses these credentials; check credentials in [publish] and what they may write, then copy again")
    if isinstance(error, FileNotFoundError):
        return PublishError(f"{failed}: there is no such bucket or folder; create it or correct copy_to, then copy again")
    if names & _LOST or number in _PASSING:
        return RetryableError(f"{failed}: the connection was lost or the service is busy; copy again, and it goes on where it was")
    return PublishError(f"{failed} ({type(error).__name__}); check copy_to and endpoint in [publish], then copy again")

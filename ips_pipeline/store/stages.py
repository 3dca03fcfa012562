"""Immutable stage directories: written aside, sealed by a manifest, renamed into place, and only then made current.

A data root holds ``restricted/`` (patient data, owner-only) and ``releases/`` (what is published). Under either, a *shelf*
is a directory such as ``restricted/accepted/RXA/2026-08`` that holds one directory per identity and a ``CURRENT`` pointer::

    restricted/accepted/RXA/2026-08/
        3f9a…c1/            the files, and manifest.json written last
        CURRENT             the identity in force

Killing the process at any instant leaves the old content or the new one in force, never half of either.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ips_pipeline.errors import InputError, IpsError, RetryableError, UsageError

MANIFEST = "manifest.json"
CURRENT = "CURRENT"


@dataclass(frozen=True, slots=True)
class Stage:
    """A sealed directory. ``changed`` is False when the same content was already there."""

    path: Path
    identity: str
    manifest: Mapping[str, Any]
    changed: bool


def identity_of(parts: Mapping[str, Any]) -> str:
    """A name for a stage from everything that decides its content: 16 hexadecimal digits of a SHA-256."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def tree_hash(folder: Path) -> str:
    """One SHA-256 over the names and bytes of all plain files in a folder tree; the name of reference data and code."""
    digest = hashlib.sha256()
    for path in sorted(item for item in folder.rglob("*") if item.is_file() and "__pycache__" not in item.parts):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_hash(path)}\n".encode())
    return digest.hexdigest()


def held(shelf: Path, identity: str) -> bool:
    """Whether the shelf has that content already, in force or not."""
    return (shelf / identity / MANIFEST).is_file()


def write(
    shelf: Path,
    build: Callable[[Path], Mapping[str, Any]],
    *,
    staging: Path,
    identity: str | None = None,
    inputs: Mapping[str, Any] | None = None,
    in_force: bool = True,
) -> Stage:
    """Build a directory aside and put it on the shelf as its current content.

    ``build`` receives an empty directory, writes files into it and returns facts for the manifest (counts and references, no
    patient's value). Without ``identity`` the name is taken from the files' content and ``inputs``. When the shelf already
    holds that identity nothing is built or written, except that it becomes current. ``staging`` must be on the same disk.
    With ``in_force`` False the content is kept beside what is current, which stays so.
    Raises RetryableError when the disk is full or a file is locked.
    """
    settle = _settle if in_force else _put_by
    if identity is not None and held(shelf, identity):
        return settle(shelf, identity, changed=False)
    work = staging / uuid.uuid4().hex
    try:
        work.mkdir(parents=True, mode=0o700)
        _owner_only(staging)
        facts = build(work)
        files = {
            path.relative_to(work).as_posix(): {"bytes": path.stat().st_size, "sha256": file_hash(path)}
            for path in sorted(item for item in work.rglob("*") if item.is_file())
        }
        identity = identity or identity_of({"files": files, "inputs": dict(inputs or {})})
        if held(shelf, identity):
            return settle(shelf, identity, changed=False)
        manifest = {"identity": identity, "inputs": dict(inputs or {}), "facts": dict(facts), "files": files}
        for path in work.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)
            _sync(path)
        _write_text(work / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        _sync(work)
        shelf.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            work.rename(shelf / identity)
        except OSError as error:
            # Another run finished the same content first; its directory is as good as ours.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        _sync(shelf)
        return settle(shelf, identity, changed=True)
    except OSError as error:
        raise storage_error(error, shelf) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def current(shelf: Path) -> Stage | None:
    """What is in force on the shelf, or None. Raises InputError when the pointer or the manifest is damaged."""
    pointer = shelf / CURRENT
    if not pointer.is_file():
        return None
    identity = pointer.read_text(encoding="ascii").strip()
    try:
        manifest = json.loads((shelf / identity / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{pointer} names a directory without a readable {MANIFEST}; run the stage again") from None
    return Stage(shelf / identity, identity, manifest, changed=False)


def opened(shelf: Path, identity: str) -> Stage:
    """A stage by its identity, in force or not. Raises InputError when it is not there or its manifest is damaged."""
    try:
        manifest = json.loads((shelf / identity / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{shelf / identity} has no readable {MANIFEST}; run the stage again") from None
    return Stage(shelf / identity, identity, manifest, changed=False)


def kept(shelf: Path) -> list[Stage]:
    """Every sealed content on the shelf, in force or not, the oldest first."""
    sealed = [path.parent for path in shelf.glob(f"*/{MANIFEST}")] if shelf.is_dir() else []
    sealed.sort(key=lambda path: (path.stat().st_mtime_ns, path.name))
    return [Stage(path, path.name, json.loads((path / MANIFEST).read_text(encoding="utf-8")), changed=False) for path in sealed]


def put_in_force(shelf: Path, identity: str) -> Stage:
    """Make content that is kept on the shelf current again; UsageError when it is not there, InputError when it was altered."""
    found = next((stage for stage in kept(shelf) if stage.identity == identity), None)
    if found is None:
        raise UsageError(f"{shelf} keeps no {identity}; it keeps {', '.join(stage.identity for stage in kept(shelf)) or 'nothing'}")
    verify(found)
    return _settle(shelf, identity, changed=False)


def verify(stage: Stage) -> None:
    """Compare every file of a stage with its manifest; InputError names the first that was changed, added or removed."""
    held = {path.relative_to(stage.path).as_posix() for path in stage.path.rglob("*") if path.is_file()} - {MANIFEST}
    listed: Mapping[str, Mapping[str, Any]] = stage.manifest["files"]
    for name in sorted(held | set(listed)):
        if name not in listed or name not in held or file_hash(stage.path / name) != listed[name]["sha256"]:
            raise InputError(f"{stage.path / name} is not what its manifest says; run the stage again")


def storage_error(error: OSError, where: Path) -> IpsError:
    """The error to show for a failed write: what the system said, never the content."""
    return RetryableError(f"Writing to {where} failed ({os.strerror(error.errno or 0)}); free disk space or fix permissions, then run again")


def _settle(shelf: Path, identity: str, *, changed: bool) -> Stage:
    """Point CURRENT at the identity, in one atomic replace, and give the stage."""
    pointer = shelf / CURRENT
    before = pointer.read_text(encoding="ascii").strip() if pointer.is_file() else None
    if before != identity:
        fresh = shelf / f".{CURRENT}.{uuid.uuid4().hex}"
        _write_text(fresh, identity + "\n")
        fresh.replace(pointer)
        _sync(shelf)
    manifest = json.loads((shelf / identity / MANIFEST).read_text(encoding="utf-8"))
    return Stage(shelf / identity, identity, manifest, changed=changed or before != identity)


def _put_by(shelf: Path, identity: str, *, changed: bool) -> Stage:
    """Give the identity and leave CURRENT alone."""
    return replace(opened(shelf, identity), changed=changed)


def _write_text(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _owner_only(folder: Path) -> None:
    folder.chmod(0o700)

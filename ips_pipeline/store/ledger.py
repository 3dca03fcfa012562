"""The ledger: an append-only record of what was done with a site's data, by whom and when, in which every line seals the one before.

It lies under ``restricted/ledger``: one JSON object a line, each with the SHA-256 of the line before it and of itself. ``HEAD``
beside it names the last line, so that lines cut off at the end are missed too. No entry holds a value of a patient.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from ips_pipeline.errors import InputError
from ips_pipeline.store.stages import storage_error

#: What is recorded: a month landed from its sources, judged, put in force; measures put in force as a release, and copied to its readers;
#: a replay (why); the package built, the return approved or not, handed over; feedback that came back;
#: a release rolled back; data purged; a torn line mended. Of a source that has changed: a month stopped, its landing set aside, or what was
#: stopped taken by a person after all. Late: what is different at source since a month was handed over.
Kind = Literal[
    "landed", "stopped", "set aside", "taken", "rejected", "accepted", "published", "copied", "replayed", "packaged", "approved", "declined",
    "withdrawn", "submitted", "late", "feedback", "rolled back", "purged", "mended",
]  # fmt: skip
KINDS: tuple[str, ...] = get_args(Kind)

LEDGER = "ledger.jsonl"
HEAD = "HEAD"

#: Stands before the first line.
_GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. ``at`` is UTC to the second; ``facts`` are references and counts, such as identities of stages."""

    number: int
    at: str
    kind: str
    actor: str
    provider: str | None
    period: str | None
    facts: Mapping[str, Any]
    previous: str
    seal: str


#: Set by ``in_the_name_of`` alone: the clock and the person of what is recorded within it.
_CLOCK: ContextVar[Callable[[], datetime] | None] = ContextVar("clock", default=None)
_PERSON: ContextVar[str | None] = ContextVar("person", default=None)


def utc_now() -> datetime:
    """The time of an entry. The one clock of the records; nothing that decides a stage's content reads it."""
    clock = _CLOCK.get()
    return clock() if clock is not None else datetime.now(UTC)


def actor() -> str:
    """Who acts: the person of ``in_the_name_of``, else the environment variable IPS_ACTOR, else the account the process runs as."""
    return _PERSON.get() or os.environ.get("IPS_ACTOR") or getpass.getuser()


@contextmanager
def in_the_name_of(person: str | None, clock: Callable[[], datetime] | None = None) -> Iterator[None]:
    """Record what is done within the block as done by a person, and at the times of a clock; None leaves either as it is.

    For who starts a run in Airflow, and for made-up sites, whose years pass in minutes. Another clock than the machine's is for them alone.
    """
    kept = _PERSON.set(person or _PERSON.get()), _CLOCK.set(clock or _CLOCK.get())
    try:
        yield
    finally:
        _PERSON.reset(kept[0])
        _CLOCK.reset(kept[1])


def append(
    home: Path,
    kind: Kind,
    facts: Mapping[str, Any],
    *,
    provider: str | None = None,
    period: str | None = None,
    by: str | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Entry:
    """Add one line to the ledger in the folder ``home`` and give it. Writers wait for each other; the line is on disk on return.

    A last line torn by a killed writer is set aside as ``torn-….bin`` and recorded as mended first. Raises InputError when the
    ledger was altered so that its last line cannot be read, and RetryableError when it cannot be written.
    """
    try:
        with _locked(home):
            last = _mend(home, clock)
            return _write(home, last, kind, facts, provider, period, by or actor(), clock)
    except OSError as error:
        raise storage_error(error, home) from None


def append_once(
    home: Path,
    kind: Kind,
    facts: Mapping[str, Any],
    identity: str,
    *,
    provider: str,
    period: str,
    clock: Callable[[], datetime] = utc_now,
) -> bool:
    """Add a line unless the last one of its kind about that month names the identity already; gives whether it was added.

    For what two processes may do at once, and for what was done by one that was killed before it could say so. Raises as ``append``.
    """
    try:
        with _locked(home):
            last = _mend(home, clock)
            before = [entry for entry in about(home, provider, period) if entry.kind == kind]
            if before and identity in before[-1].facts.values():
                return False
            _write(home, last, kind, facts, provider, period, actor(), clock)
            return True
    except OSError as error:
        raise storage_error(error, home) from None


def entries(home: Path) -> Iterator[Entry]:
    """The lines in order, as they stand; InputError at one that is not an entry."""
    path = home / LEDGER
    if not path.is_file():
        return
    with path.open("rb") as handle:
        for number, line in enumerate(handle, 1):
            entry = _parse(line)
            if entry is None:
                raise InputError(f"{path} line {number} is not an entry of the ledger; see what is wrong with: ips ledger verify")
            yield entry


def about(home: Path, provider: str, period: str) -> list[Entry]:
    """The lines about a provider's month, in order; only those are read as entries, so that many months can be asked about."""
    path = home / LEDGER
    mark = f'"provider":{json.dumps(provider)},"period":{json.dumps(period)}'.encode("ascii")
    if not path.is_file():
        return []
    with path.open("rb") as handle:
        found = [_parse(line) for line in handle if mark in line]
    return [entry for entry in found if entry is not None and (entry.provider, entry.period) == (provider, period)]


def verify(home: Path) -> list[str]:
    """Every fault of the ledger, one sentence each with its line; empty when it is whole.

    Found are lines that were altered, removed, inserted or moved, and, through HEAD, lines cut off at the end. Whoever rewrites
    the whole file and HEAD is found by comparing with a seal noted elsewhere: a return that was handed over keeps those of its approvals.
    """
    path, faults = home / LEDGER, []
    seals, previous = [_GENESIS], _GENESIS
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    for number, line in enumerate(lines, 1):
        entry = _parse(line)
        if entry is None:
            faults.append(
                f"line {number} is not an entry" if line.endswith(b"\n") else f"line {number} is torn: a writer was killed; the next entry mends it"
            )
            continue
        if entry.seal != _seal(entry) or line != _line(entry):
            faults.append(f"line {number} was altered")
        elif entry.previous != previous:
            faults.append(f"line {number} does not follow the line before it: lines were removed, inserted or moved")
        if entry.number != number:
            faults.append(f"line {number} calls itself {entry.number}")
        previous = entry.seal
        seals.append(entry.seal)
    head = _head(home)
    if head is None and lines:
        faults.append(f"{HEAD} is missing or damaged, so lines cut off at the end would not be seen")
    elif head is not None and (head[0] >= len(seals) or seals[head[0]] != head[1]):
        faults.append(f"{HEAD} names line {head[0]}, which is not in the ledger: lines were cut off or replaced")
    return faults


def mentions(home: Path, kind: Kind, identity: str) -> bool:
    """Whether any line of a kind names the identity of a stage."""
    path = home / LEDGER
    marks = (f'"kind":"{kind}"'.encode("ascii"), f'"{identity}"'.encode("ascii"))
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        return any(all(mark in line for mark in marks) for line in handle)


def anchor(home: Path) -> str | None:
    """The seal of the last line, to be noted elsewhere; None for an empty ledger."""
    head = _head(home)
    return head[1] if head else None


def holds(home: Path, seal: str) -> bool:
    """Whether a seal noted elsewhere is still that of a line."""
    return any(entry.seal == seal for entry in entries(home))


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(home / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _mend(home: Path, clock: Callable[[], datetime]) -> tuple[int, str]:
    """Number and seal of the last whole line, after a torn one behind it was set aside and recorded."""
    path = home / LEDGER
    content = path.read_bytes() if path.is_file() else b""
    whole, _, torn = content.rpartition(b"\n")
    lines = whole.splitlines() if whole else []
    last = (0, _GENESIS)
    if lines:
        entry = _parse(lines[-1] + b"\n")
        if entry is None:
            raise InputError(f"{path} line {len(lines)} is not an entry of the ledger; see what is wrong with: ips ledger verify")
        last = (len(lines), entry.seal)
    if torn:
        aside = home / f"torn-{hashlib.sha256(torn).hexdigest()[:16]}.bin"
        _replace(aside, torn)
        os.truncate(path, len(content) - len(torn))
        mended = _write(home, last, "mended", {"bytes": len(torn), "kept_as": aside.name}, None, None, actor(), clock)
        last = (mended.number, mended.seal)
    return last


def _write(
    home: Path,
    last: tuple[int, str],
    kind: Kind,
    facts: Mapping[str, Any],
    provider: str | None,
    period: str | None,
    by: str,
    clock: Callable[[], datetime],
) -> Entry:
    at = clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    open_entry = Entry(last[0] + 1, at, kind, by, provider, period, dict(facts), last[1], "")
    entry = replace(open_entry, seal=_seal(open_entry))
    if last[0] == 0 and _head(home) is None:
        # Killed between the first line and its HEAD, the ledger would look as if HEAD had been taken away.
        _replace(home / HEAD, f"0 {_GENESIS}\n".encode("ascii"))
    descriptor = os.open(home / LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        line = _line(entry)
        if os.write(descriptor, line) != len(line):
            raise OSError(28, "short write")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    _replace(home / HEAD, f"{entry.number} {entry.seal}\n".encode("ascii"))
    return entry


_FIELDS = ("number", "at", "kind", "actor", "provider", "period", "facts", "previous", "seal")


def _line(entry: Entry) -> bytes:
    return (json.dumps({name: getattr(entry, name) for name in _FIELDS}, ensure_ascii=True, separators=(",", ":")) + "\n").encode("ascii")


def _seal(entry: Entry) -> str:
    sealed = json.dumps({name: getattr(entry, name) for name in _FIELDS[:-1]}, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(sealed.encode("ascii")).hexdigest()


def _parse(line: bytes) -> Entry | None:
    try:
        held = json.loads(line)
        entry = Entry(*(held[name] for name in _FIELDS))
    except (ValueError, KeyError, TypeError):
        return None
    whole = isinstance(entry.number, int) and isinstance(entry.facts, dict) and set(held) == set(_FIELDS)
    return entry if whole and line.endswith(b"\n") else None


def _head(home: Path) -> tuple[int, str] | None:
    try:
        number, seal = (home / HEAD).read_text(encoding="ascii").split()
        return int(number), seal
    except (OSError, ValueError):
        return None


def _replace(path: Path, content: bytes) -> None:
    """Put a small file in place in one step."""
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    fresh.replace(path)

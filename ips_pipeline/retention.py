"""What a site may let go of, and how it goes: superseded versions, leftovers of killed runs, old lineage; recorded in the ledger first.

Never purged are what is in force, what a release in force was counted from, what an approval or a hand-over is about, with everything these
were made of, and the ledger. Releases themselves are not purged: they hold no patient data.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ips_pipeline import returns
from ips_pipeline.errors import InputError, UsageError
from ips_pipeline.settings import Keep, Retention, Site
from ips_pipeline.store import ledger, stages
from ips_pipeline.submission import signoff

ZONES: tuple[str, ...] = tuple(Retention.model_fields)

#: Zones of shelves: the folder under restricted/, and how many folders lie between it and a shelf.
_SHELVES: Mapping[str, tuple[str, int]] = {
    "landing": ("landing", 2),
    "findings": ("findings", 2),
    "accepted": ("accepted", 2),
    "ips_records": ("ips_records", 2),
    "evidence": ("evidence", 1),
    "package": ("submission", 2),
    "feedback": ("feedback", 3),
    "quarantine": ("quarantine", 2),
    "drift": ("drift", 2),
    "changes": ("changes", 2),
}
#: An export of rejected rows is a copy for somebody to work with: it can be made again, so none of them has to stay.
_COPIES = "quarantine"
#: A run takes hours at most; what was touched within a day may belong to one.
_RUNNING = timedelta(days=1)

IN_FORCE = "in force"
RELEASED = "a release in force rests on it"
SIGNED = "an approval or a hand-over rests on it"
MADE_OF = "what is in force was made of it"
TOO_YOUNG = "not due yet"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that may go: a version on a shelf, or a file or folder elsewhere. ``made`` is when it was sealed or last touched."""

    path: Path
    provider: str | None
    period: str | None
    made: datetime
    size: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes of a zone by a rule, and how many things stay for which reason; nothing is deleted yet."""

    zone: str
    keep: Keep
    going: tuple[Item, ...]
    staying: Mapping[str, int]

    @property
    def size(self) -> int:
        """Bytes of the files that go; those linked from another zone are freed when they have gone there too."""
        return sum(item.size for item in self.going)

    @property
    def rule(self) -> str:
        """The rule in words."""
        parts = [f"older than {self.keep.days} day{'' if self.keep.days == 1 else 's'}"] if self.keep.days is not None else []
        parts += [f"not among the newest {self.keep.versions} of the month"] if self.keep.versions is not None else []
        return " and ".join(parts)


def rule(site: Site, zone: str, days: int | None = None) -> Keep:
    """The rule for a zone: the site's own, with the ``days`` of the command where it gives them.

    Raises UsageError where neither says anything, where the command is quicker than the site allows, and for temporary files of today.
    """
    own: Keep | None = getattr(site.retention, zone)
    if days is None and own is None:
        raise UsageError(f"{site.file} says nothing of {zone} under [retention]; say how old with --older-than DAYS")
    if days is not None and own is not None and own.days is not None and days < own.days:
        raise UsageError(f"{site.file} keeps {zone} for {own.days} days; change it under [retention] to purge sooner")
    keep = own if days is None and own is not None else Keep(days=days, versions=own.versions if own else None)
    if zone == "tmp" and timedelta(days=keep.days or 0) < _RUNNING:
        raise UsageError("Temporary files of the last day may belong to a run; say --older-than 1 or more")
    return keep


def plan(site: Site, zone: str, keep: Keep, *, clock: Callable[[], datetime] = ledger.utc_now) -> Plan:
    """What of a zone goes by a rule, in order of path.

    Raises InputError when the ledger is not whole or a shelf is damaged, since what has to stay cannot be told then.
    """
    if faults := returns.verify_ledger(site):
        raise InputError(f"The ledger in {site.ledger} is not whole, so it cannot say what has to stay: {faults[0]}; nothing is purged")
    before = clock() - timedelta(days=keep.days) if keep.days is not None else None
    if zone not in _SHELVES:
        found = list(_temporary(site) if zone == "tmp" else _lineage(site))
        going = [item for item in found if before is not None and item.made < before]
        return Plan(zone, keep, tuple(going), {TOO_YOUNG: len(found) - len(going)})
    needed = {} if zone == _COPIES else _needed(site)
    staying: Counter[str] = Counter()
    chosen: list[Item] = []
    for shelf, provider, period in _shelves(site, zone):
        versions = stages.kept(shelf)
        newest = {stage.path for stage in versions[-keep.versions :]} if keep.versions is not None else set()
        for stage in versions:
            made = datetime.fromtimestamp((stage.path / stages.MANIFEST).stat().st_mtime, UTC)
            if reason := needed.get(stage.path):
                staying[reason] += 1
            elif stage.path in newest or (before is not None and made >= before):
                staying[TOO_YOUNG] += 1
            else:
                size = sum(file["bytes"] for file in stage.manifest["files"].values())
                chosen.append(Item(stage.path, provider, period, made, size))
    return Plan(zone, keep, tuple(chosen), dict(staying))


def purge(site: Site, planned: Plan, why: str, *, by: str | None = None, clock: Callable[[], datetime] = ledger.utc_now) -> int:
    """Delete what a plan names and give how many things went; the ledger says so first, a line for each month with its versions.

    A version that has come into force since the plan was made stays. Raises UsageError without a reason, and RetryableError where the disk
    refuses: to purge again goes on.
    """
    if not why.strip():
        raise UsageError("Say why it is purged; the reason is kept in the ledger")
    months: dict[tuple[Path | None, str | None, str | None], list[Item]] = {}
    for item in planned.going:
        shelf = item.path.parent if planned.zone in _SHELVES else None
        months.setdefault((shelf, item.provider, item.period), []).append(item)
    gone = 0
    for (shelf, provider, period), items in months.items():
        left = [item for item in items if item.path.exists() and not (shelf and planned.zone != _COPIES and _pointer(shelf) == item.path.name)]
        if not left:
            continue
        facts = {"zone": planned.zone, "rule": planned.rule, "why": why.strip(), "things": len(left), "bytes": sum(item.size for item in left)}
        named = {"stages": [item.path.name for item in left]} if shelf else {}
        ledger.append(site.ledger, "purged", facts | named, provider=provider, period=period, by=by, clock=clock)
        try:
            gone += sum(_remove(site, item, planned.zone) for item in left)
        except OSError as error:
            raise stages.storage_error(error, site.restricted) from None
    return gone


def _remove(site: Site, item: Item, zone: str) -> bool:
    """Delete one thing; a version is moved aside first, so that nobody ever sees half of it."""
    if zone not in _SHELVES:
        if item.path.is_dir() and not item.path.is_symlink():
            shutil.rmtree(item.path)
        else:
            item.path.unlink(missing_ok=True)
        return True
    shelf = item.path.parent
    if zone == _COPIES and _pointer(shelf) == item.path.name:
        (shelf / stages.CURRENT).unlink()
    site.staging.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = site.staging / f"purged-{uuid.uuid4().hex}"
    item.path.rename(aside)
    if _pointer(shelf) == item.path.name:
        # A run has put it in force between the look and the move.
        aside.rename(item.path)
        return False
    shutil.rmtree(aside)
    return True


def _pointer(shelf: Path) -> str | None:
    pointer = shelf / stages.CURRENT
    return pointer.read_text(encoding="ascii").strip() if pointer.is_file() else None


def _shelves(site: Site, zone: str) -> Iterator[tuple[Path, str | None, str]]:
    """The shelves of a zone that are on the disk, with provider (None where a shelf is of all) and month, in order of path."""
    folder, depth = _SHELVES[zone]
    for shelf in sorted((site.restricted / folder).glob("/".join("*" * depth))):
        if shelf.is_dir():
            yield shelf, (shelf.parent.name if depth > 1 else None), shelf.name


def _needed(site: Site) -> dict[Path, str]:
    """The versions that have to stay, each with the first reason found: those in force, signed or released, and what they were made of."""
    found: dict[Path, str] = {}
    for zone in _SHELVES:
        for shelf, _, _ in _shelves(site, zone):
            if (held := stages.current(shelf)) is not None:
                found[held.path] = IN_FORCE
    in_force, walked = list(found), set[Path]()
    released = [
        site.restricted / "evidence" / period.name / held.identity
        for period in sorted((site.data / "releases").glob("[0-9]*"))
        if (held := stages.current(period)) is not None
    ]
    for paths, reason in ((_signed(site), SIGNED), (released, RELEASED), (in_force, MADE_OF)):
        left = list(paths)
        while left:
            path = left.pop()
            if path in walked or not stages.held(path.parent, path.name):
                continue
            walked.add(path)
            found.setdefault(path, reason)
            left += _made_of(site, path)
    for path in in_force:
        if path.relative_to(site.restricted).parts[0] == "findings":
            inputs = stages.opened(path.parent, path.name).manifest["inputs"]
            # The next judgement of the same rows compares with these again, and has to come out the same.
            if (previous := inputs.get("previous")) is not None:
                found.setdefault(path.parent / previous, MADE_OF)
            late = inputs.get("late") or {"before": None, "again": []}
            for told in (late["before"], *(item["different"] for item in late["again"])):
                if told and told["records"]:
                    found.setdefault(site.restricted / "changes" / path.parent.parent.name / told["period"] / told["records"], MADE_OF)
    return found


def _made_of(site: Site, path: Path) -> Iterator[Path]:
    """The versions that a version was made of, by its manifest."""
    home, *where = path.relative_to(site.restricted).parts[:-1]
    inputs = stages.opened(path.parent, path.name).manifest["inputs"]
    month = Path(*where)
    for name in {"submission": ("accepted", "findings"), "accepted": ("findings", "landing"), "findings": ("landing",)}.get(home, ()):
        if isinstance(identity := inputs.get(name), str):
            yield site.restricted / name / month / identity
    if home == "evidence":
        for of, identity in inputs.get("accepted", {}).items():
            yield site.restricted / "accepted" / of / identity
        for provider, identity in inputs.get("ips_records", {}).items():
            yield from (site.restricted / "ips_records" / provider).glob(f"*/{identity}")
    if home == "ips_records":
        for of, identity in inputs.get("returned", {}).items():
            yield site.restricted / "accepted" / month.parts[0] / of / identity


def _signed(site: Site) -> Iterator[Path]:
    """The packages that were ever approved or handed over, by the ledger and the outbox."""
    contents, handed = set(), set()
    for entry in ledger.entries(site.ledger):
        if entry.kind in ("approved", "submitted"):
            contents.add(entry.facts.get("content"))
            handed.add(entry.facts.get("package"))
    for shelf, provider, period in _shelves(site, "package"):
        outbox = site.outbox / str(provider) / period if site.outbox else None
        for stage in stages.kept(shelf):
            inputs = stage.manifest["inputs"]
            content = signoff.content_of(inputs.get("findings", ""), inputs.get("accepted", ""), stage.identity)
            if content in contents or stage.identity in handed or (outbox and stages.held(outbox, stage.identity)):
                yield stage.path


def _temporary(site: Site) -> Iterator[Item]:
    """What runs left behind: everything under restricted/tmp, and what was being built on other shelves."""
    places = [site.temporary, site.staging, site.data / "releases" / ".staging", *([site.outbox / ".staging"] if site.outbox else [])]
    for place in places:
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            # What a run takes away while we look was no leftover.
            with contextlib.suppress(FileNotFoundError):
                if path != site.staging:
                    yield _item(path, None)


def _lineage(site: Site) -> Iterator[Item]:
    """The events of each month."""
    for path in sorted(site.lineage.glob("*.jsonl")):
        yield _item(path, path.stem)


def _item(path: Path, period: str | None) -> Item:
    """A file, or a folder by what was touched last in it."""
    inside = [path, *(Path(folder) / name for folder, folders, names in os.walk(path) for name in (*folders, *names))]
    held = [each.lstat() for each in inside]
    made = datetime.fromtimestamp(max(each.st_mtime for each in held), UTC)
    return Item(path, None, period, made, sum(each.st_size for each, place in zip(held, inside, strict=True) if not place.is_dir()))

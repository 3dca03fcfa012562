"""Inputs of which only the rows that have changed are fetched, and merged by key into the last snapshot of the input.

A snapshot is every row of the input as it stood at an extract: Parquet, immutable, restricted, of one provider and of all months, since months
are mapped from it. Its watermark is the latest change in it, and never later than the extract by our own clock, so that a row dated in the
future hides none. The next extract fetches what has changed since the watermark less the look-back. A snapshot comes into force after the
landing that was made of it: whatever fails before that, the next extract fetches the same rows again.

Everything is fetched the first time, when asked for, when the query or its columns have changed, when the snapshot is damaged or our clock
has gone back, when the keys at source name rows that the increments have missed, and in any case every ``full_every_days``: a row that was
entered with a time of change before the look-back is found then.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ips_pipeline.errors import InputError
from ips_pipeline.settings import Site
from ips_pipeline.sources import raw
from ips_pipeline.sources.mapping import Incremental, Input, LocalMapping
from ips_pipeline.store import stages
from ips_pipeline.store.duck import Connection, identifier, session, text_literal

ROWS = "rows.parquet"

#: What :changed_since is bound to when everything is fetched; databases know no earlier days than some of the 18th century.
EVERYTHING = datetime(1900, 1, 1)

#: Snapshots of an input that are kept, the one in force among them; a run beside this one may be reading the one before.
_KEPT = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """What is fetched of one incremental input: from when on, and why everything is (None when only what has changed)."""

    about: Incremental
    since: datetime
    full: str | None
    last: stages.Stage | None


@dataclass(frozen=True, slots=True)
class Merged:
    """An input after the merge: all its rows, and its snapshot, which is not in force yet."""

    fetched: raw.Fetched
    snapshot: stages.Stage
    facts: Mapping[str, Any]


class MissedError(Exception):
    """Increments do not do for an input; everything has to be fetched. Never leaves ``sources``."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(key)
        self.key = key
        self.why = why


def plan(site: Site, provider: str, mapping: LocalMapping, as_of: datetime, full: Mapping[str, str]) -> dict[str, Plan]:
    """What to fetch of each incremental input; ``full`` names those of which everything is wanted, and why."""
    plans = {}
    for key, item in mapping.inputs.items():
        if (about := item.incremental) is None:
            continue
        last = _last(site.snapshot(provider, key))
        why = full.get(key) or _why_full(item, about, last, as_of)
        since = EVERYTHING if why or last is None else _moment(last.manifest["inputs"]["watermark"]) - timedelta(days=about.look_back_days)
        plans[key] = Plan(about, since, why, last)
    return plans


def inputs(mapping: LocalMapping, plans: Mapping[str, Plan]) -> dict[str, Input]:
    """The inputs to fetch: those of the mapping, and the keys of those that have a query for them."""
    return {**mapping.inputs, **{f"{key}.keys": Input(query=item.about.keys) for key, item in plans.items() if item.about.keys}}


def merge(
    site: Site, provider: str, mapping: LocalMapping, plans: Mapping[str, Plan], fetched: Mapping[str, raw.Fetched], as_of: datetime
) -> dict[str, Merged]:
    """Merge what was fetched of each incremental input into its last snapshot, and keep the result as a snapshot that is not in force.

    Raises MissedError where everything has to be fetched, InputError for a key that names no row or two, and for a time of change that is none.
    """
    return {key: _merge(site, provider, key, mapping.inputs[key], item, fetched, as_of) for key, item in plans.items()}


def put_in_force(site: Site, provider: str, merged: Mapping[str, Merged]) -> None:
    """Let the next extract go on from these snapshots, and let go of all but the last few before them."""
    for key, item in merged.items():
        shelf = site.snapshot(provider, key)
        stages.put_in_force(shelf, item.snapshot.identity)
        others = [stage for stage in stages.kept(shelf) if stage.identity != item.snapshot.identity]
        for stage in others[: -(_KEPT - 1)]:
            # Moved aside first, so that nobody ever sees half of it.
            aside = site.staging / f"superseded-{uuid.uuid4().hex}"
            stage.path.rename(aside)
            shutil.rmtree(aside)


def _last(shelf: Path) -> stages.Stage | None:
    """The snapshot in force, None where there is none that can be relied on."""
    try:
        held = stages.current(shelf)
        if held is not None:
            stages.verify(held)
    except InputError:
        return None
    return held


def _why_full(item: Input, about: Incremental, last: stages.Stage | None, as_of: datetime) -> str | None:
    if last is None:
        return "there is no snapshot to go on from"
    held = last.manifest["inputs"]
    if held["query"] != _query(item, about):
        return "the query or its key has changed"
    if held["watermark"] is None:
        return "no row had a time of change"
    if _moment(held["full_at"]) > as_of:
        return "the clock has gone back"
    if as_of - _moment(held["full_at"]) >= timedelta(days=about.full_every_days):
        return f"every {about.full_every_days} days"
    return None


def _query(item: Input, about: Incremental) -> str:
    return stages.identity_of({"query": item.query, "key": list(about.key), "changed": about.changed, "keys": about.keys})


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _merge(site: Site, provider: str, key: str, item: Input, planned: Plan, fetched: Mapping[str, raw.Fetched], as_of: datetime) -> Merged:
    about, came, last = planned.about, fetched[key], planned.last
    where = f"Provider {provider}, input {key}"
    columns = {column.lower(): column for column in came.columns}
    for column in (*about.key, about.changed):
        if column.lower() not in columns:
            raise InputError(f"{where}: the query gives no column {column}, which incremental names; correct the mapping or the source")
    same_columns = last is not None and last.manifest["facts"]["columns"] == list(came.columns)
    if not planned.full and not same_columns:
        raise MissedError(key, "its columns have changed")
    present = fetched.get(f"{key}.keys")
    target = came.path.with_name(f"{key}.merged.parquet")
    read = [came.path.parent, *([last.path] if last else [])]
    with session(read=read, write=[target.parent], temporary=site.temporary, memory_limit=site.options.memory_limit) as connection:
        _view(connection, "came", came.path)
        _check_key(connection, where, about)
        if last is not None and same_columns:
            _view(connection, "held", last.path / ROWS)
        else:
            connection.execute("CREATE VIEW held AS FROM came LIMIT 0")
        using = ", ".join(identifier(columns[column.lower()]) for column in about.key)
        rows = "FROM came" if planned.full else f"FROM came UNION ALL FROM held ANTI JOIN came USING ({using})"
        if present is not None:
            _view(connection, "present", present.path)
            lacking = [column for column in about.key if column.lower() not in {name.lower() for name in present.columns}]
            if lacking:
                raise InputError(f"{where}: the query keys gives no column {lacking[0]}, which incremental names; correct the mapping")
            (missed,) = connection.execute(f"SELECT count(*) FROM present ANTI JOIN ({rows}) AS merged USING ({using})").fetchone() or (0,)
            if missed and planned.full:
                raise InputError(
                    f"{where}: the query keys names {missed} rows that the query does not give; where {about.changed} may be empty, write"
                    f" coalesce({about.changed}, …) >= :changed_since"
                )
            if missed:
                raise MissedError(key, f"{missed} rows were not among the increments")
            rows = f"FROM ({rows}) AS merged SEMI JOIN present USING ({using})"
        (total,) = connection.execute(
            f"COPY (SELECT * FROM ({rows}) ORDER BY {using}) TO {text_literal(str(target))} (FORMAT parquet, COMPRESSION zstd)"
        ).fetchone() or (0,)
        _view(connection, "merged", target)
        facts = _count(connection, using, about, planned, compare=same_columns)
        latest = _latest(connection, about, as_of)
    held = {
        "provider": provider,
        "input": key,
        "query": _query(item, about),
        "content": stages.file_hash(target),
        "watermark": latest.isoformat() if latest else None,
        "full_at": as_of.isoformat() if planned.full or last is None else last.manifest["inputs"]["full_at"],
    }

    def build(folder: Path) -> Mapping[str, Any]:
        shutil.copyfile(target, folder / ROWS)
        return {"rows": total, "columns": list(came.columns), "as_of": as_of.isoformat() + "Z", **facts}

    snapshot = stages.write(site.snapshot(provider, key), build, staging=site.staging, identity=stages.identity_of(held), inputs=held, in_force=False)
    told = {"since": None if planned.full else planned.since.isoformat(), "full": planned.full, "fetched": came.rows, **facts}
    return Merged(raw.Fetched(target, came.columns, total), snapshot, told)


def _view(connection: Connection, name: str, path: Path) -> None:
    connection.execute(f"CREATE VIEW {name} AS FROM read_parquet({text_literal(str(path))})")


def _check_key(connection: Connection, where: str, about: Incremental) -> None:
    """The key must name each row once, and the time of change must be one."""
    key, changed = [identifier(column) for column in about.key], identifier(about.changed)
    ((doubled,),) = connection.execute(f"SELECT count(*) FROM (SELECT 1 FROM came GROUP BY {', '.join(key)} HAVING count(*) > 1)").fetchall()
    ((empty, odd),) = connection.execute(
        f"SELECT count(*) FILTER ({' OR '.join(f'{column} IS NULL' for column in key)}),"
        f" count(*) FILTER ({changed} IS NOT NULL AND try_cast({changed} AS TIMESTAMP) IS NULL) FROM came"
    ).fetchall()
    if doubled or empty:
        raise InputError(
            f"{where}: {doubled} values of {', '.join(about.key)} come more than once and {empty} are empty;"
            " incremental needs a key that names each row"
        )
    if odd:
        raise InputError(f"{where}: {about.changed} is no date and time in {odd} rows; convert it in the query to yyyy-mm-dd hh:mm:ss")


def _count(connection: Connection, using: str, about: Incremental, planned: Plan, *, compare: bool) -> dict[str, int]:
    """How many rows came, changed and went since the last snapshot, and of those how many increments would have missed."""
    if not compare:
        return {"added": 0, "changed": 0, "gone": 0, "missed": 0}
    ((added, gone),) = connection.execute(
        f"SELECT (SELECT count(*) FROM merged ANTI JOIN held USING ({using})), (SELECT count(*) FROM held ANTI JOIN merged USING ({using}))"
    ).fetchall()
    connection.execute("CREATE TEMP VIEW other AS FROM merged EXCEPT FROM held")
    ((other,),) = connection.execute("SELECT count(*) FROM other").fetchall()
    missed = 0
    if planned.full and planned.last is not None and (watermark := planned.last.manifest["inputs"]["watermark"]):
        reach = (_moment(watermark) - timedelta(days=about.look_back_days)).isoformat()
        late = f"coalesce(try_cast({identifier(about.changed)} AS TIMESTAMP) < TIMESTAMP {text_literal(reach)}, true)"
        ((missed,),) = connection.execute(f"SELECT count(*) FROM other WHERE {late}").fetchall()
        missed += 0 if about.keys else gone
    return {"added": added, "changed": other - added, "gone": gone, "missed": missed}


def _latest(connection: Connection, about: Incremental, as_of: datetime) -> datetime | None:
    """The watermark: the latest change, and not later than now."""
    ((latest,),) = connection.execute(f"SELECT max(try_cast({identifier(about.changed)} AS TIMESTAMP)) FROM merged").fetchall()
    return min(latest, as_of) if latest is not None else None

"""Inputs of which only the rows that have changed are fetched, and merged by key into the last snapshot of the input.

A snapshot is every row of the input as it stood at an extract: Parquet, immutable, restricted, of one provider and of all months, since months
are mapped from it. Its watermark is the latest change in it, and never later than the extract by our own clock, so that a row dated in the
future hides none. The next extract fetches what has changed since the watermark less the look-back. A snapshot comes into force after the
landing that was made of it: whatever fails before that, the next extract fetches the same rows again.

What has changed since is asked for from a midnight on, so that a column of dates compares as one of times does, and with the zone that the
times of change have, if they have one. A row without a time of change comes where the query asks for such rows, and then with every extract.

Everything is fetched the first time, when asked for, when the query has changed, or the kinds of its columns or the zone of the database's
sessions, which write equal values in another way, when the snapshot is damaged or our clock has gone back, when the keys at source name rows
that the increments have missed, and in any case every ``full_every_days``: a row that was entered with a time of change before the look-back is
found then.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ips_pipeline.errors import InputError
from ips_pipeline.settings import Site
from ips_pipeline.sources import raw
from ips_pipeline.sources.mapping import Incremental, Input, LocalMapping
from ips_pipeline.store import stages
from ips_pipeline.store.duck import Connection, identifier, session, text_literal

ROWS = "rows.parquet"

#: What :changed_since is bound to when everything is fetched: the first day that all databases know.
EVERYTHING = datetime(1753, 1, 1)

#: What is fetched beside the inputs to know the zone of the session; no input of a mapping can be called so.
CLOCK = "session.clock"

#: How a time ends that says its zone.
_ZONED = ":[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}(:?[0-9]{2}){0,2})$"

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
    """Increments do not do for some inputs; everything of them has to be fetched, and why. Never leaves ``sources``."""

    def __init__(self, why: Mapping[str, str]) -> None:
        super().__init__(", ".join(why))
        self.why = why


def plan(site: Site, provider: str, mapping: LocalMapping, as_of: datetime, full: Mapping[str, str]) -> dict[str, Plan]:
    """What to fetch of each incremental input; ``full`` names those of which everything is wanted, and why."""
    plans = {}
    for key, item in mapping.inputs.items():
        if (about := item.incremental) is None:
            continue
        last = _last(site.snapshot(provider, key))
        why = full.get(key) or _why_full(item, about, last, as_of)
        since = EVERYTHING if why or last is None else _since(last.manifest["inputs"]["watermark"], about)
        plans[key] = Plan(about, since, why, last)
    return plans


def inputs(mapping: LocalMapping, plans: Mapping[str, Plan], clock: Input | None) -> dict[str, Input]:
    """The inputs to fetch: those of the mapping, the keys of those that have a query for them, and the zone of the session."""
    keys = {f"{key}.keys": Input(query=item.about.keys) for key, item in plans.items() if item.about.keys}
    return {**mapping.inputs, **keys, **({CLOCK: clock} if plans and clock is not None else {})}


def merge(
    site: Site, provider: str, mapping: LocalMapping, plans: Mapping[str, Plan], fetched: Mapping[str, raw.Fetched], as_of: datetime
) -> dict[str, Merged]:
    """Merge what was fetched of each incremental input into its last snapshot, and keep the result as a snapshot that is not in force.

    Raises MissedError where everything has to be fetched, InputError for a key that names no row or two, and for a time of change that is none.
    """
    merged: dict[str, Merged] = {}
    missed: dict[str, str] = {}
    for key, item in plans.items():
        try:
            merged[key] = _merge(site, provider, key, mapping.inputs[key], item, fetched, as_of)
        except MissedError as one:
            missed.update(one.why)
    if missed:
        raise MissedError(missed)
    return merged


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


def _since(watermark: str, about: Incremental) -> datetime:
    """The midnight from which on changes are fetched; it has a zone where the watermark has one."""
    return _moment(watermark).replace(hour=0, minute=0, second=0) - timedelta(days=about.look_back_days)


def _zone(fetched: Mapping[str, raw.Fetched]) -> str | None:
    """What the session told of its zone, None where it has none."""
    return " ".join(pq.read_table(fetched[CLOCK].path).to_pylist()[0].values()) if CLOCK in fetched else None


def _merge(site: Site, provider: str, key: str, item: Input, planned: Plan, fetched: Mapping[str, raw.Fetched], as_of: datetime) -> Merged:
    about, came, last = planned.about, fetched[key], planned.last
    where = f"Provider {provider}, input {key}"
    columns = {column.lower(): column for column in came.columns}
    for column in (*about.key, about.changed):
        if column.lower() not in columns:
            raise InputError(f"{where}: the query gives no column {column}, which incremental names; correct the mapping or the source")
    same_columns = last is not None and last.manifest["facts"]["columns"] == list(came.columns)
    zone = _zone(fetched)
    if not planned.full and last is not None:
        if not same_columns or last.manifest["inputs"].get("kinds") != list(came.kinds):
            raise MissedError({key: "its columns have changed"})
        if last.manifest["inputs"].get("zone") != zone:
            raise MissedError({key: "the database's sessions have another time zone"})
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
                raise MissedError({key: f"{missed} rows were not among the increments"})
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
        "kinds": list(came.kinds),
        "zone": zone,
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
    key = [identifier(column) for column in about.key]
    ((doubled,),) = connection.execute(f"SELECT count(*) FROM (SELECT 1 FROM came GROUP BY {', '.join(key)} HAVING count(*) > 1)").fetchall()
    ((empty, odd),) = connection.execute(
        f"SELECT count(*) FILTER ({' OR '.join(f'{column} IS NULL' for column in key)}),"
        f" count(*) FILTER ({identifier(about.changed)} IS NOT NULL AND {_moment_sql(about)} IS NULL) FROM came"
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
        reach = _since(watermark, about).replace(tzinfo=None).isoformat()
        late = f"coalesce({_moment_sql(about)} < TIMESTAMP {text_literal(reach)}, true)"
        ((missed,),) = connection.execute(f"SELECT count(*) FROM other WHERE {late}").fetchall()
        missed += 0 if about.keys else gone
    return {"added": added, "changed": other - added, "gone": gone, "missed": missed}


def _latest(connection: Connection, about: Incremental, as_of: datetime) -> datetime | None:
    """The watermark: the latest change, and not later than now; in UTC, and saying so, where the times of change have a zone."""
    ((latest, zoned),) = connection.execute(
        f"SELECT max({_moment_sql(about)}), bool_or(regexp_matches({identifier(about.changed)}, {text_literal(_ZONED)})) FROM merged"
    ).fetchall()
    if latest is None:
        return None
    moment: datetime = min(latest, as_of).replace(microsecond=0)
    return moment.replace(tzinfo=UTC) if zoned else moment


def _moment_sql(about: Incremental) -> str:
    """The time of change as a moment: in UTC where it says its zone, as it stands where it does not, NULL where it is none."""
    return f"CAST(try_cast({identifier(about.changed)} AS TIMESTAMPTZ) AS TIMESTAMP)"

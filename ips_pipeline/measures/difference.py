"""Compare two releases: which values differ, which units entered, left or changed, and what most likely caused it.

It reads the evidence of both, which names patients' records: the rows belong to the restricted zone, the summary names none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ips_pipeline.errors import InputError
from ips_pipeline.measures import computation, explain, registry
from ips_pipeline.mhsds import standard
from ips_pipeline.store import duck, steps

STEPS = ("explain/unit_change", "explain/value_change", "explain/change_summary")

#: Where the exact values of a release may lie under its folder.
_VALUES = ("evidence/measures.parquet", "measures.parquet", "exact/measures.parquet")

#: The dashboard has hundreds of rows behind every change; they are compared only for measures that are asked for by name.
_ON_REQUEST = frozenset({"dashboard"})


@dataclass(frozen=True, slots=True)
class Release:
    """One side of a comparison: its evidence, its values, its reporting month (yyyy-mm), and what it was made from where that is known."""

    name: str
    evidence: Path
    values: Path
    period: str
    inputs: Mapping[str, Any]


def open_release(folder: Path) -> Release:
    """A release in a folder: a stage of the restricted zone, or what ``ips measures --out … --evidence …/evidence`` wrote.

    Raises InputError when the values, the evidence or the reporting month cannot be found.
    """
    values = next((path for name in _VALUES if (path := folder / name).is_file()), None)
    evidence = folder / "evidence" if (folder / "evidence").is_dir() else folder
    if values is None or not (evidence / "mhs116.parquet").is_file():
        raise InputError(f"{folder} holds no release with its evidence; give a folder with measures.parquet and evidence/")
    manifest: Mapping[str, Any] = {}
    if (folder / "manifest.json").is_file():
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    period = manifest.get("facts", {}).get("period") or _period_of(values)
    return Release(manifest.get("identity", folder.name), evidence, values, period, manifest.get("inputs", {}))


def compare(was: Release, now: Release, out: Path | None = None, *, measures: Sequence[str] = (), temporary: Path | None = None) -> dict[str, Any]:
    """Compare two releases, ``was`` the older; gives ``summary`` and ``values`` (rows without record ids) and ``made_from`` (notes in words).

    With ``out``, writes value_change.csv, unit_change.csv and unit_change.parquet (restricted) and summary.csv (counts below five hidden).
    ``measures`` are ids whose units are compared; by default all but the dashboard's. Raises UsageError for an unknown measure.
    """
    chosen = [explain.find_measure(name) for name in measures] or [
        measure for measure in registry.load().measures if measure.family not in _ON_REQUEST
    ]
    if out is not None:
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
    declared = {"smallest_shown": computation.variables(now.period, computation.STATUSES[0])["smallest_shown"]}
    folders = sorted({path.resolve() for side in (was, now) for path in (side.evidence, side.values.parent)})
    with duck.session(read=folders, write=[out] if out else [], temporary=temporary) as connection:
        for name, side in (("was", was), ("now", now)):
            _load_side(connection, name, side, chosen, temporary)
        _load_inputs(connection, was, now)
        steps.declare(connection, declared)
        steps.run(connection, STEPS, declared)
        if out is not None:
            _write(connection, out)
        return {
            "made_from": _made_from(was, now),
            "summary": connection.sql("FROM change_summary").to_arrow_table().to_pylist(),
            "values": connection.sql("FROM value_change").to_arrow_table(),
        }


def _period_of(values: Path) -> str:
    with duck.session(read=[values.parent]) as connection:
        # Targets reach into the future; MHS116 is of the reporting period and of nothing else.
        row = connection.execute(
            f"SELECT max(period_end) FROM read_parquet({duck.text_literal(str(values.resolve()))}) WHERE family = 'mhs116'"
        ).fetchone()
    if row is None or row[0] is None:
        raise InputError(f"{values} holds no period; compute the measures of that month again")
    return f"{row[0]:%Y-%m}"


def _load_side(connection: duck.Connection, name: str, side: Release, measures: Sequence[registry.Measure], temporary: Path | None) -> None:
    """``explained_<name>`` and ``value_<name>``: what counted or came near in the reporting period, and the exact values."""
    connection.execute(
        f"CREATE TABLE {duck.identifier(f'value_{name}')} AS FROM read_parquet({duck.text_literal(str(side.values.resolve()))})"
        " WHERE variant = 'unsuppressed'"
    )
    rows = explain.explain_all(side.evidence, computation.window(side.period), measures, temporary=temporary)
    connection.register("incoming", rows)
    connection.execute(f"CREATE TABLE {duck.identifier(f'explained_{name}')} AS FROM incoming")
    connection.unregister("incoming")


def _load_inputs(connection: duck.Connection, was: Release, now: Release) -> None:
    """``submission_change`` (provider, UniqMonthID, change) and ``run_change``, one row, from what both releases were made from."""
    before, after = was.inputs.get("accepted", {}), now.inputs.get("accepted", {})
    changes = []
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            provider, month = key.split("/")
            kind = "newly accepted" if key not in before else "withdrawn" if key not in after else "accepted again, changed"
            changes.append((provider, _month_id(month), kind))
    known = bool(before and after)
    duck.create_table(
        connection,
        "submission_change_text",
        {
            "provider": [item[0] for item in changes if known],
            "month": [str(item[1]) for item in changes if known],
            "change": [item[2] for item in changes if known],
        },
    )
    connection.execute("CREATE TABLE submission_change AS SELECT provider, CAST(month AS INTEGER) AS UniqMonthID, change FROM submission_change_text")
    connection.execute(
        "CREATE TABLE run_change AS SELECT CAST(? AS INTEGER) AS was_last_month, CAST(? AS INTEGER) AS now_first_month,"
        " CAST(? AS BOOLEAN) AS period_moved, CAST(? AS BOOLEAN) AS reference_changed, CAST(? AS BOOLEAN) AS code_changed,"
        " CAST(? AS DATE) AS was_last_day, CAST(? AS DATE) AS now_last_day",
        [
            _month_id(was.period),
            _month_id(now.period) - 11,
            was.period != now.period,
            *(known and was.inputs.get(name) != now.inputs.get(name) for name in ("reference", "code")),
            computation.window(was.period)[1],
            computation.window(now.period)[1],
        ],
    )


def _made_from(was: Release, now: Release) -> list[str]:
    """What differs between the inputs of two releases, in words."""
    notes = [f"The reporting month is {was.period} and {now.period}"] if was.period != now.period else []
    if not was.inputs or not now.inputs:
        return [*notes, "One of the releases does not say what it was made from"]
    before, after = was.inputs.get("accepted", {}), now.inputs.get("accepted", {})
    counts = {
        "newly accepted": len(after.keys() - before.keys()),
        "withdrawn": len(before.keys() - after.keys()),
        "accepted again, changed": sum(before[key] != after[key] for key in before.keys() & after.keys()),
    }
    notes.extend(f"{count:,} provider-months {kind}" for kind, count in counts.items() if count)
    notes.extend(
        f"The {words} changed"
        for name, words in (("reference", "reference data"), ("code", "definitions"), ("says", "publisher, notice or licence"))
        if was.inputs.get(name) != now.inputs.get(name)
    )
    return notes or ["Both were made from the same inputs"]


def _month_id(month: str) -> int:
    return standard.month_id(int(month[:4]), int(month[5:]))


def _write(connection: duck.Connection, out: Path) -> None:
    tables = {
        "value_change.csv": ("FROM value_change", "FORMAT csv, HEADER"),
        "unit_change.csv": ("FROM unit_change", "FORMAT csv, HEADER"),
        "unit_change.parquet": ("FROM unit_change", "FORMAT parquet"),
        "summary.csv": ("SELECT measure_id, months, change, cause, units_shown AS units FROM change_summary", "FORMAT csv, HEADER"),
    }
    for name, (query, options) in tables.items():
        connection.execute(f"COPY ({query}) TO {duck.text_literal(str((out / name).resolve()))} ({options})")
        (out / name).chmod(0o600)

"""Trace a number to its records: what counted in a measure, what nearly did and why, and which measures a referral touches.

It reads the evidence that a release was counted from, which names patients' records: everything here belongs to the restricted zone.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from ips_pipeline.errors import InputError, UsageError
from ips_pipeline.measures import registry
from ips_pipeline.measures.registry import Measure
from ips_pipeline.store import duck, steps

#: Families whose evidence is kept in a form of its own, each with the step that gives it the common one.
UNIT_STEPS: Mapping[str, str] = {"mhs116": "explain/mhs116_unit", "dashboard": "explain/dashboard_unit"}
TIME_STEP = "explain/time_unit"
REFERRAL_STEP = "explain/unit_of_referral"
OTHER_STEPS = (TIME_STEP, REFERRAL_STEP)
STEPS = ("explain/entry", "explain/entry_amount", "explain/entry_level", "explain/entry_fact", "explain/explained")

#: What a family may lack; ``union all by name`` gives every family these columns.
_TEMPLATE = (
    "CREATE TABLE unit_template (family VARCHAR, unit VARCHAR, period_start DATE, period_end DATE,"
    " by_all VARCHAR, by_provider VARCHAR, reason VARCHAR)"
)
#: Breakdowns that divide nothing.
_WHOLE = frozenset({"All", "England"})


_COUNTED = "counted"


@dataclass(frozen=True, slots=True)
class Explained:
    """The rows, each of a measure, unit and period with verdict, amounts, reason, levels and facts; and units and amounts by verdict and reason."""

    rows: pa.Table
    summary: list[dict[str, Any]]


def find_measure(measure_id: str) -> Measure:
    """The measure of an id in any case; UsageError with the nearest ids for one that is not in the registry."""
    known = {measure.id.lower(): measure for measure in registry.load().measures}
    if measure := known.get(measure_id.lower()):
        return measure
    near = difflib.get_close_matches(measure_id.lower(), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(known[name].id for name in near)}?" if near else "list them with: ips measures list"
    raise UsageError(f"There is no measure {measure_id[:40]!r}; {hint}")


def find_breakdown(measure: Measure, name: str) -> str:
    """The breakdown of a measure by its id or its published name; UsageError with what the measure has."""
    breakdowns = registry.load().breakdowns
    for breakdown in measure.breakdowns:
        title = breakdowns[breakdown].name.lower()
        if name.lower() in (breakdown, breakdown.removeprefix("by_"), title, title.removeprefix("england; ")):
            return breakdown
    raise UsageError(f"{measure.id} is not divided by {name[:40]!r}; use one of {', '.join(breakdowns[item].name for item in measure.breakdowns)}")


def explain_measure(
    evidence: Path,
    period: tuple[date, date],
    measure_id: str,
    *,
    provider: str | None = None,
    breakdown: str | None = None,
    level: str | None = None,
    temporary: Path | None = None,
) -> Explained:
    """What counted in a measure in the reporting period, and what came near.

    ``evidence`` is the folder of Parquet files of a release, ``period`` the first and last day of its twelve months. ``provider``
    is an ODS code; ``breakdown`` an id or name, with or without a ``level`` of it. Raises UsageError for a measure, breakdown or
    provider that is not there, InputError for evidence that cannot be read.
    """
    measure = find_measure(measure_id)
    chosen = find_breakdown(measure, breakdown) if breakdown else None
    with _session(evidence, period, temporary) as connection:
        _hold(connection, evidence, measure)
        if provider is not None:
            _check_provider(connection, provider)
        _ask(connection, period[1], provider, _column(chosen) if chosen else None, level, [measure])
        steps.run(connection, STEPS, {})
        return _read(connection, "SELECT * FROM explained")


def explain_referral(evidence: Path, period: tuple[date, date], provider: str, referral: str, *, temporary: Path | None = None) -> Explained:
    """Every measure that a referral touches, in or out and why, over the months that the evidence holds.

    ``referral`` is the provider's own id (ServiceRequestID). People and jobs counted by way of the referral are found where the
    evidence names it. Raises UsageError when no evidence names the referral, InputError for evidence that cannot be read.
    """
    rows = _over_families(evidence, period, registry.load().measures, temporary, referral=provider + referral)
    if rows.num_rows == 0:
        raise UsageError(f"No evidence of this release names that referral of {provider}; check the id and the provider, or choose another period")
    return Explained(rows.drop_columns(["providers", "UniqMonthID"]), [])


def explain_all(evidence: Path, period: tuple[date, date], measures: Sequence[Measure], *, temporary: Path | None = None) -> pa.Table:
    """What counted or came near in the measures, in the reporting period: the columns of ``explained.sql``.

    A family whose evidence is not there is left out. Raises InputError for evidence that cannot be read.
    """
    return _over_families(evidence, period, measures, temporary)


def _over_families(
    evidence: Path, period: tuple[date, date], measures: Sequence[Measure], temporary: Path | None, referral: str | None = None
) -> pa.Table:
    """Ask each family in turn; of one referral over all periods, or of everything in the reporting period."""
    tables = []
    asked = [measure for measure in measures if _file(evidence, measure).is_file()]
    for group in _groups(asked):
        with _session(evidence, period, temporary) as connection:
            _hold(connection, evidence, group[0], referral=referral)
            # A measure that is newer than the evidence has nothing to say.
            held = _held_columns(connection)
            members = [measure for measure in group if _numerator(measure) in held]
            if not members:
                continue
            _ask(connection, None if referral else period[1], None, None, None, members)
            steps.run(connection, STEPS, {})
            tables.append(connection.sql("FROM explained ORDER BY measure_id, period_end, period_start, unit").to_arrow_table())
    if not tables:
        raise InputError(f"{evidence} holds no evidence of any measure; run the month again with this version")
    return pa.concat_tables(tables, promote_options="permissive")


def only(explained: Explained, which: str | None) -> Explained:
    """Only what counted (``counted``) or only what did not (``near``); all for None."""
    if which is None:
        return explained
    counted = pc.equal(explained.rows["verdict"], _COUNTED)
    rows = explained.rows.filter(counted if which == "counted" else pc.invert(counted))
    return Explained(rows, [line for line in explained.summary if (line["verdict"] == _COUNTED) is (which == "counted")])


def lines(explained: Explained, limit: int, *, by_measure: bool = False) -> Iterator[str]:
    """The summary, and the first rows, as lines for a terminal; ``by_measure`` puts the months of each measure into one line instead."""
    if by_measure:
        yield from _by_measure(explained.rows)
        return
    for line in explained.summary:
        of = f" of {line['denominator']:,}" if line["denominator"] is not None else ""
        yield f"{line['units']:>7,} {line['verdict']}, amounting to {line['numerator']:,}{of}{': ' + line['reason'] if line['reason'] else ''}"
    if not explained.summary:
        yield "Nothing counted, and nothing came near"
    for row in explained.rows.slice(0, limit).to_pylist():
        yield ""
        of = f" of {row['denominator']}" if row["denominator"] is not None else ""
        yield f"{row['unit']}: {row['verdict']}, {row['numerator']}{of}{'; ' + row['reason'] if row['reason'] else ''}"
        yield from (f"    {text}" for text in (row["facts"], row["levels"]) if text)
    if explained.rows.num_rows > limit:
        yield ""
        yield f"{explained.rows.num_rows - limit:,} more rows; see all with --out FILE.csv, or raise --limit"


def _by_measure(rows: pa.Table) -> Iterator[str]:
    """One line per measure, unit, verdict and reason, with its months. The rows are those of one referral, so they are few."""
    months: dict[tuple[str, str, str, str], list[str]] = {}
    for row in rows.to_pylist():
        # Rows of the dashboard differ only by how often the referral was multiplied.
        unit = row["unit"].partition(", row ")[0]
        months.setdefault((row["measure_id"], unit, row["verdict"], row["reason"] or ""), []).append(f"{row['period_end']:%Y-%m}")
    for (measure_id, unit, verdict, reason), named in months.items():
        when = sorted(set(named))
        shown = when[0] if len(when) == 1 else f"{when[0]} to {when[-1]}, {len(when)} months"
        yield f"{measure_id:<34} {verdict}{': ' + reason if reason else ''} ({shown}; {unit})"


def write(explained: Explained, path: Path) -> None:
    """Write the rows to a file that only its owner can read, as its suffix says: .csv, .json or .parquet; UsageError for another."""
    if path.suffix not in (".csv", ".json", ".parquet"):
        raise UsageError(f"{path.name} has no suffix that is known; end it in .csv, .json or .parquet")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as handle:
        if path.suffix == ".csv":
            pa_csv.write_csv(explained.rows, handle)
        elif path.suffix == ".parquet":
            pq.write_table(explained.rows, handle)
        else:
            handle.write(as_json(explained).encode())
    path.chmod(0o600)


def as_json(explained: Explained) -> str:
    """Summary and rows as JSON text."""
    return json.dumps({"summary": explained.summary, "rows": explained.rows.to_pylist()}, default=str, indent=1, ensure_ascii=False) + "\n"


def quantity(name: str) -> str:
    """The column of the common form that a numerator or denominator of the registry stands for."""
    return name if name.startswith("n_") else f"n_{name}"


def _timed(measure: Measure) -> bool:
    return measure.numerator.startswith("t_")


def _file(evidence: Path, measure: Measure) -> Path:
    return evidence / f"{measure.family}{'_time' if _timed(measure) else ''}.parquet"


def _groups(measures: Sequence[Measure]) -> list[list[Measure]]:
    """Measures that one reading of the evidence answers: those of a family together, each time to an event by itself."""
    groups: dict[tuple[str, str], list[Measure]] = {}
    for measure in measures:
        groups.setdefault((measure.family, measure.numerator if _timed(measure) else ""), []).append(measure)
    return list(groups.values())


@contextmanager
def _session(evidence: Path, period: tuple[date, date], temporary: Path | None) -> Iterator[duck.Connection]:
    if not evidence.is_dir():
        raise InputError(f"There is no evidence in {evidence}; run the month first, or give the folder with --evidence")
    with duck.session(read=[evidence], temporary=temporary) as connection:
        connection.execute(_TEMPLATE)
        connection.execute("CREATE TABLE release AS SELECT CAST(? AS DATE) AS period_start, CAST(? AS DATE) AS period_end", list(period))
        yield connection


def _hold(connection: duck.Connection, evidence: Path, measure: Measure, referral: str | None = None) -> None:
    """``unit_row``: the evidence a measure is counted from, in the common form; of one referral, or all."""
    path = _file(evidence, measure)
    if not path.is_file():
        raise InputError(f"{path} does not exist, so {measure.id} cannot be explained; run the month again with this version")
    connection.execute(f"CREATE VIEW held AS FROM read_parquet({duck.text_literal(str(path.resolve()))})")
    connection.execute("CREATE TABLE asked_time AS SELECT CAST(? AS VARCHAR) AS quantity", [measure.numerator])
    step = TIME_STEP if _timed(measure) else UNIT_STEPS.get(measure.family)
    if step:
        steps.run(connection, [step], {}, views=[step])
    form = duck.identifier(step.rpartition("/")[2]) if step else "held"
    connection.execute(f"CREATE VIEW all_units AS FROM unit_template UNION ALL BY NAME FROM {form}")
    if referral is None:
        connection.execute("CREATE VIEW unit_row AS SELECT * REPLACE (coalesce(by_all, 'All') AS by_all) FROM all_units")
    else:
        connection.execute("CREATE TABLE asked_referral AS SELECT CAST(? AS VARCHAR) AS UniqServReqID", [referral])
        steps.run(connection, [REFERRAL_STEP], {})
        connection.execute("CREATE VIEW unit_row AS FROM unit_of_referral")


def _ask(
    connection: duck.Connection, last_day: date | None, provider: str | None, breakdown: str | None, level: str | None, measures: Sequence[Measure]
) -> None:
    connection.execute(
        "CREATE TABLE asked AS SELECT CAST(? AS DATE) AS period_end, CAST(? AS VARCHAR) AS provider, CAST(? AS VARCHAR) AS breakdown,"
        " CAST(? AS VARCHAR) AS level",
        [last_day, provider, breakdown, level],
    )
    held = _held_columns(connection)
    numerators = [_numerator(measure) for measure in measures]
    if missing := [measure.id for measure, numerator in zip(measures, numerators, strict=True) if numerator not in held]:
        raise InputError(f"The evidence does not hold what {missing[0]} counts; run the month again with this version")
    # A denominator that comes from reference data, such as a population, has no records behind it.
    denominators = [name if measure.denominator and (name := quantity(measure.denominator)) in held else None for measure in measures]
    duck.create_table(
        connection,
        "asked_measure",
        {
            "measure_id": [measure.id for measure in measures],
            "kind": [measure.kind for measure in measures],
            "numerator": numerators,
            "denominator": denominators,
        },
    )
    named = {_column(item.id): item.name.removeprefix("England; ") for item in registry.load().breakdowns.values() if item.name not in _WHOLE}
    duck.create_table(connection, "shown_breakdown", {"breakdown": list(named), "name": list(named.values())})


def _numerator(measure: Measure) -> str:
    """The column that says how much of a measure a row of evidence is."""
    return "n_happened" if _timed(measure) else quantity(measure.numerator)


def _held_columns(connection: duck.Connection) -> frozenset[str]:
    return frozenset(row[0] for row in connection.execute("DESCRIBE unit_row").fetchall())


def _column(breakdown: str) -> str:
    return breakdown if breakdown.startswith("by_") else f"by_{breakdown}"


def _check_provider(connection: duck.Connection, provider: str) -> None:
    held = [row[0] for row in connection.execute("SELECT DISTINCT by_provider FROM unit_row WHERE by_provider IS NOT NULL ORDER BY 1").fetchall()]
    if provider not in held:
        near = difflib.get_close_matches(provider, held, n=3, cutoff=0.4) or held[:5]
        hint = f"it names {', '.join(near)}" if near else "it names none"
        raise UsageError(f"The evidence of this measure names no provider {provider[:12]!r}; {hint}")


def _read(connection: duck.Connection, query: str) -> Explained:
    rows = connection.sql(
        f"SELECT * EXCLUDE (providers, UniqMonthID) REPLACE (array_to_string(levels, '; ') AS levels) FROM ({query})"
        " ORDER BY measure_id, period_end, verdict, reason NULLS FIRST, unit, numerator, denominator"
    ).to_arrow_table()
    summary = connection.sql(
        "SELECT verdict, reason, count(*) AS units, CAST(sum(numerator) AS BIGINT) AS numerator, CAST(sum(denominator) AS BIGINT) AS denominator"
        f" FROM ({query}) GROUP BY verdict, reason ORDER BY verdict, units DESC, reason NULLS FIRST"
    ).to_arrow_table()
    return Explained(rows, summary.to_pylist())

"""The page of a release: what may be shown of MHS116 and the dashboard, in plain words, with charts, tables and downloads.

Values come from the publication file, which holds what disclosure control lets through, and for England alone, which is
published exactly, from the dashboard. The RAW file and the exact values of ``measures.parquet`` are never read.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ips_pipeline import __version__
from ips_pipeline.errors import InputError
from ips_pipeline.mhsds import standard
from ips_pipeline.reports import pages
from ips_pipeline.reports.pages import Bar, Line
from ips_pipeline.store.duck import Connection, session, text_literal

PAGE = "index.html"

_COUNT, _RATE = "MHS116", "MHS116a"
_SUPPRESSED, _UNKNOWN = "*", "UNKNOWN"
_TRENDS = ("NewReferrals", "OpenReferrals", "Caseload", "AccessedInFinancialYear", "TotalContacts", "ClosedReferrals")
#: Charts get unreadable, and trends lose their point, beyond these.
_MOST_BARS, _MOST_MONTHS = 20, 25


@dataclass(frozen=True, slots=True)
class _Section:
    """One breakdown of the publication: its name there, how the page calls it, and how its levels are ordered."""

    breakdown: str
    id: str
    title: str
    level: str
    lead: str
    largest_first: bool = False
    chart_rate: bool = False


_SECTIONS = (
    _Section(
        "Provider",
        "providers",
        "By provider",
        "Provider",
        "Each referral counts for the provider that held it. Every provider that sent data in the twelve months is listed.",
        largest_first=True,
    ),
    _Section(
        "Sub ICB of GP Practice or Residence",
        "places",
        "By sub-ICB",
        "Sub-ICB",
        "The sub-integrated care board of the person’s GP practice or, without one, of their home. A person can count in two of them.",
        largest_first=True,
    ),
    _Section("England; Age Band", "age", "By age", "Age", "Age at the end of the month of the first contact in the period. No age limit applies."),
    _Section("England; Gender", "gender", "By gender", "Gender", "Gender identity where it was given, otherwise the person’s stated gender."),
    _Section("England; Upper Ethnicity", "ethnicity", "By ethnic group", "Ethnic group", "The ethnic category that the provider recorded."),
    _Section(
        "England; IMD Decile",
        "deprivation",
        "By deprivation",
        "Decile of deprivation",
        "The Index of Multiple Deprivation 2019 of the area where the person lives: 01 is the most deprived tenth of areas in England.",
        chart_rate=True,
    ),
)


@dataclass(frozen=True, slots=True)
class _Row:
    """One level: the count and the rate as published, as text; ``rate`` is None where the measure has none."""

    level: str
    name: str
    count: str
    rate: str | None
    populated: bool


@dataclass(frozen=True, slots=True)
class _Publication:
    start: date
    end: date
    status: str
    titles: Mapping[str, str]
    values: Mapping[str, Mapping[str, _Row]]


def write_release_page(
    release: Path,
    *,
    identity: str | None = None,
    submissions: int | None = None,
    not_evaluated: Sequence[Mapping[str, Any]] = (),
    definitions: Sequence[Mapping[str, Any]] = (),
    notice: str | None = None,
    temporary: Path | None = None,
) -> Path:
    """Write ``index.html`` into a release folder from its publication file, ``measures.parquet`` and ``dashboard.csv``; gives its path.

    ``identity`` names the release, ``submissions`` counts the provider-months it was made from, and ``not_evaluated`` says per
    ``measure`` and ``breakdown`` which reference files (``needs``) were not at hand. ``definitions`` are those of the registry:
    id, title, definition, source, caveats. ``notice`` is one sentence shown on top, such as that the data are made up. The page
    holds published values only and depends on nothing but these inputs, so the same release gives the same bytes. Raises
    InputError when the folder has no publication file or it cannot be read, and RetryableError when the page cannot be written.
    """
    with session(read=[release], temporary=temporary) as connection:
        about = _Measures(connection, release / "measures.parquet")
        published = _publication(release, about.populated(connection))
        trends = _trends(connection, release / "dashboard.csv", about.titles)
        lacking = _lacking(about.not_evaluated(connection), not_evaluated, about.titles)
    sections = [_section(section, rows) for section in _SECTIONS if (rows := published.values.get(section.breakdown))]
    england = next(iter(published.values["England"].values()))
    content = {
        "start": published.start,
        "end": published.end,
        "status": published.status,
        "identity": identity,
        "submissions": submissions,
        "notice": notice,
        "england": england,
        "rate": None if england.rate is None else float(england.rate),
        "providers": len(published.values.get("Provider", {})),
        "sections": sections,
        "trends": trends,
        "lacking": lacking,
        "downloads": _downloads(release),
        "measures": _definitions(definitions, [_COUNT, _RATE, *(_TRENDS if trends else ())]),
        "versions": about.versions,
        "standard": standard.load().version,
        "software": __version__,
    }
    return pages.write_page(release / PAGE, "release.html", content)


class _Measures:
    """What ``measures.parquet`` says about the measures themselves; of its values, only whether a level has a population."""

    def __init__(self, connection: Connection, path: Path) -> None:
        if not path.is_file():
            raise InputError(f"{path} does not exist; write the page into a release folder that ips run or ips measures made")
        self._source = f"read_parquet({text_literal(str(path.resolve()))})"
        rows = connection.execute(f"SELECT DISTINCT measure_id, measure_name, definition_version FROM {self._source} ORDER BY ALL").fetchall()
        self.titles: dict[str, str] = {measure: name for measure, name, _ in rows}
        self.versions: dict[str, list[str]] = {
            "MHS116 and MHS116a": sorted({version for measure, _, version in rows if measure in (_COUNT, _RATE)}),
            "IPS dashboard": sorted({version for measure, _, version in rows if measure in _TRENDS}),
        }

    def populated(self, connection: Connection) -> set[tuple[str, str]]:
        """Breakdown and level of every rate that has a population to divide by."""
        return set(
            connection.execute(
                f"SELECT breakdown, level FROM {self._source} WHERE measure_id = ? AND variant = 'published' AND denominator > 0", [_RATE]
            ).fetchall()
        )

    def not_evaluated(self, connection: Connection) -> list[tuple[str, str, str]]:
        """Family, measure and breakdown of what lacks reference data."""
        return connection.execute(
            f"SELECT DISTINCT family, measure_id, breakdown FROM {self._source} WHERE disclosure = 'not evaluated' ORDER BY ALL"
        ).fetchall()


def _publication(release: Path, populated: set[tuple[str, str]]) -> _Publication:
    """Read the one publication file that is not RAW."""
    found = sorted(path for path in (release / "publication").glob("*.csv") if "_RAW_" not in path.name)
    if len(found) != 1:
        raise InputError(f"{release / 'publication'} must hold one publication file and its RAW twin; run the month again")
    try:
        with found[0].open(encoding="utf-8", newline="") as handle:
            lines = list(csv.DictReader(handle))
        held: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
        names: dict[tuple[str, str], str] = {}
        for item in lines:
            held[item["BREAKDOWN"]][item["PRIMARY_LEVEL"]][item["MEASURE_ID"]] = item["MEASURE_VALUE"]
            names[item["BREAKDOWN"], item["PRIMARY_LEVEL"]] = item["PRIMARY_LEVEL_DESCRIPTION"] or item["PRIMARY_LEVEL"]
        if not held["England"]:
            raise ValueError("without a line for England")
        return _Publication(
            start=date.fromisoformat(lines[0]["REPORTING_PERIOD_START"]),
            end=date.fromisoformat(lines[0]["REPORTING_PERIOD_END"]),
            status=lines[0]["STATUS"],
            titles={item["MEASURE_ID"]: item["MEASURE_NAME"] for item in lines},
            values={
                breakdown: {
                    level: _Row(level, names[breakdown, level], values[_COUNT], values.get(_RATE), (breakdown, level) in populated)
                    for level, values in levels.items()
                }
                for breakdown, levels in held.items()
            },
        )
    except (OSError, UnicodeDecodeError, KeyError, IndexError, ValueError):
        raise InputError(f"{found[0]} is not a publication file; run the month again") from None


def _section(section: _Section, levels: Mapping[str, _Row]) -> dict[str, Any]:
    """A breakdown as the page shows it: ordered rows, and a chart of the counts or, where groups of unlike size are compared, of the rates."""
    rated = any(row.rate is not None for row in levels.values())
    rows = sorted(levels.values(), key=_by_size if section.largest_first else _by_level)
    charted = rows[:_MOST_BARS] if section.largest_first else rows
    by = "b" + section.title.removeprefix("B")
    if rated and section.chart_rate:
        charted = [row for row in charted if row.level != _UNKNOWN]
        chart = _chart(f"{section.id}-chart", f"Rate of access to IPS {by}", "Referrals per 100,000 people", charted, "rate")
    else:
        chart = _chart(f"{section.id}-chart", f"Referrals that accessed IPS {by}", "Number of referrals", charted, "count")
    return {
        "about": section,
        "by": by,
        "rows": rows,
        "rated": rated,
        "chart": chart,
        "left_out": len(rows) - len(charted) if section.largest_first else 0,
        "suppressed": any(row.count == _SUPPRESSED for row in rows),
        "quiet": any(row.level == _UNKNOWN and _as_number(row.count) for row in charted),
    }


def _chart(identifier: str, title: str, unit: str, rows: Sequence[_Row], what: str) -> dict[str, Any]:
    shown = [(row, _as_number(row.count if what == "count" else row.rate) if what == "count" or row.populated else None) for row in rows]
    largest = max((value for _, value in shown if value is not None), default=0.0)
    bars = [
        Bar(
            _name(row),
            pages.number(value) if value is not None else ("* fewer than 5" if row.count == _SUPPRESSED else "no population"),
            pages.share(value or 0.0, largest),
            quiet=row.level == _UNKNOWN,
        )
        for row, value in shown
    ]
    summary = f"Bar chart of {len(bars)} levels."
    if top := next((row for row, value in shown if value == largest and largest > 0), None):
        summary += f" The longest bar is {_name(top)} with {pages.number(largest)}."
    return {"id": identifier, "title": title, "unit": unit, "bars": bars, "summary": summary + " All values are in the table."}


def _name(row: _Row) -> str:
    return "Unknown" if row.level == _UNKNOWN else row.name


def _as_number(text: str | None) -> float | None:
    return None if text in (None, _SUPPRESSED) else float(text)


def _by_size(row: _Row) -> tuple[float, str]:
    value = _as_number(row.count)
    return (1.0 if value is None else -value, row.name)


def _by_level(row: _Row) -> tuple[bool, bool, int, str]:
    """Groups that have a population first, in the order of their numbers or names; the unknown last."""
    first = re.match(r"[0-9]+", row.level)
    return (row.level == _UNKNOWN, row.rate is not None and not row.populated, int(first[0]) if first else 0, row.level)


def _trends(connection: Connection, path: Path, titles: Mapping[str, str]) -> dict[str, Any] | None:
    """England over the months of the dashboard. A measure without a row in a month was nought there."""
    if not path.is_file():
        return None
    found = connection.execute(
        f"SELECT CAST(ReportingPeriodEnd AS DATE), MeasureName, CAST(MeasureValue AS BIGINT)"
        f" FROM read_csv({text_literal(str(path.resolve()))}, header = true, all_varchar = true, auto_detect = false, delim = ',', quote = '\"',"
        " escape = '\"', columns = {UniqMonthID: VARCHAR, ReportingPeriodEnd: VARCHAR, FinancialYear: VARCHAR, Breakdown: VARCHAR, Level: VARCHAR,"
        " LevelName: VARCHAR, MeasureName: VARCHAR, MeasureValue: VARCHAR, Denominator: VARCHAR}) WHERE Breakdown = 'England'"
    ).fetchall()
    months = sorted({end for end, _, _ in found})[-_MOST_MONTHS:]
    if not months:
        return None
    values = {(end, measure): value or 0 for end, measure, value in found}
    held = [measure for measure in _TRENDS if any((end, measure) in values for end in months)]
    labels = [pages.short_month(end) for end in months]
    charts: list[dict[str, Any]] = []
    for measure in held:
        series = [values.get((end, measure), 0) for end in months]
        chart: Line = pages.line(labels, series)
        summary = (
            f"Line chart of {len(months)} months: {pages.number(series[0])} in {pages.month(months[0])}, {pages.number(series[-1])} in "
            f"{pages.month(months[-1])}, lowest {pages.number(min(series))}, highest {pages.number(max(series))}. All values are in the table."
        )
        charts.append({"id": f"trend-{measure}", "title": titles.get(measure, measure), "measure": measure, "chart": chart, "summary": summary})
    rows = [(end, [values.get((end, measure), 0) for measure in held]) for end in months]
    return {"charts": charts, "rows": rows, "last": months[-1], "caseload": values.get((months[-1], "Caseload")) if "Caseload" in held else None}


def _lacking(
    found: Sequence[tuple[str, str, str]], reasons: Sequence[Mapping[str, Any]], titles: Mapping[str, str]
) -> list[tuple[str, list[tuple[str, str]]]]:
    """What was not evaluated: per set of absent files the measures, those with the same breakdowns together, and their breakdowns."""
    needs = {(item["measure"], item["breakdown"]): ", ".join(item["needs"]) for item in reasons}
    alike: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for family, measure, breakdown in found:
        name = measure if family == "mhs116" else titles[measure]
        alike[needs.get((measure, breakdown), "Reference data"), family, breakdown].append(name)
    breakdowns: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (files, _, breakdown), measures in alike.items():
        what = " and ".join(measures) if len(measures) <= 2 else f"{len(measures)} measures of the IPS dashboard"
        breakdowns[files, what].append(breakdown)
    lacking: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for (files, what), names in sorted(breakdowns.items()):
        lacking[files].append((what, " · ".join(names)))
    return list(lacking.items())


def _downloads(release: Path) -> dict[str, list[dict[str, Any]]]:
    """The files of the folder, those that may be published apart from those with exact small numbers."""
    open_files: list[dict[str, Any]] = []
    closed_files: list[dict[str, Any]] = []
    for path in sorted(item for item in release.rglob("*") if item.is_file() and not item.name.startswith(".")):
        name = path.relative_to(release).as_posix()
        if name in (PAGE, "manifest.json"):
            continue
        item = {"name": path.name, "link": quote(name), "size": path.stat().st_size, "about": _about(name)}
        (open_files if name.startswith("publication/") and "_RAW_" not in name else closed_files).append(item)
    return {"open": open_files, "closed": closed_files}


def _about(name: str) -> str:
    if name.startswith("publication/"):
        exact = "before suppression and rounding" if "_RAW_" in name else "after suppression and rounding, as on this page"
        return f"MHS116 and MHS116a {exact}, in the layout of NHS England’s monthly publication"
    return {
        "dashboard.csv": "The measures of the IPS dashboard, per month and one dimension at a time",
        "measures.parquet": "Every measure in one long table, with numerator, denominator, disclosure state and definition version",
    }.get(name, "Part of this release")


def _definitions(definitions: Sequence[Mapping[str, Any]], wanted: Sequence[str]) -> list[Mapping[str, Any]]:
    """The definitions of the measures on the page, in the order of the page."""
    held = {item["id"]: item for item in definitions}
    return [held[name] for name in wanted if name in held]

"""The page of a release: what may be shown of MHS116, the dashboard and our own measures, in plain words, with charts, tables and downloads.

Every value comes from the release's own ``measures.parquet``, which holds what disclosure control lets through and nothing else.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
    """One level: the count and the rate as released, as text; ``rate`` is None where the measure has none, ``count`` where nothing was submitted."""

    level: str
    name: str
    count: str | None
    rate: str | None
    populated: bool


@dataclass(frozen=True, slots=True)
class _Released:
    start: date
    end: date
    status: str
    local: bool
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
    """Write ``index.html`` into a release folder from its ``measures.parquet``; gives its path.

    ``not_evaluated`` says what lacks reference data and ``definitions`` what the measures mean, both as the measures say it. The page
    holds released values only and depends on nothing but these inputs, so the same release gives the same bytes. Raises
    InputError when the folder has no released measures or they cannot be read, and RetryableError when the page cannot be written.
    """
    with _opened(release, temporary) as connection:
        titles = dict(connection.execute("SELECT DISTINCT measure_id, measure_name FROM released ORDER BY ALL").fetchall())
        released = _released(connection, release)
        trends = _trends(connection, titles)
        own = _own(connection)
        lacking = _lacking(_absent(connection), not_evaluated, titles)
        versions = _versions(connection)
    sections = [_section(section, rows) for section in _SECTIONS if (rows := released.values.get(section.breakdown))]
    england = next(iter(released.values["England"].values()))
    rate = _as_number(england.rate)
    content = {
        "start": released.start,
        "end": released.end,
        "status": released.status,
        "local": released.local,
        "identity": identity,
        "submissions": submissions,
        "notice": notice,
        "england": england,
        "rate": rate if england.populated else None,
        "providers": sum(row.count is not None for row in released.values.get("Provider", {}).values()),
        "sections": sections,
        "trends": trends,
        "own": own,
        "lacking": lacking,
        "downloads": _downloads(release),
        "measures": _definitions(definitions, [_COUNT, _RATE, *(_TRENDS if trends else ()), *dict.fromkeys(row["measure"] for row in own)]),
        "versions": versions,
        "standard": standard.load().version,
        "software": __version__,
    }
    return pages.write_page(release / PAGE, "release.html", content)


def released_values(release: Path, breakdown: str, measure_id: str) -> list[tuple[str, str, str]]:
    """Level, its name and the value as text of a measure in a release, in the order of the levels; an asterisk is a hidden value.

    Raises InputError when the folder has no released measures.
    """
    with _opened(release, None) as connection:
        found: list[tuple[str, str, str]] = connection.execute(
            "SELECT level, coalesce(level_name, level), coalesce(published, 'nothing sent') FROM released"
            " WHERE breakdown = ? AND measure_id = ? AND disclosure <> 'not evaluated' ORDER BY level",
            [breakdown, measure_id],
        ).fetchall()
        return found


@contextmanager
def _opened(release: Path, temporary: Path | None) -> Iterator[Connection]:
    """A connection that sees the measures of a release as the view ``released``."""
    path = release / "measures.parquet"
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a release folder that ips run made")
    with session(read=[release], temporary=temporary) as connection:
        connection.execute(f"CREATE VIEW released AS FROM read_parquet({text_literal(str(path.resolve()))})")
        yield connection


def _absent(connection: Connection) -> list[tuple[str, str, str]]:
    """Family, measure and breakdown of what lacks reference data."""
    return connection.execute(
        "SELECT DISTINCT family, measure_id, breakdown FROM released WHERE disclosure = 'not evaluated' ORDER BY ALL"
    ).fetchall()


def _versions(connection: Connection) -> dict[str, list[str]]:
    """The versions of the published definitions that are on the page."""
    rows = connection.execute("SELECT DISTINCT measure_id, definition_version FROM released ORDER BY ALL").fetchall()
    return {
        "MHS116 and MHS116a": sorted({version for measure, version in rows if measure in (_COUNT, _RATE)}),
        "IPS dashboard": sorted({version for measure, version in rows if measure in _TRENDS}),
    }


def _released(connection: Connection, release: Path) -> _Released:
    """MHS116 and MHS116a by breakdown and level; InputError when there is no count for England or exact small counts are in the file."""
    rows = connection.execute(
        "SELECT variant, breakdown, level, coalesce(level_name, level), measure_id, published, denominator > 0, period_start, period_end, status"
        " FROM released WHERE measure_id IN (?, ?) AND disclosure <> 'not evaluated' ORDER BY ALL",
        [_COUNT, _RATE],
    ).fetchall()
    held: dict[str, dict[str, dict[str, str | None]]] = defaultdict(lambda: defaultdict(dict))
    names: dict[tuple[str, str], str] = {}
    populated = set()
    for _, breakdown, level, name, measure, published, has_population, *_ in rows:
        held[breakdown][level][measure] = published
        names[breakdown, level] = name
        if measure == _RATE and has_population:
            populated.add((breakdown, level))
    if not held["England"] or any(row[0] == "unsuppressed" for row in rows):
        raise InputError(f"{release / 'measures.parquet'} is not that of a release; run the month again")
    return _Released(
        start=rows[0][7],
        end=rows[0][8],
        status=rows[0][9],
        local=rows[0][0] == "local",
        values={
            breakdown: {
                level: _Row(level, names[breakdown, level], values.get(_COUNT), values.get(_RATE), (breakdown, level) in populated)
                for level, values in levels.items()
            }
            for breakdown, levels in held.items()
        },
    )


def _own(connection: Connection) -> list[dict[str, Any]]:
    """Our own measures over everything: the value as released, with its 95% interval where there is one."""
    rows = connection.execute(
        "SELECT measure_id, measure_name, kind, unit, value, lower, upper, disclosure FROM released"
        " WHERE breakdown = 'All' AND level = 'All' AND family NOT IN ('mhs116', 'dashboard') AND disclosure <> 'not evaluated'"
        " QUALIFY row_number() OVER (PARTITION BY measure_id ORDER BY period_end DESC, period_start DESC) = 1 ORDER BY family, measure_id"
    ).fetchall()
    names = ("measure", "title", "kind", "unit", "value", "lower", "upper", "disclosure")
    return [dict(zip(names, row, strict=True)) for row in rows]


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
        "silent": any(row.count is None for row in rows),
        "quiet": any(row.level == _UNKNOWN and _as_number(row.count) for row in charted),
    }


def _chart(identifier: str, title: str, unit: str, rows: Sequence[_Row], what: str) -> dict[str, Any]:
    shown = [(row, _as_number(row.count if what == "count" else row.rate) if what == "count" or row.populated else None) for row in rows]
    largest = max((value for _, value in shown if value is not None), default=0.0)
    bars = [
        Bar(
            _name(row),
            pages.number(value) if value is not None else _without_value(row),
            pages.share(value or 0.0, largest),
            quiet=row.level == _UNKNOWN,
        )
        for row, value in shown
    ]
    summary = f"Bar chart of {len(bars)} levels."
    if top := next((row for row, value in shown if value == largest and largest > 0), None):
        summary += f" The longest bar is {_name(top)} with {pages.number(largest)}."
    return {"id": identifier, "title": title, "unit": unit, "bars": bars, "summary": summary + " All values are in the table."}


def _without_value(row: _Row) -> str:
    if row.count is None:
        return "nothing sent"
    return "* hidden" if row.count == _SUPPRESSED else "no population"


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


def _trends(connection: Connection, titles: Mapping[str, str]) -> dict[str, Any] | None:
    """England over the months of the dashboard. A measure without a row in a month was nought there; one with a hidden number has no chart."""
    found = connection.execute(
        "SELECT period_end, measure_id, numerator FROM released"
        " WHERE family = 'dashboard' AND breakdown = 'England' AND disclosure <> 'not evaluated' ORDER BY ALL"
    ).fetchall()
    months = sorted({end for end, _, _ in found})[-_MOST_MONTHS:]
    if not months:
        return None
    values: dict[tuple[date, str], int | None] = {(end, measure): value for end, measure, value in found}
    held = [measure for measure in _TRENDS if any((end, measure) in values for end in months)]
    labels = [pages.short_month(end) for end in months]
    charts: list[dict[str, Any]] = []
    for measure in held:
        series = [value for end in months if (value := values.get((end, measure), 0)) is not None]
        if len(series) < len(months):
            continue
        chart: Line = pages.line(labels, series)
        summary = (
            f"Line chart of {len(months)} months: {pages.number(series[0])} in {pages.month(months[0])}, {pages.number(series[-1])} in "
            f"{pages.month(months[-1])}, lowest {pages.number(min(series))}, highest {pages.number(max(series))}. All values are in the table."
        )
        charts.append({"id": f"trend-{measure}", "title": titles.get(measure, measure), "chart": chart, "summary": summary})
    return {
        "charts": charts,
        "measures": [(measure, titles.get(measure, measure)) for measure in held],
        "rows": [(end, [values.get((end, measure), 0) for measure in held]) for end in months],
        "last": months[-1],
        "caseload": values.get((months[-1], "Caseload")) if "Caseload" in held else None,
    }


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


def _downloads(release: Path) -> list[dict[str, Any]]:
    """The files of the folder besides this page."""
    found = sorted(item for item in release.rglob("*") if item.is_file() and not item.name.startswith("."))
    names = [(path, path.relative_to(release).as_posix()) for path in found]
    return [
        {"name": path.name, "link": quote(name), "size": path.stat().st_size, "about": _about(name)}
        for path, name in names
        if name not in (PAGE, "manifest.json")
    ]


def _about(name: str) -> str:
    if name.startswith("publication/"):
        return "MHS116 and MHS116a in the layout of NHS England’s monthly publication"
    return {
        "measures.parquet": "Every measure in one long table, with numerator, denominator, interval, disclosure state and definition version",
        "measures.csv": "The same for spreadsheets",
    }.get(name, "Part of this release")


def _definitions(definitions: Sequence[Mapping[str, Any]], wanted: Sequence[str]) -> list[Mapping[str, Any]]:
    """The definitions of the measures on the page, in the order of the page."""
    held = {item["id"]: item for item in definitions}
    return [held[name] for name in wanted if name in held]

"""The figures of a release, as its pages show them: what disclosure control let through, with the words and marks that go with each.

A figure is one row of ``measures.parquet``. Nothing is worked out here: where a value, an interval or a median is not released, the figure says why.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from ips_pipeline.errors import InputError
from ips_pipeline.reports import pages
from ips_pipeline.store.duck import Connection, session, text_literal

#: Why a figure has no number, or that it has one. ``nobody`` has nothing to divide by, ``unreached`` is a median of too few who got there.
Mark = Literal["shown", "hidden", "silent", "nobody", "unreached", "unknown", "population"]

ALL = "All"
_SUPPRESSED = "*"
#: Breakdowns whose levels are codes of places with names of their own.
_PLACES = ("Provider", "Sub ICB of GP Practice or Residence", "SubICB", "Sub-ICB", "ICB", "Region")
#: The months of the dashboard that its trends show, and the breakdowns by which they are shown.
_DASHBOARD = ("England", "Provider")


@dataclass(frozen=True, slots=True)
class Figure:
    """One released value: what it is of, the value with its interval and comparisons, and how it was disclosed."""

    family: str
    measure: str
    title: str
    kind: str
    unit: str
    version: str
    start: date
    end: date
    status: str
    breakdown: str
    level: str
    variant: str
    numerator: int | None
    denominator: int | None
    value: float | None
    published: str | None
    disclosure: str
    lower: float | None
    upper: float | None
    ratio: float | None
    ratio_lower: float | None
    ratio_upper: float | None
    limit_lower_95: float | None
    limit_upper_95: float | None
    limit_lower_998: float | None
    limit_upper_998: float | None
    reliability: str | None

    @property
    def mark(self) -> Mark:
        """Whether there is a number to show, or why there is none."""
        if self.disclosure == "not submitted":
            return "silent"
        if self.disclosure == "not evaluated":
            return "unknown"
        if self.disclosure == "suppressed" or self.published == _SUPPRESSED:
            return "hidden"
        # Published as a rate of 0 that means nothing.
        if self.family == "mhs116" and self.kind == "rate" and not self.denominator:
            return "population"
        if self.value is not None:
            return "shown"
        return "unreached" if self.kind == "median" and self.denominator else "nobody"

    @property
    def number(self) -> float | None:
        """The value where it may be shown."""
        return self.value if self.mark == "shown" else None

    @property
    def text(self) -> str:
        """The value as people write it; empty where there is none."""
        return "" if self.number is None else self.written(self.number)

    @property
    def few(self) -> bool:
        """Whether the value rests on fewer than 20 and should not be leant on."""
        return self.reliability is not None and self.mark == "shown" and self.kind != "count"

    @property
    def bounded(self) -> bool:
        """Whether the value comes with a 95% interval."""
        return self.number is not None and self.lower is not None and self.upper is not None

    @property
    def money(self) -> bool:
        """Whether the value is in pence, which people write in pounds."""
        return self.unit.startswith("pence")

    @property
    def counted(self) -> str:
        """The unit in words, as it reads after the value."""
        if self.kind == "proportion":
            return f"% of {self.unit.removeprefix('proportion of ')}"
        return self.unit.replace("pence", "pounds", 1) if self.money else self.unit

    def written(self, number: float) -> str:
        """A number of this figure (its value, or an end of its interval) as people write it: shares in per cent, pence in pounds."""
        if self.kind == "proportion":
            return f"{100 * number:.1f}%"
        if self.money:
            return f"£{number / 100:,.2f}" if abs(number) < 100_000 else f"£{number / 100:,.0f}"
        if self.kind == "median":
            return f"{number:,.0f}"
        if self.kind == "rate" and self.family != "mhs116" and abs(number) >= 1:
            return f"{number:,.1f}"
        return brief(number)

    @property
    def outside(self) -> Literal["above", "below"] | None:
        """Whether the value lies outside what chance alone would leave 998 of 1,000 places within; None where that is not released or not so."""
        if self.number is None or self.limit_lower_998 is None or self.limit_upper_998 is None:
            return None
        return "above" if self.number > self.limit_upper_998 else "below" if self.number < self.limit_lower_998 else None


def brief(number: float) -> str:
    """A number with as many places as say something: whole, one place, or two figures below one."""
    if float(number).is_integer() or abs(number) >= 1:
        return pages.number(round(number, 1))
    return f"{number:.2g}" if abs(number) >= 0.001 else "under 0.001"


class Figures:
    """The figures of a release, found by measure, breakdown and level."""

    def __init__(self, held: Sequence[Figure], names: Mapping[tuple[str, str], str]) -> None:
        """``held`` is in the order of measure, breakdown, level and period; ``names`` are those of levels by breakdown and code."""
        self._series: dict[tuple[str, str], dict[str, list[Figure]]] = defaultdict(lambda: defaultdict(list))
        self._lacking: dict[tuple[str, str], Figure] = {}
        self._labels = names
        self._names = {code: names[breakdown, code] for breakdown, code in sorted(names) if breakdown in _PLACES}
        for figure in held:
            if figure.disclosure == "not evaluated":
                self._lacking[figure.measure, figure.breakdown] = figure
            else:
                self._series[figure.measure, figure.breakdown][figure.level].append(figure)

    def one(self, measure: str, breakdown: str = ALL, level: str = ALL) -> Figure | None:
        """The latest figure of a measure at a level, what says that it could not be evaluated, or None where the release does not hold it."""
        found = self.series(measure, breakdown, level)
        return found[-1] if found else self._lacking.get((measure, breakdown))

    def series(self, measure: str, breakdown: str = ALL, level: str = ALL) -> list[Figure]:
        """The figures of a measure at a level, in the order of their periods."""
        held = self._series.get((measure, breakdown))
        return held.get(level, []) if held else []

    def levels(self, measure: str, breakdown: str) -> dict[str, Figure]:
        """The latest figure of a measure by a breakdown at each of its levels, in the order of the levels."""
        return {level: found[-1] for level, found in self._series.get((measure, breakdown), {}).items()}

    def name(self, code: str) -> str:
        """The name of a place, or its code where no name is released."""
        return self._names.get(code, code)

    def label(self, breakdown: str, level: str) -> str:
        """The name of a level of a breakdown, or the level itself where no name is released."""
        return self._labels.get((breakdown, level), level)

    def measures(self, families: Sequence[str], breakdown: str = ALL) -> list[tuple[str, str]]:
        """Family and id of each measure of some families that has figures by a breakdown, in the order of families and ids."""
        found = {
            (next(iter(levels.values()))[0].family, measure)
            for (measure, of), levels in self._series.items()
            if of == breakdown and next(iter(levels.values()))[0].family in families
        }
        return sorted(found, key=lambda item: (list(families).index(item[0]), item[1]))

    def months(self, breakdown: str) -> set[date]:
        """The last days of the months that the dashboard has figures of by a breakdown."""
        return {
            figure.end
            for (_, of), levels in self._series.items()
            if of == breakdown
            for found in levels.values()
            if found[0].family == "dashboard"
            for figure in found
        }

    def providers(self) -> list[str]:
        """The codes of all providers that a figure is of, in order of their codes."""
        return sorted({level for (_, breakdown), levels in self._series.items() if breakdown == "Provider" for level in levels})


def read(connection: Connection) -> Figures:
    """The figures that the pages show, from the view ``released``: everything but levels below a provider and the dashboard by place and person."""
    columns = ", ".join(_COLUMNS)
    rows = connection.execute(
        f"SELECT {columns} FROM released WHERE ("
        " family NOT IN ('dashboard', 'dashboard_corrected') AND breakdown NOT IN ('Provider; Team', 'Provider; Employment support team', 'Borough')"
        " OR family = 'dashboard' AND list_contains(?, breakdown)"
        " OR family = 'dashboard_corrected' AND breakdown = 'All') ORDER BY measure_id, breakdown, level, period_end, period_start, variant",
        [list(_DASHBOARD)],
    ).fetchall()
    names = connection.execute(
        "SELECT breakdown, level, min(level_name) FROM released WHERE level IS NOT NULL AND level_name IS NOT NULL GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return Figures([Figure(*row) for row in rows], {(breakdown, level): name for breakdown, level, name in names})


_COLUMNS = (
    "family", "measure_id", "measure_name", "kind", "unit", "definition_version", "period_start", "period_end", "status", "breakdown",
    "level", "variant", "numerator", "denominator", "value", "published", "disclosure", "lower", "upper", "ratio", "ratio_lower",
    "ratio_upper", "limit_lower_95", "limit_upper_95", "limit_lower_998", "limit_upper_998", "reliability",
)  # fmt: skip


@contextmanager
def opened(release: Path, temporary: Path | None) -> Iterator[Connection]:
    """A connection that sees the measures of a release as the view ``released``; InputError where the folder has none or they are not a release's."""
    path = release / "measures.parquet"
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a release folder that ips run made")
    with session(read=[release], temporary=temporary) as connection:
        connection.execute(f"CREATE VIEW released AS FROM read_parquet({text_literal(str(path.resolve()))})")
        exact = connection.execute("SELECT count(*) FROM released WHERE variant = 'unsuppressed' AND disclosure <> 'not evaluated'").fetchone()
        if exact != (0,):
            raise InputError(f"{path} is not that of a release; run the month again")
        yield connection

"""What the pages of a release are made of: tables with a chart in them, charts with a table behind them, and sections that hold both."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar

from ips_pipeline.reports import pages, plots
from ips_pipeline.reports.figures import Figure, Figures
from ips_pipeline.reports.pages import Bar
from ips_pipeline.reports.plots import Dot, Funnel, Months, Scale

#: Charts get unreadable, and trends lose their point, beyond these.
MOST_BARS, MOST_MONTHS = 20, 25


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a dot chart: what it is of, its figure and dot, and the same of the whole beside it."""

    label: str
    figure: Figure | None
    dot: Dot | None
    other: Figure | None = None
    other_dot: Dot | None = None
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Dots:
    """A table of figures with their intervals, each drawn as a dot on a common axis; ``ratio`` shows what each is relative to a group.

    ``shares`` adds a column of what the ratios are of, and ``bars`` draws counts, which have no interval, as bars.
    """

    template: ClassVar[str] = "dots"
    id: str
    title: str
    about: str
    head: str
    rows: tuple[Row, ...]
    scale: Scale
    sources: tuple[str, ...]
    compared: bool = False
    ratio: bool = False
    shares: bool = False
    bars: bool = False
    wide: bool = False
    rule: float | None = None

    @property
    def bounded(self) -> bool:
        """Whether any of the figures has an interval."""
        return any(row.figure is not None and (row.figure.bounded or (self.ratio and row.figure.ratio_lower is not None)) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Counts:
    """A chart of bars with the table behind it, of counts by a level; ``rates`` holds a second column where the measure has one."""

    template: ClassVar[str] = "counts"
    id: str
    title: str
    about: str
    head: str
    rows: tuple[tuple[str, Figure, Figure | None], ...]
    bars: tuple[Bar, ...]
    summary: str
    sources: tuple[str, ...]
    rated: bool = False
    left_out: int = 0
    breakdown: str = ""
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trend:
    """A chart of one figure per month with the table behind it; None stands for a month without a row."""

    template: ClassVar[str] = "trend"
    id: str
    title: str
    about: str
    rows: tuple[tuple[date, Figure | None], ...]
    nought: bool
    chart: Months
    summary: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """A funnel of places with the table behind it."""

    template: ClassVar[str] = "spread"
    id: str
    title: str
    about: str
    rows: tuple[tuple[str, Figure], ...]
    chart: Funnel | None
    whole: Figure
    summary: str
    sources: tuple[str, ...]
    links: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Target:
    """A count against its target: the figure per 100 of the target, per 100 of the line to it, and the new accesses needed each month."""

    label: str
    basis: str
    of_target: Figure
    of_line: Figure | None
    needed: Figure | None
    counted_at: float | None
    target_at: float | None
    line_at: float | None


@dataclass(frozen=True, slots=True)
class Targets:
    """What is counted against what was to be reached, one row per organisation and kind of target."""

    template: ClassVar[str] = "targets"
    id: str
    title: str
    about: str
    rows: tuple[Target, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A plain table of figures: a heading per column, a row per label, None where the release has no such figure."""

    template: ClassVar[str] = "grid"
    id: str
    title: str
    about: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Figure | None, ...]], ...]
    sources: tuple[str, ...]
    links: Mapping[str, str] = field(default_factory=dict)
    folded: bool = False
    intervals: bool = False


Block = Dots | Counts | Trend | Spread | Targets | Grid


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what stands below it. ``sheet`` is the page of the printed summary it is on, 0 for the screen alone; ``more`` leads on.

    ``across`` is how many blocks stand side by side where there is room.
    """

    id: str
    title: str
    blocks: tuple[Block, ...] = ()
    lead: str = ""
    sheet: int = 0
    more: tuple[str, str] | None = None
    notes: tuple[str, ...] = ()
    across: int = 2


def period(figure: Figure) -> str:
    """The period of a figure in words: 12 months to a day, a month, or from day to day."""
    months = (figure.end.year - figure.start.year) * 12 + figure.end.month - figure.start.month + 1
    if figure.start.day == 1 and months == 1:
        return pages.month(figure.end)
    if figure.start.day == 1 and months % 12 == 0:
        return f"{months} months to {pages.day(figure.end)}"
    return f"{pages.day(figure.start)} to {pages.day(figure.end)}"


def dots(
    identifier: str,
    title: str,
    head: str,
    rows: Sequence[tuple[str, Figure | None, Figure | None]],
    *,
    about: str = "",
    links: Mapping[str, str] | None = None,
    wide: bool = False,
) -> tuple[Dots, ...]:
    """A dot chart of figures of one scale: label, figure, and that of the whole. Empty where the release holds none of the figures.

    Shares and rates per 100 stand on one axis of per cent.
    """
    held = [figure for _, figure, _ in rows if figure is not None and figure.mark != "unknown"]
    if not held:
        return ()
    compared = any(other is not None for _, _, other in rows)
    seen = [item for _, figure, other in rows for item in (figure, other) if item is not None and item.number is not None]
    shares = any(item.kind == "proportion" for item in held)
    scale = plots.linear([plots.reading(item, value) for item in seen for value in (item.number, item.upper) if value is not None], per_cent=shares)
    return (
        Dots(
            identifier,
            title,
            f"{about or held[0].counted}; {period(held[0])}",
            head,
            tuple(
                Row(label, figure, plots.dot(scale, figure), other, plots.dot(scale, other), (links or {}).get(figure.level) if figure else None)
                for label, figure, other in rows
                if figure is not None
            ),
            scale,
            tuple(dict.fromkeys(item.measure for item in held)),
            compared=compared,
            bars=all(item.kind == "count" for item in held),
            wide=wide,
        ),
    )


def ratios(identifier: str, title: str, levels: Mapping[str, Figure], reference: str, *, shares: bool = False) -> tuple[Dots, ...]:
    """Each group relative to the group it is compared with, on a logarithmic axis around one; empty where fewer than two ratios are released.

    ``shares`` adds what the ratios are of.
    """
    held = [figure for figure in levels.values() if figure.mark == "shown" and figure.ratio]
    if len(held) < 2:
        return ()
    values = [value for item in held for value in (item.ratio, item.ratio_lower, item.ratio_upper) if value]
    scale = plots.logarithmic(values)
    return (
        Dots(
            identifier,
            f"{title}, relative to {reference}",
            f"ratio of shares; {period(held[0])}",
            "Group",
            tuple(Row(sentence(level), figure, plots.ratio(scale, figure)) for level, figure in ordered(levels)),
            scale,
            (held[0].measure,),
            ratio=True,
            shares=shares,
            rule=scale.at(1.0),
        ),
    )


def counts(
    identifier: str,
    title: str,
    head: str,
    rows: Sequence[tuple[str, Figure, Figure | None]],
    *,
    by_rate: bool = False,
    largest_first: bool = False,
    links: Mapping[str, str] | None = None,
) -> tuple[Counts, ...]:
    """Bars of counts, or of their rates where groups of unlike size are compared, with the table behind them."""
    if not rows:
        return ()
    rated = any(rate is not None and rate.mark != "unknown" for _, _, rate in rows)
    if largest_first:
        rows = sorted(rows, key=lambda row: (-(row[1].number if row[1].number is not None else -1.0), row[0]))
    charted = list(rows[:MOST_BARS] if largest_first else rows)
    if rated and by_rate:
        charted = [row for row in charted if row[2] is not None and row[2].mark != "population"]
    shown = [(label, rate if rated and by_rate else figure, figure.level) for label, figure, rate in charted]
    numbers = [figure.number for _, figure, _ in shown if figure is not None and figure.number is not None]
    largest = max(numbers, default=0.0)
    bars = tuple(
        Bar(label, bar_text(figure), pages.share((figure.number or 0.0) if figure else 0.0, largest), quiet=level in ("UNKNOWN", "Unknown"))
        for label, figure, level in shown
    )
    summary = f"Bar chart of {pages.plural(len(bars), 'level')}."
    if largest > 0:
        top = next(label for label, figure, _ in shown if figure is not None and figure.number == largest)
        summary += f" The longest bar is {top} with {pages.number(round(largest, 1))}."
    first = rows[0][2] if rated and by_rate and rows[0][2] else rows[0][1]
    return (
        Counts(
            identifier,
            title,
            f"{first.counted}; {period(first)}",
            head,
            tuple(rows),
            bars,
            f"{summary} All values are in the table.",
            tuple(dict.fromkeys(figure.measure for _, figure, _ in rows)),
            rated,
            len(rows) - len(charted) if largest_first else 0,
            rows[0][1].breakdown,
            links or {},
        ),
    )


def bar_text(figure: Figure | None) -> str:
    """What stands after a bar: the value, or in words why there is none."""
    if figure is None:
        return ""
    return figure.text or {"hidden": "* hidden", "silent": "nothing sent", "population": "no population"}.get(figure.mark, "none")


def trend(figures: Figures, identifier: str, title: str, measure: str, breakdown: str, level: str, *, nought: bool = False) -> tuple[Trend, ...]:
    """The months of a measure; one without a row was nought where ``nought`` says so, and is a gap otherwise. Empty with fewer than two months."""
    held = {figure.end: figure for figure in figures.series(measure, breakdown, level)}
    ends = sorted({figure.end for figure in figures.series(measure, breakdown, level)} | (figures.months(breakdown) if nought else set()))[
        -MOST_MONTHS:
    ]
    if len(ends) < 2 or not held:
        return ()
    rows = tuple((end, held.get(end)) for end in ends)
    values = [monthly(figure, nought=nought) for _, figure in rows]
    marks = ["*" if figure is not None and figure.mark == "hidden" else "–" for _, figure in rows]
    known = [value for value in values if value is not None]
    summary = f"Line chart of {len(ends)} months"
    if known:
        summary += f", lowest {pages.number(min(known))}, highest {pages.number(max(known))}"
    if len(known) < len(values):
        summary += f"; {pages.plural(len(values) - len(known), 'month')} without a number that may be shown"
    return (
        Trend(
            identifier,
            title,
            f"{next(iter(held.values())).unit}, month by month; {pages.short_month(ends[0])} to {pages.short_month(ends[-1])}",
            rows,
            nought,
            plots.months([pages.short_month(end) for end in ends], values, marks),
            f"{summary}. All values are in the table.",
            (measure,),
        ),
    )


def monthly(figure: Figure | None, *, nought: bool) -> float | None:
    """What a month counted: the numerator, which a share of the dashboard has too; None where it may not be shown or is not known."""
    if figure is None:
        return 0.0 if nought else None
    return None if figure.numerator is None else float(figure.numerator)


def spread(identifier: str, title: str, whole: Figure | None, rows: Sequence[tuple[str, Figure]], links: Mapping[str, str]) -> tuple[Spread, ...]:
    """A funnel of places around the whole, with the table behind it; empty where the whole is not released or there is only one place."""
    if whole is None or whole.number is None or len(rows) < 2:
        return ()
    chart = plots.funnel(whole, [figure for _, figure in rows])
    out = [label for label, figure in rows if figure.outside]
    summary = f"Funnel plot of {pages.plural(len(chart.places) if chart else 0, 'provider')} around {whole.text}."
    summary += f" Outside the outer limits: {', '.join(out)}." if out else " None lies outside the outer limits."
    about = f"{whole.counted}, by the number of people; {period(whole)}"
    return (Spread(identifier, title, about, tuple(rows), chart, whole, f"{summary} All values are in the table.", (whole.measure,), links),)


def grid(
    identifier: str,
    title: str,
    head: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Figure | None]]],
    *,
    about: str,
    links: Mapping[str, str] | None = None,
    folded: bool = False,
    intervals: bool = False,
) -> tuple[Grid, ...]:
    """A plain table; rows without any figure are left out, and the table where none is left."""
    held = tuple((label, tuple(cells)) for label, cells in rows if any(cell is not None for cell in cells))
    sources = tuple(dict.fromkeys(cell.measure for _, cells in held for cell in cells if cell is not None))
    return (Grid(identifier, title, about, tuple(head), held, sources, links or {}, folded, intervals),) if held else ()


def ordered(levels: Mapping[str, Figure]) -> list[tuple[str, Figure]]:
    """Levels in the order of the numbers they begin or end with, else of their names; the unknown last."""

    def place(item: tuple[str, Figure]) -> tuple[bool, bool, int, str]:
        level, figure = item
        number = re.search(r"[0-9]+", level)
        return (level.lower() in ("unknown", "not known", "not stated"), figure.mark == "population", int(number[0]) if number else 0, level)

    return sorted(levels.items(), key=place)


def sentence(text: str) -> str:
    """A level as the start of a line: with a capital, and the unknown not shouted."""
    if text == "UNKNOWN":
        return "Unknown"
    return text[:1].upper() + text[1:]


def own(levels: Mapping[str, Figure], code: str) -> dict[str, Figure]:
    """Of levels of the kind provider|level those of a provider, by the second part."""
    return {level.removeprefix(f"{code}|"): figure for level, figure in levels.items() if level.startswith(f"{code}|")}

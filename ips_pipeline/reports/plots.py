"""Where the marks of the charts of a release stand: dots with their intervals, bars against targets, months with gaps, and funnels.

Places across are shares of the width in per cent, so that charts stretch with the page and their text keeps its size.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ips_pipeline.reports import pages
from ips_pipeline.reports.figures import Figure, brief

_LEFT, _RIGHT = 3.0, 97.0
#: Of a chart of months, in pixels.
_TOP, _BOTTOM, _HEIGHT = 26, 120, 146
#: Of a funnel, in units of its own box, which is stretched.
_WIDE, _TALL = 1000, 1000
_STEPS = 60


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from ``low`` to ``high``, with marks at ``ticks``; logarithmic for ratios, so that twice and half stand equally far from one."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def at(self, value: float) -> float:
        """Where a value stands, in per cent of the width; what lies beyond the axis stands at its end."""
        low, high, inside = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, inside = math.log(low), math.log(high), math.log(inside)
        return round(_LEFT + (_RIGHT - _LEFT) * (inside - low) / (high - low), 2)


def linear(values: Iterable[float], *, per_cent: bool = False) -> Scale:
    """An axis from nought to a round number that holds the values; in per cent it ends at 100 where none of them is above that."""
    held = list(values)
    if not held:
        return Scale(0.0, 1.0, ())
    largest = max(held) or 1.0
    top = _round(largest)
    if per_cent and largest <= 100:
        top = min(top, 100.0)
    return Scale(0.0, top, tuple((top * part / 4, f"{brief(top * part / 4)}{'%' if per_cent else ''}") for part in (0, 2, 4)))


def logarithmic(values: Iterable[float]) -> Scale:
    """An axis for ratios around one, as far to the one side as to the other: half and twice, or further where the values ask for it."""
    furthest = max((abs(math.log(value)) for value in values if value > 0), default=0.0)
    reach = next((step for step in (2.0, 4.0, 8.0) if math.log(step) >= furthest), 10.0)
    return Scale(1 / reach, reach, ((1 / reach, f"{1 / reach:g}"), (1.0, "1"), (reach, f"{reach:g}")), log=True)


def _round(value: float) -> float:
    """The next number that four quarters of which people can read."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value * 0.999999)


@dataclass(frozen=True, slots=True)
class Dot:
    """A value on a scale with its interval, all in per cent of the width; no interval where none is released."""

    at: float
    low: float | None = None
    high: float | None = None


def reading(figure: Figure, value: float) -> float:
    """A value of a figure as its axis counts it: shares in per cent, so that they stand beside rates per 100."""
    return 100 * value if figure.kind == "proportion" else value


def dot(scale: Scale, figure: Figure | None) -> Dot | None:
    """A figure on a scale; None where it has no number to show."""
    if figure is None or figure.number is None:
        return None
    at = scale.at(reading(figure, figure.number))
    if figure.lower is None or figure.upper is None:
        return Dot(at)
    return Dot(at, scale.at(reading(figure, figure.lower)), scale.at(reading(figure, figure.upper)))


def ratio(scale: Scale, figure: Figure) -> Dot | None:
    """The ratio of a figure to the group it is compared with; None where it is not released."""
    if figure.mark != "shown" or figure.ratio is None or figure.ratio <= 0:
        return None
    if figure.ratio_lower is None or figure.ratio_upper is None:
        return Dot(scale.at(figure.ratio))
    return Dot(scale.at(figure.ratio), scale.at(figure.ratio_lower), scale.at(figure.ratio_upper))


@dataclass(frozen=True, slots=True)
class Months:
    """A chart of one value per month: a segment per pair of neighbours that are both known, a dot for each, and a mark for each that is not."""

    segments: tuple[tuple[float, float, float, float], ...]
    points: tuple[tuple[float, float], ...]
    gaps: tuple[tuple[float, str], ...]
    grid: tuple[tuple[float, str], ...]
    ends: tuple[str, str]
    last: tuple[float, float, str] | None
    bottom: int = _BOTTOM
    height: int = _HEIGHT


def months(labels: Sequence[str], values: Sequence[float | None], marks: Sequence[str]) -> Months:
    """Values from nought by month; where one is None its mark stands on the axis instead and the line is broken."""
    scale = linear([value for value in values if value is not None])
    step = (_RIGHT - _LEFT) / max(len(values) - 1, 1)
    places = [
        (round(_LEFT + step * number, 2), None if value is None else _down(scale, value), mark)
        for number, (value, mark) in enumerate(zip(values, marks, strict=True))
    ]
    pairs = itertools.pairwise(places)
    known = [(across, down, value) for (across, down, _), value in zip(places, values, strict=True) if down is not None and value is not None]
    return Months(
        segments=tuple((a, b, c, d) for (a, b, _), (c, d, _) in pairs if b is not None and d is not None),
        points=tuple((across, down) for across, down, _ in known),
        gaps=tuple((across, mark) for across, down, mark in places if down is None),
        grid=tuple((_down(scale, value), text) for value, text in scale.ticks or ((0.0, "0"),)),
        ends=(labels[0], labels[-1]),
        last=(known[-1][0], known[-1][1], pages.number(known[-1][2])) if known else None,
    )


def _down(scale: Scale, value: float) -> float:
    return round(_BOTTOM - (_BOTTOM - _TOP) * (value - scale.low) / (scale.high - scale.low), 1)


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a funnel: across and down in per cent, its code (several in one spot), and whether it lies outside the outer limits."""

    across: float
    down: float
    code: str
    outside: bool


@dataclass(frozen=True, slots=True)
class Funnel:
    """A funnel: paths of the inner and outer limits, the line of the whole, places, and both axes."""

    inner: tuple[str, str]
    outer: tuple[str, str]
    whole: float
    places: tuple[Place, ...]
    across: tuple[tuple[float, str], ...]
    down: tuple[tuple[float, str], ...]
    box: str = f"0 0 {_WIDE} {_TALL}"


def _codes(found: Sequence[str]) -> str:
    """The codes of places in one spot, the first few of many."""
    return ", ".join(found) if len(found) <= 3 else f"{', '.join(found[:2])} and {len(found) - 2} more"


def funnel(whole: Figure, levels: Sequence[Figure]) -> Funnel | None:
    """Places by size and share, with the limits that the release gives for each of them, joined by the curve that they lie on.

    The limits are the share of the whole plus and minus 1.96 and 3.09 standard errors at a size (``sql/publish/statistic.sql``). None where
    fewer than two places, or not the whole, are released.
    """
    held = [figure for figure in levels if figure.number is not None and figure.denominator]
    share = whole.number
    if share is None or len(held) < 2:
        return None
    sizes = [figure.denominator or 0 for figure in held]
    wide = linear(sizes)
    smallest = max(min(sizes) * 0.6, 1.0)

    def limit(size: float, errors: float) -> float:
        return min(max(share + errors * math.sqrt(share * (1 - share) / size), 0.0), 1.0)

    highest = max([limit(smallest, 3.09), *(figure.number or 0.0 for figure in held)])
    lowest = min([limit(smallest, -3.09), *(figure.number or 0.0 for figure in held)])
    top = min(math.ceil(highest * 10) / 10, 1.0)
    bottom = max(math.floor(lowest * 10) / 10, 0.0)
    if top == bottom:
        # None at every place, or all: the scale still needs an extent.
        top, bottom = min(top + 0.1, 1.0), max(bottom - 0.1, 0.0)

    def down(value: float) -> float:
        return round(100 * (top - value) / (top - bottom), 2)

    spots: dict[tuple[float, float], list[Figure]] = defaultdict(list)
    for figure in held:
        spots[wide.at(figure.denominator or 0), down(figure.number or 0.0)].append(figure)

    def path(errors: float) -> str:
        along = [smallest + (wide.high - smallest) * number / _STEPS for number in range(_STEPS + 1)]
        return "M" + " L".join(f"{_WIDE * wide.at(size) / 100:.1f} {_TALL * down(limit(size, errors)) / 100:.1f}" for size in along)

    return Funnel(
        inner=(path(-1.96), path(1.96)),
        outer=(path(-3.09), path(3.09)),
        whole=down(share),
        places=tuple(
            Place(across, height, _codes([figure.level for figure in found]), any(figure.outside for figure in found))
            for (across, height), found in spots.items()
        ),
        across=tuple((wide.at(value), text) for value, text in wide.ticks),
        down=tuple((down(value), f"{100 * value:.0f}%") for value in (bottom, round((top + bottom) / 2, 4), top)),
    )

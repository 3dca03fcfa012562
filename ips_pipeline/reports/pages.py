"""What all pages share: the templates, numbers and dates as people write them, chart geometry, and writing the file."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ips_pipeline.mhsds.standard import Edition
from ips_pipeline.store.stages import storage_error

#: The editions of the rules, as pages name them.
EDITIONS: Mapping[Edition, str] = {"published": "the published rules (January 2024)", "etos": "ETOS 6.0 (March 2024)"}

#: In English whatever the locale of the machine is.
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def day(value: date) -> str:
    """A date in words: 31 August 2026."""
    return f"{value.day} {MONTHS[value.month - 1]} {value.year}"


def month(value: date) -> str:
    """A month in words: August 2026."""
    return f"{MONTHS[value.month - 1]} {value.year}"


def short_month(value: date) -> str:
    """A month where there is little room: Aug 2026."""
    return f"{MONTHS[value.month - 1][:3]} {value.year}"


def number(value: float) -> str:
    """A whole number with thousands separators; anything else to one decimal place."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def percent(part: int, whole: int) -> str:
    """A share in per cent to one decimal place; what is not quite all never reads as all, nor what is not quite nothing as nothing."""
    if not whole:
        return ""
    tenths = min(max(round(1000 * part / whole), 1 if part else 0), 1000 if part == whole else 999)
    return f"{tenths / 10:g}%"


def size(count: int) -> str:
    """The size of a file in the largest unit that leaves a number of at least one."""
    for unit, base in (("MB", 1_000_000), ("kB", 1_000)):
        if count >= base:
            return f"{number(round(count / base, 1 if count < 10 * base else 0))} {unit}"
    return plural(count, "byte")


def plural(count: int, one: str, many: str | None = None) -> str:
    """The count with its noun: 1 row, 2 rows."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart: ``text`` stands after it, ``share`` is its length from 0 to 1; ``quiet`` bars are drawn in grey."""

    label: str
    text: str
    share: float
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a line chart: ``across`` in per cent of the width, ``down`` in pixels from the top."""

    across: float
    down: float
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line chart: its points, grid lines as (pixels from the top, text), and what the last point says."""

    points: tuple[Point, ...]
    grid: tuple[tuple[float, str], ...]
    height: int
    last: str


_HEIGHT, _TOP, _BOTTOM, _LEFT, _RIGHT = 210, 30, 180, 2.0, 96.0


def line(labels: Sequence[str], values: Sequence[int]) -> Line:
    """A line chart of one value per month, from zero. Widths are shares, so the text keeps its size on every screen."""
    top = _round_up(max(values, default=0))
    step = (_RIGHT - _LEFT) / max(len(values) - 1, 1)

    def down(value: float) -> float:
        return round(_BOTTOM - (_BOTTOM - _TOP) * value / top, 1)

    points = tuple(Point(round(_LEFT + step * place, 2), down(value), label) for place, (label, value) in enumerate(zip(labels, values, strict=True)))
    grid = tuple((down(value), number(value)) for value in (0, top / 2, top))
    return Line(points, grid, _HEIGHT, number(values[-1]) if values else "")


def _round_up(value: int) -> int:
    """The next even round number, so that half of it is a whole number as well."""
    if value <= 2:
        return 2
    power = int(10 ** (len(str(value)) - 1))
    for step in (1, 2, 3, 4, 5, 6, 8, 10):
        if (top := step * power) >= value and top % 2 == 0:
            return top
    return 20 * power


def share(value: float, largest: float) -> float:
    """How long a bar is, from 0 to 1, to four places."""
    return 0.0 if largest <= 0 or not math.isfinite(value) else round(max(value, 0.0) / largest, 4)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ips_pipeline.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(day=day, month=month, short_month=short_month, number=number, percent=percent, size=size)
    environment.globals.update(plural=plural)
    return environment


def write_page(path: Path, template: str, content: Mapping[str, Any]) -> Path:
    """Render a template into a file that only its owner can read; the file appears whole or not at all.

    Raises RetryableError when it cannot be written.
    """
    text = _environment().get_template(template).render(content)
    aside = path.with_name(f".{path.name}.part")
    try:
        aside.unlink(missing_ok=True)
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8", newline="\n") as handle:
            handle.write(text)
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise storage_error(error, path) from None
    return path

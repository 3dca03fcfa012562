"""Submission windows: which are known, which months each accepts, and where a month stands on a day.

The national dates known to the project lie in ``mhsds/calendar.csv`` with their source; a site enters the dates of its years in a
file of the same columns (``calendar`` in SITE.toml). Nothing is guessed: a month without a known window says so.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

from ips_pipeline.errors import UsageError
from ips_pipeline.mhsds import standard

#: Windows open and close by the clock of London, summer time included.
LONDON = ZoneInfo("Europe/London")

COLUMNS = ("opens", "closes", "state", "source")
STATES = ("final", "provisional")

_KNOWN = Path(standard.__file__).parent / "calendar.csv"
_LAST_MINUTE = time(23, 59, 59)


class State(StrEnum):
    """Where a month stands that has not been submitted."""

    UNKNOWN = "no window known"
    NOT_YET = "not yet open"
    OPEN = "open"
    CLOSING = "closing"
    LATE = "late"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Window:
    """One window, both days included: it closes a minute before midnight at the end of ``closes``."""

    opens: date
    closes: date
    provisional: bool
    source: str

    @property
    def last_month(self) -> str:
        """The month whose own window this is: the one before the month in which it closes."""
        return standard_month(self.closes, -1)

    @property
    def first_month(self) -> str:
        """The earliest month it accepts: April of the financial year it belongs to.

        A window that closes in June to December accepts from April of that year on; one that closes in January to May from April of
        the year before, so that the last window of a year takes thirteen months (the published rule of the year-to-date model).
        """
        year = self.closes.year if self.closes.month >= _FIRST_CLOSING_OF_A_YEAR else self.closes.year - 1
        return f"{year:04d}-04"

    def accepts(self, period: str) -> bool:
        """Whether a month, yyyy-mm, may be submitted in this window."""
        return self.first_month <= period <= self.last_month

    def opens_at(self) -> datetime:
        """The first instant of the window."""
        return datetime.combine(self.opens, time(), LONDON)

    def closes_at(self) -> datetime:
        """The last second of the window."""
        return datetime.combine(self.closes, _LAST_MINUTE, LONDON)

    def is_open(self, moment: datetime) -> bool:
        """Whether the window is open at an instant (aware of its time zone)."""
        return self.opens_at() <= moment <= self.closes_at()


_FIRST_CLOSING_OF_A_YEAR = 6


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a month stands at an instant. ``window`` is the one to use: the open one, else the next; None when there is none left or known."""

    period: str
    state: State
    window: Window | None
    resubmission: bool
    days_left: int | None


@dataclass(frozen=True, slots=True)
class Calendar:
    """The windows in order of time; they do not overlap."""

    windows: tuple[Window, ...]

    def own(self, period: str) -> Window | None:
        """The window in which a month is first due; None when it is not known."""
        return next((window for window in self.windows if window.last_month == period), None)

    def accepting(self, period: str) -> tuple[Window, ...]:
        """Every window that accepts a month: its own, and the later ones of the year for a resubmission."""
        return tuple(window for window in self.windows if window.accepts(period))

    def open_window(self, period: str, moment: datetime) -> Window | None:
        """The window open at an instant that accepts the month."""
        return next((window for window in self.accepting(period) if window.is_open(moment)), None)

    def standing(self, period: str, moment: datetime, *, closing_days: int = 5) -> Standing:
        """Where a month stands at an instant: open, closing within ``closing_days``, late (its own window is over), closed, or unknown."""
        own, accepting = self.own(period), self.accepting(period)
        if not accepting:
            return Standing(period, State.UNKNOWN, None, resubmission=False, days_left=None)
        use = next((window for window in accepting if window.closes_at() >= moment), None)
        resubmission = own is not None and own.closes_at() < moment
        if use is None:
            return Standing(period, State.CLOSED, None, resubmission, None)
        left = (use.closes - moment.astimezone(LONDON).date()).days
        if use.opens_at() > moment and not resubmission:
            state = State.NOT_YET
        elif resubmission:
            state = State.LATE
        else:
            state = State.CLOSING if left <= closing_days else State.OPEN
        return Standing(period, state, use, resubmission, left)


def load(own: Path | None = None) -> Calendar:
    """The known national windows and those a site entered, which take the place of national ones they overlap.

    ``own`` is a CSV with the columns opens, closes (yyyy-mm-dd, both included), state (final or provisional) and source. Raises
    UsageError naming the file and the line for a date, an order, an overlap or a duplicate that cannot be right.
    """
    national = _read(_KNOWN)
    entered = _read(own) if own is not None else ()
    kept = [window for window in national if not any(_overlap(window, other) for other in entered)]
    return Calendar(tuple(sorted((*kept, *entered), key=lambda window: window.opens)))


def standard_month(day: date, shift: int = 0) -> str:
    """The month of a day, yyyy-mm, moved by whole months."""
    return "{:04d}-{:02d}".format(*standard.month_of(standard.month_id(day.year, day.month) + shift))


def _read(path: Path) -> tuple[Window, ...]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise UsageError(f"The calendar {path} has no column {missing[0]}; it needs {', '.join(COLUMNS)}")
            lines = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error):
        raise UsageError(f"The calendar {path} cannot be read; save it as CSV UTF-8 with the columns {', '.join(COLUMNS)}") from None
    windows: list[tuple[int, Window]] = []
    for line, row in lines:
        window = _window(path, line, row)
        for earlier, other in windows:
            if _overlap(window, other):
                raise UsageError(f"{path} line {line}: the window overlaps the one in line {earlier}; one opens the day after the other closes")
            if window.last_month == other.last_month:
                raise UsageError(f"{path} line {line}: the window closes in the same month as the one in line {earlier}; correct the dates")
        windows.append((line, window))
    return tuple(window for _, window in windows)


def _window(path: Path, line: int, row: dict[str, str | None]) -> Window:
    opens, closes = (_day(path, line, name, row[name] or "") for name in ("opens", "closes"))
    if closes < opens:
        raise UsageError(f"{path} line {line}: the window closes before it opens; correct the dates")
    if row["state"] not in STATES:
        raise UsageError(f"{path} line {line}: state must be one of {', '.join(STATES)}")
    if not (row["source"] or "").strip():
        raise UsageError(f"{path} line {line}: source is empty; say where the dates come from")
    return Window(opens, closes, row["state"] == "provisional", (row["source"] or "").strip())


def _day(path: Path, line: int, name: str, text: str) -> date:
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise UsageError(f"{path} line {line}: {name} is not a date; write it as yyyy-mm-dd")


def _overlap(one: Window, other: Window) -> bool:
    return one.opens <= other.closes and other.opens <= one.closes


def due(calendar: Calendar, periods: Sequence[str], moment: datetime, *, closing_days: int = 5) -> list[Standing]:
    """Where each month stands at an instant, in order."""
    return [calendar.standing(period, moment, closing_days=closing_days) for period in periods]

"""Submission windows: the known dates, the months each accepts, and where a month stands on a day."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from ips_pipeline.errors import UsageError
from ips_pipeline.submission import calendar
from ips_pipeline.submission.calendar import LONDON, State, Window

HEADER = "opens,closes,state,source\n"


def window(opens: str, closes: str) -> Window:
    return Window(date.fromisoformat(opens), date.fromisoformat(closes), provisional=False, source="made up")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=LONDON)


@pytest.fixture
def year(tmp_path: Path) -> calendar.Calendar:
    """The windows a site entered for 2026/27, three of them."""
    own = tmp_path / "calendar.csv"
    own.write_text(
        HEADER + "2026-08-21,2026-09-23,final,made up\n2026-09-24,2026-10-23,final,made up\n2026-10-24,2026-11-24,provisional,made up\n",
        encoding="utf-8",
    )
    return calendar.load(own)


@pytest.mark.parametrize(
    ("closes", "first", "last"),
    [
        ("2024-05-28", "2023-04", "2024-04"),  # the late window of a year takes thirteen months
        ("2024-06-20", "2024-04", "2024-05"),  # and the next one takes two of the new year
        ("2023-12-27", "2023-04", "2023-11"),
        ("2024-01-24", "2023-04", "2023-12"),
    ],
)
def test_months_a_window_accepts(closes: str, first: str, last: str) -> None:
    held = window("2023-01-01", closes)
    assert (held.first_month, held.last_month) == (first, last)
    assert held.accepts(first)
    assert held.accepts(last)
    assert not held.accepts("2025-01")


def test_an_april_may_be_sent_in_thirteen_windows() -> None:
    known = calendar.load()
    assert len(known.accepting("2023-04")) == len([w for w in known.windows if date(2023, 5, 1) < w.closes < date(2024, 6, 1)])
    assert len(known.accepting("2024-04")) == 13


def test_years_without_known_dates_are_not_guessed() -> None:
    standing = calendar.load().standing("2026-08", at("2026-09-10T12:00:00"))
    assert standing.state is State.UNKNOWN
    assert standing.window is None


@pytest.mark.parametrize(
    ("moment", "state", "days_left"),
    [
        ("2026-08-20T23:59:59", State.NOT_YET, 34),
        ("2026-08-21T00:00:00", State.OPEN, 33),
        ("2026-09-18T09:00:00", State.CLOSING, 5),
        ("2026-09-23T23:59:59", State.CLOSING, 0),
        ("2026-09-24T00:00:00", State.LATE, 29),
        ("2026-11-25T00:00:00", State.CLOSED, None),
    ],
)
def test_where_august_stands(year: calendar.Calendar, moment: str, state: State, days_left: int | None) -> None:
    standing = year.standing("2026-08", at(moment))
    assert (standing.state, standing.days_left) == (state, days_left)


def test_a_late_month_goes_into_the_next_window_as_a_resubmission(year: calendar.Calendar) -> None:
    standing = year.standing("2026-08", at("2026-10-01T10:00:00"))
    assert standing.resubmission
    assert standing.window is not None
    assert standing.window.closes == date(2026, 10, 23)


def test_windows_follow_the_clock_of_london(year: calendar.Calendar) -> None:
    """23:59 in summer time is 22:59 UTC; after the clocks go back the window closes at 23:59 UTC."""
    summer, winter = year.own("2026-08"), year.own("2026-10")
    assert summer is not None
    assert winter is not None
    assert summer.closes_at().astimezone(UTC).strftime("%H:%M") == "22:59"
    assert winter.closes_at().astimezone(UTC).strftime("%H:%M") == "23:59"
    assert summer.is_open(datetime(2026, 9, 23, 22, 59, 59, tzinfo=UTC))
    assert not summer.is_open(datetime(2026, 9, 23, 23, 0, tzinfo=UTC))


def test_entered_dates_take_the_place_of_national_ones(tmp_path: Path) -> None:
    own = tmp_path / "calendar.csv"
    own.write_text(HEADER + "2024-06-01,2024-06-21,final,corrected by the trust\n", encoding="utf-8-sig")
    windows = calendar.load(own).windows
    assert [w.closes for w in windows if w.closes.year == 2024 and w.closes.month in (6, 7)] == [date(2024, 6, 21)]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("2026-09-24,2026-08-23,final,x", "line 2: the window closes before it opens"),
        ("24/09/2026,2026-10-23,final,x", "line 2: opens is not a date"),
        ("2026-09-24,2026-02-30,final,x", "line 2: closes is not a date"),
        ("2026-09-24,2026-10-23,firm,x", "line 2: state must be one of"),
        ("2026-09-24,2026-10-23,final, ", "line 2: source is empty"),
        ("2026-09-24,2026-10-23,final,x\n2026-10-23,2026-11-23,final,x", "line 3: the window overlaps the one in line 2"),
        ("2026-10-01,2026-10-10,final,x\n2026-10-11,2026-10-23,final,x", "line 3: the window closes in the same month"),
    ],
)
def test_dates_that_cannot_be_right_are_one_line(tmp_path: Path, lines: str, message: str) -> None:
    own = tmp_path / "calendar.csv"
    own.write_text(HEADER + lines + "\n", encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        calendar.load(own)


def test_a_file_without_the_columns_says_which(tmp_path: Path) -> None:
    own = tmp_path / "calendar.csv"
    own.write_text("opens,closes\n", encoding="utf-8")
    with pytest.raises(UsageError, match="no column state"):
        calendar.load(own)

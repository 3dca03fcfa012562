"""Sustained work and the 13-in-16-weeks outcome, against plain Python that walks through the days and the weeks."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from ips_pipeline.store import duck, steps

FIRST = date(2026, 1, 5)
AS_AT = date(2026, 8, 31)

#: Jobs of one client as (first day, length in days or None while it goes on), counted from the start of the first job.
Jobs = list[tuple[int, int | None]]
jobs_of_one = st.lists(st.tuples(st.integers(0, 120), st.one_of(st.none(), st.integers(1, 100))), max_size=4)
worlds = st.lists(st.tuples(st.one_of(st.none(), st.integers(1, 200)), jobs_of_one), min_size=1, max_size=12)


def spans(world: list[tuple[int | None, Jobs]]) -> dict[tuple[str, str], int]:
    """Days without a job by client and purpose, as the SQL finds them."""
    rows = [
        (f"E{number}", position + 1, FIRST + timedelta(days=start), FIRST + timedelta(days=start + length - 1) if length else None)
        for number, (first, later) in enumerate(world)
        for position, (start, length) in enumerate([(0, first), *later])
    ]
    with duck.session() as connection:
        connection.execute("CREATE TABLE ips_job (UniqEpisodeID VARCHAR, job_no INTEGER, start_date DATE, last_day DATE)")
        connection.executemany("INSERT INTO ips_job VALUES (?, ?, ?, ?)", rows)
        connection.execute("CREATE VIEW ips_first_job AS FROM ips_job WHERE job_no = 1")
        connection.execute("CREATE TABLE ips_episode (UniqEpisodeID VARCHAR, arm VARCHAR, randomised_date DATE, access_date DATE)")
        steps.declare(connection, {"period_end": AS_AT})
        steps.run(connection, ["measures/ips_span", "measures/ips_covered"], {"period_end": AS_AT})
        found = connection.execute("SELECT UniqEpisodeID, purpose, gap_days FROM ips_covered").fetchall()
    return {(episode, purpose): gap for episode, purpose, gap in found}


@settings(max_examples=25, deadline=None)
@given(worlds)
def test_days_without_a_job(world: list[tuple[int | None, Jobs]]) -> None:
    expected = {}
    for number, (first, later) in enumerate(world):
        worked = {day for start, length in [(0, first), *later] for day in range(start, start + (length or 1000))}
        for weeks in (13, 26, 52):
            if FIRST + timedelta(weeks=weeks) <= AS_AT:
                expected[f"E{number}", f"weeks {weeks}"] = sum(day not in worked for day in range(weeks * 7))
    assert spans(world) == expected


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from([0, 6, 7, 7, 7, 12]), max_size=30), min_size=1, max_size=12))
def test_thirteen_of_sixteen_weeks(world: list[list[int]]) -> None:
    monday = date(2026, 1, 5)
    rows = [(f"E{number}", monday + timedelta(weeks=week), 6575 + week, hours) for number, own in enumerate(world) for week, hours in enumerate(own)]
    with duck.session() as connection:
        connection.execute("CREATE TABLE ips_job_week (UniqEpisodeID VARCHAR, week_start DATE, week_number INTEGER, hours DECIMAL(5, 2))")
        connection.executemany("INSERT INTO ips_job_week VALUES (?, ?, ?, ?)", rows or [("none", monday, 6575, 0)])
        steps.run(connection, ["measures/ips_threshold"], {})
        found = {
            episode: (reached - monday).days // 7
            for episode, reached in connection.execute("SELECT UniqEpisodeID, reached_on FROM ips_threshold").fetchall()
        }
    expected = {}
    for number, own in enumerate(world):
        enough = [hours >= 7 for hours in own]
        # The first week by which thirteen of the sixteen weeks that end with it were enough.
        reached = [week for week in range(len(own)) if sum(enough[max(0, week - 15) : week + 1]) >= 13]
        if reached:
            expected[f"E{number}"] = reached[0]
    assert found == expected

"""What is different in the records themselves: of a month since its landing before, and of months that were handed over and have to be sent again.

Counts are for the page; which records they are, by their local ids, is for the work list alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ips_pipeline.mhsds.standard import Standard
from ips_pipeline.reports import pages
from ips_pipeline.sources import changes
from ips_pipeline.sources.changes import Counts
from ips_pipeline.store.duck import Connection, text_literal

_COLUMNS = ("table", "what", "record", "person_was", "person_now")


@dataclass(frozen=True, slots=True)
class Different:
    """Records of a month (yyyy-mm) that are others than on the day ``since``: of the landing before, or of the return that was handed over.

    ``tables`` are the counts by name of the table, ``people`` how many were merged with others, None where it is not known. ``records`` is
    the file of the comparison that names the records by their ids, None where it is kept no longer.
    """

    period: str
    since: date
    tables: Mapping[str, Counts]
    people: int | None
    records: Path | None

    def facts(self) -> dict[str, Any]:
        """Everything that a report says of it, as it names a stage: no path, no value."""
        return {
            "period": self.period,
            "since": self.since.isoformat(),
            "tables": {name: asdict(counts) for name, counts in self.tables.items()},
            "people": self.people,
            "records": self.records.parent.name if self.records else None,
        }


@dataclass(frozen=True, slots=True)
class Again:
    """A month that was handed over and is different at source now.

    ``noticed`` is the day of that; ``run`` says that the month has been extracted again since, so that it only has to be handed over;
    ``windows`` are the first and last days of those that were not closed by then, None where none is known for the month at all.
    """

    different: Different
    noticed: date
    run: bool
    windows: Sequence[tuple[date, date]] | None

    def sending(self) -> str:
        """Until when it may be sent, as a sentence without its full stop."""
        if self.windows is None:
            return "No window for it is known"
        if not self.windows:
            return "The last window for it is closed"
        spans = [
            f"until {pages.day(closes)}" if opens <= self.noticed else f"from {pages.day(opens)} to {pages.day(closes)}"
            for opens, closes in self.windows
        ]
        return f"It may be sent {', and '.join(spans)}"

    def next_steps(self, provider: str | None) -> str:
        """What its people do next, in one or two sentences."""
        if self.windows is not None and not self.windows:
            return "Nothing can be sent any more: what was handed over stands. Tell those who read the figures of that month."
        where = f"--provider {provider} --period {self.different.period}" if provider else f"--period {self.different.period}"
        rerun = (
            f'Run that month again, with the reason on record (ips run --config SITE.toml {where} --replay --why "…", or in Airflow replay and why),'
            " and look at its own report. Then have its package built, approved and handed over."
        )
        first = "Enter the windows of the year in the calendar of the site. " if self.windows is None else ""
        return first + ("The month has been run again: have its package built, approved and handed over." if self.run else rerun)

    def facts(self) -> dict[str, Any]:
        """Everything that a report says of it, as it names a stage."""
        windows = None if self.windows is None else [[day.isoformat() for day in window] for window in self.windows]
        return {"different": self.different.facts(), "noticed": self.noticed.isoformat(), "run": self.run, "windows": windows}


@dataclass(frozen=True, slots=True)
class Landed:
    """What is known of a month as it landed. ``first`` says that nothing of it had landed before; ``before`` what is different since, None where
    that was not compared, or is kept no longer; ``again`` are the months of the provider, up to this one, that have to be sent again.
    """

    first: bool
    before: Different | None
    again: Sequence[Again] = ()

    def facts(self) -> dict[str, Any]:
        """Everything that a report says of it, as it names a stage."""
        return {"first": self.first, "before": self.before.facts() if self.before else None, "again": [item.facts() for item in self.again]}

    def records(self) -> list[tuple[str, str, Different]]:
        """The comparisons whose records are kept, each with its month and what it is compared with in words."""
        found = [("the landing before", self.before)] if self.before else []
        found += [("what was handed over", item.different) for item in self.again]
        return [(item.period, f"{words}, {pages.day(item.since)}", item) for words, item in found if item.records]


def content(landed: Landed | None, standard: Standard, provider: str | None) -> dict[str, Any] | None:
    """What the page says of it: counts by table, months and dates; None where nothing is known of landings."""
    if landed is None:
        return None

    def tables(item: Different) -> list[dict[str, Any]]:
        named = [(standard.table(name), counts) for name, counts in item.tables.items()]
        return [{"id": table.id, "title": table.title, "counts": counts} for table, counts in named]

    before = landed.before
    return {
        "first": landed.first,
        "before": {"since": before.since, "tables": tables(before), "people": before.people} if before else None,
        "again": [
            {
                "period": item.different.period,
                "month": date.fromisoformat(f"{item.different.period}-01"),
                "since": item.different.since,
                "noticed": item.noticed,
                "tables": tables(item.different),
                "people": item.different.people,
                "sending": item.sending(),
                "next": item.next_steps(provider),
            }
            for item in landed.again
        ],
    }


def load(connection: Connection, standard: Standard, landed: Mapping[int, Landed]) -> None:
    """Make ``late_record``: every record of every comparison, by its local ids. Patient data, for the memory of the session and the work list.

    Columns: submission, place (of the comparison), month, against, what, table_name, known_by, record, person_was and person_now. A record that
    belongs to another person now says so once and names both. The session has to be let read the folders of ``records``.
    """
    connection.execute(
        "CREATE TABLE late_record (submission INTEGER, place INTEGER, month VARCHAR, against VARCHAR, what VARCHAR, table_name VARCHAR,"
        " known_by VARCHAR, record VARCHAR, person_was VARCHAR, person_now VARCHAR)"
    )
    names = {table.name: ", ".join(changes.known_by(table)) for table in standard.tables.values()}
    known_by = "MAP {" + ", ".join(f"{text_literal(name)}: {text_literal(known)}" for name, known in names.items()) + "}"
    schema = "{" + ", ".join(f"{text_literal(column)}: 'VARCHAR'" for column in _COLUMNS) + "}"
    for submission, one in landed.items():
        for place, (month, against, item) in enumerate(one.records()):
            path = text_literal(str(item.records.resolve())) if item.records else ""
            connection.execute(
                f"""INSERT INTO late_record
                WITH told AS (SELECT * FROM read_csv({path}, columns = {schema}, header = true, auto_detect = false)),
                moved AS (SELECT DISTINCT "table", record, person_was, person_now FROM told WHERE what = 'moved')
                SELECT ?, ?, ?, ?, CASE WHEN moved.record IS NOT NULL THEN 'Changed, of another person now'
                    WHEN told.what = 'added' THEN 'Added' WHEN told.what = 'changed' THEN 'Changed' ELSE 'Withdrawn' END,
                    told."table", {known_by}[told."table"], told.record, moved.person_was, moved.person_now
                FROM told LEFT JOIN moved ON told.what = 'changed' AND moved."table" = told."table" AND moved.record = told.record
                WHERE told.what <> 'moved'""",
                [submission, place, month, against],
            )


def folders(landed: Iterable[Landed | None]) -> list[Path]:
    """The folders that ``load`` reads."""
    return [item.records.parent for one in landed if one for _, _, item in one.records() if item.records]

"""The work list of one validated submission as a workbook: a sheet per team, what to mend first at the top, and where to find it.

Records that came late, changed or were withdrawn have a sheet of their own. It names the local ids of the records, so it stays in the
restricted zone. Every cell is text or a number and never a formula, whatever stands in the data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.workbook import Workbook
from xlsxwriter.worksheet import Worksheet

from ips_pipeline.store.duck import Connection
from ips_pipeline.store.stages import storage_error

WORKBOOK = "worklist.xlsx"
NO_TEAM = "No team"

#: The sheet of records that are others than they were.
LATE = "Late records"

#: Rows of work on one sheet: fewer than a sheet holds (1,048,576), and more than a team works through.
SHEET_ROWS = 2_000
#: Rows of work in the workbook, so that a flood of findings is written in seconds and opens on an office computer.
ALL_ROWS = 10_000
#: Teams with a sheet of their own; the others share one.
TEAM_SHEETS = 100

_CELL = 32_767
_NAME = 31
_FETCH = 5_000

#: What XML cannot hold.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NOT_IN_NAMES = re.compile(r"[\[\]:*?/\\\x00-\x1f]")
#: A value that starts so is marked as text, so that it stays text when a person edits the cell.
_FORMULA_LIKE = ("=", "+", "-", "@", "\t", "\r")

#: Column title, width in characters.
COLUMNS: Sequence[tuple[str, int]] = (
    ("Priority", 9),
    ("Rule", 12),
    ("Level", 18),
    ("Table", 26),
    ("Row", 9),
    ("Element", 24),
    ("LocalPatientID", 20),
    ("ServiceRequestID", 20),
    ("CareContactID", 20),
    ("What is wrong", 60),
    ("How to mend it at source", 60),
    ("Rows freed", 11),
    ("Team", 20),
    ("Month of the file", 11),
)
LATE_COLUMNS: Sequence[tuple[str, int]] = (
    ("Month", 10),
    ("Compared with", 38),
    ("What", 28),
    ("Table", 26),
    ("Known by", 30),
    ("Record", 30),
    ("Person before", 20),
    ("Person now", 20),
)


@dataclass(frozen=True, slots=True)
class Task:
    """What is said of a code on every line that has it."""

    priority: int
    level: str
    element: str
    wrong: str
    mend: str


def write_worklist(
    path: Path,
    connection: Connection,
    submission: int,
    tasks: Mapping[str, Task],
    *,
    title: str,
    verdict: str,
    again: Sequence[str] = (),
    sheet_rows: int = SHEET_ROWS,
    all_rows: int = ALL_ROWS,
) -> Path:
    """Write the workbook, readable by its owner only; it appears whole or not at all, and the same findings give the same bytes.

    ``again`` says of each month that has to be sent again until when and how. Reads ``work`` (submission, code, priority, table_name, row,
    month, frees), ``place``, ``place_team``, ``team`` and ``late_record`` (see ``landings.load``). Raises RetryableError when the workbook
    cannot be written.
    """
    try:
        # Beside the report, not in the machine's temporary folder: the rows are patient data.
        with TemporaryDirectory(prefix=".worklist-", dir=path.parent) as aside:
            made = Path(aside) / WORKBOOK
            book = Workbook(
                str(made),
                {
                    "constant_memory": True,
                    "tmpdir": aside,
                    "strings_to_formulas": False,
                    "strings_to_numbers": False,
                    "strings_to_urls": False,
                },
            )
            # A date of its own would make every workbook different.
            book.set_properties({"title": title, "created": datetime(2000, 1, 1)})
            _Book(book, connection, submission, tasks, sheet_rows, all_rows).write(title, verdict, again)
            book.close()
            made.chmod(0o600)
            made.replace(path)
    except xlsxwriter.exceptions.FileCreateError as error:
        raise storage_error(error.__context__ if isinstance(error.__context__, OSError) else OSError(), path) from None
    except OSError as error:
        raise storage_error(error, path) from None
    return path


@dataclass(frozen=True, slots=True)
class _Team:
    """A sheet's worth of work. ``teams`` are the teams on it; None is no team."""

    name: str
    kind: str
    sheet: str
    teams: tuple[str | None, ...]
    rows: int
    rejecting: int
    frees: int


class _Book:
    def __init__(self, book: Workbook, connection: Connection, submission: int, tasks: Mapping[str, Task], sheet_rows: int, all_rows: int) -> None:
        self._book = book
        self._connection = connection
        self._submission = submission
        self._tasks = tasks
        self._sheet_rows, self._left = sheet_rows, all_rows
        self._head = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bg_color": "#005EB8", "font_color": "#FFFFFF"})
        self._wrap = book.add_format({"text_wrap": True, "valign": "top"})
        self._top = book.add_format({"valign": "top"})
        self._marked = book.add_format({"valign": "top", "quote_prefix": True})
        self._number = book.add_format({"valign": "top", "num_format": "#,##0"})
        self._bold = book.add_format({"bold": True, "font_size": 14})

    def write(self, title: str, verdict: str, again: Sequence[str]) -> None:
        teams = self._teams()
        shown: dict[str, int] = {}
        for team in teams:
            shown[team.sheet] = max(min(team.rows, self._sheet_rows, self._left), 0)
            self._left -= shown[team.sheet]
        ((late,),) = self._connection.execute("SELECT count(*) FROM late_record WHERE submission = ?", [self._submission]).fetchall()
        self._summary(title, verdict, again, teams, shown, late)
        for team in teams:
            self._sheet(team, shown[team.sheet])
        if late:
            self._late(late)

    def _teams(self) -> list[_Team]:
        """The teams with work, the one with most rejections first and no team last."""
        found = self._connection.execute(
            """SELECT place_team.team, min(team.kind), count(*), count(*) FILTER (WHERE work.priority <= 2), sum(work.frees)
            FROM work LEFT JOIN place_team USING (submission, table_name, row)
            LEFT JOIN team ON team.submission = work.submission AND team.team = place_team.team
            WHERE work.submission = ? AND work.row > 0 GROUP BY place_team.team
            ORDER BY place_team.team IS NULL, count(*) FILTER (WHERE work.priority <= 2) DESC, count(*) DESC, place_team.team""",
            [self._submission],
        ).fetchall()
        own, others = found[:TEAM_SHEETS], found[TEAM_SHEETS:]
        used = {"summary", "history", LATE.lower()}
        teams = []
        for team, kind, rows, rejecting, frees in own:
            name = NO_TEAM if team is None else _clean(team)
            teams.append(_Team(name, kind or "", sheet_name(name, used), (team,), rows, rejecting, int(frees)))
        if others:
            names = tuple(line[0] for line in others)
            counts = [sum(int(line[place]) for line in others) for place in (2, 3, 4)]
            teams.append(_Team(f"{len(others):,} other teams", "", sheet_name("Other teams", used), names, *counts))
        return teams

    def _summary(self, title: str, verdict: str, again: Sequence[str], teams: Sequence[_Team], shown: Mapping[str, int], late: int) -> None:
        sheet = self._book.add_worksheet("Summary")
        _set_print(sheet, landscape=False)
        for column, width in enumerate((30, 44, 12, 12, 12, 34)):
            sheet.set_column(column, column, width)
        sheet.write_string(0, 0, title, self._bold)
        lines = [
            verdict,
            *again,
            "A sheet per team: the team of the row's referral or contact, or every team that holds a referral of the person.",
            "Rows that wait only for a row they depend on are not listed: they come back by themselves. Priority 1 rejects the file, 2 rejects",
            "rows, 3 endangers a measure or is a severity 1 warning, 4 is any other warning. Rows freed: rows that this line alone holds back.",
            "Restricted: it names local ids of patients' records.",
        ]
        for place, line in enumerate(lines, 2):
            sheet.write_string(place, 0, line)
        row = len(lines) + 3
        for column, name in enumerate(("Team", "Type of team", "Lines", "Rejecting", "Rows freed", "Sheet")):
            sheet.write_string(row, column, name, self._head)
        for team in teams:
            row += 1
            self._text(sheet, row, 0, team.name)
            self._text(sheet, row, 1, team.kind)
            for column, count in enumerate((team.rows, team.rejecting, team.frees), 2):
                sheet.write_number(row, column, count, self._number)
            quoted = team.sheet.replace("'", "''")
            sheet.write_url(row, 5, f"internal:'{quoted}'!A1", string=team.sheet)
            if missing := team.rows - shown[team.sheet]:
                row += 1
                sheet.write_string(row, 0, _more(missing))
        if not teams:
            row += 1
            sheet.write_string(row, 0, "Nothing to mend in any row.")
        if late:
            row += 2
            sheet.write_string(row, 0, "Records that came late, changed or were withdrawn", self._top)
            sheet.write_number(row, 2, late, self._number)
            sheet.write_url(row, 5, f"internal:'{LATE}'!A1", string=LATE)
        row += 3
        for code, table, month in self._connection.execute(
            "SELECT code, table_name, month FROM work WHERE submission = ? AND row = 0 ORDER BY priority, table_name, code, month", [self._submission]
        ).fetchall():
            task = self._tasks[code]
            where = f"{table}{f' of {month}' if month else ''}"
            sheet.write_string(row, 0, f"About the file: {code}, {where}", self._top)
            self._text(sheet, row, 1, task.wrong, self._wrap)
            self._text(sheet, row, 5, task.mend, self._wrap)
            row += 1

    def _table(self, name: str, columns: Sequence[tuple[str, int]], rows: int) -> Worksheet:
        """A sheet with its header, which stays in sight, is repeated on paper, and filters as many rows."""
        sheet = self._book.add_worksheet(name)
        _set_print(sheet, landscape=True)
        sheet.freeze_panes(1, 0)
        sheet.repeat_rows(0)
        for column, (title, width) in enumerate(columns):
            sheet.set_column(column, column, width)
            sheet.write_string(0, column, title, self._head)
        # A filter over the header alone hides nothing when there is no row below it.
        sheet.autofilter(0, 0, max(rows, 1), len(columns) - 1)
        return sheet

    def _sheet(self, team: _Team, rows: int) -> None:
        sheet = self._table(team.sheet, COLUMNS, rows)
        cursor = self._connection.execute(
            """SELECT work.code, work.table_name, work.row, place.patient, place.referral, place.contact, work.frees, place_team.team, work.month
            FROM work LEFT JOIN place USING (submission, table_name, row) LEFT JOIN place_team USING (submission, table_name, row)
            WHERE work.submission = ? AND work.row > 0 AND (list_contains(?, place_team.team) OR (? AND place_team.team IS NULL))
            ORDER BY work.priority, work.frees DESC, work.table_name, work.row, work.code, work.month, place_team.team LIMIT ?""",
            [self._submission, [name for name in team.teams if name is not None], None in team.teams, rows],
        )
        place = 0
        while lines := cursor.fetchmany(_FETCH):
            for line in lines:
                place += 1
                self._line(sheet, place, line)
        if missing := team.rows - rows:
            sheet.write_string(place + 1, 0, _more(missing), self._top)

    def _late(self, rows: int) -> None:
        """The records that are others than in the landing before, or than in what was handed over."""
        shown = min(rows, self._sheet_rows)
        sheet = self._table(LATE, LATE_COLUMNS, shown)
        found = self._connection.execute(
            "SELECT month, against, what, table_name, known_by, record, person_was, person_now FROM late_record WHERE submission = ?"
            " ORDER BY place, table_name, what, record, person_was, person_now LIMIT ?",
            [self._submission, shown],
        ).fetchall()
        for place, line in enumerate(found, 1):
            for column, value in enumerate(line):
                self._text(sheet, place, column, value or "")
        if missing := rows - shown:
            sheet.write_string(shown + 1, 0, _more(missing, "changes.csv under restricted/changes has"), self._top)

    def _line(self, sheet: Worksheet, place: int, line: tuple[Any, ...]) -> None:
        code, table, row, patient, referral, contact, frees, team, month = line
        task = self._tasks[code]
        sheet.write_number(place, 0, task.priority, self._top)
        for column, text in enumerate((code, task.level, table), 1):
            sheet.write_string(place, column, text, self._top)
        sheet.write_number(place, 4, row, self._top)
        for column, value in enumerate((task.element, patient, referral, contact), 5):
            self._text(sheet, place, column, value or "")
        self._text(sheet, place, 9, task.wrong, self._wrap)
        self._text(sheet, place, 10, task.mend, self._wrap)
        sheet.write_number(place, 11, frees, self._number)
        self._text(sheet, place, 12, NO_TEAM if team is None else team)
        self._text(sheet, place, 13, month or "")

    def _text(self, sheet: Worksheet, row: int, column: int, value: str, style: Format | None = None) -> None:
        """A cell that is text whatever it holds."""
        shown = _clean(value)
        if shown:
            sheet.write_string(row, column, shown, self._marked if shown.startswith(_FORMULA_LIKE) else style or self._top)


def sheet_name(wanted: str, used: set[str]) -> str:
    """A sheet name that Excel takes and that is not ``used`` yet (in small letters, to which it is added): at most 31 characters."""
    base = _NOT_IN_NAMES.sub(" ", _ILLEGAL.sub(" ", wanted)).strip().strip("'").strip() or "Team"
    name, number = base[:_NAME].rstrip(), 1
    while name.lower() in used:
        number += 1
        ending = f" ({number})"
        name = base[: _NAME - len(ending)].rstrip() + ending
    used.add(name.lower())
    return name


def _clean(value: str) -> str:
    """A value as a cell can hold it: no characters that XML refuses, and no more than fit."""
    shown = _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", value)
    return shown if len(shown) <= _CELL else shown[: _CELL - 1] + "…"


def _more(rows: int, where: str = "findings.csv and checks.csv have") -> str:
    return f"{rows:,} more lines are not shown here; {where} every one of them"


def _set_print(sheet: Worksheet, *, landscape: bool) -> None:
    if landscape:
        sheet.set_landscape()
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)
    sheet.set_footer("&L&A&RPage &P of &N")
    sheet.set_margins(left=0.4, right=0.4, top=0.5, bottom=0.6)

"""The work list: a sheet per team, nothing that a spreadsheet would run, nothing lost without a word, the same bytes each time."""

from __future__ import annotations

import re
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ips_pipeline.mhsds import standard
from ips_pipeline.reports import landings
from ips_pipeline.reports.worklist import COLUMNS, Task, sheet_name, write_worklist
from ips_pipeline.store.duck import session

_SPACE = {"x": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
TASKS = {
    "MHS20142": Task(2, "Group rejected", "ServiceRequestID", "There must be a valid referral.", "Send the referral."),
    "IPS-010": Task(3, "Check beyond the portal", "", "Not direct.", "Say how."),
}

#: submission, code, priority, table, row, month, rows freed
Work = tuple[int, str, int, str, int, str | None, int]


def book(
    path: Path, work: Sequence[Work], places: Sequence[tuple[object, ...]] = (), teams: Sequence[tuple[object, ...]] = (), **limits: int
) -> Path:
    """A workbook of the work; ``places`` are (table, row, patient, referral, contact), ``teams`` (table, row, team)."""
    with session() as connection:
        connection.execute(
            "CREATE TABLE work (submission INTEGER, code VARCHAR, priority INTEGER, table_name VARCHAR, row BIGINT, month VARCHAR, frees BIGINT)"
        )
        connection.execute(
            "CREATE TABLE place (submission INTEGER, table_name VARCHAR, row BIGINT, patient VARCHAR, referral VARCHAR, contact VARCHAR, own VARCHAR)"
        )
        connection.execute("CREATE TABLE place_team (submission INTEGER, table_name VARCHAR, row BIGINT, team VARCHAR)")
        landings.load(connection, standard.load(), {})
        connection.execute("CREATE TABLE team (submission INTEGER, team VARCHAR, kind VARCHAR)")
        for line in work:
            connection.execute("INSERT INTO work VALUES (?, ?, ?, ?, ?, ?, ?)", list(line))
        for place in places:
            connection.execute("INSERT INTO place VALUES (1, ?, ?, ?, ?, ?, NULL)", list(place))
        for team in teams:
            connection.execute("INSERT INTO place_team VALUES (1, ?, ?, ?)", list(team))
        return write_worklist(path / "worklist.xlsx", connection, 1, TASKS, title="Work list: RXA", verdict="Accepted.", **limits)


def sheets(path: Path) -> dict[str, list[list[str]]]:
    """The text of every cell of every sheet, row by row, as a program that knows the format reads it."""
    with zipfile.ZipFile(path) as held:
        names = [sheet.attrib["name"] for sheet in ElementTree.fromstring(held.read("xl/workbook.xml")).iterfind(".//x:sheet", _SPACE)]  # noqa: S314
        found = {}
        for number, name in enumerate(names, 1):
            tree = ElementTree.fromstring(held.read(f"xl/worksheets/sheet{number}.xml"))  # noqa: S314
            assert tree.findall(".//x:f", _SPACE) == [], "a formula"
            found[name] = [["".join(cell.itertext()) for cell in row.iterfind("x:c", _SPACE)] for row in tree.iterfind("x:sheetData/x:row", _SPACE)]
        return found


CONTACT = "MHS201CareContact"


def test_a_sheet_per_team_with_the_most_urgent_first(tmp_path: Path) -> None:
    work: list[Work] = [
        (1, "IPS-010", 3, CONTACT, 1, None, 0),
        (1, "MHS20142", 2, CONTACT, 2, None, 1),
        (1, "MHS20142", 2, CONTACT, 3, None, 5),
        (1, "MHS20142", 2, CONTACT, 4, None, 1),
        (2, "MHS20142", 2, CONTACT, 9, None, 1),
    ]
    places = [(CONTACT, row, f"P{row}", f"R{row}", f"C{row}") for row in (1, 2, 3, 4)]
    found = sheets(book(tmp_path, work, places, [(CONTACT, 1, "T1"), (CONTACT, 2, "T1"), (CONTACT, 3, "T1"), (CONTACT, 4, None)]))
    assert list(found) == ["Summary", "T1", "No team"]
    assert found["T1"][0] == [title for title, _ in COLUMNS]
    assert found["T1"][1][:5] == ["2", "MHS20142", "Group rejected", CONTACT, "3"]
    assert [row[1] for row in found["T1"][1:]] == ["MHS20142", "MHS20142", "IPS-010"]
    assert "There must be a valid referral." in found["T1"][1] and "Send the referral." in found["T1"][1]
    assert [row[4] for row in found["No team"][1:]] == ["4"]


@pytest.mark.parametrize("value", ["=1+1", "+44", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0", "http://example.org", "mailto:x"])
def test_a_value_is_text_whatever_it_starts_with(tmp_path: Path, value: str) -> None:
    path = book(tmp_path, [(1, "MHS20142", 2, CONTACT, 1, None, 1)], [(CONTACT, 1, value, value, value)], [(CONTACT, 1, value)])
    found = sheets(path)
    held = next(rows for name, rows in found.items() if name != "Summary")
    assert value in [cell.replace("_x000D_", "\r") for cell in held[1]]
    with zipfile.ZipFile(path) as archive:
        if value[0] in "=+-@\t\r":
            assert 'quotePrefix="1"' in archive.read("xl/styles.xml").decode()
        links = [name for name in archive.namelist() if "_rels/sheet" in name]
        assert not [name for name in links if b"example.org" in archive.read(name)]


def test_what_a_cell_cannot_hold_is_cut_or_replaced(tmp_path: Path) -> None:
    held = sheets(
        book(tmp_path, [(1, "MHS20142", 2, CONTACT, 1, None, 1)], [(CONTACT, 1, "X" * 40_000, "a\x00b\x0bc\uffff", "ok")], [(CONTACT, 1, "T")])
    )["T"]
    assert max(len(cell) for cell in held[1]) == 32_767
    assert "a\ufffdb\ufffdc\ufffd" in held[1]


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    work: list[Work] = [(1, "MHS20142", 2, CONTACT, row, None, 1) for row in range(1, 31)]
    teams = [(CONTACT, row, "T1" if row <= 20 else "T2") for row in range(1, 31)]
    found = sheets(book(tmp_path, work, (), teams, sheet_rows=15, all_rows=20))
    assert [len(found[name]) for name in ("T1", "T2")] == [1 + 15 + 1, 1 + 5 + 1]
    assert found["T1"][-1] == ["5 more lines are not shown here; findings.csv and checks.csv have every one of them"]
    assert found["T2"][-1][0].startswith("5 more lines")
    assert sum("more lines" in cell for row in found["Summary"] for cell in row) == 2


def test_many_teams_share_a_sheet(tmp_path: Path) -> None:
    work: list[Work] = [(1, "MHS20142", 2, CONTACT, row, None, 1) for row in range(1, 131)]
    found = sheets(book(tmp_path, work, (), [(CONTACT, row, f"T{row:03d}") for row in range(1, 131)]))
    assert len(found) == 1 + 100 + 1
    assert len(found["Other teams"]) == 1 + 30


def test_findings_about_the_file_and_rows_of_other_months(tmp_path: Path) -> None:
    found = sheets(book(tmp_path, [(1, "IPS-010", 3, CONTACT, 0, "2026-06", 0), (1, "IPS-010", 3, CONTACT, 4, "2026-06", 0)]))
    assert any("About the file: IPS-010" in cell and "2026-06" in cell for row in found["Summary"] for cell in row)
    assert found["No team"][1][-1] == "2026-06"


def test_nothing_to_do(tmp_path: Path) -> None:
    found = sheets(book(tmp_path, []))
    assert list(found) == ["Summary"] and ["Nothing to mend in any row."] in found["Summary"]


def test_the_same_work_gives_the_same_bytes_for_the_owner_only(tmp_path: Path) -> None:
    work: list[Work] = [(1, "MHS20142", 2, CONTACT, row, None, 1) for row in range(1, 5)]
    (tmp_path / "again").mkdir()
    first, second = (book(folder, work, (), [(CONTACT, 1, "T")]) for folder in (tmp_path, tmp_path / "again"))
    assert first.read_bytes() == second.read_bytes()
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@given(st.lists(st.text(max_size=60), max_size=20))
def test_sheet_names_are_ones_that_excel_takes(wanted: list[str]) -> None:
    used = {"summary", "history", "late records"}
    names = [sheet_name(name, used) for name in wanted]
    assert len({name.lower() for name in (*names, "summary", "history", "late records")}) == len(names) + 3
    for name in names:
        assert 1 <= len(name) <= 31 and not re.search(r"[\[\]:*?/\\]", name) and not name.startswith("'") and not name.endswith("'")

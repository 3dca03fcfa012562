"""Data Docs: what they say of the gate's record, that no value of a submission reaches them, and that they need no network."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from ips_pipeline import flows
from ips_pipeline.errors import InputError
from ips_pipeline.mhsds.standard import load
from ips_pipeline.reports.data_docs import write_data_docs

CASES = Path(__file__).parents[1] / "conformance" / "case-small" / "submissions"
TABLES = ("MHS000", "MHS001", "MHS002", "MHS004", "MHS101", "MHS201", "MHS202")
PORTAL = flows.login(None, None, None, "2026-08-14T09:30:00")


def record(folder: Path, **changes: object) -> Path:
    """A folder with the record of a gate that ran four expectations, two of which were not met."""
    one = {"table": "MHS001MPI", "over": "submitted", "element": "Gender", "looked_at": 3000}
    results = [
        {**one, "code": "MHS00131", "expectation": "expect_column_values_to_be_in_set", "rows": 2, "level": "warning"},
        {**one, "code": "MHS00130", "expectation": "expect_column_values_to_match_regex", "rows": 0, "level": "record"},
        {
            **one,
            "code": "MHS00144",
            "element": None,
            "expectation": "expect_compound_columns_to_be_unique",
            "rows": 30,
            "level": "group",
        },
        {
            **one,
            "code": "MHSREJ003",
            "over": "file",
            "element": None,
            "expectation": "unexpected_rows_expectation",
            "looked_at": 1,
            "rows": 0,
            "level": "file",
        },
        {
            **one,
            "code": "MHS00145",
            "over": "left",
            "expectation": "unexpected_rows_expectation",
            "looked_at": 9,
            "rows": 0,
            "level": "group",
        },
    ]
    content = {"verdict": "accepted with rejections", "edition": "published", "engine": "Great Expectations 1.24.1", "results": results}
    folder.mkdir()
    (folder / "gate.json").write_text(json.dumps({**content, "not_evaluated": {"MHS20154": "the code list is not public"}, **changes}))
    return folder


def test_the_page_says_what_was_met_and_what_was_not(tmp_path: Path) -> None:
    page = write_data_docs(record(tmp_path / "out"), {"MHS00144": "No two rows may share it."})
    assert page == tmp_path / "out" / "data_docs" / "index.html"
    text = page.read_text(encoding="utf-8")
    assert "2 expectations were not met, 1 of them by rows that the portal would reject. 3 were met." in text
    # What rejects comes first, then what warns; a few rows of many are not nothing.
    unmet = text.split('<table data-what="unmet">')[1].split("</table>")[0]
    assert re.findall(r'data-code="(\w+)"', unmet) == ["MHS00144", "MHS00131"]
    assert re.findall(r'<td class="num">([^<]*)</td>', unmet) == ["30", "1.0%", "2", "under 0.1%"]
    assert "Looked at again over the 9 rows that would be loaded, and met: MHS00145." in text
    assert "No two rows may share it." in unmet
    assert "MHS20154" in text
    assert page.stat().st_mode & 0o777 == 0o600


def test_without_a_gate_there_is_no_page(tmp_path: Path) -> None:
    assert write_data_docs(tmp_path, {}) is None
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gate\.json is not the record of the gate; validate the submission again"):
        write_data_docs(record(tmp_path / "out", results=[{"code": "MHS00131"}]), {})


def planted(folder: Path) -> tuple[Path, set[str]]:
    """A submission in which each cell has a value of its own, so that any of them would be recognised."""
    folder.mkdir()
    values = set()
    for table in (load().table(name) for name in TABLES):
        rows = [[f"Canary{table.id}x{place}x{number}" for place, _ in enumerate(table.elements)] for number in range(2)]
        values.update(value for row in rows for value in row)
        with (folder / f"{table.name}.csv").open("w", encoding="utf-8", newline="") as handle:
            csv.writer(handle).writerows([table.elements, *rows])
    return folder, values


def submitted(folder: Path) -> tuple[Path, set[str]]:
    """A month of the conformance case, and its values that no page has for reasons of its own: what is short is a code or a count."""
    values = set()
    for path in folder.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as handle:
            values.update(value for row in list(csv.reader(handle))[1:] for value in row if len(value) > 4)
    return folder, values


@pytest.mark.parametrize("case", ["planted", "submitted"])
def test_no_value_of_the_submission_is_in_data_docs_and_nothing_comes_from_elsewhere(case: str, tmp_path: Path) -> None:
    folder, values = planted(tmp_path / "in") if case == "planted" else submitted(CASES / "RXA" / "2026-07")
    flows.validate_folders([folder], tmp_path / "none", tmp_path / "out", PORTAL, gate=True)
    files = [path for path in (tmp_path / "out" / "data_docs").rglob("*") if path.is_file()]
    assert files
    for text in [path.read_text(encoding="utf-8") for path in (*files, tmp_path / "out" / "gate.json")]:
        assert [value for value in values if value in text] == []
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?:|//|@import|url\(|<script|<link(?! rel=\"icon\" href=\"data:)", text)
        assert re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', text) == []
    assert len(values) > 100


def test_the_same_submission_has_the_same_record_whatever_it_is_judged_with(tmp_path: Path) -> None:
    folders = [CASES / "RXA" / "2026-07", CASES / "RXB" / "2026-07"]
    flows.validate_folders(folders[:1], tmp_path / "none", tmp_path / "alone", PORTAL, gate=True)
    flows.validate_folders(folders, tmp_path / "none", tmp_path / "together", PORTAL, gate=True)
    for name in ("gate.json", "data_docs/index.html"):
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "together" / "RXA" / "2026-07" / name).read_bytes()

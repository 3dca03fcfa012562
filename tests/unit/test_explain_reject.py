"""The path of a rejection: from the row asked about to the faults it starts from, in numbers and codes only."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from ips_pipeline.errors import UsageError
from ips_pipeline.quality.explain import explain_reject
from ips_pipeline.quality.findings import Portal

CASES = Path(__file__).parents[1] / "conformance" / "validation"
PORTAL = Portal("RXZ", "RXZ", "2025-09-01", "2025-09-30", "2025-10-14T09:30:00")
TABLES = (
    *("MHS000Header", "MHS001MPI", "MHS002GP", "MHS101Referral", "MHS102OtherServiceType", "MHS201CareContact", "MHS202CareActivity"),
    *("MHS901StaffDetails", "MHS902ServiceTeamDetails"),
)

Edit = tuple[str, int, str, str]


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    folder = tmp_path / "submission"
    folder.mkdir()
    for table in TABLES:
        shutil.copy(CASES / "clean" / f"{table}.csv", folder)
    return folder


def edit(submission: Path, *edits: Edit) -> None:
    """Set values: table, 1-based row, element, value. A row past the end is a copy of row 7."""
    for table, row, element, value in edits:
        path = submission / f"{table}.csv"
        with path.open(encoding="utf-8", newline="") as handle:
            header, *rows = csv.reader(handle)
        if row > len(rows):
            rows.append(list(rows[6]))
        rows[row - 1][header.index(element)] = value
        with path.open("w", encoding="utf-8", newline="") as handle:
            csv.writer(handle).writerows([header, *rows])


def explain(submission: Path, table: str, row: int) -> list[str]:
    return explain_reject(submission, CASES / "reference", table, row, PORTAL)


def codes(lines: list[str]) -> list[tuple[int, str]]:
    """Depth and first word of each line but the last, which says where to start."""
    return [((len(line) - len(line.lstrip())) // 2, line.split()[0]) for line in lines[:-1]]


def test_a_rejected_row_names_its_own_codes(submission: Path) -> None:
    edit(submission, ("MHS201CareContact", 9, "CareContDate", "2025-10-01"))
    lines = explain(submission, "MHS201", 9)
    assert codes(lines) == [(0, "MHS201CareContact"), (1, "MHS20168")]
    assert lines[-1] == "Start with: MHS201CareContact row 9 (MHS20168)"


def test_a_cascade_is_followed_to_its_root(submission: Path) -> None:
    """A bad GP row takes the patient, the patient takes the referral, the referral takes the contact, the contact takes the activity."""
    edit(submission, ("MHS002GP", 7, "GMPReg", ""))
    lines = explain(submission, "MHS202CareActivity", 7)
    assert codes(lines) == [
        (0, "MHS202CareActivity"),
        (1, "MHS20224"),
        (2, "MHS201CareContact"),
        (3, "MHS20142"),
        (4, "MHS101Referral"),
        (5, "MHS10101"),
        (6, "MHS001MPI"),
        (7, "MHS00145"),
        (8, "MHS002GP"),
        (9, "MHS00203"),
    ]
    assert lines[-1] == "Start with: MHS002GP row 7 (MHS00203)"


def test_what_removed_a_parent_later_is_not_given_as_the_cause(submission: Path) -> None:
    """The patient falls for want of a GP row; the GP row is no start of itself, although it falls with the patient afterwards."""
    edit(submission, ("MHS002GP", 7, "GMPReg", ""))
    lines = explain(submission, "MHS001", 7)
    assert codes(lines) == [(0, "MHS001MPI"), (1, "MHS00145"), (2, "MHS002GP"), (3, "MHS00203")]


def test_a_parent_that_was_never_sent(submission: Path) -> None:
    edit(submission, ("MHS202CareActivity", 7, "CareContactID", "NOSUCH"))
    lines = explain(submission, "MHS202", 7)
    assert lines[2].strip() == "No MHS201CareContact row with this key was submitted."
    assert lines[-1] == "Start with: MHS202CareActivity row 7 (MHS20224)"


def test_twins_are_named_by_row(submission: Path) -> None:
    edit(submission, ("MHS202CareActivity", 361, "CareActID", "CA0007"))
    lines = explain(submission, "MHS202", 7)
    assert "The same key: MHS202CareActivity row 361." in [line.strip() for line in lines]


def test_a_row_that_stays_gets_its_warnings(submission: Path) -> None:
    edit(submission, ("MHS201CareContact", 9, "AttendStatus", "9"))
    first, *rest = explain(submission, "MHS201", 9)
    assert first == "MHS201CareContact row 9 is not rejected."
    assert [line.split()[1] for line in rest] == ["Severity"]


def test_a_rejected_file_is_said_first(submission: Path) -> None:
    edit(submission, ("MHS001MPI", 9, "NHSNumber", "9990000019"))
    assert explain(submission, "MHS201", 1)[0] == "The file is rejected (MHSREJ006a): nothing of it is loaded."


def test_no_value_of_the_submission_is_shown(submission: Path) -> None:
    edit(submission, ("MHS001MPI", 7, "NHSNumber", "CANARY1234"), ("MHS002GP", 7, "GMPReg", "CANARY"))
    for table in ("MHS001", "MHS002", "MHS202"):
        text = "\n".join(explain(submission, table, 7))
        assert "CANARY" not in text
        assert "P0007" not in text


@pytest.mark.parametrize(("table", "row"), [("MHS999", 1), ("MHS101Referrals", 1), ("MHS101", 0), ("MHS101", 100_000)])
def test_an_unknown_table_or_row_is_wrong_usage(submission: Path, table: str, row: int) -> None:
    with pytest.raises(UsageError):
        explain(submission, table, row)

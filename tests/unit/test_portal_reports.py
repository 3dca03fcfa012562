"""The portal's four reports: their columns, which finding goes where, the values shown, and the counts per table."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from ips_pipeline.mhsds.standard import Edition, load
from ips_pipeline.quality import portal
from ips_pipeline.quality.findings import Portal
from ips_pipeline.quality.validate import validate

CASES = Path(__file__).parents[1] / "conformance" / "validation"
TABLES = (
    *("MHS000Header", "MHS001MPI", "MHS002GP", "MHS101Referral", "MHS102OtherServiceType", "MHS201CareContact", "MHS202CareActivity"),
    *("MHS901StaffDetails", "MHS902ServiceTeamDetails"),
)
HEADER = (
    "REPORT_TYPE,DESCRIPTION,CODE,NUMERATOR,DENOMINATOR,DATA_ITEM1,DATA_VALUE1,DATA_ITEM2,DATA_VALUE2,DATA_ITEM3,DATA_VALUE3,DATA_ITEM4,DATA_VALUE4,"
    "DATA_ITEM5,DATA_VALUE5,DATA_ITEM6,DATA_VALUE6,DATA_ITEM7,DATA_VALUE7,DATA_ITEM8,DATA_VALUE8,DATA_ITEM9,DATA_VALUE9,DATA_ITEM10,DATA_VALUE10"
)

Edit = tuple[str, int, str, str]
Lines = list[dict[str, str]]


def submission(folder: Path, *edits: Edit) -> Path:
    """The core tables of the clean submission with some values set: table, 1-based row, element, value."""
    folder.mkdir(parents=True)
    for table in TABLES:
        shutil.copyfile(CASES / "clean" / f"{table}.csv", folder / f"{table}.csv")
    for table, row, element, value in edits:
        path = folder / f"{table}.csv"
        with path.open(encoding="utf-8", newline="") as handle:
            header, *rows = csv.reader(handle)
        rows[row - 1][header.index(element)] = value
        with path.open("w", encoding="utf-8", newline="") as handle:
            csv.writer(handle).writerows([header, *rows])
    return folder


def judge(folders: list[Path], out: Path, edition: Edition = "published") -> list[Path]:
    outs = [out / folder.name for folder in folders]
    login = Portal("RXZ", "RXZ", "2025-09-01", "2025-09-30", "2025-10-14T09:30:00")
    validate(folders, CASES / "reference", outs, [login] * len(folders), edition=edition)
    return outs


def read(path: Path) -> Lines:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def pairs(line: dict[str, str]) -> list[tuple[str, str]]:
    return [(line[f"DATA_ITEM{n}"], line[f"DATA_VALUE{n}"]) for n in range(1, 11) if line[f"DATA_ITEM{n}"]]


def about(path: Path, code: str) -> Lines:
    return [line for line in read(path) if line["CODE"] == code]


def test_the_columns_are_those_of_the_portal_and_the_files_are_private(tmp_path: Path) -> None:
    (out,) = judge([submission(tmp_path / "in" / "clean")], tmp_path / "out")
    for name in ("validations.csv", "data_quality.csv", "diagnostics.csv", "aggregation.csv"):
        assert (out / name).read_text(encoding="utf-8").splitlines()[0] == HEADER
        assert (out / name).stat().st_mode & 0o777 == 0o600
    assert read(out / "validations.csv") == []
    assert read(out / "data_quality.csv") == []


def test_a_rejection_shows_the_row_s_keys_and_the_elements_judged(tmp_path: Path) -> None:
    (out,) = judge([submission(tmp_path / "in" / "a", ("MHS101Referral", 7, "ServDischDate", "2025-08-31"))], tmp_path / "out")
    (line,) = about(out / "validations.csv", "MHS10129")
    assert line["REPORT_TYPE"] == "Validations"
    assert line["DESCRIPTION"] == "Record rejected: ServDischDate must not be before ReportingPeriodStartDate. (MHS101Referral)"
    assert (line["NUMERATOR"], line["DENOMINATOR"]) == ("", "")
    assert pairs(line) == [
        ("ServiceRequestID", "SR0007"),
        ("LocalPatientID", "P0007"),
        ("ServDischDate", "2025-08-31"),
        ("ReportingPeriodStartDate", "2025-09-01"),
    ]
    assert about(out / "data_quality.csv", "MHS10129") == []


def test_every_finding_is_on_one_line_of_the_right_report(tmp_path: Path) -> None:
    edits: list[Edit] = [
        ("MHS002GP", 7, "GMPReg", ""),
        ("MHS001MPI", 9, "NHSNumber", ""),
        ("MHS201CareContact", 30, "AttendStatus", "9"),
        ("MHS201CareContact", 31, "CareContDate", "2025-10-01"),
    ]
    (out,) = judge([submission(tmp_path / "in" / "a", *edits)], tmp_path / "out")
    findings = read(out / "findings.csv")
    rejections = [line["code"] for line in findings if line["level"] in ("file", "group", "record")]
    flags = [line["code"] for line in findings if line["level"] in ("severity1", "warning")]
    assert rejections and flags
    assert [line["CODE"] for line in read(out / "validations.csv")] == rejections
    assert [line["CODE"] for line in read(out / "data_quality.csv")] == flags
    assert {line["REPORT_TYPE"] for line in read(out / "data_quality.csv")} == {"Data quality"}


def test_the_edition_decides_the_report(tmp_path: Path) -> None:
    """A finding of a wrong form rejects the record in the published rules and only warns in ETOS 6.0."""
    folder = submission(tmp_path / "in" / "a", ("MHS202CareActivity", 7, "FindSchemeInUse", "04"), ("MHS202CareActivity", 7, "Finding", "772822001"))
    (published,) = judge([folder], tmp_path / "published")
    (etos,) = judge([folder], tmp_path / "etos", "etos")
    assert [len(about(published / name, "MHS20228")) for name in ("validations.csv", "data_quality.csv")] == [1, 0]
    assert [len(about(etos / name, "MHS20228")) for name in ("validations.csv", "data_quality.csv")] == [0, 1]


@pytest.mark.parametrize("value", ["=cmd|' /C calc'!A0", "+44", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_a_value_that_a_spreadsheet_would_run_is_made_text(tmp_path: Path, value: str) -> None:
    (out,) = judge([submission(tmp_path / "in" / "a", ("MHS201CareContact", 7, "AttendStatus", value))], tmp_path / "out")
    (line,) = about(out / "data_quality.csv", _code_of("AttendStatus", "in_list"))
    assert ("AttendStatus", "'" + value) in pairs(line)


@pytest.mark.parametrize("value", ['a,"b"', "two\nlines", "é—ü", " =not at the start"])
def test_any_other_value_is_shown_as_submitted(tmp_path: Path, value: str) -> None:
    (out,) = judge([submission(tmp_path / "in" / "a", ("MHS201CareContact", 7, "AttendStatus", value))], tmp_path / "out")
    (line,) = about(out / "data_quality.csv", _code_of("AttendStatus", "in_list"))
    assert ("AttendStatus", value) in pairs(line)


def test_a_value_longer_than_a_spreadsheet_cell_is_cut(tmp_path: Path) -> None:
    (out,) = judge([submission(tmp_path / "in" / "a", ("MHS201CareContact", 7, "AttendStatus", "9" * 1_000_000))], tmp_path / "out")
    (line,) = about(out / "data_quality.csv", _code_of("AttendStatus", "in_list"))
    assert ("AttendStatus", "9" * 32_000) in pairs(line)


def _code_of(element: str, kind: str) -> str:
    return next(rule.code for rule in load().rules() if rule.element == element and rule.kind == kind and rule.table == "MHS201")


def test_aggregation_counts_the_rows_of_every_table(tmp_path: Path) -> None:
    (out,) = judge([submission(tmp_path / "in" / "a", ("MHS202CareActivity", 7, "CareContactID", "NOSUCH"))], tmp_path / "out")
    lines = {line["CODE"]: line for line in read(out / "aggregation.csv")}
    assert list(lines) == [f"MHSARV{table.removeprefix('MHS')}" for table in load().tables]
    assert (lines["MHSARV202"]["NUMERATOR"], lines["MHSARV202"]["DENOMINATOR"]) == ("359", "360")
    assert (lines["MHSARV101"]["NUMERATOR"], lines["MHSARV101"]["DENOMINATOR"]) == ("220", "220")
    assert (lines["MHSARV702"]["NUMERATOR"], lines["MHSARV702"]["DENOMINATOR"]) == ("0", "0")
    assert {line["REPORT_TYPE"] for line in lines.values()} == {"Aggregation"}


def test_a_file_that_is_rejected_has_no_row_accepted(tmp_path: Path) -> None:
    (out,) = judge([submission(tmp_path / "in" / "a", ("MHS001MPI", 9, "NHSNumber", "9990000019"))], tmp_path / "out")
    assert {line["NUMERATOR"] for line in read(out / "aggregation.csv")} == {"0"}
    (line,) = about(out / "validations.csv", "MHSREJ006a")
    assert pairs(line) == [("LocalPatientID", "P0009"), ("NHSNumber", "9990000019")]


def test_a_finding_about_the_file_has_no_values(tmp_path: Path) -> None:
    folder = submission(tmp_path / "in" / "a")
    (folder / "MHS002GP.csv").unlink()
    (out,) = judge([folder], tmp_path / "out")
    (line,) = about(out / "validations.csv", "MHSREJ005")
    assert line["DESCRIPTION"] == "File rejected: MHS002GP must have at least one row that is not blank. (MHS002GP)"
    assert pairs(line) == []


def test_diagnostics_are_marked_as_our_reading(tmp_path: Path) -> None:
    edits: list[Edit] = [("MHS201CareContact", 30, "AttendStatus", "9"), ("MHS201CareContact", 31, "CareContDate", "2025-10-01")]
    edits.append(("MHS201CareContact", 31, "AttendStatus", "9"))
    (out,) = judge([submission(tmp_path / "in" / "a", *edits)], tmp_path / "out")
    lines = {line["CODE"]: line for line in read(out / "diagnostics.csv")}
    assert all("our reading" in line["DESCRIPTION"] for line in lines.values())
    contacts = lines["MHSDAG201"]
    assert (contacts["NUMERATOR"], contacts["DENOMINATOR"]) == ("2", "330")
    assert pairs(contacts) == [("Rows rejected", "1"), ("Rows with a warning that are not rejected", "1")]


def test_submissions_judged_together_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the lines of one submission come in several pieces, and where a piece holds several submissions."""
    monkeypatch.setattr(portal, "_LINES", 100)
    bad: list[Edit] = [("MHS000Header", 1, "ReportingPeriodEndDate", "2025-08-31")]
    folders = [
        submission(tmp_path / "in" / "first", ("MHS201CareContact", 30, "AttendStatus", "9")),
        submission(tmp_path / "in" / "none"),
        submission(tmp_path / "in" / "many", *bad),
        submission(tmp_path / "in" / "more", *bad),
        submission(tmp_path / "in" / "last", ("MHS201CareContact", 31, "CareContDate", "2025-10-01")),
    ]
    together = judge(folders, tmp_path / "together")
    for folder, out in zip(folders, together, strict=True):
        (alone,) = judge([folder], tmp_path / "alone")
        for name in portal.FILES:
            assert (out / name).read_bytes() == (alone / name).read_bytes(), (folder.name, name)
    # DuckDB gives no fewer than 2,048 lines at a time.
    assert len(read(together[2] / "validations.csv")) > 1024


def test_every_rule_has_its_elements_on_the_line() -> None:
    standard = load()
    for rule in standard.rules():
        table = standard.table(rule.table)
        items = portal.items_of(rule, table)
        assert len(items) <= portal.ITEMS
        assert len(set(items)) == len(items)
        assert all(item in table.elements or item.startswith("MHS000.") for item in items), rule.code
        if rule.element and rule.kind != "message_only":
            assert rule.element in items, rule.code

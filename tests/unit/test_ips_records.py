"""Local IPS records: workbooks as services keep them, files, queries; what is wrong with one in one line; the rules of the rows."""

from __future__ import annotations

import csv
import re
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pytest

from ips_pipeline import flows
from ips_pipeline.errors import InputError, UsageError
from ips_pipeline.mhsds import standard
from ips_pipeline.quality import records as rules
from ips_pipeline.quality import rulebook
from ips_pipeline.quality.kinds import KINDS, Judged
from ips_pipeline.settings import Site
from ips_pipeline.sources import records, records_template
from tests.unit.test_reports import read

LOCAL = standard.load(standard.LOCAL)
Sheets = Mapping[str, Sequence[Sequence[Any]]]

CASELOAD = ["Case ID", "NHS number", "Date of referral", "Accepted", "Work status at start", "Specialist", "Sex", "Hours per week", "Job start"]


def workbook(path: Path, sheets: Sheets) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
    book.save(path)
    return path


def landed(out: Path, table: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if value is not None} for row in pq.read_table(out / f"{table}.parquet").to_pylist()]


def test_a_caseload_sheet_in_plain_words(tmp_path: Path) -> None:
    rows = [
        ["Employment service, 2026"],
        [],
        [*CASELOAD, "Shoe size"],
        [17, "999 000 0018", datetime(2026, 1, 5), "12/01/2026", "Unemployed", "S1", "female", 16.5, date(2026, 3, 2), 41],
        [],
        [18.0, None, "5 January 2026", "12.01.26", "In Work", "S2", "M", None, None, None],
        [],
        ["Updated by the team leader every Friday"],
    ]
    found = records.land(workbook(tmp_path / "RAA.xlsx", {"Caseload": rows, "How to": [["Fill in every cell"]]}), "RAA", tmp_path / "out")
    assert landed(tmp_path / "out", "ips_episode") == [
        {
            "OrgIDProvider": "RAA",
            "episode_id": "17",
            "NHSNumber": "9990000018",
            "referral_date": "2026-01-05",
            "accepted_date": "2026-01-12",
            "status_at_start": "out_of_work",
            "specialist_id": "S1",
            "Gender": "2",
            "_row": 4,
        },
        {
            "OrgIDProvider": "RAA",
            "episode_id": "18",
            "referral_date": "2026-01-05",
            "accepted_date": "2026-01-12",
            "status_at_start": "in_work",
            "specialist_id": "S2",
            "Gender": "1",
            "_row": 6,
        },
    ]
    assert landed(tmp_path / "out", "ips_job") == [{"episode_id": "17", "job_no": "1", "start_date": "2026-03-02", "weekly_hours": "16.5", "_row": 4}]
    assert found.rows == {"ips_episode": 2, "ips_job": 1}
    assert [names for names in found.unread.values() if names] == [["Shoe size"]]


def test_a_sheet_of_jobs_stands_over_the_caseload(tmp_path: Path) -> None:
    sheets = {
        "Caseload": [CASELOAD, [1, None, date(2026, 1, 5), date(2026, 1, 6), "Unemployed", "S1", "F", 8, date(2026, 3, 2)]],
        "Jobs": [["Case ID", "Job no", "Start date", "Pay", "Competitive"], [1, 1, date(2026, 3, 3), "£12.50", "yes"]],
        "Staff": [["Provider code", "Specialist", "WTE", "From"], ["RAA", "S1", 0.8, date(2025, 1, 1)]],
    }
    records.land(workbook(tmp_path / "book.xlsx", sheets), "RAA", tmp_path / "out")
    assert landed(tmp_path / "out", "ips_job") == [
        {"episode_id": "1", "job_no": "1", "start_date": "2026-03-03", "hourly_pay": "12.50", "competitive": "Y", "_row": 2}
    ]


@pytest.mark.parametrize(
    ("sheets", "message"),
    [
        ({"Sheet1": [["Case ID"]]}, "has no sheet that is called like a table"),
        ({"Caseload": [["What a year"], ["it was"]]}, "has no row of headings in its first 20 rows"),
        ({"Caseload": [["NHS number", "Accepted"], [1, 2]]}, "has no column for Episode, as the service numbers it"),
        ({"Caseload": [["Case ID", "Case number", "Accepted"], [1, 1, 2]]}, "has two columns for Episode"),
        ({"Caseload": [CASELOAD], "Clients": [CASELOAD]}, "holds ips_episode a second time"),
        ({"Jobs": [["Case ID", "Job no", "Start date"], [1, 1, date(2026, 3, 3)]]}, "holds no episodes"),
    ],
)
def test_a_workbook_that_cannot_be_used_is_told_in_one_line(tmp_path: Path, sheets: Sheets, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        records.land(workbook(tmp_path / "book.xlsx", sheets), "RAA", tmp_path / "out")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("05/01/1990", "1990-01-05"),
        ("1990-01-05T00:00:00", "1990-01-05"),
        ("05/01/90", "05/01/90"),  # which century is not said: the rule refuses it
        ("31/02/1990", "31/02/1990"),
    ],
)
def test_birth_dates(tmp_path: Path, written: str, read: str) -> None:
    write_csv(tmp_path / "in" / "ips_episode.csv", ["episode_id", "PersonBirthDate"], ["1", written])
    records.land(tmp_path / "in", "RAA", tmp_path / "out")
    assert landed(tmp_path / "out", "ips_episode")[0]["PersonBirthDate"] == read


@pytest.mark.parametrize("content", [b"", b"not a workbook", b"PK\x03\x04 torn", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 an old or locked one"])
def test_a_file_that_is_no_workbook(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "book.xlsx").write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be read as a workbook; save it again as an Excel workbook \(.xlsx\) without a password"):
        records.land(tmp_path / "book.xlsx", "RAA", tmp_path / "out")


def write_csv(path: Path, *rows: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows(rows)


def test_files_with_the_names_of_tables_or_the_words_of_services(tmp_path: Path) -> None:
    write_csv(tmp_path / "RAA" / "ips_episode.csv", ["episode_id", "Date of referral", "accepted_date"], ["7", "05/01/2026", "2026-01-06"])
    (held,) = records.find(tmp_path).items()
    assert held == ("RAA", tmp_path / "RAA")
    records.land(held[1], held[0], tmp_path / "out")
    assert landed(tmp_path / "out", "ips_episode") == [
        {"OrgIDProvider": "RAA", "episode_id": "7", "referral_date": "2026-01-05", "accepted_date": "2026-01-06", "_row": 1}
    ]


def test_queries_of_a_source_of_the_site(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ips.sqlite") as connection:
        connection.execute("CREATE TABLE client (no, referred, state)")
        connection.execute("INSERT INTO client VALUES (3, '2026-01-05', 'Unemployed')")
    query = "SELECT no AS episode_id, referred AS referral_date, state AS status_at_start FROM client WHERE referred <= :period_end"
    (tmp_path / "records.yaml").write_text(f"source: epr\ninputs:\n  ips_episode: {{query: {query!r}}}\n", encoding="utf-8")
    provider = {"code": "RAA", "name": "Trust", "source": "epr", "mapping": "m.yaml"}
    site = Site.model_validate(
        {
            "file": tmp_path / "SITE.toml",
            "name": "x",
            "data": tmp_path,
            "reference": tmp_path,
            "secrets": tmp_path,
            "providers": [provider],
            "sources": {"epr": {"kind": "sql", "url": "sqlite:///ips.sqlite"}},
        }
    )
    bind = {"period_start": date(2026, 8, 1), "period_end": date(2026, 8, 31), "provider": "RAA"}
    records.land(tmp_path / "records.yaml", "RAA", tmp_path / "out", site=site, bind=bind)
    assert [row["status_at_start"] for row in landed(tmp_path / "out", "ips_episode")] == ["out_of_work"]
    with pytest.raises(UsageError, match="names a source of a site"):
        records.land(tmp_path / "records.yaml", "RAA", tmp_path / "out")


EPISODE = {
    "OrgIDProvider": "RAA",
    "episode_id": "1",
    "NHSNumber": "9990000018",
    "referral_date": "2026-01-05",
    "accepted_date": "2026-01-12",
    "status_at_start": "out_of_work",
    "specialist_id": "S1",
}
JOB = {"episode_id": "1", "job_no": "1", "start_date": "2026-03-02", "weekly_hours": "16"}
STAFF = {"OrgIDProvider": "RAA", "specialist_id": "S1", "wte": "1", "from_date": "2025-01-01"}
WEEK = {"episode_id": "1", "job_no": "1", "week_start": "2026-03-02", "hours": "16"}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"ips_episode": {"accepted_date": "2026-01-04"}}, "IPSR-115"),
        ({"ips_episode": {"NHSNumber": "9990000019"}}, "IPSR-106"),
        ({"ips_episode": {"accepted_date": "2024-12-31", "referral_date": "2024-12-31"}}, "IPSR-196"),  # the specialist was not in post yet
        ({"ips_episode": {"specialist_id": "S9"}}, "IPSR-195"),
        ({"ips_episode": {"ServiceRequestID": "R9"}}, "IPSR-108"),
        ({"ips_job": {"start_date": "2026-01-11"}}, "IPSR-293"),
        ({"ips_job": {"start_date": "2025-01-11", "held_at_start": "Y"}}, "IPSR-294"),  # out of work, and held a job
        ({"ips_job": {"end_date": "2026-03-01"}}, "IPSR-208"),
        ({"ips_job": {"first_four_hours_date": "2026-03-01"}}, "IPSR-210"),
        ({"ips_job": {"weekly_hours": "169"}}, "IPSR-212"),
        ({"ips_job": {"episode_id": "2"}}, "IPSR-291"),
        ({"ips_job_week": {"week_start": "2026-03-03"}}, "IPSR-307"),
        ({"ips_job_week": {"hours": "-1"}}, "IPSR-309"),
        ({"ips_job_week": {"job_no": "2"}}, "IPSR-394"),
        ({"ips_staff": {"wte": "7"}}, "IPSR-509"),
    ],
)
def test_cross_checks(tmp_path: Path, changed: Mapping[str, Mapping[str, str]], code: str) -> None:
    tables = {"ips_episode": EPISODE, "ips_job": JOB, "ips_staff": STAFF, "ips_job_week": WEEK}
    for name, sound in tables.items():
        row = {**sound, **changed.get(name, {})}
        write_csv(tmp_path / "records" / f"{name}.csv", list(row), list(row.values()))
    write_csv(tmp_path / "sub" / "RAA" / "2026-08" / "MHS101Referral.csv", ["ServiceRequestID"], ["R1"])
    rules.validate(tmp_path / "records", tmp_path / "out", submissions=[tmp_path / "sub" / "RAA" / "2026-08"])
    with (tmp_path / "out" / "findings.csv").open(encoding="utf-8") as handle:
        found = {row["code"] for row in csv.DictReader(handle)}
    assert code in found
    assert found <= {rule.code for rule in LOCAL.rules()}


def test_sound_records_have_no_findings(tmp_path: Path) -> None:
    for name, row in {"ips_episode": EPISODE, "ips_job": JOB, "ips_staff": STAFF, "ips_job_week": WEEK}.items():
        write_csv(tmp_path / "records" / f"{name}.csv", list(row), list(row.values()))
    verdict = rules.validate(tmp_path / "records", tmp_path / "out")
    assert (verdict.rows_given, verdict.rows_rejected, verdict.findings) == (4, 0, 0)
    assert set(verdict.not_evaluated) == {"IPSR-108"}


def test_a_person_with_two_first_jobs(tmp_path: Path) -> None:
    write_csv(tmp_path / "records" / "ips_episode.csv", list(EPISODE), list(EPISODE.values()))
    write_csv(tmp_path / "records" / "ips_job.csv", list(JOB), list(JOB.values()), list({**JOB, "start_date": "2026-05-04"}.values()))
    verdict = rules.validate(tmp_path / "records", tmp_path / "out")
    assert (verdict.rows_rejected, verdict.findings) == (2, 2)
    # Without staff the rules that compare with it are not evaluated rather than failed.
    assert set(verdict.not_evaluated) == {"IPSR-108", "IPSR-195", "IPSR-196", "IPSR-493", "IPSR-494"}


def faulty(folder: Path) -> Path:
    """A workbook with a sound client, and clients with one fault each; every value that is a person's begins with a word of its own."""
    clients = [
        [1, "999 000 0018", date(2026, 1, 5), "12/01/2026", "Unemployed", "S1", "female", 16.5, date(2026, 3, 2)],
        [2, "999 000 0019", date(2026, 1, 5), "12/01/2026", "Unemployed", "S1", "male", 16.5, date(2026, 3, 2)],
        ["canary-case", None, date(2026, 1, 5), "canary-date", "Unemployed", "S1", "canary-sex", None, None],
    ]
    employers = [["Contact id", "Case ID", "Specialist", "Date"], [1, 1, "S1", date(2026, 2, 1)], [2, 2, "S1", date(2026, 2, 1)]]
    staff = [["Specialist", "WTE", "From"], ["S1", 0.8, date(2025, 1, 1)]]
    sheets = {
        "Caseload": [["A service, 2026"], [*CASELOAD, "Shoe size"], *([*row, 41] for row in clients)],
        "Employer contacts": employers,
        "Staff": staff,
        "How to": [["Fill in every cell"]],
    }
    folder.mkdir(parents=True, exist_ok=True)
    return workbook(folder / "RAA.xlsx", sheets)


def test_the_report_says_what_to_mend_and_where_and_nothing_of_anybody(tmp_path: Path) -> None:
    facts = flows.validate_records(faulty(tmp_path / "in").parent, tmp_path / "out", None)["RAA"]
    page = tmp_path / "out" / "RAA" / "report.html"
    seen = read(page)
    assert page.stat().st_mode & 0o077 == 0
    assert (facts["rows_given"], facts["rows_rejected"]) == (8, 4)
    assert "4 rows would not count" in seen.text
    broken = {key.removeprefix("rules|"): cells for key, cells in seen.rows.items() if key.startswith("rules|")}
    # What only follows from other rows comes after them, and warnings come last.
    assert list(broken) == ["IPSR-106", "IPSR-114", "IPSR-291", "IPSR-491", "IPSR-110", "IPSR-194"]
    assert all(cells[2] == "1" for cells in broken.values())
    assert "Row 4 of RAA.xlsx, sheet Caseload." in broken["IPSR-106"][1]
    assert "Row 3 of RAA.xlsx, sheet Employer contacts." in broken["IPSR-491"][1]
    assert "Row 4 of RAA.xlsx, sheet Caseload (first jobs)." in broken["IPSR-291"][1]
    for code, cells in broken.items():
        rule = next(rule for rule in LOCAL.rules() if rule.code == code)
        assert rulebook.sentence(rule) in cells[1] and rulebook.advice(rule) in cells[1]
    assert seen.rows["tables|ips_episode"][1:] == ["RAA.xlsx, sheet Caseload", "3", "1", "2", "0"]
    assert seen.rows["tables|ips_staff"][1:] == ["RAA.xlsx, sheet Staff", "1", "1", "0", "0"]
    assert "Column Shoe size" in seen.text and "sheet How to" in seen.text
    assert "No MHSDS submissions were given to compare with." in seen.text and "IPSR-108" in seen.text
    assert "canary" not in page.read_text(encoding="utf-8") and "9990000019" not in page.read_text(encoding="utf-8")


def test_the_empty_workbook_is_understood_and_so_is_what_its_lists_offer(tmp_path: Path) -> None:
    path = records_template.write_template(tmp_path / "RAA.xlsx")
    assert path.stat().st_mode & 0o077 == 0
    assert path.read_bytes() == records_template.write_template(tmp_path / "again.xlsx").read_bytes()
    empty = records.land(path, "", tmp_path / "empty")
    assert empty.rows == dict.fromkeys((table.name for table in LOCAL.tables.values()), 0) and not any(empty.unread.values())

    values = {"date": date(2026, 1, 5), "integer": 1, "decimal": 2, "text": "1"}
    book = openpyxl.load_workbook(path)
    chosen = {name: [cell.value for cell in column if cell.value] for column in book["Choices"].columns for name in [column[0].value]}
    wanted: dict[str, list[dict[str, str | None]]] = {}
    for table in LOCAL.tables.values():
        sheet = book[records_template.sheet_title(table)]
        assert [cell.value for cell in sheet[1]] == [records_template.heading(table, field) for field in table.fields]
        # As many rows as the longest list of the table has choices, each choice used.
        length = max([1, *(len(LOCAL.codes(field.codes)) for field in table.fields if field.codes)])
        for place in range(length):
            row = {}
            for column, field in enumerate(table.fields, 1):
                listed = list(LOCAL.codes(field.codes).items()) if field.codes else []
                code, meaning = listed[place % len(listed)] if listed else ("", values[field.type])
                assert not listed or meaning in chosen[listed[0][1]]
                sheet.cell(place + 2, column, meaning)
                row[field.element] = code or ("2026-01-05" if field.type == "date" else str(meaning))
            wanted.setdefault(table.name, []).append(row)
    book.save(path)
    records.land(path, "", tmp_path / "full")
    for table in LOCAL.tables.values():
        assert [{key: row[key] for key in table.elements} for row in landed(tmp_path / "full", table.name)] == wanted[table.name]


def test_what_excel_lets_in_is_what_the_rules_let_in(tmp_path: Path) -> None:
    """A list for every code list, dates, and the bounds of the rules; the note beside a cell says what it is for."""
    book = openpyxl.load_workbook(records_template.write_template(tmp_path / "RAA.xlsx"))
    assert book["Choices"].sheet_state == "hidden"
    for table in LOCAL.tables.values():
        held = {str(item.sqref).partition(":")[0]: item for item in book[records_template.sheet_title(table)].data_validations.dataValidation}
        for column, field in enumerate(table.fields, 1):
            item = held[f"{openpyxl.utils.get_column_letter(column)}2"]
            assert item.prompt.startswith(field.name[:200]) and item.promptTitle == field.element
            number = next((rule.arguments for rule in field.rules if rule.kind == "number"), None)
            if field.codes:
                assert item.type == "list" and item.formula1.startswith("Choices!")
            elif number:
                assert (float(item.formula1), float(item.formula2)) == (number["lowest"], number["highest"])
            else:
                assert item.type == ("date" if field.type == "date" else "textLength" if field.max_length else None)


def test_nobodys_workbook_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "RAA.xlsx").write_bytes(b"a caseload")
    with pytest.raises(UsageError, match="is there already and may hold records"):
        records_template.write_template(tmp_path / "RAA.xlsx")
    assert (tmp_path / "RAA.xlsx").read_bytes() == b"a caseload"
    with pytest.raises(UsageError, match=r"is not called [.]xlsx"):
        records_template.write_template(tmp_path / "RAA.csv")
    with pytest.raises(UsageError, match="does not exist; make it"):
        records_template.write_template(tmp_path / "nowhere" / "RAA.xlsx")
    assert [path.name for path in tmp_path.iterdir()] == ["RAA.xlsx"]


def test_a_workbook_without_rows_says_so(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    records_template.write_template(tmp_path / "in" / "RAA.xlsx")
    flows.validate_records(tmp_path / "in", tmp_path / "out", None)
    seen = read(tmp_path / "out" / "RAA" / "report.html")
    assert "No rows were given" in seen.text and "No table has a row." in seen.text


def test_a_report_without_faults_says_so(tmp_path: Path) -> None:
    write_csv(tmp_path / "in" / "RAA" / "ips_episode.csv", list(EPISODE), list(EPISODE.values()))
    flows.validate_records(tmp_path / "in", tmp_path / "out", None)
    seen = read(tmp_path / "out" / "RAA" / "report.html")
    assert "Every row counts" in seen.text and "No rule is broken." in seen.text and "Every column and sheet was understood." in seen.text
    assert seen.rows["tables|ips_episode"][1:] == ["ips_episode.csv", "1", "1", "0", "0"]
    assert not [key for key in seen.rows if key.startswith("rules|")]


def test_every_rule_of_local_records_has_a_kind_a_code_of_its_own_and_words() -> None:
    codes = [rule.code for rule in LOCAL.rules()]
    assert len(codes) == len(set(codes))
    for rule in LOCAL.rules():
        assert rule.code.startswith("IPSR-")
        assert rulebook.sentence(rule).endswith(".")
        # They are words for a service: of no portal, no national list and no table by its number.
        assert not re.search(r"IPS00|\bnational|\bportal|\bfiles?\b|\breject", f"{rulebook.sentence(rule)} {rulebook.advice(rule)}")
        assert rulebook.advice(rule).endswith(".") and "{" not in rulebook.advice(rule)
        assert KINDS[rule.kind].bad(rule, Judged(LOCAL, LOCAL.table(rule.table)))
    parents = [rule.code for rule in LOCAL.rules() if rule.kind == "parent_exists"]
    assert sorted(parents) == sorted(LOCAL.referential_order)


def test_headings_are_those_of_elements_and_no_two_mean_the_same() -> None:
    words = standard.local_words()
    for table in LOCAL.tables.values():
        held = words["headings"][table.name]
        assert set(held) <= set(table.elements)
        said = [word for element in held.values() for word in element]
        assert len(said) == len(set(said)), table.name
    assert set(words["caseload_job"]) <= set(LOCAL.table("ips_job").elements)


def test_no_code_list_has_a_comma_too_many_and_no_word_stands_for_two_codes() -> None:
    for path in sorted((Path(standard.__file__).parent / "ips" / "codes").glob("*.csv")):
        rows = LOCAL.code_rows(path.stem)
        assert all(None not in row and None not in row.values() for row in rows), path.name
        if "words" in rows[0]:
            said = [(word, row["code"]) for row in rows for word in row["words"].split("|")]
            assert len({word for word, _ in said}) == len(said), path.name

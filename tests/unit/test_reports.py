"""The pages: what they say is what the files say, nothing of the exact or the patients gets in, and anybody can read them."""

from __future__ import annotations

import csv
import itertools
import json
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest

from ips_pipeline.errors import InputError
from ips_pipeline.reports import pages
from ips_pipeline.reports.earlier import Outcome, write_outcome
from ips_pipeline.reports.landings import Again, Different, Landed
from ips_pipeline.reports.validation import Checked, write_validation_report, write_validation_reports
from ips_pipeline.sources.changes import Counts
from tests.unit.test_worklist import sheets

CANARY = "CANARY-9990417"


@dataclass
class Seen:
    """A page as a parser sees it."""

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    tables: list[dict[str, object]] = field(default_factory=list)
    rows: dict[str, list[str]] = field(default_factory=dict)
    values: dict[str, list[str]] = field(default_factory=dict)
    text: str = ""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen = Seen()
        self._key: str | None = None
        self._cell: list[str] | None = None
        self._breakdown = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attrs}
        self.seen.tags.append((tag, held))
        if tag == "table":
            self._breakdown = held.get("data-breakdown", held.get("data-what", ""))
            self.seen.tables.append({"captions": 0, "scopes": [], "headers": 0, **held})
        elif tag == "caption":
            self.seen.tables[-1]["captions"] = 1
        elif tag == "th":
            self.seen.tables[-1]["scopes"].append(held.get("scope"))  # type: ignore[attr-defined]
        elif tag == "tr" and (level := held.get("data-level") or held.get("data-table") or held.get("data-code")):
            self._key = f"{self._breakdown}|{level}"
            self.seen.rows[self._key] = []
            self.seen.values[self._key] = []
        elif tag == "data" and self._key:
            self.seen.values[self._key].append(held["value"])
        if tag in ("td", "th") and self._key:
            self._cell = []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._key and self._cell is not None:
            self.seen.rows[self._key].append(" ".join("".join(self._cell).split()))
            self._cell = None
        elif tag == "tr":
            self._key = None

    def handle_data(self, data: str) -> None:
        self.seen.text += data
        if self._cell is not None:
            self._cell.append(data)


def read(page: Path) -> Seen:
    reader = _Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    return reader.seen


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(header)
        writer.writerows(rows)
    return path


# -- the report of a submission ---------------------------------------------------------------------------------------------


SENTENCES = {"MHS00169": "Postcode must look like a postcode.", "MHS20142": "There must be a valid referral <of the contact>."}
ADVICE = {"MHS00169": "Correct the postcode in the patient record."}


@dataclass
class Judged:
    """A submission and what validation wrote about it."""

    out: Path
    submission: Path

    def report(self, **more: object) -> Path:
        return write_validation_report(
            self.out,
            self.submission,
            sentences=SENTENCES,
            advice=ADVICE,
            **more,  # type: ignore[arg-type]
        )


def judged(tmp_path: Path, findings: Sequence[tuple[str, int, str, str]], rejected: Sequence[tuple[str, int]]) -> Judged:
    """Two people with three contacts, and one contact of nobody's; keys and values hold the canary."""
    submission, out = tmp_path / "submission", tmp_path / "out"
    people = [f"{CANARY}-1", f"{CANARY}-2"]
    write_csv(submission / "MHS001MPI.csv", ["LocalPatientID", "NHSNumber", "Postcode"], [[person, CANARY, CANARY] for person in people])
    write_csv(submission / "MHS002GP.csv", ["LocalPatientID"], [[person] for person in people])
    write_csv(submission / "MHS101Referral.csv", ["ServiceRequestID", "LocalPatientID"], [["R1", people[0]], ["R2", people[1]]])
    contacts = [["C1", "R1"], ["C2", "R1"], ["C3", "R2"], ["C4", "R-of-nobody"]]
    write_csv(submission / "MHS201CareContact.csv", ["CareContactID", "ServiceRequestID"], contacts)
    write_csv(submission / "MHS202CareActivity.csv", ["CareActID", "CareContactID"], [["A1", "C1"], ["A4", "C4"]])
    write_csv(out / "findings.csv", ["table", "row", "code", "level"], findings)
    write_csv(out / "rejected_rows.csv", ["table", "row"], rejected)
    return Judged(out, submission)


CASCADE: list[tuple[str, int, str, str]] = [
    ("MHS001MPI", 1, "MHS00169", "record"),
    ("MHS002GP", 1, "MHS00220", "group"),
    ("MHS101Referral", 1, "MHS10101", "group"),
    ("MHS201CareContact", 1, "MHS20142", "group"),
    ("MHS201CareContact", 2, "MHS20142", "group"),
    ("MHS201CareContact", 2, "MHS20106", "record"),
    ("MHS201CareContact", 3, "MHS20147", "severity1"),
    ("MHS201CareContact", 4, "MHS20142", "group"),
    ("MHS202CareActivity", 1, "MHS20224", "group"),
    ("MHS202CareActivity", 2, "MHS20224", "group"),
]


def gone(findings: Iterable[tuple[str, int, str, str]]) -> list[tuple[str, int]]:
    return sorted({(table, row) for table, row, _, level in findings if level in ("file", "group", "record")})


def fixes(page: Path) -> list[str]:
    """The text of each entry of what to mend first."""
    section = page.read_text().split('<ol class="fixes">')[1].split("</ol>")[0]
    return [" ".join(re.sub(r"<[^>]+>", " ", item).split()) for item in section.split("<li>")[1:]]


def test_a_cascade_counts_for_its_root(tmp_path: Path) -> None:
    found = fixes(judged(tmp_path, CASCADE, gone(CASCADE)).report())
    assert [re.search(r"MHS\d+", item)[0] for item in found] == ["MHS00169", "MHS20142", "MHS20106"]  # type: ignore[index]
    # One bad postcode takes the person, the GP row, the referral, two contacts and an activity; one contact has a fault of its own too.
    assert found[0].startswith("5 rows are freed") and "1 of them waits for another correction too" in found[0]
    assert "Row 1 of MHS001MPI" in found[0] and "Correct the postcode in the patient record." in found[0]
    # The contact of nobody's referral is its own cause, and takes its activity; the contacts above are not listed as its rows.
    assert found[1].startswith("2 rows are freed") and "Row 4 of MHS201CareContact" in found[1]
    assert found[2].startswith("1 row waits for this and more")


def test_the_report_counts_what_the_files_hold(tmp_path: Path) -> None:
    page = judged(tmp_path, CASCADE, gone(CASCADE)).report(
        provider="RXA", period="2026-08", not_evaluated={"MHS01408": "the code list is not public"}
    )
    seen = read(page)
    assert seen.rows["tables|MHS201"] == ["Care Contact MHS201", "4", "1", "3", "1"]
    assert seen.rows["tables|MHS001"] == ["Master Patient Index MHS001", "2", "1", "1", "0"]
    assert seen.rows["rules|MHS20142"][2] == "3" and "Rows 1, 2, 4 of MHS201CareContact" in seen.rows["rules|MHS20142"][1]
    text = " ".join(seen.text.split())
    assert "Accepted with rejections" in text and "8 rows of 12 would be left out" in text and "RXA, August 2026" in text
    assert "The code list is not public." in text and "MHS01408" in text


def test_rows_per_table_come_from_the_aggregation_report_where_it_is(tmp_path: Path) -> None:
    held = judged(tmp_path, [], [])
    write_csv(held.out / "aggregation.csv", ["REPORT_TYPE", "DESCRIPTION", "CODE", "NUMERATOR", "DENOMINATOR"], [["A", "", "MHSARV201", 7000, 7000]])
    seen = read(held.report())
    assert seen.rows["tables|MHS201"] == ["Care Contact MHS201", "7,000", "7,000", "0", "0"]
    assert "All 7,000 rows would be loaded." in " ".join(seen.text.split())


def test_a_rejected_file_says_so_first(tmp_path: Path) -> None:
    findings = [("MHS001MPI", 2, "MHSREJ006a", "file"), ("MHS002GP", 0, "MHSREJ005", "file"), *CASCADE]
    page = judged(tmp_path, findings, gone([*findings[:1], *CASCADE])).report()
    text = " ".join(read(page).text.split())
    assert text.index("Would be rejected as a file") < text.index("MHSREJ005") < text.index("What to mend first")
    assert "MHSREJ006a" in fixes(page)[0]


def test_a_missing_parent_is_one_cause_whichever_tables_miss_it(tmp_path: Path) -> None:
    findings = [
        ("MHS103OtherReasonReferral", 1, "MHS10306", "group"),
        ("MHS201CareContact", 4, "MHS20142", "group"),
        ("MHS202CareActivity", 2, "MHS20224", "group"),
    ]
    held = judged(tmp_path, findings, gone(findings))
    write_csv(held.submission / "MHS103OtherReasonReferral.csv", ["ServiceRequestID", "OtherReasonReferMH"], [["R-of-nobody", "01"]])
    (only,) = fixes(held.report())
    assert only.startswith("3 rows are freed")
    assert "MHS10306" in only and "The same in 1 other table: MHS20142" in only


def upload(home: Path, postcodes: Sequence[str], order: Sequence[int], rejected: Sequence[tuple[str, str]], previous: Path | None = None) -> Path:
    """The page of a month with people in the given order of their numbers; ``rejected`` are (person, code)."""
    people = [f"{CANARY}-{number}" for number in order]
    write_csv(home / "submission" / "MHS001MPI.csv", ["LocalPatientID", "Postcode"], list(zip(people, postcodes, strict=True)))
    findings = [("MHS001MPI", people.index(f"{CANARY}-{person}") + 1, code, "record") for person, code in rejected]
    write_csv(home / "out" / "findings.csv", ["table", "row", "code", "level"], findings)
    write_csv(home / "out" / "rejected_rows.csv", ["table", "row"], gone(findings))
    return write_validation_report(
        home / "out", home / "submission", sentences=SENTENCES, advice=ADVICE, provider="RXA", period="2026-08", previous=previous
    )


def test_rows_are_known_again_when_they_have_moved(tmp_path: Path) -> None:
    """Last time 1, 2 and 3 were rejected; now 1 is right, 2 is still wrong in another place, 3 is not sent, and 4 is newly wrong."""
    first = upload(tmp_path / "first", "abcd", (1, 2, 3, 4), [("1", "MHS00169"), ("2", "MHS00169"), ("3", "MHS00167")])
    assert "No earlier check of this month is at hand" in read(first).text
    page = upload(tmp_path / "second", "dba", (4, 2, 1), [("2", "MHS00169"), ("4", "MHS00160")], first.parent)
    text = " ".join(read(page).text.split())
    for said in (
        "1 row was rejected and would now be loaded",
        "1 row is rejected now and was not",
        "1 row is rejected again",
        "1 rejected last time is no longer",
    ):
        assert said in text, said
    assert "1 new, 0 with more rows, 1 with fewer, 1 gone" in text
    rows = read(page).rows
    assert rows["change|MHS00169"][0] == "Fewer" and rows["change|MHS00169"][2:] == ["2", "1"]
    assert rows["change|MHS00160"][0] == "New" and rows["change|MHS00167"][0] == "Gone"
    assert CANARY not in page.read_text()


def test_an_earlier_check_that_kept_no_records_is_compared_by_rules_alone(tmp_path: Path) -> None:
    first = upload(tmp_path / "first", "ab", (1, 2), [("1", "MHS00169")])
    (first.parent / "outcome.json").unlink()
    text = " ".join(read(upload(tmp_path / "second", "ab", (1, 2), [], first.parent)).text.split())
    assert "did not keep which records it rejected" in text and "1 gone" in text


def test_months_are_drawn_and_told(tmp_path: Path) -> None:
    months = [Outcome("RXA", f"2026-{month:02d}", "published", month == 6, 1000 + month, 40 - month, 90) for month in (5, 6, 7)]
    page = judged(tmp_path, CASCADE, gone(CASCADE)).report(provider="RXA", period="2026-08", months=months)
    seen = read(page)
    assert [key.partition("|")[2] for key in seen.rows if key.startswith("trend|")] == ["2026-05", "2026-06", "2026-07", "2026-08"]
    assert seen.rows["trend|2026-06"] == ["Jun 2026", "1,006", "34", "90", "Rejected as a file"]
    assert seen.rows["trend|2026-08"][-1] == "Accepted with rejections"
    assert [tag for tag, _ in seen.tags].count("svg") == 3
    alone = judged(tmp_path / "alone", CASCADE, gone(CASCADE)).report(provider="RXA", period="2026-08")
    assert "No checks of earlier months of this provider were given" in read(alone).text


def test_earlier_checks_are_sorted_by_whose_and_when_they_were(tmp_path: Path) -> None:
    """Of the folders given, the same month of the same provider is the last upload, earlier months are drawn, the rest is left out."""
    folders = {}
    for name, provider, period in (("may", "RXA", "2026-05"), ("last", "RXA", "2026-08"), ("later", "RXA", "2026-09"), ("other", "RXB", "2026-07")):
        folder = tmp_path / name
        folder.mkdir()
        write_outcome(folder, Outcome(provider, period, "published", False, 10, 0, 0))
        write_csv(folder / "findings.csv", ["table", "row", "code", "level"], [("MHS001MPI", 1, "MHS00169", "record")] if name == "last" else [])
        folders[name] = folder
    held = judged(tmp_path, [], [])
    words: dict[str, dict[str, str]] = {"sentences": SENTENCES, "advice": ADVICE}
    (page,) = write_validation_reports([Checked(held.out, held.submission, "RXA", "2026-08", earlier=list(folders.values()))], **words)
    rows = read(page).rows
    assert [key for key in rows if key.startswith("trend|")] == ["trend|2026-05", "trend|2026-08"]
    assert rows["change|MHS00169"][0] == "Gone"


def with_teams(tmp_path: Path) -> Judged:
    """The cascade; the first referral is held by T1 with T2 as a second team, the second by nobody."""
    held = judged(tmp_path, CASCADE, gone(CASCADE))
    people = [f"{CANARY}-1", f"{CANARY}-2"]
    header = ["ServiceRequestID", "LocalPatientID", "CareProfTeamLocalID"]
    write_csv(held.submission / "MHS101Referral.csv", header, [["R1", people[0], "T1"], ["R2", people[1], ""]])
    write_csv(held.submission / "MHS102OtherServiceType.csv", ["ServiceRequestID", "OtherCareProfTeamLocalID"], [["R1", "T2"]])
    write_csv(held.submission / "MHS902ServiceTeamDetails.csv", ["CareProfTeamLocalID", "ServTeamTypeMH"], [["T1", "D05"]])
    return held


def test_each_row_goes_to_the_team_that_answers_for_it(tmp_path: Path) -> None:
    page = with_teams(tmp_path).report()
    rows = read(page).rows
    # T1: the referral, its two contacts and an activity; with the person and the GP row, which belong to both teams of the person.
    assert rows["teams|T1"][:3] == ["T1Individual Placement and Support Service", "6", "0"]
    assert rows["teams|T2"][:3] == ["T2", "2", "0"]
    # The contact of nobody's referral with its activity, and the warned contact of a referral without a team.
    assert rows["teams|No team"][:3] == ["No team", "2", "1"]
    assert CANARY not in page.read_text()


def test_the_work_list_names_each_fault_once_and_the_rows_it_frees(tmp_path: Path) -> None:
    held = with_teams(tmp_path)
    held.report(worklist=True)
    found = sheets(held.out / "worklist.xlsx")
    assert list(found) == ["Summary", "T1", "T2", "No team"]
    # The person's postcode frees five rows; the second contact has a fault of its own, which frees nothing while the person is rejected.
    assert [(row[1], row[4]) for row in found["T1"][1:]] == [("MHS00169", "1"), ("MHS20106", "2")]
    assert "5" in found["T1"][1] and f"{CANARY}-1" in found["T1"][1]
    assert "Correct the postcode in the patient record." in found["T1"][1]
    assert [(row[1], row[4]) for row in found["No team"][1:]] == [("MHS20142", "4"), ("MHS20147", "3")]


CHANGED = [
    ("MHS101Referral", "added", f"{CANARY}-R9", "", ""),
    ("MHS101Referral", "changed", "=R1", "", ""),
    ("MHS101Referral", "changed", "R2", "", ""),
    ("MHS101Referral", "moved", "R2", f"{CANARY}-2", f"{CANARY}-1"),
    ("MHS002GP", "withdrawn", f"{CANARY}-2", "", ""),
]


def changed(folder: Path, period: str, since: date, lines: Sequence[tuple[str, ...]] = CHANGED) -> Different:
    """A comparison as an extract leaves it: its file of records, and the counts of it."""
    path = write_csv(folder / period / "changes.csv", ["table", "what", "record", "person_was", "person_now"], lines)
    tables = {name: Counts(*(sum(line[:2] == (name, what) for line in lines) for what in KINDS)) for name in sorted({line[0] for line in lines})}
    return Different(period, since, tables, 1, path)


KINDS = ("added", "changed", "withdrawn", "moved")


def late(page: Path) -> str:
    """The text of the section about late records."""
    section = page.read_text().split('aria-labelledby="late"')[1].split("</section>")[0]
    return " ".join(re.sub(r"<[^>]+>", " ", section).replace(" .", ".").split()).replace("&#34;", '"')


def test_late_records_are_counted_on_the_page_and_named_in_the_work_list(tmp_path: Path) -> None:
    held = judged(tmp_path, [], [])
    again = Again(
        changed(tmp_path / "c", "2026-06", date(2026, 8, 17), CHANGED[:1]), date(2026, 9, 8), False, [(date(2026, 9, 1), date(2026, 9, 17))]
    )
    landed = Landed(False, changed(tmp_path / "c", "2026-08", date(2026, 9, 2)), [again])
    page = held.report(provider="RXA", period="2026-08", landed=landed, worklist=True)
    assert read(page).rows["late|MHS101"] == ["Service or Team Referral MHS101", "1", "2", "1", "0"]
    assert read(page).rows["late|MHS002"][1:] == ["0", "0", "0", "1"]
    said = late(page)
    for words in (
        "Since the landing before, of 2 September 2026, the source has other records of this month. 1 person was merged with others",
        "June 2026, handed over on 17 August 2026 Service or Team Referral: 1 added.",
        "Noticed on 8 September 2026. It may be sent until 17 September 2026.",
        'ips run --config SITE.toml --provider RXA --period 2026-06 --replay --why "…"',
    ):
        assert words in said, words
    assert CANARY not in page.read_text()
    found = sheets(held.out / "worklist.xlsx")
    assert [row[:7] for row in found["Late records"][1:]] == [
        ["2026-08", "the landing before, 2 September 2026", "Withdrawn", "MHS002GP", "LocalPatientID", f"{CANARY}-2"],
        ["2026-08", "the landing before, 2 September 2026", "Added", "MHS101Referral", "ServiceRequestID", f"{CANARY}-R9"],
        ["2026-08", "the landing before, 2 September 2026", "Changed", "MHS101Referral", "ServiceRequestID", "=R1"],
        [
            "2026-08",
            "the landing before, 2 September 2026",
            "Changed, of another person now",
            "MHS101Referral",
            "ServiceRequestID",
            "R2",
            f"{CANARY}-2",
        ],
        ["2026-06", "what was handed over, 17 August 2026", "Added", "MHS101Referral", "ServiceRequestID", f"{CANARY}-R9"],
    ]
    assert any(row[0].startswith("June 2026 has to be sent again. It may be sent until 17 September 2026. Run") for row in found["Summary"] if row)
    assert ["Records that came late, changed or were withdrawn", "5", "Late records"] in found["Summary"]


SEPTEMBER = (date(2026, 9, 1), date(2026, 9, 17))


@pytest.mark.parametrize(
    ("run", "windows", "sending", "steps"),
    [
        (True, [SEPTEMBER], "until 17 September 2026.", "The month has been run again: have its package built, approved and handed over."),
        (False, [(date(2026, 9, 21), date(2026, 10, 25))], "from 21 September 2026 to 25 October 2026.", "Run that month again"),
        (False, [SEPTEMBER, (date(2026, 9, 21), date(2026, 10, 25))], "until 17 September 2026, and from 21 September", "Run that month again"),
        (False, [], "The last window for it is closed.", "Nothing can be sent any more: what was handed over stands."),
        (False, None, "No window for it is known.", "Enter the windows of the year in the calendar of the site. Run that month again"),
    ],
)
def test_what_to_do_about_a_month_follows_from_its_windows(
    tmp_path: Path, run: bool, windows: list[tuple[date, date]] | None, sending: str, steps: str
) -> None:
    again = Again(changed(tmp_path / "c", "2026-07", date(2026, 8, 17)), date(2026, 9, 8), run, windows)
    said = late(judged(tmp_path, [], []).report(provider="RXA", period="2026-08", landed=Landed(True, None, [again])))
    assert "This is the first landing of the month" in said
    assert sending in said and f"What to do next: {steps}" in said


def test_landings_that_are_the_same_or_not_kept_are_told_and_a_folder_has_none(tmp_path: Path) -> None:
    held = judged(tmp_path, [], [])
    same = late(held.report(period="2026-08", landed=Landed(False, Different("2026-08", date(2026, 9, 2), {}, 0, None)), worklist=True))
    assert "No record of the month is different from the landing before, of 2 September 2026." in same
    assert "No month up to this one that was handed over is known to be different now." in same
    assert "Late records" not in sheets(held.out / "worklist.xlsx")
    assert "is kept no longer" in late(held.report(period="2026-08", landed=Landed(False, None)))
    assert 'id="late"' not in held.report(period="2026-08").read_text()


@dataclass
class Said:
    """The words of a check beyond the portal."""

    title: str = "An attended IPS contact was not direct."
    why: str = "It does not count."
    mend: str = "Say how it was held."
    endangers: tuple[str, ...] = ("MHS116",)
    element: str = "ConsMechanismMH"


def test_checks_beyond_the_portal_stand_apart(tmp_path: Path) -> None:
    held = with_teams(tmp_path)
    write_csv(
        held.out / "checks.csv",
        ["code", "table", "row", "month"],
        [["IPS-010", "MHS201CareContact", 3, "2026-08"], ["IPS-010", "MHS201CareContact", 9, "2026-06"]],
    )
    (held.out / "checks.json").write_text(json.dumps({"not_evaluated": {"IPS-037": "needs earlier months"}, "counts": {"IPS-010": 2}}))
    page = held.report(period="2026-08", checks={"IPS-010": Said(), "IPS-037": Said(title="Far more rows than before")}, worklist=True)
    section = page.read_text().split('aria-labelledby="checks"')[1].split("</section>")[0]
    text = " ".join(re.sub(r"<[^>]+>", " ", section).split())
    for said in (
        "An attended IPS contact was not direct.",
        "2 findings",
        "At stake: MHS116.",
        "Say how it was held.",
        "Row 3 of MHS201CareContact",
        "1 row in files of other months",
    ):
        assert said in text, said
    assert "Needs earlier months IPS-037 (Far more rows than before)" in text
    assert "IPS-010" not in page.read_text().split('aria-labelledby="rules"')[1]
    assert read(page).rows["teams|No team"][3] == "1"
    elsewhere = next(row for row in sheets(held.out / "worklist.xlsx")["No team"] if row[-1] == "2026-06")
    assert elsewhere[1] == "IPS-010"


def test_completeness_is_told_field_by_field(tmp_path: Path) -> None:
    held = judged(tmp_path, [], [])
    header = ["table", "element", "counted", "valid", "other", "defaulted", "invalid", "missing"]
    write_csv(
        held.out / "completeness.csv",
        header,
        [["MHS201CareContact", "AttendStatus", 1000, 999, 0, 0, 1, 0], ["MHS001MPI", "Gender", 0, 0, 0, 0, 0, 0]],
    )
    rows = read(held.report()).rows
    assert rows["completeness|AttendStatus"] == ["AttendStatus", "1,000", "99999.9%", "0", "0", "1", "0"]
    assert rows["completeness|Gender"][1] == "0"


@pytest.mark.parametrize(
    ("part", "whole", "text"), [(0, 10, "0%"), (10, 10, "100%"), (99_999, 100_000, "99.9%"), (1, 100_000, "0.1%"), (1, 3, "33.3%"), (0, 0, "")]
)
def test_shares_never_round_to_all_or_nothing(part: int, whole: int, text: str) -> None:
    assert pages.percent(part, whole) == text


def test_the_gate_is_told(tmp_path: Path) -> None:
    held = judged(tmp_path, CASCADE, gone(CASCADE))
    (held.out / "gate.json").write_text(json.dumps({"verdict": "accepted with rejections", "expectations": 412}))
    assert "accepted with rejections; 412 expectations run" in " ".join(read(held.report()).text.split())


def test_no_value_of_a_patient_is_in_the_report(tmp_path: Path) -> None:
    assert CANARY not in judged(tmp_path, CASCADE, gone(CASCADE)).report().read_text()


def test_a_flood_of_findings_is_counted_and_not_listed(tmp_path: Path) -> None:
    held = judged(tmp_path, [("MHS201CareContact", row, "MHS20147", "severity1") for row in range(200_000, 0, -1)], [])
    page = held.report()
    assert "Rows 1, 2, 3," in read(page).text and "199,980 more" in " ".join(read(page).text.split())
    assert page.stat().st_size < 100_000


def test_many_submissions_at_once_get_the_report_that_each_gets_alone(tmp_path: Path) -> None:
    """Keys are the same in all of them, so rows of one submission must not be traced into another."""
    halves = [CASCADE, [], CASCADE[:1], CASCADE[7:8]]
    held = [judged(tmp_path / str(number), findings, gone(findings)) for number, findings in enumerate(halves)]
    alone = [one.report(provider="RXA", period="2026-08").read_bytes() for one in held]
    checked = [Checked(one.out, one.submission, "RXA", "2026-08") for one in held]
    words: dict[str, dict[str, str]] = {"sentences": SENTENCES, "advice": ADVICE}
    assert [page.read_bytes() for page in write_validation_reports(checked, **words)] == alone
    assert len(set(alone)) == len(halves)


def test_a_folder_without_findings_is_refused(tmp_path: Path) -> None:
    held = judged(tmp_path, [], [])
    (held.out / "findings.csv").unlink()
    with pytest.raises(InputError, match="validate the submission first"):
        held.report()


# -- every page -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return judged(tmp_path, CASCADE, gone(CASCADE)).report(provider="RXA", period="2026-08")


def test_a_page_loads_nothing_and_runs_nothing(page: Path) -> None:
    text = page.read_text()
    seen = read(page)
    assert not re.search(r"https?://|url\(|@import|javascript:", text)
    assert not {"script", "iframe", "object", "embed", "img", "video", "form"} & {tag for tag, _ in seen.tags}
    for tag, held in seen.tags:
        assert not [name for name in held if name.startswith("on")], tag
        assert "src" not in held
        assert not held.get("href", "").startswith("//")
    assert "default-src 'none'" in text


def test_a_page_can_be_read_without_seeing_it(page: Path) -> None:
    seen = read(page)
    identifiers = [held["id"] for _, held in seen.tags if "id" in held]
    assert len(identifiers) == len(set(identifiers))
    assert ("html", {"lang": "en-GB"}) in seen.tags
    for tag, held in seen.tags:
        if tag == "svg":
            assert held["role"] == "img" and set(held["aria-labelledby"].split()) <= set(identifiers)
        for name in held.get("aria-labelledby", "").split():
            assert name in identifiers
        if tag == "a" and held["href"].startswith("#"):
            assert held["href"][1:] in identifiers
        if held.get("class") == "scroll":
            assert held["tabindex"] == "0" and held["role"] == "region"
    assert all(table["captions"] and table["scopes"] and all(table["scopes"]) for table in seen.tables)  # type: ignore[call-overload]
    levels = [int(tag[1]) for tag, _ in seen.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert seen.tags.index(("a", {"class": "skip", "href": "#content"})) < [tag for tag, _ in seen.tags].index("header")


def test_a_page_is_for_its_owner_only(page: Path) -> None:
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert [path.name for path in page.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("text", "ground"),
    [("ink", "white"), ("ink", "pale"), ("ink", "line"), ("ink", "focus"), ("quiet", "white"), ("blue", "white"), ("white", "blue"),
     ("dark-blue", "white"), ("green", "white"), ("amber", "white"), ("red", "white")],
)  # fmt: skip
def test_text_stands_out_from_its_ground(text: str, ground: str) -> None:
    """WCAG 2.2 AA asks for a contrast of 4.5 to 1."""
    css = files("ips_pipeline.reports").joinpath("templates", "page.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--([a-z-]+): #([0-9a-f]{6})", css))
    lights = sorted(_luminance(colours[name]) for name in (text, ground))
    assert (lights[1] + 0.05) / (lights[0] + 0.05) >= 4.5


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (1234, "1,234"), (1.25, "1.2"), (194.55, "194.6"), (3.0, "3")])
def test_numbers_are_written_for_people(value: float, text: str) -> None:
    assert pages.number(value) == text


def test_dates_are_in_words() -> None:
    assert (pages.day(date(2026, 8, 31)), pages.month(date(2026, 8, 31)), pages.short_month(date(2026, 8, 1))) == (
        "31 August 2026",
        "August 2026",
        "Aug 2026",
    )


@pytest.mark.parametrize(("count", "text"), [(1, "1 byte"), (0, "0 bytes"), (25_210, "25 kB"), (2_114_557, "2.1 MB"), (1_000, "1 kB")])
def test_sizes(count: int, text: str) -> None:
    assert pages.size(count) == text


@pytest.mark.parametrize("values", [[0], [0, 0], [1, 3], [7, 99, 100], [12_345, 8]])
def test_a_line_chart_holds_all_its_points_and_even_grid_lines(values: list[int]) -> None:
    chart = pages.line([str(value) for value in values], values)
    assert len(chart.points) == len(values)
    assert all(0 <= point.across <= 100 and 0 <= point.down <= chart.height for point in chart.points)
    assert all("." not in text for _, text in chart.grid)
    assert int(chart.grid[-1][1].replace(",", "")) >= max(values)

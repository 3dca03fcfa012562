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
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ips_pipeline.errors import InputError
from ips_pipeline.measures import registry
from ips_pipeline.reports import pages
from ips_pipeline.reports.release import write_release_page
from ips_pipeline.reports.validation import Checked, write_validation_report, write_validation_reports

EXACT = "731946"  # stands in the RAW file and among the unsuppressed values only
CANARY = "CANARY-9990417"
HOSTILE = "<script>alert('x')</script> & \"Sons\" NHS TRUST"


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


LEVELS = [
    # breakdown, level, description, count, rate, population of the rate
    ("England", "England", "England", "1234", "2.1937", 56_250_000),
    ("England; Age Band", "0 to 5", "0 to 5", "0", "0", 3_000_000),
    ("England; Age Band", "20 to 24", "20 to 24", "1200", "33.333", 3_600_000),
    ("England; Age Band", "UNKNOWN", "UNKNOWN", "34", "0.0", 0),
    ("England; Gender", "1", "Male", "600", "2.2", 27_000_000),
    ("England; Gender", "3", "Non-binary", "12", "0.0", 0),
    ("Provider", "RXA", HOSTILE, "1015", None, None),
    ("Provider", "RXB", "QUIET NHS TRUST", "*", None, None),
    ("Sub ICB of GP Practice or Residence", "11M", "NHS NORTHSHIRE ICB - 11M", "220", "4.0", 5_500_000),
    ("Sub ICB of GP Practice or Residence", "15N", "NHS NORTHSHIRE ICB - 15N", "*", "*", 900_000),
    ("Sub ICB of GP Practice or Residence", "UNKNOWN", "UNKNOWN", "*", "*", 0),
]
HEADER = [
    "REPORTING_PERIOD_START", "REPORTING_PERIOD_END", "STATUS", "BREAKDOWN", "PRIMARY_LEVEL", "PRIMARY_LEVEL_DESCRIPTION", "SECONDARY_LEVEL",
    "SECONDARY_LEVEL_DESCRIPTION", "MEASURE_ID", "MEASURE_NAME", "MEASURE_VALUE",
]  # fmt: skip
DASHBOARD = [
    (1516, "2026-07-31", "2026/27", "England", "England", "England", "NewReferrals", 1450, None),
    (1516, "2026-07-31", "2026/27", "England", "England", "England", "Caseload", 5100, 9000),
    (1517, "2026-08-31", "2026/27", "England", "England", "England", "Caseload", 5250, 9100),
    (1517, "2026-08-31", "2026/27", "Provider", "RXB", "QUIET NHS TRUST", "NewReferrals", EXACT, None),
]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    lines = []
    for breakdown, level, name, count, rate, _ in LEVELS:
        for measure, value in (("MHS116", count), ("MHS116a", rate)):
            if value is not None:
                lines.append(
                    ["2025-09-01", "2026-08-31", "Performance", breakdown, level, name, "NONE", "NONE", measure, f"Title of {measure}", value]
                )
    write_csv(folder / "publication" / "MHSDS Data_AugPerf_2026_bbrb.csv", HEADER, lines)
    write_csv(folder / "publication" / "MHSDS Data_AugPerf_2026_RAW_bbrb.csv", HEADER, [[*line[:-1], EXACT] for line in lines])
    names = ["UniqMonthID", "ReportingPeriodEnd", "FinancialYear", "Breakdown", "Level", "LevelName", "MeasureName", "MeasureValue", "Denominator"]
    write_csv(folder / "dashboard.csv", names, DASHBOARD)
    long = [
        {"family": "mhs116", "measure_id": measure, "measure_name": f"Title of {measure}", "definition_version": "2024-07", "breakdown": breakdown,
         "level": level, "variant": variant, "denominator": people if measure == "MHS116a" else None,
         "value": float(EXACT) if variant == "unsuppressed" else None, "disclosure": "exact"}
        for breakdown, level, _, _, rate, people in LEVELS
        for measure in ("MHS116", *(["MHS116a"] if rate else []))
        for variant in ("unsuppressed", "published")
    ]  # fmt: skip
    long += [
        {"family": "dashboard", "measure_id": "NewReferrals", "measure_name": "New referrals", "definition_version": "1.3", "breakdown": "England",
         "level": "England", "variant": "unsuppressed", "denominator": None, "value": 1450.0, "disclosure": "exact"},
        {"family": "mhs116", "measure_id": "MHS116a", "measure_name": "Title of MHS116a", "definition_version": "2024-07",
         "breakdown": "England; Upper Ethnicity", "level": None, "variant": "unsuppressed", "denominator": None, "value": None,
         "disclosure": "not evaluated"},
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(long), folder / "measures.parquet")
    return folder


REASONS = [{"measure": "MHS116a", "breakdown": "England; Upper Ethnicity", "needs": ["census2021_ethnicity.csv"]}]


@pytest.fixture
def release_page(release: Path) -> Path:
    return write_release_page(
        release, identity="0123456789abcdef", submissions=24, not_evaluated=REASONS, definitions=registry.definitions(), notice="Made-up data."
    )


def test_every_published_number_is_on_the_release_page(release_page: Path) -> None:
    seen = read(release_page)
    for breakdown, level, name, count, rate, people in LEVELS[1:]:
        cells, values = seen.rows[f"{breakdown}|{level}"], list(seen.values[f"{breakdown}|{level}"])
        assert cells[0] == ("Unknown" if level == "UNKNOWN" else name)
        if count == "*":
            assert cells[1].startswith("*") and "fewer than 5" in cells[1]
        else:
            assert values.pop(0) == count and cells[1] == f"{int(count):,}"
        if rate is None or rate == "*" or not people:
            assert not values
            assert people != 0 or rate == "*" or cells[2] == "no population"
        else:
            assert values == [rate] and abs(float(cells[2]) - float(rate)) <= 0.05
    assert "1,234" in seen.text and "2.2 for every 100,000 people" in seen.text


def test_trends_are_england_alone_and_an_absent_row_is_nought(release_page: Path) -> None:
    cells = re.findall(r'data-measure="(\w+)" data-end="([0-9-]+)">([0-9,]+)<', release_page.read_text())
    assert {(measure, end): value for measure, end, value in cells} == {
        ("NewReferrals", "2026-07-31"): "1,450",
        ("NewReferrals", "2026-08-31"): "0",
        ("Caseload", "2026-07-31"): "5,100",
        ("Caseload", "2026-08-31"): "5,250",
    }


def test_exact_numbers_below_england_are_not_on_the_release_page(release_page: Path) -> None:
    assert EXACT not in release_page.read_text().replace(",", "")


def test_names_are_escaped(release_page: Path) -> None:
    text = release_page.read_text()
    assert "<script" not in text.lower()
    assert "&lt;script&gt;alert(" in text
    assert HOSTILE in [cells[0] for cells in read(release_page).rows.values()]


def test_what_was_not_evaluated_is_told_with_its_reason(release_page: Path) -> None:
    text = read(release_page).text
    assert "census2021_ethnicity.csv" in text and "England; Upper Ethnicity" in text


def test_without_reference_data_nothing_is_made_up(release: Path) -> None:
    """A release without rates and without a dashboard still gives a page, and no rate on it."""
    (release / "dashboard.csv").unlink()
    name = release / "publication" / "MHSDS Data_AugPerf_2026_bbrb.csv"
    lines = [line for line in name.read_text().splitlines(keepends=True) if "MHS116a" not in line]
    name.write_text("".join(lines))
    seen = read(write_release_page(release))
    assert "Per 100,000 people" not in seen.text and "England over the months" not in seen.text
    assert seen.rows["England; Age Band|20 to 24"] == ["20 to 24", "1,200"]


def test_the_release_page_says_when_and_from_what_it_was_made(release_page: Path) -> None:
    text = " ".join(read(release_page).text.split())
    for expected in (
        "31 August 2026",
        "1 September 2025",
        "Performance",
        "0123456789abcdef",
        "24 accepted monthly submissions",
        "2024-07",
        "Made-up data.",
    ):
        assert expected in text
    assert "It counts referrals, not people" in text


def test_downloads_lead_to_the_files_and_say_which_are_not_for_publication(release_page: Path) -> None:
    text = release_page.read_text()
    links = [unquote(link) for link in re.findall(r'<li><a href="([^"#]+)">', text)]
    assert sorted(links) == sorted(
        path.relative_to(release_page.parent).as_posix() for path in release_page.parent.rglob("*.[cp]*") if path.is_file()
    )
    assert text.index("To publish") < text.index("_2026_bbrb.csv</a>") < text.index("not for publication") < text.index("_RAW_bbrb.csv</a>")


def test_the_same_release_gives_the_same_page(release: Path) -> None:
    first = write_release_page(release, identity="a", definitions=registry.definitions()).read_bytes()
    assert write_release_page(release, identity="a", definitions=registry.definitions()).read_bytes() == first


@pytest.mark.parametrize("lost", ["measures.parquet", "publication/MHSDS Data_AugPerf_2026_bbrb.csv"])
def test_a_folder_that_is_no_release_is_refused(release: Path, lost: str) -> None:
    (release / lost).unlink()
    with pytest.raises(InputError, match=r"run"):
        write_release_page(release)


def test_a_publication_file_of_another_kind_is_refused(release: Path) -> None:
    (release / "publication" / "MHSDS Data_AugPerf_2026_bbrb.csv").write_text("REPORTING_PERIOD_START,STATUS\n2025-09-01,Final\n")
    with pytest.raises(InputError, match="is not a publication file"):
        write_release_page(release)


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


@pytest.fixture(params=["release", "report"])
def page(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "release":
        found: Path = request.getfixturevalue("release_page")
        return found
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

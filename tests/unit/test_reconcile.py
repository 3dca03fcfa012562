"""What came back beside our own verdict and numbers: each kind of difference planted, and found in its class."""

from __future__ import annotations

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ips_pipeline.errors import InputError
from ips_pipeline.mhsds import standard
from ips_pipeline.submission import feedback, reconcile
from ips_pipeline.submission.feedback import REPORT_COLUMNS

Cells = dict[str, str]


def line(code: str, *items: tuple[str, str], report: str = "Validations", numerator: str = "", denominator: str = "") -> Cells:
    cells = dict.fromkeys(REPORT_COLUMNS, "") | {"REPORT_TYPE": report, "CODE": code, "DESCRIPTION": "whatever it says"}
    cells |= {"NUMERATOR": numerator, "DENOMINATOR": denominator}
    for number, (name, value) in enumerate(items, 1):
        cells |= {f"DATA_ITEM{number}": name, f"DATA_VALUE{number}": value}
    return cells


def write_csv(path: Path, lines: Sequence[Cells]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, REPORT_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return path


@pytest.fixture
def compared(tmp_path: Path) -> Callable[[dict[str, Sequence[Cells]], dict[str, Sequence[Cells]]], Counter[tuple[str, str]]]:
    """Reconcile two sets of reports; gives how many lines each part and class has."""

    def run(ours: dict[str, Sequence[Cells]], theirs: dict[str, Sequence[Cells]]) -> Counter[tuple[str, str]]:
        mine, portal, out = (tmp_path / name for name in ("mine", "portal", "out"))
        for folder in (mine, portal, out):
            folder.mkdir()
        for name, lines in ours.items():
            write_csv(mine / f"{name}.csv", lines)
        with zipfile.ZipFile(tmp_path / "202608 Summary Reports.zip", "w") as archive:
            for name, lines in theirs.items():
                archive.write(write_csv(tmp_path / f"{name}.csv", lines), f"202608 {name}.csv")
        feedback.read_reports(tmp_path / "202608 Summary Reports.zip", portal)
        found: Counter[tuple[str, str]] = Counter()
        for item in reconcile.reports(mine, portal, out, not_evaluated=["MHS00206"]):
            found[item.part, item.what] += item.count
        return found

    return run


REFERRAL = ("LocalPatientID", "P1"), ("ServiceRequestID", "R1")


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        pytest.param([line("MHS10111", *REFERRAL)], [line("MHS10111", *REFERRAL)], {"same code and row": 1}, id="the same"),
        pytest.param([line("MHS10111", *reversed(REFERRAL))], [line("MHS10111", *REFERRAL)], {"same code and row": 1}, id="items in another order"),
        pytest.param(
            [line("MHS10111", *REFERRAL)], [line("MHS10111", REFERRAL[1], ("Other", "x"))], {"same code and row": 1}, id="only shared items count"
        ),
        pytest.param(
            [line("MHS10111", ("ServiceRequestID", "'=R1"))], [line("MHS10111", ("ServiceRequestID", "=R1"))], {"same code and row": 1}, id="marked"
        ),
        pytest.param([line("MHS10111", *REFERRAL)], [], {"only ours": 1}, id="only ours"),
        pytest.param([], [line("MHS10111", *REFERRAL)], {"only theirs": 1}, id="only theirs"),
        pytest.param(
            [line("MHS10111", ("ServiceRequestID", "R1"))],
            [line("MHS10111", ("ServiceRequestID", "R2"))],
            {"only ours": 1, "only theirs": 1},
            id="another row",
        ),
        pytest.param([], [line("MHS99999", *REFERRAL)], {"code not in the standard we hold": 1}, id="unknown code"),
        pytest.param([], [line("MHS00206", *REFERRAL)], {"not evaluated by us": 1}, id="not evaluated"),
        pytest.param([line("MHS10111", *REFERRAL)], [line("MHS10111", *REFERRAL)] * 3, {"more often theirs": 3}, id="more often"),
        pytest.param([line("MHS10111")], [line("MHS10111")], {"same code and row": 1}, id="nothing to know a row by"),
    ],
)
def test_findings(compared: Callable[..., Counter[tuple[str, str]]], ours: list[Cells], theirs: list[Cells], expected: dict[str, int]) -> None:
    found = compared({"validations": ours}, {"validation": theirs})
    assert {what: count for (part, what), count in found.items() if part == "findings"} == expected


def test_counts(compared: Callable[..., Counter[tuple[str, str]]]) -> None:
    def counts(*amounts: tuple[str, str]) -> list[Cells]:
        return [line(code, report="Aggregation", numerator=amount) for code, amount in amounts]

    found = compared(
        {"aggregation": counts(("MHSARV001", "10"), ("MHSARV002", "5"), ("MHSARV003", "1")), "diagnostics": counts(("MHSDAG001", "3"))},
        {"aggregation": counts(("MHSARV001", "10"), ("MHSARV002", "6"), ("MHSARV004", "1")), "diagnostic": counts(("MHSDAG001", "4"))},
    )
    assert found == {
        ("counts", "same count"): 1,
        ("counts", "count differs"): 1,
        ("counts", "only ours"): 1,
        ("counts", "only theirs"): 1,
        ("counts", "formula not published"): 1,
    }


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["MHS10111", "MHS10129"]), st.sampled_from(["R1", "R2", "=R3", "R,4", 'R"5', "R\n6"])), max_size=8),
    st.lists(st.tuples(st.sampled_from(["MHS10111", "MHS10129"]), st.sampled_from(["R1", "R2", "=R3", "R,4", 'R"5', "R\n6"])), max_size=8),
)
def test_every_line_of_either_side_is_in_one_class(
    tmp_path_factory: pytest.TempPathFactory, ours: list[tuple[str, str]], theirs: list[tuple[str, str]]
) -> None:
    home = tmp_path_factory.mktemp("reconcile")
    mine, portal, out = (home / name for name in ("mine", "portal", "out"))
    for folder in (mine, portal, out):
        folder.mkdir()
    write_csv(mine / "validations.csv", [line(code, ("ServiceRequestID", row)) for code, row in ours])
    text = write_csv(home / "v.csv", [line(code, ("ServiceRequestID", row)) for code, row in theirs]).read_text(encoding="utf-8")
    feedback._write_report(io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8", newline=""), home, "validations", portal)
    reconcile.reports(mine, portal, out)
    with (out / "findings.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert sum(int(row["ours"]) for row in rows) == len(ours)
    assert sum(int(row["theirs"]) for row in rows) == len(theirs)
    shared = {code for code, _ in ours} & {code for code, _ in theirs}
    both, portal_rows = Counter(item for item in ours if item[0] in shared), Counter(item for item in theirs if item[0] in shared)
    agreed = sum(int(row["ours"]) for row in rows if row["class"] == "same code and row")
    assert agreed == sum(count for item, count in both.items() if portal_rows[item] == count)


# The publication.

PUBLISHED = "REPORTING_PERIOD_START,REPORTING_PERIOD_END,STATUS,BREAKDOWN,PRIMARY_LEVEL,MEASURE_ID,MEASURE_NAME,MEASURE_VALUE\n"
NAME = "Number of referrals that accessed Individual Placement Support (IPS) in the reporting period"


def publication(path: Path, *levels: tuple[str, str, str], day: str = "2026-08-31") -> Path:
    path.parent.mkdir(exist_ok=True)
    rows = "".join(f"2025-09-01,{day},Performance,{breakdown},{level},MHS116,{NAME},{value}\n" for breakdown, level, value in levels)
    path.write_text(PUBLISHED + rows, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ("15", "15", "match"),
        ("*", "*", "match"),
        ("15", "20", "rounding edge"),
        ("*", "5", "rounding edge"),
        ("*", "10", "unexplained"),
        ("15", "30", "unexplained"),
        ("15", "40", "window"),
        ("15", "55", "late rows"),
    ],
)
def test_published_values(tmp_path: Path, ours: str, theirs: str, expected: str) -> None:
    mine = publication(tmp_path / "a" / "mine.csv", ("England", "England", "100"), ("Provider", "RXA", ours))
    month = publication(tmp_path / "b" / "july.csv", ("Provider", "RXA", "40"), day="2026-07-31")
    before = publication(tmp_path / "c" / "first.csv", ("Provider", "RXA", "55"))
    portal = tmp_path / "portal"
    portal.mkdir()
    feedback.read_publication(publication(tmp_path / "theirs.csv", ("England", "England", "101"), ("Provider", "RXA", theirs)), portal)
    found = reconcile.publication(mine, portal, tmp_path, other_months=[month], earlier=[before])
    assert {item.name: item.what for item in found} == {"MHS116 England": "unexplained", "MHS116 Provider": expected}


def test_levels_of_one_side_and_places_that_are_derived(tmp_path: Path) -> None:
    mine = publication(tmp_path / "a" / "mine.csv", ("England", "England", "100"), ("Provider", "RXA", "5"), ("England; Gender", "1", "60"))
    portal = tmp_path / "portal"
    portal.mkdir()
    theirs = publication(tmp_path / "t.csv", ("England", "England", "100"), ("Provider", "RXB", "5"), ("England; Gender", "1", "61"))
    feedback.read_publication(theirs, portal)
    found = Counter((item.name, item.what) for item in reconcile.publication(mine, portal, tmp_path))
    assert found == Counter(
        [("MHS116 England", "match"), ("MHS116 Provider", "only ours"), ("MHS116 Provider", "only theirs"), ("MHS116 England; Gender", "derivation")]
    )


def test_the_publication_of_another_month_is_not_compared(tmp_path: Path) -> None:
    mine = publication(tmp_path / "a" / "mine.csv", ("England", "England", "100"))
    feedback.read_publication(publication(tmp_path / "t.csv", ("England", "England", "100"), day="31/07/2026"), tmp_path)
    with pytest.raises(InputError, match="another month or status"):
        reconcile.publication(mine, tmp_path, tmp_path)


# The extract.


def test_records_of_the_extract(tmp_path: Path) -> None:
    mine, portal = tmp_path / "mine", tmp_path / "portal"
    mine.mkdir()
    portal.mkdir()
    referrals = [("R1", "P1", "2026-01-05"), ("R2", "P2", "2026-02-01"), ("R3", "P3", "2026-03-01")]
    names = ("ServiceRequestID", "LocalPatientID", "ReferralRequestReceivedDate")
    held = dict(zip(names, zip(*referrals, strict=True), strict=True))
    columns = {element: held.get(element, [None] * 3) for element in standard.load().table("MHS101").elements}
    pq.write_table(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), mine / "MHS101Referral.parquet")
    back = [("R1", "P1", "2026-01-05"), ("R2", "P2", "2026-02-02"), ("R4", "P4", "2026-04-01")]
    xml = "".join(f"<MHS101Referral>{''.join(f'<{n}>{v}</{n}>' for n, v in zip(names, row, strict=True))}</MHS101Referral>" for row in back)
    (tmp_path / "e.xml").write_text(f"<x>{xml}</x>", encoding="utf-8")
    feedback.read_extract(tmp_path / "e.xml", portal)
    found = {(item.name, item.what): item.count for item in reconcile.extract(mine, portal, tmp_path)}
    assert found == {("MHS101Referral", what): 1 for what in ("same row", "values differ", "only ours", "only theirs")}
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as handle:
        assert [(row["class"], row["record"], row["elements"]) for row in csv.DictReader(handle)] == [
            ("only ours", "ServiceRequestID=R3", ""),
            ("only theirs", "ServiceRequestID=R4", ""),
            ("values differ", "ServiceRequestID=R2", "ReferralRequestReceivedDate"),
        ]

"""The neutral package: what goes in, that it is the same again, and when it is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ips_pipeline import returns
from ips_pipeline.errors import InputError, PublishError, SubmissionRejected, UsageError
from ips_pipeline.mhsds import standard
from ips_pipeline.store import stages
from ips_pipeline.submission import access, package

ROWS = {
    "MHS000Header": "DatSetVer,OrgIDProvider,ReportingPeriodStartDate\n6.0,RXA,2026-08-01\n",
    "MHS001MPI": "LocalPatientID,Postcode\né,LS1 4AP\nB,\nC,\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three patients, of whom the second is rejected, judged into ``judged`` beside them."""
    home, judged = tmp_path / "rows", tmp_path / "judged"
    home.mkdir()
    judged.mkdir()
    for name, text in ROWS.items():
        (home / f"{name}.csv").write_text(text, encoding="utf-8")
    (judged / "findings.csv").write_text("table,row,code,level\nMHS001MPI,2,MHS00144,record\n", encoding="utf-8")
    (judged / "rejected_rows.csv").write_text("table,row\nMHS001MPI,2\n", encoding="utf-8")
    package.seal(home, judged, "RXA", "2026-08", [])
    return home


def build(folder: Path, out: str = "out", **how: object) -> returns.Built:
    return returns.build_package_of_folder(folder, folder.parent / "judged", folder.parent / out, **how)  # type: ignore[arg-type]


def test_accepted_rows_go_in_and_all_tables_are_there(folder: Path) -> None:
    built = build(folder)
    names = [table.name for table in standard.load().tables.values()]
    assert built.facts["rows"] == 3
    assert list(built.facts["tables"]) == sorted(names)
    for part in ("csv", "parquet"):
        assert sorted(path.stem for path in (built.stage.path / part).iterdir()) == sorted(names)
    elements = standard.load().table("MHS001MPI").elements
    patients = (built.stage.path / "csv" / "MHS001MPI.csv").read_text(encoding="utf-8").splitlines()
    assert patients[0] == ",".join(elements)
    assert [line.split(",")[0] for line in patients[1:]] == ["é", "C"]
    assert "| MHS001MPI | 2 |" in (built.stage.path / package.CHECKLIST).read_text(encoding="utf-8")


def test_the_same_rows_give_the_same_bytes(folder: Path) -> None:
    first, second = build(folder, "one"), build(folder, "two")
    assert first.stage.identity == second.stage.identity
    assert first.stage.manifest == second.stage.manifest
    assert not build(folder, "one").stage.changed


def test_two_builds_at_once_leave_one_whole_package(folder: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda _: build(folder), range(2))
    assert one.stage.identity == two.stage.identity
    stages.verify(one.stage)
    shelf = folder.parent / "out" / "RXA" / "2026-08"
    assert sorted(path.name for path in shelf.iterdir()) == sorted([one.stage.identity, "CURRENT"])


def test_a_file_rejected_month_is_refused(folder: Path) -> None:
    package.seal(folder, folder.parent / "judged", "RXA", "2026-08", ["MHSREJ002"])
    with pytest.raises(SubmissionRejected, match="MHSREJ002"):
        build(folder)
    assert not (folder.parent / "out").exists()


@pytest.mark.parametrize(
    ("changed", "says"),
    [("rows/MHS001MPI.csv", "have changed since"), ("rows/MHS002GP.csv", "have changed since"), ("judged/rejected_rows.csv", "findings in .* have")],
)
def test_what_changed_since_it_was_judged_is_refused(folder: Path, changed: str, says: str) -> None:
    with (folder.parent / changed).open("a", encoding="utf-8") as handle:
        handle.write("MHS001MPI,3\n")
    with pytest.raises(InputError, match=says):
        build(folder)


def test_findings_that_do_not_say_what_they_judged_are_refused(folder: Path) -> None:
    (folder.parent / "judged" / package.SEAL).unlink()
    with pytest.raises(InputError, match="does not say which submission it judged"):
        build(folder)


def test_a_month_whose_windows_have_closed_is_refused(folder: Path) -> None:
    package.seal(folder, folder.parent / "judged", "RXA", "2023-11", [])
    with pytest.raises(UsageError, match="last window of its year has closed"):
        build(folder, clock=lambda: datetime(2026, 9, 10, tzinfo=UTC))


def test_rows_of_another_provider_are_refused(folder: Path) -> None:
    package.seal(folder, folder.parent / "judged", "RXB", "2026-08", [])
    with pytest.raises(InputError, match="not one row of RXB and 2026-08"):
        build(folder)
    assert not (folder.parent / "out" / "RXB" / "2026-08").exists()


def test_without_a_writer_the_neutral_package_is_left_and_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    template = folder.parent / "template.accdb"
    template.write_bytes(b"not looked at")
    monkeypatch.setattr(access, "runtime", lambda: None)
    built = build(folder, template=template)
    assert "pip install" in str(built.without_access)
    assert "There is no Access file in this package" in (built.stage.path / package.CHECKLIST).read_text(encoding="utf-8")
    with pytest.raises(PublishError, match="pip install"):
        build(folder, template=template, require_access=True)
    with pytest.raises(PublishError, match="no template was given"):
        build(folder, require_access=True)


def test_differences_from_the_standard_are_named() -> None:
    tables = {table.name: tuple(access.Column(*column) for column in access.columns_of(table)) for table in standard.load().tables.values()}
    rows = dict.fromkeys(tables, 0)
    assert access.differences(access.Structure("V2007", tables, rows, ())) == []
    del tables["MHS014eMED3FitNote"]
    tables["MHS107Old"] = ()
    tables["MHS004EmpStatus"] = tables["MHS004EmpStatus"][1:]
    tables["MHS101Referral"] = (access.Column("ServiceRequestID", "LONG", 0), *tables["MHS101Referral"][1:], access.Column("Extra", "TEXT", 9))
    wrong = access.Structure("V2007", tables, rows, ())
    assert access.differences(wrong) == [
        "it has a table MHS107Old that the standard has not",
        "MHS004EmpStatus has no column LocalPatientID",
        "it has no table MHS014eMED3FitNote",
        "MHS101Referral has a column Extra that the standard has not",
        "MHS101Referral.ServiceRequestID is Number, which cannot hold a text as the standard writes it",
    ]
    with pytest.raises(InputError, match=r"not a template of MHSDS 6\.0.*and 2 more"):
        access.check_template(Path("old.accdb"), wrong)

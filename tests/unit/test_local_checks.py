"""A trust's own checks: what a file may say, the one line that answers a wrong one, and that they decide as the official kinds do."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from ips_pipeline import settings
from ips_pipeline.cli import ips
from ips_pipeline.errors import UsageError
from ips_pipeline.mhsds.standard import load
from ips_pipeline.quality import local_checks, rulebook
from ips_pipeline.quality.findings import Portal
from ips_pipeline.quality.kinds import KINDS
from ips_pipeline.quality.local_checks import ARGUMENTS, read
from ips_pipeline.quality.validate import validate

ONE: dict[str, Any] = {
    "code": "LOCAL-001",
    "table": "MHS201CareContact",
    "element": "ClinContDurOfCareCont",
    "kind": "not_blank",
    "level": "please complete",
    "message": "Every contact should say how long it lasted.",
}


def folder(tmp_path: Path, *items: object, name: str = "own.yaml") -> Path:
    place = tmp_path / "checks"
    place.mkdir(exist_ok=True)
    (place / name).write_text(yaml.safe_dump({"checks": list(items)}), encoding="utf-8")
    return place


def changed(**keys: object) -> dict[str, Any]:
    """The check with other keys; None takes one away."""
    return {key: value for key, value in {**ONE, **keys}.items() if value is not None}


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (changed(code="LOCAL-1"), "the code must be LOCAL- and three digits"),
        (changed(code="MHS20101"), "the code must be LOCAL- and three digits"),
        (changed(code=None), "the key code is missing"),
        (changed(message=None), "the key message is missing"),
        (changed(level=3), "the key level is missing; add it as text"),
        (changed(kind="not_blnk"), "unknown kind not_blnk (did you mean not_blank?)"),
        (changed(kind="reject_all"), "unknown kind reject_all"),
        (changed(table="MHS201CareContacts"), "table: the data set has no table MHS201CareContacts (did you mean MHS201CareContact?)"),
        (changed(element="CareContDat"), "element: MHS201CareContact has no element CareContDat (did you mean CareContDate?)"),
        (changed(element=None), "the kind not_blank needs the key element"),
        (changed(min=1), "the kind not_blank takes no min"),
        (changed(mesage="x"), "takes no mesage (did you mean message?)"),
        (changed(kind="length", min=1), "the kind length needs the key max"),
        (changed(kind="length", min="1", max=2), "min must be a whole number"),
        (changed(kind="length", min=1, max="2) OR (true"), "max must be a whole number"),
        (changed(kind="length", min=3, max=2), "min is larger than max"),
        (changed(kind="in_list", list="AttendStatu"), "list: the standard has no code list AttendStatu (did you mean AttendStatus?)"),
        (changed(kind="in_list", list="../groups"), "list: the standard has no code list ../groups"),
        (changed(kind="not_after", other="MHS101.ServDischDat"), "other: MHS101Referral has no element ServDischDat (did you mean ServDischDate?)"),
        (changed(kind="not_after", other="MHS902.ServTeamTypeMH"), "other: MHS201CareContact has no element that points to MHS902ServiceTeamDetails"),
        (changed(kind="equals_header", other="CareContDate"), "other must be an element of the header"),
        (changed(kind="equals_portal", portal="password"), "portal must be one of provider, submitter"),
        (changed(kind="timestamp", offset="yes"), "offset must be true or false"),
        (changed(kind="unique", elements="CareContactID"), "elements must be a list of elements"),
        (changed(kind="condition", bad_when={"AttendStatus": [5]}), "bad_when.AttendStatus must be a list of codes, each in quotes"),
        (changed(kind="condition", bad_when={"AttendStatus": "blank"}), "bad_when.AttendStatus must be missing, given"),
        (changed(kind="parent_exists", parent="MHS101", key="CareContactID"), "key: MHS101 has no element CareContactID"),
        (changed(endangers="MHS116"), "the key endangers must be a list"),
        ("LOCAL-001", "must be keys and values"),
    ],
)
def test_a_wrong_check_is_one_line_that_names_the_file_and_the_key(item: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as wrong:
        read(folder(tmp_path, item))
    assert said in str(wrong.value)
    assert str(tmp_path / "checks" / "own.yaml") in str(wrong.value)
    assert "\n" not in str(wrong.value)
    assert wrong.value.exit_code == 2


def test_a_code_stands_once_over_all_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the code LOCAL-001 stands twice in it"):
        read(folder(tmp_path, ONE, ONE))
    folder(tmp_path, ONE)
    with pytest.raises(UsageError, match=r"two\.yaml: the code LOCAL-001 stands in .*own\.yaml too"):
        read(folder(tmp_path, ONE, name="two.yaml"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("checks: [", "is not valid YAML at line"),
        ("check: []", "needs the one key checks"),
        ("[]", "needs the one key checks"),
        ("", "needs the one key checks"),
        ("checks: {}", "needs the one key checks"),
    ],
)
def test_a_file_that_is_no_list_of_checks(text: str, said: str, tmp_path: Path) -> None:
    place = folder(tmp_path)
    (place / "own.yaml").write_text(text)
    with pytest.raises(UsageError, match=said):
        read(place)


def test_a_file_in_another_encoding_and_a_folder_that_is_not_there(tmp_path: Path) -> None:
    place = folder(tmp_path)
    (place / "own.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        read(place)
    with pytest.raises(UsageError, match="does not exist"):
        read(tmp_path / "nowhere")


def test_what_is_offered_are_kinds_of_the_official_rules() -> None:
    assert set(ARGUMENTS) <= {rule.kind for rule in load().rules()} & set(KINDS)


def test_the_example_is_right_and_is_not_read(tmp_path: Path) -> None:
    assert read() == ()
    place = folder(tmp_path)
    shutil.copyfile(local_checks.home() / "example.yaml.txt", place / "own.yaml")
    assert [check.code for check in read(place)] == ["LOCAL-001", "LOCAL-002", "LOCAL-003"]
    page = rulebook.page("local-003", read(place))
    assert page.startswith("LOCAL-003  A contact should not be older than its referral.")
    assert "Level: please correct (the trust's own; nothing is rejected)" in page
    assert "Rule: CareContDate must not be before ReferralRequestReceivedDate." in page


#: Checks of every way a kind looks at rows: the row, the header, another table, the other rows, accepted rows, a list.
KIND_OF_EACH = [
    ONE,
    changed(code="LOCAL-002", kind="not_before", element="CareContDate", other="MHS101.ReferralRequestReceivedDate"),
    changed(code="LOCAL-003", kind="not_after", element="CareContDate", other="MHS000.ReportingPeriodEndDate"),
    changed(code="LOCAL-004", kind="in_list", element="ConsMechanismMH", list="ConsMechanismMH"),
    changed(code="LOCAL-005", kind="unique", element=None, elements=["ServiceRequestID", "CareContDate"]),
    changed(code="LOCAL-006", kind="condition", element=None, bad_when={"AttendStatus": ["5", "6"], "ConsMechanismMH": {"not_in": ["01", "02"]}}),
    changed(code="LOCAL-007", kind="parent_exists", element=None, parent="MHS101", key="ServiceRequestID"),
    changed(code="LOCAL-008", kind="organisation", element="OrgIDComm"),
    changed(code="LOCAL-009", kind="length", element="ClinContDurOfCareCont", min=1, max=3),
    changed(code="LOCAL-010", table="MHS601", kind="not_blank", element="LocalPatientID"),
]

#: Rows of MHS201 1 to 4, and the codes that find them.
CONTACTS = """CareContactID,ServiceRequestID,CareContDate,ClinContDurOfCareCont,ConsMechanismMH,AttendStatus,OrgIDComm
C1,S1,2026-08-05,30,01,5,11M
C2,S1,2026-08-01,,99,5,
C3,S1,2026-09-01,1000,01,5,
C4,S9,2026-08-05,30,13,3,
C5,S9,2026-08-05,30,11,6,
"""
EXPECTED = {
    ("LOCAL-001", 2),
    ("LOCAL-002", 2),
    ("LOCAL-003", 3),
    ("LOCAL-004", 2),
    ("LOCAL-005", 4),
    ("LOCAL-005", 5),
    ("LOCAL-006", 2),
    ("LOCAL-006", 5),
    ("LOCAL-007", 4),
    ("LOCAL-007", 5),
    ("LOCAL-009", 3),
}


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    place = tmp_path / "RXZ" / "2026-08"
    place.mkdir(parents=True)
    (place / "MHS000Header.csv").write_text(
        "DatSetVer,OrgIDProvider,OrgIDSubmit,PrimSystemInUse,ReportingPeriodStartDate,ReportingPeriodEndDate,DateTimeDatSetCreate\n"
        "6.0,RXZ,RXZ,SYSTEM,2026-08-01,2026-08-31,2026-09-10T09:00:00\n"
    )
    (place / "MHS001MPI.csv").write_text(
        "LocalPatientID,OrgIDLocalPatientID,NHSNumber,NHSNumberStatus,PersonBirthDate,Postcode,GenderIDCode\n"
        "P1,RXZ,9990000018,01,1990-01-01,LS1 1AA,1\n"
    )
    (place / "MHS002GP.csv").write_text("LocalPatientID,GMPReg,StartDateGMPRegistration\nP1,A81001,2020-01-01\n")
    (place / "MHS101Referral.csv").write_text(
        "ServiceRequestID,LocalPatientID,OrgIDComm,ReferralRequestReceivedDate,CareProfTeamLocalID\nS1,P1,11M,2026-08-03,T1\n"
    )
    (place / "MHS201CareContact.csv").write_text(CONTACTS)
    return place


def test_local_checks_find_rows_as_the_kinds_do_and_reject_none(sent: Path, tmp_path: Path) -> None:
    reference = tmp_path / "reference"
    reference.mkdir()
    checks = read(folder(tmp_path, *KIND_OF_EACH))
    with_checks, without = tmp_path / "with", tmp_path / "without"
    portal = Portal(uploaded="2026-09-12T09:00:00")
    validate([sent], reference, [with_checks], [portal], local=checks)
    with (with_checks / "checks.csv").open(encoding="utf-8", newline="") as handle:
        lines = [line for line in csv.DictReader(handle) if line["code"].startswith("LOCAL")]
    assert {(line["code"], int(line["row"])) for line in lines} == EXPECTED
    assert {(line["table"], line["month"]) for line in lines} == {("MHS201CareContact", "2026-08")}
    held = json.loads((with_checks / "checks.json").read_text())
    assert held["not_evaluated"]["LOCAL-008"] == "organisations.csv is not in the reference folder"
    assert held["counts"]["LOCAL-010"] == 0
    validate([sent], reference, [without], [portal])
    for path in sorted(without.iterdir()):
        if not path.name.startswith("checks."):
            assert path.read_bytes() == (with_checks / path.name).read_bytes(), path.name


def test_the_command_line_takes_a_folder_and_answers_a_wrong_one_with_2(sent: Path, tmp_path: Path) -> None:
    place = folder(tmp_path, ONE)
    run = CliRunner()
    listed = run.invoke(ips, ["rules", "list", "--local", str(place)]).output.splitlines()
    assert listed[-1] == "LOCAL-001   MHS201CareContact ClinContDurOfCareCont  please complete  Every contact should say how long it lasted."
    assert [line[:7] for line in listed if line.startswith("IPS-")][:1] == ["IPS-001"]
    assert "LOCAL-001  Every contact" in run.invoke(ips, ["rules", "show", "LOCAL-001", "--local", str(place)]).output
    folder(tmp_path, changed(kind="nonsense"))
    out = tmp_path / "out"
    asked = ["validate", str(sent), "--reference", str(tmp_path), "--out", str(out), "--local", str(place)]
    wrong = run.invoke(ips, asked, standalone_mode=False)
    assert isinstance(wrong.exception, UsageError)
    assert not (out / "findings.csv").exists()


def test_a_site_names_its_folder_of_checks(tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    (tmp_path / "map.yaml").write_text("")
    place = tmp_path / "SITE.toml"
    place.write_text(
        'name = "Own"\ndata = "data"\nreference = "reference"\nlocal_checks = "checks"\n'
        '[sources.a]\nkind = "files"\nfolder = "in"\n[[providers]]\ncode = "RXA"\nname = "A"\nsource = "a"\nmapping = "map.yaml"\n'
    )
    with pytest.raises(UsageError, match=r"local_checks names the folder .*checks, which does not exist"):
        settings.load(place)
    folder(tmp_path, ONE)
    assert settings.load(place).local_checks == tmp_path / "checks"

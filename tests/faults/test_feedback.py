"""What comes back from the portal and from the publication: read when it is right, refused in one line when it is not, nothing kept of it."""

from __future__ import annotations

import io
import re
import stat
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ips_pipeline.errors import InputError
from ips_pipeline.submission import feedback

HEADER = ",".join(feedback.REPORT_COLUMNS) + "\n"
LINE = "Validations,Record rejected: ServiceRequestID is missing,MHS10111,,,LocalPatientID,P1" + "," * 18 + "\n"
ROOT = '<?xml version="1.0" encoding="UTF-8"?>\n<p:MHSDS xmlns:p="urn:made-up">'
RECORD = (
    "<p:MHS101Referral><p:ServiceRequestID>R1</p:ServiceRequestID><p:RecordNumber>7</p:RecordNumber><p:Surprise>1</p:Surprise></p:MHS101Referral>"
)
PUBLISHED = (
    "REPORTING_PERIOD_START,REPORTING_PERIOD_END,STATUS,BREAKDOWN,PRIMARY_LEVEL,PRIMARY_LEVEL_DESCRIPTION,MEASURE_ID,MEASURE_NAME,MEASURE_VALUE\n"
)
NAME = "Number of referrals that accessed Individual Placement Support (IPS) in the reporting period"


def make_zip(path: Path, members: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def refusal(reader: Any, source: Path, out: Path) -> str:
    with pytest.raises(InputError) as caught:
        reader(source, out)
    message = str(caught.value)
    assert "\n" not in message
    return message


# The summary reports.


def test_reports_are_read_with_their_lines(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "r.zip", {"202608 Validation Report.csv": HEADER + LINE + LINE, "202608 Aggregation.csv": "\ufeff" + HEADER})
    held = feedback.read_reports(source, tmp_path)
    assert held.rows == {"validations": 2, "aggregation": 0}
    rows = pq.read_table(tmp_path / "validations.parquet").to_pylist()
    assert [(row["line"], row["CODE"], row["DATA_ITEM1"], row["DATA_VALUE1"], row["DATA_ITEM2"]) for row in rows] == [
        (1, "MHS10111", "LocalPatientID", "P1", None),
        (2, "MHS10111", "LocalPatientID", "P1", None),
    ]
    assert stat.S_IMODE((tmp_path / "validations.parquet").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"../validation.csv": HEADER}, "outside the folder"),
        ({"/tmp/validation.csv": HEADER}, "outside the folder"),  # noqa: S108 - a path inside the zip
        ({"..\\validation.csv": HEADER}, "outside the folder"),
        ({"C:validation.csv": HEADER}, "outside the folder"),
        ({"validation.exe": "MZ"}, "not a CSV file"),
        ({"validation.zip": b"PK\x03\x04"}, "not a CSV file"),
        ({"holiday.csv": HEADER}, "none of the portal's reports"),
        ({"validation.csv": HEADER, "Validation (1).csv": HEADER}, "twice"),
        ({"validation.csv": "A,B\n1,2\n"}, "does not have the portal's columns"),
        ({"validation.csv": ""}, "does not have the portal's columns"),
        ({"validation.csv": HEADER + LINE[:40]}, "cut off or damaged at line 2"),
        ({"validation.csv": (HEADER + LINE).encode("utf-16")}, "not CSV in UTF-8"),
        ({"validation.csv": HEADER + "\x00\x01\x02"}, "cut off or damaged|not CSV"),
        ({"validation.csv": HEADER + "0" * 30_000_000}, "far more than reports are"),
        ({}, "holds no report"),
        ({f"{number} validation.csv": HEADER for number in range(60)}, "60 files"),
    ],
)
def test_a_zip_that_is_not_the_portals_is_refused(tmp_path: Path, members: dict[str, str | bytes], message: str) -> None:
    source = make_zip(tmp_path / "r.zip", members)
    assert re.search(message, refusal(feedback.read_reports, source, tmp_path))


def test_a_link_and_a_password_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("validation.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "link" in refusal(feedback.read_reports, tmp_path / "l.zip", tmp_path)
    content = bytearray(make_zip(tmp_path / "p.zip", {"validation.csv": HEADER}).read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + place] |= 1
    (tmp_path / "p.zip").write_bytes(content)
    assert "encrypted" in refusal(feedback.read_reports, tmp_path / "p.zip", tmp_path)


def test_a_zip_that_lies_about_its_sizes_is_stopped(tmp_path: Path) -> None:
    """The bomb says it holds a hundred bytes; the count of what really comes stops it."""
    content = bytearray(make_zip(tmp_path / "b.zip", {"validation.csv": HEADER + LINE + '"' + "0" * 60_000_000}).read_bytes())
    place = content.index(b"PK\x01\x02") + 24
    content[place : place + 4] = (100).to_bytes(4, "little")
    (tmp_path / "b.zip").write_bytes(content)
    refusal(feedback.read_reports, tmp_path / "b.zip", tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip at all", b"PK\x05\x06" + b"\x00" * 10])
def test_what_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "r.zip").write_bytes(content)
    assert "not a whole zip file" in refusal(feedback.read_reports, tmp_path / "r.zip", tmp_path)


def test_a_truncated_zip_is_refused(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "r.zip", {"validation.csv": HEADER + LINE * 1000})
    source.write_bytes(source.read_bytes()[:-30])
    assert "not a whole zip file" in refusal(feedback.read_reports, source, tmp_path)


# The post-deadline extract.


def test_records_are_read_wherever_they_lie(tmp_path: Path) -> None:
    patient = f"<p:MHS001MPI><p:LocalPatientID>P1</p:LocalPatientID>{RECORD}<p:NHSNumber> 9990000018 </p:NHSNumber></p:MHS001MPI>"
    source = tmp_path / "e.xml"
    source.write_text(f"{ROOT}<p:Patients>{patient}</p:Patients><MHS902ServiceTeamDetails/></p:MHSDS>", encoding="utf-8")
    held = feedback.read_extract(source, tmp_path)
    assert held.rows == {"MHS001MPI": 1, "MHS101Referral": 1, "MHS902ServiceTeamDetails": 1}
    assert held.unknown == ("MHS101Referral.Surprise",)
    (referral,) = pq.read_table(tmp_path / "MHS101Referral.parquet").to_pylist()
    assert (referral["ServiceRequestID"], referral["RecordNumber"], referral["ServDischDate"]) == ("R1", "7", None)
    (person,) = pq.read_table(tmp_path / "MHS001MPI.parquet").to_pylist()
    assert (person["LocalPatientID"], person["NHSNumber"]) == ("P1", "9990000018")


def test_more_records_than_are_held_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "_BATCH", 7)
    (tmp_path / "e.xml").write_text(f"{ROOT}{RECORD * 50}</p:MHSDS>".replace("UTF-8", "UTF-16"), encoding="utf-16")
    feedback.read_extract(tmp_path / "e.xml", tmp_path)
    assert pq.read_metadata(tmp_path / "MHS101Referral.parquet").num_rows == 50


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "declares a document type"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>', "declares a document type"),
        (f"{ROOT}{RECORD}", "not well-formed XML at line 2"),
        (f"{ROOT}{RECORD[:50]}", "not well-formed XML at line 2"),
        (f"{ROOT}<p:MHS101Referral>&undefined;</p:MHS101Referral></p:MHSDS>", "not well-formed XML"),
        ("", "not well-formed XML"),
        ("ServiceRequestID,R1", "not well-formed XML"),
        ("<a><b>1</b></a>", "no record of an MHSDS table"),
        ("<a>" * 50, "nests deeper"),
        (f"{ROOT}<p:MHS101Referral><p:ServiceRequestID>{'x' * 1_100_000}", "longer than any element"),
        ("<MHS101Referral>" + "".join(f"<a{number}>1</a{number}>" for number in range(1100)), "too many elements"),
    ],
)
def test_xml_that_is_no_extract_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "e.xml").write_text(text, encoding="utf-8")
    assert message in refusal(feedback.read_extract, tmp_path / "e.xml", tmp_path)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    for reader in (feedback.read_extract, feedback.read_reports, feedback.read_publication):
        assert "cannot be read" in refusal(reader, tmp_path / "none", tmp_path)


# The monthly publication.


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("day", ["2026-08-31", "31/08/2026"])
def test_only_the_ips_measures_are_read_whatever_the_dates_look_like(tmp_path: Path, day: str, encoding: str) -> None:
    lines = [
        f"01/09/2025,{day},Performance,Provider,RXA,ST ANNE’S TRUST,MHS116,{NAME},*",
        f"01/09/2025,{day},Performance,England,England,England,MHS116,{NAME},1234",
        f"01/09/2025,{day},Performance,England,England,England,MHS116,Number of something else,99",
        f"01/09/2025,{day},Performance,England,England,England,MHS01,People in contact,1000000",
    ]
    source = tmp_path / "MHSDS Data_AugPerf_2026_v2.csv"
    source.write_bytes((PUBLISHED + "\n".join(lines) + "\n").encode(encoding))
    assert feedback.read_publication(source, tmp_path).rows == {"MHS116": 2}
    rows = pq.read_table(tmp_path / "publication.parquet").to_pylist()
    assert [(row["period_end"].isoformat(), row["level"], row["value"]) for row in rows] == [
        ("2026-08-31", "RXA", "*"),
        ("2026-08-31", "England", "1234"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("A,B\n1,2\n", "no column REPORTING_PERIOD_END"),
        (PUBLISHED, "neither MHS116 nor MHS116a"),
        (PUBLISHED + f"x,August 2026,P,England,England,England,MHS116,{NAME},1\n", "line 2: REPORTING_PERIOD_END is not a date"),
        (PUBLISHED + f"x,2026-08-31,P,England,England,England,MHS116,{NAME}\n", "cut off or damaged at line 2"),
    ],
)
def test_a_file_that_is_no_publication_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "p.csv").write_text(content, encoding="utf-8")
    assert message in refusal(feedback.read_publication, tmp_path / "p.csv", tmp_path)


def test_reports_counted_as_they_come() -> None:
    counted = feedback._Counted(io.BytesIO(b"x" * 100), Path("r.zip"), 10, 100)
    with pytest.raises(InputError, match="reading stopped"):
        io.BufferedReader(counted).read()

"""A gallery of what arrives instead of a tidy submission: each gets one line and an exit code, or is read with nothing lost.

Every case goes through the command line's own function, in this process. A word of the data (``SECRET``) must never be shown.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ips_pipeline import cli
from ips_pipeline.mhsds.standard import load
from ips_pipeline.quality import findings
from ips_pipeline.store import folders
from ips_pipeline.store.duck import Connection

SUCCESS, UNREADABLE, REJECTED, AGAIN = 0, 11, 13, 20

HEADER = (
    "DatSetVer,OrgIDProvider,OrgIDSubmit,PrimSystemInUse,ReportingPeriodStartDate,ReportingPeriodEndDate,DateTimeDatSetCreate\n"
    "6.0,RXZ,RXZ,SYSTEM,2026-08-01,2026-08-31,2026-09-10T09:00:00\n"
)
PEOPLE = "LocalPatientID,OrgIDLocalPatientID,NHSNumber,NHSNumberStatus,PersonBirthDate,Postcode,GenderIDCode,Gender\n"
P1 = "P1,RXZ,9990000018,01,1990-01-01,LS1 1AA,1,1\n"
P2 = "P2,RXZ,,07,1980-02-02,LS1 2AA,2,2\n"
TABLES = {
    "MHS000Header": HEADER,
    "MHS001MPI": PEOPLE + P1 + P2,
    "MHS002GP": "LocalPatientID,GMPReg,StartDateGMPRegistration\nP1,A81001,2020-01-01\nP2,A81001,2020-01-01\n",
    "MHS101Referral": (
        "ServiceRequestID,LocalPatientID,OrgIDComm,ReferralRequestReceivedDate,CareProfTeamLocalID\nS1,P1,11M,2026-08-03,T1\nS2,P2,11M,2026-08-04,T1\n"
    ),
}


@dataclass
class Answer:
    """What a person gets: the exit code, the line on standard error, and the reports."""

    code: int
    line: str
    out: Path

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.out / name).open(encoding="utf-8", newline="") as handle:
            return list(csv.DictReader(handle))

    def submitted(self, table: str) -> int:
        number = load().table(table).id.removeprefix("MHS")
        return next(int(row["DENOMINATOR"]) for row in self.rows("aggregation.csv") if row["CODE"] == f"MHSARV{number}")


class Desk:
    """A folder to spoil, and the command that judges it."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home, self._capsys = home, capsys
        self.folder = home / "RXZ" / "2026-08"
        self.folder.mkdir(parents=True)
        (home / "reference").mkdir()
        for name, text in TABLES.items():
            self.put(f"{name}.csv", text)

    def put(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def validate(self, *more: str | Path, folder: Path | None = None) -> Answer:
        out = self.home / "out"
        arguments = [
            "validate",
            folder or self.folder,
            "--reference",
            self.home / "reference",
            "--out",
            out,
            "--uploaded",
            "2026-09-12T09:00:00",
            *more,
        ]
        self._capsys.readouterr()
        code = cli._answer([str(argument) for argument in arguments])
        said = self._capsys.readouterr()
        lines = said.err.strip().splitlines()
        assert "Traceback" not in said.err and len(lines) <= 1, said.err
        assert "SECRET" not in said.out + said.err
        return Answer(code, lines[0] if lines else "", out)


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


def test_the_tidy_submission_is_accepted(desk: Desk) -> None:
    answer = desk.validate()
    assert (answer.code, answer.line) == (SUCCESS, "")
    assert answer.rows("rejected_rows.csv") == []


PEOPLE_BYTES = (PEOPLE + P1 + P2).encode()

#: What MHS001MPI may look like: its bytes, whether the file is then rejected, and the rows it has.
READABLE = {
    "empty": (b"", True, 0),
    "header only": (PEOPLE.encode(), True, 0),
    "BOM": (b"\xef\xbb\xbf" + PEOPLE_BYTES, False, 2),
    "CRLF": (PEOPLE_BYTES.replace(b"\n", b"\r\n"), False, 2),
    "no line end at the end": (PEOPLE_BYTES.rstrip(b"\n"), False, 2),
    "CRLF and none at the end": (PEOPLE_BYTES.replace(b"\n", b"\r\n").rstrip(b"\r\n"), False, 2),
    "quotes": ((PEOPLE + P1 + P2.replace("P2", '"P2"').replace("LS1 2AA", '"LS1 2AA"')).encode(), False, 2),
    "quotes and commas and line feeds in a field": ((PEOPLE + P1.replace("RXZ", '"SEC""R,ET\nX"') + P2).encode(), False, 2),
    "accents": ((PEOPLE + P1 + P2.replace("RXZ", "é£—")).encode(), False, 2),
}


def test_text_is_read_as_it_was_sent(desk: Desk) -> None:
    submissions = []
    for name, (content, _, _) in READABLE.items():
        folder = desk.home / "readable" / name
        shutil.copytree(desk.folder, folder)
        (folder / "MHS001MPI.csv").write_bytes(content)
        submissions.append(folder)
    every = desk.validate(*submissions[1:], folder=submissions[0])
    assert every.code == REJECTED
    for name, (_, rejected, rows) in READABLE.items():
        answer = Answer(0, "", every.out / name)
        assert answer.submitted("MHS001MPI") == rows, name
        assert bool([row for row in answer.rows("findings.csv") if row["level"] == "file"]) == rejected, name


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(PEOPLE_BYTES + b'P3,"SECRET', "a quote is not closed", id="cut off inside a quoted field"),
        pytest.param(PEOPLE_BYTES + b"SECRET,RXZ,99", "too many or too few values", id="cut off inside a line"),
        pytest.param(PEOPLE_BYTES + b"SECRET,a,b,c,d,e,f,g,h,i,j\n", "too many or too few values", id="too many values"),
        pytest.param(bytes(range(256)) * 40, "UTF-8", id="binary"),
        pytest.param(b"PK\x03\x04\x14\x00\x06\x00" + bytes(4000), "UTF-8", id="a workbook under the name of a CSV"),
        pytest.param(PEOPLE_BYTES.decode().encode("utf-16"), "UTF-8", id="UTF-16"),
        pytest.param(PEOPLE_BYTES.decode().encode("utf-16-le"), "UTF-8", id="UTF-16 without a mark"),
        pytest.param(PEOPLE_BYTES.decode().encode("utf-32"), "UTF-8", id="UTF-32"),
        pytest.param(PEOPLE_BYTES + "SECRETé,RXZ,,07,1980-02-02,LS1 2AA,2,2\n".encode("latin-1"), "UTF-8", id="Latin-1 in the body"),
        pytest.param(PEOPLE_BYTES + b"SECRET\x00,RXZ,,07,1980-02-02,LS1 2AA,2,2\n", "NUL", id="NUL in the body"),
        pytest.param(PEOPLE_BYTES.replace(b"Gender\n", b"Gender,Gender\n").replace(b",1\n", b",1,1\n"), "more than once", id="a column twice"),
        pytest.param(PEOPLE_BYTES.replace(b"GenderIDCode", b"Comments"), "column Comments", id="an unknown column"),
        pytest.param(PEOPLE_BYTES.replace(b"LocalPatientID,", b"localpatientid,", 1), "did you mean LocalPatientID", id="another case"),
        pytest.param(PEOPLE_BYTES.replace(b"LocalPatientID,", b" LocalPatientID,", 1), "did you mean LocalPatientID", id="a blank before a column"),
        pytest.param(b",".join([b"LocalPatientID", *(b"C%d" % n for n in range(50_000))]) + b"\n", "49,999|50,000", id="50,000 columns"),
        pytest.param(b"LocalPatientID;NHSNumber\nSECRET;1\n", "separated by semicolons", id="semicolons"),
        pytest.param(b"LocalPatientID\tNHSNumber\nSECRET\t1\n", "separated by tabs", id="tabs"),
        pytest.param(b"SECRET1234 with no header\n", "no header line", id="no header line"),
        pytest.param(PEOPLE_BYTES.replace(b"\n", b"\r"), "carriage return", id="old Macintosh line ends"),
    ],
)
def test_text_that_cannot_be_read_is_named_with_the_next_step(desk: Desk, content: bytes, said: str) -> None:
    desk.put("MHS001MPI.csv", content)
    answer = desk.validate()
    assert answer.code == UNREADABLE, answer.line
    assert "MHS001MPI.csv" in answer.line
    assert re.search(said, answer.line), answer.line
    assert len(answer.line) < 400


def test_ten_megabytes_in_one_field_are_judged_like_any_value(desk: Desk) -> None:
    desk.put("MHS001MPI.csv", PEOPLE + P1 + P2.replace("LS1 2AA", "X" * 10_000_000))
    answer = desk.validate()
    assert answer.code == SUCCESS, answer.line
    assert {"table": "MHS001MPI", "row": "2"} in answer.rows("rejected_rows.csv")
    assert (answer.out / "report.html").stat().st_size < 1_000_000


def test_a_field_longer_than_can_be_read_is_refused(desk: Desk) -> None:
    desk.put("MHS001MPI.csv", PEOPLE + P1.replace("LS1 1AA", "SECRET" * 3_500_000))
    answer = desk.validate()
    assert answer.code == UNREADABLE
    assert "MHS001MPI.csv" in answer.line


def test_a_flood_of_findings_for_one_code(desk: Desk) -> None:
    many = 60_000
    contacts = "CareContactID,ServiceRequestID,CareContDate,AttendStatus\n" + "".join(f"C{n},S1,2026-08-05,9\n" for n in range(many))
    desk.put("MHS201CareContact.csv", contacts)
    answer = desk.validate("--no-worklist")
    assert answer.code == SUCCESS, answer.line
    assert answer.submitted("MHS201CareContact") == many
    assert len([row for row in answer.rows("findings.csv") if row["table"] == "MHS201CareContact"]) == many
    assert (answer.out / "report.html").stat().st_size < 300_000
    assert not (answer.out / "worklist.xlsx").exists()


def test_sixty_one_empty_tables(desk: Desk) -> None:
    for table in load().tables.values():
        desk.put(f"{table.name}.csv", ",".join(table.elements) + "\n")
    answer = desk.validate()
    assert answer.code == REJECTED
    assert {row["row"] for row in answer.rows("findings.csv")} == {"0"}


def test_a_folder_of_nothing(desk: Desk) -> None:
    nothing = desk.home / "nothing"
    nothing.mkdir()
    answer = desk.validate(folder=nothing)
    assert answer.code == REJECTED and "findings.csv" in answer.line


# -- Parquet ----------------------------------------------------------------------------------------------------------------


def test_parquet_of_other_types_is_read_as_the_text_it_stands_for(desk: Desk) -> None:
    (desk.folder / "MHS001MPI.csv").unlink()
    people = pa.table(
        {
            "LocalPatientID": ["P1", "P2"],
            "OrgIDLocalPatientID": pa.array(["RXZ", "RXZ"]).dictionary_encode(),
            "NHSNumber": pa.array([9990000018, None], pa.int64()),
            "NHSNumberStatus": pa.array(["01", "07"], pa.large_string()),
            "PersonBirthDate": pa.array([date(1990, 1, 1), date(1980, 2, 2)], pa.date32()),
            "Postcode": ["LS1 1AA", "LS1 2AA"],
            "GenderIDCode": pa.array([1, 2], pa.int8()),
            "Gender": pa.array([Decimal("1"), Decimal("2")], pa.decimal128(3, 0)),
        }
    )
    pq.write_table(people, desk.folder / "MHS001MPI.parquet")
    answer = desk.validate()
    assert (answer.code, answer.line) == (SUCCESS, "")
    assert answer.rows("rejected_rows.csv") == []


def _nested(path: Path) -> None:
    pq.write_table(pa.table({"LocalPatientID": [["SECRET"], ["P2"]]}), path)


def _cut(path: Path) -> None:
    pq.write_table(pa.table({"LocalPatientID": ["SECRET"] * 5000}), path)
    path.write_bytes(path.read_bytes()[:-40])


def _damaged(path: Path) -> None:
    """A sound footer over damaged pages."""
    pq.write_table(pa.table({"LocalPatientID": [f"SECRET{n}" for n in range(50_000)]}), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[100:60_000] = bytes(len(content[100:60_000]))
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(_nested, "nested", id="nested values"),
        pytest.param(_cut, "cut short", id="truncated"),
        pytest.param(_damaged, "damaged|cut short", id="damaged inside"),
        pytest.param(lambda path: path.write_bytes(b""), "Parquet", id="empty"),
        pytest.param(lambda path: path.write_text("LocalPatientID\nSECRET\n"), "Parquet", id="text under the name of a Parquet file"),
        pytest.param(lambda path: pq.write_table(pa.table({"Comments": ["SECRET"]}), path), "Comments", id="unknown column"),
    ],
)
def test_parquet_that_cannot_be_read(desk: Desk, spoil: Callable[[Path], None], said: str) -> None:
    (desk.folder / "MHS001MPI.csv").unlink()
    spoil(desk.folder / "MHS001MPI.parquet")
    answer = desk.validate()
    assert answer.code == UNREADABLE, answer.line
    assert "MHS001MPI.parquet" in answer.line
    assert re.search(said, answer.line), answer.line


# -- places -----------------------------------------------------------------------------------------------------------------


def test_a_folder_that_is_a_file(desk: Desk) -> None:
    answer = desk.validate(folder=desk.put("notes.txt", "SECRET"))
    assert answer.code == UNREADABLE and "not a folder" in answer.line


def test_a_folder_that_is_not_there(desk: Desk) -> None:
    answer = desk.validate(folder=desk.home / "nowhere")
    assert answer.code == UNREADABLE and "nowhere" in answer.line


def test_a_table_that_is_a_folder(desk: Desk) -> None:
    (desk.folder / "MHS201CareContact.csv").mkdir()
    answer = desk.validate()
    assert answer.code == UNREADABLE and "MHS201CareContact.csv is not a plain file" in answer.line


def test_links_that_leave_the_folder(desk: Desk) -> None:
    elsewhere = desk.home / "elsewhere.csv"
    elsewhere.write_text(PEOPLE + P1)
    (desk.folder / "MHS001MPI.csv").unlink()
    (desk.folder / "MHS001MPI.csv").symlink_to(elsewhere)
    answer = desk.validate()
    assert answer.code == UNREADABLE and "not a plain file of its folder" in answer.line


def test_a_link_to_nothing(desk: Desk) -> None:
    (desk.folder / "MHS002GP.csv").unlink()
    (desk.folder / "MHS002GP.csv").symlink_to(desk.home / "gone.csv")
    answer = desk.validate()
    assert answer.code == UNREADABLE and "MHS002GP.csv" in answer.line


def test_a_folder_without_permission(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The superuser may read everything, so the system's refusal is played."""
    refuse = OSError(13, "Permission denied")
    real = Path.iterdir

    def iterdir(path: Path) -> object:
        if path.resolve() == desk.folder.resolve():
            raise refuse
        return real(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    answer = desk.validate()
    assert answer.code == UNREADABLE and "Permission denied" in answer.line and "2026-08" in answer.line


def test_a_file_without_permission(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    def opened(path: Path, *arguments: object, **more: object) -> object:
        if path.name == "MHS001MPI.csv":
            raise OSError(13, "Permission denied")
        return real(path, *arguments, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", opened)
    answer = desk.validate()
    assert answer.code == UNREADABLE and "MHS001MPI.csv cannot be read (Permission denied)" in answer.line


def test_an_output_place_below_a_file(desk: Desk) -> None:
    (desk.home / "file").write_text("in the way")
    answer = desk.validate("--out", desk.home / "file" / "out")
    assert answer.code == AGAIN and "Not a directory" in answer.line


def test_a_pipe_instead_of_a_file(desk: Desk) -> None:
    (desk.folder / "MHS002GP.csv").unlink()
    os.mkfifo(desk.folder / "MHS002GP.csv")
    answer = desk.validate()
    assert answer.code == UNREADABLE and "not a plain file" in answer.line


# -- a file that changes while it is read -----------------------------------------------------------------------------------


def _grown(path: Path) -> None:
    with path.open("a") as handle:
        handle.write("P3,RXZ,,07,1980-02-02,LS1 2AA,2,2\n")


def _replaced(path: Path) -> None:
    fresh = path.with_name("fresh")
    fresh.write_text(PEOPLE + P2 + P1)
    fresh.replace(path)


@pytest.mark.parametrize("spoil", [_grown, _replaced, Path.unlink], ids=["grows", "is replaced", "is removed"])
def test_a_file_that_changes_while_it_is_read(desk: Desk, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None]) -> None:
    real = folders.load

    def load_and_change(connection: Connection, *arguments: object, **more: object) -> None:
        real(connection, *arguments, **more)  # type: ignore[arg-type]
        spoil(desk.folder / "MHS001MPI.csv")

    monkeypatch.setattr(findings.folders, "load", load_and_change)
    answer = desk.validate()
    assert answer.code == AGAIN, answer.line
    assert "MHS001MPI.csv" in answer.line and "changed while it was read" in answer.line
    assert not (answer.out / "findings.csv").exists()


def test_a_writer_that_never_stops_cannot_keep_the_check_waiting(desk: Desk) -> None:
    path, stop = desk.folder / "MHS001MPI.csv", threading.Event()

    def write() -> None:
        with path.open("a") as handle:
            while not stop.is_set():
                handle.write("P3,RXZ,,07,1980-02-02,LS1 2AA,2,2\n")
                handle.flush()
                stop.wait(0.002)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        answer = desk.validate()
    finally:
        stop.set()
        writer.join()
    assert answer.code in (AGAIN, UNREADABLE), answer.line
    assert "MHS001MPI.csv" in answer.line

"""An Access file holds exactly the rows of the package: told by a reader that is not ours, and by the verdict on it."""

from __future__ import annotations

import csv
import io
import math
import shutil
import struct
import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from access_parser import AccessParser
from access_parser import utils as reader

from ips_pipeline import flows, returns
from ips_pipeline.mhsds import standard
from ips_pipeline.submission import access

#: Values that a careless writer changes: letters beyond ASCII, quotes, line ends, blanks at the edges, 255 characters, midnight, years before
#: Access' day zero, a leap day, nothing at all.
TABLES = {
    "MHS000Header": [
        {
            "DatSetVer": "6.0",
            "OrgIDProvider": "RXA",
            "OrgIDSubmit": "RXA",
            "PrimSystemInUse": "Café £ naïve",
            "ReportingPeriodStartDate": "2026-08-01",
            "ReportingPeriodEndDate": "2026-08-31",
            "DateTimeDatSetCreate": "2026-09-01T00:00:00",
        }
    ],
    "MHS001MPI": [
        {"LocalPatientID": "é£ï", "PersonBirthDate": "1890-01-01", "NHSNumber": "9990000018", "EthnicCategory2021": "x" * 255},
        {"LocalPatientID": ' "a",b ', "PersonBirthDate": "1899-12-29", "PersDeathDate": "2024-02-29"},
        {"LocalPatientID": "0007", "PersonBirthDate": "1899-12-30"},
        {"LocalPatientID": "8", "PersonBirthDate": "1899-12-31", "Postcode": "LS1 4AP", "OrgIDEduEstab": ""},
        {"LocalPatientID": "9"},
    ],
    "MHS101Referral": [
        {"ServiceRequestID": "R1", "LocalPatientID": "9", "ReferralRequestReceivedDate": "2026-08-03", "ReferralRequestReceivedTime": "00:00:00"},
        {"ServiceRequestID": "R2", "LocalPatientID": "9", "ReferralRequestReceivedDate": "2026-08-03", "ReferralRequestReceivedTime": "23:59:59"},
        {"ServiceRequestID": "R3", "LocalPatientID": "9", "ReferralRequestReceivedDate": "2026-08-03"},
    ],
    "MHS201CareContact": [
        {"CareContactID": "C1", "ServiceRequestID": "R1", "CareContDate": "2026-08-05", "ClinContDurOfCareCont": "0"},
        {"CareContactID": "C2", "ServiceRequestID": "R1", "CareContDate": "2026-08-06", "ClinContDurOfCareCont": "9999"},
        {"CareContactID": "C3\nline", "ServiceRequestID": "R1", "CareContDate": "2026-08-07"},
    ],
    "MHS605SecDiag": [{"ServiceRequestID": "R1", "CodedDiagTimestamp": "2026-08-05T00:00:00+01:00"}],
}

pytestmark = pytest.mark.skipif(access.runtime() is None, reason="Access files need the accdb extra")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows above as a submission folder."""
    target = tmp_path_factory.mktemp("rows")
    for name, rows in TABLES.items():
        with (target / f"{name}.csv").open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, standard.load().table(name).elements, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return target


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("template") / "template.accdb"
    returns.write_template(target)
    return target


@pytest.fixture(scope="module")
def built(folder: Path, template: Path, tmp_path_factory: pytest.TempPathFactory) -> returns.Built:
    """The package of the rows: judged, with one more row that is rejected and must not appear."""
    home = tmp_path_factory.mktemp("package")
    judged = home / "judged"
    judged.mkdir()
    (judged / "findings.csv").write_text("table,row,code,level\nMHS101Referral,3,MHS10100,record\n", encoding="utf-8")
    (judged / "rejected_rows.csv").write_text("table,row\nMHS101Referral,3\n", encoding="utf-8")
    returns.package.seal(folder, judged, "RXA", "2026-08", [])
    return returns.build_package_of_folder(folder, judged, home / "out", template=template)


def expected() -> dict[str, list[dict[str, Any]]]:
    """The accepted rows as Access keeps them."""
    kept = {**TABLES, "MHS101Referral": TABLES["MHS101Referral"][:2]}
    found = {}
    for table in standard.load().tables.values():
        columns = {name: kind for name, kind, _ in access.columns_of(table)}
        fields = {field.element: field.type for field in table.fields}
        found[table.name] = [
            {name: _stored(row.get(name) or None, columns[name], fields[name]) for name in columns} for row in kept.get(table.name, [])
        ]
    return found


def _stored(value: str | None, kind: str, form: str) -> Any:
    if value is None or kind == "TEXT":
        return value
    if kind == "LONG":
        return int(value)
    return datetime.fromisoformat(f"1899-12-30T{value}" if form == "time" else value)


def test_an_independent_reader_finds_every_value(built: returns.Built, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "mdb_date_to_readable", _decoded)
    database = AccessParser(str(built.stage.path / "MHSDS_RXA_2026-08.accdb"))
    wanted = expected()
    assert {name for name in database.catalog if not name.startswith("MSys")} >= set(wanted)
    for name, rows in wanted.items():
        held = database.parse_table(name)
        assert set(held) == set(standard.load().table(name).elements) or not rows, name
        for element in held:
            given = [row[element] for row in rows]
            text = not any(isinstance(value, datetime | int) for value in given)
            # This reader does not look whether a date or a number is null, and gives no text for one that is.
            found = [value or None if text else value for value in held[element]]
            assert len(found) == len(given), (name, element)
            assert [value for value, was in zip(found, given, strict=True) if was is not None] == [was for was in given if was is not None], element


def _decoded(stored: int) -> datetime:
    """The bits of a stored moment as Access means them: days from 30 December 1899, with the time as a fraction that counts forward.

    The reader's own function fails before that day, so it hands over what is stored.
    """
    (value,) = struct.unpack("<d", struct.pack("<q", stored))
    days = math.trunc(value)
    return datetime(1899, 12, 30) + timedelta(days=days, seconds=round(abs(value - days) * 86_400))


@pytest.mark.skipif(shutil.which("mdb-export") is None, reason="mdbtools is not installed")
def test_mdbtools_finds_every_cell_and_every_null(built: returns.Built) -> None:
    for name, rows in expected().items():
        command = ["mdb-export", "-D", "%Y-%m-%d %H:%M:%S", "-T", "%Y-%m-%d %H:%M:%S", str(built.stage.path / "MHSDS_RXA_2026-08.accdb"), name]
        told = subprocess.run(command, check=True, capture_output=True).stdout.decode()
        found = list(csv.DictReader(io.StringIO(told, newline="")))
        assert len(found) == len(rows), name
        for row, was in zip(found, rows, strict=True):
            # It cannot tell days before Access' day zero.
            known = {key: value for key, value in was.items() if not (isinstance(value, datetime) and value < datetime(1899, 12, 30))}
            assert {key: row[key] for key in known} == {key: "" if value is None else str(value) for key, value in known.items()}, name


def test_every_table_column_and_type_is_the_template_s(built: returns.Built, tmp_path: Path) -> None:
    held = access.runtime()
    assert held is not None
    structure = access.describe(built.stage.path / "MHSDS_RXA_2026-08.accdb", held, tmp_path)
    assert {name: [(column.name, column.type) for column in columns] for name, columns in structure.tables.items()} == {
        table.name: [(name, kind) for name, kind, _ in access.columns_of(table)] for table in standard.load().tables.values()
    }


def test_read_again_it_gives_the_rows_of_the_package(built: returns.Built, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    held = access.runtime()
    assert held is not None
    unloaded = tmp_path / "rows"
    unloaded.mkdir()
    assert access.read(built.stage.path / "MHSDS_RXA_2026-08.accdb", unloaded, held, temporary=tmp_path / "tmp") == []
    for name in TABLES:
        given, found = (pq.read_table(home / f"{name}.parquet").to_pylist() for home in (built.stage.path / "parquet", unloaded))
        assert found == given, name


def test_the_verdict_on_an_access_file_is_that_on_the_same_rows_as_csv(built: returns.Built, tmp_path: Path) -> None:
    portal = flows.login("RXA", "RXA", "2026-08", "2026-09-10T12:00:00")
    reference = tmp_path / "reference"
    verdicts = []
    for number, rows in enumerate((built.stage.path / "csv", built.stage.path / "MHSDS_RXA_2026-08.accdb")):
        (verdict,) = flows.validate_folders([rows], reference, tmp_path / str(number), portal, worklist=False)
        verdicts.append((verdict.file_codes, verdict.rows_submitted, verdict.rows_rejected, verdict.findings))
    assert verdicts[0] == verdicts[1]
    assert verdicts[0][3] > 0
    for name in ("findings.csv", "rejected_rows.csv", "validations.csv", "checks.csv"):
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes(), name

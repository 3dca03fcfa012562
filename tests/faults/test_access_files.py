"""Access files and templates that are not what they should be: one line each, nothing of a patient in it, and nothing left behind."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ips_pipeline import returns
from ips_pipeline.errors import InputError, RetryableError
from ips_pipeline.mhsds import standard
from ips_pipeline.store.duck import session
from ips_pipeline.submission import access, package

PAGE = 4096


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if access.runtime() is None:
        pytest.skip("Access files need the accdb extra")
    target = tmp_path_factory.mktemp("template") / "template.accdb"
    returns.write_template(target)
    return target


def reading(file: Path, tmp_path: Path) -> None:
    held = access.runtime()
    assert held is not None
    (tmp_path / "rows").mkdir(exist_ok=True)
    access.read(file, tmp_path / "rows", held, temporary=tmp_path / "tmp")


def test_files_that_are_no_whole_database_are_refused_unopened(tmp_path: Path) -> None:
    file = tmp_path / "a.accdb"
    for content, says in (
        (b"LocalPatientID\nA\n", "not an Access database"),
        (b"", "not an Access database"),
        (b"\x00\x01\x00\x00Standard ACE DB\x00" + bytes(PAGE), "cut short"),
    ):
        file.write_bytes(content)
        with pytest.raises(InputError, match=says):
            access.check_file(file)
    with pytest.raises(InputError, match="No such file"):
        access.check_file(tmp_path / "none.accdb")


def test_a_database_that_somebody_has_open_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.accdb").write_bytes(b"\x00\x01\x00\x00Standard ACE DB\x00".ljust(PAGE, b"\x00"))
    (tmp_path / "a.laccdb").touch()
    with pytest.raises(RetryableError, match=r"open in Access \(a\.laccdb"):
        access.check_file(tmp_path / "a.accdb")


def test_a_database_cut_at_a_page_is_refused(template: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.accdb").write_bytes(template.read_bytes()[: 20 * PAGE])
    with pytest.raises(InputError, match="damaged or cut short"):
        reading(tmp_path / "cut.accdb", tmp_path)


def test_a_database_with_a_password_is_refused(template: Path, tmp_path: Path) -> None:
    content = bytearray(template.read_bytes())
    content[62] ^= 0x5A  # the key of the encryption lies here, masked
    (tmp_path / "locked.accdb").write_bytes(content)
    with pytest.raises(InputError, match="needs a password"):
        reading(tmp_path / "locked.accdb", tmp_path)


def test_a_value_that_its_column_cannot_hold_is_refused_by_its_place(tmp_path: Path) -> None:
    table = standard.load().table("MHS201")
    cases = [
        ("CareContactID", access.Column("CareContactID", "TEXT", 3), "ABCD", "Short Text of 3 characters"),
        ("CareContDate", access.Column("CareContDate", "SHORT_DATE_TIME", 0), "2026-02-30", "Date/Time"),
        ("CareContTime", access.Column("CareContTime", "SHORT_DATE_TIME", 0), "9:05", "Date/Time"),
        ("ClinContDurOfCareCont", access.Column("ClinContDurOfCareCont", "LONG", 0), "045", "Number"),
        ("ClinContDurOfCareCont", access.Column("ClinContDurOfCareCont", "BYTE", 0), "300", "Number"),
    ]
    for element, column, value, says in cases:
        with session(write=[tmp_path]) as connection:
            connection.execute(f"CREATE TABLE kept AS SELECT * FROM (VALUES (7, NULL), (9, '{value}')) AS t(row, {element})")
            with pytest.raises(InputError) as told:
                access.prepare(connection, table, "kept", [column], tmp_path / "kept.parquet")
        assert f"MHS201CareContact row 9: {element} does not fit its column in the template ({says})" in str(told.value)
        assert value not in str(told.value).replace(says, "")


#: Builds in a process of its own: sys.argv is the folder, the findings, the place and the template; a limit on the size of files may follow.
_BUILD = """
import resource, sys
from pathlib import Path
from ips_pipeline import returns
from ips_pipeline.errors import IpsError
if len(sys.argv) > 5:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[5]),) * 2)
try:
    returns.build_package_of_folder(*map(Path, sys.argv[1:4]), template=Path(sys.argv[4]))
except IpsError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.fixture
def command(template: Path, tmp_path: Path) -> list[str]:
    """What builds a package of a few thousand rows."""
    home, judged = tmp_path / "rows", tmp_path / "judged"
    home.mkdir()
    judged.mkdir()
    (home / "MHS000Header.csv").write_text("DatSetVer,OrgIDProvider,ReportingPeriodStartDate\n6.0,RXA,2026-08-01\n", encoding="utf-8")
    lines = [f"patient{number:08},{number:020}" for number in range(5_000)]
    (home / "MHS001MPI.csv").write_text("LocalPatientID,EthnicCategory2021\n" + "\n".join(lines) + "\n", encoding="utf-8")
    (judged / "findings.csv").write_text("table,row,code,level\n", encoding="utf-8")
    (judged / "rejected_rows.csv").write_text("table,row\n", encoding="utf-8")
    package.seal(home, judged, "RXA", "2026-08", [])
    return [sys.executable, "-c", _BUILD, str(home), str(judged), str(tmp_path / "out"), str(template)]


def test_a_full_disk_leaves_nothing_and_says_one_line(command: list[str], template: Path, tmp_path: Path) -> None:
    finished = subprocess.run([*command, str(template.stat().st_size + 40_000)], check=False, capture_output=True, text=True)
    assert finished.returncode in (15, 20), finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr
    assert len(finished.stdout.splitlines()) == 1
    assert "patient0" not in finished.stdout
    assert not (tmp_path / "out" / "RXA").exists()
    assert not list((tmp_path / "out" / ".staging").iterdir())


def _working_in(place: Path) -> list[str]:
    """Processes whose folder lies under a place."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if link.readlink().is_relative_to(place):
                found.append(link.parent.name)
    return found


def test_a_build_killed_while_it_writes_leaves_nothing_visible_and_no_process(command: list[str], template: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    staging = tmp_path / "out" / ".staging"
    until = time.monotonic() + 120
    while process.poll() is None and not list(staging.glob("*/*.accdb")) and time.monotonic() < until:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "out" / "RXA").exists()
    while _working_in(tmp_path) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _working_in(tmp_path)
    again = subprocess.run(command, check=False, capture_output=True, text=True)
    assert again.returncode == 0, again.stdout + again.stderr
    (built,) = (tmp_path / "out" / "RXA" / "2026-08").glob("*/*.accdb")
    assert built.stat().st_size > template.stat().st_size


def test_a_template_with_rows_is_refused(tmp_path: Path) -> None:
    tables = {table.name: tuple(access.Column(*column) for column in access.columns_of(table)) for table in standard.load().tables.values()}
    rows = dict.fromkeys(tables, 0) | {"MHS001MPI": 3}
    with pytest.raises(InputError, match="not empty: MHS001MPI has 3 rows"):
        access.check_template(tmp_path / "used.accdb", access.Structure("V2007", tables, rows, ()))

"""Submission folders: read as submitted, numbered as submitted, and refused in one line when they cannot be read."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ips_pipeline.errors import InputError
from ips_pipeline.mhsds.standard import load
from ips_pipeline.store import duck, folders

MPI = load().table("MHS001MPI")


def rows(*files: tuple[str, bytes], tmp_path: Path, elements: tuple[str, ...] = ("LocalPatientID", "Gender")) -> list[tuple[object, ...]]:
    """The loaded MHS001MPI of one folder per file."""
    places = []
    for number, (name, content) in enumerate(files):
        folder = tmp_path / f"P{number}" / "2026-08"
        folder.mkdir(parents=True)
        (folder / name).write_bytes(content)
        places.append(folder)
    with duck.session(read=[tmp_path]) as connection:
        folders.load(connection, places, [MPI], elements={MPI.name: elements})
        return connection.execute("SELECT * FROM MHS001MPI ORDER BY submission, row").fetchall()


def csv_rows(content: bytes, tmp_path: Path) -> list[tuple[object, ...]]:
    return rows(("MHS001MPI.csv", content), tmp_path=tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"LocalPatientID,Gender\nA,1\nB,2\n", [(1, 1, "A", "1"), (1, 2, "B", "2")], id="plain"),
        pytest.param(b"Gender,LocalPatientID\n1,A\n", [(1, 1, "A", "1")], id="any column order"),
        pytest.param(b"LocalPatientID\nA\n", [(1, 1, "A", None)], id="absent column"),
        pytest.param(b'LocalPatientID,Gender\nA,\nB,""\n', [(1, 1, "A", None), (1, 2, "B", None)], id="empty is null, quoted or not"),
        pytest.param(b"LocalPatientID,Gender\n A , \n", [(1, 1, " A ", " ")], id="blanks are kept"),
        pytest.param(b"LocalPatientID,Gender\r\nA,1\r\n", [(1, 1, "A", "1")], id="CRLF"),
        pytest.param(b"\xef\xbb\xbfLocalPatientID,Gender\nA,1\n", [(1, 1, "A", "1")], id="BOM"),
        pytest.param(b'LocalPatientID,Gender\n"A,""x""\ny",1\nB,2\n', [(1, 1, 'A,"x"\ny', "1"), (1, 2, "B", "2")], id="quotes and line feeds"),
        pytest.param("LocalPatientID,Gender\né£,1\n".encode(), [(1, 1, "é£", "1")], id="accents"),
        pytest.param(b"LocalPatientID,Gender\n0001,01\n", [(1, 1, "0001", "01")], id="leading zeros"),
        pytest.param(b"LocalPatientID,Gender\nNULL,NA\n", [(1, 1, "NULL", "NA")], id="words are not null"),
        pytest.param(b"LocalPatientID,Gender\n", [], id="header only"),
        pytest.param(b"", [], id="empty file"),
        pytest.param(b"LocalPatientID,Gender\nA,1", [(1, 1, "A", "1")], id="no line end at the end"),
    ],
)
def test_csv_is_read_as_submitted(content: bytes, expected: list[tuple[object, ...]], tmp_path: Path) -> None:
    assert csv_rows(content, tmp_path) == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param("LocalPatientID,Gender\nA,1\n".encode("utf-16"), "UTF-8", id="UTF-16"),
        pytest.param(b"LocalPatientID,Gender\nA\xff,1\n", "CSV", id="a byte that is not UTF-8"),
        pytest.param(b"LocalPatientID\x00,Gender\nA,1\n", "UTF-8", id="NUL in the header"),
        pytest.param(b"LocalPatientID,Gender\nSECRET,1,2\n", "too many or too few", id="too many values"),
        pytest.param(b"LocalPatientID,Gender\nSECRET\n", "too many or too few", id="too few values"),
        pytest.param(b'LocalPatientID,Gender\nSECRET,"1\n', "quote", id="open quote"),
        pytest.param(b"LocalPatientID,Gender,Gender\nA,1,1\n", "more than once", id="repeated column"),
        pytest.param(b"localpatientid,Gender\nA,1\n", "did you mean LocalPatientID", id="another case"),
        pytest.param(b"LocalPatientID,Comments\nA,1\n", "Comments", id="unknown column"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line_without_a_value(content: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said) as caught:
        csv_rows(content, tmp_path)
    assert "\n" not in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert "MHS001MPI.csv" in str(caught.value)


def test_parquet_is_read_as_text_and_keeps_submitted_row_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "P" / "2026-08"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"LocalPatientID": ["A", ""], "Gender": pa.array([1, None], pa.int8()), "_row": [7, 9]}), folder / "MHS001MPI.parquet")
    with duck.session(read=[tmp_path]) as connection:
        folders.load(connection, [folder], [MPI], elements={MPI.name: ("LocalPatientID", "Gender")})
        assert connection.execute("FROM MHS001MPI").fetchall() == [(1, 7, "A", "1"), (1, 9, None, None)]


def test_rows_are_numbered_file_by_file_in_the_order_given(tmp_path: Path) -> None:
    files = [
        ("MHS001MPI.csv", b"LocalPatientID,Gender\nA,1\nB,2\n"),
        ("MHS001MPI.csv", b"Gender,LocalPatientID\n3,C\n"),
        ("MHS001MPI.csv", b"LocalPatientID,Gender\nD,4\n"),
    ]
    assert rows(*files, tmp_path=tmp_path) == [(1, 1, "A", "1"), (1, 2, "B", "2"), (2, 1, "C", "3"), (3, 1, "D", "4")]


def test_a_damaged_parquet_file_and_a_table_given_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a Parquet file"):
        rows(("MHS001MPI.parquet", b"PAR1 nonsense"), tmp_path=tmp_path)
    (tmp_path / "P0" / "2026-08" / "MHS001MPI.csv").write_text("LocalPatientID\n")
    with pytest.raises(InputError, match="twice"), duck.session(read=[tmp_path]) as connection:
        folders.load(connection, [tmp_path / "P0" / "2026-08"], [MPI])


def test_a_parquet_file_without_columns_is_an_absent_table_and_one_that_is_damaged_is_named_among_sound_ones(tmp_path: Path) -> None:
    contents = [pa.table({"LocalPatientID": ["A"]}), pa.table({}), pa.table({"Gender": ["1"], "LocalPatientID": ["B"]})]
    places = []
    for number, content in enumerate(contents):
        places.append(tmp_path / f"P{number}" / "2026-08")
        places[-1].mkdir(parents=True)
        pq.write_table(content, places[-1] / "MHS001MPI.parquet")
    with duck.session(read=[tmp_path]) as connection:
        folders.load(connection, places, [MPI], elements={MPI.name: ("LocalPatientID", "Gender")})
        assert connection.execute("FROM MHS001MPI ORDER BY ALL").fetchall() == [(1, 1, "A", None), (3, 1, "B", "1")]
    (places[2] / "MHS001MPI.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(InputError, match=r"P2/2026-08/MHS001MPI\.parquet is not a Parquet file"), duck.session(read=[tmp_path]) as connection:
        folders.load(connection, places, [MPI])


def test_values_of_a_parquet_file_read_as_the_text_they_stand_for(tmp_path: Path) -> None:
    """Times of every unit with a T, whole numbers without a point, and what has a zone of its own as it is."""
    moment = datetime(2026, 8, 1, 9, 30)
    stored = {
        "us": pa.array([moment], pa.timestamp("us")),
        "ns": pa.array([moment], pa.timestamp("ns")),
        "s": pa.array([moment], pa.timestamp("s")),
        "zone": pa.array([moment], pa.timestamp("us", "UTC")),
        "double": pa.array([7.0]),
        "half": pa.array([7.5]),
        "single": pa.array([7.0], pa.float32()),
        "text": pa.array(["7.0"]),
    }
    found = {}
    for name, values in stored.items():
        folder = tmp_path / name / "P0" / "2026-08"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"LocalPatientID": values}), folder / "MHS001MPI.parquet")
        with duck.session(read=[tmp_path]) as connection:
            folders.load(connection, [folder], [MPI], elements={MPI.name: ("LocalPatientID",)})
            ((found[name],),) = connection.execute("SELECT LocalPatientID FROM MHS001MPI").fetchall()
    times = dict.fromkeys(("us", "ns", "s"), "2026-08-01T09:30:00")
    assert found == {**times, "zone": "2026-08-01 09:30:00+00", "double": "7", "half": "7.5", "single": "7", "text": "7.0"}


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.csv").write_text("LocalPatientID\nA\n")
    folder = tmp_path / "P" / "2026-08"
    folder.mkdir(parents=True)
    (folder / "MHS001MPI.csv").symlink_to(tmp_path / "elsewhere.csv")
    with pytest.raises(InputError, match="not a plain file"), duck.session(read=[tmp_path]) as connection:
        folders.load(connection, [folder], [MPI])


def test_discovery_goes_by_month_then_provider_and_within_bounds(tmp_path: Path) -> None:
    for name in ("RXB/2026-08", "RXA/2026-08", "RXA/2026-07", "RXA/2026-13", "RXA/notes"):
        (tmp_path / name).mkdir(parents=True)
    assert [path.relative_to(tmp_path).as_posix() for path in folders.discover(tmp_path)] == ["RXA/2026-07", "RXA/2026-08", "RXB/2026-08"]
    assert [path.name for path in folders.discover(tmp_path, last="2026-07")] == ["2026-07"]
    with pytest.raises(InputError):
        folders.discover(tmp_path, first="2027-01")
    with pytest.raises(InputError):
        folders.discover(tmp_path / "nowhere")


def test_the_rows_of_large_files_are_numbered_as_they_stand_however_many_processors_read(tmp_path: Path) -> None:
    """Two files that are cut into many parts, and one of other columns between them."""
    large = b"LocalPatientID,Postcode\n" + b"".join(b"%d,%s\n" % (number, b"x" * 200) for number in range(1, 200_001))
    places = []
    for number, content in enumerate([large, b"LocalPatientID\n1\n2\n", large]):
        places.append(tmp_path / f"P{number}" / "2026-08")
        places[-1].mkdir(parents=True)
        (places[-1] / "MHS001MPI.csv").write_bytes(content)
    with duck.session(read=[tmp_path]) as connection:
        folders.load(connection, places, [MPI], elements={MPI.name: ("LocalPatientID",)})
        counted = connection.execute(
            "SELECT submission, count(*), count(*) FILTER (row = CAST(LocalPatientID AS BIGINT)) FROM MHS001MPI GROUP BY ALL"
        )
        assert sorted(counted.fetchall()) == [(1, 200_000, 200_000), (2, 2, 2), (3, 200_000, 200_000)]

"""The files adapter: CSV and Parquet under a trust's own names, everything as text."""

from __future__ import annotations

import csv
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ips_pipeline.errors import InputError
from ips_pipeline.settings import FilesSource
from ips_pipeline.sources import files, raw
from ips_pipeline.sources.mapping import Input
from ips_pipeline.submission import access


def fetch(folder: Path, item: Input) -> raw.Fetched:
    target = folder / "fetched"
    target.mkdir(exist_ok=True)
    return files.fetch(
        "exports", FilesSource(kind="files", folder=folder), {"visit": item}, fill={"period": "2026-08", "provider": "RXX"}, folder=target
    )["visit"]


def test_csv_keeps_every_value_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "2026-08").mkdir()
    text = '\ufeffno,seen on,note\n007,01/08/2026," two\nlines, and a ""quote"""\n,2026-08-02,\n'
    (tmp_path / "2026-08/visits.csv").write_text(text, encoding="utf-8", newline="")
    fetched = fetch(tmp_path, Input(file="{period}/visits.csv"))
    assert fetched.columns == ("no", "seen on", "note")
    assert pq.read_table(fetched.path).to_pylist() == [
        {"no": "007", "seen on": "01/08/2026", "note": ' two\nlines, and a "quote"'},
        {"no": None, "seen on": "2026-08-02", "note": None},
    ]


def test_other_delimiters_and_encodings(tmp_path: Path) -> None:
    (tmp_path / "RXX.csv").write_bytes("no;name\n1;Zoë\n".encode("cp1252"))
    fetched = fetch(tmp_path, Input(file="{provider}.csv", delimiter=";", encoding="cp1252"))
    assert pq.read_table(fetched.path).to_pylist() == [{"no": "1", "name": "Zoë"}]


def test_a_heading_without_rows_is_an_empty_extract(tmp_path: Path) -> None:
    (tmp_path / "visits.csv").write_text("no,seen\n")
    assert fetch(tmp_path, Input(file="visits.csv")).rows == 0


def test_several_files_are_read_in_order_of_name(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("no\n2\n")
    (tmp_path / "a.csv").write_text("no\n1\n")
    assert pq.read_table(fetch(tmp_path, Input(file="*.csv")).path)["no"].to_pylist() == ["1", "2"]
    (tmp_path / "c.csv").write_text("number\n3\n")
    with pytest.raises(InputError, match="other columns"):
        fetch(tmp_path, Input(file="*.csv"))


def test_parquet_types_become_text(tmp_path: Path) -> None:
    table = pa.table(
        {
            "day": pa.array([date(2026, 8, 1)]),
            "at": pa.array([datetime(2026, 8, 1, 9, 30)], pa.timestamp("ns")),
            "clock": pa.array([time(9, 30)], pa.time64("us")),
            "mins": pa.array([45], pa.int16()),
            "whole": pa.array([45.0]),
            "score": pa.array([Decimal("1.50")]),
            "kind": pa.array(["A"]).dictionary_encode(),
            "wide": pa.array(["B"], pa.large_string()),
            "gone": pa.array([None], pa.null()),
        }
    )
    pq.write_table(table, tmp_path / "visits.parquet")
    assert pq.read_table(fetch(tmp_path, Input(file="visits.parquet")).path).to_pylist() == [
        {
            "day": "2026-08-01",
            "at": "2026-08-01T09:30:00",
            "clock": "09:30:00",
            "mins": "45",
            "whole": "45",
            "score": "1.50",
            "kind": "A",
            "wide": "B",
            "gone": None,
        }
    ]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("visits.csv", b"no,seen\n1,2,3 Canary\n", "cannot be read"),
        ("visits.csv", b'no,seen\n1,"2 Canary\n', "cannot be read"),
        ("visits.csv", b"no,seen\n1,\xff\xfe Canary\n", "cannot be read"),
        ("visits.csv", b"", "cannot be read"),
        ("visits.csv", b"no,No\n1,Canary\n", "two columns of the same name"),
        ("visits.parquet", b"PAR1 Canary", "cannot be read"),
        ("other.csv", b"no\n1\n", "there is no file"),
    ],
)
def test_what_cannot_be_read_is_told_without_a_value(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        fetch(tmp_path, Input(file="visits.parquet" if name.endswith("parquet") else "visits.csv"))
    assert words in str(caught.value)
    assert "Canary" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    source = FilesSource(kind="files", folder=tmp_path / "none")
    with pytest.raises(InputError, match="does not exist"):
        files.fetch("exports", source, {}, fill={}, folder=tmp_path)


_cells = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"))


@settings(deadline=None, max_examples=30)
@given(rows=st.lists(st.tuples(_cells, _cells), max_size=8))
def test_whatever_is_written_as_csv_is_read_as_it_was(rows: list[tuple[str, str]]) -> None:
    with TemporaryDirectory() as folder:
        with (Path(folder) / "visits.csv").open("w", encoding="utf-8", newline="") as handle:
            csv.writer(handle, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
        table = pq.read_table(fetch(Path(folder), Input(file="visits.csv")).path)
    assert [(row["a"] or "", row["b"] or "") for row in table.to_pylist()] == rows


def workbook(path: Path, *rows: tuple[object, ...], merged: str | None = None) -> Path:
    """A workbook with a cover sheet and the rows on the sheet Visits."""
    book = openpyxl.Workbook()
    book.active.title = "Read me"
    sheet = book.create_sheet("Visits")
    for row in rows:
        sheet.append(row)
    if merged:
        sheet.merge_cells(merged)
    book.save(path)
    return path


def test_a_sheet_is_read_below_its_row_of_headings_as_it_shows(tmp_path: Path) -> None:
    workbook(
        tmp_path / "book.xlsx",
        ("Visits of the team",),
        (None,),
        ("No", "Seen  on\n(date)", "At", "Hours", "NHS no", "Note"),
        ("007", datetime(2026, 8, 1), time(9, 5), 16.1, 9990000018.0, "a\nb"),
        (None, None, None, None, None, None),
        ("-", "1/8/26", datetime(2026, 8, 1, 9, 5), "16 hrs", None, True),
    )
    fetched = fetch(tmp_path, Input(file="book.xlsx", sheet="Visits", heading_row=3))
    assert fetched.columns == ("No", "Seen on (date)", "At", "Hours", "NHS no", "Note")
    assert fetched.rows == 2
    assert [tuple(row.values()) for row in pq.read_table(fetched.path).to_pylist()] == [
        ("007", "2026-08-01", "09:05:00", "16.1", "9990000018", "a\nb"),
        ("-", "1/8/26", "2026-08-01T09:05:00", "16 hrs", None, "true"),
    ]


def test_a_long_sheet_comes_in_batches_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workbook(tmp_path / "book.xlsx", ("No",), *((number,) for number in range(25)))
    monkeypatch.setattr(files, "_BATCH_ROWS", 10)
    fetched = fetch(tmp_path, Input(file="book.xlsx", sheet="Visits"))
    assert pq.read_table(fetched.path)["No"].to_pylist() == [str(number) for number in range(25)]


HEAD = ("No", "Seen")


@pytest.mark.parametrize(
    ("rows", "item", "message"),
    [
        ((HEAD,), {"sheet": "Visit"}, r"has no sheet Visit \(did you mean Visits\?\)"),
        ((HEAD,), {}, "has 2 sheets; say in the mapping which one"),
        ((("No", None, "Seen"), (1, 2, 3)), {"sheet": "Visits"}, "row 1: column B has no heading of its own"),
        ((("No", None), (1, 2)), {"sheet": "Visits"}, "column B has no heading of its own"),
        (((None,), HEAD), {"sheet": "Visits"}, "row 1 holds no headings"),
        ((HEAD, (1, 2), (3, 4, "!")), {"sheet": "Visits"}, "column C has no heading of its own"),
        ((("No", "no"), (1, 2)), {"sheet": "Visits"}, "two columns of the same name"),
    ],
)
def test_a_sheet_that_is_no_table_is_refused_in_one_line(
    tmp_path: Path, rows: tuple[tuple[object, ...], ...], item: dict[str, str], message: str
) -> None:
    workbook(tmp_path / "book.xlsx", *rows)
    with pytest.raises(InputError, match=message) as caught:
        fetch(tmp_path, Input(file="book.xlsx", **item))
    assert "\n" not in str(caught.value)


def test_merged_headings_are_named_by_the_column_that_has_none(tmp_path: Path) -> None:
    workbook(tmp_path / "book.xlsx", ("No", "Seen", None, "By"), (1, 2, 3, 4), merged="B1:C1")
    with pytest.raises(InputError, match=r"sheet Visits, row 1: column C has no heading of its own \(merged cells"):
        fetch(tmp_path, Input(file="book.xlsx", sheet="Visits"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (files._COMPOUND + bytes(512) + "EncryptedPackage".encode("utf-16-le"), "is protected by a password"),
        (files._COMPOUND + bytes(512) + "Workbook".encode("utf-16-le"), "is a workbook of Excel 97 to 2003"),
        (b"PK\x03\x04 cut short", "cannot be read as a workbook"),
        (b"No,Seen\n1,2\n", "cannot be read as a workbook"),
    ],
)
def test_a_file_that_is_no_workbook_of_today_is_told_by_what_it_is(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "book.xlsx").write_bytes(content)
    with pytest.raises(InputError, match=message):
        fetch(tmp_path, Input(file="book.xlsx", sheet="Visits"))


def database(path: Path) -> access.Runtime:
    """An Access file with one table of visits, of every type that a service's own database has."""
    held = access.runtime()
    if held is None:
        pytest.skip("Access files need the accdb extra")
    columns = [("Visit No", "LONG", 0), ("Seen", "SHORT_DATE_TIME", 0), ("At", "SHORT_DATE_TIME", 0), ("Both", "SHORT_DATE_TIME", 0)]
    columns += [("Kept", "BOOLEAN", 0), ("Note", "MEMO", 0), ("Hours", "DOUBLE", 0)]
    rows = {
        "Visit No": pa.array([7, 8], pa.int32()),
        "Seen": pa.array([datetime(2026, 8, 1), None], pa.timestamp("s")),
        "At": pa.array([datetime(1899, 12, 30, 9, 5), None], pa.timestamp("s")),
        "Both": pa.array([datetime(2026, 8, 1, 9, 5), None], pa.timestamp("s")),
        "Kept": pa.array([True, False]),
        "Note": pa.array(['two\nlines, and a "quote"', None]),
        "Hours": pa.array([16.5, 30.0]),
    }
    pq.write_table(pa.table(rows), path.with_suffix(".rows"))
    access.make(path, {"tblVisit": columns}, {"tblVisit": path.with_suffix(".rows")}, held, temporary=path.parent / "work")
    return held


def test_a_table_of_an_access_file_is_read_in_the_forms_of_the_standard(tmp_path: Path) -> None:
    database(tmp_path / "visits.accdb")
    fetched = fetch(tmp_path, Input(file="visits.accdb", table="tblvisit"))
    assert (fetched.rows, fetched.columns) == (2, ("Visit No", "Seen", "At", "Both", "Kept", "Note", "Hours"))
    assert [tuple(row.values()) for row in pq.read_table(fetched.path).to_pylist()] == [
        ("7", "2026-08-01", "09:05:00", "2026-08-01T09:05:00", "Y", 'two\nlines, and a "quote"', "16.5"),
        ("8", None, None, None, "N", None, "30"),
    ]
    with pytest.raises(InputError, match=r"has no table tblVisits \(did you mean tblVisit\?\)"):
        fetch(tmp_path, Input(file="visits.accdb", table="tblVisits"))


def test_an_access_file_needs_what_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "visits.accdb").write_bytes(b"")
    monkeypatch.setattr(access, "runtime", lambda: None)
    with pytest.raises(InputError, match=r"cannot be read here; install .*ips-pipeline\[accdb\]"):
        fetch(tmp_path, Input(file="visits.accdb", table="tblVisit"))

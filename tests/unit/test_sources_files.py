"""The files adapter: CSV and Parquet under a trust's own names, everything as text."""

from __future__ import annotations

import csv
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ips_pipeline.errors import InputError
from ips_pipeline.settings import FilesSource
from ips_pipeline.sources import files, raw
from ips_pipeline.sources.mapping import Input


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

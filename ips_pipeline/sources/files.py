"""Read a folder of CSV or Parquet files that a trust exports under its own names, everything as text."""

from __future__ import annotations

import csv
import errno
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from ips_pipeline.errors import InputError
from ips_pipeline.settings import FilesSource
from ips_pipeline.sources import raw
from ips_pipeline.sources.mapping import Input

#: Rows of a Parquet file held at a time; CSV is read in blocks of the size below.
_BATCH_ROWS = 20_000
_BLOCK_BYTES = 8 << 20


def fetch(name: str, source: FilesSource, inputs: Mapping[str, Input], *, fill: Mapping[str, str], folder: Path) -> dict[str, raw.Fetched]:
    """Fetch every input into ``folder`` as one Parquet file of text.

    ``fill`` holds what stands for ``{period}`` and ``{provider}`` in an input's path; a path with * may fit several files, read
    in order of name, which must then have the same columns. Raises InputError when a file is missing or cannot be read.
    """
    probe(name, source)
    fetched = {}
    for key, item in sorted(inputs.items()):
        pattern = item.file or ""
        for word, value in fill.items():
            pattern = pattern.replace(f"{{{word}}}", value)
        fetched[key] = _fetch_one(f"Source {name}, input {key}", source.folder, pattern, item, folder / f"{key}.parquet")
    return fetched


def probe(name: str, source: FilesSource) -> None:
    """Look into the folder of a source; InputError when it is not there or may not be listed."""
    try:
        next(source.folder.iterdir(), None)
    except OSError:
        raise InputError(f"Source {name}: the folder {source.folder} does not exist or cannot be read; check that it is mounted") from None


def _fetch_one(where: str, home: Path, pattern: str, item: Input, target: Path) -> raw.Fetched:
    paths = sorted(path for path in home.glob(pattern) if path.is_file())
    if not paths:
        raise InputError(f"{where}: there is no file {home / pattern}; check that the export ran, or correct the mapping")
    try:
        readers = [_open(path, item) for path in paths]
        columns = readers[0][0]
        for path, (others, _) in zip(paths, readers, strict=True):
            if list(others) != list(columns):
                raise InputError(f"{where}: {path} has other columns than {paths[0]}; export them alike")
        if len({column.lower() for column in columns}) < len(columns):
            raise InputError(f"{where}: {paths[0]} has two columns of the same name; rename one")
        return raw.write(target, columns, chain.from_iterable(batches for _, batches in readers))
    except (pa.ArrowException, OSError, ValueError, csv.Error) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # our own disk is full; the file is not at fault
        listed = paths[0] if len(paths) == 1 else home / pattern
        raise InputError(f"{where}: {listed} cannot be read; check its encoding, its delimiter, and that it is complete") from None


def _open(path: Path, item: Input) -> tuple[Sequence[str], Iterator[Sequence[pa.Array]]]:
    """The columns of a file and its batches, read as they are asked for."""
    if path.suffix.lower() == ".parquet":
        file = pq.ParquetFile(path)
        return file.schema_arrow.names, (batch.columns for batch in file.iter_batches(batch_size=_BATCH_ROWS))
    encoding = "utf-8-sig" if item.encoding == "utf8" else item.encoding
    with path.open(encoding=encoding, newline="") as handle:
        columns = next(csv.reader(handle, delimiter=item.delimiter), [])
    if not columns or _has_open_quote(path):
        raise csv.Error("no heading, or a quote that is not closed")
    return columns, _csv_batches(path, columns, item)


def _has_open_quote(path: Path) -> bool:
    """Whether the file ends inside quotes, as a torn export does; the reader would take the rest of the file for one value."""
    with path.open("rb") as handle:
        return sum(block.count(b'"') for block in iter(lambda: handle.read(_BLOCK_BYTES), b"")) % 2 == 1


def _csv_batches(path: Path, columns: Sequence[str], item: Input) -> Iterator[Sequence[pa.Array]]:
    reader = pc.open_csv(
        path,
        read_options=pc.ReadOptions(encoding=item.encoding, block_size=_BLOCK_BYTES, use_threads=False),
        parse_options=pc.ParseOptions(delimiter=item.delimiter, newlines_in_values=True),
        convert_options=pc.ConvertOptions(
            column_types={column: pa.string() for column in columns}, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=True
        ),
    )
    with reader:
        for batch in reader:
            yield batch.columns

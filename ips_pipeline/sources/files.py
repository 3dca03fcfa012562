"""Read a folder of files that a trust keeps or exports under its own names, everything as text: CSV, Parquet, sheets of workbooks, Access tables."""

from __future__ import annotations

import csv
import errno
import warnings
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, time
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from ips_pipeline.errors import InputError
from ips_pipeline.settings import FilesSource, near
from ips_pipeline.sources import raw
from ips_pipeline.sources.mapping import ACCESS, WORKBOOKS, Input

#: Rows of a Parquet file or a sheet held at a time; CSV is read in blocks of the size below.
_BATCH_ROWS = 20_000
_BLOCK_BYTES = 8 << 20


def fetch(name: str, source: FilesSource, inputs: Mapping[str, Input], *, fill: Mapping[str, str], folder: Path) -> dict[str, raw.Fetched]:
    """Fetch every input into ``folder`` as one Parquet file of text.

    ``fill`` holds what stands for ``{period}`` and ``{provider}`` in an input's path; a path with * may fit several files, read
    in order of name, which must then have the same columns. Raises InputError when a file is missing or cannot be read.
    """
    probe(name, source)
    fetched: dict[str, raw.Fetched] = {}
    databases: dict[Path, dict[str, Input]] = defaultdict(dict)
    for key, item in sorted(inputs.items()):
        pattern = item.file or ""
        for word, value in fill.items():
            pattern = pattern.replace(f"{{{word}}}", value)
        where, paths = f"Source {name}, input {key}", sorted(path for path in source.folder.glob(pattern) if path.is_file())
        if not paths:
            raise InputError(f"{where}: there is no file {source.folder / pattern}; check that the export ran, or correct the mapping")
        if Path(pattern).suffix.lower() not in ACCESS:
            fetched[key] = _fetch_one(where, source.folder / pattern, paths, item, folder / f"{key}.parquet")
        elif len(paths) > 1:
            raise InputError(f"{where}: {source.folder / pattern} fits {len(paths)} Access files; name the one that is current")
        else:
            databases[paths[0]][key] = item
    for path, items in databases.items():
        fetched |= _fetch_tables(name, path, items, folder)
    return dict(sorted(fetched.items()))


def probe(name: str, source: FilesSource) -> None:
    """Look into the folder of a source; InputError when it is not there or may not be listed."""
    try:
        next(source.folder.iterdir(), None)
    except OSError:
        raise InputError(f"Source {name}: the folder {source.folder} does not exist or cannot be read; check that it is mounted") from None


def _fetch_tables(name: str, file: Path, items: Mapping[str, Input], folder: Path) -> dict[str, raw.Fetched]:
    """Unload the tables of one Access file, all in one go: starting Java takes a second."""
    from ips_pipeline.submission import access  # noqa: PLC0415 - only Access files need it

    if (held := access.runtime()) is None:
        raise InputError(f"Source {name}: {file} cannot be read here; {access.INSTALL}")
    wanted = {item.table: folder / f"{key}.parquet" for key, item in items.items() if item.table}
    if len(wanted) < len(items):
        raise InputError(f"Source {name}: two inputs read the same table of {file}; keep one of them")
    unloaded = access.unload(file, wanted, held, temporary=folder)
    return {key: raw.Fetched(folder / f"{key}.parquet", *unloaded[str(item.table)]) for key, item in items.items()}


def _fetch_one(where: str, asked: Path, paths: Sequence[Path], item: Input, target: Path) -> raw.Fetched:
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
        listed = paths[0] if len(paths) == 1 else asked
        raise InputError(f"{where}: {listed} cannot be read; check its encoding, its delimiter, and that it is complete") from None


def _open(path: Path, item: Input) -> tuple[Sequence[str], Iterator[Sequence[pa.Array]]]:
    """The columns of a file and its batches, read as they are asked for."""
    if path.suffix.lower() == ".parquet":
        file = pq.ParquetFile(path)
        return file.schema_arrow.names, (batch.columns for batch in file.iter_batches(batch_size=_BATCH_ROWS))
    if path.suffix.lower() in WORKBOOKS:
        return _open_sheet(path, item)
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


#: How a compound file begins: a workbook of Excel 97 to 2003, or one of today that is encrypted.
_COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def _open_sheet(path: Path, item: Input) -> tuple[Sequence[str], Iterator[Sequence[Sequence[Any]]]]:
    """The columns of a sheet by its row of headings, and its rows in batches; a value is what the sheet shows, not the formula behind it."""
    _check_workbook(path)
    batches = _sheet_batches(path, item)
    # The first batch is the headings.
    return next(batches), batches


def _sheet_batches(path: Path, item: Input) -> Iterator[Sequence[Any]]:
    """The headings, then the rows below them without those that are empty, some thousands at a time, column by column."""
    with _sheet(path, item.sheet) as sheet:
        where, rows = f"{path}, sheet {sheet.title}, row {item.heading_row}", sheet.iter_rows(min_row=item.heading_row, values_only=True)
        headings = [" ".join(str(cell).split()) if cell is not None else "" for cell in next(rows, ())]
        while headings and not headings[-1]:
            headings.pop()
        if not headings:
            raise InputError(f"{where} holds no headings; say in the mapping which row does, as heading_row")
        # Of merged cells only the first holds the text, and every other column would be without a name.
        _check_headed("" in headings and headings.index("") + 1, where)
        yield headings
        width, held = len(headings), list[list[Any]]()
        for row in rows:
            _check_headed(next((number for number, cell in enumerate(row[width:], width + 1) if cell not in (None, "")), 0), where)
            if any(cell not in (None, "") for cell in row):
                held.append([_shown(cell) for cell in row[:width]] + [None] * (width - len(row)))
            if len(held) == _BATCH_ROWS:
                yield list(zip(*held, strict=True))
                held = []
        if held:
            yield list(zip(*held, strict=True))


def _check_headed(bare: int, where: str) -> None:
    """Refuse a column, counted from 1, that holds something under no heading; 0 is none."""
    if bare:
        raise InputError(
            f"{where}: column {_letters(bare)} has no heading of its own (merged cells, or a note beside the table);"
            " give every column one, or name the row that has them as heading_row"
        )


def _shown(cell: Any) -> Any:
    """A cell as the sheet shows it: a day without a time is a date, and 16.1 is not 16.099999999999998."""
    if isinstance(cell, datetime) and cell.time() == time():
        return cell.date()
    return round(cell, 6) if isinstance(cell, float) else cell


def headings(path: Path) -> list[tuple[str, int]]:
    """Each sheet of a workbook that seems to hold a table, with the row that seems to hold its headings: the fullest of words near the top."""
    found = []
    _check_workbook(path)
    with _book(path) as sheets:
        for title, sheet in sheets.items():
            words = [sum(isinstance(cell, str) for cell in row) for row in sheet.iter_rows(max_row=20, values_only=True)]
            if max(words, default=0) > 1:
                found.append((title, words.index(max(words)) + 1))
    return found


def _check_workbook(path: Path) -> None:
    """Tell a protected workbook and one of an old kind from one that is damaged."""
    with path.open("rb") as handle:
        if not handle.read(len(_COMPOUND)).startswith(_COMPOUND):
            return
        rest = handle.read()
    if "EncryptedPackage".encode("utf-16-le") in rest:
        raise InputError(f"{path} is protected by a password; save it without one, in a folder that only its readers can open")
    raise InputError(f"{path} is a workbook of Excel 97 to 2003; save it again as an Excel workbook (.xlsx)")


@contextmanager
def _sheet(path: Path, title: str | None) -> Iterator[Any]:
    """A sheet of a workbook, read as it is asked for; the only one where no title is given."""
    with _book(path) as sheets:
        if title is None and len(sheets) != 1:
            raise InputError(f"{path} has {len(sheets)} sheets; say in the mapping which one, as sheet: {next(iter(sheets), 'Sheet1')}")
        if title is not None and title not in sheets:
            raise InputError(f"{path} has no sheet {title}{near(title, sheets)}; correct the mapping or the workbook")
        yield next(iter(sheets.values())) if title is None else sheets[title]


@contextmanager
def _book(path: Path) -> Iterator[dict[str, Any]]:
    """The sheets of a workbook by their titles."""
    import openpyxl  # noqa: PLC0415 - half a second that only workbooks need
    from openpyxl.utils.exceptions import InvalidFileException  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            sheets = {sheet.title: sheet for sheet in book.worksheets}
            for sheet in sheets.values():
                # Programs that export write wrong sizes into the file; what is there is there.
                sheet.reset_dimensions()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield sheets
        finally:
            book.close()
    except (zipfile.BadZipFile, zlib.error, InvalidFileException, KeyError, TypeError, EOFError, SyntaxError):
        raise InputError(f"{path} cannot be read as a workbook; save it again as an Excel workbook (.xlsx)") from None


def _letters(number: int) -> str:
    """The letters of a column of a sheet: 1 is A, 27 is AA."""
    text = ""
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("A") + rest) + text
    return text
